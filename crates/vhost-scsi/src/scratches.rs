// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory that commands of a worker borrow, so much for each guest and disk.
//!
//! Above: `worker`, `queue`.  Below: `memory`.
//! Never here: a wait.
//!
//! A command may keep what it borrows as long as its disk does not answer.  Who else has a disk of his own borrows from a
//! pool of his own.  So there is memory for as many pieces as a pool has, times the disks of all guests; never more than
//! one for each command that is under way.

use memory::{Scratch, ScratchPool};
use std::collections::{HashMap, VecDeque};

/// Pools of which nothing is lent and that are kept all the same, because making one takes system calls.
const POOLS_KEPT_MAX: usize = 16;

/// Who borrows: a connection, for commands on a backstore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Borrower {
    pub(crate) client: u64,
    pub(crate) store: u64,
}

/// The pools of a worker.
#[derive(Default)]
pub(crate) struct Scratches {
    pools: HashMap<Borrower, Pool>,
    /// Whose pools have nothing lent, the least recently used first: [`POOLS_KEPT_MAX`] at most.
    idle: VecDeque<Borrower>,
    /// Who gave something back since somebody asked.
    given_back: Vec<Borrower>,
}

#[derive(Default)]
struct Pool {
    pool: ScratchPool,
    lent: usize,
}

impl Scratches {
    /// Whether a piece can be had now, or never.
    pub(crate) fn has_free(&self, borrower: Borrower) -> bool {
        self.pools.get(&borrower).is_none_or(|pool| pool.pool.has_free())
    }

    /// Lends a piece; `None` when all are lent, or the host gives no memory.
    pub(crate) fn take(&mut self, borrower: Borrower) -> Option<Scratch> {
        let pool = self.pools.entry(borrower).or_default();
        let scratch = pool.pool.take();
        pool.lent += usize::from(scratch.is_some());
        if pool.lent == 0 {
            // There is no memory behind it.
            self.pools.remove(&borrower);
        } else if pool.lent == 1
            && let Some(at) = self.idle.iter().rposition(|idle| *idle == borrower)
        {
            self.idle.remove(at);
        }
        scratch
    }

    /// Takes a piece back.
    pub(crate) fn give_back(&mut self, borrower: Borrower, slot: u32) {
        if self.given_back.last() != Some(&borrower) {
            self.given_back.push(borrower);
        }
        let Some(pool) = self.pools.get_mut(&borrower) else { return };
        pool.pool.give_back(slot);
        pool.lent -= 1;
        if pool.lent == 0 {
            self.keep_idle(borrower);
        }
    }

    /// Somebody who gave something back since he was last told of.
    pub(crate) fn take_news(&mut self) -> Option<Borrower> {
        self.given_back.pop()
    }

    /// Forgets the pools of a connection that has left: nothing of them is lent.
    pub(crate) fn forget_client(&mut self, client: u64) {
        let Self { pools, idle, .. } = self;
        idle.retain(|borrower| {
            let stays = borrower.client != client;
            if !stays {
                pools.remove(borrower);
            }
            stays
        });
    }

    fn keep_idle(&mut self, borrower: Borrower) {
        if self.idle.len() == POOLS_KEPT_MAX
            && let Some(oldest) = self.idle.pop_front()
        {
            self.pools.remove(&oldest);
        }
        self.idle.push_back(borrower);
    }
}

#[cfg(test)]
mod tests {
    use super::{Borrower, Scratches};

    #[test]
    fn what_one_borrows_is_missing_to_nobody_else() {
        let mut scratches = Scratches::default();
        let (one, other) = (Borrower { client: 1, store: 1 }, Borrower { client: 1, store: 2 });
        let lent: Vec<_> = std::iter::from_fn(|| scratches.take(one)).collect();
        assert_eq!((lent.len(), scratches.has_free(one), scratches.has_free(other)), (16, false, true));
        assert!(scratches.take(other).is_some());
        assert_eq!(scratches.take_news(), None);
        scratches.give_back(one, lent[5].slot());
        assert_eq!(
            (scratches.has_free(one), scratches.take_news(), scratches.take_news()),
            (true, Some(one), None)
        );
    }

    #[test]
    fn few_pools_are_kept_of_which_nothing_is_lent() {
        let mut scratches = Scratches::default();
        for store in 0..40 {
            let borrower = Borrower { client: 1, store };
            let slot = scratches.take(borrower).unwrap().slot();
            scratches.give_back(borrower, slot);
        }
        assert_eq!(scratches.pools.len(), 16);
    }

    /// Borrows a piece and gives it back; returns the byte that its last holder left, and leaves another.
    fn use_once(scratches: &mut Scratches, borrower: Borrower, leaves: u8) -> u8 {
        let scratch = scratches.take(borrower).unwrap();
        let mut found = [0xff];
        scratch.list(1).copy_to(0, &mut found);
        scratch.list(1).fill(0, leaves, 1);
        scratches.give_back(borrower, scratch.slot());
        found[0]
    }

    #[test]
    fn a_pool_in_use_is_kept_however_many_were_used_before_it() {
        let mut scratches = Scratches::default();
        for client in 0..40 {
            use_once(&mut scratches, Borrower { client, store: 1 }, 3);
        }
        let live = Borrower { client: 40, store: 1 };
        assert_eq!(use_once(&mut scratches, live, 7), 0, "it is made anew");
        assert_eq!(use_once(&mut scratches, live, 8), 7, "it was remade for the second command");
    }

    #[test]
    fn the_pool_that_was_least_recently_used_makes_room() {
        let mut scratches = Scratches::default();
        let of = |client| Borrower { client, store: 1 };
        for client in 0..16 {
            use_once(&mut scratches, of(client), 7);
        }
        assert_eq!(use_once(&mut scratches, of(0), 7), 7);
        use_once(&mut scratches, of(16), 7);
        assert_eq!(use_once(&mut scratches, of(0), 7), 7, "it was used after the second");
        assert_eq!(use_once(&mut scratches, of(2), 7), 7, "there is room without it");
        assert_eq!(use_once(&mut scratches, of(1), 7), 0, "it was the least recently used");
    }

    #[test]
    fn a_pool_of_which_something_is_lent_does_not_make_room() {
        let mut scratches = Scratches::default();
        let holder = Borrower { client: 1, store: 1 };
        use_once(&mut scratches, holder, 7);
        let held = scratches.take(holder).unwrap();
        for store in 2..40 {
            use_once(&mut scratches, Borrower { client: 1, store }, 3);
        }
        scratches.forget_client(1);
        assert_eq!((scratches.pools.len(), scratches.idle.len()), (1, 0));
        scratches.give_back(holder, held.slot());
        assert_eq!(use_once(&mut scratches, holder, 7), 7);
    }

    #[test]
    fn who_leaves_leaves_no_pool_behind_and_takes_nobody_elses() {
        let mut scratches = Scratches::default();
        let (leaves, stays) = (Borrower { client: 1, store: 1 }, Borrower { client: 2, store: 1 });
        for borrower in [leaves, stays, Borrower { client: 1, store: 2 }] {
            use_once(&mut scratches, borrower, 7);
        }
        scratches.forget_client(1);
        assert_eq!((scratches.pools.len(), scratches.idle.len()), (1, 1));
        assert_eq!(use_once(&mut scratches, stays, 7), 7);
    }
}
