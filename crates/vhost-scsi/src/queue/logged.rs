// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A queue whose writes to the guest are logged.
//!
//! Above: `worker`, which puts a log in force.  Below: `logging`.
//! Never here: marking a command's buffers, which goes with its answer.

use super::{Life, Queue};
use crate::logging::Logging;
use std::sync::Arc;

impl Queue {
    /// Logs what is written from now on, or logs nothing more.  Returns what was in force.
    pub(crate) fn set_logging(&mut self, logging: Option<Logging>) -> Option<Logging> {
        let used = |logging: &Logging| Some((Arc::clone(&logging.log), logging.used?));
        self.ring.set_log(logging.as_ref().and_then(used));
        std::mem::replace(&mut self.logging, logging)
    }

    /// Whether the front end wants to be told of marks.
    pub(crate) fn signals_marks(&self) -> bool {
        self.logging.as_ref().is_some_and(|logging| logging.signal.is_some())
    }

    /// Whether the log has been cut short.  Then marks have gone astray: nothing more may be shown to the guest, and
    /// the connection ends.
    pub(crate) fn has_lost_its_log(&mut self) -> bool {
        let Some(logging) = self.logging.as_ref().filter(|logging| logging.log.is_broken()) else {
            return false;
        };
        logging.line.cut();
        if matches!(self.life, Life::Runs | Life::Drains { .. }) {
            self.life = Life::Broken;
        }
        true
    }
}
