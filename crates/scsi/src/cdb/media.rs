// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands of SBC that do something else with blocks than move them to or from a guest.  SBC-3.
//!
//! Above: `opcode`, whose table names these parsers.
//! Below: `field`, and the ranges of `block`.
//! Never here: parameter lists, which the files named after them read.

use crate::cdb::block::{Write, range_10, range_12, range_16, verify, write};
use crate::cdb::{Cdb, Command, DataPhase};
use crate::{BlockCount, Lba, Sense};

/// Blocks that will be read soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreFetch {
    /// The first block.
    pub first: Lba,
    /// How many; 0 means all from the first one to the end of the medium.
    pub blocks: BlockCount,
    /// The answer may come before the work is done.
    pub immediate: bool,
}

/// One block of the guest's in many places, or blocks that are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteSame {
    /// The first block.
    pub first: Lba,
    /// How many; never 0.
    pub blocks: BlockCount,
    /// The blocks may be unmapped if what is then read is what was sent.
    pub unmap: bool,
    /// NDOB: nothing is sent, which stands for a block of zeroes.
    pub no_data: bool,
    /// WRPROTECT, 0..=7.
    pub protect: u8,
}

/// Blocks that are given up, as a parameter list says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmap {
    /// The length of the parameter list; 0 gives up nothing and is no error.
    pub list_bytes: u16,
}

/// Blocks from the guest, of which after a failure all or none are on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteAtomic {
    /// What is written where.
    pub write: Write,
    /// How many blocks are all or none, where not all of them have to be; 0 says that all have.
    pub boundary: u16,
}

/// Which blocks are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetLbaStatus {
    /// The first block that is asked about.
    pub first: Lba,
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// Asks which blocks are reached how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportReferrals {
    /// The block with whose segment the answer begins.
    pub first: Lba,
    /// ONE_SEG: and with which it ends.
    pub one: bool,
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// Asks for the lists of defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadDefectData {
    /// Whether this is READ DEFECT DATA (12), which has the longer header.
    pub long_header: bool,
    /// REQ_PLIST: the defects of the factory.
    pub primary: bool,
    /// REQ_GLIST: those found since.
    pub grown: bool,
    /// DEFECT LIST FORMAT, 0..=7.
    pub format: u8,
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// What a medium is freed of its contents by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanitizeKind {
    /// A pattern of the guest's.
    Overwrite,
    /// Unmapping.
    BlockErase,
    /// Nothing: an earlier one that failed is forgotten.
    ExitFailureMode,
}

/// Removes everything that is on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sanitize {
    /// By what.
    pub kind: SanitizeKind,
    /// The answer may come before the work is done.
    pub immediate: bool,
    /// AUSE: a failure may be left behind by [`SanitizeKind::ExitFailureMode`].
    pub unrestricted_exit: bool,
    /// The length of the parameter list.
    pub list_bytes: u16,
}

/// Formats the medium, in a form that leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatUnit {
    /// FMTDATA: there is a parameter list.
    pub has_list: bool,
    /// LONGLIST: its header has eight bytes, not four.
    pub long_header: bool,
}

/// Keeps a medium from being taken out, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreventAllowMediumRemoval {
    /// Whether it is kept.
    pub prevent: bool,
}

pub(crate) fn pre_fetch_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (first, blocks) = range_10(cdb);
    Ok(Command::PreFetch(PreFetch { first, blocks, immediate: cdb.bit::<1, 1>() }))
}

pub(crate) fn pre_fetch_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (first, blocks) = range_16(cdb);
    Ok(Command::PreFetch(PreFetch { first, blocks, immediate: cdb.bit::<1, 1>() }))
}

pub(crate) fn write_and_verify_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    verify(cdb, range_10).map(Command::WriteAndVerify)
}

pub(crate) fn write_and_verify_12(cdb: Cdb<'_>) -> Result<Command, Sense> {
    verify(cdb, range_12).map(Command::WriteAndVerify)
}

pub(crate) fn write_and_verify_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    verify(cdb, range_16).map(Command::WriteAndVerify)
}

pub(crate) fn write_same_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    // NDOB is not in this form.
    write_same(range_10(cdb), cdb.bits::<1, 4, 1>(), false, cdb.bits::<1, 7, 5>())
}

pub(crate) fn write_same_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    write_same(range_16(cdb), cdb.bits::<1, 4, 1>(), cdb.bit::<1, 0>(), cdb.bits::<1, 7, 5>())
}

pub(crate) fn write_same_32(cdb: Cdb<'_>) -> Result<Command, Sense> {
    // ADDITIONAL CDB LENGTH: the CDB has 32 bytes and no other length.
    if cdb.byte::<7>() != 0x18 {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let range = (Lba(cdb.be64::<12>()), BlockCount(u64::from(cdb.be32::<28>())));
    write_same(range, cdb.bits::<10, 4, 1>(), cdb.bit::<10, 0>(), cdb.bits::<10, 7, 5>())
}

/// Of the flags, ANCHOR (the highest) asks for what no medium of ours does, and VPD page B2h says so (ANC_SUP = 0);
/// PBDATA and LBDATA (the lowest two) are obsolete, and mean that another block is to be written than the one that is
/// sent.  A count of 0 would be the whole rest of the medium, which
/// WSNZ = 1 in VPD page B0h rules out.
fn write_same(range: (Lba, BlockCount), flags: u8, no_data: bool, protect: u8) -> Result<Command, Sense> {
    const UNMAP: u8 = 0b0100;
    let (first, blocks) = range;
    if blocks.0 == 0 || (flags != 0 && flags != UNMAP) {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    Ok(Command::WriteSame(WriteSame { first, blocks, unmap: flags == UNMAP, no_data, protect }))
}

pub(crate) fn unmap(cdb: Cdb<'_>) -> Result<Command, Sense> {
    // ANCHOR: see `write_same`.
    if cdb.bit::<1, 0>() {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    Ok(Command::Unmap(Unmap { list_bytes: cdb.be16::<7>() }))
}

pub(crate) fn compare_and_write(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let range = |cdb: Cdb<'_>| (Lba(cdb.be64::<2>()), BlockCount(u64::from(cdb.byte::<13>())));
    Ok(Command::CompareAndWrite(write(cdb, range)))
}

pub(crate) fn or_write_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::OrWrite(write(cdb, range_16)))
}

pub(crate) fn write_atomic_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let range = |cdb: Cdb<'_>| (Lba(cdb.be64::<2>()), BlockCount(u64::from(cdb.be16::<12>())));
    Ok(Command::WriteAtomic(WriteAtomic { write: write(cdb, range), boundary: cdb.be16::<10>() }))
}

pub(crate) fn get_lba_status(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (first, allocation_bytes) = (Lba(cdb.be64::<2>()), cdb.be32::<10>());
    Ok(Command::GetLbaStatus(GetLbaStatus { first, allocation_bytes }))
}

pub(crate) fn report_referrals(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (first, allocation_bytes) = (Lba(cdb.be64::<2>()), cdb.be32::<10>());
    Ok(Command::ReportReferrals(ReportReferrals { first, one: cdb.bit::<14, 0>(), allocation_bytes }))
}

pub(crate) fn read_defect_data_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::ReadDefectData(ReadDefectData {
        long_header: false,
        primary: cdb.bit::<2, 4>(),
        grown: cdb.bit::<2, 3>(),
        format: cdb.bits::<2, 2, 0>(),
        allocation_bytes: u32::from(cdb.be16::<7>()),
    }))
}

pub(crate) fn read_defect_data_12(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::ReadDefectData(ReadDefectData {
        long_header: true,
        primary: cdb.bit::<1, 4>(),
        grown: cdb.bit::<1, 3>(),
        format: cdb.bits::<1, 2, 0>(),
        allocation_bytes: cdb.be32::<6>(),
    }))
}

pub(crate) fn sanitize_overwrite(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(sanitize(cdb, SanitizeKind::Overwrite))
}

pub(crate) fn sanitize_block_erase(cdb: Cdb<'_>) -> Result<Command, Sense> {
    refuse_list(cdb)?;
    Ok(sanitize(cdb, SanitizeKind::BlockErase))
}

pub(crate) fn sanitize_exit_failure_mode(cdb: Cdb<'_>) -> Result<Command, Sense> {
    refuse_list(cdb)?;
    let kind = SanitizeKind::ExitFailureMode;
    Ok(Command::Sanitize(Sanitize { kind, immediate: false, unrestricted_exit: false, list_bytes: 0 }))
}

fn refuse_list(cdb: Cdb<'_>) -> Result<(), Sense> {
    if cdb.be16::<7>() == 0 { Ok(()) } else { Err(Sense::INVALID_FIELD_IN_CDB) }
}

fn sanitize(cdb: Cdb<'_>, kind: SanitizeKind) -> Command {
    Command::Sanitize(Sanitize {
        kind,
        immediate: cdb.bit::<1, 7>(),
        unrestricted_exit: cdb.bit::<1, 5>(),
        list_bytes: cdb.be16::<7>(),
    })
}

/// Accepts what leaves the medium usable as it is: formatting may do as much.  Refuses protection information
/// (FMTPINFO) and a complete list of defects (CMPLST).
pub(crate) fn format_unit(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (protection, complete) = (cdb.bits::<1, 7, 6>(), cdb.bit::<1, 3>());
    let (has_list, long_header) = (cdb.bit::<1, 4>(), cdb.bit::<1, 5>());
    let defect_format = cdb.bits::<1, 2, 0>();
    if protection != 0 || complete || (!has_list && (long_header || defect_format != 0)) {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    Ok(Command::FormatUnit(FormatUnit { has_list, long_header }))
}

pub(crate) fn prevent_allow_medium_removal(cdb: Cdb<'_>) -> Result<Command, Sense> {
    // Bit 1 is obsolete: it spoke of a medium changer.
    match cdb.bits::<4, 1, 0>() {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Sense::INVALID_FIELD_IN_CDB),
    }
    .map(|prevent| Command::PreventAllowMediumRemoval(PreventAllowMediumRemoval { prevent }))
}

impl FormatUnit {
    /// Returns the length of the header of the parameter list.
    #[must_use]
    pub const fn header_bytes(&self) -> usize {
        if self.long_header { 8 } else { 4 }
    }

    /// Returns what the guest sends.  A list has no length in the CDB; its header is all that we look at.
    pub(crate) fn data_phase(&self) -> DataPhase {
        if !self.has_list {
            return DataPhase::None;
        }
        DataPhase::Out { bytes: self.header_bytes() as u64 }
    }
}

#[cfg(test)]
mod tests;
