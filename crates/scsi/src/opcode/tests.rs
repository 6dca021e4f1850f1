// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the table of commands says, row by row and as a whole.
//!
//! Above: nothing.  Below: `opcode`.
//! Never here: an answer of a unit.

use super::*;
use std::collections::HashSet;

fn decoded(bytes: &[u8]) -> Result<Command, Sense> {
    let mut cdb = [0xff; CDB_BYTES_MAX]; // What follows a CDB has no meaning.
    cdb[..bytes.len()].copy_from_slice(bytes);
    decode(&cdb)
}

#[test]
fn a_command_is_named_from_two_bytes_of_it() {
    for (cdb, name) in [
        (&[0x2a, 0xff][..], "WRITE (10)"),
        (&[0x35], "SYNCHRONIZE CACHE (10)"),
        (&[0x9e, 0x10], "READ CAPACITY (16)"),
        (&[0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, 0x0d], "WRITE SAME (32)"),
        (&[0xff], "a command without a name"),
    ] {
        let mut whole = [0; CDB_BYTES_MAX];
        whole[..cdb.len()].copy_from_slice(cdb);
        assert_eq!(name_of(code_of(&whole)), name);
    }
}

#[test]
fn no_command_and_no_name_is_in_the_table_twice() {
    let (mut commands, mut names) = (HashSet::new(), HashSet::new());
    for opcode in OPCODES {
        assert!(commands.insert((opcode.code(), opcode.service_action)), "{}", opcode.name);
        assert!(names.insert(opcode.name), "{}", opcode.name);
    }
    assert_eq!(commands.len(), 77);
}

#[test]
fn an_operation_code_has_service_actions_or_has_none() {
    for opcode in OPCODES.iter().filter(|opcode| opcode.service_action.is_none()) {
        assert_eq!(rows(opcode.code()).len(), 1, "{}", opcode.name);
    }
}

#[test]
fn each_operation_code_leads_to_its_rows() {
    for code in 0..=u8::MAX {
        let expected: Vec<_> = OPCODES.iter().filter(|row| row.code() == code).map(|row| row.name).collect();
        let found: Vec<_> = rows(code).iter().map(|row| row.name).collect();
        assert_eq!(found, expected, "{code:02x}");
    }
}

#[test]
fn a_cdb_is_as_long_as_the_group_of_its_operation_code_says() {
    for opcode in OPCODES {
        let bytes = match opcode.code() {
            0x00..=0x1f => 6,
            0x20..=0x5f => 10,
            0x80..=0x9f => 16,
            0xa0..=0xbf => 12,
            0x7f => 32,
            _ => panic!("{} belongs to no group", opcode.name),
        };
        assert_eq!(opcode.cdb_bytes(), bytes, "{}", opcode.name);
    }
}

#[test]
fn usage_data_holds_the_service_action_and_naca() {
    for opcode in OPCODES {
        let is_long = opcode.code() == 0x7f;
        if let Some(service_action) = opcode.service_action {
            let held = if is_long { opcode.usage[9] } else { opcode.usage[1] & 0x1f };
            assert_eq!(u16::from(held), service_action, "{}", opcode.name);
        }
        let control = if is_long { opcode.usage.get(1) } else { opcode.usage.last() };
        assert_eq!(control, Some(&0x04), "{}", opcode.name);
        let conditional = opcode.dpofua_bits | opcode.unmap_bits | opcode.protect_bits | opcode.absent_bits;
        let flags = if is_long { opcode.usage[10] } else { opcode.usage[1] };
        assert_eq!(flags & conditional, conditional, "{}", opcode.name);
    }
}

#[test]
fn a_command_passes_the_reservations_that_the_standards_say() {
    // Written out: whoever adds a row says here which column of SPC's and SBC's tables it has.
    let always = [0x4d, 0x00, 0x03, 0x12, 0x16, 0x17, 0x25, 0x56, 0x57, 0x5e, 0x5f, 0x9e, 0xa0];
    let reads = [0x1c, 0x08, 0x1a, 0x28, 0x2f, 0x35, 0x5a, 0x88, 0x8f, 0x91, 0xa3, 0xa8, 0xaf];
    let media_reads = [0x01, 0x0b, 0x2b, 0x34, 0x37, 0x90, 0xb7];
    let legacy = [0x03, 0x12, 0x17, 0x57, 0xa0];
    for opcode in OPCODES {
        let code = opcode.code();
        let reads = reads.contains(&code) || media_reads.contains(&code);
        let expected = match (always.contains(&code), reads) {
            // GET LBA STATUS, beside READ CAPACITY (16).
            _ if opcode.order() == (0x9e, 0x12) => Access::Reads,
            (true, _) => Access::Always,
            // REPORT IDENTIFYING INFORMATION and REPORT TARGET PORT GROUPS, beside service actions that are not always done.
            (_, true) if [(0xa3, 0x05), (0xa3, 0x0a)].contains(&opcode.order()) => Access::Always,
            (_, true) => Access::Reads,
            _ => Access::Writes,
        };
        assert_eq!(opcode.access, expected, "{}", opcode.name);
        assert_eq!(opcode.passes_legacy, legacy.contains(&code), "{}", opcode.name);
    }
}

#[test]
fn starting_and_allowing_removal_pass_reservations_and_their_opposites_do_not() {
    let access = |bytes: &[u8]| {
        let mut cdb = [0xff; CDB_BYTES_MAX];
        cdb[..bytes.len()].copy_from_slice(bytes);
        find(&cdb).map(|row| row.access_of(&cdb))
    };
    let start_stop = |byte_4| access(&[0x1b, 0, 0, 0, byte_4, 0]);
    for starts in [0x01, /* NO_FLUSH */ 0x05, /* LOEJ */ 0x03] {
        assert_eq!(start_stop(starts), Some(Access::Always), "{starts:02x}");
    }
    for does_not in [0x00, 0x02, 0x04, /* ACTIVE */ 0x10, 0x11] {
        assert_eq!(start_stop(does_not), Some(Access::Writes), "{does_not:02x}");
    }
    let prevent = |byte_4| access(&[0x1e, 0, 0, 0, byte_4, 0]);
    assert_eq!(prevent(0), Some(Access::Always));
    assert_eq!(prevent(1), Some(Access::Writes));
    assert_eq!(access(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Some(Access::Reads));
}

#[test]
fn only_inquiry_report_luns_and_request_sense_pass_a_unit_attention() {
    for opcode in OPCODES {
        let passes = opcode.attention == AttentionRule::Passed;
        assert_eq!(passes, [0x03, 0x12, 0xa0].contains(&opcode.code()), "{}", opcode.name);
    }
}

#[test]
fn a_command_is_executed_again_only_if_it_leaves_the_same_behind() {
    // Written out, so that whoever adds a row must say here too what it does when it is done twice.
    let reads = [
        0x1c, 0x1d, 0x4d, 0x00, 0x03, 0x08, 0x12, 0x1a, 0x25, 0x28, 0x5a, 0x5e, 0x88, 0x9e, 0xa0, 0xa3, 0xa8,
    ];
    let more_reads = [0x37, 0x84, 0xb7];
    // Whoever has it gets it again, and whoever has it not releases nothing.
    let reserves = [0x16, 0x17, 0x56, 0x57];
    // RESERVE and RELEASE too, and REGISTER AND IGNORE EXISTING KEY. The others depend on the key that is there.
    let persistently = [(0x5f, Some(1)), (0x5f, Some(2)), (0x5f, Some(6))];
    let verifies = [0x01, 0x0b, 0x2b, 0x2f, 0x8f, 0xaf, 0x34, 0x90];
    // The same data in the same place, before any later write to it is answered.
    let writes = [0x0a, 0x2a, 0x8a, 0xaa, 0x2e, 0x8e, 0xae, 0x41, 0x93, 0x7f, 0x9c];
    let gives_up_the_same_blocks = [0x42];
    let changes_nothing_or_sets_a_switch = [0x04, 0x1e];
    let flushes_and_says_so = [0x1b, 0x35, 0x91];
    // The same values, whatever they were before.
    let sets = [0x15, 0x4c, 0x55];
    let harmless = [
        &reads[..],
        &more_reads,
        &reserves,
        &verifies,
        &writes,
        &gives_up_the_same_blocks,
        &changes_nothing_or_sets_a_switch,
        &flushes_and_says_so,
        &sets,
    ]
    .concat();
    let forgets_a_failure = (0x48, Some(0x1f));
    for opcode in OPCODES {
        let command = (opcode.code(), opcode.service_action);
        let is_harmless = harmless.contains(&opcode.code())
            || persistently.contains(&command)
            || command == forgets_a_failure;
        let expected = if is_harmless { Repeat::Harmless } else { Repeat::Never };
        assert_eq!(opcode.repeat, expected, "{}", opcode.name);
        let mut cdb = [0; CDB_BYTES_MAX];
        cdb[..opcode.cdb_bytes()].copy_from_slice(opcode.usage);
        assert_eq!(repeat_of(&cdb), expected, "{}", opcode.name);
    }
    // REGISTER, CLEAR, both kinds of PREEMPT, REGISTER AND MOVE, and SET TARGET PORT GROUPS; both ways to SANITIZE,
    // EXTENDED COPY, COMPARE AND WRITE and ORWRITE.
    assert_eq!(OPCODES.iter().filter(|opcode| opcode.repeat == Repeat::Never).count(), 11);
}

#[test]
fn each_access_state_lets_pass_what_spc_says() {
    let passing = |state: u8| -> Vec<(u8, Option<u16>)> {
        let state = crate::alua::AccessState::parse(state).expect("a state");
        let rows = OPCODES.iter().filter(|row| row.reach.passes(state));
        rows.map(|row| (row.code(), row.service_action)).collect()
    };
    for active in [0, 1, 4] {
        assert_eq!(passing(active).len(), OPCODES.len(), "state {active}");
    }
    let all = |list: &[(u8, Option<u16>)], state: u8| {
        let passing = passing(state);
        for command in list {
            assert!(passing.contains(command), "{command:02x?} passes in state {state}");
        }
        for command in &passing {
            assert!(list.contains(command), "{command:02x?} does not pass in state {state}");
        }
    };
    // REQUEST SENSE, INQUIRY, REPORT LUNS, REPORT TARGET PORT GROUPS.
    let always = [(0x03, None), (0x12, None), (0xa0, None), (0xa3, Some(0x0a))];
    all(&always, 0xf);
    let set = [(0xa4, Some(0x0a))];
    all(&[&always[..], &set].concat(), 0x3);
    // MODE SELECT and MODE SENSE, logs, diagnostics, READ CAPACITY and what reserves persistently; not TEST UNIT READY.
    let plain = [0x15, 0x1a, 0x1c, 0x1d, 0x25, 0x4c, 0x4d, 0x55, 0x5a].map(|code| (code, None));
    let standby = [&plain[..], &[(0x9e, Some(0x10))]].concat();
    let reserving =
        (0..4).map(|action| (0x5e, Some(action))).chain((0..8).map(|action| (0x5f, Some(action))));
    let reserving: Vec<_> = reserving.collect();
    all(&[&always[..], &set, &standby, &reserving].concat(), 0x2);
    all(&[], 0xe);
}

#[test]
fn an_unknown_operation_code_is_invalid() {
    assert_eq!(decoded(&[0x05, 0, 0, 0, 0, 0]), Err(Sense::INVALID_OPCODE));
    assert_eq!(decoded(&[0x7e, 0, 0, 0, 0, 0]), Err(Sense::INVALID_OPCODE));
    assert_eq!(decoded(&[0xff, 0, 0, 0, 0, 0]), Err(Sense::INVALID_OPCODE));
}

fn decoded_for(unit: Capabilities, bytes: &[u8]) -> Result<(), Sense> {
    let mut cdb = [0xff; CDB_BYTES_MAX];
    cdb[..bytes.len()].copy_from_slice(bytes);
    unit.decode(&cdb).map(drop)
}

#[test]
fn dpo_and_fua_need_a_unit_that_has_them() {
    let without = Capabilities { dpofua: false, ..Capabilities::ALL };
    let with = Capabilities { dpofua: true, ..without };
    let write_fua = [0x2a, 0x08, 0, 0, 0, 0, 0, 0, 1, 0];
    let read_dpo = [0x88, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    let verify_dpo = [0x2f, 0x10, 0, 0, 0, 0, 0, 0, 1, 0];
    for cdb in [&write_fua[..], &read_dpo, &verify_dpo] {
        assert_eq!(decoded_for(without, cdb), Err(Sense::INVALID_FIELD_IN_CDB), "{cdb:02x?}");
        assert_eq!(decoded_for(with, cdb), Ok(()), "{cdb:02x?}");
    }
    assert_eq!(decoded_for(without, &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Ok(()));
}

#[test]
fn the_same_bits_of_a_six_byte_command_are_an_address() {
    let without = Capabilities { dpofua: false, ..Capabilities::ALL };
    assert_eq!(decoded_for(without, &[0x08, 0x1f, 0, 0, 1, 0]), Ok(()));
    assert_eq!(decoded_for(without, &[0x0a, 0x1f, 0, 0, 1, 0]), Ok(()));
}

#[test]
fn the_unmap_bit_of_write_same_needs_a_unit_that_has_it() {
    let without = Capabilities { write_same_unmaps: false, ..Capabilities::ALL };
    let mut long = [0; 32];
    long[7..11].copy_from_slice(&[0x18, 0, 0x0d, 0x08]);
    (long[0], long[31]) = (0x7f, 1);
    let short = [0x41, 0x08, 0, 0, 0, 0, 0, 0, 1, 0];
    for cdb in [&short[..], &[0x93, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], &long] {
        assert_eq!(decoded_for(without, cdb), Err(Sense::INVALID_FIELD_IN_CDB), "{cdb:02x?}");
        assert_eq!(decoded_for(Capabilities::ALL, cdb), Ok(()), "{cdb:02x?}");
    }
}

#[test]
fn what_a_unit_lacks_takes_its_commands_away() {
    let unmap: &[u8] = &[0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let caw: &[u8] = &[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let copy: &[u8] = &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let atomic: &[u8] = &[0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let prevent: &[u8] = &[0x1e, 0, 0, 0, 0, 0];
    let erase: &[u8] = &[0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    for (without, cdb) in [
        (Capabilities { unmap: false, ..Capabilities::ALL }, unmap),
        (Capabilities { compare_and_write: false, ..Capabilities::ALL }, caw),
        (Capabilities { third_party_copy: false, ..Capabilities::ALL }, copy),
        (Capabilities { write_atomic: false, ..Capabilities::ALL }, atomic),
        (Capabilities { removable: false, ..Capabilities::ALL }, prevent),
    ] {
        assert_eq!(decoded_for(without, cdb), Err(Sense::INVALID_OPCODE), "{cdb:02x?}");
        assert_eq!(decoded_for(Capabilities::ALL, cdb), Ok(()), "{cdb:02x?}");
    }
    // The operation code stays: other service actions of it are there.
    let without = Capabilities { referrals: false, ..Capabilities::ALL };
    let referrals = [0x9e, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(decoded_for(without, &referrals), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(1, 4)));
    assert_eq!(decoded_for(Capabilities::ALL, &referrals), Ok(()));
    let without = Capabilities { unmap: false, write_same_unmaps: false, ..Capabilities::ALL };
    assert_eq!(decoded_for(without, erase), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(1, 4)));
    assert_eq!(decoded_for(Capabilities::ALL, erase), Ok(()));
}

#[test]
fn protection_information_is_refused_in_every_form() {
    let unit = Capabilities::ALL;
    for opcode in
        [0x28, 0x2a, 0x2e, 0x2f, 0x41, 0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x8f, 0x93, 0xa8, 0xaa, 0xae, 0xaf]
    {
        for protect in [0x20, 0x40, 0x80] {
            let mut cdb = [0; 16];
            cdb[..2].copy_from_slice(&[opcode, protect]);
            assert_eq!(decoded_for(unit, &cdb), Err(Sense::INVALID_FIELD_IN_CDB), "{cdb:02x?}");
        }
    }
}

#[test]
fn an_attribute_can_take_a_command_away() {
    let with = Capabilities::ALL;
    let without = Capabilities { report_supported_operation_codes: false, ..with };
    let cdb = [0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];
    assert_eq!(decoded_for(with, &cdb), Ok(()));
    assert_eq!(decoded_for(without, &cdb), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(1, 4)));
    let with_a_bad_field = [0xa3, 0x0c, 7, 0, 0, 0, 0, 0, 4, 0, 0, 0];
    assert_eq!(decoded_for(without, &with_a_bad_field), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(1, 4)));
}
