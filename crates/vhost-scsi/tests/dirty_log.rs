// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a dirty log comes, changes, breaks and goes; and how a target passes from one front end to another.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: whether all is in the log that should be, which is in `migration.rs`.

mod support;
mod watch;

use backstore::decorate::{Fate, Judged};
use backstore::{IoKind, Ramdisk};
use initiator::deadline::Deadline;
use initiator::dialect::FEATURE_LOG_ALL;
use initiator::memory::{GuestAddress, Plan, RegionPlan};
use initiator::notifier::Notifier;
use initiator::{DirtyLog, Error, Guest, Options, Snapshot, Wait, commands, lun_0};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use support::{Rig, Unit};
use watch::{Watch, end_of_memory, log_for, wait_for_all};

const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

fn small() -> Options {
    Options::default().memory(Plan::pc(4 * MIB)).entries(64)
}

/// A guest with two regions, of which the second ends where a log of 40 bytes does.
fn two_regions() -> Options {
    let regions = vec![RegionPlan::new(0, 0x10_0000), RegionPlan::new(0x10_0000, 0x4_0000)];
    small().memory(Plan { regions, sealed: true })
}

fn serves(guest: &mut Guest) {
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

#[test]
fn nothing_is_marked_unless_there_is_a_log_and_it_is_wanted() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(small());
    let log = log_for(&guest);
    guest.connection().unwrap().set_log_base(&log).unwrap();
    guest.log_rings(true).unwrap();
    serves(&mut guest);
    assert!(log.take().is_empty(), "LOG_ALL is not acknowledged");
    guest.start_logging(&log).unwrap();
    serves(&mut guest);
    assert!(!log.take().is_empty());
    guest.stop_logging().unwrap();
    let _ = log.take();
    serves(&mut guest);
    assert!(log.take().is_empty(), "LOG_ALL was taken back");
}

#[test]
fn a_used_ring_is_logged_only_while_its_flag_is_set_and_where_the_front_end_says() {
    let mut watch = Watch::new(&[Unit::ramdisk(MIB)], small());
    let used = watch.guest.ring_mut(2).unwrap().addresses().used.0 / 4096;
    watch.renew();
    serves(&mut watch.guest);
    assert!(watch.renew().contains(&used));
    watch.guest.log_ring(2, false).unwrap();
    // It has an answer, which comes after the flag is gone.
    watch.guest.connection().unwrap().features().unwrap();
    watch.renew();
    serves(&mut watch.guest);
    let marked = watch.renew();
    assert!(!marked.is_empty() && !marked.contains(&used), "{marked:x?}");

    let memory = Arc::clone(watch.guest.memory());
    let elsewhere = Some(GuestAddress(0x20_0000));
    let (index, addresses) = (2, watch.guest.ring_mut(2).unwrap().addresses());
    assert_eq!((index, addresses.used.0 / 4096), (2, used));
    log_ring_at(&mut watch.guest, &memory, elsewhere).unwrap();
    watch.renew();
    serves(&mut watch.guest);
    let marked = watch.renew();
    assert!(marked.contains(&0x200) && !marked.contains(&used), "{marked:x?}");
}

/// Has writes to the used ring of the first request queue logged at any address.
fn log_ring_at(
    guest: &mut Guest,
    memory: &Arc<initiator::memory::Memory>,
    at: Option<GuestAddress>,
) -> Result<(), Error> {
    let [desc, used, avail] = {
        let at = guest.ring_mut(2)?.addresses();
        [at.descriptors, at.used, at.available]
            .map(|address| memory.user_address(address, 1).expect("a ring in memory"))
    };
    let fields = [desc, used, avail, at.map_or(0, |at| at.0)];
    let mut payload = [2_u32.to_ne_bytes(), u32::from(at.is_some()).to_ne_bytes()].concat();
    payload.extend(fields.iter().flat_map(|field| field.to_ne_bytes()));
    acknowledged(guest, 9, &payload)
}

/// Sends a message that asks for an acknowledgement.
fn acknowledged(guest: &mut Guest, request: u32, payload: &[u8]) -> Result<(), Error> {
    let raw = guest.connection()?.raw();
    raw.send(request, 1 | 8, payload, &[])?;
    match raw.receive()?.as_u64() {
        Some(0) => Ok(()),
        _ => Err(Error::Refused { message: "a raw message" }),
    }
}

#[test]
fn a_log_too_small_for_the_memory_is_refused_and_nothing_is_marked() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(two_regions());
    // As QEMU does it: the log first.  32 bytes cover a MiB.
    let log = DirtyLog::create("too-small", 8, 32).unwrap();
    assert!(matches!(guest.start_logging(&log), Err(Error::Refused { .. })));
    serves(&mut guest);
    assert!(log.take().is_empty());
    // A log that is large enough is taken afterwards.
    let log = DirtyLog::create("large-enough", 8, 40).unwrap();
    guest.start_logging(&log).unwrap();
    serves(&mut guest);
    assert!(!log.take().is_empty());
    // And one that is too small in its place ends the connection: its answer cannot say no.
    let small = DirtyLog::create("too-small", 8, 32).unwrap();
    assert!(guest.connection().unwrap().set_log_base(&small).is_err());
    assert!(guest.connection().unwrap().wait_closed(PATIENCE).unwrap());
    assert!(small.take().is_empty());
    guest.reconnect().unwrap();
    serves(&mut guest);
}

#[test]
fn memory_that_the_log_does_not_cover_is_refused_and_what_is_there_goes_on() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(two_regions());
    let memory = Arc::clone(guest.memory());
    let second = &memory.regions()[1];
    guest.connection().unwrap().remove_region(&memory, second).unwrap();
    let log = DirtyLog::create("log", 0, 32).unwrap();
    guest.start_logging(&log).unwrap();
    let _ = log.take();
    for _ in 0..2 {
        let refused = guest.connection().unwrap().add_region(&memory, second);
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
        let refused = guest.connection().unwrap().set_memory_table(&memory);
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
    serves(&mut guest);
    assert!(!log.take().is_empty());
    // QEMU makes the log longer first.
    guest.connection().unwrap().set_log_base(&DirtyLog::create("longer", 0, 40).unwrap()).unwrap();
    guest.connection().unwrap().add_region(&memory, second).unwrap();
    serves(&mut guest);
}

#[test]
fn a_used_ring_that_the_log_does_not_cover_is_refused_and_logged_where_it_was() {
    let mut watch = Watch::new(&[Unit::ramdisk(MIB)], small());
    let used = watch.guest.ring_mut(2).unwrap().addresses().used.0 / 4096;
    let memory = Arc::clone(watch.guest.memory());
    let end = end_of_memory(&watch.guest);
    for at in [end, end - 8, 1 << 52, u64::MAX] {
        let refused = log_ring_at(&mut watch.guest, &memory, Some(GuestAddress(at)));
        assert!(matches!(refused, Err(Error::Refused { .. })), "{at:#x}: {refused:?}");
        watch.renew();
        serves(&mut watch.guest);
        assert!(watch.renew().contains(&used), "{at:#x}");
    }
    // What was refused is not remembered either: the old address again is no change, and another is one.
    watch.guest.log_ring(2, true).unwrap();
    // Said before there is a log, it is found when one comes.
    watch.guest.stop_logging().unwrap();
    log_ring_at(&mut watch.guest, &memory, Some(GuestAddress(end))).unwrap();
    let log = log_for(&watch.guest);
    watch.guest.connection().unwrap().set_log_base(&log).unwrap();
    let features = watch.guest.features() | FEATURE_LOG_ALL;
    let refused = watch.guest.connection().unwrap().set_features(features);
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    serves(&mut watch.guest);
    assert!(log.take().is_empty());
}

#[test]
fn logging_without_a_log_is_refused_while_rings_run() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(small());
    let features = guest.features() | FEATURE_LOG_ALL;
    let refused = guest.connection().unwrap().set_features(features);
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    serves(&mut guest);
    // Nor is a log kept from one migration to the next.
    let log = log_for(&guest);
    guest.start_logging(&log).unwrap();
    guest.stop_logging().unwrap();
    let refused = guest.connection().unwrap().set_features(features);
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    guest.start_logging(&log).unwrap();
}

#[test]
fn a_log_that_comes_after_its_rings_has_all_of_the_memory_in_it() {
    // QEMU acknowledges LOG_ALL first where it starts a device in the middle of a migration.
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut options = small();
    options.dialect.adds_blindly |= FEATURE_LOG_ALL;
    options.driver_features |= FEATURE_LOG_ALL;
    let mut guest = rig.boot(options);
    serves(&mut guest);
    let log = log_for(&guest);
    guest.connection().unwrap().set_log_base(&log).unwrap();
    assert_eq!(log.take(), Snapshot::of(guest.memory()).unwrap().pages());
    serves(&mut guest);
    let marked = log.take();
    assert!((1..9).contains(&marked.len()), "{marked:x?}");
}

#[test]
fn a_log_is_let_go_of_when_logging_ends() {
    let mappings = |name: &str| {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains(&format!("memfd:{name} "))).count()
    };
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(small().request_queues(3));
    let bytes = log_for(&guest).bytes();
    let (first, second) =
        (DirtyLog::create("first-log", 0, bytes).unwrap(), DirtyLog::create("second-log", 0, bytes).unwrap());
    guest.start_logging(&first).unwrap();
    assert_eq!((mappings("first-log"), mappings("second-log")), (2, 1));
    guest.connection().unwrap().set_log_base(&second).unwrap();
    assert_eq!((mappings("first-log"), mappings("second-log")), (1, 2));
    guest.stop_logging().unwrap();
    assert_eq!((mappings("first-log"), mappings("second-log")), (1, 1));
    serves(&mut guest);
    guest.start_logging(&first).unwrap();
    guest.lose();
    let deadline = Deadline::after(PATIENCE);
    while mappings("first-log") > 1 {
        assert!(!deadline.passed(), "the log outlives its connection");
        std::thread::yield_now();
    }
}

#[test]
fn a_log_that_is_cut_short_ends_its_connection_and_no_other() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let port =
        vhost_scsi::TargetPort::new("naa.5001405000000002".into(), support::map(&[Unit::ramdisk(MIB)]));
    let bound = vhost_scsi::Bound::bind(&rig.directory.path().join("second"), None).unwrap();
    let endpoint = bound.serve(Arc::new(port), Arc::clone(&rig.reactors));
    let mut other = Guest::boot(endpoint.path(), small()).unwrap();
    let other_log = log_for(&other);
    other.start_logging(&other_log).unwrap();

    let mut guest = rig.boot(small().request_queues(3));
    let log = log_for(&guest);
    guest.start_logging(&log).unwrap();
    serves(&mut guest);
    log.truncate().unwrap();
    let token = guest.request_queue(0).unwrap().start(&commands::inquiry(lun_0(), 36)).unwrap();
    assert!(guest.connection().unwrap().wait_closed(PATIENCE).unwrap());
    assert!(
        !guest.request_queue(0).unwrap().exchange.ring.has_used(),
        "an answer whose mark is lost is not shown"
    );

    let _ = other_log.take();
    serves(&mut other);
    assert!(!other_log.take().is_empty());
    // The command is answered when the front end has come back: the inflight region tells of it.
    guest.reconnect().unwrap();
    assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
}

/// Looks until something was told `wanted` times and nothing more comes for a while, and then for marks of which nothing
/// is told, however long that is waited for: a thread may lose its turn between a mark and the word of it.  Returns how
/// often something was told, too.
fn untold(log: &DirtyLog, signal: &Notifier, wanted: u64) -> (BTreeSet<u64>, u64) {
    const SILENCE: Duration = Duration::from_millis(50);
    let patience = Deadline::after(PATIENCE);
    let mut told = 0;
    let mut silent = Deadline::after(SILENCE);
    loop {
        let news = signal.take().unwrap();
        if news > 0 {
            told += news;
            let _ = log.take();
            silent = Deadline::after(SILENCE);
        } else if silent.passed() && (told >= wanted || patience.passed()) {
            let marks = log.take();
            if marks.is_empty() || !signal.wait(&Deadline::after(PATIENCE)).unwrap() {
                return (marks, told);
            }
        }
    }
}

#[test]
fn the_front_end_is_told_of_every_mark_if_it_wants_to_be() {
    let hangs = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&hangs);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| match kind {
        IoKind::Read => Fate::Hang(Arc::clone(&switch)),
        _ => Fate::Pass,
    });
    let rig = Rig::new(&[Unit::new(store)]);
    for options in [small(), small().without_event_idx()] {
        let mut guest = rig.boot(options.wait(Wait::Poll));
        let (log, signal) = (log_for(&guest), Notifier::new().unwrap());
        guest.connection().unwrap().set_log_fd(&signal).unwrap();
        guest.start_logging(&log).unwrap();
        assert_eq!(untold(&log, &signal, 0).0, BTreeSet::new());
        for _ in 0..20 {
            serves(&mut guest);
            let (marks, told) = untold(&log, &signal, 3);
            assert_eq!(marks, BTreeSet::new());
            assert!(
                told >= 3,
                "{told}: that kicks are not wanted, the answer, and that they are wanted again"
            );
        }
        // An answer that comes when nobody looks at the ring any more.
        hangs.store(true, Ordering::SeqCst);
        let read = commands::read_10(lun_0(), 0, 1, 512);
        guest.request_queue(0).unwrap().start(&read).unwrap();
        assert_eq!(untold(&log, &signal, 0).0, BTreeSet::new());
        hangs.store(false, Ordering::SeqCst);
        wait_for_all(&mut guest, 2);
        assert!(signal.wait(&Deadline::after(PATIENCE)).unwrap());
        assert_eq!(untold(&log, &signal, 0).0, BTreeSet::new());
        guest.stop_logging().unwrap();
        signal.take().unwrap();
        guest.request_queue(0).unwrap().wait_any().unwrap();
        serves(&mut guest);
        assert!(!signal.wait(&Deadline::after(Duration::from_millis(100))).unwrap());
    }
}

#[test]
fn a_change_of_the_log_is_answered_when_it_is_in_force_on_every_ring() {
    type Change = fn(&mut Guest, &DirtyLog);
    let changes: [Change; 3] = [
        |guest, log| guest.connection().unwrap().set_log_base(log).unwrap(),
        |guest, _| {
            let features = guest.features() | FEATURE_LOG_ALL;
            guest.connection().unwrap().set_features(features).unwrap();
        },
        |guest, _| guest.log_ring(2, true).unwrap(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        // The backstore holds the thread of the ring, so that nothing can be in force on it.
        let gate = Arc::new((Mutex::new(true), Condvar::new()));
        let judge_gate = Arc::clone(&gate);
        let (entered, held) = std::sync::mpsc::channel();
        let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |_, _| {
            let _ = entered.send(());
            let (open, opened) = &*judge_gate;
            drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
            Fate::Pass
        });
        let rig = Rig::new(&[Unit::new(store)]);
        let mut guest = rig.boot(small());
        let (log, next) = (log_for(&guest), log_for(&guest));
        guest.connection().unwrap().set_log_base(&log).unwrap();
        if number != 1 {
            guest.start_logging(&log).unwrap();
            guest.log_ring(2, false).unwrap();
        }
        *gate.0.lock().unwrap() = false;
        guest.request_queue(0).unwrap().start(&commands::read_10(lun_0(), 0, 1, 512)).unwrap();
        held.recv().unwrap();
        let opener = std::thread::spawn({
            let gate = Arc::clone(&gate);
            move || {
                // How long the thread is held.
                std::thread::sleep(Duration::from_millis(150));
                *gate.0.lock().unwrap() = true;
                gate.1.notify_all();
            }
        });
        change(&mut guest, &next);
        assert!(*gate.0.lock().unwrap(), "change {number} was answered while the ring's thread was held");
        opener.join().unwrap();
        assert!(guest.request_queue(0).unwrap().wait_any().unwrap().1.is_good());
    }
}

#[test]
fn what_is_no_log_and_no_eventfd_is_refused() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(small());
    // SET_LOG_BASE beyond the end of the file.
    let log = log_for(&guest);
    let payload = [(1_u64 << 20).to_ne_bytes(), 0_u64.to_ne_bytes()].concat();
    guest.connection().unwrap().raw().send(6, 1, &payload, &[log.file()]).unwrap();
    assert!(guest.connection().unwrap().wait_closed(PATIENCE).unwrap());
    guest.reconnect().unwrap();
    // SET_LOG_FD with a file.
    guest.connection().unwrap().raw().send(7, 1, &[], &[log.file()]).unwrap();
    assert!(guest.connection().unwrap().wait_closed(PATIENCE).unwrap());
    guest.reconnect().unwrap();
    serves(&mut guest);
}

#[test]
fn a_ring_is_said_to_have_stopped_when_all_it_took_is_answered_and_logged() {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| match kind {
        IoKind::Read => Fate::Hang(Arc::clone(&switch)),
        _ => Fate::Pass,
    });
    let mut watch = Watch::new(&[Unit::new(store)], small());
    watch.guest.execute(&commands::write_10(lun_0(), 0, 8, &[9; 4096])).unwrap();
    let read = commands::read_10(lun_0(), 0, 8, 4096);
    let token = watch.guest.request_queue(0).unwrap().start(&read).unwrap();
    let after = watch.guest.request_queue(0).unwrap().start(&commands::test_unit_ready(lun_0())).unwrap();
    watch.guest.request_queue(0).unwrap().wait_for(after).unwrap();
    let seen = watch.watch(|guest| {
        let switch = Arc::clone(&hangs);
        let opener = std::thread::spawn(move || {
            // How long the medium hangs.
            std::thread::sleep(Duration::from_millis(150));
            switch.store(false, Ordering::SeqCst);
        });
        guest.stop().unwrap();
        assert!(!hangs.load(Ordering::SeqCst), "stopped while a read was under way");
        opener.join().unwrap();
        wait_for_all(guest, 2);
    });
    assert!(seen.changed.len() >= 3, "{seen:x?}");
    let answer = watch.guest.request_queue(0).unwrap().wait_for(token).unwrap();
    assert_eq!(answer.data_in, [9; 4096]);
}

#[test]
fn a_target_passes_to_the_front_end_of_the_destination_and_back_if_that_fails() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut source = rig.boot(small());
    let mut destination = Guest::connect(rig.path(), small()).unwrap();
    for turn in 0..3 {
        serves(&mut source);
        let log = log_for(&source);
        source.start_logging(&log).unwrap();
        if turn == 1 {
            // Too early: it is refused, and the source does not notice.  What it waits for in vain is not long.
            drop(destination);
            destination = Guest::connect(rig.path(), small().patience(Duration::from_secs(3))).unwrap();
            let started = destination.start();
            assert!(started.is_err() || destination.execute(&commands::inquiry(lun_0(), 36)).is_err());
            serves(&mut source);
            destination = Guest::connect(rig.path(), small()).unwrap();
        }
        source.stop().unwrap();
        if turn == 0 {
            // The migration failed at the last moment: the source goes on.
            source.stop_logging().unwrap();
            source.start().unwrap();
            continue;
        }
        destination.start().unwrap();
        serves(&mut destination);
        // The source may not come back while the destination runs.
        let early = source.start();
        assert!(early.is_err() || source.request_queue(0).unwrap().exchange.ring.used_index() < 2 + turn);
        destination.stop().unwrap();
        source = Guest::boot(rig.path(), small()).unwrap();
    }
}
