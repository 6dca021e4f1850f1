// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What units remember, one for each serial number: backstores that were given one serial number are one unit.
//!
//! Above: `state`.
//! Below: `target`, which decides what is remembered; `store`, where it is kept.
//! Never here: what a memory means.

use super::fault::{kept_in, not_kept, not_removable};
use crate::machine::Fault;
use crate::store::Units;
use model::{Backstore, BackstoreId, Key};
use scsi::mode::UaInterlock;
use scsi::{Sense, StartStop};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use target::{Attentions, By, Exclusions, LogicalUnit, ModeChanges, NotPersisted, To, Tray, UnitState};

/// The states of all units, by serial number.
#[derive(Default)]
pub(super) struct Memories {
    states: BTreeMap<String, Arc<UnitState>>,
    /// Blocks that one command has for itself, of each unit: longer than its state, if commands of it are under way when its
    /// last backstore goes, because another way to the same blocks may come.
    excluded: BTreeMap<String, Weak<Exclusions>>,
    /// What was remembered before the daemon started, and is not taken up yet.
    units: Units,
}

impl Memories {
    pub(super) fn new(units: Units) -> Self {
        Self { units, ..Self::default() }
    }

    /// The unit with what its serial number remembers.
    pub(super) fn remembering(&mut self, unit: LogicalUnit) -> Arc<LogicalUnit> {
        let (serial, units) = (unit.identity.unit_serial.as_str(), &mut self.units);
        let (store, excluded) = (unit.store.as_ref(), &mut self.excluded);
        let state = self.states.entry(serial.to_owned()).or_insert_with(|| {
            let record = units.records.remove(serial).unwrap_or_default();
            let before = excluded.get(serial).and_then(Weak::upgrade);
            // What its medium brings along, if that was of another unit until now.
            let exclusions =
                before.or_else(|| store.map(|store| Arc::clone(&store.exclusions))).unwrap_or_default();
            excluded.insert(serial.to_owned(), Arc::downgrade(&exclusions));
            UnitState::excluding(serial, record, Arc::clone(&units.persist), exclusions)
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
        self.excluded.retain(|_, exclusions| exclusions.strong_count() > 0);
    }
}

/// Attributes that the administrator sets: they count for more than what a guest had selected before.
pub(super) struct Counting {
    pub(super) was: Backstore,
    pub(super) is: Backstore,
    pub(super) unit: Arc<UnitState>,
}

impl Counting {
    /// Has them count.  What is kept of the unit waits for a disk.  Returns the unit where its guests are to be told, once they
    /// see it so.
    pub(super) fn count(self) -> Option<Arc<UnitState>> {
        attributes_count(&self.was, &self.is, &self.unit).then_some(self.unit)
    }
}

/// Those whom nobody tells at once read what was before, and ask no more.
pub(super) fn tell_of_modes(units: &[Arc<UnitState>]) {
    units.iter().for_each(|unit| unit.establish(Sense::MODE_PARAMETERS_CHANGED, To::Everyone));
}

/// Returns whether mode pages say something else by it.
fn attributes_count(was: &Backstore, is: &Backstore, unit: &UnitState) -> bool {
    if was.is_on(Key::EmulateRemovable) && !is.is_on(Key::EmulateRemovable) {
        // A medium that cannot be taken out is in.
        if let Err(error) = unit.change(|record| record.tray = Tray::default()) {
            tracing::error!("the medium of {} stays as it was: {error}", is.id());
        }
    }
    let is_set = |key| {
        let taken_back = was.selected().contains_key(&key) && !is.selected().contains_key(&key);
        taken_back || was.own_attribute(key) != is.own_attribute(key)
    };
    let keys = [Key::EmulateWriteCache, Key::EmulateTas, Key::EmulateUaIntlckCtrl];
    let [write_cache, tas, ua_interlock] = keys.map(is_set);
    if !(write_cache || tas || ua_interlock) {
        return false;
    }
    let forgotten = unit.forget_modes(|modes| {
        modes.write_cache = modes.write_cache.filter(|_| !write_cache);
        modes.tas = modes.tas.filter(|_| !tas);
        modes.ua_interlock = modes.ua_interlock.filter(|_| !ua_interlock);
    });
    if let Err(error) = &forgotten {
        tracing::error!("what a guest selected stays in force on {}: {error}", is.id());
    }
    // Who had not selected it learns of it too.
    forgotten.is_ok()
}

/// Takes the medium of a unit out, or puts it in and starts the unit, as the administrator wants it.
pub(super) fn move_medium(
    id: &BackstoreId,
    unit: &LogicalUnit,
    loaded: bool,
    force: bool,
) -> Result<(), Fault> {
    if !loaded && !unit.flags.removable {
        return Err(not_removable(id));
    }
    let action = if loaded { StartStop::Load } else { StartStop::Eject };
    match unit.state.move_medium(action, By::Administrator { force }) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => {
            let record = unit.state.record();
            Err(kept_in(id, record.tray.kept_by.first().map(|nexus| nexus.initiator.as_str())))
        }
        Err(NotPersisted) => Err(not_kept(id)),
    }
}

/// What initiators have saved, in the administrator's words.
pub(super) fn attributes_of(saved: &ModeChanges) -> Vec<(Key, u32)> {
    let interlock = saved.ua_interlock.map(|interlock| match interlock {
        UaInterlock::Clear => 0,
        UaInterlock::Keep => 1,
        UaInterlock::KeepAndEstablish => 2,
    });
    let all = [
        (Key::EmulateTas, saved.tas.map(u32::from)),
        (Key::EmulateUaIntlckCtrl, interlock),
        (Key::EmulateWriteCache, saved.write_cache.map(u32::from)),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use scsi::inquiry::Identity;
    use target::{NexusName, UnitFlags, UnitRecord};

    fn unit(serial: &str) -> LogicalUnit {
        let identity = Identity {
            vendor: Identity::ascii_field("LIO-ORG"),
            product: Identity::ascii_field("disk0"),
            revision: Identity::ascii_field("4.0"),
            unit_serial: serial.to_owned(),
            company_id: 0x00_1405,
        };
        let flags = UnitFlags { write_cache: false, solid_state: false, ..UnitFlags::DEFAULT };
        LogicalUnit::missing(identity, 512, flags)
    }

    fn reserved() -> UnitRecord {
        let mut record = UnitRecord::default();
        record.reservations.legacy =
            Some(NexusName { initiator: "naa.6001405000000001".into(), relative_port: 1 });
        record
    }

    #[test]
    fn backstores_of_one_serial_number_are_one_unit_and_remember_what_was_kept() {
        let units = Units { records: [("a".to_owned(), reserved())].into(), ..Units::default() };
        let mut memories = Memories::new(units);
        let (one, other) = (memories.remembering(unit("a")), memories.remembering(unit("a")));
        assert!(Arc::ptr_eq(&one.state, &other.state));
        assert_eq!(*one.state.record(), reserved());
        assert_eq!(*memories.remembering(unit("b")).state.record(), UnitRecord::default());
    }

    #[test]
    fn what_no_unit_remembers_any_more_is_forgotten() {
        let units = Units { records: [("a".to_owned(), reserved())].into(), ..Units::default() };
        let mut memories = Memories::new(units);
        let held = memories.remembering(unit("a"));
        memories.forget_unused();
        assert_eq!(*memories.remembering(unit("a")).state.record(), reserved());
        drop(held);
        memories.forget_unused();
        assert_eq!(*memories.remembering(unit("a")).state.record(), UnitRecord::default());
    }

    #[test]
    fn a_medium_goes_out_unless_a_guest_keeps_it_in_or_by_force() {
        let id =
            BackstoreId { kind: model::Kind::Fileio, name: model::BackstoreName::parse("disk0").unwrap() };
        let message = |fault: Fault| fault.message;
        let fixed = Memories::default().remembering(unit("a"));
        assert_eq!(
            move_medium(&id, &fixed, false, false).map_err(message),
            Err("the medium of fileio/disk0 cannot be taken out".to_owned())
        );
        assert_eq!(move_medium(&id, &fixed, true, false).map_err(message), Ok(()), "it is in");

        let mut unit = unit("b");
        unit.flags.removable = true;
        let disk = Memories::default().remembering(unit);
        let nexus = NexusName { initiator: "naa.6001405000000001".into(), relative_port: 1 };
        disk.state.change(|record| record.tray.keep(&nexus, true)).unwrap();
        assert_eq!(
            move_medium(&id, &disk, false, false).map_err(message),
            Err("naa.6001405000000001 keeps the medium of fileio/disk0 in".to_owned())
        );
        assert!(!disk.state.record().tray.ejected);
        move_medium(&id, &disk, false, true).unwrap();
        assert!(disk.state.record().tray.ejected);
        // A guest that finds it out may keep others from moving it, and not the administrator.
        disk.state.change(|record| record.tray.keep(&nexus, true)).unwrap();
        move_medium(&id, &disk, true, false).unwrap();
        let tray = disk.state.record().tray.clone();
        assert!(!tray.ejected && tray.kept_by.contains(&nexus));
        disk.state.change(|record| record.tray.stopped = true).unwrap();
        move_medium(&id, &disk, true, false).unwrap();
        assert!(!disk.state.record().tray.stopped);
    }

    #[test]
    fn luns_from_before_the_loss_of_power_are_told_of_it_and_new_ones_are_not() {
        let mut memories = Memories::new(Units { lost_power: true, ..Units::default() });
        let told = memories.attentions().first().map(|sense| (sense.asc, sense.ascq));
        assert_eq!(told, Some((0x29, 0x00)));
        memories.have_power();
        assert_eq!(memories.attentions().first(), None);
    }
}
