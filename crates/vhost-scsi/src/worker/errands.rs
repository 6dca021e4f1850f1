// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the commands of a queue want of others than their worker.
//!
//! Above: `worker`.  Below: `errands` for what may block, the other workers for quiet, the timers.
//! Never here: what a command means.

use super::{Due, LetterKind, QueueKey, StepEnd, Worker, send};
use crate::control::Wanted as Management;
use crate::errands::Errand;
use crate::queue::{Claimed, QueueErrand, Wanted};
use crate::quiesce::{Ending, Quiesce};
use crate::response::ResponseCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use target::io::Submitter;
use target::{Abort, Helper, Outcome, Reply, Scope};

impl Worker {
    /// Sends out what the tasks and the task management of a queue want.
    pub(super) fn send_errands(&mut self, submitter: &mut Submitter, index: u32) {
        let Some(queue) = self.queues.get_mut(index as usize) else { return };
        if !queue.management.wanted.is_empty() || !queue.management.errands.is_empty() {
            self.send_management(index);
        }
        let Some(queue) = self.queues.get_mut(index as usize) else { return };
        if !queue.has_errands() {
            return;
        }
        let (key, client) = (QueueKey(queue.tag), queue.client);
        for QueueErrand { task, wanted } in queue.take_errands() {
            match wanted {
                Wanted::Time(time) => self.timers.set(Instant::now() + time, Due::StepEnded(key, task)),
                Wanted::Quiet(scope, abort) => {
                    self.ask_for_quiet(key, task, client, (scope, None), abort);
                }
                Wanted::Memory => self.lend_memory(submitter, key, task),
                Wanted::Claim(claim) => self.claim(submitter, key, task, claim),
                Wanted::Ask(helper, work) => {
                    let back = self.post.clone();
                    let reply = Reply::new(move |told| {
                        send(&back, LetterKind::StepEnded { key, task, end: StepEnd::Told(told) });
                    });
                    // Where nobody takes it, it is dropped, and its reply says so.
                    let _ = self.errands.send(Errand { helper, work, reply });
                }
            }
        }
    }

    /// Asks every worker to be quiet: all in a scope, or those of it that may write in a range.
    pub(super) fn ask_for_quiet(
        &mut self,
        key: QueueKey,
        task: (usize, u64),
        client: u64,
        (scope, writes): (Scope, Option<Claimed>),
        abort: Option<Abort>,
    ) {
        let claims = writes.is_some();
        let Some(peers) = self.peers.get() else { return };
        let left = Arc::new(AtomicUsize::new(peers.len()));
        let ends_as = abort.map(|abort| Ending {
            by: client,
            own: ResponseCode::Aborted,
            others_task_aborted: abort.others_task_aborted,
            others_are_told: false,
        });
        for peer in peers {
            let (back, left) = (self.post.clone(), Arc::clone(&left));
            let done = Box::new(move || {
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    let end = if claims { StepEnd::Claimed } else { StepEnd::Quiet };
                    send(&back, LetterKind::StepEnded { key, task, end });
                }
            });
            let writes = writes.clone();
            let quiesce =
                Quiesce { scope, ends_as, close: None, writes, waits_for_waiting: claims, looks: None, done };
            send(peer, LetterKind::Quiesce(quiesce));
        }
    }

    /// A step of a command has ended.
    pub(super) fn step_ended(
        &mut self,
        submitter: &mut Submitter,
        key: QueueKey,
        task: (usize, u64),
        outcome: Outcome,
    ) {
        let QueueKey(tag) = key;
        let Some(queue) = self.queues.get_mut(tag.key as usize).filter(|queue| queue.tag == tag) else {
            return;
        };
        queue.step_ended(tag.key, task, outcome, &mut self.common, submitter);
        self.note_dirty(tag.key);
        self.send_errands(submitter, tag.key);
    }

    /// Asks every worker to make the scopes quiet that a control queue wants quiet, or to look at them, and sends out what
    /// may block.
    fn send_management(&mut self, index: u32) {
        let Some(queue) = self.queues.get_mut(index as usize) else { return };
        let Some(peers) = self.peers.get() else { return };
        let key = QueueKey(queue.tag);
        for Management { request, scope, ends_as, looks } in std::mem::take(&mut queue.management.wanted) {
            queue.management.asked(request, peers.len());
            for peer in peers {
                let (back, looks) = (self.post.clone(), looks.clone());
                let done = Box::new(move || {
                    send(&back, LetterKind::ManagementQuiet { key, request });
                });
                let quiesce = Quiesce {
                    scope,
                    ends_as,
                    close: None,
                    writes: None,
                    waits_for_waiting: true,
                    looks,
                    done,
                };
                send(peer, LetterKind::Quiesce(quiesce));
            }
        }
        for (request, work) in std::mem::take(&mut queue.management.errands) {
            let back = self.post.clone();
            let reply =
                Reply::new(move |told| send(&back, LetterKind::ManagementTold { key, request, told }));
            let _ = self.errands.send(Errand { helper: Helper::Keeper, work, reply });
        }
    }
}
