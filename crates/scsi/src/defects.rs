// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Defects of the medium, of which there are none: the answer to READ DEFECT DATA.  SBC-3.
//!
//! Above: `target`.
//! Below: `field`.
//! Never here: defects of what the host keeps the blocks in; it hides them.

use crate::cdb::media::ReadDefectData;
use crate::field::Block;

/// Returns empty lists, in the format that is wanted; the caller cuts them to the allocation length.
#[must_use]
pub fn build(command: &ReadDefectData) -> Vec<u8> {
    let header = Block::<8>::new()
        .bit::<1, 4>(command.primary) // PLISTV
        .bit::<1, 3>(command.grown) // GLISTV
        .bits::<1, 2, 0>(command.format)
        .done();
    if command.long_header { header.to_vec() } else { header[..4].to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_empty_in_the_format_that_is_wanted() {
        let short = ReadDefectData {
            long_header: false,
            primary: true,
            grown: false,
            format: 5,
            allocation_bytes: 255,
        };
        assert_eq!(build(&short), [0, 0x15, 0, 0]);
        let long = ReadDefectData { long_header: true, primary: false, grown: true, ..short };
        assert_eq!(build(&long), [0, 0x0d, 0, 0, 0, 0, 0, 0]);
    }
}
