// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs programs of the host within a time limit, their output in plain sight.
//!
//! Above: the chores.  Below: `stories::process`.

use anyhow::{Result, bail};
use std::process::Command;
use std::time::Duration;
use stories::deadline::Deadline;
use stories::process::Process;

/// Runs a command to its end; what it prints goes where ours goes.  A failure is an error.
pub(crate) fn visibly(command: &mut Command, limit: Duration) -> Result<()> {
    let mut process = Process::spawn(command)?;
    match process.wait(Deadline::after(limit))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("{} failed, {status}", describe(command)),
        None => {
            process.kill_all()?;
            bail!("{} is not done after {} s", describe(command), limit.as_secs())
        }
    }
}

/// The command line as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    // What ties a command to our life is no part of what one would type.
    if let [setpriv, _, _, _, ..] = words.as_slice()
        && setpriv == "setpriv"
    {
        words.drain(..4);
    }
    if let Some(program) = words.first_mut()
        && let Some((_, name)) = program.rsplit_once('/')
    {
        *program = name.to_owned();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use stories::process::command;

    #[test]
    fn a_failure_names_the_command_as_typed() {
        let error = visibly(command("/bin/sh").args(["-c", "exit 7"]), Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.to_string(), "sh -c exit 7 failed, exit status: 7");
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let error = visibly(command("sleep").arg("1000"), Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.to_string(), "sleep 1000 is not done after 0 s");
    }
}
