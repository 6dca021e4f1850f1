// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was asked of a unit by one way to it: counted by many threads, read by few.
//!
//! Above: `execute`, which counts; the unit, which adds its ways up for LOG SENSE; whoever shows statistics.
//! Below: atomics.
//! Never here: a moment in which all of it is true together; each number is, by itself.
//!
//! This is the one place where commands are counted.  Each thread counts in a cache line of its own and adds there without
//! an atomic exchange, so that a command costs two plain stores; who reads adds the lines up.

use crate::lines::{LINES, own};
use crate::logical_unit::Store;
use backstore::IoKind;
use scsi::log::{Counted, Moved};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Commands that read blocks.
    Read,
    /// Commands that write blocks.
    Write,
    /// Commands that verify blocks.
    Verify,
    /// Every other command, and every one that was refused.
    Other,
}

/// What it counts as when a medium fails an I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which medium, by its [`Store::id`].
    pub store: u64,
    /// As what.
    pub kind: Kind,
}

impl Failure {
    /// That of an I/O on `store`; `verifies` says whether what is read is verified.
    #[must_use]
    pub fn of(store: &Store, io: IoKind, verifies: bool) -> Self {
        let kind = match io {
            IoKind::Read if verifies => Kind::Verify,
            IoKind::Read => Kind::Read,
            _ => Kind::Write,
        };
        Self { store: store.id, kind }
    }

    /// That of no I/O.
    pub const NONE: Self = Self { store: u64::MAX, kind: Kind::Other };
}

/// How many [`Kind`]s there are.
const KINDS: usize = 4;

/// Under which number all is counted that is nobody's any more.
const CLOSED: u64 = u64::MAX;

/// What was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Of commands that move blocks.
    pub moved: Counted,
    /// The number of the others.
    pub other: u64,
}

impl Totals {
    /// Commands of every kind.
    pub fn commands(&self) -> u64 {
        let Counted { read, write, verify } = &self.moved;
        [read.commands, write.commands, verify.commands, self.other].into_iter().fold(0, u64::wrapping_add)
    }

    /// What was asked since `before`.
    fn since(&self, before: &Self) -> Self {
        self.with(before, u64::wrapping_sub)
    }

    fn with(&self, other: &Self, sum: impl Fn(u64, u64) -> u64 + Copy) -> Self {
        let each = |one: &Moved, other: &Moved| Moved {
            commands: sum(one.commands, other.commands),
            bytes: sum(one.bytes, other.bytes),
            errors: sum(one.errors, other.errors),
        };
        Self {
            moved: Counted {
                read: each(&self.moved.read, &other.moved.read),
                write: each(&self.moved.write, &other.moved.write),
                verify: each(&self.moved.verify, &other.moved.verify),
            },
            other: sum(self.other, other.other),
        }
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        *self = self.with(&more, u64::wrapping_add);
    }
}

/// Commands and bytes of each kind: a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([[AtomicU64; 2]; KINDS]);

/// The counts of one way to a unit.
#[derive(Debug, Default)]
pub struct Tally {
    lines: [Line; LINES],
    /// What the medium failed: seldom.
    errors: [AtomicU64; KINDS],
}

impl Tally {
    /// Counts a command for so many bytes.
    pub fn count(&self, kind: Kind, bytes: u64) {
        let own = own();
        let Some(line) = self.lines.get(own.line) else { return };
        let [commands, moved] = &line.0[kind as usize];
        own.add(commands, 1);
        if bytes > 0 {
            own.add(moved, bytes);
        }
    }

    /// Counts what the medium failed.
    pub fn failed(&self, kind: Kind) {
        self.errors[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All of it.  What is counted meanwhile may be in it or not.
    pub fn totals(&self) -> Totals {
        let sum = |kind: Kind, at: usize| -> u64 {
            let each = self.lines.iter().map(|line| line.0[kind as usize][at].load(Ordering::Relaxed));
            each.fold(0, u64::wrapping_add)
        };
        let moved = |kind: Kind| Moved {
            commands: sum(kind, 0),
            bytes: sum(kind, 1),
            errors: self.errors[kind as usize].load(Ordering::Relaxed),
        };
        let counted =
            Counted { read: moved(Kind::Read), write: moved(Kind::Write), verify: moved(Kind::Verify) };
        Totals { moved: counted, other: sum(Kind::Other, 0) }
    }
}

/// What was asked of a unit, by every way that there is or was; and what task management did to it.
#[derive(Debug, Default)]
pub struct Tallies {
    ways: Mutex<Ways>,
    resets: AtomicU64,
    aborted: AtomicU64,
    nothing_to_abort: AtomicU64,
}

#[derive(Debug, Default)]
struct Ways {
    /// By the number of whose they are.
    live: Vec<(u64, Arc<Tally>)>,
    /// By ways that are no more, likewise.
    past: BTreeMap<u64, Totals>,
    /// What an initiator has had forgotten: LOG SELECT.
    forgotten: Totals,
}

/// What task management did to a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// LOGICAL UNIT RESET.
    pub resets: u64,
    /// ABORT TASK of a command that was there.
    pub aborted: u64,
    /// ABORT TASK of one that was not.
    pub nothing_to_abort: u64,
}

impl Tallies {
    /// A new way to count by.  `of` is a number of whoever has it, to ask for what was counted by all of his.
    pub fn way(&self, of: u64) -> Arc<Tally> {
        let mut ways = self.lock();
        let Ways { live, past, .. } = &mut *ways;
        live.retain(|(of, way)| {
            // Nobody else can count by it.
            let gone = Arc::strong_count(way) == 1;
            if gone {
                *past.entry(*of).or_default() += way.totals();
            }
            !gone
        });
        let way = Arc::new(Tally::default());
        live.push((of, Arc::clone(&way)));
        way
    }

    /// Nobody will ask for what is counted under a number any more.  It still counts for the unit, also what ways of it count
    /// yet.
    pub fn close(&self, of: u64) {
        let mut ways = self.lock();
        if let Some(past) = ways.past.remove(&of) {
            *ways.past.entry(CLOSED).or_default() += past;
        }
        ways.live.iter_mut().filter(|(whose, _)| *whose == of).for_each(|(whose, _)| *whose = CLOSED);
    }

    /// By all the ways of one.
    pub fn of(&self, of: u64) -> Totals {
        let ways = self.lock();
        let mut totals = ways.past.get(&of).copied().unwrap_or_default();
        ways.live.iter().filter(|(whose, _)| *whose == of).for_each(|(_, way)| totals += way.totals());
        totals
    }

    /// What LOG SENSE tells: by every way, since it was forgotten last.
    pub(crate) fn since_forgotten(&self) -> Counted {
        let ways = self.lock();
        ways.all().since(&ways.forgotten).moved
    }

    /// LOG SELECT: begins anew, for initiators.
    pub(crate) fn forget(&self) {
        let mut ways = self.lock();
        ways.forgotten = ways.all();
    }

    /// Counts a LOGICAL UNIT RESET.
    pub(crate) fn count_reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an ABORT TASK.
    pub fn count_abort(&self, was_there: bool) {
        let count = if was_there { &self.aborted } else { &self.nothing_to_abort };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// What task management did.
    pub fn managed(&self) -> Managed {
        Managed {
            resets: self.resets.load(Ordering::Relaxed),
            aborted: self.aborted.load(Ordering::Relaxed),
            nothing_to_abort: self.nothing_to_abort.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ways {
    fn all(&self) -> Totals {
        let mut totals = Totals::default();
        self.past.values().for_each(|past| totals += *past);
        self.live.iter().for_each(|(_, way)| totals += way.totals());
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_is_all_there() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| (0..1000).for_each(|_| tally.count(Kind::Write, 4096)));
            }
            scope.spawn(|| tally.count(Kind::Read, 512));
            scope.spawn(|| tally.count(Kind::Other, 0));
        });
        tally.failed(Kind::Read);
        let totals = tally.totals();
        assert_eq!(totals.moved.write, Moved { commands: 12_000, bytes: 49_152_000, errors: 0 });
        assert_eq!(totals.moved.read, Moved { commands: 1, bytes: 512, errors: 1 });
        assert_eq!((totals.other, totals.commands()), (1, 12_002));
    }

    #[test]
    fn what_was_asked_by_a_way_that_is_no_more_still_counts_for_whose_it_was() {
        let tallies = Tallies::default();
        let (first, other) = (tallies.way(7), tallies.way(8));
        first.count(Kind::Read, 4096);
        other.count(Kind::Verify, 1);
        drop(first);
        let second = tallies.way(7);
        second.count(Kind::Write, 512);
        assert_eq!(tallies.lock().live.len(), 2, "what is gone takes no room");
        let totals = tallies.of(7);
        assert_eq!((totals.commands(), totals.moved.read.bytes, totals.moved.write.bytes), (2, 4096, 512));
        assert_eq!(tallies.of(8).commands(), 1);
        assert_eq!(tallies.of(9), Totals::default());
    }

    #[test]
    fn what_is_closed_counts_for_the_unit_and_takes_no_room_of_its_own() {
        let tallies = Tallies::default();
        for of in 1..=100 {
            let (early, late) = (tallies.way(of), tallies.way(of));
            early.count(Kind::Read, 512);
            drop(early);
            // Whoever comes next finds that it is gone.
            drop(tallies.way(of));
            tallies.close(of);
            // A command that was under way.
            late.count(Kind::Read, 512);
            assert_eq!(tallies.of(of), Totals::default());
        }
        let _last = tallies.way(101);
        let ways = tallies.lock();
        assert_eq!((ways.past.len(), ways.live.len()), (1, 1));
        drop(ways);
        assert_eq!(tallies.since_forgotten().read, Moved { commands: 200, bytes: 102_400, errors: 0 });
    }

    #[test]
    fn what_initiators_have_forgotten_others_still_know() {
        let tallies = Tallies::default();
        let way = tallies.way(0);
        way.count(Kind::Read, 512);
        tallies.forget();
        assert_eq!(tallies.since_forgotten(), Counted::default());
        way.count(Kind::Read, 1024);
        assert_eq!(tallies.since_forgotten().read, Moved { commands: 1, bytes: 1024, errors: 0 });
        assert_eq!(tallies.of(0).moved.read, Moved { commands: 2, bytes: 1536, errors: 0 });
    }
}
