// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fence before a front end's rings: nothing runs until what they lead to is ours alone.
//!
//! Above: `connection`.
//! Below: `port` and its locks.
//! Never here: a ring.
//!
//! A process that was killed may have writes under way that land later than anything its successor is asked for
//! now; and another process may use the same file.  Both hold the lock.  Rings wait for it, for as long as it takes,
//! and their guest sees a disk that is slow; it must never see one that fails.

use crate::port::TargetPort;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the locks are tried.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long a wait is no news: the I/O of a process that was just killed usually ends at once.
const NO_NEWS: Duration = Duration::from_millis(500);

/// Where a front end's rings stand.
#[derive(Debug, Default)]
pub(crate) enum Fence {
    /// There is no ring.
    #[default]
    Idle,
    /// Rings are held back.
    Shut(Wait),
    /// All locks are held.
    Open,
}

/// A wait for locks.
#[derive(Debug)]
pub(crate) struct Wait {
    since: Instant,
    tried: Instant,
    told: bool,
}

/// What [`Fence::wait`] waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The locks: rings may run.
    Locks,
    /// The front end: it has something to say.
    FrontEnd,
}

impl Fence {
    /// Whether rings are held back.
    pub(crate) fn is_shut(&self) -> bool {
        matches!(self, Self::Shut(_))
    }

    /// Tries the locks; returns whether rings may run.
    pub(crate) fn try_open(&mut self, port: &TargetPort) -> bool {
        if matches!(self, Self::Open) {
            return true;
        }
        let now = Instant::now();
        match port.hold_stores() {
            Ok(()) => {
                if let Self::Shut(Wait { since, told: true, .. }) = self {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(target = port.wwn(), "the guest is served again after {seconds} s");
                }
                *self = Self::Open;
                true
            }
            Err(path) => {
                match self {
                    Self::Shut(wait) => wait.go_on(now, port, &path),
                    _ => *self = Self::Shut(Wait { since: now, tried: now, told: false }),
                }
                false
            }
        }
    }

    /// Waits until the locks are there, or the front end says something or leaves.
    pub(crate) fn wait(&mut self, port: &TargetPort, socket: &UnixStream) -> Awaited {
        loop {
            // A front end that talks without a pause cannot keep us from looking.
            if self.is_due() && self.try_open(port) {
                return Awaited::Locks;
            }
            if is_ready(socket, PollFlags::IN | PollFlags::RDHUP) {
                return Awaited::FrontEnd;
            }
        }
    }

    /// Waits until the locks are there; returns whether they are, and not that the front end has left.
    pub(crate) fn wait_for_locks(&mut self, port: &TargetPort, socket: &UnixStream) -> bool {
        loop {
            if self.try_open(port) {
                return true;
            }
            if is_ready(socket, PollFlags::RDHUP) {
                return false;
            }
        }
    }

    fn is_due(&self) -> bool {
        matches!(self, Self::Shut(wait) if wait.tried.elapsed() >= LOOK_INTERVAL)
    }
}

impl Wait {
    fn go_on(&mut self, now: Instant, port: &TargetPort, path: &Path) {
        self.tried = now;
        if self.told || self.since.elapsed() < NO_NEWS {
            return;
        }
        if let Some(suppressed) = port.log.spend(now) {
            self.told = true;
            tracing::warn!(
                target = port.wwn(),
                suppressed,
                "the guest waits: {} is locked; I/O of a lunard that was killed may still be under way there, or \
                 another program has it open: look for another lunard, or QEMU with the image",
                path.display()
            );
        }
    }
}

/// Waits, for as long as one look at the locks is apart from the next, for `events` or the end of the connection.
fn is_ready(socket: &UnixStream, events: PollFlags) -> bool {
    let mut polled = [PollFd::new(socket, events)];
    let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK_INTERVAL.subsec_nanos()) };
    poll(&mut polled, Some(&patience)).is_ok_and(|ready| ready > 0)
}
