// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a front end is told of the device: queues, their length, and the configuration space.

use crate::{good, load, log, offering, rig};
use initiator::raw_channel::{FLAG_NEED_REPLY, FLAG_VERSION};
use initiator::{Guest, Options};
use std::num::NonZeroU16;
use std::time::Duration;
use vhost_scsi::DeviceOffer;

/// The 36 bytes of a target with four request queues and otherwise nothing set.
const FOUR_QUEUES: [u8; 36] = [
    4, 0, 0, 0, 126, 0, 0, 0, 0xff, 0xff, 0, 0, 128, 0, 0, 0, 16, 0, 0, 0, 96, 0, 0, 0, 32, 0, 0, 0, 0, 0,
    255, 0, 0xff, 0x3f, 0, 0,
];

fn four_queues() -> DeviceOffer {
    DeviceOffer { request_queues: NonZeroU16::new(4), ..DeviceOffer::default() }
}

/// GET_CONFIG by hand: payload of the answer behind offset, size and flags.
fn read(guest: &mut Guest, offset: u32, bytes: u32, flags: u32) -> Vec<u8> {
    let mut payload = [offset, bytes, flags].map(u32::to_ne_bytes).concat();
    payload.resize(12 + usize::try_from(bytes).unwrap(), 0xee);
    let raw = guest.connection().unwrap().raw();
    raw.send(24, FLAG_VERSION, &payload, &[]).unwrap();
    let reply = raw.receive().unwrap();
    assert_eq!((reply.request, &reply.payload[..12]), (24, &payload[..12]), "{offset} +{bytes}");
    reply.payload[12..].to_vec()
}

#[test]
fn the_configuration_is_read_at_any_place_and_length_and_reads_as_0_beyond_its_end() {
    let rig = offering(four_queues());
    let mut guest = rig.boot(Options::default());
    // Drivers read one, two, four or eight bytes; libraries read all there may be.
    for bytes in [1, 2, 3, 4, 7, 8, 36, 255, 256] {
        for offset in [0, 1, 2, 3, 4, 20, 24, 30, 33, 35, 36, 37, 200, 255, 256, 0x7fff_ffff, u32::MAX] {
            let beyond = std::iter::repeat(0);
            let skip = usize::try_from(offset).unwrap();
            let expected: Vec<u8> = FOUR_QUEUES
                .iter()
                .copied()
                .skip(skip)
                .chain(beyond)
                .take(usize::try_from(bytes).unwrap())
                .collect();
            // crosvm says that it might write.
            for flags in [0, 1] {
                assert_eq!(read(&mut guest, offset, bytes, flags), expected, "{offset} +{bytes}");
            }
        }
    }
    good(&mut guest);
}

#[test]
fn what_linux_writes_at_its_start_is_taken_and_reads_back() {
    // Its driver sets cdb_size and sense_size, to what they are; Cloud Hypervisor ends the guest when that fails.
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    for flags in [0_u32, 1] {
        for (offset, value) in [(24_u32, 32_u32), (20, 96)] {
            let mut payload = [offset, 4, flags].map(u32::to_ne_bytes).concat();
            payload.extend(value.to_le_bytes());
            let raw = guest.connection().unwrap().raw();
            raw.send(25, FLAG_VERSION | FLAG_NEED_REPLY, &payload, &[]).unwrap();
            assert_eq!(raw.receive().unwrap().as_u64(), Some(0));
            assert_eq!(read(&mut guest, offset, 4, 0), value.to_le_bytes());
        }
    }
    good(&mut guest);
}

#[test]
fn the_number_of_queues_that_is_set_is_told_and_is_the_most_there_is() {
    log::keep();
    let rig = offering(four_queues());
    let mut guest = rig.boot(Options::default().request_queues(4));
    assert_eq!(guest.connection().unwrap().queue_count().unwrap(), 6);
    assert_eq!(read(&mut guest, 0, 4, 0), [4, 0, 0, 0]);
    load(&mut guest, 50);
    // QEMU asks only whether its num_queues is above GET_QUEUE_NUM: with 5 or 6 it goes on, and names ring 6.
    let raw = guest.connection().unwrap().raw();
    raw.send(8, FLAG_VERSION, &[6_u32, 128].map(u32::to_ne_bytes).concat(), &[]).unwrap();
    assert!(guest.connection().unwrap().wait_closed(Duration::from_secs(30)).unwrap());
    log::wait_for(&rig, "SET_VRING_NUM: there is no ring 6, only 6 of them");
}

#[test]
fn a_front_end_may_have_254_request_queues_where_nothing_is_set() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().request_queues(254).entries(16));
    assert_eq!(guest.connection().unwrap().queue_count().unwrap(), 256);
    // One that asks is told of one queue, which every front end can give.
    assert_eq!(read(&mut guest, 0, 4, 0), [1, 0, 0, 0]);
    for queue in guest.request_queues() {
        let command = initiator::commands::inquiry(crate::lun_0(), 36);
        assert!(queue.execute(&command).unwrap().is_good());
    }
}

#[test]
fn queues_of_any_length_are_served() {
    let rig = rig();
    // The least of QEMU, one that is no power of two, QEMU's own, its greatest, and crosvm's.
    for entries in [3, 100, 128, 1024, 32768] {
        let mut guest = rig.boot(Options::default().entries(entries));
        for _ in 0..8 {
            good(&mut guest);
        }
        if entries >= 16 {
            load(&mut guest, 50);
        }
    }
}

#[test]
fn a_queue_longer_than_the_target_takes_is_refused_with_a_line_that_says_both() {
    log::keep();
    let rig = offering(DeviceOffer { queue_entries_max: 128, ..DeviceOffer::default() });
    for entries in [64, 128] {
        good(&mut rig.boot(Options::default().entries(entries)));
    }
    let mut guest = Guest::connect(rig.path(), Options::default()).unwrap();
    guest.connection().unwrap().set_ring_entries(2, 32768).unwrap();
    assert!(guest.connection().unwrap().wait_closed(Duration::from_secs(30)).unwrap());
    let line = "SET_VRING_NUM: a ring of 32768 entries is longer than the 128 that this device takes";
    log::wait_for(&rig, line);
    assert_eq!(log::lines(&rig, line).len(), 1);
}
