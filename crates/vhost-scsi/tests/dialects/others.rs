// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cloud Hypervisor, crosvm and libkrun, played message for message.

use crate::{connect_and, good, load, lun_0, offering, rig};
use initiator::dialect::{FEATURE_CHANGE, FEATURE_HOTPLUG, RingStep, Step};
use initiator::memory::GuestAddress;
use initiator::{Dialect, Guest, Options, commands};
use std::num::NonZeroU16;
use vhost_scsi::DeviceOffer;

fn queues(count: u16) -> DeviceOffer {
    DeviceOffer { request_queues: NonZeroU16::new(count), ..DeviceOffer::default() }
}

fn word(guest: &Guest, at: usize) -> u32 {
    u32::from_le_bytes(guest.config()[at..at + 4].try_into().unwrap())
}

#[test]
fn cloud_hypervisor_is_told_of_the_queues_that_its_list_must_hold() {
    for (set, told, list) in [(0, 1, 3), (1, 1, 3), (4, 4, 6)] {
        let rig = offering(queues(set));
        let options = Options::default().dialect(Dialect::CLOUD_HYPERVISOR);
        let mut guest = rig.boot(options.request_queues(list - 2));
        assert_eq!(word(&guest, 0), told, "num_queues");
        // Its own features are all it passes on: the guest is never told of hotplug.
        assert_eq!(guest.features() & (FEATURE_HOTPLUG | FEATURE_CHANGE), 0);
        load(&mut guest, 50);
    }
}

#[test]
fn cloud_hypervisor_pauses_by_disabling_and_loses_nothing() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().dialect(Dialect::CLOUD_HYPERVISOR).request_queues(2));
    for _ in 0..5 {
        load(&mut guest, 30);
        guest.run(&[Step::DisableAll]).unwrap();
        let token = guest.request_queue(0).unwrap().start(&commands::inquiry(lun_0(), 36)).unwrap();
        // Disabled, it takes nothing: the base is where it was.
        guest.connection().unwrap().features().unwrap();
        assert_eq!(guest.request_queue(0).unwrap().in_flight(), 1);
        assert!(!guest.ring_mut(2).unwrap().has_used());
        guest.run(&[Step::EnableAll]).unwrap();
        assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
    }
}

/// A start of Cloud Hypervisor without the part about inflight.
const BEFORE_INFLIGHT: &[Step] = &[Step::AckFeatures, Step::MemoryTable, Step::Rings(&[RingStep::Num])];
const AFTER_INFLIGHT: &[Step] =
    &[Step::Rings(&[RingStep::Address, RingStep::Base, RingStep::Call, RingStep::Kick]), Step::EnableAll];

#[test]
fn cloud_hypervisor_gives_the_same_inflight_region_again_after_a_reset() {
    // It asks for one as long as its first queue, which may be longer than the others, and keeps it over resets,
    // with what was in it.
    let rig = rig();
    let options = Options::default().dialect(Dialect::CLOUD_HYPERVISOR).entries(64);
    let mut guest = connect_and(&rig, options, BEFORE_INFLIGHT);
    let area = guest.connection().unwrap().inflight(3, 256).unwrap();
    for turn in 0..4 {
        guest.connection().unwrap().set_inflight(&area).unwrap();
        guest.run(AFTER_INFLIGHT).unwrap();
        load(&mut guest, 40);
        guest.run(&[Step::DisableAll]).unwrap();
        if turn % 2 == 0 {
            // Some versions of it ask, others do not.
            guest.run(&[Step::Rings(&[RingStep::TakeBase])]).unwrap();
        }
        guest.forget_all();
        guest.run(BEFORE_INFLIGHT).unwrap();
    }
}

#[test]
fn cloud_hypervisor_resets_by_disabling_alone() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().dialect(Dialect::CLOUD_HYPERVISOR));
    for _ in 0..4 {
        load(&mut guest, 40);
        guest.reset().unwrap();
        guest.start().unwrap();
    }
    good(&mut guest);
}

#[test]
fn crosvm_has_as_many_queues_as_it_is_told_and_its_guest_uses_those_of_the_configuration() {
    for (set, told, all) in [(0, 1, 256), (4, 4, 6)] {
        let rig = offering(queues(set));
        let used = u16::try_from(told).unwrap();
        // Rings of 32768 entries, which is what it offers its guests where nobody says less.
        let options = Options::default().dialect(Dialect::CROSVM).request_queues(used).entries(32768);
        let mut guest = rig.boot(options);
        assert_eq!(guest.connection().unwrap().queue_count().unwrap(), all);
        assert_eq!(word(&guest, 0), told, "num_queues");
        assert_eq!(guest.features() & (FEATURE_HOTPLUG | FEATURE_CHANGE), FEATURE_HOTPLUG | FEATURE_CHANGE);
        assert!(guest.inflight().is_none(), "it has no region for what is in flight");
        load(&mut guest, 50);
    }
}

#[test]
fn crosvm_says_its_features_in_halves() {
    let rig = rig();
    let mut guest = Guest::connect(rig.path(), Options::default().dialect(Dialect::CROSVM)).unwrap();
    // Each half that the driver writes is passed on at once.
    for features in [0x4000_0000, 0x7000_0006, 0x1_7000_0006] {
        guest.connection().unwrap().set_features(features).unwrap();
    }
    guest.start().unwrap();
    load(&mut guest, 50);
}

#[test]
fn crosvm_sleeps_and_wakes_where_it_was() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().dialect(Dialect::CROSVM).request_queues(2));
    for _ in 0..4 {
        load(&mut guest, 40);
        guest.stop().unwrap();
        // Offered in its sleep.
        let token = guest.request_queue(1).unwrap().stage(&commands::inquiry(lun_0(), 36)).unwrap();
        guest.start().unwrap();
        assert!(guest.request_queue(1).unwrap().wait_for(token).unwrap().is_good());
    }
    guest.reset().unwrap();
    guest.start().unwrap();
    good(&mut guest);
}

#[test]
fn libkrun_starts_queues_that_its_guest_never_set_up_and_they_touch_nothing() {
    for (set, all) in [(0, 256), (1, 3), (4, 6)] {
        let rig = offering(queues(set));
        let options = Options::default().dialect(Dialect::LIBKRUN).entries(256);
        let mut guest = Guest::connect(rig.path(), options).unwrap();
        assert_eq!(guest.connection().unwrap().queue_count().unwrap(), all);
        // They lie at address 0, where the guest has something of its own and the initiator places nothing.
        let (memory, at_0) = (guest.memory().clone(), GuestAddress(0));
        memory.write(at_0, &[0x5a; 16]).unwrap();
        for _ in 0..3 {
            guest.start().unwrap();
            load(&mut guest, 40);
            guest.reset().unwrap();
        }
        let mut seen = [0; 16];
        memory.read(at_0, &mut seen).unwrap();
        assert_eq!(seen, [0x5a; 16]);
    }
}
