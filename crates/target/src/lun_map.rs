// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From an address to a logical unit, for one target.
//!
//! Above: `vhost-scsi`, which keeps a copy for each queue; `execute`.
//! Below: `logical_unit`.
//! Never here: a change.  A map is built whole and published whole.

use crate::logical_unit::LogicalUnit;
use scsi::Lun;
use scsi::vpd::Port;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that a guest connected to one target can reach.
#[derive(Default)]
pub struct LunMap {
    groups: BTreeMap<u8, Group>,
}

/// One target port group: a SCSI target as the guest sees it.
pub struct Group {
    port: Port,
    /// Ordered by LUN.
    units: Vec<(Lun, Mapping)>,
}

/// A unit as it is seen through one target port group.
pub struct Mapping {
    /// The unit.
    pub unit: Arc<LogicalUnit>,
    /// Whether this way to it refuses writes.
    pub write_protect: bool,
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
    /// A group seen through `port`.  Of two units with one LUN the later stays.
    pub fn new(port: Port, units: impl IntoIterator<Item = (Lun, Mapping)>) -> Self {
        let ordered: BTreeMap<Lun, Mapping> = units.into_iter().collect();
        Self { port, units: ordered.into_iter().collect() }
    }

    /// The port that units are seen through.
    pub fn port(&self) -> &Port {
        &self.port
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

    /// Every unit with its LUN, in order.
    pub fn mappings(&self) -> impl Iterator<Item = (Lun, &Mapping)> {
        self.units.iter().map(|(lun, mapping)| (*lun, mapping))
    }

    /// Every unit, in order of the LUNs.
    pub fn units(&self) -> impl Iterator<Item = &Mapping> {
        self.units.iter().map(|(_, mapping)| mapping)
    }
}
