// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What initiators have changed of a unit's modes: where they differ from what the administrator set.
//!
//! Above: `unit_state`, which has those in force and those that were saved; `logical_unit`, which puts them over its own;
//! MODE SELECT, which puts what was sent over them.
//! Below: nothing.
//! Never here: bytes of pages.
//!
//! An attribute of the administrator and a mode page may say different things about one bit.  The later of the two
//! counts: MODE SELECT leaves a difference here, and an attribute that is set takes it away.

use scsi::mode::{Modes, Selection, UaInterlock};

/// What differs from the administrator's values; all of it fits a word, so that a command can look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModeChanges {
    /// WCE.
    pub write_cache: Option<bool>,
    /// DRA.
    pub no_read_ahead: Option<bool>,
    /// D_SENSE.
    pub d_sense: Option<bool>,
    /// TAS.
    pub tas: Option<bool>,
    /// UA_INTLCK_CTRL.
    pub ua_interlock: Option<UaInterlock>,
}

impl ModeChanges {
    /// One of each, whatever it is.
    pub(crate) const ALL: Self = Self {
        write_cache: Some(false),
        no_read_ahead: Some(false),
        d_sense: Some(false),
        tas: Some(false),
        ua_interlock: Some(UaInterlock::Clear),
    };

    /// Those of these that `others` has too, whatever it has.
    pub(crate) fn among(&self, others: &Self) -> Self {
        Self {
            write_cache: self.write_cache.filter(|_| others.write_cache.is_some()),
            no_read_ahead: self.no_read_ahead.filter(|_| others.no_read_ahead.is_some()),
            d_sense: self.d_sense.filter(|_| others.d_sense.is_some()),
            tas: self.tas.filter(|_| others.tas.is_some()),
            ua_interlock: self.ua_interlock.filter(|_| others.ua_interlock.is_some()),
        }
    }

    /// These, and of what they have not, what `others` have.
    fn or(&self, others: &Self) -> Self {
        Self {
            write_cache: self.write_cache.or(others.write_cache),
            no_read_ahead: self.no_read_ahead.or(others.no_read_ahead),
            d_sense: self.d_sense.or(others.d_sense),
            tas: self.tas.or(others.tas),
            ua_interlock: self.ua_interlock.or(others.ua_interlock),
        }
    }

    /// Those of these that `others` has not.
    fn without(&self, others: &Self) -> Self {
        Self {
            write_cache: self.write_cache.filter(|_| others.write_cache.is_none()),
            no_read_ahead: self.no_read_ahead.filter(|_| others.no_read_ahead.is_none()),
            d_sense: self.d_sense.filter(|_| others.d_sense.is_none()),
            tas: self.tas.filter(|_| others.tas.is_none()),
            ua_interlock: self.ua_interlock.filter(|_| others.ua_interlock.is_none()),
        }
    }

    /// What makes `wanted` of `own`.
    #[must_use]
    pub fn between(own: &Modes, wanted: &Modes) -> Self {
        fn differs<T: PartialEq + Copy>(own: T, wanted: T) -> Option<T> {
            (own != wanted).then_some(wanted)
        }
        Self {
            write_cache: differs(own.write_cache, wanted.write_cache),
            no_read_ahead: differs(own.no_read_ahead, wanted.no_read_ahead),
            d_sense: differs(own.d_sense, wanted.d_sense),
            tas: differs(own.tas, wanted.tas),
            ua_interlock: differs(own.ua_interlock, wanted.ua_interlock),
        }
    }

    /// What is in force where the administrator set `own`.
    #[must_use]
    pub fn over(&self, own: Modes) -> Modes {
        Modes {
            write_cache: self.write_cache.unwrap_or(own.write_cache),
            no_read_ahead: self.no_read_ahead.unwrap_or(own.no_read_ahead),
            d_sense: self.d_sense.unwrap_or(own.d_sense),
            tas: self.tas.unwrap_or(own.tas),
            ua_interlock: self.ua_interlock.unwrap_or(own.ua_interlock),
        }
    }

    /// Two bits each: whether it is there, and the value; UA_INTLCK_CTRL has three.
    #[must_use]
    pub fn word(&self) -> u32 {
        let bit = |value: Option<bool>| value.map_or(0, |value| 0b10 | u32::from(value));
        let interlock = self.ua_interlock.map_or(0, |interlock| 0b100 | interlock as u32);
        bit(self.write_cache)
            | bit(self.no_read_ahead) << 2
            | bit(self.d_sense) << 4
            | bit(self.tas) << 6
            | interlock << 8
    }

    /// Reads [`ModeChanges::word`] back.
    #[must_use]
    pub fn of_word(word: u32) -> Self {
        let bit = |at: u32| (word >> at & 0b10 != 0).then_some(word >> at & 1 != 0);
        let ua_interlock = match word >> 8 & 0b111 {
            0b100 => Some(UaInterlock::Clear),
            0b110 => Some(UaInterlock::Keep),
            0b111 => Some(UaInterlock::KeepAndEstablish),
            _ => None,
        };
        Self { write_cache: bit(0), no_read_ahead: bit(2), d_sense: bit(4), tas: bit(6), ua_interlock }
    }
}

/// What an initiator selects: the values of the pages that it sent, whatever else is changed meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Selected {
    /// One of each that was sent, be it as the administrator has it.
    pub sent: ModeChanges,
    /// What the administrator set.
    pub own: Modes,
}

impl Selected {
    /// What was sent of these pages, where the administrator set `own`.
    pub(crate) fn of(selection: &Selection, own: Modes) -> Self {
        let Selection { modes, caching, control } = *selection;
        let sent = ModeChanges {
            write_cache: caching.then_some(modes.write_cache),
            no_read_ahead: caching.then_some(modes.no_read_ahead),
            d_sense: control.then_some(modes.d_sense),
            tas: control.then_some(modes.tas),
            ua_interlock: control.then_some(modes.ua_interlock),
        };
        Self { sent, own }
    }

    /// What differs from the administrator's values afterwards, where `before` does now.
    pub(crate) fn over(&self, before: &ModeChanges) -> ModeChanges {
        self.over_counting(before, &ModeChanges::ALL)
    }

    /// The same, but for what was sent and is not in `count`: that is as the administrator has it.
    pub(crate) fn over_counting(&self, before: &ModeChanges, count: &ModeChanges) -> ModeChanges {
        // Of what was not sent, the administrator may have another value by now than when this was.
        let differs = ModeChanges::between(&self.own, &self.sent.over(self.own));
        differs.among(count).or(&before.without(&self.sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Modes = Modes {
        write_cache: true,
        no_read_ahead: true,
        d_sense: false,
        tas: true,
        ua_interlock: UaInterlock::Clear,
    };

    #[test]
    fn what_differs_comes_back_out_of_the_word_and_over_the_administrators_values() {
        let others = [
            Modes { write_cache: false, ..OWN },
            Modes { no_read_ahead: false, d_sense: true, ..OWN },
            Modes { tas: false, ua_interlock: UaInterlock::Keep, ..OWN },
            Modes { ua_interlock: UaInterlock::KeepAndEstablish, ..OWN },
            OWN,
        ];
        for wanted in others {
            let changes = ModeChanges::between(&OWN, &wanted);
            assert_eq!(ModeChanges::of_word(changes.word()), changes);
            assert_eq!(changes.over(OWN), wanted);
        }
        assert_eq!(ModeChanges::between(&OWN, &OWN).word(), 0);
    }

    #[test]
    fn a_page_that_was_not_sent_stays_whatever_the_administrator_had_when_another_was() {
        let before = ModeChanges { tas: Some(false), ..ModeChanges::default() };
        let own = Modes { tas: false, ..OWN };
        let selection =
            Selection { modes: Modes { write_cache: false, ..own }, caching: true, control: false };
        let after = Selected::of(&selection, own).over(&before);
        assert_eq!(after, ModeChanges { write_cache: Some(false), ..before });
    }
}
