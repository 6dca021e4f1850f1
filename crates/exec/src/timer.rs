// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Deadlines in order.
//!
//! Above: `reactor`, which sleeps until the first of them.
//! Below: a heap.
//! Never here: a clock.  The caller says what time it is, so a test needs no waiting.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Things to do at given times.
pub struct Timers<T> {
    heap: BinaryHeap<Entry<T>>,
    next_order: u64,
}

struct Entry<T> {
    due: Reverse<(Instant, u64)>,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), next_order: 0 }
    }
}

impl<T> Timers<T> {
    /// Remembers `what` until `due`.
    pub fn set(&mut self, due: Instant, what: T) {
        self.heap.push(Entry { due: Reverse((due, self.next_order)), what });
        self.next_order += 1;
    }

    /// When the first of them is due.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.due.0.0)
    }

    /// Takes the first that is due at `now`; those due together come in the order they were set.
    pub fn take_due(&mut self, now: Instant) -> Option<T> {
        if self.next()? <= now { self.heap.pop().map(|entry| entry.what) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;
    use std::time::{Duration, Instant};

    #[test]
    fn due_timers_come_in_order_of_time_then_of_setting() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.set(at(20), "late");
        timers.set(at(10), "first");
        timers.set(at(10), "second");
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.take_due(at(9)), None);
        assert_eq!(timers.take_due(at(10)), Some("first"));
        assert_eq!(timers.take_due(at(10)), Some("second"));
        assert_eq!(timers.take_due(at(10)), None);
        assert_eq!(timers.take_due(at(30)), Some("late"));
        assert_eq!(timers.next(), None);
    }
}
