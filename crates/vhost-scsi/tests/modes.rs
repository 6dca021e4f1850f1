// SPDX-License-Identifier: Apache-2.0 OR MIT
//! MODE SELECT, and what follows from it.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`, backstores that tell what they are asked for.
//! Never here: the bytes of every page; see `scsi`.

mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{FileOptions, FileStore, IoKind, NewFile};
use initiator::{Command, Guest, LunAddress, Options, commands};
use scsi::Lun;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use support::{FLAGS, Rig, Unit, nexus};
use target::{
    Attentions, Group, LogicalUnit, LunMap, Mapping, Nexus, NotPersisted, Persist, UnitFlags, UnitRecord,
    UnitState,
};

const CACHING: [u8; 20] = [0x08, 0x12, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0];
const CONTROL: [u8; 12] = [0x0a, 0x0a, 0x02, 0x10, 0, 0x40, 0, 0, 0xff, 0xff, 0, 30];

/// Keeps records, or refuses to.
#[derive(Default)]
struct Keeper {
    refuses: AtomicBool,
    kept: Mutex<Option<UnitRecord>>,
}

impl Persist for Keeper {
    fn save(&self, _: &str, record: &UnitRecord) -> Result<(), NotPersisted> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(NotPersisted);
        }
        *self.kept.lock().unwrap() = Some(record.clone());
        Ok(())
    }
}

/// One unit with a write cache behind two targets, 1 and 2, of one guest.
struct Scene {
    rig: Rig,
    guest: Guest,
    keeper: Arc<Keeper>,
    state: Arc<UnitState>,
    asked: Arc<Mutex<Vec<IoKind>>>,
    _directory: tempfile::TempDir,
}

fn unit_of(path: &std::path::Path, asked: &Arc<Mutex<Vec<IoKind>>>) -> Unit {
    let create = Some(NewFile { bytes: 1 << 20, sparse: true });
    let file = FileStore::open(&FileOptions { path: path.into(), create, write_back: true }).unwrap();
    let asked = Arc::clone(asked);
    Unit::new(Judged::new(file, move |kind, _| {
        asked.lock().unwrap().push(kind);
        Fate::Pass
    }))
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let asked = Arc::default();
        let unit = unit_of(&directory.path().join("disk"), &asked);
        let keeper = Arc::new(Keeper::default());
        let state = UnitState::new("serial", UnitRecord::default(), Arc::clone(&keeper) as Arc<dyn Persist>);
        let whole = LogicalUnit::new(
            unit.store.clone(),
            unit.logical_unit("disk").identity.clone(),
            512,
            UnitFlags { write_cache: true, ..FLAGS },
        );
        let whole = Arc::new(whole.remembering(Arc::clone(&state)));
        let mut map = LunMap::default();
        for (tag, nexus) in
            [(1, nexus()), (2, Nexus::new("naa.6001405000000002", "naa.5001405000000001", 2, 2))]
        {
            let mapping = Mapping::new(Arc::clone(&whole), false).telling(Arc::new(Attentions::default()));
            map.insert(tag, Group::new(nexus, [(Lun::default(), mapping)]));
        }
        let rig = Rig::with_map(map);
        let guest = rig.boot(Options::default());
        Self { rig, guest, keeper, state, asked, _directory: directory }
    }

    fn select(&mut self, save: bool, page: &[u8]) -> Option<[u8; 3]> {
        let list = [&[0, 0, 0, 0], page].concat();
        let length = u8::try_from(list.len()).unwrap();
        let cdb = [0x15, 0x10 | u8::from(save), 0, 0, length, 0];
        let command = Command { data_out: list, ..Command::new(at(1), &cdb) };
        let answer = self.guest.execute(&command).unwrap();
        assert!(answer.is_good() || answer.check_condition().is_some(), "{answer:?}");
        answer.check_condition()
    }

    /// Byte 2 of a page, with PC.
    fn page(&mut self, target: u8, control: u8, page: u8) -> Vec<u8> {
        let cdb = [0x1a, 0x08, control << 6 | page, 0, 0xfc, 0];
        let command = Command { data_in_bytes: 0xfc, ..Command::new(at(target), &cdb) };
        let answer = self.guest.execute(&command).unwrap().good("MODE SENSE").unwrap();
        answer.data_in[4..].to_vec()
    }

    fn write(&mut self) -> Vec<IoKind> {
        self.asked.lock().unwrap().clear();
        assert!(self.guest.execute(&commands::write_10(at(1), 0, 1, &[7; 512])).unwrap().is_good());
        self.asked.lock().unwrap().clone()
    }

    fn sense(&mut self, target: u8) -> Option<[u8; 3]> {
        self.guest.execute(&commands::test_unit_ready(at(target))).unwrap().check_condition()
    }
}

fn at(target: u8) -> LunAddress {
    LunAddress::unit(target, 0)
}

#[test]
fn a_cache_that_is_switched_off_is_emptied_and_every_write_is_durable_then() {
    let mut scene = Scene::new();
    assert_eq!(scene.write(), [IoKind::Write { durable: false }]);
    let mut off = CACHING;
    off[2] = 0;
    scene.asked.lock().unwrap().clear();
    assert_eq!(scene.select(false, &off), None);
    assert_eq!(*scene.asked.lock().unwrap(), [IoKind::Flush]);
    assert_eq!(scene.page(1, 0, 0x08)[2], 0);
    assert_eq!(scene.write(), [IoKind::Write { durable: true }]);
    assert_eq!(scene.select(false, &CACHING), None);
    assert_eq!(scene.write(), [IoKind::Write { durable: false }]);
}

#[test]
fn others_are_told_that_mode_parameters_have_changed_and_who_changed_them_is_not() {
    let mut scene = Scene::new();
    let mut off = CACHING;
    off[2] = 0;
    assert_eq!(scene.select(false, &off), None);
    assert_eq!(scene.sense(1), None);
    assert_eq!(scene.sense(2), Some([0x06, 0x2a, 0x01]));
    // What is so already is no change.
    assert_eq!(scene.select(false, &off), None);
    assert_eq!(scene.sense(2), None);
}

#[test]
fn saved_pages_are_kept_before_the_answer_and_come_back_with_a_reset() {
    let mut scene = Scene::new();
    let (mut once, mut saved) = (CACHING, CONTROL);
    once[2] = 0;
    saved[5] = 0;
    assert_eq!(scene.select(true, &saved), None);
    assert_eq!(scene.keeper.kept.lock().unwrap().as_ref().unwrap().saved_modes.tas, Some(false));
    assert_eq!(scene.select(false, &once), None);
    for (control, cache, tas) in [(0, 0, 0), (2, 0x04, 0x40), (3, 0x04, 0)] {
        assert_eq!((scene.page(1, control, 0x08)[2], scene.page(1, control, 0x0a)[5]), (cache, tas));
    }
    scene.state.reset().unwrap();
    assert_eq!(scene.sense(1), Some([0x06, 0x29, 0x03]));
    assert_eq!((scene.page(1, 0, 0x08)[2], scene.page(1, 0, 0x0a)[5]), (0x04, 0));
    // The administrator's word comes later, and counts.
    scene.state.forget_modes(|modes| modes.tas = None).unwrap();
    assert_eq!((scene.page(1, 0, 0x0a)[5], scene.page(1, 3, 0x0a)[5]), (0x40, 0x40));
}

#[test]
fn what_cannot_be_kept_is_not_in_force() {
    let mut scene = Scene::new();
    scene.keeper.refuses.store(true, Ordering::SeqCst);
    let mut off = CACHING;
    off[2] = 0;
    assert_eq!(scene.select(true, &off), Some([0x04, 0x44, 0x00]));
    assert_eq!(scene.page(1, 0, 0x08)[2], 0x04);
    assert_eq!(scene.sense(2), None);
    assert_eq!(scene.write(), [IoKind::Write { durable: false }]);
}

#[test]
fn sense_comes_in_the_format_that_d_sense_asks_for() {
    let mut scene = Scene::new();
    let mut descriptor = CONTROL;
    descriptor[2] = 0x06;
    assert_eq!(scene.select(false, &descriptor), None);
    let beyond = scene.guest.execute(&commands::read_10(at(1), 0x00ff_ffff, 1, 512)).unwrap();
    assert_eq!(beyond.sense[..4], [0x72, 0x05, 0x21, 0x00]);
    assert_eq!(scene.select(false, &CONTROL), None);
    let beyond = scene.guest.execute(&commands::read_10(at(1), 0x00ff_ffff, 1, 512)).unwrap();
    assert_eq!((beyond.sense[0], beyond.sense[2]), (0x70, 0x05));
}

#[test]
fn a_disk_of_more_blocks_than_fixed_sense_can_name_speaks_in_descriptors() {
    let directory = tempfile::tempdir().unwrap();
    // The last block is FFFFFFFFh, and the one behind it.
    for (bytes, first_byte, control) in [(512 << 32, 0x70, 0x02), ((512 << 32) + 512, 0x72, 0x06)] {
        let unit = Unit::file(&directory.path().join(format!("disk{control}")), bytes, true);
        let rig = Rig::new(&[unit]);
        let mut guest = rig.boot(Options::default());
        let cdb = [0x88, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
        let beyond = Command { data_in_bytes: 512, ..Command::new(at(1), &cdb) };
        assert_eq!(guest.execute(&beyond).unwrap().sense[0], first_byte, "{bytes} bytes");
        for default in [0x0a, 0x80 | 0x0a] {
            let sense =
                Command { data_in_bytes: 0xfc, ..Command::new(at(1), &[0x1a, 0x08, default, 0, 0xfc, 0]) };
            assert_eq!(support::good(&mut guest, &sense).data_in[4 + 2], control, "{bytes} bytes");
        }
    }
}

#[test]
fn a_list_that_asks_for_the_impossible_changes_nothing() {
    let mut scene = Scene::new();
    let mut rcd = CACHING;
    rcd[2] = 0x05;
    assert_eq!(scene.select(false, &rcd), Some([0x05, 0x26, 0x00]));
    assert_eq!(scene.select(false, &CACHING[..10]), Some([0x05, 0x1a, 0x00]));
    assert_eq!(scene.page(1, 0, 0x08)[2], 0x04);
    let _ = &scene.rig;
}

#[test]
fn what_was_asked_for_is_counted_until_log_select_forgets_it() {
    let mut scene = Scene::new();
    let _ = scene.write();
    let _ = scene.write();
    assert!(scene.guest.execute(&commands::read_10(at(1), 0, 4, 2048)).unwrap().is_good());
    let statistics = |scene: &mut Scene| {
        let cdb = [0x4d, 0, 0x40 | 0x19, 0, 0, 0, 0, 0, 0xff, 0];
        let command = Command { data_in_bytes: 0xff, ..Command::new(at(1), &cdb) };
        let page = scene.guest.execute(&command).unwrap().good("LOG SENSE").unwrap().data_in;
        // Commands that read, that wrote; blocks received, transmitted.
        [0, 1, 2, 3].map(|field| page[8 + 8 * field + 7])
    };
    assert_eq!(statistics(&mut scene), [1, 2, 2, 4]);
    let forget = Command::new(at(1), &[0x4c, 0x02, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(scene.guest.execute(&forget).unwrap().is_good());
    assert_eq!(statistics(&mut scene), [0, 0, 0, 0]);
    assert_eq!(scene.sense(1), None);
    assert_eq!(scene.sense(2), Some([0x06, 0x2a, 0x02]));
    let self_test = Command::new(at(1), &[0x1d, 0x04, 0, 0, 0, 0]);
    assert!(scene.guest.execute(&self_test).unwrap().is_good());
}
