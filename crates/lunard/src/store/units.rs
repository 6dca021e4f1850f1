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
//! | `host` | `told_boot_id` | the boot of the host that all guests are told of; where it is not there, that of `boot_id` |

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
const TOLD_BOOT_ID: &str = "told_boot_id";

/// Where the kernel says which boot this is.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The database, while it can be written.
pub(super) type Shared = Arc<Mutex<Option<Database>>>;

/// What units remembered when the daemon started, and where it is kept from now on.
pub struct Units {
    /// By serial number.
    pub records: BTreeMap<String, UnitRecord>,
    /// Whether guests are to be told that the host has restarted, so that every unit was without power.
    pub lost_power: bool,
    /// This boot of the host.
    pub boot: Boot,
    /// Where changes go.
    pub persist: Arc<dyn Persist>,
}

impl Default for Units {
    /// Units that remember nothing and keep nothing.
    fn default() -> Self {
        Self {
            records: BTreeMap::new(),
            lost_power: false,
            boot: Boot::default(),
            persist: Arc::new(Volatile),
        }
    }
}

/// A boot of the host, of which guests are told once.
#[derive(Clone, Default)]
pub struct Boot(Option<Arc<Keeper>>);

impl Boot {
    /// Notes that guests are told of it.  For when a start has come through: one that fails lets guests go untold.
    ///
    /// Where it cannot be noted, disks are served all the same, and a line says so: what is on disk is true as it was, and who
    /// is told of one restart of the host twice is not harmed.
    pub fn note(&self) {
        if let Some(keeper) = &self.0 {
            keeper.note_boot();
        }
    }
}

impl Store {
    /// Reads what units remember.  That guests are told of a loss of power is for the caller to note ([`Boot::note`]).
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
        let OnDisk { rows, boot: before, told } =
            read(database).map_err(|err| read_fault(&self.path, &err))?;
        let is_another = before.as_ref().is_some_and(|before| before != boot);
        // Nobody was shown anything before the first boot.
        let told = told.or_else(|| before.clone()).unwrap_or_else(|| boot.to_owned());
        let lost_power = told != boot;
        let mut records = BTreeMap::new();
        for (serial, row) in &rows {
            let row: Row =
                serde_json::from_slice(row).map_err(|err| damaged(format!("unit {serial}: {err}")))?;
            let record = row.record().map_err(|err| damaged(format!("unit {serial}: {err}")))?;
            records.insert(serial.clone(), if is_another { without_power(record) } else { record });
        }
        let rows = records.iter().map(|(serial, record)| (serial.clone(), json(record))).collect();
        *kept = Kept { rows, told, is_written: before.as_deref() == Some(boot), reopens: false };
        let keeper = Keeper::new(Arc::clone(&self.database), self.path.clone(), boot, Arc::clone(&self.kept));
        let keeper = Arc::new(keeper);
        let boot = Boot(Some(Arc::clone(&keeper)));
        Ok(Units { records, lost_power, boot, persist: keeper })
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
    /// The boot that guests are told of.
    told: String,
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

    /// Writes the rows that count and the id of this boot, as one that guests are told of, where they are not on disk together
    /// already.
    fn note_boot(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.told != self.boot {
            // Where it cannot be written now, what is written next takes it along.
            kept.told.clone_from(&self.boot);
            kept.is_written = false;
        }
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
        match self.write(&database, &changed, &kept.told) {
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
                *shared =
                    again.filter(|again| rows.is_empty() || self.write(again, &counts, &kept.told).is_ok());
                kept.reopens = shared.is_none();
                Err(Some(err))
            }
        }
    }

    /// Writes rows, durably; an empty one goes.
    fn write(&self, database: &Database, rows: &Rows, told: &str) -> Result<(), redb::Error> {
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
            let mut host = transaction.open_table(HOST)?;
            host.insert(BOOT_ID, self.boot.as_str())?;
            host.insert(TOLD_BOOT_ID, told)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

type Rows = BTreeMap<String, Vec<u8>>;

/// What the tables above hold.
struct OnDisk {
    rows: Rows,
    boot: Option<String>,
    told: Option<String>,
}

fn read(database: &Database) -> Result<OnDisk, redb::Error> {
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
    let [boot, told] = match transaction.open_table(HOST) {
        Ok(table) => {
            let of = |key| table.get(key).map(|boot| boot.map(|boot| boot.value().to_owned()));
            [of(BOOT_ID)?, of(TOLD_BOOT_ID)?]
        }
        Err(TableError::TableDoesNotExist(_)) => [None, None],
        Err(err) => return Err(err.into()),
    };
    Ok(OnDisk { rows, boot, told })
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
