// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What units and nexuses are shown of asymmetric access.
//!
//! Above: `state`, after each step.
//! Below: `access`, which has the groups and their states.
//! Never here: which state a group is in.

use super::{Farewell, State};
use model::{Step, UnitSerial};
use std::collections::{BTreeMap, BTreeSet};
use target::Membership;

impl State {
    /// Shows every unit its groups and their ports, and every nexus the states of its LUNs.
    pub(in super::super) fn show_access(&mut self) {
        let mut ports: BTreeMap<&UnitSerial, BTreeMap<u16, BTreeSet<u16>>> = BTreeMap::new();
        let tpgs = || self.targets.values().flat_map(|target| target.tpgs.values());
        for (tpg, shown) in tpgs().flat_map(|tpg| tpg.luns.values().map(move |shown| (tpg, shown))) {
            let unit = self.units.get(&shown.backstore);
            let group = self.access.membership(&shown.backstore, &shown.access);
            if let (Some(unit), Some(Membership { group, .. })) = (unit, group) {
                let of_unit = ports.entry(&unit.backstore.unit_serial).or_default();
                of_unit.entry(group).or_default().insert(tpg.nexus.name().relative_port);
            }
        }
        let none = BTreeMap::new();
        for (id, unit) in &self.units {
            let serial = &unit.backstore.unit_serial;
            let alua = self.access.alua(id, serial, ports.get(serial).unwrap_or(&none));
            unit.logical_unit.state.set_alua(alua);
        }
        for tpg in self.targets.values_mut().flat_map(|target| target.tpgs.values_mut()) {
            let nexus = tpg.nexus.name();
            for shown in tpg.luns.values_mut() {
                let Some(unit) = self.units.get(&shown.backstore) else { continue };
                let to = (nexus, &*shown.attentions);
                self.access.show(&shown.backstore, &unit.backstore.unit_serial, to, &mut shown.access);
            }
        }
    }

    /// A step of asymmetric access.
    pub(super) fn take_access(&mut self, step: &Step) -> Option<Farewell> {
        match step {
            Step::SetAlua { backstore, groups, lu_group } => {
                let serial = self.units.get(backstore)?.backstore.unit_serial.clone();
                if self.access.set(backstore, &serial, groups.clone(), *lu_group) {
                    self.mark_shown(backstore);
                }
                None
            }
            Step::SetLunAlua { place, alua } => {
                let tpg = self.target(&place.wwn)?.tpgs.get_mut(&place.tag)?;
                tpg.luns.get_mut(&place.lun)?.access.wanted = alua.clone();
                None
            }
            _ => None,
        }
    }
}
