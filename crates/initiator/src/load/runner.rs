// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One queue's part of a load: slots that are prepared once and sent again and again.
//!
//! Above: `load`.  Below: `ring`, over the heads of `exchange`, which has nothing in flight meanwhile.
//! Never here: allocation or lookups per command.

use super::stamp::{self, Words};
use super::{Access, Load, Report};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::memory::{GuestBuffer, Memory, Window};
use crate::request::{Answer, Command, HEADER_BYTES, RESPONSE_BYTES, RequestQueue};
use crate::ring::{Buffer, DESCRIPTOR_BYTES, Used, write_table};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Where the CDB is in a request's header.
const CDB_AT: usize = 19;
/// Descriptors of one command: header, data, response.
const CHAIN_DESCRIPTORS: usize = 3;

/// The part of the range that one queue works on.  A unit is what one command moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) first_unit: u64,
    pub(super) units: u64,
    pub(super) unit_blocks: u32,
    pub(super) block_bytes: u32,
    pub(super) queue: u64,
}

/// Guest memory for one command, and the command.
#[derive(Debug)]
struct Slot {
    header: Window,
    response: Window,
    data: Window,
    /// Chains for a read and for a write; header, data and response in the order each needs.
    chains: [[Buffer; CHAIN_DESCRIPTORS]; 2],
    tables: Option<[GuestBuffer; 2]>,
    started: Instant,
    unit: u64,
    write: bool,
    _held: [GuestBuffer; 3],
}

/// One queue's part of a load.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    queue: &'a mut RequestQueue,
    load: Load,
    share: Share,
    slots: Vec<Slot>,
    /// Which slot a head belongs to.
    slot_of_head: Vec<usize>,
    /// What was written to each unit last (0: nothing by us), and whether it is in flight; only for checked loads.
    generations: Vec<u32>,
    busy: Vec<bool>,
    words: Words,
    next_unit: u64,
    scratch: Vec<u8>,
    report: Report,
}

impl<'a> Runner<'a> {
    /// Prepares `load.queue_depth` slots.
    pub(super) fn prepare(
        queue: &'a mut RequestQueue,
        memory: &Arc<Memory>,
        load: &Load,
        share: Share,
    ) -> Result<Self, Error> {
        let depth = usize::from(load.queue_depth);
        let ring = &queue.exchange.ring;
        let each = if queue.indirect { 1 } else { CHAIN_DESCRIPTORS };
        if depth == 0 || depth * each > ring.free_descriptors() || queue.in_flight() > 0 {
            return Err(Error::Invalid { detail: "the queue depth does not fit the ring" });
        }
        let slots = (0..depth)
            .map(|slot| Slot::prepare(memory, load, queue.indirect, (share.queue << 32) | slot as u64))
            .collect::<Result<Vec<_>, _>>()?;
        let checked = if load.verify { usize::try_from(share.units).unwrap_or(usize::MAX) } else { 0 };
        let slot_of_head = vec![usize::MAX; ring.entries().into()];
        Ok(Self {
            slot_of_head,
            slots,
            generations: vec![0; checked],
            busy: vec![false; checked],
            words: Words::new(share.queue, 0, load.seed),
            next_unit: 0,
            scratch: vec![0; load.io_bytes as usize],
            report: Report::empty(),
            load: load.clone(),
            queue,
            share,
        })
    }

    /// Runs until the load's duration after `start` has passed and every command has come back.
    pub(super) fn run(mut self, start: Instant) -> Result<Report, Error> {
        let end = start + self.load.duration;
        let interrupts_before = self.queue.exchange.ring.interrupts()?;
        for slot in 0..self.slots.len() {
            self.send(slot)?;
        }
        self.kick()?;
        let mut in_flight = self.slots.len();
        while in_flight > 0 {
            let mut next = Some(self.wait()?);
            let now = Instant::now();
            let stopped = self.load.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed));
            while let Some(used) = next {
                let slot = self.finish(used, now)?;
                if now < end && !stopped {
                    self.send(slot)?;
                } else {
                    in_flight -= 1;
                }
                next = self.queue.exchange.ring.reap()?;
            }
            self.kick()?;
        }
        self.report.interrupts = self.queue.exchange.ring.interrupts()? - interrupts_before;
        self.report.elapsed = start.elapsed();
        Ok(self.report)
    }

    fn wait(&mut self) -> Result<Used, Error> {
        let deadline = Deadline::after(self.queue.patience);
        self.queue.exchange.ring.wait(self.load.wait, &deadline)
    }

    fn kick(&mut self) -> Result<(), Error> {
        if self.queue.exchange.ring.kick()? {
            self.report.kicks += 1;
        }
        Ok(())
    }

    /// Chooses what the slot does next and offers it.
    fn send(&mut self, index: usize) -> Result<(), Error> {
        let unit = self.choose_unit();
        let write = self.words.next_word() % 100 >= u64::from(self.load.read_percent);
        let lba = (self.share.first_unit + unit) * u64::from(self.share.unit_blocks);
        let slot = &mut self.slots[index];
        (slot.unit, slot.write) = (unit, write);
        slot.header.write(CDB_AT, &cdb(write, lba, self.share.unit_blocks));
        if self.load.verify
            && let Ok(at) = usize::try_from(unit)
        {
            self.busy[at] = true;
            if write {
                self.generations[at] += 1;
                let (generation, seed) = (self.generations[at], self.load.seed);
                let blocks = self.scratch.chunks_exact_mut(self.share.block_bytes as usize);
                for (block_lba, block) in (lba..).zip(blocks) {
                    stamp::write(block, block_lba, generation, seed);
                }
                slot.data.write(0, &self.scratch);
            }
        }
        // A device that answers without writing must not live off the answer before.
        slot.response.write(0, &[0xff; RESPONSE_BYTES]);
        slot.started = Instant::now();
        let (ring, which) = (&mut self.queue.exchange.ring, usize::from(write));
        let head = match &slot.tables {
            Some(tables) => {
                let table = &tables[which];
                let bytes = u32::try_from(table.bytes()).unwrap_or(u32::MAX);
                ring.offer_table(table.address(), bytes, writable_bytes(&slot.chains[which]))?
            }
            None => ring.offer(&slot.chains[which])?,
        };
        self.slot_of_head[usize::from(head)] = index;
        Ok(())
    }

    /// Takes what came back; returns its slot.
    fn finish(&mut self, used: Used, now: Instant) -> Result<usize, Error> {
        let queue = self.queue.exchange.ring.index();
        let index = self.slot_of_head[usize::from(used.head)];
        let Some(slot) = self.slots.get(index) else { return Err(Error::Late { queue }) };
        let mut response = [0; RESPONSE_BYTES];
        slot.response.read(0, &mut response);
        let latency = now.saturating_duration_since(slot.started).max(Duration::from_nanos(1));
        self.report.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        let (response_byte, status, residual) = (response[11], response[10], &response[4..8]);
        let good = response_byte == 0 && status == 0 && residual == [0; 4];
        if !good {
            self.report.errors += 1;
            if self.report.first_error.is_none() {
                self.report.first_error = Some(Answer::decode(queue, used.bytes_written, &response)?);
            }
        } else if slot.write {
            self.report.writes += 1;
        } else {
            self.report.reads += 1;
        }
        if good {
            self.report.bytes += u64::from(self.load.io_bytes);
        }
        if self.load.verify {
            self.verify(index, good);
        }
        Ok(index)
    }

    /// Compares what a read brought, and frees its unit.
    fn verify(&mut self, index: usize, good: bool) {
        let slot = &self.slots[index];
        let Ok(at) = usize::try_from(slot.unit) else { return };
        self.busy[at] = false;
        let generation = self.generations[at];
        if slot.write && !good {
            // Nobody knows what such a block holds now.
            self.generations[at] = 0;
        }
        if slot.write || !good || generation == 0 {
            return;
        }
        slot.data.read(0, &mut self.scratch);
        let lba = (self.share.first_unit + slot.unit) * u64::from(self.share.unit_blocks);
        for (block_lba, block) in (lba..).zip(self.scratch.chunks_exact(self.share.block_bytes as usize)) {
            self.report.blocks_verified += 1;
            if let Some(corruption) = stamp::check(block, block_lba, generation, self.load.seed) {
                self.report.blocks_corrupt += 1;
                self.report.first_corruption.get_or_insert(corruption);
            }
        }
    }

    /// Chooses a unit; in a checked load one that no command in flight touches.
    fn choose_unit(&mut self) -> u64 {
        let mut unit = match self.load.access {
            Access::Random => self.words.next_word() % self.share.units,
            Access::Sequential => self.next_unit,
        };
        // The share has at least as many units as there are slots, so one is free.
        while usize::try_from(unit).ok().and_then(|at| self.busy.get(at)) == Some(&true) {
            unit = (unit + 1) % self.share.units;
        }
        self.next_unit = (unit + 1) % self.share.units;
        unit
    }
}

impl Slot {
    fn prepare(memory: &Arc<Memory>, load: &Load, indirect: bool, tag: u64) -> Result<Self, Error> {
        let held = [
            memory.allocate(HEADER_BYTES as u64, 64)?,
            memory.allocate(u64::from(load.io_bytes), 4096)?,
            memory.allocate(RESPONSE_BYTES as u64, 64)?,
        ];
        let [header, data, response] = [&held[0], &held[1], &held[2]];
        let buffer = |of: &GuestBuffer, writable: bool| -> Buffer {
            Buffer { address: of.address(), bytes: u32::try_from(of.bytes()).unwrap_or(u32::MAX), writable }
        };
        let read = [buffer(header, false), buffer(response, true), buffer(data, true)];
        let write = [buffer(header, false), buffer(data, false), buffer(response, true)];
        let table = |chain: &[Buffer]| -> Result<GuestBuffer, Error> {
            let table = memory.allocate((CHAIN_DESCRIPTORS * DESCRIPTOR_BYTES) as u64, 16)?;
            write_table(chain, &table)?;
            Ok(table)
        };
        let tables = if indirect { Some([table(&read)?, table(&write)?]) } else { None };
        header.write(0, &Command::new(load.address, &[]).readable(tag))?;
        data.window()?.fill(0xa5);
        Ok(Self {
            header: header.window()?,
            response: response.window()?,
            data: data.window()?,
            chains: [read, write],
            tables,
            started: Instant::now(),
            unit: 0,
            write: false,
            _held: held,
        })
    }
}

fn writable_bytes(chain: &[Buffer]) -> u64 {
    chain.iter().filter(|buffer| buffer.writable).map(|buffer| u64::from(buffer.bytes)).sum()
}

/// READ or WRITE (10) where it reaches, else (16); the rest of the 16 bytes is zero.
fn cdb(write: bool, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    if let (Ok(lba), Ok(blocks)) = (u32::try_from(lba), u16::try_from(blocks)) {
        cdb[0] = if write { 0x2a } else { 0x28 };
        cdb[2..6].copy_from_slice(&lba.to_be_bytes());
        cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
    } else {
        cdb[0] = if write { 0x8a } else { 0x88 };
        cdb[2..10].copy_from_slice(&lba.to_be_bytes());
        cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    }
    cdb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cdb_grows_with_the_address() {
        assert_eq!(cdb(false, 0xffff_ffff, 8), [0x28, 0, 255, 255, 255, 255, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(cdb(true, 0x1_0000_0000, 8), [0x8a, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0]);
    }
}
