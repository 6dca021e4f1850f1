// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Other sizes of what is open, and the space below it.
//!
//! Above: `running`, which grows and cuts; `growth`, which looks.
//! Below: `state`.
//! Never here: a look at a file, or waiting.

use super::{Farewell, State, Unit, farewell, logical_unit};
use crate::machine::running::Cut;
use crate::machine::running::fault::{
    being_cut, being_sanitized, gone_before_the_cut, missing_fault, sanitized_before_the_cut,
};
use crate::machine::running::medium::Opened;
use crate::machine::{Fault, Gauge, LiveSpace, Rest, SpaceLook};
use backstore::{Backstore as _, Space};
use model::{Backstore, BackstoreId, Key, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak, mpsc};
use target::{SanitizeState, Scarcity, Store, UnitState};
use vhost_scsi::Scope;

impl State {
    /// The open medium that is to have another size.
    pub(in super::super) fn to_resize(&self, backstore: &Backstore) -> Result<Opened, Fault> {
        let id = backstore.id();
        let unit = self.units.get(&id);
        if unit.is_some_and(|unit| unit.cutting.is_some()) {
            return Err(being_cut(&id));
        }
        let opened = unit.map(|unit| &unit.opened).filter(|opened| opened.store.is_some());
        opened.map(Opened::same).ok_or_else(|| missing_fault(&id))
    }

    /// The same for a smaller size, which what is being removed from all of it would undo.
    pub(in super::super) fn to_shrink(&self, backstore: &Backstore) -> Result<Opened, Fault> {
        let id = backstore.id();
        if self.units.get(&id).is_some_and(Unit::is_being_sanitized) {
            return Err(being_sanitized(&id));
        }
        self.to_resize(backstore)
    }

    /// Takes over a medium of another size.  Its guests' I/O goes on.
    pub(super) fn resize(&mut self, backstore: &Backstore, opened: Opened) -> Option<Farewell> {
        let id = backstore.id();
        let unit = self.units.get_mut(&id)?;
        let number = |opened: &Opened| opened.store.as_ref().map(|store| store.id);
        let write_back = backstore.is_own_on(Key::EmulateWriteCache);
        let (now, prepared) = (number(&unit.opened), number(&opened));
        let opened = match &opened.file {
            // It was lost since this was prepared, and its channels are being closed.
            _ if now.is_none() => unit.opened.lost(unit.opened.hangs()),
            // Prepared as it was then: channels of that number are being closed where it is used in another manner since,
            // and they have the manner of then.
            Some(file) if now != prepared || file.geometry().write_cache != write_back => {
                opened.with_write_back(write_back)
            }
            _ => opened,
        };
        let is_same = now == number(&opened);
        let old = std::mem::replace(&mut unit.opened, opened);
        unit.backstore = unit.opened.fitted(backstore);
        unit.logical_unit = self.memories.remembering(logical_unit(&unit.backstore, &unit.opened));
        self.mark_shown(&id);
        // Channels of one number lead to both.
        if is_same { None } else { farewell(old) }
    }

    /// Takes over that less of a medium is shown.  It is cut once all that guests have in flight there has ended, in
    /// whatever manner it was used when that began.
    pub(super) fn shrink(&mut self, backstore: &Backstore, opened: Opened) -> Option<Farewell> {
        let id = backstore.id();
        let last = self.resize(backstore, opened);
        let unit = self.units.get_mut(&id)?;
        let (tell, ended) = mpsc::channel();
        self.rest.push(Rest::new(id.clone(), ended));
        // As commands know it: its unit has taken it over.
        let Some(medium) = unit.logical_unit.store.as_ref().map(Store::medium) else {
            let _ = tell.send(Err(gone_before_the_cut(&id)));
            return last;
        };
        self.cuts += 1;
        unit.cutting = Some(self.cuts);
        let scope = Scope { medium: Some(medium), ..Scope::default() };
        let nothing = Farewell::of(scope);
        let cut = Some(Cut { id, number: self.cuts, tell });
        Some(Farewell { scope, cut, ..last.unwrap_or(nothing) })
    }

    /// What is not so yet of the steps that were taken.
    pub(in super::super) fn take_rest(&mut self) -> Vec<Rest> {
        std::mem::take(&mut self.rest)
    }

    /// The medium that is to be cut, as it is used by now; `None` as long as its SANITIZE is to be waited for.
    pub(in super::super) fn to_cut(&self, cut: &Cut) -> Result<Option<Arc<dyn backstore::Backstore>>, Fault> {
        let unit = self.units.get(&cut.id).filter(|unit| unit.cutting == Some(cut.number));
        let (Some(unit), Some(store)) = (unit, unit.and_then(|unit| unit.opened.store.as_ref())) else {
            return Err(gone_before_the_cut(&cut.id));
        };
        // It may have begun on all of the medium before the new end was shown.
        match unit.is_being_sanitized() {
            false => Ok(Some(Arc::clone(&store.backstore))),
            // A file that is larger than what is shown is noticed later; what a ramdisk has too much nobody looks at.
            true if cut.id.kind == Kind::Ramdisk => Ok(None),
            true => Err(sanitized_before_the_cut(&cut.id)),
        }
    }

    /// A medium has been cut, or could not be.
    pub(in super::super) fn is_cut(&mut self, cut: &Cut) {
        if let Some(unit) = self.units.get_mut(&cut.id).filter(|unit| unit.cutting == Some(cut.number)) {
            unit.cutting = None;
        }
    }

    /// Whether guests are shown this very medium, at this size.
    pub(in super::super) fn shows(&self, id: &BackstoreId, medium: &Weak<dyn backstore::Backstore>) -> bool {
        let store = self.units.get(id).and_then(|unit| unit.opened.store.as_ref());
        store.is_some_and(|store| super::is_of(store, medium))
    }

    /// What may grow by itself.
    pub(in super::super) fn gauges(&self) -> Vec<Gauge> {
        let may_grow =
            self.units.iter().filter(|(id, unit)| id.kind != Kind::Ramdisk && unit.cutting.is_none());
        let open = may_grow.filter_map(|(id, unit)| Some((id, unit.opened.store.as_ref()?)));
        open.map(|(id, store)| Gauge::new(id.clone(), &store.backstore)).collect()
    }

    /// Takes note of the space below backstores, and tells the guests of each unit when it has become scarce below any
    /// of those that are the unit.  Returns below which it is.
    pub(in super::super) fn see_spaces(&self, looks: &[SpaceLook]) -> BTreeSet<BackstoreId> {
        for SpaceLook { backstore, space, claimed } in looks {
            if let Some(unit) = self.units.get(backstore) {
                unit.scarcity.see(space, *claimed);
            }
        }
        let mut of_units: BTreeMap<u64, (&UnitState, Vec<&Scarcity>)> = BTreeMap::new();
        // Where a unit has no UNMAP its guests can make no room, and are not told.
        for unit in self.units.values().filter(|unit| unit.logical_unit.media.has_threshold()) {
            let state = &unit.logical_unit.state;
            of_units.entry(state.id()).or_insert((state, Vec::new())).1.push(&unit.scarcity);
        }
        for (state, below) in of_units.into_values() {
            state.see_space(&below);
        }
        let seen = looks.iter().map(|look| &look.backstore);
        let is_scarce = |id: &&BackstoreId| self.units.get(*id).is_some_and(|unit| unit.scarcity.is_scarce());
        seen.filter(is_scarce).cloned().collect()
    }
}

impl Unit {
    fn is_being_sanitized(&self) -> bool {
        self.logical_unit.state.sanitizing().state() == SanitizeState::Running
    }

    /// What was seen of the space below.
    pub(super) fn space(&self) -> Option<LiveSpace> {
        let Space { total, available, used, .. } =
            self.scarcity.seen().filter(|_| self.opened.store.is_some())?;
        let is_scarce = self.scarcity.is_scarce();
        Some(LiveSpace { total_bytes: total, available_bytes: available, used_bytes: used, is_scarce })
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps::tests::{close, in_file, in_memory, open, opened};
    use super::*;
    use crate::machine::running::medium;
    use crate::store::Units;
    use model::Step;
    use std::fs;
    use std::path::{Path, PathBuf};
    use target::{Mapping, Sanitize, UnitRecord};

    const BEFORE: u64 = 1 << 20;
    const AFTER: u64 = 512 << 10;

    /// A file that was there before.
    fn file(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::File::create(&path).unwrap().set_len(BEFORE).unwrap();
        path
    }

    /// Shows less of a backstore from now on.
    fn shrink(state: &mut State, backstore: &Backstore) -> Cut {
        let mut less = backstore.clone();
        let model::Medium::Fileio { size_bytes, .. } = &mut less.medium else { panic!("{less:?}") };
        *size_bytes = Some(AFTER);
        let shown = medium::shrunk(&less, &state.to_shrink(backstore).unwrap()).unwrap();
        let step = Step::ShrinkBackstore { backstore: less, from_bytes: Some(BEFORE) };
        let last = state.take_step(&step, Some(shown)).unwrap();
        let medium = state.units[&backstore.id()].logical_unit.store.as_ref().unwrap().medium();
        assert_eq!(last.scope, Scope { medium: Some(medium), ..Scope::default() });
        last.cut.unwrap()
    }

    fn message<T>(fault: Result<T, Fault>) -> String {
        fault.map_or_else(
            |fault| format!("{} ({})", fault.message, fault.errno.raw_os_error()),
            |_| "well".to_owned(),
        )
    }

    fn bytes(path: &Path) -> u64 {
        fs::metadata(path).unwrap().len()
    }

    #[test]
    fn a_cut_is_made_also_where_the_manner_of_the_medium_has_changed_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "disk");
        let (mut state, disk) = (State::default(), in_file("disk0", "a", &path));
        open(&mut state, &disk, opened(&disk));
        let cut = shrink(&mut state, &disk);
        let mut other = state.units[&disk.id()].backstore.clone();
        let write_back = other.is_own_on(model::Key::EmulateWriteCache);
        other.set_attribute("emulate_write_cache", if write_back { "0" } else { "1" }).unwrap();
        assert!(state.take_step(&Step::UpdateBackstore(other), None).is_some());
        assert_eq!(message(state.to_resize(&disk)), "fileio/disk0 is being made smaller (16)");
        assert!(state.gauges().is_empty());

        state.to_cut(&cut).unwrap().unwrap().cut().unwrap();
        assert_eq!(bytes(&path), AFTER);
        state.is_cut(&cut);
        assert_eq!(message(state.to_resize(&disk)), "well");
        assert_eq!(state.gauges().len(), 1);
    }

    #[test]
    fn another_size_and_another_manner_at_once_are_both_so_in_either_order() {
        let folder = tempfile::tempdir().unwrap();
        let orders = [[true, false], [false, true]].into_iter();
        let cases = orders.flat_map(|order| {
            [("0", "1", AFTER), ("1", "0", AFTER), ("1", "0", 2 << 20)].map(|case| (order, case))
        });
        for (case, (order, (before, after, size))) in cases.enumerate() {
            let name = format!("disk{case}");
            let path = file(folder.path(), &name);
            let (mut state, mut disk) = (State::default(), in_file(&name, "a", &path));
            disk.set_attribute("emulate_write_cache", before).unwrap();
            open(&mut state, &disk, opened(&disk));
            let first = number(&state, &disk);
            let mut wanted = disk.clone();
            let model::Medium::Fileio { size_bytes, .. } = &mut wanted.medium else { panic!("{wanted:?}") };
            *size_bytes = Some(size);
            wanted.set_attribute("emulate_write_cache", after).unwrap();
            let (backstore, from_bytes) = (wanted.clone(), Some(BEFORE));
            let (prepared, step) = if size < BEFORE {
                let less = medium::shrunk(&wanted, &state.to_shrink(&disk).unwrap()).unwrap();
                (less, Step::ShrinkBackstore { backstore, from_bytes })
            } else {
                let more = medium::grown(&wanted, &state.to_resize(&disk).unwrap()).unwrap();
                (more, Step::ResizeBackstore { backstore, from_bytes })
            };
            let mut prepared = Some(prepared);
            let farewells: Vec<Farewell> = order
                .into_iter()
                .filter_map(|is_update| match is_update {
                    true => state.take_step(&Step::UpdateBackstore(wanted.clone()), None),
                    false => state.take_step(&step, prepared.take()),
                })
                .collect();
            let unit = &state.units[&disk.id()];
            let store = unit.opened.store.as_ref().unwrap();
            let geometry = store.backstore.geometry();
            assert_eq!((geometry.bytes, geometry.write_cache), (size, after == "1"), "{case}");
            assert_eq!(unit.logical_unit.flags.write_cache, after == "1");
            assert!(Arc::ptr_eq(&store.backstore, &unit.logical_unit.store.as_ref().unwrap().backstore));
            let closed: Vec<u64> = farewells.iter().filter_map(|farewell| farewell.close).collect();
            assert!(
                closed.contains(&first) && !closed.contains(&store.id),
                "{case}: {closed:?} {}",
                store.id
            );
            if let Some(cut) = farewells.iter().find_map(|farewell| farewell.cut.as_ref()) {
                state.to_cut(cut).unwrap().unwrap().cut().unwrap();
            }
            assert_eq!(bytes(&path), size);
        }
    }

    #[test]
    fn what_is_lost_has_become_no_other_to_its_guests() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, disk) = (State::default(), in_file("disk0", "a", &file(folder.path(), "disk")));
        open(&mut state, &disk, opened(&disk));
        let said = |state: &State| {
            let unit = &state.units[&disk.id()].logical_unit;
            (unit.media, unit.granularity_blocks, unit.optimal_blocks, unit.flags.solid_state)
        };
        let before = said(&state);
        let shown = medium_of(&state, &disk);
        let _closing = state.lose(&disk.id(), &Arc::downgrade(&shown)).unwrap();
        assert!(state.units[&disk.id()].logical_unit.store.is_none());
        assert_eq!(said(&state), before);
        // Nor where its path does not answer, or does again and is not there.
        for hangs in [true, false] {
            state.note_hang(&disk, hangs);
            assert_eq!(state.units[&disk.id()].logical_unit.is_opening, hangs);
            assert_eq!(said(&state), before);
        }
    }

    #[test]
    fn what_is_lost_says_the_same_of_itself_whatever_is_set_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, mut disk) = (State::default(), in_file("disk0", "a", &file(folder.path(), "disk")));
        open(&mut state, &disk, opened(&disk));
        let id = disk.id();
        let unit = |state: &State| Mapping::new(Arc::clone(&state.units[&id].logical_unit), false);
        let before = unit(&state);
        let shown = medium_of(&state, &disk);
        let _closing = state.lose(&disk.id(), &Arc::downgrade(&shown)).unwrap();
        // What no answer to INQUIRY depends on, what has a file opened anew, and another size.
        disk.set_attribute("emulate_rsoc", "0").unwrap();
        assert!(state.take_step(&Step::UpdateBackstore(disk.clone()), None).is_none());
        assert!(unit(&state).says_as(&before) && state.missing() == [disk.clone()]);
        for (hangs, manner) in [(true, "0"), (false, "1")] {
            state.note_hang(&disk, hangs);
            disk.set_attribute("emulate_write_cache", manner).unwrap();
            assert!(state.take_step(&Step::UpdateBackstore(disk.clone()), None).is_none());
            let unit = &state.units[&disk.id()];
            assert_eq!((unit.logical_unit.is_opening, unit.opened.hangs()), (hangs, hangs), "{manner}");
        }
        let model::Medium::Fileio { size_bytes, .. } = &mut disk.medium else { panic!("{disk:?}") };
        *size_bytes = Some(2 << 20);
        let step = Step::ResizeBackstore { backstore: disk.clone(), from_bytes: Some(BEFORE) };
        assert!(state.take_step(&step, Some(Opened::missing())).is_none());
        let after = unit(&state);
        assert_eq!(after.unit.media, before.unit.media);
        let cache = after.unit.flags.write_cache == before.unit.flags.write_cache;
        assert_eq!(after.says_as(&before), cache);
        assert_eq!(after.unit.geometry.blocks.0, 0, "it is not there");
    }

    #[test]
    fn what_a_medium_can_do_is_what_it_can_do_now_and_not_when_a_change_was_prepared() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, disk) = (State::default(), in_file("disk0", "a", &file(folder.path(), "disk")));
        open(&mut state, &disk, opened(&disk));
        // Of the medium before.
        let mut stale = disk.clone();
        stale.learn_limits(&[model::Key::EmulateTpu]);
        let steps = [
            Step::SelectModes(stale.clone()),
            Step::UpdateBackstore(stale.clone()),
            Step::ResizeBackstore { backstore: stale, from_bytes: Some(BEFORE) },
        ];
        for lost in [false, true] {
            for step in &steps {
                let opened = state.units[&disk.id()].opened.same();
                state.take_step(step, Some(opened));
                let unit = &state.units[&disk.id()];
                assert!(!unit.backstore.is_beyond_medium(model::Key::EmulateTpu), "{lost} {step:?}");
                assert!(unit.logical_unit.media.unmap, "{lost} {step:?}");
            }
            if !lost {
                let shown = medium_of(&state, &disk);
                drop(state.lose(&disk.id(), &Arc::downgrade(&shown)).unwrap());
            }
        }
    }

    #[test]
    fn what_is_lost_before_its_other_size_is_taken_over_stays_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, disk) = (State::default(), in_file("disk0", "a", &file(folder.path(), "disk")));
        open(&mut state, &disk, opened(&disk));
        let mut wanted = disk.clone();
        let model::Medium::Fileio { size_bytes, .. } = &mut wanted.medium else { panic!("{wanted:?}") };
        *size_bytes = Some(2 << 20);
        let more = medium::grown(&wanted, &state.to_resize(&disk).unwrap()).unwrap();
        let shown = medium_of(&state, &disk);
        let _closing = state.lose(&disk.id(), &Arc::downgrade(&shown)).unwrap();
        let step = Step::ResizeBackstore { backstore: wanted.clone(), from_bytes: Some(BEFORE) };
        assert!(state.take_step(&step, Some(more)).is_none());
        assert_eq!(state.missing(), [wanted]);
    }

    #[test]
    fn what_is_lost_before_less_of_it_is_taken_over_is_not_said_to_be_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, disk) = (State::default(), in_file("disk0", "a", &file(folder.path(), "disk")));
        open(&mut state, &disk, opened(&disk));
        let mut wanted = disk.clone();
        let model::Medium::Fileio { size_bytes, .. } = &mut wanted.medium else { panic!("{wanted:?}") };
        *size_bytes = Some(AFTER);
        let less = medium::shrunk(&wanted, &state.to_shrink(&disk).unwrap()).unwrap();
        let shown = medium_of(&state, &disk);
        let _closing = state.lose(&disk.id(), &Arc::downgrade(&shown)).unwrap();
        let step = Step::ShrinkBackstore { backstore: wanted, from_bytes: Some(BEFORE) };
        assert!(state.take_step(&step, Some(less)).is_none());
        let rest = state.take_rest().pop().expect("somebody is told");
        assert_eq!(message(rest.wait()), "fileio/disk0 was not cut (16)");
    }

    #[test]
    fn what_comes_under_the_name_of_what_was_to_be_cut_is_neither_cut_nor_held_up() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["disk", "other"].map(|name| file(folder.path(), name));
        let (mut state, disk) = (State::default(), in_file("disk0", "a", &path));
        open(&mut state, &disk, opened(&disk));
        let cut = shrink(&mut state, &disk);
        let _last = close(&mut state, &disk);
        let new = in_file("disk0", "b", &other);
        open(&mut state, &new, opened(&new));
        assert_eq!(message(state.to_resize(&new)), "well");
        let second = shrink(&mut state, &new);
        assert_eq!(message(state.to_cut(&cut)), "fileio/disk0 was not cut (16)");
        // The end of the first is not that of the second.
        state.is_cut(&cut);
        assert_eq!(message(state.to_resize(&new)), "fileio/disk0 is being made smaller (16)");
        state.to_cut(&second).unwrap().unwrap().cut().unwrap();
        assert_eq!((bytes(&path), bytes(&other)), (BEFORE, AFTER));
    }

    #[test]
    fn what_is_lost_and_found_again_before_the_cut_is_another_medium() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, disk) = (State::default(), in_file("disk0", "a", &file(folder.path(), "disk")));
        open(&mut state, &disk, opened(&disk));
        let cut = shrink(&mut state, &disk);
        let shown = medium_of(&state, &disk);
        assert!(state.shows(&disk.id(), &Arc::downgrade(&shown)));
        let farewells = state.lose(&disk.id(), &Arc::downgrade(&shown)).unwrap();
        assert!(!state.shows(&disk.id(), &Arc::downgrade(&shown)));
        // This process may not have it open twice.
        drop((farewells, shown));
        let again = state.units[&disk.id()].backstore.clone();
        assert!(state.appear(&again, medium::open_if_there(&again).unwrap()));
        assert_eq!(message(state.to_cut(&cut)), "fileio/disk0 was not cut (16)");
        assert_eq!(message(state.to_resize(&disk)), "well");
        // The first cut is not the second.
        let second = shrink(&mut state, &again);
        assert_eq!(message(state.to_cut(&cut)), "fileio/disk0 was not cut (16)");
        assert_eq!(message(state.to_cut(&second)), "well");
    }

    #[test]
    fn nothing_shrinks_while_it_is_sanitized() {
        let folder = tempfile::tempdir().unwrap();
        let task = Sanitize {
            overwrite: None,
            block_bytes: 512,
            unrestricted_exit: false,
            failed: false,
            done_bytes: 0,
        };
        let record = UnitRecord { sanitize: Some(task), ..UnitRecord::default() };
        let units = Units { records: [("a".to_owned(), record)].into(), ..Units::default() };
        let mut state = State::remembering(units);
        let disk = in_file("disk0", "a", &file(folder.path(), "disk"));
        open(&mut state, &disk, opened(&disk));
        assert_eq!(message(state.to_shrink(&disk)), "fileio/disk0 is being sanitized for a guest (16)");
        assert_eq!(message(state.to_resize(&disk)), "well", "what is larger keeps its old end");
        // It began before the new end was shown.
        let (tell, _) = mpsc::channel();
        state.units.get_mut(&disk.id()).unwrap().cutting = Some(1);
        let cut = Cut { id: disk.id(), number: 1, tell };
        let fault = state.to_cut(&cut).err().unwrap();
        let hint = "a guest has it sanitized: it has its old size again; try again when that has ended";
        assert_eq!((fault.message.as_str(), fault.hint.as_deref()), ("fileio/disk0 was not cut", Some(hint)));
        // A ramdisk would never be cut then: it waits, as long as it is the one that was to be.
        let memory = in_memory("r0", "a");
        open(&mut state, &memory, opened(&memory));
        state.units.get_mut(&memory.id()).unwrap().cutting = Some(2);
        let of_memory = |number| Cut { id: memory.id(), number, tell: mpsc::channel().0 };
        assert!(state.to_cut(&of_memory(2)).unwrap().is_none() && state.to_cut(&of_memory(3)).is_err());
    }

    #[test]
    fn two_file_systems_below_one_unit_do_not_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::default();
        let ways = ["way0", "way1"].map(|name| in_file(name, "a", &file(folder.path(), name)));
        for way in &ways {
            open(&mut state, way, opened(way));
        }
        let look = |way: usize, available| SpaceLook {
            backstore: ways[way].id(),
            space: Space { total: 1000, available, used: 7, store: way as u64 },
            claimed: 5000,
        };
        let unit = Arc::clone(&state.units[&ways[0].id()].logical_unit.state);
        assert_eq!(state.see_spaces(&[look(0, 900), look(1, 900)]), BTreeSet::new());
        for looks in [[look(0, 99), look(1, 900)], [look(1, 900), look(0, 99)]].iter().cycle().take(4) {
            assert_eq!(state.see_spaces(looks), BTreeSet::from([ways[0].id()]));
            assert!(unit.scarcity().is_scarce());
        }
        // One that hangs is not looked at, and is as it was.
        state.see_spaces(&[look(1, 900)]);
        assert!(unit.scarcity().is_scarce());
        state.see_spaces(&[look(0, 900), look(1, 900)]);
        assert!(!unit.scarcity().is_scarce());
    }

    /// By which channels of it are known.
    fn number(state: &State, backstore: &Backstore) -> u64 {
        state.units[&backstore.id()].opened.store.as_ref().unwrap().id
    }

    fn medium_of(state: &State, backstore: &Backstore) -> Arc<dyn backstore::Backstore> {
        Arc::clone(&state.units[&backstore.id()].opened.store.as_ref().unwrap().backstore)
    }
}
