// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be wrong with a memory table, by name.
//!
//! Above: the connection, which refuses the message and logs the reason once.
//! Below: `mapping`, `guest_memory`.
//! Never here: errors of the data path; an address nobody mapped is `Unmapped`.

use std::io;

use crate::address::{GuestAddress, UserAddress};
use crate::guest_memory::REGIONS_MAX;

/// Why a file could not be mapped.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// Zero bytes were asked for.
    #[error("the length is zero")]
    Empty,
    /// Offset plus length does not fit the address space.
    #[error("offset {offset:#x} plus {bytes:#x} bytes overflows")]
    Overflow {
        /// Where in the file the range begins, in bytes.
        offset: u64,
        /// Length of the range, in bytes.
        bytes: u64,
    },
    /// The file ends before the range does; touching the rest would be a `SIGBUS`.
    #[error("the file has {file_bytes:#x} bytes, {needed_bytes:#x} are needed")]
    FileShort {
        /// Bytes the file would need to have: offset plus length.
        needed_bytes: u64,
        /// Bytes it has.
        file_bytes: u64,
    },
    /// The descriptor is a socket, a pipe, a directory: nothing that holds memory.
    #[error("the descriptor is neither a file nor a memory device")]
    NotAFile,
    /// A touch of the memory could wait for another process or another host, and so could every guest that
    /// shares a thread with this one.
    #[error("the file is on a file system that another process or host serves")]
    Remote,
    /// A system call failed; `EACCES` means that the descriptor is read-only.
    #[error("{call} failed")]
    Os {
        /// Name of the system call.
        call: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// Why a memory table was refused. The message names the region at fault.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// More regions than [`REGIONS_MAX`].
    #[error("{regions} memory regions, {REGIONS_MAX} at most")]
    TooManyRegions {
        /// How many there would be.
        regions: usize,
    },
    /// A region has no bytes.
    #[error("the region at {guest} is empty")]
    Empty {
        /// Where the region begins.
        guest: GuestAddress,
    },
    /// A region wraps around the end of guest-physical space.
    #[error("the region at {guest} with {bytes:#x} bytes leaves the guest's address space")]
    GuestOverflow {
        /// Where the region begins.
        guest: GuestAddress,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A region wraps around the end of the front end's address space.
    #[error("the region at {user} with {bytes:#x} bytes leaves the front end's address space")]
    UserOverflow {
        /// Where the region begins.
        user: UserAddress,
        /// Its length in bytes.
        bytes: u64,
    },
    /// Two regions claim the same guest-physical bytes.
    #[error("the regions at {first} and {second} overlap")]
    GuestOverlap {
        /// The lower region.
        first: GuestAddress,
        /// The higher region.
        second: GuestAddress,
    },
    /// Two regions claim the same bytes of the front end.
    #[error("the regions at {first} and {second} overlap")]
    UserOverlap {
        /// The lower region.
        first: UserAddress,
        /// The higher region.
        second: UserAddress,
    },
    /// The region's file could not be mapped.
    #[error("the region at {guest} cannot be mapped")]
    Mapping {
        /// Where the region begins.
        guest: GuestAddress,
        /// Why.
        source: MappingError,
    },
}
