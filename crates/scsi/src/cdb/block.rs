// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands of SBC that move or look at blocks.  SBC-3.
//!
//! Above: `opcode`, whose table names these parsers.
//! Below: `field`.
//! Never here: whether a range lies on the medium, which [`Geometry`](crate::Geometry) knows.

use crate::cdb::{Cdb, Command, DataPhase};
use crate::{BlockCount, Lba, Sense};

/// Blocks to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The first block.
    pub first: Lba,
    /// How many; 0 moves nothing and is no error.
    pub blocks: BlockCount,
    /// Force unit access: from the medium, not from a volatile cache.
    pub fua: bool,
    /// Disable page out: a hint that the blocks will not be wanted again soon.
    pub dpo: bool,
    /// RDPROTECT, 0..=7.
    pub protect: u8,
}

/// Blocks from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The first block.
    pub first: Lba,
    /// How many; 0 moves nothing and is no error.
    pub blocks: BlockCount,
    /// Force unit access: on the medium before the answer.
    pub fua: bool,
    /// Disable page out: a hint that the blocks will not be wanted again soon.
    pub dpo: bool,
    /// WRPROTECT, 0..=7.
    pub protect: u8,
}

/// Blocks that are read, and perhaps compared with what the guest sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verify {
    /// The first block.
    pub first: Lba,
    /// How many; 0 verifies nothing and is no error.
    pub blocks: BlockCount,
    /// BYTCHK: 0 reads only, 1 compares each block with one from the guest, 3 compares each block with the
    /// same one.  2 is reserved and does not get here.
    pub byte_check: u8,
    /// Disable page out: a hint that the blocks will not be wanted again soon.
    pub dpo: bool,
    /// VRPROTECT, 0..=7.
    pub protect: u8,
}

/// Blocks that must be on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynchronizeCache {
    /// The first block.
    pub first: Lba,
    /// How many; 0 means all from the first one to the end of the medium.
    pub blocks: BlockCount,
    /// The answer may come before the work is done.
    pub immediate: bool,
}

/// Asks for the heads to be moved: REZERO UNIT, SEEK (6) and SEEK (10), obsolete since SBC-2.  Old guests still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seek {
    /// To which block; REZERO UNIT says none and means the first.
    pub to: Lba,
}

impl Verify {
    /// Returns what the guest sends: nothing, all blocks, or one.
    pub(crate) fn data_phase(&self) -> DataPhase {
        match self.byte_check {
            0 => DataPhase::None,
            _ if self.blocks == BlockCount(0) => DataPhase::None,
            3 => DataPhase::Write { blocks: BlockCount(1) },
            _ => DataPhase::Write { blocks: self.blocks },
        }
    }
}

/// Where the fields of a CDB's range lie: they are the same for all commands of one length.
pub(super) type Range = fn(Cdb<'_>) -> (Lba, BlockCount);

fn range_6(cdb: Cdb<'_>) -> (Lba, BlockCount) {
    // A transfer length of 0 is 256 blocks in this form only.
    let blocks = match cdb.byte::<4>() {
        0 => 256,
        blocks => u64::from(blocks),
    };
    (Lba(u64::from(cdb.lba21())), BlockCount(blocks))
}

pub(super) fn range_10(cdb: Cdb<'_>) -> (Lba, BlockCount) {
    (Lba(u64::from(cdb.be32::<2>())), BlockCount(u64::from(cdb.be16::<7>())))
}

pub(super) fn range_12(cdb: Cdb<'_>) -> (Lba, BlockCount) {
    (Lba(u64::from(cdb.be32::<2>())), BlockCount(u64::from(cdb.be32::<6>())))
}

pub(super) fn range_16(cdb: Cdb<'_>) -> (Lba, BlockCount) {
    (Lba(cdb.be64::<2>()), BlockCount(u64::from(cdb.be32::<10>())))
}

pub(crate) fn read_6(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (first, blocks) = range_6(cdb);
    Ok(Command::Read(Read { first, blocks, fua: false, dpo: false, protect: 0 }))
}

pub(crate) fn read_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(read(cdb, range_10))
}

pub(crate) fn read_12(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(read(cdb, range_12))
}

pub(crate) fn read_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(read(cdb, range_16))
}

pub(crate) fn write_6(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (first, blocks) = range_6(cdb);
    Ok(Command::Write(Write { first, blocks, fua: false, dpo: false, protect: 0 }))
}

pub(crate) fn write_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::Write(write(cdb, range_10)))
}

pub(crate) fn write_12(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::Write(write(cdb, range_12)))
}

pub(crate) fn write_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::Write(write(cdb, range_16)))
}

pub(crate) fn verify_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    verify(cdb, range_10).map(Command::Verify)
}

pub(crate) fn verify_12(cdb: Cdb<'_>) -> Result<Command, Sense> {
    verify(cdb, range_12).map(Command::Verify)
}

pub(crate) fn verify_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    verify(cdb, range_16).map(Command::Verify)
}

pub(crate) fn synchronize_cache_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(synchronize_cache(cdb, range_10))
}

pub(crate) fn synchronize_cache_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(synchronize_cache(cdb, range_16))
}

pub(crate) fn rezero_unit(_cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::Seek(Seek { to: Lba(0) }))
}

pub(crate) fn seek_6(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::Seek(Seek { to: Lba(u64::from(cdb.lba21())) }))
}

pub(crate) fn seek_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::Seek(Seek { to: Lba(u64::from(cdb.be32::<2>())) }))
}

#[inline]
fn read(cdb: Cdb<'_>, range: Range) -> Command {
    let (first, blocks) = range(cdb);
    let (fua, dpo, protect) = (cdb.bit::<1, 3>(), cdb.bit::<1, 4>(), cdb.bits::<1, 7, 5>());
    Command::Read(Read { first, blocks, fua, dpo, protect })
}

#[inline]
pub(super) fn write(cdb: Cdb<'_>, range: Range) -> Write {
    let (first, blocks) = range(cdb);
    let (fua, dpo, protect) = (cdb.bit::<1, 3>(), cdb.bit::<1, 4>(), cdb.bits::<1, 7, 5>());
    Write { first, blocks, fua, dpo, protect }
}

pub(super) fn verify(cdb: Cdb<'_>, range: Range) -> Result<Verify, Sense> {
    let (first, blocks) = range(cdb);
    let byte_check = cdb.bits::<1, 2, 1>();
    if byte_check == 0b10 {
        return Err(Sense::INVALID_FIELD_IN_CDB); // Reserved.
    }
    Ok(Verify { first, blocks, byte_check, dpo: cdb.bit::<1, 4>(), protect: cdb.bits::<1, 7, 5>() })
}

fn synchronize_cache(cdb: Cdb<'_>, range: Range) -> Command {
    let (first, blocks) = range(cdb);
    Command::SynchronizeCache(SynchronizeCache { first, blocks, immediate: cdb.bit::<1, 1>() })
}
