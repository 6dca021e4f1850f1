// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access: what passes in which state, and what is told and set of target port groups.
//!
//! Above: nothing.  Below: `target`, through `execute`.
//! Never here: how a state is kept.

mod support;

use scsi::alua::{AccessState, AlteredBy, PortGroup, SupportedStates, Wanted};
use scsi::referrals::{Referrals, UserDataSegment};
use scsi::{Lba, Lun, Sense};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::Outcome::{Check, Done};
use support::{FLAGS, Outcome, Rig, attention, name};
use target::{AccessGroup, Alua, Membership, NexusName, Steer, UnitState};

const TEST_UNIT_READY: &[u8] = &[0x00, 0, 0, 0, 0, 0];
const REQUEST_SENSE: &[u8] = &[0x03, 0, 0, 0, 252, 0];
const INQUIRY: &[u8] = &[0x12, 0, 0, 0, 36, 0];
const IDENTIFICATION: &[u8] = &[0x12, 1, 0x83, 1, 0, 0];
const MODE_SENSE: &[u8] = &[0x1a, 0, 0x3f, 0, 252, 0];
const READ_CAPACITY_10: &[u8] = &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const READ_CAPACITY_16: &[u8] = &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
const READ_KEYS: &[u8] = &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0];
const REPORT_LUNS: &[u8] = &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
const REPORT_GROUPS: &[u8] = &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
const SUPPORTED_COMMANDS: &[u8] = &[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
const READ: &[u8] = &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const WRITE: &[u8] = &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const SYNCHRONIZE: &[u8] = &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const UNKNOWN: &[u8] = &[0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Remembers what it was asked for, and gives one answer to all.
struct Owner {
    asked: Mutex<Vec<(NexusName, Vec<Wanted>)>>,
    answer: Result<(), Sense>,
}

impl Steer for Owner {
    fn alter(&self, serial: &str, nexus: &NexusName, wanted: &[Wanted]) -> Result<(), Sense> {
        assert_eq!(serial, "serial");
        self.asked.lock().unwrap().push((nexus.clone(), wanted.to_vec()));
        self.answer
    }
}

fn group(id: u16, state: AccessState, ports: &[u16]) -> AccessGroup {
    AccessGroup {
        told: PortGroup {
            id,
            preferred: false,
            state,
            supported: SupportedStates::ALL_BUT_LBA_DEPENDENT,
            altered_by: AlteredBy::Nobody,
            ports: ports.to_vec(),
        },
        implicit_transition_seconds: 9,
        transition_delay: Duration::from_millis(30),
    }
}

/// Nexus 1 through group 0, which guests may change, and nexus 2 through group 5, which they may not.
fn rig(answer: Result<(), Sense>) -> (Rig, Arc<Owner>) {
    let state = UnitState::volatile("serial");
    let owner = Arc::new(Owner { asked: Mutex::default(), answer });
    state.set_alua(Alua {
        groups: vec![
            group(0, AccessState::Optimized, &[1]),
            group(5, AccessState::Standby, &[2]),
            group(6, AccessState::Standby, &[]),
        ],
        referrals: None,
        steer: Some(Arc::clone(&owner) as Arc<dyn Steer>),
    });
    let rig = Rig::in_groups(2, FLAGS, state, |nexus| {
        let (group, explicit) = if nexus == 2 { (5, false) } else { (0, true) };
        Some(Membership {
            group,
            lu_group: 7,
            implicit: true,
            explicit,
            multi_port: true,
            non_optimized_delay: Duration::from_millis(100),
            referrals: None,
        })
    });
    (rig, owner)
}

fn set(rig: &Rig, nexus: usize, list: &[u8]) -> Outcome {
    let bytes = u8::try_from(list.len()).unwrap();
    rig.send_with(nexus, 0, &[0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, bytes, 0, 0], list).0
}

#[test]
fn each_state_lets_pass_what_it_must_and_refuses_the_rest_by_its_name() {
    let (rig, _) = rig(Ok(()));
    let all: [(&str, &[u8], u8); 15] = [
        // 3: in every state of a group; 2: in standby too; 1: where blocks are reached.
        ("INQUIRY", INQUIRY, 3),
        ("REPORT LUNS", REPORT_LUNS, 3),
        ("REQUEST SENSE", REQUEST_SENSE, 3),
        ("REPORT TARGET PORT GROUPS", REPORT_GROUPS, 3),
        ("MODE SENSE", MODE_SENSE, 2),
        ("READ CAPACITY (10)", READ_CAPACITY_10, 2),
        ("READ CAPACITY (16)", READ_CAPACITY_16, 2),
        ("PERSISTENT RESERVE IN", READ_KEYS, 2),
        ("TEST UNIT READY", TEST_UNIT_READY, 1),
        ("READ", READ, 1),
        ("WRITE", WRITE, 1),
        ("SYNCHRONIZE CACHE", SYNCHRONIZE, 1),
        ("REPORT SUPPORTED OPERATION CODES", SUPPORTED_COMMANDS, 1),
        ("what is no command", UNKNOWN, 9),
        ("INQUIRY of a page", IDENTIFICATION, 3),
    ];
    for (state, reach, ascq) in
        [(0, 1, 0), (1, 1, 0), (4, 1, 0), (2, 2, 0x0b), (3, 3, 0x0c), (15, 3, 0x0a), (14, 4, 0x12)]
    {
        rig.attentions(1).gate().set_access_state(state);
        for (what, cdb, needs) in all {
            let expected = match needs {
                9 if state != 14 => Check(0x05, 0x20, 0x00),
                // Which blocks are reached its map says, and the map has not come yet.
                1 if state == 4 && [READ, WRITE].contains(&cdb) => Check(0x02, 0x04, 0x0a),
                needs if reach <= needs && needs != 9 => Done,
                _ => Check(0x02, 0x04, ascq),
            };
            assert_eq!(rig.send(1, cdb), expected, "{what} in state {state}");
        }
        // The other nexus, and the other LUN of this one, have ways of their own.
        assert_eq!(rig.send(2, READ), Done);
        assert_eq!(rig.send_to(1, 1, READ).0, Done);
    }
}

#[test]
fn a_state_is_the_last_to_be_told_of() {
    let (rig, _) = rig(Ok(()));
    rig.attentions(1).gate().set_access_state(2);
    rig.attentions(1).establish(Sense::ASYMMETRIC_ACCESS_STATE_CHANGED);
    assert_eq!(rig.send(1, READ), attention(0x2a, 0x06));
    assert_eq!(rig.send(1, READ), Check(0x02, 0x04, 0x0b));
}

#[test]
fn groups_are_told_with_their_ports_and_those_without_are_not() {
    let (rig, _) = rig(Ok(()));
    let (outcome, data) = rig.send_to(1, 0, REPORT_GROUPS);
    assert_eq!(outcome, Done);
    #[rustfmt::skip]
    assert_eq!(data, [
        0, 0, 0, 24,
        0x00, 0xcf, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1,
        0x02, 0xcf, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2,
    ]);
    let extended = [0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
    assert_eq!(rig.send_to(1, 0, &extended).1[..8], [0, 0, 0, 28, 0x10, 9, 0, 0]);
}

#[test]
fn inquiry_says_who_may_change_states_and_which_group_it_came_through() {
    let (rig, _) = rig(Ok(()));
    let flags = |nexus| {
        let data = rig.send_to(nexus, 0, INQUIRY).1;
        (data[5] & 0x30, data[6] & 0x10)
    };
    // TPGS 11b and 01b; MULTIP, for there are two ports.
    assert_eq!((flags(1), flags(2)), ((0x30, 0x10), (0x10, 0x10)));
    let page = rig.send_to(2, 0, IDENTIFICATION).1;
    let has = |designator: &[u8]| page.windows(designator.len()).any(|bytes| bytes == designator);
    assert!(has(&[0x61, 0x95, 0, 4, 0, 0, 0, 5]), "target port group 5: {page:02x?}");
    assert!(has(&[0x01, 0x06, 0, 4, 0, 0, 0, 7]), "logical unit group 7: {page:02x?}");
}

#[test]
fn setting_groups_is_asked_for_waited_for_and_seen_everywhere_before_it_is_good() {
    let (rig, owner) = rig(Ok(()));
    assert_eq!(set(&rig, 1, &[0, 0, 0, 0, 0x02, 0, 0, 0, 0x0e, 0, 0, 9]), Done);
    let wanted =
        vec![Wanted { state: AccessState::Standby, id: 0 }, Wanted { state: AccessState::Offline, id: 9 }];
    assert_eq!(*owner.asked.lock().unwrap(), [(name(1), wanted)]);
    assert_eq!(*rig.waited.borrow(), Duration::from_millis(30), "as long as a transition takes");
    assert_eq!(rig.quiesced.borrow().len(), 1, "every reactor has come by");
}

#[test]
fn setting_groups_is_not_good_before_the_transition_has_ended_and_waits_for_no_other_for_ever() {
    let (rig, owner) = rig(Ok(()));
    let unit = &rig.group(1).unit(Lun::default()).unwrap().unit.state;
    let groups = vec![group(0, AccessState::Transitioning, &[1]), group(9, AccessState::Optimized, &[9])];
    unit.set_alua(Alua { groups, referrals: None, steer: Some(owner as Arc<dyn Steer>) });
    assert_eq!(set(&rig, 1, &[0, 0, 0, 0, 0x02, 0, 0, 0]), Done);
    assert_eq!(*rig.waited.borrow(), Duration::from_millis(30 + 1000));
    // Another group's transition is none of its business, and nor is a port that has the number of a group.
    *rig.waited.borrow_mut() = Duration::ZERO;
    assert_eq!(set(&rig, 1, &[0, 0, 0, 0, 0x02, 0, 0, 9, 0x0e, 0, 0, 0]), Done);
    assert_eq!(*rig.waited.borrow(), Duration::from_millis(30));
}

#[test]
fn setting_groups_is_refused_as_spc_says() {
    let (rig, owner) = rig(Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST));
    assert_eq!(set(&rig, 1, &[0, 0, 0, 0, 0x02, 0, 0, 9]), Check(0x05, 0x26, 0x00));
    assert_eq!(owner.asked.lock().unwrap().len(), 1);
    assert!(rig.quiesced.borrow().is_empty(), "nothing has changed");
    assert_eq!(set(&rig, 1, &[0, 0, 0, 0, 0x0f, 0, 0, 0]), Check(0x05, 0x26, 0x00));
    assert_eq!(set(&rig, 1, &[0, 0, 0, 0, 0x02, 0]), Check(0x05, 0x1a, 0x00));
    // Nothing is asked for, which is no error.
    assert_eq!(set(&rig, 1, &[0, 0, 0, 0]), Done);
    // Through a group that guests may not change there is no such command.
    assert_eq!(set(&rig, 2, &[0, 0, 0, 0, 0x02, 0, 0, 5]), Check(0x05, 0x20, 0x00));
    assert_eq!(owner.asked.lock().unwrap().len(), 1);
}

#[test]
fn a_way_out_of_standby_is_open_and_one_out_of_a_transition_is_not() {
    for (state, expected) in
        [(2, Done), (3, Done), (15, Check(0x02, 0x04, 0x0a)), (14, Check(0x02, 0x04, 0x12))]
    {
        let (rig, _) = rig(Ok(()));
        rig.attentions(1).gate().set_access_state(state);
        assert_eq!(set(&rig, 1, &[0, 0, 0, 0, 0x00, 0, 0, 0]), expected, "state {state}");
    }
}

#[test]
fn a_transfer_that_is_not_optimized_waits_and_then_is_done() {
    let (rig, _) = rig(Ok(()));
    rig.attentions(1).gate().set_access_state(1);
    assert_eq!(rig.send(1, READ), Done);
    assert_eq!(*rig.waited.borrow(), Duration::from_millis(100));
    assert_eq!(rig.send(1, WRITE), Done);
    assert_eq!(*rig.waited.borrow(), Duration::from_millis(200));
    // What is no transfer does not wait.
    assert_eq!(rig.send(1, TEST_UNIT_READY), Done);
    assert_eq!(rig.send(1, INQUIRY), Done);
    assert_eq!(*rig.waited.borrow(), Duration::from_millis(200));
}

/// Blocks 0 to 7 of 16 are for group 0, 8 to 11 for group 5, and the rest for nobody.
fn lba_dependent() -> Rig {
    let state = UnitState::volatile("serial");
    let segment = |first, last, states: [AccessState; 2]| UserDataSegment {
        first: Lba(first),
        last: Lba(last),
        states: vec![(0, states[0]), (5, states[1])],
    };
    let referrals = Referrals {
        segment_blocks: 4,
        multiplier: 0,
        segments: vec![
            segment(0, 7, [AccessState::Optimized, AccessState::Standby]),
            segment(8, 11, [AccessState::Unavailable, AccessState::NonOptimized]),
        ],
    };
    let referrals = Some(Arc::new(referrals));
    let groups = vec![group(0, AccessState::LbaDependent, &[1]), group(5, AccessState::LbaDependent, &[2])];
    state.set_alua(Alua { groups, referrals: referrals.clone(), ..Alua::default() });
    let rig = Rig::in_groups(2, FLAGS, state, |nexus| {
        let group = if nexus == 2 { 5 } else { 0 };
        let referrals = referrals.clone();
        Some(Membership { group, implicit: true, referrals, ..Membership::default() })
    });
    for nexus in [1, 2] {
        rig.attentions(nexus).gate().set_access_state(4);
    }
    rig
}

const STANDBY: Outcome = Check(0x02, 0x04, 0x0b);
const UNAVAILABLE: Outcome = Check(0x02, 0x04, 0x0c);

#[test]
fn a_command_reaches_blocks_as_their_segment_says() {
    let rig = lba_dependent();
    let read = |nexus, first, blocks| rig.send(nexus, &[0x28, 0, 0, 0, 0, first, 0, 0, blocks, 0]);
    assert_eq!((read(1, 0, 8), read(2, 0, 8)), (Done, STANDBY));
    assert_eq!((read(1, 8, 4), read(2, 8, 4)), (UNAVAILABLE, Done));
    assert_eq!((read(1, 7, 2), read(2, 7, 2)), (UNAVAILABLE, STANDBY));
    assert_eq!((read(1, 12, 1), read(2, 11, 2)), (UNAVAILABLE, UNAVAILABLE));
    // None is touched; none is there.
    assert_eq!((read(1, 8, 0), read(1, 15, 2)), (Done, Check(0x05, 0x21, 0x00)));
    // A segment that is not optimized keeps nobody waiting.
    assert_eq!(*rig.waited.borrow(), Duration::ZERO);
}

#[test]
fn a_command_asks_its_map_of_luns_and_not_the_unit_which_others_may_be_changing() {
    let dependent = lba_dependent();
    dependent.state.set_alua(Alua::default());
    let read = |nexus, first| dependent.send(nexus, &[0x28, 0, 0, 0, 0, first, 0, 0, 4, 0]);
    assert_eq!((read(1, 0), read(2, 0)), (Done, STANDBY));
    assert_eq!((read(1, 8), read(2, 8)), (UNAVAILABLE, Done));
    let (other, _) = rig(Ok(()));
    other.state.set_alua(Alua::default());
    other.attentions(1).gate().set_access_state(1);
    assert_eq!(other.send(1, READ), Done);
    assert_eq!(*other.waited.borrow(), Duration::from_millis(100));
}

#[test]
fn every_command_on_blocks_is_refused_where_they_are_not_reached_and_no_other_is() {
    let rig = lba_dependent();
    let block = [0x5a; 512];
    let ten = |code, flags, first| vec![code, flags, 0, 0, 0, first, 0, 0, 1, 0];
    let sixteen = |code, flags, first| vec![code, flags, 0, 0, 0, 0, 0, 0, 0, first, 0, 0, 0, 1, 0, 0];
    type Cdb = Box<dyn Fn(u8) -> Vec<u8>>;
    let of_blocks: [(&str, Cdb, usize); 12] = [
        ("READ (6)", Box::new(|first| vec![0x08, 0, 0, first, 1, 0]), 0),
        ("READ (16)", Box::new(move |first| sixteen(0x88, 0, first)), 0),
        ("WRITE (10)", Box::new(move |first| ten(0x2a, 0, first)), 1),
        ("WRITE AND VERIFY (10)", Box::new(move |first| ten(0x2e, 0, first)), 1),
        ("VERIFY (10)", Box::new(move |first| ten(0x2f, 0, first)), 0),
        ("VERIFY (10) with data", Box::new(move |first| ten(0x2f, 2, first)), 1),
        ("PRE-FETCH (10)", Box::new(move |first| ten(0x34, 0, first)), 0),
        ("WRITE SAME (10)", Box::new(move |first| ten(0x41, 0, first)), 1),
        ("WRITE SAME (16) without data", Box::new(move |first| sixteen(0x93, 1, first)), 0),
        (
            "COMPARE AND WRITE",
            Box::new(|first| vec![0x89, 0, 0, 0, 0, 0, 0, 0, 0, first, 0, 0, 0, 1, 0, 0]),
            2,
        ),
        ("ORWRITE (16)", Box::new(move |first| sixteen(0x8b, 0, first)), 1),
        ("SANITIZE", Box::new(|_| vec![0x48, 1, 0, 0, 0, 0, 0, 0, 0, 0]), 0),
    ];
    for (name, cdb, blocks) in of_blocks {
        let send = |first| rig.send_with(1, 0, &cdb(first), &block.repeat(blocks)).0;
        assert_eq!(send(8), UNAVAILABLE, "{name}");
        if name != "SANITIZE" {
            assert_ne!(send(3), UNAVAILABLE, "{name}");
        }
    }
    // Up to the end of the medium.
    assert_eq!(rig.send(1, &[0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0]), UNAVAILABLE);
    for (name, cdb) in [
        ("TEST UNIT READY", TEST_UNIT_READY),
        ("SYNCHRONIZE CACHE", SYNCHRONIZE),
        ("GET LBA STATUS", &[0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 24, 0, 0]),
        ("SEEK", &[0x2b, 0, 0, 0, 0, 8, 0, 0, 0, 0]),
        ("READ CAPACITY", READ_CAPACITY_10),
        ("INQUIRY", INQUIRY),
        ("SANITIZE, EXIT FAILURE MODE", &[0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(rig.send(1, cdb), Done, "{name}");
    }
}

#[test]
fn a_copy_reaches_blocks_as_their_segment_says() {
    let rig = lba_dependent();
    // One unit, named by the digits of its serial number, copied to itself.
    let mut unit = vec![0xe4, 0, 0, 0, 1, 3, 0, 16, 0x60, 0x01, 0x40, 0x5e, 0xa0];
    unit.resize(32, 0);
    let copy = |nexus, from, to, blocks| {
        let header = [0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0];
        let segment = [2, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, blocks];
        let lbas = [0, 0, 0, 0, 0, 0, 0, from, 0, 0, 0, 0, 0, 0, 0, to];
        let list = [&header[..], &unit, &unit, &segment, &lbas].concat();
        rig.send_with(nexus, 0, &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 108, 0, 0], &list).0
    };
    let failed = Check(0x0a, 0x0d, 0x01);
    assert_eq!((copy(1, 0, 4, 4), copy(2, 8, 10, 2)), (Done, Done));
    assert_eq!((copy(1, 0, 8, 1), copy(1, 8, 0, 1)), (failed.clone(), failed.clone()));
    assert_eq!((copy(1, 4, 0, 5), copy(2, 0, 8, 1)), (failed.clone(), failed));
    assert_eq!(copy(1, 0, 15, 2), Check(0x0a, 0x00, 0x00), "what is not there at all");
}

#[test]
fn a_copy_asks_the_group_and_the_segments_again_before_each_piece() {
    let mut unit = vec![0xe4, 0, 0, 0, 1, 3, 0, 16, 0x60, 0x01, 0x40, 0x5e, 0xa0];
    unit.resize(32, 0);
    let header = [0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 56, 0, 0, 0, 0];
    let segment = |from, to| {
        let lbas = [0, 0, 0, 0, 0, 0, 0, from, 0, 0, 0, 0, 0, 0, 0, to];
        [&[2, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 4][..], &lbas].concat()
    };
    let list = [&header[..], &unit, &unit, &segment(0, 4), &segment(4, 0)].concat();
    // While the first piece is read, and while it is written; the same of the second.
    for begun in 1..=3 {
        for is_whole_unit in [true, false] {
            let rig = lba_dependent();
            let attentions = Arc::clone(&rig.group(1).unit(Lun::default()).unwrap().attentions);
            let state = Arc::clone(&rig.state);
            let happens = move || {
                if is_whole_unit {
                    attentions.gate().set_access_state(3);
                } else {
                    let segments = vec![UserDataSegment {
                        first: Lba(0),
                        last: Lba(15),
                        states: vec![(0, AccessState::Standby)],
                    }];
                    let referrals = Referrals { segment_blocks: 4, multiplier: 0, segments };
                    let groups = vec![group(0, AccessState::LbaDependent, &[1])];
                    let referrals = Some(Arc::new(referrals));
                    state.set_alua(Alua { groups, referrals, ..Alua::default() });
                }
            };
            *rig.meanwhile.borrow_mut() = Some((begun, Box::new(happens)));
            let cdb = [0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 136, 0, 0];
            let ended = rig.send_with(1, 0, &cdb, &list).0;
            assert_eq!(ended, Check(0x0a, 0x0d, 0x01), "{begun} {is_whole_unit}");
            assert_eq!(rig.done.borrow().len(), begun, "{is_whole_unit}: {:?}", rig.done);
        }
    }
}

#[test]
fn referrals_are_told_from_a_block_on() {
    let rig = lba_dependent();
    let ask = |first, one| rig.send_to(1, 0, &[0x9e, 0x13, 0, 0, 0, 0, 0, 0, 0, first, 0, 0, 0, 255, one, 0]);
    let first = [
        0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, /* standby */ 2, 0, 0, 5,
    ];
    let second = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 11, 3, 0, 0, 0, 1, 0, 0, 5];
    assert_eq!(ask(0, 0), (Done, [&[0, 0, 0, 56][..], &first, &second].concat()));
    assert_eq!(ask(0, 1), (Done, [&[0, 0, 0, 28][..], &first].concat()));
    assert_eq!(ask(8, 0), (Done, [&[0, 0, 0, 28][..], &second].concat()));
    assert_eq!(ask(12, 0), (Done, vec![0, 0, 0, 0]));
    assert_eq!(ask(16, 0).0, Check(0x05, 0x21, 0x00));
    let shape = rig.send_to(1, 0, &[0x12, 1, 0xb3, 1, 0, 0]).1;
    assert_eq!(shape[4..16], [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    assert_eq!(rig.send_to(1, 0, &[0x12, 1, 0x86, 1, 0, 0]).1[8], 0x10);
    // In standby too there is no more than SPC-4 says.
    rig.attentions(1).gate().set_access_state(2);
    assert_eq!(ask(0, 0).0, STANDBY);
}

#[test]
fn every_command_that_touches_blocks_waits_where_they_are_not_optimized_and_a_flush_does_not() {
    let (rig, _) = rig(Ok(()));
    rig.attentions(1).gate().set_access_state(1);
    let block: &[u8] = &[0; 512];
    let two: &[u8] = &[0; 1024];
    let waits: [(&str, &[u8], &[u8]); 6] = [
        ("VERIFY", &[0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 0], &[]),
        ("VERIFY, BYTCHK", &[0x2f, 0x02, 0, 0, 0, 0, 0, 0, 1, 0], block),
        ("WRITE AND VERIFY", &[0x2e, 0, 0, 0, 0, 0, 0, 0, 1, 0], block),
        ("WRITE SAME", &[0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0], block),
        ("COMPARE AND WRITE", &[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], two),
        ("ORWRITE", &[0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], block),
    ];
    for (name, cdb, data) in waits {
        *rig.waited.borrow_mut() = Duration::ZERO;
        // What the medium here does not hold may well differ.
        let outcome = rig.send_with(1, 0, cdb, data).0;
        assert!(matches!(outcome, Done | Check(0x0e, 0x1d, 0x00)), "{name}: {outcome:?}");
        assert_eq!(*rig.waited.borrow(), Duration::from_millis(100), "{name}");
    }
    *rig.waited.borrow_mut() = Duration::ZERO;
    assert_eq!(rig.send(1, SYNCHRONIZE), Done);
    assert_eq!(*rig.waited.borrow(), Duration::ZERO);
}

#[test]
fn a_unit_without_groups_claims_no_asymmetric_access() {
    let rig = Rig::new(1);
    assert_eq!(rig.send_to(1, 0, INQUIRY).1[5] & 0x30, 0);
    assert_eq!(rig.send_to(1, 0, REPORT_GROUPS), (Done, vec![0, 0, 0, 0]));
    assert_eq!(set(&rig, 1, &[0, 0, 0, 0, 0x02, 0, 0, 0]), Check(0x05, 0x20, 0x00));
    let referrals = [0x9e, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0];
    assert_eq!(rig.send(1, &referrals), Check(0x05, 0x24, 0x00));
    assert_eq!(rig.group(1).unit(Lun::default()).unwrap().membership, None);
}
