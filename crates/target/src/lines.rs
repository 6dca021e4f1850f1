// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which cache line a thread counts in, so that reactors that count the same thing do not wait for each other.
//!
//! Above: `tally`.  Below: nothing.
//! Never here: what is counted.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many lines there are.  All threads but the first [`LINES`] - 1 share the last.
pub(crate) const LINES: usize = 8;

/// The line of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    /// Below [`LINES`].
    pub(crate) line: usize,
    /// Whether no other thread ever counts there.
    is_alone: bool,
}

impl Own {
    /// Adds to a counter of this line.
    pub(crate) fn add(self, counter: &AtomicU64, more: u64) {
        if self.is_alone {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        } else {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// The line of this thread, which it has as long as the process lives.
pub(crate) fn own() -> Own {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<Own>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let line = NEXT.fetch_add(1, Ordering::Relaxed).min(LINES - 1);
            let made = Own { line, is_alone: line < LINES - 1 };
            own.set(Some(made));
            made
        })
    })
}
