// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The queue of one nexus at one LUN.
//!
//! Above: nothing.  Below: `attentions`, which `tests/schedules.rs` compiles once more, and so has no tests in it.
//! Never here: threads.

use crate::attentions::*;
use scsi::Sense;
use scsi::mode::UaInterlock;

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
fn changed_mode_parameters_wait_for_a_reset_and_for_nobody_else_that_came_later() {
    const MODE: Sense = Sense::new(scsi::SenseKey::UnitAttention, 0x2a, 0x01);
    let bytes = |conditions: &[Sense]| {
        told(&with(conditions)).iter().map(|sense| [sense.asc, sense.ascq]).collect::<Vec<_>>()
    };
    assert_eq!(bytes(&[MODE, RESET]), [[0x29, 0x03], [0x2a, 0x01]]);
    assert_eq!(bytes(&[LUNS, MODE]), [[0x2a, 0x01], [0x3f, 0x0e]]);
    assert_eq!(bytes(&[MODE, CAPACITY, RELEASED]), [[0x2a, 0x01], [0x2a, 0x09], [0x2a, 0x04]]);
    assert_eq!(bytes(&[RELEASED, CAPACITY, MODE]), [[0x2a, 0x04], [0x2a, 0x09], [0x2a, 0x01]]);
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
