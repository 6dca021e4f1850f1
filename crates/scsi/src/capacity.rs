// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many blocks a unit has: the answers to READ CAPACITY.  SBC-3 5.15 and 5.16.
//!
//! Above: `target`.
//! Below: `geometry`, `field`.
//! Never here: the capacity of a backstore, which may change between two calls.

use crate::field::Block;
use crate::geometry::Geometry;
use crate::vpd::Provisioning;

/// Returns the answer to READ CAPACITY (10), 8 bytes.
///
/// An address that does not fit 32 bits is FFFFFFFFh, which sends the initiator to READ CAPACITY (16).
#[must_use]
pub fn read_capacity_10(geometry: &Geometry) -> Vec<u8> {
    let last = u32::try_from(geometry.last_lba().0).unwrap_or(u32::MAX);
    Block::<8>::new().be32::<0>(last).be32::<4>(geometry.block_bytes).done().to_vec()
}

/// Returns the answer to READ CAPACITY (16), 32 bytes; the caller cuts it to the allocation length.
#[must_use]
pub fn read_capacity_16(geometry: &Geometry, provisioning: Provisioning) -> Vec<u8> {
    Block::<32>::new()
        .be64::<0>(geometry.last_lba().0)
        .be32::<8>(geometry.block_bytes)
        .bits::<13, 3, 0>(geometry.physical_exponent)
        .be16::<14>(geometry.lowest_aligned)
        .bit::<14, 7>(provisioning.is_managed()) // LBPME
        .bit::<14, 6>(provisioning.reads_zero()) // LBPRZ
        .done()
        .to_vec()
}
