// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The vhost-user protocol as a back end speaks it, without I/O.
//!
//! Above: `vhost-scsi`, which owns the socket, hands in messages and carries out the effects.
//! Below: nothing of Lunar.
//! Never here: sockets, threads, `mmap`, clocks, log lines and SCSI.  Bytes and file descriptors come in, bytes,
//! file descriptors and effects go out.
//!
//! ```text
//!   bytes, fds ──> codec::decode ──> Message ──> Session::on ──> [Effect] ──> the caller
//!                                                   ^                            │
//!                                                   └── ring_stopped, failed, … ─┘
//! ```

#![forbid(unsafe_code)]

pub mod codec; // bytes <-> messages
mod effect; // what the caller has to do
pub mod features; // what the two sides may agree on
mod message; // what a front end may say
mod ring; // the life cycle of one ring
mod session; // what a message means now

pub use codec::{Header, Malformed, Received, Receiver, Reply, WireError};
pub use effect::{Effect, InflightRequest, Remark, RingStart};
pub use features::ProtocolFeatures;
pub use message::{
    Body, ConfigOrigin, ConfigWrite, InflightArea, LogArea, Message, Region, Request, RingAddresses,
};
pub use session::{MEMORY_SLOTS_MAX, Offer, ProtocolError, QUEUES_MAX, Refusal, Session};
