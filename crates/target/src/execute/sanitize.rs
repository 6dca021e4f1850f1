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
use super::{Decision, done, done_with, good_with, read_list, script};
use crate::logical_unit::{LogicalUnit, Store};
use crate::sanitizing::{SanitizeState, Sanitizing};
use crate::scope::Scope;
use crate::script::{Helper, Outcome, Reply, Script, Step};
use crate::task::{Answer, Buffers};
use backstore::{Backstore, BackstoreError};
use scsi::sanitize::{self, Overwrite};
use scsi::{Command, FormatUnit, Sanitize, SanitizeKind, Sense, format};
use std::sync::Arc;

/// What is written or given up at once, in bytes.
const PIECE_BYTES: usize = 4 << 20;

/// FORMAT UNIT.
pub(super) fn format_unit<'a>(
    unit: &'a LogicalUnit,
    command: &FormatUnit,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    ready(unit)?;
    if command.has_list {
        format::check(&read_list(buffers, command.header_bytes())?, command)?;
        return Ok(done_with(command.header_bytes(), buffers));
    }
    Ok(done(buffers))
}

/// Refuses a command while the medium is being sanitized, or after that failed, but for those that look around.
pub(super) fn admit(unit: &LogicalUnit, command: &Command) -> Result<(), Sense> {
    let Some(store) = &unit.store else { return Ok(()) };
    let sense = match store.sanitizing.state() {
        SanitizeState::None => return Ok(()),
        SanitizeState::Running => Sense::SANITIZE_IN_PROGRESS,
        SanitizeState::Failed | SanitizeState::FailedUnrestricted => Sense::SANITIZE_COMMAND_FAILED,
    };
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
    match unit.store.as_ref()?.sanitizing.state() {
        SanitizeState::None => None,
        SanitizeState::Running => Some(Sense::SANITIZE_IN_PROGRESS),
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
    let failed = store.sanitizing.state();
    let overwrite = match command.kind {
        SanitizeKind::ExitFailureMode => {
            return match failed {
                SanitizeState::Failed => Err(Sense::SANITIZE_COMMAND_FAILED),
                _ => {
                    store.sanitizing.set(SanitizeState::None);
                    Ok(done(buffers))
                }
            };
        }
        SanitizeKind::BlockErase => None,
        SanitizeKind::Overwrite => {
            let list_bytes = u64::from(command.list_bytes);
            if !sanitize::list_bytes(unit.geometry.block_bytes).contains(&list_bytes) {
                return Err(Sense::INVALID_FIELD_IN_CDB);
            }
            let list = read_list(buffers, usize::from(command.list_bytes))?;
            Some(sanitize::parse(&list, unit.geometry.block_bytes)?)
        }
    };
    let answer = good_with(usize::from(command.list_bytes), buffers);
    let work = Work {
        backstore: Arc::clone(&store.backstore),
        state: Arc::clone(&store.sanitizing),
        overwrite,
        block_bytes: unit.geometry.block_bytes,
        at_failure: if command.unrestricted_exit {
            SanitizeState::FailedUnrestricted
        } else {
            SanitizeState::Failed
        },
    };
    let (store_of_script, immediate) = (store.clone(), command.immediate);
    let script_of = Sanitizer { store: store_of_script, before: None, work: Some(work), immediate, answer };
    Ok(script(store, script_of))
}

/// Waits until nothing else is under way, and has the work done.
struct Sanitizer {
    store: Store,
    /// The state to go back to when the work is not begun.
    before: Option<SanitizeState>,
    work: Option<Work>,
    immediate: bool,
    answer: Answer,
}

impl Script for Sanitizer {
    fn next(&mut self, last: Outcome, _: &mut Buffers) -> Step {
        match last {
            Outcome::Begun => {
                self.before = self.store.sanitizing.begin();
                if self.before.is_none() {
                    let sense = Sense::SANITIZE_IN_PROGRESS;
                    return Step::Done(Answer::check_condition(sense, self.answer.residual));
                }
                Step::Quiesce { scope: Scope { medium: Some(self.store.medium), ..Scope::default() }, abort: None }
            }
            Outcome::Told(Err(sense)) => Step::Done(Answer::check_condition(sense, self.answer.residual)),
            Outcome::Told(Ok(_)) => Step::Done(self.answer),
            _ => {
                let Some(work) = self.work.take() else { return Step::Done(self.answer) };
                self.before = None;
                let immediate = self.immediate;
                let errand = move |reply: Reply| {
                    if immediate {
                        reply.tell(Ok(0));
                        let _ = work.run();
                    } else {
                        reply.tell(work.run().map(|()| 0).map_err(|_| Sense::SANITIZE_COMMAND_FAILED));
                    }
                };
                Step::Ask { helper: Helper::Medium(self.store.id), work: Box::new(errand) }
            }
        }
    }
}

impl Drop for Sanitizer {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            self.store.sanitizing.set(before);
        }
    }
}

/// What is done on a thread that may block.
struct Work {
    backstore: Arc<dyn Backstore>,
    state: Arc<Sanitizing>,
    /// With what; `None` for an erase.
    overwrite: Option<Overwrite>,
    block_bytes: u32,
    at_failure: SanitizeState,
}

impl Work {
    fn run(&self) -> Result<(), BackstoreError> {
        let done = match &self.overwrite {
            None => self.erase(),
            Some(overwrite) => self.overwrite(overwrite),
        }
        .and_then(|()| self.backstore.flush());
        self.state.set(if done.is_ok() { SanitizeState::None } else { self.at_failure });
        done
    }

    fn pieces(&self) -> impl Iterator<Item = (u64, u64)> {
        let (bytes, piece) = (self.backstore.geometry().bytes, PIECE_BYTES as u64);
        (0..bytes.div_ceil(piece)).map(move |number| {
            let at = number * piece;
            (at, (bytes - at).min(piece))
        })
    }

    fn erase(&self) -> Result<(), BackstoreError> {
        self.pieces().try_for_each(|(at, bytes)| self.backstore.zero(at, bytes, true))
    }

    fn overwrite(&self, overwrite: &Overwrite) -> Result<(), BackstoreError> {
        let block = usize::try_from(self.block_bytes.max(1)).unwrap_or(512);
        let mut blocks: Vec<u8> = overwrite.pattern.iter().copied().cycle().take(block).collect();
        blocks = blocks.repeat((PIECE_BYTES / block).max(1));
        for _ in 0..overwrite.count {
            for (at, bytes) in self.pieces() {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(blocks.len());
                self.backstore.write_at(at, &blocks[..bytes])?;
            }
            if overwrite.invert {
                blocks.iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
        Ok(())
    }
}
