// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A change that waits for the disk with the records of units holds up nobody else.
//!
//! Above: nothing.  Below: `running`.
//! Never here: a real disk.

use super::*;
use crate::store::Units;
use model::{Backstore, BackstoreName, Medium, UnitSerial};
use std::sync::{OnceLock, Weak};
use target::{ModeChanges, NotPersisted, Persist, UnitRecord};

/// A disk that looks whether what runs can be looked at while it writes.
#[derive(Default)]
struct Disk {
    state: OnceLock<Weak<Mutex<State>>>,
    writes: Mutex<Vec<bool>>,
}

impl Persist for Disk {
    fn save(&self, _: &str, _: &UnitRecord) -> Result<(), NotPersisted> {
        let state = self.state.get().and_then(Weak::upgrade).expect("a machine");
        self.writes.lock().unwrap().push(state.try_lock().is_ok());
        Ok(())
    }
}

fn make(machine: &RunningMachine, step: Step) {
    let ready = machine.prepare(&[step], Occasion::Change).map_err(|fault| fault.message).unwrap();
    assert!(machine.commit(ready).is_empty());
}

#[test]
fn an_attribute_that_waits_for_the_records_of_units_holds_up_nobody_who_looks() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::default());
    let units = Units { persist: Arc::clone(&disk) as Arc<dyn Persist>, ..Units::default() };
    let host = Host { runtime_dir: folder.path(), socket_group: None, reactors: 1, units };
    let machine = RunningMachine::start(host).unwrap();
    disk.state.set(Arc::downgrade(&machine.state)).unwrap();
    let (name, serial) = (BackstoreName::parse("r0").unwrap(), UnitSerial::parse("a").unwrap());
    let own = Backstore::new(name, serial, Medium::ramdisk(1 << 20, false).unwrap()).unwrap();
    make(&machine, Step::OpenBackstore(own.clone()));
    let unit = machine.state().unit(&own.id()).unwrap();
    let off = ModeChanges { tas: Some(false), ..ModeChanges::default() };
    unit.state.change(|record| (record.modes, record.saved_modes) = (off, off)).unwrap();

    let mut set = own.clone();
    set.set_attribute("emulate_tas", "0").unwrap();
    make(&machine, Step::UpdateBackstore(set));
    assert_eq!(unit.state.modes(), ModeChanges::default(), "what the administrator sets counts");
    assert_eq!(*disk.writes.lock().unwrap(), [true, true]);
}
