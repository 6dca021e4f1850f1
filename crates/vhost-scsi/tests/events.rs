// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a guest is told when its units come, go and change.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: what a guest makes of it; see the guest stories.

mod support;

use initiator::event::Event;
use initiator::{Guest, LunAddress, Options, commands};
use scsi::inquiry::Identity;
use scsi::referrals::{Referrals, UserDataSegment};
use scsi::{Lba, Lun};
use std::sync::Arc;
use std::time::Duration;
use support::{FLAGS, Rig, Unit, nexus};
use target::{Attentions, Group, LogicalUnit, LunMap, Mapping, MediaWishes, Membership, UnitFlags};

/// A guest that waits for an event which does not come has waited for this long.
const NOTHING: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);

const TRANSPORT_RESET: u32 = 1;
const PARAM_CHANGE: u32 = 3;
const RESCAN: u32 = 1;
const REMOVED: u32 = 2;
const CAPACITY_CHANGED: u32 = 0x092a;
const MODE_CHANGED: u32 = 0x012a;
const INQUIRY_CHANGED: u32 = 0x033f;

/// A unit with a serial number of its own.
fn unit(unit: &Unit, serial: u32, flags: UnitFlags) -> Arc<LogicalUnit> {
    let identity = Identity {
        vendor: Identity::ascii_field("LIO-ORG"),
        product: Identity::ascii_field("disk"),
        revision: Identity::ascii_field("4.0"),
        unit_serial: format!("serial-{serial}"),
        company_id: 0x00_1405,
    };
    Arc::new(LogicalUnit::new(unit.store.clone(), identity, 512, flags))
}

fn show(rig: &Rig, units: &[(u16, &Arc<LogicalUnit>, bool)]) {
    rig.endpoint.port().change_map().publish(map(units));
}

fn map(units: &[(u16, &Arc<LogicalUnit>, bool)]) -> LunMap {
    let mappings = units.iter().map(|(lun, unit, write_protect)| {
        (Lun::new(*lun).unwrap(), Mapping::new(Arc::clone(unit), *write_protect))
    });
    let mut map = LunMap::default();
    map.insert(1, Group::new(nexus(), mappings));
    map
}

fn next(guest: &mut Guest) -> (u32, LunAddress, u32) {
    let event = guest.events().next_event(PATIENCE).unwrap().expect("an event");
    assert!(!event.missed, "{event:?}");
    assert_eq!(event.used_len, 16);
    (event.event, event.address, event.reason)
}

fn must_be_silent(guest: &mut Guest) {
    assert_eq!(guest.events().next_event(NOTHING).unwrap(), None);
}

fn missed(guest: &mut Guest) -> Event {
    let event = guest.events().next_event(PATIENCE).unwrap().expect("an event");
    assert!(event.missed, "{event:?}");
    event
}

#[test]
fn units_that_come_go_and_change_are_told_of_one_by_one() {
    let (small, large) = (Unit::ramdisk(1 << 20), Unit::ramdisk(2 << 20));
    let first = unit(&small, 1, FLAGS);
    let rig = Rig::with_map(map(&[(0, &first, false)]));
    let mut guest = rig.boot(Options::default());
    must_be_silent(&mut guest);

    let second = unit(&small, 2, FLAGS);
    show(&rig, &[(0, &first, false), (300, &second, false)]);
    assert_eq!(next(&mut guest), (TRANSPORT_RESET, LunAddress([1, 1, 0x41, 0x2c, 0, 0, 0, 0]), RESCAN));
    let lun_0 = LunAddress([1, 1, 0, 0, 0, 0, 0, 0]);
    let grown = unit(&large, 1, FLAGS);
    show(&rig, &[(0, &grown, false), (300, &second, false)]);
    assert_eq!(next(&mut guest), (PARAM_CHANGE, lun_0, CAPACITY_CHANGED));
    let cached = unit(&large, 1, UnitFlags { write_cache: true, ..FLAGS });
    show(&rig, &[(0, &cached, false), (300, &second, false)]);
    assert_eq!(next(&mut guest), (PARAM_CHANGE, lun_0, MODE_CHANGED));
    // V_SUP.
    assert_eq!(next(&mut guest), (PARAM_CHANGE, lun_0, INQUIRY_CHANGED));
    show(&rig, &[(0, &cached, true), (300, &second, false)]);
    assert_eq!(next(&mut guest), (PARAM_CHANGE, lun_0, MODE_CHANGED));
    // Another unit in its place is not the one that was there.
    show(&rig, &[(0, &second, false)]);
    assert_eq!(next(&mut guest), (TRANSPORT_RESET, lun_0, REMOVED));
    assert_eq!(next(&mut guest), (TRANSPORT_RESET, LunAddress([1, 1, 0x41, 0x2c, 0, 0, 0, 0]), REMOVED));
    assert_eq!(next(&mut guest), (TRANSPORT_RESET, lun_0, RESCAN));
    show(&rig, &[(0, &second, false)]);
    must_be_silent(&mut guest);
}

#[test]
fn a_guest_hears_only_what_it_negotiated() {
    const HOTPLUG: u64 = 1 << 1;
    const CHANGE: u64 = 1 << 2;
    let (small, large) = (Unit::ramdisk(1 << 20), Unit::ramdisk(2 << 20));
    let (first, grown) = (unit(&small, 1, FLAGS), unit(&large, 1, FLAGS));
    let second = unit(&small, 2, FLAGS);
    for (refused, heard) in [(HOTPLUG, PARAM_CHANGE), (CHANGE, TRANSPORT_RESET)] {
        let rig = Rig::with_map(map(&[(0, &first, false)]));
        let defaults = Options::default();
        let features = defaults.driver_features & !refused;
        let options = defaults.driver_features(features);
        let mut guest = rig.boot(options);
        if refused == HOTPLUG {
            // Linux posts no buffers then; others may.
            guest.events().post(8, 16).unwrap();
        }
        show(&rig, &[(0, &grown, false), (1, &second, false)]);
        assert_eq!(next(&mut guest).0, heard);
        must_be_silent(&mut guest);
    }
}

#[test]
fn what_finds_no_buffer_waits_and_what_is_too_much_is_missed() {
    let small = Unit::ramdisk(1 << 20);
    let units: Vec<_> = (0..=130).map(|serial| unit(&small, serial, FLAGS)).collect();
    let rig = Rig::with_map(map(&[]));
    let mut guest = rig.boot(Options { event_buffers: 0, ..Options::default() });
    guest.events().repost = false;
    let all =
        |count: u16| -> Vec<_> { (0..count).zip(&units).map(|(lun, unit)| (lun, unit, false)).collect() };
    show(&rig, &all(2));
    must_be_silent(&mut guest);
    guest.events().post(3, 16).unwrap();
    for lun in [0, 1] {
        assert_eq!(next(&mut guest), (TRANSPORT_RESET, LunAddress([1, 1, 0, lun, 0, 0, 0, 0]), RESCAN));
    }
    must_be_silent(&mut guest);
    show(&rig, &[]);
    assert_eq!(next(&mut guest).2, REMOVED);
    show(&rig, &all(130));
    // One is left of the buffers that went, 128 of what came since: that is all that is kept.
    guest.events().post(1, 16).unwrap();
    let event = missed(&mut guest);
    assert_eq!((event.event, event.reason), (TRANSPORT_RESET, REMOVED));
    guest.events().post(100, 16).unwrap();
    assert_eq!(next(&mut guest), (TRANSPORT_RESET, LunAddress([1, 1, 0, 0, 0, 0, 0, 0]), RESCAN));
}

#[test]
fn a_buffer_that_is_too_short_says_that_something_was_missed() {
    let small = Unit::ramdisk(1 << 20);
    let (first, second) = (unit(&small, 1, FLAGS), unit(&small, 2, FLAGS));
    let rig = Rig::with_map(map(&[]));
    let mut guest = rig.boot(Options { event_buffers: 0, ..Options::default() });
    let events = guest.events();
    events.repost = false;
    events.post(1, 15).unwrap();
    events.post(1, 3).unwrap();
    events.post(1, 16).unwrap();
    show(&rig, &[(0, &first, false), (1, &second, false)]);
    let mut returned =
        || guest.events().exchange.wait_any(&initiator::deadline::Deadline::after(PATIENCE)).unwrap();
    let short = returned();
    assert_eq!(
        (short.used_len, &short.written[..15]),
        (15, &[0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..])
    );
    assert_eq!(returned().used_len, 0);
    assert_eq!(&returned().written[..4], [0, 0, 0, 0x80]);
}

#[test]
fn a_guest_that_was_away_is_told_when_it_is_back_and_one_that_boots_is_not() {
    let small = Unit::ramdisk(1 << 20);
    let (first, second) = (unit(&small, 1, FLAGS), unit(&small, 2, FLAGS));
    let rig = Rig::with_map(map(&[(0, &first, false)]));
    show(&rig, &[(0, &first, false), (1, &second, false)]);
    let mut guest = rig.boot(Options::default());
    must_be_silent(&mut guest);
    guest.stop().unwrap();
    show(&rig, &[(0, &first, false)]);
    guest.start().unwrap();
    assert_eq!(next(&mut guest), (TRANSPORT_RESET, LunAddress([1, 1, 0, 1, 0, 0, 0, 0]), REMOVED));
    must_be_silent(&mut guest);
}

/// The sense of a command to a LUN of target 1, if it has any.
fn sense(guest: &mut Guest, lun: u16) -> Option<[u8; 3]> {
    guest.execute(&commands::test_unit_ready(LunAddress::unit(1, lun))).unwrap().check_condition()
}

#[test]
fn every_event_has_its_unit_attention_and_a_guest_that_boots_sees_none() {
    let (small, large) = (Unit::ramdisk(1 << 20), Unit::ramdisk(2 << 20));
    let (first, second, grown) = (unit(&small, 1, FLAGS), unit(&small, 2, FLAGS), unit(&large, 1, FLAGS));
    let attentions: [Arc<Attentions>; 2] = Default::default();
    let map = |units: &[&Arc<LogicalUnit>]| {
        let mappings = units.iter().enumerate().map(|(lun, unit)| {
            let mapping = Mapping::new(Arc::clone(unit), false).telling(Arc::clone(&attentions[lun]));
            (Lun::new(u16::try_from(lun).unwrap()).unwrap(), mapping)
        });
        let mut map = LunMap::default();
        map.insert(1, Group::new(nexus(), mappings));
        map
    };
    let rig = Rig::with_map(map(&[&first]));
    let show = |units: &[&Arc<LogicalUnit>]| {
        rig.endpoint.port().change_map().publish(map(units));
    };
    show(&[&grown, &second]);
    show(&[&first]);
    let mut guest = rig.boot(Options::default());
    assert_eq!(sense(&mut guest, 0), None);

    show(&[&first, &second]);
    // REPORTED LUNS DATA HAS CHANGED, at the one that was there before.
    assert_eq!(sense(&mut guest, 1), None);
    assert_eq!(sense(&mut guest, 0), Some([0x06, 0x3f, 0x0e]));
    assert_eq!(sense(&mut guest, 0), None);
    show(&[&grown, &second]);
    // CAPACITY DATA HAS CHANGED, at the one that grew.
    assert_eq!(sense(&mut guest, 1), None);
    assert_eq!(sense(&mut guest, 0), Some([0x06, 0x2a, 0x09]));
    assert_eq!(guest.capacity(LunAddress::unit(1, 0)).unwrap(), (4096, 512));
    let cached = unit(&large, 1, UnitFlags { write_cache: true, ..FLAGS });
    show(&[&cached]);
    // MODE PARAMETERS and INQUIRY DATA CHANGED, and LUN 1 is gone.
    assert_eq!(sense(&mut guest, 0), Some([0x06, 0x2a, 0x01]));
    assert_eq!(sense(&mut guest, 0), Some([0x06, 0x3f, 0x0e]));
    assert_eq!(sense(&mut guest, 0), Some([0x06, 0x3f, 0x03]));
    assert_eq!(sense(&mut guest, 0), None);
    assert_eq!(sense(&mut guest, 1), Some([0x05, 0x25, 0x00]));
}

/// What a unit has to say until it has nothing more.
fn all_that_is_told(guest: &mut Guest) -> Vec<[u8; 3]> {
    std::iter::from_fn(|| sense(guest, 0)).take(8).collect()
}

#[test]
fn a_disk_that_grows_out_of_fixed_sense_data_changes_the_mode_parameters_and_back() {
    let disk = Unit::ramdisk(1 << 20);
    let (small, mut large) = (unit(&disk, 1, FLAGS), Arc::into_inner(unit(&disk, 1, FLAGS)).unwrap());
    large.geometry.blocks = scsi::BlockCount((1 << 32) + 1);
    let large = Arc::new(large);
    let attentions = Arc::<Attentions>::default();
    let map = |unit: &Arc<LogicalUnit>| {
        let mapping = Mapping::new(Arc::clone(unit), false).telling(Arc::clone(&attentions));
        let mut map = LunMap::default();
        map.insert(1, Group::new(nexus(), [(Lun::default(), mapping)]));
        map
    };
    let rig = Rig::with_map(map(&small));
    let mut guest = rig.boot(Options::default());
    let _ = all_that_is_told(&mut guest);
    // D_SENSE of the Control mode page.
    for unit in [&large, &small] {
        rig.endpoint.port().change_map().publish(map(unit));
        let told = all_that_is_told(&mut guest);
        assert_eq!(told, [[0x06, 0x2a, 0x09], [0x06, 0x2a, 0x01]]);
    }
}

#[test]
fn another_answer_to_inquiry_or_read_capacity_is_told_and_the_same_is_not() {
    const INQUIRY_DATA: [u8; 3] = [0x06, 0x3f, 0x03];
    const CAPACITY_DATA: [u8; 3] = [0x06, 0x2a, 0x09];
    const MODE_PARAMETERS: [u8; 3] = [0x06, 0x2a, 0x01];
    let disk = Unit::ramdisk(1 << 20);
    let wishing = |wishes: MediaWishes, flags| {
        let unit = Arc::into_inner(unit(&disk, 1, flags)).unwrap();
        Arc::new(unit.with_media(&wishes))
    };
    let all = MediaWishes::default();
    let both = || Membership { implicit: true, explicit: true, ..Membership::default() };
    let attentions = Arc::<Attentions>::default();
    let map = |wishes: MediaWishes, flags, membership: Membership| {
        let mapping = Mapping::new(wishing(wishes, flags), false).telling(Arc::clone(&attentions));
        let mut map = LunMap::default();
        map.insert(1, Group::new(nexus(), [(Lun::default(), mapping.in_group(membership))]));
        map
    };
    let rig = Rig::with_map(map(all, FLAGS, both()));
    let mut guest = rig.boot(Options::default());
    let mut check = |what: &str, before: LunMap, after: LunMap, told: &[[u8; 3]]| {
        rig.endpoint.port().change_map().publish(before);
        let _ = all_that_is_told(&mut guest);
        rig.endpoint.port().change_map().publish(after);
        assert_eq!(all_that_is_told(&mut guest), told, "{what}");
    };
    for (what, wishes, told) in [
        ("3PC", MediaWishes { third_party_copy: Some(false), ..all }, &[INQUIRY_DATA][..]),
        ("COMPARE AND WRITE", MediaWishes { compare_and_write: Some(false), ..all }, &[INQUIRY_DATA]),
        ("WRITE SAME", MediaWishes { write_same_blocks_max: 8, ..all }, &[INQUIRY_DATA]),
        ("LBPU alone", MediaWishes { unmap: Some(false), ..all }, &[INQUIRY_DATA]),
        // Which READ CAPACITY (16) has as well.
        ("LBPRZ", MediaWishes { unmapped_reads_zero: Some(false), ..all }, &[CAPACITY_DATA, INQUIRY_DATA]),
    ] {
        check(what, map(all, FLAGS, both()), map(wishes, FLAGS, both()), told);
    }
    for (what, flags, told) in [
        ("RMB", UnitFlags { removable: !FLAGS.removable, ..FLAGS }, &[INQUIRY_DATA][..]),
        ("rotation", UnitFlags { solid_state: !FLAGS.solid_state, ..FLAGS }, &[INQUIRY_DATA]),
        ("V_SUP", UnitFlags { write_cache: !FLAGS.write_cache, ..FLAGS }, &[MODE_PARAMETERS, INQUIRY_DATA]),
        ("TAS", UnitFlags { tas: !FLAGS.tas, ..FLAGS }, &[MODE_PARAMETERS]),
    ] {
        check(what, map(all, FLAGS, both()), map(all, flags, both()), told);
    }
    let referrals = |segment_blocks, last| {
        let segments = vec![UserDataSegment { first: Lba(0), last: Lba(last), states: vec![] }];
        let map = Referrals { segment_blocks, multiplier: 0, segments };
        Membership { referrals: Some(Arc::new(map)), ..both() }
    };
    let delay = Duration::from_millis(1);
    for (what, before, after, told) in [
        ("TPGS bit 1", both(), Membership { explicit: false, ..both() }, &[INQUIRY_DATA][..]),
        ("TPGS bit 0", both(), Membership { implicit: false, ..both() }, &[INQUIRY_DATA]),
        ("target port group", both(), Membership { group: 1, ..both() }, &[INQUIRY_DATA]),
        ("logical unit group", both(), Membership { lu_group: 1, ..both() }, &[INQUIRY_DATA]),
        ("MULTIP", both(), Membership { multi_port: true, ..both() }, &[INQUIRY_DATA]),
        ("R_SUP", both(), referrals(8, 7), &[INQUIRY_DATA]),
        ("R_SUP that goes", referrals(8, 7), both(), &[INQUIRY_DATA]),
        ("other segments", referrals(8, 7), referrals(4, 7), &[INQUIRY_DATA]),
        // What INQUIRY does not say.
        ("other blocks", referrals(8, 7), referrals(8, 6), &[]),
        ("a delay", both(), Membership { non_optimized_delay: delay, ..both() }, &[]),
        ("nothing", both(), both(), &[]),
    ] {
        check(what, map(all, FLAGS, before), map(all, FLAGS, after), told);
    }
}
