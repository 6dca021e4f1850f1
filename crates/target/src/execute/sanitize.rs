// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removing everything: SANITIZE; and FORMAT UNIT, which removes nothing.  SBC-3.
//!
//! Above: `execute`.
//! Below: the unit's backstore, by a thread that may block.
//! Never here: bytes of parameter lists.
//!
//! While it goes on, no other command touches the medium, whoever sends it: all that began before has ended first.  It
//! goes on when nobody waits for it any more, as SBC-3 wants it.

use super::block::ready;
use super::{Decision, done, done_with, good_with, overrun, read_list, script};
use crate::logical_unit::{LogicalUnit, StoreName};
use crate::sanitizing::{self, SanitizeState, SanitizeWork, Sanitized};
use crate::scope::Scope;
use crate::script::{Helper, Outcome, Reply, Script, Step};
use crate::task::{Answer, Buffers};
use crate::unit_state::UnitState;
use backstore::Backstore;
use scsi::{Command, FormatUnit, Sanitize, SanitizeKind, Sense, format, sanitize};
use std::sync::Arc;

/// FORMAT UNIT.
pub(super) fn format_unit<'a>(
    unit: &'a LogicalUnit,
    command: &FormatUnit,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    ready(unit)?;
    if command.has_list {
        let Some(list) = read_list(buffers, command.header_bytes()) else { return Ok(overrun()) };
        format::check(&list, command)?;
        return Ok(done_with(command.header_bytes(), buffers));
    }
    Ok(done(buffers))
}

/// Refuses a command while the medium is being sanitized, or after that failed, but for those that look around.
pub(super) fn admit(unit: &LogicalUnit, command: &Command) -> Result<(), Sense> {
    let Some(sense) = pending(unit) else { return Ok(()) };
    match command {
        Command::Inquiry(_)
        | Command::RequestSense(_)
        | Command::ReportLuns(_)
        | Command::ReportSupportedOperationCodes(_) => Ok(()),
        // What ends the failure.
        Command::Sanitize(_) if sense == Sense::SANITIZE_COMMAND_FAILED => Ok(()),
        _ => Err(sense),
    }
}

/// What REQUEST SENSE says of it.
pub(super) fn pending(unit: &LogicalUnit) -> Option<Sense> {
    unit.store.as_ref()?;
    let sanitizing = unit.state.sanitizing();
    match sanitizing.state() {
        SanitizeState::None => None,
        SanitizeState::Running => Some(Sense::SANITIZE_IN_PROGRESS.with_progress(sanitizing.progress())),
        SanitizeState::Failed | SanitizeState::FailedUnrestricted => Some(Sense::SANITIZE_COMMAND_FAILED),
    }
}

/// SANITIZE.
pub(super) fn sanitize<'a>(
    unit: &'a LogicalUnit,
    command: &Sanitize,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let store = ready(unit)?;
    let state = &unit.state;
    let overwrite = match command.kind {
        SanitizeKind::ExitFailureMode => {
            return match state.sanitizing().state() {
                SanitizeState::Failed => Err(Sense::SANITIZE_COMMAND_FAILED),
                SanitizeState::FailedUnrestricted => {
                    let leaving = Leaving { unit: Arc::clone(state), answer: good_with(0, buffers) };
                    Ok(script(store, leaving))
                }
                SanitizeState::None | SanitizeState::Running => Ok(done(buffers)),
            };
        }
        SanitizeKind::BlockErase => None,
        SanitizeKind::Overwrite => {
            let list_bytes = u64::from(command.list_bytes);
            if !sanitize::list_bytes(unit.geometry.block_bytes).contains(&list_bytes) {
                return Err(Sense::INVALID_FIELD_IN_CDB);
            }
            let Some(list) = read_list(buffers, usize::from(command.list_bytes)) else {
                return Ok(overrun());
            };
            Some(sanitize::parse(&list, unit.geometry.block_bytes)?)
        }
    };
    let task = sanitizing::Sanitize {
        overwrite,
        block_bytes: unit.geometry.block_bytes,
        unrestricted_exit: command.unrestricted_exit,
        failed: false,
        done_bytes: 0,
    };
    let sanitizer = Sanitizer {
        unit: Arc::clone(state),
        store: store.name(),
        begin: Some((Arc::clone(&store.backstore), task)),
        work: None,
        immediate: command.immediate,
        answer: good_with(usize::from(command.list_bytes), buffers),
    };
    Ok(script(store, sanitizer))
}

/// Leaves a failure behind.
struct Leaving {
    unit: Arc<UnitState>,
    answer: Answer,
}

impl Script for Leaving {
    fn next(&mut self, last: Outcome, _: &mut Buffers) -> Step {
        match last {
            Outcome::Begun => {
                let unit = Arc::clone(&self.unit);
                let work = move |reply: Reply| {
                    reply.tell(unit.leave_failed_sanitize().map(|()| 0).map_err(Sense::from));
                };
                Step::Ask { helper: Helper::Keeper, work: Box::new(work) }
            }
            Outcome::Told(Err(sense)) => Step::Done(Answer::check_condition(sense, self.answer.residual)),
            _ => Step::Done(self.answer),
        }
    }
}

/// Waits until nothing else is under way, and has the work done.
struct Sanitizer {
    unit: Arc<UnitState>,
    store: StoreName,
    begin: Option<(Arc<dyn Backstore>, sanitizing::Sanitize)>,
    /// Not begun yet: dropped, it leaves the unit as it was.
    work: Option<SanitizeWork>,
    immediate: bool,
    answer: Answer,
}

impl Script for Sanitizer {
    fn next(&mut self, last: Outcome, _: &mut Buffers) -> Step {
        match last {
            Outcome::Begun => {
                let begin = self.begin.take();
                self.work = begin.and_then(|(medium, task)| SanitizeWork::begin(&self.unit, medium, task));
                if self.work.is_none() {
                    let sense = Sense::SANITIZE_IN_PROGRESS.with_progress(self.unit.sanitizing().progress());
                    return Step::Done(Answer::check_condition(sense, self.answer.residual));
                }
                let scope = Scope { medium: Some(self.store.medium), ..Scope::default() };
                Step::Quiesce { scope, abort: None }
            }
            Outcome::Told(Err(sense)) => Step::Done(Answer::check_condition(sense, self.answer.residual)),
            Outcome::Told(Ok(_)) => Step::Done(self.answer),
            _ => {
                let Some(work) = self.work.take() else { return Step::Done(self.answer) };
                let immediate = self.immediate;
                let errand = move |reply: Reply| carry_out(work, immediate, reply);
                Step::Ask { helper: Helper::Medium(self.store.id), work: Box::new(errand) }
            }
        }
    }
}

/// Keeps what is to be done, and does it, before the answer or after it.
fn carry_out(mut work: SanitizeWork, immediate: bool, reply: Reply) {
    if let Err(not_kept) = work.keep() {
        drop(work);
        reply.tell(Err(not_kept.into()));
    } else if immediate {
        reply.tell(Ok(0));
        let _told_by_the_unit = work.run();
    } else {
        reply.tell(match work.run() {
            Sanitized::Well => Ok(0),
            Sanitized::Badly | Sanitized::Gone => Err(Sense::SANITIZE_COMMAND_FAILED),
        });
    }
}
