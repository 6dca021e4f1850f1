// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Blocks that one command has for itself.
//!
//! Above: `vhost-scsi`, which asks before it writes, and on behalf of the commands that want to be alone.
//! Below: nothing.
//! Never here: waiting.  Who may not go on leaves word how it is to be told, and is told once.
//!
//! What is under way when a range is excluded, this table does not know: whoever excludes waits for the end of that.  What
//! begins later is kept out here.  As nearly always nothing is excluded, a write asks by one load.
//!
//! That load needs no order with the excluder's store.  A reactor that has seen nothing excluded and begins a write is
//! asked by a letter whether it has one under way, and takes the letter after it has begun; a reactor that has taken the
//! letter sees what was stored before it was sent.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Called once, when what was in the way is gone.
pub type Wake = Box<dyn FnOnce() + Send>;

/// The ranges of one unit, in bytes, that one command each has for itself, through whichever backstore.
pub struct Exclusions {
    /// Unique for the life of the process.
    id: u64,
    /// How many there are.
    count: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Bounded by the commands that reactors have memory for.
    held: Vec<(u64, Range<u64>)>,
    /// Reactors that wait, each once however many of its commands do.
    waiting: Vec<(usize, Wake)>,
    next: u64,
}

/// A range that one command has for itself, until this is dropped.
pub struct Exclusion {
    of: Arc<Exclusions>,
    number: u64,
}

impl Default for Exclusions {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, count: AtomicUsize::new(0), table: Mutex::default() }
    }
}

impl Exclusions {
    /// The number that those who are waited for are known by.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether nothing is excluded.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Whether a write of `range` may begin.  If not, `wake` is kept for the reactor of that number.
    pub fn admit(&self, range: &Range<u64>, reactor: usize, wake: impl FnOnce() -> Wake) -> bool {
        let mut table = self.table();
        if table.is_free(range) {
            return true;
        }
        table.keep(reactor, wake);
        false
    }

    /// Excludes all others from `range`, if nobody has a part of it.  If somebody has, `wake` is kept for the reactor of
    /// that number.
    pub fn exclude(
        self: &Arc<Self>,
        range: &Range<u64>,
        reactor: usize,
        wake: impl FnOnce() -> Wake,
    ) -> Option<Exclusion> {
        let mut table = self.table();
        if !table.is_free(range) {
            table.keep(reactor, wake);
            return None;
        }
        let number = table.next;
        table.next += 1;
        table.held.push((number, range.clone()));
        self.count.store(table.held.len(), Ordering::Release);
        Some(Exclusion { of: Arc::clone(self), number })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn is_free(&self, range: &Range<u64>) -> bool {
        !self.held.iter().any(|(_, held)| overlap(held, range))
    }

    fn keep(&mut self, reactor: usize, wake: impl FnOnce() -> Wake) {
        if !self.waiting.iter().any(|(waiting, _)| *waiting == reactor) {
            self.waiting.push((reactor, wake()));
        }
    }
}

/// Whether both have a byte in common.
#[must_use]
pub fn overlap(left: &Range<u64>, right: &Range<u64>) -> bool {
    left.start.max(right.start) < left.end.min(right.end)
}

impl Drop for Exclusion {
    fn drop(&mut self) {
        let mut table = self.of.table();
        table.held.retain(|(number, _)| *number != self.number);
        self.of.count.store(table.held.len(), Ordering::Release);
        let waiting = std::mem::take(&mut table.waiting);
        drop(table);
        waiting.into_iter().for_each(|(_, wake)| wake());
    }
}

impl std::fmt::Debug for Exclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exclusion({})", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn never() -> Wake {
        panic!("it need not wait")
    }

    #[test]
    fn a_range_is_excluded_until_its_holder_lets_go() {
        let exclusions = Arc::new(Exclusions::default());
        assert!(exclusions.is_empty());
        let held = exclusions.exclude(&(512..1024), 0, never).unwrap();
        assert!(!exclusions.is_empty());
        let (sender, woken) = mpsc::channel();
        let wake = |name| {
            let sender = sender.clone();
            move || -> Wake { Box::new(move || sender.send(name).unwrap()) }
        };
        assert!(!exclusions.admit(&(1023..1500), 0, wake("a write")));
        assert!(exclusions.exclude(&(0..513), 1, wake("another")).is_none());
        assert!(!exclusions.admit(&(600..700), 0, never), "a reactor is told once");
        assert!(exclusions.admit(&(0..512), 0, never));
        assert!(exclusions.admit(&(1024..4096), 0, never));
        let beside = exclusions.exclude(&(1024..1536), 0, never).unwrap();
        assert!(woken.try_recv().is_err());
        drop(held);
        assert_eq!(woken.try_iter().collect::<Vec<_>>(), ["a write", "another"]);
        assert!(exclusions.admit(&(512..1024), 0, never));
        drop(beside);
        assert!(exclusions.is_empty());
    }

    #[test]
    fn an_empty_range_is_in_nobodys_way() {
        let exclusions = Arc::new(Exclusions::default());
        let _held = exclusions.exclude(&(0..4096), 0, never).unwrap();
        assert!(exclusions.admit(&(512..512), 0, never));
    }
}
