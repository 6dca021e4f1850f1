// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was asked of a unit by one way to it: counted by many threads, read by few.
//!
//! Above: `execute`, which counts; whoever shows statistics.  Below: atomics.
//! Never here: a total of a unit, which has several ways to it.
//!
//! Each thread counts in a cache line of its own, so that queues of one guest on several reactors do not wait for
//! one another.

use crate::lines::{LINES, own};
use std::sync::atomic::{AtomicU64, Ordering};

/// What was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Commands.
    pub commands: u64,
    /// Bytes that they had room for.
    pub read_bytes: u64,
    /// Bytes that came with them.
    pub write_bytes: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.commands = self.commands.wrapping_add(more.commands);
        self.read_bytes = self.read_bytes.wrapping_add(more.read_bytes);
        self.write_bytes = self.write_bytes.wrapping_add(more.write_bytes);
    }
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line {
    commands: AtomicU64,
    read_bytes: AtomicU64,
    write_bytes: AtomicU64,
}

/// The counts of one way to a unit.
#[derive(Debug, Default)]
pub struct Tally([Line; LINES]);

impl Tally {
    /// Counts a command with buffers of so many bytes to be read into, and to be written from.
    pub fn count(&self, read_bytes: u64, write_bytes: u64) {
        let Some(line) = self.0.get(own()) else { return };
        line.commands.fetch_add(1, Ordering::Relaxed);
        if read_bytes > 0 {
            line.read_bytes.fetch_add(read_bytes, Ordering::Relaxed);
        }
        if write_bytes > 0 {
            line.write_bytes.fetch_add(write_bytes, Ordering::Relaxed);
        }
    }

    /// All of it.  What is counted meanwhile may be in it or not.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for line in &self.0 {
            totals += Totals {
                commands: line.commands.load(Ordering::Relaxed),
                read_bytes: line.read_bytes.load(Ordering::Relaxed),
                write_bytes: line.write_bytes.load(Ordering::Relaxed),
            };
        }
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
            for _ in 0..11 {
                scope.spawn(|| (0..1000).for_each(|_| tally.count(4096, 0)));
            }
            scope.spawn(|| tally.count(0, 512));
        });
        assert_eq!(tally.totals(), Totals { commands: 11_001, read_bytes: 11_000 * 4096, write_bytes: 512 });
    }
}
