// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A machine without guests: it believes every path, and remembers the steps it was given.
//!
//! Above: tests, which tell it what to find, when to fail and when to hang.
//! Below: nothing.
//! Never here: a file.

use super::{Fault, FaultKind, Found, Live, LiveBackstore, LiveTarget, Machine, Occasion, Rest};
use model::{Backstore, BackstoreId, Kind, Medium, Step, Wwn};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// The size of a device of which nothing else is known, in bytes: the walkthrough's 14 GiB.
const DEVICE_BYTES: u64 = 14 << 30;

/// A machine without guests.
#[derive(Debug)]
pub struct FakeMachine {
    runtime_dir: PathBuf,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<BackstoreId, Backstore>,
    targets: BTreeSet<Wwn>,
    connected: BTreeSet<Wwn>,
    committed: Vec<Step>,
    /// Sizes of files that are there, by path.
    files: BTreeMap<String, u64>,
    /// Paths that are not there.
    absent: BTreeSet<String>,
    /// Paths whose opening waits.
    hung: BTreeSet<String>,
    /// How many threads wait in `prepare` now.
    waiting: usize,
    /// How many prepared transactions were dropped without commit.
    undone: usize,
}

/// What the fake has prepared.
#[derive(Debug)]
pub struct FakePrepared {
    steps: Vec<Step>,
    found: Vec<Found>,
    inner: Arc<Inner>,
    committed: bool,
}

impl Drop for FakePrepared {
    fn drop(&mut self) {
        if !self.committed {
            self.inner.lock().undone += 1;
            self.inner.released.notify_all();
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl FakeMachine {
    /// A machine that serves nothing yet, whose sockets would be in `runtime_dir`.
    #[must_use]
    pub fn new(runtime_dir: impl Into<PathBuf>) -> Self {
        Self { runtime_dir: runtime_dir.into(), inner: Arc::default() }
    }

    /// From now on a file of this size, in bytes, is found at `path`.
    pub fn put_file(&self, path: &str, size_bytes: u64) {
        self.inner.lock().files.insert(path.to_owned(), size_bytes);
    }

    /// From now on nothing is found at `path`.
    pub fn remove_path(&self, path: &str) {
        self.inner.lock().absent.insert(path.to_owned());
    }

    /// From now on a guest is connected to a target.
    pub fn connect(&self, wwn: &Wwn) {
        self.inner.lock().connected.insert(wwn.clone());
    }

    /// From now on whoever opens `path` waits for [`FakeMachine::release`].
    pub fn hang(&self, path: &str) {
        self.inner.lock().hung.insert(path.to_owned());
    }

    /// Lets whoever waits for `path` go on.
    pub fn release(&self, path: &str) {
        self.inner.lock().hung.remove(path);
        self.inner.released.notify_all();
    }

    /// Returns once `count` threads wait in `prepare`.
    pub fn wait_until_hung(&self, count: usize) {
        let state = self.inner.lock();
        let all = self.inner.released.wait_while(state, |state| state.waiting < count);
        drop(all.expect("no holder of this lock panics"));
    }

    /// Returns once `count` prepared transactions were given up.
    pub fn wait_until_undone(&self, count: usize) {
        let state = self.inner.lock();
        let all = self.inner.released.wait_while(state, |state| state.undone < count);
        drop(all.expect("no holder of this lock panics"));
    }

    /// Every step committed so far.
    #[must_use]
    pub fn committed(&self) -> Vec<Step> {
        self.inner.lock().committed.clone()
    }

    /// How many prepared transactions were dropped without commit.
    #[must_use]
    pub fn undone(&self) -> usize {
        self.inner.lock().undone
    }

    fn open(&self, backstore: &Backstore, occasion: Occasion) -> Result<Found, Fault> {
        let path = backstore.medium.path().map(|path| path.as_str().to_owned());
        if let Some(path) = &path {
            self.wait_for(path);
        }
        let state = self.inner.lock();
        let mut found = Found {
            backstore: backstore.id(),
            size_bytes: None,
            sector_bytes: None,
            beyond: Vec::new(),
            notes: Vec::new(),
        };
        let absent = path.as_ref().is_some_and(|path| state.absent.contains(path));
        let there = path.as_ref().and_then(|path| state.files.get(path).copied());
        found.size_bytes = match (&backstore.medium, there) {
            _ if absent && occasion == Occasion::Restore => None,
            (medium, _) if absent && medium.kind() == Kind::Block => {
                return Err(caller_fault(format!("Could not open {}", path.unwrap_or_default())));
            }
            (Medium::Fileio { size_bytes, path, .. }, Some(there)) => {
                let as_meant = occasion.is_from_a_file() && *size_bytes == Some(there);
                if size_bytes.is_some() && occasion.is_asked_for() && !as_meant {
                    found.notes.push(format!("{path} exists, using its size ({there} bytes) instead"));
                }
                Some(there)
            }
            (Medium::Fileio { size_bytes: None, .. }, None) if occasion.is_asked_for() => {
                let message = "Attempting to create file for new fileio backstore, need a size";
                return Err(caller_fault(message.to_owned()));
            }
            (Medium::Block { .. }, there) => Some(there.unwrap_or(DEVICE_BYTES)),
            (medium, None) => medium.size_bytes(),
            (Medium::Ramdisk { size_bytes, .. }, Some(_)) => Some(size_bytes.get()),
        };
        Ok(found)
    }

    fn wait_for(&self, path: &str) {
        let mut state = self.inner.lock();
        if !state.hung.contains(path) {
            return;
        }
        state.waiting += 1;
        self.inner.released.notify_all();
        let released = self.inner.released.wait_while(state, |state| state.hung.contains(path));
        released.expect("no holder of this lock panics").waiting -= 1;
    }
}

fn caller_fault(message: String) -> Fault {
    Fault { message, hint: None, kind: FaultKind::Caller, errno: rustix::io::Errno::INVAL }
}

impl Machine for FakeMachine {
    type Prepared = FakePrepared;

    fn prepare(&self, steps: &[Step], occasion: Occasion) -> Result<FakePrepared, Fault> {
        let mut found = Vec::new();
        for step in steps {
            if let Step::OpenBackstore(backstore) = step {
                found.push(self.open(backstore, occasion)?);
            }
        }
        Ok(FakePrepared { steps: steps.to_vec(), found, inner: Arc::clone(&self.inner), committed: false })
    }

    fn found(&self, prepared: &FakePrepared) -> Vec<Found> {
        prepared.found.clone()
    }

    fn commit(&self, mut prepared: FakePrepared) -> Vec<Rest> {
        prepared.committed = true;
        let mut state = self.inner.lock();
        for step in &prepared.steps {
            match step {
                Step::OpenBackstore(backstore)
                | Step::UpdateBackstore(backstore)
                | Step::SelectModes(backstore)
                | Step::ResizeBackstore { backstore, .. }
                | Step::ShrinkBackstore { backstore, .. } => {
                    state.open.insert(backstore.id(), backstore.clone());
                }
                Step::CloseBackstore(id) => {
                    state.open.remove(id);
                }
                Step::CreateTarget(wwn) => {
                    state.targets.insert(wwn.clone());
                }
                Step::RemoveTarget(wwn) => {
                    state.targets.remove(wwn);
                }
                Step::SetAlua { .. }
                | Step::SetLunAlua { .. }
                | Step::SetOptions { .. }
                | Step::SetCompletionAffinity { .. }
                | Step::CreateTpg { .. }
                | Step::RemoveTpg { .. }
                | Step::MapLun { .. }
                | Step::UnmapLun { .. } => {}
            }
            state.committed.push(step.clone());
        }
        for found in &prepared.found {
            let open = state.open.get_mut(&found.backstore).map(|open| &mut open.medium);
            if let (Some(Medium::Block { size_bytes, .. } | Medium::Fileio { size_bytes, .. }), Some(bytes)) =
                (open, found.size_bytes)
            {
                *size_bytes = Some(bytes);
            }
        }
        Vec::new()
    }

    fn live(&self) -> Live {
        let state = self.inner.lock();
        let backstores = state.open.iter().map(|(id, backstore)| (id.clone(), live(&state, backstore)));
        let targets = state.targets.iter().map(|wwn| {
            let socket = crate::directories::guest_socket(&self.runtime_dir, wwn);
            (
                wwn.clone(),
                LiveTarget {
                    socket,
                    socket_fault: None,
                    connected: state.connected.contains(wwn),
                    waiting: Vec::new(),
                },
            )
        });
        Live { backstores: backstores.collect(), targets: targets.collect() }
    }
}

fn live(state: &State, backstore: &Backstore) -> LiveBackstore {
    let path = backstore.medium.path();
    LiveBackstore {
        size_bytes: backstore.medium.size_bytes().unwrap_or(0),
        block_bytes: backstore.block_bytes().unwrap_or(512),
        read_only: matches!(backstore.medium, Medium::Block { read_only: Some(true), .. }),
        write_back: backstore.write_back().unwrap_or(false),
        missing: path.is_some_and(|path| state.absent.contains(path.as_str())),
        ejected: false,
        stopped: false,
        physical_block_bytes: backstore.physical_block_bytes().unwrap_or(512),
        device: None,
        space: None,
        transitioning: BTreeSet::new(),
    }
}
