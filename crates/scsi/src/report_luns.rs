// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The answer to REPORT LUNS.  SPC-4 6.33.
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
