// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a worker hears of what guests offer: kicks, and a timer for rings without a kick descriptor.
//!
//! Above: `worker`.  Below: `reactor`'s watches.
//! Never here: what a kick leads to.

use super::{Due, QueueKey, Worker};
use crate::queue::Queue;
use reactor::KickTag;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use target::io::Submitter;

/// How often a ring without a kick descriptor is looked at while its reactor sleeps.
const POLLED_RING_INTERVAL: Duration = Duration::from_millis(1);

impl Worker {
    pub(super) fn watch(&mut self, submitter: &mut Submitter, index: u32) {
        let Some(queue) = self.queues.get(index as usize) else { return };
        match &queue.kick {
            // SAFETY: the queue keeps the descriptor open, or `retired` does until the end of the round.
            Some(kick) => unsafe { submitter.watch(kick.as_fd(), queue.kick_tag) },
            None => self.poll_by_time(index),
        }
    }

    pub(super) fn poll_by_time(&mut self, index: u32) {
        if !std::mem::replace(&mut self.polls_by_time, true) {
            self.timers.set(Instant::now() + POLLED_RING_INTERVAL, Due::PolledRings);
        }
        self.polled.push(index);
    }

    pub(super) fn set_kick(&mut self, submitter: &mut Submitter, key: QueueKey, kick: Option<OwnedFd>) {
        let index = key.0.key;
        // The end of the old watch must not be taken for that of the new one.
        self.generation = self.generation.wrapping_add(1);
        let kick_tag = KickTag { key: index, generation: self.generation };
        let Some(queue) = self.queue(key) else { return };
        let old_tag = std::mem::replace(&mut queue.kick_tag, kick_tag);
        let old = std::mem::replace(&mut queue.kick, kick);
        if old.is_some() {
            submitter.unwatch(old_tag);
        }
        self.retire(submitter, old);
        self.forget_polled(index);
        self.watch(submitter, index);
        self.activate(index);
    }

    pub(super) fn forget_polled(&mut self, index: u32) {
        self.polled.retain(|&polled| polled != index);
    }

    pub(super) fn look_at_polled_rings(&mut self, now: Instant) {
        for at in 0..self.polled.len() {
            let Some(&index) = self.polled.get(at) else { break };
            if self.queues.get(index as usize).is_some_and(Queue::has_work) {
                self.activate(index);
            }
        }
        self.polls_by_time = !self.polled.is_empty();
        if self.polls_by_time {
            self.timers.set(now + POLLED_RING_INTERVAL, Due::PolledRings);
        }
    }
}
