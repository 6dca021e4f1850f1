// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A command as the guest meant it.
//!
//! Above: `target`, which gets a [`Command`] and never sees a CDB.
//! Below: `field`; the chapters `primary`, `copy` (SPC), `block` and `media` (SBC), whose parsers `opcode` names.
//! Never here: whether the unit can do it now.  A parser refuses what no unit of ours would accept; what
//! depends on the unit ([`Capabilities`](crate::Capabilities), its range, its state) comes later.

pub(crate) mod block;
pub(crate) mod copy;
pub(crate) mod log;
pub(crate) mod media;
pub(crate) mod primary;
pub(crate) mod reservation;

use crate::BlockCount;
use crate::alua::{ReportTargetPortGroups, SetTargetPortGroups};
use crate::field::Fields;
use block::{Read, Seek, SynchronizeCache, Verify, Write};
use copy::{CopyOperatingParameters, CopyResults, ExtendedCopy};
use log::{LogSelect, LogSense, ReceiveDiagnosticResults};
use media::{
    FormatUnit, GetLbaStatus, PreFetch, PreventAllowMediumRemoval, ReadDefectData, ReportReferrals, Sanitize,
    Unmap, WriteAtomic, WriteSame,
};
use primary::{
    Inquiry, ModeSelect, ModeSense, ReadCapacity16, ReportIdentifyingInformation, ReportLuns,
    ReportSupportedOperationCodes, ReportSupportedTaskManagementFunctions, RequestSense, StartStopUnit,
};
use reservation::{PersistentReserveIn, PersistentReserveOut};

/// The CDB field of a virtio-scsi request; a shorter CDB is followed by bytes without meaning.
pub const CDB_BYTES_MAX: usize = 32;

/// The fields of a CDB.
pub(crate) type Cdb<'a> = Fields<'a, CDB_BYTES_MAX>;

/// Everything that a unit of ours can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// TEST UNIT READY: whether the unit would take a command that reads.  SPC-4.
    TestUnitReady,
    /// REQUEST SENSE.  SPC-4.
    RequestSense(RequestSense),
    /// INQUIRY.  SPC-4.
    Inquiry(Inquiry),
    /// MODE SENSE (6) and (10).  SPC-4.
    ModeSense(ModeSense),
    /// MODE SELECT (6) and (10).  SPC-4.
    ModeSelect(ModeSelect),
    /// LOG SENSE.  SPC-4.
    LogSense(LogSense),
    /// LOG SELECT.  SPC-4.
    LogSelect(LogSelect),
    /// RECEIVE DIAGNOSTIC RESULTS.  SPC-4.
    ReceiveDiagnosticResults(ReceiveDiagnosticResults),
    /// SEND DIAGNOSTIC.  SPC-4.
    SendDiagnostic {
        /// Whether the unit is to test itself.
        self_test: bool,
    },
    /// START STOP UNIT.  SBC-3.
    StartStopUnit(StartStopUnit),
    /// READ CAPACITY (10).  SBC-3.
    ReadCapacity10,
    /// READ CAPACITY (16).  SBC-3.
    ReadCapacity16(ReadCapacity16),
    /// READ (6), (10), (12) and (16).  SBC-3.
    Read(Read),
    /// WRITE (6), (10), (12) and (16).  SBC-3.
    Write(Write),
    /// VERIFY (10), (12) and (16).  SBC-3.
    Verify(Verify),
    /// REZERO UNIT, SEEK (6) and (10).  SCSI-2.
    Seek(Seek),
    /// SYNCHRONIZE CACHE (10) and (16).  SBC-3.
    SynchronizeCache(SynchronizeCache),
    /// WRITE AND VERIFY (10), (12) and (16).  SBC-3.
    WriteAndVerify(Verify),
    /// PRE-FETCH (10) and (16).  SBC-3.
    PreFetch(PreFetch),
    /// WRITE SAME (10), (16) and (32).  SBC-3.
    WriteSame(WriteSame),
    /// UNMAP.  SBC-3.
    Unmap(Unmap),
    /// COMPARE AND WRITE: blocks that are written if the medium holds what the guest expects.  SBC-3.
    CompareAndWrite(Write),
    /// ORWRITE (16): every bit becomes a one that is a one in the guest's data.  SBC-3.
    OrWrite(Write),
    /// WRITE ATOMIC (16).  SBC-4.
    WriteAtomic(WriteAtomic),
    /// GET LBA STATUS.  SBC-3.
    GetLbaStatus(GetLbaStatus),
    /// REPORT REFERRALS.  SBC-3.
    ReportReferrals(ReportReferrals),
    /// READ DEFECT DATA (10) and (12).  SBC-3.
    ReadDefectData(ReadDefectData),
    /// SANITIZE.  SBC-3.
    Sanitize(Sanitize),
    /// FORMAT UNIT.  SBC-3.
    FormatUnit(FormatUnit),
    /// PREVENT ALLOW MEDIUM REMOVAL.  SBC-3.
    PreventAllowMediumRemoval(PreventAllowMediumRemoval),
    /// EXTENDED COPY (LID1).  SPC-4.
    ExtendedCopy(ExtendedCopy),
    /// RECEIVE COPY OPERATING PARAMETERS.  SPC-4.
    CopyOperatingParameters(CopyOperatingParameters),
    /// RECEIVE COPY STATUS (LID1) and RECEIVE COPY FAILURE DETAILS (LID1).  SPC-4.
    CopyResults(CopyResults),
    /// REPORT LUNS.  SPC-4.
    ReportLuns(ReportLuns),
    /// REPORT IDENTIFYING INFORMATION.  SPC-4.
    ReportIdentifyingInformation(ReportIdentifyingInformation),
    /// REPORT SUPPORTED OPERATION CODES.  SPC-4.
    ReportSupportedOperationCodes(ReportSupportedOperationCodes),
    /// REPORT TARGET PORT GROUPS.  SPC-4.
    ReportTargetPortGroups(ReportTargetPortGroups),
    /// SET TARGET PORT GROUPS.  SPC-4.
    SetTargetPortGroups(SetTargetPortGroups),
    /// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.  SPC-4.
    ReportSupportedTaskManagementFunctions(ReportSupportedTaskManagementFunctions),
    /// PERSISTENT RESERVE IN.  SPC-4.
    PersistentReserveIn(PersistentReserveIn),
    /// PERSISTENT RESERVE OUT.  SPC-4.
    PersistentReserveOut(PersistentReserveOut),
    /// RESERVE (6) and (10).  SPC-2.
    Reserve,
    /// RELEASE (6) and (10).  SPC-2.
    Release,
}

/// What the data buffers of a command are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataPhase {
    /// No data either way.
    None,
    /// An answer, of at most so many bytes: an allocation length is a maximum, not a promise.
    In {
        /// The allocation length.
        bytes_max: u64,
    },
    /// Exactly so many blocks to the guest.
    Read {
        /// The transfer length.
        blocks: BlockCount,
    },
    /// Exactly so many blocks from the guest.
    Write {
        /// The transfer length.
        blocks: BlockCount,
    },
    /// A parameter list from the guest.
    Out {
        /// The parameter list length.
        bytes: u64,
    },
}

impl Command {
    /// Returns whether the command may change what is on the medium of the unit that it is sent to, as far as its CDB says:
    /// a transfer of no blocks changes none, and what UNMAP changes its list says.
    #[must_use]
    pub fn changes_medium(&self) -> bool {
        match self {
            Self::Write(write) | Self::CompareAndWrite(write) | Self::OrWrite(write) => write.blocks.0 > 0,
            Self::WriteAtomic(atomic) => atomic.write.blocks.0 > 0,
            Self::WriteAndVerify(verify) => verify.blocks.0 > 0,
            Self::WriteSame(_) | Self::FormatUnit(_) => true,
            Self::Sanitize(command) => command.kind != media::SanitizeKind::ExitFailureMode,
            _ => false,
        }
    }

    /// Returns what the data buffers of the command are for.
    #[must_use]
    pub fn data_phase(&self) -> DataPhase {
        let answer = |bytes_max: u32| DataPhase::In { bytes_max: u64::from(bytes_max) };
        match self {
            Self::TestUnitReady
            | Self::SendDiagnostic { .. }
            | Self::StartStopUnit(_)
            | Self::Seek(_)
            | Self::SynchronizeCache(_)
            | Self::PreFetch(_)
            | Self::PreventAllowMediumRemoval(_)
            | Self::Reserve
            | Self::Release => DataPhase::None,
            Self::ReportSupportedTaskManagementFunctions(command) => answer(command.allocation_bytes),
            Self::PersistentReserveIn(command) => answer(u32::from(command.allocation_bytes)),
            Self::PersistentReserveOut(command) => DataPhase::Out { bytes: u64::from(command.list_bytes) },
            Self::RequestSense(command) => answer(u32::from(command.allocation_bytes)),
            Self::Inquiry(command) => answer(u32::from(command.allocation_bytes)),
            Self::LogSense(command) => answer(u32::from(command.allocation_bytes)),
            Self::ReceiveDiagnosticResults(command) => answer(u32::from(command.allocation_bytes)),
            Self::LogSelect(command) => DataPhase::Out { bytes: u64::from(command.list_bytes) },
            Self::ModeSelect(command) => DataPhase::Out { bytes: u64::from(command.list_bytes) },
            Self::ModeSense(command) => answer(u32::from(command.allocation_bytes)),
            Self::ReadCapacity10 => answer(8), // It has no allocation length.
            Self::ReadCapacity16(command) => answer(command.allocation_bytes),
            Self::ReportLuns(command) => answer(command.allocation_bytes),
            Self::ReportIdentifyingInformation(command) => answer(command.allocation_bytes),
            Self::ReportSupportedOperationCodes(command) => answer(command.allocation_bytes),
            Self::ReportTargetPortGroups(command) => answer(command.allocation_bytes),
            Self::SetTargetPortGroups(command) => DataPhase::Out { bytes: u64::from(command.list_bytes) },
            Self::Read(command) => DataPhase::Read { blocks: command.blocks },
            Self::Write(command) => DataPhase::Write { blocks: command.blocks },
            Self::Verify(command) => command.data_phase(),
            Self::WriteAndVerify(command) => DataPhase::Write { blocks: command.blocks },
            Self::WriteSame(command) if command.no_data => DataPhase::None,
            Self::WriteSame(_) => DataPhase::Write { blocks: BlockCount(1) },
            Self::Unmap(command) => DataPhase::Out { bytes: u64::from(command.list_bytes) },
            // What the guest expects, and as much again to put in its place.
            Self::CompareAndWrite(command) => {
                DataPhase::Write { blocks: BlockCount(command.blocks.0.saturating_mul(2)) }
            }
            Self::OrWrite(command) => DataPhase::Write { blocks: command.blocks },
            Self::WriteAtomic(command) => DataPhase::Write { blocks: command.write.blocks },
            Self::GetLbaStatus(command) => answer(command.allocation_bytes),
            Self::ReportReferrals(command) => answer(command.allocation_bytes),
            Self::ReadDefectData(command) => answer(command.allocation_bytes),
            Self::Sanitize(command) => DataPhase::Out { bytes: u64::from(command.list_bytes) },
            Self::FormatUnit(command) => command.data_phase(),
            Self::ExtendedCopy(command) => DataPhase::Out { bytes: u64::from(command.list_bytes) },
            Self::CopyOperatingParameters(command) => answer(command.allocation_bytes),
            Self::CopyResults(command) => answer(command.allocation_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        IdentifyingInformation, Lba, PageControl, ReportingOption, SelectReport, Sense, StartStop, decode,
    };

    /// Decodes a CDB that is followed by bytes without meaning.
    fn decoded(bytes: &[u8]) -> Result<Command, Sense> {
        let mut cdb = [0xff; CDB_BYTES_MAX];
        cdb[..bytes.len()].copy_from_slice(bytes);
        decode(&cdb)
    }

    fn check(bytes: &[u8], command: Command) {
        assert_eq!(decoded(bytes), Ok(command), "{bytes:02x?}");
    }

    fn check_refused(bytes: &[u8], sense: [u8; 3]) {
        let refusal = decoded(bytes).map_err(|sense| [sense.key as u8, sense.asc, sense.ascq]);
        assert_eq!(refusal, Err(sense), "{bytes:02x?}");
    }

    #[test]
    fn reads_of_each_length_say_where_and_how_much() {
        let plain = |first, blocks| {
            Command::Read(Read {
                first: Lba(first),
                blocks: BlockCount(blocks),
                fua: false,
                dpo: false,
                protect: 0,
            })
        };
        check(&[0x08, /* LBA */ 0x01, 0x02, 0x03, /* blocks */ 9, 0], plain(0x01_0203, 9));
        check(&[0x28, 0, 1, 2, 3, 4, 0, /* blocks */ 5, 6, 0], plain(0x0102_0304, 0x0506));
        check(&[0xa8, 0, 1, 2, 3, 4, /* blocks */ 5, 6, 7, 8, 0, 0], plain(0x0102_0304, 0x0506_0708));
        check(
            &[0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, /* blocks */ 9, 10, 11, 12, 0, 0],
            plain(0x0102_0304_0506_0708, 0x090a_0b0c),
        );
    }

    #[test]
    fn writes_of_each_length_say_where_and_how_much() {
        let with_all_bits = |first, blocks| {
            Command::Write(Write {
                first: Lba(first),
                blocks: BlockCount(blocks),
                fua: true,
                dpo: true,
                protect: 5,
            })
        };
        check(
            &[0x0a, 0x1f, 0xff, 0xff, 1, 0],
            Command::Write(Write {
                first: Lba(0x1f_ffff),
                blocks: BlockCount(1),
                fua: false,
                dpo: false,
                protect: 0,
            }),
        );
        check(&[0x2a, 0xb8, 1, 2, 3, 4, 0, 5, 6, 0], with_all_bits(0x0102_0304, 0x0506));
        check(&[0xaa, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0], with_all_bits(0x0102_0304, 0x0506_0708));
        check(
            &[0x8a, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0],
            with_all_bits(0x0102_0304_0506_0708, 0x090a_0b0c),
        );
    }

    #[test]
    fn dpo_and_fua_are_bits_4_and_3() {
        let bits = |byte_1| match decoded(&[0x28, byte_1, 0, 0, 0, 0, 0, 0, 1, 0]) {
            Ok(Command::Read(read)) => (read.dpo, read.fua),
            other => panic!("{other:?}"),
        };
        assert_eq!(bits(0x10), (true, false));
        assert_eq!(bits(0x08), (false, true));
    }

    #[test]
    fn a_length_of_0_is_256_blocks_in_six_bytes_and_none_in_ten() {
        let blocks = |bytes: &[u8]| match decoded(bytes).map(|command| command.data_phase()) {
            Ok(DataPhase::Read { blocks } | DataPhase::Write { blocks }) => blocks.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(blocks(&[0x08, 0, 0, 0, 0, 0]), 256);
        assert_eq!(blocks(&[0x0a, 0, 0, 0, 0, 0]), 256);
        assert_eq!(blocks(&[0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 0);
        assert_eq!(blocks(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 0);
    }

    #[test]
    fn verify_takes_nothing_all_blocks_or_one_as_bytchk_says() {
        let phase =
            |byte_1, blocks| decoded(&[0x2f, byte_1, 0, 0, 0, 0, 0, 0, blocks, 0]).map(|c| c.data_phase());
        assert_eq!(phase(0x00, 8), Ok(DataPhase::None));
        assert_eq!(phase(0x02, 8), Ok(DataPhase::Write { blocks: BlockCount(8) }));
        assert_eq!(phase(0x06, 8), Ok(DataPhase::Write { blocks: BlockCount(1) }));
        assert_eq!(phase(0x06, 0), Ok(DataPhase::None));
        check_refused(&[0x2f, 0x04, 0, 0, 0, 0, 0, 0, 8, 0], [0x05, 0x24, 0x00]);
    }

    #[test]
    fn verifies_of_each_length_say_where_and_how_much() {
        let verify = |first, blocks| {
            Command::Verify(Verify {
                first: Lba(first),
                blocks: BlockCount(blocks),
                byte_check: 1,
                dpo: true,
                protect: 3,
            })
        };
        check(&[0x2f, 0x72, 1, 2, 3, 4, 0, 5, 6, 0], verify(0x0102_0304, 0x0506));
        check(&[0xaf, 0x72, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0], verify(0x0102_0304, 0x0506_0708));
        check(
            &[0x8f, 0x72, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0],
            verify(0x0102_0304_0506_0708, 0x090a_0b0c),
        );
    }

    #[test]
    fn synchronize_cache_may_be_immediate() {
        let sync = |first, blocks, immediate| {
            Command::SynchronizeCache(SynchronizeCache {
                first: Lba(first),
                blocks: BlockCount(blocks),
                immediate,
            })
        };
        check(&[0x35, 0x02, 1, 2, 3, 4, 0, 5, 6, 0], sync(0x0102_0304, 0x0506, true));
        check(
            &[0x91, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0],
            sync(0x0102_0304_0506_0708, 0x090a_0b0c, false),
        );
    }

    #[test]
    fn an_allocation_length_is_a_maximum() {
        let phase = |bytes: &[u8]| decoded(bytes).map(|command| command.data_phase());
        let answer = |bytes_max| Ok(DataPhase::In { bytes_max });
        assert_eq!(phase(&[0x03, 0, 0, 0, 0xfc, 0]), answer(0xfc));
        assert_eq!(phase(&[0x12, 0, 0, 0x12, 0x34, 0]), answer(0x1234));
        assert_eq!(phase(&[0x1a, 0, 0x3f, 0, 0xfc, 0]), answer(0xfc));
        assert_eq!(phase(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 0x12, 0x34, 0]), answer(0x1234));
        assert_eq!(phase(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]), answer(8));
        assert_eq!(phase(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0]), answer(0x0102_0304));
        assert_eq!(phase(&[0xa0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0]), answer(0x0102_0304));
        assert_eq!(phase(&[0xa3, 0x0c, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0]), answer(0x0102_0304));
        assert_eq!(phase(&[0x00, 0, 0, 0, 0, 0]), Ok(DataPhase::None));
        assert_eq!(phase(&[0x1b, 0, 0, 0, 1, 0]), Ok(DataPhase::None));
        assert_eq!(phase(&[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Ok(DataPhase::None));
    }

    #[test]
    fn inquiry_without_evpd_has_no_page() {
        check(
            &[0x12, 1, 0x83, 0, 0xff, 0],
            Command::Inquiry(Inquiry { page: Some(0x83), allocation_bytes: 255 }),
        );
        check(&[0x12, 1, 0, 0, 0xff, 0], Command::Inquiry(Inquiry { page: Some(0), allocation_bytes: 255 }));
        check(&[0x12, 0, 0, 0, 0x24, 0], Command::Inquiry(Inquiry { page: None, allocation_bytes: 36 }));
        check_refused(&[0x12, 0, 0x83, 0, 0xff, 0], [0x05, 0x24, 0x00]);
    }

    #[test]
    fn mode_sense_takes_its_cdb_apart() {
        check(
            &[0x1a, 0x08, 0xc8, 0xff, 0x40, 0],
            Command::ModeSense(ModeSense {
                long_header: false,
                disable_block_descriptors: true,
                long_lba_accepted: false,
                control: PageControl::Saved,
                page: 0x08,
                subpage: 0xff,
                allocation_bytes: 0x40,
            }),
        );
        check(
            &[0x5a, 0x10, 0x7f, 0, 0, 0, 0, 1, 0, 0],
            Command::ModeSense(ModeSense {
                long_header: true,
                disable_block_descriptors: false,
                long_lba_accepted: true,
                control: PageControl::Changeable,
                page: 0x3f,
                subpage: 0,
                allocation_bytes: 0x100,
            }),
        );
    }

    #[test]
    fn start_stop_unit_starts_stops_loads_and_ejects() {
        let asks = |immediate, no_flush, action| {
            Command::StartStopUnit(StartStopUnit { immediate, no_flush, action })
        };
        check(&[0x1b, 0x01, 0, 0, /* START */ 0x01, 0], asks(true, false, StartStop::Start));
        check(&[0x1b, 0x00, 0, 0, /* NO_FLUSH, START */ 0x05, 0], asks(false, true, StartStop::Start));
        check(&[0x1b, 0x00, 0, 0, 0x00, 0], asks(false, false, StartStop::Stop));
        check(&[0x1b, 0x00, 0, 0, /* LOEJ */ 0x02, 0], asks(false, false, StartStop::Eject));
        check(&[0x1b, 0x00, 0, 0, /* LOEJ, START */ 0x03, 0], asks(false, false, StartStop::Load));
        // What else is said beside a power condition by its name has no meaning.
        for byte_4 in [/* ACTIVE */ 0x10, 0x11, 0x12, 0x13] {
            check(&[0x1b, 0x00, 0, 0, byte_4, 0], asks(false, false, StartStop::Start));
        }
    }

    #[test]
    fn start_stop_unit_refuses_power_conditions_that_are_not_there() {
        for byte_4 in [0x20, 0x30, 0x40, 0x70, 0xa0, 0xb0, 0xf1] {
            check_refused(&[0x1b, 0, 0, 0, byte_4, 0], [0x05, 0x24, 0x00]);
        }
        check_refused(&[0x1b, 0, 0, /* POWER CONDITION MODIFIER */ 0x01, 0x01, 0], [0x05, 0x24, 0x00]);
        check_refused(&[0x1b, 0, 0, 0x01, /* ACTIVE */ 0x10, 0], [0x05, 0x24, 0x00]);
    }

    #[test]
    fn read_capacity_10_refuses_an_address_without_pmi() {
        check(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], Command::ReadCapacity10);
        check(&[0x25, 0, 0, 0, 0, 1, 0, 0, 1, 0], Command::ReadCapacity10);
        check_refused(&[0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0], [0x05, 0x24, 0x00]);
    }

    #[test]
    fn report_luns_knows_three_selections() {
        let select = |byte| match decoded(&[0xa0, 0, byte, 0, 0, 0, 0, 0, 0, 16, 0, 0]) {
            Ok(Command::ReportLuns(command)) => Ok(command.select),
            Ok(other) => panic!("{other:?}"),
            Err(sense) => Err(sense),
        };
        assert_eq!(select(0), Ok(SelectReport::Numbered));
        assert_eq!(select(1), Ok(SelectReport::WellKnown));
        assert_eq!(select(2), Ok(SelectReport::All));
        check_refused(&[0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 16, 0, 0], [0x05, 0x24, 0x00]);
        check_refused(&[0xa0, 0, 0x12, 0, 0, 0, 0, 0, 0, 16, 0, 0], [0x05, 0x24, 0x00]);
    }

    #[test]
    fn referrals_are_asked_for_from_a_block_on_or_for_one_alone() {
        let ask = |one| {
            let first = Lba(0x0102_0304_0506_0708);
            Command::ReportReferrals(ReportReferrals { first, one, allocation_bytes: 0x090a_0b0c })
        };
        check(&[0x9e, 0x13, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0xfe, 0], ask(false));
        check(&[0x9e, 0x13, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x01, 0], ask(true));
        assert_eq!(ask(true).data_phase(), DataPhase::In { bytes_max: 0x090a_0b0c });
    }

    #[test]
    fn seeks_say_where_and_a_rezero_means_the_first_block() {
        let seek = |to| Command::Seek(Seek { to: Lba(to) });
        check(&[0x01, 0xff, 0xff, 0xff, 0xff, 0], seek(0));
        check(&[0x0b, 0xff, 2, 3, 0xff, 0], seek(0x1f_0203));
        check(&[0x2b, 0xff, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0], seek(0x0102_0304));
        assert_eq!(seek(1).data_phase(), DataPhase::None);
    }

    #[test]
    fn identifying_information_is_a_text_or_the_list_of_types() {
        let ask = |byte_10| decoded(&[0xa3, 0x05, 0, 0, 0, 0, 1, 2, 3, 4, byte_10, 0]);
        for (byte_10, kind) in
            [(0x04, IdentifyingInformation::Text), (0xfe, IdentifyingInformation::Supported)]
        {
            let command = ReportIdentifyingInformation { kind, allocation_bytes: 0x0102_0304 };
            assert_eq!(ask(byte_10), Ok(Command::ReportIdentifyingInformation(command)));
            assert_eq!(ask(byte_10 + 1), ask(byte_10), "bit 0 is reserved");
        }
        for other in [0x00, 0x02, 0x06, 0x80, 0xfc] {
            assert_eq!(ask(other), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(10, 7)), "{other:02x}");
        }
    }

    #[test]
    fn target_port_groups_are_told_in_two_forms_and_set_by_a_list() {
        let report = |extended| {
            Command::ReportTargetPortGroups(ReportTargetPortGroups {
                extended,
                allocation_bytes: 0x0102_0304,
            })
        };
        check(&[0xa3, 0x0a, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0], report(false));
        check(&[0xa3, 0x2a, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0], report(true));
        check_refused(&[0xa3, 0x4a, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], [0x05, 0x24, 0x00]);
        let set = Command::SetTargetPortGroups(SetTargetPortGroups { list_bytes: 12 });
        check(&[0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0], set);
        assert_eq!(set.data_phase(), DataPhase::Out { bytes: 12 });
        // A longer list could not name each group once.
        check_refused(&[0xa4, 0x0a, 0, 0, 0, 0, 0, 4, 0, 5, 0, 0], [0x05, 0x24, 0x00]);
    }

    #[test]
    fn supported_operation_codes_are_asked_for_in_four_ways() {
        let option = |byte_2| match decoded(&[0xa3, 0x0c, byte_2, 0x9e, 0x01, 0x10, 0, 0, 0, 16, 0, 0]) {
            Ok(Command::ReportSupportedOperationCodes(command)) => (command.option, command.timeouts),
            other => panic!("{other:?}"),
        };
        let (opcode, service_action) = (0x9e, 0x0110);
        assert_eq!(option(0), (ReportingOption::All, false));
        assert_eq!(option(0x81), (ReportingOption::Plain { opcode }, true));
        assert_eq!(option(2), (ReportingOption::ServiceAction { opcode, service_action }, false));
        assert_eq!(option(3), (ReportingOption::Either { opcode, service_action }, false));
        for reserved in 4..8 {
            check_refused(&[0xa3, 0x0c, reserved, 0, 0, 0, 0, 0, 0, 16, 0, 0], [0x05, 0x24, 0x00]);
        }
    }
}
