// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes numbers off the front of a payload.
//!
//! Above: `codec`, `codec/decode.rs`.
//! Below: nothing.
//! Never here: which message it is.

use crate::WireError;

/// The part of a payload that has not been read yet.
pub(super) struct Fields<'a> {
    whole_bytes: usize,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { whole_bytes: payload.len(), rest: payload }
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_ne_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_ne_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_ne_bytes)
    }

    /// Takes all that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Checks that nothing is left.
    pub(super) fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong_length()) }
    }

    /// Returns the error that says that the payload has not the length of its message.
    pub(super) fn wrong_length(&self) -> WireError {
        WireError::PayloadLength { bytes: self.whole_bytes }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some((field, rest)) = self.rest.split_first_chunk::<N>() else { return Err(self.wrong_length()) };
        self.rest = rest;
        Ok(*field)
    }
}
