// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was asked of a unit, over all ways to it.
//!
//! Above: `state`.  Below: `target`'s tallies, one a way.
//! Never here: counting itself, which is done where commands are.

use std::sync::Arc;
use target::{Tally, Totals};

/// What was asked of a unit, by every way that there is or was.
#[derive(Default)]
pub(super) struct Counted {
    /// By ways that are no more.
    past: Totals,
    ways: Vec<Arc<Tally>>,
}

impl Counted {
    /// A new way to count by.
    pub(super) fn way(&mut self) -> Arc<Tally> {
        let past = &mut self.past;
        self.ways.retain(|way| {
            // Nobody else can count by it.
            let gone = Arc::strong_count(way) == 1;
            if gone {
                *past += way.totals();
            }
            !gone
        });
        let way = Arc::new(Tally::default());
        self.ways.push(Arc::clone(&way));
        way
    }

    /// By all of them.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.past;
        self.ways.iter().for_each(|way| totals += way.totals());
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_by_a_way_that_is_no_more_still_counts() {
        let mut counted = Counted::default();
        let first = counted.way();
        first.count(4096, 0);
        assert_eq!(counted.totals().commands, 1);
        drop(first);
        let second = counted.way();
        second.count(0, 512);
        assert_eq!(counted.totals(), Totals { commands: 2, read_bytes: 4096, write_bytes: 512 });
        assert_eq!(counted.ways.len(), 1, "what is gone takes no room");
    }
}
