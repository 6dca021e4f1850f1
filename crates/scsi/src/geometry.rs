// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Blocks: their addresses, their number, their length.  SBC-3, direct access block device type model.
//!
//! Above: `capacity`, `mode`, and `target`, which checks each range here.
//! Below: [`Sense`](crate::Sense).
//! Never here: bytes of a backstore.

use crate::Sense;

/// The address of a logical block; the first is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u64);

/// A number of logical blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockCount(pub u64);

/// What a logical unit looks like as an array of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// How many logical blocks the unit has.  Not the address of the last one: that is [`Self::last_lba`].
    pub blocks: BlockCount,
    /// The length of a logical block in bytes: 512, 1024, 2048 or 4096.
    pub block_bytes: u32,
    /// A physical block holds two to this power logical blocks, 0..=15.
    pub physical_exponent: u8,
    /// The first logical block that begins a physical block, 0..=16383.
    pub lowest_aligned: u16,
}

impl Geometry {
    /// Returns the address of the last block, or 0 where there is none.
    #[must_use]
    pub const fn last_lba(&self) -> Lba {
        Lba(self.blocks.0.saturating_sub(1))
    }

    /// Returns the length of a physical block in bytes.
    #[must_use]
    pub const fn physical_block_bytes(&self) -> u32 {
        self.block_bytes
            .saturating_mul(1 << if self.physical_exponent < 16 { self.physical_exponent } else { 15 })
    }

    /// Returns where a range ends, or `None` when it leaves the medium; an overflow counts as leaving it.
    ///
    /// The end is the address after the last block of the range.  An empty range may begin at the end of
    /// the medium, not behind it.
    #[must_use]
    pub fn end_of(&self, first: Lba, blocks: BlockCount) -> Option<Lba> {
        let end = first.0.checked_add(blocks.0)?;
        (end <= self.blocks.0).then_some(Lba(end))
    }

    /// Refuses a range that leaves the medium.
    ///
    /// # Errors
    ///
    /// LOGICAL BLOCK ADDRESS OUT OF RANGE, without INFORMATION.
    pub fn check(&self, first: Lba, blocks: BlockCount) -> Result<(), Sense> {
        self.end_of(first, blocks).map(drop).ok_or(Sense::LBA_OUT_OF_RANGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIXTEEN: Geometry =
        Geometry { blocks: BlockCount(16), block_bytes: 512, physical_exponent: 0, lowest_aligned: 0 };

    #[test]
    fn a_range_may_end_with_the_last_block_and_not_after_it() {
        assert_eq!(SIXTEEN.end_of(Lba(14), BlockCount(2)), Some(Lba(16)));
        assert_eq!(SIXTEEN.end_of(Lba(15), BlockCount(2)), None);
        assert_eq!(SIXTEEN.end_of(Lba(0), BlockCount(17)), None);
    }

    #[test]
    fn an_empty_range_behind_the_end_is_out_of_range() {
        assert_eq!(SIXTEEN.end_of(Lba(16), BlockCount(0)), Some(Lba(16)));
        assert_eq!(SIXTEEN.end_of(Lba(17), BlockCount(0)), None);
    }

    #[test]
    fn a_range_that_overflows_is_out_of_range() {
        assert_eq!(SIXTEEN.check(Lba(u64::MAX), BlockCount(1)), Err(Sense::LBA_OUT_OF_RANGE));
        assert_eq!(SIXTEEN.check(Lba(1), BlockCount(u64::MAX)), Err(Sense::LBA_OUT_OF_RANGE));
    }

    #[test]
    fn the_last_block_is_one_before_the_number_of_blocks() {
        assert_eq!(SIXTEEN.last_lba(), Lba(15));
        assert_eq!(Geometry { blocks: BlockCount(0), ..SIXTEEN }.last_lba(), Lba(0));
    }
}
