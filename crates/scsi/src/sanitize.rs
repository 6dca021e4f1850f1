// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a medium is overwritten with: the parameter list of SANITIZE.  SBC-3, OVERWRITE service action.
//!
//! Above: `target`.
//! Below: `field`.
//! Never here: the overwriting.

use crate::Sense;
use crate::field::Fields;

const HEADER_BYTES: usize = 4;

/// What is written, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overwrite {
    /// INVERT: every second time with all bits of the pattern the other way round.
    pub invert: bool,
    /// How often, 1..=31.
    pub count: u8,
    /// What, over and over from the beginning of each block; not empty and no longer than a block.
    pub pattern: Vec<u8>,
}

/// Returns the lengths that a list may have where a block has `block_bytes` bytes.
#[must_use]
pub fn list_bytes(block_bytes: u32) -> std::ops::RangeInclusive<u64> {
    let header = HEADER_BYTES as u64;
    header + 1..=header + u64::from(block_bytes)
}

/// Reads a parameter list of one of the lengths of [`list_bytes`].
///
/// # Errors
///
/// INVALID FIELD IN CDB for a count or a length of a pattern that must not be, as SBC-3 has it although neither is in
/// the CDB; INVALID FIELD IN PARAMETER LIST for TEST, which is vendor specific; PARAMETER LIST LENGTH ERROR where the
/// list is shorter than its pattern.
pub fn parse(list: &[u8], block_bytes: u32) -> Result<Overwrite, Sense> {
    let (header, rest) =
        list.split_first_chunk::<HEADER_BYTES>().ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    let fields = Fields(header);
    let (count, pattern_bytes) = (fields.bits::<0, 4, 0>(), fields.be16::<2>());
    if count == 0 || pattern_bytes == 0 || u32::from(pattern_bytes) > block_bytes {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    if fields.bits::<0, 6, 5>() != 0 {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
    }
    let pattern = rest.get(..usize::from(pattern_bytes)).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    Ok(Overwrite { invert: fields.bit::<0, 7>(), count, pattern: pattern.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_and_how_often() {
        let overwrite = Overwrite { invert: true, count: 3, pattern: vec![0xaa, 0xbb] };
        assert_eq!(parse(&[0x83, 0, 0, 2, 0xaa, 0xbb], 512), Ok(overwrite));
    }

    #[test]
    fn never_and_nothing_are_refused() {
        let refused = Err(Sense::INVALID_FIELD_IN_CDB);
        assert_eq!(parse(&[0x00, 0, 0, 1, 0xaa], 512), refused);
        assert_eq!(parse(&[0x01, 0, 0, 0, 0xaa], 512), refused);
        assert_eq!(parse(&[0x01, 0, 0x02, 0x04, 0xaa], 512), refused);
    }

    #[test]
    fn a_list_that_is_shorter_than_its_pattern_is_refused() {
        assert_eq!(parse(&[0x01, 0, 0, 2, 0xaa], 512), Err(Sense::PARAMETER_LIST_LENGTH_ERROR));
        assert_eq!(parse(&[0x21, 0, 0, 1, 0xaa], 512), Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST));
        assert_eq!(list_bytes(512), 5..=516);
    }
}
