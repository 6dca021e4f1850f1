// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What all queues of a worker use.
//!
//! Above: `queue`, `worker`.  Below: the channels into backstores, and lists kept for reuse.
//! Never here: anything of one queue.

use crate::channels::Channels;
use crate::scratches::Scratches;
use memory::IoBuf;

/// What all queues of a worker use.
#[derive(Default)]
pub(crate) struct Common {
    pub(crate) channels: Channels,
    /// Empty scatter lists that keep their room.
    spare: Vec<IoBuf>,
    /// Counts the tasks, so that a quiescence knows which came before it.
    pub(crate) tasks_begun: u64,
    /// Memory for the commands that need some.
    pub(crate) scratches: Scratches,
}

/// Empty lists kept for reuse; more than this many are given back to the allocator.
const SPARE_MAX: usize = 1024;

impl Common {
    /// The number of a task that begins.
    pub(super) fn next_task(&mut self) -> u64 {
        let number = self.tasks_begun;
        self.tasks_begun += 1;
        number
    }

    pub(super) fn list(&mut self) -> IoBuf {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn give_back_all<const N: usize>(&mut self, lists: [IoBuf; N]) {
        for list in lists {
            self.give_back(list);
        }
    }

    pub(crate) fn give_back(&mut self, mut list: IoBuf) {
        list.clear();
        if self.spare.len() < SPARE_MAX {
            self.spare.push(list);
        }
    }
}
