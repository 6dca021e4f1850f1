// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recorded sessions of targetcli 2.1.53 and 3.0.2, typed into Lunar's own shell.
//!
//! `transcripts/shell-*.txt` has what each command answered, and why Lunar's shell answers otherwise where it does.
//! They have a block device, which takes root.  `LUNAR_REPLAY=print` prints every difference in their form.

use anyhow::{Context, Result};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use stories::listing;
use stories::loop_device::{self, LoopDevice};
use stories::process::{command, run};
use stories::programs::{built, workspace};
use stories::recording::{self, Answer};
use stories::stage::Stage;

const LIMIT: Duration = Duration::from_secs(120);

/// Where the recordings have their files, their disk, and what they saved.
const FILES: &str = "/srv/target";
const DISK: &str = "/dev/loop0";

/// A daemon, a disk, and `lunar` under the name of `targetcli`.
struct Replay {
    stage: Stage,
    disk: LoopDevice,
    files: PathBuf,
    programs: PathBuf,
}

impl Replay {
    fn begin(files_are_there: bool) -> Result<Self> {
        let stage = Stage::set()?;
        let files = stage.scratch.directory("files")?;
        let disk = LoopDevice::attach(&stage.scratch.sparse_file("disk", 64 << 20)?, &[])?;
        let there = [("f0.img", 16), ("f1.img", 16), ("f2.img", 1), ("auto.img", 16)];
        for (name, mib) in there.into_iter().filter(|_| files_are_there) {
            std::fs::File::create(files.join(name))?.set_len(mib << 20)?;
        }
        let programs = stage.scratch.directory("programs")?;
        let script = programs.join("targetcli");
        let mut text = std::fs::File::create(&script)?;
        writeln!(text, "#!/bin/sh\nexec {} \"$@\"", built("lunar")?.display())?;
        text.set_permissions(std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { stage, disk, files, programs })
    }

    /// What is printed, without the hints that targetcli has none of.
    fn answer(&self, typed: &str) -> Result<Answer> {
        let files = self.files.display().to_string();
        let disk = self.disk.path().display().to_string();
        let typed = typed.replace(FILES, &files).replace(DISK, &disk);
        let mut shell = command("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", self.programs.display()));
        shell.env("HOME", self.stage.scratch.path()).env_remove("XDG_STATE_HOME");
        shell.env("LUNAR_RUNTIME_DIR", self.stage.daemon.places().runtime.clone());
        shell.args(["-c", &format!("{{ {typed}; }} 2>&1")]);
        let output = run(&mut shell, LIMIT)?;
        let said = String::from_utf8(output.stdout)?;
        let dashed = |path: &str| path.trim_start_matches('/').replace('/', "-");
        let said = listing::replaced(&said, &files, FILES);
        let said = listing::replaced(&said, &dashed(&files), &dashed(FILES));
        let said = listing::replaced(&said, &disk, DISK);
        let said = said.replace(&self.stage.daemon.places().state.display().to_string(), "STATE");
        let lines = said.lines().filter(|line| !line.starts_with("hint: ")).map(str::to_owned);
        Ok(Answer { lines: lines.collect(), status: output.status.code() })
    }

    fn differences(&self, recording: &str) -> Result<Vec<String>> {
        let path = workspace().join("tests/tools/transcripts").join(recording);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let deviations = std::fs::read_to_string(workspace().join("docs/deviations.md"))?;
        let found = recording::differences(&text, &deviations, |typed| self.answer(typed))?;
        if std::env::var("LUNAR_REPLAY").is_ok_and(|wanted| wanted == "print") {
            println!("{}", found.join("\n"));
        }
        Ok(found)
    }
}

fn skipped() -> bool {
    if !loop_device::available() {
        println!("skipped: the recordings have a block device, and a loop device takes root");
    }
    !loop_device::available()
}

#[test]
fn our_shell_answers_as_targetcli_2_1_53_but_for_what_is_explained() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let replay = Replay::begin(true)?;
    let mut found = replay.differences("shell-2.1.53-first.txt")?;
    found.extend(replay.differences("shell-2.1.53-second.txt")?);
    assert!(found.is_empty(), "{} differences:\n\n{}", found.len(), found.join("\n"));
    Ok(())
}

#[test]
fn our_shell_answers_as_targetcli_3_0_2_but_for_what_is_explained() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let found = Replay::begin(false)?.differences("shell-3.0.2-first.txt")?;
    assert!(found.is_empty(), "{} differences:\n\n{}", found.len(), found.join("\n"));
    Ok(())
}
