// SPDX-License-Identifier: Apache-2.0 OR MIT
//! VERIFY and WRITE AND VERIFY (10), (12) and (16).  SBC-3.
//!
//! Above: `execute`.
//! Below: memory of the device's own, to read into.
//! Never here: bytes of CDBs.

use super::block::{TRANSFER_BYTES_MAX, cut, ready};
use super::compare::first_difference;
use super::unmap::bytes_of;
use super::{Decision, done, overrun, refuse_at, script};
use crate::logical_unit::{LogicalUnit, Store};
use crate::script::{Claim, Outcome, Script, Step};
use crate::task::{Answer, Buffers};
use backstore::{BackstoreError, IoKind};
use memory::{SCRATCH_BYTES, Scratch};
use scsi::{BlockCount, Sense, Verify};
use std::ops::Range;

/// VERIFY: the medium is read, and compared with what the guest sends where BYTCHK says so.
pub(super) fn verify<'a>(
    unit: &'a LogicalUnit,
    command: &Verify,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let store = ready(unit)?;
    unit.geometry.check(command.first, command.blocks)?;
    if command.blocks.0 == 0 {
        return Ok(done(buffers));
    }
    let against = Against::of(command, unit.geometry.block_bytes);
    let sent = bytes_of(&unit.geometry, command.first, against.blocks(command.blocks));
    let sent = sent.end - sent.start;
    if sent > TRANSFER_BYTES_MAX {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let Some(residual) = cut(&mut buffers.data_out, sent) else { return Ok(overrun()) };
    let left = bytes_of(&unit.geometry, command.first, command.blocks);
    Ok(script(store, Check::new(store, left, against, residual)))
}

/// WRITE AND VERIFY: the blocks are written, made durable, and verified as VERIFY does.
pub(super) fn write_and_verify<'a>(
    unit: &'a LogicalUnit,
    command: &Verify,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let store = ready(unit)?;
    unit.geometry.check(command.first, command.blocks)?;
    if command.blocks.0 == 0 {
        return Ok(done(buffers));
    }
    let against = match command.byte_check {
        0 => Against::Nothing,
        1 => Against::All,
        // One block to compare all others with, where all are sent, is not there (SBC-3, WRITE AND VERIFY (10)).
        _ => return Err(Sense::INVALID_FIELD_IN_CDB),
    };
    let range = bytes_of(&unit.geometry, command.first, command.blocks);
    let bytes = range.end - range.start;
    if bytes > TRANSFER_BYTES_MAX {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let Some(residual) = cut(&mut buffers.data_out, bytes) else { return Ok(overrun()) };
    let check = Check { writes: Some(range.clone()), ..Check::new(store, range, against, residual) };
    Ok(script(store, check))
}

/// What the medium is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Nothing,
    /// A block for each.
    All,
    /// One block, of so many bytes, for all.
    One(u64),
}

impl Against {
    fn of(command: &Verify, block_bytes: u32) -> Self {
        match command.byte_check {
            0 => Self::Nothing,
            3 => Self::One(u64::from(block_bytes)),
            _ => Self::All,
        }
    }

    fn blocks(self, blocks: BlockCount) -> BlockCount {
        match self {
            Self::Nothing => BlockCount(0),
            Self::One(_) => BlockCount(1),
            Self::All => blocks,
        }
    }
}

/// Reads a range piece by piece, and compares.
struct Check {
    store: Store,
    /// What is to be written first.
    writes: Option<Range<u64>>,
    start: u64,
    left: Range<u64>,
    /// What is being read.
    piece: u64,
    against: Against,
    memory: Option<Scratch>,
    residual: u64,
}

impl Check {
    fn new(store: &Store, left: Range<u64>, against: Against, residual: u64) -> Self {
        let (store, start) = (store.clone(), left.start);
        Self { store, writes: None, start, left, piece: 0, against, memory: None, residual }
    }

    fn read(&mut self) -> Step {
        let Some(memory) = &self.memory else {
            return refuse_at(BackstoreError::Internal, self.residual);
        };
        if self.left.is_empty() {
            return Step::Done(Answer { residual: self.residual, ..Answer::good() });
        }
        let piece = (self.left.end - self.left.start).min(u64::from(SCRATCH_BYTES));
        // With one block for all, a piece is whole blocks.
        self.piece = match self.against {
            Against::One(block) => (piece / block.max(1)).max(1) * block,
            _ => piece,
        };
        let (store, buffer) = (self.store.clone(), memory.list(self.piece));
        Step::Io { store, kind: IoKind::Read, offset: self.left.start, buffer }
    }

    /// Where the piece that was read differs from what was sent, in bytes from the beginning of the range.
    fn difference(&self, buffers: &Buffers) -> Option<u64> {
        let read = self.memory.as_ref()?.list(self.piece);
        let at = self.left.start - self.start;
        match self.against {
            Against::Nothing => None,
            Against::All => {
                first_difference((&buffers.data_out, at), (&read, 0), self.piece).map(|offset| at + offset)
            }
            Against::One(block) => {
                let mut blocks = (0..self.piece / block.max(1)).map(|number| number * block);
                blocks.find_map(|offset| {
                    let differs = first_difference((&buffers.data_out, 0), (&read, offset), block)?;
                    Some(at + offset + differs)
                })
            }
        }
    }
}

impl Script for Check {
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step {
        match last {
            Outcome::Begun => Step::Memory,
            Outcome::Memory(Some(memory)) => {
                self.memory = Some(memory);
                match self.writes.clone() {
                    Some(range) => Step::Claim(Claim { store: self.store.clone(), range, exclusive: false }),
                    None => self.read(),
                }
            }
            Outcome::Claimed => Step::Io {
                store: self.store.clone(),
                kind: IoKind::Write { durable: true },
                offset: self.start,
                buffer: buffers.data_out.share(),
            },
            Outcome::Io { result: Err(error), .. } => refuse_at(error, self.residual),
            Outcome::Io { .. } if self.writes.take().is_some() => self.read(),
            Outcome::Io { .. } => {
                if let Some(offset) = self.difference(buffers) {
                    let sense = Sense::MISCOMPARE_DURING_VERIFY.with_information(offset);
                    return Step::Done(Answer::check_condition(sense, self.residual));
                }
                self.left.start += self.piece;
                self.read()
            }
            _ => refuse_at(BackstoreError::Internal, self.residual),
        }
    }
}
