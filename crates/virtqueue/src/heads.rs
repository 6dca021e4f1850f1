// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The set of heads that the driver waits for.
//!
//! Above: `ring`.
//! Below: nothing.
//! Never here: the order in which they came; the inflight region knows that.

/// A set of indices below the ring's entries.
#[derive(Debug)]
pub(crate) struct HeadSet {
    words: Box<[u64]>,
    count: u16,
}

impl HeadSet {
    /// An empty set for a ring of `entries` entries.
    pub(crate) fn new(entries: u16) -> Self {
        let words = usize::from(entries).div_ceil(64);
        Self { words: vec![0; words].into_boxed_slice(), count: 0 }
    }

    /// Adds a head. Returns whether it is new; one that is no head of this ring is not.
    pub(crate) fn insert(&mut self, head: u16) -> bool {
        let bit = 1 << (head % 64);
        let Some(word) = self.words.get_mut(usize::from(head / 64)) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        self.count += u16::from(is_new);
        is_new
    }

    /// Removes a head. Returns whether it was there.
    pub(crate) fn remove(&mut self, head: u16) -> bool {
        let bit = 1 << (head % 64);
        let Some(word) = self.words.get_mut(usize::from(head / 64)) else { return false };
        let was_there = *word & bit != 0;
        *word &= !bit;
        self.count -= u16::from(was_there);
        was_there
    }

    pub(crate) fn contains(&self, head: u16) -> bool {
        self.words.get(usize::from(head / 64)).is_some_and(|word| word & (1 << (head % 64)) != 0)
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_new_once() {
        let mut heads = HeadSet::new(65);
        assert!(heads.insert(64));
        assert!(!heads.insert(64));
        assert!(heads.contains(64));
        assert!(!heads.contains(0));
        assert_eq!(heads.count(), 1);
        assert!(heads.remove(64));
        assert!(!heads.remove(64));
        assert_eq!(heads.count(), 0);
    }

    #[test]
    fn a_head_beyond_the_ring_is_never_in() {
        let mut heads = HeadSet::new(64);
        assert!(!heads.insert(64));
        assert!(!heads.contains(64));
        assert!(!heads.remove(64));
        assert_eq!(heads.count(), 0);
    }
}
