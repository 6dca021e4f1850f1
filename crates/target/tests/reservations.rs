// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Persistent reservations, one rule of SPC-4 after the other, as initiators meet them.
//!
//! Above: nothing.  Below: `target`, through `execute`, with steps taken at once.
//! Never here: rings; sequences by chance, which `reservation_model.rs` has.

mod support;

use scsi::Sense;
use scsi::mode::UaInterlock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::Outcome::{Check, Conflict, Done};
use support::orders::*;
use support::{FLAGS, Rig, attention, name};
use target::{
    Held, Kind, NexusName, NotPersisted, Persist, Registration, Reservations, UnitFlags, UnitRecord,
    UnitState, Volatile,
};

#[test]
fn registering_needs_the_key_that_is_there() {
    let rig = Rig::new(2);
    assert_eq!(rig.out(1, REGISTER, 0, &list(1, 0xa, 0)), Conflict);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0, 0xa, 0)), Done);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0, 0xb, 0)), Conflict);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0xa, 0xb, 0)), Done);
    assert_eq!(rig.out(1, REGISTER_AND_IGNORE, 0, &list(0x77, 0xc, 0)), Done);
    assert_eq!((rig.keys(), rig.generation()), (vec![0xc], 3));
    assert_eq!(rig.out(1, REGISTER, 0, &list(0xc, 0, 0)), Done);
    assert_eq!((rig.keys(), rig.generation()), (vec![], 4));
}

#[test]
fn taking_away_a_registration_that_is_not_there_does_nothing() {
    let rig = Rig::new(1);
    for action in [REGISTER, REGISTER_AND_IGNORE] {
        assert_eq!(rig.out(1, action, 0, &list(0, 0, 0)), Done);
    }
    assert_eq!(rig.generation(), 0);
}

#[test]
fn a_nexus_that_is_not_registered_conflicts_whatever_it_orders() {
    let rig = Rig::new(2);
    rig.register(1, 0xa);
    for action in [RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT] {
        assert_eq!(rig.out(2, action, 1, &list(0xa, 0xa, 0)), Conflict, "{action}");
        assert_eq!(rig.out(1, action, 1, &list(0xb, 0xa, 0)), Conflict, "{action}");
    }
    assert_eq!((rig.keys(), rig.generation()), (vec![0xa], 1));
}

#[test]
fn a_conflict_comes_before_whatever_else_is_wrong_with_an_order() {
    let rig = Rig::new(3);
    for nexus in [1, 3] {
        rig.register(nexus, 0xa);
    }
    // To a nexus that is not there, without a key for it, and with a list that is cut.
    let moved = [list(0xa, 0, 0), transport_id(9).to_vec()].concat();
    let named = [list(0xa, 0, 8), vec![0, 0, 0, 24], transport_id(9).to_vec()].concat();
    for action in [RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_MOVE] {
        // A type, and a scope, that is none.
        let of = if [CLEAR, REGISTER_AND_MOVE].contains(&action) { 0 } else { 0x12 };
        for list in [&moved[..], &named, &moved[..24], &moved[..23], &moved[..8]] {
            assert_eq!(rig.out(2, action, of, list), Conflict, "{action} {}", list.len());
        }
        let long = [0x5f, action, 0, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(rig.send_with(2, 0, &long, &[0; 24]).0, Conflict, "{action}");
    }
    // Of who is registered, with another key: as soon as there is one to see.
    for list in [list(0xb, 0, 0), [list(0xb, 0, 8), vec![0, 0, 0, 1, 0]].concat()] {
        for action in [REGISTER, RESERVE, RELEASE, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_MOVE] {
            let of = if [REGISTER, REGISTER_AND_MOVE].contains(&action) { 0 } else { 0x12 };
            assert_eq!(rig.out(1, action, of, &list), Conflict, "{action} {list:02x?}");
        }
        assert_eq!(rig.out(1, RESERVE, 1, &list[..23]), WRONG_LENGTH);
    }
    // Of who is registered, while another holds what he wants.
    assert_eq!(rig.reserve(3, 0xa, 1), Done);
    assert_eq!(rig.out(1, RESERVE, 0x12, &moved[..24]), Conflict);
    assert_eq!(rig.out(1, REGISTER_AND_MOVE, 0, &moved), Conflict);
    assert_eq!((rig.keys(), rig.generation()), (vec![0xa, 0xa], 2));
}

#[test]
fn a_conflict_that_a_command_finds_by_itself_comes_before_attentions_but_for_a_reset() {
    let orders: [(&[u8], &[u8]); 6] = [
        (RESERVE_6, &[]),
        (RESERVE_10, &[]),
        (RELEASE_6, &[]),
        (RELEASE_10, &[]),
        // RESERVE and PREEMPT with a key that is not his.
        (&[0x5f, 1, 1, 0, 0, 0, 0, 0, 24, 0], &list(0xb, 0, 0)),
        (&[0x5f, 4, 1, 0, 0, 0, 0, 0, 24, 0], &list(0xb, 0xa, 0)),
    ];
    for (cdb, list) in orders {
        let rig = Rig::new(2);
        rig.register(1, 0xa);
        let sent = |nexus| rig.send_with(nexus, 0, cdb, list).0;
        rig.attentions(2).establish(Sense::CAPACITY_DATA_CHANGED);
        assert_eq!((sent(2), sent(2)), (Conflict, Conflict), "{cdb:02x?}");
        assert_eq!(rig.told(2), [attention(0x2a, 0x09)], "{cdb:02x?}");
        rig.attentions(2).establish(Sense::BUS_DEVICE_RESET);
        assert_eq!((sent(2), sent(2)), (attention(0x29, 0x03), Conflict), "{cdb:02x?}");
    }
    // Who has no conflict is told first, and then nothing is done.
    let rig = Rig::new(1);
    rig.register(1, 0xa);
    rig.attentions(1).establish(Sense::CAPACITY_DATA_CHANGED);
    assert_eq!(rig.reserve(1, 0xa, 1), attention(0x2a, 0x09));
    assert_eq!(rig.held(), None);
    assert_eq!(rig.reserve(1, 0xa, 1), Done);
    // Where it shows in the order as a whole: another type than he holds, and a key that nobody has.
    let others_type: (&[u8], _) = (&[0x5f, 1, 3, 0, 0, 0, 0, 0, 24, 0], list(0xa, 0, 0));
    for (cdb, list) in [others_type, (&[0x5f, 4, 1, 0, 0, 0, 0, 0, 24, 0], list(0xa, 0xb, 0))] {
        rig.attentions(1).establish(Sense::CAPACITY_DATA_CHANGED);
        assert_eq!(rig.send_with(1, 0, cdb, &list).0, Conflict, "{cdb:02x?}");
        assert_eq!(rig.told(1), [attention(0x2a, 0x09)]);
    }
    // A unit that was reserved with RESERVE conflicts with the other method, be it the holder's.
    let rig = Rig::new(2);
    assert_eq!(rig.send(1, RESERVE_6), Done);
    rig.attentions(1).establish(Sense::CAPACITY_DATA_CHANGED);
    for cdb in [[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0], [0x5f, 6, 0, 0, 0, 0, 0, 0, 24, 0]] {
        assert_eq!(rig.send_with(1, 0, &cdb, &list(0, 0xa, 0)).0, Conflict, "{cdb:02x?}");
    }
    assert_eq!(rig.told(1), [attention(0x2a, 0x09)]);
}

#[test]
fn a_conflict_of_an_order_is_told_once_more_where_the_control_page_says_so() {
    let rig = Rig::with(2, UnitFlags { ua_interlock: UaInterlock::KeepAndEstablish, ..FLAGS });
    assert_eq!(rig.out(1, CLEAR, 0, &list(0xa, 0, 0)), Conflict);
    assert_eq!(rig.send(1, READY), attention(0x2c, 0x09));
}

#[test]
fn there_are_as_many_registrations_as_there_are_resources_for() {
    let no_more = Check(0x05, 0x55, 0x04);
    let registration = Registration { key: 0xa, all_target_ports: false, generation: 0 };
    let full = |own: Option<usize>| {
        let others = (own.is_some().into()..1024_u16)
            .map(|port| NexusName { initiator: "naa.6001405000000fff".into(), relative_port: port + 100 });
        let registrations = others.chain(own.map(name)).map(|nexus| (nexus, registration)).collect();
        let held = own.map(|own| Held { holder: name(own), kind: Kind::WriteExclusive });
        let reservations = Reservations { registrations, held, ..Reservations::default() };
        let record = UnitRecord { reservations, ..UnitRecord::default() };
        Rig::of(3, FLAGS, UnitState::new("serial", record, Arc::new(Volatile)))
    };
    let rig = full(None);
    let keys = || rig.state.record().reservations.registrations.len();
    for action in [REGISTER, REGISTER_AND_IGNORE] {
        assert_eq!(rig.out(1, action, 0, &list(0, 0xa, 0)), no_more, "{action}");
        assert_eq!(rig.out(1, action, 0, &list(0, 0xa, 4)), no_more, "{action}");
    }
    assert_eq!(keys(), 1024);
    // Who is there may be there under another key, and makes room when it goes.
    let rig = full(Some(1));
    assert_eq!(rig.out(1, REGISTER, 0, &list(0xa, 0xb, 0)), Done);
    let moved = [&list(0xb, 0xc, 0)[..18], &[0, 2, 0, 0, 0, 24], &transport_id(2)].concat();
    assert_eq!(rig.out(1, REGISTER_AND_MOVE, 0, &moved), no_more);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0xb, 0, 0)), Done);
    assert_eq!(rig.out(2, REGISTER, 0, &list(0, 0xa, 0)), Done);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0, 0xa, 0)), no_more);
}

#[test]
fn a_list_must_be_what_its_action_wants() {
    let rig = Rig::new(2);
    rig.register(1, 0xa);
    let long = [list(0xa, 0, 0), vec![0]].concat();
    for action in 0..=6 {
        assert_eq!(rig.out(1, action, 1, &list(0xa, 0, 0)[..23]), WRONG_LENGTH, "{action}");
        assert_eq!(rig.out(1, action, 1, &long), WRONG_LENGTH, "{action}");
    }
    let named = [list(0xa, 0xb, 8), vec![0, 0, 0, 24], transport_id(1).to_vec()].concat();
    // SPEC_I_PT is of REGISTER alone.
    for action in 1..=6 {
        let of = if [CLEAR, REGISTER_AND_IGNORE].contains(&action) { 0 } else { 1 };
        assert_eq!(rig.out(1, action, of, &named), INVALID_LIST, "{action}");
    }
    // REGISTER AND IGNORE EXISTING KEY of who is not registered names nobody else, either.
    let named = [list(0, 0xb, 0xc), vec![0, 0, 0, 24], transport_id(1).to_vec()].concat();
    assert_eq!(rig.out(2, REGISTER_AND_IGNORE, 0, &named), INVALID_LIST);
    assert_eq!(rig.send_with(1, 0, &[0x5f, 8, 0, 0, 0, 0, 0, 0, 24, 0], &[0; 24]).0, Check(0x05, 0x24, 0x00));
    let huge = [0x5f, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    assert_eq!(rig.send_with(1, 0, &huge, &[0; 24]).0, WRONG_LENGTH);
}

#[test]
fn types_and_scopes_that_are_not_are_refused() {
    let rig = Rig::new(1);
    rig.register(1, 0xa);
    for kind in [0, 2, 4, 9, 10, 15, 0x11, 0x21, 0xf1] {
        assert_eq!(rig.reserve(1, 0xa, kind), INVALID_CDB, "{kind:02x}");
    }
    for kind in [1, 3, 5, 6, 7, 8] {
        assert_eq!(rig.reserve(1, 0xa, kind), Done, "{kind}");
        let key = if kind < 7 { 0xa } else { 0 };
        assert_eq!(rig.held(), Some((key, kind)));
        assert_eq!(rig.out(1, RELEASE, kind, &list(0xa, 0, 0)), Done);
    }
}

#[test]
fn a_reservation_is_taken_once_and_given_back_as_what_it_is() {
    let rig = Rig::new(2);
    rig.register(1, 0xa);
    rig.register(2, 0xb);
    assert_eq!(rig.reserve(1, 0xa, 5), Done);
    assert_eq!(rig.reserve(1, 0xa, 5), Done);
    assert_eq!(rig.reserve(1, 0xa, 6), Conflict);
    assert_eq!(rig.reserve(2, 0xb, 5), Conflict);
    assert_eq!(rig.out(2, RELEASE, 5, &list(0xb, 0, 0)), Done);
    assert_eq!(rig.out(1, RELEASE, 6, &list(0xa, 0, 0)), Check(0x05, 0x26, 0x04));
    assert_eq!(rig.held(), Some((0xa, 5)));
    assert_eq!(rig.out(1, RELEASE, 5, &list(0xa, 0, 0)), Done);
    assert_eq!((rig.held(), rig.generation()), (None, 2));
    assert_eq!(rig.told(2), [attention(0x2a, 0x04)]);
    assert_eq!(rig.told(1), []);
}

#[test]
fn a_release_is_told_only_where_others_took_part() {
    for (kind, told) in [(1, 0), (3, 0), (5, 1), (6, 1), (7, 1), (8, 1)] {
        let rig = Rig::new(3);
        rig.register(1, 0xa);
        rig.register(2, 0xb);
        assert_eq!(rig.reserve(1, 0xa, kind), Done);
        assert_eq!(rig.out(1, RELEASE, kind, &list(0xa, 0, 0)), Done);
        assert_eq!(rig.told(2), vec![attention(0x2a, 0x04); told], "{kind}");
        assert_eq!(rig.told(3), [], "{kind}");
    }
}

#[test]
fn every_registrant_holds_a_reservation_for_all() {
    let rig = Rig::new(2);
    rig.register(1, 0xa);
    rig.register(2, 0xb);
    assert_eq!(rig.reserve(1, 0xa, 7), Done);
    assert_eq!(rig.reserve(2, 0xb, 7), Done);
    assert_eq!(rig.reserve(2, 0xb, 5), Conflict);
    // Its maker goes, and it stays.
    assert_eq!(rig.out(1, REGISTER, 0, &list(0xa, 0, 0)), Done);
    assert_eq!(rig.held(), Some((0, 7)));
    assert_eq!(rig.told(2), []);
    assert_eq!(rig.send(1, WRITE), Conflict);
    // With the last registrant it is gone.
    assert_eq!(rig.out(2, REGISTER, 0, &list(0xb, 0, 0)), Done);
    assert_eq!(rig.held(), None);
    assert_eq!(rig.send(1, WRITE), Done);
}

#[test]
fn a_holder_that_goes_takes_its_reservation_along() {
    for (kind, told) in [(1, 0), (3, 0), (5, 1), (6, 1)] {
        let rig = Rig::new(2);
        rig.register(1, 0xa);
        rig.register(2, 0xb);
        assert_eq!(rig.reserve(1, 0xa, kind), Done);
        assert_eq!(rig.out(1, REGISTER_AND_IGNORE, 0, &list(0, 0, 0)), Done);
        assert_eq!((rig.held(), rig.keys()), (None, vec![0xb]), "{kind}");
        assert_eq!(rig.told(2), vec![attention(0x2a, 0x04); told], "{kind}");
    }
}

#[test]
fn clearing_takes_everything_away_and_tells_the_others() {
    let rig = Rig::new(3);
    rig.register(1, 0xa);
    rig.register(2, 0xb);
    assert_eq!(rig.reserve(1, 0xa, 3), Done);
    assert_eq!(rig.out(2, CLEAR, 0, &list(0xb, 0, 0)), Done);
    assert_eq!((rig.keys(), rig.held(), rig.generation()), (vec![], None, 3));
    assert_eq!(rig.told(1), [attention(0x2a, 0x03)]);
    assert_eq!((rig.told(2), rig.told(3)), (vec![], vec![]));
}

#[test]
fn registrations_are_made_for_others_that_are_reachable_or_for_none() {
    let rig = Rig::new(2);
    let named = |numbers: &[u8], flags: u8| {
        let ids: Vec<u8> = numbers.iter().flat_map(|number| transport_id(*number)).collect();
        let length = u32::try_from(ids.len()).unwrap().to_be_bytes();
        [list(0, 0xa, flags), length.to_vec(), ids].concat()
    };
    // Nexus 2 reaches the unit through another port, so it is meant only with all ports.
    assert_eq!(rig.out(1, REGISTER, 0, &named(&[2], 0x08)), INVALID_LIST);
    assert_eq!(rig.out(1, REGISTER, 0, &named(&[2, 9], 0x0c)), INVALID_LIST);
    assert_eq!(rig.keys(), []);
    assert_eq!(rig.out(1, REGISTER, 0, &named(&[2], 0x0c)), Done);
    assert_eq!((rig.keys(), rig.generation()), (vec![0xa, 0xa], 1));
    assert_eq!(rig.out(1, REGISTER_AND_IGNORE, 0, &named(&[2], 0x0c)), INVALID_LIST);
}

#[test]
fn a_registration_with_all_ports_is_kept_and_taken_away_as_one() {
    let rig = Rig::new(1);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0, 0xa, 0x04)), Done);
    assert_eq!(rig.read(3)[20], 0x02);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0xa, 0xb, 0x00)), INVALID_CDB);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0xa, 0, 0x04)), Done);
    assert_eq!(rig.keys(), []);
}

#[test]
fn a_reservation_is_moved_to_a_nexus_that_is_reachable() {
    let rig = Rig::new(3);
    let moved = |key: u64, theirs: u64, unregister: bool, port: u8, number: u8| {
        let mut bytes = list(key, theirs, 0);
        bytes[17] = u8::from(unregister) << 1;
        bytes[19] = port;
        bytes[23] = 24;
        bytes.extend(transport_id(number));
        bytes
    };
    rig.register(1, 0xa);
    assert_eq!(rig.out(1, REGISTER_AND_MOVE, 0, &moved(0xa, 0xb, false, 2, 2)), INVALID_CDB);
    assert_eq!(rig.reserve(1, 0xa, 3), Done);
    for (bad, refusal) in [
        (moved(0xb, 0xb, false, 2, 2), Conflict),
        (moved(0xa, 0, false, 2, 2), INVALID_LIST),
        (moved(0xa, 0xb, false, 1, 1), INVALID_LIST),
        (moved(0xa, 0xb, false, 2, 3), INVALID_LIST),
        (moved(0xa, 0xb, false, 9, 2), INVALID_LIST),
    ] {
        assert_eq!(rig.out(1, REGISTER_AND_MOVE, 0, &bad), refusal, "{bad:02x?}");
    }
    assert_eq!(rig.out(1, REGISTER_AND_MOVE, 0, &moved(0xa, 0xb, false, 2, 2)), Done);
    assert_eq!((rig.keys(), rig.held(), rig.generation()), (vec![0xa, 0xb], Some((0xb, 3)), 2));
    assert_eq!(rig.out(1, REGISTER_AND_MOVE, 0, &moved(0xa, 0xb, false, 3, 3)), Conflict);
    assert_eq!(rig.out(2, REGISTER_AND_MOVE, 0, &moved(0xb, 0xc, true, 3, 3)), Done);
    assert_eq!((rig.keys(), rig.held()), (vec![0xa, 0xc], Some((0xc, 3))));
    assert_eq!(rig.send(2, READ), Conflict);
}

#[test]
fn nothing_is_registered_or_moved_for_a_nexus_that_is_there_no_more() {
    let mut rig = Rig::new(2);
    rig.register(1, 0xa);
    assert_eq!(rig.reserve(1, 0xa, 3), Done);
    rig.lose(2);
    let moved = [&list(0xa, 0xb, 0)[..18], &[0, 2, 0, 0, 0, 24], &transport_id(2)].concat();
    assert_eq!(rig.out(1, REGISTER_AND_MOVE, 0, &moved), INVALID_LIST);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0xa, 0, 0)), Done);
    let named = [list(0, 0xa, 0xc), vec![0, 0, 0, 24], transport_id(2).to_vec()].concat();
    assert_eq!(rig.out(1, REGISTER, 0, &named), INVALID_LIST);
    assert_eq!(rig.keys(), []);
}

#[test]
fn the_last_registration_says_whether_all_of_it_outlasts_the_loss_of_power() {
    let rig = Rig::new(2);
    assert_eq!(rig.read(2), [0, 8, 0x1d, 0x90, 0xea, 1, 0, 0]);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0, 0xa, 1)), Done);
    assert_eq!(rig.read(2), [0, 8, 0x1d, 0x91, 0xea, 1, 0, 0]);
    assert_eq!(rig.out(2, REGISTER, 0, &list(0, 0xb, 0)), Done);
    assert_eq!(rig.read(2)[3], 0x90);
    let forced = Rig::with(1, UnitFlags { force_registrations_to_outlast_power: true, ..FLAGS });
    forced.register(1, 0xa);
    assert_eq!(forced.read(2)[3], 0x91);
}

#[test]
fn clearing_leaves_what_the_last_registration_said_of_the_loss_of_power() {
    let rig = Rig::new(1);
    assert_eq!(rig.out(1, REGISTER, 0, &list(0, 0xa, 1)), Done);
    assert_eq!(rig.out(1, CLEAR, 0, &list(0xa, 0, 0)), Done);
    assert_eq!((rig.keys(), rig.read(2)[3]), (vec![], 0x91));
    assert_eq!(rig.out(1, REGISTER, 0, &list(0, 0xa, 0)), Done);
    assert_eq!(rig.read(2)[3], 0x90);
}

#[test]
fn full_status_names_every_registrant_and_who_holds() {
    let rig = Rig::new(2);
    rig.register(1, 0xa);
    rig.register(2, 0xb);
    assert_eq!(rig.reserve(2, 0xb, 5), Done);
    let status = rig.read(3);
    assert_eq!(status[..8], [0, 0, 0, 2, 0, 0, 0, 96]);
    assert_eq!(status[15..32], [0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 24]);
    assert_eq!(status[32..56], transport_id(1));
    assert_eq!(status[63..80], [0xb, 0, 0, 0, 0, 1, 5, 0, 0, 0, 0, 0, 2, 0, 0, 0, 24]);
    assert_eq!(rig.send_with(1, 0, &[0x5e, 3, 0, 0, 0, 0, 0, 0, 4, 0], &[]).1, [0, 0, 0, 2]);
}

#[test]
fn the_old_reservation_bars_others_until_its_holder_releases() {
    for (reserve, release) in [(RESERVE_6, RELEASE_6), (RESERVE_10, RELEASE_10)] {
        let rig = Rig::new(2);
        assert_eq!(rig.send(1, reserve), Done);
        assert_eq!(rig.send(1, reserve), Done);
        assert_eq!(rig.send(2, reserve), Conflict);
        assert_eq!(rig.send(2, READ), Conflict);
        assert_eq!(rig.send(2, &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0]), Conflict);
        assert_eq!(rig.out(2, REGISTER, 0, &list(0, 0xb, 0)), Conflict);
        // Good, and without effect.
        assert_eq!(rig.send(2, release), Done);
        assert_eq!(rig.send(2, READ), Conflict);
        assert_eq!(rig.send(1, release), Done);
        assert_eq!(rig.send(2, READ), Done);
    }
}

#[test]
fn the_old_commands_do_nothing_for_who_takes_part_in_a_persistent_reservation_and_conflict_for_all_others() {
    // Of which type; what its holder is answered, another registrant, and who is not registered.
    for (kind, expected) in [
        (0, [Conflict, Conflict, Conflict]),
        (1, [Done, Conflict, Conflict]),
        (3, [Done, Conflict, Conflict]),
        (5, [Done, Done, Conflict]),
        (6, [Done, Done, Conflict]),
        (7, [Done, Done, Conflict]),
        (8, [Done, Done, Conflict]),
    ] {
        let rig = Rig::new(3);
        rig.register(1, 0xa);
        rig.register(2, 0xb);
        if kind != 0 {
            assert_eq!(rig.reserve(1, 0xa, kind), Done);
        }
        let before = rig.state.record();
        for command in [RESERVE_6, RELEASE_6, RESERVE_10, RELEASE_10] {
            let answers = [1, 2, 3].map(|nexus| rig.send(nexus, command));
            assert_eq!(answers, expected, "{kind} {:02x}", command[0]);
        }
        assert_eq!(rig.state.record(), before, "{kind}");
    }
}

#[test]
fn the_old_commands_are_there_again_when_nobody_is_registered() {
    let rig = Rig::new(2);
    rig.register(1, 0xa);
    assert_eq!((rig.send(1, RESERVE_6), rig.send(1, RELEASE_6)), (Conflict, Conflict));
    assert_eq!(rig.out(1, REGISTER, 0, &list(0xa, 0, 0)), Done);
    assert_eq!((rig.send(2, RELEASE_6), rig.send(2, RESERVE_6)), (Done, Done));
    assert_eq!((rig.send(1, RELEASE_6), rig.send(1, WRITE)), (Done, Conflict));
}

#[test]
fn a_conflict_of_the_old_commands_is_told_once_more_where_the_control_page_says_so() {
    let rig = Rig::with(2, UnitFlags { ua_interlock: UaInterlock::KeepAndEstablish, ..FLAGS });
    rig.register(1, 0xa);
    assert_eq!(rig.send(2, RELEASE_6), Conflict);
    assert_eq!(rig.send(2, READY), attention(0x2c, 0x09));
}

#[test]
fn extents_and_third_parties_are_refused() {
    let rig = Rig::new(1);
    for flags in [0x01, 0x10, 0x11] {
        for code in [0x16, 0x17] {
            assert_eq!(rig.send(1, &[code, flags, 0, 0, 0, 0]), INVALID_CDB);
        }
        for code in [0x56, 0x57] {
            assert_eq!(rig.send(1, &[code, flags, 0, 0, 0, 0, 0, 0, 0, 0]), INVALID_CDB);
        }
    }
}

#[test]
fn a_unit_without_reservations_has_none_of_the_commands() {
    let rig = Rig::with(1, UnitFlags { reservations: false, ..FLAGS });
    for cdb in [RESERVE_6, RELEASE_6, RESERVE_10, RELEASE_10, &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0]] {
        assert_eq!(rig.send(1, cdb), Check(0x05, 0x20, 0x00));
    }
    assert_eq!(rig.out(1, REGISTER, 0, &list(0, 0xa, 0)), Check(0x05, 0x20, 0x00));
}

#[test]
fn what_cannot_be_kept_is_not_granted() {
    struct Full(AtomicBool);
    impl Persist for Full {
        fn save(&self, serial: &str, _: &UnitRecord) -> Result<(), NotPersisted> {
            assert_eq!(serial, "serial");
            if self.0.load(Ordering::SeqCst) { Err(NotPersisted) } else { Ok(()) }
        }
    }
    let disk = Arc::new(Full(AtomicBool::new(false)));
    let rig = Rig::of(2, FLAGS, UnitState::new("serial", UnitRecord::default(), disk.clone()));
    rig.register(1, 0xa);
    disk.0.store(true, Ordering::SeqCst);
    assert_eq!(rig.reserve(1, 0xa, 3), Check(0x04, 0x44, 0x00));
    assert_eq!(rig.send(2, RESERVE_6), Conflict);
    assert_eq!((rig.held(), rig.send(2, WRITE)), (None, Done));
    disk.0.store(false, Ordering::SeqCst);
    assert_eq!(rig.reserve(1, 0xa, 3), Done);
    assert_eq!(rig.send(2, WRITE), Conflict);
}

#[test]
fn a_registration_is_of_a_nexus_and_not_of_a_lun() {
    let rig = Rig::new(2);
    rig.register(1, 0xa);
    assert_eq!(rig.reserve(1, 0xa, 3), Done);
    assert_eq!(rig.send_to(1, 1, WRITE).0, Done);
    assert_eq!(rig.send_to(2, 1, WRITE).0, Conflict);
    assert!(rig.state.record().reservations.holds(&name(1)));
}
