// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a unit has of asymmetric access: its target port groups as they are now.
//!
//! Above: `unit_state`, which has one for all who reach the unit; the commands that tell and set it; `lunard`, which makes it.
//! Below: `scsi::alua` for states and bytes.
//! Never here: a change.  Whoever owns the configuration makes a new value, and the gates follow.

use crate::modes::ModeChanges;
use crate::nexus::NexusName;
use scsi::Sense;
use scsi::alua::{PortGroup, Wanted};
use scsi::referrals::Referrals;
use std::sync::Arc;
use std::time::Duration;

/// Who changes states as a guest asks for it.
pub trait Steer: Send + Sync {
    /// Has the unit with this serial number be in the states that `nexus` asks for: all of them or none.  They are kept
    /// when this returns, which may take as long as a disk does.
    ///
    /// # Errors
    /// The sense to end the command with; then nothing has changed.
    fn alter(&self, serial: &str, nexus: &NexusName, wanted: &[Wanted]) -> Result<(), Sense>;

    /// Takes note that an initiator has saved these modes of the unit with this serial number: what is otherwise than the
    /// administrator set it.  It is kept when this returns, which may take as long as a disk does.
    ///
    /// # Errors
    /// The sense to end the command with; then nothing has changed.
    fn save_modes(&self, _serial: &str, _saved: &ModeChanges) -> Result<(), Sense> {
        Ok(())
    }
}

/// One target port group of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessGroup {
    /// As initiators are told of it.
    pub told: PortGroup,
    /// IMPLICIT TRANSITION TIME in seconds; 0 where nothing is said.
    pub implicit_transition_seconds: u8,
    /// How long a change takes.
    pub transition_delay: Duration,
}

/// The target port groups of a unit.  Without any, asymmetric access is not there.
#[derive(Clone, Default)]
pub struct Alua {
    /// Ordered by id.
    pub groups: Vec<AccessGroup>,
    /// Which blocks are reached how, where that differs.
    pub referrals: Option<Arc<Referrals>>,
    /// Who changes states; nobody can where it is absent.
    pub steer: Option<Arc<dyn Steer>>,
}

/// The groups that a unit is in through one port, as its LUN map has them: what commands need of them is here, so that none
/// has to ask the unit for it, and what INQUIRY says of them is told with the map when it is another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// TARGET PORT GROUP.
    pub group: u16,
    /// LOGICAL UNIT GROUP.
    pub lu_group: u16,
    /// TPGS bit 0: states change by themselves.
    pub implicit: bool,
    /// TPGS bit 1: SET TARGET PORT GROUPS is there.
    pub explicit: bool,
    /// MULTIP: the unit is reached through other ports too.
    pub multi_port: bool,
    /// How long a transfer waits while the group is active/non-optimized.
    pub non_optimized_delay: Duration,
    /// R_SUP: which blocks are reached how, where that differs.
    pub referrals: Option<Arc<Referrals>>,
}

impl Alua {
    /// The group with this id.
    #[must_use]
    pub fn group(&self, id: u16) -> Option<&AccessGroup> {
        self.groups.iter().find(|group| group.told.id == id)
    }
}
