// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reactors without their kernel, a disk whose writes land when the schedule wants it, and guests that look at their rings.
//!
//! Above: the tests of `schedules`.
//! Below: workers, rings and units as the product has them.
//! Never here: what a test claims of a function.

use super::super::{LetterKind, Mail, QueueKey, Worker, send};
use super::IS_OVER;
use crate::errands::Errand;
use crate::events::FEATURE_HOTPLUG;
use crate::losses::Losses;
use crate::port::TargetPort;
use crate::queue::{QueueKind, QueueParts};
use crate::signs_of_life::SignsOfLife;
use exec::mailbox::{Receiver, Wake, mailbox};
use reactor::{Event, IoTag, KickTag, Post, Submitter, Work};
use rustix::event::{EventfdFlags, eventfd};
use scsi::Lun;
use scsi::inquiry::Identity;
use shuttle::thread;
use slab::Slab;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};
use target::io::{Channel, Completed, Io, Submitted, Token};
use target::{
    Group, Held, Kind, LogicalUnit, LunMap, Mapping, Nexus, Registration, Store, UnitFlags, UnitRecord,
    UnitState, Volatile,
};
use virtqueue::testing::{DATA, Driver, USED, WRITE};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// Where the parts of chain N of a ring are in its memory: so many bytes apart.
const HEADER: (u64, u64) = (DATA, 0x40);
const RESPONSE: (u64, u64) = (DATA + 0x1000, 0x80);
const BLOCK: (u64, u64) = (DATA + 0x4000, 0x200);
/// Descriptors of each chain.
const DESCRIPTORS: u64 = 3;
const ENTRIES: u16 = 128;

fn at((first, apart): (u64, u64), number: u64) -> u64 {
    first + apart * number
}

/// Where in a response its status and its response code are, and the codes of commands that were aborted and reset.
const STATUS_AT: u64 = 10;
const RESPONSE_AT: u64 = 11;

/// The queue of a guest, on one reactor.
pub(super) struct Ring {
    driver: Mutex<Driver>,
    reactor: usize,
    /// What the reactor knows its kicks by.
    tag: KickTag,
    offered: AtomicUsize,
}

impl Ring {
    /// Which of its chains the guest has seen the end of, in the order of their ends.
    pub(super) fn answered(&self) -> Vec<u64> {
        let driver = lock(&self.driver);
        let heads = (0..u64::from(driver.used_index()))
            .map(|index| u32::from_le_bytes(driver.read(USED + 4 + 8 * index)));
        heads.map(|head| u64::from(head) / DESCRIPTORS).collect()
    }

    pub(super) fn is_answered(&self) -> bool {
        usize::from(lock(&self.driver).used_index()) == self.offered.load(Ordering::SeqCst)
    }

    /// Offers one chain more, and kicks nobody.  Returns its number.
    fn offer(&self, request: &[u8], data: &[u8], response: u32) -> u64 {
        let mut driver = lock(&self.driver);
        let number = self.offered.fetch_add(1, Ordering::SeqCst) as u64;
        let bytes = |slice: &[u8]| u32::try_from(slice.len()).expect("a few");
        let (header, block) = (at(HEADER, number), at(BLOCK, number));
        driver.write(header, request);
        driver.write(block, data);
        let chain =
            [(header, bytes(request), 0), (block, bytes(data), 0), (at(RESPONSE, number), response, WRITE)];
        let head = u16::try_from(number * DESCRIPTORS).expect("a few");
        match data {
            [] => driver.link(head, &[chain[0], chain[2]]),
            _ => driver.link(head, &chain),
        }
        driver.offer(head);
        number
    }

    /// Offers a command to LUN 0.
    pub(super) fn command(&self, tag: u8, cdb: &[u8], data: &[u8]) -> u64 {
        let mut request = [&[1, 1, 0, 0, 0, 0, 0, 0, tag, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], cdb].concat();
        request.resize(51, 0);
        self.offer(&request, data, 108)
    }

    /// Offers WRITE (10) of one block, with its number as the tag.
    pub(super) fn write(&self, block: u8) -> u64 {
        self.command(block, &[0x2a, 0, 0, 0, 0, block, 0, 0, 1, 0], &[block; 512])
    }

    /// Offers a task management request about LUN 0.
    pub(super) fn manage(&self, function: u32, tag: u8) -> u64 {
        let [low, ..] = function.to_le_bytes();
        let request = [0, 0, 0, 0, low, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, tag, 0, 0, 0, 0, 0, 0, 0];
        self.offer(&request, &[], 1)
    }

    fn response(&self, number: u64, offset: u64) -> u8 {
        let [byte] = lock(&self.driver).read(at(RESPONSE, number) + offset);
        byte
    }

    pub(super) fn ended(&self, number: u64) -> Ended {
        (self.response(number, RESPONSE_AT), self.response(number, STATUS_AT))
    }
}

/// One command: its ring, its number there, and the block that it writes.
pub(super) type Write = (usize, u64, u8);

/// What is true when the guest sees an answer of ring 0.
#[derive(Clone)]
pub(super) enum Promise {
    /// These have ended, the guests see it, and no write of theirs can land any more.
    Over(Vec<Write>),
    /// This is said to be under way, if it still is.
    Found(Write),
    /// The function is refused.
    Rejected,
}

/// How a command ended: its response code, and its status.
pub(super) type Ended = (u8, u8);

pub(super) const GOOD: Ended = (0, 0);
pub(super) const ABORTED: Ended = (2, 0);
pub(super) const RESET: Ended = (4, 0);
pub(super) const TASK_ABORTED: Ended = (0, 0x40);
pub(super) const CONFLICT: Ended = (0, 0x18);

/// What all threads of a schedule share.  Its locks are never held where another thread may run.
pub(super) struct World {
    pub(super) rings: Vec<Ring>,
    pub(super) posts: Vec<Post<Worker>>,
    bells: Vec<Bell>,
    events: Vec<Mutex<Vec<Event>>>,
    /// Blocks that are being written.
    pub(super) under_way: Arc<Mutex<Vec<u64>>>,
    /// What each answer of ring 0 promises.
    promises: Mutex<Vec<Promise>>,
    /// How many of its answers have been looked at.
    judged: Mutex<usize>,
    /// Blocks to which nothing more is to land.
    promised: Mutex<Vec<u64>>,
    /// Something that is no answer is still to come.
    pub(super) expects: AtomicUsize,
    over: AtomicBool,
}

impl World {
    fn wake(&self, reactor: usize) {
        let bell = &self.bells[reactor];
        if !bell.rung.swap(true, Ordering::SeqCst) {
            let way = lock(&bell.way).clone();
            way.send(()).expect("the mailboxes outlive the reactors");
        }
    }

    fn happen(&self, reactor: usize, event: Event) {
        lock(&self.events[reactor]).push(event);
        self.wake(reactor);
    }

    /// Sends the reactor of a ring a letter about its queue.
    pub(super) fn post_to(&self, ring: usize, letter: impl FnOnce(QueueKey) -> LetterKind) {
        let ring = &self.rings[ring];
        send(&self.posts[ring.reactor], letter(QueueKey(ring.tag)));
    }

    pub(super) fn kick(&self, ring: usize) {
        let ring = &self.rings[ring];
        self.happen(ring.reactor, Event::Kicked(ring.tag));
    }

    /// The guest looks at its rings.
    fn look(&self) {
        let answered = self.rings[0].answered();
        let seen = std::mem::replace(&mut *lock(&self.judged), answered.len());
        for &number in &answered[seen..] {
            let promise = lock(&self.promises)[usize::try_from(number).expect("a few")].clone();
            self.judge(&promise, self.rings[0].response(number, 0));
        }
        let is_over = self.rings.iter().all(Ring::is_answered) && self.expects.load(Ordering::SeqCst) == 0;
        if is_over && !self.over.swap(true, Ordering::SeqCst) {
            IS_OVER.set(true);
            (0..self.bells.len()).for_each(|reactor| self.wake(reactor));
        }
    }
}

impl World {
    fn judge(&self, promise: &Promise, answer: u8) {
        match promise {
            Promise::Over(writes) => {
                assert_eq!(answer, 0, "complete");
                writes.iter().for_each(|write| self.is_over(*write));
            }
            // FUNCTION SUCCEEDED, and FUNCTION COMPLETE.
            Promise::Found((ring, number, _)) => {
                let has_ended = self.rings[*ring].answered().contains(number);
                assert!(answer == 10 || answer == 0 && has_ended, "{answer}");
            }
            Promise::Rejected => assert_eq!(answer, 11),
        }
    }

    pub(super) fn is_over(&self, (ring, number, block): Write) {
        let offset = u64::from(block) * 512;
        assert!(!lock(&self.under_way).contains(&offset), "the write of block {block} may still land");
        assert!(
            self.rings[ring].answered().contains(&number),
            "the write of block {block} is still under way"
        );
        lock(&self.promised).push(offset);
    }

    /// Makes a request of ring 0, which promises this.
    pub(super) fn promise(&self, promise: Promise) {
        lock(&self.promises).push(promise);
    }
}

/// Where those find the world that are made before it.
type Told = Arc<OnceLock<Weak<World>>>;

fn found(told: &Told) -> Option<Arc<World>> {
    told.get().and_then(Weak::upgrade)
}

/// What ends one sleep of a reactor, now or at its beginning.
struct Bell {
    rung: AtomicBool,
    way: Mutex<shuttle::sync::mpsc::Sender<()>>,
}

/// What a reactor has that nobody else has.
struct Ends {
    mail: Receiver<Mail>,
    rings: shuttle::sync::mpsc::Receiver<()>,
}

/// Wakes the reactor of that number in a world.
struct Ringer(usize, Told);

impl Wake for Ringer {
    fn wake(&self) {
        if let Some(world) = found(&self.1) {
            world.wake(self.0);
        }
    }
}

/// A disk on which writes land when the schedule wants it.
struct Disk {
    geometry: backstore::Geometry,
    world: Told,
    under_way: Arc<Mutex<Vec<u64>>>,
}

struct Way {
    key: u32,
    reactor: usize,
    world: Told,
    under_way: Arc<Mutex<Vec<u64>>>,
    waiting: Slab<(Token, memory::IoBuf)>,
}

impl backstore::Backstore for Disk {
    fn geometry(&self) -> &backstore::Geometry {
        &self.geometry
    }

    fn channel(&self, key: u32) -> Box<dyn Channel> {
        let reactor = thread::current().name().expect("a reactor").parse().expect("its number");
        let (world, under_way) = (Arc::clone(&self.world), Arc::clone(&self.under_way));
        Box::new(Way { key, reactor, world, under_way, waiting: Slab::new() })
    }
}

impl Channel for Way {
    fn submit(&mut self, _: &mut Submitter, io: Io, token: Token) -> Submitted {
        let Io { offset, buffer, .. } = io;
        let operation = u32::try_from(self.waiting.insert((token, buffer))).expect("a few");
        lock(&self.under_way).push(offset);
        let (reactor, tag) = (self.reactor, IoTag { channel: self.key, operation });
        let world = found(&self.world).expect("there is one");
        thread::spawn(move || {
            lock(&world.under_way).retain(|other| *other != offset);
            assert!(!lock(&world.promised).contains(&offset), "a write landed after it was to land no more");
            world.happen(reactor, Event::Io(tag, 0));
        });
        Submitted::Queued
    }

    fn completed(&mut self, _: &mut Submitter, operation: u32, _: i32) -> Option<Completed> {
        let (token, buffer) = self.waiting.remove(operation as usize);
        Some(Completed { token, buffer, result: Ok(()) })
    }

    fn in_flight(&self) -> usize {
        self.waiting.len()
    }
}

/// The port of guest `number`, which reaches the unit as LUN 0.
fn port(number: u16, unit: &Arc<LogicalUnit>) -> Arc<TargetPort> {
    let (initiator, target) =
        (format!("naa.600140500000000{number}"), format!("naa.500140500000000{number}"));
    let mut map = LunMap::default();
    let mapping = Mapping::new(Arc::clone(unit), false);
    let nexus = Nexus::new(initiator, target.clone(), 1, number);
    map.insert(1, Group::new(nexus, [(Lun::default(), mapping)]));
    Arc::new(TargetPort::new(target, map))
}

/// Guests 1 and 2 are registered with these keys, and the second has the reservation, for registrants.
fn registered() -> UnitRecord {
    let mut record = UnitRecord::default();
    for (number, key) in [(1_u16, 0xa), (2, 0xb)] {
        let nexus =
            target::NexusName { initiator: format!("naa.600140500000000{number}"), relative_port: number };
        let registration = Registration { key, all_target_ports: false, generation: 0 };
        record.reservations.registrations.insert(nexus.clone(), registration);
        record.reservations.held = Some(Held { holder: nexus, kind: Kind::WriteExclusiveRegistrants });
    }
    record
}

fn unit(world: &Told, under_way: &Arc<Mutex<Vec<u64>>>) -> Arc<LogicalUnit> {
    let geometry = backstore::Geometry {
        bytes: 64 * 512,
        block_bytes: 512,
        physical_block_bytes: 512,
        alignment_bytes: 0,
        io_min_bytes: 512,
        io_opt_bytes: 0,
        read_only: false,
        write_cache: false,
        rotational: false,
    };
    let disk = Disk { geometry, world: Arc::clone(world), under_way: Arc::clone(under_way) };
    let identity = Identity {
        vendor: Identity::ascii_field("LIO-ORG"),
        product: Identity::ascii_field("disk0"),
        revision: Identity::ascii_field("4.0"),
        unit_serial: "serial".into(),
        company_id: 0x00_1405,
    };
    let flags = UnitFlags { write_cache: false, solid_state: false, ..UnitFlags::DEFAULT };
    let unit = LogicalUnit::new(Store::new(1, Arc::new(disk)), identity, 512, flags);
    Arc::new(unit.remembering(UnitState::new("serial", registered(), Arc::new(Volatile))))
}

/// A world that does not go round yet.
pub(super) struct Built {
    pub(super) world: Arc<World>,
    ends: Vec<Ends>,
    peers: Arc<OnceLock<Vec<Post<Worker>>>>,
}

/// Builds a world of reactors and of queues, which are `(kind, client, reactor)`.
pub(super) fn build(queues: &[(QueueKind, usize, usize)], reactors: usize) -> Built {
    let (told, under_way) = (Told::default(), Arc::default());
    let unit = unit(&told, &under_way);
    let ports = [port(1, &unit), port(2, &unit)];
    let (posts, mail): (Vec<Post<Worker>>, Vec<_>) =
        (0..reactors).map(|number| mailbox(Box::new(Ringer(number, Arc::clone(&told))))).unzip();
    let (bells, hearers): (Vec<_>, Vec<_>) = (0..reactors)
        .map(|_| {
            let (way, hearer) = shuttle::sync::mpsc::channel();
            (Bell { rung: AtomicBool::new(false), way: Mutex::new(way) }, hearer)
        })
        .unzip();
    let mut rings: Vec<Ring> = Vec::new();
    for &(kind, client, reactor) in queues {
        let driver = Driver::new(ENTRIES);
        let before = rings.iter().filter(|ring| ring.reactor == reactor).count();
        let key = u32::try_from(before).expect("a few");
        let parts = QueueParts {
            kind,
            ring: driver.start(),
            memory: driver.memory(),
            client: client as u64,
            port: Arc::clone(&ports[client - 1]),
            signs: Arc::<SignsOfLife>::default(),
            losses: Arc::<Losses>::default(),
            features: 1 << 32 | FEATURE_HOTPLUG,
            call: None,
            err: None,
            kick: Some(eventfd(0, EventfdFlags::CLOEXEC).expect("a descriptor")),
            enabled: true,
            logging: None,
            held_back: false,
        };
        let (started, _) = mpsc::channel();
        send(&posts[reactor], LetterKind::Start { parts: Box::new(parts), key: started });
        let tag = KickTag { key, generation: key + 1 };
        rings.push(Ring { driver: Mutex::new(driver), reactor, tag, offered: 0.into() });
    }
    let world = Arc::new(World {
        rings,
        posts: posts.clone(),
        bells,
        events: (0..reactors).map(|_| Mutex::default()).collect(),
        under_way,
        promises: Mutex::default(),
        judged: Mutex::default(),
        promised: Mutex::default(),
        expects: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    assert!(told.set(Arc::downgrade(&world)).is_ok(), "set once, here");
    let peers = Arc::new(OnceLock::new());
    assert!(peers.set(posts).is_ok(), "set once, here");
    let ends = mail.into_iter().zip(hearers).map(|(mail, rings)| Ends { mail, rings }).collect();
    Built { world, ends, peers }
}

/// How many worlds share a way into the kernel, which is never entered: its entries are never more than it has room for.
const WORLDS_A_SUBMITTER: usize = 32;

thread_local! {
    static SUBMITTERS: RefCell<Vec<(usize, Submitter)>> = const { RefCell::new(Vec::new()) };
}

/// The loop of one reactor, until all is over.  Returns its mailbox, so that nobody finds it closed.
fn go_round(
    world: &Arc<World>,
    number: usize,
    Ends { mut mail, rings }: Ends,
    peers: Arc<OnceLock<Vec<Post<Worker>>>>,
) -> Ends {
    let pooled = SUBMITTERS.with_borrow_mut(Vec::pop);
    let (worlds, mut submitter) =
        pooled.unwrap_or_else(|| (0, reactor::testing::submitter().expect("io_uring")));
    let (sender, errands) = mpsc::channel();
    let mut worker = Worker::new(world.posts[number].clone(), number, peers, sender);
    while !world.over.load(Ordering::SeqCst) {
        let mut busy = false;
        while let Some(letter) = mail.take() {
            worker.mail(&mut submitter, letter);
            busy = true;
        }
        busy |= worker.poll(&mut submitter);
        let events = std::mem::take(&mut *lock(&world.events[number]));
        for event in events {
            worker.event(&mut submitter, event);
            busy = true;
        }
        if worker.deadline().is_some() {
            worker.expired(&mut submitter, Instant::now() + Duration::from_secs(3600));
        }
        worker.publish(&mut submitter);
        world.look();
        for Errand { work, reply, .. } in errands.try_iter() {
            thread::spawn(move || work(reply));
        }
        let has_events = !lock(&world.events[number]).is_empty();
        if !mail.park() || has_events {
            mail.unpark();
            thread::yield_now();
        } else if busy || worker.arm() {
            mail.unpark();
        } else {
            rings.recv().expect("somebody may ring");
            world.bells[number].rung.store(false, Ordering::SeqCst);
            mail.unpark();
        }
    }
    drop(worker);
    if worlds < WORLDS_A_SUBMITTER {
        SUBMITTERS.with_borrow_mut(|pool| pool.push((worlds + 1, submitter)));
    }
    Ends { mail, rings }
}

/// Lets a world go round until all is answered that a guest asks for meanwhile.
pub(super) fn run(Built { world, ends, peers }: Built, guest: impl FnOnce(&Arc<World>)) {
    world.expects.fetch_add(1, Ordering::SeqCst);
    let reactors: Vec<_> = ends
        .into_iter()
        .enumerate()
        .map(|(number, ends)| {
            let (world, peers) = (Arc::clone(&world), Arc::clone(&peers));
            let go = move || go_round(&world, number, ends, peers);
            thread::Builder::new().name(number.to_string()).spawn(go).expect("a thread")
        })
        .collect();
    guest(&world);
    world.expects.fetch_sub(1, Ordering::SeqCst);
    world.look();
    let ends: Vec<_> = reactors.into_iter().map(|reactor| reactor.join().expect("a reactor")).collect();
    assert!(lock(&world.under_way).is_empty());
    drop(ends);
}
