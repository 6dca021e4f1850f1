// SPDX-License-Identifier: Apache-2.0 OR MIT
//! COMPARE AND WRITE and ORWRITE against everything else that writes, on other rings, reactors and targets.
//!
//! Above: nothing.  Below: `initiator`, the targets of `support`.
//! Never here: luck.  A lost update shows in the sum, and what hangs ends the test.

mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{IoKind, Ramdisk};
use initiator::exchange::Token;
use initiator::{Command, Guest, Options, commands, lun_0};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::{Rig, Unit};
use target::Store;

const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
const ABORT_TASK: u32 = 0;
const ABORT_TASK_SET: u32 = 1;

fn compare_and_write(first: u8, expected: &[u8], new: &[u8]) -> Command {
    let blocks = u8::try_from(expected.len() / 512).unwrap();
    let cdb = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, first, 0, 0, 0, blocks, 0, 0];
    Command::new(lun_0(), &cdb).data_out([expected, new].concat())
}

fn block(number: u64) -> Vec<u8> {
    number.to_be_bytes().repeat(64)
}

fn number(block: &[u8]) -> u64 {
    u64::from_be_bytes(block[..8].try_into().unwrap())
}

/// So many targets on one backstore, for one guest each.
fn targets(unit: &Unit, count: usize) -> Vec<Rig> {
    let units = std::slice::from_ref(unit);
    let mut rigs = vec![Rig::new(units)];
    while rigs.len() < count {
        rigs.push(rigs[0].beside(units));
    }
    rigs
}

/// Adds one to the number in a block, `times` times, whatever others do.
fn count(guest: &mut Guest, queue: u16, times: u64) {
    let queue = guest.request_queue(queue).unwrap();
    for _ in 0..times {
        loop {
            let read = queue.execute(&commands::read_10(lun_0(), 8, 1, 512)).unwrap();
            let now = number(&read.data_in);
            let answer = queue.execute(&compare_and_write(8, &block(now), &block(now + 1))).unwrap();
            if answer.is_good() {
                break;
            }
            assert_eq!(answer.check_condition(), Some([0x0e, 0x1d, 0x00]));
        }
    }
}

#[test]
fn no_count_is_lost_between_guests_of_four_targets() {
    let unit = Unit::ramdisk(MIB);
    let rigs = targets(&unit, 4);
    thread::scope(|scope| {
        for rig in &rigs {
            scope.spawn(|| count(&mut rig.boot(Options::default()), 0, 200));
        }
    });
    let mut guest = rigs[0].boot(Options::default());
    let read = guest.execute(&commands::read_10(lun_0(), 8, 1, 512)).unwrap();
    assert!(read.data_in == block(800), "{}", number(&read.data_in));
}

#[test]
fn every_bit_that_was_set_stays_set() {
    let unit = Unit::ramdisk(MIB);
    let rigs = targets(&unit, 4);
    thread::scope(|scope| {
        for (writer, rig) in rigs.iter().enumerate() {
            scope.spawn(move || {
                let mut guest = rig.boot(Options::default());
                for bit in 0..64_usize {
                    let mut data = vec![0; 512 * 400];
                    data[(writer * 64 + bit) * 800] = 1 << writer;
                    let cdb = [0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x90, 0, 0];
                    assert!(guest.execute(&Command::new(lun_0(), &cdb).data_out(data)).unwrap().is_good());
                }
            });
        }
    });
    let mut guest = rigs[0].boot(Options::default());
    let read = guest.execute(&commands::read_10(lun_0(), 0, 400, 512 * 400)).unwrap().data_in;
    for writer in 0..4_usize {
        for bit in 0..64 {
            assert_eq!(read[(writer * 64 + bit) * 800], 1 << writer, "writer {writer}, bit {bit}");
        }
    }
}

/// A disk whose reads of one block hang until the switch is off.
fn hanging() -> (Arc<AtomicBool>, Unit) {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, offset| {
        if kind == IoKind::Read && offset == 4096 { Fate::Hang(Arc::clone(&switch)) } else { Fate::Pass }
    });
    (hangs, Unit::new(store))
}

/// Waits until nothing that was sent before is still to be begun: a read is begun when it is taken, and a ramdisk
/// answers it at once.
fn settle(guest: &mut Guest, queue: u16) {
    let read = commands::read_10(lun_0(), 100, 1, 512);
    assert!(guest.request_queue(queue).unwrap().execute(&read).unwrap().is_good());
}

#[test]
fn a_write_waits_for_the_blocks_of_a_comparison_and_others_do_not() {
    let (hangs, unit) = hanging();
    let rigs = targets(&unit, 2);
    let (mut first, mut second) = (rigs[0].boot(Options::default()), rigs[1].boot(Options::default()));
    let comparison = compare_and_write(8, &[0; 512], &block(1));
    let compared = first.request_queue(0).unwrap().start(&comparison).unwrap();
    // Its read of the medium hangs by now, or will; it has the block as soon as no write of it is let through.
    let start = Instant::now();
    let waits = loop {
        let queue = second.request_queue(0).unwrap();
        let token = queue.start(&commands::write_10(lun_0(), 8, 1, &[0; 512])).unwrap();
        settle(&mut second, 0);
        if second.request_queue(0).unwrap().in_flight() == 1 {
            break token;
        }
        second.request_queue(0).unwrap().wait_for(token).unwrap();
        assert!(start.elapsed() < PATIENCE, "the comparison never has its block");
    };
    let beside = commands::write_10(lun_0(), 9, 1, &block(9));
    assert!(second.execute(&beside).unwrap().is_good());
    let other = compare_and_write(10, &[0; 512], &block(10));
    assert!(second.execute(&other).unwrap().is_good());
    hangs.store(false, Ordering::SeqCst);
    assert!(first.request_queue(0).unwrap().wait_for(compared).unwrap().is_good());
    assert!(second.request_queue(0).unwrap().wait_for(waits).unwrap().is_good());
    let read = second.execute(&commands::read_10(lun_0(), 8, 1, 512)).unwrap();
    assert!(read.data_in == [0; 512], "the write came after");
}

#[test]
fn a_flush_that_needs_not_be_waited_for_is_good_when_it_is_done_and_not_before() {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| {
        if kind == IoKind::Flush { Fate::Hang(Arc::clone(&switch)) } else { Fate::Pass }
    });
    let rigs = targets(&Unit::new(store), 1);
    let mut guest = rigs[0].boot(Options::default());
    // SYNCHRONIZE CACHE (10) and (16) with IMMED = 1.
    let ten = Command::new(lun_0(), &[0x35, 0x02, 0, 0, 0, 0, 0, 0, 0, 0]);
    let sixteen = Command::new(lun_0(), &[0x91, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let tokens = [ten, sixteen].map(|command| guest.request_queue(0).unwrap().start(&command).unwrap());
    settle(&mut guest, 0);
    assert_eq!(guest.request_queue(0).unwrap().in_flight(), 2, "nothing is said of what is not so");
    hangs.store(false, Ordering::SeqCst);
    for token in tokens {
        assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
    }
}

/// A disk whose writes of one block hang until the first switch is off; the second says that one has begun.
fn hanging_in_writes() -> (Arc<AtomicBool>, Arc<AtomicBool>, Unit) {
    let (hangs, begun) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (switch, seen) = (Arc::clone(&hangs), Arc::clone(&begun));
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, offset| {
        if !kind.changes() || offset != 4096 || !switch.load(Ordering::SeqCst) {
            return Fate::Pass;
        }
        seen.store(true, Ordering::SeqCst);
        Fate::Hang(Arc::clone(&switch))
    });
    (hangs, begun, Unit::new(store))
}

#[test]
fn a_comparison_waits_for_a_write_that_began_before_the_medium_was_used_in_another_manner() {
    let (hangs, begun, unit) = hanging_in_writes();
    let rig = Rig::new(std::slice::from_ref(&unit));
    let mut guest = rig.boot(Options::default());
    let old = guest.request_queue(0).unwrap().start(&commands::write_10(lun_0(), 8, 1, &block(7))).unwrap();
    let start = Instant::now();
    while !begun.load(Ordering::SeqCst) {
        assert!(start.elapsed() < PATIENCE, "the write never begins");
        thread::yield_now();
    }
    // As a file is opened once more when its write cache is switched: another number, and the same medium.
    let store = Store::new(u64::MAX / 2, Arc::clone(&unit.store.backstore)).in_place_of(&unit.store);
    let anew = Unit { store, state: Arc::clone(&unit.state), ..unit };
    let _left = rig.endpoint.port().change_map().publish(support::map(&[anew]));
    let comparison = compare_and_write(8, &[0; 512], &block(1));
    let compared = guest.request_queue(0).unwrap().start(&comparison).unwrap();
    settle(&mut guest, 0);
    hangs.store(false, Ordering::SeqCst);
    assert!(guest.request_queue(0).unwrap().wait_for(old).unwrap().is_good());
    let answer = guest.request_queue(0).unwrap().wait_for(compared).unwrap();
    assert_eq!(answer.check_condition(), Some([0x0e, 0x1d, 0x00]), "it compared before the write had landed");
    let read = guest.execute(&commands::read_10(lun_0(), 8, 1, 512)).unwrap();
    assert_eq!(number(&read.data_in), 7);
}

/// Begins a COMPARE AND WRITE of the block whose reads hang.
fn compares(guest: &mut Guest) -> Token {
    guest.request_queue(0).unwrap().start(&compare_and_write(8, &[0; 512], &block(1))).unwrap()
}

/// Begins writes of that block, with the tag 77, until one waits for it.
fn wait_behind_it(guest: &mut Guest) {
    let start = Instant::now();
    while guest.request_queue(0).unwrap().in_flight() == 0 {
        let queue = guest.request_queue(0).unwrap();
        let token = queue.start(&commands::write_10(lun_0(), 8, 1, &[0; 512]).tag(77)).unwrap();
        settle(guest, 0);
        if guest.request_queue(0).unwrap().in_flight() == 0 {
            guest.request_queue(0).unwrap().wait_for(token).unwrap();
        }
        assert!(start.elapsed() < PATIENCE, "the comparison never has its block");
    }
}

#[test]
fn what_waits_for_blocks_can_be_aborted() {
    let (hangs, unit) = hanging();
    let rigs = targets(&unit, 2);
    let (mut first, mut second) = (rigs[0].boot(Options::default()), rigs[1].boot(Options::default()));
    let compared = compares(&mut first);
    wait_behind_it(&mut second);
    // The comparison still hangs; the abort of what waits for it does not.
    let aborted = second.control().task_management(ABORT_TASK, lun_0(), 77).unwrap();
    assert_eq!(aborted.response, 0);
    let (_, answer) = second.request_queue(0).unwrap().wait_any().unwrap();
    assert_eq!(answer.response, 2, "aborted: {answer:?}");
    hangs.store(false, Ordering::SeqCst);
    assert!(first.request_queue(0).unwrap().wait_for(compared).unwrap().is_good());
    assert!(second.execute(&commands::write_10(lun_0(), 8, 1, &block(5))).unwrap().is_good());
}

#[test]
fn who_waits_behind_a_long_line_of_aborted_commands_goes_on_though_nothing_else_happens() {
    let (hangs, unit) = hanging();
    let rigs = targets(&unit, 2);
    let many = Options::default().request_queues(1).entries(1024);
    let (mut first, mut second) = (rigs[0].boot(Options::default()), rigs[1].boot(many));
    let compared = compares(&mut first);
    wait_behind_it(&mut second);
    let write = commands::write_10(lun_0(), 8, 1, &block(5));
    while second.request_queue(0).unwrap().in_flight() < 300 {
        second.request_queue(0).unwrap().start(&write).unwrap();
    }
    settle(&mut second, 0);
    second.control().task_management(ABORT_TASK_SET, lun_0(), 0).unwrap();
    for _ in 0..300 {
        assert_eq!(second.request_queue(0).unwrap().wait_any().unwrap().1.response, 2);
    }
    let waits = second.request_queue(0).unwrap().start(&write).unwrap();
    settle(&mut second, 0);
    assert_eq!(second.request_queue(0).unwrap().in_flight(), 1);
    hangs.store(false, Ordering::SeqCst);
    assert!(first.request_queue(0).unwrap().wait_for(compared).unwrap().is_good());
    assert!(second.request_queue(0).unwrap().wait_for(waits).unwrap().is_good());
}

#[test]
fn more_comparisons_than_there_is_memory_for_all_end() {
    let (hangs, unit) = hanging();
    let rig = Rig::new(&[unit]);
    let mut guest = rig.boot(Options::default().request_queues(1));
    let queue = guest.request_queue(0).unwrap();
    // Overlapping ones, which wait for the first, and writes of the same between them.
    let mut tokens = Vec::new();
    for _ in 0..20 {
        tokens.push(queue.start(&compare_and_write(8, &[0; 1024], &[0; 1024])).unwrap());
        tokens.push(queue.start(&commands::write_10(lun_0(), 9, 1, &[0; 512])).unwrap());
        let same = [0x93, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0];
        tokens.push(queue.start(&Command::new(lun_0(), &same).data_out([3; 512])).unwrap());
    }
    hangs.store(false, Ordering::SeqCst);
    for token in tokens {
        assert!(guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
    }
}
