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
use crate::scratches::Borrower;
use std::collections::{HashMap, VecDeque};
use target::io::Submitter;
use target::{Claim, Outcome, Scope, Wake};

/// Tasks in a line from which on it is looked through for those that wait no more, so that aborts do not make it longer
/// than there are commands.
const LINE_SIFTED_FROM: usize = 64;

/// A command that waits for blocks which another has for itself.
pub(super) struct Parked {
    key: QueueKey,
    task: (usize, u64),
    claim: Claim,
}

/// Commands that wait for memory, a line for each borrower: what one gives back is looked at by nobody else.
#[derive(Default)]
pub(super) struct MemoryLines {
    lines: HashMap<Borrower, Line>,
}

/// A task that waits, or was aborted meanwhile.
type Waiter = (QueueKey, (usize, u64));

/// Those who wait for the memory of one borrower, the first come first; never empty.
struct Line {
    waiters: VecDeque<Waiter>,
    /// How long it is to be when it is looked through next: twice as long as it was then, so that a task costs the same
    /// however many there are.
    sifted_at: usize,
}

impl MemoryLines {
    /// Whether anybody waits as this borrower.
    fn has_line(&self, borrower: Borrower) -> bool {
        self.lines.contains_key(&borrower)
    }

    /// Lets a task wait behind all others of its borrower.
    fn join(&mut self, borrower: Borrower, waiter: Waiter, mut still_waits: impl FnMut(Waiter) -> bool) {
        let new = || Line { waiters: VecDeque::new(), sifted_at: LINE_SIFTED_FROM };
        let Line { waiters, sifted_at } = self.lines.entry(borrower).or_insert_with(new);
        if waiters.len() >= *sifted_at {
            waiters.retain(|waiter| still_waits(*waiter));
            *sifted_at = LINE_SIFTED_FROM.max(waiters.len().saturating_mul(2));
        }
        waiters.push_back(waiter);
    }

    /// Takes the first of a borrower's line.
    fn leave(&mut self, borrower: Borrower) -> Option<Waiter> {
        let line = self.lines.get_mut(&borrower)?;
        let waiter = line.waiters.pop_front();
        if line.waiters.is_empty() {
            self.lines.remove(&borrower);
        }
        waiter
    }

    /// Forgets the lines of a connection that has left: all its tasks have ended.
    pub(super) fn forget_client(&mut self, client: u64) {
        self.lines.retain(|borrower, _| borrower.client != client);
    }
}

impl Worker {
    /// Lends memory to a task, or notes that it waits for some.
    pub(super) fn lend_memory(&mut self, submitter: &mut Submitter, key: QueueKey, task: (usize, u64)) {
        let Some(queue) = self.queues.get_mut(key.0.key as usize).filter(|queue| queue.tag == key.0) else {
            return;
        };
        let Some(borrower) = queue.borrower(task) else { return };
        // Where somebody waits though there is memory, it was given back in this round, and he comes first.
        if self.common.scratches.has_free(borrower) && !self.memory_lines.has_line(borrower) {
            return self.lend(submitter, key, task);
        }
        let queues = &mut self.queues;
        self.memory_lines.join(borrower, (key, task), |(QueueKey(tag), task)| {
            let queue = queues.get_mut(tag.key as usize).filter(|queue| queue.tag == tag);
            queue.is_some_and(|queue| queue.still_waits(task))
        });
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

    /// Lends what was given back since, to those who wait as who gave it back.
    pub(super) fn lend_to_waiting(&mut self, submitter: &mut Submitter) {
        // Again where a command that was lent some has ended meanwhile.
        while let Some(borrower) = self.common.scratches.take_news() {
            while self.common.scratches.has_free(borrower)
                && let Some((key, task)) = self.memory_lines.leave(borrower)
            {
                self.lend(submitter, key, task);
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

#[cfg(test)]
mod tests {
    use super::{Borrower, MemoryLines, QueueKey};
    use reactor::KickTag;

    const ONE: Borrower = Borrower { client: 1, store: 1 };
    const OTHER: Borrower = Borrower { client: 2, store: 1 };
    const QUEUE: QueueKey = QueueKey(KickTag { key: 0, generation: 1 });

    fn waiter(number: u64) -> (QueueKey, (usize, u64)) {
        (QUEUE, (0, number))
    }

    #[test]
    fn what_one_gives_back_is_looked_at_by_no_other_who_waits() {
        let mut lines = MemoryLines::default();
        for number in 0..32_768 {
            lines.join(ONE, waiter(number), |_| true);
        }
        lines.join(OTHER, waiter(40_000), |_| panic!("a line was looked through for another's sake"));
        lines.join(OTHER, waiter(40_001), |_| panic!("a line was looked through for another's sake"));
        assert_eq!(lines.leave(OTHER), Some(waiter(40_000)));
        assert_eq!(lines.leave(OTHER), Some(waiter(40_001)));
        assert_eq!((lines.leave(OTHER), lines.has_line(OTHER)), (None, false));
        let order: Vec<_> = std::iter::from_fn(|| lines.leave(ONE)).collect();
        assert_eq!(order, (0..32_768).map(waiter).collect::<Vec<_>>());
    }

    #[test]
    fn aborted_commands_make_a_line_no_longer_and_cost_a_few_looks_each() {
        let mut lines = MemoryLines::default();
        let mut looks = 0;
        // Fifty wait on, and each of the others is aborted before the next comes.
        for number in 0..100_000 {
            lines.join(ONE, waiter(number), |(_, (_, number))| {
                looks += 1;
                number < 50
            });
        }
        assert!(lines.lines[&ONE].waiters.len() <= 100, "{}", lines.lines[&ONE].waiters.len());
        assert!(looks <= 300_000, "{looks}");
        assert_eq!(lines.leave(ONE), Some(waiter(0)));
    }

    #[test]
    fn who_leaves_waits_no_more_and_others_do() {
        let mut lines = MemoryLines::default();
        for (borrower, number) in [(ONE, 1), (OTHER, 2), (Borrower { client: 1, store: 2 }, 3)] {
            lines.join(borrower, waiter(number), |_| true);
        }
        lines.forget_client(1);
        assert_eq!((lines.lines.len(), lines.leave(OTHER)), (1, Some(waiter(2))));
    }
}
