// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the two sides agree on, acknowledgements, status and the configuration space.
//!
//! Above: `main`.
//! Below: `caller`.
//! Never here: rings and memory.

use crate::caller::{Caller, message, message_acked, offer, u32s, u64s};
use vhost_user::ProtocolFeatures;

#[test]
fn offers_are_answered() {
    let mut caller = Caller::new();
    caller.expect(&message(1, &[]), 0, &["send 01000000 05000000 08000000 0600007901000000"]);
    caller.expect(&message(15, &[]), 0, &["send 0f000000 05000000 08000000 2bb2010000000000"]);
    caller.expect(&message(17, &[]), 0, &["send 11000000 05000000 08000000 0600000000000000"]);
    caller.expect(&message(36, &[]), 0, &["send 24000000 05000000 08000000 2000000000000000"]);
}

#[test]
fn protocol_features_are_always_offered() {
    // QEMU refuses a back end without them.
    let mut caller = Caller::with(vhost_user::Offer { features: 2, ..offer() });
    caller.expect(&message(1, &[]), 0, &["send 01000000 05000000 08000000 0200004000000000"]);
}

#[test]
fn queues_and_slots_are_clamped_to_what_the_wire_can_carry() {
    let mut caller = Caller::with(vhost_user::Offer { queues: 1024, memory_slots: 4096, ..offer() });
    caller.expect(&message(17, &[]), 0, &["send 11000000 05000000 08000000 0001000000000000"]);
    caller.expect(&message(36, &[]), 0, &["send 24000000 05000000 08000000 0002000000000000"]);
}

#[test]
fn owner_may_be_set_again_and_reset() {
    let mut caller = Caller::with_acks();
    for request in [3, 3, 4, 3] {
        caller.expect(&message(request, &[]), 0, &[]);
    }
}

#[test]
fn features_only_qemu_can_add_are_tolerated_and_remarked_once() {
    // CHANGE and T10_PI are bits 2 and 3, ANY_LAYOUT is 27; nothing but HOTPLUG, 30 and VERSION_1 was offered.
    let mut caller = Caller::with(vhost_user::Offer { features: 0x1_4000_0002, ..offer() });
    caller.expect(
        &message(2, &u64s(&[0x1_4000_0006])),
        0,
        &["remark: never offered 0x4", "features 0x140000006"],
    );
    caller.expect(&message(2, &u64s(&[0x1_4000_0006])), 0, &["features 0x140000006"]);
    caller.expect(
        &message(2, &u64s(&[0x1_4800_000e])),
        0,
        &["remark: never offered 0x8000008", "features 0x14800000e"],
    );
    assert_eq!(caller.session.features(), 0x1_4800_000e);
}

#[test]
fn features_that_change_what_memory_means_are_refused_unless_offered() {
    for (bits, text) in [
        (
            0x4_4000_0000,
            "features 0x400000000 were not offered and cannot be ignored: set packed=off on the guest's device",
        ),
        (
            0x2_4000_0000,
            "features 0x200000000 were not offered and cannot be ignored: set iommu_platform=off on the guest's device",
        ),
        (
            0x8_4000_0000,
            "features 0x800000000 were not offered and cannot be ignored: set in_order=off on the guest's device",
        ),
        (
            0x4400_0000,
            "features 0x4000000 were not offered and cannot be ignored: the guest cannot be migrated",
        ),
    ] {
        let mut caller = Caller::with_acks();
        caller.expect(&message(2, &u64s(&[bits])), 0, &[&format!("closed: SET_FEATURES: {text}")]);
        caller.expect(
            &message_acked(2, &u64s(&[bits])),
            0,
            &[&format!("remark: SET_FEATURES: {text}"), "send 02000000 05000000 08000000 0100000000000000"],
        );
        assert_eq!(caller.session.features(), 0x4000_0000);
    }
    let mut caller = Caller::with(vhost_user::Offer { features: 0x400_0000, ..offer() });
    caller.expect(&message(2, &u64s(&[0x4400_0000])), 0, &["features 0x44000000"]);
}

#[test]
fn features_that_could_not_be_put_in_force_are_as_before() {
    let mut caller = Caller::with(vhost_user::Offer { features: 0x1_7d00_0006, ..offer() });
    caller.expect(&message(2, &u64s(&[0x1_4000_0002])), 0, &["features 0x140000002"]);
    caller.expect(&message(16, &u64s(&[8])), 0, &[]);
    caller.failing = "features";
    let refused = "send 02000000 05000000 08000000 0100000000000000";
    caller.expect(&message_acked(2, &u64s(&[0x1_4400_0002])), 0, &["features 0x144000002", refused]);
    assert_eq!(caller.session.features(), 0x1_4000_0002);
}

#[test]
fn protocol_features_never_offered_are_refused() {
    let text = "closed: SET_PROTOCOL_FEATURES: protocol features 0x4000 were not offered";
    Caller::new().expect(&message(16, &u64s(&[0x4009])), 0, &[text]);
}

#[test]
fn need_reply_counts_only_once_reply_ack_is_agreed_on() {
    let mut caller = Caller::new();
    caller.expect(&message_acked(3, &[]), 0, &[]);
    caller.expect(&message_acked(45, &[]), 0, &["closed: request 45: this message is not served"]);
    // The message that agrees on it is acknowledged itself: front ends built on rust-vmm wait for that.
    caller.expect(&message_acked(16, &u64s(&[8])), 0, &["send 10000000 05000000 08000000 0000000000000000"]);
    caller.expect(&message_acked(3, &[]), 0, &["send 03000000 05000000 08000000 0000000000000000"]);
    caller.expect(&message(3, &[]), 0, &[]);
}

#[test]
fn message_with_an_answer_of_its_own_is_not_acknowledged_besides() {
    let mut caller = Caller::with_acks();
    caller.expect(&message_acked(1, &[]), 0, &["send 01000000 05000000 08000000 0600007901000000"]);
    caller.expect(&message_acked(40, &[]), 0, &["send 28000000 05000000 08000000 0000000000000000"]);
    caller.expect(
        &message_acked(11, &u32s(&[1, 0])),
        0,
        &["send 0b000000 05000000 08000000 0100000000000000"],
    );
    caller.expect(
        &message_acked(11, &u32s(&[9, 0])),
        0,
        &["closed: GET_VRING_BASE: there is no ring 9, only 6 of them"],
    );
}

#[test]
fn unknown_message_is_refused_and_the_connection_goes_on_where_it_can() {
    let mut caller = Caller::with_acks();
    let nack = "send 2d000000 05000000 08000000 0100000000000000";
    caller.expect(
        &message_acked(45, &[1, 2, 3]),
        3,
        &["remark: request 45: this message is not served", nack],
    );
    // The remark is made once.
    caller.expect(&message_acked(45, &[]), 0, &[nack]);
    caller.expect(&message(17, &[]), 0, &["send 11000000 05000000 08000000 0600000000000000"]);
    caller.expect(&message(45, &[]), 0, &["closed: request 45: this message is not served"]);
    for (request, name) in [
        (19, "SEND_RARP"),
        (20, "NET_SET_MTU"),
        (22, "IOTLB_MSG"),
        (23, "SET_VRING_ENDIAN"),
        (26, "CREATE_CRYPTO_SESSION"),
        (28, "POSTCOPY_ADVISE"),
        (33, "GPU_SET_SOCKET"),
        (35, "VRING_KICK"),
        (42, "SET_DEVICE_STATE_FD"),
        (43, "CHECK_DEVICE_STATE"),
        (0, "request 0"),
    ] {
        let text = format!("closed: {name}: this message is not served");
        caller.expect(&message(request, &[]), 0, &[&text]);
    }
}

#[test]
fn message_of_a_feature_that_was_not_offered_is_refused() {
    let mut caller =
        Caller::with(vhost_user::Offer { protocol_features: ProtocolFeatures::empty(), ..offer() });
    for (request, payload, fds, text) in [
        (17, vec![], 0, "GET_QUEUE_NUM: protocol feature ProtocolFeatures(MQ)"),
        (21, vec![], 1, "SET_BACKEND_REQ_FD: protocol feature ProtocolFeatures(BACKEND_REQ)"),
        (24, u32s(&[0, 0, 0]), 0, "GET_CONFIG: protocol feature ProtocolFeatures(CONFIG)"),
        (34, vec![], 0, "RESET_DEVICE: protocol feature ProtocolFeatures(RESET_DEVICE)"),
        (36, vec![], 0, "GET_MAX_MEM_SLOTS: protocol feature ProtocolFeatures(CONFIGURE_MEM_SLOTS)"),
        (40, vec![], 0, "GET_STATUS: protocol feature ProtocolFeatures(STATUS)"),
        (7, vec![], 1, "SET_LOG_FD: protocol feature ProtocolFeatures(LOG_SHMFD)"),
    ] {
        caller.expect(&message(request, &payload), fds, &[&format!("closed: {text} was not offered")]);
    }
}

#[test]
fn status_is_kept_and_told() {
    let mut caller = Caller::with_acks();
    caller.expect(&message(39, &u64s(&[0x0b])), 0, &["status 11"]);
    caller.expect(&message(40, &[]), 0, &["send 28000000 05000000 08000000 0b00000000000000"]);
    // 0 is no reset: QEMU sends it whenever it stops the device, a pause included.
    caller.expect(
        &message_acked(39, &u64s(&[0])),
        0,
        &["status 0", "send 27000000 05000000 08000000 0000000000000000"],
    );
    caller.expect(&message(39, &u64s(&[0x100])), 0, &["closed: SET_STATUS: value 0x100 is not defined"]);
}

#[test]
fn backend_channel_is_passed_on() {
    Caller::with_acks().expect(&message(21, &[]), 1, &["channel"]);
}

fn read_config(offset: u32, bytes: u32, flags: u32) -> Vec<u8> {
    let mut payload = u32s(&[offset, bytes, flags]);
    payload.resize(12 + usize::try_from(bytes).unwrap(), 0);
    message(24, &payload)
}

#[test]
fn get_config_never_fails_and_reads_zeroes_where_there_is_nothing() {
    // Cloud Hypervisor ends the guest when it fails.
    let mut caller = Caller::with_acks();
    for (offset, bytes, flags, text) in [
        (0, 8, 0, "send 18000000 05000000 14000000 000000000800000000000000040000007e000000"),
        (4, 4, 1, "send 18000000 05000000 10000000 0400000004000000010000007e000000"),
        (6, 4, 0, "send 18000000 05000000 10000000 06000000040000000000000000000000"),
        (u32::MAX, 2, 0, "send 18000000 05000000 0e000000 ffffffff02000000000000000000"),
        (0, 0, 0, "send 18000000 05000000 0c000000 000000000000000000000000"),
    ] {
        caller.expect(&read_config(offset, bytes, flags), 0, &[text]);
    }
    let longest = caller.says(&read_config(0, 4084, 0), Vec::new());
    assert_eq!(longest.len(), 1);
    assert!(
        longest[0].starts_with("send 18000000 05000000 00100000 00000000f40f000000000000040000007e000000")
    );
    assert_eq!(longest[0].len(), "send 18000000 05000000 00100000 ".len() + 2 * 4096);
}

#[test]
fn set_config_is_passed_on_and_read_back() {
    let mut caller = Caller::with_acks();
    let write = |flags, data: &[u8]| {
        let mut payload = u32s(&[6, u32::try_from(data.len()).unwrap(), flags]);
        payload.extend(data);
        message_acked(25, &payload)
    };
    let ack = "send 19000000 05000000 08000000 0000000000000000";
    let nack = "send 19000000 05000000 08000000 0100000000000000";
    caller.expect(&write(0, &[1, 2]), 0, &["config 6: [1, 2] by Guest", ack]);
    assert_eq!(caller.session.config(), [4, 0, 0, 0, 126, 0, 1, 2]);
    caller.failing = "config";
    caller.expect(&write(1, &[3, 4]), 0, &["config 6: [3, 4] by Migration", nack]);
    assert_eq!(caller.session.config(), [4, 0, 0, 0, 126, 0, 1, 2]);
    caller.expect(
        &write(0, &[1, 2, 3]),
        0,
        &["remark: SET_CONFIG: 3 bytes at offset 6 are not within the configuration space", nack],
    );
    caller.expect(&write(2, &[1]), 0, &[nack]);
}

#[test]
fn failure_without_a_wish_for_acknowledgement_closes_the_connection() {
    let mut caller = Caller::with_acks();
    caller.failing = "config";
    let mut payload = u32s(&[0, 1, 0]);
    payload.push(9);
    caller.expect(&message(25, &payload), 0, &["closed: SET_CONFIG: it could not be carried out"]);
}
