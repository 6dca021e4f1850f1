// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes that cannot outlive who started them, and what the kernel tells about them.
//!
//! Above: `daemon`, `guest`, `shell`.  Below: `setpriv`, pidfds, `/proc`.

use crate::deadline::Deadline;
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// A command that the kernel ends when the thread that starts it ends, whatever way that goes.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// Runs a command to its end; one that is not done in time is killed, and the error has what it wrote.
///
/// Standard output and standard error come back whole.  The exit status is for the caller to judge.
pub fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::spawn(command)?;
    let stdout = collect(process.child.stdout.take());
    let stderr = collect(process.child.stderr.take());
    let status = process.wait(Deadline::after(limit))?;
    if status.is_none() {
        process.kill()?;
    }
    let (stdout, stderr) = (gathered(stdout), gathered(stderr));
    match status {
        Some(status) => Ok(Output { status, stdout, stderr }),
        None => bail!(
            "{command:?} is not done after {limit:?}; it wrote:\n{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        ),
    }
}

/// Runs a command that must succeed and returns its standard output.
pub fn run_well(command: &mut Command, limit: Duration) -> Result<Vec<u8>> {
    let output = run(command, limit)?;
    if !output.status.success() {
        bail!(
            "{command:?} failed, {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(output.stdout)
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before a failure is what there is to show.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn gathered(collector: JoinHandle<Vec<u8>>) -> Vec<u8> {
    collector.join().unwrap_or_default()
}

/// One running child; killed and reaped on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts it.  The command says where its streams go.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { child, pid, pidfd, ended: None }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).context("no pidfd for a child")
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends or the deadline passes.
    pub fn wait(&mut self, deadline: Deadline) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let left = Timespec::try_from(deadline.remaining()).context("a deadline in reach")?;
            let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
            if poll(&mut ended, Some(&left)).context("cannot wait for a child")? > 0 {
                self.ended = Some(self.child.wait().context("cannot reap a child")?);
            }
        }
        Ok(self.ended)
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.wait(Deadline::after(Duration::ZERO))
    }

    /// Sends it a signal; one that has ended gets none.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.ended.is_none() {
            kill_process(self.pid, signal).context("cannot send a signal")?;
        }
        Ok(())
    }

    /// SIGKILL to one that a file system keeps: waits until its first thread has ended, which shows that it is dying.
    pub fn kill_what_is_kept(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        let stat = format!("/proc/{}/stat", self.id());
        Deadline::seconds(60).until("the end of the first thread", || {
            Ok(std::fs::read_to_string(&stat)?.contains(") Z ").then_some(()))
        })
    }

    /// Ends it with SIGKILL and waits for that.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        self.child.kill().context("cannot kill a child")?;
        let status = self.child.wait().context("cannot reap a child")?;
        self.ended = Some(status);
        Ok(status)
    }

    /// Ends it and all that it started, directly or not, with SIGKILL.
    pub fn kill_all(&mut self) -> Result<ExitStatus> {
        // Those that are started meanwhile escape; what starts them is killed first.
        let all = descendants(self.id());
        let status = self.kill()?;
        for pid in all.into_iter().filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(status)
    }

    /// Bytes of anonymous memory it has resident: `RssAnon`, which leaves out what it shares with a guest.
    pub fn rss_anon_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        rss_anon_of(&status).with_context(|| format!("no RssAnon in {path}"))
    }

    /// Clock ticks (10 ms each) of CPU time it has used, user and system, all its threads.
    pub fn cpu_ticks(&self) -> Result<u64> {
        let path = format!("/proc/{}/stat", self.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        cpu_ticks_of(&stat).with_context(|| format!("cannot understand {path}"))
    }

    /// What it does in that time.
    pub fn watch(&self, time: Duration) -> Result<Doings> {
        let (sleeps, ticks) = (self.sleeps()?, self.cpu_ticks()?);
        // The length of this sleep is what is measured, and not a hope.
        std::thread::sleep(time);
        Ok(Doings { wakes: self.sleeps()?.since(&sleeps), ticks: self.cpu_ticks()? - ticks })
    }

    /// The same, and once more where it used more processor time than so many ticks: a cold memory and a busy neighbour add
    /// to that, and nothing takes from it.  Wake-ups are those of the time with the most.
    pub fn watch_at_rest(&self, time: Duration, ticks: u64) -> Result<Doings> {
        let mut did = self.watch(time)?;
        for _ in 1..WATCHED_TIMES_MAX {
            if did.ticks > ticks {
                let again = self.watch(time)?;
                did = Doings { wakes: did.wakes.max(again.wakes), ticks: did.ticks.min(again.ticks) };
            }
        }
        Ok(did)
    }

    fn sleeps(&self) -> Result<Sleeps> {
        let path = format!("/proc/{}/task", self.id());
        let threads = std::fs::read_dir(&path).with_context(|| format!("cannot list {path}"))?;
        let ids = threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse().ok());
        // A thread may end while it is looked for.
        let sleeps = |id| std::fs::read_to_string(format!("{path}/{id}/status")).ok();
        Ok(Sleeps(ids.filter_map(|id: u32| Some((id, sleeps_of(&sleeps(id)?)?))).collect()))
    }
}

/// How often one is watched that is to rest.
const WATCHED_TIMES_MAX: u32 = 3;

/// How long one that is dropped may take to go after SIGKILL.
const KILLED_SECONDS: u64 = 10;

/// What a process did while it was watched.
#[derive(Clone, Copy, Debug)]
pub struct Doings {
    /// How often one of its threads was woken up.  The machine has no part in it, and so it may be bounded closely.
    pub wakes: u64,
    /// Clock ticks (10 ms each) of CPU time.  A machine whose memory is cold takes many times that of a warm one for the
    /// same.
    pub ticks: u64,
}

/// How often each thread of a process has gone to sleep by itself: once for each time that it was woken up.
#[derive(Debug)]
struct Sleeps(BTreeMap<u32, u64>);

impl Sleeps {
    /// How often the threads that live now have done so since then.
    fn since(&self, then: &Self) -> u64 {
        self.0.iter().map(|(id, sleeps)| sleeps - then.0.get(id).copied().unwrap_or(0)).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.signal(Signal::KILL);
        // What the kernel does not let go, because a file system hangs below it, is left behind: the story has failed, and
        // is not to hang.
        let _ = self.wait(Deadline::seconds(KILLED_SECONDS));
    }
}

/// The processes that one started and that these started, the older before the younger.
fn descendants(id: u32) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pairs: Vec<(u32, u32)> = ids.filter_map(|id| Some((id, parent_of(id)?))).collect();
    let mut found = vec![id];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found.remove(0);
    found
}

fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // proc(5): the parent is the second field after the name.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn rss_anon_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn sleeps_of(status: &str) -> Option<u64> {
    // proc_pid_status(5).  Those against its will are the machine's.
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
}

fn cpu_ticks_of(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses and may hold anything: count from its end.
    // proc(5): utime is field 14 and stime 15, so 11 and 12 of those that follow the name.
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_returns_both_streams_and_the_status() -> Result<()> {
        let mut script = command("sh");
        script.args(["-c", "echo out; echo err >&2; exit 3"]);
        let output = run(&mut script, Duration::from_secs(60))?;
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(3));
        Ok(())
    }

    #[test]
    fn run_kills_what_is_not_done_and_shows_what_it_wrote() {
        let mut script = command("sh");
        script.args(["-c", "echo begun; exec sleep 1000"]);
        let error = run(&mut script, Duration::from_millis(300)).unwrap_err().to_string();
        assert!(error.ends_with("is not done after 300ms; it wrote:\nbegun\n"), "{error}");
    }

    #[test]
    fn a_process_ends_with_its_value() -> Result<()> {
        let process = Process::spawn(command("sleep").arg("1000"))?;
        let proc = format!("/proc/{}", process.id());
        assert!(std::path::Path::new(&proc).exists());
        drop(process);
        assert!(!std::path::Path::new(&proc).exists());
        Ok(())
    }

    #[test]
    fn kill_all_ends_what_a_process_started() -> Result<()> {
        let mut shell = Process::spawn(command("sh").args(["-c", "sh -c 'sleep 1000; true'; true"]))?;
        let sleep = Deadline::seconds(60).until("two descendants", || {
            let found = descendants(shell.id());
            Ok((found.len() == 2).then(|| found[1]))
        })?;
        shell.kill_all()?;
        Deadline::seconds(60).until("the end of the last", || {
            // Whoever inherits it may not have reaped it yet: a zombie has ended.
            let stat = std::fs::read_to_string(format!("/proc/{sleep}/stat")).unwrap_or_default();
            Ok((stat.is_empty() || stat.contains(") Z ")).then_some(()))
        })
    }

    #[test]
    fn rss_anon_is_read_in_bytes() {
        assert_eq!(
            rss_anon_of("VmRSS:\t  9000 kB\nRssAnon:\t    1204 kB\nRssFile:\t 1 kB\n"),
            Some(1_232_896)
        );
        assert_eq!(rss_anon_of("VmRSS:\t  9000 kB\n"), None);
    }

    #[test]
    fn sleeps_are_those_of_its_own_will_and_of_threads_that_are_there() {
        let status = "Threads:\t1\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n";
        assert_eq!(sleeps_of(status), Some(150));
        let [then, now] = [[(1, 7), (2, 9)], [(1, 10), (3, 4)]].map(|all| Sleeps(all.into()));
        assert_eq!(now.since(&then), 7);
    }

    #[test]
    fn cpu_ticks_survive_a_name_with_parentheses() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0 100 1000 10\n";
        assert_eq!(cpu_ticks_of(stat), Some(42));
    }
}
