// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Kicks and calls: descriptors that come late, are replaced, or are not there.

use crate::{connect_and, good, lun_0, rig, soon};
use initiator::dialect::{RingStep, Step};
use initiator::notifier::Notifier;
use initiator::{Options, Wait, commands};

/// What QEMU says of a ring before it enables it.
const DESCRIBE: Step = Step::Rings(&[RingStep::Num, RingStep::Base, RingStep::Address, RingStep::Kick]);

#[test]
fn a_completion_told_to_the_masked_call_is_told_again_to_the_real_one() {
    // QEMU gives the descriptor that the guest listens to when the rings run already.
    let rig = rig();
    let start = [Step::AckFeatures, Step::MemorySlotsOrTable, DESCRIBE];
    let mut guest = connect_and(&rig, Options::default(), &start);
    let masked = Notifier::new().unwrap();
    guest.connection().unwrap().set_ring_call(2, Some(&masked)).unwrap();
    masked.take().unwrap();
    guest.run(&[Step::EnableAll]).unwrap();
    let token = guest.request_queue(0).unwrap().start(&commands::inquiry(lun_0(), 36)).unwrap();
    assert!(masked.wait(&soon()).unwrap(), "it is told to the descriptor that is there");
    // Nothing else will wake the driver: it sleeps until its own descriptor is signalled.
    guest.run(&[Step::Rings(&[RingStep::Call])]).unwrap();
    assert!(guest.ring_mut(2).unwrap().calls.wait(&soon()).unwrap(), "it would sleep for good");
    assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
}

#[test]
fn every_call_descriptor_is_signalled_when_it_comes() {
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    for _ in 0..3 {
        for queue in [0, 2, 77] {
            let call = Notifier::new().unwrap();
            guest.connection().unwrap().set_ring_call(queue, Some(&call)).unwrap();
            assert!(call.wait(&soon()).unwrap(), "queue {queue}");
        }
    }
    guest.run(&[Step::Rings(&[RingStep::Call])]).unwrap();
    good(&mut guest);
}

#[test]
fn a_ring_is_looked_at_when_its_kick_descriptor_comes() {
    let rig = rig();
    let mut guest = rig.boot(Options::default());
    for _ in 0..3 {
        // Made available without a kick, as if that had gone to the descriptor before.
        let token = guest.request_queue(0).unwrap().stage(&commands::inquiry(lun_0(), 36)).unwrap();
        let kick = Notifier::new().unwrap();
        guest.connection().unwrap().set_ring_kick(2, Some(&kick)).unwrap();
        assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
    }
}

#[test]
fn a_kick_that_was_lost_between_kick_and_enable_is_made_up_for() {
    let rig = rig();
    let start = [Step::AckFeatures, Step::MemorySlotsOrTable, DESCRIBE, Step::Rings(&[RingStep::Call])];
    let mut guest = connect_and(&rig, Options::default(), &start);
    let token = guest.request_queue(0).unwrap().stage(&commands::inquiry(lun_0(), 36)).unwrap();
    guest.run(&[Step::EnableAll]).unwrap();
    assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
}

#[test]
fn rings_may_be_enabled_before_they_have_addresses() {
    let rig = rig();
    let start = [
        Step::AckFeatures,
        Step::EnableAll,
        Step::MemorySlotsOrTable,
        DESCRIBE,
        Step::Rings(&[RingStep::Call]),
    ];
    good(&mut connect_and(&rig, Options::default(), &start));
}

#[test]
fn a_ring_without_kick_and_call_is_polled_by_both_sides() {
    let rig = rig();
    let options = Options { kick_descriptor: false, ..Options::default() }.wait(Wait::Poll);
    let mut guest = rig.boot(options);
    guest.connection().unwrap().set_ring_call(2, None).unwrap();
    // When these are answered, the descriptor of before is out of use and has been told for the last time.
    guest.connection().unwrap().features().unwrap();
    good(&mut guest);
    let told = guest.ring_mut(2).unwrap().interrupts().unwrap();
    for _ in 0..20 {
        good(&mut guest);
    }
    assert_eq!(guest.ring_mut(2).unwrap().interrupts().unwrap(), told, "nobody is to be told");
    // A kick descriptor that comes later is listened to.
    let kick = Notifier::new().unwrap();
    guest.connection().unwrap().set_ring_kick(2, Some(&kick)).unwrap();
    let token = guest.request_queue(0).unwrap().stage(&commands::inquiry(lun_0(), 36)).unwrap();
    kick.signal().unwrap();
    assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
}
