// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a unit remembers, whoever serves it and through whichever port: the one authority of a unit's reservations.
//!
//! Above: commands that reserve; `lunard`, which keeps one for each unit serial number.
//! Below: `reservations`; `gate` and `attentions`, where each nexus finds what became of a change.
//! Never here: a file.  What must outlast the process goes through [`Persist`].
//!
//! Backstores that were given one serial number are one unit, reached in several ways: they share this.
//!
//! A change is kept, then shown to every gate, then told to those concerned.  The caller answers when every reactor
//! has begun to look at the new words, which a quiescence finds out.

use crate::alua::Alua;
use crate::attentions::Attentions;
use crate::copies::Copies;
use crate::exclusion::Exclusions;
use crate::modes::{ModeChanges, Selected};
use crate::nexus::{Nexus, NexusName};
use crate::reservations::{Ordered, Refusal, Reservations, Told};
use crate::sanitizing::{Sanitize, Sanitizing};
use crate::scarcity::{Crossing, Scarcity};
use crate::tally::Tallies;
use crate::tray::{By, Readiness, Tray};
use exec::snapshot::Published;
use scsi::mode::Modes;
use scsi::{Sense, StartStop};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Where the records of units outlast the process.
pub trait Persist: Send + Sync {
    /// Keeps the record of the unit with this serial number.  It is durable when this returns, which may take as long as
    /// a disk does.
    ///
    /// # Errors
    /// [`NotPersisted`]; then the record before is what counts.
    fn save(&self, serial: &str, record: &UnitRecord) -> Result<(), NotPersisted>;
}

/// A record could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPersisted;

impl fmt::Display for NotPersisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state of a unit could not be kept")
    }
}

impl std::error::Error for NotPersisted {}

impl From<NotPersisted> for Sense {
    fn from(_: NotPersisted) -> Self {
        Self::INTERNAL_TARGET_FAILURE
    }
}

/// Keeps nothing: for units that live no longer than the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Volatile;

impl Persist for Volatile {
    fn save(&self, _: &str, _: &UnitRecord) -> Result<(), NotPersisted> {
        Ok(())
    }
}

/// What a unit remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitRecord {
    /// Registrations and reservations.
    pub reservations: Reservations,
    /// The mode pages in force, as far as they differ from what the administrator set.
    pub modes: ModeChanges,
    /// Those that were saved, and are in force after a reset.
    pub saved_modes: ModeChanges,
    /// Whether the medium is in, and the unit started.
    pub tray: Tray,
    /// A SANITIZE that was begun and has not ended well.
    pub sanitize: Option<Sanitize>,
}

impl UnitRecord {
    /// Takes away what a nexus took with RESERVE and PREVENT.
    fn lose(&mut self, nexus: &NexusName) {
        self.reservations.lose(nexus);
        self.tray.keep(nexus, false);
    }
}

/// What MODE SELECT has made of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectedModes {
    /// Nothing else than it was.
    Same,
    /// Something of its mode pages is otherwise, in force or saved.
    Changed,
    /// That, and its write cache is off that was on.
    CacheOff,
}

impl SelectedModes {
    fn between(before: &UnitRecord, after: &UnitRecord, own: &Modes) -> Self {
        let has_cache = |record: &UnitRecord| record.modes.over(*own).write_cache;
        match (before.modes, before.saved_modes) == (after.modes, after.saved_modes) {
            true => Self::Same,
            false if has_cache(before) && !has_cache(after) => Self::CacheOff,
            false => Self::Changed,
        }
    }
}

/// Whom a condition is established for.
#[derive(Clone, Copy, Debug)]
pub enum To<'a> {
    /// Every nexus.
    Everyone,
    /// Every nexus but this one.
    EveryoneBut(&'a NexusName),
    /// One nexus.
    Only(&'a NexusName),
}

/// The state of one unit.
pub struct UnitState {
    id: u64,
    serial: String,
    persist: Arc<dyn Persist>,
    /// The mode pages in force, as [`ModeChanges::word`].
    modes: AtomicU32,
    /// What still counts of the modes that were saved at the administrator's doors last: one of each that he has not set
    /// since, as [`ModeChanges::word`].
    saved_count: AtomicU32,
    /// Whether commands can have the medium, as a [`Readiness`].
    readiness: AtomicU32,
    write_through: Arc<AtomicBool>,
    exclusions: Arc<Exclusions>,
    tallies: Tallies,
    copies: Arc<Copies>,
    sanitizing: Sanitizing,
    scarcity: Scarcity,
    alua: Published<Alua>,
    /// Held while a change is made and kept, which may take long: one change at a time.
    changing: Mutex<()>,
    /// Held for moments.
    shown: Mutex<Shown>,
}

struct Shown {
    record: Arc<UnitRecord>,
    seats: Vec<Seat>,
}

/// A nexus that reaches the unit.
struct Seat {
    nexus: Arc<Nexus>,
    attentions: Weak<Attentions>,
}

impl UnitState {
    /// The state of the unit with this serial number, as `record` has it.
    pub fn new(serial: impl Into<String>, record: UnitRecord, persist: Arc<dyn Persist>) -> Arc<Self> {
        Self::excluding(serial, record, persist, Arc::default())
    }

    /// The same, where commands on its blocks may be under way already, which have these for themselves.
    pub fn excluding(
        serial: impl Into<String>,
        record: UnitRecord,
        persist: Arc<dyn Persist>,
        exclusions: Arc<Exclusions>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let modes = AtomicU32::new(record.modes.word());
        let saved_count = AtomicU32::new(ModeChanges::ALL.word());
        let readiness = AtomicU32::new(record.tray.readiness() as u32);
        let write_through = Arc::new(AtomicBool::new(writes_through(&record)));
        let sanitizing = Sanitizing::of(record.sanitize.as_ref());
        let shown = Mutex::new(Shown { record: Arc::new(record), seats: Vec::new() });
        let (serial, changing, tallies) = (serial.into(), Mutex::new(()), Tallies::default());
        let (copies, scarcity) = (Arc::default(), Scarcity::default());
        Arc::new(Self {
            id,
            serial,
            persist,
            modes,
            saved_count,
            readiness,
            write_through,
            exclusions,
            tallies,
            copies,
            sanitizing,
            scarcity,
            alua: Published::new(Alua::default()),
            changing,
            shown,
        })
    }

    /// The state of a unit that remembers nothing and keeps nothing.
    pub fn volatile(serial: impl Into<String>) -> Arc<Self> {
        Self::new(serial, UnitRecord::default(), Arc::new(Volatile))
    }

    /// The number that a [`Scope`](crate::Scope) knows the unit by.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The serial number.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// What the unit remembers now.
    pub fn record(&self) -> Arc<UnitRecord> {
        Arc::clone(&self.shown().record)
    }

    /// What the unit has of asymmetric access now.
    pub fn alua(&self) -> Arc<Alua> {
        self.alua.load()
    }

    /// The same for whoever asks again and again.
    pub(crate) fn published_alua(&self) -> &Published<Alua> {
        &self.alua
    }

    /// Tells what the unit has of asymmetric access from now on.  The gates are the caller's to set.
    pub fn set_alua(&self, alua: Alua) {
        self.alua.publish(alua);
    }

    /// What it has been asked for.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// Whether its medium is being freed of its contents.
    pub fn sanitizing(&self) -> &Sanitizing {
        &self.sanitizing
    }

    /// What was seen of the space below.
    pub fn scarcity(&self) -> &Scarcity {
        &self.scarcity
    }

    /// Takes note of the space below each of the backstores that are the unit, and tells everyone when it has become scarce:
    /// below one of them, where it was below none.  Returns what was crossed, if anything.
    pub fn see_space(&self, below: &[&Scarcity]) -> Option<Crossing> {
        let crossing = self.scarcity.see_scarcest(below);
        if crossing == Some(Crossing::Scarce) {
            self.establish(Sense::THIN_PROVISIONING_SOFT_THRESHOLD_REACHED, To::Everyone);
        }
        crossing
    }

    /// What became of the copies that it was asked for.
    pub(crate) fn copies(&self) -> &Arc<Copies> {
        &self.copies
    }

    /// What initiators have changed of the mode pages.
    pub fn modes(&self) -> ModeChanges {
        ModeChanges::of_word(self.modes.load(Ordering::Relaxed))
    }

    /// Whether commands can have the medium.
    #[inline]
    pub fn readiness(&self) -> Readiness {
        Readiness::of(self.readiness.load(Ordering::Relaxed))
    }

    /// Starts or stops the unit, or moves its medium, and tells everyone but a nexus that did it of one that came in.  Blocks
    /// as [`UnitState::change`] does.
    ///
    /// # Errors
    /// [`NotPersisted`]; or, as a value, what is in the way.  Then nothing has changed.
    pub fn move_medium(&self, action: StartStop, by: By<'_>) -> Result<Result<(), Sense>, NotPersisted> {
        let moved = self.change(|record| match by {
            By::Nexus(_) => record.tray.obey(action),
            By::Administrator { force } => record.tray.obey_administrator(action, force),
        })?;
        if moved == Ok(true) {
            let to = match by {
                By::Nexus(nexus) => To::EveryoneBut(nexus),
                By::Administrator { .. } => To::Everyone,
            };
            self.establish(Sense::MEDIUM_MAY_HAVE_CHANGED, to);
        }
        Ok(moved.map(drop))
    }

    /// Whether every write must be durable before its answer, though the medium has a cache.
    pub(crate) fn write_through(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.write_through)
    }

    /// Blocks that one command has for itself, through whichever backstore.
    pub(crate) fn exclusions(&self) -> Arc<Exclusions> {
        Arc::clone(&self.exclusions)
    }

    /// The administrator has set what initiators may have set before: what he says counts, saved or not.  Blocks as
    /// [`UnitState::change`] does.
    ///
    /// # Errors
    /// [`NotPersisted`]; then nothing has changed.
    pub fn forget_modes(&self, forget: impl Fn(&mut ModeChanges)) -> Result<(), NotPersisted> {
        self.change(|record| {
            forget(&mut record.modes);
            forget(&mut record.saved_modes);
            // An initiator may be about to keep what its doors show no more.
            let mut count = ModeChanges::of_word(self.saved_count.load(Ordering::Relaxed));
            forget(&mut count);
            self.saved_count.store(count.word(), Ordering::Relaxed);
        })
    }

    /// The administrator's doors show from now on what an initiator saves, which comes into force next.
    pub fn show_saved_modes(&self) {
        self.saved_count.store(ModeChanges::ALL.word(), Ordering::Relaxed);
    }

    /// Brings into force what an initiator selects, whatever others have selected since it was sent.  Blocks as
    /// [`UnitState::change`] does.
    ///
    /// # Errors
    /// [`NotPersisted`]; then nothing has changed.
    pub fn select_modes(&self, selected: &Selected) -> Result<SelectedModes, NotPersisted> {
        self.change(|record| {
            let before = record.clone();
            record.modes = selected.over(&record.modes);
            SelectedModes::between(&before, record, &selected.own)
        })
    }

    /// The same, and saves `shown`, which the administrator's doors show: what he has set since counts for more.  Blocks as
    /// [`UnitState::change`] does.
    ///
    /// # Errors
    /// [`NotPersisted`]; then nothing has changed.
    pub fn keep_saved_modes(
        &self,
        selected: &Selected,
        shown: &ModeChanges,
    ) -> Result<SelectedModes, NotPersisted> {
        self.change(|record| {
            let before = record.clone();
            let count = ModeChanges::of_word(self.saved_count.load(Ordering::Relaxed));
            record.modes = selected.over_counting(&record.modes, &count);
            record.saved_modes = shown.among(&count);
            SelectedModes::between(&before, record, &selected.own)
        })
    }

    /// Takes note of a nexus that reaches the unit, as long as its attentions live.
    pub(crate) fn attach(&self, nexus: &Arc<Nexus>, attentions: &Arc<Attentions>) {
        let mut shown = self.shown();
        let theirs = Arc::downgrade(attentions);
        shown.seats.retain(|seat| seat.attentions.strong_count() > 0 && !seat.attentions.ptr_eq(&theirs));
        attentions.gate().set_barred(shown.record.reservations.barred(nexus.name()));
        shown.seats.push(Seat { nexus: Arc::clone(nexus), attentions: theirs });
    }

    /// The nexuses that reach the unit.
    pub fn nexuses(&self) -> Vec<Arc<Nexus>> {
        let shown = self.shown();
        // One that is there no more keeps its seat until somebody else takes one.
        let there = shown.seats.iter().filter(|seat| seat.attentions.strong_count() > 0);
        there.map(|seat| Arc::clone(&seat.nexus)).collect()
    }

    /// Establishes a condition for those concerned.
    pub fn establish(&self, condition: Sense, to: To<'_>) {
        for seat in &self.shown().seats {
            if to.includes(seat.nexus.name())
                && let Some(attentions) = seat.attentions.upgrade()
            {
                attentions.establish(condition);
            }
        }
    }

    /// Makes a change: keeps it, and then shows it to every nexus.  Returns what `change` returned.  Blocks as long as
    /// the disk with the records does, and so belongs on no reactor.
    ///
    /// # Errors
    /// [`NotPersisted`]; then nothing has changed.
    pub fn change<T>(&self, change: impl FnOnce(&mut UnitRecord) -> T) -> Result<T, NotPersisted> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.record();
        let mut record = UnitRecord::clone(&before);
        let result = change(&mut record);
        if record != *before {
            self.persist.save(&self.serial, &record)?;
            self.show(record);
        }
        Ok(result)
    }

    /// Carries out an order of PERSISTENT RESERVE OUT, and tells those concerned.  Blocks as [`UnitState::change`] does.
    pub(crate) fn obey(&self, nexus: &NexusName, order: &Ordered) -> Result<Told, Refusal> {
        let told = self.change(|record| record.reservations.obey(nexus, order));
        let told = told.map_err(|NotPersisted| Refusal::Check(Sense::INTERNAL_TARGET_FAILURE))??;
        for (nexus, condition) in &told.attentions {
            self.establish(*condition, To::Only(nexus));
        }
        Ok(told)
    }

    /// Whether a reset has to take away what RESERVE or PREVENT took, to start the unit or to bring back saved mode
    /// pages, which may block.
    pub fn reset_may_block(&self) -> bool {
        let record = self.record();
        record.reservations.legacy.is_some()
            || record.modes != record.saved_modes
            || record.tray.reset_changes()
    }

    /// LOGICAL UNIT RESET: takes away what RESERVE and PREVENT took, starts the unit, and tells everyone.  SAM-5.  Blocks as [`UnitState::change`] does,
    /// if there is any such thing.
    ///
    /// # Errors
    /// [`NotPersisted`]; then the reservation stays, and nobody is told.
    pub fn reset(&self) -> Result<(), NotPersisted> {
        if self.reset_may_block() {
            self.change(|record| {
                record.reservations.legacy = None;
                record.modes = record.saved_modes;
                record.tray.reset();
            })?;
        }
        self.tell_reset();
        Ok(())
    }

    /// Tells everyone of a reset that had nothing to take away.
    pub fn tell_reset(&self) {
        self.tallies.count_reset();
        self.copies.forget();
        self.establish(Sense::BUS_DEVICE_RESET, To::Everyone);
    }

    /// Takes away what a nexus took with RESERVE and PREVENT: it is reset, or lost.  Blocks as [`UnitState::change`] does.
    ///
    /// # Errors
    /// [`NotPersisted`]; then all stays.
    pub fn release(&self, nexus: &NexusName) -> Result<(), NotPersisted> {
        self.give_back(nexus, false)
    }

    /// The same of a nexus that is there no more, after what is being changed now.  Whether it is gone is asked when nobody else
    /// can make a change: one that is there again by then keeps what it took.  Blocks as [`UnitState::change`] does, so nobody
    /// calls it who holds what `is_gone` waits for.
    ///
    /// # Errors
    /// As [`UnitState::release`].
    pub fn release_of_gone(
        &self,
        nexus: &NexusName,
        is_gone: impl FnOnce() -> bool,
    ) -> Result<(), NotPersisted> {
        self.change(|record| {
            if is_gone() {
                record.lose(nexus);
            }
        })
    }

    /// The guest behind a nexus was reset: takes that away, and starts the unit, which a guest's firmware does not do.
    /// Blocks as [`UnitState::change`] does.
    ///
    /// # Errors
    /// As [`UnitState::release`].
    pub fn guest_was_reset(&self, nexus: &NexusName) -> Result<(), NotPersisted> {
        self.give_back(nexus, true)
    }

    fn give_back(&self, nexus: &NexusName, starts: bool) -> Result<(), NotPersisted> {
        let (record, starts) = (self.record(), starts && self.readiness() == Readiness::Stopped);
        let holds = record.reservations.legacy.as_ref() == Some(nexus);
        if !holds && !starts && !record.tray.kept_by.contains(nexus) {
            return Ok(());
        }
        self.change(|record| {
            record.lose(nexus);
            record.tray.stopped &= !starts;
        })
    }

    fn show(&self, record: UnitRecord) {
        let mut shown = self.shown();
        for seat in &shown.seats {
            if let Some(attentions) = seat.attentions.upgrade() {
                attentions.gate().set_barred(record.reservations.barred(seat.nexus.name()));
            }
        }
        self.modes.store(record.modes.word(), Ordering::SeqCst);
        self.readiness.store(record.tray.readiness() as u32, Ordering::SeqCst);
        self.write_through.store(writes_through(&record), Ordering::SeqCst);
        shown.record = Arc::new(record);
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an initiator has switched the cache off that the administrator left on.
fn writes_through(record: &UnitRecord) -> bool {
    record.modes.write_cache == Some(false)
}

impl To<'_> {
    fn includes(&self, nexus: &NexusName) -> bool {
        match self {
            Self::Everyone => true,
            Self::EveryoneBut(excluded) => *excluded != nexus,
            Self::Only(only) => *only == nexus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_nexus_is_gone_is_asked_when_nobody_else_can_change_what_it_took() {
        let nexus = NexusName { initiator: "naa.6001405000000001".into(), relative_port: 1 };
        let mut record = UnitRecord::default();
        record.reservations.legacy = Some(nexus.clone());
        record.tray.keep(&nexus, true);
        let state = UnitState::new("a", record.clone(), Arc::new(Volatile));
        let is_gone = |says: bool| {
            assert!(state.changing.try_lock().is_err(), "it may come back before what it took is taken away");
            says
        };
        state.release_of_gone(&nexus, || is_gone(false)).unwrap();
        assert_eq!(*state.record(), record, "it is there again");
        state.release_of_gone(&nexus, || is_gone(true)).unwrap();
        assert_eq!(*state.record(), UnitRecord::default());
    }
}
