// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a change did not happen.
//!
//! Above: the doors, which pass it on.  Below: nothing.
//! Never here: what went wrong with the host; that is no fault of the change.

use crate::name::shown;
use crate::{
    AbsolutePath, AclPlace, AluaGroupName, BackstoreId, BackstoreName, CompletionAffinity, Lun, LunAlias,
    Place, TpgTag, UnitSerial, Wwn,
};

/// Why a change did not happen.
///
/// A message is one line without a full stop and names the thing.  Where targetcli has words for it that
/// name the thing, they are targetcli's.  [`Refusal::hint`] is the way out, [`Refusal::code`] is for
/// programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message and the hint say what a variant and its fields are")]
pub enum Refusal {
    // Not a name, not a number.
    #[error("A storage object's name cannot {what}: '{name}'")]
    NameCharacters { name: String, what: &'static str },
    #[error("A storage object's name has 1 to {} characters: '{name}'", BackstoreName::BYTES_MAX)]
    NameLength { name: String },
    #[error("WWN not valid as: naa: '{wwn}'")]
    WwnInvalid { wwn: String },
    #[error("unit serial number not valid: '{serial}'")]
    UnitSerialInvalid { serial: String },
    #[error("LUN alias not valid: '{alias}'")]
    AliasInvalid { alias: String },
    #[error("path not valid: '{path}'")]
    PathInvalid { path: String },
    #[error("TPG tag {tag} is out of range")]
    TagOutOfRange { tag: u16 },
    #[error("LUN {lun} is out of range")]
    LunOutOfRange { lun: u16 },
    #[error("relative port 0 is reserved")]
    RelativePortZero,
    #[error("a size of {size_bytes} bytes is too large")]
    SizeTooLarge { size_bytes: u64 },
    #[error("storage object {backstore} has {now_bytes} bytes and cannot shrink to {size_bytes}")]
    SizeTooSmall { backstore: BackstoreId, size_bytes: u64, now_bytes: u64 },
    #[error("storage object {backstore} cannot have {size_bytes} bytes, which are less than a block")]
    SizeWithoutBlock { backstore: BackstoreId, size_bytes: u64 },

    // Not there.
    #[error("No storage object named {backstore}")]
    NoSuchBackstore { backstore: BackstoreId },
    #[error("No such Target: {wwn}")]
    NoSuchTarget { wwn: Wwn },
    #[error("No such TPG: {wwn}/tpg{tag}")]
    NoSuchTpg { wwn: Wwn, tag: TpgTag },
    #[error("Invalid LUN: {place} does not exist")]
    NoSuchLun { place: Place },
    #[error("No such NodeACL: {acl}")]
    NoSuchAcl { acl: AclPlace },
    #[error("No such mapped LUN: {acl}/mapped_lun{lun}")]
    NoSuchMappedLun { acl: AclPlace, lun: Lun },

    // There already.
    #[error("Storage object {backstore} exists")]
    BackstoreExists { backstore: BackstoreId },
    #[error("storage object for {path} already exists: {}", user.name)]
    PathInUse { path: AbsolutePath, user: BackstoreId },
    #[error("Target {wwn} already exists")]
    TargetExists { wwn: Wwn },
    #[error("TPG {tag} of {wwn} already exists")]
    TpgExists { wwn: Wwn, tag: TpgTag },
    #[error("LUN {place} already exists")]
    LunExists { place: Place, shows: BackstoreId },
    #[error("lun for storage object {backstore} already exists")]
    AlreadyMapped { backstore: BackstoreId, place: Place },
    #[error("NodeACL {acl} already exists")]
    AclExists { acl: AclPlace },
    #[error("mapped LUN {acl}/mapped_lun{lun} already exists")]
    MappedLunExists { acl: AclPlace, lun: Lun, of: Lun },
    #[error("relative port {port} is in use")]
    RelativePortInUse { port: u16 },

    // Full.
    #[error("there are {} storage objects already", crate::BACKSTORES_MAX)]
    TooManyBackstores,
    #[error("all {} relative ports are in use", u16::MAX)]
    NoFreeRelativePort,
    #[error("every TPG tag from 1 to {} of {wwn} is in use", TpgTag::MAX)]
    NoFreeTag { wwn: Wwn },
    #[error("every LUN from 0 to {} is in use", Lun::MAX)]
    NoFreeLun,

    #[error("there are {} NodeACLs in {wwn}/tpg{tag} already", crate::ACLS_MAX)]
    TooManyAcls { wwn: Wwn, tag: TpgTag },

    // In use.
    #[error("storage object {backstore} is in use by LUN {place}")]
    BackstoreInUse { backstore: BackstoreId, place: Place },
    #[error("a new TPG {tag} cannot have LUNs")]
    TpgNotEmpty { tag: TpgTag },

    // Attributes.
    #[error("No attribute '{attribute}' on storage object {backstore}")]
    NoSuchAttribute { backstore: BackstoreId, attribute: String },
    #[error("attribute {attribute} of {backstore} cannot be '{value}': it takes {values}")]
    AttributeValue { backstore: BackstoreId, attribute: &'static str, value: String, values: String },
    #[error("attribute {attribute} of {backstore} is read-only")]
    AttributeReadOnly { backstore: BackstoreId, attribute: &'static str },
    #[error("attribute {attribute} of {backstore} follows the device and cannot be set")]
    AttributeOfDevice { backstore: BackstoreId, attribute: &'static str },
    #[error("attribute {attribute} of {backstore} cannot be {value}: this version only has {only}")]
    AttributeUnbuilt { backstore: BackstoreId, attribute: &'static str, value: u32, only: u32 },
    #[error("attribute {attribute} of {backstore} cannot change while LUN {place} shows it")]
    AttributeFrozen { backstore: BackstoreId, attribute: &'static str, place: Place },
    #[error("Nothing called '{attribute}' in the identity of storage object {backstore}")]
    NoSuchIdentity { backstore: BackstoreId, attribute: String },
    #[error("{attribute} of {backstore} cannot be '{value}': it takes {values}")]
    IdentityTooLong { backstore: BackstoreId, attribute: &'static str, value: String, values: String },
    #[error("{attribute} of {backstore} cannot be '{value}': it takes {values}")]
    IdentityValue { backstore: BackstoreId, attribute: &'static str, value: String, values: String },

    // Options.
    #[error("No option '{option}' on target {wwn}")]
    NoSuchOption { wwn: Wwn, option: String },
    #[error("option {option} of {wwn} cannot be '{value}': it takes {values}")]
    OptionValue { wwn: Wwn, option: &'static str, value: String, values: String },

    // Parameters.
    #[error("No parameter '{parameter}' on target {wwn}")]
    NoSuchParameter { wwn: Wwn, parameter: String },
    #[error("parameter {parameter} of {wwn} cannot be '{value}': it takes {values}")]
    ParameterValue { wwn: Wwn, parameter: &'static str, value: String, values: &'static str },

    #[error("the name of {backstore} is too long to be the product that guests see")]
    NameTooLongForProduct { backstore: BackstoreId },

    // Asymmetric access.
    #[error("ALUA group name not valid: '{name}'")]
    AluaNameInvalid { name: String },
    #[error("No ALUA group '{group}' on storage object {backstore}")]
    NoSuchAluaGroup { backstore: BackstoreId, group: AluaGroupName },
    #[error("ALUA group {group} of storage object {backstore} already exists")]
    AluaGroupExists { backstore: BackstoreId, group: AluaGroupName },
    #[error("ALUA group id {id} of storage object {backstore} is in use by {group}")]
    AluaIdInUse { backstore: BackstoreId, id: u16, group: AluaGroupName },
    #[error("storage object {backstore} has {} ALUA groups already", crate::ALUA_GROUPS_MAX)]
    TooManyAluaGroups { backstore: BackstoreId },
    #[error("Can not delete {group}")]
    AluaGroupStays { group: AluaGroupName },
    #[error("ALUA group {group} of storage object {backstore} is in use by LUN {place}")]
    AluaGroupInUse { backstore: BackstoreId, group: AluaGroupName, place: Place },
    #[error("{backstore} has the unit serial number of {twin} and other ALUA groups")]
    AluaGroupsDiffer { backstore: BackstoreId, twin: BackstoreId },
    #[error("No attribute '{attribute}' on ALUA group {group} of storage object {backstore}")]
    NoSuchAluaAttribute { backstore: BackstoreId, group: AluaGroupName, attribute: String },
    #[error("{attribute} of ALUA group {group} of {backstore} cannot be '{value}': it takes {values}")]
    AluaValue {
        backstore: BackstoreId,
        group: AluaGroupName,
        attribute: &'static str,
        value: String,
        values: String,
    },
    #[error(
        "the state of ALUA group {group} of {backstore} cannot be set: its alua_access_type is not implicit"
    )]
    AluaNotImplicit { backstore: BackstoreId, group: AluaGroupName },
    #[error("ALUA group {group} of {backstore} does not support state {state}")]
    AluaStateUnsupported { backstore: BackstoreId, group: AluaGroupName, state: String },
    #[error(
        "ALUA group {group} of {backstore} cannot be LBA dependent (4) while guests may change its state"
    )]
    AluaLbaDependentExplicit { backstore: BackstoreId, group: AluaGroupName },
    #[error(
        "alua_support_lba_dependent of ALUA group {group} of {backstore} cannot be '{value}': it follows lba_map"
    )]
    AluaFollowsMap { backstore: BackstoreId, group: AluaGroupName, value: String },
    #[error("line {line} of lba_map of {backstore} cannot be: {why}")]
    LbaMapInvalid { backstore: BackstoreId, line: usize, why: &'static str },
    #[error("ALUA group {group} of {backstore} is LBA dependent (4), and no lba_map says how")]
    LbaMapNeeded { backstore: BackstoreId, group: AluaGroupName },
    #[error("the unit {serial} has no such ALUA group or port, or it cannot be in that state")]
    AluaNotAltered { serial: UnitSerial },
    #[error("No ALUA attribute '{attribute}' on LUN {place}")]
    NoSuchLunAlua { place: Place, attribute: String },
    #[error("{attribute} of LUN {place} cannot be '{value}': it takes {values}")]
    LunAluaValue { place: Place, attribute: &'static str, value: String, values: &'static str },
    #[error("No LU group '{group}'")]
    NoSuchLuGroup { group: AluaGroupName },
    #[error("LU group {group} already exists")]
    LuGroupExists { group: AluaGroupName },
    #[error("LU group id {id} is in use by {group}")]
    LuGroupIdInUse { id: u16, group: AluaGroupName },
    #[error("there are {} LU groups already", crate::LU_GROUPS_MAX)]
    TooManyLuGroups,
    #[error("LU group {group} is in use by storage object {backstore}")]
    LuGroupInUse { backstore: BackstoreId, group: AluaGroupName },

    // What is kept and not served.
    #[error(
        "{bytes} bytes of other fabrics and backstores cannot be kept: {} can",
        crate::Foreign::BYTES_MAX
    )]
    ForeignTooLong { bytes: usize },
    #[error(
        "{things} targets, LUNs and backstores of other kinds cannot be kept: {} can",
        crate::Foreign::THINGS_MAX
    )]
    ForeignTooMany { things: usize },
    #[error("what is kept of other fabrics and backstores has changed meanwhile")]
    ForeignMoved,
}

impl Refusal {
    /// A target's completion affinity that cannot be, or cannot be on this host.
    #[must_use]
    pub fn completion_affinity(wwn: &Wwn, value: &str) -> Self {
        let (parameter, values) = (CompletionAffinity::NAME, CompletionAffinity::VALUES);
        Self::ParameterValue { wwn: wwn.clone(), parameter, value: shown(value), values }
    }

    /// The way out, in one line without a full stop.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NameCharacters { .. } => {
                "use printable ASCII without / and spaces, such as disk0 or vm1-root".to_owned()
            }
            Self::NameLength { .. } => {
                format!("up to {} characters are also shown to guests", BackstoreName::PRODUCT_BYTES_MAX)
            }
            Self::WwnInvalid { .. } => {
                "a WWN is `naa.` and 16 hexadecimal digits that start with 1, 2 or 5, such as \
                 naa.500140568720f76f; leave it out to have one made up"
                    .to_owned()
            }
            Self::UnitSerialInvalid { .. } => {
                format!("use 1 to {} printable ASCII characters, such as a UUID", UnitSerial::BYTES_MAX)
            }
            Self::AliasInvalid { .. } => {
                format!("an alias is a file name of 1 to {} printable ASCII characters", LunAlias::BYTES_MAX)
            }
            Self::PathInvalid { .. } => {
                format!("give an absolute path of at most {} bytes", AbsolutePath::BYTES_MAX)
            }
            Self::TagOutOfRange { .. } => format!("a TPG tag is 0 to {}", TpgTag::MAX),
            Self::LunOutOfRange { .. } => format!("a LUN is 0 to {}", Lun::MAX),
            Self::RelativePortZero => "a relative port is 1 to 65535".to_owned(),
            Self::SizeTooLarge { .. } => format!("the largest is {} bytes", crate::SIZE_BYTES_MAX),
            Self::SizeTooSmall { size_bytes, now_bytes, .. } => format!(
                "what it holds beyond, {} bytes, would be lost; have the guest give them up first (shrink its file system \
                 and partition), then say so: shrink=true",
                now_bytes.saturating_sub(*size_bytes)
            ),
            Self::SizeWithoutBlock { .. } => "delete it if nothing is to be left".to_owned(),
            _ => self.hint_by_state(),
        }
    }

    /// The hints of refusals that depend on what else is configured.
    fn hint_by_state(&self) -> String {
        match self {
            Self::NoSuchBackstore { backstore } => {
                format!("`ls /backstores/{}` shows what is there", backstore.kind)
            }
            Self::NoSuchTarget { .. } => "`ls /vhost` shows what is there".to_owned(),
            Self::NoSuchTpg { wwn, .. } => format!("`ls /vhost/{wwn}` shows what is there"),
            Self::NoSuchLun { place } => {
                format!("`ls /vhost/{}/tpg{}/luns` shows what is there", place.wwn, place.tag)
            }
            Self::NoSuchAcl { acl } => {
                format!("`ls /vhost/{}/tpg{}/acls` shows what is there", acl.wwn, acl.tag)
            }
            Self::NoSuchMappedLun { acl, .. } => format!("`ls /vhost/{acl}` shows what is there"),
            Self::AclExists { acl } => {
                format!("`ls /vhost/{acl}` shows it; delete it first to start anew")
            }
            Self::MappedLunExists { of, .. } => {
                format!("it shows LUN {of} of that TPG; choose another number")
            }
            Self::BackstoreExists { backstore } => {
                format!(
                    "choose another name, or delete it: `/backstores/{} delete {}`",
                    backstore.kind, backstore.name
                )
            }
            Self::PathInUse { user, .. } => format!("map {user} instead: one backstore can have many LUNs"),
            Self::TargetExists { .. } => "choose another WWN, or leave it out to have one made up".to_owned(),
            Self::TpgExists { .. } | Self::NoFreeTag { .. } => {
                "leave the tag out for the lowest free one, or create another target".to_owned()
            }
            Self::LunExists { shows, .. } => {
                format!("it shows {shows}; leave the number out for the lowest free one")
            }
            Self::AlreadyMapped { place, .. } => format!("it is LUN {} of that TPG", place.lun),
            Self::RelativePortInUse { .. } | Self::NoFreeRelativePort => "delete a TPG first".to_owned(),
            Self::TooManyBackstores | Self::TooManyAcls { .. } => "delete one first".to_owned(),
            Self::NoFreeLun => "create another TPG".to_owned(),
            Self::BackstoreInUse { place, .. } => delete_lun_first(place),
            Self::TpgNotEmpty { .. } => "map its LUNs afterwards".to_owned(),
            Self::NoSuchAttribute { .. } => "`get attribute` shows what is there".to_owned(),
            Self::AttributeFrozen { place, .. } => delete_lun_first(place),
            Self::AttributeValue { attribute, .. }
            | Self::AttributeReadOnly { attribute, .. }
            | Self::AttributeOfDevice { attribute, .. }
            | Self::AttributeUnbuilt { attribute, .. } => {
                crate::Attribute::named(attribute).map_or_else(String::new, |row| row.help.to_owned())
            }
            Self::NoSuchIdentity { .. } => "`get identity` shows what is there".to_owned(),
            Self::IdentityTooLong { attribute, .. } | Self::IdentityValue { attribute, .. } => {
                crate::IdentityField::named(attribute).map_or_else(String::new, |row| row.help.to_owned())
            }
            Self::NoSuchOption { .. } => "`get option` shows what is there".to_owned(),
            Self::OptionValue { option, .. } => {
                crate::TargetOption::named(option).map_or_else(String::new, |row| row.help.to_owned())
            }
            Self::NoSuchParameter { .. } => "`get parameter` shows what is there".to_owned(),
            Self::ParameterValue { .. } => crate::CompletionAffinity::HELP.to_owned(),
            Self::NameTooLongForProduct { .. } => {
                format!("only names of at most {} characters can be", BackstoreName::PRODUCT_BYTES_MAX)
            }
            Self::ForeignTooLong { .. } | Self::ForeignTooMany { .. } => {
                "take things out of the file that nobody needs".to_owned()
            }
            Self::ForeignMoved => "do it again".to_owned(),
            other => other.hint_of_alua(),
        }
    }

    /// The hints of what has to do with asymmetric access.
    fn hint_of_alua(&self) -> String {
        match self {
            Self::AluaNameInvalid { .. } => {
                format!(
                    "use 1 to {} characters of printable ASCII without / and spaces",
                    AluaGroupName::BYTES_MAX
                )
            }
            Self::NoSuchAluaGroup { backstore, .. } => {
                format!("`ls /backstores/{backstore}/alua` shows what is there")
            }
            Self::AluaGroupExists { backstore, group } => {
                format!("choose another name, or delete it: `/backstores/{backstore}/alua delete {group}`")
            }
            Self::AluaIdInUse { .. } | Self::LuGroupIdInUse { .. } => "choose another number".to_owned(),
            Self::TooManyAluaGroups { .. } | Self::TooManyLuGroups => "delete one first".to_owned(),
            Self::AluaGroupStays { .. } => "it is always there".to_owned(),
            Self::AluaGroupInUse { place: Place { wwn, tag, lun }, .. } => format!(
                "put the LUN into another group first: `/vhost/{wwn}/tpg{tag}/luns/lun{lun} set alua \
                 alua_tg_pt_gp_name={}`",
                AluaGroupName::DEFAULT
            ),
            Self::AluaGroupsDiffer { .. } => {
                "give it the same groups, or none: it takes those of the other".to_owned()
            }
            Self::NoSuchAluaAttribute { .. } => "`get alua` shows what is there".to_owned(),
            Self::AluaValue { attribute, .. } => {
                crate::AluaAttribute::named(attribute).map_or_else(String::new, |row| row.help.to_owned())
            }
            Self::AluaNotImplicit { .. } => "set alua_access_type to 1 or 3 first".to_owned(),
            Self::AluaStateUnsupported { state, .. } if state == "4" => {
                "set lba_map of the backstore first".to_owned()
            }
            Self::AluaStateUnsupported { .. } => {
                "the alua_support attributes of the group say which states it has".to_owned()
            }
            Self::AluaLbaDependentExplicit { .. } => "set alua_access_type to 1 first".to_owned(),
            Self::AluaFollowsMap { .. } => "set lba_map of the backstore, or take it back".to_owned(),
            Self::LbaMapInvalid { .. } => {
                "it is like '2048 2; 0 6143 0:O 1:S; 2048 8191 0:S 1:O': see the manual on ALUA".to_owned()
            }
            Self::LbaMapNeeded { .. } => "set lba_map, or give the group another state".to_owned(),
            Self::AluaNotAltered { .. } => "REPORT TARGET PORT GROUPS tells a guest what there is".to_owned(),
            Self::NoSuchLunAlua { .. } => "`get alua` shows what is there".to_owned(),
            Self::LunAluaValue { .. } => "`help set` and the manual say what it does".to_owned(),
            Self::NoSuchLuGroup { .. } => {
                "[lu_groups] of a file that is applied makes it, or mkdir in core/alua/lu_gps of LIO's tree"
                    .to_owned()
            }
            Self::LuGroupExists { .. } => "choose another name".to_owned(),
            Self::LuGroupInUse { .. } => "put the storage object into another group first".to_owned(),
            other => unreachable!("`hint` answers {other:?} itself"),
        }
    }

    /// A word for programs.  It stays the same when the message is worded better.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line a refusal, and none can be forgotten")]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NameCharacters { .. } => "name_characters",
            Self::NameLength { .. } => "name_length",
            Self::WwnInvalid { .. } => "wwn_invalid",
            Self::UnitSerialInvalid { .. } => "unit_serial_invalid",
            Self::AliasInvalid { .. } => "alias_invalid",
            Self::PathInvalid { .. } => "path_invalid",
            Self::TagOutOfRange { .. } => "tag_out_of_range",
            Self::LunOutOfRange { .. } => "lun_out_of_range",
            Self::RelativePortZero => "relative_port_zero",
            Self::SizeTooLarge { .. } => "size_too_large",
            Self::SizeTooSmall { .. } => "size_too_small",
            Self::SizeWithoutBlock { .. } => "size_without_block",
            Self::NoSuchBackstore { .. } => "no_such_backstore",
            Self::NoSuchTarget { .. } => "no_such_target",
            Self::NoSuchTpg { .. } => "no_such_tpg",
            Self::NoSuchLun { .. } => "no_such_lun",
            Self::NoSuchAcl { .. } => "no_such_acl",
            Self::NoSuchMappedLun { .. } => "no_such_mapped_lun",
            Self::BackstoreExists { .. } => "backstore_exists",
            Self::PathInUse { .. } => "path_in_use",
            Self::TargetExists { .. } => "target_exists",
            Self::TpgExists { .. } => "tpg_exists",
            Self::LunExists { .. } => "lun_exists",
            Self::AlreadyMapped { .. } => "already_mapped",
            Self::AclExists { .. } => "acl_exists",
            Self::MappedLunExists { .. } => "mapped_lun_exists",
            Self::TooManyAcls { .. } => "too_many_acls",
            Self::RelativePortInUse { .. } => "relative_port_in_use",
            Self::TooManyBackstores => "too_many_backstores",
            Self::NoFreeRelativePort => "no_free_relative_port",
            Self::NoFreeTag { .. } => "no_free_tag",
            Self::NoFreeLun => "no_free_lun",
            Self::BackstoreInUse { .. } => "backstore_in_use",
            Self::TpgNotEmpty { .. } => "tpg_not_empty",
            Self::NoSuchAttribute { .. } => "no_such_attribute",
            Self::AttributeValue { .. } => "attribute_value",
            Self::AttributeReadOnly { .. } => "attribute_read_only",
            Self::AttributeOfDevice { .. } => "attribute_of_device",
            Self::AttributeUnbuilt { .. } => "attribute_unbuilt",
            Self::AttributeFrozen { .. } => "attribute_frozen",
            Self::NoSuchIdentity { .. } => "no_such_identity",
            Self::IdentityTooLong { .. } => "identity_too_long",
            Self::IdentityValue { .. } => "identity_value",
            Self::NoSuchOption { .. } => "no_such_option",
            Self::OptionValue { .. } => "option_value",
            Self::NoSuchParameter { .. } => "no_such_parameter",
            Self::ParameterValue { .. } => "parameter_value",
            Self::NameTooLongForProduct { .. } => "name_too_long_for_product",
            Self::ForeignTooLong { .. } => "foreign_too_long",
            Self::ForeignTooMany { .. } => "foreign_too_many",
            Self::ForeignMoved => "foreign_moved",
            Self::AluaNameInvalid { .. } => "alua_name_invalid",
            Self::NoSuchAluaGroup { .. } => "no_such_alua_group",
            Self::AluaGroupExists { .. } => "alua_group_exists",
            Self::AluaIdInUse { .. } => "alua_id_in_use",
            Self::TooManyAluaGroups { .. } => "too_many_alua_groups",
            Self::AluaGroupStays { .. } => "alua_group_stays",
            Self::AluaGroupInUse { .. } => "alua_group_in_use",
            Self::AluaGroupsDiffer { .. } => "alua_groups_differ",
            Self::NoSuchAluaAttribute { .. } => "no_such_alua_attribute",
            Self::AluaValue { .. } => "alua_value",
            Self::AluaNotImplicit { .. } => "alua_not_implicit",
            Self::AluaStateUnsupported { .. } => "alua_state_unsupported",
            Self::AluaLbaDependentExplicit { .. } => "alua_lba_dependent_explicit",
            Self::AluaFollowsMap { .. } => "alua_follows_map",
            Self::LbaMapInvalid { .. } => "lba_map_invalid",
            Self::LbaMapNeeded { .. } => "lba_map_needed",
            Self::AluaNotAltered { .. } => "alua_not_altered",
            Self::NoSuchLunAlua { .. } => "no_such_lun_alua",
            Self::LunAluaValue { .. } => "lun_alua_value",
            Self::NoSuchLuGroup { .. } => "no_such_lu_group",
            Self::LuGroupExists { .. } => "lu_group_exists",
            Self::LuGroupIdInUse { .. } => "lu_group_id_in_use",
            Self::TooManyLuGroups => "too_many_lu_groups",
            Self::LuGroupInUse { .. } => "lu_group_in_use",
        }
    }

    /// Whether the thing that was to be changed does not exist, rather than being in the way.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoSuchBackstore { .. }
                | Self::NoSuchTarget { .. }
                | Self::NoSuchTpg { .. }
                | Self::NoSuchLun { .. }
                | Self::NoSuchAcl { .. }
                | Self::NoSuchMappedLun { .. }
                | Self::NoSuchAttribute { .. }
                | Self::NoSuchIdentity { .. }
                | Self::NoSuchOption { .. }
                | Self::NoSuchParameter { .. }
                | Self::NoSuchAluaGroup { .. }
                | Self::NoSuchAluaAttribute { .. }
                | Self::NoSuchLuGroup { .. }
                | Self::NoSuchLunAlua { .. }
        )
    }

    /// Whether what is configured already stands in the way, rather than the change being nonsense.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::BackstoreExists { .. }
                | Self::PathInUse { .. }
                | Self::TargetExists { .. }
                | Self::TpgExists { .. }
                | Self::LunExists { .. }
                | Self::AlreadyMapped { .. }
                | Self::AclExists { .. }
                | Self::MappedLunExists { .. }
                | Self::TooManyAcls { .. }
                | Self::RelativePortInUse { .. }
                | Self::TooManyBackstores
                | Self::NoFreeRelativePort
                | Self::NoFreeTag { .. }
                | Self::NoFreeLun
                | Self::BackstoreInUse { .. }
                | Self::AttributeFrozen { .. }
                | Self::ForeignMoved
                | Self::AluaGroupExists { .. }
                | Self::AluaIdInUse { .. }
                | Self::TooManyAluaGroups { .. }
                | Self::AluaGroupStays { .. }
                | Self::AluaGroupInUse { .. }
                | Self::AluaGroupsDiffer { .. }
                | Self::AluaLbaDependentExplicit { .. }
                | Self::LbaMapNeeded { .. }
                | Self::LuGroupExists { .. }
                | Self::LuGroupIdInUse { .. }
                | Self::TooManyLuGroups
                | Self::LuGroupInUse { .. }
        )
    }
}

fn delete_lun_first(place: &Place) -> String {
    let Place { wwn, tag, lun } = place;
    format!("delete the LUN first: `/vhost/{wwn}/tpg{tag}/luns delete {lun}`")
}
