// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The order in which a unit says no, and what passes what.
//!
//! Above: nothing.  Below: `target`, through `execute`.
//! Never here: how a reservation comes about.

mod support;

use scsi::mode::UaInterlock;
use scsi::{Lun, Sense};
use support::Outcome::{Check, Conflict, Done};
use support::{FLAGS, Outcome, Rig, attention, name};
use target::{Held, Kind, Registration, To, UnitFlags, UnitRecord};

const TEST_UNIT_READY: &[u8] = &[0x00, 0, 0, 0, 0, 0];
const REQUEST_SENSE: &[u8] = &[0x03, 0, 0, 0, 252, 0];
const INQUIRY: &[u8] = &[0x12, 0, 0, 0, 36, 0];
const REPORT_LUNS: &[u8] = &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
const READ: &[u8] = &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const WRITE: &[u8] = &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];
/// A read of one block behind the end.
const READ_TOO_FAR: &[u8] = &[0x28, 0, 0, 0, 0, 16, 0, 0, 1, 0];
const UNKNOWN: &[u8] = &[0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Nexus 1 holds a reservation; 3 is registered too, and 2 is not.
fn reserved(rig: &Rig, kind: Kind) {
    let change = |record: &mut UnitRecord| {
        let reservations = &mut record.reservations;
        let registration = Registration { key: 0xabc, all_target_ports: false, generation: 1 };
        reservations.registrations.extend([1, 3].map(|nexus| (name(nexus), registration)));
        reservations.held = Some(Held { holder: name(1), kind });
    };
    rig.state.change(change).unwrap();
}

#[test]
fn each_refusal_comes_in_its_place() {
    type Row<'a> = (&'a str, Option<Sense>, bool, &'a [u8], Outcome);
    const RESET: Option<Sense> = Some(Sense::BUS_DEVICE_RESET);
    const MICROCODE: Option<Sense> = Some(Sense::MICROCODE_CHANGED);
    const CAPACITY: Option<Sense> = Some(Sense::CAPACITY_DATA_CHANGED);
    let rows: &[Row<'_>] = &[
        ("nothing is in the way", None, false, READ, Done),
        ("a reset comes before a conflict", RESET, true, WRITE, attention(0x29, 0x03)),
        ("so does a new program", MICROCODE, true, WRITE, attention(0x3f, 0x01)),
        ("a conflict comes before other attentions", CAPACITY, true, WRITE, Conflict),
        (
            "an attention comes before what the command refuses",
            CAPACITY,
            false,
            READ_TOO_FAR,
            attention(0x2a, 0x09),
        ),
        ("a conflict comes before what the command refuses", None, true, READ_TOO_FAR, Conflict),
        ("what is no command conflicts with nothing", None, true, UNKNOWN, Check(0x05, 0x20, 0x00)),
        ("what is no command is told of an attention", CAPACITY, true, UNKNOWN, attention(0x2a, 0x09)),
        ("the command's own refusal is the last", None, false, READ_TOO_FAR, Check(0x05, 0x21, 0x00)),
        ("INQUIRY passes everything", RESET, true, INQUIRY, Done),
        ("REPORT LUNS passes everything", RESET, true, REPORT_LUNS, Done),
        ("REQUEST SENSE passes everything", RESET, true, REQUEST_SENSE, Done),
    ];
    for (what, pending, is_reserved, cdb, expected) in rows {
        let rig = Rig::new(3);
        if *is_reserved {
            reserved(&rig, Kind::ExclusiveAccess);
        }
        if let Some(pending) = pending {
            rig.attentions(2).establish(*pending);
        }
        assert_eq!(rig.send(2, cdb), *expected, "{what}");
    }
}

#[test]
fn a_reservation_bars_each_nexus_from_what_its_type_says() {
    // What the unregistered, and the registered that does not hold it, get for TEST UNIT READY, READ and WRITE.
    let (all, reads, nothing) = ([Done, Done, Done], [Done, Done, Conflict], [Done, Conflict, Conflict]);
    let rows = [
        (Kind::WriteExclusive, &reads, &reads),
        (Kind::ExclusiveAccess, &nothing, &nothing),
        (Kind::WriteExclusiveRegistrants, &reads, &all),
        (Kind::ExclusiveAccessRegistrants, &nothing, &all),
        (Kind::WriteExclusiveAll, &reads, &all),
        (Kind::ExclusiveAccessAll, &nothing, &all),
    ];
    for (kind, unregistered, registered) in rows {
        let rig = Rig::new(3);
        reserved(&rig, kind);
        let sent = |nexus| [TEST_UNIT_READY, READ, WRITE].map(|cdb| rig.send(nexus, cdb));
        assert_eq!(sent(1), all, "{kind:?}");
        assert_eq!(sent(2), *unregistered, "{kind:?}");
        assert_eq!(sent(3), *registered, "{kind:?}");
    }
}

#[test]
fn a_reservation_of_the_old_kind_bars_all_but_looking() {
    let rig = Rig::new(2);
    rig.state.change(|record| record.reservations.legacy = Some(name(1))).unwrap();
    for cdb in [TEST_UNIT_READY, READ, WRITE] {
        assert_eq!(rig.send(2, cdb), Conflict);
        assert_eq!(rig.send(1, cdb), Done);
    }
    for cdb in [INQUIRY, REPORT_LUNS, REQUEST_SENSE] {
        assert_eq!(rig.send(2, cdb), Done);
    }
}

#[test]
fn a_map_made_while_a_reservation_is_held_knows_of_it() {
    let first = Rig::new(1);
    reserved(&first, Kind::WriteExclusive);
    let second = Rig::of(2, FLAGS, first.state.clone());
    assert_eq!(second.send(2, WRITE), Conflict);
    assert_eq!(second.send(1, WRITE), Done);
}

#[test]
fn an_attention_is_told_to_those_it_concerns_at_each_of_their_luns() {
    let rig = Rig::new(3);
    rig.state.establish(Sense::BUS_DEVICE_RESET, To::EveryoneBut(&name(2)));
    rig.state.establish(Sense::CAPACITY_DATA_CHANGED, To::Only(&name(3)));
    for lun in [0, 1] {
        assert_eq!(rig.send_to(1, lun, TEST_UNIT_READY).0, attention(0x29, 0x03));
        assert_eq!(rig.send_to(1, lun, TEST_UNIT_READY).0, Done);
        assert_eq!(rig.send_to(2, lun, TEST_UNIT_READY).0, Done);
        assert_eq!(rig.send_to(3, lun, TEST_UNIT_READY).0, attention(0x29, 0x03));
        assert_eq!(rig.send_to(3, lun, TEST_UNIT_READY).0, attention(0x2a, 0x09));
        assert_eq!(rig.send_to(3, lun, TEST_UNIT_READY).0, Done);
    }
}

#[test]
fn report_luns_takes_back_that_the_luns_changed_at_every_lun() {
    let rig = Rig::new(1);
    let luns_changed = Sense::REPORTED_LUNS_DATA_CHANGED;
    rig.group(1).establish(luns_changed, Lun::new(1));
    assert_eq!(rig.send_to(1, 1, TEST_UNIT_READY).0, Done);
    assert_eq!(rig.send_to(1, 0, TEST_UNIT_READY).0, attention(0x3f, 0x0e));
    rig.group(1).establish(luns_changed, None);
    rig.attentions(1).establish(Sense::CAPACITY_DATA_CHANGED);
    assert_eq!(rig.send_to(1, 1, REPORT_LUNS).0, Done);
    assert_eq!(rig.send_to(1, 0, TEST_UNIT_READY).0, attention(0x2a, 0x09));
    assert_eq!(rig.send_to(1, 0, TEST_UNIT_READY).0, Done);
    assert_eq!(rig.send_to(1, 1, TEST_UNIT_READY).0, Done);
}

#[test]
fn request_sense_of_any_length_drops_what_it_tells_be_it_seen_or_not() {
    const SENSE: [u8; 18] = [0x70, 0, 0x06, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0x29, 0x03, 0, 0, 0, 0];
    for length in [0, 1, 2, 3, 4, 13, 17, 18, 252] {
        let rig = Rig::new(1);
        rig.state.establish(Sense::BUS_DEVICE_RESET, To::Everyone);
        rig.state.establish(Sense::CAPACITY_DATA_CHANGED, To::Everyone);
        let (outcome, data) = rig.send_to(1, 0, &[0x03, 0, 0, 0, length, 0]);
        // The length that it says is that of all of it: SPC-4, ALLOCATION LENGTH.
        assert_eq!((outcome, &data[..]), (Done, &SENSE[..usize::from(length).min(18)]));
        assert_eq!(rig.send(1, TEST_UNIT_READY), attention(0x2a, 0x09), "{length}");
        assert_eq!(rig.send(1, TEST_UNIT_READY), Done);
    }
}

#[test]
fn request_sense_tells_the_first_attention_as_data_and_drops_it() {
    for ua_interlock in [UaInterlock::Clear, UaInterlock::Keep] {
        let rig = Rig::with(1, UnitFlags { ua_interlock, ..FLAGS });
        rig.attentions(1).establish(Sense::BUS_DEVICE_RESET);
        rig.attentions(1).establish(Sense::CAPACITY_DATA_CHANGED);
        for expected in [[6, 0x29, 0x03], [6, 0x2a, 0x09], [0, 0, 0]] {
            let (outcome, data) = rig.send_to(1, 0, REQUEST_SENSE);
            assert_eq!(outcome, Done);
            assert_eq!([data[2], data[12], data[13]], expected);
        }
    }
}

#[test]
fn an_interlock_tells_an_attention_again_and_a_conflict_afterwards() {
    let keep = Rig::with(1, UnitFlags { ua_interlock: UaInterlock::Keep, ..FLAGS });
    keep.attentions(1).establish(Sense::CAPACITY_DATA_CHANGED);
    for _ in 0..2 {
        assert_eq!(keep.send(1, TEST_UNIT_READY), attention(0x2a, 0x09));
    }
    for (ua_interlock, then) in
        [(UaInterlock::Keep, Done), (UaInterlock::KeepAndEstablish, attention(0x2c, 0x09))]
    {
        let rig = Rig::with(3, UnitFlags { ua_interlock, ..FLAGS });
        reserved(&rig, Kind::WriteExclusive);
        assert_eq!(rig.send(2, WRITE), Conflict);
        assert_eq!(rig.send(2, TEST_UNIT_READY), then);
    }
}
