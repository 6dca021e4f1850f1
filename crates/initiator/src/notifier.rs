// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Event descriptors: kicks to the device, interrupts and errors from it.
//!
//! Above: `ring`, `guest`.  Below: eventfd(2), in the shape the `vhost` crate takes.
//! Never here: when to signal.

use crate::deadline::{Deadline, wait_readable};
use crate::error::Error;
use rustix::event::EventfdFlags;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use vmm_sys_util::eventfd::EventFd;

/// One event descriptor, non-blocking.
#[derive(Debug)]
pub struct Notifier {
    event: EventFd,
}

impl Notifier {
    /// Creates an event descriptor that nobody has signalled.
    ///
    /// # Errors
    /// [`Error::Host`] where the system has no descriptors left.
    pub fn new() -> Result<Self, Error> {
        let flags = (EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).bits().cast_signed();
        let event = EventFd::new(flags).map_err(|source| Error::Host { what: "eventfd", source })?;
        Ok(Self { event })
    }

    /// Signals it.
    ///
    /// # Errors
    /// [`Error::Host`]; a full counter counts as signalled.
    pub fn signal(&self) -> Result<(), Error> {
        match rustix::io::write(self, &1_u64.to_ne_bytes()) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(errno) => Err(Error::host("write to an eventfd")(errno)),
        }
    }

    /// Returns how often it was signalled since the last call, without waiting.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn take(&self) -> Result<u64, Error> {
        let mut count = [0; 8];
        match rustix::io::read(self, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(rustix::io::Errno::AGAIN) => Ok(0),
            Err(errno) => Err(Error::host("read of an eventfd")(errno)),
        }
    }

    /// Waits until it is signalled; returns whether that came in time.  Does not take the signal.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn wait(&self, deadline: &Deadline) -> Result<bool, Error> {
        wait_readable(self, deadline)
    }

    /// Returns it as the `vhost` crate takes it.
    pub(crate) fn event(&self) -> &EventFd {
        &self.event
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `self.event` keeps the descriptor open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.event.as_raw_fd()) }
    }
}
