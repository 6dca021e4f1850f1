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

use crate::attentions::Attentions;
use crate::nexus::{Nexus, NexusName};
use crate::reservations::Reservations;
use scsi::Sense;
use std::fmt;
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
    serial: String,
    persist: Arc<dyn Persist>,
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
        let shown = Mutex::new(Shown { record: Arc::new(record), seats: Vec::new() });
        Arc::new(Self { serial: serial.into(), persist, changing: Mutex::new(()), shown })
    }

    /// The state of a unit that remembers nothing and keeps nothing.
    pub fn volatile(serial: impl Into<String>) -> Arc<Self> {
        Self::new(serial, UnitRecord::default(), Arc::new(Volatile))
    }

    /// The serial number.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// What the unit remembers now.
    pub fn record(&self) -> Arc<UnitRecord> {
        Arc::clone(&self.shown().record)
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
        self.shown().seats.iter().map(|seat| Arc::clone(&seat.nexus)).collect()
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

    fn show(&self, record: UnitRecord) {
        let mut shown = self.shown();
        for seat in &shown.seats {
            if let Some(attentions) = seat.attentions.upgrade() {
                attentions.gate().set_barred(record.reservations.barred(seat.nexus.name()));
            }
        }
        shown.record = Arc::new(record);
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
