// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mode pages that several nexuses select at the same time.  SPC-4, MODE SELECT (6).
//!
//! Above: nothing.  Below: `target`, through `execute`.
//! Never here: what a cache has to do with it.

mod support;

use scsi::Sense;
use scsi::alua::Wanted;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use support::Outcome::{Check, Done};
use support::{FLAGS, Outcome, Rig};
use target::{Alua, ModeChanges, NexusName, NotPersisted, Persist, Steer, UnitRecord, UnitState};

const CACHING: [u8; 20] = [0x08, 0x12, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0];
const CONTROL: [u8; 12] = [0x0a, 0x0a, 0x02, 0x10, 0, 0x40, 0, 0, 0xff, 0xff, 0, 30];

/// PC of MODE SENSE.
const CURRENT: u8 = 0x00;
const SAVED: u8 = 0xc0;

/// The disk, and the administrator's doors.
#[derive(Default)]
struct Kept {
    record: Mutex<UnitRecord>,
    shown: Mutex<ModeChanges>,
    refuses: AtomicBool,
}

impl Persist for Kept {
    fn save(&self, _: &str, record: &UnitRecord) -> Result<(), NotPersisted> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(NotPersisted);
        }
        *self.record.lock().unwrap() = record.clone();
        Ok(())
    }
}

/// The doors of what is kept.
struct Doors(Arc<Kept>);

impl Steer for Doors {
    fn alter(&self, _: &str, _: &NexusName, _: &[Wanted]) -> Result<(), Sense> {
        unreachable!("no state of access is asked for")
    }
    fn save_modes(&self, _: &str, saved: &ModeChanges) -> Result<(), Sense> {
        *self.0.shown.lock().unwrap() = *saved;
        Ok(())
    }
}

/// Two nexuses of a unit whose modes are kept, and shown at doors where there are any.
fn scene(doors: bool) -> (Rc<Rig>, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let state = UnitState::new("serial", UnitRecord::default(), Arc::clone(&kept) as Arc<dyn Persist>);
    if doors {
        state.set_alua(Alua { steer: Some(Arc::new(Doors(Arc::clone(&kept)))), ..Alua::default() });
    }
    (Rc::new(Rig::of(2, FLAGS, state)), kept)
}

fn select(rig: &Rig, nexus: usize, save: bool, pages: &[&[u8]]) -> Outcome {
    let list = [&[0; 4][..], &pages.concat()].concat();
    let length = u8::try_from(list.len()).unwrap();
    rig.send_with(nexus, 0, &[0x15, 0x10 | u8::from(save), 0, 0, length, 0], &list).0
}

/// Whether WCE is 1, and TAS.
fn write_cache_and_tas(rig: &Rig, control: u8) -> (bool, bool) {
    rig.attentions(support::OBSERVER).clear(Sense::MODE_PARAMETERS_CHANGED);
    let byte = |page: u8, at: usize| {
        let (sensed, data) = rig.send_to(support::OBSERVER, 0, &[0x1a, 0x08, control | page, 0, 0xfc, 0]);
        assert_eq!(sensed, Done);
        data[4 + at]
    };
    (byte(0x08, 2) & 0x04 != 0, byte(0x0a, 5) & 0x40 != 0)
}

/// The Caching page without WCE, and the Control page without TAS.
fn off() -> ([u8; 20], [u8; 12]) {
    let (mut caching, mut control) = (CACHING, CONTROL);
    (caching[2], control[5]) = (0, 0);
    (caching, control)
}

/// What another nexus is answered while the next MODE SELECT waits for whoever keeps it.
fn meanwhile(rig: &Rc<Rig>, save: bool, page: Vec<u8>) {
    let same = Rc::clone(rig);
    let selects = move || assert_eq!(select(&same, 2, save, &[&page]), Done);
    *rig.before_ask.borrow_mut() = Some(Box::new(selects));
}

/// What is kept: WCE and TAS in force, WCE and TAS saved, as far as they differ from the administrator's.
fn on_disk(kept: &Kept) -> [Option<bool>; 4] {
    let record = kept.record.lock().unwrap();
    [record.modes.write_cache, record.modes.tas, record.saved_modes.write_cache, record.saved_modes.tas]
}

#[test]
fn what_another_nexus_selected_while_a_mode_select_waits_is_not_lost() {
    let (caching, control) = off();
    for (mine_saves, others_saves) in [(false, false), (true, false), (false, true), (true, true)] {
        for doors in [false, true] {
            let (rig, kept) = scene(doors);
            meanwhile(&rig, others_saves, control.to_vec());
            assert_eq!(select(&rig, 1, mine_saves, &[&caching]), Done);
            assert_eq!(write_cache_and_tas(&rig, CURRENT), (false, false));
            // SP = 1 saves all that is in force, and not the pages that were sent alone.
            let (cache, tas) = (mine_saves.then_some(false), (mine_saves || others_saves).then_some(false));
            let expected = [Some(false), Some(false), cache, tas];
            assert_eq!(on_disk(&kept), expected, "{mine_saves} {others_saves} {doors}");
            assert_eq!(write_cache_and_tas(&rig, SAVED), (cache.is_none(), tas.is_none()));
            if doors {
                let shown = *kept.shown.lock().unwrap();
                assert_eq!((shown.write_cache, shown.tas), (cache, tas), "{mine_saves} {others_saves}");
            }
        }
    }
}

#[test]
fn of_two_that_select_one_page_the_one_that_is_kept_last_has_all_of_it() {
    let (rig, kept) = scene(true);
    let mut interlock = CONTROL;
    interlock[4] = 0x20;
    meanwhile(&rig, true, off().1.to_vec());
    assert_eq!(select(&rig, 1, true, &[&interlock]), Done);
    assert_eq!(write_cache_and_tas(&rig, CURRENT), (true, true));
    let record = kept.record.lock().unwrap().clone();
    assert_eq!((record.modes.tas, record.modes.word()), (None, 0x0600));
    assert_eq!((record.saved_modes, *kept.shown.lock().unwrap()), (record.modes, record.modes));
}

#[test]
fn what_cannot_be_kept_is_not_shown_as_saved_either() {
    let (rig, kept) = scene(true);
    let (caching, control) = off();
    assert_eq!(select(&rig, 1, true, &[&control]), Done);
    kept.refuses.store(true, Ordering::SeqCst);
    assert_eq!(select(&rig, 1, true, &[&caching]), Check(0x04, 0x44, 0x00));
    let shown = *kept.shown.lock().unwrap();
    assert_eq!((shown.write_cache, shown.tas), (None, Some(false)));
    assert_eq!(write_cache_and_tas(&rig, SAVED), (true, false));
}
