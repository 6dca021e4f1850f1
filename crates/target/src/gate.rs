// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One word that says whether anything stands between a nexus and a unit.
//!
//! Above: `admission`, which loads it for each command; `attentions` and `unit_state`, which set its bits.
//! Below: an atomic.
//! Never here: what is to be done about a bit.
//!
//! A command of a nexus for which nothing is pending costs one load and one comparison with zero.

use std::sync::atomic::{AtomicU32, Ordering};

/// A unit attention is pending.
const ATTENTION: u32 = 1;
/// What a reservation of another nexus bars: a [`Barred`].
const BARRED: u32 = 0b110;
const BARRED_AT: u32 = 1;
/// The asymmetric access state of the unit through this port: 0 where every command passes.
const ACCESS_STATE: u32 = 0xf0;
const ACCESS_STATE_AT: u32 = 4;

/// What a reservation bars one nexus from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Barred {
    /// Nothing: there is no reservation, or this nexus may do what its holder may.
    #[default]
    Nothing = 0,
    /// A persistent reservation, exclusive for writing.
    Writing = 1,
    /// A persistent reservation, exclusive for every access.
    Accessing = 2,
    /// RESERVE of another nexus.
    Legacy = 3,
}

/// The word of one nexus and one unit.
#[derive(Debug, Default)]
pub struct Gate(AtomicU32);

/// A [`Gate`] as it was once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(u32);

impl Gate {
    /// The word now.
    pub fn load(&self) -> Word {
        Word(self.0.load(Ordering::Acquire))
    }

    /// Sets whether an attention is pending.
    pub(crate) fn set_attention(&self, pending: bool) {
        self.set(ATTENTION, u32::from(pending));
    }

    /// Sets what a reservation bars this nexus from.
    pub(crate) fn set_barred(&self, barred: Barred) {
        self.set(BARRED, (barred as u32) << BARRED_AT);
    }

    /// Sets the asymmetric access state, of 4 bits; 0 is active/optimized.
    pub fn set_access_state(&self, state: u8) {
        self.set(ACCESS_STATE, u32::from(state) << ACCESS_STATE_AT);
    }

    fn set(&self, field: u32, value: u32) {
        // Release: who sees the bit sees what it stands for.
        let _ = self
            .0
            .fetch_update(Ordering::Release, Ordering::Relaxed, |word| Some(word & !field | value & field));
    }
}

impl Word {
    /// Whether nothing stands in the way of any command.
    pub fn is_open(self) -> bool {
        self.0 == 0
    }

    /// Whether an attention is pending.
    pub fn has_attention(self) -> bool {
        self.0 & ATTENTION != 0
    }

    /// What a reservation bars this nexus from.
    pub fn barred(self) -> Barred {
        match (self.0 & BARRED) >> BARRED_AT {
            0 => Barred::Nothing,
            1 => Barred::Writing,
            2 => Barred::Accessing,
            _ => Barred::Legacy,
        }
    }

    /// The asymmetric access state.
    pub fn access_state(self) -> u8 {
        u8::try_from((self.0 & ACCESS_STATE) >> ACCESS_STATE_AT).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Barred, Gate};

    #[test]
    fn a_new_gate_is_open() {
        assert!(Gate::default().load().is_open());
    }

    #[test]
    fn each_field_is_set_and_taken_back_without_the_others() {
        let gate = Gate::default();
        gate.set_attention(true);
        gate.set_access_state(0xf);
        for barred in [Barred::Writing, Barred::Accessing, Barred::Legacy, Barred::Nothing] {
            gate.set_barred(barred);
            let word = gate.load();
            assert_eq!((word.barred(), word.has_attention(), word.access_state()), (barred, true, 0xf));
        }
        gate.set_attention(false);
        assert!(!gate.load().is_open());
        gate.set_access_state(0);
        assert!(gate.load().is_open());
    }
}
