// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a LUN has of asymmetric access: its target port group, and whether it is offline.
//!
//! Above: `target`, which has these; `apply/alua.rs`, which changes them; the doors.
//! Below: `alua`, for the names of groups.
//! Never here: whether a group is there; `apply` knows.

use crate::kernel_number::kernel_u32;
use crate::name::shown;
use crate::{AluaGroupName, Place, Refusal};

/// Who put a LUN offline, or back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LunAluaStatus {
    /// Nobody ever has.
    #[default]
    Nobody,
    /// A guest.
    Guest,
    /// The administrator.
    Administrator,
}

impl LunAluaStatus {
    /// LIO's number for it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Nobody => 0,
            Self::Guest => 1,
            Self::Administrator => 2,
        }
    }

    /// From LIO's number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Nobody, Self::Guest, Self::Administrator]
            .into_iter()
            .find(|is| u32::from(is.number()) == number)
    }
}

/// What a LUN has of asymmetric access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunAlua {
    /// The target port group of its backstore that it is in.
    pub group: AluaGroupName,
    /// Whether nothing reaches the backstore this way: the secondary state.
    pub offline: bool,
    /// Who changed that last.
    pub status: LunAluaStatus,
    /// Kept for LIO's tools.
    pub write_metadata: bool,
}

impl Default for LunAlua {
    fn default() -> Self {
        let group = AluaGroupName::default_group();
        Self { group, offline: false, status: LunAluaStatus::Nobody, write_metadata: false }
    }
}

/// One thing to set of a LUN's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LunAluaSetting {
    /// The target port group that it is in.
    Group(AluaGroupName),
    /// Whether it is offline.
    Offline(bool),
    /// Who changed that last.
    Status(LunAluaStatus),
    /// What is kept for LIO's tools.
    WriteMetadata(bool),
}

/// LIO's names of what a LUN has of asymmetric access, in targetcli's order.
pub const LUN_ALUA_ATTRIBUTES: [&str; 4] =
    ["alua_tg_pt_gp_name", "alua_tg_pt_offline", "alua_tg_pt_status", "alua_tg_pt_write_md"];

impl LunAluaSetting {
    /// One of [`LUN_ALUA_ATTRIBUTES`] of a LUN, as typed.
    ///
    /// # Errors
    /// [`Refusal::NoSuchLunAlua`], [`Refusal::LunAluaValue`] or [`Refusal::AluaNameInvalid`].
    pub fn parse(place: &Place, attribute: &str, text: &str) -> Result<Self, Refusal> {
        let [group, offline, status, write_md] = LUN_ALUA_ATTRIBUTES;
        let number = kernel_u32(text);
        let refused = |attribute, values| Refusal::LunAluaValue {
            place: place.clone(),
            attribute,
            value: shown(text),
            values,
        };
        let switch = |attribute| match number {
            Some(number @ 0..=1) => Ok(number == 1),
            _ => Err(refused(attribute, "0 or 1")),
        };
        if attribute == group {
            // A name is looked for without the space around it (`strstrip`), a number is not.
            let name = text.trim();
            let is_default = name.is_empty() || name == "NULL";
            let name =
                if is_default { Ok(AluaGroupName::default_group()) } else { AluaGroupName::parse(name) };
            Ok(Self::Group(name?))
        } else if attribute == offline {
            Ok(Self::Offline(switch(offline)?))
        } else if attribute == status {
            let known = number.and_then(LunAluaStatus::from_number);
            Ok(Self::Status(known.ok_or_else(|| refused(status, "0 to 2"))?))
        } else if attribute == write_md {
            Ok(Self::WriteMetadata(switch(write_md)?))
        } else {
            Err(Refusal::NoSuchLunAlua { place: place.clone(), attribute: shown(attribute) })
        }
    }
}

impl LunAlua {
    /// One of [`LUN_ALUA_ATTRIBUTES`], as it is read; nothing for another name.
    #[must_use]
    pub fn text(&self, attribute: &str) -> Option<String> {
        let [group, offline, status, write_md] = LUN_ALUA_ATTRIBUTES;
        let switch = |on: bool| u8::from(on).to_string();
        match attribute {
            name if name == group => Some(self.group.to_string()),
            name if name == offline => Some(switch(self.offline)),
            name if name == status => Some(self.status.number().to_string()),
            name if name == write_md => Some(switch(self.write_metadata)),
            _ => None,
        }
    }

    /// As the administrator wants it; whether the group is there is for others to know.
    pub fn set(&mut self, setting: LunAluaSetting) {
        match setting {
            LunAluaSetting::Group(group) => self.group = group,
            LunAluaSetting::Offline(offline) => {
                if self.offline != offline {
                    self.status = LunAluaStatus::Administrator;
                }
                self.offline = offline;
            }
            LunAluaSetting::Status(status) => self.status = status,
            LunAluaSetting::WriteMetadata(write_metadata) => self.write_metadata = write_metadata,
        }
    }

    /// As a guest asks for it.
    pub(crate) fn take_offline(&mut self) {
        self.offline = true;
        self.status = LunAluaStatus::Guest;
    }
}
