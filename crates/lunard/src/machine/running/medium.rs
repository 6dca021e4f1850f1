// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening what a backstore is kept in.
//!
//! Above: `running` prepares with it, `state` keeps the result.
//! Below: `backstore`.
//! Never here: guests.

use super::fault::{
    beyond_medium, block_within_sector, cannot_look, device_is_larger, device_is_smaller, missing_fault,
    needs_size, not_whole_blocks, open_fault,
};
use crate::machine::{Fault, Found, LiveDevice, Occasion};
use backstore::{
    Abilities, Backstore as _, BlockDevice, BlockOptions, FileOptions, FileStore, Geometry, HostLock,
    NewFile, OpenError, Ramdisk,
};
use model::{Attribute, Backstore, BackstoreId, Key, Kind, Medium, Step};
use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use target::{LogicalUnit, Store};

/// How long to wait for a process that was killed a moment ago, and whose I/O may still be under way.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// The logical block of a file where nothing else is said, in bytes.
const FILE_BLOCK_BYTES: u32 = 512;

/// A medium, open or found missing.
pub(super) struct Opened {
    pub(super) store: Option<Store>,
    pub(super) device: Option<LiveDevice>,
    /// The file, so that it can be used in another manner.
    pub(super) file: Option<Arc<FileStore>>,
    created: Option<Created>,
    /// The sectors of a device, in bytes, where they became the logical blocks of the backstore.
    sector_bytes: Option<u32>,
    notes: Vec<String>,
    /// Whether it is not there because it does not answer.
    hangs: bool,
    /// What was known of the medium that was here and is gone: a unit does not become another by that.
    gone: Option<(Geometry, Abilities)>,
}

/// What one backstore leaves to another that is kept in the same medium.
pub(super) enum HandedOver {
    /// The open medium.
    AsItIs(Opened),
    /// The medium, which has to be opened in another manner while it is open in this one.
    InPlaceOf(Store),
}

/// A file that was made and goes again, unless it is kept.
struct Created(Option<PathBuf>);

impl Drop for Created {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Opened {
    pub(super) fn missing() -> Self {
        Self {
            store: None,
            device: None,
            file: None,
            created: None,
            sector_bytes: None,
            notes: Vec::new(),
            hangs: false,
            gone: None,
        }
    }

    /// Missing because it does not answer: it may be there at any time.
    pub(super) fn hanging() -> Self {
        Self { hangs: true, ..Self::missing() }
    }

    /// The same without its medium, which does not answer or is not there.
    pub(super) fn lost(&self, hangs: bool) -> Self {
        Self { hangs, gone: self.known(), ..Self::missing() }
    }

    /// What is known of the medium, or was while it was there.
    pub(super) fn known(&self) -> Option<(Geometry, Abilities)> {
        let open = self.store.as_ref().map(|store| &store.backstore);
        open.map(|open| (open.geometry().clone(), open.abilities())).or_else(|| self.gone.clone())
    }

    pub(super) fn hangs(&self) -> bool {
        self.hangs
    }

    /// Makes a file that was created stay.
    pub(super) fn keep(&mut self) {
        if let Some(mut created) = self.created.take() {
            created.0 = None;
        }
    }

    pub(super) fn found(&self, id: &BackstoreId) -> Found {
        let size_bytes = self.store.as_ref().map(|store| store.backstore.geometry().bytes);
        let (sector_bytes, beyond, notes) = (self.sector_bytes, self.beyond().collect(), self.notes.clone());
        Found { backstore: id.clone(), size_bytes, sector_bytes, beyond, notes }
    }

    /// The backstore as it is on this medium: with the blocks of its device where those were taken, and without what it cannot
    /// do.
    pub(super) fn fitted(&self, backstore: &Backstore) -> Backstore {
        let mut fitted = backstore.clone();
        if let Some(bytes) = self.sector_bytes {
            fitted.take_blocks_of(bytes);
        }
        fitted.learn_limits(&self.beyond().collect::<Vec<_>>());
        fitted
    }

    /// What was another backstore's medium, for this one.
    pub(super) fn fit_for(mut self, backstore: &Backstore, occasion: Occasion) -> Result<Self, Fault> {
        self.must_do_with_space(backstore)?;
        self.fit_space_of(backstore, occasion);
        self.fit_blocks_of(backstore)?;
        Ok(self)
    }

    /// Sees to it that a block can be read and written by itself: a file backstore on a device takes its sectors, and
    /// blocks that somebody chose are refused where they do not fit.
    fn fit_blocks_of(&mut self, backstore: &Backstore) -> Result<(), Fault> {
        let Some(sector_bytes) = self.sectors_within_blocks_of(backstore) else { return Ok(()) };
        if !backstore.clone().take_blocks_of(sector_bytes) {
            return self.must_hold_blocks_of(backstore);
        }
        self.sector_bytes = Some(sector_bytes);
        if let Some(path) = backstore.medium.path() {
            self.notes.push(format!("{path} has sectors of {sector_bytes} bytes: so large are the blocks"));
        }
        Ok(())
    }

    /// Sees to it that no attribute says more than the medium can do with space.
    fn fit_space_of(&mut self, backstore: &Backstore, occasion: Occasion) {
        // A file that was written elsewhere may say otherwise.
        if occasion.is_from_a_file() && self.beyond().any(|key| backstore.is_own_on(key)) {
            let names: Vec<&str> = self.beyond().map(|key| Attribute::of(key).name).collect();
            self.notes.push(format!("the medium of {} cannot do {}: 0", backstore.id(), names.join(", ")));
        }
    }

    /// Refuses what somebody has chosen, and the medium cannot do with space.
    fn must_do_with_space(&self, backstore: &Backstore) -> Result<(), Fault> {
        let is_chosen = |key: &Key| backstore.is_wanted(*key);
        self.beyond().find(is_chosen).map_or(Ok(()), |key| Err(beyond_medium(&backstore.id(), key)))
    }

    /// What could be said of space and the medium cannot do.
    pub(super) fn beyond(&self) -> impl Iterator<Item = Key> + use<> {
        let abilities = self.known().map(|(_, abilities)| abilities);
        let gives_back = abilities.is_none_or(|can| can.discard.is_some());
        let reads_zero = abilities.is_none_or(|can| can.discard.is_some_and(|discard| discard.reads_zero));
        let all = [
            (Key::EmulateTpu, gives_back),
            (Key::EmulateTpws, gives_back),
            (Key::UnmapZeroesData, reads_zero),
        ];
        all.into_iter().filter(|(_, can)| !can).map(|(key, _)| key)
    }

    /// Refuses a logical block that the medium cannot read or write by itself.
    pub(super) fn must_hold_blocks_of(&self, backstore: &Backstore) -> Result<(), Fault> {
        match (self.sectors_within_blocks_of(backstore), backstore.block_bytes()) {
            (Some(sector), Some(block)) => Err(block_within_sector(&backstore.id(), block, sector)),
            _ => Ok(()),
        }
    }

    /// Bytes in a sector of the medium, where blocks of the backstore do not hold whole ones.
    fn sectors_within_blocks_of(&self, backstore: &Backstore) -> Option<u32> {
        let sector = self.store.as_ref()?.backstore.geometry().block_bytes;
        backstore.block_bytes().filter(|block| !block.is_multiple_of(sector)).map(|_| sector)
    }

    /// Notes what an administrator who asked for a file should know of the one that was there.
    fn note_what_differs(&mut self, backstore: &Backstore, wanted_size: bool, occasion: Occasion) {
        let (Medium::Fileio { path, .. }, Some(file)) = (&backstore.medium, &self.file) else { return };
        let bytes = file.geometry().bytes;
        let tail = bytes % u64::from(backstore.block_bytes().unwrap_or(FILE_BLOCK_BYTES));
        let as_meant = occasion.is_from_a_file() && backstore.medium.size_bytes() == Some(bytes - tail);
        if wanted_size && self.created.is_none() && !as_meant {
            self.notes.push(format!("{path} exists, using its size ({bytes} bytes) instead"));
        }
        if tail != 0 {
            self.notes.push(format!("{path} ends within a block: its last {tail} bytes are not used"));
        }
    }

    /// Notes what is going on at its blocks, which is that of the unit: for as long as something may be under way there.
    pub(super) fn belongs_to(&mut self, unit: &LogicalUnit) {
        if let (Some(store), Some(shown)) = (&mut self.store, &unit.store) {
            store.exclusions = Arc::clone(&shown.exclusions);
        }
    }

    /// The lock that guests' rings hold, where there is one.
    pub(super) fn host_lock(&self) -> Option<&Arc<HostLock>> {
        self.store.as_ref()?.backstore.host_lock()
    }

    /// Takes the lock and lets go of it again: whoever makes a storage object is told at once that another process
    /// uses the medium, and not when a guest begins to wait for it.
    fn must_be_free(&self) -> Result<(), OpenError> {
        let Some(lock) = self.host_lock() else { return Ok(()) };
        let start = Instant::now();
        while lock.try_hold().is_none() {
            if start.elapsed() >= LOCK_PATIENCE {
                return Err(OpenError::Busy(lock.path().to_path_buf()));
            }
            std::thread::sleep(LOCK_RETRY);
        }
        Ok(())
    }

    /// Brings a file's cached writes to the disk, before its cache is given up or it is closed.  Returns what is
    /// to be said if that fails.
    pub(super) fn settle(&self) -> Option<String> {
        let file = self.file.as_ref().filter(|file| file.geometry().write_cache)?;
        let error = file.sync().err()?;
        Some(format!("writes that were answered may not be on the disk of a storage object: {error}"))
    }

    /// This medium for another backstore, if that is kept in it.
    pub(super) fn handed_over(
        &self,
        from: &Backstore,
        to: &Backstore,
        there: &Metadata,
    ) -> Option<HandedOver> {
        let store = self.store.as_ref()?;
        if !store.backstore.host_lock()?.is_of(there) {
            return None;
        }
        Some(match (&from.medium, &to.medium) {
            (Medium::Fileio { .. }, Medium::Fileio { .. }) => {
                HandedOver::AsItIs(self.with_write_back(to.is_own_on(Key::EmulateWriteCache)))
            }
            (Medium::Block { read_only: was, .. }, Medium::Block { read_only, .. })
                if was == read_only || read_only.unwrap_or(false) == store.backstore.geometry().read_only =>
            {
                let store = self::store(Arc::clone(&store.backstore)).in_place_of(store);
                let device = self.device.clone();
                HandedOver::AsItIs(Self { store: Some(store), device, ..Self::missing() })
            }
            _ => HandedOver::InPlaceOf(store.clone()),
        })
    }

    /// The same open medium once more.
    pub(super) fn same(&self) -> Self {
        let (store, device, file) = (self.store.clone(), self.device.clone(), self.file.clone());
        Self { store, device, file, ..Self::missing() }
    }

    /// The same file with or without a write cache, under a number of its own.
    pub(super) fn with_write_back(&self, write_back: bool) -> Self {
        if self.store.is_none() {
            return self.lost(self.hangs);
        }
        let file = self.file.as_ref().map(|file| Arc::new(file.with_write_back(write_back)));
        let made = file.as_ref().map(|file| store(Arc::clone(file) as Arc<dyn backstore::Backstore>));
        // It is the same medium, so that what one command has for itself there it still has.
        let store = made.map(|made| match &self.store {
            Some(before) => made.in_place_of(before),
            None => made,
        });
        Self { store, device: self.device.clone(), file, ..Self::missing() }
    }
}

fn store(backstore: Arc<dyn backstore::Backstore>) -> Store {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Store::new(NEXT.fetch_add(1, Ordering::Relaxed), backstore)
}

/// What the path of a backstore leads to, where these steps may pass it on from another backstore.
pub(super) fn where_it_leads(backstore: &Backstore, steps: &[Step]) -> Option<Metadata> {
    let path = match &backstore.medium {
        Medium::Fileio { path, .. } | Medium::Block { path, .. } => path,
        Medium::Ramdisk { .. } => return None,
    };
    let closes = steps.iter().any(|step| matches!(step, Step::CloseBackstore(_)));
    closes.then(|| std::fs::metadata(path.as_str()).ok()).flatten()
}

/// Opens the medium of `backstore`.
pub(super) fn open(backstore: &Backstore, occasion: Occasion) -> Result<Opened, Fault> {
    open_in_place_of(backstore, occasion, None)
}

/// The same in the place of what is open there already, until this is served.
pub(super) fn open_in_place_of(
    backstore: &Backstore,
    occasion: Occasion,
    before: Option<&Store>,
) -> Result<Opened, Fault> {
    let create = new_file(backstore, occasion)?;
    let wanted_size = create.is_some();
    let mut opened = match try_open(backstore, create, before) {
        Ok(opened) => opened,
        Err(OpenError::Missing(_)) if needs_a_size(backstore, occasion) => return Err(needs_size()),
        Err(error) => return missing_or_fault(backstore.kind(), error, occasion),
    };
    opened.fit_space_of(backstore, occasion);
    if occasion.is_asked_for() {
        opened.must_be_free().map_err(|error| open_fault(backstore.kind(), error))?;
        opened.must_do_with_space(backstore)?;
        opened.fit_blocks_of(backstore)?;
        opened.note_what_differs(&opened.fitted(backstore), wanted_size, occasion);
    }
    Ok(opened)
}

/// Opens what was missing, if it is there now, and whole: a file that is still being copied back is shorter
/// than it was.
pub(super) fn open_if_there(backstore: &Backstore) -> Option<Opened> {
    let opened = try_open(backstore, None, None).ok()?;
    let bytes = opened.store.as_ref()?.backstore.geometry().bytes;
    (bytes >= backstore.medium.size_bytes().unwrap_or(0)).then_some(opened)
}

fn try_open(
    backstore: &Backstore,
    create: Option<NewFile>,
    before: Option<&Store>,
) -> Result<Opened, OpenError> {
    let lock = before.and_then(|before| before.backstore.host_lock());
    let mut opened = match &backstore.medium {
        Medium::Block { path, read_only, .. } => open_block(path.as_str(), *read_only, lock)?,
        Medium::Fileio { path, .. } => {
            let write_back = backstore.is_own_on(Key::EmulateWriteCache);
            open_file(&FileOptions { path: path.as_str().into(), create, write_back }, lock)?
        }
        Medium::Ramdisk { size_bytes, nullio } => {
            let disk = Ramdisk::new(size_bytes.get(), *nullio)?;
            Opened { store: Some(store(Arc::new(disk))), ..Opened::missing() }
        }
    };
    // It is the same medium, so that what one command has for itself there it still has.
    if let Some(before) = before {
        opened.store = opened.store.map(|made| made.in_place_of(before));
    }
    Ok(opened)
}

/// Makes an open medium as large as `backstore` is to be, unless it is larger already.
pub(super) fn grown(backstore: &Backstore, opened: &Opened) -> Result<Opened, Fault> {
    let (Some(was), Some(wanted)) = (&opened.store, backstore.medium.size_bytes()) else {
        return Err(missing_fault(&backstore.id()));
    };
    grown_to(wanted, backstore, opened, was)
}

/// An open medium of which less is shown.  Nothing of it is lost yet.
pub(super) fn shrunk(backstore: &Backstore, opened: &Opened) -> Result<Opened, Fault> {
    let (id, kind) = (backstore.id(), backstore.kind());
    let (Some(was), Some(wanted)) = (&opened.store, backstore.medium.size_bytes()) else {
        return Err(missing_fault(&id));
    };
    let is_device = kind == Kind::Block || opened.file.as_ref().is_some_and(|file| !file.is_regular());
    let now = was.backstore.bytes_now().map_err(|error| cannot_look(&id, &error))?;
    if is_device {
        // It has the size that it has.
        return if now <= wanted {
            grown_to(now, backstore, opened, was)
        } else {
            Err(device_is_larger(&id, wanted, now))
        };
    }
    let block_bytes = backstore.block_bytes().unwrap_or(FILE_BLOCK_BYTES);
    if !wanted.is_multiple_of(u64::from(block_bytes)) {
        let path = backstore.medium.path().map_or("a ramdisk", |path| path.as_str());
        return Err(not_whole_blocks(path, wanted, block_bytes));
    }
    match &opened.file {
        // Somebody else has cut it further.
        Some(_) if now <= wanted => grown_to(wanted, backstore, opened, was),
        Some(file) => {
            let file = Arc::new(file.shrink(wanted));
            let store = Store { backstore: Arc::clone(&file) as _, ..was.clone() };
            Ok(Opened { store: Some(store), file: Some(file), ..opened.same() })
        }
        None => {
            let shrunk = was.backstore.shrunk(wanted).map_err(|error| open_fault(kind, error))?;
            let store = Store { losses: Arc::clone(&was.losses), ..store(shrunk).in_place_of(was) };
            Ok(Opened { store: Some(store), ..opened.same() })
        }
    }
}

fn grown_to(wanted: u64, backstore: &Backstore, opened: &Opened, was: &Store) -> Result<Opened, Fault> {
    let (id, kind) = (backstore.id(), backstore.kind());
    match &opened.file {
        Some(file) => {
            let is_there = file.bytes_now().is_ok_and(|now| now >= wanted);
            if !is_there && !wanted.is_multiple_of(u64::from(FILE_BLOCK_BYTES)) {
                let path = backstore.medium.path().map_or("the file", |path| path.as_str());
                return Err(not_whole_blocks(path, wanted, FILE_BLOCK_BYTES));
            }
            let file = Arc::new(file.grow(wanted).map_err(|error| open_fault(kind, error))?);
            let store = Store { backstore: Arc::clone(&file) as _, ..was.clone() };
            Ok(Opened { store: Some(store), file: Some(file), ..opened.same() })
        }
        None => {
            let grown = was.backstore.grown(wanted).map_err(|error| match error {
                OpenError::TooSmall { bytes, .. } if kind == Kind::Block => {
                    device_is_smaller(&id, wanted, bytes)
                }
                error => open_fault(kind, error),
            })?;
            // A ramdisk is mapped anew, and reactors need channels of their own into it.
            let store = match kind {
                Kind::Ramdisk => Store { losses: Arc::clone(&was.losses), ..store(grown).in_place_of(was) },
                Kind::Block | Kind::Fileio => Store { backstore: grown, ..was.clone() },
            };
            Ok(Opened { store: Some(store), ..opened.same() })
        }
    }
}

/// The file that is to be made where there is none: never at a restart.
fn new_file(backstore: &Backstore, occasion: Occasion) -> Result<Option<NewFile>, Fault> {
    let (Medium::Fileio { path, size_bytes: Some(bytes), sparse }, true) =
        (&backstore.medium, occasion.is_asked_for())
    else {
        return Ok(None);
    };
    let exists = std::fs::symlink_metadata(path.as_str()).is_ok();
    if !exists && !bytes.is_multiple_of(u64::from(FILE_BLOCK_BYTES)) {
        return Err(not_whole_blocks(path.as_str(), *bytes, FILE_BLOCK_BYTES));
    }
    Ok(Some(NewFile { bytes: *bytes, sparse: *sparse }))
}

fn needs_a_size(backstore: &Backstore, occasion: Occasion) -> bool {
    occasion.is_asked_for() && matches!(backstore.medium, Medium::Fileio { size_bytes: None, .. })
}

/// At a restart nothing that is wrong with one medium may keep the others from being served.
fn missing_or_fault(kind: Kind, error: OpenError, occasion: Occasion) -> Result<Opened, Fault> {
    match occasion {
        Occasion::Change | Occasion::Import | Occasion::Forced => Err(open_fault(kind, error)),
        Occasion::Restore => {
            tracing::warn!("{}", open_fault(kind, error));
            Ok(Opened::missing())
        }
    }
}

fn open_block(
    path: &str,
    read_only: Option<bool>,
    before: Option<&Arc<HostLock>>,
) -> Result<Opened, OpenError> {
    let options = BlockOptions { path: path.into(), read_only };
    let device = BlockDevice::open_in_place_of(&options, before)?;
    let geometry = device.geometry();
    let live = LiveDevice {
        name: device.device().kernel_name.clone(),
        major: device.device().major,
        minor: device.device().minor,
        block_bytes: geometry.block_bytes,
        rotational: geometry.rotational,
    };
    Ok(Opened { store: Some(store(Arc::new(device))), device: Some(live), ..Opened::missing() })
}

fn open_file(options: &FileOptions, before: Option<&Arc<HostLock>>) -> Result<Opened, OpenError> {
    let file = FileStore::open_in_place_of(options, before)?;
    let created = file.created().map(|path| Created(Some(path.to_path_buf())));
    let file = Arc::new(file);
    let store = store(Arc::clone(&file) as Arc<dyn backstore::Backstore>);
    Ok(Opened { store: Some(store), file: Some(file), created, ..Opened::missing() })
}
