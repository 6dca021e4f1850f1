// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a unit has been asked for, counted where it is asked for.
//!
//! Above: `execute`, which counts on reactors; LOG SENSE, which adds it up.
//! Below: atomics.
//! Never here: a moment in which all of it is true together; each number is, by itself.
//!
//! Reactors that count one unit at a time would pass its cache line to and fro, so each thread has a line of its own, up
//! to [`LINES`] of them.

use crate::lines::{LINES, own};
use scsi::log::{Counted, Moved};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Commands that read.
    Read,
    /// Commands that write.
    Write,
    /// Commands that verify.
    Verify,
}

/// The counters of a unit.
#[derive(Debug, Default)]
pub struct Counters([Line; LINES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([[AtomicU64; 3]; 3]);

impl Counters {
    /// Counts a command for so many bytes.
    pub(crate) fn count(&self, kind: Kind, bytes: u64) {
        let [commands, moved, _] = &self.0[own()].0[kind as usize];
        commands.fetch_add(1, Ordering::Relaxed);
        moved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a command that the medium failed.
    pub fn failed(&self, kind: Kind) {
        let [_, _, errors] = &self.0[own()].0[kind as usize];
        errors.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it.
    pub(crate) fn counted(&self) -> Counted {
        let sum = |kind: Kind, at: usize| -> u64 {
            let each = self.0.iter().map(|line| line.0[kind as usize][at].load(Ordering::Relaxed));
            each.fold(0, u64::wrapping_add)
        };
        let moved = |kind| Moved { commands: sum(kind, 0), bytes: sum(kind, 1), errors: sum(kind, 2) };
        Counted { read: moved(Kind::Read), write: moved(Kind::Write), verify: moved(Kind::Verify) }
    }

    /// Forgets all of it.
    pub(crate) fn reset(&self) {
        let all = self.0.iter().flat_map(|line| line.0.iter().flatten());
        all.for_each(|counter| counter.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_is_added_up_and_forgotten_together() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| (0..100).for_each(|_| counters.count(Kind::Write, 512)));
            }
        });
        counters.failed(Kind::Read);
        let counted = counters.counted();
        assert_eq!(counted.write, Moved { commands: 1200, bytes: 614_400, errors: 0 });
        assert_eq!(counted.read, Moved { commands: 0, bytes: 0, errors: 1 });
        counters.reset();
        assert_eq!(counters.counted(), Counted::default());
    }
}
