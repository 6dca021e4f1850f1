// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which cache line a thread counts in, so that reactors that count the same thing do not wait for each other.
//!
//! Above: `tally`, `counters`.  Below: nothing.
//! Never here: what is counted.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads have a line of their own; more share them.
pub(crate) const LINES: usize = 8;

/// The line of this thread, below [`LINES`].
pub(crate) fn own() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let line = NEXT.fetch_add(1, Ordering::Relaxed) % LINES;
            own.set(Some(line));
            line
        })
    })
}
