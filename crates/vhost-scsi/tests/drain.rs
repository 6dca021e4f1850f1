// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The end of a process: what it took is answered, what it did not take is left to the next, and nothing twice.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: a signal.  `lunard`'s own tests have those.

mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{IoKind, Ramdisk};
use initiator::deadline::Deadline;
use initiator::exchange::Token;
use initiator::{Guest, LunAddress, Options, commands};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Rig, Unit};
use vhost_scsi::{Bound, Endpoint, LAST_COMMANDS, Reactors, TargetPort, Undrained};

const MIB: u64 = 1 << 20;
/// How long a machine that has other work may take for what takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a command of a slow disk takes: long enough to be under way when a drain begins.
const SLOW: Duration = Duration::from_millis(100);

/// The blocks that a disk was asked to write, in that order.
type Written = Arc<Mutex<Vec<u64>>>;

/// A disk that writes down what it writes, and what becomes of each write.
fn disk(fate: Fate) -> (Unit, Written) {
    let written = Written::default();
    let noted = Arc::clone(&written);
    let unit = Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, offset| match kind {
        IoKind::Write { .. } => {
            noted.lock().unwrap().push(offset / 512);
            fate.clone()
        }
        _ => Fate::Pass,
    }));
    (unit, written)
}

fn sorted(written: &Written) -> Vec<u64> {
    let mut blocks = written.lock().unwrap().clone();
    blocks.sort_unstable();
    blocks
}

/// One process: reactors and a target of its own, at a name that the next one takes over.
struct Process {
    reactors: Arc<Reactors>,
    endpoint: Endpoint,
}

impl Process {
    fn start(directory: &Path, name: &str, units: &[Unit]) -> Self {
        let reactors = Reactors::start(2).unwrap();
        let port = Arc::new(TargetPort::new("naa.5001405000000002".into(), support::map(units)));
        let endpoint = Bound::bind(&directory.join(name), None).unwrap().serve(port, Arc::clone(&reactors));
        let process = Self { reactors, endpoint };
        let _ = std::fs::remove_file(place(directory));
        std::os::unix::fs::symlink(process.endpoint.path(), place(directory)).unwrap();
        process
    }

    fn drain(&self, patience: Duration) -> Undrained {
        self.reactors.drain(Instant::now() + patience)
    }
}

fn place(directory: &Path) -> PathBuf {
    directory.join("sock")
}

fn write(guest: &mut Guest, lun: u16, block: u32) -> Token {
    let command = commands::write_10(LunAddress::unit(1, lun), block, 1, &[7; 512]);
    guest.request_queue(0).unwrap().start(&command).unwrap()
}

fn is_answered(guest: &mut Guest, token: Token, patience: Duration) -> bool {
    guest.request_queue(0).unwrap().exchange.wait_for(token, &Deadline::after(patience)).is_ok()
}

/// Waits until a disk has begun that many writes.
fn wait_for_writes(written: &Written, count: usize) {
    let deadline = Deadline::after(PATIENCE);
    while written.lock().unwrap().len() < count {
        assert!(!deadline.passed(), "the disk was asked for {written:?}");
        std::thread::yield_now();
    }
}

/// Waits until a thread, by its file `stat`, waits for others: a drain does once it has asked all reactors, and not before, however
/// late it has the processor.
fn wait_until_asleep(stat: &Path) {
    let deadline = Deadline::after(PATIENCE);
    while !std::fs::read_to_string(stat).unwrap().contains(") S ") {
        assert!(!deadline.passed(), "it waits for nothing");
        std::thread::yield_now();
    }
}

/// Heads that the inflight region has as taken and not answered, of the first request queue.
fn tracked(guest: &Guest) -> usize {
    let region = guest.inflight().unwrap();
    let (entries, queue) = (u64::from(region.entries), 2);
    let part = (16 + 16 * entries).next_multiple_of(64);
    let flag = |head: u64| {
        let mut byte = [0];
        region.read(queue * part + 16 + 16 * head, &mut byte).unwrap();
        usize::from(byte[0])
    };
    (0..entries).map(flag).sum()
}

#[test]
fn what_was_taken_is_answered_and_the_next_process_runs_only_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let (unit, first_wrote) = disk(Fate::Delay(SLOW));
    let first = Process::start(directory.path(), "first", &[unit]);
    let mut guest = Guest::boot(place(directory.path()), Options::default()).unwrap();
    let taken: Vec<Token> = (0..16).map(|block| write(&mut guest, 0, block)).collect();
    wait_for_writes(&first_wrote, 16);
    assert_eq!(tracked(&guest), 16);
    assert_eq!(first.drain(PATIENCE), Undrained::default());
    // They were there, and told, when the drain had ended.
    for token in taken {
        assert!(is_answered(&mut guest, token, Duration::ZERO));
    }
    assert_eq!(tracked(&guest), 0);
    let left: Vec<Token> = (16..24).map(|block| write(&mut guest, 0, block)).collect();
    assert!(!is_answered(&mut guest, left[0], 3 * SLOW), "a drained process took a command");
    assert!(!guest.connection().unwrap().is_closed());

    let (unit, next_wrote) = disk(Fate::Pass);
    let _next = Process::start(directory.path(), "next", &[unit]);
    guest.reconnect().unwrap();
    for token in left {
        assert!(is_answered(&mut guest, token, PATIENCE));
    }
    assert_eq!(sorted(&first_wrote), (0..16).collect::<Vec<u64>>());
    assert_eq!(sorted(&next_wrote), (16..24).collect::<Vec<u64>>());
    assert_eq!(guest.request_queue(0).unwrap().exchange.try_any().unwrap().map(|it| it.token), None);
}

#[test]
fn a_disk_that_hangs_is_told_of_in_time_and_the_next_process_resumes_its_commands_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (hanging, hanging_wrote) = disk(Fate::Hang(Arc::new(AtomicBool::new(true))));
    let (slow, slow_wrote) = disk(Fate::Delay(SLOW));
    let id = hanging.store.id;
    let first = Process::start(directory.path(), "first", &[hanging, slow]);
    let mut guest = Guest::boot(place(directory.path()), Options::default()).unwrap();
    let stuck: Vec<Token> = (1..4).map(|block| write(&mut guest, 0, block)).collect();
    wait_for_writes(&hanging_wrote, 3);
    let quick: Vec<Token> = (4..6).map(|block| write(&mut guest, 1, block)).collect();
    wait_for_writes(&slow_wrote, 2);
    // It ends though the disk hangs for ever.
    let undrained = first.drain(Duration::from_secs(1));
    assert_eq!(undrained, Undrained { commands: BTreeMap::from([(id, 3)]), silent: vec![] });
    for token in quick {
        assert!(is_answered(&mut guest, token, Duration::ZERO));
    }
    assert_eq!(tracked(&guest), 3);

    let ((resumed, resumed_wrote), (other, other_wrote)) = (disk(Fate::Pass), disk(Fate::Pass));
    let _next = Process::start(directory.path(), "next", &[resumed, other]);
    guest.reconnect().unwrap();
    for token in stuck {
        assert!(is_answered(&mut guest, token, PATIENCE));
    }
    assert_eq!(*resumed_wrote.lock().unwrap(), [1, 2, 3]);
    assert_eq!(sorted(&slow_wrote), [4, 5]);
    assert_eq!(sorted(&other_wrote), [0_u64; 0]);
}

#[test]
fn while_one_disk_hangs_the_drain_lets_other_guests_be_served() {
    let reactors = Reactors::start(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let serve = |name: &str, unit: Unit| {
        let port = Arc::new(TargetPort::new("naa.5001405000000002".into(), support::map(&[unit])));
        Bound::bind(&directory.path().join(name), None).unwrap().serve(port, Arc::clone(&reactors))
    };
    let hangs = Arc::new(AtomicBool::new(true));
    let (hanging, hanging_wrote) = disk(Fate::Hang(Arc::clone(&hangs)));
    let (one, two) = (serve("one", hanging), serve("two", Unit::ramdisk(MIB)));
    let mut unlucky = Guest::boot(one.path(), Options::default()).unwrap();
    let mut neighbour = Guest::boot(two.path(), Options::default()).unwrap();
    write(&mut unlucky, 0, 1);
    wait_for_writes(&hanging_wrote, 1);
    let (tell, told) = std::sync::mpsc::channel();
    let draining = std::thread::spawn({
        let reactors = Arc::clone(&reactors);
        move || {
            tell.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
            reactors.drain(Instant::now() + LAST_COMMANDS + 2 * PATIENCE)
        }
    });
    wait_until_asleep(&Path::new("/proc").join(told.recv().unwrap()).join("stat"));
    for _ in 0..20 {
        let inquiry = commands::inquiry(LunAddress::unit(1, 0), 36);
        assert!(neighbour.execute(&inquiry).unwrap().is_good());
    }
    assert!(!draining.is_finished(), "it waits for a disk that hangs");
    // And no longer than for that.
    hangs.store(false, Ordering::SeqCst);
    assert_eq!(draining.join().unwrap(), Undrained::default());
}

#[test]
fn a_drain_that_has_told_of_a_disk_that_hangs_does_not_wait_for_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let (hanging, hanging_wrote) = disk(Fate::Hang(Arc::new(AtomicBool::new(true))));
    let id = hanging.store.id;
    let process = Process::start(directory.path(), "first", &[hanging]);
    let mut guest = Guest::boot(place(directory.path()), Options::default()).unwrap();
    write(&mut guest, 0, 1);
    wait_for_writes(&hanging_wrote, 1);
    // The last part is as long as the disks that do not hang take: of three, the machine has one that is in time.
    let is_in_time = (0..3).any(|_| {
        let begun = Instant::now();
        let undrained = process.drain(LAST_COMMANDS + Duration::from_secs(2));
        assert_eq!(undrained.commands, BTreeMap::from([(id, 1)]));
        begun.elapsed() < LAST_COMMANDS + Duration::from_secs(1)
    });
    assert!(is_in_time, "it waited until its deadline");
}

#[test]
fn a_reactor_that_is_stuck_is_told_of_and_the_others_are_drained() {
    let directory = tempfile::tempdir().unwrap();
    let stuck = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&stuck);
    let begun = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&begun);
    // No disk of ours does this: it keeps the thread.
    let unit = Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| {
        while matches!(kind, IoKind::Write { .. }) && switch.load(Ordering::SeqCst) {
            noted.store(true, Ordering::SeqCst);
            std::thread::yield_now();
        }
        Fate::Pass
    }));
    let process = Process::start(directory.path(), "first", &[unit]);
    let mut guest = Guest::boot(place(directory.path()), Options::default()).unwrap();
    write(&mut guest, 0, 1);
    let deadline = Deadline::after(PATIENCE);
    while !begun.load(Ordering::SeqCst) {
        assert!(!deadline.passed());
    }
    let undrained = process.drain(Duration::from_secs(1));
    stuck.store(false, Ordering::SeqCst);
    assert_eq!(undrained.silent.len(), 1, "{undrained:?}");
    assert_eq!(undrained.commands, BTreeMap::new());
}

/// A guest on a disk so slow that a stop comes when many commands are taken and many are not, with 120 reads in the
/// ring of the second request queue, which is on the other reactor than the control queue, and an abort behind them.
fn abort_behind_many() -> (Rig, Guest, Token) {
    let unit = Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), |kind, _| {
        if kind == IoKind::Read {
            std::thread::sleep(Duration::from_millis(5));
        }
        Fate::Pass
    }));
    let rig = Rig::new(&[unit]);
    let mut guest = rig.boot(Options::default().request_queues(2).entries(256));
    let queue = guest.request_queue(1).unwrap();
    for _ in 0..120 {
        queue.stage(&commands::read_10(LunAddress::unit(1, 0), 0, 1, 512)).unwrap();
    }
    queue.exchange.ring.kick().unwrap();
    let abort = guest.control().start_task_management(0, LunAddress::unit(1, 0), 4711).unwrap();
    (rig, guest, abort)
}

/// Commands that the second request queue has answered.
fn ended(guest: &mut Guest) -> usize {
    let exchange = &mut guest.request_queue(1).unwrap().exchange;
    std::iter::from_fn(|| exchange.try_any().unwrap()).count()
}

#[test]
fn an_abort_that_a_drain_answers_left_no_command_before_it_in_a_ring() {
    let (rig, mut guest, abort) = abort_behind_many();
    let undrained = rig.reactors.drain(Instant::now() + PATIENCE);
    assert_eq!(undrained, Undrained::default());
    let answered = guest.control().exchange.wait_for(abort, &Deadline::after(Duration::ZERO)).is_ok();
    assert!(answered, "the abort was taken long before the drain");
    assert_eq!(
        ended(&mut guest),
        120,
        "the abort was answered, and commands from before it wait in their ring"
    );
}

#[test]
fn an_abort_that_is_answered_while_a_ring_stops_left_no_command_before_it_in_that_ring() {
    let (_rig, mut guest, abort) = abort_behind_many();
    // Not the order of QEMU, which stops the control queue first.
    assert_eq!(guest.connection().unwrap().take_ring_base(3).unwrap(), 120);
    guest.control().exchange.wait_for(abort, &Deadline::after(PATIENCE)).unwrap();
    assert_eq!(
        ended(&mut guest),
        120,
        "the abort was answered, and commands from before it wait in their ring"
    );
}
