// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Queues that are disabled or end.
//!
//! Above: `worker`.  Below: the queue, which says when nothing of it is under way.
//! Never here: a wait.

use super::{QueueKey, Worker};
use crate::queue::{Life, QueueKind, Stopped};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use target::io::Submitter;

impl Worker {
    pub(super) fn enable(
        &mut self,
        submitter: &mut Submitter,
        key: QueueKey,
        enabled: bool,
        done: mpsc::Sender<()>,
    ) {
        // What happened before is told before: a front end may reset its guest by no more than this, and then it
        // would be told what was before it.
        if !enabled && self.queue(key).is_some_and(|queue| queue.kind == QueueKind::Event) {
            self.look(submitter, key);
        }
        let Some(queue) = self.queue(key) else { return };
        queue.enabled = enabled;
        self.activate(key.0.key);
        if enabled {
            let _ = done.send(());
        } else {
            self.parking.push((key, done));
        }
    }

    /// Tells who disabled a queue that nothing which it took is under way any more.
    pub(super) fn tell_parked(&mut self) {
        let queues = &self.queues;
        self.parking.retain(|(QueueKey(tag), done)| {
            let queue = queues.get(tag.key as usize).filter(|queue| queue.tag == *tag);
            if queue.is_some_and(|queue| !queue.is_quiet()) {
                return true;
            }
            let _ = done.send(());
            false
        });
    }

    /// Keeps a descriptor that is given up until no entry names it any more.
    pub(super) fn retire(&mut self, submitter: &Submitter, descriptor: Option<OwnedFd>) {
        self.retired.extend(descriptor.map(|descriptor| (submitter.hand_overs(), descriptor)));
    }

    /// Ends the queues that were told to and have nothing left to answer.
    pub(super) fn end_quiet_queues(&mut self, submitter: &mut Submitter) {
        let mut ending = std::mem::take(&mut self.ending);
        ending.retain(|&index| {
            let Some(queue) = self.queues.get(index as usize) else { return false };
            if !queue.is_quiet() {
                return true;
            }
            self.end_queue(submitter, index);
            false
        });
        self.ending = ending;
    }

    fn end_queue(&mut self, submitter: &mut Submitter, index: u32) {
        self.active.retain(|&active| active != index);
        self.forget_polled(index);
        let mut queue = self.queues.remove(index as usize);
        if !queue.has_lost_its_log() {
            queue.ring.publish();
        }
        if let Some(call) = &queue.call {
            // Never by a write of our own: the front end decides whether its descriptor blocks.
            // SAFETY: `retired` keeps the descriptor open until the next round has handed this over.
            unsafe { submitter.notify(call.as_fd()) }
        }
        if queue.kick.is_some() {
            submitter.unwatch(queue.kick_tag);
        }
        let signal = queue.logging.take().and_then(|logging| logging.signal);
        if let Some(signal) = &signal {
            // SAFETY: as above.
            unsafe { submitter.notify(signal.as_fd()) }
        }
        for descriptor in [queue.kick.take(), queue.call.take(), queue.err.take(), signal] {
            self.retire(submitter, descriptor);
        }
        // All that this connection had on this worker has been answered.
        if !self.queues.iter().any(|(_, other)| other.client == queue.client) {
            self.wait_for_client_no_more(queue.client);
        }
        if let Life::Ends(stopped) = queue.life {
            let (next_avail, untold) = (queue.ring.next_avail(), std::mem::take(&mut queue.untold));
            self.ended.push((stopped, Stopped { next_avail, untold }));
        }
    }
}
