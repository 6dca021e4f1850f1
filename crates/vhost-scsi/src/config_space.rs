// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration space of a virtio-scsi device (virtio 1.2, 5.6.4).
//!
//! Above: `connection`.  Below: nothing.
//! Never here: QEMU's, which keeps one of its own and never asks.

/// Request queues that a front end is told of which asks us.  One is what every front end can give.
const REQUEST_QUEUES: u32 = 1;
/// Data segments of a command, as QEMU tells its guests.
const SEGMENTS_MAX: u32 = 126;
/// A hint for the largest transfer, in sectors of 512 bytes.
const SECTORS_MAX: u32 = 0xffff;
/// A hint for the queue depth of a unit.
const COMMANDS_A_LUN: u32 = 128;
const EVENT_BYTES: u32 = 16;
const SENSE_BYTES: u32 = 96;
const CDB_BYTES: u32 = 32;
const CHANNEL_MAX: u16 = 0;
const TARGET_MAX: u16 = 255;
const LUN_MAX: u32 = 16383;

/// The 36 bytes.
pub(crate) fn config_space() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(36);
    for word in
        [REQUEST_QUEUES, SEGMENTS_MAX, SECTORS_MAX, COMMANDS_A_LUN, EVENT_BYTES, SENSE_BYTES, CDB_BYTES]
    {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(CHANNEL_MAX.to_le_bytes());
    bytes.extend(TARGET_MAX.to_le_bytes());
    bytes.extend(LUN_MAX.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_space_has_the_layout_of_the_standard() {
        assert_eq!(
            super::config_space(),
            [
                1, 0, 0, 0, 126, 0, 0, 0, 0xff, 0xff, 0, 0, 128, 0, 0, 0, 16, 0, 0, 0, 96, 0, 0, 0, 32, 0, 0,
                0, 0, 0, 255, 0, 0xff, 0x3f, 0, 0
            ]
        );
    }
}
