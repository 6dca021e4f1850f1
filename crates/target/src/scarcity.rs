// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the space below a unit gets scarce.  SBC-3, logical block provisioning thresholds.
//!
//! Above: whoever looks at the space, now and then; LOG SENSE and MODE SENSE, which say what was seen.
//! Below: atomics.
//! Never here: a look at a file system, which may hang: no command makes one.

use backstore::Space;
use scsi::log::SpaceBelow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Scarce is less than one part of so many of the whole store.
const SCARCE_PART: u64 = 10;
/// Enough is one part of so many, and more: what lies between changes nothing, so that a store that is filled and emptied
/// around one mark tells nobody again and again.
const ENOUGH_PART: u64 = 8;
const _: () = assert!(ENOUGH_PART < SCARCE_PART);

/// What was crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// The space has become scarce.
    Scarce,
    /// There is enough again.
    Enough,
}

/// What was seen of the space below one unit.
#[derive(Debug, Default)]
pub struct Scarcity {
    total: AtomicU64,
    available: AtomicU64,
    used: AtomicU64,
    is_scarce: AtomicBool,
}

impl Scarcity {
    /// Takes note of what was seen.  One thread does.
    pub(crate) fn see(&self, space: &Space) -> Option<Crossing> {
        self.total.store(space.total, Ordering::Relaxed);
        self.available.store(space.available, Ordering::Relaxed);
        self.used.store(space.used, Ordering::Relaxed);
        let was = self.is_scarce.load(Ordering::Relaxed);
        let crossing = if !was && space.available < threshold(space.total) {
            Crossing::Scarce
        } else if was && space.available >= space.total / ENOUGH_PART {
            Crossing::Enough
        } else {
            return None;
        };
        self.is_scarce.store(crossing == Crossing::Scarce, Ordering::Relaxed);
        Some(crossing)
    }

    /// What was seen last; `None` before the first look.
    pub fn seen(&self) -> Option<Space> {
        let total = self.total.load(Ordering::Relaxed);
        let (available, used) = (self.available.load(Ordering::Relaxed), self.used.load(Ordering::Relaxed));
        (total > 0).then_some(Space { total, available, used })
    }

    /// Whether it is scarce.
    pub fn is_scarce(&self) -> bool {
        self.is_scarce.load(Ordering::Relaxed)
    }

    /// The same for pages.
    pub(crate) fn below(&self) -> SpaceBelow {
        let Space { total, available, used } =
            self.seen().unwrap_or(Space { total: 0, available: 0, used: 0 });
        SpaceBelow { available_bytes: available, used_bytes: used, threshold_bytes: threshold(total) }
    }
}

/// Below so many bytes it is scarce.
fn threshold(total: u64) -> u64 {
    total / SCARCE_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crossing_is_told_once_and_what_lies_between_is_none() {
        let scarcity = Scarcity::default();
        let see = |available| scarcity.see(&Space { total: 1000, available, used: 7 });
        assert_eq!(scarcity.seen(), None);
        assert_eq!(
            [see(500), see(100), see(99), see(98), see(0)],
            [None, None, Some(Crossing::Scarce), None, None]
        );
        assert!(scarcity.is_scarce());
        assert_eq!([see(100), see(124), see(99)], [None, None, None]);
        assert_eq!([see(125), see(124), see(100)], [Some(Crossing::Enough), None, None]);
        assert_eq!(see(99), Some(Crossing::Scarce));
        assert_eq!(scarcity.seen(), Some(Space { total: 1000, available: 99, used: 7 }));
        let below = SpaceBelow { available_bytes: 99, used_bytes: 7, threshold_bytes: 100 };
        assert_eq!(scarcity.below(), below);
    }
}
