// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A command: decided.
//!
//! Above: `vhost-scsi`.
//! Below: one file for each chapter of commands.
//! Never here: the I/O itself.
//!
//! The order is SAM's: what the address leads to, what the command is, whether this unit may do it now, and
//! then the command.

mod access; // SPC, asymmetric access
mod block; // SBC: blocks to and from a guest
mod compare; // SBC: COMPARE AND WRITE, ORWRITE
mod copy; // SPC: EXTENDED COPY, RECEIVE COPY RESULTS
mod logs; // LOG SENSE, LOG SELECT, and diagnostics
mod modes; // MODE SELECT
pub(crate) mod primary; // SPC
mod reservation; // SPC, reservations
mod sanitize; // SBC: SANITIZE, FORMAT UNIT
mod tray; // SBC: START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL
mod unmap; // SBC: UNMAP, GET LBA STATUS
mod verify; // SBC: VERIFY, WRITE AND VERIFY
mod write_same; // SBC: WRITE SAME

use crate::admission::{Refused, admit};
use crate::logical_unit::{LogicalUnit, Store, StoreName};
use crate::lun_map::{Group, Mapping, Way};
use crate::script::{Script, Step};
use crate::tally::Kind as Counted;
use crate::task::{Answer, Buffers, Ended, TaskAttribute};
use backstore::{BackstoreError, IoKind};
use scsi::alua::AccessState;
use scsi::opcode::{Feature, Repeat};
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
    /// The backstore that it works on, so that whoever takes it away waits; `None` where the unit has none.
    pub store: Option<StoreName>,
    /// The units that it works on, of a command that works on others than the one it was sent to.
    pub elsewhere: Vec<Place>,
    /// Whether what it reads is verified, which has a counter of its own for what the medium fails.
    pub verifies: bool,
}

impl ScriptPlan {
    fn new(script: impl Script + 'static, store: Option<StoreName>) -> Self {
        Self { script: Box::new(script), store, elsewhere: Vec::new(), verifies: false }
    }
}

/// A unit that a command works on on behalf of a nexus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the nexus sees it.
    pub lun: u16,
    /// The number of its state.
    pub unit: u64,
    /// Its backstore.
    pub store: StoreName,
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

/// Decides one command, on the `way` to which its `address` leads.  Answers that are data are put into `buffers.data_in` here;
/// for an I/O the buffers are cut to what it transfers.
pub fn execute<'a>(
    way: Way<'a>,
    address: Address,
    attribute: TaskAttribute,
    cdb: &[u8; CDB_BYTES_MAX],
    buffers: &mut Buffers,
) -> Decision<'a> {
    let (group, mapping) = match way {
        Way::NoTarget => return Decision::NoTarget,
        Way::WellKnown(group) => return primary::of_well_known(group, cdb, buffers),
        Way::Absent(group) => return primary::of_absent(group, address, cdb, buffers),
        Way::Unit(group, mapping) => (group, mapping),
    };
    if attribute == TaskAttribute::Aca {
        mapping.tally.count(Counted::Other, 0);
        return refuse(Sense::INVALID_FIELD_IN_CDB, buffers);
    }
    match decide(group, mapping, cdb, buffers) {
        Ok(decision) => decision,
        Err(refused) => {
            mapping.tally.count(Counted::Other, 0);
            match refused {
                Refused::Check(sense) => refuse(sense, buffers),
                Refused::Conflict => Decision::Answer(Answer::reservation_conflict(buffers.bytes())),
            }
        }
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
        // Neither of these is the medium's fault: a guest with another path takes that one.
        BackstoreError::Unreachable => Sense::LOGICAL_UNIT_COMMUNICATION_FAILURE,
        BackstoreError::TimedOut => Sense::LOGICAL_UNIT_COMMUNICATION_TIME_OUT,
        BackstoreError::Unprotected => Sense::GUARD_CHECK_FAILED,
        BackstoreError::Internal => Sense::INTERNAL_TARGET_FAILURE,
        BackstoreError::Reserved => return Answer::reservation_conflict(buffer_bytes),
        BackstoreError::Busy => return Answer::busy(buffer_bytes),
    };
    Answer::check_condition(sense, buffer_bytes)
}

/// A command that works on one backstore, in several steps.
fn script<'a>(store: &Store, script: impl Script + 'static) -> Decision<'a> {
    Decision::Script(ScriptPlan::new(script, Some(store.name())))
}

/// The end of a command of several steps whose I/O failed.
fn refuse_at(error: BackstoreError, buffer_bytes: u64) -> Step {
    Step::Done(io_failed(error, buffer_bytes))
}

/// The end of a command of several steps that is refused.
fn refuse_step(sense: Sense, buffer_bytes: u64) -> Step {
    Step::Done(Answer::check_condition(sense, buffer_bytes))
}

/// Reads a parameter list of that length, which the parser of its command has bounded; `None` where the buffers hold less, which
/// is an overrun.
fn read_list(buffers: &Buffers, bytes: usize) -> Option<Vec<u8>> {
    let mut list = vec![0; bytes];
    (buffers.data_out.copy_to(0, &mut list) == bytes).then_some(list)
}

fn decide<'a>(
    group: &'a Group,
    mapping: &'a Mapping,
    cdb: &[u8; CDB_BYTES_MAX],
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Refused> {
    let unit = &*mapping.unit;
    let capabilities = primary::capabilities(mapping);
    let opcode = capabilities.find(cdb);
    let conflicts = || {
        let command = opcode.filter(|opcode| opcode.feature == Some(Feature::Reservations));
        let command = command.and_then(|_| capabilities.parse(opcode, cdb).ok());
        command.is_some_and(|command| reservation::conflicts(group, mapping, &command, buffers))
    };
    let word = admit(mapping, opcode, cdb, &conflicts)?;
    let command = capabilities.parse(opcode, cdb)?;
    let refuses_writes = mapping.refuses_writes();
    if refuses_writes && command.changes_medium() {
        return Err(Sense::WRITE_PROTECTED.into());
    }
    sanitize::admit(unit, &command)?;
    let segments = access::segments(mapping, word);
    if let Some(segments) = &segments {
        segments.admit(unit, &command)?;
    }
    let decision = match command {
        Command::Read(read) => block::read(unit, &read, buffers),
        Command::Write(write) => block::write(unit, &write, buffers),
        Command::WriteAtomic(write) => block::write_atomic(unit, &write, buffers),
        Command::Verify(verify) => verify::verify(unit, &verify, buffers),
        Command::WriteAndVerify(verify) => verify::write_and_verify(unit, &verify, buffers),
        Command::PreFetch(fetch) => block::pre_fetch(unit, &fetch, buffers),
        Command::WriteSame(same) => write_same::write_same(unit, &same, buffers),
        Command::Unmap(unmap) => unmap::unmap(unit, &unmap, (refuses_writes, segments.as_ref()), buffers),
        Command::GetLbaStatus(status) => unmap::get_lba_status(unit, &status, buffers),
        Command::CompareAndWrite(write) => compare::compare_and_write(unit, &write, buffers),
        Command::OrWrite(write) => compare::or_write(unit, &write, buffers),
        Command::Sanitize(sanitize) => sanitize::sanitize(unit, &sanitize, buffers),
        Command::FormatUnit(format) => sanitize::format_unit(unit, &format, buffers),
        Command::ExtendedCopy(copy) => copy::extended_copy(group, mapping, &copy, buffers),
        Command::CopyResults(results) => copy::results(group, mapping, &results, buffers),
        Command::Seek(seek) => block::seek(unit, &seek, buffers),
        Command::SynchronizeCache(synchronize) => block::synchronize_cache(unit, &synchronize, buffers),
        Command::PersistentReserveIn(command) => Ok(reservation::read(mapping, &command, buffers)),
        Command::PersistentReserveOut(command) => reservation::order(group, mapping, &command, buffers),
        Command::ModeSelect(command) => modes::select(group, mapping, &command, buffers),
        Command::LogSense(command) => logs::sense(unit, &command, buffers),
        Command::LogSelect(command) => logs::select(group, unit, &command, buffers),
        Command::ReceiveDiagnosticResults(command) => Ok(logs::diagnostics(&command, buffers)),
        Command::SendDiagnostic { self_test: true } => block::ready(unit).map(|_| done(buffers)),
        Command::SendDiagnostic { self_test: false } => Ok(done(buffers)),
        Command::StartStopUnit(command) => tray::start_stop(group, mapping, &command, buffers),
        Command::PreventAllowMediumRemoval(command) => tray::prevent(group, mapping, &command, buffers),
        Command::Reserve => Ok(reservation::reserve(group, mapping)),
        Command::Release => Ok(reservation::release(group, mapping)),
        Command::ReportTargetPortGroups(command) => Ok(access::report(mapping, &command, buffers)),
        Command::ReportReferrals(command) => access::report_referrals(mapping, &command, buffers),
        Command::SetTargetPortGroups(command) => access::set(group, mapping, &command, buffers),
        _ => primary::answer(group, mapping, &command, buffers),
    };
    let mut decision = decision?;
    let begun = matches!(decision, Decision::Io(_) | Decision::Script(_));
    let (kind, bytes) = if begun { counted(unit, &command) } else { (Counted::Other, 0) };
    mapping.tally.count(kind, bytes);
    if let Decision::Script(plan) = &mut decision {
        plan.verifies = matches!(command, Command::Verify(_) | Command::WriteAndVerify(_));
    }
    if word.access_state() == AccessState::NonOptimized.code() && begun && touches_blocks(&command) {
        decision = access::delayed(mapping, decision);
    }
    Ok(decision)
}

/// Whether a command reads, writes, verifies or gives up blocks: it waits where they are not optimized.
fn touches_blocks(command: &Command) -> bool {
    matches!(command.data_phase(), DataPhase::Read { .. } | DataPhase::Write { .. })
        || matches!(
            command,
            Command::Verify(_) | Command::WriteSame(_) | Command::Unmap(_) | Command::ExtendedCopy(_)
        )
}

/// What a command counts as that is begun, and for how many bytes.
fn counted(unit: &LogicalUnit, command: &Command) -> (Counted, u64) {
    // Where a guest sends more or fewer blocks than are meant, those count that are meant.
    let (kind, blocks) = match (command, command.data_phase()) {
        (Command::Verify(verify), _) => (Counted::Verify, verify.blocks),
        (Command::WriteSame(same), _) => (Counted::Write, same.blocks),
        (Command::CompareAndWrite(write), _) => (Counted::Write, write.blocks),
        (_, DataPhase::Read { blocks }) => (Counted::Read, blocks),
        (_, DataPhase::Write { blocks }) => (Counted::Write, blocks),
        _ => return (Counted::Other, 0),
    };
    (kind, blocks.0.saturating_mul(u64::from(unit.geometry.block_bytes)))
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

/// GOOD after a parameter list of `bytes`.
fn done_with<'a>(bytes: usize, buffers: &Buffers) -> Decision<'a> {
    Decision::Answer(good_with(bytes, buffers))
}

fn good_with(bytes: usize, buffers: &Buffers) -> Answer {
    Answer { residual: buffers.bytes().saturating_sub(bytes as u64), ..Answer::good() }
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
