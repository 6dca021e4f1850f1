// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recorded sessions of LIO's own tools, command by command, with the same tools on Lunar.
//!
//! `transcripts/` has what each command answered, in the form of `stories::recording`.

use anyhow::Result;
use std::path::PathBuf;
use std::time::Duration;
use stories::listing;
use stories::loop_device::{self, LoopDevice};
use stories::mounted::{self, Mounted};
use stories::process::run;
use stories::programs::workspace;
use stories::recording::{self, Answer};

const LIMIT: Duration = Duration::from_secs(120);

/// Where the recordings have their files, and their disk.
const FILES: &str = "/srv/target";
const DISK: &str = "/dev/loop0";

/// Runs recordings one after the other on one daemon.
struct Replay {
    mounted: Mounted,
    disk: LoopDevice,
    files: PathBuf,
    /// Where the programs are found first.
    programs: Option<PathBuf>,
}

impl Replay {
    fn begin(programs: Option<PathBuf>) -> Result<Self> {
        let mounted = Mounted::start()?;
        let files = mounted.scratch.directory("files")?;
        let disk = LoopDevice::attach(&mounted.scratch.sparse_file("disk", 64 << 20)?, &[])?;
        // The newer one's recording makes its files.
        if programs.is_none() {
            for (name, mib) in [("f0.img", 16), ("f1.img", 16), ("f2.img", 1), ("auto.img", 16)] {
                std::fs::File::create(files.join(name))?.set_len(mib << 20)?;
            }
        }
        let replay = Self { mounted, disk, files, programs };
        // The first start says that there are no preferences yet.
        replay.answer("targetcli pwd")?;
        Ok(replay)
    }

    fn answer(&self, command: &str) -> Result<Answer> {
        let files = self.files.display().to_string();
        let command = command.replace(FILES, &files).replace(DISK, &self.disk.path().display().to_string());
        let mut words = self.mounted.lunar_run()?;
        if let Some(programs) = &self.programs {
            let path = std::env::var("PATH").unwrap_or_default();
            words.env("PATH", format!("{}:{path}", programs.display()));
        }
        let output = run(words.args(["sh", "-c", &format!("{{ {command}; }} 2>&1")]), LIMIT)?;
        let said = String::from_utf8(output.stdout)?;
        let dashed = |path: &str| path.trim_start_matches('/').replace('/', "-");
        let mut said = listing::replaced(&said, &files, FILES);
        said = listing::replaced(&said, &dashed(&files), &dashed(FILES));
        said = listing::replaced(&said, &self.disk.path().display().to_string(), DISK);
        if let Some(programs) = &self.programs {
            said = said.replace(&format!("{}/", programs.display()), "");
        }
        // The tool underlines them.
        said = said.replace('\0', "");
        Ok(Answer { lines: said.lines().map(str::to_owned).collect(), status: output.status.code() })
    }

    /// The differences from a recording that are not explained in it, a paragraph each.
    fn differences(&self, recording: &str, deviations: &str) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(workspace().join("tests/tools/transcripts").join(recording))?;
        recording::differences(&text, deviations, |command| self.answer(command))
    }
}

fn deviations() -> Result<String> {
    Ok(std::fs::read_to_string(workspace().join("docs/deviations.md"))?)
}

fn skipped() -> bool {
    let why = mounted::missing_tool()
        .or((!loop_device::available()).then_some("attaching a loop device takes root"));
    if let Some(why) = why {
        println!("skipped: {why}");
    }
    why.is_some()
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "{} differences:\n\n{}", found.len(), found.join("\n\n"));
}

#[test]
fn debians_targetcli_answers_as_recorded_but_for_what_is_explained() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let replay = Replay::begin(None)?;
    let mut found = replay.differences("2.1.53-first.txt", &deviations()?)?;
    found.extend(replay.differences("2.1.53-second.txt", &deviations()?)?);
    none(&found);
    Ok(())
}

#[test]
fn targetcli_of_pypi_answers_as_recorded_but_for_what_is_explained() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let Some(programs) = mounted::newer_targetcli()? else {
        println!("skipped: targetcli {} is not there: cargo xtask setup fetches it", mounted::NEWER);
        return Ok(());
    };
    let replay = Replay::begin(Some(programs))?;
    none(&replay.differences("3.0.2-first.txt", &deviations()?)?);
    Ok(())
}
