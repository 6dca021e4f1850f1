// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who a unit says that it is, and THE table of it: LIO's `wwn/` directory, but for the serial number.
//!
//! Above: `backstore`, `apply`; the doors (what is listed, help).
//! Below: nothing.
//! Never here: bytes of INQUIRY; `scsi` has them.
//!
//! What nobody set is not kept, so that a backstore which has its kind's product goes on having it.

use crate::kernel_number::kernel_u32;
use crate::{Backstore, Key, Kind, Refusal};
use std::collections::BTreeMap;

/// The name of LIO's file for the serial number, which is a thing of its own: see [`Backstore::unit_serial`].
pub const UNIT_SERIAL_FILE: &str = "vpd_unit_serial";

/// Who LIO's disks say made them.
const VENDOR: &str = "LIO-ORG";
/// LIO's revision of every kind.
const REVISION: &str = "4.0";
/// The IEEE company id in LIO's NAA designators.
const COMPANY_ID: u32 = 0x00_1405;
/// An IEEE company id has 24 bits.
const COMPANY_ID_MAX: u32 = 0x00ff_ffff;

/// Names one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is described by the help text of its row")]
pub enum IdentityKey {
    CompanyId,
    PdTextIdInfo,
    ProductId,
    Revision,
    VendorId,
}

/// One row: what can be said of a unit's identity.
#[derive(Debug)]
pub struct IdentityField {
    /// Which.
    pub key: IdentityKey,
    /// LIO's name for it.
    pub name: &'static str,
    /// The longest text, in bytes: the width of its field in INQUIRY data (SPC-4).  Of a number, 0.
    pub longest: usize,
    /// One line for the administrator, without a full stop at the end.
    pub help: &'static str,
}

/// The table, in the order of names.
#[rustfmt::skip]
pub const IDENTITY_FIELDS: &[IdentityField] = &[
    IdentityField { key: IdentityKey::CompanyId, name: "company_id", longest: 0,
        help: "The IEEE company id from which guests make the unit's worldwide name, 24 bits; an empty text gives back 0x001405" },
    IdentityField { key: IdentityKey::PdTextIdInfo, name: "pd_text_id_info", longest: 255,
        help: "A text about the disk that guests can ask for with REPORT IDENTIFYING INFORMATION; an empty one is none" },
    IdentityField { key: IdentityKey::ProductId, name: "product_id", longest: 16,
        help: "The product that guests see; an empty text, or another emulate_model_alias, gives back what that says" },
    IdentityField { key: IdentityKey::Revision, name: "revision", longest: 4,
        help: "The product's revision that guests see; an empty text gives back 4.0" },
    IdentityField { key: IdentityKey::VendorId, name: "vendor_id", longest: 8,
        help: "The vendor that guests see; an empty text gives back LIO-ORG" },
];

/// What the administrator set of it; everything else is as LIO has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity(BTreeMap<IdentityKey, String>);

impl Identity {
    /// What was set, by key.
    pub fn iter(&self) -> impl Iterator<Item = (IdentityKey, &str)> + '_ {
        self.0.iter().map(|(key, text)| (*key, text.as_str()))
    }

    /// Back to what the name or the kind of the backstore says.
    pub(crate) fn forget_product(&mut self) {
        self.0.remove(&IdentityKey::ProductId);
    }
}

impl IdentityField {
    /// The row of `key`.
    #[must_use]
    pub fn of(key: IdentityKey) -> &'static Self {
        let row = IDENTITY_FIELDS.iter().find(|row| row.key == key);
        row.expect("the table has a row for every key: a test walks them")
    }

    /// The row of LIO's `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        IDENTITY_FIELDS.iter().find(|row| row.name == name)
    }

    /// The values in words.
    #[must_use]
    pub fn values_in_words(&self) -> String {
        match self.key {
            IdentityKey::CompanyId => "0 to 0xffffff".to_owned(),
            IdentityKey::PdTextIdInfo => {
                format!("up to {} bytes of UTF-8 without control characters", self.longest)
            }
            _ => format!("up to {} characters of printable ASCII", self.longest),
        }
    }

    /// Whether a text is longer, or a number larger, than there is room for.
    fn has_room_for(&self, text: &str) -> bool {
        match self.key {
            IdentityKey::CompanyId => kernel_u32(text).is_none_or(|number| number <= COMPANY_ID_MAX),
            _ => text.len() <= self.longest,
        }
    }

    /// The text as it reads back.
    fn normal(&self, text: &str) -> Option<String> {
        match self.key {
            IdentityKey::CompanyId => kernel_u32(text).map(company_text),
            IdentityKey::PdTextIdInfo => (!text.chars().any(char::is_control)).then(|| text.to_owned()),
            _ => text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)).then(|| text.to_owned()),
        }
    }
}

impl Backstore {
    /// What the administrator set of who it says that it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Who it says that it is, as LIO's files have it.
    #[must_use]
    pub fn identity_text(&self, key: IdentityKey) -> String {
        self.identity.0.get(&key).cloned().unwrap_or_else(|| self.unset_identity(key))
    }

    /// The IEEE company id, 24 bits.
    #[must_use]
    pub fn company_id(&self) -> u32 {
        kernel_u32(&self.identity_text(IdentityKey::CompanyId)).unwrap_or(COMPANY_ID)
    }

    /// Says who it is, as typed; an empty text takes back what was said.
    ///
    /// # Errors
    /// [`Refusal::NoSuchIdentity`], [`Refusal::IdentityTooLong`] or [`Refusal::IdentityValue`].
    pub fn set_identity(&mut self, name: &str, text: &str) -> Result<IdentityKey, Refusal> {
        let row = IdentityField::named(name).ok_or_else(|| Refusal::NoSuchIdentity {
            backstore: self.id(),
            attribute: crate::name::shown(name),
        })?;
        let (text, value) = (text.trim(), crate::name::shown(text));
        let (backstore, attribute, values) = (self.id(), row.name, row.values_in_words());
        if !row.has_room_for(text) {
            return Err(Refusal::IdentityTooLong { backstore, attribute, value, values });
        }
        if text.is_empty() {
            self.identity.0.remove(&row.key);
            return Ok(row.key);
        }
        let refused = || Refusal::IdentityValue { backstore, attribute, value, values };
        let text = row.normal(text).ok_or_else(refused)?;
        if text == self.unset_identity(row.key) {
            self.identity.0.remove(&row.key);
        } else {
            self.identity.0.insert(row.key, text);
        }
        Ok(row.key)
    }

    /// Says that it is who another one is.
    pub(crate) fn take_identity(&mut self, other: &Self) {
        for row in IDENTITY_FIELDS {
            let text = other.identity_text(row.key);
            if text == self.unset_identity(row.key) {
                self.identity.0.remove(&row.key);
            } else {
                self.identity.0.insert(row.key, text);
            }
        }
    }

    fn unset_identity(&self, key: IdentityKey) -> String {
        match key {
            IdentityKey::CompanyId => company_text(COMPANY_ID),
            IdentityKey::PdTextIdInfo => String::new(),
            IdentityKey::ProductId if self.is_on(Key::EmulateModelAlias) => self.name.to_string(),
            IdentityKey::ProductId => product(self.kind()).to_owned(),
            IdentityKey::Revision => REVISION.to_owned(),
            IdentityKey::VendorId => VENDOR.to_owned(),
        }
    }
}

/// LIO's product of a kind, which guests see where nobody said another.
#[must_use]
pub fn product(kind: Kind) -> &'static str {
    match kind {
        Kind::Block => "IBLOCK",
        Kind::Fileio => "FILEIO",
        Kind::Ramdisk => "RAMDISK-MCP",
    }
}

/// As LIO writes it.
fn company_text(number: u32) -> String {
    format!("{number:#08x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackstoreName, Medium, UnitSerial};

    fn ramdisk() -> Backstore {
        let (name, serial) = (BackstoreName::parse("disk0").unwrap(), UnitSerial::parse("s").unwrap());
        Backstore::new(name, serial, Medium::ramdisk(4096, false).unwrap()).unwrap()
    }

    fn all(of: &Backstore) -> Vec<String> {
        IDENTITY_FIELDS.iter().map(|row| of.identity_text(row.key)).collect()
    }

    #[test]
    fn every_key_has_one_row_and_names_are_in_order() {
        for pair in IDENTITY_FIELDS.windows(2) {
            assert!(pair[0].name < pair[1].name && pair[0].key < pair[1].key, "{}", pair[1].name);
        }
        assert_eq!(IDENTITY_FIELDS.len(), IdentityKey::VendorId as usize + 1);
    }

    #[test]
    fn what_nobody_said_is_lios() {
        let mut disk = ramdisk();
        assert_eq!(all(&disk), ["0x001405", "", "disk0", "4.0", "LIO-ORG"]);
        disk.set_attribute("emulate_model_alias", "0").unwrap();
        assert_eq!(disk.identity_text(IdentityKey::ProductId), "RAMDISK-MCP");
        assert_eq!(disk.identity().iter().count(), 0);
    }

    #[test]
    fn texts_are_as_wide_as_their_fields_and_printable() {
        for (name, longest, key) in [
            ("vendor_id", "12345678", IdentityKey::VendorId),
            ("product_id", "1234567890 23456", IdentityKey::ProductId),
            ("revision", "~}|{", IdentityKey::Revision),
        ] {
            let mut disk = ramdisk();
            assert_eq!(disk.set_identity(name, longest), Ok(key));
            assert_eq!(disk.identity_text(key), longest);
            let before = disk.clone();
            let too_long = disk.set_identity(name, &format!("{longest}x"));
            assert!(matches!(too_long, Err(Refusal::IdentityTooLong { .. })), "{name}: {too_long:?}");
            for bad in ["a\tb", "\u{e4}b", "a\u{7f}"] {
                let refused = disk.set_identity(name, bad);
                assert!(matches!(refused, Err(Refusal::IdentityValue { .. })), "{name} {bad:?}: {refused:?}");
            }
            assert_eq!(disk, before);
        }
    }

    #[test]
    fn the_text_about_a_disk_is_any_line_of_255_bytes() {
        let mut disk = ramdisk();
        let longest = "\u{e4}".repeat(127) + "x";
        for text in ["a", "rack 7, R\u{fc}ckseite", longest.as_str()] {
            assert_eq!(disk.set_identity("pd_text_id_info", text), Ok(IdentityKey::PdTextIdInfo));
            assert_eq!(disk.identity_text(IdentityKey::PdTextIdInfo), text);
        }
        let too_long = disk.set_identity("pd_text_id_info", &format!("{longest}y"));
        assert!(matches!(too_long, Err(Refusal::IdentityTooLong { .. })), "{too_long:?}");
        for bad in ["a\tb", "a\nb", "a\u{7f}", "a\u{85}b"] {
            let refused = disk.set_identity("pd_text_id_info", bad);
            assert!(matches!(refused, Err(Refusal::IdentityValue { .. })), "{bad:?}: {refused:?}");
        }
        disk.set_identity("pd_text_id_info", "").unwrap();
        assert_eq!(disk, ramdisk());
    }

    #[test]
    fn a_company_has_24_bits_in_any_base() {
        let mut disk = ramdisk();
        for (text, shown, number) in [
            ("0", "0x000000", 0),
            ("0xffffff", "0xffffff", 0x00ff_ffff),
            ("5", "0x000005", 5),
            ("010", "0x000008", 8),
            ("", "0x001405", 0x1405),
        ] {
            disk.set_identity("company_id", text).unwrap();
            assert_eq!(
                (disk.identity_text(IdentityKey::CompanyId).as_str(), disk.company_id()),
                (shown, number)
            );
        }
        let large = disk.set_identity("company_id", "0x1000000");
        assert!(matches!(large, Err(Refusal::IdentityTooLong { .. })), "{large:?}");
        for bad in ["LIO", "-1", "0x", "4294967296"] {
            let refused = disk.set_identity("company_id", bad);
            assert!(matches!(refused, Err(Refusal::IdentityValue { .. })), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn what_is_said_again_as_it_would_be_anyway_is_not_kept() {
        let mut disk = ramdisk();
        disk.set_identity("vendor_id", "ACME").unwrap();
        assert_eq!(disk.identity().iter().collect::<Vec<_>>(), [(IdentityKey::VendorId, "ACME")]);
        disk.set_identity("vendor_id", " LIO-ORG ").unwrap();
        assert_eq!(disk, ramdisk());
    }

    #[test]
    fn of_product_and_model_alias_the_later_counts() {
        let mut disk = ramdisk();
        disk.set_identity("product_id", "Vault").unwrap();
        // As LIO's tools write back what they read.
        disk.set_attribute("emulate_model_alias", "1").unwrap();
        assert_eq!(disk.identity_text(IdentityKey::ProductId), "Vault");
        disk.set_attribute("emulate_model_alias", "0").unwrap();
        assert_eq!(disk.identity_text(IdentityKey::ProductId), "RAMDISK-MCP");
    }
}
