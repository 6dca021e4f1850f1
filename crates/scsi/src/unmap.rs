// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which blocks are given up: the parameter list of UNMAP.  SBC-3, UNMAP parameter list.
//!
//! Above: `target`.
//! Below: `field`.
//! Never here: whether a range lies on the medium, or how many a unit takes.

use crate::field::Fields;
use crate::{BlockCount, Lba, Sense};

const HEADER_BYTES: usize = 8;
const DESCRIPTOR_BYTES: usize = 16;

/// Blocks that are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first block.
    pub first: Lba,
    /// How many; may be 0.
    pub blocks: BlockCount,
}

/// Reads a parameter list.  A descriptor that is cut short at the end is ignored, as SBC-3 says.
///
/// # Errors
///
/// PARAMETER LIST LENGTH ERROR where the list is shorter than its header, or than it says.
pub fn parse(list: &[u8]) -> Result<Vec<Extent>, Sense> {
    let (header, rest) =
        list.split_first_chunk::<HEADER_BYTES>().ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    let descriptors_bytes = usize::from(Fields(header).be16::<2>());
    let descriptors = rest.get(..descriptors_bytes).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    let (descriptors, _) = descriptors.as_chunks::<DESCRIPTOR_BYTES>();
    let extent = |bytes: &[u8; DESCRIPTOR_BYTES]| Extent {
        first: Lba(Fields(bytes).be64::<0>()),
        blocks: BlockCount(u64::from(Fields(bytes).be32::<8>())),
    };
    Ok(descriptors.iter().map(extent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u8; 24] =
        [0, 22, 0, 16, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, /* blocks */ 9, 10, 11, 12, 0, 0, 0, 0];

    #[test]
    fn a_descriptor_says_where_and_how_much() {
        let extent = Extent { first: Lba(0x0102_0304_0506_0708), blocks: BlockCount(0x090a_0b0c) };
        assert_eq!(parse(&ONE), Ok(vec![extent]));
        let mut two = [ONE.as_slice(), &ONE[8..]].concat();
        two[3] = 32;
        assert_eq!(parse(&two), Ok(vec![extent, extent]));
    }

    #[test]
    fn a_list_without_descriptors_gives_up_nothing() {
        assert_eq!(parse(&[0, 6, 0, 0, 0, 0, 0, 0]), Ok(vec![]));
    }

    #[test]
    fn a_descriptor_that_is_not_whole_is_ignored() {
        let mut list = ONE.to_vec();
        list[3] = 15;
        assert_eq!(parse(&list), Ok(vec![]));
    }

    #[test]
    fn a_list_that_is_shorter_than_it_says_is_refused() {
        let refused = Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
        assert_eq!(parse(&[]), refused);
        assert_eq!(parse(&ONE[..7]), refused);
        assert_eq!(parse(&ONE[..23]), refused);
    }
}
