// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A worker's ways into the backstores: one channel each, opened when it is first needed.
//!
//! Above: `worker`, `queue`.  Below: `backstore`.
//! Never here: which commands use them.

use slab::Slab;
use std::collections::HashMap;
use target::Store;
use target::io::{Channel, Completed, Io, Submitted, Submitter, Token};

#[derive(Default)]
pub(crate) struct Channels {
    open: Slab<(u64, Box<dyn Channel>)>,
    by_store: HashMap<u64, u32>,
}

impl Channels {
    /// The channel into `store`.
    pub(crate) fn of(&mut self, store: &Store) -> u32 {
        if let Some(&key) = self.by_store.get(&store.id) {
            return key;
        }
        let entry = self.open.vacant_entry();
        let key = u32::try_from(entry.key()).unwrap_or(u32::MAX);
        entry.insert((store.id, store.backstore.channel(key)));
        self.by_store.insert(store.id, key);
        key
    }

    pub(crate) fn submit(&mut self, key: u32, submitter: &mut Submitter, io: Io, token: Token) -> Submitted {
        let (_, channel) = &mut self.open[key as usize];
        channel.submit(submitter, io, token)
    }

    pub(crate) fn completed(
        &mut self,
        submitter: &mut Submitter,
        tag: reactor::IoTag,
        result: i32,
    ) -> Option<Completed> {
        let (_, channel) = self.open.get_mut(tag.channel as usize)?;
        channel.completed(submitter, tag.operation, result)
    }

    /// Closes the channel into a backstore that has gone from every map.  It has nothing in flight.
    pub(crate) fn close(&mut self, store: u64) {
        if let Some(key) = self.by_store.remove(&store) {
            let (_, channel) = self.open.remove(key as usize);
            assert_eq!(channel.in_flight(), 0, "a channel is closed only when it is quiet");
        }
    }
}
