// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Referrals: which blocks are reached how through which target port group, the answer to REPORT REFERRALS, and what a
//! command is refused with that touches blocks which are not.  SBC-3, referrals.
//!
//! Above: `target`, which knows the map.
//! Below: `field`.
//! Never here: where the map comes from.

use crate::alua::AccessState;
use crate::cdb::media::ReportReferrals;
use crate::field::Block;
use crate::{BlockCount, Lba, Sense};

/// Where blocks are reached how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referrals {
    /// USER DATA SEGMENT SIZE in blocks; 0: each segment is as long as it says.
    pub segment_blocks: u32,
    /// USER DATA SEGMENT MULTIPLIER: after so many segments one begins that is reached alike; 0: none does.
    pub multiplier: u32,
    /// No block is in two of them.
    pub segments: Vec<UserDataSegment>,
}

/// User data segments that are reached alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDataSegment {
    /// FIRST USER DATA SEGMENT LBA.
    pub first: Lba,
    /// LAST USER DATA SEGMENT LBA.
    pub last: Lba,
    /// By target port group; one that is not named reaches them.
    pub states: Vec<(u16, AccessState)>,
}

impl UserDataSegment {
    /// What of it lies from `start` up to, and not including, `end`: a part of the whole, not of the segments in it.
    fn part(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let (start, end) = (start.max(self.first.0), end.min(self.last.0.saturating_add(1)));
        (start < end).then_some((start, end))
    }
}

impl Referrals {
    /// From the beginning of one segment to that of the next which is reached alike, and how long each is; `None` where
    /// each is as long as it says.
    fn stripe(&self) -> Option<(u64, u64)> {
        let stripe = u64::from(self.segment_blocks).saturating_mul(u64::from(self.multiplier));
        (stripe > 0).then_some((stripe, u64::from(self.segment_blocks)))
    }

    /// The first block of `segment` from `start` up to, and not including, `end`.
    fn touch(&self, segment: &UserDataSegment, start: u64, end: u64) -> Option<u64> {
        let (start, end) = segment.part(start, end)?;
        let Some((stripe, blocks)) = self.stripe() else { return Some(start) };
        let into = (start - segment.first.0) % stripe;
        if into < blocks {
            return Some(start);
        }
        let next = start.saturating_add(stripe - into);
        (next < end).then_some(next)
    }

    /// How many blocks of `segment` lie from `start` up to, and not including, `end`.
    fn count(&self, segment: &UserDataSegment, start: u64, end: u64) -> u64 {
        let Some((start, end)) = segment.part(start, end) else { return 0 };
        let Some((stripe, blocks)) = self.stripe() else { return end - start };
        let before = |at: u64| {
            let into = at - segment.first.0;
            (into / stripe).saturating_mul(blocks).saturating_add((into % stripe).min(blocks))
        };
        before(end) - before(start)
    }

    /// What a command through the target port group `group` is refused with that touches these blocks; `None` where it
    /// reaches all of them.  Of several segments the first that is not reached decides; a block of none is not reached.
    #[must_use]
    pub fn refusal(&self, group: u16, first: Lba, blocks: BlockCount) -> Option<Sense> {
        let (start, end) = (first.0, first.0.saturating_add(blocks.0));
        if start == end {
            return None;
        }
        let refused = self.segments.iter().filter_map(|segment| {
            let (_, state) = segment.states.iter().find(|(id, _)| *id == group)?;
            Some((self.touch(segment, start, end)?, state.refusal()?))
        });
        let earliest = refused.min_by_key(|(at, _)| *at).map(|(_, sense)| sense);
        earliest.or_else(|| {
            let all: u64 = self.segments.iter().map(|segment| self.count(segment, start, end)).sum();
            (all < end - start).then_some(Sense::ALUA_UNAVAILABLE)
        })
    }

    /// Whether a block is in a segment.
    fn has(&self, segment: &UserDataSegment, block: Lba) -> bool {
        self.touch(segment, block.0, block.0.saturating_add(1)).is_some()
    }

    /// Lays the answer to REPORT REFERRALS out; the caller cuts it to the allocation length.
    #[must_use]
    pub fn report(&self, command: &ReportReferrals) -> Vec<u8> {
        let is_told = |segment: &&UserDataSegment| {
            if command.one { self.has(segment, command.first) } else { command.first <= segment.last }
        };
        let mut descriptors = Vec::new();
        for segment in self.segments.iter().filter(is_told) {
            let count = u8::try_from(segment.states.len()).unwrap_or(u8::MAX);
            let head =
                Block::<20>::new().byte::<3>(count).be64::<4>(segment.first.0).be64::<12>(segment.last.0);
            descriptors.extend(head.done());
            for (group, state) in segment.states.iter().take(count.into()) {
                descriptors.extend(Block::<4>::new().byte::<0>(state.code()).be16::<2>(*group).done());
            }
        }
        let bytes = u16::try_from(descriptors.len()).unwrap_or(u16::MAX);
        let mut answer = Block::<4>::new().be16::<2>(bytes).done().to_vec();
        answer.extend(descriptors);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AccessState::{NonOptimized, Optimized, Standby, Unavailable};

    fn segment(first: u64, last: u64, states: &[(u16, AccessState)]) -> UserDataSegment {
        UserDataSegment { first: Lba(first), last: Lba(last), states: states.to_vec() }
    }

    /// Blocks 0 to 9 are for group 0, 10 to 19 for group 1, 20 to 29 for nobody, and 30 to 39 for all; 35 is in none.
    fn plain() -> Referrals {
        Referrals {
            segment_blocks: 0,
            multiplier: 0,
            segments: vec![
                segment(0, 9, &[(0, Optimized), (1, Standby)]),
                segment(10, 19, &[(0, Unavailable), (1, NonOptimized)]),
                segment(20, 29, &[(0, Standby), (1, Unavailable)]),
                segment(30, 34, &[(0, Optimized), (1, Optimized)]),
                segment(36, 39, &[(0, Optimized), (1, Optimized)]),
            ],
        }
    }

    /// Stripes of 4 blocks: the even ones are for group 0, the odd ones for group 1, up to block 99.
    fn striped() -> Referrals {
        Referrals {
            segment_blocks: 4,
            multiplier: 2,
            segments: vec![
                segment(0, 99, &[(0, Optimized), (1, Standby)]),
                segment(4, 95, &[(0, Standby), (1, Optimized)]),
            ],
        }
    }

    fn check(map: &Referrals, group: u16, first: u64, blocks: u64, expected: Option<u8>) {
        let sense = map.refusal(group, Lba(first), BlockCount(blocks));
        let sense = sense.map(|sense| [sense.key as u8, sense.asc, sense.ascq]);
        let expected = expected.map(|ascq| [0x02, 0x04, ascq]);
        assert_eq!(sense, expected, "group {group}, {blocks} blocks from {first} on");
    }

    #[test]
    fn the_first_segment_that_is_not_reached_says_why() {
        let map = plain();
        check(&map, 0, 0, 10, None);
        check(&map, 0, 0, 0, None);
        check(&map, 0, 9, 2, Some(0x0c));
        check(&map, 0, 9, 15, Some(0x0c));
        check(&map, 0, 20, 1, Some(0x0b));
        check(&map, 1, 9, 2, Some(0x0b));
        check(&map, 1, 10, 10, None);
        check(&map, 1, 10, 11, Some(0x0c));
        check(&map, 0, 30, 5, None);
        // A group that is not named reaches all there is.
        check(&map, 7, 0, 35, None);
    }

    #[test]
    fn a_block_of_no_segment_is_not_reached() {
        let map = plain();
        check(&map, 0, 35, 1, Some(0x0c));
        check(&map, 0, 30, 6, Some(0x0c));
        check(&map, 0, 36, 4, None);
        check(&map, 0, 36, 5, Some(0x0c));
        check(&map, 7, u64::MAX - 1, 1, Some(0x0c));
        check(&map, 7, 0, u64::MAX, Some(0x0c));
    }

    #[test]
    fn stripes_come_again_up_to_the_last_block() {
        let map = striped();
        for (first, blocks, group_0, group_1) in [
            (0, 4, None, Some(0x0b)),
            (4, 4, Some(0x0b), None),
            (8, 4, None, Some(0x0b)),
            (3, 1, None, Some(0x0b)),
            (3, 2, Some(0x0b), Some(0x0b)),
            (92, 1, Some(0x0b), None),
            (95, 1, Some(0x0b), None),
            (96, 4, None, Some(0x0b)),
            (0, 100, Some(0x0b), Some(0x0b)),
            (100, 1, Some(0x0c), Some(0x0c)),
        ] {
            check(&map, 0, first, blocks, group_0);
            check(&map, 1, first, blocks, group_1);
        }
        check(&map, 7, 0, 100, None);
        check(&map, 7, 0, 101, Some(0x0c));
    }

    #[test]
    fn each_block_alone_and_in_a_range_is_judged_alike() {
        for map in [plain(), striped()] {
            for (first, blocks) in (0..50).flat_map(|first| (1..50).map(move |blocks| (first, blocks))) {
                for group in [0, 1, 7] {
                    let alone = |block| map.refusal(group, Lba(block), BlockCount(1)).is_some();
                    let whole = map.refusal(group, Lba(first), BlockCount(blocks)).is_some();
                    assert_eq!(whole, (first..first + blocks).any(alone), "{group}: {blocks} from {first}");
                }
            }
        }
    }

    #[test]
    fn a_map_of_the_largest_numbers_overflows_nothing() {
        let map = Referrals {
            segment_blocks: u32::MAX,
            multiplier: u32::MAX,
            segments: vec![segment(u64::MAX - 1, u64::MAX, &[(0, Standby)]), segment(0, u64::MAX - 2, &[])],
        };
        check(&map, 0, u64::MAX - 1, u64::MAX, Some(0x0b));
        check(&map, 0, 0, u64::from(u32::MAX), None);
        check(&map, 0, 0, u64::MAX, Some(0x0b));
    }

    #[test]
    fn a_report_begins_with_the_segment_of_its_block_and_may_stop_there() {
        let ask = |map: &Referrals, first, one| {
            map.report(&ReportReferrals { first: Lba(first), one, allocation_bytes: 0 })
        };
        let first = [
            0, 0, 0, /* groups */ 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 2, 0,
            0, 1,
        ];
        let second = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 95, 2, 0, 0, 0, 0, 0, 0, 1];
        let map = striped();
        assert_eq!(ask(&map, 0, false), [&[0, 0, 0, 56][..], &first, &second].concat());
        assert_eq!(ask(&map, 3, true), [&[0, 0, 0, 28][..], &first].concat());
        assert_eq!(ask(&map, 13, true), [&[0, 0, 0, 28][..], &second].concat());
        assert_eq!(ask(&map, 96, false), [&[0, 0, 0, 28][..], &first].concat());
        assert_eq!(ask(&plain(), 35, true), [0, 0, 0, 0]);
        assert_eq!(ask(&plain(), 35, false)[..4], [0, 0, 0, 28]);
    }
}
