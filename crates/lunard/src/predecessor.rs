// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that was killed and is not gone yet.
//!
//! Above: `directories`, which finds its directories locked.  Below: `/proc`.
//! Never here: a process that lives.
//!
//! A process that is killed while the kernel works for it, on a file system that does not answer, keeps all it has
//! open until that has ended: its locks, and its guests' connections too.  Nothing can be served before, and a
//! daemon that is told to start waits for it instead of failing.

use rustix::fs::{FlockOperation, flock, fstat, major, minor};
use rustix::io::Errno;
use std::fs::File;
use std::time::Duration;
use tracing::warn;

/// How often it is looked whether it has gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Locks a directory.  Waits for a process that has it and is dying.
///
/// # Errors
/// `WOULDBLOCK` where a process has it that lives, and whatever else the system says.
pub(crate) fn lock(directory: &File) -> Result<(), Errno> {
    let mut told = false;
    loop {
        match flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {}
            done => return done,
        }
        let Some(holder) = holder(directory) else {
            // It may have gone between the two looks.
            return flock(directory, FlockOperation::NonBlockingLockExclusive);
        };
        if !is_dying(holder) {
            return Err(Errno::WOULDBLOCK);
        }
        if !std::mem::replace(&mut told, true) {
            warn!(
                "another lunard was killed and is not gone: process {holder} waits for a disk that does not answer; \
                 waiting for it"
            );
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// The process that has a directory locked, if the kernel says so.
fn holder(directory: &File) -> Option<u32> {
    let stat = fstat(directory).ok()?;
    let place = format!("{:02x}:{:02x}:{}", major(stat.st_dev), minor(stat.st_dev), stat.st_ino);
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

/// Whether the first thread of a process has ended, and others have not.
fn is_dying(process: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return true };
    // The name is in brackets and may hold anything.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::{holder_in, is_dying};

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
}
