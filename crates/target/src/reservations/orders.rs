// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What PERSISTENT RESERVE OUT asks for, and what becomes of it.  SPC-4, persistent reservations.
//!
//! Above: `execute/reservation.rs`, which reads an order out of a parameter list.
//! Below: the registrations.
//! Never here: who is reachable; names of nexuses come in found.
//!
//! An order that is refused has changed nothing.

use super::{Held, Kind, REGISTRATIONS_MAX, Registration, Reservations};
use crate::nexus::NexusName;
use scsi::{PersistentReserveOutAction as Action, Sense};
use std::collections::BTreeSet;

/// A service action of PERSISTENT RESERVE OUT with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ordered {
    /// REGISTER, or REGISTER AND IGNORE EXISTING KEY where `known` is `None`.
    Register {
        /// The key that the nexus has so far.
        known: Option<u64>,
        /// The new key, 0 to take the registration away.
        key: u64,
        all_target_ports: bool,
        outlasts_power: bool,
        /// SPEC_I_PT: who else is to be registered.
        others: Option<Vec<NexusName>>,
        /// The nexuses of the same initiator with other target ports.
        kin: Vec<NexusName>,
    },
    Reserve {
        key: u64,
        kind: Kind,
    },
    Release {
        key: u64,
        kind: Kind,
    },
    Clear {
        key: u64,
    },
    /// PREEMPT, with or without AND ABORT.
    Preempt {
        key: u64,
        /// Whose registrations go.
        theirs: u64,
        /// The type to reserve with, where it comes to that.
        kind: Option<Kind>,
    },
    Move {
        key: u64,
        /// The key of the new holder.
        theirs: u64,
        unregister: bool,
        outlasts_power: bool,
        to: NexusName,
    },
}

/// Why an order is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Conflict,
    Check(Sense),
}

/// Who is to be told what of an order that was obeyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) attentions: Vec<(NexusName, Sense)>,
    /// Whose registrations were preempted: PREEMPT AND ABORT aborts their commands, but for itself.
    pub(crate) preempted: Vec<NexusName>,
}

impl Told {
    fn tell(&mut self, nexuses: impl IntoIterator<Item = NexusName>, condition: Sense) {
        self.attentions.extend(nexuses.into_iter().map(|nexus| (nexus, condition)));
    }
}

impl Held {
    /// Whether `nexus` can give it to another.
    fn is_moved_by(&self, nexus: &NexusName) -> bool {
        !self.kind.is_held_by_all() && self.holder == *nexus
    }
}

impl Ordered {
    fn action(&self) -> Action {
        match self {
            Self::Register { known: Some(_), .. } => Action::Register,
            Self::Register { known: None, .. } => Action::RegisterAndIgnore,
            Self::Reserve { .. } => Action::Reserve,
            Self::Release { .. } => Action::Release,
            Self::Clear { .. } => Action::Clear,
            Self::Preempt { .. } => Action::Preempt,
            Self::Move { .. } => Action::RegisterAndMove,
        }
    }

    /// RESERVATION KEY; `None` where it is not looked at.
    fn key(&self) -> Option<u64> {
        match self {
            Self::Register { known, .. } => *known,
            Self::Reserve { key, .. }
            | Self::Release { key, .. }
            | Self::Clear { key }
            | Self::Preempt { key, .. }
            | Self::Move { key, .. } => Some(*key),
        }
    }
}

impl Reservations {
    /// Whether an order of `nexus` conflicts, whatever else it says; `key` is its RESERVATION KEY, where that is known.
    pub(crate) fn conflict_with(&self, nexus: &NexusName, action: Action, key: Option<u64>) -> bool {
        let own = self.registrations.get(nexus).map(|registration| registration.key);
        let is_another = key.is_some_and(|key| key != own.unwrap_or(0));
        // SPC-2, reservations overview: the two methods exclude each other, whoever reserved.
        if self.legacy.is_some() {
            return true;
        }
        match action {
            Action::RegisterAndIgnore => false,
            Action::Register => is_another,
            _ if own.is_none() || is_another => true,
            Action::Reserve => self.held.is_some() && !self.holds(nexus),
            Action::RegisterAndMove => self.held.as_ref().is_some_and(|held| !held.is_moved_by(nexus)),
            Action::Release | Action::Clear | Action::Preempt | Action::PreemptAndAbort => false,
        }
    }

    /// Whether an order of `nexus` conflicts, as all of it says.
    pub(crate) fn conflicts(&self, nexus: &NexusName, order: &Ordered) -> bool {
        self.conflict_with(nexus, order.action(), order.key())
            || match order {
                // Of its own it holds one of another type.
                Ordered::Reserve { kind, .. } => self.held.as_ref().is_some_and(|held| held.kind != *kind),
                // Nobody has the key that is to go; 0 is nobody's, and means others.
                Ordered::Preempt { theirs, .. } => {
                    *theirs != 0
                        && self.registrations.values().all(|registration| registration.key != *theirs)
                }
                _ => false,
            }
    }

    /// Carries out what `nexus` orders.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing has changed.
    pub(crate) fn obey(&mut self, nexus: &NexusName, order: &Ordered) -> Result<Told, Refusal> {
        if self.conflicts(nexus, order) {
            return Err(Refusal::Conflict);
        }
        match order {
            Ordered::Register { .. } => self.register(nexus, order),
            Ordered::Reserve { kind, .. } => {
                // Of what it holds already it holds no more.
                self.held.get_or_insert_with(|| Held { holder: nexus.clone(), kind: *kind });
                Ok(Told::default())
            }
            Ordered::Release { kind, .. } => self.release_persistently(nexus, *kind),
            Ordered::Clear { .. } => Ok(self.clear(nexus)),
            Ordered::Preempt { theirs, kind, .. } => self.preempt(nexus, *theirs, *kind),
            Ordered::Move { theirs, unregister, outlasts_power, to, .. } => {
                self.move_to(nexus, to, *theirs, *unregister, *outlasts_power)
            }
        }
    }

    fn register(&mut self, nexus: &NexusName, order: &Ordered) -> Result<Told, Refusal> {
        let Ordered::Register { known, key, all_target_ports, outlasts_power, others, kin } = order else {
            return Err(Refusal::Check(Sense::INTERNAL_TARGET_FAILURE));
        };
        let before = self.registrations.get(nexus).copied();
        if before.is_some() && others.is_some() {
            return Err(Refusal::Check(Sense::INVALID_FIELD_IN_PARAMETER_LIST));
        }
        if before.is_some_and(|before| before.all_target_ports) && !all_target_ports {
            return Err(Refusal::Check(Sense::INVALID_FIELD_IN_CDB));
        }
        if *key == 0 {
            let Some(before) = before else { return Ok(Told::default()) };
            self.changed();
            self.outlasts_power = *outlasts_power;
            let same =
                |other: &&NexusName| self.registrations.get(*other).is_some_and(|is| is.key == before.key);
            let kin = kin.iter().filter(|_| before.all_target_ports).filter(same).cloned();
            let leaving: BTreeSet<NexusName> = kin.chain([nexus.clone()]).collect();
            let mut told = Told::default();
            self.unregister(&leaving, &mut told);
            return Ok(told);
        }
        // As if the order had come by each port: there, too, it conflicts with another key, or with any where there is none.
        let passes = |other: &&NexusName| {
            known.is_none_or(|known| known == self.registrations.get(*other).map_or(0, |theirs| theirs.key))
        };
        let kin = kin.iter().filter(|_| *all_target_ports).filter(passes);
        // Who is named and is registered already keeps what it has.
        let others = others.iter().flatten().filter(|other| !self.is_registered(other));
        let more: BTreeSet<NexusName> = kin.chain(others).chain([nexus]).cloned().collect();
        let new = more.iter().filter(|nexus| !self.is_registered(nexus)).count();
        if self.registrations.len().saturating_add(new) > REGISTRATIONS_MAX {
            return Err(Refusal::Check(Sense::INSUFFICIENT_REGISTRATION_RESOURCES));
        }
        self.changed();
        self.outlasts_power = *outlasts_power;
        let (key, all_target_ports, generation) = (*key, *all_target_ports, self.generation);
        let registration = Registration { key, all_target_ports, generation };
        self.registrations.extend(more.into_iter().map(|nexus| (nexus, registration)));
        Ok(Told::default())
    }

    /// Takes registrations away at once, and the reservation with them if it was their holder's.
    fn unregister(&mut self, leaving: &BTreeSet<NexusName>, told: &mut Told) {
        self.registrations.retain(|nexus, _| !leaving.contains(nexus));
        let Some(held) = self.held.take_if(|held| leaving.contains(&held.holder)) else { return };
        if held.kind.is_held_by_all()
            && let Some(heir) = self.registrations.keys().next()
        {
            self.held = Some(Held { holder: heir.clone(), ..held });
            return;
        }
        if held.kind.is_for_registrants() {
            told.tell(self.registrations.keys().cloned(), Sense::RESERVATIONS_RELEASED);
        }
    }

    fn release_persistently(&mut self, nexus: &NexusName, kind: Kind) -> Result<Told, Refusal> {
        let mut told = Told::default();
        match &self.held {
            Some(held) if self.holds(nexus) => {
                if held.kind != kind {
                    return Err(Refusal::Check(Sense::INVALID_RELEASE_OF_PERSISTENT_RESERVATION));
                }
                if kind.is_for_registrants() {
                    told.tell(self.others(nexus), Sense::RESERVATIONS_RELEASED);
                }
                self.held = None;
            }
            // SPC-4, releasing: GOOD, and nothing is released.
            Some(_) | None => {}
        }
        Ok(told)
    }

    fn clear(&mut self, nexus: &NexusName) -> Told {
        let mut told = Told::default();
        told.tell(self.others(nexus), Sense::RESERVATIONS_PREEMPTED);
        self.registrations.clear();
        self.held = None;
        self.changed();
        told
    }

    fn preempt(&mut self, nexus: &NexusName, theirs: u64, kind: Option<Kind>) -> Result<Told, Refusal> {
        let by_all = self.held.as_ref().is_some_and(|held| held.kind.is_held_by_all());
        if theirs == 0 && !by_all {
            return Err(Refusal::Check(Sense::INVALID_FIELD_IN_PARAMETER_LIST));
        }
        let holder = self.held.as_ref().and_then(|held| self.registrations.get(&held.holder));
        let is_holders = !by_all && holder.is_some_and(|holder| holder.key == theirs);
        let takes_over = by_all && theirs == 0 || is_holders;
        let is_meant = |registration: &Registration| by_all && theirs == 0 || registration.key == theirs;
        let meant = self.registrations.iter().filter(|(_, registration)| is_meant(registration));
        // Who takes over stays; who only removes registrations may remove its own.
        let meant = meant.filter(|(other, _)| !takes_over || *other != nexus);
        let leaving: BTreeSet<NexusName> = meant.map(|(nexus, _)| nexus.clone()).collect();
        let mut told = Told::default();
        if takes_over {
            let kind = kind.ok_or(Refusal::Check(Sense::INVALID_FIELD_IN_CDB))?;
            self.registrations.retain(|nexus, _| !leaving.contains(nexus));
            let before = self.held.replace(Held { holder: nexus.clone(), kind });
            // Whatever it was: who stays learns that what bars it is another.
            if before.is_some_and(|before| before.kind != kind) {
                told.tell(self.others(nexus), Sense::RESERVATIONS_RELEASED);
            }
        } else {
            self.unregister(&leaving, &mut told);
        }
        told.tell(leaving.iter().filter(|other| *other != nexus).cloned(), Sense::REGISTRATIONS_PREEMPTED);
        told.preempted = leaving.into_iter().collect();
        self.changed();
        Ok(told)
    }

    fn move_to(
        &mut self,
        nexus: &NexusName,
        to: &NexusName,
        key: u64,
        unregister: bool,
        outlasts_power: bool,
    ) -> Result<Told, Refusal> {
        let Some(held) = &self.held else { return Err(Refusal::Check(Sense::INVALID_FIELD_IN_CDB)) };
        if key == 0 || to == nexus {
            return Err(Refusal::Check(Sense::INVALID_FIELD_IN_PARAMETER_LIST));
        }
        if !self.is_registered(to) && self.registrations.len() >= REGISTRATIONS_MAX {
            return Err(Refusal::Check(Sense::INSUFFICIENT_REGISTRATION_RESOURCES));
        }
        let held = Held { holder: to.clone(), kind: held.kind };
        self.changed();
        self.outlasts_power = outlasts_power;
        let registration = Registration { key, all_target_ports: false, generation: self.generation };
        self.registrations.insert(to.clone(), registration);
        self.held = Some(held);
        if unregister {
            self.registrations.remove(nexus);
        }
        Ok(Told::default())
    }

    /// Everyone who is registered but `nexus`.
    fn others(&self, nexus: &NexusName) -> Vec<NexusName> {
        self.registrations.keys().filter(|other| *other != nexus).cloned().collect()
    }

    fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }
}
