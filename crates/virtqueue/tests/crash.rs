// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device that dies between any two of its stores: its successor is owed just what the driver still waits for.
//!
//! Above: nothing.
//! Below: `virtqueue::testing`, and a second process that is killed.
//! Never here: the code under test explaining itself.  What is owed is told by the ring alone: all that the driver has
//! offered and not seen come back, in the order in which it offered it.
//!
//! `LUNAR_KILLS` is how often a process is killed in the middle of its work (40).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memory::{GuestAddress, GuestMemory, RegionSpec, UserAddress};
use proptest::prelude::*;
use proptest::sample::Index;
use virtqueue::testing::{Driver, USED, USER};
use virtqueue::{InflightRegion, RingConfig, SplitRing};

/// What a queue's part of the region begins with, and what each head has there.
const HEADER_BYTES: u64 = 16;
const ENTRY_BYTES: u64 = 16;

#[derive(Clone, Debug)]
enum Event {
    Offer(Index),
    Pop(usize),
    Push(Index, u32),
    Publish,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => any::<Index>().prop_map(Event::Offer),
        3 => (1..6_usize).prop_map(Event::Pop),
        5 => (any::<Index>(), any::<u32>()).prop_map(|(which, bytes)| Event::Push(which, bytes)),
        2 => Just(Event::Publish),
    ]
}

/// One store: in the region or in the used ring, at a place, of so many bytes.
#[derive(Clone, Copy, Debug)]
enum Store {
    Region(u64, usize),
    Ring(u64, usize),
}

/// All that outlives a device.
#[derive(Clone, PartialEq)]
struct Remains {
    region: Vec<u8>,
    used: Vec<u8>,
}

impl Remains {
    fn apply(&mut self, store: Store, from: &Self) {
        let (own, theirs, at, bytes) = match store {
            Store::Region(at, bytes) => (&mut self.region, &from.region, at, bytes),
            Store::Ring(at, bytes) => (&mut self.used, &from.used, at, bytes),
        };
        let at = usize::try_from(at).unwrap();
        own[at..at + bytes].copy_from_slice(&theirs[at..at + bytes]);
    }

    fn used_index(&self) -> u16 {
        u16::from_le_bytes([self.used[2], self.used[3]])
    }

    fn used_head(&self, index: u16, entries: u16) -> u16 {
        let at = 4 + 8 * usize::from(index % entries);
        u16::from_le_bytes([self.used[at], self.used[at + 1]])
    }
}

struct Bench {
    driver: Driver,
    region: File,
    region_bytes: u64,
    entries: u16,
    /// The heads that are the driver's.
    free: Vec<u16>,
    /// All that was offered and not seen to come back, in order.
    outstanding: VecDeque<u16>,
    /// How many of them were taken, those that were answered counted in.
    taken: Vec<u16>,
    pushed: Vec<u16>,
    seen: u16,
}

impl Bench {
    fn new(entries: u16, first: u16) -> Self {
        let (region, file) = InflightRegion::create(1, entries).unwrap();
        let mut driver = Driver::new(entries);
        driver.set_available_index(first);
        driver.set_used_index(first);
        let (region, region_bytes) = (File::from(file), region.bytes());
        let free = (0..entries).collect();
        let (outstanding, taken, pushed) = (VecDeque::new(), Vec::new(), Vec::new());
        Self { driver, region, region_bytes, entries, free, outstanding, taken, pushed, seen: first }
    }

    fn start(&self, region: &File, memory: std::sync::Arc<GuestMemory>, base: u16) -> SplitRing {
        let file = region.try_clone().unwrap().into();
        let region = InflightRegion::adopt(file, self.region_bytes, 0, 1, self.entries).unwrap();
        let config = RingConfig { next_avail: base, ..self.driver.config() };
        SplitRing::start(config, memory, region.queue(0)).unwrap()
    }

    fn remains(&self) -> Remains {
        let mut region = vec![0; usize::try_from(self.region_bytes).unwrap()];
        self.region.read_exact_at(&mut region, 0).unwrap();
        let mut used = vec![0; 6 + 8 * usize::from(self.entries)];
        self.driver.file().read_exact_at(&mut used, USED).unwrap();
        Remains { region, used }
    }

    /// Does one thing, and lists the stores that it is made of, in the order that the head of `inflight.rs` promises.
    fn apply(&mut self, ring: &mut SplitRing, event: &Event) -> Vec<Store> {
        let entry = |head: u16| HEADER_BYTES + ENTRY_BYTES * u64::from(head);
        match event {
            Event::Offer(which) if !self.free.is_empty() => {
                let head = self.free.remove(which.index(self.free.len()));
                self.outstanding.push_back(head);
                self.driver.offer(head);
                Vec::new()
            }
            Event::Pop(count) => {
                let mut heads = vec![0; *count];
                let popped = ring.pop_batch(&mut heads).unwrap();
                self.taken.extend(&heads[..popped]);
                let stores = |&head: &u16| [Store::Region(entry(head) + 8, 8), Store::Region(entry(head), 1)];
                heads[..popped].iter().flat_map(stores).collect()
            }
            Event::Push(which, bytes) => {
                let open: Vec<u16> =
                    self.taken.iter().copied().filter(|head| !self.pushed.contains(head)).collect();
                if open.is_empty() {
                    return Vec::new();
                }
                let head = open[which.index(open.len())];
                let slot = self.seen.wrapping_add(u16::try_from(self.pushed.len()).unwrap()) % self.entries;
                ring.push_used(head, *bytes);
                self.pushed.push(head);
                vec![
                    Store::Ring(4 + 8 * u64::from(slot), 8),
                    Store::Region(entry(head) + 6, 2),
                    Store::Region(12, 2),
                ]
            }
            Event::Publish => {
                ring.publish();
                let mut stores = vec![Store::Ring(2, 2)];
                stores.extend(self.pushed.iter().map(|&head| Store::Region(entry(head), 1)));
                stores.push(Store::Region(14, 2));
                for head in self.pushed.drain(..) {
                    self.seen = self.seen.wrapping_add(1);
                    self.taken.retain(|taken| *taken != head);
                    self.outstanding.retain(|waiting| *waiting != head);
                    self.free.push(head);
                }
                stores
            }
            Event::Offer(_) => Vec::new(),
        }
    }

    /// Starts a successor on what is left, and compares what it takes with what the driver waits for.
    fn check(&self, remains: &Remains, before: u16, waiting: &VecDeque<u16>) {
        let mut successor = Driver::new(self.entries);
        let mut ring = vec![0; 0x8_0000];
        self.driver.file().read_exact_at(&mut ring, virtqueue::testing::AVAIL).unwrap();
        successor.file().write_all_at(&ring, virtqueue::testing::AVAIL).unwrap();
        successor.file().write_all_at(&remains.used, USED).unwrap();
        let region = File::from(InflightRegion::create(1, self.entries).unwrap().1);
        region.write_all_at(&remains.region, 0).unwrap();
        let mut expected: Vec<u16> = waiting.iter().copied().collect();
        let mut index = before;
        while index != remains.used_index() {
            let head = remains.used_head(index, self.entries);
            expected.retain(|waiting| *waiting != head);
            index = index.wrapping_add(1);
        }
        let mut ring = self.start(&region, successor.memory(), 12345);
        assert_eq!(take_all(&mut ring), expected);
        // What was answered is not owed twice, even if this one dies as well.
        for &head in &expected {
            ring.push_used(head, 0);
        }
        ring.publish();
        successor.set_available_index(successor.used_index());
        assert_eq!(take_all(&mut self.start(&region, successor.memory(), 12345)), Vec::<u16>::new());
    }
}

fn take_all(ring: &mut SplitRing) -> Vec<u16> {
    let (mut all, mut heads) = (Vec::new(), [0; 3]);
    loop {
        let count = ring.pop_batch(&mut heads).unwrap();
        if count == 0 {
            return all;
        }
        all.extend(&heads[..count]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_device_that_dies_at_any_store_leaves_what_the_driver_waits_for(
        entries in prop_oneof![Just(1_u16), Just(4), Just(16)],
        first in prop_oneof![Just(0_u16), Just(0xfffa)],
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut bench = Bench::new(entries, first);
        let mut ring = bench.start(&bench.region, bench.driver.memory(), first);
        for event in events {
            let (before, seen, waiting) = (bench.remains(), bench.seen, bench.outstanding.clone());
            let stores = bench.apply(&mut ring, &event);
            if stores.is_empty() {
                continue;
            }
            let after = bench.remains();
            let mut remains = before;
            for store in stores {
                bench.check(&remains, seen, &waiting);
                remains.apply(store, &after);
            }
            bench.check(&remains, seen, &waiting);
            // Compared without the driver's flag and event, which are nobody's inheritance.
            prop_assert!(remains == after, "{event:?} stores what is not in the list");
        }
    }
}

/// The device in a process of its own, which its parent has do one instruction at a time.
fn work_step_by_step(files: &str) {
    let mut ring = take_over(files, 4);
    println!("at work {}", rustix::thread::gettid().as_raw_nonzero());
    // SAFETY: asks to be traced by our parent, and stops; neither touches memory.
    let traced =
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == 0 && libc::raise(libc::SIGSTOP) == 0 };
    if traced {
        let mut heads = [0; 4];
        assert_eq!(ring.pop_batch(&mut heads[..2]), Ok(2));
        ring.push_used(heads[1], 7);
        ring.publish();
        assert_eq!(ring.pop_batch(&mut heads[2..]), Ok(1));
        ring.push_used(heads[2], 8);
        ring.push_used(heads[0], 9);
        ring.publish();
    }
    std::process::exit(0);
}

/// Lets a traced thread do one instruction; `None` once it has ended.
fn step(thread: i32) -> Option<()> {
    let mut status = 0;
    // SAFETY: the thread is our tracee and stopped; `status` is ours.
    let stopped = unsafe {
        libc::ptrace(libc::PTRACE_SINGLESTEP, thread, 0, 0) == 0
            && libc::waitpid(thread, &raw mut status, libc::__WALL) == thread
    };
    (stopped && libc::WIFSTOPPED(status)).then_some(())
}

/// Unlike the one with a list of stores, this knows nothing about which they are, nor in which order.
#[test]
fn a_device_that_dies_at_any_instruction_leaves_what_the_driver_waits_for() {
    if let Ok(files) = std::env::var(CHILD) {
        return work_step_by_step(&files);
    }
    let mut bench = Bench::new(4, 0);
    drop(bench.start(&bench.region, bench.driver.memory(), 0));
    for head in [2, 0, 3] {
        bench.driver.offer(head);
        bench.outstanding.push_back(head);
    }
    let name = "a_device_that_dies_at_any_instruction_leaves_what_the_driver_waits_for";
    let (mut child, line) = start_child(name, &bench);
    let thread: i32 = line.rsplit_once(' ').unwrap().1.trim().parse().unwrap();
    let mut status = 0;
    // SAFETY: `status` is ours; the thread is our child's, or the call fails.
    let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
    if waited != thread || !libc::WIFSTOPPED(status) {
        let _ = child.kill();
        return println!("skipped: no process of ours may be traced");
    }
    let (mut remains, mut states, mut steps) = (bench.remains(), 0, 0_u32);
    bench.check(&remains, 0, &bench.outstanding);
    while step(thread).is_some() {
        steps += 1;
        let now = bench.remains();
        if now != remains {
            remains = now;
            states += 1;
            bench.check(&remains, 0, &bench.outstanding);
        }
    }
    let _ = child.wait();
    println!("{states} states in {steps} instructions");
    assert_eq!(remains.used_index(), 3, "it did all its work");
    assert!(states >= 20, "stores were missed");
}

/// Where a process that is to be killed finds the memory: the descriptors of the one that started it.
const CHILD: &str = "LUNAR_CRASH_CHILD";
const ENTRIES: u16 = 64;

/// Starts this program again as the device of a test; returns it, and what it said when it was ready.
fn start_child(name: &str, bench: &Bench) -> (Child, String) {
    let path = |fd: i32| format!("/proc/{}/fd/{fd}", std::process::id());
    let files = format!("{} {}", path(bench.driver.file().as_raw_fd()), path(bench.region.as_raw_fd()));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, files)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ready = lines.find(|line| line.contains("at work")).expect("it never began");
    (child, ready)
}

/// Takes over the ring of the process that started this one.
fn take_over(files: &str, entries: u16) -> SplitRing {
    let open = |path: &str| File::options().read(true).write(true).open(path).unwrap();
    let (guest, region) = files.split_once(' ').unwrap();
    let guest = open(guest);
    let spec = RegionSpec {
        guest: GuestAddress(0),
        user: UserAddress(USER),
        bytes: 0x10_0000,
        file_offset: 0,
        file: guest.into(),
    };
    let memory = std::sync::Arc::new(GuestMemory::from_regions(vec![spec]).unwrap());
    let bytes = InflightRegion::create(1, entries).unwrap().0.bytes();
    let region = InflightRegion::adopt(open(region).into(), bytes, 0, 1, entries).unwrap();
    let user = |at| UserAddress(USER + at);
    let config = RingConfig {
        entries,
        desc: user(virtqueue::testing::DESC),
        avail: user(virtqueue::testing::AVAIL),
        used: user(USED),
        event_idx: false,
        indirect: true,
        version_1: true,
        next_avail: 12345,
    };
    SplitRing::start(config, memory, region.queue(0)).unwrap()
}

/// The device in a process of its own: takes, answers in another order and shows, as fast as it can.
fn work_until_killed(files: &str) {
    let mut ring = take_over(files, ENTRIES);
    println!("at work");
    let (mut open, mut heads, mut turn) = (Vec::new(), [0; 7], 0_usize);
    loop {
        let popped = ring.pop_batch(&mut heads).unwrap();
        open.extend(&heads[..popped]);
        // Some are always kept back, as by a slow disk.
        for _ in 0..open.len().saturating_sub(20).min(5) {
            turn += 1;
            let head = open.swap_remove(turn % open.len());
            ring.push_used(head, 0);
        }
        ring.publish();
    }
}

#[test]
fn a_device_that_is_killed_leaves_what_the_driver_waits_for() {
    if let Ok(files) = std::env::var(CHILD) {
        return work_until_killed(&files);
    }
    let kills: u32 = std::env::var("LUNAR_KILLS").map_or(40, |kills| kills.parse().unwrap());
    let mut bench = Bench::new(ENTRIES, 0);
    // The region is new: written to by whoever comes first.
    drop(bench.start(&bench.region, bench.driver.memory(), 0));
    let (mut turns, mut found_in_flight) = (0, 0);
    for kill in 0..kills {
        let name = "a_device_that_is_killed_leaves_what_the_driver_waits_for";
        let (mut child, _) = start_child(name, &bench);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    turns += drive(&mut bench);
                }
            });
            // Not a wait for anything: it dies at another moment each time.
            std::thread::sleep(Duration::from_micros(500 + u64::from(kill * 37 % 50) * 100));
            child.kill().unwrap();
            child.wait().unwrap();
            done.store(true, Ordering::Relaxed);
        });
        see(&mut bench);
        let mut ring = bench.start(&bench.region, bench.driver.memory(), 12345);
        found_in_flight += ring.resubmissions();
        let owed: Vec<u16> = bench.outstanding.iter().copied().collect();
        assert_eq!(take_all(&mut ring), owed, "kill {kill}");
        for &head in &owed {
            ring.push_used(head, 0);
        }
        ring.publish();
        see(&mut bench);
        assert!(bench.outstanding.is_empty());
    }
    println!("{turns} chains, {found_in_flight} in flight at {kills} deaths");
    assert!(found_in_flight > 0, "nobody ever died at work");
}

/// The driver: sees what has come back and offers it again; returns how much.
fn drive(bench: &mut Bench) -> usize {
    see(bench);
    let free = std::mem::take(&mut bench.free);
    for &head in &free {
        bench.outstanding.push_back(head);
        bench.driver.offer(head);
    }
    free.len()
}

fn see(bench: &mut Bench) {
    while bench.seen != bench.driver.used_index() {
        let head = u16::try_from(bench.driver.used(bench.seen).0).unwrap();
        let before = bench.outstanding.len();
        bench.outstanding.retain(|waiting| *waiting != head);
        assert_eq!(bench.outstanding.len() + 1, before, "head {head} came back and was not owed");
        bench.free.push(head);
        bench.seen = bench.seen.wrapping_add(1);
    }
}
