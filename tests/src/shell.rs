// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real `lunar`, as an administrator types it.
//!
//! Above: the stories and `cargo xtask demo`.  Below: the program `lunar`.

use crate::deadline::Deadline;
use crate::guest::qemu_version;
use crate::process::{command, run};
use crate::programs::built;
use anyhow::{Result, bail, ensure};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long one invocation may take.
const SHELL_LIMIT: Duration = Duration::from_secs(60);

/// The first QEMU that counts the time until it connects again in milliseconds.
const RECONNECTS_IN_MILLISECONDS: (u32, u32) = (9, 2);

/// What one invocation of `lunar` answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The exit status; -1 where a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// `lunar` with the directories of one daemon, whether that runs or not.
#[derive(Clone, Debug)]
pub struct Shell {
    program: PathBuf,
    state: PathBuf,
    runtime: PathBuf,
}

impl Shell {
    /// The shell for a daemon with these directories.
    pub fn new(state: &Path, runtime: &Path) -> Result<Self> {
        Ok(Self { program: built("lunar")?, state: state.to_path_buf(), runtime: runtime.to_path_buf() })
    }

    /// One command, one argument a word, as `lunar /vhost create`.
    pub fn run(&self, words: &[&str]) -> Result<Answer> {
        answer(self.command().args(words))
    }

    /// One command in one string, split at spaces; it must succeed.  Returns what it printed.
    pub fn well(&self, line: &str) -> Result<String> {
        let answer = self.run(&line.split_ascii_whitespace().collect::<Vec<_>>())?;
        if answer.status != 0 {
            bail!("`lunar {line}` ended with {}: {}{}", answer.status, answer.stdout, answer.stderr);
        }
        Ok(answer.stdout)
    }

    /// The same for what is refused as long as a guest is connected: that one has left is seen a moment later.
    pub fn well_once_guests_have_left(&self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let what = format!("guests to have left, so that `lunar {line}` is done");
        Deadline::after(SHELL_LIMIT).until(&what, || {
            let answer = self.run(&words)?;
            if answer.status == 0 {
                return Ok(Some(answer.stdout));
            }
            let is_for_a_guest =
                ["in use by a guest", "connected"].iter().any(|why| answer.stderr.contains(why));
            ensure!(is_for_a_guest, "`lunar {line}` ended with {}: {}", answer.status, answer.stderr);
            Ok(None)
        })
    }

    /// Lines from standard input, after the given options.
    pub fn batch(&self, options: &[&str], lines: &str) -> Result<Answer> {
        let mut input = tempfile::tempfile()?;
        input.write_all(lines.as_bytes())?;
        input.rewind()?;
        answer(self.command().args(options).stdin(Stdio::from(input)))
    }

    /// The options of QEMU that `lunar qemu` prints for a target, as the host's shell would split them.
    pub fn qemu(&self, wwn: &str, options: &[&str]) -> Result<Vec<String>> {
        self.qemu_of_version(wwn, qemu_version()?, options)
    }

    /// The same for a QEMU that is not the one installed.
    pub fn qemu_of_version(
        &self,
        wwn: &str,
        (major, minor): (u32, u32),
        options: &[&str],
    ) -> Result<Vec<String>> {
        let mut words = vec!["qemu", wwn];
        words.extend(options);
        // Said only where it matters, so that the stories type what users do.
        let version = format!("{major}.{minor}");
        if (major, minor) < RECONNECTS_IN_MILLISECONDS {
            words.extend(["--qemu-version", &version]);
        }
        let answer = self.run(&words)?;
        if answer.status != 0 {
            bail!("`lunar qemu {wwn}` ended with {}: {}", answer.status, answer.stderr);
        }
        Ok(answer.stdout.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// Makes a target, with `tpg1`, and returns the name that was chosen for it.
    pub fn create_target(&self) -> Result<String> {
        let said = self.well("/vhost create")?;
        let name = said.lines().find_map(|line| line.strip_prefix("Created target ")?.strip_suffix('.'));
        match name {
            Some(name) => Ok(name.to_owned()),
            None => bail!("`lunar /vhost create` names no target: {said}"),
        }
    }

    /// `lunar` itself, ready for arguments.  What a user keeps at home goes beside the daemon's state.
    pub fn command(&self) -> Command {
        let mut lunar = command(&self.program);
        lunar.env("LUNAR_STATE_DIR", &self.state).env("LUNAR_RUNTIME_DIR", &self.runtime);
        lunar.env("HOME", self.state.parent().unwrap_or(&self.state));
        lunar
    }
}

/// Options of `lunar qemu` without those about memory: what a second target adds to a guest.
pub fn device_options(options: &[String]) -> Vec<String> {
    let pairs = options.chunks(2).filter(|pair| pair[0] == "-chardev" || pair[0] == "-device");
    pairs.flatten().cloned().collect()
}

fn answer(command: &mut Command) -> Result<Answer> {
    let output = run(command, SHELL_LIMIT)?;
    Ok(Answer {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_options_leave_memory_to_the_first_target() {
        let printed =
            "-m 1G -object memory-backend-memfd,id=m -numa node,memdev=m -chardev socket,id=a -device b";
        let options: Vec<String> = printed.split(' ').map(str::to_owned).collect();
        assert_eq!(device_options(&options), ["-chardev", "socket,id=a", "-device", "b"]);
    }
}
