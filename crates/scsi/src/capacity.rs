// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many blocks a unit has: the answers to READ CAPACITY (10) and (16).  SBC-3.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlockCount;

    fn geometry(blocks: u64) -> Geometry {
        Geometry { blocks: BlockCount(blocks), block_bytes: 512, physical_exponent: 0, lowest_aligned: 0 }
    }

    #[test]
    fn the_disk_of_the_walkthrough_has_29360128_blocks() {
        let last_and_block_bytes = [0x01, 0xbf, 0xff, 0xff, 0x00, 0x00, 0x02, 0x00];
        assert_eq!(read_capacity_10(&geometry(29_360_128)), last_and_block_bytes);
    }

    #[test]
    fn an_address_of_more_than_32_bits_sends_to_the_longer_command() {
        let answer = |blocks| read_capacity_10(&geometry(blocks))[..4].to_vec();
        assert_eq!(answer(0xffff_ffff), [0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(answer(0x1_0000_0000), [0xff, 0xff, 0xff, 0xff]);
        assert_eq!(answer(0x1_0000_0001), [0xff, 0xff, 0xff, 0xff]);
        let long = read_capacity_16(&geometry(0x1_0000_0001), Provisioning::default());
        assert_eq!(long[..12], [0, 0, 0, 1, 0, 0, 0, 0, 0x00, 0x00, 0x02, 0x00]);
        assert_eq!(long[12..], [0; 20]);
    }

    #[test]
    fn the_layout_of_physical_blocks_is_beside_provisioning() {
        let geometry = Geometry { physical_exponent: 3, lowest_aligned: 0x0107, ..geometry(16) };
        let layout = |provisioning| read_capacity_16(&geometry, provisioning)[12..16].to_vec();
        let none = Provisioning::default();
        assert_eq!(layout(none), [0x00, 0x03, 0x01, 0x07]);
        assert_eq!(layout(Provisioning { unmap: true, ..none }), [0x00, 0x03, 0x81, 0x07]);
        let reads_zero = Provisioning { unmap: true, unmapped_reads_zero: true, ..none };
        assert_eq!(layout(reads_zero), [0x00, 0x03, 0xc1, 0x07]);
        assert_eq!(layout(Provisioning { unmapped_reads_zero: true, ..none }), [0x00, 0x03, 0x01, 0x07]);
    }
}
