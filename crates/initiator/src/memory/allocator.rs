// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which ranges of the guest's memory are free.
//!
//! Above: `memory`.  Below: nothing.
//! Never here: pointers.  First fit: allocations are few and a ring's are made once.

use std::collections::BTreeMap;

/// Address 0 is kept back: a descriptor that holds it has most likely been forgotten.
const LOWEST: u64 = 16;

/// Free ranges, start to length.  Ranges of different regions never merge.
#[derive(Debug)]
pub(super) struct Allocator {
    free: BTreeMap<u64, u64>,
    starts: Vec<u64>,
}

impl Allocator {
    /// Starts with every region `(address, bytes)` free.
    pub(super) fn new(regions: impl Iterator<Item = (u64, u64)>) -> Self {
        let free: BTreeMap<u64, u64> = regions.collect();
        Self { starts: free.keys().copied().collect(), free }
    }

    /// Takes `bytes` at a multiple of `align`; an empty range may be anywhere.
    pub(super) fn take(&mut self, bytes: u64, align: u64) -> Option<u64> {
        let align = align.max(1);
        let address = self.free.iter().find_map(|(&start, &length)| {
            let address = start.max(LOWEST).checked_next_multiple_of(align)?;
            (address.checked_add(bytes)? <= start + length).then_some(address)
        })?;
        self.take_at(address, bytes).then_some(address)
    }

    /// Takes exactly this range, which may lie in several free ranges that touch.
    pub(super) fn take_at(&mut self, address: u64, bytes: u64) -> bool {
        let Some(end) = address.checked_add(bytes) else { return false };
        let mut at = address;
        let mut pieces = Vec::new();
        while at < end {
            let Some((&start, &length)) = self.free.range(..=at).next_back() else { return false };
            if at >= start + length {
                return false;
            }
            pieces.push((start, length));
            at = start + length;
        }
        for (start, length) in pieces {
            self.free.remove(&start);
            if start < address {
                self.free.insert(start, address - start);
            }
            if end < start + length {
                self.free.insert(end, start + length - end);
            }
        }
        true
    }

    /// Gives a range back that was taken.
    pub(super) fn give(&mut self, address: u64, bytes: u64) {
        let mut start = address;
        let end = address + bytes;
        // A range that crossed regions goes back as one piece a region.
        while start < end {
            let border =
                self.starts.iter().copied().find(|&border| border > start && border < end).unwrap_or(end);
            self.give_within_region(start, border - start);
            start = border;
        }
    }

    fn give_within_region(&mut self, mut start: u64, mut bytes: u64) {
        if let Some((&before, &length)) = self.free.range(..start).next_back()
            && before + length == start
            && !self.starts.contains(&start)
        {
            self.free.remove(&before);
            (start, bytes) = (before, length + bytes);
        }
        let end = start + bytes;
        if !self.starts.contains(&end)
            && let Some(length) = self.free.remove(&end)
        {
            bytes += length;
        }
        self.free.insert(start, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_regions() -> Allocator {
        Allocator::new([(0, 0x1000), (0x1000, 0x1000)].into_iter())
    }

    #[test]
    fn address_zero_is_never_handed_out() {
        assert_eq!(two_regions().take(16, 16), Some(16));
        assert_eq!(two_regions().take(0x1000, 1), Some(0x1000));
    }

    #[test]
    fn an_allocation_stays_in_one_region_unless_asked_by_address() {
        let mut allocator = two_regions();
        assert_eq!(allocator.take(0x1001, 1), None);
        assert!(allocator.take_at(0xfff, 2));
        assert!(!allocator.take_at(0x1000, 1));
    }

    #[test]
    fn what_is_given_back_is_whole_again() {
        let mut allocator = two_regions();
        let before = allocator.free.clone();
        let first = allocator.take(0x100, 0x200).expect("room");
        assert!(allocator.take_at(0xff0, 0x20));
        let second = allocator.take(0x30, 1).expect("room");
        allocator.give(0xff0, 0x20);
        allocator.give(first, 0x100);
        allocator.give(second, 0x30);
        assert_eq!(allocator.free, before);
    }
}
