// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands that read, think and write without anybody in between: COMPARE AND WRITE and ORWRITE (16).  SBC-3.
//!
//! Above: `execute`.
//! Below: claims, by which the blocks are theirs alone.
//! Never here: bytes of CDBs.

use super::block::{TRANSFER_BYTES_MAX, cut, ready};
use super::unmap::bytes_of;
use super::{Decision, done, overrun, refuse_at, script};
use crate::logical_unit::{LogicalUnit, Store};
use crate::script::{Claim, Outcome, Script, Step};
use crate::task::{Answer, Buffers};
use backstore::{BackstoreError, IoKind};
use memory::{IoBuf, SCRATCH_BYTES, Scratch};
use scsi::{BlockCount, Sense, Write};
use std::ops::Range;

/// MAXIMUM COMPARE AND WRITE LENGTH, in blocks: what the memory of one command holds, and one byte counts.
pub(super) fn compare_blocks_max(block_bytes: u32) -> u8 {
    u8::try_from(SCRATCH_BYTES / block_bytes.max(1)).unwrap_or(u8::MAX)
}

/// COMPARE AND WRITE.
pub(super) fn compare_and_write<'a>(
    unit: &'a LogicalUnit,
    command: &Write,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let store = ready(unit)?;
    if command.blocks > BlockCount(u64::from(compare_blocks_max(unit.geometry.block_bytes))) {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    unit.geometry.check(command.first, command.blocks)?;
    if command.blocks.0 == 0 {
        return Ok(done(buffers));
    }
    let range = bytes_of(&unit.geometry, command.first, command.blocks);
    let Some(residual) = cut(&mut buffers.data_out, (range.end - range.start).saturating_mul(2)) else {
        return Ok(overrun());
    };
    let alone = Alone { store: store.clone(), range, durable: command.fua, memory: None, residual };
    Ok(script(store, CompareAndWrite { alone, compared: false }))
}

/// ORWRITE (16).
pub(super) fn or_write<'a>(
    unit: &'a LogicalUnit,
    command: &Write,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let store = ready(unit)?;
    unit.geometry.check(command.first, command.blocks)?;
    if command.blocks.0 == 0 {
        return Ok(done(buffers));
    }
    let range = bytes_of(&unit.geometry, command.first, command.blocks);
    let bytes = range.end - range.start;
    if bytes > TRANSFER_BYTES_MAX {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let Some(residual) = cut(&mut buffers.data_out, bytes) else { return Ok(overrun()) };
    let alone = Alone { store: store.clone(), range, durable: command.fua, memory: None, residual };
    Ok(script(store, OrWrite { alone, done: 0, reads: false }))
}

/// A range that one command has for itself, and memory to read it into.
struct Alone {
    store: Store,
    range: Range<u64>,
    durable: bool,
    memory: Option<Scratch>,
    residual: u64,
}

impl Alone {
    /// The steps that come first.
    fn prepare(&mut self, last: Outcome) -> Step {
        match last {
            Outcome::Begun => Step::Memory,
            Outcome::Memory(Some(memory)) => {
                self.memory = Some(memory);
                let (store, range) = (self.store.clone(), self.range.clone());
                Step::Claim(Claim { store, range, exclusive: true })
            }
            Outcome::Io { result: Err(error), .. } => refuse_at(error, self.residual),
            _ => refuse_at(BackstoreError::Internal, self.residual),
        }
    }

    fn read(&self, at: u64, bytes: u64) -> Step {
        let Some(memory) = &self.memory else { return refuse_at(BackstoreError::Internal, self.residual) };
        let (store, buffer) = (self.store.clone(), memory.list(bytes));
        Step::Io { store, kind: IoKind::Read, offset: self.range.start + at, buffer }
    }

    fn write(&self, at: u64, buffer: IoBuf) -> Step {
        let kind = IoKind::Write { durable: self.durable };
        Step::Io { store: self.store.clone(), kind, offset: self.range.start + at, buffer }
    }

    fn good(&self) -> Step {
        Step::Done(Answer { residual: self.residual, ..Answer::good() })
    }

    fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

struct CompareAndWrite {
    alone: Alone,
    compared: bool,
}

impl Script for CompareAndWrite {
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step {
        let bytes = self.alone.bytes();
        match last {
            Outcome::Claimed => self.alone.read(0, bytes),
            Outcome::Io { result: Ok(()), .. } if self.compared => self.alone.good(),
            Outcome::Io { result: Ok(()), .. } => {
                let Some(memory) = &self.alone.memory else {
                    return refuse_at(BackstoreError::Internal, self.alone.residual);
                };
                let read = memory.list(bytes);
                if let Some(offset) = first_difference((&buffers.data_out, 0), (&read, 0), bytes) {
                    let sense = Sense::MISCOMPARE_DURING_VERIFY.with_information(offset);
                    return Step::Done(Answer::check_condition(sense, self.alone.residual));
                }
                self.compared = true;
                buffers.data_out.advance(bytes);
                self.alone.write(0, std::mem::take(&mut buffers.data_out))
            }
            last => self.alone.prepare(last),
        }
    }
}

struct OrWrite {
    alone: Alone,
    /// Bytes that have been written.
    done: u64,
    /// Whether the next piece is being read.
    reads: bool,
}

impl OrWrite {
    fn piece(&self) -> u64 {
        (self.alone.bytes() - self.done).min(u64::from(SCRATCH_BYTES))
    }
}

impl Script for OrWrite {
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step {
        match last {
            Outcome::Claimed => {
                self.reads = true;
                self.alone.read(0, self.piece())
            }
            Outcome::Io { result: Ok(()), .. } if self.reads => {
                let piece = self.piece();
                let Some(memory) = &self.alone.memory else {
                    return refuse_at(BackstoreError::Internal, self.alone.residual);
                };
                let list = memory.list(piece);
                or_into(&list, (&buffers.data_out, self.done), piece);
                self.reads = false;
                self.alone.write(self.done, list)
            }
            Outcome::Io { result: Ok(()), .. } => {
                self.done += self.piece();
                if self.done == self.alone.bytes() {
                    return self.alone.good();
                }
                self.reads = true;
                self.alone.read(self.done, self.piece())
            }
            last => self.alone.prepare(last),
        }
    }
}

/// Bytes that are looked at at once.
const LOOK_BYTES: usize = 4096;

fn pieces(bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    let step = LOOK_BYTES as u64;
    (0..bytes.div_ceil(step)).map(move |number| {
        let at = number * step;
        (at, usize::try_from((bytes - at).min(step)).unwrap_or(LOOK_BYTES))
    })
}

/// Where two lists differ first, in bytes from the places that are given; `None` where they are the same for `bytes`.
pub(super) fn first_difference(
    (left, left_at): (&IoBuf, u64),
    (right, right_at): (&IoBuf, u64),
    bytes: u64,
) -> Option<u64> {
    let (mut ours, mut theirs) = ([0; LOOK_BYTES], [0; LOOK_BYTES]);
    pieces(bytes).find_map(|(at, length)| {
        let (ours, theirs) = (&mut ours[..length], &mut theirs[..length]);
        left.copy_to(left_at + at, ours);
        right.copy_to(right_at + at, theirs);
        let differs = ours.iter().zip(theirs.iter()).position(|(ours, theirs)| ours != theirs)?;
        Some(at + differs as u64)
    })
}

fn or_into(list: &IoBuf, (data, data_at): (&IoBuf, u64), bytes: u64) {
    let (mut ours, mut theirs) = ([0; LOOK_BYTES], [0; LOOK_BYTES]);
    for (at, length) in pieces(bytes) {
        let (ours, theirs) = (&mut ours[..length], &mut theirs[..length]);
        list.copy_to(at, ours);
        data.copy_to(data_at + at, theirs);
        ours.iter_mut().zip(theirs.iter()).for_each(|(ours, theirs)| *ours |= theirs);
        list.copy_from(at, ours);
    }
}
