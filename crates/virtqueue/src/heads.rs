// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who has which head: the driver, or we.
//!
//! Above: `ring`.
//! Below: nothing.
//! Never here: the order in which they came; the inflight region knows that.

/// A byte for each head of a ring; one look tells all, where sets would take two.
#[derive(Debug)]
pub(crate) struct Heads {
    states: Box<[State]>,
    in_flight: u16,
}

/// `Free -> Taken -> Answered -> Free`; the last step is the publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The driver's.
    Free,
    /// Ours, and the driver waits for it.
    Taken,
    /// Pushed; the driver does not see it yet.
    Answered,
}

impl Heads {
    /// A ring of `entries` entries, all of them the driver's.
    pub(crate) fn new(entries: u16) -> Self {
        Self { states: vec![State::Free; usize::from(entries)].into_boxed_slice(), in_flight: 0 }
    }

    /// Moves a head from one state to the next. Returns whether it was in the first; one that is no head of this ring
    /// is in none.
    #[inline]
    pub(crate) fn advance(&mut self, head: u16, from: State, to: State) -> bool {
        let Some(state) = self.states.get_mut(usize::from(head)).filter(|state| **state == from) else {
            return false;
        };
        *state = to;
        match (from, to) {
            (State::Free, _) => self.in_flight += 1,
            (_, State::Free) => self.in_flight -= 1,
            _ => {}
        }
        true
    }

    /// Heads that are not the driver's.
    pub(crate) fn in_flight(&self) -> u16 {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::State::{Answered, Free, Taken};
    use super::*;

    #[test]
    fn a_head_goes_round_in_one_direction() {
        let mut heads = Heads::new(65);
        assert!(!heads.advance(64, Taken, Answered));
        assert!(heads.advance(64, Free, Taken));
        assert!(!heads.advance(64, Free, Taken));
        assert_eq!(heads.in_flight(), 1);
        assert!(heads.advance(64, Taken, Answered));
        assert!(!heads.advance(64, Taken, Answered));
        assert_eq!(heads.in_flight(), 1);
        assert!(heads.advance(64, Answered, Free));
        assert_eq!(heads.in_flight(), 0);
    }

    #[test]
    fn a_head_beyond_the_ring_is_in_no_state() {
        let mut heads = Heads::new(64);
        assert!(!heads.advance(64, Free, Taken));
        assert!(!heads.advance(65535, Taken, Answered));
        assert_eq!(heads.in_flight(), 0);
    }
}
