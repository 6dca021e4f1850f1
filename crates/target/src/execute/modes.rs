// SPDX-License-Identifier: Apache-2.0 OR MIT
//! MODE SELECT.  SPC-4; and what can be changed of SBC-3's Caching page.
//!
//! Above: `execute`.
//! Below: `scsi::mode` for the pages; `unit_state`, which has what is in force and what is saved.
//! Never here: bytes.
//!
//! What is to be in force is kept first, and then it is in force: the pages that were sent, over what others have selected by
//! then.  A cache that is switched off is emptied before the answer, and what was begun while it was on has ended by then.

use super::{Decision, ScriptPlan, done, io_failed, overrun, primary, read_list};
use crate::logical_unit::Store;
use crate::lun_map::{Group, Mapping};
use crate::modes::Selected;
use crate::nexus::Nexus;
use crate::scope::Scope;
use crate::script::{Helper, Outcome, Reply, Script, Step};
use crate::task::{Answer, Buffers};
use crate::unit_state::{SelectedModes, To, UnitState};
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
    let selection = mode::select(command, &list, &primary::mode_state(mapping))?;
    let selected = Selected::of(&selection, unit.own_modes());
    let residual = buffers.bytes().saturating_sub(u64::from(command.list_bytes));
    let record = unit.state.record();
    let modes = selected.over(&record.modes);
    if modes == record.modes && !(command.save && modes != record.saved_modes) {
        return Ok(Decision::Answer(Answer { residual, ..Answer::good() }));
    }
    let script = Selecting {
        mapping: mapping.clone(),
        nexus: Arc::clone(group.nexus()),
        selected,
        save: command.save,
        made: SelectedModes::Same,
        residual,
        at: At::Keeping,
    };
    let store = unit.store.as_ref().map(Store::name);
    Ok(Decision::Script(ScriptPlan::new(script, store)))
}

struct Selecting {
    mapping: Mapping,
    nexus: Arc<Nexus>,
    selected: Selected,
    save: bool,
    made: SelectedModes,
    residual: u64,
    at: At,
}

/// What comes next.
enum At {
    Keeping,
    Telling,
    Emptying,
    Done,
}

impl Script for Selecting {
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step {
        match last {
            Outcome::Told(Ok(made)) => self.made = made_of(made),
            Outcome::Told(Err(sense)) => {
                return Step::Done(Answer::check_condition(sense, buffers.bytes()));
            }
            Outcome::Io { result: Err(error), .. } => {
                return Step::Done(io_failed(error, buffers.bytes()));
            }
            _ => {}
        }
        let state = &self.mapping.unit.state;
        let empties_cache = self.made == SelectedModes::CacheOff;
        loop {
            match self.at {
                At::Keeping => {
                    self.at = At::Telling;
                    return keep(Arc::clone(state), self.selected, self.save);
                }
                At::Telling => {
                    self.at = At::Emptying;
                    if self.made != SelectedModes::Same {
                        let others = To::EveryoneBut(self.nexus.name());
                        state.establish(Sense::MODE_PARAMETERS_CHANGED, others);
                    }
                    if empties_cache {
                        let scope = Scope { unit: Some(state.id()), ..Scope::default() };
                        return Step::Quiesce { scope, abort: None };
                    }
                }
                At::Emptying => {
                    self.at = At::Done;
                    if let Some(store) = self.mapping.unit.store.clone().filter(|_| empties_cache) {
                        return Step::Io { store, kind: IoKind::Flush, offset: 0, buffer: IoBuf::new() };
                    }
                }
                At::Done => return Step::Done(Answer { residual: self.residual, ..Answer::good() }),
            }
        }
    }
}

/// Has what is selected kept, and what is saved shown at the administrator's doors.
fn keep(state: Arc<UnitState>, selected: Selected, saves: bool) -> Step {
    let work = move |reply: Reply| {
        let made =
            if saves { save(&state, &selected) } else { state.select_modes(&selected).map_err(Sense::from) };
        reply.tell(made.map(|made| made as u64));
    };
    // There is one steward: of two that save, the second begins with what the first has left.
    let helper = if saves { Helper::Steward } else { Helper::Keeper };
    Step::Ask { helper, work: Box::new(work) }
}

/// SPC-4, MODE SELECT (6), SP = 1: all pages are saved as they are in force, and not those alone that were sent.
fn save(state: &UnitState, selected: &Selected) -> Result<SelectedModes, Sense> {
    let saved = selected.over(&state.record().modes);
    let steer = state.alua().steer.clone();
    match &steer {
        Some(steer) => steer.save_modes(state.serial(), &saved)?,
        None => state.show_saved_modes(),
    }
    state.keep_saved_modes(selected, &saved).map_err(|error| {
        // The doors show what is saved, and nothing else.
        if let Some(steer) = steer {
            let _ = steer.save_modes(state.serial(), &state.record().saved_modes);
        }
        error.into()
    })
}

fn made_of(told: u64) -> SelectedModes {
    [SelectedModes::Changed, SelectedModes::CacheOff]
        .into_iter()
        .find(|made| *made as u64 == told)
        .unwrap_or(SelectedModes::Same)
}
