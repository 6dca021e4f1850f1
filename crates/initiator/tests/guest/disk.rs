// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The SCSI of the tests' device: one disk at target 1, LUN 0, that knows six commands.
//!
//! Above: `walker`.  Below: a vector.
//! Never here: what a real disk is about.

use crate::device::Quirk;
use std::collections::VecDeque;
use std::sync::Mutex;

pub(crate) const DISK_BYTES: usize = 4 << 20;
const BLOCK_BYTES: usize = 512;

#[derive(Debug)]
pub(crate) struct Disk {
    blocks: Mutex<Vec<u8>>,
    events: Mutex<VecDeque<Vec<u8>>>,
    quirk: Quirk,
}

impl Disk {
    pub(crate) fn new(bytes: usize, quirk: Quirk) -> Self {
        Self { blocks: Mutex::new(vec![0; bytes]), events: Mutex::default(), quirk }
    }

    /// Puts an event before the guest.
    pub(crate) fn raise(&self, event: &[u8]) {
        self.events.lock().unwrap().push_back(event.to_vec());
    }

    pub(crate) fn has_event(&self) -> bool {
        !self.events.lock().unwrap().is_empty()
    }

    pub(crate) fn take_event(&self) -> Vec<u8> {
        self.events.lock().unwrap().pop_front().expect("an event")
    }

    /// LOGICAL UNIT RESET succeeds, the rest is rejected; notifications are echoed.
    pub(crate) fn control(&self, request: &[u8]) -> Vec<u8> {
        match request {
            [0, 0, 0, 0, 5, ..] => vec![10],
            [0, ..] => vec![11],
            [1 | 2, .., a, b, c, d] => vec![*a, *b, *c, *d, 0],
            _ => Vec::new(),
        }
    }

    pub(crate) fn request(&self, request: &[u8], room: usize) -> Vec<u8> {
        let (header, data_out) = request.split_at(51);
        let mut reply = vec![0; 108];
        if header[..8] == [0xc1, 1, 0, 0, 0, 0, 0, 0] && header[19] == 0xa0 {
            reply.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            return reply;
        }
        if header[..2] != [1, 1] {
            reply[11] = 3;
            return reply;
        }
        let cdb = &header[19..];
        let lba = u32::from_be_bytes(cdb[2..6].try_into().unwrap()) as usize;
        let range = lba * BLOCK_BYTES
            ..(lba + usize::from(u16::from_be_bytes(cdb[7..9].try_into().unwrap()))) * BLOCK_BYTES;
        match cdb[0] {
            0x00 => {}
            0x12 => reply.extend_from_slice(b"\x00\x00\x06\x02\x1f\0\0\0LIO-ORG disk0           4.0 "),
            0x25 => {
                let last = u32::try_from(DISK_BYTES / BLOCK_BYTES - 1).unwrap();
                reply.extend_from_slice(&last.to_be_bytes());
                reply.extend_from_slice(&[0, 0, 2, 0]);
            }
            0x28 => reply.extend_from_slice(&self.blocks.lock().unwrap()[range]),
            0x2a => {
                let mut blocks = self.blocks.lock().unwrap();
                blocks[range.clone()].copy_from_slice(data_out);
                if self.quirk == Quirk::LoseABit {
                    blocks[range.end - 1] ^= 0x80;
                }
            }
            _ => {
                reply[0] = 18;
                reply[10] = 2;
                reply[12..26].copy_from_slice(&[0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0]);
            }
        }
        let short = room - reply.len();
        reply[4..8].copy_from_slice(&u32::try_from(short).unwrap().to_le_bytes());
        reply
    }
}
