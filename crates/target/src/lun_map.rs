// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From an address to a logical unit, for one target.
//!
//! Above: `vhost-scsi`, which keeps a copy for each queue; `execute`.
//! Below: `logical_unit`.
//! Never here: a change.  A map is built whole and published whole.

use crate::attentions::Attentions;
use crate::logical_unit::LogicalUnit;
use crate::nexus::Nexus;
use scsi::vpd::Port;
use scsi::{Lun, Sense};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that a guest connected to one target can reach.
#[derive(Default)]
pub struct LunMap {
    groups: BTreeMap<u8, Group>,
}

/// One target port group: a SCSI target as the guest sees it.
pub struct Group {
    nexus: Arc<Nexus>,
    /// Ordered by LUN.
    units: Vec<(Lun, Mapping)>,
}

/// A unit as it is seen through one target port group.
pub struct Mapping {
    /// The unit.
    pub unit: Arc<LogicalUnit>,
    /// Whether this way to it refuses writes.
    pub write_protect: bool,
    /// What the group's nexus has to be told about the unit, and the gate in front of it.
    pub attentions: Arc<Attentions>,
}

impl Mapping {
    /// A way to `unit` of which nothing is to be told.
    pub fn new(unit: Arc<LogicalUnit>, write_protect: bool) -> Self {
        Self { unit, write_protect, attentions: Arc::default() }
    }

    /// The same way with what an earlier map had to tell.
    #[must_use]
    pub fn telling(self, attentions: Arc<Attentions>) -> Self {
        Self { attentions, ..self }
    }
}

impl LunMap {
    /// Adds a group under its SCSI target id.
    pub fn insert(&mut self, target: u8, group: Group) {
        self.groups.insert(target, group);
    }

    /// The group with this SCSI target id.
    pub fn group(&self, target: u8) -> Option<&Group> {
        self.groups.get(&target)
    }

    /// Every group with its SCSI target id, in order.
    pub fn groups(&self) -> impl Iterator<Item = (u8, &Group)> {
        self.groups.iter().map(|(&target, group)| (target, group))
    }
}

impl Group {
    /// A group for one nexus, which each unit takes note of.  Of two units with one LUN the later stays.
    pub fn new(nexus: impl Into<Arc<Nexus>>, units: impl IntoIterator<Item = (Lun, Mapping)>) -> Self {
        let nexus = nexus.into();
        let ordered: BTreeMap<Lun, Mapping> = units.into_iter().collect();
        for mapping in ordered.values() {
            mapping.unit.state.attach(&nexus, &mapping.attentions);
        }
        Self { nexus, units: ordered.into_iter().collect() }
    }

    /// Who speaks through this group.
    pub fn nexus(&self) -> &Arc<Nexus> {
        &self.nexus
    }

    /// The port that units are seen through.
    pub fn port(&self) -> Port {
        self.nexus.port()
    }

    /// Establishes a condition at every LUN of the nexus but `except`.
    pub fn establish(&self, condition: Sense, except: Option<Lun>) {
        let others = self.units.iter().filter(|(lun, _)| Some(*lun) != except);
        others.for_each(|(_, mapping)| mapping.attentions.establish(condition));
    }

    /// Takes a condition back at every LUN of the nexus.
    pub(crate) fn clear(&self, condition: Sense) {
        self.units.iter().for_each(|(_, mapping)| mapping.attentions.clear(condition));
    }

    /// The unit at `lun`.
    pub fn unit(&self, lun: Lun) -> Option<&Mapping> {
        let index = self.units.binary_search_by_key(&lun, |(lun, _)| *lun).ok()?;
        self.units.get(index).map(|(_, mapping)| mapping)
    }

    /// The LUNs, in order.
    pub fn luns(&self) -> impl Iterator<Item = Lun> {
        self.units.iter().map(|(lun, _)| *lun)
    }

    /// Every unit, in order of the LUNs.
    pub fn units(&self) -> impl Iterator<Item = &Mapping> {
        self.units.iter().map(|(_, mapping)| mapping)
    }
}
