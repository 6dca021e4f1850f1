// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory and blocks that the commands of a worker wait for.
//!
//! Above: `errands`.  Below: `lines`, the table of a backstore's exclusions, the other workers for quiet.
//! Never here: a wait.  Who does not get what he wants is noted, and asked for again when something is given back.
//!
//! Nobody waits for ever: memory is wanted before blocks, so that who has blocks wants nothing that others have; and
//! blocks that are excluded are waited for by commands that have not begun, which no exclusion waits for.

use super::lines::Lines;
use super::{LetterKind, QueueKey, Worker, send};
use crate::queue::{Claimed, Queue};
use crate::scratches::Borrower;
use slab::Slab;
use target::io::Submitter;
use target::{Claim, Outcome, Scope, Wake};

/// How many of those who wait for memory, and how many of those who wait for blocks, are looked after in one round; the
/// others are in the next, so that a long line of one guest's commands holds up no other's.
const LOOKED_AFTER_A_ROUND: usize = 64;

/// A command that waits for blocks which another has for itself.
pub(super) struct Parked {
    key: QueueKey,
    task: (usize, u64),
    claim: Claim,
}

/// A task that waits for memory, or was aborted meanwhile.
pub(super) type Waiter = (QueueKey, (usize, u64));

/// Commands that wait for others.
#[derive(Default)]
pub(super) struct Waiting {
    /// For memory, by who borrows.
    memory: Lines<Borrower, Waiter>,
    /// For blocks, by whose blocks they are: [`target::Store::medium`].
    blocks: Lines<u64, Parked>,
}

impl Waiting {
    /// Whether the next round has to go on with what this one has not done.
    pub(super) fn is_ready(&self) -> bool {
        self.memory.is_ready() || self.blocks.is_ready()
    }
}

impl Worker {
    /// Lends memory to a task, or notes that it waits for some.
    pub(super) fn lend_memory(&mut self, submitter: &mut Submitter, key: QueueKey, task: (usize, u64)) {
        let Some(queue) = self.queues.get_mut(key.0.key as usize).filter(|queue| queue.tag == key.0) else {
            return;
        };
        let Some(borrower) = queue.borrower(task) else { return };
        // Where somebody waits though there is memory, it was given back lately, and he comes first.
        let has_free = self.common.scratches.has_free(borrower);
        if has_free && !self.waiting.memory.has_line(borrower) {
            return self.lend(submitter, key, task);
        }
        let queues = &mut self.queues;
        self.waiting.memory.join(borrower, (key, task), |(key, task)| still_waits(queues, *key, *task));
        if has_free {
            self.waiting.memory.wake(borrower);
        }
    }

    /// Lends memory, of which there is some, to a task that still waits.
    fn lend(&mut self, submitter: &mut Submitter, key: QueueKey, task: (usize, u64)) {
        let Some(queue) = self.queues.get_mut(key.0.key as usize).filter(|queue| queue.tag == key.0) else {
            return;
        };
        let Some(borrower) = queue.borrower(task) else { return };
        let scratch = self.common.scratches.take(borrower);
        queue.lend(task, scratch.as_ref().map(memory::Scratch::slot));
        self.step_ended(submitter, key, task, Outcome::Memory(scratch));
    }

    /// Looks after those who wait for what was given back or let go, some in each round.
    pub(super) fn look_after_waiting(&mut self, submitter: &mut Submitter) {
        for _ in 0..LOOKED_AFTER_A_ROUND {
            // Also where a command that was lent some has ended meanwhile.
            while let Some(borrower) = self.common.scratches.take_news() {
                self.waiting.memory.wake(borrower);
            }
            let scratches = &self.common.scratches;
            let Some((key, task)) = self.waiting.memory.next(|borrower| scratches.has_free(borrower)) else {
                break;
            };
            self.lend(submitter, key, task);
        }
        for _ in 0..LOOKED_AFTER_A_ROUND {
            let Some(Parked { key, task, claim }) = self.waiting.blocks.next(|_| true) else { break };
            self.claim(submitter, key, task, claim);
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
        let (back, medium) = (self.post.clone(), claim.store.medium());
        let wake = || -> Wake { Box::new(move || send(&back, LetterKind::ClaimsFree { medium })) };
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
        let queues = &mut self.queues;
        let parked = Parked { key, task, claim };
        self.waiting.blocks.join(medium, parked, |parked| still_waits(queues, parked.key, parked.task));
    }

    /// Sends out what aborts want: that commands end which wait for others.
    pub(super) fn send_errands_of_marked(&mut self, submitter: &mut Submitter) {
        let has_errands = |(index, queue): (usize, &Queue)| queue.has_errands().then_some(index);
        let marked: Vec<usize> = self.queues.iter().filter_map(has_errands).collect();
        for index in marked {
            self.send_errands(submitter, u32::try_from(index).unwrap_or(u32::MAX));
        }
    }

    /// Has commands ask again for the blocks that they wait for, as some of them were let go.
    pub(super) fn claims_free(&mut self, medium: u64) {
        self.waiting.blocks.wake(medium);
    }

    /// Forgets who has waited for a connection that has left: all its tasks have ended.
    pub(super) fn wait_for_client_no_more(&mut self, client: u64) {
        self.common.scratches.forget_client(client);
        self.waiting.memory.retain(|borrower| borrower.client != client);
        let queues = &mut self.queues;
        self.waiting.blocks.sift(|parked| still_waits(queues, parked.key, parked.task));
    }
}

fn still_waits(queues: &mut Slab<Queue>, QueueKey(tag): QueueKey, task: (usize, u64)) -> bool {
    let queue = queues.get_mut(tag.key as usize).filter(|queue| queue.tag == tag);
    queue.is_some_and(|queue| queue.still_waits(task))
}

#[cfg(test)]
mod tests {
    use super::{Borrower, Parked};
    use crate::errands;
    use crate::worker::{QueueKey, Worker};
    use backstore::Ramdisk;
    use exec::mailbox::{Wake, mailbox};
    use reactor::{KickTag, Work};
    use std::sync::{Arc, OnceLock};
    use target::{Claim, Store};

    struct Awake;

    impl Wake for Awake {
        fn wake(&self) {}
    }

    /// Commands that were aborted since: each costs a look.
    const GONE: QueueKey = QueueKey(KickTag { key: 0, generation: 1 });

    #[test]
    fn a_round_looks_after_64_of_each_and_the_next_goes_on_before_the_worker_sleeps() {
        let (post, _mail) = mailbox(Box::new(Awake));
        let mut worker = Worker::new(post, 0, Arc::new(OnceLock::new()), errands::start());
        let mut submitter = reactor::testing::submitter().unwrap();
        let store = Store::new(1, Arc::new(Ramdisk::new(4096, false).unwrap()));
        let borrower = Borrower { client: 1, store: 1 };
        for number in 0..200 {
            let task = (0, number);
            worker.waiting.memory.join(borrower, (GONE, task), |_| true);
            let claim = Claim { store: store.clone(), range: 0..512, exclusive: false };
            worker.waiting.blocks.join(store.medium(), Parked { key: GONE, task, claim }, |_| true);
        }
        assert!(!worker.arm());
        worker.waiting.memory.wake(borrower);
        worker.claims_free(store.medium());
        for left in [136, 72, 8, 0] {
            assert!(worker.arm(), "it sleeps while {left} and more wait");
            worker.publish(&mut submitter);
            assert_eq!((worker.waiting.memory.len(), worker.waiting.blocks.len()), (left, left));
        }
        assert!(!worker.arm() && !worker.poll(&mut submitter));
    }
}
