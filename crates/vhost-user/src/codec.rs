// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns bytes and file descriptors into messages, and answers into bytes.
//!
//! Above: the caller's socket loop and `session`.
//! Below: `codec/fields.rs`, the only place that takes numbers off the wire.
//! Never here: the state of a connection.  A message is judged by itself: lengths, counts, sums that overflow.
//!
//! A message is a header of 12 bytes and a payload (vhost-user, "Message specification"); all numbers are in the
//! machine's own byte order.  File descriptors come with the first bytes of their message.

mod decode; // payload -> Body
mod fields; // bytes -> numbers
mod receive; // pieces of a stream -> messages
mod reply; // answers -> bytes

use crate::Request;
use crate::codec::fields::Fields;
pub use decode::decode;
pub use receive::{Received, Receiver};
pub use reply::Reply;

/// Length of a header in bytes.
pub const HEADER_BYTES: usize = 12;
/// Longest payload we take, in bytes.  The longest that a front end needs is a read of the configuration space;
/// front ends built on rust-vmm send at most this.
pub const PAYLOAD_BYTES_MAX: usize = 4096;
/// Most file descriptors we take with one message: one for each region of a memory table.
pub const FDS_MAX: usize = 32;
/// Most regions of one memory table.  The standard says 8; front ends built on rust-vmm send up to 32.
pub const TABLE_REGIONS_MAX: usize = 32;

/// The protocol's version, bits 0 and 1 of the flags.
const VERSION: u32 = 0x1;
const VERSION_MASK: u32 = 0x3;
const FLAG_REPLY: u32 = 1 << 2;
const FLAG_NEED_REPLY: u32 = 1 << 3;

const _: () = {
    assert!(TABLE_REGIONS_MAX <= FDS_MAX); // One file a region.
    assert!(8 + TABLE_REGIONS_MAX * 32 <= PAYLOAD_BYTES_MAX); // The largest table fits.
};

/// The fixed part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which message it is.
    pub request: Request,
    /// The sender wants an acknowledgement.
    pub need_reply: bool,
    /// Length of the payload, at most [`PAYLOAD_BYTES_MAX`].
    pub payload_bytes: usize,
}

impl Header {
    /// Parses a header as it comes from a front end.
    ///
    /// # Errors
    /// After any of them the stream has lost its meaning: the connection must be closed.
    pub fn parse(bytes: [u8; HEADER_BYTES]) -> Result<Self, WireError> {
        let mut fields = Fields::new(&bytes);
        let (request, flags, size) = (fields.u32()?, fields.u32()?, fields.u32()?);
        if flags & VERSION_MASK != VERSION {
            return Err(WireError::Version { flags });
        }
        if flags & FLAG_REPLY != 0 {
            return Err(WireError::UnexpectedReply);
        }
        let payload_bytes = usize::try_from(size).unwrap_or(usize::MAX);
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(WireError::PayloadTooLong { bytes: size });
        }
        Ok(Self { request: Request(request), need_reply: flags & FLAG_NEED_REPLY != 0, payload_bytes })
    }
}

/// A message that is framed well, so that the next one can be found, but makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .header.request)]
pub struct Malformed {
    /// Its header.
    pub header: Header,
    /// What is wrong with it.
    pub reason: WireError,
}

/// What can be wrong with the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The two lowest bits of the flags are not the version, 1.
    #[error("header flags {flags:#x} are not of version 1 of vhost-user")]
    Version {
        /// Flags of the header.
        flags: u32,
    },
    /// The message says that it is an answer, but nothing was asked.
    #[error("an answer where a request was expected")]
    UnexpectedReply,
    /// The payload is longer than [`PAYLOAD_BYTES_MAX`].
    #[error("a payload of {bytes} bytes is longer than any message needs")]
    PayloadTooLong {
        /// Length in the header.
        bytes: u32,
    },
    /// The payload has not the length of this message.
    #[error("a payload of {bytes} bytes has not the length of this message")]
    PayloadLength {
        /// Length of the payload.
        bytes: usize,
    },
    /// Not as many file descriptors as the message needs, or more than [`FDS_MAX`].
    #[error("{count} file descriptors are not what this message carries")]
    FdCount {
        /// How many came.
        count: usize,
    },
    /// A memory table with more than [`TABLE_REGIONS_MAX`] regions.
    #[error("a memory table of {count} regions is longer than {TABLE_REGIONS_MAX}")]
    TooManyRegions {
        /// How many it says.
        count: u32,
    },
    /// A memory region, log or inflight area that is empty, or whose end is beyond 64 bits.
    #[error("an area of {bytes} bytes that is empty or reaches beyond 64 bits")]
    Area {
        /// Its length.
        bytes: u64,
    },
    /// A part of a ring is not aligned as virtio demands (virtio 1.2, 2.7).
    #[error("a part of the ring at {address:#x} is not aligned")]
    RingAlignment {
        /// Address of the part.
        address: u64,
    },
    /// A field holds a value the standard does not define.
    #[error("value {value:#x} is not defined")]
    Value {
        /// The value.
        value: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_request_flags_and_size() {
        let header = Header::parse([9, 0, 0, 0, 0x09, 0, 0, 0, 40, 0, 0, 0]);
        assert_eq!(header, Ok(Header { request: Request(9), need_reply: true, payload_bytes: 40 }));
        let header = Header::parse([1, 0, 0, 0, 0x01, 0, 0, 0, 0, 0x10, 0, 0]);
        assert_eq!(header, Ok(Header { request: Request(1), need_reply: false, payload_bytes: 4096 }));
    }

    #[test]
    fn header_of_another_version_is_fatal() {
        for flags in [0, 2, 3, 0x0a] {
            let error = WireError::Version { flags: u32::from(flags) };
            assert_eq!(Header::parse([1, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0, 0]), Err(error));
        }
    }

    #[test]
    fn header_of_a_reply_is_fatal() {
        assert_eq!(Header::parse([1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]), Err(WireError::UnexpectedReply));
    }

    #[test]
    fn header_with_a_payload_of_4097_bytes_is_fatal() {
        let error = WireError::PayloadTooLong { bytes: 4097 };
        assert_eq!(Header::parse([1, 0, 0, 0, 1, 0, 0, 0, 1, 0x10, 0, 0]), Err(error));
        let error = WireError::PayloadTooLong { bytes: u32::MAX };
        assert_eq!(Header::parse([1, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255]), Err(error));
    }
}
