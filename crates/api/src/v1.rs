// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Version 1 of the wire: what may be asked of `lunard`, and what it answers.
//!
//! Above: the client and the server.  Below: `serde`.
//! Never here: a rule.  A value of these types may be nonsense; `model` decides.
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `GET /v1/version` | | [`Version`] |
//! | `GET /v1/config` | | [`Config`] |
//! | `POST /v1/changes` | [`Changes`] | [`Applied`] |
//! | `POST /v1/saveconfig?`[`SaveOptions`] | | [`Saved`] |
//! | `GET /v1/saveconfig` | | LIO's saveconfig.json, as `POST` would write it |
//! | `POST /v1/restoreconfig?`[`RestoreOptions`] | a saveconfig.json; the daemon's own where there is none | [`Restored`] |
//! | `POST /v1/apply?`[`ApplyOptions`] | a saveconfig.json, or what people write in TOML | [`Compared`] |
//! | `POST /v1/clearconfig` | | [`Cleared`] |
//! | `GET /v1/attributes` | | [`AttributeTable`] |
//! | `GET /v1/options` | | [`OptionTable`] |
//!
//! Beside them `GET /openapi.json` describes all this for programs, and `GET /metrics` is for Prometheus.
//!
//! What a request says and this version does not know is refused; what an answer says and a client does not
//! know it must skip, because later versions of `lunard` may say more.
//!
//! A request that is refused changes nothing and is answered with status 4xx (the caller's fault) or
//! 5xx (the host's) and a [`Problem`].

mod alua; // asymmetric access
mod files; // what is saved, restored, compared and applied
mod medium; // in, or out
mod problem; // why a request was refused
mod tables; // which attributes and options there are
mod waiting; // commands that have waited for long
mod wanted; // a backstore that is to be

pub use alua::{AluaGroup, AluaMember, DEFAULT_ALUA_GROUP, DEFAULT_LU_GROUP, LuGroup, LunAlua};
pub use files::{
    Action, ApplyOptions, Backups, Cleared, Compared, Difference, RestoreOptions, Restored,
    SAVECONFIG_BYTES_MAX, SaveOptions, Saved, ValueChange, saveconfig_text,
};

pub use medium::{MoveMedium, Moved};
pub use problem::{Problem, codes};
pub use tables::{AttributeInfo, AttributeTable, OptionInfo, OptionTable};
pub use waiting::Waiting;
pub use wanted::CreateBackstore;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Where the versioned paths begin.
pub const PREFIX: &str = "/v1";

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The version of `lunard`, such as `0.1.0`.
    pub version: String,
    /// The directory that LIO's tree is mounted on, where it is: its `target/` is what LIO's tools expect at
    /// `/sys/kernel/config/target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configfs: Option<String>,
}

/// The whole configuration together with what is known of the running target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Config {
    /// Ordered by kind, then by name.
    pub backstores: Vec<Backstore>,
    /// Ordered by WWN.
    pub targets: Vec<Target>,
    /// The groups of logical units but for the default, ordered by name.
    #[serde(default)]
    pub lu_groups: Vec<LuGroup>,
}

/// The kinds of backstore, in targetcli's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A block device of the host, read and written directly.
    Block,
    /// A file of the host, through its page cache.
    Fileio,
    /// Memory of the daemon; its contents go with the daemon.
    Ramdisk,
}

/// Names one backstore.  A name is unique within its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct BackstoreId {
    /// The kind.
    pub kind: Kind,
    /// The administrator's name for it.
    pub name: String,
}

/// One backstore as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backstore {
    /// Its kind and name.
    #[serde(flatten)]
    pub id: BackstoreId,
    /// The path as the administrator typed it; absent for a ramdisk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The unit serial number, a UUID unless the administrator chose another: targetcli's `wwn`.
    pub unit_serial: String,
    /// The capacity in bytes; for a missing file or device the last one known, or 0.
    pub size_bytes: u64,
    /// The size of a logical block in bytes.
    pub block_bytes: u32,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether a volatile write cache is reported: WCE of the caching page.
    pub write_back: bool,
    /// A ramdisk that keeps nothing.
    pub nullio: bool,
    /// Whether a LUN is mapped to it, or why it is not served.
    pub state: BackstoreState,
    /// Every attribute with its value: a number, except for the few that are text.
    pub attributes: BTreeMap<String, String>,
    /// Who it says that it is, by the names of LIO's `wwn/` directory.
    #[serde(default)]
    pub identity: BTreeMap<String, String>,
    /// `MAJOR:MINOR` and the kernel's name of a block device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<BlockDevice>,
    /// What is known of the space below, where it shares a file system with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Space>,
    /// Its ALUA groups, ordered by name.
    #[serde(default)]
    pub alua_groups: Vec<AluaGroup>,
    /// The group of logical units that it is in.
    #[serde(default = "alua::default_lu_group")]
    pub lu_group: String,
    /// Which blocks are reached how through which ALUA group: the lines of LIO's file, with `; ` between them.  Absent where
    /// nobody set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lba_map: Option<String>,
}

/// The space of a file system that a backstore shares with others, as it was seen within the last seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Space {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What may still be taken, in bytes.
    pub available_bytes: u64,
    /// What is taken for this backstore, in bytes.
    pub used_bytes: u64,
    /// Whether it is scarce: less than a tenth is left, and less than the storage objects on it may still take; or not a
    /// quarter more since. Guests that can give space back were told.
    pub scarce: bool,
}

/// Which device of the host a block backstore is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockDevice {
    /// The kernel's name, such as `dm-0`.
    pub name: String,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

/// Whether a backstore serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackstoreState {
    /// At least one LUN is mapped to it.
    Activated,
    /// No LUN is mapped to it.
    Deactivated,
    /// Its file or device is not there.
    Missing,
    /// Its medium was taken out.
    Ejected,
    /// A guest has stopped it.
    Stopped,
}

/// One target: what a guest connects to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Target {
    /// Its name, `naa.` and 16 hexadecimal digits.
    pub wwn: String,
    /// Where QEMU connects.
    pub socket: String,
    /// While it has no socket why not, and the way out where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_fault: Option<String>,
    /// Whether a front end is connected now.
    pub connected: bool,
    /// Every option of its device with its value, a number.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// What is kept of it for LIO's tools, by LIO's name: `cmd_completion_affinity`, of which nothing follows.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Ordered by tag.
    pub tpgs: Vec<Tpg>,
}

/// One target port group: a SCSI target as the guest sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tpg {
    /// Its tag, which is the SCSI target id in the guest.  0 to 255.
    pub tag: u16,
    /// The initiator's name that stands for the guest.
    pub nexus: String,
    /// Ordered by number.
    pub luns: Vec<Lun>,
    /// Access control lists, ordered by initiator.  One for the nexus decides what the guest sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acls: Vec<Acl>,
    /// Where commands of the guest have waited for long, ordered by LUN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
}

/// What one initiator sees of a target port group, instead of its LUNs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acl {
    /// The initiator's name.
    pub initiator: String,
    /// Ordered by number.
    pub luns: Vec<MappedLun>,
}

/// One LUN of the target port group, as an initiator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MappedLun {
    /// The number that the initiator sees.  0 to 16383.
    pub lun: u16,
    /// Its number in the target port group.
    pub of: u16,
    /// Ten hexadecimal digits: the name of the link in LIO's tree.
    pub alias: String,
    /// Whether this initiator may only read.
    pub write_protect: bool,
}

/// One mapping of a backstore into a target port group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lun {
    /// The logical unit number.  0 to 16383.
    pub lun: u16,
    /// What it shows.
    pub backstore: BackstoreId,
    /// Ten hexadecimal digits: the name of the link in LIO's tree.
    pub alias: String,
    /// Whether this mapping refuses writes.
    pub write_protect: bool,
    /// What it has of asymmetric access.
    #[serde(default)]
    pub alua: LunAlua,
}

/// One transaction: all of it happens, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// In order; 4096 at most ([`CHANGES_MAX`]).
    pub changes: Vec<Change>,
}

/// The most changes of one transaction.
pub const CHANGES_MAX: usize = 4096;

/// What was done, one answer a change, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// One for each change.
    pub results: Vec<Outcome>,
}

/// What one change did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// The backstore as it is now.
    BackstoreCreated {
        /// The backstore.
        backstore: Backstore,
        /// What the administrator should know, such as that an existing file kept its size.
        notes: Vec<String>,
    },
    /// The target as it is now, with the name chosen for it.
    TargetCreated {
        /// The target.
        target: Target,
    },
    /// The target port group's tag.
    TpgCreated {
        /// The tag.
        tag: u16,
    },
    /// The LUN's number.
    LunMapped {
        /// The number.
        lun: u16,
    },
    /// The number that the initiator sees.
    AclLunMapped {
        /// The number.
        lun: u16,
    },
    /// The attribute's value, read back.
    AttributeSet {
        /// The value.
        value: String,
    },
    /// The option's value, read back.
    OptionSet {
        /// The value.
        value: String,
    },
    /// The ALUA group's id.
    AluaGroupCreated {
        /// The id.
        group_id: u16,
    },
    /// Nothing is left to say.
    Done,
}

/// Everything that may be asked to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Makes a backstore; a file that does not exist is created.
    CreateBackstore(CreateBackstore),
    /// Removes a backstore that no LUN shows.  Its file stays.
    DeleteBackstore {
        /// Which.
        #[serde(flatten)]
        id: BackstoreId,
    },
    /// Sets one attribute of a backstore.
    SetAttribute {
        /// Which backstore.
        #[serde(flatten)]
        id: BackstoreId,
        /// The attribute's name, such as `emulate_fua_write`.
        attribute: String,
        /// The value as typed.
        value: String,
    },
    /// Sets one text of who a backstore says that it is.  Refused while a LUN shows it.
    SetIdentity {
        /// Which backstore.
        #[serde(flatten)]
        id: BackstoreId,
        /// `company_id`, `product_id`, `revision`, `vendor_id` or `vpd_unit_serial`.
        attribute: String,
        /// The text as typed; an empty one takes back what was said, but for the serial number.
        value: String,
    },
    /// Gives a backstore another size, also while guests use it; they see the new size at once.  A file grows unless it
    /// has that size already; a block device must have that size before.  A size smaller than the present one is refused,
    /// unless `shrink` says that what is beyond is to be lost.
    Resize {
        /// Which backstore.
        #[serde(flatten)]
        id: BackstoreId,
        /// The size that it is to have, in bytes; of a ramdisk rounded up to whole pages.
        size_bytes: u64,
        /// Whether it may be smaller than before: what it holds beyond is lost.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shrink: bool,
    },
    /// Makes a target with the given target port groups.
    CreateTarget {
        /// Its name; a free one is made up where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wwn: Option<String>,
        /// The tags of the target port groups made with it.
        #[serde(default)]
        tpgs: Vec<u16>,
    },
    /// Sets one option of a target's device.  Refused while a front end is connected.
    SetOption {
        /// The target.
        wwn: String,
        /// The option's name, such as `num_queues`.
        option: String,
        /// The value as typed.
        value: String,
    },
    /// Sets what is kept of a target for LIO's tools, with front ends connected too; nothing follows from it.
    SetParameter {
        /// The target.
        wwn: String,
        /// LIO's name for it: `cmd_completion_affinity`.
        parameter: String,
        /// The value as typed: -1, -2 or the number of a CPU that is online.
        value: String,
    },
    /// Removes a target, its target port groups and LUNs.  Refused while a guest is connected.
    DeleteTarget {
        /// Its name.
        wwn: String,
    },
    /// Makes a target port group.
    CreateTpg {
        /// The target.
        wwn: String,
        /// The tag; the lowest free one from 1 where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<u16>,
    },
    /// Removes a target port group and its LUNs.  Refused while a guest is connected to the target.
    DeleteTpg {
        /// The target.
        wwn: String,
        /// The tag.
        tag: u16,
    },
    /// Shows a backstore to the guest.
    MapLun {
        /// The target.
        wwn: String,
        /// The target port group.
        tag: u16,
        /// The number; the lowest free one where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lun: Option<u16>,
        /// What to show.
        backstore: BackstoreId,
        /// Whether this mapping refuses writes.
        #[serde(default)]
        write_protect: bool,
    },
    /// Makes an ALUA group of a backstore.
    CreateAluaGroup {
        /// Of which backstore.
        #[serde(flatten)]
        id: BackstoreId,
        /// Its name.
        group: String,
        /// What guests know it by; the lowest free one from 1 where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group_id: Option<u16>,
    },
    /// Removes an ALUA group that no LUN is in.
    DeleteAluaGroup {
        /// Of which backstore.
        #[serde(flatten)]
        id: BackstoreId,
        /// Its name.
        group: String,
    },
    /// Sets one attribute of an ALUA group.
    SetAluaAttribute {
        /// Of which backstore.
        #[serde(flatten)]
        id: BackstoreId,
        /// Of which of its groups.
        group: String,
        /// The attribute's name, such as `alua_access_state`.
        attribute: String,
        /// The value as typed.
        value: String,
    },
    /// Says which blocks of a backstore are reached how through which of its ALUA groups, where their state is 4.
    SetLbaMap {
        /// Of which backstore.
        #[serde(flatten)]
        id: BackstoreId,
        /// The lines of LIO's file, with newlines or semicolons between them; an empty text takes it back.
        lba_map: String,
    },
    /// Sets what a LUN has of asymmetric access.
    SetLunAlua {
        /// The target.
        wwn: String,
        /// The target port group.
        tag: u16,
        /// The number.
        lun: u16,
        /// `alua_tg_pt_gp_name`, `alua_tg_pt_offline`, `alua_tg_pt_status` or `alua_tg_pt_write_md`.
        attribute: String,
        /// The value as typed.
        value: String,
    },
    /// Makes a group of logical units.
    CreateLuGroup {
        /// Its name.
        group: String,
        /// What guests know it by.
        group_id: u16,
    },
    /// Removes a group of logical units that no backstore is in.
    DeleteLuGroup {
        /// Its name.
        group: String,
    },
    /// Puts a backstore into a group of logical units.
    SetLuGroup {
        /// Which backstore.
        #[serde(flatten)]
        id: BackstoreId,
        /// Which group.
        group: String,
    },
    /// Takes a LUN away from the guest, and out of every access control list.
    UnmapLun {
        /// The target.
        wwn: String,
        /// The target port group.
        tag: u16,
        /// The number.
        lun: u16,
    },
    /// Makes an access control list without mapped LUNs.
    CreateAcl {
        /// The target.
        wwn: String,
        /// The target port group.
        tag: u16,
        /// The initiator's name.
        initiator: String,
    },
    /// Removes an access control list with its mapped LUNs.
    DeleteAcl {
        /// The target.
        wwn: String,
        /// The target port group.
        tag: u16,
        /// The initiator's name.
        initiator: String,
    },
    /// Shows a LUN of the target port group to an initiator.
    MapAclLun {
        /// The target.
        wwn: String,
        /// The target port group.
        tag: u16,
        /// The initiator's name.
        initiator: String,
        /// The number that it sees; where there is none, that of the LUN, or the lowest free one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lun: Option<u16>,
        /// The LUN's number in the target port group.
        of: u16,
        /// Whether the initiator may only read.
        #[serde(default)]
        write_protect: bool,
    },
    /// Takes a LUN away from an initiator.
    UnmapAclLun {
        /// The target.
        wwn: String,
        /// The target port group.
        tag: u16,
        /// The initiator's name.
        initiator: String,
        /// The number that it sees.
        lun: u16,
    },
    /// Lets an initiator write to a LUN, or not any more.
    ProtectAclLun {
        /// The target.
        wwn: String,
        /// The target port group.
        tag: u16,
        /// The initiator's name.
        initiator: String,
        /// The number that it sees.
        lun: u16,
        /// Whether it may only read.
        write_protect: bool,
    },
}
