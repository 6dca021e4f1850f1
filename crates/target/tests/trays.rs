// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Units that are stopped, and whose medium goes out.  SBC-3, START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL.
//!
//! Above: nothing.  Below: `target`, through `execute`.
//! Never here: where it is kept.

mod support;

use backstore::IoKind;
use support::Outcome::{Check, Conflict, Done};
use support::{FLAGS, Outcome, Rig, attention, name};
use target::{Held, Kind, Persist, Registration, UnitFlags, UnitRecord, UnitState};

const TEST_UNIT_READY: &[u8] = &[0x00, 0, 0, 0, 0, 0];
const REQUEST_SENSE: &[u8] = &[0x03, 0, 0, 0, 252, 0];
const INQUIRY: &[u8] = &[0x12, 0, 0, 0, 96, 0];
const START: &[u8] = &[0x1b, 0, 0, 0, 0x01, 0];
const STOP: &[u8] = &[0x1b, 0, 0, 0, 0x00, 0];
const EJECT: &[u8] = &[0x1b, 0, 0, 0, 0x02, 0];
const EJECT_WITHOUT_FLUSH: &[u8] = &[0x1b, 0, 0, 0, 0x06, 0];
const LOAD: &[u8] = &[0x1b, 0, 0, 0, 0x03, 0];
const ACTIVE: &[u8] = &[0x1b, 0, 0, 0, 0x10, 0];
const PREVENT: &[u8] = &[0x1e, 0, 0, 0, 1, 0];
const ALLOW: &[u8] = &[0x1e, 0, 0, 0, 0, 0];

const NO_MEDIUM: Outcome = Check(0x02, 0x3a, 0x00);
const STOPPED: Outcome = Check(0x02, 0x04, 0x02);
const KEPT_IN: Outcome = Check(0x05, 0x53, 0x02);

fn removable(nexuses: usize) -> Rig {
    Rig::with(nexuses, UnitFlags { removable: true, ..FLAGS })
}

/// Commands that need the medium, each of its kind.
const NEED_MEDIUM: &[&[u8]] = &[
    TEST_UNIT_READY,
    &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], // READ CAPACITY (10)
    &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], // READ CAPACITY (16)
    &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], // READ (10)
    &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], // WRITE (10)
    &[0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 0], // VERIFY (10)
    &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], // SYNCHRONIZE CACHE (10)
    &[0x34, 0, 0, 0, 0, 0, 0, 0, 1, 0], // PRE-FETCH (10)
    &[0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0], // GET LBA STATUS
    &[0x93, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x01, 0], // WRITE SAME (16)
    &[0x04, 0, 0, 0, 0, 0],             // FORMAT UNIT
    &[0x37, 0, 0, 0, 0, 0, 0, 0, 8, 0], // READ DEFECT DATA (10)
];

/// Commands that do not.
const NEED_NONE: &[&[u8]] = &[
    INQUIRY,
    REQUEST_SENSE,
    &[0xa0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0], // REPORT LUNS
    &[0x1a, 0, 0x3f, 0, 255, 0],               // MODE SENSE (6)
    &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0],        // PERSISTENT RESERVE IN
    &[0x4d, 0, 0x40, 0, 0, 0, 0, 0, 8, 0],     // LOG SENSE
];

#[test]
fn a_unit_without_its_medium_says_so_to_everyone_and_goes_on_looking_around() {
    let rig = removable(2);
    assert_eq!(rig.send(1, EJECT), Done);
    for nexus in [1, 2] {
        for cdb in NEED_MEDIUM {
            assert_eq!(rig.send(nexus, cdb), NO_MEDIUM, "{cdb:02x?}");
        }
        for cdb in NEED_NONE {
            assert_eq!(rig.send(nexus, cdb), Done, "{cdb:02x?}");
        }
    }
    let (_, sense) = rig.send_to(2, 0, REQUEST_SENSE);
    assert_eq!((sense[2], sense[12], sense[13]), (0x02, 0x3a, 0x00));
    assert_eq!(rig.send(1, START), NO_MEDIUM);
    assert_eq!(rig.send(1, LOAD), Done);
    // Who loaded it knows; the other is told once.
    assert_eq!(rig.send(1, TEST_UNIT_READY), Done);
    assert_eq!(rig.send(2, TEST_UNIT_READY), attention(0x28, 0x00));
    assert_eq!(rig.send(2, TEST_UNIT_READY), Done);
}

#[test]
fn a_medium_that_somebody_keeps_in_goes_nowhere() {
    let rig = removable(2);
    assert_eq!(rig.send(1, PREVENT), Done);
    for nexus in [1, 2] {
        assert_eq!(rig.send(nexus, EJECT), KEPT_IN);
        assert_eq!(rig.send(nexus, TEST_UNIT_READY), Done);
    }
    // Nobody else can take it back.
    assert_eq!(rig.send(2, ALLOW), Done);
    assert_eq!(rig.send(2, EJECT), KEPT_IN);
    assert_eq!(rig.send(1, ALLOW), Done);
    assert_eq!(rig.send(2, EJECT), Done);
    // Nor does one go in where its place is kept.
    assert_eq!(rig.send(1, PREVENT), Done);
    assert_eq!(rig.send(2, LOAD), KEPT_IN);
    assert_eq!(rig.send(1, ALLOW), Done);
    assert_eq!(rig.send(2, LOAD), Done);
}

#[test]
fn resets_and_the_loss_of_a_nexus_let_the_medium_go() {
    let rig = removable(2);
    let kept_in = |rig: &Rig| rig.state.record().tray.kept_by.len();
    for nexus in [1, 2] {
        assert_eq!(rig.send(nexus, PREVENT), Done);
    }
    assert!(rig.group(1).nexus_loss().may_block(), "there is something to take away");
    rig.group(1).nexus_loss().release().unwrap();
    assert_eq!(kept_in(&rig), 1, "only what that nexus kept");
    rig.state.reset().unwrap();
    assert_eq!(kept_in(&rig), 0);
}

#[test]
fn a_guest_that_was_reset_finds_its_disk_started_and_a_lost_nexus_starts_nothing() {
    let rig = Rig::new(2);
    assert_eq!(rig.send(1, STOP), Done);
    rig.group(2).nexus_loss().release().unwrap();
    assert_eq!(rig.send(2, TEST_UNIT_READY), STOPPED);
    rig.group(2).nexus_loss().by_reset().unwrap();
    assert_eq!(rig.send(2, TEST_UNIT_READY), Done);
}

#[test]
fn only_a_removable_unit_says_so_and_moves_its_medium() {
    let (fixed, removable) = (Rig::new(1), removable(1));
    assert_eq!(fixed.send_to(1, 0, INQUIRY).1[1], 0x00);
    assert_eq!(removable.send_to(1, 0, INQUIRY).1[1], 0x80);
    for cdb in [EJECT, LOAD] {
        assert_eq!(fixed.send(1, cdb), Check(0x05, 0x24, 0x00));
        assert_eq!(removable.send(1, cdb), Done);
    }
    assert_eq!(fixed.send(1, PREVENT), Check(0x05, 0x20, 0x00));
    assert_eq!(removable.send(1, PREVENT), Done);
}

#[test]
fn start_without_immed_is_good() {
    for cdb in [START, &[0x1b, 1, 0, 0, 0x01, 0], ACTIVE] {
        assert_eq!(Rig::new(1).send(1, cdb), Done);
    }
}

#[test]
fn a_stopped_unit_waits_for_its_start_and_a_reset_starts_it() {
    let rig = Rig::new(2);
    for start in [START, ACTIVE] {
        assert_eq!(rig.send(1, STOP), Done);
        for cdb in NEED_MEDIUM {
            assert_eq!(rig.send(2, cdb), STOPPED, "{cdb:02x?}");
        }
        for cdb in NEED_NONE {
            assert_eq!(rig.send(2, cdb), Done, "{cdb:02x?}");
        }
        assert_eq!(rig.send(2, start), Done);
        assert_eq!(rig.send(1, TEST_UNIT_READY), Done, "nobody has to be told");
    }
    assert_eq!(rig.send(1, STOP), Done);
    rig.state.reset().unwrap();
    assert_eq!(rig.send(2, TEST_UNIT_READY), attention(0x29, 0x03));
    assert_eq!(rig.send(2, TEST_UNIT_READY), Done);
}

#[test]
fn what_is_written_is_on_the_medium_when_it_has_gone_unless_nobody_wants_that() {
    for (cdb, flushes) in [(STOP, 1), (EJECT, 1), (EJECT_WITHOUT_FLUSH, 0)] {
        let rig = removable(1);
        assert_eq!(rig.send(1, cdb), Done);
        let done = rig.done.borrow();
        assert_eq!(done.iter().filter(|kind| matches!(kind, IoKind::Flush)).count(), flushes, "{cdb:02x?}");
        // And what was under way has ended before, by whichever way it came.
        assert_eq!(rig.order.borrow()[..1], ["quiet"], "{cdb:02x?}");
        assert!(rig.quiesced.borrow()[0].0.medium.is_some(), "{cdb:02x?}");
    }
}

#[test]
fn who_goes_down_again_waits_again() {
    for cdb in [STOP, EJECT] {
        let rig = removable(1);
        assert_eq!([rig.send(1, cdb), rig.send(1, cdb)], [Done, Done]);
        assert_eq!(*rig.order.borrow(), ["quiet", "io", "quiet", "io"], "{cdb:02x?}");
    }
}

#[test]
fn starting_passes_reservations_and_stopping_and_keeping_in_do_not() {
    let rig = removable(2);
    let reserve = |record: &mut UnitRecord| {
        let registration = Registration { key: 0xabc, all_target_ports: false, generation: 1 };
        record.reservations.registrations.insert(name(1), registration);
        record.reservations.held = Some(Held { holder: name(1), kind: Kind::ExclusiveAccess });
    };
    rig.state.change(reserve).unwrap();
    for cdb in [START, LOAD, ALLOW] {
        assert_eq!(rig.send(2, cdb), Done, "{cdb:02x?}");
    }
    for cdb in [STOP, EJECT, ACTIVE, PREVENT] {
        assert_eq!(rig.send(2, cdb), Conflict, "{cdb:02x?}");
        assert_eq!(rig.send(1, cdb), Done, "{cdb:02x?}");
        rig.state.change(|record| record.tray = target::Tray::default()).unwrap();
    }
}

/// Keeps nothing, and says so.
struct FullDisk;

impl Persist for FullDisk {
    fn save(&self, _: &str, _: &UnitRecord) -> Result<(), target::NotPersisted> {
        Err(target::NotPersisted)
    }
}

#[test]
fn what_cannot_be_kept_has_not_happened() {
    let state = UnitState::new("serial", UnitRecord::default(), std::sync::Arc::new(FullDisk));
    let rig = Rig::of(1, UnitFlags { removable: true, ..FLAGS }, state);
    for cdb in [EJECT, STOP, PREVENT] {
        assert_eq!(rig.send(1, cdb), Check(0x04, 0x44, 0x00), "{cdb:02x?}");
        assert_eq!(rig.send(1, TEST_UNIT_READY), Done);
    }
}
