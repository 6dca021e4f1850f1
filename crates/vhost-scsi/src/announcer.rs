// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way of a target's events to its guest: to the event queue where that runs, else kept until it does.
//!
//! Above: `holds`, which has something to say; `connection`, which starts and stops the queue.
//! Below: `worker`'s mail.
//! Never here: the guest's buffers.

use crate::events::{Event, Pending};
use crate::worker::{LetterKind, QueueKey, Worker, send};
use reactor::Post;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where a target's events go.
#[derive(Default)]
pub(crate) struct Announcer(Mutex<State>);

#[derive(Default)]
struct State {
    queue: Option<(Post<Worker>, QueueKey)>,
    /// What there was no queue for.
    owed: Pending,
    /// Whether there may be a guest: what changes before that is news to nobody.
    serves: bool,
}

impl Announcer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Guests may come from now on.
    pub(crate) fn begin(&self) {
        self.state().serves = true;
    }

    /// Tells the guest, as soon as there is one that listens.
    pub(crate) fn announce(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let pending = events.into_iter().collect();
        let mut state = self.state();
        match &state.queue {
            Some((post, key)) => send(post, LetterKind::Announce { key: *key, pending }),
            None if state.serves => state.owed.append(pending),
            None => {}
        }
    }

    /// The event queue runs.
    pub(crate) fn started(&self, post: Post<Worker>, key: QueueKey) {
        let mut state = self.state();
        let pending = std::mem::take(&mut state.owed);
        if !pending.is_empty() {
            send(&post, LetterKind::Announce { key, pending });
        }
        state.queue = Some((post, key));
    }

    /// Forgets what there was no queue for: its guest is about to look around, and finds it anyway.
    pub(crate) fn forget(&self) {
        self.state().owed = Pending::default();
    }

    /// The event queue is about to stop: what comes now is kept.
    pub(crate) fn stopping(&self) {
        self.state().queue = None;
    }

    /// What the queue had still to say when it stopped.
    pub(crate) fn left(&self, mut untold: Pending) {
        let mut state = self.state();
        let later = std::mem::take(&mut state.owed);
        untold.append(later);
        state.owed = untold;
    }
}
