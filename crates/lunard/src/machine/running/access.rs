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
    /// What is not as it is at first, with the id of the group of logical units.
    groups: BTreeMap<BackstoreId, (AluaGroups, u16)>,
    /// Groups between two states, by unit serial number and id, with the number of the transition.
    under_way: BTreeMap<(UnitSerial, u16), u64>,
    transitions: u64,
    /// Transitions that nobody ends yet.
    begun: Vec<Transition>,
    /// Whose wish is being carried out.
    pub(super) altering: Option<(UnitSerial, NexusName)>,
    pub(super) steer: Option<Arc<dyn Steer>>,
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
    /// The group and the state that the nexus was last shown.
    shown: Option<(u16, u8)>,
    /// Which blocks it was last shown to be reached how.
    shown_map: Option<LbaMap>,
}

impl Access {
    fn of(&self, id: &BackstoreId) -> (AluaGroups, u16) {
        self.groups.get(id).cloned().unwrap_or_default()
    }

    /// The group that a LUN is in.
    pub(super) fn membership(&self, id: &BackstoreId, lun: &LunAccess) -> Option<Membership> {
        let (groups, _) = self.of(id);
        let group = groups.get(&lun.wanted.group)?;
        Some(Membership {
            group: group.id,
            implicit: group.is_implicit(),
            explicit: group.is_explicit(),
            referrals: groups.lba_map().is_some(),
        })
    }

    /// Takes over what a backstore has.  Returns whether guests see its LUNs in another way.
    pub(super) fn set(
        &mut self,
        id: &BackstoreId,
        serial: &UnitSerial,
        groups: AluaGroups,
        lu_group: u16,
    ) -> bool {
        let (before, _) = self.of(id);
        let is_new = !self.groups.contains_key(id);
        for (name, group) in groups.iter() {
            let was = before.get(name).map(|was| was.get(AluaKey::AccessState));
            let delay = Duration::from_millis(group.get(AluaKey::TransDelayMsecs).into());
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
        let seen = |groups: &AluaGroups| -> Vec<(String, u16, u32)> {
            let of = |group: &AluaGroup| (group.id, group.get(AluaKey::AccessType));
            groups.iter().map(|(name, group)| (name.to_string(), of(group).0, of(group).1)).collect()
        };
        let differs =
            seen(&before) != seen(&groups) || before.lba_map().is_some() != groups.lba_map().is_some();
        self.groups.insert(id.clone(), (groups, lu_group));
        differs
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
        let (groups, lu_group) = self.of(id);
        let mut told: Vec<AccessGroup> = groups
            .iter()
            .map(|(_, group)| {
                let ports = ports.get(&group.id).map(|ports| ports.iter().copied().collect());
                access_group(group, self.state_of(serial, group), ports.unwrap_or_default())
            })
            .collect();
        told.sort_by_key(|group| group.told.id);
        let referrals = groups.lba_map().map(|map| Arc::new(referrals(map)));
        Alua { groups: told, lu_group, referrals, steer: self.steer.clone() }
    }

    /// Shows a nexus the state of a LUN, and has it told where it is another than before.
    pub(super) fn show(
        &self,
        id: &BackstoreId,
        serial: &UnitSerial,
        (nexus, attentions): (&NexusName, &Attentions),
        lun: &mut LunAccess,
    ) {
        let (groups, _) = self.of(id);
        let Some(group) = groups.get(&lun.wanted.group) else { return };
        let state = if lun.wanted.offline { AccessState::Offline } else { self.state_of(serial, group) };
        let now = (group.id, state.code());
        attentions.gate().set_access_state(state.code());
        let before = lun.shown.replace(now);
        let map_before = std::mem::replace(&mut lun.shown_map, groups.lba_map().cloned());
        let map = &lun.shown_map;
        // The process before may have died in the middle of a change, and then nobody was told of its end.
        if before.is_none() && self.steer_is_new() && moves_slowly(group) {
            attentions.establish(Sense::ASYMMETRIC_ACCESS_STATE_CHANGED);
        }
        if let Some(before) = before {
            let shape = |map: &Option<LbaMap>| map.as_ref().map(|map| (map.segment_blocks, map.multiplier));
            if before.0 != now.0 || shape(&map_before) != shape(map) {
                attentions.establish(Sense::INQUIRY_DATA_CHANGED);
            }
            let asked = self.altering.as_ref().is_some_and(|(unit, by)| unit == serial && by == nexus);
            let other_blocks = state == AccessState::LbaDependent && map_before != *map;
            if (before.1 != now.1 && !asked) || other_blocks {
                attentions.establish(Sense::ASYMMETRIC_ACCESS_STATE_CHANGED);
            }
        }
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

fn access_group(group: &AluaGroup, state: AccessState, ports: Vec<u16>) -> AccessGroup {
    let millis = |key| Duration::from_millis(group.get(key).into());
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
        non_optimized_delay: millis(AluaKey::NonopDelayMsecs),
        transition_delay: millis(AluaKey::TransDelayMsecs),
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
