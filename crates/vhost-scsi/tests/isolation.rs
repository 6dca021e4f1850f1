// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What one front end does is no other's affair, and what is refused or over leaves nothing behind.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: what the other tests claim already.

mod hung_fuse;
mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{FileOptions, FileStore, IoKind, Ramdisk};
use hung_fuse::HungFuse;
use initiator::deadline::Deadline;
use initiator::notifier::Notifier;
use initiator::ring::Buffer;
use initiator::{Guest, LunAddress, Options, commands, lun_0};
use rustix::fs::OFlags;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use support::{Rig, Unit, until};
use target::LunMap;
use vhost_scsi::{Bound, Deed, Endpoint, Marks, Reactors, Scope, TargetPort, Waiting};

const MIB: u64 = 1 << 20;
/// How long a machine that has other work may take for what takes milliseconds; what is held up is so for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a front end waits that is to give up: long enough for it to boot.
const GIVES_UP: Duration = Duration::from_secs(3);

fn serve(directory: &std::path::Path, name: &str, unit: Unit, reactors: &Arc<Reactors>) -> Endpoint {
    let port = Arc::new(TargetPort::new("naa.5001405000000002".into(), support::map(&[unit])));
    Bound::bind(&directory.join(name), None).unwrap().serve(port, Arc::clone(reactors))
}

/// Takes O_NONBLOCK from an eventfd, as its other owner may at any time, and fills it.
fn make_it_block(call: &Notifier) {
    let flags = rustix::fs::fcntl_getfl(call).unwrap();
    let _ = call.take().unwrap();
    rustix::io::write(call, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    rustix::fs::fcntl_setfl(call, flags - OFlags::NONBLOCK).unwrap();
}

/// Two guests on one reactor.
fn neighbours() -> (tempfile::TempDir, Endpoint, Endpoint) {
    let directory = tempfile::tempdir().unwrap();
    let reactors = Reactors::start(1).unwrap();
    let one = serve(directory.path(), "one", Unit::ramdisk(16 * MIB), &reactors);
    let two = serve(directory.path(), "two", Unit::ramdisk(16 * MIB), &reactors);
    (directory, one, two)
}

#[test]
fn a_call_descriptor_that_blocks_stops_nobody_else() {
    let (_directory, one, two) = neighbours();
    let mut hostile = Guest::boot(one.path(), Options::default()).unwrap();
    let patient = Options::default().patience(PATIENCE);
    let mut neighbour = Guest::boot(two.path(), patient).unwrap();
    let call = Notifier::new().unwrap();
    hostile.connection().unwrap().set_ring_call(2, Some(&call)).unwrap();
    hostile.connection().unwrap().features().unwrap();
    make_it_block(&call);
    hostile.lose();
    std::thread::sleep(Duration::from_millis(300));
    let answer = neighbour.execute(&commands::inquiry(lun_0(), 36));
    let _ = call.take(); // Lets the reactor go, so that the test ends.
    assert!(answer.is_ok(), "{answer:?}");
}

#[test]
fn commands_that_hang_with_memory_in_hand_leave_some_to_other_disks_and_other_guests() {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let hanging = Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| match kind {
        IoKind::Read => Fate::Hang(Arc::clone(&switch)),
        _ => Fate::Pass,
    }));
    let directory = tempfile::tempdir().unwrap();
    let reactors = Reactors::start(1).unwrap();
    let units = support::map(&[hanging, Unit::ramdisk(MIB)]);
    let port = Arc::new(TargetPort::new("naa.5001405000000001".into(), units));
    let one = Bound::bind(&directory.path().join("one"), None).unwrap().serve(port, Arc::clone(&reactors));
    let two = serve(directory.path(), "two", Unit::ramdisk(MIB), &reactors);
    let patient = || Options::default().patience(PATIENCE);
    let mut guest = Guest::boot(one.path(), patient()).unwrap();
    let mut neighbour = Guest::boot(two.path(), patient()).unwrap();
    // Each reads its block into memory of the device's, of which there are 16 pieces.
    for lba in 0..40 {
        guest.request_queue(0).unwrap().start(&commands::verify_10(lun_0(), lba, 1)).unwrap();
    }
    let other_disk = guest.execute(&commands::verify_10(LunAddress::unit(1, 1), 0, 1));
    let other_guest = neighbour.execute(&commands::verify_10(lun_0(), 0, 1));
    hangs.store(false, Ordering::SeqCst);
    assert!(
        other_guest.is_ok_and(|answer| answer.is_good()),
        "another guest waits for a disk that is not its own"
    );
    assert!(other_disk.is_ok_and(|answer| answer.is_good()), "another disk waits for one that hangs");
    for _ in 0..40 {
        assert!(guest.request_queue(0).unwrap().wait_any().unwrap().1.is_good());
    }
}

#[test]
fn who_waits_for_several_units_is_told_of_each_though_one_hangs() {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let judge = move |kind, _| match kind {
        IoKind::Read => Fate::Hang(Arc::clone(&switch)),
        _ => Fate::Pass,
    };
    let hanging = Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), judge));
    let rig = Rig::new(&[hanging, Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default().patience(PATIENCE));
    guest.request_queue(0).unwrap().start(&commands::verify_10(lun_0(), 0, 1)).unwrap();
    // It has begun, as what came after it is done.
    assert!(guest.execute(&commands::verify_10(LunAddress::unit(1, 1), 0, 1)).unwrap().is_good());
    let (tell, quiet) = mpsc::channel();
    for lun in [0, 1] {
        rig.reactors.tell_when_quiet(Scope { lun: Some(lun), ..Scope::default() }, &lun, &tell);
    }
    assert_eq!(quiet.recv_timeout(PATIENCE), Ok(1));
    assert_eq!(quiet.try_recv(), Err(mpsc::TryRecvError::Empty));
    hangs.store(false, Ordering::SeqCst);
    assert_eq!(quiet.recv_timeout(PATIENCE), Ok(0));
}

#[test]
fn a_backstore_that_was_taken_away_is_closed_though_its_guest_is_idle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let unit = Unit::file(&path, MIB, true);
    let id = unit.store.id;
    let rig = Rig::new(&[unit]);
    let mut guest = rig.boot(Options::default());
    assert!(guest.execute(&commands::read_10(lun_0(), 0, 1, 512)).unwrap().is_good());
    let left = rig.endpoint.port().change_map().publish(LunMap::default());
    assert_eq!(left.len(), 1);
    rig.reactors.quiesce(Scope { store: Some(id), ..Scope::default() }, Some(id));
    drop(left);
    let again = FileStore::open(&FileOptions { path, create: None, write_back: true });
    assert!(again.is_ok(), "{:?}", again.err());
}

#[test]
fn an_abort_that_a_dead_process_took_is_answered_after_the_command_it_took() {
    let directory = tempfile::tempdir().unwrap();
    let hangs = Arc::new(AtomicBool::new(true));
    let hanging = || {
        let switch = Arc::clone(&hangs);
        Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| match kind {
            IoKind::Write { .. } => Fate::Hang(Arc::clone(&switch)),
            _ => Fate::Pass,
        }))
    };
    // Two processes as far as the guest can tell: nothing is shared but its memory.  The first is stuck
    // for ever, which is all that a killed one does.
    let first = serve(directory.path(), "first", hanging(), &Reactors::start(1).unwrap());
    let second = serve(directory.path(), "second", hanging(), &Reactors::start(1).unwrap());
    let name = directory.path().join("sock");
    std::os::unix::fs::symlink(first.path(), &name).unwrap();
    let mut guest = Guest::boot(&name, Options::default()).unwrap();
    let write = commands::write_10(lun_0(), 0, 1, &[1; 512]).tag(77);
    guest.request_queue(0).unwrap().start(&write).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let abort = guest.control().start_task_management(0, lun_0(), 77).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    std::fs::remove_file(&name).unwrap();
    std::os::unix::fs::symlink(second.path(), &name).unwrap();
    guest.reconnect().unwrap();
    let answered = guest.control().exchange.wait_for(abort, &Deadline::after(Duration::from_millis(500)));
    let command_ended = guest.request_queue(0).unwrap().exchange.ring.has_used();
    hangs.store(false, Ordering::SeqCst);
    assert!(answered.is_err() || command_ended, "the abort was answered while its command can still write");
}

#[test]
fn a_front_end_that_died_in_a_stop_does_not_keep_its_successor_out() {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let (tell, told) = std::sync::mpsc::channel();
    let unit = Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| match kind {
        IoKind::Write { .. } => {
            let _ = tell.send(());
            Fate::Hang(Arc::clone(&switch))
        }
        _ => Fate::Pass,
    }));
    let rig = Rig::new(&[unit]);
    let mut first = rig.boot(Options::default().patience(GIVES_UP));
    first.request_queue(0).unwrap().start(&commands::write_10(lun_0(), 0, 1, &[1; 512])).unwrap();
    told.recv_timeout(PATIENCE).expect("a write that is under way");
    assert!(first.stop().is_err(), "the disk hangs");
    drop(first);
    let recovery = std::thread::spawn(move || {
        // By when the second has begun to wait.
        std::thread::sleep(Duration::from_millis(700));
        hangs.store(false, Ordering::SeqCst);
    });
    let second = Guest::boot(rig.path(), Options::default());
    let answer = second.and_then(|mut guest| guest.execute(&commands::inquiry(lun_0(), 36)));
    recovery.join().unwrap();
    assert!(answer.is_ok(), "{answer:?}");
}

#[test]
fn memory_that_a_ring_lies_in_stays_when_its_removal_is_refused() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    let memory = Arc::clone(guest.memory());
    let refused: Vec<bool> = memory
        .regions()
        .iter()
        .map(|region| guest.connection().unwrap().remove_region(&memory, region).is_err())
        .collect();
    assert!(refused.contains(&true), "{refused:?}");
    // Nothing has changed where it was refused; the rest comes back.
    for (region, _) in memory.regions().iter().zip(&refused).filter(|(_, refused)| !**refused) {
        guest.connection().unwrap().add_region(&memory, region).unwrap();
    }
    guest.stop().unwrap();
    guest.start().unwrap();
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

/// Offers a read of nearly 64 MiB, all of it into the same 64 KiB, without a kick.
fn offer_large_read(guest: &mut Guest) {
    offer_read_of(guest, 1000);
}

/// Offers a read of nearly so many times 64 KiB, all of it into the same 64 KiB, without a kick.
fn offer_read_of(guest: &mut Guest, pieces: u32) {
    let memory = Arc::clone(guest.memory());
    let header = memory.allocate(51, 16).unwrap();
    header.write(0, &commands::read_16(lun_0(), 0, 127 * pieces, 0).readable(1)).unwrap();
    let (response, data) = (memory.allocate(108, 16).unwrap(), memory.allocate(65_536, 4096).unwrap());
    let table = memory.allocate(16 * 1026, 16).unwrap();
    let mut buffers = vec![
        Buffer { address: header.address(), bytes: 51, writable: false },
        Buffer { address: response.address(), bytes: 108, writable: true },
    ];
    buffers.extend((0..pieces).map(|_| Buffer { address: data.address(), bytes: 65_536, writable: true }));
    guest.request_queue(0).unwrap().exchange.ring.offer_indirect(&buffers, &table).unwrap();
    std::mem::forget((header, response, data, table));
}

#[test]
fn a_reset_over_a_full_ring_of_large_reads_holds_up_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let reactors = Reactors::start(1).unwrap();
    let one = serve(directory.path(), "one", Unit::ramdisk(64 * MIB), &reactors);
    let two = serve(directory.path(), "two", Unit::ramdisk(MIB), &reactors);
    let mut hostile = Guest::boot(one.path(), Options::default()).unwrap();
    let patient = Options::default().patience(2 * PATIENCE);
    let mut neighbour = Guest::boot(two.path(), patient).unwrap();
    for _ in 0..100 {
        offer_large_read(&mut hostile);
    }
    hostile.control().start_task_management(5, lun_0(), 0).unwrap();
    let mut answered = || hostile.ring_mut(2).unwrap().used_index();
    // The reset has the device look at the ring, which nobody has kicked.
    until("an answer to a large read", || answered() > 0);
    assert!(neighbour.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
    // One command a round, and unoptimized 0.2 s a command.
    let answered = answered();
    println!("{answered} large reads were answered by then");
    assert!(answered < 100, "the neighbour was served after all of them");
}

/// A reset waits until what guests had offered by then was looked at; a driver that moves its index back offers it no
/// more.
#[test]
fn a_reset_does_not_wait_for_what_another_guest_has_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let reactors = Reactors::start(1).unwrap();
    let one = serve(directory.path(), "one", Unit::ramdisk(16 * MIB), &reactors);
    let two = serve(directory.path(), "two", Unit::ramdisk(MIB), &reactors);
    let mut hostile = Guest::boot(one.path(), Options::default()).unwrap();
    let mut neighbour = Guest::boot(two.path(), Options::default()).unwrap();
    for _ in 0..100 {
        offer_read_of(&mut hostile, 200);
    }
    let ring = hostile.ring_mut(2).unwrap();
    ring.kick_anyway().unwrap();
    // One command a round; they are taken 32 at a time.
    while ring.used_index() == 0 {
        std::thread::yield_now();
    }
    let reset = neighbour.control().start_task_management(5, lun_0(), 0).unwrap();
    while ring.used_index() < 33 {
        std::thread::yield_now();
    }
    ring.set_available_index(64);
    let answered = neighbour.control().exchange.wait_for(reset, &Deadline::after(PATIENCE));
    assert!(answered.is_ok(), "{answered:?}");
    hostile.control().start_task_management(5, lun_0(), 0).unwrap();
    drop(hostile);
    let mut next = Guest::boot(one.path(), Options::default()).unwrap();
    assert!(next.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

#[test]
fn a_file_system_that_hangs_before_it_has_answered_once_holds_up_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let fuse = match HungFuse::mount(folder.path(), hung_fuse::POLL) {
        Ok(fuse) => fuse,
        Err(why) => return println!("skipped: a FUSE file system is needed: {why}"),
    };
    let path = folder.path().join("memory");
    let hung = Unit::new(FileStore::open(&FileOptions { path, create: None, write_back: true }).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let reactors = Reactors::start(1).unwrap();
    let one = serve(directory.path(), "one", hung, &reactors);
    let two = serve(directory.path(), "two", Unit::ramdisk(MIB), &reactors);
    let patient = Options::default().patience(PATIENCE);
    let mut neighbour = Guest::boot(two.path(), patient.clone()).unwrap();
    let mut guest = Guest::boot(one.path(), patient).unwrap();
    for command in [commands::write_10(lun_0(), 0, 1, &[1; 512]), commands::read_10(lun_0(), 8, 1, 512)] {
        guest.request_queue(0).unwrap().start(&command).unwrap();
    }
    // Dropped before all that would wait for it.
    let fuse = fuse;
    let deadline = Deadline::after(Duration::from_secs(2));
    while !fuse.hangs() && !deadline.passed() {
        let read = neighbour.execute(&commands::read_10(lun_0(), 0, 1, 512)).unwrap();
        assert!(read.is_good(), "{read:?}");
    }
    for _ in 0..3 {
        let read = neighbour.execute(&commands::read_10(lun_0(), 0, 1, 512)).unwrap();
        assert!(read.is_good(), "{read:?}");
    }
    drop(fuse);
}

#[test]
fn what_waits_is_told_with_its_lun_and_its_time() {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let hung = Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| match kind {
        IoKind::Write { .. } => Fate::Hang(Arc::clone(&switch)),
        _ => Fate::Pass,
    }));
    let rig = Rig::new(&[Unit::ramdisk(MIB), hung]);
    let mut guest = rig.boot(Options::default());
    let mut marks = Marks::default();
    assert_eq!(rig.reactors.waiting(&mut marks), []);
    let lun_1 = LunAddress::unit(1, 1);
    let queue = guest.request_queue(0).unwrap();
    let tokens = [0, 8].map(|lba| queue.start(&commands::write_10(lun_1, lba, 1, &[1; 512])).unwrap());
    // What began since the last look is nothing to tell of.
    assert!(guest.execute(&commands::read_10(lun_0(), 0, 1, 512)).unwrap().is_good());
    assert_eq!(rig.reactors.waiting(&mut marks), []);
    // The length of this sleep is what is measured.
    std::thread::sleep(Duration::from_millis(50));
    let waiting = rig.reactors.waiting(&mut marks);
    let [Waiting { wwn, target: 1, lun: 1, commands: 2, deed: Deed::Write, command: "WRITE (10)", since }] =
        waiting.as_slice()
    else {
        panic!("{waiting:?}")
    };
    assert_eq!(wwn, "naa.5001405000000001");
    assert!(*since >= Duration::from_millis(50) && *since < Duration::from_secs(10), "{since:?}");
    hangs.store(false, Ordering::SeqCst);
    for token in tokens {
        assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
    }
    assert_eq!(rig.reactors.waiting(&mut marks), []);
}
