// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a unit does with blocks beyond reading and writing them, and how much of it at once.
//!
//! Above: `logical_unit`, which has one; `lunard`, which knows what the administrator set.
//! Below: `backstore` says what the medium can.
//! Never here: a command.

use backstore::{Abilities, Atomic};
use scsi::vpd::Provisioning;

/// What one UNMAP or WRITE SAME may cover where nobody said otherwise, in bytes: what a file system does without
/// holding up others that write to the same file for long.
const SPACE_BYTES_MAX: u64 = 512 << 20;
/// What one WRITE SAME may cover, in bytes: a block that is not zeroes is written out.
const WRITE_SAME_BYTES_MAX: u64 = 256 << 20;
/// Descriptors of one UNMAP where nobody said otherwise.
const UNMAP_DESCRIPTORS_MAX: u32 = 256;

/// What a unit does beyond reading and writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// UNMAP is there.
    pub unmap: bool,
    /// WRITE SAME with UNMAP = 1 is there.
    pub write_same_unmaps: bool,
    /// A block that is not mapped reads as zeroes.
    pub unmapped_reads_zero: bool,
    /// COMPARE AND WRITE is there.
    pub compare_and_write: bool,
    /// EXTENDED COPY and RECEIVE COPY RESULTS are there.
    pub third_party_copy: bool,
    /// MAXIMUM UNMAP LBA COUNT.
    pub unmap_blocks_max: u32,
    /// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT.
    pub unmap_descriptors_max: u32,
    /// OPTIMAL UNMAP GRANULARITY in blocks.
    pub unmap_granularity_blocks: u32,
    /// UNMAP GRANULARITY ALIGNMENT in blocks.
    pub unmap_alignment_blocks: u32,
    /// MAXIMUM WRITE SAME LENGTH in blocks.
    pub write_same_blocks_max: u64,
    /// What WRITE ATOMIC (16) takes, where it is there.
    pub atomic: Option<AtomicBlocks>,
    /// The space below is shared, and it is told when it gets scarce.
    pub tells_scarcity: bool,
}

/// Writes that are whole or not at all, in blocks: a power of two of them, at a multiple of their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtomicBlocks {
    /// The fewest.
    pub min: u32,
    /// The most.
    pub max: u32,
}

impl AtomicBlocks {
    fn of(bytes: Atomic, block_bytes: u32) -> Option<Self> {
        let block = block_bytes.max(1);
        let (min, max) = (bytes.bytes_min.div_ceil(block).next_power_of_two(), bytes.bytes_max / block);
        (min <= max).then_some(Self { min, max })
    }

    /// Whether a write is one of them.
    #[must_use]
    pub fn takes(&self, first: u64, blocks: u64) -> bool {
        blocks.is_power_of_two()
            && (u64::from(self.min)..=u64::from(self.max)).contains(&blocks)
            && first.is_multiple_of(blocks)
    }
}

/// What the administrator set; `None`, or 0 of a number, is what the medium says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaWishes {
    /// `emulate_tpu`.
    pub unmap: Option<bool>,
    /// `emulate_tpws`.
    pub write_same_unmaps: Option<bool>,
    /// `unmap_zeroes_data`.
    pub unmapped_reads_zero: Option<bool>,
    /// `emulate_caw`.
    pub compare_and_write: Option<bool>,
    /// `emulate_3pc`.
    pub third_party_copy: Option<bool>,
    /// `max_unmap_lba_count`.
    pub unmap_blocks_max: u32,
    /// `max_unmap_block_desc_count`.
    pub unmap_descriptors_max: u32,
    /// `unmap_granularity`.
    pub unmap_granularity_blocks: u32,
    /// `unmap_granularity_alignment`.
    pub unmap_alignment_blocks: u32,
    /// `max_write_same_len`.
    pub write_same_blocks_max: u32,
}

impl Media {
    /// What a medium can, in blocks of `block_bytes`.
    #[must_use]
    pub fn of(abilities: Abilities, block_bytes: u32) -> Self {
        let block = u64::from(block_bytes.max(1));
        let blocks = |bytes: u64| u32::try_from(bytes / block).unwrap_or(u32::MAX);
        let atomic = abilities.atomic.and_then(|atomic| AtomicBlocks::of(atomic, block_bytes));
        let base = Self { compare_and_write: true, third_party_copy: true, atomic, ..Self::default() };
        let Some(discard) = abilities.discard else {
            let write_same_blocks_max = WRITE_SAME_BYTES_MAX / block;
            return Self { write_same_blocks_max, ..base };
        };
        let at_once = if discard.bytes_max == 0 { u64::MAX } else { discard.bytes_max };
        Self {
            unmap: true,
            write_same_unmaps: true,
            unmapped_reads_zero: discard.reads_zero,
            unmap_blocks_max: blocks(at_once.min(SPACE_BYTES_MAX)),
            unmap_descriptors_max: UNMAP_DESCRIPTORS_MAX,
            unmap_granularity_blocks: blocks(u64::from(discard.granularity_bytes)).max(1),
            unmap_alignment_blocks: blocks(u64::from(discard.alignment_bytes)),
            write_same_blocks_max: at_once.min(WRITE_SAME_BYTES_MAX) / block,
            tells_scarcity: abilities.shares_space,
            ..base
        }
    }

    /// The same with what the administrator set.  Nothing that the medium cannot do comes to be there.
    #[must_use]
    pub fn with(self, wishes: &MediaWishes) -> Self {
        let number = |wish, own| if wish == 0 { own } else { wish };
        let switch = |wish: Option<bool>, own: bool| own && wish.unwrap_or(own);
        Self {
            unmap: switch(wishes.unmap, self.unmap),
            write_same_unmaps: switch(wishes.write_same_unmaps, self.write_same_unmaps),
            unmapped_reads_zero: switch(wishes.unmapped_reads_zero, self.unmapped_reads_zero),
            compare_and_write: switch(wishes.compare_and_write, self.compare_and_write),
            third_party_copy: switch(wishes.third_party_copy, self.third_party_copy),
            unmap_blocks_max: number(wishes.unmap_blocks_max, self.unmap_blocks_max),
            unmap_descriptors_max: number(wishes.unmap_descriptors_max, self.unmap_descriptors_max),
            unmap_granularity_blocks: number(wishes.unmap_granularity_blocks, self.unmap_granularity_blocks),
            unmap_alignment_blocks: number(wishes.unmap_alignment_blocks, self.unmap_alignment_blocks),
            tells_scarcity: self.tells_scarcity,
            atomic: self.atomic,
            write_same_blocks_max: match wishes.write_same_blocks_max {
                0 => self.write_same_blocks_max,
                wish => u64::from(wish),
            },
        }
    }

    /// Whether thresholds of provisioning are there: where nothing is thin there is no such page.
    #[must_use]
    pub fn has_threshold(&self) -> bool {
        self.tells_scarcity && self.provisioning().is_managed()
    }

    /// What VPD page B2h and READ CAPACITY (16) say.
    #[must_use]
    pub fn provisioning(&self) -> Provisioning {
        Provisioning {
            unmap: self.unmap,
            write_same_unmaps: self.write_same_unmaps,
            unmapped_reads_zero: self.unmapped_reads_zero,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstore::Discard;

    fn file() -> Media {
        let discard = Discard { granularity_bytes: 4096, alignment_bytes: 0, bytes_max: 0, reads_zero: true };
        Media::of(Abilities { discard: Some(discard), zeroes: true, shares_space: true, atomic: None }, 512)
    }

    #[test]
    fn a_file_is_thin_and_says_how_much_it_takes() {
        let media = file();
        assert!(media.unmap && media.write_same_unmaps && media.unmapped_reads_zero);
        assert_eq!((media.unmap_blocks_max, media.unmap_granularity_blocks), (1_048_576, 8));
        assert_eq!(media.write_same_blocks_max, 524_288);
    }

    #[test]
    fn writes_that_are_whole_are_powers_of_two_at_multiples_of_their_length() {
        let atomic = Some(Atomic { bytes_min: 512, bytes_max: 65536 });
        let media = |block| Media::of(Abilities { atomic, ..Abilities::default() }, block);
        assert_eq!(media(512).atomic, Some(AtomicBlocks { min: 1, max: 128 }));
        assert_eq!(media(4096).atomic, Some(AtomicBlocks { min: 1, max: 16 }));
        assert_eq!(Media::of(Abilities::default(), 512).atomic, None);
        let taken = AtomicBlocks { min: 4, max: 16 };
        assert!(taken.takes(8, 8) && taken.takes(0, 16) && taken.takes(4, 4));
        assert!(!taken.takes(4, 8) && !taken.takes(0, 32) && !taken.takes(0, 2) && !taken.takes(0, 12));
    }

    #[test]
    fn a_medium_without_discard_is_not_thin_whatever_is_wished() {
        let medium = Media::of(Abilities::default(), 512);
        let wishes =
            MediaWishes { unmap: Some(true), write_same_unmaps: Some(true), ..MediaWishes::default() };
        let media = medium.with(&wishes);
        assert!(!media.unmap && !media.write_same_unmaps && !media.provisioning().is_managed());
        assert!(media.compare_and_write);
    }

    #[test]
    fn wishes_take_away_and_numbers_replace() {
        let wishes = MediaWishes {
            unmap: Some(false),
            compare_and_write: Some(false),
            unmap_blocks_max: 8192,
            write_same_blocks_max: 4096,
            ..MediaWishes::default()
        };
        let media = file().with(&wishes);
        assert!(!media.unmap && media.write_same_unmaps && !media.compare_and_write);
        assert_eq!((media.unmap_blocks_max, media.write_same_blocks_max), (8192, 4096));
        assert_eq!(media.unmap_descriptors_max, 256);
    }

    #[test]
    fn a_device_takes_no_more_at_once_than_it_says() {
        let discard = Discard {
            granularity_bytes: 65536,
            alignment_bytes: 4096,
            bytes_max: 1 << 20,
            reads_zero: false,
        };
        let media = Media::of(
            Abilities { discard: Some(discard), zeroes: false, shares_space: false, atomic: None },
            4096,
        );
        assert_eq!((media.unmap_blocks_max, media.write_same_blocks_max), (256, 256));
        assert_eq!((media.unmap_granularity_blocks, media.unmap_alignment_blocks), (16, 1));
        assert!(!media.unmapped_reads_zero);
    }
}
