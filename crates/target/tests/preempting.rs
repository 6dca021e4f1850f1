// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PREEMPT and PREEMPT AND ABORT of SPC-4: whose registrations go, who is told what, whose commands end.
//!
//! Above: nothing.  Below: `target`, through `execute`, with steps taken at once.
//! Never here: rings; the other orders, which `reservations.rs` has.

mod support;

use std::sync::Arc;
use support::Outcome::{Conflict, Done};
use support::orders::*;
use support::{FLAGS, Rig, attention};
use target::{
    Held, Kind, NexusName, NexusNumber, Registration, Reservations, UnitRecord, UnitState, Volatile,
};

#[test]
fn preempting_a_holder_takes_its_reservation_over() {
    let rig = Rig::new(4);
    for (nexus, key) in [(1, 0xa), (2, 0xb), (3, 0xa), (4, 0xd)] {
        rig.register(nexus, key);
    }
    assert_eq!(rig.reserve(1, 0xa, 5), Done);
    assert_eq!(rig.out(2, PREEMPT, 6, &list(0xb, 0xa, 0)), Done);
    assert_eq!((rig.keys(), rig.held(), rig.generation()), (vec![0xb, 0xd], Some((0xb, 6)), 5));
    for preempted in [1, 3] {
        assert_eq!(rig.send(preempted, WRITE), Conflict);
        assert_eq!(rig.told(preempted), [attention(0x2a, 0x05)]);
    }
    assert_eq!(rig.told(2), []);
    // The type has changed.
    assert_eq!(rig.told(4), [attention(0x2a, 0x04)]);
}

#[test]
fn preempting_anyone_else_takes_registrations_alone() {
    let rig = Rig::new(3);
    for (nexus, key) in [(1, 0xa), (2, 0xb), (3, 0xc)] {
        rig.register(nexus, key);
    }
    assert_eq!(rig.reserve(1, 0xa, 5), Done);
    // The type does not matter, because nothing is reserved.
    assert_eq!(rig.out(2, PREEMPT, 0xff, &list(0xb, 0xc, 0)), Done);
    assert_eq!((rig.keys(), rig.held()), (vec![0xa, 0xb], Some((0xa, 5))));
    assert_eq!(rig.told(3), [attention(0x2a, 0x05)]);
    assert_eq!(rig.out(2, PREEMPT, 5, &list(0xb, 0xc, 0)), Conflict);
    assert_eq!(rig.out(2, PREEMPT, 5, &list(0xb, 0, 0)), INVALID_LIST);
    assert_eq!(rig.out(2, PREEMPT, 2, &list(0xb, 0xa, 0)), INVALID_CDB);
    assert_eq!((rig.keys(), rig.generation()), (vec![0xa, 0xb], 4));
}

#[test]
fn preempting_with_no_key_takes_over_from_all_registrants() {
    let rig = Rig::new(3);
    for (nexus, key) in [(1, 0xa), (2, 0xb), (3, 0xc)] {
        rig.register(nexus, key);
    }
    assert_eq!(rig.reserve(1, 0xa, 8), Done);
    assert_eq!(rig.out(2, PREEMPT, 5, &list(0xb, 0xc, 0)), Done);
    assert_eq!((rig.keys(), rig.held()), (vec![0xa, 0xb], Some((0, 8))));
    assert_eq!(rig.out(2, PREEMPT, 3, &list(0xb, 0, 0)), Done);
    assert_eq!((rig.keys(), rig.held()), (vec![0xb], Some((0xb, 3))));
    assert_eq!(rig.told(1), [attention(0x2a, 0x05)]);
}

/// Every type of a persistent reservation.
const KINDS: [u8; 6] = [1, 3, 5, 6, 7, 8];

/// Every change of a type, and of a type to itself.
fn changes() -> impl Iterator<Item = (u8, u8)> {
    KINDS.into_iter().flat_map(|before| KINDS.map(|after| (before, after)))
}

/// What is shown of a holder with this key: of a type for all registrants it is no key.
fn shown(key: u8, kind: u8) -> Option<(u8, u8)> {
    Some((if kind >= 7 { 0 } else { key }, kind))
}

#[test]
fn a_holder_changes_its_type_by_preempting_itself_and_every_other_registrant_is_told() {
    for (before, after) in changes().filter(|(before, _)| *before < 7) {
        for action in [PREEMPT, PREEMPT_AND_ABORT] {
            let rig = Rig::new(4);
            for (nexus, key) in [(1, 0xa), (2, 0xb), (3, 0xc)] {
                rig.register(nexus, key);
            }
            assert_eq!(rig.reserve(1, 0xa, before), Done);
            assert_eq!(rig.out(1, action, after, &list(0xa, 0xa, 0)), Done, "{before} {after}");
            assert_eq!(
                (rig.keys(), rig.held()),
                (vec![0xa, 0xb, 0xc], shown(0xa, after)),
                "{before} {after}"
            );
            // Another type is told of, whatever it was: of one that bars registrants, too.
            let told = vec![attention(0x2a, 0x04); usize::from(before != after)];
            let all = [1, 2, 3, 4].map(|nexus| rig.attentions_of(nexus));
            assert_eq!(all, [vec![], told.clone(), told, vec![]], "{before} {after}");
        }
    }
}

#[test]
fn who_takes_a_reservation_over_tells_those_whom_it_leaves_registered_of_another_type() {
    for (before, after) in changes() {
        let rig = Rig::new(5);
        for (nexus, key) in [(1, 0xa), (2, 0xb), (3, 0xa), (4, 0xd)] {
            rig.register(nexus, key);
        }
        assert_eq!(rig.reserve(1, 0xa, before), Done);
        let by_all = before >= 7;
        let theirs = if by_all { 0 } else { 0xa };
        assert_eq!(rig.out(2, PREEMPT, after, &list(0xb, theirs, 0)), Done, "{before} {after}");
        let left = if by_all { vec![0xb] } else { vec![0xb, 0xd] };
        assert_eq!((rig.keys(), rig.held()), (left, shown(0xb, after)), "{before} {after}");
        let preempted = vec![attention(0x2a, 0x05)];
        let stays = match (by_all, before == after) {
            (true, _) => preempted.clone(),
            (false, true) => vec![],
            (false, false) => vec![attention(0x2a, 0x04)],
        };
        let all = [1, 2, 3, 4, 5].map(|nexus| rig.attentions_of(nexus));
        assert_eq!(all, [preempted.clone(), vec![], preempted, stays, vec![]], "{before} {after}");
    }
}

#[test]
fn a_key_that_is_not_the_holders_takes_registrations_and_tells_nobody_else() {
    for (held, of) in KINDS.into_iter().flat_map(|held| KINDS.map(|of| (held, of))) {
        let rig = Rig::new(4);
        for (nexus, key) in [(1, 0xa), (2, 0xb), (3, 0xc), (4, 0xd)] {
            rig.register(nexus, key);
        }
        assert_eq!(rig.reserve(1, 0xa, held), Done);
        assert_eq!(rig.out(2, PREEMPT, of, &list(0xb, 0xc, 0)), Done, "{held} {of}");
        assert_eq!((rig.keys(), rig.held()), (vec![0xa, 0xb, 0xd], shown(0xa, held)), "{held} {of}");
        let all = [1, 2, 3, 4].map(|nexus| rig.attentions_of(nexus));
        assert_eq!(all, [vec![], vec![], vec![attention(0x2a, 0x05)], vec![]], "{held} {of}");
    }
}

#[test]
fn who_preempts_its_own_key_and_does_not_hold_goes_and_is_told_nothing() {
    for held in [0, 1, 3, 5, 6] {
        let rig = Rig::new(3);
        for (nexus, key) in [(1, 0xa), (2, 0xb), (3, 0xb)] {
            rig.register(nexus, key);
        }
        if held != 0 {
            assert_eq!(rig.reserve(1, 0xa, held), Done);
        }
        assert_eq!(rig.out(2, PREEMPT, 1, &list(0xb, 0xb, 0)), Done, "{held}");
        assert_eq!(rig.keys(), [0xa], "{held}");
        let all = [1, 2, 3].map(|nexus| rig.attentions_of(nexus));
        assert_eq!(all, [vec![], vec![], vec![attention(0x2a, 0x05)]], "{held}");
    }
}

#[test]
fn a_key_takes_registrations_alone_where_all_registrants_hold_be_it_the_makers_or_ones_own() {
    for (held, action) in [(7, PREEMPT), (8, PREEMPT), (7, PREEMPT_AND_ABORT), (8, PREEMPT_AND_ABORT)] {
        let rig = Rig::new(4);
        for (nexus, key) in [(1, 0xa), (2, 0xb), (3, 0xa), (4, 0xd)] {
            rig.register(nexus, key);
        }
        assert_eq!(rig.reserve(1, 0xa, held), Done);
        assert_eq!(rig.out(2, action, 1, &list(0xb, 0xa, 0)), Done);
        assert_eq!((rig.keys(), rig.held()), (vec![0xb, 0xd], Some((0, held))));
        assert_eq!(rig.out(2, action, 1, &list(0xb, 0xb, 0)), Done);
        assert_eq!((rig.keys(), rig.held()), (vec![0xd], Some((0, held))));
        let all = [1, 2, 3, 4].map(|nexus| rig.attentions_of(nexus));
        let preempted = vec![attention(0x2a, 0x05)];
        assert_eq!(all, [preempted.clone(), vec![], preempted, vec![]], "{held} {action}");
    }
}

#[test]
fn the_last_of_all_registrants_that_preempts_itself_takes_the_reservation_along() {
    for held in [7, 8] {
        let rig = Rig::new(2);
        rig.register(1, 0xa);
        assert_eq!(rig.reserve(1, 0xa, held), Done);
        assert_eq!(rig.out(1, PREEMPT, 1, &list(0xa, 0xa, 0)), Done);
        assert_eq!((rig.keys(), rig.held(), rig.send(2, WRITE)), (vec![], None, Done), "{held}");
    }
}

#[test]
fn preempt_and_abort_has_the_commands_of_the_preempted_aborted_and_every_reactor_come_by() {
    let rig = Rig::new(3);
    for (nexus, key) in [(1, 0xa), (2, 0xb), (3, 0xb)] {
        rig.register(nexus, key);
    }
    rig.quiesced.borrow_mut().clear();
    assert_eq!(rig.out(1, PREEMPT_AND_ABORT, 5, &list(0xa, 0xb, 0)), Done);
    let quiesced = rig.quiesced.take();
    let nexuses: Vec<_> = quiesced.iter().map(|(scope, aborted)| (scope.nexus, *aborted)).collect();
    let number = |last: u8| {
        let initiator = u64::from_be_bytes([0x60, 0x01, 0x40, 0x50, 0, 0, 0, last]);
        Some(NexusNumber { initiator, relative_port: last.into() })
    };
    assert_eq!(nexuses, [(number(3), true), (number(2), true), (None, false)]);
    assert!(quiesced[..2].iter().all(|(scope, _)| scope.unit == Some(rig.state.id())));
    assert_eq!(quiesced[2].0.client, Some(u64::MAX));
}

/// Who was there with the port of nexus 2 before it.
fn gone() -> NexusName {
    NexusName { initiator: "naa.6001405fffffffff".into(), relative_port: 2 }
}

/// Nexuses 1, 2 and 3, of which none is registered, at a unit where who is gone is, with the key D.
fn with_one_gone(kind: Option<Kind>) -> Rig {
    let registration = Registration { key: 0xd, all_target_ports: false, generation: 0 };
    let held = kind.map(|kind| Held { holder: gone(), kind });
    let registrations = [(gone(), registration)].into();
    let record = UnitRecord {
        reservations: Reservations { registrations, held, ..Reservations::default() },
        ..UnitRecord::default()
    };
    Rig::of(3, FLAGS, UnitState::new("serial", record, Arc::new(Volatile)))
}

#[test]
fn who_has_the_port_of_a_registrant_that_is_gone_is_neither_told_nor_aborted() {
    for action in [PREEMPT, PREEMPT_AND_ABORT] {
        for kind in [None, Some(Kind::ExclusiveAccessRegistrants), Some(Kind::WriteExclusiveAll)] {
            let rig = with_one_gone(kind);
            rig.register(1, 0xa);
            rig.quiesced.borrow_mut().clear();
            assert_eq!(rig.out(1, action, 5, &list(0xa, 0xd, 0)), Done, "{action} {kind:?}");
            let aborted: Vec<_> = rig
                .quiesced
                .take()
                .into_iter()
                .filter(|(_, aborts)| *aborts)
                .map(|(scope, _)| scope.nexus)
                .collect();
            let gone = NexusNumber { initiator: 0x6001_405f_ffff_ffff, relative_port: 2 };
            let expected = if action == PREEMPT { vec![] } else { vec![Some(gone)] };
            assert_eq!((rig.keys(), aborted), (vec![0xa], expected), "{action} {kind:?}");
            assert_eq!((rig.told(2), rig.told(3)), (vec![], vec![]), "{action} {kind:?}");
        }
    }
}

#[test]
fn who_has_the_port_of_a_registrant_that_is_gone_is_not_told_of_what_becomes_of_reservations() {
    for action in [CLEAR, RELEASE, REGISTER] {
        let rig = with_one_gone(None);
        rig.register(1, 0xa);
        rig.register(3, 0xc);
        assert_eq!(rig.reserve(1, 0xa, 5), Done);
        let of = if action == RELEASE { 5 } else { 0 };
        assert_eq!(rig.out(1, action, of, &list(0xa, 0, 0)), Done, "{action}");
        let told = if action == CLEAR { attention(0x2a, 0x03) } else { attention(0x2a, 0x04) };
        assert_eq!((rig.told(2), rig.told(3)), (vec![], vec![told]), "{action}");
    }
}

#[test]
fn who_has_the_port_of_a_holder_that_is_gone_is_barred_as_any_other() {
    let rig = with_one_gone(Some(Kind::ExclusiveAccess));
    for nexus in [2, 3] {
        assert_eq!(rig.send(nexus, READ), Conflict);
        assert_eq!(rig.send(nexus, RESERVE_6), Conflict);
    }
    // Its status is of a nexus that is not there.
    assert_eq!(rig.read(3)[32..44], [6, 0, 0, 0, 0x60, 0x01, 0x40, 0x5f, 0xff, 0xff, 0xff, 0xff]);
}
