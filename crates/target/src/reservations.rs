// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who has reserved a unit, and who is registered with it.  SPC-4, persistent reservations; SPC-2, RESERVE and RELEASE.
//!
//! Above: `unit_state`, which keeps and shows what is decided here.
//! Below: names of nexuses.
//! Never here: a lock, a disk, a byte of a command.

mod orders; // what PERSISTENT RESERVE OUT asks for

use crate::gate::Barred;
use crate::nexus::NexusName;
pub(crate) use orders::{Ordered, Refusal, Told};
use std::collections::BTreeMap;

/// Registrations of one unit: more than there are nexuses in any configuration that is sane, and a bound all the same.
pub const REGISTRATIONS_MAX: usize = 1024;

/// Registrations and reservations of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    /// The registrations, by whose they are.
    pub registrations: BTreeMap<NexusName, Registration>,
    /// The persistent reservation.
    pub held: Option<Held>,
    /// PRGENERATION: counts changes of the registrations.
    pub generation: u32,
    /// PTPL_A: all of this is to outlast the loss of power, as the last registration wanted it.
    pub outlasts_power: bool,
    /// Who has reserved the unit with RESERVE.
    pub legacy: Option<NexusName>,
}

/// One registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The key.
    pub key: u64,
    /// ALL_TG_PT: it was made for every target port of the initiator at once.
    pub all_target_ports: bool,
    /// PRGENERATION when it was made.
    pub generation: u32,
}

/// A persistent reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who holds it.  Of a type for all registrants each of them does, and this is one of them.
    pub holder: NexusName,
    /// What it bars others from.
    pub kind: Kind,
}

/// The type of a persistent reservation.  SPC-4, persistent reservation type codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The holder writes.
    WriteExclusive = 1,
    /// The holder reads and writes.
    ExclusiveAccess = 3,
    /// Registrants write.
    WriteExclusiveRegistrants = 5,
    /// Registrants read and write.
    ExclusiveAccessRegistrants = 6,
    /// Registrants write, and each holds the reservation.
    WriteExclusiveAll = 7,
    /// Registrants read and write, and each holds the reservation.
    ExclusiveAccessAll = 8,
}

impl Kind {
    /// The type with this code.
    pub fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::WriteExclusive),
            3 => Some(Self::ExclusiveAccess),
            5 => Some(Self::WriteExclusiveRegistrants),
            6 => Some(Self::ExclusiveAccessRegistrants),
            7 => Some(Self::WriteExclusiveAll),
            8 => Some(Self::ExclusiveAccessAll),
            _ => None,
        }
    }

    /// Its code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether it bars only from writing.
    fn is_for_writing(self) -> bool {
        matches!(self, Self::WriteExclusive | Self::WriteExclusiveRegistrants | Self::WriteExclusiveAll)
    }

    /// Whether it lets every registrant do what the holder may.
    fn is_for_registrants(self) -> bool {
        !matches!(self, Self::WriteExclusive | Self::ExclusiveAccess)
    }

    /// Whether every registrant holds it.
    fn is_held_by_all(self) -> bool {
        matches!(self, Self::WriteExclusiveAll | Self::ExclusiveAccessAll)
    }
}

/// RESERVE or RELEASE meets what it must not touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict;

impl Reservations {
    /// What `nexus` is barred from.
    pub fn barred(&self, nexus: &NexusName) -> Barred {
        if self.legacy.as_ref().is_some_and(|holder| holder != nexus) {
            return Barred::Legacy;
        }
        match &self.held {
            Some(held) if held.kind.is_for_registrants() && self.is_registered(nexus) => Barred::Nothing,
            Some(held) if held.holder == *nexus => Barred::Nothing,
            Some(held) if held.kind.is_for_writing() => Barred::Writing,
            Some(_) => Barred::Accessing,
            None => Barred::Nothing,
        }
    }

    /// Whether `nexus` is registered.
    pub fn is_registered(&self, nexus: &NexusName) -> bool {
        self.registrations.contains_key(nexus)
    }

    /// Whether `nexus` holds the reservation.
    pub fn holds(&self, nexus: &NexusName) -> bool {
        self.held.as_ref().is_some_and(|held| {
            held.holder == *nexus || held.kind.is_held_by_all() && self.is_registered(nexus)
        })
    }

    /// What READ RESERVATION shows: the key of the holder, 0 where all registrants hold it, and the type.
    pub(crate) fn shown(&self) -> Option<(u64, u8)> {
        let held = self.held.as_ref()?;
        let holder = self.registrations.get(&held.holder).filter(|_| !held.kind.is_held_by_all());
        Some((holder.map_or(0, |holder| holder.key), held.kind.code()))
    }

    /// RESERVE.
    pub(crate) fn reserve(&mut self, nexus: &NexusName) -> Result<(), Conflict> {
        if self.refuses_reserve(nexus) {
            return Err(Conflict);
        }
        if self.settles_old(nexus).is_none() {
            self.legacy = Some(nexus.clone());
        }
        Ok(())
    }

    /// Whether RESERVE conflicts.
    pub(crate) fn refuses_reserve(&self, nexus: &NexusName) -> bool {
        let is_anothers = || self.legacy.as_ref().is_some_and(|holder| holder != nexus);
        self.settles_old(nexus).map_or_else(is_anothers, |settled| settled.is_err())
    }

    /// RELEASE, which is GOOD for everyone and done for the holder, where nobody is registered.
    pub(crate) fn release(&mut self, nexus: &NexusName) -> Result<(), Conflict> {
        let settled = self.settles_old(nexus);
        if settled.is_none() {
            self.lose(nexus);
        }
        settled.unwrap_or(Ok(()))
    }

    /// Whether RELEASE conflicts.
    pub(crate) fn refuses_release(&self, nexus: &NexusName) -> bool {
        self.settles_old(nexus).is_some_and(|settled| settled.is_err())
    }

    /// What RESERVE took ends with its nexus.
    pub(crate) fn lose(&mut self, nexus: &NexusName) {
        self.legacy.take_if(|holder| holder == nexus);
    }

    /// What registrations make of RESERVE and RELEASE, if anything.  SPC-3, exceptions to SPC-2 RESERVE and RELEASE behavior:
    /// GOOD and nothing done for a nexus that may do what the holder of the persistent reservation may.  SPC-2, reservations
    /// overview: a conflict for all others, as long as anyone is registered.
    fn settles_old(&self, nexus: &NexusName) -> Option<Result<(), Conflict>> {
        let takes_part = self.held.as_ref().is_some_and(|held| held.kind.is_for_registrants());
        if self.holds(nexus) || takes_part && self.is_registered(nexus) {
            return Some(Ok(()));
        }
        (!self.registrations.is_empty()).then_some(Err(Conflict))
    }
}
