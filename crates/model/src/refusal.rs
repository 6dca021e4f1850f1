// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a change did not happen.
//!
//! Above: the doors, which pass it on.  Below: nothing.
//! Never here: what went wrong with the host; that is no fault of the change.

use crate::{
    AbsolutePath, AclPlace, BackstoreId, BackstoreName, Lun, LunAlias, Place, TpgTag, UnitSerial, Wwn,
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
    #[error("A storage object's name cannot contain /, newline or spaces/tabs: '{name}'")]
    NameCharacters { name: String },
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
    // Options.
    #[error("No option '{option}' on target {wwn}")]
    NoSuchOption { wwn: Wwn, option: String },
    #[error("option {option} of {wwn} cannot be '{value}': it takes {values}")]
    OptionValue { wwn: Wwn, option: &'static str, value: String, values: String },

    #[error("the name of {backstore} is too long to be the product that guests see")]
    NameTooLongForProduct { backstore: BackstoreId },

    // What is kept and not served.
    #[error(
        "{bytes} bytes of other fabrics and backstores cannot be kept: {} can",
        crate::Foreign::BYTES_MAX
    )]
    ForeignTooLong { bytes: usize },
    #[error("what is kept of other fabrics and backstores has changed meanwhile")]
    ForeignMoved,
}

impl Refusal {
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
            Self::SizeTooSmall { .. } => {
                "what a guest keeps at the end would be lost; copy it to a smaller storage object".to_owned()
            }
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
            Self::NoSuchOption { .. } => "`get option` shows what is there".to_owned(),
            Self::OptionValue { option, .. } => {
                crate::TargetOption::named(option).map_or_else(String::new, |row| row.help.to_owned())
            }
            Self::NameTooLongForProduct { .. } => {
                format!("only names of at most {} characters can be", BackstoreName::PRODUCT_BYTES_MAX)
            }
            Self::ForeignTooLong { .. } => "take things out of the file that nobody needs".to_owned(),
            Self::ForeignMoved => "do it again".to_owned(),
            other => unreachable!("`hint` answers {other:?} itself"),
        }
    }

    /// A word for programs.  It stays the same when the message is worded better.
    #[must_use]
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
            Self::NoSuchOption { .. } => "no_such_option",
            Self::OptionValue { .. } => "option_value",
            Self::NameTooLongForProduct { .. } => "name_too_long_for_product",
            Self::ForeignTooLong { .. } => "foreign_too_long",
            Self::ForeignMoved => "foreign_moved",
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
                | Self::NoSuchOption { .. }
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
        )
    }
}

fn delete_lun_first(place: &Place) -> String {
    let Place { wwn, tag, lun } = place;
    format!("delete the LUN first: `/vhost/{wwn}/tpg{tag}/luns delete {lun}`")
}
