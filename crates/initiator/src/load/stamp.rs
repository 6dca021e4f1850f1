// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a checked load writes into a block, so that reading it back tells whose block it is and how old.
//!
//! Above: `load/runner.rs`.  Below: nothing.
//! Never here: which block, or when.
//!
//! A block holds its address, its generation and the seed, and after them a stream of words that follows from all
//! three: a block that is torn, shifted, stale or another's differs somewhere.

use super::Corruption;

const STAMP_BYTES: usize = 24;

/// Fills a block.  It has at least 24 bytes.
pub(super) fn write(block: &mut [u8], lba: u64, generation: u32, seed: u64) {
    let (stamp, rest) = block.split_at_mut(STAMP_BYTES);
    stamp.copy_from_slice(&stamp_bytes(lba, generation, seed));
    let mut words = Words::new(lba, generation, seed);
    for piece in rest.chunks_mut(8) {
        let word = words.next_word().to_le_bytes();
        piece.copy_from_slice(&word[..piece.len()]);
    }
}

/// Compares a block with what `write` put there; says what it is instead.
pub(super) fn check(block: &[u8], lba: u64, generation: u32, seed: u64) -> Option<Corruption> {
    let (stamp, rest) = block.split_at(STAMP_BYTES);
    let mut words = Words::new(lba, generation, seed);
    let same = stamp == stamp_bytes(lba, generation, seed)
        && rest.chunks(8).all(|piece| *piece == words.next_word().to_le_bytes()[..piece.len()]);
    if same {
        return None;
    }
    let word = |at: usize| block[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
    let ours = word(16) == seed;
    let found =
        u32::try_from(word(8)).ok().filter(|_| ours).map(|found_generation| (word(0), found_generation));
    Some(Corruption { lba, expected_generation: generation, found })
}

fn stamp_bytes(lba: u64, generation: u32, seed: u64) -> [u8; STAMP_BYTES] {
    let mut bytes = [0; STAMP_BYTES];
    bytes[0..8].copy_from_slice(&lba.to_le_bytes());
    bytes[8..16].copy_from_slice(&u64::from(generation).to_le_bytes());
    bytes[16..24].copy_from_slice(&seed.to_le_bytes());
    bytes
}

/// SplitMix64, which is enough to make two blocks differ.
#[derive(Debug)]
pub(super) struct Words(u64);

impl Words {
    pub(super) fn new(lba: u64, generation: u32, seed: u64) -> Self {
        Self(lba.rotate_left(32) ^ u64::from(generation) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn next_word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(lba: u64, generation: u32) -> Vec<u8> {
        let mut block = vec![0; 512];
        write(&mut block, lba, generation, 7);
        block
    }

    #[test]
    fn a_block_is_itself() {
        assert_eq!(check(&stamped(5, 3), 5, 3, 7), None);
    }

    #[test]
    fn a_stale_or_strange_block_says_which_it_is() {
        let corruption = |found| Some(Corruption { lba: 5, expected_generation: 3, found });
        assert_eq!(check(&stamped(5, 2), 5, 3, 7), corruption(Some((5, 2))));
        assert_eq!(check(&stamped(6, 3), 5, 3, 7), corruption(Some((6, 3))));
        assert_eq!(check(&[0; 512], 5, 3, 7), corruption(None));
    }

    #[test]
    fn one_torn_byte_is_found() {
        let mut block = stamped(5, 3);
        block[511] ^= 1;
        assert!(check(&block, 5, 3, 7).is_some());
    }
}
