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
use std::collections::HashMap;

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
    /// Whether anything was given back since somebody asked.
    given_back: bool,
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
        self.forget_if_idle(borrower);
        scratch
    }

    /// Takes a piece back.
    pub(crate) fn give_back(&mut self, borrower: Borrower, slot: u32) {
        if let Some(pool) = self.pools.get_mut(&borrower) {
            pool.pool.give_back(slot);
            pool.lent -= 1;
        }
        self.given_back = true;
        self.forget_if_idle(borrower);
    }

    /// Whether anything was given back since the last call.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.given_back)
    }

    fn forget_if_idle(&mut self, borrower: Borrower) {
        if self.pools.len() > POOLS_KEPT_MAX && self.pools.get(&borrower).is_some_and(|pool| pool.lent == 0) {
            self.pools.remove(&borrower);
        }
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
        assert!(!scratches.take_news());
        scratches.give_back(one, lent[5].slot());
        assert_eq!(
            (scratches.has_free(one), scratches.take_news(), scratches.take_news()),
            (true, true, false)
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
}
