// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A worker's part of the end of all service.
//!
//! Above: `drain`, which asks.  Below: `queue`.
//! Never here: a deadline, or a look at another worker.

use super::Worker;
use crate::drain::Drain;
use crate::queue::{Queue, QueueKind};
use std::collections::BTreeMap;
use std::sync::mpsc;
use target::io::Submitter;

/// How far the end has come.
#[derive(Default)]
pub(super) struct Draining {
    no_control: bool,
    nothing: bool,
    /// Tasks that began before this many were under way when the end began.
    before: u64,
    older: Option<mpsc::Sender<usize>>,
    last: Option<Last>,
}

/// Who is to be told that all is answered.
struct Last {
    hanging: Vec<u64>,
    done: mpsc::Sender<usize>,
    /// All is answered, and known to the guests when there have been this many hand-overs.
    told_at: Option<u64>,
}

impl Draining {
    /// A queue that starts now takes nothing either.
    pub(super) fn check_in(&self, queue: &mut Queue) {
        if self.nothing || (self.no_control && queue.kind == QueueKind::Control) {
            queue.drain(0);
        }
    }

    /// Whether the last notifications are on their way.
    pub(super) fn is_telling(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.told_at.is_some())
    }
}

impl Worker {
    pub(super) fn drain(&mut self, drain: Drain) {
        match drain {
            Drain::Older { done } => {
                self.draining.before = self.common.tasks_begun;
                self.draining.older = Some(done);
            }
            Drain::Control { done } => {
                self.draining.no_control = true;
                for (_, queue) in self.queues.iter_mut().filter(|(_, queue)| queue.kind == QueueKind::Control)
                {
                    queue.drain(0);
                }
                let _ = done.send(self.number);
            }
            Drain::All { hanging, done } => {
                self.draining.nothing = true;
                for (_, queue) in &mut self.queues {
                    // An abort that was taken waits for these.
                    let waiting = self.quiesces.iter().flat_map(|waiting| &waiting.offered);
                    let offered = waiting.filter(|(key, _)| key.0 == queue.tag).map(|(_, heads)| *heads);
                    queue.drain(offered.max().unwrap_or(0));
                }
                self.draining.last = Some(Last { hanging, done, told_at: None });
            }
            Drain::Count { older, answer } => {
                let before = if older { self.draining.before } else { u64::MAX };
                let mut counts = BTreeMap::new();
                for (_, queue) in &self.queues {
                    queue.count_tasks(before, &mut counts);
                }
                let _ = answer.send((self.number, counts));
            }
        }
    }

    /// Tells who waits for the end of what is under way.  Last in a round: all answers are published.
    pub(super) fn answer_drains(&mut self, submitter: &Submitter) {
        let Draining { before, older, last, .. } = &mut self.draining;
        if let Some(done) = older
            && !self.queues.iter().any(|(_, queue)| queue.has_any_task(*before))
        {
            let _ = done.send(self.number);
            *older = None;
        }
        let Some(Last { hanging, done, told_at }) = last else { return };
        if self.queues.iter().any(|(_, queue)| !queue.is_quiet_without(hanging)) {
            *told_at = None;
            return;
        }
        let pending = u64::from(submitter.is_pending());
        if submitter.hand_overs() >= *told_at.get_or_insert(submitter.hand_overs() + pending) {
            let _ = done.send(self.number);
            *last = None;
        }
    }
}
