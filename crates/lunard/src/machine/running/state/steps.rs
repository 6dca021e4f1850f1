// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What each step makes of what runs.
//!
//! Above: `running`, which takes the steps of a change one after the other.
//! Below: `state`.
//! Never here: anything that a guest sees before [`State::publish`], opening, or waiting.

use super::{Shown, State, Target, Tpg, Unit, farewell, logical_unit, offer, unlock_later};
use crate::machine::running::Farewell;
use crate::machine::running::access::LunAccess;
use crate::machine::running::medium::Opened;
use model::{Backstore, Lun, Step, TpgTag, Wwn};
use std::collections::BTreeMap;
use std::sync::Arc;
use target::{LunMap, Nexus, Scarcity};
use vhost_scsi::{Scope, TargetPort};

impl State {
    /// Takes over one step; nothing is visible to guests before [`State::publish`].
    pub(in crate::machine::running) fn take_step(
        &mut self,
        step: &Step,
        opened: Option<Opened>,
    ) -> Option<Farewell> {
        match step {
            Step::OpenBackstore(backstore) => self.open(backstore, opened?),
            Step::UpdateBackstore(backstore) => self.update(backstore),
            Step::SelectModes(backstore) => {
                // The guest that saved it has it in force, and the others told.
                let unit = self.units.get_mut(&backstore.id())?;
                unit.backstore = unit.opened.fitted(backstore);
                unit.logical_unit.state.show_saved_modes();
                None
            }
            Step::ResizeBackstore { backstore, .. } => self.resize(backstore, opened?),
            Step::ShrinkBackstore { backstore, .. } => self.shrink(backstore, opened?),
            Step::CloseBackstore(id) => {
                self.access.forget(id);
                let unit = self.units.remove(id)?;
                unit.logical_unit.state.tallies().close(unit.number);
                farewell(unit.opened)
            }
            Step::CreateTarget(wwn) => {
                let port = Arc::new(TargetPort::new(wwn.to_string(), LunMap::default()));
                self.targets.insert(
                    wwn.clone(),
                    Target {
                        port,
                        endpoint: None,
                        socket_fault: None,
                        resized: Vec::new(),
                        tpgs: BTreeMap::new(),
                    },
                );
                None
            }
            Step::SetOptions { wwn, options } => {
                self.targets.get(wwn)?.port.offer(offer(options));
                None
            }
            // Kept for LIO's tools alone.
            Step::SetCompletionAffinity { .. } => None,
            Step::SetAlua { .. } | Step::SetLunAlua { .. } => self.take_access(step),
            Step::RemoveTarget(wwn) => self.remove_target(wwn),
            Step::CreateTpg { wwn, tag, nexus, relative_port } => {
                let nexus = Nexus::new(nexus.to_string(), wwn.to_string(), tag.get(), relative_port.get());
                let tpg = Tpg { nexus: Arc::new(nexus), luns: BTreeMap::new() };
                self.target(wwn)?.tpgs.insert(*tag, tpg);
                None
            }
            Step::RemoveTpg { wwn, tag } => {
                let tpg = self.target(wwn)?.tpgs.remove(tag)?;
                self.note_unseen(&tpg.nexus, tpg.luns.values());
                None
            }
            Step::MapLun { wwn, tag, lun, backstore, write_protect } => {
                let attentions = self.memories.attentions();
                let unit = self.units.get(backstore);
                let tally =
                    unit.map(|unit| unit.logical_unit.state.tallies().way(unit.number)).unwrap_or_default();
                let tpg = self.target(wwn)?.tpgs.get_mut(tag)?;
                let (backstore, write_protect) = (backstore.clone(), *write_protect);
                let access = LunAccess::default();
                tpg.luns.insert(*lun, Shown { backstore, write_protect, attentions, access, tally });
                None
            }
            Step::UnmapLun { wwn, tag, lun } => self.unmap(wwn, *tag, *lun),
        }
    }

    fn open(&mut self, backstore: &Backstore, mut opened: Opened) -> Option<Farewell> {
        let backstore = &opened.fitted(backstore);
        let logical_unit = self.memories.remembering(logical_unit(backstore, &opened));
        opened.belongs_to(&logical_unit);
        let open = opened.store.as_ref().map(|store| store.backstore.geometry().bytes);
        let known = backstore.medium.size_bytes();
        if open.zip(known).is_some_and(|(open, known)| open != known) {
            self.resized.insert(backstore.id());
        }
        self.units_opened += 1;
        let number = self.units_opened;
        let (backstore, scarcity) = (backstore.clone(), Scarcity::default());
        let unit = Unit { backstore, opened, logical_unit, number, cutting: None, scarcity };
        self.units.insert(unit.backstore.id(), unit);
        None
    }

    fn remove_target(&mut self, wwn: &Wwn) -> Option<Farewell> {
        let target = self.targets.remove(wwn)?;
        target.tpgs.values().for_each(|tpg| self.note_unseen(&tpg.nexus, tpg.luns.values()));
        // A front end that came in the meantime may still run rings: they must find nothing any more.
        let left = target.port.change_map().publish(LunMap::default());
        self.left.extend(left.into_iter().map(|left| unlock_later(&target.port, left)));
        Some(Farewell::of(Scope { port: Some(target.port.id()), ..Scope::default() }))
    }

    fn unmap(&mut self, wwn: &Wwn, tag: TpgTag, lun: Lun) -> Option<Farewell> {
        let target = self.target(wwn)?;
        let port = target.port.id();
        let tpg = target.tpgs.get_mut(&tag)?;
        let (nexus, shown) = (Arc::clone(&tpg.nexus), tpg.luns.remove(&lun));
        self.note_unseen(&nexus, &shown);
        let scope =
            Scope { port: Some(port), target: Some(tag.get()), lun: Some(lun.get()), ..Scope::default() };
        Some(Farewell::of(scope))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::machine::Occasion;
    use crate::machine::running::medium::{self, HandedOver};
    use model::{AbsolutePath, BackstoreName, Key, Medium, UnitSerial};
    use scsi::mode::UaInterlock;
    use std::path::Path;
    use target::{ModeChanges, Selected};

    fn backstore(name: &str, serial: &str, medium: Medium) -> Backstore {
        let (name, serial) = (BackstoreName::parse(name).unwrap(), UnitSerial::parse(serial).unwrap());
        Backstore::new(name, serial, medium).unwrap()
    }

    pub(in super::super) fn in_memory(name: &str, serial: &str) -> Backstore {
        backstore(name, serial, Medium::ramdisk(1 << 20, false).unwrap())
    }

    pub(in super::super) fn in_file(name: &str, serial: &str, path: &Path) -> Backstore {
        let path = AbsolutePath::parse(path.to_str().unwrap()).unwrap();
        backstore(name, serial, Medium::Fileio { path, size_bytes: Some(1 << 20), sparse: true })
    }

    /// Serves a backstore; by which number those are known that wait for its blocks.
    pub(in super::super) fn open(state: &mut State, backstore: &Backstore, opened: Opened) -> u64 {
        assert!(state.take_step(&Step::OpenBackstore(backstore.clone()), Some(opened)).is_none());
        state.publish();
        state.units[&backstore.id()].logical_unit.store.as_ref().unwrap().exclusions.id()
    }

    /// What the administrator sets counts, and is taken over.
    fn set_attributes(state: &mut State, backstore: Backstore) {
        let steps = [Step::UpdateBackstore(backstore)];
        state.to_count(&steps).into_iter().for_each(|counting| drop(counting.count()));
        state.take_step(&steps[0], None);
    }

    pub(in super::super) fn close(state: &mut State, backstore: &Backstore) -> Farewell {
        state.take_step(&Step::CloseBackstore(backstore.id()), None).unwrap()
    }

    pub(in super::super) fn opened(backstore: &Backstore) -> Opened {
        medium::open(backstore, Occasion::Change).unwrap()
    }

    #[test]
    fn the_blocks_of_a_unit_are_the_same_by_another_way_while_something_is_under_way_by_the_first() {
        let mut state = State::default();
        let (one, other) = (in_memory("way0", "a"), in_memory("way1", "a"));
        let first = open(&mut state, &one, opened(&one));
        let under_way = close(&mut state, &one);
        state.publish();
        assert_eq!(open(&mut state, &other, opened(&other)), first);
        // And a third way, when that is gone in its turn.
        let under_way_too = close(&mut state, &other);
        state.publish();
        assert_eq!(open(&mut state, &one, opened(&one)), first);
        drop((close(&mut state, &one), under_way, under_way_too));
        state.publish();
        assert_ne!(open(&mut state, &one, opened(&one)), first, "nothing of it is left");
    }

    #[test]
    fn a_guest_that_saves_what_the_administrator_set_takes_nothing_back_from_itself() {
        let mut state = State::default();
        let own = in_memory("way0", "a");
        let mut saved = own.clone();
        saved.select(&[(Key::EmulateTas, 0)]);
        open(&mut state, &saved, opened(&saved));
        let unit = Arc::clone(&state.units[&own.id()].logical_unit.state);
        let off = ModeChanges { tas: Some(false), ..ModeChanges::default() };
        let keeps = || unit.change(|record| (record.modes, record.saved_modes) = (off, off)).unwrap();
        keeps();
        assert!(state.take_step(&Step::SelectModes(own.clone()), None).is_none());
        assert_eq!(unit.modes(), off);
        // The administrator who sets it again does.
        state.take_step(&Step::SelectModes(saved), None);
        set_attributes(&mut state, own);
        assert_eq!((unit.modes(), unit.record().saved_modes), Default::default());
    }

    #[test]
    fn what_the_administrator_sets_before_a_guest_has_kept_what_it_saved_counts_for_good() {
        let mut state = State::default();
        let own = in_memory("way0", "a");
        let mut saved = own.clone();
        saved.select(&[(Key::EmulateTas, 0), (Key::EmulateUaIntlckCtrl, 1)]);
        let mut set = saved.clone();
        set.set_attribute("emulate_tas", "1").unwrap();
        open(&mut state, &own, opened(&own));
        let unit = Arc::clone(&state.units[&own.id()].logical_unit.state);
        let interlock = ModeChanges { ua_interlock: Some(UaInterlock::Keep), ..ModeChanges::default() };
        let both = ModeChanges { tas: Some(false), ..interlock };
        let selected = Selected { sent: both, own: state.units[&own.id()].logical_unit.own_modes() };
        state.take_step(&Step::SelectModes(saved.clone()), None);
        set_attributes(&mut state, set.clone());
        unit.keep_saved_modes(&selected, &both).unwrap();
        assert_eq!((unit.modes(), unit.record().saved_modes), (interlock, interlock));
        // Whoever saves it again after that has it.
        state.take_step(&Step::SelectModes(saved), None);
        unit.keep_saved_modes(&selected, &both).unwrap();
        assert_eq!((unit.modes(), unit.record().saved_modes), (both, both));
    }

    #[test]
    fn the_blocks_of_a_medium_are_the_same_under_another_serial_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let mut state = State::default();
        let (was, is) = (in_file("disk0", "a", &path), in_file("disk1", "b", &path));
        let first = open(&mut state, &was, opened(&was));
        let closes = [Step::CloseBackstore(was.id())];
        let passed_on = state.hand_over(&closes, &is, &path.metadata().unwrap());
        let Some(HandedOver::AsItIs(passed_on)) = passed_on else { panic!("it is open already") };
        let _under_way = close(&mut state, &was);
        assert_eq!(open(&mut state, &is, passed_on), first);
    }
}
