// SPDX-License-Identifier: Apache-2.0 OR MIT
//! START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL.  SBC-3.
//!
//! Above: `execute`.
//! Below: `tray`, which decides; `unit_state`, which keeps and shows.
//! Never here: what a stopped unit refuses.
//!
//! A unit that is stopped, or whose medium goes out, first writes what is in its cache, unless it is told not to.  It is
//! answered when what was under way at the unit has ended: IMMED allows an early answer and does not ask for one.

use super::block::ready;
use super::{Decision, ScriptPlan, done, io_failed};
use crate::logical_unit::Store;
use crate::lun_map::{Group, Mapping};
use crate::nexus::Nexus;
use crate::scope::Scope;
use crate::script::{Helper, Outcome, Reply, Script, Step};
use crate::task::{Answer, Buffers};
use crate::tray::{Readiness, Tray};
use backstore::IoKind;
use memory::IoBuf;
use scsi::{PreventAllowMediumRemoval, Sense, StartStop, StartStopUnit};
use std::sync::Arc;

/// START STOP UNIT.
pub(super) fn start_stop<'a>(
    group: &Group,
    mapping: &Mapping,
    command: &StartStopUnit,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let unit = &*mapping.unit;
    if unit.store.is_none() {
        ready(unit)?;
    }
    let action = command.action;
    if matches!(action, StartStop::Load | StartStop::Eject) && !unit.flags.removable {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let goes_down = matches!(action, StartStop::Stop | StartStop::Eject);
    let empties = goes_down && !command.no_flush && unit.state.readiness() == Readiness::Ready;
    begin(group, mapping, Deed::Move(action), empties, goes_down, buffers)
}

/// PREVENT ALLOW MEDIUM REMOVAL.
pub(super) fn prevent<'a>(
    group: &Group,
    mapping: &Mapping,
    command: &PreventAllowMediumRemoval,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    begin(group, mapping, Deed::Keep(command.prevent), false, false, buffers)
}

/// What becomes of the tray.
#[derive(Clone, Copy)]
enum Deed {
    Move(StartStop),
    Keep(bool),
}

/// Refuses what cannot be and answers what is so already; what changes something is kept first.
fn begin<'a>(
    group: &Group,
    mapping: &Mapping,
    deed: Deed,
    empties_cache: bool,
    goes_down: bool,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let (state, nexus) = (&mapping.unit.state, group.nexus());
    let before = &state.record().tray;
    let mut after = Tray::clone(before);
    match deed {
        Deed::Move(action) => drop(after.obey(action)?),
        Deed::Keep(keeps) => after.keep(nexus.name(), keeps),
    }
    if after == *before {
        return Ok(done(buffers));
    }
    let script = Moving {
        mapping: mapping.clone(),
        nexus: Arc::clone(nexus),
        deed,
        empties_cache,
        goes_down,
        residual: buffers.bytes(),
    };
    let store = mapping.unit.store.as_ref().map(Store::name);
    Ok(Decision::Script(ScriptPlan { script: Box::new(script), store, second_store: None }))
}

/// Empties the cache, has the change kept, and waits for what is under way.
struct Moving {
    mapping: Mapping,
    nexus: Arc<Nexus>,
    deed: Deed,
    empties_cache: bool,
    goes_down: bool,
    residual: u64,
}

impl Script for Moving {
    fn next(&mut self, last: Outcome, _: &mut Buffers) -> Step {
        match last {
            Outcome::Begun if self.empties_cache => match self.mapping.unit.store.clone() {
                Some(store) => Step::Io { store, kind: IoKind::Flush, offset: 0, buffer: IoBuf::default() },
                None => self.ask(),
            },
            Outcome::Io { result: Err(error), .. } => Step::Done(io_failed(error, self.residual)),
            Outcome::Begun | Outcome::Io { .. } => self.ask(),
            Outcome::Told(Err(sense)) => Step::Done(Answer::check_condition(sense, self.residual)),
            Outcome::Told(Ok(_)) if self.goes_down => {
                let unit = Some(self.mapping.unit.state.id());
                Step::Quiesce { scope: Scope { unit, ..Scope::default() }, abort: None }
            }
            _ => Step::Done(Answer { residual: self.residual, ..Answer::good() }),
        }
    }
}

impl Moving {
    fn ask(&self) -> Step {
        let (state, nexus, deed) = (Arc::clone(&self.mapping.unit.state), Arc::clone(&self.nexus), self.deed);
        let work = move |reply: Reply| {
            let kept = match deed {
                Deed::Move(action) => state.move_medium(action, Some(nexus.name())),
                Deed::Keep(keeps) => state.change(|record| record.tray.keep(nexus.name(), keeps)).map(Ok),
            };
            let told = kept.map_err(Sense::from).and_then(|told| told);
            reply.tell(told.map(|()| 0));
        };
        Step::Ask { helper: Helper::Keeper, work: Box::new(work) }
    }
}
