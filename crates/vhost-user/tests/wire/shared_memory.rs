// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory map, the inflight area and the dirty log.
//!
//! Above: `main`.
//! Below: `caller`.
//! Never here: what a mapping does; nothing is mapped.

use crate::caller::{Caller, addresses, message, message_acked, offer, u32s, u64s};

/// ADD_MEM_REG or REM_MEM_REG.
fn one_region(request: u8, guest: u64, bytes: u64, user: u64, offset: u64) -> Vec<u8> {
    message_acked(request, &u64s(&[0, guest, bytes, user, offset]))
}

const ADDED: &str = "send 25000000 05000000 08000000 0000000000000000";
const NOT_ADDED: &str = "send 25000000 05000000 08000000 0100000000000000";
const REMOVED: &str = "send 26000000 05000000 08000000 0000000000000000";
const NOT_REMOVED: &str = "send 26000000 05000000 08000000 0100000000000000";

#[test]
fn memory_table_takes_a_file_a_region() {
    let mut table = u32s(&[2, 0]);
    table.extend(u64s(&[0, 0xa_0000, 0x7f00_0000_0000, 0]));
    table.extend(u64s(&[0xc_0000, 0x1234, 0x7f00_000c_0000, 0xc_0001]));
    let map = "map 0x0 0x7f0000000000 +0xa0000@0x0 0xc0000 0x7f00000c0000 +0x1234@0xc0001";
    let mut caller = Caller::with_acks();
    caller.expect(&message(5, &table), 2, &[map]);
    caller.expect(&message_acked(5, &table), 2, &[map, "send 05000000 05000000 08000000 0000000000000000"]);
    for fds in [0, 1, 3] {
        let text = format!("closed: SET_MEM_TABLE: {fds} file descriptors are not what this message carries");
        caller.expect(&message(5, &table), fds, &[&text]);
    }
    caller.expect(&message(5, &u32s(&[0, 0])), 0, &["map"]);
}

#[test]
fn memory_table_of_33_regions_is_refused_and_one_of_32_taken() {
    let table = |count: u32| {
        let mut table = u32s(&[count, 0]);
        (0..u64::from(count)).for_each(|at| table.extend(u64s(&[at << 12, 0x1000, at << 12, 0])));
        message(5, &table)
    };
    assert_eq!(Caller::with_acks().says(&table(32), crate::caller::devices(32)).len(), 1);
    let text = "closed: SET_MEM_TABLE: a memory table of 33 regions is longer than 32";
    Caller::with_acks().expect(&table(33), 32, &[text]);
    let text = "closed: the front end does not speak vhost-user: 33 file descriptors are not what this message carries";
    Caller::with_acks().expect(&table(33), 33, &[text]);
    let mut few = Caller::with(vhost_user::Offer { memory_slots: 8, ..offer() });
    few.expect(&table(9), 9, &["closed: SET_MEM_TABLE: 9 memory regions are more than 8"]);
}

#[test]
fn region_that_is_empty_or_overflows_is_refused() {
    for (guest, bytes, user, offset) in [
        (0, 0, 0, 0),
        (u64::MAX, 1, 0, 0),
        (0, 1, u64::MAX, 0),
        (0, 1, 0, u64::MAX),
        (0x1000, 0xffff_ffff_ffff_f001, 0, 0),
    ] {
        let text =
            format!("remark: ADD_MEM_REG: an area of {bytes} bytes that is empty or reaches beyond 64 bits");
        Caller::with_acks().expect(&one_region(37, guest, bytes, user, offset), 1, &[&text, NOT_ADDED]);
    }
}

#[test]
fn region_comes_and_goes() {
    let mut caller = Caller::with_acks();
    caller.expect(&one_region(37, 0x1000, 0x2000, 0x3000, 5), 1, &["add 0x1000 0x3000 +0x2000@0x5", ADDED]);
    // The standard lets a file descriptor come along with the removal, to be closed.
    caller.expect(&one_region(38, 0x1000, 0x2000, 0x3000, 0), 1, &["remove 0x1000 0x3000 +0x2000", REMOVED]);
    caller.expect(
        &one_region(38, 0x1000, 0x2000, 0x3000, 5),
        0,
        &["remark: REM_MEM_REG: there is no memory region at 0x1000", NOT_REMOVED],
    );
}

#[test]
fn first_region_after_another_claim_replaces_the_memory_of_the_former_owner() {
    let mut caller = Caller::with_acks();
    caller.expect(&message(3, &[]), 0, &[]);
    caller.expect(&one_region(37, 0, 0x2000, 0x3000, 0), 1, &["add 0x0 0x3000 +0x2000@0x0", ADDED]);
    caller.expect(&one_region(37, 0x8000, 0x2000, 0x8000, 0), 1, &["add 0x8000 0x8000 +0x2000@0x0", ADDED]);
    // The device was unplugged, and another one comes on the same connection.
    caller.expect(&message(3, &[]), 0, &[]);
    caller.expect(&one_region(37, 0, 0x1000, 0x5000, 0), 1, &["map 0x0 0x5000 +0x1000@0x0", ADDED]);
    caller.expect(&one_region(37, 0x8000, 0x2000, 0x8000, 0), 1, &["add 0x8000 0x8000 +0x2000@0x0", ADDED]);
    caller.expect(&one_region(38, 0, 0x1000, 0x5000, 0), 0, &["remove 0x0 0x5000 +0x1000", REMOVED]);
}

#[test]
fn region_is_removed_only_if_all_three_numbers_match() {
    let mut caller = Caller::with_acks();
    caller.expect(&one_region(37, 0x1000, 0x2000, 0x3000, 0), 1, &["add 0x1000 0x3000 +0x2000@0x0", ADDED]);
    caller.expect(
        &one_region(38, 0x1001, 0x2000, 0x3000, 0),
        0,
        &["remark: REM_MEM_REG: there is no memory region at 0x1001", NOT_REMOVED],
    );
    caller.expect(&one_region(38, 0x1000, 0x2001, 0x3000, 0), 0, &[NOT_REMOVED]);
    caller.expect(&one_region(38, 0x1000, 0x2000, 0x3001, 0), 0, &[NOT_REMOVED]);
    caller.expect(&one_region(38, 0x1000, 0x2000, 0x3000, 0), 0, &["remove 0x1000 0x3000 +0x2000", REMOVED]);
}

#[test]
fn region_that_cannot_be_mapped_is_forgotten() {
    let mut caller = Caller::with_acks();
    caller.failing = "add";
    caller.expect(&one_region(37, 0, 0x1000, 0, 0), 1, &["add 0x0 0x0 +0x1000@0x0", NOT_ADDED]);
    caller.expect(
        &one_region(38, 0, 0x1000, 0, 0),
        0,
        &["remark: REM_MEM_REG: there is no memory region at 0x0", NOT_REMOVED],
    );
    caller.expect(&addresses(0, 0), 0, &["remark: no memory"]);
}

#[test]
fn regions_beyond_the_slots_are_refused() {
    let mut caller = Caller::with(vhost_user::Offer { memory_slots: 1, ..offer() });
    caller.expect(&message(16, &u64s(&[8])), 0, &[]);
    caller.expect(&one_region(37, 0, 0x1000, 0, 0), 1, &["add 0x0 0x0 +0x1000@0x0", ADDED]);
    caller.expect(
        &one_region(37, 0x1000, 0x1000, 0, 0),
        1,
        &["remark: ADD_MEM_REG: 2 memory regions are more than 1", NOT_ADDED],
    );
}

#[test]
fn memory_may_change_while_rings_run() {
    let mut caller = Caller::with_acks();
    caller.expect(&one_region(37, 0, 0x10_0000, 0, 0), 1, &["add 0x0 0x0 +0x100000@0x0", ADDED]);
    caller.expect(&message(8, &u32s(&[0, 128])), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(&message(18, &u32s(&[0, 1])), 0, &[]);
    assert_eq!(caller.says(&message(12, &u64s(&[0])), crate::caller::devices(1)).len(), 1);
    caller.expect(
        &one_region(37, 1 << 32, 0x1000, 1 << 40, 0),
        1,
        &["add 0x100000000 0x10000000000 +0x1000@0x0", ADDED],
    );
}

/// GET_INFLIGHT_FD or SET_INFLIGHT_FD as QEMU sends it, without padding.
fn inflight(request: u8, bytes: u64, offset: u64, queues: u16, entries: u16) -> Vec<u8> {
    let mut payload = u64s(&[bytes, offset]);
    payload.extend(queues.to_le_bytes());
    payload.extend(entries.to_le_bytes());
    message(request, &payload)
}

#[test]
fn inflight_area_is_answered_in_the_form_of_the_question() {
    let mut caller = Caller::with_acks();
    caller.expect(
        &inflight(31, 0, 0, 6, 128),
        0,
        &[
            "inflight: allocate 6 x 128",
            "send 1f000000 05000000 14000000 0030000000000000000000000000000006008000 +1 fd",
        ],
    );
    let mut padded = inflight(31, 0, 0, 6, 128);
    padded[8] = 24;
    padded.extend([0xee; 4]);
    caller.expect(
        &padded,
        0,
        &[
            "inflight: allocate 6 x 128",
            "send 1f000000 05000000 18000000 003000000000000000000000000000000600800000000000 +1 fd",
        ],
    );
}

#[test]
fn inflight_area_that_cannot_be_made_is_told_as_none() {
    let mut session = vhost_user::Session::new(offer());
    let header = vhost_user::Header {
        request: vhost_user::Request::GET_INFLIGHT_FD,
        need_reply: false,
        payload_bytes: 20,
    };
    let payload = &inflight(31, 0, 0, 2, 3)[12..];
    let effects = session.on(vhost_user::codec::decode(header, payload, Vec::new()).unwrap()).unwrap();
    assert_eq!(effects.len(), 1);
    let reply = session.inflight_allocated(None).unwrap();
    assert_eq!(
        reply.bytes(),
        [31, 0, 0, 0, 5, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0]
    );
    assert!(reply.fds().is_empty());
    assert!(session.inflight_allocated(None).is_none());
}

#[test]
fn inflight_area_is_adopted_with_or_without_padding() {
    let mut caller = Caller::with_acks();
    caller.expect(&inflight(32, 0x3000, 0x1000, 6, 128), 1, &["inflight: 6 x 128 at 0x1000 +0x3000"]);
    let mut padded = inflight(32, 0x3000, 0, 4, 100);
    padded[8] = 24;
    padded.extend([0; 4]);
    caller.expect(&padded, 1, &["inflight: 4 x 100 at 0x0 +0x3000"]);
}

#[test]
fn inflight_area_that_makes_no_sense_is_refused() {
    for (bytes, fds, text) in [
        (inflight(32, 0, 0, 6, 128), 1, "an area of 0 bytes that is empty or reaches beyond 64 bits"),
        (inflight(32, 2, u64::MAX, 6, 128), 1, "an area of 2 bytes that is empty or reaches beyond 64 bits"),
        (inflight(32, 2, 0, 0, 128), 1, "value 0x0 is not defined"),
        (inflight(32, 2, 0, 6, 0), 1, "value 0x0 is not defined"),
        (inflight(32, 2, 0, 6, 128), 0, "0 file descriptors are not what this message carries"),
        (
            inflight(32, 2, 0, 7, 128),
            1,
            "an inflight area for 7 queues of 128 entries does not fit this device",
        ),
        (
            inflight(32, 2, 0, 6, 257),
            1,
            "an inflight area for 6 queues of 257 entries does not fit this device",
        ),
    ] {
        Caller::with_acks().expect(&bytes, fds, &[&format!("closed: SET_INFLIGHT_FD: {text}")]);
    }
    let text =
        "closed: GET_INFLIGHT_FD: an inflight area for 7 queues of 128 entries does not fit this device";
    Caller::with_acks().expect(&inflight(31, 0, 0, 7, 128), 0, &[text]);
}

#[test]
fn inflight_area_stays_while_a_ring_runs() {
    let mut caller = Caller::with_acks();
    caller.expect(&one_region(37, 0, 0x10_0000, 0, 0), 1, &["add 0x0 0x0 +0x100000@0x0", ADDED]);
    caller.expect(&message(8, &u32s(&[0, 128])), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(&message(18, &u32s(&[0, 1])), 0, &[]);
    assert_eq!(caller.says(&message(12, &u64s(&[0])), crate::caller::devices(1)).len(), 1);
    let text = "closed: SET_INFLIGHT_FD: an inflight area cannot be changed while a ring runs";
    caller.expect(&inflight(32, 0x3000, 0, 6, 128), 1, &[text]);
}

#[test]
fn dirty_log_is_passed_on_and_answered() {
    let mut caller = Caller::with_acks();
    caller.expect(
        &message(6, &u64s(&[0x8000, 0x1000])),
        1,
        &["log at 0x1000 +0x8000", "send 06000000 05000000 10000000 00800000000000000010000000000000"],
    );
    caller.expect(&message(7, &[]), 1, &["log fd"]);
    caller.failing = "log at";
    caller.expect(
        &message_acked(6, &u64s(&[0x8000, 0])),
        1,
        &["closed: SET_LOG_BASE: it could not be carried out"],
    );
}
