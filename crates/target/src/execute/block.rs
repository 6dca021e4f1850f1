// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands of SBC that touch blocks.
//!
//! Above: `execute`.
//! Below: the unit's geometry.
//! Never here: bytes of CDBs.

use super::{Decision, IoPlan, done, overrun};
use crate::logical_unit::{LogicalUnit, Store};
use crate::task::{Answer, Buffers};
use backstore::IoKind;
use memory::IoBuf;
use scsi::{BlockCount, Lba, PreFetch, Read, Seek, Sense, SynchronizeCache, Write, WriteAtomic};

/// What one command may transfer, in bytes.  Guests are told less (MAXIMUM TRANSFER LENGTH of VPD B0h), but
/// firmware that does not ask is served too; this bounds what one command may keep a reactor busy with.
pub(super) const TRANSFER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// READ (6), (10), (12) and (16).  SBC-3.
pub(super) fn read<'a>(
    unit: &'a LogicalUnit,
    read: &Read,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let Some((store, offset, bytes)) = transfer(unit, read.first, read.blocks, read.protect)? else {
        return Ok(done(buffers));
    };
    let Some(residual) = cut(&mut buffers.data_in, bytes) else { return Ok(overrun()) };
    let answer = Answer { data_in_bytes: bytes, residual, ..Answer::good() };
    Ok(Decision::Io(IoPlan { store, kind: IoKind::Read, offset, answer }))
}

/// WRITE (6), (10), (12) and (16).  SBC-3.
pub(super) fn write<'a>(
    unit: &'a LogicalUnit,
    write: &Write,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let Some((store, offset, bytes)) = transfer(unit, write.first, write.blocks, write.protect)? else {
        return Ok(done(buffers));
    };
    let Some(residual) = cut(&mut buffers.data_out, bytes) else { return Ok(overrun()) };
    let answer = Answer { residual, ..Answer::good() };
    Ok(Decision::Io(IoPlan { store, kind: IoKind::Write { durable: write.fua }, offset, answer }))
}

/// WRITE ATOMIC (16).  SBC-4.
///
/// There are no boundaries: MAXIMUM ATOMIC BOUNDARY SIZE is 0, so all blocks are written, or none is.
pub(super) fn write_atomic<'a>(
    unit: &'a LogicalUnit,
    command: &WriteAtomic,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let (write, atomic) = (&command.write, unit.media.atomic.ok_or(Sense::INVALID_OPCODE)?);
    let Some((store, offset, bytes)) = transfer(unit, write.first, write.blocks, write.protect)? else {
        return Ok(done(buffers));
    };
    if command.boundary != 0 || !atomic.takes(write.first.0, write.blocks.0) {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let Some(residual) = cut(&mut buffers.data_out, bytes) else { return Ok(overrun()) };
    let answer = Answer { residual, ..Answer::good() };
    Ok(Decision::Io(IoPlan { store, kind: IoKind::WriteWhole { durable: write.fua }, offset, answer }))
}

/// PRE-FETCH (10) and (16).  SBC-3.
///
/// The range is checked.  What a host keeps in its cache is its own affair, so that nothing is fetched, and GOOD says
/// what it means: not all of it may be in a cache.
pub(super) fn pre_fetch<'a>(
    unit: &'a LogicalUnit,
    command: &PreFetch,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    ready(unit)?;
    unit.geometry.check(command.first, command.blocks)?;
    Ok(done(buffers))
}

/// REZERO UNIT, SEEK (6) and (10).  SCSI-2.
///
/// There are no heads to move.  The block must be there.
pub(super) fn seek<'a>(
    unit: &'a LogicalUnit,
    seek: &Seek,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    ready(unit)?;
    unit.geometry.check(seek.to, BlockCount(1))?;
    Ok(done(buffers))
}

/// SYNCHRONIZE CACHE (10) and (16).  SBC-3.
///
/// The whole unit is flushed, whatever the range.  IMMED is allowed to be answered late, so that GOOD is
/// always true.
pub(super) fn synchronize_cache<'a>(
    unit: &'a LogicalUnit,
    command: &SynchronizeCache,
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let store = ready(unit)?;
    unit.geometry.check(command.first, command.blocks)?;
    let answer = Answer { residual: buffers.bytes(), ..Answer::good() };
    Ok(Decision::Io(IoPlan { store, kind: IoKind::Flush, offset: 0, answer }))
}

/// The unit's backstore, or NOT READY: it is not there, or stopped, or its medium is out.
pub(super) fn ready(unit: &LogicalUnit) -> Result<&Store, Sense> {
    if let Some(refusal) = unit.state.readiness().refusal() {
        return Err(refusal);
    }
    let missing = if unit.is_opening { Sense::BECOMING_READY } else { Sense::LOGICAL_UNIT_NOT_READY };
    unit.store.as_ref().ok_or(missing)
}

/// Where a transfer lies in the backstore: offset and length in bytes.  `None` where it is empty, which is
/// no error (SBC-3, READ (10), TRANSFER LENGTH).
fn transfer(
    unit: &LogicalUnit,
    first: Lba,
    blocks: BlockCount,
    protect: u8,
) -> Result<Option<(&Store, u64, u64)>, Sense> {
    let store = ready(unit)?;
    if protect != 0 {
        // The unit holds no protection information (SBC-3 table 69).
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    unit.geometry.check(first, blocks)?;
    if blocks.0 == 0 {
        return Ok(None);
    }
    // The range lies on the medium, whose length in bytes has 64 bits, so neither product overflows.
    let block_bytes = u64::from(unit.geometry.block_bytes);
    let bytes = blocks.0.saturating_mul(block_bytes);
    if bytes > TRANSFER_BYTES_MAX {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    Ok(Some((store, first.0.saturating_mul(block_bytes), bytes)))
}

/// Cuts a buffer to `bytes`.  Returns what is left over, or `None` when it holds less.
pub(super) fn cut(buffer: &mut IoBuf, bytes: u64) -> Option<u64> {
    let residual = buffer.bytes().checked_sub(bytes)?;
    buffer.truncate(bytes);
    Some(residual)
}
