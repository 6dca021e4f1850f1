// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The answer to REPORT LUNS.  SPC-4.
//!
//! Above: `target`, which knows the units, and sorts them.
//! Below: `lun`.
//! Never here: which units exist.

use crate::lun::well_known_entry;
use crate::{Lun, SelectReport};

/// Returns the whole answer; the caller cuts it to the allocation length, which leaves the length field true.
///
/// `luns` are listed in the order given: the caller sorts.  Where none is mapped, `luns` holds LUN 0, which
/// answers REPORT LUNS in every target.  The REPORT LUNS well-known unit exists in every target too.
#[must_use]
pub fn build(luns: &[Lun], select: SelectReport) -> Vec<u8> {
    let numbered = match select {
        SelectReport::Numbered | SelectReport::All => luns,
        SelectReport::WellKnown => &[],
    };
    let well_known = match select {
        SelectReport::WellKnown | SelectReport::All => Some(well_known_entry()),
        SelectReport::Numbered => None,
    };
    let entries: Vec<u8> = numbered.iter().map(|lun| lun.entry()).chain(well_known).flatten().collect();
    // 16384 units and the well-known one make 131,080 bytes.
    let list_bytes = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let mut answer = Vec::with_capacity(8 + entries.len());
    answer.extend(list_bytes.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(entries);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(luns: &[u16], select: SelectReport, expected: &[[u8; 8]]) {
        let luns: Vec<_> = luns.iter().copied().filter_map(Lun::new).collect();
        assert_eq!(build(&luns, select), expected.concat());
    }

    #[test]
    fn units_are_listed_as_they_are_given() {
        let list = [
            [0, 0, 0, 24, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0, 39, 0, 0, 0, 0, 0, 0],
            [0x41, 0x2c, 0, 0, 0, 0, 0, 0],
        ];
        check(&[0, 39, 300], SelectReport::Numbered, &list);
    }

    #[test]
    fn the_well_known_unit_is_in_every_target() {
        let well_known = [0xc1, 0x01, 0, 0, 0, 0, 0, 0];
        check(&[5], SelectReport::WellKnown, &[[0, 0, 0, 8, 0, 0, 0, 0], well_known]);
        check(&[5], SelectReport::All, &[[0, 0, 0, 16, 0, 0, 0, 0], [0, 5, 0, 0, 0, 0, 0, 0], well_known]);
    }

    #[test]
    fn every_unit_that_there_can_be_fits() {
        let luns: Vec<_> = (0..=16383).filter_map(Lun::new).collect();
        let list = build(&luns, SelectReport::All);
        assert_eq!(list[..8], [0x00, 0x02, 0x00, 0x08, 0, 0, 0, 0]);
        assert_eq!(list.len(), 131_088);
    }
}
