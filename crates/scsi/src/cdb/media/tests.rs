// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Literal CDBs of the commands of this chapter.
//!
//! Above: nothing.  Below: `opcode`, through which a CDB is read.
//! Never here: what a unit makes of them.

use super::*;
use crate::cdb::block::Verify;
use crate::{CDB_BYTES_MAX, CopyQuestion, CopyResults, decode};

/// Decodes a CDB that is followed by bytes without meaning.
fn decoded(bytes: &[u8]) -> Result<Command, Sense> {
    let mut cdb = [0xff; CDB_BYTES_MAX];
    cdb[..bytes.len()].copy_from_slice(bytes);
    decode(&cdb)
}

fn check(bytes: &[u8], command: Command) {
    assert_eq!(decoded(bytes), Ok(command), "{bytes:02x?}");
}

fn check_refused(bytes: &[u8]) {
    assert_eq!(decoded(bytes), Err(Sense::INVALID_FIELD_IN_CDB), "{bytes:02x?}");
}

fn phase(bytes: &[u8]) -> DataPhase {
    decoded(bytes).unwrap().data_phase()
}

/// A CDB of 32 bytes with these flags.
fn write_same_32(length: u8, flags: u8) -> [u8; 32] {
    let mut cdb = [0; 32];
    cdb[..11].copy_from_slice(&[0x7f, 0, 0, 0, 0, 0, 0, length, 0, 0x0d, flags]);
    cdb[12..20].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    cdb[28..].copy_from_slice(&[9, 10, 11, 12]);
    cdb
}

#[test]
fn pre_fetch_says_where_and_how_much() {
    let (first, blocks) = (Lba(0x0102_0304), BlockCount(0x0506));
    let immediate = Command::PreFetch(PreFetch { first, blocks, immediate: true });
    check(&[0x34, 0x02, 1, 2, 3, 4, 0, 5, 6, 0], immediate);
    let (first, blocks) = (Lba(0x0102_0304_0506_0708), BlockCount(0x090a_0b0c));
    let waits = Command::PreFetch(PreFetch { first, blocks, immediate: false });
    check(&[0x90, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0], waits);
    assert_eq!(phase(&[0x34, 0, 0, 0, 0, 0, 0, 0, 1, 0]), DataPhase::None);
}

#[test]
fn write_same_of_each_length_takes_one_block() {
    let same = |first, blocks, unmap| {
        let (first, blocks) = (Lba(first), BlockCount(blocks));
        Command::WriteSame(WriteSame { first, blocks, unmap, no_data: false, protect: 0 })
    };
    check(&[0x41, 0x08, 1, 2, 3, 4, 0, 5, 6, 0], same(0x0102_0304, 0x0506, true));
    let long = same(0x0102_0304_0506_0708, 0x090a_0b0c, false);
    check(&[0x93, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0], long);
    check(&write_same_32(0x18, 0), long);
    check(&write_same_32(0x18, 0x08), same(0x0102_0304_0506_0708, 0x090a_0b0c, true));
    let one_block = DataPhase::Write { blocks: BlockCount(1) };
    assert_eq!(phase(&[0x41, 0, 0, 0, 0, 0, 0, 0, 9, 0]), one_block);
    // Without data, where there is a bit for that.
    assert_eq!(phase(&[0x93, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0]), DataPhase::None);
    assert_eq!(phase(&[0x93, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0]), DataPhase::None);
    assert_eq!(phase(&write_same_32(0x18, 0x01)), DataPhase::None);
    assert_eq!(phase(&[0x41, 0x01, 0, 0, 0, 0, 0, 0, 9, 0]), one_block, "it is obsolete there");
}

#[test]
fn write_same_refuses_anchors_other_data_and_the_rest_of_the_medium() {
    for flag in [/* ANCHOR */ 0x10, /* PBDATA */ 0x04, /* LBDATA */ 0x02, 0x18] {
        check_refused(&[0x41, flag, 0, 0, 0, 0, 0, 0, 1, 0]);
        check_refused(&[0x93, flag, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        check_refused(&write_same_32(0x18, flag));
    }
    check_refused(&[0x41, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    check_refused(&write_same_32(0x19, 0));
}

#[test]
fn unmap_takes_a_list_and_no_anchor() {
    check(&[0x42, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0], Command::Unmap(Unmap { list_bytes: 0x1234 }));
    check_refused(&[0x42, 1, 0, 0, 0, 0, 0, 0, 24, 0]);
    assert_eq!(phase(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0]), DataPhase::Out { bytes: 24 });
}

#[test]
fn compare_and_write_takes_twice_as_many_blocks() {
    let cdb = [0x89, 0x08, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 200, 0, 0];
    let (first, blocks) = (Lba(0x0102_0304_0506_0708), BlockCount(200));
    check(&cdb, Command::CompareAndWrite(Write { first, blocks, fua: true, dpo: false, protect: 0 }));
    assert_eq!(phase(&cdb), DataPhase::Write { blocks: BlockCount(400) });
}

#[test]
fn or_write_and_write_atomic_take_as_many_blocks_as_they_say() {
    let or_write = [0x8b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0];
    let (first, blocks) = (Lba(0x0102_0304_0506_0708), BlockCount(0x090a_0b0c));
    check(&or_write, Command::OrWrite(Write { first, blocks, fua: false, dpo: false, protect: 0 }));
    assert_eq!(phase(&or_write), DataPhase::Write { blocks });
    let atomic = [0x9c, 0x08, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0];
    let blocks = BlockCount(0x0b0c);
    let write = Write { first, blocks, fua: true, dpo: false, protect: 0 };
    check(&atomic, Command::WriteAtomic(WriteAtomic { write, boundary: 0x090a }));
    assert_eq!(phase(&atomic), DataPhase::Write { blocks });
}

#[test]
fn write_and_verify_always_takes_all_blocks() {
    let verify = |byte_check| {
        let (first, blocks) = (Lba(5), BlockCount(7));
        Command::WriteAndVerify(Verify { first, blocks, byte_check, dpo: false, protect: 0 })
    };
    check(&[0x2e, 0x00, 0, 0, 0, 5, 0, 0, 7, 0], verify(0));
    check(&[0xae, 0x02, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0], verify(1));
    check(&[0x8e, 0x02, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0], verify(1));
    check_refused(&[0x2e, 0x04, 0, 0, 0, 5, 0, 0, 7, 0]);
    assert_eq!(phase(&[0x2e, 0, 0, 0, 0, 5, 0, 0, 7, 0]), DataPhase::Write { blocks: BlockCount(7) });
}

#[test]
fn get_lba_status_says_from_where() {
    let (first, allocation_bytes) = (Lba(0x0102_0304_0506_0708), 0x090a_0b0c);
    let status = Command::GetLbaStatus(GetLbaStatus { first, allocation_bytes });
    check(&[0x9e, 0x12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0], status);
}

#[test]
fn read_defect_data_says_which_lists() {
    let ask = |long_header, primary, grown, allocation_bytes| {
        let format = 5;
        Command::ReadDefectData(ReadDefectData { long_header, primary, grown, format, allocation_bytes })
    };
    check(&[0x37, 0, 0x15, 0, 0, 0, 0, 1, 2, 0], ask(false, true, false, 0x0102));
    check(&[0xb7, 0x0d, 9, 9, 9, 9, 1, 2, 3, 4, 0, 0], ask(true, false, true, 0x0102_0304));
}

#[test]
fn sanitize_has_three_ways() {
    let sanitize = |kind, immediate, unrestricted_exit, list_bytes| {
        Command::Sanitize(Sanitize { kind, immediate, unrestricted_exit, list_bytes })
    };
    let overwrite = sanitize(SanitizeKind::Overwrite, true, false, 0x0204);
    check(&[0x48, 0x81, 0, 0, 0, 0, 0, 2, 4, 0], overwrite);
    let erase = sanitize(SanitizeKind::BlockErase, false, true, 0);
    check(&[0x48, 0x22, 0, 0, 0, 0, 0, 0, 0, 0], erase);
    let exit = sanitize(SanitizeKind::ExitFailureMode, false, false, 0);
    check(&[0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0], exit);
    check_refused(&[0x48, 0x02, 0, 0, 0, 0, 0, 0, 8, 0]);
    check_refused(&[0x48, 0x1f, 0, 0, 0, 0, 0, 0, 8, 0]);
    let crypto = [0x48, 0x03, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(decoded(&crypto), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(1, 4)));
}

#[test]
fn format_unit_refuses_all_that_would_change_something() {
    let format = |has_list, long_header| Command::FormatUnit(FormatUnit { has_list, long_header });
    check(&[0x04, 0, 0, 0, 0, 0], format(false, false));
    check(&[0x04, 0x10, 0, 0, 0, 0], format(true, false));
    check(&[0x04, 0x30, 0, 0, 0, 0], format(true, true));
    assert_eq!(phase(&[0x04, 0x30, 0, 0, 0, 0]), DataPhase::Out { bytes: 8 });
    for byte_1 in
        [/* FMTPINFO */ 0x80, 0x40, /* CMPLST */ 0x18, /* LONGLIST alone */ 0x20, 0x01]
    {
        check_refused(&[0x04, byte_1, 0, 0, 0, 0]);
    }
}

#[test]
fn medium_removal_is_prevented_or_allowed() {
    let prevent = |prevent| Command::PreventAllowMediumRemoval(PreventAllowMediumRemoval { prevent });
    check(&[0x1e, 0, 0, 0, 0, 0], prevent(false));
    check(&[0x1e, 0, 0, 0, 1, 0], prevent(true));
    check_refused(&[0x1e, 0, 0, 0, 2, 0]);
}

#[test]
fn copies_say_how_long_their_list_is() {
    let copy = [0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0];
    assert_eq!(phase(&copy), DataPhase::Out { bytes: 0x0102_0304 });
    let parameters = [0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0];
    assert_eq!(phase(&parameters), DataPhase::In { bytes_max: 0x0102_0304 });
    for (action, question) in [(0, CopyQuestion::Status), (4, CopyQuestion::Failure)] {
        let cdb = [0x84, action, 0x17, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0];
        check(
            &cdb,
            Command::CopyResults(CopyResults { question, list: 0x17, allocation_bytes: 0x0102_0304 }),
        );
    }
    // EXTENDED COPY (LID4), and data that a copy has kept for its initiator: none does.
    for other in [[0x83, 1], [0x84, 1]] {
        let mut cdb = [0; 16];
        cdb[..2].copy_from_slice(&other);
        assert_eq!(decoded(&cdb), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(1, 4)), "{other:02x?}");
    }
}
