// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `saveconfig`: writes LIO's saveconfig.json.
//!
//! Above: the table; `delete`, whose `save` does it too.  Below: the API; `savefile`, where another file than the
//! daemon's is wanted.
//! Never here: what is in it.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::Failure;
use crate::savefile;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::{Place, Subject, backstore_name, kind_name};
use api::v1;
use serde_json::json;
use std::path::Path;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "saveconfig",
        places: Places::At(&[Place::Root]),
        parameters: &[optional("savefile", Values::HostPath, "the file; the daemon's own if left out")],
        summary: "Write the configuration to a file",
        details: "The file is in the format of LIO's saveconfig.json; where its name ends in .toml, in the one that people \
write and `apply` takes. The daemon keeps earlier versions of its own, \
as many as max_backup_files says. Nothing is lost without this command: every change is on disk when it is answered.",
        needs: Needs::Node,
        run: whole,
    },
    Command {
        name: "saveconfig",
        places: Places::At(&[Place::StorageObject]),
        parameters: &[optional("savefile", Values::HostPath, "the file; the daemon's own if left out")],
        summary: "Write the backstore and the targets that show it to a file",
        details: "What else the file has stays as it is. The daemon's own file is written whole, as by `/ saveconfig`.",
        needs: Needs::Node,
        run: one,
    },
];

fn whole(call: &mut Call<'_>) -> Result<(), Failure> {
    let path = match call.arguments.get("savefile") {
        None => save(call)?,
        Some(file) => {
            let path = call.host_path(file);
            let text = match Path::new(&path).extension() {
                Some(end) if end == "toml" => call.api().file_to_apply()?,
                _ => call.api().saveconfig()?,
            };
            savefile::write(Path::new(&path), &text)?;
            call.result(json!({ "file": path, "backups": null }));
            path
        }
    };
    call.say(Level::Info, &format!("Configuration saved to {path}"));
    Ok(())
}

/// Writes the daemon's own file; where it is.
pub(super) fn save(call: &mut Call<'_>) -> Result<String, Failure> {
    let backups = call.kept.global("max_backup_files").parse().ok();
    let saved = call.api().save(&v1::SaveOptions { backups })?;
    let kept = saved.backups.as_ref().map(|backups| backups.kept);
    call.result(json!({ "file": saved.path, "backups": kept }));
    if let Some(backups) = saved.backups {
        let line = format!("Last {} configs saved in {}.", backups.kept, backups.directory);
        call.say(Level::Info, &line);
    }
    Ok(saved.path)
}

fn one(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Backstore(backstore) = &call.node.subject else { return Ok(()) };
    let id = backstore.id.clone();
    let path = match call.arguments.get("savefile") {
        None => save(call)?,
        Some(file) => {
            let path = call.host_path(file);
            let now = call.api().saveconfig()?;
            savefile::merge(Path::new(&path), &now, &backstore_name(&id))?;
            call.result(json!({ "file": path, "backups": null }));
            path
        }
    };
    let line = format!("Storage Object '{}:{}' config saved to {path}.", kind_name(id.kind), id.name);
    call.say(Level::Info, &line);
    Ok(())
}
