// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a worker passes on: news to guests, and to the administrator what has waited for long.
//!
//! Above: `announcer` and `patience`, which send the mail.  Below: `queue`.
//! Never here: what happened.

use super::{QueueKey, Worker};
use crate::events::Pending;
use crate::patience::OldTasks;

impl Worker {
    pub(super) fn announce(&mut self, key: QueueKey, pending: Pending) {
        if let Some(queue) = self.queue(key) {
            queue.announce(pending);
            self.activate(key.0.key);
        }
    }

    /// The tasks under way that began before the `before`th.
    pub(super) fn old_tasks(&self, before: u64) -> OldTasks {
        let mut old = Vec::new();
        self.queues.iter().for_each(|(_, queue)| queue.tell_old(before, &mut old));
        OldTasks { begun: self.common.tasks_begun, old }
    }
}
