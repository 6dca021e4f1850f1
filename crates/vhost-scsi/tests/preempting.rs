// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PREEMPT AND ABORT over a ring: whose commands end, and when it is answered.  SPC-4, preempting.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`, a backstore that hangs on cue.
//! Never here: the rules of registrations, which `target` has; the deaths of the daemon, which `tests/` has.

mod support;

use initiator::deadline::Deadline;
use initiator::{Command, LunAddress, commands};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::{TwoGuests, good, told_at, two_guests};
use target::{NexusName, Registration, Reservations, UnitRecord, UnitState, Volatile};

fn lun() -> LunAddress {
    LunAddress::unit(1, 0)
}

/// PERSISTENT RESERVE OUT.
fn out(action: u8, kind: u8, key: u8, theirs: u8) -> Command {
    let mut list = [0; 24];
    (list[7], list[15]) = (key, theirs);
    Command::new(lun(), &[0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0]).data_out(list)
}

#[test]
fn preempt_and_abort_is_answered_when_the_others_write_can_no_longer_land() {
    for (tas, ended) in [(false, (2, 0x00)), (true, (0, 0x40))] {
        let TwoGuests { mut one, mut two, hangs, rigs: _rigs } =
            two_guests(tas, UnitState::volatile("serial"));
        for (guest, key) in [(&mut one, 0xa), (&mut two, 0xb)] {
            assert!(guest.execute(&out(6, 0, 0, key)).unwrap().is_good());
        }
        assert!(two.execute(&out(1, 5, 0xb, 0)).unwrap().is_good());
        let write = commands::write_10(lun(), 0, 1, &[1; 512]);
        let write = two.request_queue(0).unwrap().start(&write).unwrap();
        assert!(two.execute(&commands::inquiry(lun(), 36)).unwrap().is_good());
        let preempt = one.request_queue(0).unwrap().start(&out(5, 5, 0xa, 0xb)).unwrap();
        // Barred at once, and answered when the write has ended.
        let nothing = Command::new(lun(), &[0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let barred = || two.execute(&nothing).unwrap().status == 0x18;
        let patience = Deadline::after(Duration::from_secs(60));
        assert!(std::iter::repeat_with(barred).take_while(|_| !patience.passed()).any(|is_barred| is_barred));
        let deadline = Deadline::after(Duration::from_millis(100));
        assert!(one.request_queue(0).unwrap().exchange.wait_for(preempt, &deadline).is_err());
        hangs.store(false, Ordering::SeqCst);
        assert!(one.request_queue(0).unwrap().wait_for(preempt).unwrap().is_good());
        let write = two.request_queue(0).unwrap().wait_for(write).unwrap();
        assert_eq!((write.response, write.status), ended, "TAS {tas}");
        assert_eq!(told_at(&mut two, lun()), [[6, 0x2a, 0x05]]);
    }
}

#[test]
fn preempt_and_abort_of_who_is_gone_leaves_the_new_guest_of_his_port_alone() {
    // What a target has left behind that was deleted; the port has another guest since.
    let gone = NexusName { initiator: "naa.6001405fffffffff".into(), relative_port: 2 };
    let registration = Registration { key: 0xd, all_target_ports: false, generation: 0 };
    let registrations = [(gone, registration)].into();
    let reservations = Reservations { registrations, ..Reservations::default() };
    let record = UnitRecord { reservations, ..UnitRecord::default() };
    let state = UnitState::new("serial", record, Arc::new(Volatile));
    let TwoGuests { mut one, mut two, hangs, rigs: _rigs } = two_guests(false, state);
    good(&mut one, &out(6, 0, 0, 0xa));
    let write = commands::write_10(lun(), 0, 1, &[1; 512]);
    let write = two.request_queue(0).unwrap().start(&write).unwrap();
    good(&mut two, &commands::inquiry(lun(), 36)); // It is certain to have been taken now.
    // Not of those who are preempted, so not waited for.
    let preempt = one.request_queue(0).unwrap().start(&out(5, 0, 0xa, 0xd)).unwrap();
    let patience = Deadline::after(Duration::from_secs(60));
    let preempted = one.request_queue(0).unwrap().exchange.wait_for(preempt, &patience);
    hangs.store(false, Ordering::SeqCst);
    assert!(preempted.is_ok(), "it waits for a command that is not of the preempted");
    assert!(two.request_queue(0).unwrap().wait_for(write).unwrap().is_good());
    assert_eq!(told_at(&mut two, lun()), [[0; 3]; 0]);
}
