// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process that is killed anywhere, again and again, under a guest that reads and writes: every command is
//! answered once, and what was written last is there.
//!
//! Above: nothing.  Below: `served`, `initiator`.
//! Never here: a fault below the file.
//!
//! `LUNAR_KILLS` says how often; 10000 is the long run (a quarter of an hour).  Two lives of three end at a point of
//! `virtqueue::crash`, the third by time.  `LUNAR_KILLS_SEED` makes another run.

mod served;
mod support;

use initiator::exchange::Token;
use initiator::{Answer, Guest, Options, commands, lun_0};
use served::{BYTES, Order, Served};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use virtqueue::crash::{POINTS, Point};

const KILLS: usize = 240;
const SECTOR_BYTES: usize = 512;
/// Few, so that commands meet.
const SECTORS: u32 = 64;
const QUEUES: u16 = 2;
const DEPTH: usize = 16;
/// A life that does not come to its point ends by time, and not before so many commands were answered: how many that
/// is in that time is the machine's affair.
const LIFE: Duration = Duration::from_millis(60);
const LIFE_ANSWERS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
#[ignore = "the process that the other test kills"]
fn served() {
    served::serve_if_told();
}

#[test]
fn whatever_a_kill_interrupts_every_command_is_answered_once_and_the_last_write_wins() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let kills = number("LUNAR_KILLS").map_or(KILLS, |kills| usize::try_from(kills).unwrap());
    let seed = number("LUNAR_KILLS_SEED").unwrap_or(0x005e_ed0f_0115_7e57);
    let directory = tempfile::tempdir().unwrap();
    let order = Order::new(&directory.path().join("sock"), &directory.path().join("disk"));
    let first = order.serve();
    let options = Options::default().request_queues(QUEUES).entries(64);
    let guest = Guest::boot(&order.socket, options).unwrap();
    drop(first);
    let mut driver = Driver::new(guest, seed);
    let mut at_points = [0_usize; POINTS.len()];
    let mut by_time = 0;
    for life in 0..kills {
        // Round the points in turn; from how many passages on depends on how often a life passes by.
        let (point, by_point) = (life % POINTS.len(), driver.chance(3) > 0);
        let passage = if by_point { 1 + driver.chance([1, 4, 40][life % 3]) } else { 0 };
        let order = Order { write_back: life % 2 == 0, point, passage, ..order.clone() };
        if by_point {
            driver.prepare(POINTS[point], &order);
        }
        if driver.live(&mut order.serve(), by_point) {
            at_points[point] += 1;
        } else {
            by_time += 1;
        }
    }
    let mut last = order.serve();
    driver.finish(&mut last);
    println!("{kills} kills, {by_time} of them by time; {} commands answered", driver.answered);
    for (point, count) in POINTS.iter().zip(at_points) {
        println!("  {point:?}: {count}");
    }
    // Nearly every point was died at, or the points say nothing.
    let missed: Vec<_> = POINTS.iter().zip(at_points).filter(|&(_, count)| count == 0).collect();
    assert!(missed.len() <= 2, "{missed:?}");
    assert!(driver.answered > kills, "{} answers", driver.answered);
}

/// What is known of one write.
#[derive(Clone, Copy, Debug)]
struct Write {
    id: u64,
    /// When it was answered.
    ended: Option<u64>,
}

/// A command in flight.
#[derive(Debug)]
enum Op {
    Write {
        id: u64,
        lba: u32,
        sectors: u32,
    },
    Read {
        lba: u32,
        /// When it began, and by sector which writes may be found there that began before.
        began: u64,
        may_be: Vec<Vec<u64>>,
    },
}

/// A guest's driver that remembers what it wrote.
struct Driver {
    guest: Guest,
    state: u64,
    /// Counts what begins and what ends; a write is known by when it began.
    clock: u64,
    /// By sector, the writes of which one is there: those that no later one has replaced for certain.
    sectors: Vec<Vec<Write>>,
    flights: HashMap<(u16, Token), Op>,
    aborts: usize,
    answered: usize,
}

impl Driver {
    fn new(guest: Guest, seed: u64) -> Self {
        let zeroes = Write { id: 0, ended: Some(0) };
        let sectors = vec![vec![zeroes]; SECTORS as usize];
        Self { guest, state: seed, clock: 0, sectors, flights: HashMap::new(), aborts: 0, answered: 0 }
    }

    /// A number below `below`.
    fn chance(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % below
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Brings about what a life must begin with to come by `point`.
    fn prepare(&mut self, point: Point, order: &Order) {
        match point {
            Point::Clearing => {
                let mut whole = Order { passage: 0, ..order.clone() }.serve();
                self.guest.reconnect().unwrap();
                self.drain(&mut whole);
                self.guest.reset().unwrap();
            }
            Point::Repairing | Point::Repaired => {
                let shown = POINTS.iter().position(|&point| point == Point::Shown).unwrap();
                self.live(&mut Order { point: shown, passage: 3, ..order.clone() }.serve(), true);
            }
            _ => {}
        }
    }

    /// Uses a process until it is dead; returns whether it died by itself.
    fn live(&mut self, process: &mut Served, by_point: bool) -> bool {
        let (span, answers) =
            if by_point { (LIFE, LIFE_ANSWERS) } else { (Duration::from_micros(self.chance(30_000)), 0) };
        if let Err(error) = self.guest.reconnect() {
            // It may have died before it had said all it has to say.
            assert!(process.ends_within(PATIENCE), "{error}");
            return true;
        }
        let (start, before) = (Instant::now(), self.answered);
        while start.elapsed() < span || self.answered < before + answers {
            assert!(start.elapsed() < PATIENCE, "a life without answers");
            if process.has_ended() {
                return true;
            }
            self.fill();
            self.reap();
        }
        process.kill();
        assert!(process.ends_within(PATIENCE));
        false
    }

    /// Lets everything that is in flight end, and reads all there is.
    fn finish(&mut self, process: &mut Served) {
        self.guest.reconnect().unwrap();
        self.drain(process);
        for lba in 0..SECTORS {
            self.read(0, lba, 1);
            self.drain(process);
        }
        let bases = self.guest.stop().unwrap();
        for queue in 0..QUEUES + 2 {
            let ring = self.guest.ring_mut(queue).unwrap();
            if queue != 1 {
                assert_eq!(bases[usize::from(queue)], ring.used_index(), "queue {queue}");
                assert_eq!(ring.used_index(), ring.available_index(), "queue {queue}");
            }
        }
    }

    fn drain(&mut self, process: &mut Served) {
        let start = Instant::now();
        while !self.flights.is_empty() || self.aborts > 0 {
            self.reap();
            let left = (&self.flights, self.aborts);
            assert!(start.elapsed() < PATIENCE && !process.has_ended(), "never answered: {left:?}");
        }
    }

    fn fill(&mut self) {
        for queue in 0..QUEUES {
            while self.guest.request_queue(queue).unwrap().in_flight() < DEPTH {
                let lba = u32::try_from(self.chance(u64::from(SECTORS))).unwrap();
                let sectors = u32::try_from(1 + self.chance(8)).unwrap().min(SECTORS - lba);
                match self.chance(20) {
                    0..=11 => self.write(queue, lba, sectors),
                    _ => self.read(queue, lba, sectors),
                }
            }
        }
        if self.aborts == 0 && self.chance(10) == 0 {
            // Of nothing that is there: it must be answered, and change nothing.
            self.guest.control().start_task_management(0, lun_0(), u64::MAX).unwrap();
            self.aborts += 1;
        }
    }

    fn write(&mut self, queue: u16, lba: u32, sectors: u32) {
        let id = self.tick();
        let mut data = Vec::new();
        for sector in lba..lba + sectors {
            data.extend(std::iter::repeat_n(word(id, sector), SECTOR_BYTES / 8).flat_map(u64::to_le_bytes));
            self.sectors[sector as usize].push(Write { id, ended: None });
        }
        let command = commands::write_10(lun_0(), lba, u16::try_from(sectors).unwrap(), &data);
        let token = self.guest.request_queue(queue).unwrap().start(&command).unwrap();
        self.flights.insert((queue, token), Op::Write { id, lba, sectors });
    }

    fn read(&mut self, queue: u16, lba: u32, sectors: u32) {
        let began = self.tick();
        let known = self.sectors[lba as usize..(lba + sectors) as usize].iter();
        let may_be = known.map(|writes| writes.iter().map(|write| write.id).collect()).collect();
        let bytes = sectors as usize * SECTOR_BYTES;
        let command = commands::read_10(lun_0(), lba, u16::try_from(sectors).unwrap(), bytes);
        let token = self.guest.request_queue(queue).unwrap().start(&command).unwrap();
        self.flights.insert((queue, token), Op::Read { lba, began, may_be });
    }

    /// Takes every answer that is there.  The ring itself refuses one for what is not in flight.
    fn reap(&mut self) {
        for queue in 0..QUEUES {
            while let Some(returned) = self.guest.request_queue(queue).unwrap().exchange.try_any().unwrap() {
                let answer = Answer::decode(queue + 2, returned.used_len, &returned.written).unwrap();
                assert!(answer.is_good(), "{answer:?}");
                let op = self.flights.remove(&(queue, returned.token)).expect("answered twice");
                self.ended(op, &answer.data_in);
                self.answered += 1;
            }
        }
        while let Some(returned) = self.guest.control().exchange.try_any().unwrap() {
            assert_eq!((returned.used_len, &returned.written[..]), (1, &[0][..]));
            self.aborts -= 1;
        }
    }

    fn ended(&mut self, op: Op, data: &[u8]) {
        let now = self.tick();
        match op {
            Op::Write { id, lba, sectors } => {
                for sector in lba..lba + sectors {
                    let writes = &mut self.sectors[sector as usize];
                    // What had ended before this began is replaced.
                    writes.retain(|write| write.ended.is_none_or(|ended| ended > id));
                    let own = writes.iter_mut().find(|write| write.id == id);
                    if let Some(own) = own {
                        own.ended = Some(now);
                    }
                }
            }
            Op::Read { lba, began, may_be } => {
                assert_eq!(data.len(), may_be.len() * SECTOR_BYTES);
                for ((sector, may_be), data) in (lba..).zip(may_be).zip(data.chunks(SECTOR_BYTES)) {
                    for found in data.chunks(8) {
                        let found = u64::from_le_bytes(found.try_into().unwrap());
                        let since = |id: u64| id > began && found == word(id, sector);
                        let is_known = may_be.iter().any(|&id| found == word(id, sector));
                        assert!(
                            is_known || since(found >> 8),
                            "sector {sector} has {:?}, and not one of {may_be:?}, at {began}",
                            (found >> 8, found & 0xff)
                        );
                    }
                }
            }
        }
    }
}

/// What a write puts everywhere into a sector; nothing, where nothing was written.
fn word(id: u64, sector: u32) -> u64 {
    if id == 0 { 0 } else { id << 8 | u64::from(sector) }
}

const _: () = assert!(SECTORS <= 256 && SECTORS as u64 * SECTOR_BYTES as u64 <= BYTES);
