// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access of what runs: which state each LUN of a nexus is in, and who is told when it changes.
//!
//! Above: `state`, which holds the steps' facts; `running`, whose threads end transitions.
//! Below: `target`, whose gates and units are set here.
//! Never here: which state a group should be in; the configuration says so, and a guest's wish goes through it too.

use super::memories;
use super::state::State;
use crate::configfs_door;
use crate::state_driver::{Failure, Handle};
use model::{
    AluaGroup, AluaGroups, AluaKey, BackstoreId, Change, LbaMap, LbaRange, LunAlua, Refusal, RelativePort,
    UnitSerial,
};
use scsi::alua::{AccessState, AlteredBy, PortGroup, SupportedStates, Wanted};
use scsi::referrals::{Referrals, UserDataSegment};
use scsi::{Lba, Sense};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use target::{AccessGroup, Alua, Attentions, Membership, ModeChanges, NexusName, Steer};

/// How long a guest's SET TARGET PORT GROUPS waits for the owner of the configuration.  Then it is taken back.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of asymmetric access.
#[derive(Default)]
pub(super) struct Access {
    /// What is not as it is at first.
    groups: BTreeMap<BackstoreId, Groups>,
    /// What is.
    at_first: Groups,
    /// Groups between two states, by unit serial number and id, with the number of the transition.
    under_way: BTreeMap<(UnitSerial, u16), u64>,
    transitions: u64,
    /// Transitions that nobody ends yet.
    begun: Vec<Transition>,
    /// Whose wish is being carried out.
    pub(super) altering: Option<(UnitSerial, NexusName)>,
    pub(super) steer: Option<Arc<dyn Steer>>,
}

/// What a backstore has.
#[derive(Default)]
struct Groups {
    groups: AluaGroups,
    /// The id of the group of logical units.
    lu_group: u16,
    /// The map of the groups as commands look into it: one, for all that reach the unit by this backstore.
    referrals: Option<Arc<Referrals>>,
}

/// A group on its way from one state to another.
pub(super) struct Transition {
    serial: UnitSerial,
    group: u16,
    number: u64,
    pub(super) delay: Duration,
    /// The guest that asked for it, which is not told.
    pub(super) by: Option<(UnitSerial, NexusName)>,
}

/// What a LUN of a nexus has.
#[derive(Default)]
pub(super) struct LunAccess {
    pub(super) wanted: LunAlua,
    /// The state that the nexus was last shown.
    shown: Option<AccessState>,
    /// What its map of LUNs has of it.
    pub(super) membership: Option<Membership>,
}

/// What is to be done where a nexus is shown something else.
#[derive(Default)]
pub(super) struct Otherwise {
    /// Its map of LUNs is to be published anew.
    pub(super) in_map: bool,
    /// It is to be told, once that is so.
    pub(super) state: bool,
}

impl Access {
    fn of(&self, id: &BackstoreId) -> &Groups {
        self.groups.get(id).unwrap_or(&self.at_first)
    }

    /// The id of the group that a LUN is in.
    pub(super) fn group(&self, id: &BackstoreId, lun: &LunAccess) -> Option<u16> {
        Some(self.of(id).groups.get(&lun.wanted.group)?.id)
    }

    /// Takes over what a backstore has.
    pub(super) fn set(&mut self, id: &BackstoreId, serial: &UnitSerial, groups: AluaGroups, lu_group: u16) {
        let is_new = !self.groups.contains_key(id);
        let Groups { groups: before, referrals: map_before, .. } = self.groups.remove(id).unwrap_or_default();
        for (name, group) in groups.iter() {
            let was = before.get(name).map(|was| was.get(AluaKey::AccessState));
            let delay = delay(group, AluaKey::TransDelayMsecs);
            let moves = was.is_some_and(|was| was != group.get(AluaKey::AccessState));
            let takes_time = !delay.is_zero() && group.is_on(AluaKey::SupportTransitioning);
            // What is restored was in its state before.
            if moves && takes_time && !(is_new && before == AluaGroups::default() && self.steer_is_new()) {
                self.transitions += 1;
                let number = self.transitions;
                self.under_way.insert((serial.clone(), group.id), number);
                let by = self.altering.clone();
                self.begun.push(Transition { serial: serial.clone(), group: group.id, number, delay, by });
            }
        }
        let referrals = if groups.lba_map() == before.lba_map() {
            map_before
        } else {
            groups.lba_map().map(|map| Arc::new(referrals(map)))
        };
        self.groups.insert(id.clone(), Groups { groups, lu_group, referrals });
    }

    /// Whether the owner of the configuration has not come yet: what is set is being restored.
    fn steer_is_new(&self) -> bool {
        self.steer.is_none()
    }

    pub(super) fn forget(&mut self, id: &BackstoreId) {
        self.groups.remove(id);
    }

    pub(super) fn take_begun(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.begun)
    }

    /// The groups of a unit that are between two states, by id.
    pub(super) fn transitioning(&self, serial: &UnitSerial) -> impl Iterator<Item = u16> + use<'_> {
        let first = (serial.clone(), u16::MIN)..=(serial.clone(), u16::MAX);
        self.under_way.range(first).map(|((_, group), _)| *group)
    }

    /// Ends a transition, unless another has begun since.
    pub(super) fn end(&mut self, transition: &Transition) -> bool {
        let Transition { serial, group, number, .. } = transition;
        let key = (serial.clone(), *group);
        let is_last = self.under_way.get(&key) == Some(number);
        is_last && self.under_way.remove(&key).is_some()
    }

    fn state_of(&self, serial: &UnitSerial, group: &AluaGroup) -> AccessState {
        if self.under_way.contains_key(&(serial.clone(), group.id)) {
            return AccessState::Transitioning;
        }
        access_state(group.get(AluaKey::AccessState))
    }

    /// What a unit has, with the ports of each group.
    pub(super) fn alua(
        &self,
        id: &BackstoreId,
        serial: &UnitSerial,
        ports: &BTreeMap<u16, BTreeSet<u16>>,
    ) -> Alua {
        let Groups { groups, referrals, .. } = self.of(id);
        let mut told: Vec<AccessGroup> = groups
            .iter()
            .map(|(_, group)| {
                let ports = ports.get(&group.id).map(|ports| ports.iter().copied().collect());
                access_group(group, self.state_of(serial, group), ports.unwrap_or_default())
            })
            .collect();
        told.sort_by_key(|group| group.told.id);
        Alua { groups: told, referrals: referrals.clone(), steer: self.steer.clone() }
    }

    /// Shows a nexus the state of a LUN, by one of the ways to its unit.  The rest is the caller's, in its order.
    pub(super) fn show(
        &self,
        id: &BackstoreId,
        serial: &UnitSerial,
        (nexus, attentions, multi_port): (&NexusName, &Attentions, bool),
        lun: &mut LunAccess,
    ) -> Otherwise {
        let Groups { groups, lu_group, referrals } = self.of(id);
        let Some(group) = groups.get(&lun.wanted.group) else {
            return Otherwise { in_map: lun.membership.take().is_some(), state: false };
        };
        let state = if lun.wanted.offline { AccessState::Offline } else { self.state_of(serial, group) };
        attentions.gate().set_access_state(state.code());
        let before = lun.shown.replace(state);
        let has = Membership {
            group: group.id,
            lu_group: *lu_group,
            implicit: group.is_implicit(),
            explicit: group.is_explicit(),
            multi_port,
            non_optimized_delay: delay(group, AluaKey::NonopDelayMsecs),
            referrals: referrals.clone(),
        };
        let other_blocks = lun.membership.as_ref().is_some_and(|had| had.referrals != has.referrals);
        let in_map = lun.membership.as_ref() != Some(&has);
        if in_map {
            lun.membership = Some(has);
        }
        let Some(before) = before else {
            // The process before may have died in the middle of a change, and then nobody was told of its end.
            return Otherwise { in_map, state: self.steer_is_new() && moves_slowly(group) };
        };
        let asked = self.altering.as_ref().is_some_and(|(unit, by)| unit == serial && by == nexus);
        let other_blocks = state == AccessState::LbaDependent && other_blocks;
        Otherwise { in_map, state: (before != state && !asked) || other_blocks }
    }
}

/// Whether the group has been moved, and is one that takes its time to move.
fn moves_slowly(group: &AluaGroup) -> bool {
    group.get(AluaKey::TransDelayMsecs) > 0
        && group.is_on(AluaKey::SupportTransitioning)
        && group.get(AluaKey::AccessStatus) > 0
}

/// A map as commands look into it.
fn referrals(map: &LbaMap) -> Referrals {
    let segment = |range: &LbaRange| UserDataSegment {
        first: Lba(range.first),
        last: Lba(range.last),
        states: range.states.iter().map(|(group, state)| (*group, access_state(*state))).collect(),
    };
    Referrals {
        segment_blocks: map.segment_blocks,
        multiplier: map.multiplier,
        segments: map.ranges.iter().map(segment).collect(),
    }
}

fn access_state(number: u32) -> AccessState {
    u8::try_from(number).ok().and_then(AccessState::parse).unwrap_or(AccessState::Optimized)
}

fn delay(group: &AluaGroup, key: AluaKey) -> Duration {
    Duration::from_millis(group.get(key).into())
}

fn access_group(group: &AluaGroup, state: AccessState, ports: Vec<u16>) -> AccessGroup {
    AccessGroup {
        told: PortGroup {
            id: group.id,
            preferred: group.is_on(AluaKey::Preferred),
            state,
            supported: SupportedStates {
                transitioning: group.is_on(AluaKey::SupportTransitioning),
                offline: group.is_on(AluaKey::SupportOffline),
                lba_dependent: group.is_on(AluaKey::SupportLbaDependent),
                unavailable: group.is_on(AluaKey::SupportUnavailable),
                standby: group.is_on(AluaKey::SupportStandby),
                non_optimized: group.is_on(AluaKey::SupportActiveNonoptimized),
                optimized: group.is_on(AluaKey::SupportActiveOptimized),
            },
            altered_by: match group.get(AluaKey::AccessStatus) {
                1 => AlteredBy::Command,
                2 => AlteredBy::Itself,
                _ => AlteredBy::Nobody,
            },
            ports,
        },
        implicit_transition_seconds: u8::try_from(group.get(AluaKey::ImplicitTransSecs)).unwrap_or(u8::MAX),
        transition_delay: delay(group, AluaKey::TransDelayMsecs),
    }
}

/// Takes guests' wishes to the owner of the configuration.
pub(super) struct Steering {
    state: Weak<Mutex<State>>,
    owner: OnceLock<Handle>,
    /// Media that appeared when there was nobody to tell.
    early: Mutex<Vec<BackstoreId>>,
}

impl Steering {
    pub(super) fn new(state: &Arc<Mutex<State>>) -> Arc<Self> {
        Arc::new(Self { state: Arc::downgrade(state), owner: OnceLock::new(), early: Mutex::default() })
    }

    /// From now on there is somebody to ask.
    pub(super) fn owned_by(&self, owner: Handle) {
        let _ = self.owner.set(owner);
        let early = std::mem::take(&mut *self.early.lock().unwrap_or_else(PoisonError::into_inner));
        early.into_iter().for_each(|id| self.appeared(id));
    }

    /// Tells the owner, now or when there is one, that a medium is there which was not, and may not be what it was.
    pub(super) fn appeared(&self, id: BackstoreId) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        match self.owner.get() {
            Some(owner) => owner.appeared(id),
            None => early.push(id),
        }
    }

    fn note(&self, altering: Option<(UnitSerial, NexusName)>) {
        if let Some(state) = self.state.upgrade() {
            state.lock().unwrap_or_else(PoisonError::into_inner).access.altering = altering;
        }
    }
}

impl Steer for Steering {
    fn alter(&self, serial: &str, nexus: &NexusName, wanted: &[Wanted]) -> Result<(), Sense> {
        let owner = self.owner.get().ok_or(Sense::BECOMING_READY)?;
        let invalid = Sense::INVALID_FIELD_IN_PARAMETER_LIST;
        let serial = UnitSerial::parse(serial).map_err(|_| Sense::INTERNAL_TARGET_FAILURE)?;
        let (mut states, mut offline) = (Vec::new(), Vec::new());
        for Wanted { state, id } in wanted {
            match state {
                AccessState::Offline => offline.push(RelativePort::parse(*id).map_err(|_| invalid)?),
                state => states.push((*id, u32::from(state.code()))),
            }
        }
        self.note(Some((serial.clone(), nexus.clone())));
        let change = Change::AlterAlua { serial, states, offline };
        let answer = configfs_door::wait(owner.make(vec![change]), Instant::now() + PATIENCE);
        self.note(None);
        match answer {
            Some(Ok(_)) => Ok(()),
            Some(Err(Failure::Refused(Refusal::AluaNotAltered { .. }))) => Err(invalid),
            Some(Err(_)) | None => Err(Sense::INTERNAL_TARGET_FAILURE),
        }
    }

    fn save_modes(&self, serial: &str, saved: &ModeChanges) -> Result<(), Sense> {
        let owner = self.owner.get().ok_or(Sense::BECOMING_READY)?;
        let serial = UnitSerial::parse(serial).map_err(|_| Sense::INTERNAL_TARGET_FAILURE)?;
        let saved = memories::attributes_of(saved);
        let change = Change::SelectModes { serial, saved };
        match configfs_door::wait(owner.make(vec![change]), Instant::now() + PATIENCE) {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => Err(Sense::INTERNAL_TARGET_FAILURE),
        }
    }
}
