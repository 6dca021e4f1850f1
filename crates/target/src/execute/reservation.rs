// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands that reserve a unit: PERSISTENT RESERVE IN and OUT of SPC-4, RESERVE and RELEASE of SPC-2.
//!
//! Above: `execute`.
//! Below: `unit_state`, which decides, keeps and shows; `scsi::persistent` for parameter data.
//! Never here: what follows from a key.
//!
//! What changes a reservation is kept, then shown, and answered when every reactor has come by and so sees it: no
//! command of a nexus that was barred is begun after the answer.

use super::{Decision, ScriptPlan, give, overrun, read_list};
use crate::admission::note_conflict;
use crate::logical_unit::Store;
use crate::lun_map::{Group, Mapping};
use crate::nexus::{Nexus, NexusName};
use crate::reservations::{Conflict, Kind, Ordered, Refusal, Reservations, Told};
use crate::scope::Scope;
use crate::script::{Abort, Helper, Outcome, Script, Step};
use crate::task::{Answer, Buffers};
use crate::unit_state::{NotPersisted, UnitState};
use scsi::persistent::{self, FullStatus, List, MoveList};
use scsi::{
    Command, PersistentReserveIn, PersistentReserveInAction as In, PersistentReserveOut,
    PersistentReserveOutAction as Out, Sense,
};
use std::sync::{Arc, Mutex, PoisonError};

/// PERSISTENT RESERVE IN.  SPC-4.
pub(super) fn read<'a>(mapping: &Mapping, command: &PersistentReserveIn, buffers: &Buffers) -> Decision<'a> {
    let record = mapping.unit.state.record();
    let reservations = &record.reservations;
    if reservations.legacy.is_some() {
        return conflict(mapping, buffers);
    }
    let generation = reservations.generation;
    let data = match command.action {
        In::Keys => {
            let keys: Vec<u64> = reservations.registrations.values().map(|is| is.key).collect();
            persistent::keys(generation, &keys)
        }
        In::Reservation => persistent::reservation(generation, reservations.shown()),
        In::Capabilities => persistent::capabilities(reservations.outlasts_power).to_vec(),
        In::FullStatus => {
            let status = reservations.registrations.iter().map(|(nexus, registration)| FullStatus {
                key: registration.key,
                all_target_ports: registration.all_target_ports,
                holds: reservations
                    .held
                    .as_ref()
                    .filter(|_| reservations.holds(nexus))
                    .map(|held| held.kind.code()),
                relative_port: nexus.relative_port,
                initiator: &nexus.initiator,
            });
            persistent::full_status(generation, status)
        }
    };
    give(&data, u64::from(command.allocation_bytes), buffers)
}

/// Whether a command will find, in the reservations as they are, that it conflicts.
pub(super) fn conflicts(group: &Group, mapping: &Mapping, command: &Command, buffers: &Buffers) -> bool {
    let (record, nexus) = (mapping.unit.state.record(), group.nexus().name());
    let reservations = &record.reservations;
    match command {
        Command::PersistentReserveIn(_) => reservations.legacy.is_some(),
        Command::PersistentReserveOut(command) => {
            order_conflicts(group, mapping, command, buffers, reservations)
        }
        Command::Reserve => reservations.refuses_reserve(nexus),
        Command::Release => reservations.refuses_release(nexus),
        _ => false,
    }
}

fn order_conflicts(
    group: &Group,
    mapping: &Mapping,
    command: &PersistentReserveOut,
    buffers: &Buffers,
    reservations: &Reservations,
) -> bool {
    let nexus = group.nexus().name();
    let shows = |key| reservations.conflict_with(nexus, command.action, key);
    if shows(None) || command.list_bytes > persistent::LIST_BYTES_MAX {
        return shows(None);
    }
    let Some(list) = list_of(command, buffers) else { return false };
    let order = || ordered(group, mapping, command, &list);
    List::key_of(&list).is_some_and(|key| shows(Some(key)))
        || order().is_ok_and(|order| reservations.conflicts(nexus, &order))
}

/// The parameter list of an order, whose length has been bounded.
fn list_of(command: &PersistentReserveOut, buffers: &Buffers) -> Option<Vec<u8>> {
    read_list(buffers, usize::try_from(command.list_bytes).unwrap_or(usize::MAX))
}

/// PERSISTENT RESERVE OUT.  SPC-4.
///
/// A conflict comes before whatever else is wrong, as soon as what has come shows it: who was fenced must see that first.
/// Whether there is one when the order is carried out is found out then.
pub(super) fn order<'a>(
    group: &Group,
    mapping: &Mapping,
    command: &PersistentReserveOut,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let conflicts = |key: Option<u64>| {
        let record = mapping.unit.state.record();
        record.reservations.conflict_with(group.nexus().name(), command.action, key)
    };
    if conflicts(None) {
        return Ok(conflict(mapping, buffers));
    }
    if command.list_bytes > persistent::LIST_BYTES_MAX {
        return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    }
    let Some(list) = list_of(command, buffers) else { return Ok(overrun()) };
    if List::key_of(&list).is_some_and(|key| conflicts(Some(key))) {
        return Ok(conflict(mapping, buffers));
    }
    let ordered = ordered(group, mapping, command, &list)?;
    let aborts = command.action == Out::PreemptAndAbort;
    let abort = aborts.then_some(Abort { others_task_aborted: mapping.unit.modes().tas });
    let change = move |state: &UnitState, nexus: &NexusName| state.obey(nexus, &ordered);
    Ok(begin(group, mapping, abort, change))
}

/// RESERVE (6) and (10).  SPC-2.
pub(super) fn reserve<'a>(group: &Group, mapping: &Mapping) -> Decision<'a> {
    change_old(group, mapping, Reservations::reserve)
}

/// RELEASE (6) and (10).  SPC-2.
pub(super) fn release<'a>(group: &Group, mapping: &Mapping) -> Decision<'a> {
    change_old(group, mapping, Reservations::release)
}

fn change_old<'a>(
    group: &Group,
    mapping: &Mapping,
    change: fn(&mut Reservations, &NexusName) -> Result<(), Conflict>,
) -> Decision<'a> {
    begin(group, mapping, None, move |state, nexus| {
        let changed = state.change(|record| change(&mut record.reservations, nexus));
        changed.map_err(not_kept)?.map(|()| Told::default()).map_err(|Conflict| Refusal::Conflict)
    })
}

fn conflict<'a>(mapping: &Mapping, buffers: &Buffers) -> Decision<'a> {
    note_conflict(mapping);
    Decision::Answer(Answer::reservation_conflict(buffers.bytes()))
}

fn not_kept(_: NotPersisted) -> Refusal {
    Refusal::Check(Sense::INTERNAL_TARGET_FAILURE)
}

/// Reads an order out of a parameter list.
fn ordered(
    group: &Group,
    mapping: &Mapping,
    command: &PersistentReserveOut,
    list: &[u8],
) -> Result<Ordered, Sense> {
    let force = mapping.unit.flags.force_registrations_to_outlast_power;
    if command.action == Out::RegisterAndMove {
        let list = MoveList::parse(list)?;
        return Ok(Ordered::Move {
            key: list.key,
            theirs: list.action_key,
            unregister: list.unregister,
            outlasts_power: list.outlasts_power || force,
            to: reachable(mapping, &list.initiator, list.relative_port)?,
        });
    }
    let list = List::parse(list)?;
    let (key, theirs) = (list.key, list.action_key);
    if list.initiators.is_some() && command.action != Out::Register {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
    }
    let kind = Kind::of_code(command.kind).filter(|_| command.scope == 0);
    Ok(match command.action {
        Out::Register | Out::RegisterAndIgnore => {
            let own = group.nexus().name();
            let named = list.initiators.as_ref().map(|named| {
                let ports = |initiator: &String| match list.all_target_ports {
                    true => kin(mapping, initiator),
                    false => reachable(mapping, initiator, own.relative_port).map(|nexus| vec![nexus]),
                };
                // Where there is no key, there is nobody to find.
                named.iter().filter(|_| theirs != 0).map(ports).collect::<Result<Vec<_>, _>>()
            });
            Ordered::Register {
                known: (command.action == Out::Register).then_some(key),
                key: theirs,
                all_target_ports: list.all_target_ports,
                outlasts_power: list.outlasts_power || force,
                others: named.transpose()?.map(|named| named.concat()),
                kin: kin(mapping, &own.initiator).unwrap_or_default(),
            }
        }
        Out::Reserve => Ordered::Reserve { key, kind: kind.ok_or(Sense::INVALID_FIELD_IN_CDB)? },
        Out::Release => Ordered::Release { key, kind: kind.ok_or(Sense::INVALID_FIELD_IN_CDB)? },
        Out::Clear => Ordered::Clear { key },
        Out::Preempt | Out::PreemptAndAbort => Ordered::Preempt { key, theirs, kind },
        Out::RegisterAndMove => return Err(Sense::INTERNAL_TARGET_FAILURE),
    })
}

/// A nexus that reaches the unit, by its name.
fn reachable(mapping: &Mapping, initiator: &str, relative_port: u16) -> Result<NexusName, Sense> {
    let is_it = |name: &NexusName| name.relative_port == relative_port && name.initiator == initiator;
    let nexuses = mapping.unit.state.nexuses();
    let found = nexuses.iter().map(|nexus| nexus.name()).find(|name| is_it(name));
    found.cloned().ok_or(Sense::INVALID_FIELD_IN_PARAMETER_LIST)
}

/// Every nexus of an initiator that reaches the unit.
fn kin(mapping: &Mapping, initiator: &str) -> Result<Vec<NexusName>, Sense> {
    let nexuses = mapping.unit.state.nexuses();
    let names = nexuses.iter().map(|nexus| nexus.name());
    let kin: Vec<NexusName> = names.filter(|name| name.initiator == initiator).cloned().collect();
    if kin.is_empty() { Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST) } else { Ok(kin) }
}

type Change = Box<dyn FnOnce(&UnitState, &NexusName) -> Result<Told, Refusal> + Send>;

fn begin<'a>(
    group: &Group,
    mapping: &Mapping,
    abort: Option<Abort>,
    change: impl FnOnce(&UnitState, &NexusName) -> Result<Told, Refusal> + Send + 'static,
) -> Decision<'a> {
    let script = Changing {
        mapping: mapping.clone(),
        nexus: Arc::clone(group.nexus()),
        change: Some(Box::new(change)),
        came_to: Arc::default(),
        abort,
        victims: Vec::new(),
        seen: false,
    };
    let store = mapping.unit.store.as_ref().map(Store::name);
    Decision::Script(ScriptPlan::new(script, store))
}

/// A change of reservations: decided, kept and shown where that may take time; then, for PREEMPT AND ABORT, waited for
/// what it aborts; then for every reactor to come by.
struct Changing {
    mapping: Mapping,
    nexus: Arc<Nexus>,
    change: Option<Change>,
    came_to: Arc<Mutex<Option<Result<Told, Refusal>>>>,
    abort: Option<Abort>,
    /// Whose commands are still to be aborted.
    victims: Vec<NexusName>,
    /// Whether every reactor is being waited for.
    seen: bool,
}

impl Script for Changing {
    fn next(&mut self, _: Outcome, buffers: &mut Buffers) -> Step {
        if let Some(change) = self.change.take() {
            return self.ask(change);
        }
        let came_to = self.came_to.lock().unwrap_or_else(PoisonError::into_inner).take();
        match came_to {
            Some(Ok(told)) if self.abort.is_some() => self.victims = told.preempted,
            Some(Err(Refusal::Conflict)) => {
                note_conflict(&self.mapping);
                return Step::Done(Answer::reservation_conflict(buffers.bytes()));
            }
            Some(Err(Refusal::Check(sense))) => {
                return Step::Done(Answer::check_condition(sense, buffers.bytes()));
            }
            Some(Ok(_)) | None => {}
        }
        if let Some(victim) = self.victims.pop() {
            let unit = Some(self.mapping.unit.state.id());
            let scope = Scope { unit, nexus: Some(victim.number()), ..Scope::default() };
            return Step::Quiesce { scope, abort: self.abort };
        }
        if !std::mem::replace(&mut self.seen, true) {
            return Step::Quiesce { scope: Scope::NOTHING, abort: None };
        }
        Step::Done(Answer::good())
    }
}

impl Changing {
    fn ask(&self, change: Change) -> Step {
        let (state, came_to) = (Arc::clone(&self.mapping.unit.state), Arc::clone(&self.came_to));
        let nexus = Arc::clone(&self.nexus);
        let work = move |reply: crate::script::Reply| {
            let result = change(&state, nexus.name());
            *came_to.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            reply.tell(Ok(0));
        };
        Step::Ask { helper: Helper::Keeper, work: Box::new(work) }
    }
}
