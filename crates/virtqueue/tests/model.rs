// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random rings and random chains against models that are too plain to be wrong.
//!
//! Above: nothing.
//! Below: `virtqueue::testing`.
//! Never here: the code under test explaining itself; the models know the standard only.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use memory::{IoBuf, View};
use proptest::prelude::*;
use proptest::sample::Index;
use virtqueue::testing::{BORDER, DATA, Desc, Driver, END, INDIRECT, NEXT, WRITE};
use virtqueue::{InflightRegion, RingConfig, SplitRing};

/// Failures are printed, not kept in files.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// What may happen to a ring.
#[derive(Clone, Debug)]
enum Event {
    /// The driver offers a head that it has.
    Offer(Index),
    /// The device takes up to so many.
    Pop(usize),
    /// The device answers one that it has.
    Push(Index, u32),
    Publish,
    /// The device dies, and another takes over.
    Die,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => any::<Index>().prop_map(Event::Offer),
        3 => (1..6_usize).prop_map(Event::Pop),
        5 => (any::<Index>(), any::<u32>()).prop_map(|(which, bytes)| Event::Push(which, bytes)),
        2 => Just(Event::Publish),
        1 => Just(Event::Die),
    ]
}

/// The ring as the standard tells it, in lists.
struct Model {
    free: Vec<u16>,
    offered: VecDeque<u16>,
    /// In the order in which they were first taken.
    taken: Vec<u16>,
    /// Taken by a device that died; these come before `offered`.
    again: VecDeque<u16>,
    pushed: Vec<(u16, u32)>,
    published: u16,
}

struct Bench {
    driver: Driver,
    region: OwnedFd,
    bytes: u64,
    model: Model,
}

impl Bench {
    fn new(entries: u16, first: u16) -> Self {
        let (region, file) = InflightRegion::create(1, entries).expect("a region");
        let mut driver = Driver::new(entries);
        driver.set_available_index(first);
        driver.set_used_index(first);
        let model = Model {
            free: (0..entries).collect(),
            offered: VecDeque::new(),
            taken: Vec::new(),
            again: VecDeque::new(),
            pushed: Vec::new(),
            published: first,
        };
        Self { driver, region: file, bytes: region.bytes(), model }
    }

    fn start(&self) -> SplitRing {
        let entries = self.driver.config().entries;
        let file = self.region.try_clone().expect("a descriptor");
        let region = InflightRegion::adopt(file, self.bytes, 0, 1, entries).expect("the region");
        // The base is right the first time and nonsense after: with a region in use it must not matter.
        let is_new = self.model.taken.is_empty() && self.model.again.is_empty();
        let next_avail = if is_new { self.driver.used_index() } else { 12345 };
        let config = RingConfig { next_avail, ..self.driver.config() };
        SplitRing::start(config, self.driver.memory(), region.queue(0)).expect("a ring")
    }

    fn apply(&mut self, ring: &mut SplitRing, event: Event) {
        let model = &mut self.model;
        match event {
            Event::Offer(which) if !model.free.is_empty() => {
                let head = model.free.remove(which.index(model.free.len()));
                model.offered.push_back(head);
                self.driver.offer(head);
            }
            Event::Pop(count) => {
                let mut heads = vec![0xffff; count];
                let popped = ring.pop_batch(&mut heads).expect("a good driver");
                let source = if model.again.is_empty() { &mut model.offered } else { &mut model.again };
                let expected: Vec<u16> = source.drain(..count.min(source.len())).collect();
                assert_eq!(heads[..popped], expected);
                model.taken.extend(expected);
            }
            Event::Push(which, bytes) => {
                let open: Vec<u16> = model.open().collect();
                if !open.is_empty() {
                    let head = open[which.index(open.len())];
                    ring.push_used(head, bytes);
                    model.pushed.push((head, bytes));
                }
            }
            Event::Publish => {
                ring.publish();
                for (head, bytes) in model.pushed.drain(..) {
                    assert_eq!(self.driver.used(model.published), (u32::from(head), bytes));
                    model.published = model.published.wrapping_add(1);
                    model.taken.retain(|taken| *taken != head);
                    model.free.push(head);
                }
            }
            Event::Die => {
                *ring = self.start();
                let model = &mut self.model;
                model.pushed.clear();
                // What was to be resubmitted and was not yet popped was taken later than all that was popped.
                let mut again = VecDeque::from(std::mem::take(&mut model.taken));
                again.append(&mut model.again);
                model.again = again;
            }
            Event::Offer(_) => {}
        }
        assert_eq!(self.driver.used_index(), self.model.published, "nothing is shown before its time");
        let in_flight = self.model.taken.len() + self.model.again.len();
        assert_eq!(usize::from(ring.in_flight()), in_flight);
        assert_eq!(ring.has_work(), !self.model.again.is_empty() || !self.model.offered.is_empty());
    }
}

impl Model {
    /// Heads that are taken and not answered.
    fn open(&self) -> impl Iterator<Item = u16> {
        self.taken.iter().copied().filter(|head| self.pushed.iter().all(|(pushed, _)| pushed != head))
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// Every head comes once, in order, and goes back once, whoever dies in between.
    #[test]
    fn rings_keep_their_heads(
        entries in prop_oneof![Just(1_u16), Just(3), Just(4), Just(16), Just(64)],
        first in prop_oneof![Just(0_u16), Just(0xfffa), any::<u16>()],
        events in proptest::collection::vec(event(), 1..200),
    ) {
        // Where entries do not divide 65536, places collide at the wrap; a ring cannot be used across it.
        let first = if entries == 3 { first % 0xff00 } else { first };
        let mut bench = Bench::new(entries, first);
        let mut ring = bench.start();
        for event in events {
            bench.apply(&mut ring, event);
        }
    }
}

const RING_ENTRIES: u16 = 8;
const TABLE_ENTRIES: u16 = 8;

/// Descriptors that are nearly good, so that many get past the first check.
fn desc() -> impl Strategy<Value = Desc> {
    let address = prop_oneof![
        8 => DATA + 0x1000..END - 0x1000,
        2 => BORDER - 64..BORDER,
        1 => END - 16..END + 16,
        1 => any::<u64>(),
        2 => Just(DATA), // A table.
        1 => Just(DATA + 8),
    ];
    let bytes = prop_oneof![
        8 => 0..200_u32,
        1 => Just(16 * u32::from(TABLE_ENTRIES)),
        1 => (1..10_u32).prop_map(|count| 16 * count),
        1 => any::<u32>(),
    ];
    let flags = prop_oneof![
        8 => Just(NEXT),
        4 => Just(NEXT | WRITE),
        2 => Just(WRITE),
        2 => Just(INDIRECT),
        1 => 0..16_u16,
        1 => any::<u16>(),
    ];
    let next = prop_oneof![8 => 0..RING_ENTRIES, 1 => any::<u16>()];
    (address, bytes, flags, next).prop_map(|(address, bytes, flags, next)| Desc {
        address,
        bytes,
        flags,
        next,
    })
}

/// A chain's buffers as (address, bytes), or `None` where it is no request.
type Expected = Option<(Vec<(u64, u32)>, Vec<(u64, u32)>)>;

/// Section 2.7 read aloud. `tables` is guest memory from `DATA` on.
fn expect(ring: &[Desc], tables: &[u8]) -> Expected {
    let (mut readable, mut writable) = (Vec::new(), Vec::new());
    let mut visited = Vec::new();
    let (mut index, mut table) = (0_usize, None);
    loop {
        let descriptor = match table {
            None => *ring.get(index)?,
            Some((address, count)) if index < count => decode(tables, address, index)?,
            Some(_) => return None,
        };
        if visited.contains(&(table, index)) {
            return None;
        }
        visited.push((table, index));
        let has_next = descriptor.flags & NEXT != 0;
        if descriptor.flags & INDIRECT != 0 {
            let is_good = table.is_none() && !has_next && descriptor.bytes > 0 && descriptor.bytes % 16 == 0;
            if !is_good || !is_memory(descriptor.address, descriptor.bytes) {
                return None;
            }
            table = Some((descriptor.address, usize::try_from(descriptor.bytes / 16).ok()?));
            index = 0;
            continue;
        }
        if descriptor.bytes > 0 && !is_memory(descriptor.address, descriptor.bytes) {
            return None;
        }
        if descriptor.flags & WRITE != 0 {
            writable.push((descriptor.address, descriptor.bytes));
        } else if visited_writable(&visited, ring, tables) {
            return None;
        } else {
            readable.push((descriptor.address, descriptor.bytes));
        }
        if !has_next {
            return Some((readable, writable));
        }
        index = usize::from(descriptor.next);
    }
}

fn visited_writable(visited: &[(Option<(u64, usize)>, usize)], ring: &[Desc], tables: &[u8]) -> bool {
    visited.iter().any(|&(table, index)| {
        let descriptor = match table {
            None => ring[index],
            Some((address, _)) => decode(tables, address, index).expect("visited before"),
        };
        descriptor.flags & INDIRECT == 0 && descriptor.flags & WRITE != 0
    })
}

fn decode(tables: &[u8], address: u64, index: usize) -> Option<Desc> {
    let start = usize::try_from(address.checked_sub(DATA)?).ok()? + 16 * index;
    let bytes = tables.get(start..start + 16)?;
    Some(Desc {
        address: u64::from_le_bytes(bytes[0..8].try_into().ok()?),
        bytes: u32::from_le_bytes(bytes[8..12].try_into().ok()?),
        flags: u16::from_le_bytes(bytes[12..14].try_into().ok()?),
        next: u16::from_le_bytes(bytes[14..16].try_into().ok()?),
    })
}

/// Guest memory is one piece for the guest: 0 to `END`.
fn is_memory(address: u64, bytes: u32) -> bool {
    address.checked_add(u64::from(bytes)).is_some_and(|end| end <= END)
}

/// A guest whose bytes tell their address, and what it has from `DATA` on.
fn patterned() -> (Driver, Vec<u8>) {
    static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| (DATA..END).map(pattern_at).collect());
    let driver = Driver::new(RING_ENTRIES);
    let middle = usize::try_from(BORDER - DATA).expect("small");
    driver.write(DATA, &PATTERN[..middle]);
    driver.write(BORDER, &PATTERN[middle..]);
    (driver, PATTERN.clone())
}

fn pattern_at(address: u64) -> u8 {
    (address ^ (address >> 8) ^ (address >> 16)).to_le_bytes()[0]
}

proptest! {
    #![proptest_config(cases(400))]

    /// Whatever the descriptors say: the buffers are those of the standard, byte by byte, or there are none.
    #[test]
    fn chains_are_what_the_standard_says(
        ring in proptest::collection::vec(desc(), usize::from(RING_ENTRIES)),
        table in proptest::collection::vec(desc(), usize::from(TABLE_ENTRIES)),
    ) {
        let (mut driver, mut memory) = patterned();
        for (index, desc) in (0..).zip(&ring) {
            driver.desc(index, *desc);
        }
        for (index, desc) in (0_u64..).zip(&table) {
            driver.desc_at(DATA + 16 * index, *desc);
        }
        let tables: Vec<u8> = table.iter().flat_map(Desc::encode).collect();
        memory[..tables.len()].copy_from_slice(&tables);
        driver.offer(0);
        let mut device = driver.start();
        prop_assert_eq!(device.pop_batch(&mut [0; 1]), Ok(1));
        let view = driver.view();
        let (mut readable, mut writable) = (IoBuf::new(), IoBuf::new());
        let followed = device.chain(0, &view, &mut readable, &mut writable);
        match expect(&ring, &memory) {
            None => prop_assert!(followed.is_err(), "{followed:?}"),
            Some((expected_readable, expected_writable)) => {
                prop_assert_eq!(followed, Ok(()));
                check(&readable, &expected_readable, &driver)?;
                check(&writable, &expected_writable, &driver)?;
            }
        }
    }
}

/// Compares the bytes that a list reads with those that its buffers have in the guest.
fn check(list: &IoBuf, expected: &[(u64, u32)], driver: &Driver) -> Result<(), TestCaseError> {
    let total: u64 = expected.iter().map(|(_, bytes)| u64::from(*bytes)).sum();
    prop_assert_eq!(list.bytes(), total);
    let mut offset = 0;
    for &(address, bytes) in expected {
        // The first and the last byte tell where the buffer is; the ones between are between.
        for (at, byte) in [(0, 0), (1, u64::from(bytes).saturating_sub(1))] {
            if bytes == 0 {
                continue;
            }
            let mut found = [0];
            prop_assert_eq!(list.copy_to(offset + byte, &mut found), 1);
            prop_assert_eq!(found, driver.read::<1>(address + byte), "buffer {:#x}, end {}", address, at);
        }
        offset += u64::from(bytes);
    }
    Ok(())
}

/// A driver that rewrites descriptors while they are read gets requests or refusals, and never a byte outside of its
/// own memory.
#[test]
fn a_driver_that_rewrites_descriptors_stays_in_its_memory() {
    let mut driver = Driver::new(RING_ENTRIES);
    driver.offer(0);
    let mut device = driver.start();
    assert_eq!(device.pop_batch(&mut [0; 1]), Ok(1));
    let view = driver.view();
    let stop = AtomicBool::new(false);
    let hosts = host_ranges(&view);
    let (mut good, mut refused) = (0_u32, 0_u32);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                scribble(&driver, round);
            }
        });
        let (mut readable, mut writable) = (IoBuf::new(), IoBuf::new());
        // More where the other thread was put to sleep in a bad moment.
        let mut rounds = 0_u32;
        while rounds < 50_000 || (good == 0 && rounds < 50_000_000) {
            rounds += 1;
            match device.chain(0, &view, &mut readable, &mut writable) {
                Ok(()) => good += 1,
                Err(_) => refused += 1,
            }
            for segment in readable.iovecs().iter().chain(writable.iovecs()) {
                let start = segment.iov_base.addr();
                assert!(hosts.iter().any(|(first, end)| *first <= start && start + segment.iov_len <= *end));
            }
            assert!(readable.segments() + writable.segments() <= 1026);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(good > 0, "the driver never had a good moment: {refused} refused");
}

/// Writes one of a few states of the tables: each is valid or nearly so, mixtures of two are anything.
fn scribble(driver: &Driver, round: u64) {
    let address = if round.is_multiple_of(3) { DATA + 0x1000 } else { END - 8 };
    let bytes = if round.is_multiple_of(5) { 4096 } else { 8 };
    let flags = [0, WRITE, NEXT, NEXT | WRITE, INDIRECT][usize::try_from(round % 7 % 5).expect("small")];
    driver.desc(u16::try_from(round % 4).expect("small"), Desc { address, bytes, flags, next: 1 });
    driver.desc_at(DATA + 16 * (round % 4), Desc { address, bytes, flags, next: 2 });
    if round.is_multiple_of(2) {
        driver.desc(0, Desc { address: DATA, bytes: 64, flags: INDIRECT, next: 0 });
    }
}

fn host_ranges(view: &View) -> Vec<(usize, usize)> {
    view.memory()
        .regions()
        .map(|region| {
            let range = view.memory().host_of_user(region.user, region.bytes).expect("a region");
            let first = range.ptr.as_ptr().addr();
            (first, first + usize::try_from(range.bytes).expect("small"))
        })
        .collect()
}
