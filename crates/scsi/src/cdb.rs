// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A command as the guest meant it.
//!
//! Above: `target`, which gets a [`Command`] and never sees a CDB.
//! Below: `field`; the chapters `primary` (SPC) and `block` (SBC), whose parsers `opcode` names.
//! Never here: whether the unit can do it now.  A parser refuses what no unit of ours would accept; what
//! depends on the unit ([`Capabilities`](crate::Capabilities), its range, its state) comes later.

pub(crate) mod block;
pub(crate) mod primary;

use crate::BlockCount;
use crate::field::Fields;
use block::{Read, SynchronizeCache, Verify, Write};
use primary::{
    Inquiry, ModeSense, ReadCapacity16, ReportLuns, ReportSupportedOperationCodes, RequestSense,
    StartStopUnit,
};

/// The CDB field of a virtio-scsi request; a shorter CDB is followed by bytes without meaning.
pub const CDB_BYTES_MAX: usize = 32;

/// The fields of a CDB.
pub(crate) type Cdb<'a> = Fields<'a, CDB_BYTES_MAX>;

/// Everything that a unit of ours can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// TEST UNIT READY: whether the unit would take a command that reads.  SPC-4 6.47.
    TestUnitReady,
    /// REQUEST SENSE.  SPC-4 6.39.
    RequestSense(RequestSense),
    /// INQUIRY.  SPC-4 6.6.
    Inquiry(Inquiry),
    /// MODE SENSE (6) and (10).  SPC-4 6.13 and 6.14.
    ModeSense(ModeSense),
    /// START STOP UNIT.  SBC-3 5.25.
    StartStopUnit(StartStopUnit),
    /// READ CAPACITY (10).  SBC-3 5.15.
    ReadCapacity10,
    /// READ CAPACITY (16).  SBC-3 5.16.
    ReadCapacity16(ReadCapacity16),
    /// READ (6), (10), (12) and (16).  SBC-3 5.10 to 5.13.
    Read(Read),
    /// WRITE (6), (10), (12) and (16).  SBC-3 5.32 to 5.35.
    Write(Write),
    /// VERIFY (10), (12) and (16).  SBC-3 5.29 to 5.31.
    Verify(Verify),
    /// SYNCHRONIZE CACHE (10) and (16).  SBC-3 5.26 and 5.27.
    SynchronizeCache(SynchronizeCache),
    /// REPORT LUNS.  SPC-4 6.33.
    ReportLuns(ReportLuns),
    /// REPORT SUPPORTED OPERATION CODES.  SPC-4 6.35.
    ReportSupportedOperationCodes(ReportSupportedOperationCodes),
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
    /// Returns what the data buffers of the command are for.
    #[must_use]
    pub fn data_phase(&self) -> DataPhase {
        let answer = |bytes_max: u32| DataPhase::In { bytes_max: u64::from(bytes_max) };
        match self {
            Self::TestUnitReady | Self::StartStopUnit(_) | Self::SynchronizeCache(_) => DataPhase::None,
            Self::RequestSense(command) => answer(u32::from(command.allocation_bytes)),
            Self::Inquiry(command) => answer(u32::from(command.allocation_bytes)),
            Self::ModeSense(command) => answer(u32::from(command.allocation_bytes)),
            Self::ReadCapacity10 => answer(8), // It has no allocation length: SBC-3 5.15.1.
            Self::ReadCapacity16(command) => answer(command.allocation_bytes),
            Self::ReportLuns(command) => answer(command.allocation_bytes),
            Self::ReportSupportedOperationCodes(command) => answer(command.allocation_bytes),
            Self::Read(command) => DataPhase::Read { blocks: command.blocks },
            Self::Write(command) => DataPhase::Write { blocks: command.blocks },
            Self::Verify(command) => command.data_phase(),
        }
    }
}
