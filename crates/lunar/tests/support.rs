// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon of one target, made for tests; the program as it is started; a terminal.
//!
//! Above: `program`.  Below: the built `lunar`.
//! Never here: an expectation.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use tempfile::TempDir;

/// One file, shown as LUN 0 of the target port groups 3 and 7; the group 2 shows it as LUN 1.
const CONFIG: &str = r#"{
  "backstores": [{
    "kind": "fileio", "name": "disk0", "path": "/srv/disk0.img", "unit_serial": "x", "size_bytes": 1048576,
    "block_bytes": 512, "read_only": false, "write_back": true, "nullio": false, "state": "activated",
    "attributes": {}
  }],
  "targets": [{
    "wwn": "naa.500140568720f76f", "socket": "/run/lunar/vhost/naa.500140568720f76f.sock", "connected": false,
    "tpgs": [
      {"tag": 2, "nexus": "naa.5001405000000002", "luns": [
        {"lun": 1, "backstore": {"kind": "fileio", "name": "disk0"}, "alias": "0123456789", "write_protect": false}]},
      {"tag": 3, "nexus": "naa.5001405000000003", "luns": [
        {"lun": 0, "backstore": {"kind": "fileio", "name": "disk0"}, "alias": "0123456789", "write_protect": false}]},
      {"tag": 7, "nexus": "naa.5001405000000007", "luns": [
        {"lun": 0, "backstore": {"kind": "fileio", "name": "disk0"}, "alias": "0123456789", "write_protect": false}]}
    ]
  }]
}"#;

/// Answers every request with [`CONFIG`], as long as the test runs.
pub(crate) struct Daemon {
    directory: TempDir,
}

/// What a run of the program left.
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// What becomes of what is written to a stream.
pub(crate) enum Stream {
    Read,
    /// A pipe whose reader has ended.
    Gone,
    /// There is none: `>&-`.
    Closed,
    /// A disk without room.
    Full,
}

/// Where the two streams lead.
pub(crate) struct Left {
    pub(crate) out: Stream,
    pub(crate) err: Stream,
}

impl Stream {
    fn end(&self) -> Stdio {
        match self {
            Self::Read => Stdio::piped(),
            Self::Gone => Stdio::from(std::io::pipe().expect("a pipe").1),
            // A shell closes it.
            Self::Closed => Stdio::null(),
            Self::Full => Stdio::from(OpenOptions::new().write(true).open("/dev/full").expect("opened")),
        }
    }

    fn redirection(&self, number: u8) -> String {
        if matches!(self, Self::Closed) { format!(" {number}>&-") } else { String::new() }
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn check(&self, status: i32, out: &str, err: &str) {
        assert_eq!((self.out.as_str(), self.err.as_str()), (out, err));
        assert_eq!(self.status, status);
    }
}

/// Runs the program with a home of its own and nothing to read.
pub(crate) fn lunar(arguments: &[&str]) -> Run {
    let home = tempfile::tempdir().expect("a directory");
    finish(start(&home, arguments), "")
}

fn start(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunar"));
    command.args(arguments).env_clear().env("HOME", home.path()).env("TERM", "xterm");
    command
}

fn finish(command: Command, input: &str) -> Run {
    finish_leaving(command, input, &Left { out: Stream::Read, err: Stream::Read })
}

fn finish_leaving(mut command: Command, input: &str, left: &Left) -> Run {
    command.stdin(Stdio::piped()).stdout(left.out.end()).stderr(left.err.end());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that stops at an error does not read the rest.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    Run {
        status: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("api.sock")).expect("a socket");
        thread::spawn(move || listener.incoming().flatten().for_each(answer));
        Self { directory }
    }

    pub(crate) fn lunar(&self, arguments: &[&str]) -> Run {
        self.lunar_reads(arguments, "")
    }

    pub(crate) fn lunar_reads(&self, arguments: &[&str], input: &str) -> Run {
        finish(self.command(arguments), input)
    }

    /// The same with a variable of the environment.
    pub(crate) fn lunar_with(&self, arguments: &[&str], (name, value): (&str, &str)) -> Run {
        let mut command = self.command(arguments);
        command.env(name, value);
        finish(command, "")
    }

    /// The same with streams that may lead nowhere.
    pub(crate) fn lunar_left(&self, arguments: &[&str], input: &str, left: Left) -> Run {
        let line = format!("exec \"$0\" \"$@\"{}{}", left.out.redirection(1), left.err.redirection(2));
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &line, env!("CARGO_BIN_EXE_lunar")]).args(arguments);
        shell.env_clear().env("HOME", self.directory.path()).env("TERM", "xterm");
        shell.env("LUNAR_RUNTIME_DIR", self.directory.path());
        finish_leaving(shell, input, &left)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = start(&self.directory, arguments);
        command.env("LUNAR_RUNTIME_DIR", self.directory.path());
        command
    }

    /// The shell on a terminal of 80 columns.
    pub(crate) fn terminal(&self) -> Terminal {
        self.on_terminal(&[])
    }

    /// The shell on a terminal of another sort.
    pub(crate) fn terminal_called(&self, name: &str) -> Terminal {
        let mut command = self.command(&[]);
        command.env("TERM", name);
        Self::run_on_terminal(command)
    }

    /// The program on such a terminal.
    pub(crate) fn on_terminal(&self, arguments: &[&str]) -> Terminal {
        Self::run_on_terminal(self.command(arguments))
    }

    /// Another program that finds ours, on such a terminal.
    pub(crate) fn other_on_terminal(&self, program: &str, arguments: &[&str]) -> Terminal {
        let ours = std::path::Path::new(env!("CARGO_BIN_EXE_lunar")).parent().expect("a directory").display();
        // The terminal must be its own, or it has no keys.
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait", program])
            .args(arguments)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("TERM", "xterm");
        command.env("PATH", format!("{ours}:/usr/bin:/bin")).env("LUNAR_RUNTIME_DIR", self.directory.path());
        Self::run_on_terminal(command)
    }

    fn run_on_terminal(mut command: Command) -> Terminal {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        tcsetwinsize(&ours, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).expect("sized");
        let name = ptsname(&ours, Vec::new()).expect("named");
        let theirs = OpenOptions::new().read(true).write(true).open(OsStr::from_bytes(name.as_bytes()));
        let theirs = theirs.expect("opened");
        let stream = || Stdio::from(theirs.try_clone().expect("a copy"));
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().expect("the program starts");
        // It keeps copies of its end of the terminal, which must be the program's alone.
        drop(command);
        Terminal { ours: File::from(ours), child, seen: Vec::new() }
    }

    /// What the shell remembered of the lines typed.
    pub(crate) fn history(&self) -> String {
        std::fs::read_to_string(self.directory.path().join(".local/state/lunar/history")).expect("a history")
    }
}

/// What applying any file would do, and did.
const COMPARED: &str = r#"{"generation": "g-1", "applied": false, "guests_lose": [], "notes": [], "differences": [
  {"action": "delete", "path": "/backstores/fileio/disk0", "values": []}]}"#;

fn answer(mut stream: UnixStream) {
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    let _ = reader.read_exact(&mut body);
    let text = if head.starts_with("POST /v1/apply?") { COMPARED } else { CONFIG };
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
}

/// How long a terminal may be silent before the test fails.
const PATIENCE_SECONDS: i64 = 30;

/// A program on a terminal.
pub(crate) struct Terminal {
    ours: File,
    child: Child,
    seen: Vec<u8>,
}

impl Terminal {
    pub(crate) fn write(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).expect("typed");
    }

    /// Reads until `text` has come, and forgets what came up to its end.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        loop {
            if let Some(at) = self.seen.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.seen.drain(..at + text.len());
                return;
            }
            let patience = Timespec { tv_sec: PATIENCE_SECONDS, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.ours, PollFlags::IN)], Some(&patience)).expect("polled");
            assert!(ready > 0, "{text:?} did not come after {:?}", String::from_utf8_lossy(&self.seen));
            let mut bytes = [0; 1024];
            match self.ours.read(&mut bytes) {
                Ok(count) if count > 0 => self.seen.extend_from_slice(&bytes[..count]),
                ended => {
                    panic!("{text:?} did not come: {ended:?} after {:?}", String::from_utf8_lossy(&self.seen))
                }
            }
        }
    }

    /// Gives the terminal another size; the program may be told by a signal or look for itself.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.ours, size).expect("sized");
    }

    /// Takes the terminal away; the program must end by itself.
    #[track_caller]
    pub(crate) fn hang_up(self) {
        let Self { ours, mut child, .. } = self;
        let id = Pid::from_child(&child);
        let ended = pidfd_open(id, PidfdFlags::empty()).expect("a program");
        drop(ours);
        let patience = Timespec { tv_sec: PATIENCE_SECONDS, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&patience)).expect("polled");
        if ready == 0 {
            child.kill().expect("killed");
        }
        child.wait().expect("the program ends");
        assert!(ready > 0, "the program went on without a terminal");
    }

    pub(crate) fn end(mut self) -> i32 {
        self.child.wait().expect("the program ends").code().expect("no signal")
    }
}
