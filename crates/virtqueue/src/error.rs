// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the driver and the front end can do wrong.
//!
//! Above: the connection: a `RingError` ends the ring, a `ChainError` one request.
//! Below: `ring`, `chain`, `inflight`.
//! Never here: errors of the host, but for the inflight region's memory.

use std::fmt;

use memory::{GuestAddress, MappingError, Unmapped, UserAddress};

use crate::chain::SEGMENTS_MAX;
use crate::inflight::INFLIGHT_QUEUES_MAX;
use crate::ring::QUEUE_ENTRIES_MAX;

/// One of the three areas of a split ring (virtio 1.2, 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingPart {
    /// The descriptor table (2.7.5).
    Descriptors,
    /// The available ring (2.7.6), which the driver writes.
    Available,
    /// The used ring (2.7.8), which we write.
    Used,
}

impl fmt::Display for RingPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "descriptor table",
            Self::Available => "available ring",
            Self::Used => "used ring",
        })
    }
}

/// Why a ring cannot start, or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No entries, or more than [`QUEUE_ENTRIES_MAX`].
    #[error("a ring of {entries} entries; 1 to {QUEUE_ENTRIES_MAX} are possible")]
    Entries {
        /// What the front end asked for.
        entries: u16,
    },
    /// A part lies, wholly or partly, outside of every region or across two. `share=off` on the guest's memory
    /// does not look like this: then the parts are found, and stay zero.
    #[error("the {part} at {address} with {bytes} bytes is not in one region of guest memory")]
    Unmapped {
        /// Which part.
        part: RingPart,
        /// Where the front end says it is.
        address: UserAddress,
        /// How long it is.
        bytes: u64,
    },
    /// A part is not aligned to 16, 2 or 4 bytes (2.7).
    #[error("the {part} at {address} is not aligned to {alignment} bytes")]
    Misaligned {
        /// Which part.
        part: RingPart,
        /// Where the front end says it is.
        address: UserAddress,
        /// What it must be a multiple of.
        alignment: usize,
    },
    /// The ring is that of a legacy driver, which speaks its own byte order, on a big-endian host.
    #[error("legacy drivers are not supported on big-endian hosts")]
    LegacyByteOrder,
    /// The driver claims more new chains than the ring has entries.
    #[error("the driver offers {waiting} chains at once in a ring of {entries} entries")]
    AvailableIndex {
        /// Distance of the driver's index from ours.
        waiting: u16,
        /// Entries of the ring.
        entries: u16,
    },
    /// A head is no index of the descriptor table.
    #[error("head {head} in a ring of {entries} entries")]
    HeadOutOfRange {
        /// What the driver wrote.
        head: u16,
        /// Entries of the ring.
        entries: u16,
    },
    /// The driver offers a head that it has not got back yet.
    #[error("head {head} is offered while it is in flight")]
    HeadInFlight {
        /// What the driver wrote.
        head: u16,
    },
    /// The front end took memory away that it had promised: the file was cut short.
    #[error("guest memory has gone: its file was cut short")]
    MemoryBroken,
    /// The inflight region has room for fewer heads than the ring has.
    #[error("the inflight region tracks {tracked} entries, the ring has {entries}")]
    InflightTooSmall {
        /// Heads that the region has room for.
        tracked: u16,
        /// Entries of the ring.
        entries: u16,
    },
    /// The inflight region was written by something newer, or by nothing that we know.
    #[error("the inflight region has version {version}; only 1 is known")]
    InflightVersion {
        /// What its header says.
        version: u16,
    },
}

/// Why a chain is no request. The head stays in flight: give it back with `push_used(head, 0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A descriptor's `next` points outside of its table.
    #[error("descriptor {index} in a table of {entries}")]
    IndexOutOfRange {
        /// The index.
        index: u16,
        /// Entries of the table.
        entries: u32,
    },
    /// More descriptors than the table has: the chain comes back to itself.
    #[error("the chain is a loop")]
    Loop,
    /// More descriptors, or more separate pieces of memory, than [`SEGMENTS_MAX`].
    #[error("the chain has more than {SEGMENTS_MAX} segments")]
    TooLong,
    /// More than 2^32 bytes in all (2.7.5.1).
    #[error("the chain has more than 2^32 bytes")]
    TooManyBytes,
    /// A buffer is not guest memory.
    #[error(transparent)]
    Unmapped(#[from] Unmapped),
    /// A buffer for the device to read follows one for it to write (2.7.4.2).
    #[error("a readable buffer follows a writable one")]
    ReadableAfterWritable,
    /// An indirect descriptor without VIRTIO_F_INDIRECT_DESC (2.7.5.3.1).
    #[error("an indirect descriptor was not negotiated")]
    IndirectNotNegotiated,
    /// An indirect descriptor says that another follows it (2.7.5.3.1).
    #[error("an indirect descriptor has a successor")]
    IndirectNotLast,
    /// An indirect descriptor inside an indirect table (2.7.5.3.1).
    #[error("an indirect table inside an indirect table")]
    IndirectNested,
    /// An indirect table that is empty or not a whole number of descriptors.
    #[error("an indirect table of {bytes} bytes")]
    IndirectLength {
        /// Its length.
        bytes: u32,
    },
    /// An indirect table that is not guest memory.
    #[error("the indirect table at {table} with {bytes} bytes is not guest memory")]
    IndirectUnmapped {
        /// Where it begins.
        table: GuestAddress,
        /// Its length.
        bytes: u32,
    },
}

/// Why an inflight region was refused.
#[derive(Debug, thiserror::Error)]
pub enum InflightError {
    /// No queue, or more than [`INFLIGHT_QUEUES_MAX`].
    #[error("an inflight region for {queues} queues; 1 to {INFLIGHT_QUEUES_MAX} are possible")]
    Queues {
        /// What the front end asked for.
        queues: u16,
    },
    /// No entries, or more than [`QUEUE_ENTRIES_MAX`].
    #[error("an inflight region for rings of {entries} entries; 1 to {QUEUE_ENTRIES_MAX} are possible")]
    Entries {
        /// What the front end asked for.
        entries: u16,
    },
    /// The front end's range is shorter than its queues need.
    #[error("an inflight region of {bytes} bytes, {needed_bytes} are needed")]
    TooShort {
        /// Length of the range.
        bytes: u64,
        /// What the queues need.
        needed_bytes: u64,
    },
    /// The range does not begin at a multiple of 8 bytes.
    #[error("an inflight region at offset {offset} is not aligned to 8 bytes")]
    Misaligned {
        /// Where it begins in its file.
        offset: u64,
    },
    /// The file could not be mapped.
    #[error("the inflight region cannot be mapped")]
    Mapping(#[from] MappingError),
    /// No memory file could be made.
    #[error("no memory file for the inflight region")]
    Create(#[from] std::io::Error),
}
