// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What units remember, on disk: one row for each unit serial number, and which boot of the host wrote them.
//!
//! Above: `machine`, which gives each unit its record and this to keep it with; the keeper's thread, which saves.
//! Below: the database of `store`.
//! Never here: a rule of reservations, but for what the loss of power takes away.
//!
//! | table | key | value |
//! |---|---|---|
//! | `units` | serial number | JSON, `Row` |
//! | `host` | `boot_id` | the boot of the host under which the rows of `units` were true |

use super::{Store, fault, open_whole, plain, read_fault};
use crate::start_error::StartError;
use redb::{Database, ReadableDatabase, TableDefinition, TableError};
use scsi::sanitize::Overwrite;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use target::{
    Held, Kind, ModeChanges, NexusName, NotPersisted, Persist, Registration, Reservations, Sanitize, Tray,
    UnitRecord, Volatile,
};
use vhost_scsi::LogBudget;

pub(super) const UNITS: TableDefinition<&str, &[u8]> = TableDefinition::new("units");
const HOST: TableDefinition<&str, &str> = TableDefinition::new("host");
const BOOT_ID: &str = "boot_id";

/// Where the kernel says which boot this is.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The database, while it can be written.
pub(super) type Shared = Arc<Mutex<Option<Database>>>;

/// What units remembered when the daemon started, and where it is kept from now on.
pub struct Units {
    /// By serial number.
    pub records: BTreeMap<String, UnitRecord>,
    /// Whether the host has restarted since, so that every unit was without power.
    pub lost_power: bool,
    /// Where changes go.
    pub persist: Arc<dyn Persist>,
}

impl Default for Units {
    /// Units that remember nothing and keep nothing.
    fn default() -> Self {
        Self { records: BTreeMap::new(), lost_power: false, persist: Arc::new(Volatile) }
    }
}

impl Store {
    /// Reads what units remember, and notes under which boot of the host they do: whoever is told of a loss of power is told
    /// once.
    ///
    /// # Errors
    /// [`StartError::Damaged`] for a row that cannot be.
    pub fn units(&self) -> Result<Units, StartError> {
        // On a kernel without it, every start is one of the same boot.
        let boot = std::fs::read_to_string(BOOT_ID_PATH).unwrap_or_default();
        self.units_of(boot.trim())
    }

    /// The same under the boot of the host with this id.
    ///
    /// # Errors
    /// As [`Store::units`].
    pub fn units_of(&self, boot: &str) -> Result<Units, StartError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = &*shared else { return Err(fault(&self.path, &"it is not open")) };
        let damaged = |what: String| StartError::Damaged { path: self.path.clone(), what };
        let (rows, before) = read(database).map_err(|err| read_fault(&self.path, &err))?;
        let lost_power = before.as_ref().is_some_and(|before| before != boot);
        let mut records = BTreeMap::new();
        for (serial, row) in &rows {
            let row: Row =
                serde_json::from_slice(row).map_err(|err| damaged(format!("unit {serial}: {err}")))?;
            let record = row.record().map_err(|err| damaged(format!("unit {serial}: {err}")))?;
            records.insert(serial.clone(), if lost_power { without_power(record) } else { record });
        }
        let rows = records.iter().map(|(serial, record)| (serial.clone(), json(record))).collect();
        *kept = Kept { rows, is_written: before.as_deref() == Some(boot), reopens: false };
        let keeper = Keeper::new(Arc::clone(&self.database), self.path.clone(), boot, Arc::clone(&self.kept));
        drop((kept, shared));
        keeper.note_boot();
        Ok(Units { records, lost_power, persist: Arc::new(keeper) })
    }
}

/// What is left of a record when the host has lost power.  SPC-4: registrations without APTPL go, and the generation
/// begins anew; SPC-2: so does what RESERVE took; saved mode pages are in force; the unit is started, and nobody keeps its
/// medium where it is.  SBC-3: a SANITIZE goes on.
fn without_power(record: UnitRecord) -> UnitRecord {
    let mut reservations = Reservations { generation: 0, legacy: None, ..record.reservations };
    if !reservations.outlasts_power {
        reservations = Reservations::default();
    }
    let mut tray = record.tray;
    tray.reset();
    let (modes, saved_modes) = (record.saved_modes, record.saved_modes);
    UnitRecord { reservations, modes, saved_modes, sanitize: record.sanitize, tray }
}

/// Saves the records of units.
struct Keeper {
    shared: Shared,
    path: PathBuf,
    boot: String,
    kept: Arc<Mutex<Kept>>,
    /// Guests ask for what cannot be kept as often as they like.
    log: LogBudget,
}

/// What is kept of units.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The rows that count.
    rows: Rows,
    /// Whether they are all on disk, with the id of this boot.
    is_written: bool,
    /// Whether the database was given up here, and not by the configuration.
    reopens: bool,
}

impl Kept {
    /// All units but those with these serial numbers are gone.
    pub(super) fn forget_all_but(&mut self, serials: &BTreeSet<&str>) {
        self.rows.retain(|serial, _| serials.contains(serial.as_str()));
    }

    /// Whether it is all on disk is unknown.
    pub(super) fn is_in_doubt(&mut self) {
        self.is_written = false;
    }
}

impl Persist for Keeper {
    fn save(&self, serial: &str, record: &UnitRecord) -> Result<(), NotPersisted> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.save_rows(&mut kept, Rows::from([(serial.to_owned(), json(record))])).map_err(|err| {
            if let Some(err) = err
                && let Some(suppressed) = self.log.spend(Instant::now())
            {
                tracing::error!(
                    suppressed,
                    "cannot keep the state of a unit in {}: {err}",
                    self.path.display()
                );
            }
            NotPersisted
        })
    }
}

impl Keeper {
    fn new(shared: Shared, path: PathBuf, boot: &str, kept: Arc<Mutex<Kept>>) -> Self {
        Self { shared, path, boot: boot.to_owned(), kept, log: LogBudget::new(Instant::now()) }
    }

    /// Writes the rows that count and the id of this boot, where they are not on disk together already.
    ///
    /// Where that cannot be, disks are served all the same: what is on disk is true as it was, and who is told of one restart
    /// of the host twice is not harmed.
    fn note_boot(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.is_written
            && let Err(Some(err)) = self.save_rows(&mut kept, Rows::new())
        {
            tracing::warn!(
                "cannot note in {} that the host has restarted: {}; make room there, or guests are told of it once more when \
                 lunard restarts",
                self.path.display(),
                plain(&err)
            );
        }
    }

    /// Writes rows, and with them whatever counts and is not on disk.  Fails without an error where the database is closed.
    fn save_rows(&self, kept: &mut Kept, rows: Rows) -> Result<(), Option<redb::Error>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_none() && kept.reopens {
            *shared = open_whole(&self.path).ok();
            kept.reopens = shared.is_none();
        }
        let database = shared.take().ok_or(None)?;
        let mut changed = if kept.is_written { Rows::new() } else { kept.rows.clone() };
        changed.extend(rows.clone());
        match self.write(&database, &changed) {
            Ok(()) => {
                *shared = Some(database);
                kept.rows.extend(rows);
                kept.is_written = true;
                Ok(())
            }
            Err(err) => {
                // Whether it is on disk is unknown, and the database takes no more: what counts is written again.
                drop(database);
                let again = open_whole(&self.path).ok();
                let row_before = |serial: &String| kept.rows.get(serial).cloned().unwrap_or_default();
                // Never one row alone with the id of a boot under which the others are not true.
                let mut counts = if kept.is_written { Rows::new() } else { kept.rows.clone() };
                counts.extend(rows.keys().map(|serial| (serial.clone(), row_before(serial))));
                kept.is_written = false;
                *shared = again.filter(|again| rows.is_empty() || self.write(again, &counts).is_ok());
                kept.reopens = shared.is_none();
                Err(Some(err))
            }
        }
    }

    /// Writes rows, durably; an empty one goes.
    fn write(&self, database: &Database, rows: &Rows) -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        {
            let mut units = transaction.open_table(UNITS)?;
            for (serial, row) in rows {
                if row.is_empty() {
                    units.remove(serial.as_str())?;
                } else {
                    units.insert(serial.as_str(), row.as_slice())?;
                }
            }
            transaction.open_table(HOST)?.insert(BOOT_ID, self.boot.as_str())?;
        }
        transaction.commit()?;
        Ok(())
    }
}

type Rows = BTreeMap<String, Vec<u8>>;

/// The rows of units, and the boot that wrote them.
fn read(database: &Database) -> Result<(Rows, Option<String>), redb::Error> {
    let transaction = database.begin_read()?;
    let mut rows = Rows::new();
    match transaction.open_table(UNITS) {
        Ok(table) => {
            for row in table.range::<&str>(..)? {
                let (serial, row) = row?;
                rows.insert(serial.value().to_owned(), row.value().to_vec());
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(err) => return Err(err.into()),
    }
    let boot = match transaction.open_table(HOST) {
        Ok(table) => table.get(BOOT_ID)?.map(|boot| boot.value().to_owned()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(err) => return Err(err.into()),
    };
    Ok((rows, boot))
}

/// The rows are for this program alone, and forever: a field may be added with a default, never renamed.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    #[serde(default)]
    reservations: ReservationsRow,
    /// [`ModeChanges::word`] of the pages in force, and of those saved.
    #[serde(default)]
    modes: u32,
    #[serde(default)]
    saved_modes: u32,
    #[serde(default)]
    tray: TrayRow,
    #[serde(default)]
    sanitize: Option<SanitizeRow>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct TrayRow {
    ejected: bool,
    stopped: bool,
    kept_by: Vec<NexusRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SanitizeRow {
    overwrite: Option<OverwriteRow>,
    block_bytes: u32,
    unrestricted_exit: bool,
    failed: bool,
    done_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct OverwriteRow {
    invert: bool,
    count: u8,
    pattern: Vec<u8>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct ReservationsRow {
    generation: u32,
    outlasts_power: bool,
    registrations: Vec<RegistrationRow>,
    held: Option<HeldRow>,
    legacy: Option<NexusRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RegistrationRow {
    nexus: NexusRow,
    key: u64,
    all_target_ports: bool,
    generation: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeldRow {
    holder: NexusRow,
    kind: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct NexusRow {
    initiator: String,
    relative_port: u16,
}

fn json(record: &UnitRecord) -> Vec<u8> {
    let Reservations { registrations, held, generation, outlasts_power, legacy } = &record.reservations;
    let registrations = registrations.iter().map(|(nexus, registration)| RegistrationRow {
        nexus: NexusRow::of(nexus),
        key: registration.key,
        all_target_ports: registration.all_target_ports,
        generation: registration.generation,
    });
    let reservations = ReservationsRow {
        generation: *generation,
        outlasts_power: *outlasts_power,
        registrations: registrations.collect(),
        held: held
            .as_ref()
            .map(|held| HeldRow { holder: NexusRow::of(&held.holder), kind: held.kind.code() }),
        legacy: legacy.as_ref().map(NexusRow::of),
    };
    let (modes, saved_modes) = (record.modes.word(), record.saved_modes.word());
    let Tray { ejected, stopped, kept_by } = &record.tray;
    let kept_by = kept_by.iter().map(NexusRow::of).collect();
    let tray = TrayRow { ejected: *ejected, stopped: *stopped, kept_by };
    let sanitize = record.sanitize.as_ref().map(SanitizeRow::of);
    serde_json::to_vec(&Row { reservations, modes, saved_modes, sanitize, tray }).unwrap_or_default()
}

impl NexusRow {
    fn of(nexus: &NexusName) -> Self {
        Self { initiator: nexus.initiator.clone(), relative_port: nexus.relative_port }
    }

    fn name(self) -> NexusName {
        NexusName { initiator: self.initiator, relative_port: self.relative_port }
    }
}

impl Row {
    fn record(self) -> Result<UnitRecord, String> {
        let ReservationsRow { generation, outlasts_power, registrations, held, legacy } = self.reservations;
        let registrations = registrations.into_iter().map(|row| {
            let RegistrationRow { nexus, key, all_target_ports, generation } = row;
            (nexus.name(), Registration { key, all_target_ports, generation })
        });
        let held = held.map(|HeldRow { holder, kind }| {
            let kind =
                Kind::of_code(kind).ok_or_else(|| format!("there is no reservation of type {kind}"))?;
            Ok::<_, String>(Held { holder: holder.name(), kind })
        });
        let reservations = Reservations {
            registrations: registrations.collect(),
            held: held.transpose()?,
            generation,
            outlasts_power,
            legacy: legacy.map(NexusRow::name),
        };
        let (modes, saved_modes) = (ModeChanges::of_word(self.modes), ModeChanges::of_word(self.saved_modes));
        let TrayRow { ejected, stopped, kept_by } = self.tray;
        let tray = Tray { ejected, stopped, kept_by: kept_by.into_iter().map(NexusRow::name).collect() };
        let sanitize = self.sanitize.map(SanitizeRow::sanitize).transpose()?;
        Ok(UnitRecord { reservations, modes, saved_modes, sanitize, tray })
    }
}

impl SanitizeRow {
    fn of(sanitize: &Sanitize) -> Self {
        let Sanitize { overwrite, block_bytes, unrestricted_exit, failed, done_bytes } = sanitize;
        let overwrite = overwrite.as_ref().map(|Overwrite { invert, count, pattern }| OverwriteRow {
            invert: *invert,
            count: *count,
            pattern: pattern.clone(),
        });
        let (block_bytes, unrestricted_exit, failed) = (*block_bytes, *unrestricted_exit, *failed);
        Self { overwrite, block_bytes, unrestricted_exit, failed, done_bytes: *done_bytes }
    }

    fn sanitize(self) -> Result<Sanitize, String> {
        let Self { overwrite, block_bytes, unrestricted_exit, failed, done_bytes } = self;
        let overwrite = overwrite.map(|OverwriteRow { invert, count, pattern }| {
            if pattern.is_empty() || count == 0 {
                return Err("it is to be overwritten with nothing".to_owned());
            }
            Ok(Overwrite { invert, count, pattern })
        });
        let overwrite = overwrite.transpose()?;
        Ok(Sanitize { overwrite, block_bytes, unrestricted_exit, failed, done_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::{Keeper, Persist, UnitRecord};
    use redb::backends::InMemoryBackend;
    use redb::{Database, StorageBackend};
    use std::io::{self, Write};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    /// A disk that is full as soon as it is told to be.
    #[derive(Debug)]
    struct Disk(InMemoryBackend, Arc<AtomicBool>);

    impl Disk {
        fn takes(&self) -> io::Result<()> {
            if self.1.load(Ordering::Relaxed) { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.takes().and_then(|()| self.0.set_len(len))
        }
        fn sync_data(&self) -> io::Result<()> {
            self.takes().and_then(|()| self.0.sync_data())
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.takes().and_then(|()| self.0.write(offset, data))
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_guest_fills_no_log_with_what_cannot_be_kept() {
        let lines = Lines::default();
        let log = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
        let scratch = tempfile::tempdir().unwrap();
        let keeper =
            Keeper::new(Arc::default(), scratch.path().join("full/lunar.redb"), "boot", Arc::default());
        let guard = tracing::subscriber::set_default(subscriber);
        for _ in 0..200 {
            let full = Arc::new(AtomicBool::new(false));
            let disk = Disk(InMemoryBackend::new(), Arc::clone(&full));
            *keeper.shared.lock().unwrap() = Some(Database::builder().create_with_backend(disk).unwrap());
            full.store(true, Ordering::Relaxed);
            keeper.save("serial", &UnitRecord::default()).unwrap_err();
        }
        drop(guard);
        let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let count = said.lines().filter(|line| line.contains("cannot keep the state of a unit in ")).count();
        assert!((1..=25).contains(&count), "{count} lines: {said}");
    }
}
