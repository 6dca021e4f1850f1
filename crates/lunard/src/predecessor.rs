// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that was killed and is not gone yet.
//!
//! Above: `directories`, which finds its directories locked.  Below: `/proc`.
//! Never here: a process that lives.
//!
//! A process that is killed while the kernel works for it, on a file system that does not answer, keeps all it has
//! open until that has ended: its locks, and its guests' connections too.  Nothing can be served before, and a
//! daemon that is told to start waits for it, for a while, instead of failing at once.

use rustix::fs::{FlockOperation, flock, major, minor};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};
use tracing::warn;

/// How often it is looked whether it has gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long one waits for what it has locked.  That may be two directories and the database, and a service manager waits for 90
/// seconds: `TimeoutStartSec=` of the unit.
const PATIENCE: Duration = Duration::from_secs(25);

/// SIGKILL in a mask of signals.
const SIGKILL_BIT: u64 = 1 << 8;
/// The kernel's `PF_EXITING` and `PF_SIGNALED`.
const IS_ENDING: u64 = 0x4 | 0x400;

/// Who has locked something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A process that lives, or nobody knows.
    Lives,
    /// This process, which was killed and has not gone for [`PATIENCE`].
    Dying(u32),
}

/// Why a directory is not locked.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Somebody has it.
    By(Holder),
    /// The system says so.
    System(Errno),
}

/// Locks a directory.  Waits for a process that has it and is dying.
pub(crate) fn lock(directory: &File) -> Result<(), NotLocked> {
    let metadata = directory
        .metadata()
        .map_err(|err| NotLocked::System(Errno::from_io_error(&err).unwrap_or(Errno::IO)))?;
    let attempt = || match flock(directory, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => None,
        done => Some(done),
    };
    wait(&metadata, attempt).map_err(NotLocked::By)?.map_err(NotLocked::System)
}

/// Tries until a file is not locked, as long as the process that has it is dying.  `attempt` gives `None` where it is locked.
pub(crate) fn wait<T>(locked: &Metadata, attempt: impl FnMut() -> Option<T>) -> Result<T, Holder> {
    wait_for(PATIENCE, || holder(locked), is_dying, attempt)
}

fn wait_for<T>(
    patience: Duration,
    holder: impl Fn() -> Option<u32>,
    is_dying: impl Fn(u32) -> bool,
    mut attempt: impl FnMut() -> Option<T>,
) -> Result<T, Holder> {
    let (begun, mut told) = (Instant::now(), false);
    loop {
        if let Some(done) = attempt() {
            return Ok(done);
        }
        let Some(holder) = holder() else {
            // It may have gone between the two looks.
            return attempt().ok_or(Holder::Lives);
        };
        if !is_dying(holder) {
            return Err(Holder::Lives);
        }
        if begun.elapsed() >= patience {
            return Err(Holder::Dying(holder));
        }
        if !std::mem::replace(&mut told, true) {
            warn!(
                "another lunard was killed and is not gone: process {holder} waits for a disk that does not answer; \
                 waiting for it, {} seconds at most for each directory and the database",
                patience.as_secs()
            );
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// The process that has a file locked, if the kernel says so.
fn holder(locked: &Metadata) -> Option<u32> {
    let (device, inode) = (locked.dev(), locked.ino());
    let place = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    holder_in(&std::fs::read_to_string("/proc/locks").ok()?, &place)
}

/// `12: FLOCK  ADVISORY  WRITE 4711 fe:00:9243 0 EOF`; one that waits has `->` after its number.
fn holder_in(locks: &str, place: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, pid) = (words.next()?, words.nth(2)?);
        (kind == "FLOCK" && words.next()? == place).then(|| pid.parse().ok())?
    })
}

/// Whether a process is killed, or gone.
fn is_dying(process: u32) -> bool {
    let read = |file| std::fs::read_to_string(format!("/proc/{process}/{file}"));
    let (Ok(stat), Ok(status)) = (read("stat"), read("status")) else { return true };
    says_dying(&stat, &status)
}

/// What `/proc` says of a process that is killed: its first thread has ended, and others have not; or is on its way to; or waits
/// for a disk, and SIGKILL for it.
fn says_dying(stat: &str, status: &str) -> bool {
    // The name is in brackets and may hold anything.
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    let (state, flags) = (fields.next(), fields.nth(5).and_then(|flags| flags.parse::<u64>().ok()));
    let is_killed = |line: &str| {
        let pending = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"));
        let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        pending.is_some_and(|mask| mask & SIGKILL_BIT != 0)
    };
    matches!(state, Some("Z" | "X"))
        || flags.is_some_and(|flags| flags & IS_ENDING != 0)
        || status.lines().any(is_killed)
}

#[cfg(test)]
mod tests {
    use super::{Holder, holder, holder_in, is_dying, says_dying, wait_for};
    use rustix::fs::{FlockOperation, flock};
    use std::cell::Cell;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn the_holder_of_a_lock_is_found_by_its_place() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:00:5 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 22 fe:00:6 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 33 fe:00:5 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 44 fe:00:5 0 EOF\n";
        assert_eq!(holder_in(locks, "fe:00:5"), Some(44));
        assert_eq!(holder_in(locks, "fe:00:6"), Some(22));
        assert_eq!(holder_in(locks, "fe:01:6"), None);
        assert_eq!(holder_in("nonsense", "fe:01:6"), None);
    }

    #[test]
    fn a_process_that_runs_is_not_dying() {
        assert!(!is_dying(std::process::id()));
    }

    #[test]
    fn a_process_that_is_killed_is_known_by_any_of_its_marks() {
        // Its name is `a) Z (b`; 4194304 is PF_RANDOMIZE, 4000 SIGTERM.
        let stat = |state: &str, flags: u32| format!("4711 (a) Z (b) {state} 1 4711 4711 0 -1 {flags} 12 0");
        let status = |thread: &str, shared: &str| {
            format!(
                "Name:\ta) Z (b\nState:\tD (disk sleep)\nSigQ:\t0/3770\nSigPnd:\t{thread}\nShdPnd:\t{shared}\n"
            )
        };
        let (none, term, kill) = ("0000000000000000", "0000000000004000", "0000000000000100");
        assert!(!says_dying(&stat("S", 4_194_304), &status(none, none)));
        assert!(!says_dying(&stat("D", 4_194_304), &status(term, term)), "told to end, and a disk");
        assert!(says_dying(&stat("D", 4_194_304), &status(kill, none)));
        assert!(says_dying(&stat("D", 4_194_304), &status(none, kill)));
        assert!(says_dying(&stat("D", 4_194_308), &status(none, none)), "it ends");
        assert!(says_dying(&stat("D", 4_195_328), &status(none, none)), "a signal ended it");
        assert!(says_dying(&stat("Z", 4_194_304), &status(none, none)));
        assert!(!says_dying("nonsense", "nonsense"));
    }

    #[test]
    fn the_kernel_says_who_has_a_lock() {
        // Elsewhere may be a file system of layers, whose files have other numbers for the kernel than for others.
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let open = File::open(directory.path()).unwrap();
        assert_eq!(holder(&open.metadata().unwrap()), None);
        flock(&open, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(holder(&open.metadata().unwrap()), Some(std::process::id()));
    }

    #[test]
    fn who_dies_is_waited_for_and_no_longer_than_that() {
        let short = Duration::from_millis(120);
        let never = || None::<()>;
        assert_eq!(wait_for(short, || Some(7), |_| true, never), Err(Holder::Dying(7)));
        assert_eq!(wait_for(Duration::MAX, || Some(7), |_| false, never), Err(Holder::Lives));
        assert_eq!(wait_for(Duration::MAX, || None, |_| true, never), Err(Holder::Lives));
        let tried = Cell::new(0);
        let third = || {
            tried.set(tried.get() + 1);
            (tried.get() == 3).then_some("locked")
        };
        assert_eq!(wait_for(Duration::MAX, || Some(7), |_| true, third), Ok("locked"));
    }
}
