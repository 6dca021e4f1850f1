// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole conversations, as the front ends hold them: QEMU 10.0.2, Cloud Hypervisor, crosvm, libkrun.
//!
//! Above: `main`.
//! Below: `caller`.
//! Never here: rules of single messages; the other files have them.

use crate::caller::{Caller, addresses, message, message_acked, offer, u32s, u64s};

fn inflight(request: u8, bytes: u64, queues: u8, entries: u8, padding: usize) -> Vec<u8> {
    let mut payload = u64s(&[bytes, 0]);
    payload.extend([queues, 0, entries, 0]);
    payload.resize(20 + padding, 0);
    message(request, &payload)
}

fn ack(request: u8) -> String {
    format!("send {request:02x}000000 05000000 08000000 0000000000000000")
}

/// Sends what asks for an acknowledgement and has no effect but that.
#[track_caller]
fn acked(caller: &mut Caller, request: u8, payload: &[u8], fds: usize, effects: &[&str]) {
    let last = ack(request);
    let all: Vec<&str> = effects.iter().copied().chain([last.as_str()]).collect();
    caller.expect(&message_acked(request, payload), fds, &all);
}

/// QEMU, from the connection's begin to the guest's first reset.
fn qemu_connects() -> Caller {
    let mut caller = Caller::new();
    caller.expect(&message(1, &[]), 0, &["send 01000000 05000000 08000000 0600007901000000"]);
    caller.expect(&message(15, &[]), 0, &["send 0f000000 05000000 08000000 2bb2010000000000"]);
    // It takes all but CONFIG.
    caller.expect(&message(16, &u64s(&[0x1_b02b])), 0, &[]);
    caller.expect(&message(17, &[]), 0, &["send 11000000 05000000 08000000 0600000000000000"]);
    caller.expect(&message(36, &[]), 0, &["send 24000000 05000000 08000000 2000000000000000"]);
    acked(&mut caller, 21, &[], 1, &["channel"]);
    caller.expect(&message(3, &[]), 0, &[]);
    caller.expect(&message(1, &[]), 0, &["send 01000000 05000000 08000000 0600007901000000"]);
    for index in 0..3 {
        caller.expect(&message(13, &u64s(&[index])), 1, &[&format!("call {index}: fd")]);
        caller.expect(&message(14, &u64s(&[index])), 1, &[&format!("err {index}: fd")]);
    }
    qemu_guest_resets(&mut caller);
    caller
}

fn qemu_guest_resets(caller: &mut Caller) {
    caller.expect(&message(34, &[]), 0, &["reset"]);
}

/// What comes at DRIVER_OK before memory: features, status and the inflight area.
fn qemu_negotiates(caller: &mut Caller, features: u64) {
    let shown = format!("features {features:#x}");
    caller.expect(&message(2, &u64s(&[features])), 0, &[&shown]);
    let status = caller.says(&message(40, &[]), Vec::new());
    assert_eq!(status, ["send 28000000 05000000 08000000 0000000000000000"]);
    acked(caller, 39, &u64s(&[0x0b]), 0, &["status 11"]);
    caller.expect(
        &inflight(31, 0, 3, 128, 0),
        0,
        &[
            "inflight: allocate 3 x 128",
            "send 1f000000 05000000 14000000 0030000000000000000000000000000003008000 +1 fd",
        ],
    );
    caller.expect(&inflight(32, 0x3000, 3, 128, 0), 1, &["inflight: 3 x 128 at 0x0 +0x3000"]);
    caller.expect(&message(2, &u64s(&[features])), 0, &[&shown]);
}

fn qemu_adds_memory(caller: &mut Caller) {
    let low = u64s(&[0, 0, 0xa_0000, 0x7f00_0000_0000, 0]);
    acked(caller, 37, &low, 1, &["add 0x0 0x7f0000000000 +0xa0000@0x0"]);
    let high = u64s(&[0, 0x10_0000, 0x3ff0_0000, 0x7f00_0010_0000, 0x10_0000]);
    acked(caller, 37, &high, 1, &["add 0x100000 0x7f0000100000 +0x3ff00000@0x100000"]);
}

fn qemu_sets_up_ring(caller: &mut Caller, index: u32, base: u32) {
    caller.expect(&message(8, &u32s(&[index, 128])), 0, &[]);
    caller.expect(&message(10, &u32s(&[index, base])), 0, &[]);
    caller.expect(&addresses(index, 0x7f00_0010_0000), 0, &[]);
    caller.expect(&message(12, &u64s(&[u64::from(index)])), 1, &[]);
}

fn started(index: u32, base: u32, features: u64) -> String {
    let parts = "0x7f0000101000 0x7f0000102000 0x7f0000103000";
    format!("start {index}: 128 entries at {parts}, base {base}, features {features:#x}, kick fd")
}

#[test]
fn qemu_starts_firmware_stops_and_starts_linux() {
    let mut caller = qemu_connects();
    // SeaBIOS sets up ring 2 alone; QEMU enables all three.
    qemu_negotiates(&mut caller, 0x1_4000_0000);
    qemu_adds_memory(&mut caller);
    qemu_sets_up_ring(&mut caller, 2, 0);
    caller.expect(&message(18, &u32s(&[0, 1])), 0, &[]);
    caller.expect(&message(18, &u32s(&[1, 1])), 0, &[]);
    caller.expect(&message(18, &u32s(&[2, 1])), 0, &[&started(2, 0, 0x1_4000_0000)]);
    // The stop before the kernel's reset.
    for (index, effects) in [(0, &[][..]), (1, &[]), (2, &["disable 2"])] {
        caller.expect(&message(18, &u32s(&[index, 0])), 0, effects);
    }
    caller.next_avail = 44;
    caller.expect(
        &message(11, &u32s(&[2, 0])),
        0,
        &["stop 2", "send 0b000000 05000000 08000000 020000002c000000"],
    );
    acked(&mut caller, 39, &u64s(&[0]), 0, &["status 0"]);
    for _ in 0..3 {
        qemu_guest_resets(&mut caller);
    }
    // Linux takes every ring.  QEMU adds no memory: the regions of before still hold.
    qemu_negotiates(&mut caller, 0x1_7000_0006);
    for index in 0..3 {
        qemu_sets_up_ring(&mut caller, index, 0);
    }
    for index in 0..3 {
        caller.expect(&message(18, &u32s(&[index, 1])), 0, &[&started(index, 0, 0x1_7000_0006)]);
    }
    // The real call comes when the rings run already.
    for index in 0..3u8 {
        caller.expect(&message(13, &u64s(&[u64::from(index)])), 1, &[&format!("call {index}: fd")]);
    }
}

#[test]
fn qemu_reconnects_with_the_old_inflight_area_and_the_used_index() {
    let mut caller = qemu_connects();
    caller.expect(&message(2, &u64s(&[0x1_7000_0006])), 0, &["features 0x170000006"]);
    caller.expect(&inflight(32, 0x3000, 3, 128, 0), 1, &["inflight: 3 x 128 at 0x0 +0x3000"]);
    qemu_adds_memory(&mut caller);
    qemu_sets_up_ring(&mut caller, 2, 65535);
    caller.expect(&message(18, &u32s(&[2, 1])), 0, &[&started(2, 65535, 0x1_7000_0006)]);
    caller.expect(&message(13, &u64s(&[2])), 1, &["call 2: fd"]);
}

#[test]
fn qemu_without_shared_memory_is_told_of_once() {
    // Without share=on QEMU sends no region, and starts the rings all the same.
    let mut caller = qemu_connects();
    qemu_negotiates(&mut caller, 0x1_4000_0000);
    for (index, effects) in [(0, &["remark: no memory"][..]), (1, &[]), (2, &[])] {
        caller.expect(&message(8, &u32s(&[index, 128])), 0, &[]);
        caller.expect(&message(10, &u32s(&[index, 0])), 0, &[]);
        caller.expect(&addresses(index, 0), 0, effects);
        caller.expect(&message(12, &u64s(&[u64::from(index)])), 1, &[]);
    }
}

#[test]
fn qemu_migrates() {
    let mut caller = Caller::with(vhost_user::Offer { features: 0x1_7d00_0006, ..offer() });
    caller.expect(&message(16, &u64s(&[0x1_b02b])), 0, &[]);
    qemu_negotiates(&mut caller, 0x1_7000_0006);
    qemu_adds_memory(&mut caller);
    qemu_sets_up_ring(&mut caller, 2, 0);
    caller.expect(&message(18, &u32s(&[2, 1])), 0, &[&started(2, 0, 0x1_7000_0006)]);
    caller.expect(
        &message(6, &u64s(&[0x1_0000, 0])),
        1,
        &["log at 0x0 +0x10000", "send 06000000 05000000 10000000 00000100000000000000000000000000"],
    );
    acked(&mut caller, 2, &u64s(&[0x1_7400_0006]), 0, &["features 0x174000006"]);
    let mut logged = u32s(&[2, 1]);
    logged.extend(u64s(&[0x7f00_0010_1000, 0x7f00_0010_2000, 0x7f00_0010_3000, 0x10_2000]));
    acked(&mut caller, 9, &logged, 0, &["log 2: Some(102000)"]);
    caller.expect(&message(18, &u32s(&[2, 0])), 0, &["disable 2"]);
    caller.expect(
        &message(11, &u32s(&[2, 0])),
        0,
        &["stop 2", "send 0b000000 05000000 08000000 0200000007000000"],
    );
}

#[test]
fn firmware_with_a_legacy_driver_is_served() {
    // OVMF on a transitional device: no VERSION_1.
    let mut caller = qemu_connects();
    qemu_negotiates(&mut caller, 0x4000_0000);
    qemu_adds_memory(&mut caller);
    qemu_sets_up_ring(&mut caller, 2, 0);
    caller.expect(&message(18, &u32s(&[2, 1])), 0, &[&started(2, 0, 0x4000_0000)]);
}

#[test]
fn cloud_hypervisor_starts_pauses_resumes_and_resets() {
    let mut caller = Caller::new();
    caller.expect(&message(3, &[]), 0, &[]);
    caller.expect(&message(1, &[]), 0, &["send 01000000 05000000 08000000 0600007901000000"]);
    caller.expect(&message(15, &[]), 0, &["send 0f000000 05000000 08000000 2bb2010000000000"]);
    caller.expect(&message(16, &u64s(&[0x9229])), 0, &[]);
    // From here on it asks for an acknowledgement of everything.
    caller.expect(&message_acked(17, &[]), 0, &["send 11000000 05000000 08000000 0600000000000000"]);
    let mut config = u32s(&[0, 256, 1]);
    config.resize(12 + 256, 0);
    let read = caller.says(&message_acked(24, &config), Vec::new());
    let zeroes = "00".repeat(248);
    let expected =
        format!("send 18000000 05000000 0c010000 000000000001000001000000040000007e000000{zeroes}");
    assert_eq!(read, [expected]);
    acked(&mut caller, 2, &u64s(&[0x1_7000_0000]), 0, &["features 0x170000000"]);
    let mut table = u32s(&[1, 0]);
    table.extend(u64s(&[0, 0x4000_0000, 0x7f00_0000_0000, 0]));
    acked(&mut caller, 5, &table, 1, &["map 0x0 0x7f0000000000 +0x40000000@0x0"]);
    for index in 0..4 {
        acked(&mut caller, 8, &u32s(&[index, 128]), 0, &[]);
    }
    let mut get = inflight(31, 0, 4, 128, 4);
    get[4] = 9;
    caller.expect(
        &get,
        0,
        &[
            "inflight: allocate 4 x 128",
            "send 1f000000 05000000 18000000 003000000000000000000000000000000400800000000000 +1 fd",
        ],
    );
    let mut set = inflight(32, 0x3000, 4, 128, 4);
    set[4] = 9;
    caller.expect(&set, 1, &["inflight: 4 x 128 at 0x0 +0x3000", &ack(32)]);
    for index in 0..4 {
        acked(&mut caller, 9, &addresses(index, 0x7f00_0010_0000)[12..], 0, &[]);
        acked(&mut caller, 10, &u32s(&[index, 0]), 0, &[]);
        acked(&mut caller, 13, &u64s(&[u64::from(index)]), 1, &[&format!("call {index}: fd")]);
        acked(&mut caller, 12, &u64s(&[u64::from(index)]), 1, &[]);
    }
    for index in 0..4 {
        acked(&mut caller, 18, &u32s(&[index, 1]), 0, &[&started(index, 0, 0x1_7000_0000)]);
    }
    acked(&mut caller, 21, &[], 1, &["channel"]);
    for (enable, word) in [(0, "disable"), (1, "enable")] {
        for index in 0..4 {
            acked(&mut caller, 18, &u32s(&[index, enable]), 0, &[&format!("{word} {index}")]);
        }
    }
    for index in 0..4 {
        acked(&mut caller, 18, &u32s(&[index, 0]), 0, &[&format!("disable {index}")]);
        let base = format!("send 0b000000 05000000 08000000 0{index}00000007000000");
        caller.expect(&message_acked(11, &u32s(&[index, 0])), 0, &[&format!("stop {index}"), &base]);
    }
}

#[test]
fn crosvm_starts_and_resets_rings_it_never_started() {
    let mut caller = Caller::new();
    caller.expect(&message(3, &[]), 0, &[]);
    caller.expect(&message(1, &[]), 0, &["send 01000000 05000000 08000000 0600007901000000"]);
    caller.expect(&message(2, &u64s(&[0x4000_0000])), 0, &["features 0x40000000"]);
    caller.expect(&message(15, &[]), 0, &["send 0f000000 05000000 08000000 2bb2010000000000"]);
    caller.expect(&message(16, &u64s(&[0x221])), 0, &[]);
    caller.expect(&message(21, &[]), 1, &["channel"]);
    caller.expect(&message(17, &[]), 0, &["send 11000000 05000000 08000000 0600000000000000"]);
    let mut config = u32s(&[4, 4, 1]);
    config.extend([0; 4]);
    caller.expect(
        &message(24, &config),
        0,
        &["send 18000000 05000000 10000000 0400000004000000010000007e000000"],
    );
    caller.expect(&message(2, &u64s(&[0x1_7000_0006])), 0, &["features 0x170000006"]);
    let mut table = u32s(&[1, 0]);
    table.extend(u64s(&[0, 0x4000_0000, 0x7f00_0000_0000, 0]));
    caller.expect(&message(5, &table), 1, &["map 0x0 0x7f0000000000 +0x40000000@0x0"]);
    for index in 0..3 {
        caller.expect(&message(8, &u32s(&[index, 128])), 0, &[]);
        caller.expect(&addresses(index, 0x7f00_0010_0000), 0, &[]);
        caller.expect(&message(10, &u32s(&[index, 0])), 0, &[]);
        caller.expect(&message(13, &u64s(&[u64::from(index)])), 1, &[&format!("call {index}: fd")]);
        caller.expect(&message(12, &u64s(&[u64::from(index)])), 1, &[]);
        caller.expect(&message(18, &u32s(&[index, 1])), 0, &[&started(index, 0, 0x1_7000_0006)]);
    }
    for index in 0..6 {
        let (disabled, stopped, at) = if index < 3 {
            (Some(format!("disable {index}")), Some(format!("stop {index}")), 7)
        } else {
            (None, None, 0)
        };
        assert_eq!(caller.says(&message(18, &u32s(&[index, 0])), Vec::new()), Vec::from_iter(disabled));
        let base = format!("send 0b000000 05000000 08000000 0{index}0000000{at}000000");
        let expected: Vec<String> = stopped.into_iter().chain([base]).collect();
        assert_eq!(caller.says(&message(11, &u32s(&[index, 0])), Vec::new()), expected);
    }
}

#[test]
fn libkrun_starts_again_after_it_disabled_the_rings() {
    let mut caller = Caller::new();
    caller.expect(&message(1, &[]), 0, &["send 01000000 05000000 08000000 0600007901000000"]);
    caller.expect(&message(15, &[]), 0, &["send 0f000000 05000000 08000000 2bb2010000000000"]);
    caller.expect(&message(16, &u64s(&[0x201])), 0, &[]);
    caller.expect(&message(17, &[]), 0, &["send 11000000 05000000 08000000 0600000000000000"]);
    for stop in [&[][..], &["stop 0"]] {
        caller.expect(&message(3, &[]), 0, &[]);
        let mut table = u32s(&[1, 0]);
        table.extend(u64s(&[0, 0x4000_0000, 0x7f00_0000_0000, 0]));
        caller.expect(&message(5, &table), 1, &["map 0x0 0x7f0000000000 +0x40000000@0x0"]);
        caller.expect(&message(2, &u64s(&[0x1_7000_0006])), 0, &["features 0x170000006"]);
        caller.expect(&message(8, &u32s(&[0, 128])), 0, &[]);
        caller.expect(&message(10, &u32s(&[0, 0])), 0, stop);
        caller.expect(&addresses(0, 0x7f00_0010_0000), 0, &[]);
        caller.expect(&message(12, &u64s(&[0])), 1, &[]);
        caller.expect(&message(13, &u64s(&[0])), 1, &["call 0: fd"]);
        caller.expect(&message(18, &u32s(&[0, 1])), 0, &[&started(0, 0, 0x1_7000_0006)]);
        caller.expect(&message(18, &u32s(&[0, 0])), 0, &["disable 0"]);
    }
}

#[test]
fn libkrun_describes_rings_that_its_guest_never_set_up_and_they_never_start() {
    // It makes as many queues as GET_QUEUE_NUM says and starts them all: those that the driver left alone have no
    // entries, and lie at the guest's address 0.
    let mut caller = Caller::new();
    caller.expect(&message(16, &u64s(&[0x201])), 0, &[]);
    for reboot in [false, true] {
        let mut table = u32s(&[1, 0]);
        table.extend(u64s(&[0, 0x4000_0000, 0x7f00_0000_0000, 0]));
        caller.expect(&message(5, &table), 1, &["map 0x0 0x7f0000000000 +0x40000000@0x0"]);
        caller.expect(&message(2, &u64s(&[0x1_7000_0006])), 0, &["features 0x170000006"]);
        for index in 3..6 {
            caller.expect(&message(8, &u32s(&[index, 0])), 0, &[]);
            caller.expect(&message(10, &u32s(&[index, 0])), 0, &[]);
            let mut nowhere = u32s(&[index, 0]);
            nowhere.extend(u64s(&[0x7f00_0000_0000, 0x7f00_0000_0000, 0x7f00_0000_0000, 0]));
            caller.expect(&message(9, &nowhere), 0, &[]);
            caller.expect(&message(12, &u64s(&[u64::from(index)])), 1, &[]);
            caller.expect(&message(13, &u64s(&[u64::from(index)])), 1, &[&format!("call {index}: fd")]);
            caller.expect(&message(18, &u32s(&[index, 1])), 0, &[]);
        }
        for index in 3..6 {
            caller.expect(&message(18, &u32s(&[index, 0])), 0, &[]);
        }
        if reboot {
            // This time the driver uses ring 3 as well.
            caller.expect(&message(8, &u32s(&[3, 128])), 0, &[]);
            caller.expect(&addresses(3, 0x7f00_0010_0000), 0, &[]);
            caller.expect(&message(18, &u32s(&[3, 1])), 0, &[&started(3, 0, 0x1_7000_0006)]);
        }
    }
}

#[test]
fn a_ring_that_ran_and_has_no_entries_any_more_is_stopped_and_stays_so() {
    let mut caller = qemu_connects();
    qemu_negotiates(&mut caller, 0x1_4000_0000);
    qemu_adds_memory(&mut caller);
    qemu_sets_up_ring(&mut caller, 2, 0);
    caller.expect(&message(18, &u32s(&[2, 1])), 0, &[&started(2, 0, 0x1_4000_0000)]);
    caller.expect(&message(18, &u32s(&[2, 0])), 0, &["disable 2"]);
    caller.expect(&message(8, &u32s(&[2, 0])), 0, &["stop 2"]);
    caller.expect(&message(12, &u64s(&[2])), 1, &[]);
    caller.expect(&message(18, &u32s(&[2, 1])), 0, &[]);
}

#[test]
fn cloud_hypervisor_resets_by_disabling_alone_and_brings_an_inflight_area() {
    let mut caller = qemu_connects();
    qemu_negotiates(&mut caller, 0x1_7000_0000);
    qemu_adds_memory(&mut caller);
    qemu_sets_up_ring(&mut caller, 2, 0);
    caller.expect(&message(18, &u32s(&[2, 1])), 0, &[&started(2, 0, 0x1_7000_0000)]);
    let area = inflight(32, 0x3000, 3, 128, 4);
    assert!(caller.says(&area, crate::caller::devices(1))[0].starts_with("closed: SET_INFLIGHT_FD"));
    caller.expect(&message(18, &u32s(&[2, 0])), 0, &["disable 2"]);
    caller.expect(&area, 1, &["stop 2", "inflight: 3 x 128 at 0x0 +0x3000"]);
    // It starts when it is described and kicked anew.
    caller.expect(&message(18, &u32s(&[2, 1])), 0, &[]);
    caller.expect(&message(10, &u32s(&[2, 0])), 0, &[]);
    caller.expect(&message(12, &u64s(&[2])), 1, &[&started(2, 0, 0x1_7000_0000)]);
}
