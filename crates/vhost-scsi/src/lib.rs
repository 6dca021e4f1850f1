// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fabric: virtio-scsi requests from vhost-user connections.
//!
//! Above: `lunard`, which makes one [`Endpoint`] a target and publishes its LUN map.
//! Below: `vhost-user` (messages), `virtqueue` (rings), `target` (commands), `reactor` (threads).
//! Never here: SCSI meaning.  A CDB passes through unread.
//!
//! ```text
//! socket ── connection (a thread each) ── Start/Stop/… ──> worker (a reactor each) ── rings, channels
//!                └── session: what a message means            └── request -> target -> response
//! ```
//!
//! A queue belongs to one worker while it runs.  The connection's thread may block, on its own front end and
//! on the drain of its own rings; a worker never does.

mod announcer; // the way of events to the guest
mod channels; // a worker's ways into the backstores
mod config_space; // what a target's device is to a front end
mod connection; // one socket, one guest
mod control; // task management
mod drain; // the end of all service
mod endpoint; // one target's socket
mod errands; // what may block, on threads that may
mod events; // what a guest is told unasked
mod fence; // what rings wait for before they run
mod holds; // the locks of what a target shows
mod log_budget; // a bound on what guests and front ends can have logged
mod logging; // what a queue writes, for a migration
mod losses; // lost writes, told to everyone concerned
mod patience; // what has been under way for long
mod place; // where a socket is
mod port; // what a target's connections share
mod queue; // one request queue: chain -> answer
mod quiesce; // waiting for what is in flight
mod reactors; // all of them
mod request; // chain -> request
mod response; // answer -> chain
mod scratches; // memory that commands borrow
mod signs_of_life; // memory that the front end forgot to share
mod socket; // bytes and descriptors
#[cfg(feature = "test-utils")]
pub mod testing; // a worker on the thread of a test
mod worker; // all queues of one reactor

pub use config_space::DeviceOffer;
pub use drain::{LAST_COMMANDS, Undrained};
pub use endpoint::{Bound, Endpoint};
pub use holds::{Left, MapChange};
pub use log_budget::LogBudget;
pub use patience::{Deed, Marks, Waiting};
pub use place::{SOCKET_PATH_BYTES_MAX, SocketName, listen_on};
pub use port::TargetPort;
pub use reactors::Reactors;
pub use target::Scope;
pub use worker::Worker;
