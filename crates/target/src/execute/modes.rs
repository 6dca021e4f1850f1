// SPDX-License-Identifier: Apache-2.0 OR MIT
//! MODE SELECT.  SPC-4; and what can be changed of SBC-3's Caching page.
//!
//! Above: `execute`.
//! Below: `scsi::mode` for the pages; `unit_state`, which has what is in force and what is saved.
//! Never here: bytes.
//!
//! What is to be in force is kept first, and then it is in force.  A cache that is switched off is emptied before the answer,
//! and what was begun while it was on has ended by then.

use super::{Decision, ScriptPlan, done, io_failed, overrun, primary, read_list};
use crate::logical_unit::Store;
use crate::lun_map::{Group, Mapping};
use crate::modes::ModeChanges;
use crate::nexus::Nexus;
use crate::scope::Scope;
use crate::script::{Helper, Outcome, Script, Step};
use crate::task::{Answer, Buffers};
use crate::unit_state::To;
use backstore::IoKind;
use memory::IoBuf;
use scsi::{ModeSelect, Sense, mode};
use std::sync::Arc;

/// MODE SELECT (6) and (10).
pub(super) fn select<'a>(
    group: &Group,
    mapping: &Mapping,
    command: &ModeSelect,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    if command.list_bytes == 0 {
        return Ok(done(buffers));
    }
    if command.list_bytes > mode::LIST_BYTES_MAX {
        return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    }
    let Some(list) = read_list(buffers, usize::from(command.list_bytes)) else {
        return Ok(overrun());
    };
    let unit = &mapping.unit;
    let current = unit.modes();
    let wanted = mode::select(command, &list, &primary::mode_state(mapping))?;
    let changes = ModeChanges::between(&unit.own_modes(), &wanted);
    let residual = buffers.bytes().saturating_sub(u64::from(command.list_bytes));
    if wanted == current && !(command.save && unit.state.record().saved_modes != changes) {
        return Ok(Decision::Answer(Answer { residual, ..Answer::good() }));
    }
    let script = Selecting {
        mapping: mapping.clone(),
        nexus: Arc::clone(group.nexus()),
        changes,
        empties_cache: current.write_cache && !wanted.write_cache,
        residual,
        save: command.save,
        at: if command.save { At::Saving } else { At::Keeping },
    };
    let store = unit.store.as_ref().map(Store::name);
    Ok(Decision::Script(ScriptPlan::new(script, store)))
}

struct Selecting {
    mapping: Mapping,
    nexus: Arc<Nexus>,
    changes: ModeChanges,
    save: bool,
    empties_cache: bool,
    residual: u64,
    at: At,
}

/// What comes next.
enum At {
    /// The administrator's doors are to show it.
    Saving,
    Keeping,
    Telling,
    Emptying,
    Done,
}

impl Script for Selecting {
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step {
        match last {
            Outcome::Told(Err(sense)) => {
                return Step::Done(Answer::check_condition(sense, buffers.bytes()));
            }
            Outcome::Io { result: Err(error), .. } => {
                return Step::Done(io_failed(error, buffers.bytes()));
            }
            _ => {}
        }
        let state = &self.mapping.unit.state;
        loop {
            match self.at {
                At::Saving => {
                    self.at = At::Keeping;
                    let (state, changes) = (Arc::clone(state), self.changes);
                    let Some(steer) = state.alua().steer.clone() else {
                        state.show_saved_modes();
                        continue;
                    };
                    let work = move |reply: crate::script::Reply| {
                        reply.tell(steer.save_modes(state.serial(), &changes).map(|()| 0));
                    };
                    return Step::Ask { helper: Helper::Steward, work: Box::new(work) };
                }
                At::Keeping => {
                    self.at = At::Telling;
                    let (state, changes, save) = (Arc::clone(state), self.changes, self.save);
                    let work = move |reply: crate::script::Reply| {
                        let kept = if save {
                            state.keep_saved_modes(&changes)
                        } else {
                            state.change(|record| record.modes = changes)
                        };
                        reply.tell(kept.map(|()| 0).map_err(Sense::from));
                    };
                    return Step::Ask { helper: Helper::Keeper, work: Box::new(work) };
                }
                At::Telling => {
                    self.at = At::Emptying;
                    state.establish(Sense::MODE_PARAMETERS_CHANGED, To::EveryoneBut(self.nexus.name()));
                    if self.empties_cache {
                        let scope = Scope { unit: Some(state.id()), ..Scope::default() };
                        return Step::Quiesce { scope, abort: None };
                    }
                }
                At::Emptying => {
                    self.at = At::Done;
                    if let Some(store) = self.mapping.unit.store.clone().filter(|_| self.empties_cache) {
                        return Step::Io { store, kind: IoKind::Flush, offset: 0, buffer: IoBuf::new() };
                    }
                }
                At::Done => return Step::Done(Answer { residual: self.residual, ..Answer::good() }),
            }
        }
    }
}
