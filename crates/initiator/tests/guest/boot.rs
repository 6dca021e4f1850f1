// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Starting, stopping, losing and finding the device again, in the order of each front end.

use crate::device::{Device, Personality, Quirk};
use crate::{UNIT, boot, well};
use initiator::connection::CONFIG_BYTES;
use initiator::dialect::protocol;
use initiator::memory::Plan;
use initiator::{Dialect, Guest, Options, Wait, commands};

fn inquiry_works(guest: &mut Guest) {
    let answer = guest.execute(&commands::inquiry(UNIT, 36)).expect("an answer");
    assert_eq!((answer.response, answer.status, answer.used_len), (0, 0, 144));
    assert_eq!(&answer.data_in[8..16], b"LIO-ORG ");
}

#[test]
fn qemu_says_what_qemu_says_in_its_order() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    inquiry_works(&mut guest);
    let expected = "GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES 0xb029, GET_QUEUE_NUM, \
        GET_MAX_MEM_SLOTS, SET_BACKEND_REQ_FD, SET_OWNER, GET_FEATURES, CALL 0, ERR 0, CALL 1, ERR 1, CALL 2, ERR 2, \
        SET_FEATURES 0x170000006, GET_INFLIGHT_FD 3 128, SET_INFLIGHT_FD lunar, SET_FEATURES 0x170000006, \
        ADD_MEM_REG 0x0, ADD_MEM_REG 0x100000, \
        NUM 0 128, BASE 0 0, ADDR 0, KICK 0, NUM 1 128, BASE 1 0, ADDR 1, KICK 1, NUM 2 128, BASE 2 0, ADDR 2, KICK 2, \
        ENABLE 0 1, ENABLE 1 1, ENABLE 2 1, CALL 0, CALL 1, CALL 2";
    assert_eq!(device.take_log_up_to("CALL 2").join(", "), expected);
}

#[test]
fn cloud_hypervisor_and_crosvm_have_manners_of_their_own() {
    let device = well();
    let mut guest = boot(&device, Options::default().dialect(Dialect::CLOUD_HYPERVISOR));
    inquiry_works(&mut guest);
    assert_eq!(guest.config()[..4], [0, 1, 2, 3]);
    drop(guest);
    let log = device.take_log().join(", ");
    assert!(
        log.starts_with("SET_OWNER, GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES 0x9229"),
        "{log}"
    );
    assert!(
        log.contains("SET_FEATURES 0x170000000, SET_MEM_TABLE 2, NUM 0 128, NUM 1 128, NUM 2 128, GET_INF"),
        "{log}"
    );

    let mut guest = boot(&device, Options::default().dialect(Dialect::CROSVM));
    inquiry_works(&mut guest);
    assert_eq!(guest.config().len(), CONFIG_BYTES as usize);
    drop(guest);
    let log = device.take_log().join(", ");
    assert!(log.contains("NUM 0 128, ADDR 0, BASE 0 0, CALL 0, KICK 0, ENABLE 0 1, NUM 1 128"), "{log}");
    assert!(!log.contains("INFLIGHT"), "{log}");
}

#[test]
fn a_front_end_without_protocol_features_needs_no_enable() {
    let device = well();
    let mut guest = boot(&device, Options::default().without_protocol().driver_features(0));
    inquiry_works(&mut guest);
    let log = device.take_log().join(", ");
    assert!(log.contains("SET_FEATURES 0x0"), "{log}");
    assert!(!log.contains("ENABLE") && !log.contains("PROTOCOL"), "{log}");
}

#[test]
fn firmware_sets_up_one_queue_and_enables_all() {
    let device = well();
    let mut guest = boot(&device, Options::default().firmware());
    inquiry_works(&mut guest);
    // Firmware polls, so its first command may be answered before the last message of its start is read; an
    // answer to a later message says that all are.
    guest.connection().unwrap().features().unwrap();
    let log = device.take_log().join(", ");
    // The protocol features bit is the front end's; VERSION_1 was not taken.
    assert!(log.contains("SET_FEATURES 0x40000000"), "{log}");
    let end = "NUM 2 128, BASE 2 0, ADDR 2, KICK 2, ENABLE 0 1, ENABLE 1 1, ENABLE 2 1, CALL 2, \
        GET_FEATURES";
    assert!(log.ends_with(end), "{log}");
}

#[test]
fn every_shape_of_ring_and_memory_works() {
    let device = well();
    for options in [
        Options::default().without_event_idx(),
        Options::default().without_indirect(),
        Options::default().wait(Wait::Poll),
        Options::default().wait(Wait::Poll).without_event_idx(),
        Options::default().entries(3).without_indirect(),
        Options::default().entries(1024).request_queues(4),
        Options::default().memory(Plan::awkward(8 << 20)),
        Options::default()
            .without_protocol_features(protocol::CONFIGURE_MEM_SLOTS | protocol::INFLIGHT_SHMFD),
    ] {
        let mut guest = boot(&device, options);
        let queues = u16::try_from(guest.request_queues().len()).unwrap();
        for number in 0..queues {
            let answer = guest.request_queue(number).unwrap().execute(&commands::test_unit_ready(UNIT));
            assert!(answer.expect("an answer").is_good());
        }
        inquiry_works(&mut guest);
    }
}

#[test]
fn a_polling_driver_is_not_interrupted() {
    let device = well();
    for options in [Options::default(), Options::default().without_event_idx()] {
        let mut guest = boot(&device, options.wait(Wait::Poll));
        guest.ring_mut(2).unwrap().ask_for_interrupts(false);
        // A reply shows that SET_VRING_CALL, which the device answers with a signal, has been dealt with.
        guest.connection().unwrap().features().expect("a reply");
        let before = guest.ring_mut(2).unwrap().interrupts().unwrap();
        for _ in 0..10 {
            inquiry_works(&mut guest);
        }
        // Stopping makes sure that nothing is under way any more.
        guest.stop().expect("stop");
        assert_eq!(guest.ring_mut(2).unwrap().interrupts().unwrap(), before);
    }
}

#[test]
fn a_stopped_device_starts_where_it_stopped() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    inquiry_works(&mut guest);
    inquiry_works(&mut guest);
    assert_eq!(guest.stop().expect("stop"), [0, 0, 2]);
    device.take_log();
    guest.start().expect("start");
    inquiry_works(&mut guest);
    let log = device.take_log().join(", ");
    assert!(log.contains("BASE 2 2"), "{log}");
    assert!(!log.contains("ADD_MEM_REG") && !log.contains("GET_INFLIGHT_FD"), "{log}");
}

#[test]
fn a_reset_makes_everything_new() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    inquiry_works(&mut guest);
    device.take_log();
    guest.reset().expect("reset");
    guest.start().expect("start");
    inquiry_works(&mut guest);
    let log = device.take_log().join(", ");
    assert!(log.contains("GET_BASE 2, RESET_DEVICE, SET_FEATURES"), "{log}");
    assert!(log.contains("GET_INFLIGHT_FD 3 128") && log.contains("BASE 2 0"), "{log}");
}

#[test]
fn a_command_outlives_the_connection() {
    let device = Device::start(Personality { quirk: Quirk::SwallowOnce, ..Personality::default() });
    let mut guest = boot(&device, Options::default());
    let token = guest.request_queue(0).unwrap().start(&commands::inquiry(UNIT, 36)).expect("start");
    // The swallowing must have happened: a stop tells how far the device has come.
    assert_eq!(guest.stop().expect("stop"), [0, 0, 1]);
    guest.lose();
    device.take_log();
    guest.reconnect().expect("reconnect");
    let answer = guest.request_queue(0).unwrap().wait_for(token).expect("an answer after all");
    assert_eq!(&answer.data_in[8..16], b"LIO-ORG ");
    let log = device.take_log().join(", ");
    assert!(log.contains("SET_INFLIGHT_FD lunar") && !log.contains("GET_INFLIGHT_FD"), "{log}");
    assert!(log.contains("BASE 2 0") && log.contains("ADD_MEM_REG 0x0"), "{log}");
}

#[test]
fn indices_wrap_on_a_running_ring() {
    let device = well();
    let mut guest =
        Guest::connect(device.path(), Options::default().entries(5).without_indirect()).expect("connect");
    guest.start_at(2, 65534).expect("an unused ring");
    guest.start().expect("start");
    for _ in 0..4 {
        inquiry_works(&mut guest);
    }
    assert_eq!(guest.stop().expect("stop")[2], 2);
}
