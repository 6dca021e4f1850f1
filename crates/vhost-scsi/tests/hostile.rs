// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that no driver sends: given back or refused, and the next one is served.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: a malformed ring, which ends that ring; `virtqueue` has those.

mod support;

use initiator::deadline::Deadline;
use initiator::exchange::Returned;
use initiator::hostile::Malformed;
use initiator::{Command, Guest, Layout, Options, commands, lun_0};
use std::time::Duration;
use support::{Rig, Unit};

const MIB: u64 = 1 << 20;

/// Sends raw bytes as a request and returns what came back.
fn send(guest: &mut Guest, readable: &[u8], writable_bytes: usize) -> Returned {
    let exchange = &mut guest.request_queue(0).unwrap().exchange;
    let token = exchange.start(readable, writable_bytes, &Layout::default()).unwrap();
    exchange.wait_for(token, &Deadline::after(Duration::from_secs(30))).unwrap()
}

fn still_served(guest: &mut Guest) {
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

#[test]
fn a_request_without_room_for_an_answer_is_given_back() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    let request = commands::test_unit_ready(lun_0()).readable(1);
    for room in [0, 1, 107] {
        let returned = send(&mut guest, &request, room);
        assert_eq!(returned.used_len, 0, "{room}");
        still_served(&mut guest);
    }
}

#[test]
fn a_request_shorter_than_its_header_is_a_bad_target() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    let request = commands::test_unit_ready(lun_0()).readable(1);
    for length in [1, 19, 50] {
        let returned = send(&mut guest, &request[..length], 108);
        assert_eq!((returned.used_len, returned.written[11]), (108, 3), "{length}");
        still_served(&mut guest);
    }
}

#[test]
fn both_directions_at_once_are_a_failure() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    let command = commands::read_10(lun_0(), 0, 1, 512).data_out([1; 512]);
    let answer = guest.execute(&command).unwrap();
    assert_eq!((answer.response, answer.used_len), (9, 108));
    still_served(&mut guest);
}

#[test]
fn a_read_into_buffers_for_writing_moves_nothing() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    let wrong = Command::new(lun_0(), &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]).data_out([1; 512]);
    assert_eq!(guest.execute(&wrong).unwrap().response, 1);
    let wrong = Command::new(lun_0(), &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]).data_in(512);
    assert_eq!(guest.execute(&wrong).unwrap().response, 1);
    assert_eq!(guest.execute(&commands::read_10(lun_0(), 0, 1, 512)).unwrap().data_in, [0; 512]);
}

#[test]
fn every_opcode_with_any_buffer_is_answered_once() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    for opcode in 0..=255 {
        for rest in [0x00, 0xff, 0x55] {
            let cdb: Vec<u8> = std::iter::once(opcode).chain(std::iter::repeat_n(rest, 31)).collect();
            for command in [
                Command::new(lun_0(), &cdb),
                Command::new(lun_0(), &cdb).data_in(513),
                Command::new(lun_0(), &cdb).data_out([rest; 513]),
            ] {
                let answer = guest.execute(&command).unwrap();
                assert!(answer.used_len as usize <= 108 + command.data_in_bytes, "{command:?} {answer:?}");
            }
        }
    }
    still_served(&mut guest);
}

#[test]
fn a_broken_ring_is_told_of_and_the_others_go_on() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default().request_queues(2));
    let ring = guest.ring_mut(2).unwrap();
    ring.set_available_index(40_000);
    ring.kick_anyway().unwrap();
    assert!(ring.errors.wait(&Deadline::after(Duration::from_secs(30))).unwrap(), "nobody told");
    let queue = guest.request_queue(1).unwrap();
    assert!(queue.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

#[test]
fn every_malformed_chain_is_survived_and_after_a_reset_all_is_well() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default().request_queues(2));
    for &malformed in Malformed::ALL {
        let held = malformed.send(&mut guest, 2, lun_0()).unwrap();
        // The other queue is not disturbed, whatever became of this one.
        let other = guest.request_queue(1).unwrap();
        assert!(other.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good(), "{malformed:?}");
        guest.reset().unwrap();
        guest.forget_all();
        drop(held);
        guest.start().unwrap();
        still_served(&mut guest);
    }
}
