// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From an address to a logical unit, for one target.
//!
//! Above: `vhost-scsi`, which keeps a copy for each queue; `execute`.
//! Below: `logical_unit`.
//! Never here: a change.  A map is built whole and published whole.

use crate::alua::Membership;
use crate::attentions::Attentions;
use crate::execute::primary;
use crate::logical_unit::LogicalUnit;
use crate::nexus::Nexus;
use crate::tally::{Failure, Tally};
use crate::unit_state::NotPersisted;
use scsi::vpd::Port;
use scsi::{Address, Lun, Sense, SenseFormat};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that a guest connected to one target can reach.
#[derive(Default)]
pub struct LunMap {
    groups: BTreeMap<u8, Group>,
}

/// Of ways that belong to nobody who would ask for their counts.
const UNNUMBERED: u64 = 0;

/// One target port group: a SCSI target as the guest sees it.
pub struct Group {
    nexus: Arc<Nexus>,
    /// Ordered by LUN.
    units: Vec<(Lun, Mapping)>,
}

/// A unit as it is seen through one target port group.
#[derive(Clone)]
pub struct Mapping {
    /// The unit.
    pub unit: Arc<LogicalUnit>,
    /// Whether this way to it refuses writes.
    pub write_protect: bool,
    /// What the group's nexus has to be told about the unit, and the gate in front of it.
    pub attentions: Arc<Attentions>,
    /// The groups that the unit is in through this port, where there is asymmetric access.
    pub membership: Option<Membership>,
    /// What was asked of the unit by this way.
    pub tally: Arc<Tally>,
}

impl Mapping {
    /// The layout of sense data that the unit is set to: D_SENSE of the Control mode page.
    pub(crate) fn sense_format(&self) -> SenseFormat {
        if self.unit.modes().d_sense { SenseFormat::Descriptor } else { SenseFormat::Fixed }
    }

    /// Whether nothing is to be written by this way.
    pub fn refuses_writes(&self) -> bool {
        self.write_protect || self.unit.flags.read_only
    }

    /// A way to `unit` of which nothing is to be told.
    pub fn new(unit: Arc<LogicalUnit>, write_protect: bool) -> Self {
        let tally = unit.state.tallies().way(UNNUMBERED);
        Self::counted(unit, write_protect, tally)
    }

    /// The same, counting where an earlier map did.
    pub fn counted(unit: Arc<LogicalUnit>, write_protect: bool, tally: Arc<Tally>) -> Self {
        Self { unit, write_protect, attentions: Arc::default(), membership: None, tally }
    }

    /// The same way through a target port group.
    #[must_use]
    pub fn in_group(self, membership: Membership) -> Self {
        Self { membership: Some(membership), ..self }
    }

    /// Whether INQUIRY says the same of the unit by this way as by another, but for the names of the port.
    pub fn says_as(&self, other: &Self) -> bool {
        primary::said(self) == primary::said(other)
    }

    /// The same way with what an earlier map had to tell.
    #[must_use]
    pub fn telling(self, attentions: Arc<Attentions>) -> Self {
        Self { attentions, ..self }
    }
}

/// Where an address leads.
#[derive(Clone, Copy)]
pub enum Way<'a> {
    /// Nowhere: the transport's business.
    NoTarget,
    /// To the well-known unit of a target, or of the device.
    WellKnown(Option<&'a Group>),
    /// To a target, and to no unit of it.
    Absent(&'a Group),
    /// To a unit.
    Unit(&'a Group, &'a Mapping),
}

impl Way<'_> {
    /// The layout of sense data that the unit at its end is set to.
    pub fn sense_format(&self) -> SenseFormat {
        match self {
            Self::Unit(_, mapping) => mapping.sense_format(),
            _ => SenseFormat::Fixed,
        }
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

    /// Counts what a medium failed, at the unit with these numbers, if the medium is that of the unit that lives there.
    pub fn count_failure(&self, target: u8, lun: u16, failure: Failure) {
        let group = self.group(target);
        let mapping = group.and_then(|group| group.unit(Lun::new(lun)?));
        if let Some(mapping) = mapping
            && mapping.unit.store.as_ref().is_some_and(|is| is.id == failure.store)
        {
            mapping.tally.failed(failure.kind);
        }
    }

    /// Where an address leads.
    pub fn way(&self, address: Address) -> Way<'_> {
        match address {
            Address::Invalid => Way::NoTarget,
            Address::ReportLunsWellKnown { target: None } => Way::WellKnown(None),
            Address::ReportLunsWellKnown { target: Some(target) } => {
                self.group(target).map_or(Way::NoTarget, |group| Way::WellKnown(Some(group)))
            }
            Address::Unit { target, lun } => match self.group(target) {
                Some(group) => match group.unit(lun) {
                    Some(mapping) => Way::Unit(group, mapping),
                    None => Way::Absent(group),
                },
                None => Way::NoTarget,
            },
        }
    }

    /// The layout of sense data that a unit is set to: D_SENSE of the Control mode page.
    pub fn sense_format_at(&self, target: u8, lun: u16) -> SenseFormat {
        let group = self.group(target);
        let mapping = group.and_then(|group| group.unit(Lun::new(lun)?));
        mapping.map_or(SenseFormat::Fixed, Mapping::sense_format)
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

    /// What it takes to lose the nexus.
    pub fn nexus_loss(&self) -> NexusLoss {
        NexusLoss { nexus: Arc::clone(&self.nexus), mappings: self.units().cloned().collect() }
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

    /// Every unit with its LUN, in order.
    pub fn mappings(&self) -> impl Iterator<Item = (Lun, &Mapping)> {
        self.units.iter().map(|(lun, mapping)| (*lun, mapping))
    }

    /// Every unit, in order of the LUNs.
    pub fn units(&self) -> impl Iterator<Item = &Mapping> {
        self.units.iter().map(|(_, mapping)| mapping)
    }
}

/// The loss of a nexus, at every unit that it reaches.
pub struct NexusLoss {
    nexus: Arc<Nexus>,
    mappings: Vec<Mapping>,
}

impl NexusLoss {
    /// Whether there is anything to take away, which may block.
    pub fn may_block(&self) -> bool {
        self.mappings.iter().any(|mapping| mapping.unit.state.reset_may_block())
    }

    /// Takes away what the nexus took with RESERVE and PREVENT.  Blocks, if there is any such thing, as long as the disk with the
    /// records of units does.
    ///
    /// # Errors
    /// [`NotPersisted`]; then what could not be taken away stays.
    pub fn release(&self) -> Result<(), NotPersisted> {
        self.mappings.iter().try_for_each(|mapping| mapping.unit.state.release(self.nexus.name()))
    }

    /// The guest was reset: takes that away too, and starts what is stopped.  Blocks as [`NexusLoss::release`] does.
    ///
    /// # Errors
    /// As [`NexusLoss::release`].
    pub fn by_reset(&self) -> Result<(), NotPersisted> {
        let name = self.nexus.name();
        self.mappings.iter().try_for_each(|mapping| mapping.unit.state.guest_was_reset(name))
    }

    /// I_T NEXUS RESET: takes that away and tells the nexus.  SAM-5.
    ///
    /// # Errors
    /// As [`NexusLoss::release`]; then the nexus is not told.
    pub fn happen(&self) -> Result<(), NotPersisted> {
        self.release()?;
        self.tell();
        Ok(())
    }

    /// Tells the nexus of a loss that had nothing to take away.
    pub fn tell(&self) {
        for mapping in &self.mappings {
            mapping.unit.state.copies().forget_of(self.nexus.name());
            mapping.attentions.establish(Sense::NEXUS_LOSS);
        }
    }
}
