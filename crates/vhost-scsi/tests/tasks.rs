// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Task management: answered always, and never before it is true.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`, a backstore that hangs on cue.
//! Never here: the commands themselves.

mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{BackstoreError, IoKind, Ramdisk};
use initiator::{Guest, LunAddress, Options, commands};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{Rig, TwoGuests, Unit, told_at, two_guests};
use target::UnitState;

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
fn a_unit_counts_aborts_of_what_was_there_and_of_what_was_not_and_its_resets() {
    let unit = Unit::ramdisk(MIB);
    let state = Arc::clone(&unit.state);
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |_, _| Fate::Hang(Arc::clone(&switch)));
    let rig = Rig::new(&[Unit { state: Arc::clone(&state), ..Unit::new(store) }]);
    let mut guest = rig.boot(Options::default());
    let write = commands::write_10(lun(0), 0, 1, &[1; 512]).tag(77);
    let command = guest.request_queue(0).unwrap().start(&write).unwrap();
    let abort = guest.control().start_task_management(ABORT_TASK, lun(0), 77).unwrap();
    assert!(!is_answered_within(&mut guest, abort, Duration::from_millis(50)));
    hangs.store(false, Ordering::SeqCst);
    assert_eq!(guest.control().wait_for(abort).unwrap().response, 0);
    assert_eq!(guest.request_queue(0).unwrap().wait_for(command).unwrap().response, 2);
    for tag in [78, 79] {
        assert_eq!(guest.control().task_management(ABORT_TASK, lun(0), tag).unwrap().response, 0);
    }
    assert_eq!(guest.control().task_management(LOGICAL_UNIT_RESET, lun(0), 0).unwrap().response, 0);
    let managed = state.tallies().managed();
    assert_eq!((managed.aborted, managed.nothing_to_abort, managed.resets), (1, 2, 1));
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
    assert_eq!(told_at(&mut guest, lun(1)), [[6, 0x29, 0x03]]);
    assert!(told(&mut guest).is_empty());
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
    for function in [2, 8, 0xffff_ffff] {
        let answer = guest.control().task_management(function, lun(0), 0).unwrap();
        assert_eq!((answer.response, answer.used_len), (11, 1), "function {function}");
    }
    for function in [0, 1, 2, 3, 5, 6, 7, 8] {
        assert_eq!(guest.control().task_management(function, lun(9), 0).unwrap().response, 12, "{function}");
        let nowhere = guest.control().task_management(function, LunAddress::unit(9, 0), 0).unwrap();
        assert_eq!(nowhere.response, 3, "{function}");
    }
    // A nexus is with a target, whatever is at that LUN.
    assert_eq!(guest.control().task_management(4, lun(9), 0).unwrap().response, 0);
    assert_eq!(guest.control().task_management(4, LunAddress::unit(9, 0), 0).unwrap().response, 3);
}

#[test]
fn a_function_ends_the_tasks_of_its_reach_and_no_others() {
    // To LUN 0 with tag 77, to LUN 0 with tag 78, and to LUN 1: what each ends with. 0 is its own result.
    for (function, ended) in [(0, [2, 0, 0]), (1, [2, 2, 0]), (3, [2, 2, 0]), (4, [4, 4, 4]), (5, [4, 4, 0])]
    {
        let hangs = Arc::new(AtomicBool::new(true));
        let unit = |hangs: &Arc<AtomicBool>| {
            let switch = Arc::clone(hangs);
            let hang = move |_, _| Fate::Hang(Arc::clone(&switch));
            Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), hang))
        };
        let rig = Rig::new(&[unit(&hangs), unit(&hangs)]);
        let mut guest = rig.boot(Options::default());
        let tasks = [(0, 77), (0, 78), (1, 77)].map(|(number, tag)| {
            let write = commands::write_10(lun(number), 0, 1, &[1; 512]).tag(tag);
            guest.request_queue(0).unwrap().start(&write).unwrap()
        });
        let management = guest.control().start_task_management(function, lun(0), 77).unwrap();
        assert!(!is_answered_within(&mut guest, management, Duration::from_millis(50)), "{function}");
        hangs.store(false, Ordering::SeqCst);
        assert_eq!(guest.control().wait_for(management).unwrap().response, 0, "{function}");
        let came_to = tasks.map(|task| guest.request_queue(0).unwrap().wait_for(task).unwrap().response);
        assert_eq!(came_to, ended, "{function}");
    }
}

#[test]
fn a_query_says_at_once_whether_a_task_is_there() {
    const COMPLETE: u8 = 0;
    const SUCCEEDED: u8 = 10;
    let (_rig, mut guest, hangs) = hanging();
    let query = |guest: &mut Guest, function, number, tag| {
        guest.control().task_management(function, lun(number), tag).unwrap().response
    };
    for function in [6, 7] {
        assert_eq!(query(&mut guest, function, 0, 77), COMPLETE);
    }
    // It need not have been taken from the ring: it is there when the guest has offered it.
    let write = commands::write_10(lun(0), 0, 1, &[1; 512]).tag(77);
    let write = guest.request_queue(0).unwrap().stage(&write).unwrap();
    assert_eq!(query(&mut guest, 6, 0, 77), SUCCEEDED);
    assert_eq!(query(&mut guest, 6, 0, 78), COMPLETE);
    assert_eq!(query(&mut guest, 7, 0, 78), SUCCEEDED);
    assert_eq!(query(&mut guest, 7, 1, 77), COMPLETE);
    hangs.store(false, Ordering::SeqCst);
    assert!(guest.request_queue(0).unwrap().wait_for(write).unwrap().is_good());
    assert_eq!(query(&mut guest, 7, 0, 77), COMPLETE);
}

/// What a guest is told at LUN 0.
fn told(guest: &mut Guest) -> Vec<[u8; 3]> {
    told_at(guest, lun(0))
}

#[test]
fn a_function_tells_the_nexuses_that_sam_says() {
    const LUN_RESET: [u8; 3] = [6, 0x29, 0x03];
    const NEXUS_LOSS: [u8; 3] = [6, 0x29, 0x07];
    const CLEARED: [u8; 3] = [6, 0x2f, 0x00];
    type Row = (u32, bool, &'static [[u8; 3]], &'static [[u8; 3]], (u8, u8));
    // The function and TAS; what its guest is told, what the other is told, and what the other's read ends with.
    let rows: [Row; 6] = [
        (1, false, &[], &[], (0, 0x00)),
        (3, false, &[], &[CLEARED], (2, 0x00)),
        (3, true, &[], &[], (0, 0x40)),
        (4, false, &[NEXUS_LOSS], &[], (0, 0x00)),
        (5, false, &[LUN_RESET], &[LUN_RESET], (4, 0x00)),
        (5, true, &[LUN_RESET], &[LUN_RESET], (0, 0x40)),
    ];
    for (function, tas, own, others, ended) in rows {
        let TwoGuests { mut one, mut two, hangs, rigs: _rigs } =
            two_guests(tas, UnitState::volatile("serial"));
        let read = two.request_queue(0).unwrap().start(&commands::read_10(lun(0), 0, 1, 512)).unwrap();
        // It is certain to have been taken now.
        assert!(two.execute(&commands::inquiry(lun(0), 36)).unwrap().is_good());
        let management = one.control().start_task_management(function, lun(0), 0).unwrap();
        if ended == (0, 0x00) {
            // Not of its reach, so not waited for.
            assert_eq!(one.control().wait_for(management).unwrap().response, 0, "{function}");
            hangs.store(false, Ordering::SeqCst);
        } else {
            assert!(!is_answered_within(&mut one, management, Duration::from_millis(50)), "{function}");
            hangs.store(false, Ordering::SeqCst);
            assert_eq!(one.control().wait_for(management).unwrap().response, 0, "{function}");
        }
        let read = two.request_queue(0).unwrap().wait_for(read).unwrap();
        assert_eq!((read.response, read.status), ended, "{function} {tas}");
        assert_eq!((told(&mut one), told(&mut two)), (own.to_vec(), others.to_vec()), "{function} {tas}");
    }
}

#[test]
fn a_reset_releases_what_reserve_took() {
    for (function, by_holder, released) in
        [(5, false, true), (5, true, true), (4, true, true), (4, false, false), (3, true, false)]
    {
        let TwoGuests { mut one, mut two, hangs, rigs: _rigs } =
            two_guests(true, UnitState::volatile("serial"));
        hangs.store(false, Ordering::SeqCst);
        let reserve = initiator::Command::new(lun(0), &[0x16, 0, 0, 0, 0, 0]);
        assert!(one.execute(&reserve).unwrap().is_good());
        assert_eq!(two.execute(&commands::test_unit_ready(lun(0))).unwrap().status, 0x18);
        let guest = if by_holder { &mut one } else { &mut two };
        assert_eq!(guest.control().task_management(function, lun(0), 0).unwrap().response, 0);
        told(&mut two);
        let status = two.execute(&commands::test_unit_ready(lun(0))).unwrap().status;
        assert_eq!(status, if released { 0 } else { 0x18 }, "{function} {by_holder}");
    }
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
        let deadline = initiator::deadline::Deadline::after(Duration::from_secs(60));
        let returned = guest.control().exchange.wait_for(token, &deadline).unwrap();
        assert_eq!(returned.used_len, 0, "{bytes:?}");
    }
}

/// What a guest is told of a command whose I/O fails with this: its status, and key, code and qualifier.
fn told_of(error: BackstoreError, command: initiator::Command) -> (u8, Option<[u8; 3]>) {
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |_, _| Fate::Fail(error));
    let rig = Rig::new(&[Unit::new(store)]);
    let mut guest = rig.boot(Options::default());
    let answer = guest.execute(&command).unwrap();
    assert_eq!((answer.response, answer.residual), (0, 512), "{error:?}");
    (answer.status, answer.check_condition())
}

#[test]
fn every_failure_below_becomes_its_own_sense() {
    for (error, sense) in [
        (BackstoreError::ReadFailed, [0x03, 0x11, 0x00]),
        (BackstoreError::WriteFailed, [0x03, 0x0c, 0x00]),
        (BackstoreError::NoSpace, [0x07, 0x27, 0x07]),
        (BackstoreError::ReadOnly, [0x07, 0x27, 0x00]),
        (BackstoreError::Gone, [0x02, 0x04, 0x00]),
        (BackstoreError::Unreachable, [0x02, 0x08, 0x00]),
        (BackstoreError::TimedOut, [0x02, 0x08, 0x01]),
        (BackstoreError::Unprotected, [0x0b, 0x10, 0x01]),
        (BackstoreError::Internal, [0x04, 0x44, 0x00]),
    ] {
        assert_eq!(told_of(error, commands::read_10(lun(0), 0, 1, 512)), (0x02, Some(sense)), "{error:?}");
    }
}

#[test]
fn every_errno_of_a_device_below_reaches_the_guest_as_what_it_means() {
    let sense = |sense| (0x02, Some(sense));
    for (errno, read, write) in [
        (Errno::IO, sense([0x03, 0x11, 0x00]), sense([0x03, 0x0c, 0x00])),
        (Errno::NODATA, sense([0x03, 0x11, 0x00]), sense([0x03, 0x0c, 0x00])),
        (Errno::ILSEQ, sense([0x0b, 0x10, 0x01]), sense([0x0b, 0x10, 0x01])),
        (Errno::NOSPC, sense([0x07, 0x27, 0x07]), sense([0x07, 0x27, 0x07])),
        (Errno::DQUOT, sense([0x07, 0x27, 0x07]), sense([0x07, 0x27, 0x07])),
        (Errno::ROFS, sense([0x03, 0x11, 0x00]), sense([0x07, 0x27, 0x00])),
        (Errno::NODEV, sense([0x02, 0x04, 0x00]), sense([0x02, 0x04, 0x00])),
        (Errno::NXIO, sense([0x02, 0x04, 0x00]), sense([0x02, 0x04, 0x00])),
        (Errno::NOLINK, sense([0x02, 0x08, 0x00]), sense([0x02, 0x08, 0x00])),
        (Errno::TIMEDOUT, sense([0x02, 0x08, 0x01]), sense([0x02, 0x08, 0x01])),
        (Errno::TIME, sense([0x02, 0x08, 0x01]), sense([0x02, 0x08, 0x01])),
        (Errno::REMOTEIO, sense([0x04, 0x44, 0x00]), sense([0x04, 0x44, 0x00])),
        (Errno::NOMEM, sense([0x04, 0x44, 0x00]), sense([0x04, 0x44, 0x00])),
        // RESERVATION CONFLICT and BUSY, which have no sense.
        (Errno::BADE, (0x18, None), (0x18, None)),
        (Errno::AGAIN, (0x08, None), (0x08, None)),
    ] {
        let told = |writing, command| told_of(BackstoreError::from_errno(errno, writing), command);
        assert_eq!(told(false, commands::read_10(lun(0), 0, 1, 512)), read, "{errno:?}");
        assert_eq!(told(true, commands::write_10(lun(0), 0, 1, &[1; 512])), write, "{errno:?}");
    }
}

#[test]
fn a_command_of_several_steps_tells_of_a_reservation_below_too() {
    let one_block = |code: u8, bytes: usize| {
        let cdb = [code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
        initiator::Command::new(lun(0), &cdb).data_out(vec![0; bytes])
    };
    // COMPARE AND WRITE and WRITE SAME (16).
    for command in [one_block(0x89, 1024), one_block(0x93, 512)] {
        let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), |_, _| {
            Fate::Fail(BackstoreError::from_errno(Errno::BADE, true))
        });
        let rig = Rig::new(&[Unit::new(store)]);
        let answer = rig.boot(Options::default()).execute(&command).unwrap();
        assert_eq!((answer.response, answer.status, answer.sense.len()), (0, 0x18, 0));
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

/// Two guests of one disk, of which the first is told of lost writes, with a flush or with a write that must be durable.
fn lost_writes(taken_by: IoKind, news: BackstoreError, command: &initiator::Command, told: [u8; 3]) {
    let fails = Arc::new(AtomicBool::new(true));
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| {
        // As the kernel does it: whoever comes first takes the news.
        if kind == taken_by && fails.swap(false, Ordering::SeqCst) { Fate::Fail(news) } else { Fate::Pass }
    });
    let unit = Unit::new(store);
    let unit = Unit { flags: target::UnitFlags { write_cache: true, ..unit.flags }, ..unit };
    let first = Rig::new(std::slice::from_ref(&unit));
    let port = vhost_scsi::TargetPort::new("naa.5001405000000002".into(), support::map(&[unit]));
    let bound = vhost_scsi::Bound::bind(&first.directory.path().join("second"), None).unwrap();
    let endpoint = bound.serve(Arc::new(port), Arc::clone(&first.reactors));
    let mut one = first.boot(Options::default().request_queues(2));
    let mut two = Guest::boot(endpoint.path(), Options::default()).unwrap();
    let flush = commands::synchronize_cache_10(lun(0), 0, 0);
    assert_eq!(one.execute(command).unwrap().check_condition(), Some(told));
    assert_eq!(two.execute(&flush).unwrap().check_condition(), Some([0x03, 0x0c, 0x00]));
    for guest in [&mut one, &mut two] {
        assert!(guest.execute(&flush).unwrap().is_good());
    }
    // Its other queue belongs to the guest that has been told.
    assert!(one.request_queue(1).unwrap().execute(&flush).unwrap().is_good());
}

#[test]
fn lost_writes_are_told_to_every_guest_that_shares_the_disk_and_once() {
    let flush = commands::synchronize_cache_10(lun(0), 0, 0);
    lost_writes(IoKind::Flush, BackstoreError::WriteFailed, &flush, [0x03, 0x0c, 0x00]);
    let durable = commands::write_10(lun(0), 0, 1, &[1; 512]).cdb_byte(1, 0x08);
    for (errno, told) in [(Errno::IO, [0x03, 0x0c, 0x00]), (Errno::NOLINK, [0x02, 0x08, 0x00])] {
        let news = BackstoreError::from_errno(errno, true);
        lost_writes(IoKind::Write { durable: true }, news, &durable, told);
    }
}
