// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access: REPORT TARGET PORT GROUPS and SET TARGET PORT GROUPS of SPC-4, the delay of a group that is not
//! optimized, and blocks that are reached otherwise than others: REPORT REFERRALS of SBC-3.
//!
//! Above: `execute`.
//! Below: `alua`, which has the groups; `scsi::alua` for the bytes.
//! Never here: whether a command passes in a state, whatever its blocks; `admission` knows.

use super::block::ready;
use super::{Decision, IoPlan, ScriptPlan, done, give, io_failed, overrun, read_list};
use crate::alua::Alua;
use crate::gate::Word;
use crate::logical_unit::{LogicalUnit, Store};
use crate::lun_map::{Group, Mapping};
use crate::nexus::NexusName;
use crate::scope::Scope;
use crate::script::{Claim, Helper, Outcome, Reply, Script, Step};
use crate::task::{Answer, Buffers};
use backstore::IoKind;
use scsi::alua::{self, AccessState, PortGroup, ReportTargetPortGroups, SetTargetPortGroups, Wanted};
use scsi::referrals::Referrals;
use scsi::{BlockCount, Command, Lba, ReportReferrals, Sense};
use std::sync::Arc;
use std::time::Duration;

/// REPORT TARGET PORT GROUPS.  SPC-4.
pub(super) fn report<'a>(
    mapping: &Mapping,
    command: &ReportTargetPortGroups,
    buffers: &Buffers,
) -> Decision<'a> {
    let alua = mapping.unit.state.alua();
    let groups: Vec<PortGroup> = alua.groups.iter().map(|group| group.told.clone()).collect();
    let own = mapping.membership.as_ref().and_then(|membership| alua.group(membership.group));
    let seconds = own.map_or(0, |group| group.implicit_transition_seconds);
    give(&alua::report(command, &groups, seconds), u64::from(command.allocation_bytes), buffers)
}

/// REPORT REFERRALS.  SBC-3.
pub(super) fn report_referrals<'a>(
    mapping: &Mapping,
    command: &ReportReferrals,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    ready(&mapping.unit)?;
    mapping.unit.geometry.check(command.first, BlockCount(1))?;
    let map = mapping.membership.as_ref().and_then(|membership| membership.referrals.as_ref());
    let map = map.ok_or(Sense::INVALID_FIELD_IN_CDB)?;
    Ok(give(&map.report(command), u64::from(command.allocation_bytes), buffers))
}

/// Which blocks a command reaches, whose way to the unit is LBA dependent.
pub(super) struct Segments<'a> {
    group: u16,
    /// `None` for the moment between a state and the map that it came with: nothing is known to be reached then.
    map: Option<&'a Referrals>,
}

/// Those of a command with this word of its gate; nothing where all blocks are alike.
#[inline]
pub(super) fn segments(mapping: &Mapping, word: Word) -> Option<Segments<'_>> {
    if word.is_open() {
        return None;
    }
    let own = mapping.membership.as_ref()?;
    Segments::of(word, own.group, own.referrals.as_deref())
}

/// Those of a command that has outlived the LUN map which it came by, as the unit has them by now.
pub(super) fn segments_by_now<'a>(mapping: &Mapping, word: Word, alua: &'a Alua) -> Option<Segments<'a>> {
    Segments::of(word, mapping.membership.as_ref()?.group, alua.referrals.as_deref())
}

impl<'a> Segments<'a> {
    fn of(word: Word, group: u16, map: Option<&'a Referrals>) -> Option<Self> {
        let is_dependent = word.access_state() == AccessState::LbaDependent.code();
        is_dependent.then_some(Self { group, map })
    }

    /// Refuses a command that touches blocks which it does not reach.  What UNMAP touches its list says; what a flush
    /// touches nobody reads or writes through it, and a guest flushes all or nothing.
    pub(super) fn admit(&self, unit: &LogicalUnit, command: &Command) -> Result<(), Sense> {
        let (first, blocks) = match command {
            Command::Read(read) => (read.first, read.blocks),
            Command::Write(write) | Command::CompareAndWrite(write) | Command::OrWrite(write) => {
                (write.first, write.blocks)
            }
            Command::WriteAtomic(atomic) => (atomic.write.first, atomic.write.blocks),
            Command::Verify(verify) | Command::WriteAndVerify(verify) => (verify.first, verify.blocks),
            Command::WriteSame(same) => (same.first, same.blocks),
            // 0 is up to the end.
            Command::PreFetch(fetch) if fetch.blocks == BlockCount(0) => {
                (fetch.first, BlockCount(unit.geometry.blocks.0.saturating_sub(fetch.first.0)))
            }
            Command::PreFetch(fetch) => (fetch.first, fetch.blocks),
            Command::Sanitize(_) | Command::FormatUnit(_) if command.changes_medium() => {
                (Lba(0), unit.geometry.blocks)
            }
            _ => return Ok(()),
        };
        // What is not on the medium is for the command to refuse.
        let is_there = unit.geometry.check(first, blocks).is_ok();
        if is_there { self.reach(first, blocks) } else { Ok(()) }
    }

    /// Refuses blocks that are not reached.
    pub(super) fn reach(&self, first: Lba, blocks: BlockCount) -> Result<(), Sense> {
        let map = self.map.ok_or(Sense::ALUA_TRANSITION)?;
        map.refusal(self.group, first, blocks).map_or(Ok(()), Err)
    }
}

/// SET TARGET PORT GROUPS.  SPC-4.
pub(super) fn set<'a>(
    group: &Group,
    mapping: &Mapping,
    command: &SetTargetPortGroups,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let Some(list) = read_list(buffers, usize::try_from(command.list_bytes).unwrap_or(usize::MAX)) else {
        return Ok(overrun());
    };
    let wanted = alua::parse_set(&list)?;
    if wanted.is_empty() {
        return Ok(done(buffers));
    }
    let script = Setting {
        mapping: mapping.clone(),
        nexus: group.nexus().name().clone(),
        groups: wanted.iter().filter(|wanted| wanted.state != AccessState::Offline).map(|it| it.id).collect(),
        wanted: Some(wanted),
        waits: Vec::new(),
        looks: LOOKS_MAX,
    };
    let store = mapping.unit.store.as_ref().map(Store::name);
    Ok(Decision::Script(ScriptPlan::new(script, store)))
}

/// A change of states: kept and shown where that may take time, then waited for.
struct Setting {
    mapping: Mapping,
    nexus: NexusName,
    wanted: Option<Vec<Wanted>>,
    /// The groups whose states are asked for.
    groups: Vec<u16>,
    /// What is to be waited for, last first.
    waits: Vec<Step>,
    /// How often it may still be looked whether the transition has ended.
    looks: u32,
}

/// How long until it is looked again whether a transition has ended that should have, and how often: for a second.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LOOKS_MAX: u32 = 100;

impl Script for Setting {
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step {
        if let Some(wanted) = self.wanted.take() {
            return self.ask(wanted);
        }
        if let Outcome::Told(Err(sense)) = last {
            return Step::Done(Answer::check_condition(sense, buffers.bytes()));
        }
        // Whoever ends the transition has a clock of his own.
        if matches!(last, Outcome::Waited) && self.looks > 0 && self.is_between() {
            self.looks -= 1;
            return Step::Wait(LOOK_AGAIN);
        }
        self.waits.pop().unwrap_or(Step::Done(Answer::good()))
    }
}

impl Setting {
    /// Whether one of the groups is between two states.
    fn is_between(&self) -> bool {
        let alua = self.mapping.unit.state.alua();
        let mut groups = self.groups.iter().filter_map(|id| alua.group(*id));
        groups.any(|group| group.told.state == AccessState::Transitioning)
    }

    fn ask(&mut self, wanted: Vec<Wanted>) -> Step {
        let state = Arc::clone(&self.mapping.unit.state);
        let alua = state.alua();
        let delay = self.groups.iter().filter_map(|id| alua.group(*id));
        let delay = delay.map(|group| group.transition_delay).max().unwrap_or_default();
        // No command is begun in the old state after the answer.
        self.waits.push(Step::Quiesce { scope: Scope::NOTHING, abort: None });
        if !delay.is_zero() {
            self.waits.push(Step::Wait(delay));
        }
        let nexus = self.nexus.clone();
        let work = move |reply: Reply| {
            let altered = match &alua.steer {
                Some(steer) => steer.alter(state.serial(), &nexus, &wanted),
                None => Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST),
            };
            reply.tell(altered.map(|()| 0));
        };
        Step::Ask { helper: Helper::Steward, work: Box::new(work) }
    }
}

/// What is to be done through a group that is active/non-optimized: the same, after its delay.
pub(super) fn delayed<'a>(mapping: &Mapping, decision: Decision<'a>) -> Decision<'a> {
    let delay = mapping.membership.as_ref().map_or(Duration::ZERO, |own| own.non_optimized_delay);
    if delay.is_zero() {
        return decision;
    }
    let plan = match decision {
        Decision::Script(plan) => plan,
        Decision::Io(IoPlan { store, kind, offset, answer }) => {
            let transfer = Transfer { store: store.clone(), kind, offset, answer };
            ScriptPlan::new(transfer, Some(store.name()))
        }
        decision => return decision,
    };
    let script = Delayed { delay: Delay::Ahead(delay), script: plan.script };
    Decision::Script(ScriptPlan { script: Box::new(script), ..plan })
}

/// A command that begins when its delay is over.
struct Delayed {
    delay: Delay,
    script: Box<dyn Script>,
}

enum Delay {
    Ahead(Duration),
    UnderWay,
    Over,
}

impl Script for Delayed {
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step {
        match self.delay {
            Delay::Ahead(delay) => {
                self.delay = Delay::UnderWay;
                Step::Wait(delay)
            }
            Delay::UnderWay => {
                self.delay = Delay::Over;
                self.script.next(Outcome::Begun, buffers)
            }
            Delay::Over => self.script.next(last, buffers),
        }
    }
}

/// One I/O, as a step.
struct Transfer {
    store: Store,
    kind: IoKind,
    offset: u64,
    answer: Answer,
}

impl Script for Transfer {
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step {
        let list = match self.kind {
            IoKind::Read => &mut buffers.data_in,
            _ => &mut buffers.data_out,
        };
        // As every write of a script, it waits for blocks that another command has for itself.
        if matches!(last, Outcome::Begun) && self.kind.changes() {
            let range = self.offset..self.offset.saturating_add(list.bytes());
            return Step::Claim(Claim { store: self.store.clone(), range, exclusive: false });
        }
        let Outcome::Io { buffer, result } = last else {
            let buffer = std::mem::take(list);
            return Step::Io { store: self.store.clone(), kind: self.kind, offset: self.offset, buffer };
        };
        *list = buffer;
        let bytes = buffers.bytes();
        Step::Done(result.map_or_else(|error| io_failed(error, bytes), |()| self.answer))
    }
}
