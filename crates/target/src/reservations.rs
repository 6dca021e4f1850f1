// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who has reserved a unit, and who is registered with it.  SPC-4, persistent reservations; SPC-2, RESERVE and RELEASE.
//!
//! Above: `unit_state`, which keeps and shows what is decided here.
//! Below: names of nexuses.
//! Never here: a lock, a disk, a byte of a command.

use crate::gate::Barred;
use crate::nexus::NexusName;
use std::collections::BTreeMap;

/// Registrations and reservations of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    /// The keys, by who registered them.
    pub registrations: BTreeMap<NexusName, u64>,
    /// The persistent reservation.
    pub held: Option<Held>,
    /// Who has reserved the unit with RESERVE.
    pub legacy: Option<NexusName>,
}

/// A persistent reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who holds it.  Of a type for all registrants each of them does, and this is who made it.
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
    /// Whether it bars only from writing.
    fn is_for_writing(self) -> bool {
        matches!(self, Self::WriteExclusive | Self::WriteExclusiveRegistrants | Self::WriteExclusiveAll)
    }

    /// Whether it lets every registrant do what the holder may.
    fn is_for_registrants(self) -> bool {
        !matches!(self, Self::WriteExclusive | Self::ExclusiveAccess)
    }
}

impl Reservations {
    /// What `nexus` is barred from.
    pub fn barred(&self, nexus: &NexusName) -> Barred {
        if self.legacy.as_ref().is_some_and(|holder| holder != nexus) {
            return Barred::Legacy;
        }
        match &self.held {
            Some(held) if held.kind.is_for_registrants() && self.registrations.contains_key(nexus) => {
                Barred::Nothing
            }
            Some(held) if held.holder == *nexus => Barred::Nothing,
            Some(held) if held.kind.is_for_writing() => Barred::Writing,
            Some(_) => Barred::Accessing,
            None => Barred::Nothing,
        }
    }
}
