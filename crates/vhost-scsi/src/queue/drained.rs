// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A queue at the end of all service.
//!
//! Above: `worker/draining.rs`, which asks.  Below: the queue's own tasks.
//! Never here: an order among queues.

use super::{Life, Queue, Task};
use std::collections::BTreeMap;

impl Queue {
    /// Takes nothing more from now on, but what brings it to `heads` that it has looked at.
    pub(crate) fn drain(&mut self, heads: u64) {
        if matches!(self.life, Life::Runs) {
            self.life = Life::Drains { heads };
        }
    }

    /// Whether all that it took is answered, but for commands on these backstores and who waits for their end.
    pub(crate) fn is_quiet_without(&self, hanging: &[u64]) -> bool {
        let waits = |(_, task): (usize, &Task)| hanging.contains(&task.name.store.id);
        let management_may_wait = self.management.is_empty() || !hanging.is_empty();
        !self.has_work() && !self.dirty && management_may_wait && self.tasks.iter().all(waits)
    }

    /// Counts the tasks that began before the `before`th, by their backstore.
    pub(crate) fn count_tasks(&self, before: u64, counts: &mut BTreeMap<u64, usize>) {
        for (_, task) in self.tasks.iter().filter(|(_, task)| task.number < before) {
            *counts.entry(task.name.store.id).or_default() += 1;
        }
    }
}
