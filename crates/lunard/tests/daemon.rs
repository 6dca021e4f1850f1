// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon in a process of its own.
//!
//! Above: the tests beside this file.  Below: the program.
//! Never here: a claim.
#![allow(dead_code, reason = "each test file uses a part")]

use api::Client;
use api::v1::{Change, CreateBackstore};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A user that owns nothing.
pub(crate) const NOBODY: u32 = 65534;

pub(crate) fn lunard(scratch: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunard"));
    command.env_clear().arg("--state-dir").arg(scratch.join("state"));
    command.arg("--runtime-dir").arg(scratch.join("run"));
    command
}

/// A daemon that has said it is ready.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) notify: UnixDatagram,
    pub(crate) scratch: PathBuf,
}

impl Daemon {
    pub(crate) fn start(scratch: &Path) -> Self {
        Self::start_command(scratch, lunard(scratch))
    }

    pub(crate) fn start_command(scratch: &Path, command: Command) -> Self {
        Self::start_logging(scratch, command, Stdio::piped())
    }

    pub(crate) fn start_logging(scratch: &Path, mut command: Command, log: Stdio) -> Self {
        let path = scratch.join("notify.sock");
        let _ = std::fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        notify.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let child = command.env("NOTIFY_SOCKET", &path).stderr(log).spawn().unwrap();
        let daemon = Self { child, notify, scratch: scratch.to_owned() };
        assert_eq!(daemon.notified(), "READY=1");
        daemon
    }

    /// The next state that it notifies of; lines of status are for people.
    pub(crate) fn notified(&self) -> String {
        let mut text = [0; 256];
        loop {
            let bytes = self.notify.recv(&mut text).expect("the daemon notifies its service manager");
            let text = String::from_utf8(text[..bytes].to_vec()).unwrap();
            let is_state = |line: &&str| !line.starts_with("STATUS=") && !line.starts_with("EXTEND_");
            if let Some(state) = text.lines().find(is_state) {
                return state.to_owned();
            }
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.scratch.join("run")).unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Ends it; returns the exit status and its log.
    pub(crate) fn end(self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        self.ended()
    }

    /// Waits for its end; returns the exit status and its log, where it is not written to elsewhere.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let mut log = String::new();
        if let Some(mut lines) = self.child.stderr.take() {
            lines.read_to_string(&mut log).unwrap();
        }
        (status.code(), log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn ramdisk(name: &str) -> Change {
    Change::CreateBackstore(CreateBackstore::Ramdisk {
        name: name.to_owned(),
        size_bytes: 4096,
        nullio: false,
        unit_serial: None,
    })
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The program, run by nobody, who may not enter the directory where it was built.
pub(crate) fn as_nobody(scratch: &Path) -> Command {
    let program = scratch.join("lunard");
    // By another process: a child that another test starts at this moment would inherit our descriptor for
    // writing, and a program that is open for writing cannot be run (ETXTBSY).
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_lunard")).arg(&program).status().unwrap();
    assert!(copied.success());
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    command.env_clear().uid(NOBODY).gid(NOBODY);
    command
}
