// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon waits for one that was killed and still has what it locked.
//!
//! Above: nothing.  Below: the program.
//! Never here: one that lives; `starts` has that.

mod daemon;

use daemon::{Daemon, lunard};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that was killed, and something that it left behind which keeps its lock.
struct Dead {
    killed: Child,
    left: String,
}

impl Dead {
    fn with(locked: &Path) -> Self {
        let mut command = Command::new("flock");
        command.arg(locked).args(["sh", "-c", "echo $$; exec sleep 600"]).stdout(Stdio::piped());
        let mut killed = command.stderr(Stdio::null()).spawn().unwrap();
        let mut left = String::new();
        BufReader::new(killed.stdout.take().unwrap()).read_line(&mut left).unwrap();
        killed.kill().unwrap();
        Self { killed, left: left.trim().to_owned() }
    }
}

/// It has gone at last, however the test ends.
impl Drop for Dead {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.left]).status();
        let _ = self.killed.wait();
    }
}

/// A daemon that is killed, however the test ends.
struct Successor(Child);

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_was_killed_and_is_not_gone_is_waited_for_whatever_he_has() {
    // Elsewhere may be a file system of layers, whose files have other numbers for the kernel than for others.
    let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
    assert_eq!(Daemon::start(scratch.path()).end("TERM").0, Some(0));
    for locked in ["state", "run", "state/lunar.redb"] {
        let dead = Dead::with(&scratch.path().join(locked));
        let mut daemon = Successor(lunard(scratch.path()).stderr(Stdio::piped()).spawn().unwrap());
        let mut log = BufReader::new(daemon.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        let told = log.next().unwrap();
        let line = format!(
            " WARN another lunard was killed and is not gone: process {} waits for a disk that does not answer; waiting for \
             it, 25 seconds at most for each directory and the database",
            dead.killed.id()
        );
        assert!(told.ends_with(&line), "{locked}: {told}");
        drop(dead);
        assert!(log.any(|line| line.contains("serving ")), "{locked}");
        assert!(Command::new("kill").arg(daemon.0.id().to_string()).status().unwrap().success());
        assert!(log.all(|line| !line.contains("was killed")), "it is said once");
        assert_eq!(daemon.0.wait().unwrap().code(), Some(0));
    }
}
