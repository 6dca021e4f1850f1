// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a nexus has to be told about a unit before anything else.  SAM-5, unit attention condition.
//!
//! Above: `admission` and REQUEST SENSE, which tell it; `unit_state`, which establishes it.
//! Below: `gate`, whose bit says that there is something to tell.
//! Never here: which event is told to whom.

use crate::gate::Gate;
use scsi::Sense;
use scsi::mode::UaInterlock;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Conditions that wait for one nexus at one unit: more than there are kinds, and a bound all the same.
const PENDING_MAX: usize = 64;

/// The queue of one nexus and one LUN, with the gate in front of it.  It belongs to the LUN of a target port group
/// and outlasts every map that shows it, and every guest.
#[derive(Debug, Default)]
pub struct Attentions {
    gate: Gate,
    pending: Mutex<VecDeque<Sense>>,
}

impl Attentions {
    /// What every command looks at first.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Establishes a condition for this nexus.  One that is pending already is not told twice.
    pub fn establish(&self, condition: Sense) {
        let mut pending = self.lock();
        if pending.len() >= PENDING_MAX || pending.iter().any(|other| is_same(other, &condition)) {
            return;
        }
        let urgency = urgency(&condition);
        let behind = pending.iter().position(|other| urgency < self::urgency(other));
        let at = behind.unwrap_or(pending.len());
        pending.insert(at, condition);
        self.gate.set_attention(true);
    }

    /// What is to be told first, if anything.
    pub fn first(&self) -> Option<Sense> {
        self.lock().front().copied()
    }

    /// What is told now as the answer to a command.  It is told once, unless `interlock` keeps it.
    pub(crate) fn report(&self, interlock: UaInterlock) -> Option<Sense> {
        match interlock {
            UaInterlock::Clear => self.take(),
            UaInterlock::Keep | UaInterlock::KeepAndEstablish => self.first(),
        }
    }

    /// What is told now as the data of REQUEST SENSE, which clears it under every interlock.
    pub(crate) fn take(&self) -> Option<Sense> {
        let mut pending = self.lock();
        let first = pending.pop_front();
        self.gate.set_attention(!pending.is_empty());
        first
    }

    /// Takes one condition back, told or not.
    pub fn clear(&self, condition: Sense) {
        let mut pending = self.lock();
        pending.retain(|other| !is_same(other, &condition));
        self.gate.set_attention(!pending.is_empty());
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sense>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same(one: &Sense, other: &Sense) -> bool {
    (one.asc, one.ascq) == (other.asc, other.ascq)
}

/// Whether a condition is told even before a conflict of reservations.  SAM-5, status precedence.
pub(crate) fn is_first(condition: &Sense) -> bool {
    condition.asc == 0x29 || is_same(condition, &Sense::MICROCODE_CHANGED)
}

/// The order of telling: resets and new programs, then parameters, then the rest, each in the order of their coming.
fn urgency(condition: &Sense) -> u8 {
    match condition.asc {
        _ if is_first(condition) => 0,
        0x2a => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: Sense = Sense::new(scsi::SenseKey::UnitAttention, 0x29, 0x03);
    const CAPACITY: Sense = Sense::new(scsi::SenseKey::UnitAttention, 0x2a, 0x09);
    const RELEASED: Sense = Sense::new(scsi::SenseKey::UnitAttention, 0x2a, 0x04);
    const LUNS: Sense = Sense::new(scsi::SenseKey::UnitAttention, 0x3f, 0x0e);

    fn with(conditions: &[Sense]) -> Attentions {
        let attentions = Attentions::default();
        conditions.iter().for_each(|condition| attentions.establish(*condition));
        attentions
    }

    fn told(attentions: &Attentions) -> Vec<Sense> {
        std::iter::from_fn(|| attentions.take()).collect()
    }

    #[test]
    fn resets_are_told_first_and_parameters_before_the_rest() {
        let attentions = with(&[LUNS, CAPACITY, RELEASED, RESET]);
        assert_eq!(told(&attentions), [RESET, CAPACITY, RELEASED, LUNS]);
    }

    #[test]
    fn a_condition_is_told_once_however_often_it_came() {
        assert_eq!(told(&with(&[CAPACITY, LUNS, CAPACITY])), [CAPACITY, LUNS]);
    }

    #[test]
    fn telling_drops_the_first_alone() {
        let attentions = with(&[RESET, LUNS]);
        assert_eq!(attentions.report(UaInterlock::Clear), Some(RESET));
        assert!(attentions.gate().load().has_attention());
        assert_eq!(attentions.report(UaInterlock::Clear), Some(LUNS));
        assert!(attentions.gate().load().is_open());
    }

    #[test]
    fn an_interlock_keeps_what_was_told_until_request_sense() {
        for interlock in [UaInterlock::Keep, UaInterlock::KeepAndEstablish] {
            let attentions = with(&[RESET]);
            assert_eq!(attentions.report(interlock), Some(RESET));
            assert_eq!(attentions.report(interlock), Some(RESET));
            assert_eq!(attentions.take(), Some(RESET));
            assert_eq!(attentions.report(interlock), None);
        }
    }

    #[test]
    fn what_is_taken_back_is_not_told() {
        let attentions = with(&[LUNS, CAPACITY]);
        attentions.clear(LUNS);
        assert_eq!(told(&attentions), [CAPACITY]);
    }

    #[test]
    fn no_more_wait_than_the_bound() {
        let attentions = Attentions::default();
        for ascq in 0..=u8::MAX {
            attentions.establish(Sense::new(scsi::SenseKey::UnitAttention, 0x3f, ascq));
        }
        assert_eq!(told(&attentions).len(), 64);
    }
}
