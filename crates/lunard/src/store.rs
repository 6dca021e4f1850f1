// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration on disk: `lunar.redb` in the state directory.
//!
//! Above: `state_driver`, which saves before it answers; `daemon`, which loads at start.
//! Below: `redb`, and `store/record.rs` for what a row holds.
//! Never here: a rule of the configuration; loading goes through the same ones as a change.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `layout` | [`LAYOUT`] |
//! | `backstores` | (kind, name) | JSON, `record::Backstore` |
//! | `targets` | WWN | JSON, `record::Target` |
//! | `tpgs` | (WWN, tag) | JSON, `record::Tpg` |
//! | `luns` | (WWN, tag, LUN) | JSON, `record::Lun` |
//! | `lu_groups` | the name of a group of logical units | JSON, its id; the table came later |
//! | `units`, `host` | see `store/units.rs` | what units remember; the tables came later |
//! | `foreign` | the name of a thing that is kept and not served | JSON of LIO's tools; the table came later |

mod record; // what a row holds
mod units; // what units remember

use crate::directories::{StateDir, sync_directory};
use crate::predecessor::{self, Holder};
use crate::start_error::{StartError, plain, way_out};
use api::Owner;
use model::Model;
use record::Rows;
use redb::{Builder, Database, DatabaseError, Key, ReadableDatabase, StorageError, TableDefinition};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use units::{Kept, Shared, UNITS};

pub use units::Units;

/// The name of the file in the state directory.
pub const FILE_NAME: &str = "lunar.redb";

/// What it is called while it is made.
const UNFINISHED_NAME: &str = "lunar.redb.new";

/// The version of the tables above.  A daemon refuses a higher one than its own, for it would drop what it has no word
/// for; it raises a lower one, whose rows it reads, when it starts.
///
/// | version | came with |
/// |---|---|
/// | 1 | backstores, targets, target port groups, LUNs |
/// | 2 | access control lists, target port groups of backstores, groups of logical units |
/// | 3 | which blocks of a backstore are reached how |
/// | 4 | where LIO would complete the commands of a target |
///
/// Whoever adds a table, or a field that an older daemon must not drop, adds a version.
const LAYOUT: u64 = 4;

/// The lowest version that is read.
const LAYOUT_MIN: u64 = 1;

/// The memory for pages read, in bytes; all of a large configuration.
const CACHE_BYTES: usize = 8 << 20;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const BACKSTORES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("backstores");
const TARGETS: TableDefinition<&str, &[u8]> = TableDefinition::new("targets");
const TPGS: TableDefinition<(&str, u8), &[u8]> = TableDefinition::new("tpgs");
const LUNS: TableDefinition<(&str, u8, u16), &[u8]> = TableDefinition::new("luns");
const FOREIGN: TableDefinition<&str, &[u8]> = TableDefinition::new("foreign");
const LU_GROUPS: TableDefinition<&str, &[u8]> = TableDefinition::new("lu_groups");

/// The configuration on disk.  While it lives no other daemon can have it.
#[derive(Debug)]
pub struct Store {
    /// `None` only after a failed write from which we could not recover yet.  Whoever keeps the records of units has it too.
    database: Shared,
    /// What is kept of units.  Who needs both locks takes this one first.
    kept: Arc<Mutex<Kept>>,
    path: PathBuf,
}

/// Why a change could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {what}", path.display())]
pub struct SaveError {
    path: PathBuf,
    what: String,
}

impl Store {
    /// Opens the database of a state directory, making an empty one where there is none.
    ///
    /// # Errors
    /// [`StartError::StateDirInUse`], [`StartError::Dying`], [`StartError::Damaged`] or [`StartError::Database`].
    pub fn open(state_dir: &StateDir) -> Result<Self, StartError> {
        let path = state_dir.path().join(FILE_NAME);
        // A link that leads nowhere is there: what it leads to may be mounted later.
        match std::fs::symlink_metadata(&path) {
            Ok(_) => Self::open_file(path),
            Err(err) if err.kind() == ErrorKind::NotFound => Self::create(state_dir, path),
            Err(err) => Err(io_fault(&path, &err)),
        }
    }

    fn open_file(path: PathBuf) -> Result<Self, StartError> {
        // Who dies lets go of one thing after the other.
        let opened = match (open_whole(&path), std::fs::metadata(&path)) {
            (Err(StartError::StateDirInUse { .. }), Ok(metadata)) => {
                let again = || match open_whole(&path) {
                    Err(StartError::StateDirInUse { .. }) => None,
                    done => Some(done),
                };
                predecessor::wait(&metadata, again).unwrap_or_else(|holder| {
                    Err(match holder {
                        Holder::Lives => state_dir_in_use(&path),
                        Holder::Dying(process) => {
                            StartError::Dying { what: "database", path: path.clone(), process }
                        }
                    })
                })
            }
            (done, _) => done,
        };
        Ok(Self::of(opened?, path))
    }

    fn of(database: Database, path: PathBuf) -> Self {
        Self { database: Arc::new(Mutex::new(Some(database))), kept: Arc::default(), path }
    }

    /// Makes the database under another name and moves it to its own once it is whole, so that whatever
    /// has that name and is not whole is damaged.
    fn create(state_dir: &StateDir, path: PathBuf) -> Result<Self, StartError> {
        let unfinished = state_dir.path().join(UNFINISHED_NAME);
        match std::fs::remove_file(&unfinished) {
            Err(err) if err.kind() != ErrorKind::NotFound => return Err(io_fault(&unfinished, &err)),
            Ok(()) | Err(_) => {}
        }
        let made = Builder::new().set_cache_size(CACHE_BYTES).create(&unfinished);
        let made = made.map_err(|err| open_fault(&unfinished, &err)).and_then(|database| {
            write_layout(&database).map_err(|err| read_fault(&unfinished, &err))?;
            Ok(database)
        });
        let database = made.inspect_err(|_| {
            // Where there is no room, it has some.
            let _ = std::fs::remove_file(&unfinished);
        })?;
        let store = Self::of(database, path);
        std::fs::rename(&unfinished, &store.path)
            .and_then(|()| sync_directory(state_dir.path()))
            .map_err(|err| io_fault(&store.path, &err))?;
        Ok(store)
    }

    /// Reads the configuration, and raises the version of an older database once all of it is read.
    ///
    /// # Errors
    /// [`StartError::Newer`], [`StartError::Damaged`], or [`StartError::Database`] where the version cannot be raised.
    pub fn load(&self) -> Result<Model, StartError> {
        match &*self.database.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => {
                let (model, layout) = load(database, &self.path)?;
                if layout < LAYOUT {
                    write_layout(database).map_err(|err| read_fault(&self.path, &err))?;
                }
                Ok(model)
            }
            None => Err(fault(&self.path, &"it could not be opened again after a failed write")),
        }
    }

    /// What closes the database at the very end: units keep what guests ask of them until then.
    #[must_use]
    pub fn closing(&self) -> Closing {
        Closing(Arc::clone(&self.database))
    }

    /// Makes the change from `old`, which is what is on disk, to `new`.  When this returns it is durable.
    ///
    /// # Errors
    /// [`SaveError`]; then `old` is what counts, here and after a restart, unless the host failed so
    /// badly that `old` could not be seen to on the spot: then the next save or restart finds out first.
    pub fn save(&mut self, old: &Model, new: &Model) -> Result<(), SaveError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shared = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match shared.take() {
            Some(database) => database,
            None => self.recover(old).map_err(|err| self.save_error(&err))?,
        };
        match write(&database, old, new) {
            Ok(()) => {
                *shared = Some(database);
                if old.backstores() != new.backstores() {
                    kept.forget_all_but(&remembering(old, new));
                }
                Ok(())
            }
            Err(err) => {
                kept.is_in_doubt();
                // After a failed write a database takes no more, and whether `new` is on disk is unknown.
                drop(database);
                *shared = self.recover(old).ok();
                Err(self.save_error(&err))
            }
        }
    }

    /// Opens the database again and makes sure that it holds `old`.
    fn recover(&self, old: &Model) -> Result<Database, StartError> {
        let database = open_whole(&self.path)?;
        let (found, _) = load(&database, &self.path)?;
        if found != *old {
            write(&database, &found, old).map_err(|err| fault(&self.path, &err))?;
        }
        Ok(database)
    }

    fn save_error(&self, err: &dyn Display) -> SaveError {
        SaveError { path: self.path.clone(), what: plain(err) }
    }
}

/// Closes the database when it is dropped, whoever has it still, so that the next start has nothing to repair.
#[derive(Debug)]
pub struct Closing(Shared);

impl Drop for Closing {
    fn drop(&mut self) {
        // Who has it locked hangs in a write, and the process does not wait for that.
        if let Ok(mut database) = self.0.try_lock() {
            drop(database.take());
        }
    }
}

fn open_whole(path: &Path) -> Result<Database, StartError> {
    let metadata = std::fs::metadata(path).map_err(|err| match err.kind() {
        ErrorKind::NotFound => {
            let hint = "mount the file system that it is on; or remove the link to start empty";
            let what = "it is a link that leads to no file".to_owned();
            StartError::Database { path: path.to_owned(), what, hint: Some(hint.to_owned()) }
        }
        _ => io_fault(path, &err),
    })?;
    if !metadata.is_file() {
        return Err(fault(path, &"it is no file"));
    }
    // An empty file would become an empty database: a configuration lost without a word.
    if metadata.len() == 0 {
        return Err(StartError::Damaged { path: path.to_owned(), what: "it is empty".to_owned() });
    }
    let mut builder = Builder::new();
    // Every page is checked once, here, so that damage is found before a guest depends on it.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder.open(path).map_err(|err| open_fault(path, &err))
}

/// The configuration, and the version of the layout that it was in.
fn load(database: &Database, path: &Path) -> Result<(Model, u64), StartError> {
    let damaged = |what: String| StartError::Damaged { path: path.to_owned(), what };
    let rows = read_rows(database).map_err(|err| read_fault(path, &err))?;
    let layout = match rows.layout {
        Some(version @ LAYOUT_MIN..=LAYOUT) => version,
        Some(version) if LAYOUT < version => {
            return Err(StartError::Newer { path: path.to_owned(), version, readable: LAYOUT });
        }
        Some(version) => return Err(damaged(format!("there is no version {version} of its layout"))),
        None => return Err(damaged("it is not a database of lunard".to_owned())),
    };
    Ok((rows.into_model().map_err(damaged)?, layout))
}

/// The serial numbers whose units go on remembering.  What a unit remembers goes with the last backstore that has its serial
/// number, and one that comes remembers nothing, whatever was kept of another before.
fn remembering<'a>(old: &'a Model, new: &'a Model) -> BTreeSet<&'a str> {
    let of = |model: &'a Model| -> BTreeSet<&'a str> {
        model.backstores().values().map(|backstore| backstore.unit_serial.as_str()).collect()
    };
    &of(old) & &of(new)
}

fn write(database: &Database, old: &Model, new: &Model) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    // The last of two commits must never be replaced by the first in silence: a damaged one is damage.
    transaction.set_two_phase_commit(true);
    let serials = remembering(old, new);
    let (old, new) = (Rows::of(old), Rows::of(new));
    {
        let mut table = transaction.open_table(BACKSTORES)?;
        let key = |key: &(String, String)| (key.0.clone(), key.1.clone());
        for (id, row) in differences(&old.backstores, &new.backstores) {
            let (kind, name) = key(id);
            put(&mut table, (kind.as_str(), name.as_str()), row)?;
        }
        let mut table = transaction.open_table(TARGETS)?;
        for (wwn, row) in differences(&old.targets, &new.targets) {
            put(&mut table, wwn.as_str(), row)?;
        }
        let mut table = transaction.open_table(TPGS)?;
        for ((wwn, tag), row) in differences(&old.tpgs, &new.tpgs) {
            put(&mut table, (wwn.as_str(), *tag), row)?;
        }
        let mut table = transaction.open_table(LUNS)?;
        for ((wwn, tag, lun), row) in differences(&old.luns, &new.luns) {
            put(&mut table, (wwn.as_str(), *tag, *lun), row)?;
        }
        let mut table = transaction.open_table(FOREIGN)?;
        for (name, row) in differences(&old.foreign, &new.foreign) {
            put(&mut table, name.as_str(), row)?;
        }
        let mut table = transaction.open_table(LU_GROUPS)?;
        for (name, row) in differences(&old.lu_groups, &new.lu_groups) {
            put(&mut table, name.as_str(), row)?;
        }
        if old.backstores != new.backstores {
            let mut table = transaction.open_table(UNITS)?;
            table.retain(|serial, _| serials.contains(serial))?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn write_layout(database: &Database) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    {
        transaction.open_table(META)?.insert("layout", LAYOUT)?;
        transaction.open_table(BACKSTORES)?;
        transaction.open_table(TARGETS)?;
        transaction.open_table(TPGS)?;
        transaction.open_table(LUNS)?;
    }
    transaction.commit()?;
    Ok(())
}

fn read_rows(database: &Database) -> Result<Rows, redb::Error> {
    let transaction = database.begin_read()?;
    let mut rows = Rows::default();
    match transaction.open_table(META) {
        Ok(meta) => rows.layout = meta.get("layout")?.map(|value| value.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(rows),
        Err(err) => return Err(err.into()),
    }
    // Of another version nobody knows which tables there are.
    if !rows.layout.is_some_and(|version| (LAYOUT_MIN..=LAYOUT).contains(&version)) {
        return Ok(rows);
    }
    for row in transaction.open_table(BACKSTORES)?.range::<(&str, &str)>(..)? {
        let (key, value) = row?;
        let (kind, name) = key.value();
        rows.backstores.insert((kind.to_owned(), name.to_owned()), value.value().to_vec());
    }
    for row in transaction.open_table(TARGETS)?.range::<&str>(..)? {
        let (key, value) = row?;
        rows.targets.insert(key.value().to_owned(), value.value().to_vec());
    }
    for row in transaction.open_table(TPGS)?.range::<(&str, u8)>(..)? {
        let (key, value) = row?;
        let (wwn, tag) = key.value();
        rows.tpgs.insert((wwn.to_owned(), tag), value.value().to_vec());
    }
    for row in transaction.open_table(LUNS)?.range::<(&str, u8, u16)>(..)? {
        let (key, value) = row?;
        let (wwn, tag, lun) = key.value();
        rows.luns.insert((wwn.to_owned(), tag, lun), value.value().to_vec());
    }
    for (table, into) in [(FOREIGN, &mut rows.foreign), (LU_GROUPS, &mut rows.lu_groups)] {
        match transaction.open_table(table) {
            Ok(table) => {
                for row in table.range::<&str>(..)? {
                    let (key, value) = row?;
                    into.insert(key.value().to_owned(), value.value().to_vec());
                }
            }
            // Written by a version that had no such thing.
            Err(redb::TableError::TableDoesNotExist(_)) => {}
            Err(err) => return Err(err.into()),
        }
    }
    Ok(rows)
}

fn fault(path: &Path, what: &dyn Display) -> StartError {
    StartError::Database { path: path.to_owned(), what: what.to_string(), hint: None }
}

fn io_fault(path: &Path, err: &io::Error) -> StartError {
    let hint = way_out(Owner::of_nearest(path).as_ref(), err);
    StartError::Database { path: path.to_owned(), what: plain(err), hint }
}

/// What could not be read or written of an open database: whatever the disk does not say is damage.
fn read_fault(path: &Path, err: &redb::Error) -> StartError {
    match err {
        redb::Error::Io(err) if !is_damage(err) => io_fault(path, err),
        err => StartError::Damaged { path: path.to_owned(), what: err.to_string() },
    }
}

fn is_damage(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

fn put<'a, K: Key + 'static>(
    table: &mut redb::Table<'_, K, &'static [u8]>,
    key: K::SelfType<'a>,
    row: Option<&Vec<u8>>,
) -> Result<(), StorageError> {
    match row {
        Some(row) => table.insert(key, row.as_slice())?,
        None => table.remove(key)?,
    };
    Ok(())
}

/// What `new` has other than `old`; `None` for what it has no more.
fn differences<'a, K: Ord>(
    old: &'a BTreeMap<K, Vec<u8>>,
    new: &'a BTreeMap<K, Vec<u8>>,
) -> impl Iterator<Item = (&'a K, Option<&'a Vec<u8>>)> {
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key, None));
    let changed = new.iter().filter(|(key, row)| old.get(*key) != Some(*row));
    gone.chain(changed.map(|(key, row)| (key, Some(row))))
}

fn state_dir_in_use(database: &Path) -> StartError {
    StartError::StateDirInUse { path: database.parent().unwrap_or(database).to_owned() }
}

fn open_fault(path: &Path, err: &DatabaseError) -> StartError {
    let path = path.to_owned();
    match err {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => state_dir_in_use(&path),
        DatabaseError::UpgradeRequired(version) => {
            StartError::Damaged { path, what: format!("it has the file format {version}") }
        }
        DatabaseError::Storage(StorageError::Corrupted(what)) => {
            StartError::Damaged { path, what: what.clone() }
        }
        DatabaseError::Storage(StorageError::Io(err)) if is_damage(err) => {
            StartError::Damaged { path, what: "it is not a database".to_owned() }
        }
        DatabaseError::Storage(StorageError::Io(err)) => io_fault(&path, err),
        other => fault(&path, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Backstore, BackstoreName, Change, Medium, UnitSerial};
    use target::UnitRecord;

    #[test]
    fn what_a_unit_remembered_does_not_come_back_with_what_others_keep() {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = StateDir::claim(folder.path()).unwrap();
        let mut store = Store::open(&state_dir).unwrap();
        let units = store.units_of("boot").unwrap();
        let (name, serial) = (BackstoreName::parse("r0").unwrap(), UnitSerial::parse("a").unwrap());
        let disk = Backstore::new(name, serial, Medium::ramdisk(1 << 20, false).unwrap()).unwrap();
        let model = Model::default().apply(Change::CreateBackstore(disk)).unwrap();
        store.save(&Model::default(), &model).unwrap();
        let mut record = UnitRecord::default();
        record.reservations.generation = 1;
        units.persist.save("a", &record).unwrap();
        store.save(&model, &Model::default()).unwrap();
        // A write has failed: the next one takes along all that counts.
        store.kept.lock().unwrap().is_in_doubt();
        units.persist.save("b", &record).unwrap();
        let records = store.units_of("boot").unwrap().records;
        assert_eq!(records.keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_no_damage() {
        let says = |err: redb::Error| read_fault(Path::new("/state/lunar.redb"), &err).to_string();
        let of_disk = io::Error::from_raw_os_error(5);
        assert_eq!(
            says(redb::Error::Io(of_disk)),
            "cannot open the database /state/lunar.redb: Input/output error"
        );
        for damage in
            [redb::Error::Io(ErrorKind::UnexpectedEof.into()), redb::Error::Corrupted("page 7".into())]
        {
            assert!(says(damage).starts_with("the database /state/lunar.redb is damaged: "));
        }
    }
}
