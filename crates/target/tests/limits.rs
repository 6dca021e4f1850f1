// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a hostile guest asks for: blocks near the end of all numbers, nothing at all, and lists that are cut short or say
//! something else than they are.  Whoever overflows panics here.
//!
//! Above: nothing.  Below: `target`, through `execute`.
//! Never here: what is good about a good command.

mod support;

use support::Outcome::{Check, Done};
use support::{Outcome, Rig};

/// Of a disk of 16 blocks: its ends, and those of what numbers there are.
const FIRSTS: [u64; 12] = [
    0,
    1,
    15,
    16,
    17,
    0xffff_ffff,
    0x1_0000_0000,
    (1 << 55) - 1,
    1 << 63,
    u64::MAX - 15,
    u64::MAX - 1,
    u64::MAX,
];
const COUNTS: [u32; 9] = [0, 1, 2, 15, 16, 17, 0xff, 0xffff, 0xffff_ffff];

const OUT_OF_RANGE: Outcome = Check(0x05, 0x21, 0x00);
/// The medium of the rig has other bytes than what is sent.
const MISCOMPARE: Outcome = Check(0x0e, 0x1d, 0x00);
const INVALID_FIELD: Outcome = Check(0x05, 0x24, 0x00);
const LENGTH_ERROR: Outcome = Check(0x05, 0x1a, 0x00);

fn sixteen(code: u8, flags: u8, first: u64, blocks: u32) -> Vec<u8> {
    [&[code, flags][..], &first.to_be_bytes(), &blocks.to_be_bytes(), &[0, 0]].concat()
}

#[test]
fn no_command_reaches_beyond_the_end_of_a_disk_however_large_its_numbers_are() {
    let rig = Rig::new(1);
    let data = [0x5a; 4096];
    // Its name; its bytes; whether its blocks are counted in one byte; blocks of data for each of its own.
    let all: [(&str, u8, u8, bool, usize); 10] = [
        ("READ (16)", 0x88, 0, false, 0),
        ("WRITE (16)", 0x8a, 0, false, 1),
        ("WRITE AND VERIFY (16)", 0x8e, 0, false, 1),
        ("VERIFY (16)", 0x8f, 0, false, 0),
        ("VERIFY (16) with data", 0x8f, 2, false, 1),
        ("COMPARE AND WRITE", 0x89, 0, true, 2),
        ("ORWRITE (16)", 0x8b, 0, false, 1),
        ("PRE-FETCH (16)", 0x90, 0, false, 0),
        ("SYNCHRONIZE CACHE (16)", 0x91, 0, false, 0),
        ("WRITE SAME (16) without data", 0x93, 1, false, 0),
    ];
    for (name, code, flags, is_byte, of_data) in all {
        for (first, blocks) in FIRSTS.into_iter().flat_map(|first| COUNTS.map(|count| (first, count))) {
            if is_byte && blocks > 0xff {
                continue;
            }
            let is_there = u128::from(first) + u128::from(blocks) <= 16;
            let bytes = of_data * 512 * usize::try_from(blocks).unwrap();
            // What is there and more than a buffer of the rig is an overrun, and no matter of numbers.
            if is_there && blocks > 2 {
                continue;
            }
            let compares = name == "VERIFY (16) with data" || name == "COMPARE AND WRITE";
            let data = if of_data == 0 { &[][..] } else { &data[..bytes.clamp(512, 4096)] };
            let outcome = rig.send_with(1, 0, &sixteen(code, flags, first, blocks), data).0;
            let what = format!("{name}: {blocks} blocks from {first} on");
            let expected = if code == 0x93 && blocks == 0 {
                // WSNZ = 1 in VPD page B0h: it must say how many.
                INVALID_FIELD
            } else if !is_there {
                OUT_OF_RANGE
            } else if compares && blocks > 0 {
                MISCOMPARE
            } else {
                Done
            };
            assert_eq!(outcome, expected, "{what}");
        }
    }
    for first in FIRSTS {
        let status = rig.send(1, &sixteen(0x9e, 0x12, first, 32));
        let expected = if first <= 15 { Done } else { OUT_OF_RANGE };
        assert_eq!(status, expected, "GET LBA STATUS from {first} on");
        // READ CAPACITY (16) reads no place: its field is obsolete.
        assert_eq!(rig.send(1, &sixteen(0x9e, 0x10, first, 32)), Done, "READ CAPACITY (16) of {first}");
    }
}

/// The list of EXTENDED COPY: one unit, named by the digits of its serial number, copied to itself.
fn copy_list(from: u64, to: u64, blocks: u16) -> Vec<u8> {
    let mut unit = vec![0xe4, 0, 0, 0, 1, 3, 0, 16, 0x60, 0x01, 0x40, 0x5e, 0xa0];
    unit.resize(32, 0);
    let header = [0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0];
    let segment = [&[2, 0, 0, 24, 0, 0, 0, 1, 0, 0][..], &blocks.to_be_bytes()].concat();
    [&header[..], &unit, &unit, &segment, &from.to_be_bytes(), &to.to_be_bytes()].concat()
}

fn copy(rig: &Rig, list: &[u8]) -> Outcome {
    let bytes = u8::try_from(list.len()).unwrap();
    rig.send_with(1, 0, &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bytes, 0, 0], list).0
}

#[test]
fn no_copy_reaches_beyond_the_end_of_either_disk() {
    for (from, to) in FIRSTS.into_iter().flat_map(|from| FIRSTS.map(|to| (from, to))) {
        for blocks in [0, 1, 2, 16, 17, 0xffff] {
            let ends = [from, to].map(|first| u128::from(first) + u128::from(blocks));
            let is_there = ends.iter().all(|end| *end <= 16);
            let outcome = copy(&Rig::new(1), &copy_list(from, to, blocks));
            let expected = if is_there { Done } else { Check(0x0a, 0x00, 0x00) };
            assert_eq!(outcome, expected, "{blocks} blocks from {from} on to {to}");
        }
    }
}

#[test]
fn a_list_that_is_cut_short_at_any_byte_does_nothing() {
    let rig = Rig::new(1);
    let whole = copy_list(0, 8, 4);
    assert_eq!(copy(&rig, &whole), Done);
    let done = rig.done.borrow().len();
    for bytes in 1..whole.len() {
        assert_eq!(copy(&rig, &whole[..bytes]), LENGTH_ERROR, "EXTENDED COPY, {bytes} bytes");
    }
    let overwrite = |list: &[u8]| {
        let bytes = u8::try_from(list.len()).unwrap();
        rig.send_with(1, 0, &[0x48, 0x01, 0, 0, 0, 0, 0, 0, bytes, 0], list).0
    };
    for bytes in 1..8 {
        let refused = overwrite(&[0x01, 0, 0, 4, 0xaa, 0xbb, 0xcc, 0xdd][..bytes]);
        let expected = if bytes < 5 { INVALID_FIELD } else { LENGTH_ERROR };
        assert_eq!(refused, expected, "SANITIZE, {bytes} bytes");
    }
    assert_eq!(rig.done.borrow().len(), done);
}

#[test]
fn a_list_of_which_any_byte_says_something_else_is_done_or_refused() {
    let whole = copy_list(0, 8, 4);
    for (at, value) in (0..whole.len()).flat_map(|at| [0x00, 0x01, 0x7f, 0x80, 0xff].map(|value| (at, value)))
    {
        let mut list = whole.clone();
        list[at] = value;
        let rig = Rig::new(1);
        match copy(&rig, &list) {
            Done => {}
            Check(0x05 | 0x0a, _, _) => assert_eq!(rig.done.borrow().len(), 0, "{at}: {value:02x}"),
            other => panic!("byte {at} as {value:02x}: {other:?}"),
        }
    }
    for (at, value) in (0..8).flat_map(|at| (0..=255).map(move |value| (at, value))) {
        let mut list = [0x01, 0, 0, 4, 0xaa, 0xbb, 0xcc, 0xdd];
        list[at] = value;
        // What passes would begin to overwrite a medium that is none, so that the parser alone is asked.
        let overwrite = scsi::sanitize::parse(&list, 512);
        let is_sound = |overwrite: &scsi::sanitize::Overwrite| {
            (1..=4).contains(&overwrite.pattern.len()) && (1..=31).contains(&overwrite.count)
        };
        assert!(overwrite.as_ref().map_or(true, is_sound), "{list:02x?}");
    }
}
