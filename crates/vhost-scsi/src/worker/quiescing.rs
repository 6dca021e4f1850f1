// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A worker's part of a quiescence.
//!
//! Above: `worker`, which is asked.  Below: its queues, which know their tasks.
//! Never here: what is done once all is quiet.

use super::{QueueKey, Worker};
use crate::queue::{Common, Queue, QueueKind};
use crate::quiesce::Quiesce;
use slab::Slab;
use std::sync::atomic::Ordering;
use target::io::Submitter;

/// A quiescence that is under way.
pub(super) struct WaitingQuiesce {
    quiesce: Quiesce,
    /// Queues that have not begun all that their guest offered before it asked for an abort, and how many heads
    /// each is to look at.  The guest may take the memory of those commands back as soon as the abort is
    /// answered, so none of them may still wait in a ring then.
    pub(super) offered: Vec<(QueueKey, u64)>,
    /// Tasks that began before this many are waited for.
    before: u64,
}

impl WaitingQuiesce {
    /// Takes note of the tasks under way: as long as there are more to come, and then for the last time.
    fn begin(&mut self, queues: &mut Slab<Queue>, common: &Common) {
        self.before = common.tasks_begun;
        if let Some(ending) = self.quiesce.ends_as {
            for (_, queue) in queues {
                queue.mark(&self.quiesce.scope, ending, !self.quiesce.waits_for_waiting);
                // Now, because it may have ended when it is asked for next.
                if let Some(looks) = &self.quiesce.looks
                    && queue.has_task(&self.quiesce, self.before)
                {
                    looks.store(true, Ordering::SeqCst);
                }
            }
        }
    }
}

impl Worker {
    /// Begins a quiescence.
    pub(super) fn quiesce(&mut self, quiesce: Quiesce) {
        let mut offered = Vec::new();
        for (_, queue) in &mut self.queues {
            // A queue that has nothing to do would keep the last map, and with it what is to be closed.
            queue.refresh_map();
            let is_meant = quiesce.scope.client.is_none_or(|client| client == queue.client);
            let must_find = quiesce.ends_as.is_some() || quiesce.looks.is_some();
            if must_find && is_meant && queue.kind == QueueKind::Request {
                offered.push((QueueKey(queue.tag), queue.offered()));
            }
        }
        for &(key, _) in &offered {
            self.activate(key.0.key);
        }
        let mut waiting = WaitingQuiesce { quiesce, offered, before: 0 };
        waiting.begin(&mut self.queues, &self.common);
        self.quiesces.push(waiting);
    }

    /// Answers those that have come to their end.
    pub(super) fn answer_quiesces(&mut self, submitter: &mut Submitter) {
        if self.quiesces.is_empty() {
            return;
        }
        for mut waiting in std::mem::take(&mut self.quiesces) {
            if !waiting.offered.is_empty() {
                let queues = &self.queues;
                waiting.offered.retain(|&(QueueKey(tag), heads)| {
                    let queue = queues.get(tag.key as usize).filter(|queue| queue.tag == tag);
                    queue.is_some_and(|queue| !queue.has_looked_at(heads))
                });
                waiting.begin(&mut self.queues, &self.common);
            }
            let WaitingQuiesce { quiesce, offered, before } = &waiting;
            let is_there = self.queues.iter().any(|(_, queue)| queue.has_task(quiesce, *before));
            if !offered.is_empty() || is_there && !quiesce.only_looks() {
                self.quiesces.push(waiting);
                continue;
            }
            if is_there && let Some(looks) = &quiesce.looks {
                looks.store(true, Ordering::SeqCst);
            }
            let quiesce = waiting.quiesce;
            if let Some(store) = quiesce.close {
                self.common.channels.close(store);
            }
            (quiesce.done)();
        }
        self.send_errands_of_marked(submitter);
    }
}
