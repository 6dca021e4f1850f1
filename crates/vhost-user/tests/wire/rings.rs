// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The life cycle of a ring, message by message.
//!
//! Above: `main`.
//! Below: `caller`.
//! Never here: features that do not start or stop a ring.

use crate::caller::{Caller, addresses, devices, message, message_acked, u32s, u64s};

const START_0: &str = "start 0: 128 entries at 0x1000 0x2000 0x3000, base 0, features 0x40000000, kick fd";

fn num(index: u32, entries: u32) -> Vec<u8> {
    message(8, &u32s(&[index, entries]))
}

fn base(index: u32, base: u32) -> Vec<u8> {
    message(10, &u32s(&[index, base]))
}

fn get_base(index: u32) -> Vec<u8> {
    message(11, &u32s(&[index, 0]))
}

fn kick(index: u64) -> Vec<u8> {
    message(12, &u64s(&[index]))
}

fn enable(index: u32, value: u32) -> Vec<u8> {
    message(18, &u32s(&[index, value]))
}

/// A connection with memory, and ring 0 running: 128 entries, base 0.
fn running() -> Caller {
    let mut caller = with_memory();
    caller.expect(&num(0, 128), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(&kick(0), 1, &[]);
    caller.expect(&enable(0, 1), 0, &[START_0]);
    caller
}

fn with_memory() -> Caller {
    let mut caller = Caller::with_acks();
    let mut table = u32s(&[1, 0]);
    table.extend(u64s(&[0, 0x10_0000, 0, 0]));
    caller.expect(&message(5, &table), 1, &["map 0x0 0x0 +0x100000@0x0"]);
    caller
}

#[test]
fn ring_starts_when_the_last_of_num_addr_kick_and_enable_has_come() {
    let steps: [(Vec<u8>, usize); 4] =
        [(num(0, 128), 0), (addresses(0, 0), 0), (kick(0), 1), (enable(0, 1), 0)];
    for order in permutations() {
        let mut caller = with_memory();
        for (place, &step) in order.iter().enumerate() {
            let (bytes, fds) = &steps[step];
            let expected: &[&str] = if place == 3 { &[START_0] } else { &[] };
            assert_eq!(caller.says(bytes, devices(*fds)), expected, "order {order:?}, step {place}");
        }
    }
}

fn permutations() -> Vec<[usize; 4]> {
    let mut all = Vec::new();
    for a in 0..4 {
        for b in 0..4 {
            for c in 0..4 {
                if a != b && a != c && b != c {
                    all.push([a, b, c, 6 - a - b - c]);
                }
            }
        }
    }
    assert_eq!(all.len(), 24);
    all
}

#[test]
fn enable_before_the_address_is_remembered() {
    let mut caller = with_memory();
    caller.expect(&enable(2, 1), 0, &[]);
    caller.expect(&num(2, 100), 0, &[]);
    caller.expect(&base(2, 65535), 0, &[]);
    caller.expect(&addresses(2, 0x4000), 0, &[]);
    caller.expect(
        &kick(2),
        1,
        &["start 2: 100 entries at 0x5000 0x6000 0x7000, base 65535, features 0x40000000, kick fd"],
    );
}

#[test]
fn enable_of_rings_without_an_address_does_nothing() {
    // Firmware sets up ring 2 alone; QEMU enables them all.
    let mut caller = with_memory();
    for index in 0..6 {
        caller.expect(&enable(index, 1), 0, &[]);
        caller.expect(&enable(index, 0), 0, &[]);
        caller.expect(
            &get_base(index),
            0,
            &[&format!("send 0b000000 05000000 08000000 0{index}00000000000000")],
        );
    }
}

#[test]
fn set_features_without_bit_30_enables_every_ring_at_once() {
    let mut caller = Caller::new();
    caller.expect(&num(0, 128), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &["remark: no memory"]);
    caller.expect(&kick(0), 1, &[]);
    caller.expect(
        &message(2, &u64s(&[0x1_2000_0000])),
        0,
        &[
            "features 0x120000000",
            "start 0: 128 entries at 0x1000 0x2000 0x3000, base 0, features 0x120000000, kick fd",
        ],
    );
    caller.expect(&num(1, 8), 0, &[]);
    caller.expect(&addresses(1, 0), 0, &[]);
    caller.expect(
        &kick(1),
        1,
        &["start 1: 8 entries at 0x1000 0x2000 0x3000, base 0, features 0x120000000, kick fd"],
    );
}

#[test]
fn set_features_with_bit_30_enables_no_ring() {
    let mut caller = with_memory();
    caller.expect(&num(0, 128), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(&kick(0), 1, &[]);
    caller.expect(&message(2, &u64s(&[0x1_4000_0000])), 0, &["features 0x140000000"]);
}

#[test]
fn set_features_while_running_touches_no_ring() {
    let mut caller = running();
    for features in [0x1_4000_0000_u64, 0x1_6000_0000, 0x1_4000_0000] {
        caller.expect(&message(2, &u64s(&[features])), 0, &[&format!("features {features:#x}")]);
    }
}

#[test]
fn kick_without_fd_starts_a_polled_ring() {
    let mut caller = with_memory();
    caller.expect(&num(0, 128), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(&enable(0, 1), 0, &[]);
    caller.expect(
        &kick(0x100),
        0,
        &["start 0: 128 entries at 0x1000 0x2000 0x3000, base 0, features 0x40000000, kick none"],
    );
}

#[test]
fn disabled_ring_is_parked_and_resumes_where_it_was() {
    let mut caller = running();
    caller.expect(&enable(0, 0), 0, &["disable 0"]);
    caller.expect(&enable(0, 0), 0, &[]);
    caller.expect(&enable(0, 1), 0, &["enable 0"]);
    caller.expect(&enable(0, 1), 0, &[]);
}

#[test]
fn get_vring_base_stops_a_ring_and_tells_where() {
    let mut caller = running();
    caller.next_avail = 0xfffe;
    caller.expect(&get_base(0), 0, &["stop 0", "send 0b000000 05000000 08000000 00000000feff0000"]);
    // A stopped ring is answered from memory.
    caller.expect(&get_base(0), 0, &["send 0b000000 05000000 08000000 00000000feff0000"]);
}

#[test]
fn get_vring_base_stops_a_parked_ring() {
    let mut caller = running();
    caller.expect(&enable(0, 0), 0, &["disable 0"]);
    caller.expect(&get_base(0), 0, &["stop 0", "send 0b000000 05000000 08000000 0000000007000000"]);
}

#[test]
fn get_vring_base_takes_back_the_kick_of_a_ring_that_waits() {
    let mut caller = with_memory();
    caller.expect(&num(0, 128), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(&base(0, 3), 0, &[]);
    caller.expect(&kick(0), 1, &[]);
    caller.expect(&get_base(0), 0, &["send 0b000000 05000000 08000000 0000000003000000"]);
    caller.expect(&enable(0, 1), 0, &[]);
}

#[test]
fn stopped_ring_starts_again_with_a_new_kick() {
    let mut caller = running();
    caller.expect(&get_base(0), 0, &["stop 0", "send 0b000000 05000000 08000000 0000000007000000"]);
    // It is still enabled and described: the kick alone starts it, where it stopped.
    caller.expect(
        &kick(0),
        1,
        &["start 0: 128 entries at 0x1000 0x2000 0x3000, base 7, features 0x40000000, kick fd"],
    );
    caller.expect(&enable(0, 0), 0, &["disable 0"]);
    caller.expect(&get_base(0), 0, &["stop 0", "send 0b000000 05000000 08000000 0000000007000000"]);
    caller.expect(&num(0, 64), 0, &[]);
    caller.expect(&base(0, 0), 0, &[]);
    caller.expect(&addresses(0, 0x8000), 0, &[]);
    caller.expect(&kick(0), 1, &[]);
    caller.expect(
        &enable(0, 1),
        0,
        &["start 0: 64 entries at 0x9000 0xa000 0xb000, base 0, features 0x40000000, kick fd"],
    );
}

#[test]
fn kick_of_a_running_ring_replaces_the_eventfd() {
    let mut caller = running();
    caller.expect(&kick(0), 1, &["kick 0: fd"]);
    caller.expect(&kick(0x100), 0, &["kick 0: none"]);
}

#[test]
fn call_is_passed_on_each_time_it_comes() {
    // The masked one at the connection's begin, the real one after the rings run: a caller that does not signal the
    // second at once loses the completions told to the first, and the guest hangs.
    let mut caller = Caller::with_acks();
    caller.expect(&message(13, &u64s(&[0])), 1, &["call 0: fd"]);
    let mut caller = running();
    caller.expect(&message(13, &u64s(&[0])), 1, &["call 0: fd"]);
    caller.expect(&message(13, &u64s(&[0x105])), 0, &["call 5: none"]);
    caller.expect(&message(14, &u64s(&[1])), 1, &["err 1: fd"]);
    caller.expect(&message(14, &u64s(&[0x101])), 0, &["err 1: none"]);
}

#[test]
fn running_ring_takes_the_same_description_again_and_no_other() {
    let mut caller = running();
    caller.expect(&num(0, 128), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(
        &message_acked(8, &u32s(&[0, 64])),
        0,
        &["remark: SET_VRING_NUM: ring 0 runs", "send 08000000 05000000 08000000 0100000000000000"],
    );
    caller.expect(&base(0, 0), 0, &["closed: SET_VRING_BASE: ring 0 runs"]);
    caller.expect(&addresses(0, 0x10), 0, &["closed: SET_VRING_ADDR: ring 0 runs"]);
}

#[test]
fn address_of_a_running_ring_switches_its_log() {
    // QEMU sends the addresses again, with flag 1, when a migration begins.
    let mut caller = running();
    let logged = |log| {
        let mut payload = u32s(&[0, 1]);
        payload.extend(u64s(&[0x1000, 0x2000, 0x3000, log]));
        message(9, &payload)
    };
    caller.expect(&logged(0xabc0), 0, &["log 0: Some(abc0)"]);
    caller.expect(&logged(0xabc0), 0, &[]);
    caller.expect(&logged(0xabc4), 0, &["log 0: Some(abc4)"]);
    caller.expect(&addresses(0, 0), 0, &["log 0: None"]);
}

#[test]
fn log_of_a_used_ring_that_was_refused_is_not_remembered() {
    let mut caller = running();
    let logged = |log| {
        let mut payload = u32s(&[0, 1]);
        payload.extend(u64s(&[0x1000, 0x2000, 0x3000, log]));
        message_acked(9, &payload)
    };
    let (taken, refused) = (
        "send 09000000 05000000 08000000 0000000000000000",
        "send 09000000 05000000 08000000 0100000000000000",
    );
    caller.expect(&logged(0xabc0), 0, &["log 0: Some(abc0)", taken]);
    caller.failing = "log 0";
    caller.expect(&logged(0xffff_0000), 0, &["log 0: Some(ffff0000)", refused]);
    caller.failing = "none";
    // The old address is no change, and the refused one would be one.
    caller.expect(&logged(0xabc0), 0, &[taken]);
    caller.expect(&logged(0xffff_0000), 0, &["log 0: Some(ffff0000)", taken]);
}

#[test]
fn parked_ring_described_anew_is_stopped_first() {
    // libkrun resets a device by disabling its rings, without GET_VRING_BASE.
    let mut caller = running();
    caller.expect(&enable(0, 0), 0, &["disable 0"]);
    caller.expect(&num(0, 128), 0, &[]);
    caller.expect(&base(0, 0), 0, &["stop 0"]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(&kick(0), 1, &[]);
    caller.expect(&enable(0, 1), 0, &[START_0]);
}

#[test]
fn parked_ring_of_another_size_goes_on_where_it_stopped() {
    let mut caller = running();
    caller.expect(&enable(0, 0), 0, &["disable 0"]);
    caller.expect(&num(0, 64), 0, &["stop 0"]);
    caller.expect(&kick(0), 1, &[]);
    caller.expect(
        &enable(0, 1),
        0,
        &["start 0: 64 entries at 0x1000 0x2000 0x3000, base 7, features 0x40000000, kick fd"],
    );
}

#[test]
fn reset_device_stops_every_ring_and_forgets_it() {
    let mut caller = running();
    caller.expect(&num(3, 16), 0, &[]);
    caller.expect(&addresses(3, 0), 0, &[]);
    caller.expect(&enable(3, 1), 0, &[]);
    caller.expect(
        &kick(3),
        1,
        &["start 3: 16 entries at 0x1000 0x2000 0x3000, base 0, features 0x40000000, kick fd"],
    );
    caller.expect(&message(34, &[]), 0, &["stop 0", "stop 3", "reset"]);
    caller.expect(&get_base(0), 0, &["send 0b000000 05000000 08000000 0000000000000000"]);
    caller.expect(&kick(0), 1, &[]);
    caller.expect(&enable(0, 1), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(&num(0, 128), 0, &[START_0]);
}

#[test]
fn reset_device_of_an_idle_device_only_resets() {
    let mut caller = Caller::with_acks();
    caller.expect(&message(34, &[]), 0, &["reset"]);
    caller.expect(&message_acked(34, &[]), 0, &["reset", "send 22000000 05000000 08000000 0000000000000000"]);
}

#[test]
fn ring_that_cannot_start_is_stopped_and_says_so() {
    let mut caller = with_memory();
    caller.failing = "start";
    caller.expect(&num(0, 128), 0, &[]);
    caller.expect(&addresses(0, 0), 0, &[]);
    caller.expect(&kick(0), 1, &[]);
    caller.expect(
        &message_acked(18, &u32s(&[0, 1])),
        0,
        &[START_0, "send 12000000 05000000 08000000 0100000000000000"],
    );
    caller.expect(&get_base(0), 0, &["send 0b000000 05000000 08000000 0000000000000000"]);
    caller.failing = "none";
    caller.expect(&kick(0), 1, &[START_0]);
}

#[test]
fn index_of_no_ring_is_refused() {
    for (bytes, fds, name) in [
        (num(6, 128), 0, "SET_VRING_NUM"),
        (addresses(6, 0), 0, "SET_VRING_ADDR"),
        (base(6, 0), 0, "SET_VRING_BASE"),
        (get_base(6), 0, "GET_VRING_BASE"),
        (enable(6, 1), 0, "SET_VRING_ENABLE"),
        (kick(6), 1, "SET_VRING_KICK"),
        (message(13, &u64s(&[6])), 1, "SET_VRING_CALL"),
        (message(14, &u64s(&[6])), 1, "SET_VRING_ERR"),
    ] {
        let expected = format!("closed: {name}: there is no ring 6, only 6 of them");
        Caller::with_acks().expect(&bytes, fds, &[&expected]);
    }
    let text = "closed: SET_VRING_NUM: there is no ring 65536, only 6 of them";
    Caller::with_acks().expect(&num(65536, 128), 0, &[text]);
}

#[test]
fn ring_of_too_many_entries_is_refused() {
    for entries in [257, 65536, 65536 + 128, u32::MAX] {
        let text = format!(
            "closed: SET_VRING_NUM: a ring of {entries} entries is longer than the 256 that this device takes"
        );
        Caller::with_acks().expect(&num(0, entries), 0, &[&text]);
    }
    for entries in [1, 100, 255, 256] {
        Caller::with_acks().expect(&num(0, entries), 0, &[]);
    }
}

#[test]
fn base_beyond_16_bits_is_refused() {
    let text = "closed: SET_VRING_BASE: 0x10000 is no index of a split ring";
    Caller::with_acks().expect(&base(0, 0x1_0000), 0, &[text]);
    Caller::with_acks().expect(&base(0, 0xffff), 0, &[]);
}

#[test]
fn addresses_without_memory_are_remarked_once() {
    let mut caller = Caller::with_acks();
    caller.expect(&addresses(0, 0), 0, &["remark: no memory"]);
    caller.expect(&addresses(1, 0), 0, &[]);
}
