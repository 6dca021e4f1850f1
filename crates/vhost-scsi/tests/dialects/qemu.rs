// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QEMU 7.2, 8.2 and 10.0, played message for message: start, pause, reboot, loss, firmware, a migration's two ends.

use crate::{connect_and, good, load, log, lun_0, rig};
use initiator::dialect::{RingStep, Step, protocol};
use initiator::raw_channel::FLAG_VERSION;
use initiator::{Dialect, Guest, LunAddress, Options, RequestQueue, commands};

const EACH: [Dialect; 3] = [Dialect::QEMU_7_2, Dialect::QEMU_8_2, Dialect::QEMU];

#[test]
fn each_qemu_starts_pauses_goes_on_and_reboots() {
    for dialect in EACH {
        let rig = rig();
        let mut guest = rig.boot(Options::default().dialect(dialect).request_queues(2));
        for _ in 0..3 {
            load(&mut guest, 50);
            // A pause: rings go on where they stood.  7.2 brings a new inflight region, which has nothing in it.
            guest.stop().unwrap();
            guest.start().unwrap();
            load(&mut guest, 50);
            guest.reset().unwrap();
            guest.start().unwrap();
        }
        good(&mut guest);
    }
}

#[test]
fn a_pause_of_qemu_7_2_with_a_new_inflight_region_goes_on_at_the_base_it_says() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().dialect(Dialect::QEMU_7_2));
    for _ in 0..260 {
        good(&mut guest);
    }
    assert_eq!(guest.stop().unwrap()[2], 260);
    // Offered while the machine is paused, and found when it goes on.
    let token = guest.request_queue(0).unwrap().stage(&commands::inquiry(lun_0(), 36)).unwrap();
    guest.start().unwrap();
    assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
    assert_eq!(guest.stop().unwrap()[2], 261);
}

#[test]
fn a_qemu_without_memory_slots_status_and_reset_gives_a_table_and_is_served() {
    let rig = rig();
    let without = protocol::CONFIGURE_MEM_SLOTS | protocol::STATUS | protocol::RESET_DEVICE;
    let options = Options::default().dialect(Dialect::QEMU_7_2).without_protocol_features(without);
    let mut guest = rig.boot(options);
    for _ in 0..3 {
        load(&mut guest, 50);
        guest.reset().unwrap();
        guest.start().unwrap();
    }
    good(&mut guest);
}

/// Makes commands available and takes the connection away before any of them is begun.
fn lose_with_commands_offered(guest: &mut Guest) -> Vec<initiator::exchange::Token> {
    guest.run(&[Step::DisableAll]).unwrap();
    let offer = |queue: &mut RequestQueue| queue.start(&commands::inquiry(lun_0(), 36)).unwrap();
    let tokens = (0..3).map(|_| offer(guest.request_queue(0).unwrap())).collect();
    guest.lose();
    tokens
}

#[test]
fn a_front_end_that_comes_back_with_its_inflight_region_loses_no_command_whatever_base_it_says() {
    // QEMU says the used index, Cloud Hypervisor the available one, which is beyond what nobody has begun.
    for dialect in [Dialect::QEMU_8_2, Dialect::QEMU, Dialect::CLOUD_HYPERVISOR] {
        let rig = rig();
        let mut guest = rig.boot(Options::default().dialect(dialect));
        for _ in 0..3 {
            good(&mut guest);
            let tokens = lose_with_commands_offered(&mut guest);
            guest.reconnect().unwrap();
            for token in tokens {
                let answer = guest.request_queue(0).unwrap().wait_for(token).unwrap();
                assert!(answer.is_good(), "{}", dialect.name);
            }
        }
        load(&mut guest, 50);
    }
}

#[test]
fn firmware_sets_up_ring_2_alone_and_every_ring_is_enabled() {
    let rig = rig();
    for _ in 0..2 {
        let mut guest = rig.boot(Options::default().firmware());
        good(&mut guest);
        // Both ways to name LUN 0: SeaBIOS's and OVMF's.
        for address in [LunAddress::peripheral(1, 0), LunAddress::unit(1, 0)] {
            assert!(guest.execute(&commands::read_capacity_10(address)).unwrap().is_good());
        }
        let bases = guest.stop().unwrap();
        assert_eq!(bases, [0, 0, 3]);
    }
}

#[test]
fn firmware_that_looks_for_256_targets_gets_an_answer_from_each_in_one_exchange() {
    let rig = rig();
    let mut guest = rig.boot(Options::default().firmware());
    for target in 0..=255 {
        let command = commands::report_luns(LunAddress::peripheral(target, 0), 0, 64);
        let answer = guest.execute(&command).unwrap();
        if target == 1 {
            assert!(answer.is_good());
        } else {
            assert_eq!((answer.response, answer.used_len), (3, 108), "target {target}: BAD TARGET");
        }
    }
    // One exchange each: what was taken is what was asked.
    assert_eq!(guest.stop().unwrap(), [0, 0, 256]);
}

/// All that the destination of a migration does before the source has stopped: everything but a kick.
const PASSIVE: &[Step] = &[
    Step::AckFeatures,
    Step::AddStatus(8),
    Step::Inflight,
    Step::AckFeatures,
    Step::MemorySlotsOrTable,
    Step::Rings(&[RingStep::Num, RingStep::Base, RingStep::Address]),
    Step::EnableAll,
];
const TAKE_OVER: &[Step] = &[Step::Rings(&[RingStep::Kick, RingStep::Call])];

#[test]
fn the_destination_of_a_migration_connects_early_and_takes_over_when_the_source_has_stopped() {
    let rig = rig();
    let mut source = rig.boot(Options::default());
    for _ in 0..3 {
        let mut destination = connect_and(&rig, Options::default(), PASSIVE);
        load(&mut source, 100);
        source.stop().unwrap();
        destination.run(TAKE_OVER).unwrap();
        load(&mut destination, 100);
        source = destination;
    }
}

#[test]
fn a_second_front_end_that_starts_a_ring_is_refused_and_disturbs_nobody_and_may_try_again() {
    log::keep();
    let rig = rig();
    let mut first = rig.boot(Options::default());
    let mut second = connect_and(&rig, Options::default(), PASSIVE);
    second.run(TAKE_OVER).unwrap();
    second.connection().unwrap().features().unwrap();
    log::wait_for(&rig, "ring 2 was not started: another front end is running this target's rings");
    load(&mut first, 100);
    first.stop().unwrap();
    second.run(TAKE_OVER).unwrap();
    load(&mut second, 100);
    assert!(first.connection().unwrap().features().is_ok(), "the first is still connected");
}

#[test]
fn the_addresses_of_a_running_ring_come_again_with_the_log_flag_and_it_runs_on() {
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    for flags in [1_u32, 1, 0] {
        for queue in 0..3_u16 {
            let at = guest.ring_mut(queue).unwrap().addresses();
            let user = |address| guest.memory().user_address(address, 1).unwrap();
            let parts = [user(at.descriptors), user(at.used), user(at.available), at.used.0];
            let mut payload = [u32::from(queue), flags].map(u32::to_ne_bytes).concat();
            payload.extend(parts.map(u64::to_ne_bytes).concat());
            guest.connection().unwrap().raw().send(9, FLAG_VERSION, &payload, &[]).unwrap();
        }
        load(&mut guest, 50);
    }
}
