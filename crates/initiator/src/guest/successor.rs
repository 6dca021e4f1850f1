// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Another driver for the same device: firmware hands over to an operating system, and gets it back at a reboot.
//!
//! Above: tests.  Below: `guest`.
//! Never here: messages.  The reset and the next start send them.

use super::{Guest, Options};
use crate::error::Error;

impl Guest {
    /// Resets the device and lets a driver of another kind have it: other features, another way to wait, other
    /// queues set up.  The connection stays; memory and rings stay where they are, whatever the new options say.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn hand_over(&mut self, change: impl FnOnce(Options) -> Options) -> Result<(), Error> {
        self.reset()?;
        let (request_queues, entries) = (self.options.request_queues, self.options.entries);
        self.options = Options { request_queues, entries, ..change(self.options.clone()) };
        self.control.exchange.wait = self.options.wait;
        for queue in &mut self.requests {
            queue.exchange.wait = self.options.wait;
        }
        self.start()
    }
}
