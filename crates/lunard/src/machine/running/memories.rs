// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What units remember, one for each serial number: backstores that were given one serial number are one unit.
//!
//! Above: `state`.
//! Below: `target`.
//! Never here: what is remembered.

use std::collections::BTreeMap;
use std::sync::Arc;
use target::{LogicalUnit, UnitState};

/// The states of all units, by serial number.
#[derive(Default)]
pub(super) struct Memories(BTreeMap<String, Arc<UnitState>>);

impl Memories {
    /// The unit with what its serial number remembers.
    pub(super) fn remembering(&mut self, unit: LogicalUnit) -> Arc<LogicalUnit> {
        let serial = unit.identity.unit_serial.as_str();
        let state = self.0.entry(serial.to_owned()).or_insert_with(|| UnitState::volatile(serial));
        let state = Arc::clone(state);
        Arc::new(unit.remembering(state))
    }

    /// Drops the states of serial numbers that no unit has any more.
    pub(super) fn forget_unused(&mut self) {
        self.0.retain(|_, state| Arc::strong_count(state) > 1);
    }
}
