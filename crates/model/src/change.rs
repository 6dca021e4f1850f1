// SPDX-License-Identifier: Apache-2.0 OR MIT
//! THE list of what may happen to the configuration.
//!
//! Above: the doors, which make these.  Below: `apply`, which makes them happen.
//! Never here: a door's own words.

use crate::name::shown;
use crate::{
    AclPlace, AluaGroup, AluaGroupName, AluaGroups, Attribute, Backstore, BackstoreId, Foreign, Key, Lun,
    LunAluaSetting, LunMapping, MappedLun, Place, RelativePort, Tpg, TpgTag, UnitSerial, Wwn,
};
use std::collections::BTreeMap;
use std::fmt;

/// Everything that may happen to the configuration.
///
/// Whatever is made up (names, serial numbers, aliases, free numbers) is filled in already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds a backstore.  Its name must be new in its kind, its file or device in no other backstore.
    CreateBackstore(Backstore),
    /// Removes a backstore that no LUN shows.
    DeleteBackstore(BackstoreId),
    /// Sets an attribute; some only while no LUN shows the backstore.
    SetAttribute {
        /// Of which backstore.
        backstore: BackstoreId,
        /// LIO's name for it.
        attribute: String,
        /// The value as typed.
        value: String,
    },
    /// Gives a backstore another size, also while LUNs show it.  A file grows unless it has that size already; a device
    /// must have that size before; of a ramdisk what it held is kept.
    Resize {
        /// Which backstore.
        backstore: BackstoreId,
        /// The size that it is to have, in bytes; of a ramdisk rounded up to whole pages.
        size_bytes: u64,
        /// Whether it may be smaller than before: what is beyond is lost.
        shrink: bool,
    },
    /// Takes note of what a guest has saved of the mode pages (SPC-4, MODE SELECT), exported or not.
    SelectModes {
        /// Of the backstores with this unit serial number.
        serial: UnitSerial,
        /// What is otherwise than the administrator has it: attributes of which a mode page says the same.
        saved: Vec<(Key, u32)>,
    },
    /// Says who a backstore that no LUN shows says that it is.
    SetIdentity {
        /// Which backstore.
        backstore: BackstoreId,
        /// LIO's name for what is said.
        attribute: String,
        /// The text as typed; an empty one takes back what was said.
        value: String,
    },
    /// Gives a backstore that no LUN shows another serial number.  Files and devices are handed over; what
    /// a ramdisk held is gone.
    SetUnitSerial {
        /// Of which backstore.
        backstore: BackstoreId,
        /// The new one.
        serial: UnitSerial,
    },
    /// Adds a target with its first target port groups.
    CreateTarget {
        /// Its name, which must be new.
        wwn: Wwn,
        /// By tag.  None has LUNs yet: those are changes of their own.
        tpgs: BTreeMap<TpgTag, Tpg>,
    },
    /// Sets an option of a target.
    SetOption {
        /// Of which target.
        wwn: Wwn,
        /// Its name.
        option: String,
        /// The value as typed.
        value: String,
    },
    /// Sets a parameter of a target, which is kept for LIO's tools.
    SetParameter {
        /// Of which target.
        wwn: Wwn,
        /// LIO's name for it.
        parameter: String,
        /// The value as typed.
        value: String,
    },
    /// Removes a target with its target port groups and LUNs.
    DeleteTarget(Wwn),
    /// Adds a target port group.
    CreateTpg {
        /// To which target.
        wwn: Wwn,
        /// Its tag, which must be new in the target.
        tag: TpgTag,
        /// Its nexus and relative port, which must be new; without LUNs.
        tpg: Tpg,
    },
    /// Removes a target port group with its LUNs.
    DeleteTpg {
        /// From which target.
        wwn: Wwn,
        /// Its tag.
        tag: TpgTag,
    },
    /// Shows a backstore to a guest.
    MapLun {
        /// In which target.
        wwn: Wwn,
        /// In which target port group, which must not show the backstore yet.
        tag: TpgTag,
        /// The number, which must be new in the group.
        lun: Lun,
        /// What to show, and how.
        mapping: LunMapping,
    },
    /// Takes a LUN away from a guest, and out of every access control list.
    UnmapLun(Place),
    /// Adds a target port group to a backstore, and to those that share its unit serial number.
    CreateAluaGroup {
        /// To which backstore.
        backstore: BackstoreId,
        /// Its name, which must be new there.
        name: AluaGroupName,
        /// Its id, which must be new there too, and its attributes.
        group: AluaGroup,
    },
    /// Removes a target port group that no LUN is in.
    DeleteAluaGroup {
        /// From which backstore.
        backstore: BackstoreId,
        /// Its name.
        name: AluaGroupName,
    },
    /// Sets an attribute of a target port group.
    SetAluaAttribute {
        /// Of which backstore.
        backstore: BackstoreId,
        /// Of which of its groups.
        group: AluaGroupName,
        /// LIO's name for it.
        attribute: String,
        /// The value as typed.
        value: String,
    },
    /// Says which blocks of a backstore, and of those that share its unit serial number, are reached how through which
    /// target port group.  No group may be LBA dependent where nothing is said.
    SetLbaMap {
        /// Of which backstore.
        backstore: BackstoreId,
        /// The map as typed; an empty text takes it back.
        map: String,
    },
    /// Gives a backstore, and those that share its unit serial number, these target port groups in place of those that
    /// they have.  No LUN may be in one that goes.
    PutAluaGroups {
        /// Which backstore.
        backstore: BackstoreId,
        /// All of them, whatever state they are in.
        groups: AluaGroups,
    },
    /// Sets what a LUN has of asymmetric access.
    SetLunAlua {
        /// Which LUN.
        place: Place,
        /// What of it.
        setting: LunAluaSetting,
    },
    /// Changes states as a guest asks for it (SPC-4, SET TARGET PORT GROUPS).
    AlterAlua {
        /// Of the backstores with this unit serial number.
        serial: UnitSerial,
        /// The id of each group, and the state that it is to be in.
        states: Vec<(u16, u32)>,
        /// The ports that are to be offline.
        offline: Vec<RelativePort>,
    },
    /// Adds a group of logical units.
    CreateLuGroup {
        /// Its name, which must be new.
        name: AluaGroupName,
        /// Its id, which must be new.
        id: u16,
    },
    /// Removes a group of logical units that no backstore is in.
    DeleteLuGroup(AluaGroupName),
    /// Puts a backstore into a group of logical units.
    SetLuGroup {
        /// Which backstore.
        backstore: BackstoreId,
        /// Which group.
        group: AluaGroupName,
    },
    /// Adds an access control list without mapped LUNs.  If it is the nexus's, the guest sees nothing then.
    CreateAcl(AclPlace),
    /// Removes an access control list.  If it is the nexus's, the guest sees the LUNs of the group again.
    DeleteAcl(AclPlace),
    /// Shows a LUN of the target port group to an initiator.
    MapAclLun {
        /// In which access control list.
        acl: AclPlace,
        /// Under which number, which must be new in the list.
        lun: Lun,
        /// Which LUN, and how.
        mapped: MappedLun,
    },
    /// Takes a LUN away from an initiator.
    UnmapAclLun {
        /// In which access control list.
        acl: AclPlace,
        /// The number that the initiator sees.
        lun: Lun,
    },
    /// Lets an initiator write to a LUN, or not any more.
    ProtectAclLun {
        /// In which access control list.
        acl: AclPlace,
        /// The number that the initiator sees.
        lun: Lun,
        /// Whether it may only read.
        write_protect: bool,
    },
    /// Keeps other things of LIO than before.
    KeepForeign {
        /// What must be kept until then: two restores must not lose each other's things.
        was: Foreign,
        /// What is kept from then on.
        is: Foreign,
    },
}

/// The most states of a guest's wish that a line names.
const ALTERED_SHOWN_MAX: usize = 4;

/// In a few words, for a log.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBackstore(backstore) => write!(f, "create storage object {}", backstore.id()),
            Self::DeleteBackstore(id) => write!(f, "delete storage object {id}"),
            Self::SetAttribute { backstore, attribute, value } => {
                // What was typed has passed the attribute's rule only if the change was made.
                let (attribute, value) = (shown(attribute), shown(value));
                write!(f, "set {attribute}={value} on storage object {backstore}")
            }
            Self::SetIdentity { backstore, attribute, value } => {
                let (attribute, value) = (shown(attribute), shown(value));
                write!(f, "set {attribute}='{value}' on storage object {backstore}")
            }
            Self::Resize { backstore, size_bytes, shrink: _ } => {
                write!(f, "resize storage object {backstore} to {size_bytes} bytes")
            }
            Self::SetUnitSerial { backstore, serial } => {
                write!(f, "set serial number {serial} on storage object {backstore}")
            }
            Self::CreateTarget { wwn, tpgs: _ } => write!(f, "create target {wwn}"),
            Self::SetOption { wwn, option, value } => {
                let (option, value) = (shown(option), shown(value));
                write!(f, "set {option}={value} on target {wwn}")
            }
            Self::SetParameter { wwn, parameter, value } => {
                let (parameter, value) = (shown(parameter), shown(value));
                write!(f, "set parameter {parameter}={value} on target {wwn}")
            }
            Self::DeleteTarget(wwn) => write!(f, "delete target {wwn}"),
            Self::CreateTpg { wwn, tag, tpg: _ } => write!(f, "create TPG {wwn}/tpg{tag}"),
            Self::DeleteTpg { wwn, tag } => write!(f, "delete TPG {wwn}/tpg{tag}"),
            Self::MapLun { wwn, tag, lun, mapping } => {
                let place = Place { wwn: wwn.clone(), tag: *tag, lun: *lun };
                write!(f, "map {} to LUN {place}", mapping.backstore)
            }
            Self::UnmapLun(place) => write!(f, "unmap LUN {place}"),
            Self::CreateAcl(acl) => write!(f, "create node ACL {acl}"),
            Self::DeleteAcl(acl) => write!(f, "delete node ACL {acl}"),
            Self::MapAclLun { acl, lun, mapped } => {
                write!(f, "map LUN {} to mapped LUN {acl}/mapped_lun{lun}", mapped.of)
            }
            Self::UnmapAclLun { acl, lun } => write!(f, "unmap mapped LUN {acl}/mapped_lun{lun}"),
            Self::ProtectAclLun { acl, lun, write_protect } => {
                write!(f, "set write_protect={write_protect} on mapped LUN {acl}/mapped_lun{lun}")
            }
            Self::KeepForeign { was: _, is } => {
                write!(f, "keep {} things that are not served", is.things().len())
            }
            other => other.say_alua(f),
        }
    }
}

impl Change {
    /// Whether a guest asks for it, and not the administrator: guests may do so as often as they like.
    #[must_use]
    pub fn is_of_guest(&self) -> bool {
        matches!(self, Self::SelectModes { .. } | Self::AlterAlua { .. })
    }

    /// Those of asymmetric access, and of guests.
    fn say_alua(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateAluaGroup { backstore, name, group } => {
                write!(f, "create ALUA group {name} ({}) of storage object {backstore}", group.id)
            }
            Self::DeleteAluaGroup { backstore, name } => {
                write!(f, "delete ALUA group {name} of storage object {backstore}")
            }
            Self::SetAluaAttribute { backstore, group, attribute, value } => {
                let (attribute, value) = (shown(attribute), shown(value));
                write!(f, "set {attribute}={value} on ALUA group {group} of storage object {backstore}")
            }
            Self::SetLbaMap { backstore, map } => {
                write!(f, "set lba_map='{}' on storage object {backstore}", shown(map))
            }
            Self::PutAluaGroups { backstore, groups } => {
                write!(f, "give {} ALUA groups to storage object {backstore}", groups.iter().count())
            }
            Self::SetLunAlua { place, setting } => match setting {
                LunAluaSetting::Group(group) => write!(f, "put LUN {place} into ALUA group {group}"),
                LunAluaSetting::Offline(offline) => write!(f, "set offline={offline} on LUN {place}"),
                LunAluaSetting::Status(_) | LunAluaSetting::WriteMetadata(_) => {
                    write!(f, "set what is kept of LUN {place}")
                }
            },
            Self::AlterAlua { serial, states, offline } => {
                write!(f, "as a guest asks, on the unit {serial}:")?;
                let states = states.iter().map(|(id, state)| format!(" ALUA group {id} to state {state}"));
                let ports = offline.iter().map(|port| format!(" port {port} offline"));
                let all: Vec<String> = states.chain(ports).take(ALTERED_SHOWN_MAX).collect();
                write!(f, "{}", all.join(","))
            }
            Self::CreateLuGroup { name, id } => write!(f, "create LU group {name} ({id})"),
            Self::DeleteLuGroup(name) => write!(f, "delete LU group {name}"),
            Self::SetLuGroup { backstore, group } => {
                write!(f, "put storage object {backstore} into LU group {group}")
            }
            Self::SelectModes { serial, saved } => {
                write!(f, "as a guest saved it, on the unit {serial}:")?;
                let words = saved.iter().map(|(key, value)| format!(" {}={value}", Attribute::of(*key).name));
                let all: Vec<String> = words.collect();
                f.write_str(if all.is_empty() { " as configured" } else { "" })?;
                write!(f, "{}", all.join(","))
            }
            other => unreachable!("`fmt` says {other:?} itself"),
        }
    }
}
