// SPDX-License-Identifier: Apache-2.0 OR MIT
//! START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL.  SBC-3.
//!
//! Above: `execute`.
//! Below: `tray`, which decides; `unit_state`, which keeps and shows.
//! Never here: what a stopped unit refuses.
//!
//! Where a unit is stopped, or its medium goes out, the answer waits until what was under way has ended, and what is in the
//! cache is written, unless that is not wanted: IMMED allows an early answer and does not ask for one.

use super::block::ready;
use super::{Decision, ScriptPlan, done, io_failed};
use crate::logical_unit::Store;
use crate::lun_map::{Group, Mapping};
use crate::nexus::Nexus;
use crate::scope::Scope;
use crate::script::{Helper, Outcome, Reply, Script, Step};
use crate::task::{Answer, Buffers};
use crate::tray::{By, Tray};
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
    let down =
        matches!(action, StartStop::Stop | StartStop::Eject).then_some(Down { flushes: !command.no_flush });
    begin(group, mapping, Deed::Move(action), down, buffers)
}

/// PREVENT ALLOW MEDIUM REMOVAL.
pub(super) fn prevent<'a>(
    group: &Group,
    mapping: &Mapping,
    command: &PreventAllowMediumRemoval,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    begin(group, mapping, Deed::Keep(command.prevent), None, buffers)
}

/// What becomes of the tray.
#[derive(Clone, Copy)]
enum Deed {
    Move(StartStop),
    Keep(bool),
}

/// A unit that goes down: it ends what is under way first.
#[derive(Clone, Copy)]
struct Down {
    /// Whether its cache is written then.
    flushes: bool,
}

/// Refuses what cannot be and answers what is so already; what changes something is kept first.
fn begin<'a>(
    group: &Group,
    mapping: &Mapping,
    deed: Deed,
    down: Option<Down>,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let (state, nexus) = (&mapping.unit.state, group.nexus());
    let before = &state.record().tray;
    let mut after = Tray::clone(before);
    match deed {
        Deed::Move(action) => drop(after.obey(action)?),
        Deed::Keep(keeps) => after.keep(nexus.name(), keeps),
    }
    // Who goes down again waits for what the first one may still wait for.
    let changes = after != *before;
    if !changes && down.is_none() {
        return Ok(done(buffers));
    }
    let script = Moving {
        mapping: mapping.clone(),
        nexus: Arc::clone(nexus),
        deed,
        changes,
        down,
        residual: buffers.bytes(),
    };
    let store = mapping.unit.store.as_ref().map(Store::name);
    Ok(Decision::Script(ScriptPlan::new(script, store)))
}

/// Has the change kept, waits for what is under way, and then writes the cache: nothing comes after that.
struct Moving {
    mapping: Mapping,
    nexus: Arc<Nexus>,
    deed: Deed,
    changes: bool,
    down: Option<Down>,
    residual: u64,
}

impl Script for Moving {
    fn next(&mut self, last: Outcome, _: &mut Buffers) -> Step {
        let store = self.mapping.unit.store.as_ref();
        match (last, self.down, store) {
            (Outcome::Begun, ..) if self.changes => self.ask(),
            (Outcome::Told(Err(sense)), ..) => Step::Done(Answer::check_condition(sense, self.residual)),
            (Outcome::Begun | Outcome::Told(Ok(_)), Some(_), Some(store)) => {
                let scope = Scope { medium: Some(store.medium()), ..Scope::default() };
                Step::Quiesce { scope, abort: None }
            }
            (Outcome::Quiet, Some(Down { flushes: true }), Some(store)) => {
                let store = store.clone();
                Step::Io { store, kind: IoKind::Flush, offset: 0, buffer: IoBuf::default() }
            }
            (Outcome::Io { result: Err(error), .. }, ..) => Step::Done(io_failed(error, self.residual)),
            _ => Step::Done(Answer { residual: self.residual, ..Answer::good() }),
        }
    }
}

impl Moving {
    fn ask(&self) -> Step {
        let (state, nexus, deed) = (Arc::clone(&self.mapping.unit.state), Arc::clone(&self.nexus), self.deed);
        let work = move |reply: Reply| {
            let kept = match deed {
                Deed::Move(action) => state.move_medium(action, By::Nexus(nexus.name())),
                Deed::Keep(keeps) => state.change(|record| record.tray.keep(nexus.name(), keeps)).map(Ok),
            };
            let told = kept.map_err(Sense::from).and_then(|told| told);
            reply.tell(told.map(|()| 0));
        };
        Step::Ask { helper: Helper::Keeper, work: Box::new(work) }
    }
}
