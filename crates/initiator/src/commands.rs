// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The common commands, written with literal bytes (SPC-4, SBC-3): a second opinion on the encoding.
//!
//! Above: tests, `load`, `guest`.  Below: `request`.
//! Never here: our own `scsi` crate.  What is tested must not encode its own questions.

use crate::request::{Command, LunAddress};

/// TEST UNIT READY.
#[must_use]
pub fn test_unit_ready(address: LunAddress) -> Command {
    Command::new(address, &[0x00, 0, 0, 0, 0, 0])
}

/// REQUEST SENSE, fixed format.
#[must_use]
pub fn request_sense(address: LunAddress, bytes: u8) -> Command {
    Command::new(address, &[0x03, 0, 0, 0, bytes, 0]).data_in(bytes.into())
}

/// INQUIRY, standard data.
#[must_use]
pub fn inquiry(address: LunAddress, bytes: u16) -> Command {
    let [high, low] = bytes.to_be_bytes();
    Command::new(address, &[0x12, 0, 0, high, low, 0]).data_in(bytes.into())
}

/// INQUIRY, a vital product data page.
#[must_use]
pub fn inquiry_page(address: LunAddress, page: u8, bytes: u16) -> Command {
    let [high, low] = bytes.to_be_bytes();
    Command::new(address, &[0x12, 1, page, high, low, 0]).data_in(bytes.into())
}

/// MODE SENSE (6); `page` has the page control in its upper two bits.
#[must_use]
pub fn mode_sense_6(address: LunAddress, page: u8, subpage: u8, bytes: u8) -> Command {
    Command::new(address, &[0x1a, 0, page, subpage, bytes, 0]).data_in(bytes.into())
}

/// MODE SENSE (10).
#[must_use]
pub fn mode_sense_10(address: LunAddress, page: u8, subpage: u8, bytes: u16) -> Command {
    let [high, low] = bytes.to_be_bytes();
    Command::new(address, &[0x5a, 0, page, subpage, 0, 0, 0, high, low, 0]).data_in(bytes.into())
}

/// START STOP UNIT; `action` is byte 4: START in bit 0, LOEJ in bit 1.
#[must_use]
pub fn start_stop_unit(address: LunAddress, action: u8) -> Command {
    Command::new(address, &[0x1b, 0, 0, 0, action, 0])
}

/// READ CAPACITY (10).
#[must_use]
pub fn read_capacity_10(address: LunAddress) -> Command {
    Command::new(address, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]).data_in(8)
}

/// READ CAPACITY (16).
#[must_use]
pub fn read_capacity_16(address: LunAddress, bytes: u32) -> Command {
    let mut cdb = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    cdb[10..14].copy_from_slice(&bytes.to_be_bytes());
    Command::new(address, &cdb).data_in(bytes as usize)
}

/// REPORT LUNS; `select` 0 is "all but the well-known".
#[must_use]
pub fn report_luns(address: LunAddress, select: u8, bytes: u32) -> Command {
    let mut cdb = [0xa0, 0, select, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    cdb[6..10].copy_from_slice(&bytes.to_be_bytes());
    Command::new(address, &cdb).data_in(bytes as usize)
}

/// REPORT SUPPORTED OPERATION CODES, all of them, without timeouts.
#[must_use]
pub fn report_supported_operation_codes(address: LunAddress, bytes: u32) -> Command {
    let mut cdb = [0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    cdb[6..10].copy_from_slice(&bytes.to_be_bytes());
    Command::new(address, &cdb).data_in(bytes as usize)
}

/// SYNCHRONIZE CACHE (10) of `blocks` from `lba`; no blocks are all of them.
#[must_use]
pub fn synchronize_cache_10(address: LunAddress, lba: u32, blocks: u16) -> Command {
    Command::new(address, &cdb_10(0x35, lba, blocks))
}

/// SYNCHRONIZE CACHE (16).
#[must_use]
pub fn synchronize_cache_16(address: LunAddress, lba: u64, blocks: u32) -> Command {
    Command::new(address, &cdb_16(0x91, lba, blocks))
}

/// VERIFY (10) without a comparison.
#[must_use]
pub fn verify_10(address: LunAddress, lba: u32, blocks: u16) -> Command {
    Command::new(address, &cdb_10(0x2f, lba, blocks))
}

/// VERIFY (16) without a comparison.
#[must_use]
pub fn verify_16(address: LunAddress, lba: u64, blocks: u32) -> Command {
    Command::new(address, &cdb_16(0x8f, lba, blocks))
}

/// READ (6); 0 blocks are 256, `lba` has 21 bits.
#[must_use]
pub fn read_6(address: LunAddress, lba: u32, blocks: u8, bytes: usize) -> Command {
    Command::new(address, &cdb_6(0x08, lba, blocks)).data_in(bytes)
}

/// READ (10) into a buffer of `bytes`.
#[must_use]
pub fn read_10(address: LunAddress, lba: u32, blocks: u16, bytes: usize) -> Command {
    Command::new(address, &cdb_10(0x28, lba, blocks)).data_in(bytes)
}

/// READ (12) into a buffer of `bytes`.
#[must_use]
pub fn read_12(address: LunAddress, lba: u32, blocks: u32, bytes: usize) -> Command {
    Command::new(address, &cdb_12(0xa8, lba, blocks)).data_in(bytes)
}

/// READ (16) into a buffer of `bytes`.
#[must_use]
pub fn read_16(address: LunAddress, lba: u64, blocks: u32, bytes: usize) -> Command {
    Command::new(address, &cdb_16(0x88, lba, blocks)).data_in(bytes)
}

/// WRITE (6); 0 blocks are 256, `lba` has 21 bits.
#[must_use]
pub fn write_6(address: LunAddress, lba: u32, blocks: u8, data: &[u8]) -> Command {
    Command::new(address, &cdb_6(0x0a, lba, blocks)).data_out(data)
}

/// WRITE (10).
#[must_use]
pub fn write_10(address: LunAddress, lba: u32, blocks: u16, data: &[u8]) -> Command {
    Command::new(address, &cdb_10(0x2a, lba, blocks)).data_out(data)
}

/// WRITE (12).
#[must_use]
pub fn write_12(address: LunAddress, lba: u32, blocks: u32, data: &[u8]) -> Command {
    Command::new(address, &cdb_12(0xaa, lba, blocks)).data_out(data)
}

/// WRITE (16).
#[must_use]
pub fn write_16(address: LunAddress, lba: u64, blocks: u32, data: &[u8]) -> Command {
    Command::new(address, &cdb_16(0x8a, lba, blocks)).data_out(data)
}

fn cdb_6(opcode: u8, lba: u32, blocks: u8) -> [u8; 6] {
    let [_, high, middle, low] = lba.to_be_bytes();
    [opcode, high & 0x1f, middle, low, blocks, 0]
}

fn cdb_10(opcode: u8, lba: u32, blocks: u16) -> [u8; 10] {
    let ([a, b, c, d], [high, low]) = (lba.to_be_bytes(), blocks.to_be_bytes());
    [opcode, 0, a, b, c, d, 0, high, low, 0]
}

fn cdb_12(opcode: u8, lba: u32, blocks: u32) -> [u8; 12] {
    let ([a, b, c, d], [e, f, g, h]) = (lba.to_be_bytes(), blocks.to_be_bytes());
    [opcode, 0, a, b, c, d, e, f, g, h, 0, 0]
}

fn cdb_16(opcode: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode;
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_counts_are_where_sbc_puts_them() {
        let unit = LunAddress::unit(0, 0);
        assert_eq!(read_6(unit, 0x1f_1234, 0, 0).cdb, [0x08, 0x1f, 0x12, 0x34, 0, 0]);
        assert_eq!(write_10(unit, 0x0102_0304, 0x0506, &[]).cdb, [0x2a, 0, 1, 2, 3, 4, 0, 5, 6, 0]);
        assert_eq!(read_12(unit, 0x0102_0304, 0x0506_0708, 0).cdb, [0xa8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
        assert_eq!(
            write_16(unit, 0x0102_0304_0506_0708, 0x090a_0b0c, &[]).cdb,
            [0x8a, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0]
        );
        assert_eq!(read_capacity_16(unit, 32).cdb, [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]);
        assert_eq!(report_luns(unit, 2, 0x100).cdb, [0xa0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    }
}
