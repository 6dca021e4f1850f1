// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is agreed on: features, acknowledged blindly, again, or in halves; status; messages that nobody knows.

use crate::{ack, good, load, log, lun_0, rig, run_checked, soon};
use initiator::dialect::{Acks, FEATURE_PROTOCOL, RingStep, Step, protocol};
use initiator::raw_channel::{FLAG_NEED_REPLY, FLAG_VERSION};
use initiator::{Dialect, Error, Guest, Layout, Options, commands};
use std::time::Duration;

const T10_PI: u64 = 1 << 3;
const INOUT: u64 = 1;
/// The protocol feature of in-band notifications.
const INBAND_NOTIFICATIONS: u64 = 1 << 14;

#[test]
fn features_that_were_never_offered_are_tolerated_and_told_of_once() {
    log::keep();
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    let features = guest.features();
    for _ in 0..3 {
        // INOUT, NOTIFICATION_DATA and ORDER_PLATFORM: QEMU and Cloud Hypervisor know them.
        guest.connection().unwrap().set_features(features | INOUT | 1 << 38 | 1 << 36).unwrap();
        good(&mut guest);
    }
    log::wait_for(&rig, "not offered: 0x5000000001");
    assert_eq!(log::lines(&rig, "not offered: 0x5000000001").len(), 1);
}

#[test]
fn a_guest_that_was_told_of_t10_pi_sends_the_longer_header_and_is_served() {
    // With t10_pi=on QEMU tells its guest so, whatever was offered: eight bytes come before the CDB.
    let rig = rig();
    let dialect = Dialect { adds_blindly: Dialect::QEMU.adds_blindly | T10_PI, ..Dialect::QEMU };
    let driver_features = Options::default().driver_features | T10_PI;
    let mut guest = rig.boot(Options::default().dialect(dialect).driver_features(driver_features));
    assert_eq!(guest.features() & T10_PI, T10_PI);
    let mut request = commands::inquiry(lun_0(), 36).readable(1);
    request.splice(19..19, [0; 8]);
    assert_eq!(request.len(), 59);
    let layout = Layout { writable_cuts: vec![108], ..Layout::default() };
    let exchange = &mut guest.request_queue(0).unwrap().exchange;
    let token = exchange.start(&request, 108 + 36, &layout).unwrap();
    let returned = exchange.wait_for(token, &soon()).unwrap();
    assert_eq!((returned.used_len, returned.written[10], returned.written[11]), (144, 0, 0));
    assert_eq!(&returned.written[116..124], b"LIO-ORG ");
}

#[test]
fn what_cannot_be_ignored_is_refused_and_the_way_out_is_named() {
    log::keep();
    for (bit, way_out) in [(34, "set packed=off"), (33, "set iommu_platform=off"), (35, "set in_order=off")] {
        let rig = rig();
        let mut guest = Guest::connect(rig.path(), Options::default()).unwrap();
        guest.connection().unwrap().set_features(1 << 32 | 1 << 30 | 1 << bit).unwrap();
        assert!(guest.connection().unwrap().wait_closed(Duration::from_secs(30)).unwrap(), "bit {bit}");
        log::wait_for(&rig, way_out);
        assert_eq!(log::lines(&rig, way_out).len(), 1);
        assert!(log::lines(&rig, way_out)[0].contains("SET_FEATURES"));
    }
}

#[test]
fn features_that_are_said_again_disturb_no_running_ring() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().request_queues(2));
    let features = guest.features();
    let again = guest.connection().unwrap().raw().socket().try_clone().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let raw = initiator::raw_channel::RawChannel::new(again, Duration::from_secs(30)).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                raw.send(2, FLAG_VERSION, &features.to_ne_bytes(), &[]).unwrap();
                // The answer to a question keeps it from filling the socket.
                raw.send(1, FLAG_VERSION, &[], &[]).unwrap();
                raw.receive().unwrap();
            }
        });
        run_checked(&mut guest);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn features_without_bit_30_enable_every_ring() {
    let rig = rig();
    let mut guest = Guest::connect(rig.path(), Options::default()).unwrap();
    let describe = [RingStep::Num, RingStep::Base, RingStep::Address, RingStep::Call, RingStep::Kick];
    for step in [Step::AckFeatures, Step::MemorySlotsOrTable] {
        guest.run(&[step]).unwrap();
    }
    for step in describe {
        let one: &'static [RingStep] = Box::leak(Box::new([step]));
        guest.run(&[Step::Rings(one)]).unwrap();
    }
    let token = guest.request_queue(0).unwrap().stage(&commands::inquiry(lun_0(), 36)).unwrap();
    let features = guest.features() & !FEATURE_PROTOCOL;
    guest.connection().unwrap().set_features(features).unwrap();
    assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
}

#[test]
fn status_is_kept_and_the_0_of_a_stop_stops_no_ring() {
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    assert_eq!(guest.connection().unwrap().status().unwrap(), 15);
    guest.connection().unwrap().set_status(0).unwrap();
    assert_eq!(guest.connection().unwrap().status().unwrap(), 0);
    good(&mut guest);
    guest.connection().unwrap().set_status(11).unwrap();
    guest.reset().unwrap();
    assert_eq!(guest.connection().unwrap().status().unwrap(), 0, "a reset is the device's first state");
}

#[test]
fn a_guest_that_resets_its_device_several_times_at_each_boot_is_served_each_time() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().request_queues(2));
    for _ in 0..5 {
        load(&mut guest, 50);
        guest.reset().unwrap();
        for _ in 0..2 {
            guest.connection().unwrap().reset_device().unwrap();
        }
        guest.start().unwrap();
    }
    good(&mut guest);
}

#[test]
fn an_unknown_message_that_asks_to_be_told_is_refused_and_the_connection_goes_on() {
    log::keep();
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    // NET_SET_MTU, VRING_KICK, SET_DEVICE_STATE_FD, and one that nobody has defined.
    for request in [20, 35, 42, 4711, 4711] {
        let raw = guest.connection().unwrap().raw();
        raw.send(request, FLAG_VERSION | FLAG_NEED_REPLY, &0_u64.to_ne_bytes(), &[]).unwrap();
        let reply = raw.receive().unwrap();
        assert_eq!((reply.request, reply.as_u64()), (request, Some(1)));
        good(&mut guest);
    }
    assert_eq!(log::lines(&rig, "refused an unknown message: this message is not served").len(), 1);
}

#[test]
fn an_unknown_message_that_asks_for_nothing_ends_the_connection_with_a_line() {
    log::keep();
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    guest.connection().unwrap().raw().send(4711, FLAG_VERSION, &[], &[]).unwrap();
    assert!(guest.connection().unwrap().wait_closed(Duration::from_secs(30)).unwrap());
    log::wait_for(&rig, "request 4711: this message is not served");
    guest.reconnect().unwrap();
    good(&mut guest);
}

#[test]
fn notifications_in_band_are_not_offered() {
    let rig = rig();
    let mut guest = Guest::connect(rig.path(), Options::default()).unwrap();
    let offered = guest.connection().unwrap().offered_protocol_features().unwrap();
    assert_eq!(offered & INBAND_NOTIFICATIONS, 0);
    // Who says that they were agreed on is told that they were not.
    ack(&mut guest, protocol::REPLY_ACK);
    let raw = guest.connection().unwrap().raw();
    let wanted = protocol::REPLY_ACK | INBAND_NOTIFICATIONS;
    raw.send(16, FLAG_VERSION | FLAG_NEED_REPLY, &wanted.to_ne_bytes(), &[]).unwrap();
    assert_eq!(raw.receive().unwrap().as_u64(), Some(1));
}

#[test]
fn a_front_end_whose_every_message_asks_to_be_told_is_told() {
    let rig = rig();
    let always = Dialect { acks: Acks::Always, ..Dialect::QEMU };
    let mut guest = rig.boot(Options::default().dialect(always));
    load(&mut guest, 50);
    guest.reset().unwrap();
    guest.start().unwrap();
    good(&mut guest);
}

#[test]
fn the_channel_of_the_back_end_is_taken_and_stays_open() {
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    good(&mut guest);
    let channel = guest.backend_channel().expect("it was agreed on");
    channel.set_nonblocking(true).unwrap();
    let read = std::io::Read::read(&mut &*channel, &mut [0; 1]).unwrap_err();
    assert_eq!(read.kind(), std::io::ErrorKind::WouldBlock, "the end of it would be the end of the device");
    // Another one takes its place.
    let (_ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    guest.connection().unwrap().set_backend_channel(&theirs).unwrap();
    good(&mut guest);
}

#[test]
fn rings_that_never_started_say_where_they_would_go_on() {
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    for queue in [3, 17, 255] {
        assert_eq!(guest.connection().unwrap().take_ring_base(queue).unwrap(), 0);
        guest.connection().unwrap().set_ring_base(queue, 65535).unwrap();
        assert_eq!(guest.connection().unwrap().take_ring_base(queue).unwrap(), 65535);
    }
    let refused = guest.connection().unwrap().raw();
    refused.send(11, FLAG_VERSION | FLAG_NEED_REPLY, &[0, 1, 0, 0, 0, 0, 0, 0], &[]).unwrap();
    // GET_VRING_BASE has an answer of its own, so that there is no way to say that ring 256 does not exist.
    assert!(matches!(refused.receive(), Err(Error::Closed { .. })));
}
