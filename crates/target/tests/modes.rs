// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mode pages that several nexuses select at the same time, lists that are wrong, and allocation lengths of any size.  SPC-4.
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
fn what_is_saved_as_the_administrator_has_it_is_in_force_though_he_set_it_before() {
    let (rig, kept) = scene(true);
    // He sets emulate_tas to what it is: nothing that an initiator saved of it counts any more.
    rig.state.forget_modes(|modes| modes.tas = None).unwrap();
    assert_eq!(select(&rig, 1, false, &[&off().1]), Done);
    assert_eq!(write_cache_and_tas(&rig, CURRENT), (true, false));
    assert_eq!(select(&rig, 1, true, &[&CONTROL]), Done);
    assert_eq!(write_cache_and_tas(&rig, CURRENT), (true, true));
    assert_eq!(on_disk(&kept), [None; 4]);
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

/// What is answered with so many bytes, by all commands that look around: the CDB, and where its allocation length is, in
/// which bytes.
const LOOKS: &[(&[u8], std::ops::Range<usize>)] = &[
    (&[0x03, 0, 0, 0, 0, 0], 4..5),    // REQUEST SENSE
    (&[0x03, 1, 0, 0, 0, 0], 4..5),    // in descriptor format
    (&[0x12, 0, 0, 0, 0, 0], 3..5),    // INQUIRY
    (&[0x12, 1, 0x00, 0, 0, 0], 3..5), // and its pages
    (&[0x12, 1, 0x80, 0, 0, 0], 3..5),
    (&[0x12, 1, 0x83, 0, 0, 0], 3..5),
    (&[0x12, 1, 0x86, 0, 0, 0], 3..5),
    (&[0x12, 1, 0xb0, 0, 0, 0], 3..5),
    (&[0x12, 1, 0xb1, 0, 0, 0], 3..5),
    (&[0x12, 1, 0xb2, 0, 0, 0], 3..5),
    (&[0x1a, 0, 0x3f, 0xff, 0, 0], 4..5),             // MODE SENSE (6)
    (&[0x5a, 0x10, 0x7f, 0, 0, 0, 0, 0, 0, 0], 7..9), // MODE SENSE (10), what can be changed
    (&[0x5a, 0x08, 0xca, 0, 0, 0, 0, 0, 0, 0], 7..9), // saved
    (&[0x4d, 0, 0x40, 0xff, 0, 0, 0, 0, 0, 0], 7..9), // LOG SENSE
    (&[0x4d, 0, 0x59, 0, 0, 0, 0, 0, 0, 0], 7..9),    // statistics
    (&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 10..14), // READ CAPACITY (16)
    (&[0xa3, 0x0c, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0], 6..10), // REPORT SUPPORTED OPERATION CODES, all
    (&[0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0], 6..10), // with time-outs
    (&[0xa3, 0x0c, 0x81, 0x28, 0, 0, 0, 0, 0, 0, 0, 0], 6..10), // one
    (&[0xa3, 0x0c, 0x03, 0x9e, 0, 0x10, 0, 0, 0, 0, 0, 0], 6..10),
];

#[test]
fn an_allocation_length_cuts_an_answer_and_changes_nothing_in_it() {
    let (rig, _) = scene(false);
    for (cdb, field) in LOOKS {
        let asked = |length: usize| {
            let mut cdb = cdb.to_vec();
            let bytes = length.to_be_bytes();
            cdb[field.clone()].copy_from_slice(&bytes[bytes.len() - field.len()..]);
            let (outcome, data) = rig.send_to(1, 0, &cdb);
            assert_eq!(outcome, Done, "{cdb:02x?}");
            data
        };
        let whole = asked(if field.len() == 1 { 0xff } else { 4096 });
        assert!(whole.len() >= 4, "{cdb:02x?}");
        for length in 0..=whole.len() + 1 {
            assert!(asked(length) == whole[..length.min(whole.len())], "{cdb:02x?} {length}");
        }
    }
}

#[test]
fn a_list_of_which_any_byte_says_something_else_is_taken_whole_or_refused_whole() {
    let (caching, control) = off();
    let descriptor = [0, 0, 0, 16, 0, 0, 2, 0];
    let whole = [&[0, 0, 0, 8][..], &descriptor, &caching, &control].concat();
    let ten = [&[0, 0, 0, 0, 0, 0, 0, 8][..], &whole[4..]].concat();
    let (rig, _) = scene(false);
    for (code, whole) in [(0x15, &whole), (0x55, &ten)] {
        let send = |list: &[u8]| {
            let length = u8::try_from(list.len()).unwrap();
            let cdb = if code == 0x15 {
                vec![0x15, 0x10, 0, 0, length, 0]
            } else {
                vec![0x55, 0x10, 0, 0, 0, 0, 0, 0, length, 0]
            };
            rig.state.change(|record| record.modes = ModeChanges::default()).unwrap();
            (rig.send_with(1, 0, &cdb, list).0, rig.state.modes())
        };
        let (done, all) = send(whole);
        assert_eq!((done, all.write_cache, all.tas), (Done, Some(false), Some(false)));
        let lists = (0..whole.len()).flat_map(|at| {
            (0..=u8::MAX).map(move |value| [&whole[..at], &[value], &whole[at + 1..]].concat())
        });
        for list in lists.chain((1..whole.len()).map(|length| whole[..length].to_vec())) {
            match send(&list) {
                (Done, _) => {}
                (Check(0x05, 0x1a | 0x26, 0x00), modes) => assert_eq!(modes.word(), 0, "{list:02x?}"),
                other => panic!("{list:02x?}: {other:?}"),
            }
        }
        // Whoever cuts it between two pages sends one.
        let (done, first) = send(&whole[..whole.len() - 12]);
        assert_eq!((done, first.write_cache, first.tas), (Done, Some(false), None));
    }
}
