// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What units remember, one for each serial number: backstores that were given one serial number are one unit.
//!
//! Above: `state`.
//! Below: `target`, which decides what is remembered; `store`, where it is kept.
//! Never here: what a memory means.

use crate::store::Units;
use scsi::Sense;
use std::collections::BTreeMap;
use std::sync::Arc;
use target::{Attentions, LogicalUnit, UnitState};

/// The states of all units, by serial number.
#[derive(Default)]
pub(super) struct Memories {
    states: BTreeMap<String, Arc<UnitState>>,
    /// What was remembered before the daemon started, and is not taken up yet.
    units: Units,
}

impl Memories {
    pub(super) fn new(units: Units) -> Self {
        Self { states: BTreeMap::new(), units }
    }

    /// The unit with what its serial number remembers.
    pub(super) fn remembering(&mut self, unit: LogicalUnit) -> Arc<LogicalUnit> {
        let (serial, units) = (unit.identity.unit_serial.as_str(), &mut self.units);
        let state = self.states.entry(serial.to_owned()).or_insert_with(|| {
            let record = units.records.remove(serial).unwrap_or_default();
            UnitState::new(serial, record, Arc::clone(&units.persist))
        });
        let state = Arc::clone(state);
        Arc::new(unit.remembering(state))
    }

    /// What a nexus has to be told about a LUN that it is shown for the first time: that there was no power, where it was
    /// shown it before the host restarted.
    pub(super) fn attentions(&self) -> Arc<Attentions> {
        let attentions = Attentions::default();
        if self.units.lost_power {
            attentions.establish(Sense::POWER_ON);
        }
        Arc::new(attentions)
    }

    /// Everything that was there before the daemon started has been taken up.
    pub(super) fn have_power(&mut self) {
        self.units.lost_power = false;
        self.units.records.clear();
    }

    /// Drops the states of serial numbers that no unit has any more.
    pub(super) fn forget_unused(&mut self) {
        self.states.retain(|_, state| Arc::strong_count(state) > 1);
    }
}
