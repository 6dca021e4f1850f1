// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest whose memory is watched while it is logged: every page that changes must be in the log.
//!
//! Above: `migration.rs`, `dirty_log.rs`.  Below: `initiator`.
//! Never here: which commands.

#![allow(dead_code, reason = "each test uses its part")]

use crate::support::{Rig, Unit};
use initiator::deadline::Deadline;
use initiator::{DirtyLog, Guest, Options, Snapshot};
use std::collections::BTreeSet;
use std::time::Duration;

/// A target and a guest on it, whose writes are logged.
pub(crate) struct Watch {
    pub(crate) guest: Guest,
    pub(crate) rig: Rig,
    log: DirtyLog,
}

/// What one step did to the guest's memory, in page numbers.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) changed: BTreeSet<u64>,
    pub(crate) marked: BTreeSet<u64>,
}

/// The end of the guest's memory.
pub(crate) fn end_of_memory(guest: &Guest) -> u64 {
    guest.memory().regions().iter().map(|region| region.guest.0 + region.bytes).max().unwrap()
}

pub(crate) fn log_for(guest: &Guest) -> DirtyLog {
    DirtyLog::covering(end_of_memory(guest)).unwrap()
}

impl Watch {
    pub(crate) fn new(units: &[Unit], options: Options) -> Self {
        let rig = Rig::new(units);
        let mut guest = rig.boot(options);
        let log = log_for(&guest);
        guest.start_logging(&log).unwrap();
        Self { guest, rig, log }
    }

    /// Gives the back end an empty log, and returns what was in the one before: from now on nothing is marked there.
    pub(crate) fn renew(&mut self) -> BTreeSet<u64> {
        let log = log_for(&self.guest);
        self.guest.connection().unwrap().set_log_base(&log).unwrap();
        // The whole used rings, which are marked in a log that is new.
        let _ = log.take();
        std::mem::replace(&mut self.log, log).take()
    }

    /// Watches while `act` has the device do something and waits until it is done.  The driver writes nothing
    /// meanwhile.
    pub(crate) fn watch(&mut self, act: impl FnOnce(&mut Guest)) -> Seen {
        self.renew();
        let before = Snapshot::of(self.guest.memory()).unwrap();
        act(&mut self.guest);
        // In this order: what is in the memory now was written, and so is marked in the log that is taken back next.
        let after = Snapshot::of(self.guest.memory()).unwrap();
        let marked = self.renew();
        let seen = Seen { changed: after.pages_unlike(&before), marked };
        let (missing, outside) = (&seen.changed - &seen.marked, &seen.marked - &before.pages());
        assert!(missing.is_empty(), "pages {missing:x?} changed and are not in the log: {seen:x?}");
        assert!(outside.is_empty(), "pages {outside:x?} are in the log and not in the guest");
        seen
    }

    /// Watches while the device serves what `stage` makes available on a ring that is disabled until then.
    pub(crate) fn serve<T>(&mut self, queue: u16, stage: impl FnOnce(&mut Guest) -> T) -> (Seen, T) {
        self.guest.connection().unwrap().enable_ring(queue, false).unwrap();
        let staged = stage(&mut self.guest);
        let seen = self.watch(|guest| {
            guest.connection().unwrap().enable_ring(queue, true).unwrap();
            wait_for_all(guest, queue);
        });
        (seen, staged)
    }
}

/// Waits until all that was offered on a ring is in its used ring, by looking at that alone.
pub(crate) fn wait_for_all(guest: &mut Guest, queue: u16) {
    let deadline = Deadline::after(Duration::from_secs(30));
    let ring = guest.ring_mut(queue).unwrap();
    while ring.used_index() != ring.available_index() {
        assert!(!deadline.passed(), "ring {queue} is at {} of {}", ring.used_index(), ring.available_index());
        std::thread::yield_now();
    }
}
