// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nexuses that are there no more, and what they had of a unit by RESERVE and PREVENT: it ends with them.  SPC-2, RESERVE;
//! SBC-3, PREVENT ALLOW MEDIUM REMOVAL; SAM-5, I_T nexus loss.
//!
//! Above: `running`, after each change.
//! Below: what units remember.
//! Never here: registrations, which outlast their nexus; waiting.

use super::{Shown, State};
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use target::{Nexus, NexusName, UnitState};
use vhost_scsi::Scope;

/// A nexus that is there no more, at one unit.
pub(in crate::machine::running) struct Gone {
    nexus: NexusName,
    unit: Arc<UnitState>,
}

/// Who is leaving.
#[derive(Default)]
pub(super) struct Leaving {
    /// Whom the change under way takes a LUN from, and the number of the unit: a command of it that is under way may yet take
    /// something.
    unseen: BTreeSet<(u64, NexusName)>,
    /// Those that are waited for, as long as that lasts.
    awaited: Vec<Weak<Gone>>,
}

impl Gone {
    /// What is to be waited for before it gives back what it had.
    pub(in crate::machine::running) fn scope(&self) -> Scope {
        Scope { unit: Some(self.unit.id()), nexus: Some(self.nexus.number()), ..Scope::default() }
    }

    /// Gives back what it had, if it is gone still.  Blocks as the disk with the records of units does, and so does who
    /// changes them while `is_gone` is asked.
    pub(in crate::machine::running) fn give_back(&self, is_gone: impl FnOnce() -> bool) {
        if let Err(error) = self.unit.release_of_gone(&self.nexus, is_gone) {
            let (nexus, serial) = (&self.nexus.initiator, self.unit.serial());
            tracing::error!(
                "what {nexus} reserved of unit {serial} stays reserved until a guest resets the unit: {error}"
            );
        }
    }

    fn is(&self, unit: &UnitState, nexus: &NexusName) -> bool {
        self.unit.id() == unit.id() && self.nexus == *nexus
    }
}

impl Leaving {
    fn awaits(&self, unit: &UnitState, nexus: &NexusName) -> bool {
        self.awaited.iter().filter_map(Weak::upgrade).any(|gone| gone.is(unit, nexus))
    }
}

impl State {
    /// Takes note of a nexus that these LUNs are taken from.
    pub(super) fn note_unseen<'a>(&mut self, nexus: &Nexus, luns: impl IntoIterator<Item = &'a Shown>) {
        let units = luns.into_iter().filter_map(|shown| self.units.get(&shown.backstore));
        let unseen = units.map(|unit| (unit.logical_unit.state.id(), nexus.name().clone()));
        self.leaving.unseen.extend(unseen);
    }

    /// Whom the change has made go, and whoever has taken anything and is not there: a process may have died before it was
    /// given back.  One of these that is waited for already is left out: it takes nothing any more.
    pub(in crate::machine::running) fn take_gone(&mut self) -> Vec<Arc<Gone>> {
        self.leaving.awaited.retain(|gone| gone.strong_count() > 0);
        let (unseen, mut seen) = (std::mem::take(&mut self.leaving.unseen), BTreeSet::new());
        let states = self.units.values().map(|unit| &unit.logical_unit.state);
        let states = states.filter(|state| seen.insert(state.id()));
        let gone = states.flat_map(|state| {
            let record = state.record();
            let taken = record.reservations.legacy.iter().chain(&record.tray.kept_by);
            let left_behind = taken.filter(|nexus| !self.leaving.awaits(state, nexus));
            let leave = unseen.iter().filter(|(unit, _)| *unit == state.id()).map(|(_, nexus)| nexus);
            let all: BTreeSet<NexusName> = left_behind.chain(leave).cloned().collect();
            let gone = all.into_iter().filter(|nexus| !self.is_shown(state, nexus));
            gone.map(|nexus| Arc::new(Gone { nexus, unit: Arc::clone(state) })).collect::<Vec<_>>()
        });
        let gone: Vec<_> = gone.collect();
        self.leaving.awaited.extend(gone.iter().map(Arc::downgrade));
        gone
    }

    /// Whether it is still so.
    pub(in crate::machine::running) fn is_gone(&self, gone: &Gone) -> bool {
        !self.is_shown(&gone.unit, &gone.nexus)
    }

    /// Whether a nexus is shown a unit, by whichever backstore.
    fn is_shown(&self, state: &Arc<UnitState>, nexus: &NexusName) -> bool {
        let tpgs = self.targets.values().flat_map(|target| target.tpgs.values());
        let mut luns = tpgs.filter(|tpg| tpg.nexus.name() == nexus).flat_map(|tpg| tpg.luns.values());
        luns.any(|shown| {
            let unit = self.units.get(&shown.backstore);
            unit.is_some_and(|unit| Arc::ptr_eq(&unit.logical_unit.state, state))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps::tests::in_memory;
    use crate::machine::running::{Host, RunningMachine};
    use crate::machine::{Machine, Occasion};
    use crate::store::Units;
    use model::{Backstore, Lun, RelativePort, Step, TpgTag, Wwn};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::{Mutex, mpsc};
    use std::time::{Duration, Instant};
    use target::{NexusName, NotPersisted, Persist, Registration, UnitRecord, UnitState, Volatile};

    fn tag() -> TpgTag {
        TpgTag::new(1)
    }

    fn wwn(number: u16) -> Wwn {
        Wwn::parse(&format!("naa.500140500000000{number}")).unwrap()
    }

    fn nexus(number: u16) -> NexusName {
        NexusName { initiator: format!("naa.500140500000001{number}"), relative_port: number }
    }

    fn map(number: u16, lun: u16, disk: &Backstore) -> Step {
        let (wwn, tag, lun, backstore) = (wwn(number), tag(), Lun::parse(lun).unwrap(), disk.id());
        Step::MapLun { wwn, tag, lun, backstore, write_protect: false }
    }

    fn unmap(number: u16, lun: u16) -> Step {
        Step::UnmapLun { wwn: wwn(number), tag: tag(), lun: Lun::parse(lun).unwrap() }
    }

    /// A target with one nexus, and the disk as these LUNs of it.
    fn target(number: u16, luns: &[u16], disk: &Backstore) -> Vec<Step> {
        let (initiator, relative_port) =
            (Wwn::parse(&nexus(number).initiator).unwrap(), RelativePort::parse(number).unwrap());
        let mut steps = vec![Step::CreateTarget(wwn(number))];
        steps.push(Step::CreateTpg { wwn: wwn(number), tag: tag(), nexus: initiator, relative_port });
        steps.extend(luns.iter().map(|lun| map(number, *lun, disk)));
        steps
    }

    fn make(machine: &RunningMachine, steps: &[Step], occasion: Occasion) {
        let ready = machine.prepare(steps, occasion).map_err(|fault| fault.message).unwrap();
        assert!(machine.commit(ready).is_empty());
    }

    /// What a nexus may leave behind: a registration, a unit that it reserved and a medium that it keeps in.
    fn left_by(number: u16) -> UnitRecord {
        let mut record = UnitRecord::default();
        let registration = Registration { key: 0xa, all_target_ports: false, generation: 0 };
        record.reservations.registrations.insert(nexus(number), registration);
        record.reservations.legacy = Some(nexus(number));
        record.tray.keep(&nexus(number), true);
        record
    }

    /// Two targets with a disk: two LUNs of the first, one of the second.
    fn machine(folder: &Path, record: UnitRecord) -> (RunningMachine, Arc<UnitState>, Backstore) {
        machine_on(folder, record, Arc::new(Volatile))
    }

    fn machine_on(
        folder: &Path,
        record: UnitRecord,
        persist: Arc<dyn Persist>,
    ) -> (RunningMachine, Arc<UnitState>, Backstore) {
        let units = Units { records: [("a".to_owned(), record)].into(), persist, ..Units::default() };
        let host = Host { runtime_dir: folder, socket_group: None, reactors: 1, units };
        let machine = RunningMachine::start(host).unwrap();
        let disk = in_memory("r0", "a");
        let mut steps = vec![Step::OpenBackstore(disk.clone())];
        steps.extend(target(1, &[0, 1], &disk).into_iter().chain(target(2, &[0], &disk)));
        make(&machine, &steps, Occasion::Restore);
        let state = Arc::clone(&machine.state().unit(&disk.id()).unwrap().state);
        (machine, state, disk)
    }

    fn given_back(number: u16) -> UnitRecord {
        let mut record = left_by(number);
        record.reservations.legacy = None;
        record.tray.kept_by.clear();
        record
    }

    /// A change is answered when it has waited long enough.
    fn comes_to(state: &UnitState, expected: &UnitRecord) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while *state.record() != *expected && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(*state.record(), *expected);
    }

    #[test]
    fn what_a_nexus_took_ends_with_it_and_its_registration_does_not() {
        let steps: [&[Step]; 3] = [
            &[Step::RemoveTarget(wwn(1))],
            &[Step::RemoveTpg { wwn: wwn(1), tag: tag() }],
            &[unmap(1, 0), unmap(1, 1)],
        ];
        for steps in steps {
            let folder = tempfile::tempdir().unwrap();
            let (machine, state, _) = machine(folder.path(), left_by(1));
            assert_eq!(*state.record(), left_by(1));
            make(&machine, steps, Occasion::Change);
            comes_to(&state, &given_back(1));
        }
    }

    #[test]
    fn a_nexus_that_still_reaches_the_unit_keeps_what_it_took() {
        let folder = tempfile::tempdir().unwrap();
        let (machine, state, disk) = machine(folder.path(), left_by(1));
        make(&machine, &[Step::RemoveTarget(wwn(2))], Occasion::Change);
        make(&machine, &[unmap(1, 1)], Occasion::Change);
        // Of one change: it was never without.
        make(&machine, &[unmap(1, 0), map(1, 5, &disk)], Occasion::Change);
        assert_eq!(*state.record(), left_by(1));
    }

    #[test]
    fn what_a_nexus_took_ends_when_the_daemon_starts_without_it() {
        let folder = tempfile::tempdir().unwrap();
        // The initiator of nexus 1 with a port that somebody else has now.
        let mut record = left_by(1);
        let elsewhere = NexusName { relative_port: 2, ..nexus(1) };
        record.reservations.legacy = Some(elsewhere.clone());
        record.tray.keep(&elsewhere, true);
        let (_machine, state, _) = machine(folder.path(), record);
        let mut left = left_by(1);
        left.reservations.legacy = None;
        comes_to(&state, &left);
    }

    /// A disk for records on which the first write says that it has begun, and then hangs until it is told to go on.
    struct Slow {
        begins: mpsc::Sender<()>,
        goes_on: Mutex<mpsc::Receiver<()>>,
    }

    impl Persist for Slow {
        fn save(&self, _: &str, _: &UnitRecord) -> Result<(), NotPersisted> {
            let _ = self.begins.send(());
            let _ = self.goes_on.lock().unwrap().recv();
            Ok(())
        }
    }

    #[test]
    fn what_is_being_taken_when_the_lun_goes_ends_too() {
        let folder = tempfile::tempdir().unwrap();
        let ((begins, begun), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
        let slow = Arc::new(Slow { begins, goes_on: Mutex::new(goes_on) });
        let (machine, state, _) = machine_on(folder.path(), UnitRecord::default(), slow);
        std::thread::scope(|scope| {
            let reserve = || state.change(|record| record.reservations.legacy = Some(nexus(1))).unwrap();
            scope.spawn(reserve);
            begun.recv().unwrap();
            scope.spawn(|| make(&machine, &[unmap(1, 0), unmap(1, 1)], Occasion::Change));
            while machine.state().is_shown(&state, &nexus(1)) {
                std::thread::yield_now();
            }
            drop(go_on);
        });
        comes_to(&state, &UnitRecord::default());
    }

    #[test]
    fn who_is_waited_for_is_not_waited_for_again_by_every_later_change() {
        let folder = tempfile::tempdir().unwrap();
        let (machine, _, disk) = machine(folder.path(), left_by(1));
        let mut state = machine.state();
        let mut take = |steps: &[Step]| {
            steps.iter().for_each(|step| drop(state.take_step(step, None)));
            state.publish();
            state.take_gone()
        };
        let awaited = take(&[unmap(1, 0), unmap(1, 1)]);
        assert_eq!(awaited.len(), 1);
        assert!(take(&[unmap(2, 0)]).iter().all(|gone| gone.nexus == nexus(2)));
        assert_eq!(take(&[]).len(), 0);
        // Who was there again has had time to take something: what it had under way then is waited for too.
        assert_eq!(take(&[map(1, 0, &disk)]).len(), 0);
        assert_eq!(take(&[unmap(1, 0)]).len(), 1);
        // And one that could not be given back is tried again.
        drop(awaited);
        assert_eq!(take(&[]).len(), 1);
    }
}
