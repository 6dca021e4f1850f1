// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real `lunard` in directories of its own.
//!
//! Above: the stories and `cargo xtask demo`.  Below: the program `lunard`.

use crate::deadline::Deadline;
use crate::process::{Process, command};
use crate::programs::built;
use crate::scratch::Scratch;
use crate::shell::Shell;
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::fs::{File, OpenOptions};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// How long a daemon may take until it answers, and until it is gone.
const READY_SECONDS: u64 = 30;

/// A running `lunard`; it ends with this value.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    places: Places,
    quiet: bool,
}

/// Where a daemon keeps what it keeps.
#[derive(Clone, Debug)]
pub struct Places {
    /// Its `--state-dir`.
    pub state: PathBuf,
    /// Its `--runtime-dir`.
    pub runtime: PathBuf,
    /// What it writes to standard error, all runs of it.
    pub log: PathBuf,
    /// The user, and group, it runs as; our own unless said.  Another takes root.
    pub user: Option<u32>,
    /// What it logs (`LUNAR_LOG`), where that is not its default.
    pub level: Option<&'static str>,
    /// The groups of that user besides its own.
    pub groups: Vec<u32>,
    /// More options.
    pub options: Vec<String>,
}

impl Places {
    /// `state`, `run` and `lunard.log` of a scratch directory.  The daemon makes the directories.
    pub fn in_scratch(scratch: &Scratch) -> Self {
        let (state, runtime) = (scratch.join("state"), scratch.join("run"));
        let log = scratch.join("lunard.log");
        Self { state, runtime, log, user: None, groups: Vec::new(), level: None, options: Vec::new() }
    }

    /// `lunard` with these directories, ready for more arguments.
    pub fn command(&self) -> Result<Command> {
        let mut lunard = match self.user {
            None => command(built("lunard")?),
            Some(user) => {
                let mut setpriv = command("setpriv");
                setpriv.args([format!("--reuid={user}"), format!("--regid={user}")]);
                setpriv.args([&groups_option(&self.groups), "--pdeathsig=KILL", "--"]);
                setpriv.arg(self.copied("lunard")?);
                setpriv
            }
        };
        lunard.envs(self.level.map(|level| ("LUNAR_LOG", level)));
        lunard.arg("--state-dir").arg(&self.state).arg("--runtime-dir").arg(&self.runtime);
        lunard.args(&self.options);
        Ok(lunard)
    }

    /// A copy of a program where every user finds it, which may not be so for the folder it was built in.
    fn copied(&self, name: &str) -> Result<PathBuf> {
        let copy = self.log.with_file_name(name);
        // By another process: a child started meanwhile would inherit our descriptor for writing, and a program
        // that is open for writing cannot be run (ETXTBSY).
        let copied = Command::new("cp").arg(built(name)?).arg(&copy).status()?;
        anyhow::ensure!(copied.success(), "cannot make {}", copy.display());
        Ok(copy)
    }

    /// The shell for a daemon at these places.
    pub fn shell(&self) -> Result<Shell> {
        Shell::new(&self.state, &self.runtime)
    }
}

impl Daemon {
    /// Starts one in a scratch directory and returns when it answers.
    pub fn start(scratch: &Scratch) -> Result<Self> {
        Self::start_at(Places::in_scratch(scratch))
    }

    /// Starts one with given places and returns when it answers.
    pub fn start_at(places: Places) -> Result<Self> {
        let process = spawn(&places)?;
        Self::ready(process, places)
    }

    /// The same for one whose standard error goes elsewhere.
    pub fn start_logging(places: Places, log: Stdio) -> Result<Self> {
        let process = Process::spawn(places.command()?.stdout(Stdio::null()).stderr(log))?;
        Self::ready(process, places)
    }

    fn ready(process: Process, places: Places) -> Result<Self> {
        let mut daemon = Self { process, places, quiet: false };
        daemon.wait_until_ready()?;
        Ok(daemon)
    }

    /// Starts it again after it ended, with the same places.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = spawn(&self.places)?;
        self.wait_until_ready()
    }

    /// SIGKILL: it gets no chance to save anything.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill().map(drop)
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        let ended = self.process.wait(Deadline::seconds(READY_SECONDS))?;
        ended.with_context(|| format!("lunard runs on after SIGTERM:\n{}", self.log()))
    }

    /// Does not print the log when the value goes.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The same for one that is borrowed.
    pub fn silence(&mut self) {
        self.quiet = true;
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its directories and log.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The shell that talks to it.
    pub fn shell(&self) -> Result<Shell> {
        self.places.shell()
    }

    /// Where QEMU connects for a target.
    pub fn socket(&self, wwn: &str) -> PathBuf {
        self.places.runtime.join("vhost").join(format!("{wwn}.sock"))
    }

    /// What it has logged so far, over all its runs.
    pub fn log(&self) -> String {
        read_lossy(&self.places.log)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let api = self.places.runtime.join("api.sock");
        Deadline::seconds(READY_SECONDS).until("lunard to answer", || {
            if let Some(status) = self.process.ended()? {
                bail!("lunard ended at once, {status}:\n{}", self.log());
            }
            Ok(UnixStream::connect(&api).ok().map(drop))
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A chance to end as it does for its users; `Process` kills what does not take it.
        let _ = self.process.signal(Signal::TERM);
        let _ = self.process.wait(Deadline::seconds(5));
        if !self.quiet {
            println!("--- lunard logged:\n{}", self.log());
        }
    }
}

/// The option of setpriv for these supplementary groups.
pub fn groups_option(groups: &[u32]) -> String {
    if groups.is_empty() {
        return "--clear-groups".to_owned();
    }
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    format!("--groups={}", groups.join(","))
}

fn spawn(places: &Places) -> Result<Process> {
    let log = append(&places.log)?;
    Process::spawn(places.command()?.stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log)))
}

fn append(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

/// What a file holds now, or nothing; bytes that are no text are replaced.
pub fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
