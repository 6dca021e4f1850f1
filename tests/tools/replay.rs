// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recorded sessions of LIO's own tools, command by command, with the same tools on Lunar.
//!
//! `transcripts/` has what each command answered, in the form of `stories::recording`.

use anyhow::Result;
use std::path::PathBuf;
use std::time::Duration;
use stories::loop_device::{self, LoopDevice};
use stories::mounted::{self, Mounted};
use stories::process::run;
use stories::programs::workspace;
use stories::recording::{self, Answer, CHOSEN};

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
        let mut said = said.replace(&files, FILES).replace(&dashed(&files), &dashed(FILES));
        said = said.replace(&self.disk.path().display().to_string(), DISK);
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
        recording::differences(&text, deviations, masked, |command| self.answer(command))
    }
}

/// The lines without what is made up or depends on the length of a path.  The lines of a tree are sorted, because
/// names that are made up are.
fn masked(lines: &[String]) -> Vec<String> {
    let mut masked: Vec<String> = lines.iter().map(|line| mask(line)).collect();
    if lines.iter().any(|line| line.trim_start().starts_with("o- ") || line.contains("> o- ")) {
        for line in &mut masked {
            *line = line.trim_start_matches(['|', ' ']).to_owned();
        }
        masked.sort();
    }
    masked
}

fn mask(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.trim_end().split(' ') {
        let core = word.trim_matches(['[', ']', ',', '.', '(', ')']);
        let chosen = CHOSEN.contains(&core);
        if word.len() > 2 && word.bytes().all(|byte| byte == b'.') {
            words.push("..".to_owned());
        } else if core.starts_with("naa.5001405") && !chosen {
            words.push(word.replace(core, "NAME"));
        } else if is_uuid(core) {
            words.push("UUID".to_owned());
        } else {
            words.push(word.to_owned());
        }
    }
    let line = words.join(" ");
    match line.strip_prefix("alias: ") {
        Some(alias) if alias.len() == 10 => "alias: ALIAS".to_owned(),
        _ => line,
    }
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36 && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
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

#[test]
fn a_name_that_was_made_up_and_the_length_of_a_path_are_hidden() {
    assert_eq!(mask("o- naa.5001405000000001 .... [naa.5001405147d17c1e, x]"), "o- NAME .. [NAME, x]");
    assert_eq!(mask("o- naa.500140568720f76f .."), "o- naa.500140568720f76f ..");
}
