// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A command: decided.
//!
//! Above: `vhost-scsi`.
//! Below: one file for each chapter of commands.
//! Never here: the I/O itself.
//!
//! The order is SAM's: what the address leads to, what the command is, whether this unit may do it now, and
//! then the command.

mod block; // SBC
mod primary; // SPC

use crate::admission::{Refused, admit};
use crate::logical_unit::Store;
use crate::lun_map::{Group, LunMap, Mapping};
use crate::script::Script;
use crate::task::{Answer, Buffers, Ended, TaskAttribute};
use backstore::{BackstoreError, IoKind};
use scsi::opcode::Repeat;
use scsi::{Address, CDB_BYTES_MAX, Command, DataPhase, Sense, Status};

/// What is to be done about a command.
#[derive(Debug)]
pub enum Decision<'a> {
    /// Nothing more: this is the answer.
    Answer(Answer),
    /// There is no such target: the transport's business.
    NoTarget,
    /// This I/O, and then the answer that goes with its success, or [`io_failed`].
    Io(IoPlan<'a>),
    /// Several steps.
    Script(ScriptPlan),
}

/// A command of several steps, that is to be begun.
#[derive(Debug)]
pub struct ScriptPlan {
    /// Its steps.
    pub script: Box<dyn Script>,
    /// The number of the backstore that it works on, so that whoever takes it away waits; `None` where the unit has none.
    pub store: Option<u64>,
    /// That of the other backstore, of a command that works on two.
    pub second_store: Option<u64>,
}

/// One I/O on a backstore.
#[derive(Debug)]
pub struct IoPlan<'a> {
    /// Which backstore.
    pub store: &'a Store,
    /// What to do.  A read fills `data_in`, a write takes `data_out`; both have been cut to their length.
    pub kind: IoKind,
    /// Where, in bytes.
    pub offset: u64,
    /// The answer if it succeeds.
    pub answer: Answer,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.id)
    }
}

/// Decides one command.  Answers that are data are put into `buffers.data_in` here; for an I/O the buffers
/// are cut to what it transfers.
pub fn execute<'a>(
    map: &'a LunMap,
    address: Address,
    attribute: TaskAttribute,
    cdb: &[u8; CDB_BYTES_MAX],
    buffers: &mut Buffers,
) -> Decision<'a> {
    let (group, mapping) = match address {
        Address::Invalid => return Decision::NoTarget,
        Address::ReportLunsWellKnown { target: None } => return primary::of_well_known(None, cdb, buffers),
        Address::ReportLunsWellKnown { target: Some(target) } => match map.group(target) {
            Some(group) => return primary::of_well_known(Some(group), cdb, buffers),
            None => return Decision::NoTarget,
        },
        Address::Unit { target, lun } => match map.group(target) {
            Some(group) => (group, group.unit(lun)),
            None => return Decision::NoTarget,
        },
    };
    let Some(mapping) = mapping else {
        return primary::of_absent(group, address, cdb, buffers);
    };
    if attribute == TaskAttribute::Aca {
        return refuse(Sense::INVALID_FIELD_IN_CDB, buffers);
    }
    match decide(group, mapping, cdb, buffers) {
        Ok(decision) => decision,
        Err(Refused::Check(sense)) => refuse(sense, buffers),
        Err(Refused::Conflict) => Decision::Answer(Answer::reservation_conflict(buffers.bytes())),
    }
}

/// Whether a command that a process took and died with may be executed again.
pub fn may_repeat(cdb: &[u8; CDB_BYTES_MAX]) -> bool {
    match scsi::opcode::repeat_of(cdb) {
        Repeat::Harmless => true,
        Repeat::Never => false,
    }
}

/// The answer to a command whose I/O failed and whose buffers held `buffer_bytes`.
pub fn io_failed(error: BackstoreError, buffer_bytes: u64) -> Answer {
    let sense = match error {
        BackstoreError::ReadFailed => Sense::UNRECOVERED_READ_ERROR,
        BackstoreError::WriteFailed => Sense::WRITE_ERROR,
        BackstoreError::NoSpace => Sense::SPACE_ALLOCATION_FAILED,
        BackstoreError::ReadOnly => Sense::WRITE_PROTECTED,
        BackstoreError::Gone => Sense::LOGICAL_UNIT_NOT_READY,
        BackstoreError::Internal => Sense::INTERNAL_TARGET_FAILURE,
    };
    Answer::check_condition(sense, buffer_bytes)
}

fn decide<'a>(
    group: &'a Group,
    mapping: &'a Mapping,
    cdb: &[u8; CDB_BYTES_MAX],
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Refused> {
    let unit = &*mapping.unit;
    let capabilities = primary::capabilities(unit);
    let opcode = capabilities.find(cdb);
    admit(mapping, opcode)?;
    let command = capabilities.parse(opcode, cdb)?;
    if let DataPhase::Write { .. } = command.data_phase()
        && matches!(command, Command::Write(_))
        && (mapping.write_protect || unit.flags.read_only)
    {
        return Err(Sense::WRITE_PROTECTED.into());
    }
    let decision = match command {
        Command::Read(read) => block::read(unit, &read, buffers),
        Command::Write(write) => block::write(unit, &write, buffers),
        Command::Verify(verify) => block::verify(unit, &verify, buffers),
        Command::SynchronizeCache(synchronize) => block::synchronize_cache(unit, &synchronize, buffers),
        _ => primary::answer(group, mapping, &command, buffers),
    };
    Ok(decision?)
}

impl From<Sense> for Refused {
    fn from(sense: Sense) -> Self {
        Self::Check(sense)
    }
}

fn refuse<'a>(sense: Sense, buffers: &Buffers) -> Decision<'a> {
    Decision::Answer(Answer::check_condition(sense, buffers.bytes()))
}

/// GOOD without data: whatever buffers came along are left alone.
fn done<'a>(buffers: &Buffers) -> Decision<'a> {
    Decision::Answer(Answer { residual: buffers.bytes(), ..Answer::good() })
}

/// Gives `data` as the answer, cut to the allocation length and to the buffers.  The allocation length is a
/// maximum (SPC-4, ALLOCATION LENGTH), so an answer that is longer is cut and is GOOD.
fn give<'a>(data: &[u8], allocation_bytes: u64, buffers: &Buffers) -> Decision<'a> {
    let allowed = usize::try_from(allocation_bytes).unwrap_or(usize::MAX).min(data.len());
    let given = buffers.data_in.copy_from(0, &data[..allowed]) as u64;
    let residual = buffers.bytes().saturating_sub(given);
    Decision::Answer(Answer { data_in_bytes: given, residual, ..Answer::good() })
}

fn overrun<'a>() -> Decision<'a> {
    Decision::Answer(Answer { ended: Ended::Overrun, data_in_bytes: 0, residual: 0 })
}

/// Whether `status` is anything but GOOD; for the fabric's counters.
impl Answer {
    /// Whether the command ended with GOOD.
    pub fn is_good(&self) -> bool {
        matches!(self.ended, Ended::Status(Status::Good, _))
    }
}
