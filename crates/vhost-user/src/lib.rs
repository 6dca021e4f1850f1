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
//!
//! A caller's loop, its socket left out:
//! ```
//! use vhost_user::{Effect, ProtocolError, Received, Receiver, Reply, Session};
//!
//! /// Takes what one `recvmsg` brought into `receiver.space()`.  An error means: close the connection.
//! fn received(
//!     receiver: &mut Receiver,
//!     session: &mut Session,
//!     bytes: usize,
//!     fds: Vec<std::os::fd::OwnedFd>,
//!     send: impl Fn(Reply),
//! ) -> Result<(), ProtocolError> {
//!     let effects = match receiver.received(bytes, fds)? {
//!         Received::Partial => return Ok(()),
//!         Received::Message(message) => session.on(message)?,
//!         Received::Malformed(malformed) => session.on_malformed(malformed)?,
//!     };
//!     for effect in effects {
//!         match effect {
//!             Effect::Reply(reply) => send(reply),
//!             Effect::Acknowledge => session.acknowledge().into_iter().for_each(&send),
//!             Effect::StopRing { index } => {
//!                 let next_avail = 0; // Drain the ring, and ask it.
//!                 session.ring_stopped(index, next_avail).into_iter().for_each(&send);
//!             }
//!             Effect::MapMemory(_) => session.failed()?, // Where it could not be mapped.
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
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
