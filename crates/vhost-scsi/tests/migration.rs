// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every page of a guest's memory that changes while it is logged is in the log, whatever changed it.
//!
//! Above: nothing.  Below: `watch`, which compares the whole memory page by page.
//! Never here: how a log comes and goes, which is in `dirty_log.rs`.
//!
//! `LUNAR_LOG_TOGGLES` says how often logging is turned on and off under load; 40 times unless it is set.

mod support;
mod watch;

use backstore::decorate::{Fate, Judged};
use backstore::{
    Backstore, BackstoreError, BlockDevice, BlockOptions, Channel, Completed, Geometry, Io, IoKind, Ramdisk,
    Submitted, Submitter, Token,
};
use initiator::deadline::Deadline;
use initiator::memory::{GuestAddress, Plan, RegionPlan};
use initiator::{Command, Guest, Layout, LunAddress, Options, Place, Snapshot, commands, lun_0};
use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{Rig, Unit};
use watch::{Watch, log_for, wait_for_all};

const MIB: u64 = 1 << 20;

/// Little memory, so that looking at all of it takes no time.
fn small() -> Options {
    Options::default().memory(Plan::pc(4 * MIB)).entries(64)
}

/// Regions of odd lengths that touch within a page, one of them far away, in two files.
fn odd() -> Plan {
    let regions = vec![
        RegionPlan::new(0x1_0000, 0x12_05a0).skip(0x230),
        RegionPlan::new(0x13_05a0, 0x10_0010).in_own_file().skip(0x7f0),
        RegionPlan::new(0x1_0000_0010, 0x10_0007).skip(0x1000),
    ];
    Plan { regions, sealed: true }
}

/// Every kind of front end and driver.
fn all_options() -> Vec<(&'static str, Options)> {
    vec![
        ("Linux in QEMU", small()),
        ("without EVENT_IDX", small().without_event_idx()),
        ("without indirect descriptors", small().without_indirect()),
        ("legacy firmware", small().firmware()),
        ("a ring of many pages", small().entries(2048)),
        ("a ring of many pages without EVENT_IDX", small().entries(2048).without_event_idx()),
        ("odd memory", small().memory(odd())),
    ]
}

/// Every way in which a command can end, with where its writable bytes lie.
fn all_commands() -> Vec<(&'static str, Command)> {
    let pieces = |offset| Layout {
        writable_cuts: vec![5, 108, 108 + 7, 108 + 4096, 108 + 9000],
        place: Place::Apart { align: 4096, offset },
        ..Layout::default()
    };
    let unit = lun_0();
    vec![
        ("no data", commands::test_unit_ready(unit)),
        ("unknown opcode", Command::new(unit, &[0xf1]).data_in(8192)),
        ("data of ours", commands::inquiry(unit, 96)),
        ("data of ours in pieces", commands::inquiry(unit, 96).layout(pieces(4090)).data_in(0x4000)),
        ("a page", commands::inquiry_page(unit, 0x83, 255)),
        ("modes", commands::mode_sense_6(unit, 0x3f, 0, 255)),
        ("capacity", commands::read_capacity_16(unit, 32)),
        ("opcodes", commands::report_supported_operation_codes(unit, 4096)),
        ("LUNs", commands::report_luns(LunAddress::REPORT_LUNS, 0, 64)),
        ("an absent LUN", commands::inquiry(LunAddress::unit(1, 9), 96)),
        ("an absent target", commands::inquiry(LunAddress::unit(9, 0), 96)),
        ("both directions", commands::read_10(unit, 0, 1, 512).data_out([1; 512])),
        ("a short header", Command::new(unit, &[0]).cdb_byte(0, 0)),
        ("one block", commands::read_10(unit, 3, 1, 512)),
        ("many blocks", commands::read_16(unit, 1, 300, 300 * 512)),
        ("blocks in pieces", commands::read_10(unit, 8, 32, 0x4000).layout(pieces(0))),
        ("blocks in odd pieces", commands::read_10(unit, 8, 32, 0x4000).layout(pieces(3))),
        ("more room than blocks", commands::read_10(unit, 8, 2, 0x4000)),
        ("less room than blocks", commands::read_10(unit, 8, 32, 512)),
        ("beyond the end", commands::read_10(unit, 0x00ff_ffff, 1, 512)),
        ("a write", commands::write_10(unit, 1, 8, &[7; 4096])),
        ("a durable write", commands::write_10(unit, 1, 8, &[7; 4096]).cdb_byte(1, 8)),
        ("a flush", commands::synchronize_cache_10(unit, 0, 0)),
        ("a comparison", commands::verify_10(unit, 0, 8)),
    ]
}

/// Runs every command by itself, with each kind of guest.
fn run_all(mut unit: impl FnMut(usize) -> Unit, mut prepare: impl FnMut(usize)) {
    for (number, (kind, options)) in all_options().into_iter().enumerate() {
        let direct = options.driver_features & initiator::dialect::FEATURE_INDIRECT == 0;
        let mut watch = Watch::new(&[unit(number)], options);
        fill(&mut watch.guest);
        for (name, mut command) in all_commands() {
            prepare(number);
            if direct && let Some(layout) = &mut command.layout {
                layout.indirect = false;
            }
            let writes = command.data_in_bytes > 0;
            let (seen, token) =
                watch.serve(2, |guest| guest.request_queue(0).unwrap().stage(&command).unwrap());
            let answer = watch.guest.request_queue(0).unwrap().wait_for(token).unwrap();
            // The used ring and the response at least, and where data came its pages.
            let least = if writes && answer.is_good() { 3 } else { 2 };
            assert!(seen.changed.len() >= least, "{kind}, {name}: {seen:x?} {answer:?}");
        }
    }
}

/// Fills the beginning of LUN 0 with what is in no new memory.
fn fill(guest: &mut Guest) {
    for at in 0..4_u8 {
        let data = vec![0x31 + at; 128 * 512];
        let answer = guest.execute(&commands::write_10(lun_0(), u32::from(at) * 128, 128, &data)).unwrap();
        assert!(answer.is_good(), "{answer:?}");
    }
}

#[test]
fn all_that_commands_on_memory_write_is_logged() {
    run_all(|_| Unit::ramdisk(MIB), |_| {});
}

#[test]
fn all_that_commands_on_a_cached_file_write_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    run_all(|number| Unit::file(&directory.path().join(number.to_string()), MIB, true), |_| {});
}

/// Takes a file from `from` on out of the page cache.  Where it lies on memory alone it stays there.
fn drop_from_cache(path: &Path, from: u64) {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, from, None, rustix::fs::Advice::DontNeed).unwrap();
}

#[test]
fn all_that_commands_on_a_file_write_that_is_cached_in_part_or_not_is_logged() {
    for cached_bytes in [0, 0x2000] {
        let directory = tempfile::tempdir().unwrap();
        let path = |number: usize| directory.path().join(number.to_string());
        run_all(
            |number| Unit::file(&path(number), MIB, true),
            |number| drop_from_cache(&path(number), cached_bytes),
        );
    }
}

/// A loop device, whose buffers are bounced where they are not aligned.
struct Loop(String, #[expect(dead_code, reason = "kept until the device goes")] tempfile::NamedTempFile);

impl Loop {
    fn new(bytes: u64) -> Option<Self> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        let made = Program::new("losetup").args(["--find", "--show"]).arg(file.path()).output().ok()?;
        let device = String::from_utf8(made.stdout).unwrap();
        made.status.success().then(|| Self(device.trim().to_owned(), file))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Program::new("losetup").args(["--detach", &self.0]).status();
    }
}

#[test]
fn all_that_commands_on_a_device_write_is_logged_also_through_bounce_buffers() {
    let mut devices = Vec::new();
    if Loop::new(MIB).is_none() {
        println!("skipped: a loop device takes root");
        return;
    }
    run_all(
        |_| {
            let device = Loop::new(MIB).unwrap();
            let store = BlockDevice::open(&BlockOptions { path: device.0.clone().into(), read_only: None });
            devices.push(device);
            Unit::new(store.unwrap())
        },
        |_| {},
    );
}

/// Reads that fail after they have written some of what they should have, and moved past it.
struct Spoiling(Ramdisk);

struct SpoilingChannel(Box<dyn Channel>);

impl Backstore for Spoiling {
    fn geometry(&self) -> &Geometry {
        self.0.geometry()
    }

    fn channel(&self, key: u32) -> Box<dyn Channel> {
        Box::new(SpoilingChannel(self.0.channel(key)))
    }
}

impl Channel for SpoilingChannel {
    fn submit(&mut self, submitter: &mut Submitter, mut io: Io, token: Token) -> Submitted {
        if io.kind != IoKind::Read {
            return self.0.submit(submitter, io, token);
        }
        let bytes = io.buffer.bytes();
        io.buffer.fill(0, 0x77, bytes - bytes / 4);
        io.buffer.advance(bytes / 2);
        Submitted::Done(Completed { token, buffer: io.buffer, result: Err(BackstoreError::ReadFailed) })
    }

    fn completed(&mut self, submitter: &mut Submitter, operation: u32, result: i32) -> Option<Completed> {
        self.0.completed(submitter, operation, result)
    }

    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }
}

#[test]
fn what_a_read_wrote_before_it_failed_is_logged() {
    let mut watch = Watch::new(&[Unit::new(Spoiling(Ramdisk::new(MIB, false).unwrap()))], small());
    for (name, command) in all_commands() {
        let (seen, token) = watch.serve(2, |guest| guest.request_queue(0).unwrap().stage(&command).unwrap());
        let answer = watch.guest.request_queue(0).unwrap().wait_for(token).unwrap();
        // What a comparison reads goes into memory of the device's own.
        if name != "a comparison" && answer.check_condition() == Some([0x03, 0x11, 0x00]) {
            assert!(seen.changed.len() >= 3, "{name}: {seen:x?}");
        }
    }
}

#[test]
fn what_a_read_may_have_written_is_logged_even_if_it_did_not() {
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), |kind, _| match kind {
        IoKind::Read => Fate::Fail(BackstoreError::ReadFailed),
        _ => Fate::Pass,
    });
    let mut watch = Watch::new(&[Unit::new(store)], small());
    let command = commands::read_10(lun_0(), 0, 16, 8192);
    let (seen, _) = watch.serve(2, |guest| guest.request_queue(0).unwrap().stage(&command).unwrap());
    assert!(seen.marked.len() >= seen.changed.len() + 2, "{seen:x?}");
}

#[test]
fn a_write_marks_its_answer_and_not_what_it_read() {
    let mut watch = Watch::new(&[Unit::ramdisk(MIB)], small());
    let command = commands::write_10(lun_0(), 0, 128, &[3; 65536]);
    let (seen, _) = watch.serve(2, |guest| guest.request_queue(0).unwrap().stage(&command).unwrap());
    assert_eq!(seen.changed.len(), 2, "{seen:x?}");
    assert!(seen.marked.len() <= 4, "of 16 pages of data and two of other rings: {seen:x?}");
}

#[test]
fn no_more_is_marked_than_was_written_however_much_room_there_is() {
    // Any ring may say at any time whether it wants kicks.
    const OTHER_RINGS: usize = 2;
    let mut watch = Watch::new(&[Unit::ramdisk(MIB)], small());
    let (inquiry, failing) = (commands::inquiry(lun_0(), 36), Command::new(lun_0(), &[0xf1]));
    for (command, pages) in [(inquiry, 3), (failing, 2)] {
        let command = command.data_in(256 * 1024);
        let (seen, _) = watch.serve(2, |guest| guest.request_queue(0).unwrap().stage(&command).unwrap());
        assert_eq!(seen.changed.len(), pages, "{seen:x?}");
        assert!(seen.marked.len() <= pages + OTHER_RINGS, "{seen:x?}");
    }
    let (seen, _) = watch.serve(0, |guest| {
        guest.control().exchange.stage(&management(5, lun_0()), 256 * 1024, &Layout::default()).unwrap()
    });
    assert_eq!(seen.changed.len(), 2, "{seen:x?}");
    assert!(seen.marked.len() <= 2 + OTHER_RINGS, "{seen:x?}");
}

#[test]
fn rings_that_start_while_logging_is_on_are_logged_from_the_beginning() {
    for options in [small(), small().without_event_idx()] {
        let with_events = options.driver_features & initiator::dialect::FEATURE_EVENT_IDX != 0;
        let mut watch = Watch::new(&[Unit::ramdisk(MIB)], options);
        // A guest that is paused and goes on.
        watch.guest.stop().unwrap();
        let seen = watch.watch(|guest| {
            guest.start().unwrap();
            // The device asks for kicks once it looks at the ring: where no event does that, by the flags.
            let deadline = Deadline::after(Duration::from_secs(30));
            while guest.ring_mut(2).unwrap().used_flags() != 0 {
                assert!(!deadline.passed(), "nobody looks at the ring");
                std::thread::yield_now();
            }
        });
        assert!(with_events || !seen.changed.is_empty(), "{seen:x?}");
        let used = watch.guest.ring_mut(1).unwrap().addresses().used.0 / 4096;
        assert!(seen.marked.contains(&used), "{seen:x?}");
        let inquiry = commands::inquiry(lun_0(), 96);
        let (seen, _) = watch.serve(2, |guest| guest.request_queue(0).unwrap().stage(&inquiry).unwrap());
        assert_eq!(seen.changed.len(), 3, "{seen:x?}");
    }
}

#[test]
fn many_commands_at_once_are_all_logged() {
    for (kind, options) in all_options() {
        let mut watch = Watch::new(&[Unit::ramdisk(MIB)], options);
        fill(&mut watch.guest);
        for _ in 0..3 {
            let (seen, count) = watch.serve(2, |guest| {
                let queue = guest.request_queue(0).unwrap();
                let room = queue.exchange.ring.free_descriptors() / 4;
                for at in 0..room.min(24) {
                    let blocks = 1 + u16::try_from(at).unwrap() % 9 * 3;
                    let read = commands::read_10(lun_0(), 5, blocks, usize::from(blocks) * 512);
                    queue.stage(&read).unwrap();
                }
                room.min(24)
            });
            assert!(seen.changed.len() > 2 * count, "{kind}: {seen:x?}");
            while watch.guest.request_queue(0).unwrap().in_flight() > 0 {
                watch.guest.request_queue(0).unwrap().wait_any().unwrap();
            }
        }
    }
}

#[test]
fn answers_on_the_control_queue_are_logged() {
    const ABORT_TASK: u32 = 0;
    for options in [small(), small().without_event_idx()] {
        let mut watch = Watch::new(&[Unit::ramdisk(MIB)], options);
        for (name, bytes, room) in [
            ("an abort", management(ABORT_TASK, lun_0()), 1),
            ("a reset", management(5, lun_0()), 1),
            ("an unknown function", management(77, lun_0()), 1),
            ("an absent target", management(ABORT_TASK, LunAddress::unit(9, 0)), 1),
            ("a query", notification(1, lun_0()), 5),
            ("a subscription of an absent target", notification(2, LunAddress::unit(9, 0)), 5),
        ] {
            let (seen, _) = watch
                .serve(0, |guest| guest.control().exchange.stage(&bytes, room, &Layout::default()).unwrap());
            assert!(seen.changed.len() >= 2, "{name}: {seen:x?}");
        }
        for (bytes, room) in [(vec![9; 24], 8), (notification(1, lun_0()), 4)] {
            let (seen, _) = watch
                .serve(0, |guest| guest.control().exchange.stage(&bytes, room, &Layout::default()).unwrap());
            assert_eq!(seen.changed.len(), 1, "given back as it came: the used ring alone");
        }
    }
}

fn management(function: u32, address: LunAddress) -> Vec<u8> {
    [&[0; 4], &function.to_le_bytes()[..], &address.0, &77_u64.to_le_bytes()].concat()
}

fn notification(kind: u32, address: LunAddress) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &address.0, &[0xff; 4]].concat()
}

#[test]
fn chains_that_are_no_requests_mark_the_used_ring_alone() {
    let mut watch = Watch::new(&[Unit::ramdisk(MIB)], small());
    for (readable, room) in [(vec![0; 51], 107), (vec![], 0x1000)] {
        let (seen, _) = watch.serve(2, |guest| {
            let exchange = guest.exchange_mut(2).unwrap();
            exchange.stage(&readable, room, &Layout::default()).unwrap()
        });
        let expected = if room < 108 { 1 } else { 2 };
        assert_eq!(seen.changed.len(), expected, "{room}: {seen:x?}");
    }
    let (seen, ()) = watch.serve(2, |guest| {
        // A descriptor that points outside of all memory.
        let outside = guest.memory().hole(1 << 20);
        let ring = guest.ring_mut(2).unwrap();
        let slot = ring.claim_descriptor().unwrap();
        let bad = initiator::ring::Descriptor { address: outside.0, bytes: 512, flags: 2, next: 0 };
        ring.write_descriptor(slot, bad);
        ring.offer_head(slot, u64::MAX);
    });
    assert_eq!(seen.changed.len(), 1, "{seen:x?}");
}

#[test]
fn the_wish_for_kicks_is_logged_where_nothing_else_is_written() {
    // Used rings whose flags are on one page and whose events are on another.
    for options in [small().entries(2048).without_event_idx(), small().entries(2048)] {
        let with_events = options.driver_features & initiator::dialect::FEATURE_EVENT_IDX != 0;
        let mut watch = Watch::new(&[Unit::ramdisk(MIB)], options);
        watch.guest.execute(&commands::test_unit_ready(lun_0())).unwrap();
        let flags = |guest: &mut Guest| {
            let ring = guest.ring_mut(2).unwrap();
            (ring.used_flags(), ring.available_event())
        };
        let asleep = |guest: &mut Guest| {
            let deadline = Deadline::after(Duration::from_secs(30));
            while flags(guest) != (0, if with_events { 1 } else { 0 }) {
                assert!(!deadline.passed(), "{:?}", flags(guest));
                std::thread::yield_now();
            }
        };
        asleep(&mut watch.guest);
        let seen = watch.watch(|guest| guest.connection().unwrap().enable_ring(2, false).unwrap());
        assert_eq!(seen.changed.len(), usize::from(!with_events), "{seen:x?}");
        let seen = watch.watch(|guest| {
            guest.connection().unwrap().enable_ring(2, true).unwrap();
            asleep(guest);
        });
        assert_eq!(seen.changed.len(), usize::from(!with_events), "{seen:x?}");
    }
}

#[test]
fn io_that_began_before_logging_did_is_logged_when_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    for cached in [None, Some(true), Some(false)] {
        let path = directory.path().join(format!("{cached:?}"));
        let hangs = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&hangs);
        let judge = move |kind, _| match kind {
            IoKind::Read => Fate::Hang(Arc::clone(&switch)),
            _ => Fate::Pass,
        };
        let rig = Rig::new(&[match cached {
            None => Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), judge)),
            Some(_) => {
                let create = Some(backstore::NewFile { bytes: MIB, sparse: true });
                let options = backstore::FileOptions { path: path.clone(), create, write_back: true };
                Unit::new(Judged::new(backstore::FileStore::open(&options).unwrap(), judge))
            }
        }]);
        let mut guest = rig.boot(small());
        fill(&mut guest);
        if cached == Some(false) {
            drop_from_cache(&path, 0);
        }
        hangs.store(true, Ordering::SeqCst);
        let read = commands::read_10(lun_0(), 1, 40, 40 * 512);
        guest.request_queue(0).unwrap().start(&read).unwrap();
        // It has been begun when a command after it is answered.
        let sentinel = guest.request_queue(0).unwrap().start(&commands::test_unit_ready(lun_0())).unwrap();
        guest.request_queue(0).unwrap().wait_for(sentinel).unwrap();
        let log = log_for(&guest);
        guest.start_logging(&log).unwrap();
        let _ = log.take();
        let before = Snapshot::of(guest.memory()).unwrap();
        hangs.store(false, Ordering::SeqCst);
        wait_for_all(&mut guest, 2);
        let changed = Snapshot::of(guest.memory()).unwrap().pages_unlike(&before);
        let next = log_for(&guest);
        guest.connection().unwrap().set_log_base(&next).unwrap();
        let marked = log.take();
        assert!(changed.len() >= 7 && changed.is_subset(&marked), "{changed:x?} {marked:x?}");
    }
}

#[test]
fn logging_may_come_and_go_under_load() {
    let toggles = std::env::var("LUNAR_LOG_TOGGLES").map_or(40, |count| count.parse().unwrap());
    // Half of the reads are under way until logging has begun.
    let hangs = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&hangs);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, offset| match kind {
        IoKind::Read if offset % 1024 == 0 => Fate::Hang(Arc::clone(&switch)),
        _ => Fate::Pass,
    });
    let rig = Rig::new(&[Unit::new(store)]);
    let mut guest = rig.boot(small().request_queues(3));
    fill(&mut guest);
    for round in 0..toggles {
        hangs.store(true, Ordering::SeqCst);
        for queue in 0..3 {
            let queue = guest.request_queue(queue).unwrap();
            for at in 0..12 {
                let lba = (round * 7 + at) % 100;
                let read = commands::read_10(lun_0(), lba, 20, 20 * 512);
                queue.stage(&read).unwrap();
            }
            queue.kick().unwrap();
        }
        let log = log_for(&guest);
        guest.start_logging(&log).unwrap();
        let before = Snapshot::of(guest.memory()).unwrap();
        hangs.store(false, Ordering::SeqCst);
        (2..5).for_each(|queue| wait_for_all(&mut guest, queue));
        let changed = Snapshot::of(guest.memory()).unwrap().pages_unlike(&before);
        guest.stop_logging().unwrap();
        let marked = log.take();
        assert!(changed.is_subset(&marked), "{changed:x?} {marked:x?}");
        assert!(changed.len() > 3, "round {round}: {changed:x?}");
        for queue in 0..3 {
            let queue = guest.request_queue(queue).unwrap();
            while queue.in_flight() > 0 {
                assert!(queue.wait_any().unwrap().1.is_good());
            }
        }
        assert!(log.take().is_empty(), "something was marked after logging had ended");
    }
}

#[test]
fn data_in_a_region_that_came_meanwhile_is_logged() {
    let mut watch = Watch::new(&[Unit::ramdisk(MIB)], small().memory(odd()));
    fill(&mut watch.guest);
    let memory = Arc::clone(watch.guest.memory());
    let far = &memory.regions()[2];
    let read = |at| {
        let layout = Layout { place: Place::From(GuestAddress(at)), ..Layout::default() };
        commands::read_10(lun_0(), 0, 32, 0x4000).layout(layout)
    };
    watch.guest.connection().unwrap().remove_region(&memory, far).unwrap();
    watch.guest.connection().unwrap().add_region(&memory, far).unwrap();
    let (seen, token) =
        watch.serve(2, |guest| guest.request_queue(0).unwrap().stage(&read(0x1_0000_1000)).unwrap());
    assert!(watch.guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
    assert!(seen.changed.is_superset(&(0x10_0001..=0x10_0005).collect()), "{seen:x?}");
    watch.guest.connection().unwrap().set_memory_table(&memory).unwrap();
    let (seen, token) =
        watch.serve(2, |guest| guest.request_queue(0).unwrap().stage(&read(0x1_0001_0000)).unwrap());
    assert!(watch.guest.request_queue(0).unwrap().wait_for(token).unwrap().is_good());
    assert!(seen.changed.is_superset(&(0x10_0010..=0x10_0014).collect()), "{seen:x?}");
}
