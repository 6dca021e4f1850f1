// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The split virtqueue (virtio 1.2, 2.7) from the device's side, and vhost-user's inflight region.
//!
//! Above: `vhost-scsi`, whose queues on a reactor own one [`SplitRing`] each.
//! Below: `memory`.
//! Never here: what a chain means; threads; file descriptors of kicks and calls.
//!
//! # A batch
//!
//! ```text
//! pop_batch ──> chain ──> (the request runs) ──> push_used ──> publish ──> notify?
//! place 1: taken          any order, any time    place 2:      place 3: seen by the driver,
//!                                                linked        then no longer in flight
//! ```
//!
//! The three places are where the inflight region is written, so that a process that dies between any two of its
//! instructions leaves behind which heads the driver still waits for. See [`InflightRegion`].
//!
//! # The other side is hostile
//!
//! The driver writes every byte of the ring at any time, the front end every byte of the inflight region. Each
//! descriptor is copied once, into a local, before any of its fields is looked at; indices are checked after they
//! are read, never read twice; no loop is longer than the ring or a named limit.

mod chain; // one head -> scatter lists
pub mod crash; // where tests let the process die
mod error; // what the other side can do wrong
mod heads; // which heads are out
mod inflight; // the region that outlives us
mod layout; // the bytes of 2.7, and the only access to them
mod ring; // the ring: pop, push, publish, notifications
#[cfg(any(test, feature = "test-utils"))]
pub mod testing; // the driver's side

pub use chain::SEGMENTS_MAX;
pub use error::{ChainError, InflightError, RingError, RingPart};
pub use inflight::{INFLIGHT_QUEUES_MAX, InflightQueue, InflightRegion};
pub use ring::{Origin, QUEUE_ENTRIES_MAX, RingConfig, SplitRing};
