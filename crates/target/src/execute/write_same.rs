// SPDX-License-Identifier: Apache-2.0 OR MIT
//! WRITE SAME (10), (16) and (32).  SBC-3.
//!
//! Above: `execute`.
//! Below: `unmap`, for blocks that need not be there.
//! Never here: bytes of CDBs.

use super::block::ready;
use super::unmap::{GiveUp, at_once, bytes_of};
use super::{Decision, overrun, refuse_at, script};
use crate::logical_unit::{LogicalUnit, Store};
use crate::script::{Claim, Outcome, Script, Step};
use crate::task::{Answer, Buffers};
use backstore::IoKind;
use memory::{IoBuf, SCRATCH_BYTES, Scratch};
use scsi::{Sense, WriteSame};
use std::ops::Range;

/// WRITE SAME: zeroes are given up or filled in, anything else is written out.
///
/// With UNMAP = 1 the blocks are given up where they then read as what was sent (SBC-3, WRITE SAME (10), UNMAP bit), or
/// where what they read as is not said (LBPRZ = 0).
pub(super) fn write_same<'a>(
    unit: &'a LogicalUnit,
    command: &WriteSame,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let store = ready(unit)?;
    unit.geometry.check(command.first, command.blocks)?;
    if command.blocks.0 > unit.media.write_same_blocks_max {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let block = usize::try_from(unit.geometry.block_bytes).unwrap_or(usize::MAX);
    let sent = if command.no_data { 0 } else { block as u64 };
    let Some(residual) = buffers.data_out.bytes().checked_sub(sent) else { return Ok(overrun()) };
    let mut pattern = vec![0; block];
    if !command.no_data {
        buffers.data_out.copy_to(0, &mut pattern);
    }
    let is_zero = pattern.iter().all(|&byte| byte == 0);
    let range = bytes_of(&unit.geometry, command.first, command.blocks);
    let answer = Answer { residual, ..Answer::good() };
    let store_of_script = store.clone();
    let reads_zero = unit.media.unmapped_reads_zero;
    if command.unmap && (is_zero || !reads_zero) {
        let ranges = [range].into();
        return Ok(script(store, GiveUp { store: store_of_script, ranges, claimed: 0..0, answer }));
    }
    let fill =
        if is_zero && store.backstore.abilities().zeroes { Fill::Zeroes } else { Fill::Pattern(pattern) };
    Ok(script(store, Same { store: store_of_script, left: range, fill, memory: None, answer }))
}

enum Fill {
    Zeroes,
    Pattern(Vec<u8>),
}

/// Writes the same block everywhere.
struct Same {
    store: Store,
    left: Range<u64>,
    fill: Fill,
    /// As many copies of the block as it holds.
    memory: Option<Scratch>,
    answer: Answer,
}

impl Same {
    fn claim(&self) -> Step {
        Step::Claim(Claim { store: self.store.clone(), range: self.left.clone(), exclusive: false })
    }

    fn write(&mut self) -> Step {
        if self.left.is_empty() {
            return Step::Done(self.answer);
        }
        let offset = self.left.start;
        let (kind, bytes, buffer) = match &self.memory {
            None => {
                let bytes = at_once(&self.store, &self.left);
                (IoKind::WriteZeroes { bytes, durable: false }, bytes, IoBuf::new())
            }
            Some(memory) => {
                let bytes = (self.left.end - offset).min(u64::from(SCRATCH_BYTES));
                (IoKind::Write { durable: false }, bytes, memory.list(bytes))
            }
        };
        self.left.start += bytes;
        Step::Io { store: self.store.clone(), kind, offset, buffer }
    }
}

impl Script for Same {
    fn next(&mut self, last: Outcome, _: &mut Buffers) -> Step {
        match (last, &self.fill) {
            (Outcome::Begun, Fill::Zeroes) => self.claim(),
            (Outcome::Begun, Fill::Pattern(_)) => Step::Memory,
            (Outcome::Memory(Some(memory)), Fill::Pattern(pattern)) => {
                let all = memory.list(u64::from(SCRATCH_BYTES));
                let mut at = 0;
                while all.copy_from(at, pattern) == pattern.len() && !pattern.is_empty() {
                    at += pattern.len() as u64;
                }
                self.memory = Some(memory);
                self.claim()
            }
            (Outcome::Claimed | Outcome::Io { result: Ok(()), .. }, _) => self.write(),
            (Outcome::Io { result: Err(error), .. }, _) => refuse_at(error, self.answer.residual),
            _ => refuse_at(backstore::BackstoreError::Internal, self.answer.residual),
        }
    }
}
