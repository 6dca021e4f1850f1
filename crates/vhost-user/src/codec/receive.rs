// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Puts messages together from the pieces that a stream socket delivers.
//!
//! Above: the caller's socket loop, which fills `space` with one `recvmsg` and reports how much came.
//! Below: `Header`, `decode`.
//! Never here: the socket.

use super::{FDS_MAX, HEADER_BYTES, Header, Malformed, PAYLOAD_BYTES_MAX, WireError, decode};
use crate::Message;
use std::os::fd::OwnedFd;

/// What one piece of the stream led to.
#[derive(Debug)]
pub enum Received {
    /// The message is not whole yet.
    Partial,
    /// A message, for [`crate::Session::on`].
    Message(Message),
    /// A message that makes no sense, for [`crate::Session::on_malformed`].
    Malformed(Malformed),
}

/// Collects one message after the other.
///
/// It never asks for bytes beyond the current message, because file descriptors belong to the message whose bytes
/// they come with.
#[derive(Debug)]
pub struct Receiver {
    buffer: Box<[u8]>,
    filled: usize,
    header: Option<Header>,
    fds: Vec<OwnedFd>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Begins at the first byte of a connection.
    pub fn new() -> Self {
        let buffer = vec![0; HEADER_BYTES + PAYLOAD_BYTES_MAX].into_boxed_slice();
        Self { buffer, filled: 0, header: None, fds: Vec::new() }
    }

    /// Where the next bytes go.  Never empty.
    pub fn space(&mut self) -> &mut [u8] {
        let end = self.message_bytes();
        self.buffer.get_mut(self.filled..end).unwrap_or_default()
    }

    /// Whether the stream stands between two messages, so that its end would be an orderly one.
    pub fn is_idle(&self) -> bool {
        self.filled == 0
    }

    /// Takes note of `bytes` that were written to the front of `space`, and of the file descriptors that came along.
    ///
    /// # Errors
    /// The stream has lost its meaning: close the connection.
    pub fn received(&mut self, bytes: usize, fds: Vec<OwnedFd>) -> Result<Received, WireError> {
        let count = self.fds.len().saturating_add(fds.len());
        if count > FDS_MAX {
            return Err(WireError::FdCount { count });
        }
        self.fds.extend(fds);
        self.filled = self.filled.saturating_add(bytes).min(self.message_bytes());
        if self.header.is_none()
            && self.filled == HEADER_BYTES
            && let Some(header) = self.buffer.first_chunk()
        {
            self.header = Some(Header::parse(*header)?);
        }
        let Some(header) = self.header else { return Ok(Received::Partial) };
        let end = self.message_bytes();
        if self.filled < end {
            return Ok(Received::Partial);
        }
        let payload = self.buffer.get(HEADER_BYTES..end).unwrap_or_default();
        let outcome = decode(header, payload, std::mem::take(&mut self.fds));
        self.filled = 0;
        self.header = None;
        Ok(outcome.map_or_else(Received::Malformed, Received::Message))
    }

    /// Length of the message as far as it is known.
    fn message_bytes(&self) -> usize {
        self.header.map_or(HEADER_BYTES, |header| HEADER_BYTES.saturating_add(header.payload_bytes))
    }
}
