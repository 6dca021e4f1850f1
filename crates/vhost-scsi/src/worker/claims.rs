// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory and blocks that the commands of a worker wait for.
//!
//! Above: `errands`.  Below: the table of a backstore's exclusions, the other workers for quiet.
//! Never here: a wait.  Who does not get what he wants is noted, and asked for again when something is given back.
//!
//! Nobody waits for ever: memory is wanted before blocks, so that who has blocks wants nothing that others have; and
//! blocks that are excluded are waited for by commands that have not begun, which no exclusion waits for.

use super::{LetterKind, QueueKey, Worker, send};
use crate::queue::{Claimed, Queue};
use target::io::Submitter;
use target::{Claim, Outcome, Scope, Wake};

/// A command that waits for blocks which another has for itself.
pub(super) struct Parked {
    key: QueueKey,
    task: (usize, u64),
    claim: Claim,
}

impl Worker {
    /// Lends memory to a task, or notes that it waits for some.
    pub(super) fn lend_memory(&mut self, submitter: &mut Submitter, key: QueueKey, task: (usize, u64)) {
        let Some(queue) = self.queues.get_mut(key.0.key as usize).filter(|queue| queue.tag == key.0) else {
            return;
        };
        let Some(borrower) = queue.borrower(task) else { return };
        if !self.common.scratches.has_free(borrower) {
            self.waiting_for_memory.push_back((key, task));
            return;
        }
        let scratch = self.common.scratches.take(borrower);
        queue.lend(task, scratch.as_ref().map(memory::Scratch::slot));
        self.step_ended(submitter, key, task, Outcome::Memory(scratch));
    }

    /// Lends what was given back since.
    pub(super) fn lend_to_waiting(&mut self, submitter: &mut Submitter) {
        // Again where a command that was lent some has ended meanwhile.
        while self.common.scratches.take_news() {
            for (key, task) in std::mem::take(&mut self.waiting_for_memory) {
                self.lend_memory(submitter, key, task);
            }
        }
    }

    /// Asks for the blocks that a task is going to write.
    pub(super) fn claim(
        &mut self,
        submitter: &mut Submitter,
        key: QueueKey,
        task: (usize, u64),
        claim: Claim,
    ) {
        let Some(queue) = self.queues.get_mut(key.0.key as usize).filter(|queue| queue.tag == key.0) else {
            return;
        };
        if !queue.still_waits(task) {
            return;
        }
        let back = self.post.clone();
        let wake = || -> Wake { Box::new(move || send(&back, LetterKind::ClaimsFree)) };
        let (exclusions, range) = (&claim.store.exclusions, claim.range.clone());
        if claim.exclusive {
            if let Some(exclusion) = exclusions.exclude(&range, self.number, wake) {
                let claimed = Claimed { of: exclusions.id(), range };
                queue.grant(task, claimed.clone(), Some(exclusion));
                let client = queue.client;
                return self.ask_for_quiet(key, task, client, (Scope::default(), Some(claimed)), None);
            }
        } else if exclusions.admit(&range, self.number, wake) {
            queue.grant(task, Claimed { of: exclusions.id(), range }, None);
            return self.step_ended(submitter, key, task, Outcome::Claimed);
        }
        self.parked.push(Parked { key, task, claim });
    }

    /// Sends out what aborts want: that commands end which wait for others.
    pub(super) fn send_errands_of_marked(&mut self, submitter: &mut Submitter) {
        let has_errands = |(index, queue): (usize, &Queue)| queue.has_errands().then_some(index);
        let marked: Vec<usize> = self.queues.iter().filter_map(has_errands).collect();
        for index in marked {
            self.send_errands(submitter, u32::try_from(index).unwrap_or(u32::MAX));
        }
    }

    /// Asks again for the blocks that commands wait for, as some were let go.
    pub(super) fn claims_free(&mut self, submitter: &mut Submitter) {
        for Parked { key, task, claim } in std::mem::take(&mut self.parked) {
            self.claim(submitter, key, task, claim);
        }
    }
}
