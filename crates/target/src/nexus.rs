// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who speaks: one initiator port, through one target port.
//!
//! Above: `lun_map`, which has one for each target port group; `unit_state`, which knows registrations by it.
//! Below: nothing.
//! Never here: a connection.  A nexus is configured; it is there whether a guest is or not, so that what belongs to it
//! outlasts the guest.

use scsi::persistent;
use scsi::vpd::Port;

/// An I_T nexus: the initiator that stands for the guest, and the target port group that it reaches.  SAM-5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nexus {
    name: NexusName,
    number: NexusNumber,
    target: String,
    tag: u8,
}

/// What a registration knows a nexus by: the same after every restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NexusName {
    /// The name of the initiator port, such as `naa.6001405000000001`.
    pub initiator: String,
    /// RELATIVE TARGET PORT IDENTIFIER, 1 to 65535.  No two target port groups of the process have the same.
    pub relative_port: u16,
}

/// The same in numbers, for what is looked at with every command: as guests know it by TransportID and port.  No name that
/// can be configured has the number of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NexusNumber {
    /// The number in the name of the initiator port.
    pub initiator: u64,
    /// RELATIVE TARGET PORT IDENTIFIER.
    pub relative_port: u16,
}

impl NexusName {
    /// Its number.
    pub fn number(&self) -> NexusNumber {
        let initiator = persistent::number_of(&self.initiator);
        NexusNumber { initiator, relative_port: self.relative_port }
    }
}

impl Nexus {
    /// The nexus of `initiator` with the target port group `tag` of `target`.
    pub fn new(initiator: impl Into<String>, target: impl Into<String>, tag: u8, relative_port: u16) -> Self {
        let name = NexusName { initiator: initiator.into(), relative_port };
        let number = name.number();
        Self { name, number, target: target.into(), tag }
    }

    /// What registrations know it by.
    pub fn name(&self) -> &NexusName {
        &self.name
    }

    /// What commands under way know it by.
    pub fn number(&self) -> NexusNumber {
        self.number
    }

    /// The name of the target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The tag of the target port group.
    pub fn tag(&self) -> u8 {
        self.tag
    }

    /// The target port as VPD page 83h names it.
    pub fn port(&self) -> Port {
        Port {
            target_wwn: self.target.clone(),
            tpg_tag: u16::from(self.tag),
            relative_port: self.name.relative_port,
            tg_pt_group: None,
            lu_group: None,
        }
    }
}
