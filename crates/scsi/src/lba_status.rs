// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which blocks are mapped: the answer to GET LBA STATUS.  SBC-3.
//!
//! Above: `target`, which asks the medium.
//! Below: `field`.
//! Never here: a guess.

use crate::field::Block;
use crate::{BlockCount, Lba};

const HEADER_BYTES: usize = 8;
const DESCRIPTOR_BYTES: usize = 16;

/// The state of blocks that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first block.
    pub first: Lba,
    /// How many; not 0.
    pub blocks: BlockCount,
    /// Whether space is taken for them.
    pub mapped: bool,
}

/// Returns how many extents an answer of that many bytes holds: one at least, for what is cut from it.
#[must_use]
pub fn extents_in(allocation_bytes: u64) -> usize {
    let bytes = usize::try_from(allocation_bytes).unwrap_or(usize::MAX);
    (bytes.saturating_sub(HEADER_BYTES) / DESCRIPTOR_BYTES).max(1)
}

/// Returns the answer; the caller cuts it to the allocation length.
#[must_use]
pub fn build(extents: &[Extent]) -> Vec<u8> {
    const MAPPED: u8 = 0;
    const DEALLOCATED: u8 = 1;
    // PARAMETER DATA LENGTH: the bytes that follow it.
    let follows = u32::try_from(4 + DESCRIPTOR_BYTES * extents.len()).unwrap_or(u32::MAX);
    let mut answer = Block::<HEADER_BYTES>::new().be32::<0>(follows).done().to_vec();
    for extent in extents {
        let status = if extent.mapped { MAPPED } else { DEALLOCATED };
        let descriptor = Block::<DESCRIPTOR_BYTES>::new()
            .be64::<0>(extent.first.0)
            .be32::<8>(u32::try_from(extent.blocks.0).unwrap_or(u32::MAX))
            .bits::<12, 3, 0>(status);
        answer.extend(descriptor.done());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_extent_has_a_descriptor() {
        let mapped = Extent { first: Lba(0x0102), blocks: BlockCount(3), mapped: true };
        let hole = Extent { first: Lba(0x0105), blocks: BlockCount(0x1_0000_0000), mapped: false };
        #[rustfmt::skip]
        let expected = [
            0, 0, 0, 36, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 1, 5, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0,
        ];
        assert_eq!(build(&[mapped, hole]), expected);
    }

    #[test]
    fn an_answer_holds_as_many_extents_as_fit_and_at_least_one() {
        assert_eq!([0, 23, 24, 39, 40, 256].map(extents_in), [1, 1, 1, 1, 2, 15]);
    }
}
