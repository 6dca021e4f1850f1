// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a command may go on: the order in which a unit says no.  SAM-5, status precedence.
//!
//! Above: `execute`, for each command, when it knows which row of the table of commands it has.
//! Below: the gate, the attentions, and the columns of `scsi::opcode::OPCODES`.
//! Never here: a lock, unless an attention is told or a command about reservations meets one; what the command itself
//! refuses comes after this.

use crate::attentions::is_first;
use crate::gate::{Barred, Gate, Word};
use crate::lun_map::Mapping;
use scsi::CDB_BYTES_MAX;
use scsi::Sense;
use scsi::alua::AccessState;
use scsi::mode::UaInterlock;
use scsi::opcode::{Access, AttentionRule, Opcode, rows};

/// Why a command does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// CHECK CONDITION.
    Check(Sense),
    /// RESERVATION CONFLICT.
    Conflict,
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// Its row, if the unit has the command.
    opcode: Option<&'a Opcode>,
    cdb: &'a Cdb,
    /// Whether it conflicts by what it itself is about, which the gate does not know.
    conflicts: &'a dyn Fn() -> bool,
}

type Cdb = [u8; CDB_BYTES_MAX];

/// One check: the word of the gate is not open.
type Check = fn(&Mapping, Word, Asked<'_>) -> Option<Refused>;

/// The checks in the order of their precedence.  What follows them is the command's own CHECK CONDITION.
const PRECEDENCE: [Check; 4] = [resets, conflicts, attentions, access_states];

/// Returns the word with which a command may go on, or why it may not.  `opcode` is its row, if the unit has the command;
/// `conflicts` says whether a command about reservations will find that it conflicts, and is asked where that comes before
/// something else.
#[inline]
pub(crate) fn admit(
    mapping: &Mapping,
    opcode: Option<&Opcode>,
    cdb: &Cdb,
    conflicts: &dyn Fn() -> bool,
) -> Result<Word, Refused> {
    let word = mapping.attentions.gate().load();
    if word.is_open() { Ok(word) } else { check(mapping, word, Asked { opcode, cdb, conflicts }) }
}

#[cold]
fn check(mapping: &Mapping, word: Word, asked: Asked<'_>) -> Result<Word, Refused> {
    PRECEDENCE.iter().find_map(|check| check(mapping, word, asked)).map_or(Ok(word), Err)
}

/// Conditions that come before a conflict: the initiator has lost all that it knew.
fn resets(mapping: &Mapping, word: Word, asked: Asked<'_>) -> Option<Refused> {
    let first = word.has_attention().then(|| mapping.attentions.first()).flatten()?;
    if is_first(&first) { attentions(mapping, word, asked) } else { None }
}

/// A reservation of another nexus, or what a command about reservations finds wrong with them.  A command that the unit does
/// not have conflicts with nothing.
fn conflicts(mapping: &Mapping, word: Word, asked: Asked<'_>) -> Option<Refused> {
    let passes = passes(asked.opcode?.access_of(asked.cdb), asked.opcode?, word.barred());
    if passes && !(asked.conflicts)() {
        return None;
    }
    note_conflict(mapping);
    Some(Refused::Conflict)
}

/// Every other condition that this nexus has to be told.
fn attentions(mapping: &Mapping, word: Word, asked: Asked<'_>) -> Option<Refused> {
    let passes = asked.opcode.is_some_and(|opcode| opcode.attention == AttentionRule::Passed);
    if passes || !word.has_attention() {
        return None;
    }
    mapping.attentions.report(mapping.unit.modes().ua_interlock).map(Refused::Check)
}

/// The state of the target port group.  SPC-4, target port group access states.
fn access_states(_: &Mapping, word: Word, asked: Asked<'_>) -> Option<Refused> {
    let state = AccessState::parse(word.access_state())?;
    let passes = match asked.opcode {
        Some(opcode) => opcode.reach.passes(state),
        // What there is none of is refused as such, wherever anything can be reached.
        None => state != AccessState::Offline,
    };
    if passes { None } else { state.refusal().map(Refused::Check) }
}

/// Whether a reservation or the state of its target port group keeps this nexus from doing to a unit what the command of that
/// operation code does: for what is done there on behalf of a command to another unit.  An attention keeps nobody out.
pub(crate) fn is_kept_out(gate: &Gate, code: u8) -> bool {
    let word = gate.load();
    if word.is_open() {
        return false;
    }
    let (barred, state) = (word.barred(), AccessState::parse(word.access_state()));
    let passes = |opcode: &Opcode| {
        passes(opcode.access, opcode, barred) && state.is_none_or(|state| opcode.reach.passes(state))
    };
    !rows(code).iter().all(passes)
}

/// Whether a command passes what its nexus is barred from.
fn passes(access: Access, opcode: &Opcode, barred: Barred) -> bool {
    match (barred, access) {
        (Barred::Nothing, _)
        | (Barred::Writing, Access::Always | Access::Reads)
        | (Barred::Accessing, Access::Always) => true,
        (Barred::Writing, Access::Writes) | (Barred::Accessing, Access::Reads | Access::Writes) => false,
        (Barred::Legacy, _) => opcode.passes_legacy,
    }
}

/// UA_INTLCK_CTRL = 11b asks to tell of a conflict once more.  SPC-4, Control mode page.
pub(crate) fn note_conflict(mapping: &Mapping) {
    if mapping.unit.modes().ua_interlock == UaInterlock::KeepAndEstablish {
        mapping.attentions.establish(Sense::PREVIOUS_RESERVATION_CONFLICT_STATUS);
    }
}
