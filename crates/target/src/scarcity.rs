// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the space below a unit gets scarce.  SBC-3, logical block provisioning thresholds.
//!
//! Above: whoever looks at the space, now and then; LOG SENSE and MODE SENSE, which say what was seen.
//! Below: atomics.
//! Never here: a look at a file system, which may hang: no command makes one.

use backstore::Space;
use scsi::log::SpaceBelow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Scarce is less than one part of so many of the whole store, where what has a claim on it would take more.
const SCARCE_PART: u64 = 10;
/// Enough is what is scarce and one part of so many of that, and more: what lies between changes nothing, so that a store that
/// is filled and emptied around one mark tells nobody again and again.
const ENOUGH_PART: u64 = 4;

/// What was crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// The space has become scarce.
    Scarce,
    /// There is enough again.
    Enough,
}

/// What was seen of the space below one backstore; or below the scarcest of those that are one unit.
#[derive(Debug, Default)]
pub struct Scarcity {
    total: AtomicU64,
    available: AtomicU64,
    used: AtomicU64,
    store: AtomicU64,
    mark: AtomicU64,
    is_scarce: AtomicBool,
}

impl Scarcity {
    /// Takes note of what was seen, and that so many bytes of the store are `claimed`: guests may fill them, and have not.
    /// One thread does.
    pub fn see(&self, space: &Space, claimed: u64) -> Option<Crossing> {
        let mark = claimed.min(space.total / SCARCE_PART);
        self.note(space, mark);
        let was = self.is_scarce.load(Ordering::Relaxed);
        let crossing = if !was && space.available < mark {
            Crossing::Scarce
        } else if was && space.available >= mark.saturating_add(mark / ENOUGH_PART) {
            Crossing::Enough
        } else {
            return None;
        };
        self.is_scarce.store(crossing == Crossing::Scarce, Ordering::Relaxed);
        Some(crossing)
    }

    /// Takes over what was seen of the scarcest of these.  One thread does.
    pub(crate) fn see_scarcest(&self, below: &[&Self]) -> Option<Crossing> {
        let scarcest =
            below.iter().reduce(|one, other| if other.is_scarcer_than(one) { other } else { one })?;
        self.note(&scarcest.seen()?, scarcest.mark.load(Ordering::Relaxed));
        let is = scarcest.is_scarce();
        let was = self.is_scarce.swap(is, Ordering::Relaxed);
        (was != is).then_some(if is { Crossing::Scarce } else { Crossing::Enough })
    }

    fn note(&self, space: &Space, mark: u64) {
        self.total.store(space.total, Ordering::Relaxed);
        self.available.store(space.available, Ordering::Relaxed);
        self.used.store(space.used, Ordering::Relaxed);
        self.store.store(space.store, Ordering::Relaxed);
        self.mark.store(mark, Ordering::Relaxed);
    }

    /// What is scarce is scarcer than what is not, and otherwise what has less of its mark left; what was never looked at, or
    /// has no mark, is never scarcer.
    fn is_scarcer_than(&self, other: &Self) -> bool {
        let parts = |of: &Self| {
            let [available, mark] = [&of.available, &of.mark].map(|part| part.load(Ordering::Relaxed));
            (u128::from(available), u128::from(mark))
        };
        let ((available, mark), (others, others_mark)) = (parts(self), parts(other));
        match (self.is_scarce(), other.is_scarce()) {
            (true, false) => true,
            (false, true) => false,
            _ if mark == 0 || others_mark == 0 => others_mark == 0 && (mark > 0 || other.seen().is_none()),
            _ => available * others_mark < others * mark,
        }
    }

    /// What was seen last; `None` before the first look.
    pub fn seen(&self) -> Option<Space> {
        let [total, available, used, store] = [&self.total, &self.available, &self.used, &self.store]
            .map(|number| number.load(Ordering::Relaxed));
        (total > 0).then_some(Space { total, available, used, store })
    }

    /// Whether it is scarce.
    pub fn is_scarce(&self) -> bool {
        self.is_scarce.load(Ordering::Relaxed)
    }

    /// The same for pages.
    pub(crate) fn below(&self) -> SpaceBelow {
        let [available_bytes, used_bytes, threshold_bytes] =
            [&self.available, &self.used, &self.mark].map(|number| number.load(Ordering::Relaxed));
        SpaceBelow { available_bytes, used_bytes, threshold_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crossing_is_told_once_and_what_lies_between_is_none() {
        let scarcity = Scarcity::default();
        let see = |available| scarcity.see(&Space { total: 1000, available, used: 7, store: 1 }, 5000);
        assert_eq!(scarcity.seen(), None);
        assert_eq!(
            [see(500), see(100), see(99), see(98), see(0)],
            [None, None, Some(Crossing::Scarce), None, None]
        );
        assert!(scarcity.is_scarce());
        assert_eq!([see(100), see(124), see(99)], [None, None, None]);
        assert_eq!([see(125), see(124), see(100)], [Some(Crossing::Enough), None, None]);
        assert_eq!(see(99), Some(Crossing::Scarce));
        assert_eq!(scarcity.seen(), Some(Space { total: 1000, available: 99, used: 7, store: 1 }));
        let below = SpaceBelow { available_bytes: 99, used_bytes: 7, threshold_bytes: 100 };
        assert_eq!(scarcity.below(), below);
    }

    #[test]
    fn of_several_stores_below_one_unit_the_scarcest_counts_and_the_others_change_nothing() {
        let (unit, one, other, unseen) =
            (Scarcity::default(), Scarcity::default(), Scarcity::default(), Scarcity::default());
        let look = |of: &Scarcity, available, store| {
            of.see(&Space { total: 1000, available, used: 7, store }, 5000);
            [[&one, &other, &unseen], [&unseen, &other, &one]].map(|below| unit.see_scarcest(&below))
        };
        assert_eq!(unit.see_scarcest(&[&unseen]), None);
        assert_eq!(look(&one, 900, 1), [None, None]);
        assert_eq!(look(&other, 99, 2), [Some(Crossing::Scarce), None]);
        // Round after round.
        for _ in 0..3 {
            assert_eq!([look(&one, 900, 1), look(&other, 99, 2)], [[None; 2]; 2]);
            assert!(unit.is_scarce());
            assert_eq!(unit.below().available_bytes, 99);
        }
        assert_eq!(look(&one, 50, 1), [None, None]);
        assert_eq!(unit.below().available_bytes, 50);
        assert_eq!(look(&other, 800, 2), [None, None], "the first is scarce still");
        assert_eq!(look(&one, 700, 1), [Some(Crossing::Enough), None]);
        assert_eq!(unit.seen(), Some(Space { total: 1000, available: 700, used: 7, store: 1 }));
    }

    #[test]
    fn what_nobody_has_a_claim_on_is_not_scarce() {
        let scarcity = Scarcity::default();
        let see =
            |available, claimed| scarcity.see(&Space { total: 1000, available, used: 7, store: 1 }, claimed);
        assert_eq!([see(20, 0), see(0, 0), see(20, 20)], [None; 3]);
        assert_eq!(see(20, 21), Some(Crossing::Scarce));
        assert_eq!(scarcity.below().threshold_bytes, 21);
        assert_eq!([see(25, 21), see(26, 21)], [None, Some(Crossing::Enough)]);
        assert_eq!([see(20, 30), see(20, 0)], [Some(Crossing::Scarce), Some(Crossing::Enough)]);
    }
}
