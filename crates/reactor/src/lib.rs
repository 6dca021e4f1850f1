// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One io_uring a thread.
//!
//! Above: `backstore`, which queues I/O, and `vhost-scsi`, whose worker is the [`Work`] that runs here.
//! Below: the kernel's io_uring, and `exec`.
//! Never here: rings of guests, SCSI, or what a message means.  The reactor knows file descriptors, numbers
//! and time.
//!
//! A round of the loop: mail, one pass over the rings, what the kernel completed, one notification a ring.
//! Everything queued on the way is handed to the kernel by the one `io_uring_enter` of the round.  When a
//! round finds nothing the thread polls for a moment that adapts to how often polling paid, then asks to be
//! woken, looks once more, and sleeps in the same system call.

mod looping;
mod poll_budget;
mod submitter;
#[cfg(feature = "test-utils")]
pub mod testing; // a submitter without its loop

pub use io_uring::{opcode, squeue, types};
pub use looping::{Handle, StartError, spawn};
pub use submitter::{Event, IoTag, KickTag, Submitter};

use exec::mailbox::Sender;
use std::time::Instant;

/// What runs on a reactor.
pub trait Work: 'static {
    /// What other threads may ask of it.
    type Mail: Send + 'static;

    /// Takes one message.
    fn mail(&mut self, submitter: &mut Submitter, mail: Self::Mail);

    /// Looks at every active ring once.  Returns whether there was anything to do.
    fn poll(&mut self, submitter: &mut Submitter) -> bool;

    /// Takes one completion.
    fn event(&mut self, submitter: &mut Submitter, event: Event);

    /// Makes the answers of this round visible and queues one notification for each ring that wants it.
    fn publish(&mut self, submitter: &mut Submitter);

    /// Asks every ring for kicks, before the thread sleeps.  Returns `true` when work is already there, and
    /// then the thread does not sleep.
    fn arm(&mut self) -> bool;

    /// Tells every ring that kicks are not needed, after the thread woke.
    fn disarm(&mut self);

    /// When [`Work::expired`] wants to be called, at the latest.
    fn deadline(&self) -> Option<Instant>;

    /// The time of [`Work::deadline`] has come.
    fn expired(&mut self, submitter: &mut Submitter, now: Instant);
}

/// How work reaches its reactor, itself included.
pub type Post<W> = Sender<<W as Work>::Mail>;
