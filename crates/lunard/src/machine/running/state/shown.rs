// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What units and nexuses are shown of asymmetric access.
//!
//! Above: `state`, after each step.
//! Below: `access`, which has the groups and their states.
//! Never here: which state a group is in.

use super::{Farewell, State};
use model::{Step, UnitSerial};
use scsi::Sense;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whether these are more ports than one: by one port a unit may be two LUNs, in two groups.
fn has_several(groups: &BTreeMap<u16, BTreeSet<u16>>) -> bool {
    let mut ports = groups.values().flatten();
    let first = ports.next();
    ports.any(|port| Some(port) != first)
}

impl State {
    /// Shows every unit its groups and their ports, and every nexus the states of its LUNs.  What maps of LUNs have of it is
    /// theirs to show, and [`State::tell_access`] tells the nexuses after that.
    pub(in super::super) fn show_access(&mut self) {
        let mut ports: BTreeMap<&UnitSerial, BTreeMap<u16, BTreeSet<u16>>> = BTreeMap::new();
        let tpgs = || self.targets.values().flat_map(|target| target.tpgs.values());
        for (tpg, shown) in tpgs().flat_map(|tpg| tpg.luns.values().map(move |shown| (tpg, shown))) {
            let unit = self.units.get(&shown.backstore);
            let group = self.access.group(&shown.backstore, &shown.access);
            if let (Some(unit), Some(group)) = (unit, group) {
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
        let multi_port: BTreeSet<&UnitSerial> =
            ports.into_iter().filter(|(_, groups)| has_several(groups)).map(|(serial, _)| serial).collect();
        for (wwn, target) in &mut self.targets {
            for tpg in target.tpgs.values_mut() {
                for shown in tpg.luns.values_mut() {
                    let Some(unit) = self.units.get(&shown.backstore) else { continue };
                    let serial = &unit.backstore.unit_serial;
                    let to = (tpg.nexus.name(), &*shown.attentions, multi_port.contains(serial));
                    let otherwise = self.access.show(&shown.backstore, serial, to, &mut shown.access);
                    if otherwise.in_map {
                        self.changed.insert(wwn.clone());
                    }
                    if otherwise.state {
                        self.untold.push(Arc::clone(&shown.attentions));
                    }
                }
            }
        }
    }

    /// Tells the nexuses whose LUNs were shown in another state, or with other blocks in it.
    pub(in super::super) fn tell_access(&mut self) {
        for attentions in std::mem::take(&mut self.untold) {
            attentions.establish(Sense::ASYMMETRIC_ACCESS_STATE_CHANGED);
        }
    }

    /// A step of asymmetric access.
    pub(super) fn take_access(&mut self, step: &Step) -> Option<Farewell> {
        match step {
            Step::SetAlua { backstore, groups, lu_group } => {
                let serial = self.units.get(backstore)?.backstore.unit_serial.clone();
                self.access.set(backstore, &serial, groups.clone(), *lu_group);
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

#[cfg(test)]
mod tests {
    use super::super::steps::tests::{in_memory, open, opened};
    use super::*;
    use model::{
        AluaGroup, AluaGroupName, AluaGroups, LBA_MAP_BYTES_MAX, LbaMap, Lun, LunAlua, Place, RelativePort,
        TpgTag, Wwn,
    };
    use target::Mapping;

    const LUNS: u16 = 256;

    /// As many lines as there can be.
    fn largest_map() -> LbaMap {
        let mut text = String::from("1 0\n");
        let lines = (0..).map(|block| format!("{block} {block} 0:O\n"));
        for line in lines {
            if text.len() + line.len() > LBA_MAP_BYTES_MAX {
                break;
            }
            text.push_str(&line);
        }
        LbaMap::parse(&text).unwrap().unwrap()
    }

    /// A target with a LUN for each of these.
    fn a_target<'a>(
        state: &mut State,
        number: u16,
        luns: impl IntoIterator<Item = &'a model::Backstore>,
    ) -> Wwn {
        let wwn = Wwn::parse(&format!("naa.500140500000000{number}")).unwrap();
        let nexus = Wwn::parse(&format!("naa.500140500000001{number}")).unwrap();
        let (tag, relative_port) = (TpgTag::new(1), RelativePort::parse(number).unwrap());
        let mut steps = vec![Step::CreateTarget(wwn.clone())];
        steps.push(Step::CreateTpg { wwn: wwn.clone(), tag, nexus, relative_port });
        steps.extend((0..).zip(luns).map(|(lun, disk)| {
            let (wwn, lun, backstore) = (wwn.clone(), Lun::parse(lun).unwrap(), disk.id());
            Step::MapLun { wwn, tag, lun, backstore, write_protect: false }
        }));
        for step in &steps {
            assert!(state.take_step(step, None).is_none());
        }
        wwn
    }

    /// A disk in as many LUNs of a target.
    fn many_luns(state: &mut State) -> (Wwn, model::Backstore) {
        let disk = in_memory("r0", "a");
        open(state, &disk, opened(&disk));
        let wwn = a_target(state, 1, (0..LUNS).map(|_| &disk));
        (wwn, disk)
    }

    /// The map of blocks that the commands of each LUN look into.
    fn maps(state: &State, wwn: &Wwn) -> Vec<Arc<scsi::referrals::Referrals>> {
        let map = state.targets[wwn].port.map().load();
        let of = |mapping: &Mapping| mapping.membership.as_ref()?.referrals.clone();
        let maps: Vec<_> = map.groups().flat_map(|(_, group)| group.units()).filter_map(of).collect();
        assert_eq!(maps.len(), usize::from(LUNS));
        maps
    }

    #[test]
    fn however_many_luns_and_changes_there_are_they_have_one_map_of_blocks() {
        let mut state = State::default();
        let (wwn, disk) = many_luns(&mut state);
        let mut groups = AluaGroups::default();
        groups.restore_lba_map(Some(largest_map()));
        let set = |groups: &AluaGroups, lu_group| Step::SetAlua {
            backstore: disk.id(),
            groups: groups.clone(),
            lu_group,
        };
        state.take_step(&set(&groups, 0), None);
        state.publish();
        let first = maps(&state, &wwn).swap_remove(0);
        assert!(first.segments.len() > 300, "{}", first.segments.len());
        // The unit's, the backstore's, and two for each LUN: of what it was shown, and of what its commands look into.
        let known = 2 + 2 * usize::from(LUNS) + /* ours */ 1;
        assert_eq!(Arc::strong_count(&first), known);
        // Other changes, of other things and of this one, have the same map and no other.
        state.mark_shown(&disk.id());
        state.publish();
        state.take_step(&set(&groups, 5), None);
        state.publish();
        assert!(maps(&state, &wwn).iter().all(|map| Arc::ptr_eq(map, &first)));
        assert_eq!(Arc::strong_count(&first), known);
        assert!(Arc::ptr_eq(
            &first,
            state.units[&disk.id()].logical_unit.state.alua().referrals.as_ref().unwrap()
        ));
        // And one that goes is gone.
        groups.restore_lba_map(None);
        state.take_step(&set(&groups, 5), None);
        state.publish();
        assert_eq!(Arc::strong_count(&first), 1);
    }

    /// Whether INQUIRY says that the disk has other ports, at each LUN.
    fn multi_port(state: &mut State, wwn: &Wwn) -> BTreeSet<bool> {
        state.publish();
        let map = state.targets[wwn].port.map().load();
        let of = |mapping: &Mapping| mapping.membership.as_ref().map(|membership| membership.multi_port);
        map.groups().flat_map(|(_, group)| group.units()).filter_map(of).collect()
    }

    #[test]
    fn luns_of_one_port_are_one_port_in_whichever_groups_they_are() {
        let mut state = State::default();
        let (wwn, disk) = many_luns(&mut state);
        assert_eq!(multi_port(&mut state, &wwn), [false].into());
        let (mut groups, other) = (AluaGroups::default(), AluaGroupName::parse("other").unwrap());
        groups.add(&disk.id(), other.clone(), AluaGroup::new(1)).unwrap();
        state.take_step(&Step::SetAlua { backstore: disk.id(), groups, lu_group: 0 }, None);
        let place = Place { wwn: wwn.clone(), tag: TpgTag::new(1), lun: Lun::parse(7).unwrap() };
        let alua = LunAlua { group: other, ..LunAlua::default() };
        state.take_step(&Step::SetLunAlua { place, alua }, None);
        assert_eq!(multi_port(&mut state, &wwn), [false].into());
        let second = a_target(&mut state, 2, [&disk]);
        assert_eq!(multi_port(&mut state, &wwn), [true].into());
        state.take_step(&Step::RemoveTarget(second), None);
        assert_eq!(multi_port(&mut state, &wwn), [false].into());
    }
}
