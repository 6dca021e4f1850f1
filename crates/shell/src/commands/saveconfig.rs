// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `saveconfig`: writes LIO's saveconfig.json.
//!
//! Above: the table.  Below: the API; one file, where another than the daemon's is wanted.
//! Never here: what is in it.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::Place;
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "saveconfig",
    places: Places::At(&[Place::Root]),
    parameters: &[optional("savefile", Values::HostPath, "the file; the daemon's own if left out")],
    summary: "Write the configuration to a file",
    details: "The file is in the format of LIO's saveconfig.json. The daemon keeps earlier versions of its own. \
Nothing is lost without this command: every change is on disk when it is answered.",
    needs: Needs::Node,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let path = match call.arguments.get("savefile") {
        None => {
            let saved = call.api().save()?;
            let kept = saved.backups.as_ref().map(|backups| backups.kept);
            call.result(json!({ "file": saved.path, "backups": kept }));
            if let Some(backups) = saved.backups {
                let line = format!("Last {} configs saved in {}.", backups.kept, backups.directory);
                call.say(Level::Info, &line);
            }
            saved.path
        }
        Some(file) => {
            let path = call.host_path(file);
            let text = call.api().saveconfig()?;
            write(Path::new(&path), &text)
                .map_err(|error| Failure::new(format!("Could not write {path}: {error}")))?;
            call.result(json!({ "file": path, "backups": null }));
            path
        }
    };
    call.say(Level::Info, &format!("Configuration saved to {path}"));
    Ok(())
}

/// Puts a whole file in the place of what was there, readable by its owner alone: it may hold secrets of LIO.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // A file is named durably once its directory is.
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    })();
    if written.is_err() {
        // What was begun is of no use; that it cannot be removed is less than the error at hand.
        let _ = fs::remove_file(&beside);
    }
    written
}
