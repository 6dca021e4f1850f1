// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two ways in which the other side names a byte of guest memory.
//!
//! Above: everything that talks about guest memory.
//! Below: nothing.
//! Never here: host addresses; those never leave this crate but as iovecs and `HostRange`.

use std::fmt;

/// A guest-physical address: what descriptors hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestAddress(pub u64);

/// An address in the front end's own address space: what `SET_VRING_ADDR` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserAddress(pub u64);

impl fmt::Display for GuestAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guest address {:#x}", self.0)
    }
}

impl fmt::Display for UserAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user address {:#x}", self.0)
    }
}
