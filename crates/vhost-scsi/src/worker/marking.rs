// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dirty logs of a worker's queues: put in force, taken away, and told of.
//!
//! Above: `worker`.
//! Below: `logging`.
//! Never here: marking; whoever writes to a guest marks.

use super::{QueueKey, Worker};
use crate::logging::Logging;
use std::os::fd::AsFd;
use target::io::Submitter;

impl Worker {
    pub(super) fn set_logging(&mut self, submitter: &mut Submitter, key: QueueKey, logging: Option<Logging>) {
        let Some(queue) = self.queue(key) else { return };
        let old = queue.set_logging(logging);
        self.note_marks(key.0.key);
        self.retire(submitter, old.and_then(|old| old.signal));
    }

    /// Takes note of a queue that has answers to publish, and so has marked what it wrote.
    pub(super) fn note_dirty(&mut self, index: u32) {
        let Some(queue) = self.queues.get(index as usize) else { return };
        if queue.dirty && !self.dirty.contains(&index) {
            self.dirty.push(index);
            self.note_marks(index);
        }
    }

    /// Takes note that a queue may have marked pages of which its front end wants to be told.
    pub(super) fn note_marks(&mut self, index: u32) {
        let Some(queue) = self.queues.get(index as usize) else { return };
        if queue.signals_marks() && !self.marked.contains(&index) {
            self.marked.push(index);
        }
    }

    /// Tells the front ends of marks.
    pub(super) fn signal_marks(&mut self, submitter: &mut Submitter) {
        for index in std::mem::take(&mut self.marked) {
            let Some(queue) = self.queues.get(index as usize) else { continue };
            if let Some(signal) = queue.logging.as_ref().and_then(|logging| logging.signal.as_ref()) {
                // SAFETY: the queue keeps the descriptor open, and `retired` after it.
                unsafe { submitter.notify(signal.as_fd()) }
            }
        }
    }
}
