// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A virtio-scsi driver and vhost-user front end in user space: the guest of the tests and of `lunar bench`.
//!
//! ```no_run
//! use initiator::{Guest, LunAddress, Options, commands};
//!
//! let mut guest = Guest::boot("/run/lunar/vhost/naa.5001405d5e1b3c00.sock", Options::default())?;
//! let answer = guest.execute(&commands::inquiry(LunAddress::unit(1, 0), 96))?.good("INQUIRY")?;
//! assert_eq!(&answer.data_in[8..16], b"LIO-ORG ");
//! # Ok::<(), initiator::Error>(())
//! ```
//!
//! Above: crate tests, `tests/`, `lunar bench`.  Below: the `vhost` crate's `Frontend`, an implementation of the
//! protocol that is not ours.
//! Never here: our own codec, rings or SCSI tables; a test must not ask the examined for the answers.
//!
//! Everything that waits has an end, and the [`Error`] names what did not arrive.  A device that breaks a rule of
//! virtio (a chain returned twice, a length beyond the buffers, an interrupt that was asked for and never came) is
//! found out by the ring itself, in every test.

// In reading order.
mod error;

pub mod deadline;
pub mod dirty_log;
pub mod memory;
pub mod notifier;
pub mod ring;

pub mod exchange;
pub mod request;

pub mod commands;
pub mod control;
pub mod event;

mod watchdog;

pub mod connection;
pub mod dialect;
pub mod guest;
pub mod hostile;
pub mod load;
pub mod raw_channel;

pub use dialect::Dialect;
pub use dirty_log::DirtyLog;
pub use error::Error;
pub use exchange::{Layout, Place};
pub use guest::{Guest, Options, Snapshot};
pub use request::{Answer, Command, LunAddress, RequestQueue, lun_0};
pub use ring::Wait;
