// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Guest memory: regions that come and go while rings run, and memory that the front end did not share.

use crate::{connect_and, good, load, log, lun_0, rig};
use initiator::dialect::{RingStep, Step, protocol};
use initiator::memory::{Memory, Plan, Region, RegionPlan};
use initiator::raw_channel::{FLAG_NEED_REPLY, FLAG_VERSION, RawChannel};
use initiator::{Guest, Options, commands};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vhost_scsi::DeviceOffer;

const MIB: u64 = 1 << 20;
/// Where memory that is plugged in begins, and how far apart its pieces are.
const PLUGGED: u64 = 1 << 40;
const STRIDE: u64 = 1 << 20;

/// A region for the guest to live in, and so many small ones.
fn plan(small: u64) -> Plan {
    let mut regions = vec![RegionPlan::new(0, 32 * MIB)];
    regions.extend((0..small).map(|index| RegionPlan::new(PLUGGED + index * STRIDE, 4096)));
    Plan { regions, sealed: true }
}

/// ADD_MEM_REG or REM_MEM_REG; returns whether it was taken.
fn change(raw: &RawChannel, request: u32, memory: &Memory, region: &Region) -> bool {
    let fields = [0, region.guest.0, region.bytes, region.user, region.file_offset];
    let payload = fields.map(u64::to_ne_bytes).concat();
    raw.send(request, FLAG_VERSION | FLAG_NEED_REPLY, &payload, &[memory.file(region)]).unwrap();
    raw.receive().unwrap().as_u64() == Some(0)
}

const ADD: u32 = 37;
const REMOVE: u32 = 38;

#[test]
fn there_is_room_for_509_regions_and_for_no_more() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().memory(plan(508)));
    load(&mut guest, 100);
    let one_more = Memory::create(&plan(509)).unwrap();
    let memory = guest.memory().clone();
    let raw = guest.connection().unwrap().raw();
    assert!(!change(raw, ADD, &one_more, &one_more.regions()[509]));
    // Where one has gone another has room.
    assert!(change(raw, REMOVE, &memory, &memory.regions()[508]));
    assert!(change(raw, ADD, &one_more, &one_more.regions()[509]));
    good(&mut guest);
}

#[test]
fn regions_come_and_go_while_rings_are_busy() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().memory(plan(32)).request_queues(2));
    let memory = guest.memory().clone();
    let socket = guest.connection().unwrap().raw().socket().try_clone().unwrap();
    let (stop, changes) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let raw = RawChannel::new(socket, Duration::from_secs(30)).unwrap();
            while !stop.load(Ordering::Relaxed) {
                for request in [REMOVE, ADD] {
                    for region in &memory.regions()[1..] {
                        assert!(change(&raw, request, &memory, region));
                        changes.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        load(&mut guest, 500);
        stop.store(true, Ordering::Relaxed);
    });
    assert!(changes.into_inner() >= 64, "each region has gone and come");
    good(&mut guest);
}

#[test]
fn a_whole_table_is_replaced_while_rings_are_busy() {
    let rig = rig();
    let options = Options::default().without_protocol_features(protocol::CONFIGURE_MEM_SLOTS);
    let mut guest = rig.boot(options);
    for _ in 0..5 {
        let tokens: Vec<_> = (0..16)
            .map(|_| guest.request_queue(0).unwrap().start(&commands::read_10(lun_0(), 0, 8, 4096)).unwrap())
            .collect();
        guest.run(&[Step::MemoryTable]).unwrap();
        for token in tokens {
            assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
        }
    }
}

#[test]
fn the_number_of_regions_never_shrinks_from_one_connection_to_the_next() {
    let rig = rig();
    let offer = DeviceOffer { request_queues: NonZeroU16::new(1), ..DeviceOffer::default() };
    for _ in 0..2 {
        let mut guest = Guest::connect(rig.path(), Options::default()).unwrap();
        assert_eq!(guest.connection().unwrap().memory_slots().unwrap(), 509);
        rig.endpoint.port().offer(offer.clone());
    }
}

/// A start in which memory is left out, or is not the guest's own.
const DESCRIBE: &[Step] = &[Step::Rings(&[RingStep::Num, RingStep::Base, RingStep::Address, RingStep::Kick])];
const RUN: &[Step] = &[Step::EnableAll, Step::Rings(&[RingStep::Call])];

#[test]
fn memory_that_was_never_given_is_one_line_with_the_way_out() {
    // Without a memory backend QEMU sends no region, and starts the rings all the same.
    log::keep();
    let rig = rig();
    let mut guest = connect_and(&rig, Options::default(), &[Step::AckFeatures, Step::AddStatus(8)]);
    for _ in 0..3 {
        guest.run(DESCRIBE).unwrap();
        for queue in 0..3 {
            // It says so where it is asked, and the connection stays.
            assert!(guest.connection().unwrap().enable_ring(queue, true).is_err());
        }
        guest.run(&[Step::DisableAll, Step::Rings(&[RingStep::TakeBase])]).unwrap();
    }
    assert_eq!(log::lines(&rig, "share=on").len(), 1);
    // And when the memory comes after all, the guest is served.
    guest.run(&[Step::MemorySlotsOrTable]).unwrap();
    guest.run(DESCRIBE).unwrap();
    guest.run(RUN).unwrap();
    good(&mut guest);
}

#[test]
fn memory_that_is_a_private_copy_is_one_line_with_the_way_out() {
    // With share=off QEMU sends the file, and the guest writes to copies of its pages.
    log::keep();
    let rig = rig();
    let mut guest = connect_and(&rig, Options::default(), &[Step::AckFeatures, Step::AddStatus(8)]);
    let not_the_guests = Memory::create(&Options::default().memory).unwrap();
    for region in not_the_guests.regions() {
        guest.connection().unwrap().add_region(&not_the_guests, region).unwrap();
    }
    guest.run(DESCRIBE).unwrap();
    guest.run(RUN).unwrap();
    guest.request_queue(0).unwrap().start(&commands::inquiry(lun_0(), 36)).unwrap();
    for queue in 0..3 {
        guest.ring_mut(queue).unwrap().kicks.signal().unwrap();
    }
    log::wait_for(&rig, "share=on");
    guest.ring_mut(2).unwrap().kicks.signal().unwrap();
    guest.connection().unwrap().features().unwrap();
    assert_eq!(log::lines(&rig, "share=on").len(), 1);
}
