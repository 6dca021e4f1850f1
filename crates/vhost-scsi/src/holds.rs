// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The locks that a target holds while its rings run: those of every backstore that it shows.
//!
//! Above: `fence`, which takes them for a front end; `lunard`, which changes what a target shows.
//! Below: `backstore`'s locks, by way of `target`.
//! Never here: waiting.
//!
//! A target takes all of its locks or none, so that two daemons that want each other's disks cannot each keep what
//! the other waits for.  A change of the map, and the start and end of the rings, are one after the other.

use crate::events;
use crate::port::TargetPort;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use target::io::Hold;
use target::{LunMap, Store};

/// What a target holds.
#[derive(Default)]
pub(crate) struct Holds(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// Whether rings run, so that what is shown must be locked.
    runs: bool,
    by_store: BTreeMap<u64, Hold>,
}

impl Holds {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of everything: no ring runs any more.
    pub(crate) fn let_go(&self) {
        let held = std::mem::take(&mut *self.held());
        // Outside of the mutex: a file system of the network may take its time.
        drop(held);
    }
}

/// A change of what a target shows.  While it lives, no ring of the target starts or ends.
pub struct MapChange<'a> {
    port: &'a TargetPort,
    held: MutexGuard<'a, Held>,
}

/// A backstore that a target shows no more, and what keeps it locked until its last I/O there has ended.
pub struct Left {
    /// The number of the store.
    pub store: u64,
    /// Dropped, others may have the backstore.
    pub hold: Hold,
}

impl TargetPort {
    /// Whether rings of this target run, or wait only for their fence to be told so.
    pub fn is_running(&self) -> bool {
        self.holds.held().runs
    }

    /// Begins a change of what the target shows.
    pub fn change_map(&self) -> MapChange<'_> {
        MapChange { port: self, held: self.holds.held() }
    }

    /// Takes the locks of all that the target shows.
    ///
    /// # Errors
    /// The path of what another process holds; then nothing is locked.
    pub(crate) fn hold_stores(&self) -> Result<(), PathBuf> {
        loop {
            let map = self.map().load();
            let mut by_store = BTreeMap::new();
            for store in stores(&map) {
                let Some(lock) = store.backstore.host_lock() else { continue };
                if let Entry::Vacant(place) = by_store.entry(store.id) {
                    place.insert(lock.try_hold().ok_or_else(|| lock.path().to_path_buf())?);
                }
            }
            let mut held = self.holds.held();
            // What is shown by now may be something else.
            if Arc::ptr_eq(&map, &self.map().load()) {
                *held = Held { runs: true, by_store };
                return Ok(());
            }
        }
    }
}

impl MapChange<'_> {
    /// Whether the target may show `store`: no ring runs, or this process has its lock, which the target then
    /// holds too.  Never waits.
    pub fn may_show(&mut self, store: &Store) -> bool {
        let Some(lock) = store.backstore.host_lock().filter(|_| self.held.runs) else { return true };
        if self.held.by_store.contains_key(&store.id) {
            return true;
        }
        let shared = lock.share();
        let may = shared.is_some();
        self.held.by_store.extend(shared.map(|hold| (store.id, hold)));
        may
    }

    /// Shows guests `map`, of which every store was asked for, and tells them what has changed.  Returns what the target shows no more.
    pub fn publish(mut self, map: LunMap) -> Vec<Left> {
        let mut left = std::mem::take(&mut self.held.by_store);
        for store in stores(&map) {
            self.held.by_store.extend(left.remove_entry(&store.id));
        }
        let old = self.port.map().load();
        self.port.map().publish(map);
        let new = self.port.map().load();
        let news = events::between(&old, &new);
        events::establish(&news, &old, &new);
        self.port.announcer.announce(news);
        left.into_iter().map(|(store, hold)| Left { store, hold }).collect()
    }
}

fn stores(map: &LunMap) -> impl Iterator<Item = &Store> {
    let units = map.groups().flat_map(|(_, group)| group.units());
    units.filter_map(|mapping| mapping.unit.store.as_ref())
}
