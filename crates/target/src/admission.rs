// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a command may go on: the order in which a unit says no.  SAM-5, status precedence.
//!
//! Above: `execute`, for each command, when it knows which row of the table of commands it has.
//! Below: the gate, the attentions, and the columns of `scsi::opcode::OPCODES`.
//! Never here: a lock, unless an attention is told; what the command itself refuses comes after this.

use crate::attentions::is_first;
use crate::gate::{Barred, Word};
use crate::lun_map::Mapping;
use scsi::Sense;
use scsi::mode::UaInterlock;
use scsi::opcode::{Access, AttentionRule, Opcode};

/// Why a command does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// CHECK CONDITION.
    Check(Sense),
    /// RESERVATION CONFLICT.
    Conflict,
}

/// One check: the word of the gate is not open.
type Check = fn(&Mapping, Word, Option<&Opcode>) -> Option<Refused>;

/// The checks in the order of their precedence.  What follows them is the command's own CHECK CONDITION.
const PRECEDENCE: [Check; 4] = [resets, conflicts, attentions, access_states];

/// Returns why a command may not go on, if it may not.  `opcode` is its row, if the unit has the command.
#[inline]
pub(crate) fn admit(mapping: &Mapping, opcode: Option<&Opcode>) -> Result<(), Refused> {
    let word = mapping.attentions.gate().load();
    if word.is_open() { Ok(()) } else { check(mapping, word, opcode) }
}

#[cold]
fn check(mapping: &Mapping, word: Word, opcode: Option<&Opcode>) -> Result<(), Refused> {
    PRECEDENCE.iter().find_map(|check| check(mapping, word, opcode)).map_or(Ok(()), Err)
}

/// Conditions that come before a conflict: the initiator has lost all that it knew.
fn resets(mapping: &Mapping, word: Word, opcode: Option<&Opcode>) -> Option<Refused> {
    let first = word.has_attention().then(|| mapping.attentions.first()).flatten()?;
    if is_first(&first) { attentions(mapping, word, opcode) } else { None }
}

/// A reservation of another nexus.  A command that the unit does not have conflicts with nothing.
fn conflicts(mapping: &Mapping, word: Word, opcode: Option<&Opcode>) -> Option<Refused> {
    if passes(opcode?, word.barred()) {
        return None;
    }
    note_conflict(mapping);
    Some(Refused::Conflict)
}

/// Every other condition that this nexus has to be told.
fn attentions(mapping: &Mapping, word: Word, opcode: Option<&Opcode>) -> Option<Refused> {
    let passes = opcode.is_some_and(|opcode| opcode.attention == AttentionRule::Passed);
    if passes || !word.has_attention() {
        return None;
    }
    mapping.attentions.report(mapping.unit.flags.ua_interlock).map(Refused::Check)
}

/// The state of the target port group.  Every one lets everything pass as yet.
fn access_states(_: &Mapping, _: Word, _: Option<&Opcode>) -> Option<Refused> {
    None
}

/// Whether a command passes what its nexus is barred from.
fn passes(opcode: &Opcode, barred: Barred) -> bool {
    match (barred, opcode.access) {
        (Barred::Nothing, _)
        | (Barred::Writing, Access::Always | Access::Reads)
        | (Barred::Accessing, Access::Always) => true,
        (Barred::Writing, Access::Writes) | (Barred::Accessing, Access::Reads | Access::Writes) => false,
        (Barred::Legacy, _) => opcode.passes_legacy,
    }
}

/// UA_INTLCK_CTRL = 11b asks to tell of a conflict once more.  SPC-4, Control mode page.
pub(crate) fn note_conflict(mapping: &Mapping) {
    if mapping.unit.flags.ua_interlock == UaInterlock::KeepAndEstablish {
        mapping.attentions.establish(Sense::PREVIOUS_RESERVATION_CONFLICT_STATUS);
    }
}
