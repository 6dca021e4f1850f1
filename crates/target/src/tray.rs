// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the medium of a unit is in, and whether the unit has been started.  SBC-3, START STOP UNIT, removable medium.
//!
//! Above: `unit_state`, which keeps one for each unit; START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL; the administrator.
//! Below: nothing.
//! Never here: which commands need a medium.

use crate::nexus::NexusName;
use scsi::{Sense, StartStop};
use std::collections::BTreeSet;

/// What a unit remembers of its medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tray {
    /// The medium is out.
    pub ejected: bool,
    /// The unit was stopped, and waits to be started.
    pub stopped: bool,
    /// Who keeps the medium from being moved.
    pub kept_by: BTreeSet<NexusName>,
}

/// Who moves a medium.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// An initiator.
    Nexus(&'a NexusName),
    /// The administrator, where somebody keeps the medium in only if he insists.
    Administrator {
        /// Whether he does.
        force: bool,
    },
}

/// Whether a command that needs the medium can have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Readiness {
    /// It can.
    #[default]
    Ready = 0,
    /// The unit was stopped.
    Stopped = 1,
    /// The medium is out.
    Ejected = 2,
}

impl Tray {
    /// Does what START STOP UNIT asks for.  Returns whether a medium came in, so that everyone else has to be told.
    ///
    /// # Errors
    /// MEDIUM NOT PRESENT for a start without a medium; MEDIUM REMOVAL PREVENTED if the medium would move, either way,
    /// while anybody keeps it where it is.
    pub fn obey(&mut self, action: StartStop) -> Result<bool, Sense> {
        let moves = match action {
            StartStop::Start if self.ejected => return Err(Sense::MEDIUM_NOT_PRESENT),
            StartStop::Start | StartStop::Stop => false,
            StartStop::Load => self.ejected,
            StartStop::Eject => !self.ejected,
        };
        if moves && !self.kept_by.is_empty() {
            return Err(Sense::MEDIUM_REMOVAL_PREVENTED);
        }
        self.ejected ^= moves;
        self.stopped = action == StartStop::Stop && !self.ejected;
        Ok(moves && !self.ejected)
    }

    /// Does what the administrator wants: he puts in what he likes, and what he insists to take out is kept by nobody any
    /// more.
    ///
    /// # Errors
    /// As [`Tray::obey`].
    pub fn obey_administrator(&mut self, action: StartStop, force: bool) -> Result<bool, Sense> {
        if action == StartStop::Eject && !force {
            return self.obey(action);
        }
        let kept_by = std::mem::take(&mut self.kept_by);
        let moved = self.obey(action);
        if action != StartStop::Eject {
            self.kept_by = kept_by;
        }
        moved
    }

    /// A nexus keeps the medium where it is, or does so no more.
    pub fn keep(&mut self, nexus: &NexusName, keeps: bool) {
        if keeps {
            self.kept_by.insert(nexus.clone());
        } else {
            self.kept_by.remove(nexus);
        }
    }

    /// The unit was reset: nobody keeps the medium in, and it is started.  SBC-3, PREVENT ALLOW MEDIUM REMOVAL; what was
    /// taken out stays out.
    pub fn reset(&mut self) {
        *self = Self { ejected: self.ejected, ..Self::default() };
    }

    /// Whether a reset changes anything.
    pub fn reset_changes(&self) -> bool {
        self.stopped || !self.kept_by.is_empty()
    }

    /// Whether a command can have the medium.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match (self.ejected, self.stopped) {
            (true, _) => Readiness::Ejected,
            (false, true) => Readiness::Stopped,
            (false, false) => Readiness::Ready,
        }
    }
}

impl Readiness {
    /// Reads what was written as a number.
    pub(crate) fn of(word: u32) -> Self {
        match word {
            0 => Self::Ready,
            1 => Self::Stopped,
            _ => Self::Ejected,
        }
    }

    /// What a command is told that cannot have the medium.
    #[must_use]
    pub fn refusal(self) -> Option<Sense> {
        match self {
            Self::Ready => None,
            Self::Stopped => Some(Sense::INITIALIZING_COMMAND_REQUIRED),
            Self::Ejected => Some(Sense::MEDIUM_NOT_PRESENT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StartStop::{Eject, Load, Start, Stop};

    fn nexus(relative_port: u16) -> NexusName {
        NexusName { initiator: "naa.6001405000000001".into(), relative_port }
    }

    fn code(sense: Sense) -> [u8; 3] {
        [sense.key as u8, sense.asc, sense.ascq]
    }

    #[test]
    fn a_medium_goes_out_and_comes_in_and_only_that_is_news() {
        let mut tray = Tray::default();
        assert_eq!(tray.obey(Load), Ok(false));
        assert_eq!(tray.obey(Eject), Ok(false));
        assert_eq!(tray.readiness(), Readiness::Ejected);
        assert_eq!(tray.obey(Eject), Ok(false));
        assert_eq!(tray.obey(Start).map_err(code), Err([0x02, 0x3a, 0x00]));
        assert_eq!(tray.obey(Stop), Ok(false));
        assert_eq!(tray.obey(Load), Ok(true));
        assert_eq!(tray, Tray::default());
    }

    #[test]
    fn a_stopped_unit_is_started_by_each_way_to_active() {
        for start in [Start, Load] {
            let mut tray = Tray::default();
            tray.obey(Stop).unwrap();
            assert_eq!(tray.readiness(), Readiness::Stopped);
            assert_eq!(tray.obey(start), Ok(false));
            assert_eq!(tray.readiness(), Readiness::Ready);
        }
    }

    #[test]
    fn the_medium_stays_where_it_is_until_everyone_lets_it_go() {
        let mut tray = Tray::default();
        tray.keep(&nexus(1), true);
        tray.keep(&nexus(2), true);
        tray.keep(&nexus(1), false);
        assert_eq!(tray.obey(Eject).map_err(code), Err([0x05, 0x53, 0x02]));
        assert_eq!(tray.obey(Load), Ok(false), "it is in already");
        tray.keep(&nexus(2), false);
        tray.obey(Eject).unwrap();
        tray.keep(&nexus(1), true);
        assert_eq!(tray.obey(Load).map_err(code), Err([0x05, 0x53, 0x02]));
        tray.reset();
        assert_eq!(tray.readiness(), Readiness::Ejected, "a reset moves no medium");
        assert_eq!(tray.obey(Load), Ok(true));
    }
}
