// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers as bytes and file descriptors, ready to be sent in one piece.
//!
//! Above: `session`.
//! Below: nothing.
//! Never here: sending.

use super::{FLAG_REPLY, HEADER_BYTES, VERSION};
use crate::Request;
use std::os::fd::OwnedFd;

/// One whole answer: header and payload, and the file descriptors that go with its first byte.
#[derive(Debug)]
#[must_use = "the front end waits for it"]
pub struct Reply {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Reply {
    /// What to send, header included.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What to send along.  The sender keeps its own copies, which close when the answer is dropped.
    pub fn fds(&self) -> &[OwnedFd] {
        &self.fds
    }

    /// Begins an answer to `request` with an empty payload.
    ///
    /// QEMU compares all flags with version and reply bit, so a need_reply bit must not be echoed.
    pub(crate) fn to(request: Request) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + 8);
        for field in [request.0, VERSION | FLAG_REPLY, 0] {
            bytes.extend_from_slice(&field.to_ne_bytes());
        }
        Self { bytes, fds: Vec::new() }
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.data(&value.to_ne_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.data(&value.to_ne_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.data(&value.to_ne_bytes())
    }

    /// Adds bytes to the payload.
    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(data);
        let payload_bytes = self.bytes.len().saturating_sub(HEADER_BYTES);
        let size = u32::try_from(payload_bytes).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.get_mut(8..HEADER_BYTES) {
            field.copy_from_slice(&size.to_ne_bytes());
        }
        self
    }

    pub(crate) fn fd(mut self, fd: OwnedFd) -> Self {
        self.fds.push(fd);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_carries_version_and_reply_bit_and_its_payload_length() {
        assert_eq!(Reply::to(Request(24)).bytes(), [24, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let reply = Reply::to(Request(31)).u64(0x0102).u32(3).u16(4).data(&[9]);
        assert_eq!(
            reply.bytes(),
            [31, 0, 0, 0, 5, 0, 0, 0, 15, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 9]
        );
    }
}
