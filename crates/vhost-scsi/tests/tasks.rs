// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Task management: answered always, and never before it is true.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`, a backstore that hangs on cue.
//! Never here: the commands themselves.

mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{BackstoreError, IoKind, Ramdisk};
use initiator::{Guest, LunAddress, Options, commands};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{Rig, Unit};

const MIB: u64 = 1 << 20;
const ABORT_TASK: u32 = 0;
const LOGICAL_UNIT_RESET: u32 = 5;

fn lun(number: u16) -> LunAddress {
    LunAddress::unit(1, number)
}

/// LUN 0 hangs on writes while the switch is on; LUN 1 never does.
fn hanging() -> (Rig, Guest, Arc<AtomicBool>) {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| match kind {
        IoKind::Write { .. } => Fate::Hang(Arc::clone(&switch)),
        _ => Fate::Pass,
    });
    let rig = Rig::new(&[Unit::new(store), Unit::ramdisk(MIB)]);
    let guest = rig.boot(Options::default());
    (rig, guest, hangs)
}

/// Whether a task management request is answered while nothing else happens for a while.
fn is_answered_within(guest: &mut Guest, token: initiator::exchange::Token, patience: Duration) -> bool {
    let deadline = initiator::deadline::Deadline::after(patience);
    guest.control().exchange.wait_for(token, &deadline).is_ok()
}

#[test]
fn an_abort_is_answered_only_when_the_write_can_no_longer_land() {
    for (function, ended) in [(ABORT_TASK, 2), (LOGICAL_UNIT_RESET, 4)] {
        let (_rig, mut guest, hangs) = hanging();
        let write = commands::write_10(lun(0), 0, 1, &[1; 512]).tag(77);
        let command = guest.request_queue(0).unwrap().start(&write).unwrap();
        let management = guest.control().start_task_management(function, lun(0), 77).unwrap();
        assert!(!is_answered_within(&mut guest, management, Duration::from_millis(200)));
        hangs.store(false, Ordering::SeqCst);
        let answer = guest.control().wait_for(management).unwrap();
        assert_eq!((answer.response, answer.used_len), (0, 1));
        // The command is in the used ring already: Linux looks there as soon as it has this answer.
        assert!(guest.request_queue(0).unwrap().exchange.ring.has_used());
        let command = guest.request_queue(0).unwrap().wait_for(command).unwrap();
        assert_eq!((command.response, command.residual), (ended, 512));
    }
}

#[test]
fn a_command_that_still_waits_in_the_ring_is_begun_before_its_abort_is_answered() {
    let (_rig, mut guest, hangs) = hanging();
    hangs.store(false, Ordering::SeqCst);
    // Offered without a kick, so that nothing but the abort makes anyone look.
    let write = commands::write_10(lun(0), 0, 1, &[1; 512]).tag(5);
    guest.request_queue(0).unwrap().stage(&write).unwrap();
    let answer = guest.control().task_management(ABORT_TASK, lun(0), 5).unwrap();
    assert_eq!(answer.response, 0);
    assert!(guest.request_queue(0).unwrap().exchange.ring.has_used());
}

#[test]
fn an_abort_of_a_task_that_is_not_there_is_complete() {
    let (_rig, mut guest, _) = hanging();
    let answer = guest.control().task_management(ABORT_TASK, lun(0), 12345).unwrap();
    assert_eq!((answer.response, answer.used_len), (0, 1));
}

#[test]
fn an_abort_leaves_other_tasks_and_units_alone() {
    let (_rig, mut guest, hangs) = hanging();
    let other = commands::write_10(lun(0), 8, 1, &[1; 512]).tag(1);
    let other = guest.request_queue(0).unwrap().start(&other).unwrap();
    assert_eq!(guest.control().task_management(ABORT_TASK, lun(0), 2).unwrap().response, 0);
    assert_eq!(guest.control().task_management(LOGICAL_UNIT_RESET, lun(1), 0).unwrap().response, 0);
    let read = guest.execute(&commands::read_10(lun(1), 0, 1, 512)).unwrap();
    assert!(read.is_good(), "{read:?}");
    hangs.store(false, Ordering::SeqCst);
    let other = guest.request_queue(0).unwrap().wait_for(other).unwrap();
    assert!(other.is_good(), "{other:?}");
}

#[test]
fn a_reset_by_one_guest_waits_for_the_commands_of_another() {
    // Response and status of the other guest's command where TAS is 0, and where it is 1.
    for (tas, ended) in [(false, (4, 0x00)), (true, (0, 0x40))] {
        reset_beside_another_guest(tas, ended);
    }
}

fn reset_beside_another_guest(tas: bool, ended: (u8, u8)) {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |_, _| Fate::Hang(Arc::clone(&switch)));
    let unit = Unit::new(store);
    let unit = Unit { flags: target::UnitFlags { tas, ..unit.flags }, ..unit };
    let first = Rig::new(std::slice::from_ref(&unit));
    let port = Arc::new(vhost_scsi::TargetPort::new("naa.5001405000000002".into(), support::map(&[unit])));
    let bound = vhost_scsi::Bound::bind(&first.directory.path().join("second"), None).unwrap();
    let endpoint = bound.serve(port, Arc::clone(&first.reactors));
    let mut one = first.boot(Options::default());
    let mut two = Guest::boot(endpoint.path(), Options::default()).unwrap();
    let read = two.request_queue(0).unwrap().start(&commands::read_10(lun(0), 0, 1, 512)).unwrap();
    // The reset must find the command, so wait until it is certain to have been taken.
    let sentinel = two.execute(&commands::inquiry(lun(0), 36)).unwrap();
    assert!(sentinel.is_good());
    let reset = one.control().start_task_management(LOGICAL_UNIT_RESET, lun(0), 0).unwrap();
    assert!(!is_answered_within(&mut one, reset, Duration::from_millis(200)));
    hangs.store(false, Ordering::SeqCst);
    assert_eq!(one.control().wait_for(reset).unwrap().response, 0);
    let read = two.request_queue(0).unwrap().wait_for(read).unwrap();
    assert_eq!((read.response, read.status), ended, "TAS {tas}");
}

#[test]
fn what_is_not_done_is_rejected_and_what_is_not_there_is_named() {
    let (_rig, mut guest, _) = hanging();
    for function in [1, 2, 3, 4, 6, 7, 8, 0xffff_ffff] {
        let answer = guest.control().task_management(function, lun(0), 0).unwrap();
        assert_eq!((answer.response, answer.used_len), (11, 1), "function {function}");
    }
    let absent = guest.control().task_management(ABORT_TASK, lun(9), 0).unwrap();
    assert_eq!(absent.response, 12);
    let nowhere = guest.control().task_management(ABORT_TASK, LunAddress::unit(9, 0), 0).unwrap();
    assert_eq!(nowhere.response, 3);
}

#[test]
fn notifications_are_answered_with_none() {
    let (_rig, mut guest, _) = hanging();
    let query = guest.control().query_notifications(lun(0), 0x7e).unwrap();
    assert_eq!((query.response, query.used_len), (0, 5));
    let subscribe = guest.control().subscribe_notifications(lun(0), 0x7e).unwrap();
    assert_eq!((subscribe.response, subscribe.used_len), (0, 5));
    let nowhere = guest.control().query_notifications(LunAddress::unit(9, 0), 0x7e).unwrap();
    assert_eq!(nowhere.response, 3);
}

#[test]
fn a_request_of_no_known_type_is_given_back() {
    let (_rig, mut guest, _) = hanging();
    for bytes in [&[3, 0, 0, 0][..], &[0xff; 24], &[0, 0], &[]] {
        let layout = initiator::Layout::default();
        let token = guest.control().exchange.start(bytes, 16, &layout).unwrap();
        let deadline = initiator::deadline::Deadline::after(Duration::from_secs(10));
        let returned = guest.control().exchange.wait_for(token, &deadline).unwrap();
        assert_eq!(returned.used_len, 0, "{bytes:?}");
    }
}

#[test]
fn every_failure_below_becomes_its_own_sense() {
    for (error, sense) in [
        (BackstoreError::ReadFailed, [0x03, 0x11, 0x00]),
        (BackstoreError::WriteFailed, [0x03, 0x0c, 0x00]),
        (BackstoreError::NoSpace, [0x07, 0x27, 0x07]),
        (BackstoreError::ReadOnly, [0x07, 0x27, 0x00]),
        (BackstoreError::Gone, [0x02, 0x04, 0x00]),
        (BackstoreError::Internal, [0x04, 0x44, 0x00]),
    ] {
        let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |_, _| Fate::Fail(error));
        let rig = Rig::new(&[Unit::new(store)]);
        let mut guest = rig.boot(Options::default());
        let answer = guest.execute(&commands::read_10(lun(0), 0, 1, 512)).unwrap();
        assert_eq!((answer.check_condition(), answer.residual), (Some(sense), 512), "{error:?}");
    }
}

#[test]
fn more_resets_than_may_wait_are_all_answered_in_the_end() {
    let (_rig, mut guest, hangs) = hanging();
    let write = commands::write_10(lun(0), 0, 1, &[1; 512]).tag(77);
    let command = guest.request_queue(0).unwrap().start(&write).unwrap();
    let start =
        |guest: &mut Guest| guest.control().start_task_management(LOGICAL_UNIT_RESET, lun(0), 0).unwrap();
    let first = start(&mut guest);
    let rest: Vec<_> = (0..60).map(|_| start(&mut guest)).collect();
    assert!(!is_answered_within(&mut guest, first, Duration::from_millis(100)));
    hangs.store(false, Ordering::SeqCst);
    for token in rest {
        assert_eq!(guest.control().wait_for(token).unwrap().response, 0);
    }
    assert_eq!(guest.request_queue(0).unwrap().wait_for(command).unwrap().response, 4);
}

#[test]
fn lost_writes_are_told_to_every_guest_that_shares_the_disk_and_once() {
    let fails = Arc::new(AtomicBool::new(true));
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| match kind {
        // As the kernel does it: the first flush takes the news.
        IoKind::Flush if fails.swap(false, Ordering::SeqCst) => Fate::Fail(BackstoreError::WriteFailed),
        _ => Fate::Pass,
    });
    let unit = Unit::new(store);
    let first = Rig::new(std::slice::from_ref(&unit));
    let port = vhost_scsi::TargetPort::new("naa.5001405000000002".into(), support::map(&[unit]));
    let bound = vhost_scsi::Bound::bind(&first.directory.path().join("second"), None).unwrap();
    let endpoint = bound.serve(Arc::new(port), Arc::clone(&first.reactors));
    let mut one = first.boot(Options::default().request_queues(2));
    let mut two = Guest::boot(endpoint.path(), Options::default()).unwrap();
    let flush = commands::synchronize_cache_10(lun(0), 0, 0);
    assert_eq!(one.execute(&flush).unwrap().check_condition(), Some([0x03, 0x0c, 0x00]));
    assert_eq!(two.execute(&flush).unwrap().check_condition(), Some([0x03, 0x0c, 0x00]));
    for guest in [&mut one, &mut two] {
        assert!(guest.execute(&flush).unwrap().is_good());
    }
    // Its other queue belongs to the guest that has been told.
    assert!(one.request_queue(1).unwrap().execute(&flush).unwrap().is_good());
}
