// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest's rings, in memory that changes: requests of all kinds, spoilt in all ways, through a real worker.
//!
//! Above: libFuzzer, `tests/corpus.rs`.
//! Below: `vhost_scsi::testing`, `virtqueue`, ramdisks.
//! Never here: what a command is to be answered with.
//!
//! Promised: every head that was taken is given back once, in a bounded number of rounds; nothing outside of the
//! guest's memory is written, and nothing that is not its own is read; and no panic.

use crate::input::Input;
use crate::memory::{APART, BORDER, END, Guest, Neighbour, user_address};
use ::memory::{GuestMemory, UserAddress};
use reactor::Submitter;
use rustix::event::{EventfdFlags, eventfd};
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vhost_scsi::TargetPort;
use vhost_scsi::testing::{Bench, BenchQueue};
use virtqueue::{InflightRegion, RingConfig, SplitRing};

/// Steps of one input, at most.
const STEPS_MAX: usize = 64;
/// Rounds of the worker after one step, at most.  A guest whose data runs into its own ring may keep it busy.
const ROUNDS_MAX: usize = 64;
/// Rounds in which what was taken must be given back: one for each head that may be waited for, and some.  Commands that
/// wait for another thread have as many again, until their time is over.
const FINISH_ROUNDS_MAX: usize = 128;
/// How long what was taken may be owed where another thread has part in it; it never is without a fault of ours.
const PATIENCE: Duration = Duration::from_secs(20);
/// Queues of the inflight region.
const QUEUES: u16 = 3;

/// Where the parts of the two rings are unless they are put elsewhere: those of the control queue, then those of a
/// request queue.
const RINGS: [[u64; 3]; 2] = [[0x6000, 0x6800, 0x7000], [0x0000, 0x1000, 0x2000]];
const HEADERS: u64 = 0x3000;
const TABLES: u64 = 0x4000;
const RESPONSES: u64 = 0x5000;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Opcodes that lead somewhere; any other comes by chance.
const OPCODES: [u8; 28] = [
    0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1d, 0x25, 0x28, 0x2a, 0x2e, 0x2f, 0x35, 0x41, 0x42, 0x4d, 0x55,
    0x5a, 0x5f, 0x88, 0x8a, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0x9f,
];

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// What all inputs of a thread share.
struct World {
    submitter: Submitter,
    port: Arc<TargetPort>,
    neighbour: Neighbour,
}

impl World {
    fn new() -> Self {
        let submitter = reactor::testing::submitter().expect("io_uring");
        let port = Arc::new(TargetPort::new("naa.5001405000000001".into(), crate::units::many()));
        Self { submitter, port, neighbour: Neighbour::new() }
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    WORLD.with_borrow_mut(|world| {
        let mut input = Input::new(data);
        let guest = Guest::new();
        let races = input.rarely(8);
        let writes: Vec<(u64, Vec<u8>)> = if races { racing_writes(&mut input) } else { Vec::new() };
        let done = AtomicBool::new(writes.is_empty());
        std::thread::scope(|scope| {
            if !writes.is_empty() {
                scope.spawn(|| race(&guest, &writes, &done));
            }
            let stop = Stop(&done);
            Story::new(world, &guest, &mut input).run();
            drop(stop);
        });
        guest.check();
        world.neighbour.check();
    });
}

/// Ends the other thread, also where this one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn racing_writes(input: &mut Input<'_>) -> Vec<(u64, Vec<u8>)> {
    (0..1 + input.below(6))
        .map(|_| {
            let address = address(input);
            let length = 1 + usize::from(input.below(16));
            (address, input.bytes(length).to_vec())
        })
        .collect()
}

/// Another processor of the guest.
fn race(guest: &Guest, writes: &[(u64, Vec<u8>)], done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        for (address, bytes) in writes {
            guest.write(*address, bytes);
        }
    }
}

/// One ring as its driver knows it.
#[derive(Clone, Copy)]
struct Queue {
    index: u16,
    parts: [u64; 3],
    entries: u16,
    available: u16,
    next_avail: u16,
    running: Option<BenchQueue>,
}

struct Story<'a, 'b> {
    world: &'a mut World,
    guest: &'a Guest,
    input: &'a mut Input<'b>,
    memory: Arc<GuestMemory>,
    bench: Bench,
    queues: [Queue; 2],
    features: u64,
    inflight: Option<OwnedFd>,
    region_bytes: u64,
}

impl<'a, 'b> Story<'a, 'b> {
    fn new(world: &'a mut World, guest: &'a Guest, input: &'a mut Input<'b>) -> Self {
        let entries = [1, 2, 3, 4, 8, 16, 32, 64];
        let queue = |input: &mut Input<'_>, index: u16, parts: [u64; 3]| {
            let parts = if input.rarely(8) { parts.map(|_| address(input)) } else { parts };
            let available = if input.rarely(4) { input.u16() } else { 0 };
            let entries = input.pick(&entries);
            Queue { index, parts, entries, available, next_avail: available, running: None }
        };
        let control = queue(input, 0, RINGS[0]);
        let index = if input.rarely(16) { 1 } else { 2 };
        let requests = queue(input, index, RINGS[1]);
        // NOTIFY_ON_EMPTY, INDIRECT_DESC, EVENT_IDX, VERSION_1, T10_PI.
        let features = [24, 28, 29, 32, 3].into_iter().filter(|_| !input.rarely(3)).map(|bit| 1 << bit).sum();
        let (inflight, region_bytes) = if input.flag() {
            let (region, file) = InflightRegion::create(QUEUES, 64).expect("a region");
            (Some(file), region.bytes())
        } else {
            (None, 0)
        };
        let bench = Bench::new(Arc::clone(&world.port));
        let memory = guest.map(true).expect("nobody has cut it yet");
        let queues = [control, requests];
        let story = Self { world, guest, input, memory, bench, queues, features, inflight, region_bytes };
        for queue in &story.queues {
            let index = queue.available.to_le_bytes();
            story.guest.write(queue.parts[1].wrapping_add(2), &index);
            story.guest.write(queue.parts[2].wrapping_add(2), &index);
        }
        story
    }

    fn run(mut self) {
        self.start(0);
        self.start(1);
        for _ in 0..STEPS_MAX {
            if self.input.is_empty() {
                break;
            }
            self.step();
        }
        self.rounds(ROUNDS_MAX);
        for at in 0..self.queues.len() {
            self.stop(at);
        }
    }

    fn step(&mut self) {
        let at = usize::from(self.input.below(8) != 0);
        match self.input.below(24) {
            0..8 => self.request(at),
            8..10 => self.descriptor(at),
            10 => self.table_entry(),
            11 => {
                let (address, length) = (address(self.input), 1 + usize::from(self.input.below(32)));
                let bytes = self.input.bytes(length);
                self.guest.write(address, bytes);
            }
            12 => {
                let head = if self.input.rarely(4) { self.input.u16() } else { self.input.below(64).into() };
                self.offer(at, head);
            }
            13 => {
                let index =
                    self.queues[at].available.wrapping_add(self.input.pick(&[1, 0xffff, 2, 65, 0x8000]));
                self.queues[at].available = index;
                self.guest.write(self.queues[at].parts[1].wrapping_add(2), &index.to_le_bytes());
            }
            14 => {
                let queue = &self.queues[at];
                let event = queue.parts[1].wrapping_add(4 + 2 * u64::from(queue.entries));
                self.guest.write(event, &self.input.u16().to_le_bytes());
                self.guest.write(queue.parts[1], &[self.input.u8() & 3, 0]);
            }
            15..20 => {
                let rounds = 1 + usize::from(self.input.below(4));
                self.rounds(rounds);
            }
            20 => {
                self.bench.arm();
            }
            21 => self.remap(),
            22 => {
                self.stop(at);
                self.start(at);
            }
            _ => match self.input.below(8) {
                0 => self.guest.truncate(u64::from(self.input.below(18)) << 12),
                1..4 => self.die(),
                _ => self.rounds(ROUNDS_MAX),
            },
        }
    }

    fn start(&mut self, at: usize) {
        let queue = self.queues[at];
        let is = |bit: u32| self.features >> bit & 1 != 0;
        let user = |address: u64| UserAddress(user_address(address));
        let config = RingConfig {
            entries: queue.entries,
            desc: user(queue.parts[0]),
            avail: user(queue.parts[1]),
            used: user(queue.parts[2]),
            event_idx: is(29),
            indirect: is(28),
            version_1: is(32),
            next_avail: queue.next_avail,
        };
        let region = self.inflight.as_ref().and_then(|file| {
            let file = file.try_clone().expect("a descriptor");
            let region = InflightRegion::adopt(file, self.region_bytes, 0, QUEUES, 64).expect("its own");
            region.queue(queue.index)
        });
        let Ok(mut ring) = SplitRing::start(config, Arc::clone(&self.memory), region) else { return };
        ring.set_notify_on_empty(is(24));
        let call = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
        let memory = Arc::clone(&self.memory);
        let submitter = &mut self.world.submitter;
        let running = self.bench.start(submitter, queue.index, ring, memory, self.features, call);
        self.queues[at].running = Some(running);
    }

    /// Stops a queue: it owes nothing then, unless its memory has gone.
    fn stop(&mut self, at: usize) {
        let Some(running) = self.queues[at].running.take() else { return };
        let owed = self.finish(running);
        // What was answered in memory that had gone is not shown, not even in memory that came after it.
        let kept = self.queues[at].index == 1 || self.guest.is_cut();
        // Heads that a process before us took and that were not asked for yet stay in the region.
        assert!(kept || owed == 0 || self.inflight.is_some(), "{owed} heads were not given back");
        let submitter = &mut self.world.submitter;
        let stopped = self.bench.stop(submitter, running, FINISH_ROUNDS_MAX);
        self.queues[at].next_avail = stopped.expect("a queue that owes nothing stops");
    }

    /// Waits until a queue has come to rest; returns how many heads it then owes.
    fn finish(&mut self, running: BenchQueue) -> u16 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let submitter = &mut self.world.submitter;
            if let Some(owed) = self.bench.finish(submitter, running, FINISH_ROUNDS_MAX) {
                return owed;
            }
            assert!(Instant::now() < deadline, "all is given back soon");
            self.bench.wake_due(submitter);
            std::thread::yield_now();
        }
    }

    /// Dies, as by `kill -9`, and takes up the work again.
    fn die(&mut self) {
        self.bench = Bench::new(Arc::clone(&self.world.port));
        for at in 0..self.queues.len() {
            let queue = &mut self.queues[at];
            queue.running = None;
            queue.next_avail = self.guest.u16(queue.parts[2].wrapping_add(2));
            self.start(at);
        }
    }

    fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            if !self.bench.round(&mut self.world.submitter) {
                break;
            }
        }
    }

    fn remap(&mut self) {
        let Some(memory) = self.guest.map(self.input.flag()) else { return };
        let mut moved = true;
        for queue in &self.queues {
            if let Some(running) = queue.running {
                moved &= self.bench.remap(&mut self.world.submitter, running, Arc::clone(&memory));
            }
        }
        if moved {
            self.memory = memory;
        }
    }

    /// Writes a request as a driver does, and offers it, whole or nearly so.
    fn request(&mut self, at: usize) {
        let slot = u64::from(self.input.below(8));
        let header = HEADERS + 64 * slot;
        let response = RESPONSES + 128 * slot;
        let readable_bytes = if at == 0 { self.management(header) } else { self.command(header) };
        let mut buffers = vec![(header, readable_bytes, 0_u16)];
        let (data, bytes) = (address(self.input), length(self.input));
        let response_bytes = if at == 0 { self.input.pick(&[1, 5, 0]) } else { self.input.pick(&[108, 107]) };
        match self.input.below(4) {
            0 => buffers.push((response, response_bytes, WRITE)),
            1 => buffers.extend([(data, bytes, 0), (response, response_bytes, WRITE)]),
            2 => buffers.extend([(response, response_bytes, WRITE), (data, bytes, WRITE)]),
            // The answer in the data's place.
            _ => buffers.extend([(data, bytes, WRITE)]),
        }
        if self.input.rarely(8) {
            let times = usize::from(self.input.u8());
            let last = buffers[buffers.len() - 1];
            buffers.extend(std::iter::repeat_n(last, times));
        }
        let first = u16::from(self.input.below(8));
        if self.input.flag() {
            let table = TABLES + 256 * slot;
            self.link(table, 0, &buffers);
            let bytes = u32::try_from(16 * buffers.len()).expect("a short table");
            let descriptor = encode(table, bytes, INDIRECT, 0);
            self.guest.write(self.queues[at].parts[0].wrapping_add(16 * u64::from(first)), &descriptor);
        } else {
            self.link(self.queues[at].parts[0], first, &buffers);
        }
        self.offer(at, first);
    }

    /// Writes a SCSI request's header; returns its length.
    fn command(&mut self, header: u64) -> u32 {
        let input = &mut *self.input;
        let mut bytes = [0; 59];
        bytes[..4].copy_from_slice(&[1, input.pick(&[1, 1, 1, 0, 9]), 0x40, input.below(6)]);
        if input.rarely(16) {
            bytes[..8].copy_from_slice(&input.u64().to_le_bytes());
        }
        bytes[8] = input.below(4);
        bytes[16] = input.below(5);
        let pi = if self.features & 8 == 0 { 0 } else { 8 };
        bytes[19 + pi] = if input.rarely(8) { input.u8() } else { input.pick(&OPCODES) };
        let rest = input.bytes(15);
        bytes[20 + pi..20 + pi + rest.len()].copy_from_slice(rest);
        if input.flag() {
            // A short transfer near the start of the disk, by a CDB of 10 or 16 bytes.
            bytes[21 + pi..35 + pi].fill(0);
            bytes[24 + pi] = input.below(8);
            bytes[27 + pi] = input.below(3);
            bytes[32 + pi] = input.below(3);
        }
        self.guest.write(header, &bytes);
        51 + u32::try_from(pi).expect("8 or 0")
    }

    /// Writes a request to manage tasks; returns its length.
    fn management(&mut self, header: u64) -> u32 {
        let input = &mut *self.input;
        let mut bytes = [0; 24];
        bytes[0] = input.below(4);
        bytes[4] = input.below(9);
        bytes[8..12].copy_from_slice(&[1, 1, 0x40, input.below(6)]);
        bytes[16] = input.below(4);
        self.guest.write(header, &bytes);
        input.pick(&[24, 20, 12])
    }

    /// Writes a table of descriptors, each linked to the next.
    fn link(&self, table: u64, first: u16, buffers: &[(u64, u32, u16)]) {
        for (at, &(address, bytes, flags)) in (0_u16..).zip(buffers) {
            let index = first.wrapping_add(at);
            let has_next = usize::from(at) + 1 < buffers.len();
            let (flags, next) = if has_next { (flags | NEXT, index.wrapping_add(1)) } else { (flags, 0) };
            self.guest.write(table.wrapping_add(16 * u64::from(index)), &encode(address, bytes, flags, next));
        }
    }

    fn descriptor(&mut self, at: usize) {
        let place = self.queues[at].parts[0].wrapping_add(16 * u64::from(self.input.below(64)));
        self.spoil(place);
    }

    fn table_entry(&mut self) {
        let place = TABLES + 256 * u64::from(self.input.below(8)) + 16 * u64::from(self.input.below(8));
        self.spoil(place);
    }

    /// Writes a descriptor that need not make sense.
    fn spoil(&mut self, place: u64) {
        let input = &mut *self.input;
        let (address, bytes) = (address(input), length(input));
        let flags =
            input.pick(&[NEXT, NEXT | WRITE, WRITE, INDIRECT, 0, INDIRECT | NEXT, INDIRECT | WRITE, 0xffff]);
        let next = if input.rarely(4) { input.u16() } else { input.below(64).into() };
        self.guest.write(place, &encode(address, bytes, flags, next));
    }

    fn offer(&mut self, at: usize, head: u16) {
        let queue = &mut self.queues[at];
        let place = queue.parts[1].wrapping_add(4 + 2 * u64::from(queue.available % queue.entries));
        self.guest.write(place, &head.to_le_bytes());
        queue.available = queue.available.wrapping_add(1);
        self.guest.write(queue.parts[1].wrapping_add(2), &queue.available.to_le_bytes());
    }
}

fn encode(address: u64, bytes: u32, flags: u16, next: u16) -> [u8; 16] {
    let word =
        u128::from(address) | u128::from(bytes) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
    word.to_le_bytes()
}

/// An address: of the rings, of what requests are made of, of borders, of nothing.
fn address(input: &mut Input<'_>) -> u64 {
    let near = u64::from(input.below(32));
    match input.below(16) {
        0..3 => BORDER + 0x100 * near,
        3 => APART + 0x100 * near,
        4 => BORDER - near,
        5 => END - near,
        6 => APART + 0x2001 - near,
        7 => RINGS[0][usize::from(input.below(3))] + near,
        8 => RINGS[1][usize::from(input.below(3))] + near,
        9 => HEADERS + 8 * near,
        10 => TABLES + 16 * near,
        11 => RESPONSES + 16 * near,
        12 => END + near,
        13 => u64::MAX - near,
        14 => u64::from(input.u16()),
        _ => input.u64(),
    }
}

fn length(input: &mut Input<'_>) -> u32 {
    match input.below(12) {
        0..4 => 512 * u32::from(input.below(17)),
        4..6 => u32::from(input.u8()),
        6 => 4096 * u32::from(input.below(5)),
        7 => 16 * u32::from(input.below(20)),
        8 => u32::from(input.u16()),
        9 => 0,
        10 => u32::MAX - u32::from(input.u8()),
        _ => input.u32(),
    }
}
