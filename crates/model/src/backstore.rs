// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where blocks live, as the administrator wants it.
//!
//! Above: `model`, `apply`, `plan`.  Below: names and the table of attributes.
//! Never here: a file or a device; whether it is there is for whoever opens it to find out.

use crate::attribute::transfer_blocks_max;
use crate::{
    AbsolutePath, Access, AluaGroupName, AluaGroups, Attribute, Attributes, BackstoreName, Identity, Key,
    Refusal, UnitSerial,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU64;

/// What a ramdisk's size is rounded up to, in bytes.
pub const PAGE_BYTES: u64 = 4096;

/// The largest medium, in bytes: what a file offset of the kernel can reach, in whole pages.
pub const SIZE_BYTES_MAX: u64 = (1 << 63) - PAGE_BYTES;

/// The kinds of backstore, in targetcli's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A block device of the host.
    Block,
    /// A file of the host.
    Fileio,
    /// Memory of the daemon.
    Ramdisk,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 3] = [Self::Block, Self::Fileio, Self::Ramdisk];

    /// targetcli's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Fileio => "fileio",
            Self::Ramdisk => "ramdisk",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names one backstore: `block/disk0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackstoreId {
    /// Its kind.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: BackstoreName,
}

impl fmt::Display for BackstoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// One backstore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backstore {
    /// Its name, unique within its kind.
    pub name: BackstoreName,
    /// What guests identify it by.
    pub unit_serial: UnitSerial,
    /// What its blocks are kept in.
    pub medium: Medium,
    /// Its target port groups.  Backstores of one unit serial number have the same.
    pub alua: AluaGroups,
    /// The group of logical units that it is in.
    pub lu_group: AluaGroupName,
    attributes: Attributes,
    pub(crate) identity: Identity,
    /// What guests have saved of it, where that differs from what the administrator set: MODE SELECT.
    selected: BTreeMap<Key, u32>,
    /// What its medium cannot do.
    beyond: BTreeSet<Key>,
}

/// What the blocks of a backstore are kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A block device.
    Block {
        /// The device, as typed.
        path: AbsolutePath,
        /// What the administrator said of writing; `None` leaves it to the device.
        read_only: Option<bool>,
        /// The size last seen, in bytes.
        size_bytes: Option<u64>,
    },
    /// A file.
    Fileio {
        /// The file, as typed.
        path: AbsolutePath,
        /// The size in bytes: for a file that is to be created the one wanted, then the one last seen.
        size_bytes: Option<u64>,
        /// Whether a file that is to be created is sparse.
        sparse: bool,
    },
    /// Memory.
    Ramdisk {
        /// The size in bytes, a multiple of [`PAGE_BYTES`].
        size_bytes: NonZeroU64,
        /// Whether to keep nothing.
        nullio: bool,
    },
}

impl Medium {
    /// Memory of at least this size: rounded up to whole pages, at least one.
    ///
    /// # Errors
    /// [`Refusal::SizeTooLarge`].
    pub fn ramdisk(size_bytes: u64, nullio: bool) -> Result<Self, Refusal> {
        let rounded =
            size_bytes.checked_next_multiple_of(PAGE_BYTES).filter(|bytes| *bytes <= SIZE_BYTES_MAX);
        let rounded = rounded.ok_or(Refusal::SizeTooLarge { size_bytes })?;
        let size_bytes = NonZeroU64::new(rounded.max(PAGE_BYTES)).expect("at least a page");
        Ok(Self::Ramdisk { size_bytes, nullio })
    }

    /// The kind that this makes a backstore.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Block { .. } => Kind::Block,
            Self::Fileio { .. } => Kind::Fileio,
            Self::Ramdisk { .. } => Kind::Ramdisk,
        }
    }

    /// The file or device; memory has none.
    #[must_use]
    pub fn path(&self) -> Option<&AbsolutePath> {
        match self {
            Self::Block { path, .. } | Self::Fileio { path, .. } => Some(path),
            Self::Ramdisk { .. } => None,
        }
    }

    /// The size wanted or last seen, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::Block { size_bytes, .. } | Self::Fileio { size_bytes, .. } => *size_bytes,
            Self::Ramdisk { size_bytes, .. } => Some(size_bytes.get()),
        }
    }

    /// The same with another size; of a ramdisk rounded up to whole pages.
    ///
    /// # Errors
    /// [`Refusal::SizeTooLarge`].
    pub(crate) fn resized(&self, bytes: u64) -> Result<Self, Refusal> {
        if bytes > SIZE_BYTES_MAX {
            return Err(Refusal::SizeTooLarge { size_bytes: bytes });
        }
        let mut resized = self.clone();
        match &mut resized {
            Self::Block { size_bytes, .. } | Self::Fileio { size_bytes, .. } => *size_bytes = Some(bytes),
            Self::Ramdisk { nullio, .. } => return Self::ramdisk(bytes, *nullio),
        }
        Ok(resized)
    }

    /// Whether it has to be opened anew to become `other`: anything differs but the size last seen, or that of a
    /// ramdisk which only grows.
    pub(crate) fn is_other_than(&self, other: &Self) -> bool {
        let mut seen = self.clone();
        if let (Self::Ramdisk { size_bytes, .. }, Self::Ramdisk { size_bytes: wanted, .. }) =
            (&mut seen, other)
        {
            *size_bytes = (*size_bytes).max(*wanted);
        }
        if let (
            Self::Block { size_bytes, .. } | Self::Fileio { size_bytes, .. },
            Self::Block { size_bytes: wanted, .. } | Self::Fileio { size_bytes: wanted, .. },
        ) = (&mut seen, other)
        {
            *size_bytes = *wanted;
        }
        seen != *other
    }
}

impl Backstore {
    /// A backstore whose attributes all have their defaults, but for `emulate_model_alias`, which is 0
    /// where the name does not fit: see [`BackstoreName::PRODUCT_BYTES_MAX`].
    ///
    /// # Errors
    /// [`Refusal::SizeTooLarge`].
    pub fn new(name: BackstoreName, unit_serial: UnitSerial, medium: Medium) -> Result<Self, Refusal> {
        if let Some(size_bytes) = medium.size_bytes().filter(|bytes| *bytes > SIZE_BYTES_MAX) {
            return Err(Refusal::SizeTooLarge { size_bytes });
        }
        let mut attributes = Attributes::default();
        if !name.fits_product() {
            attributes.set(Key::EmulateModelAlias, 0);
        }
        let (alua, lu_group) = (AluaGroups::default(), AluaGroupName::default_lu_group());
        let identity = Identity::default();
        Ok(Self {
            name,
            unit_serial,
            medium,
            alua,
            lu_group,
            attributes,
            identity,
            selected: BTreeMap::new(),
            beyond: BTreeSet::new(),
        })
    }

    /// Its kind and name.
    #[must_use]
    pub fn id(&self) -> BackstoreId {
        BackstoreId { kind: self.kind(), name: self.name.clone() }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.medium.kind()
    }

    /// What the administrator set.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The value of an attribute: the administrator's, or what a guest has saved since; `None` where the device says it.
    #[must_use]
    pub fn attribute(&self, key: Key) -> Option<u32> {
        self.selected.get(&key).copied().or_else(|| self.own_attribute(key))
    }

    /// What guests have saved of it.
    #[must_use]
    pub fn selected(&self) -> &BTreeMap<Key, u32> {
        &self.selected
    }

    /// Takes note of what guests have saved: all of it.  What is as the administrator has it, or is the device's, is no
    /// difference.
    pub fn select(&mut self, saved: &[(Key, u32)]) {
        let differs = |(key, value): &&(Key, u32)| {
            let row = Attribute::of(*key);
            let is_own = self.own_attribute(*key) == Some(*value);
            row.is_selectable() && row.is_settable_on(self.kind()) && !is_own && row.takes(*value, 512)
        };
        self.selected = saved.iter().filter(differs).copied().collect();
    }

    /// Becomes one unit with these, too: what guests have saved of them, they have saved of it.
    pub(crate) fn join_selected<'a>(&mut self, twins: impl Iterator<Item = &'a Self>) {
        let mut saved = std::mem::take(&mut self.selected);
        twins.for_each(|twin| saved.extend(&twin.selected));
        self.select(&saved.into_iter().collect::<Vec<_>>());
    }

    /// Forgets all that guests have saved: it is another unit.
    pub(crate) fn deselect_all(&mut self) {
        self.selected.clear();
    }

    /// Forgets what guests have saved of an attribute.
    pub(crate) fn deselect(&mut self, key: Key) {
        self.selected.remove(&key);
    }

    /// The administrator's value of an attribute, whatever guests have saved; `None` where the device says it.
    #[must_use]
    pub fn own_attribute(&self, key: Key) -> Option<u32> {
        if key == Key::PhysicalBlockSize {
            return self.physical_block_bytes();
        }
        if self.beyond.contains(&key) {
            return Some(0);
        }
        if let Some(value) = self.attributes.get(key) {
            return Some(value);
        }
        match key {
            Key::HwMaxSectors | Key::OptimalSectors => self.block_bytes().map(transfer_blocks_max),
            _ => Attribute::of(key).default_of(self.kind()),
        }
    }

    /// Whether a switch is on for the administrator, whatever guests have saved.
    #[must_use]
    pub fn is_own_on(&self, key: Key) -> bool {
        self.own_attribute(key).is_some_and(|value| value != 0)
    }

    /// Whether a switch is on; one that the device decides counts as off.
    #[must_use]
    pub fn is_on(&self, key: Key) -> bool {
        self.attribute(key).is_some_and(|value| value != 0)
    }

    /// Bytes in a logical block; `None` where the device says it.
    #[must_use]
    pub fn block_bytes(&self) -> Option<u32> {
        self.attribute(Key::BlockSize)
    }

    /// Bytes in a physical block, which is no smaller than a logical one; `None` where the device says it.
    #[must_use]
    pub fn physical_block_bytes(&self) -> Option<u32> {
        let block_bytes = self.block_bytes()?;
        let wanted = self.attributes.get(Key::PhysicalBlockSize).unwrap_or(block_bytes);
        (self.kind() != Kind::Block).then(|| wanted.max(block_bytes))
    }

    /// Takes the sectors of a device for the logical blocks of a file backstore on it, in bytes, where the administrator
    /// set none and its default is smaller; as LIO's fileio does.  Returns whether it has such blocks then.
    ///
    /// A fact and not a wish, so it is no `Change`: no step follows from it.
    pub fn take_blocks_of(&mut self, sector_bytes: u32) -> bool {
        let is_open = self.kind() == Kind::Fileio && self.attributes.get(Key::BlockSize).is_none();
        is_open && self.set_attribute("block_size", &sector_bytes.to_string()).is_ok()
    }

    /// Takes back what was set of an attribute, before anything has it so: the medium says it then, or its default.
    pub fn leave_to_medium(&mut self, key: Key) {
        self.attributes.unset(key);
    }

    /// Takes note of the switches that would say more than the medium can do: they read 0, whatever was set.
    ///
    /// A fact and not a wish, so it is no `Change`: no step follows from it.
    pub fn learn_limits(&mut self, beyond: &[Key]) {
        self.beyond = beyond.iter().copied().collect();
    }

    /// Whether an attribute would say more than the medium can do.
    #[must_use]
    pub fn is_beyond_medium(&self, key: Key) -> bool {
        self.beyond.contains(&key)
    }

    /// Whether somebody wants a switch to be on, and not its default.
    #[must_use]
    pub fn is_wanted(&self, key: Key) -> bool {
        self.attributes.get(key).is_some_and(|value| value != 0)
    }

    /// Whether writes are answered before they are durable, unless a guest says otherwise; `None` where the device says it.
    #[must_use]
    pub fn write_back(&self) -> Option<bool> {
        // LIO's attribute reads 0 on a block device, whose own cache counts.
        (self.kind() != Kind::Block).then(|| self.is_own_on(Key::EmulateWriteCache))
    }

    /// Sets an attribute, as typed, on a backstore that no LUN shows or whose guests do not mind.
    ///
    /// Returns the value as it reads back: some attributes accept a value and ignore it.
    ///
    /// # Errors
    /// [`Refusal::NoSuchAttribute`], [`Refusal::AttributeReadOnly`], [`Refusal::AttributeOfDevice`],
    /// [`Refusal::AttributeUnbuilt`], [`Refusal::AttributeValue`] or [`Refusal::NameTooLongForProduct`].
    pub fn set_attribute(&mut self, name: &str, text: &str) -> Result<u32, Refusal> {
        let row = self.row(name)?;
        let block_bytes = self.block_bytes().unwrap_or(512);
        let value = row.parse(text, block_bytes).ok_or_else(|| Refusal::AttributeValue {
            backstore: self.id(),
            attribute: row.name,
            value: crate::name::shown(text),
            values: row.values_in_words(block_bytes),
        })?;
        match row.access {
            Access::Settable => {}
            Access::SettableButOnBlock if self.kind() != Kind::Block => {}
            Access::SettableButOnBlock => return Err(self.of_device(row)),
            Access::ReadOnly => {
                return Err(Refusal::AttributeReadOnly { backstore: self.id(), attribute: row.name });
            }
            Access::Ignored => return Ok(self.attribute(row.key).unwrap_or(value)),
            Access::Unbuilt if row.default_of(self.kind()) == Some(value) => return Ok(value),
            Access::Unbuilt => return Err(self.unbuilt(row, value)),
        }
        if row.key == Key::EmulateModelAlias && value == 1 && !self.name.fits_product() {
            return Err(Refusal::NameTooLongForProduct { backstore: self.id() });
        }
        // As a tool writes back what it has read.
        if self.selected.get(&row.key) == Some(&value) {
            return Ok(value);
        }
        // Of what says the same thing twice, the later counts.
        self.selected.remove(&row.key);
        if row.key == Key::EmulateModelAlias && self.attribute(row.key) != Some(value) {
            self.identity.forget_product();
        }
        // Every backstore of LIO's tools is told to be 1, which it would be anyway.
        if row.key == Key::EmulateModelAlias && value == 1 {
            self.attributes.unset(row.key);
        } else {
            self.attributes.set(row.key, value);
        }
        if row.key == Key::BlockSize {
            self.keep_transfer_in_bounds(value);
        }
        Ok(value)
    }

    /// The row of an attribute that a backstore can have.
    pub(crate) fn row(&self, name: &str) -> Result<&'static Attribute, Refusal> {
        Attribute::named(name).ok_or_else(|| Refusal::NoSuchAttribute {
            backstore: self.id(),
            attribute: crate::name::shown(name),
        })
    }

    /// Larger blocks make fewer of them fit one transfer: a wish that no longer fits is given up.
    fn keep_transfer_in_bounds(&mut self, block_bytes: u32) {
        let optimal = self.attributes.get(Key::OptimalSectors);
        if optimal.is_some_and(|blocks| transfer_blocks_max(block_bytes) < blocks) {
            self.attributes.unset(Key::OptimalSectors);
        }
    }

    fn of_device(&self, row: &Attribute) -> Refusal {
        Refusal::AttributeOfDevice { backstore: self.id(), attribute: row.name }
    }

    fn unbuilt(&self, row: &Attribute, value: u32) -> Refusal {
        let only = row.default_of(self.kind()).unwrap_or(0);
        Refusal::AttributeUnbuilt { backstore: self.id(), attribute: row.name, value, only }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramdisk(name: &str) -> Backstore {
        let name = BackstoreName::parse(name).unwrap();
        let serial = UnitSerial::parse("s").unwrap();
        Backstore::new(name, serial, Medium::ramdisk(1 << 20, false).unwrap()).unwrap()
    }

    fn block(name: &str) -> Backstore {
        let path = AbsolutePath::parse("/dev/loop0").unwrap();
        let medium = Medium::Block { path, read_only: None, size_bytes: None };
        Backstore::new(BackstoreName::parse(name).unwrap(), UnitSerial::parse("s").unwrap(), medium).unwrap()
    }

    #[test]
    fn ramdisks_have_whole_pages_and_at_least_one() {
        for (asked, given) in [(0, 4096), (1, 4096), (4096, 4096), (4097, 8192)] {
            assert_eq!(Medium::ramdisk(asked, false).unwrap().size_bytes(), Some(given));
        }
        assert_eq!(
            Medium::ramdisk(u64::MAX, false),
            Err(Refusal::SizeTooLarge { size_bytes: 18_446_744_073_709_551_615 })
        );
        assert_eq!(
            Medium::ramdisk(1 << 63, false),
            Err(Refusal::SizeTooLarge { size_bytes: 9_223_372_036_854_775_808 })
        );
    }

    #[test]
    fn a_long_name_is_not_shown_as_the_product_and_cannot_be() {
        let mut long = ramdisk("sixteen-letters-");
        assert_eq!(long.attribute(Key::EmulateModelAlias), Some(0));
        assert_eq!(
            long.set_attribute("emulate_model_alias", "1"),
            Err(Refusal::NameTooLongForProduct { backstore: long.id() })
        );
        let mut short = ramdisk("disk0");
        assert_eq!(short.attribute(Key::EmulateModelAlias), Some(1));
        assert_eq!(short.set_attribute("emulate_model_alias", "0"), Ok(0));
        assert_eq!(short.attribute(Key::EmulateModelAlias), Some(0));
    }

    #[test]
    fn a_value_is_read_as_the_kernel_reads_it() {
        for (text, value) in [("1", 1), ("+1", 1), ("1\n", 1), ("0x10", 16), ("010", 8), ("yes", 0)] {
            let mut disk = ramdisk("disk0");
            let set = disk.set_attribute("queue_depth", text);
            assert_eq!(set.ok(), (value != 0).then_some(value), "{text:?}");
        }
        for text in [" 1", "1 ", "", "4294967296", "18446744073709551616"] {
            let mut disk = ramdisk("disk0");
            for name in ["queue_depth", "emulate_tpu"] {
                let refused = disk.set_attribute(name, text);
                assert!(
                    matches!(refused, Err(Refusal::AttributeValue { .. })),
                    "{name} {text:?}: {refused:?}"
                );
            }
        }
        for text in ["y", "Yes", "ON", "true\n", "1", "1\n"] {
            assert_eq!(ramdisk("disk0").set_attribute("emulate_tpu", text), Ok(1), "{text:?}");
        }
    }

    #[test]
    fn a_deprecated_attribute_is_accepted_and_reads_back_as_before() {
        let mut disk = ramdisk("disk0");
        assert_eq!(disk.set_attribute("emulate_dpo", "0"), Ok(1));
        assert_eq!(disk.attribute(Key::EmulateDpo), Some(1));
    }

    #[test]
    fn an_unbuilt_feature_can_only_be_off() {
        let mut disk = ramdisk("disk0");
        assert_eq!(disk.set_attribute("pi_prot_verify", "0"), Ok(0));
        assert_eq!(
            disk.set_attribute("pi_prot_verify", "1"),
            Err(Refusal::AttributeUnbuilt {
                backstore: disk.id(),
                attribute: "pi_prot_verify",
                value: 1,
                only: 0
            })
        );
        assert_eq!(disk, ramdisk("disk0"));
    }

    #[test]
    fn the_write_cache_of_a_device_is_its_own() {
        let mut device = block("disk0");
        assert_eq!(device.write_back(), None);
        assert_eq!(
            device.set_attribute("emulate_write_cache", "1"),
            Err(Refusal::AttributeOfDevice { backstore: device.id(), attribute: "emulate_write_cache" })
        );
        let mut memory = ramdisk("disk0");
        assert_eq!(memory.write_back(), Some(false));
        assert_eq!(memory.set_attribute("emulate_write_cache", "1"), Ok(1));
        assert_eq!(memory.write_back(), Some(true));
    }

    #[test]
    fn of_what_guests_save_and_the_administrator_sets_the_later_counts() {
        let mut disk = ramdisk("disk0");
        disk.select(&[(Key::EmulateTas, 0), (Key::EmulateUaIntlckCtrl, 0), (Key::EmulateDpo, 0)]);
        assert_eq!(disk.selected().iter().collect::<Vec<_>>(), [(&Key::EmulateTas, &0)]);
        assert_eq!(
            (disk.attribute(Key::EmulateTas), disk.own_attribute(Key::EmulateTas)),
            (Some(0), Some(1))
        );
        // As tools write back what they read.
        let before = disk.clone();
        assert_eq!(disk.set_attribute("emulate_tas", "0"), Ok(0));
        assert_eq!(disk, before);
        assert_eq!(disk.set_attribute("emulate_tas", "1"), Ok(1));
        assert_eq!((disk.attribute(Key::EmulateTas), disk.selected().len()), (Some(1), 0));
        let mut device = block("disk0");
        device.select(&[(Key::EmulateWriteCache, 1)]);
        assert_eq!(device.attribute(Key::EmulateWriteCache), Some(0), "it is the device's");
    }

    #[test]
    fn facts_cannot_be_set() {
        let mut disk = ramdisk("disk0");
        assert_eq!(
            disk.set_attribute("hw_block_size", "512"),
            Err(Refusal::AttributeReadOnly { backstore: disk.id(), attribute: "hw_block_size" })
        );
    }

    #[test]
    fn larger_blocks_take_an_optimal_transfer_back_that_no_longer_fits() {
        let mut disk = ramdisk("disk0");
        assert_eq!(disk.attribute(Key::OptimalSectors), Some(16384));
        assert_eq!(disk.set_attribute("optimal_sectors", "8192"), Ok(8192));
        assert_eq!(disk.set_attribute("block_size", "1024"), Ok(1024));
        assert_eq!(disk.attribute(Key::OptimalSectors), Some(8192));
        assert_eq!(disk.set_attribute("block_size", "4096"), Ok(4096));
        assert_eq!(disk.attribute(Key::OptimalSectors), Some(2048));
    }

    #[test]
    fn sectors_are_taken_for_the_blocks_of_a_file_that_nobody_gave_others() {
        let file = || {
            let path = AbsolutePath::parse("/dev/x").unwrap();
            let medium = Medium::Fileio { path, size_bytes: None, sparse: true };
            Backstore::new(BackstoreName::parse("d").unwrap(), UnitSerial::parse("s").unwrap(), medium)
                .unwrap()
        };
        let mut open = file();
        assert!(open.take_blocks_of(4096));
        assert_eq!(open.block_bytes(), Some(4096));
        let mut given = file();
        assert_eq!(given.set_attribute("block_size", "512"), Ok(512));
        assert!(!given.take_blocks_of(4096));
        assert_eq!(given.block_bytes(), Some(512));
        assert!(!file().take_blocks_of(65536), "no guest takes such blocks");
        assert!(!ramdisk("r").take_blocks_of(4096));
    }

    #[test]
    fn the_size_last_seen_does_not_make_another_medium() {
        let path = AbsolutePath::parse("/x").unwrap();
        let small = Medium::Fileio { path: path.clone(), size_bytes: Some(512), sparse: true };
        let large = Medium::Fileio { path: path.clone(), size_bytes: Some(1024), sparse: true };
        assert!(!small.is_other_than(&large));
        let full = Medium::Fileio { path, size_bytes: Some(512), sparse: false };
        assert!(small.is_other_than(&full));
        let ramdisk = |bytes| Medium::ramdisk(bytes, false).unwrap();
        assert!(!ramdisk(4096).is_other_than(&ramdisk(8192)), "a ramdisk grows in its place");
        assert!(ramdisk(8192).is_other_than(&ramdisk(4096)));
        assert!(ramdisk(4096).is_other_than(&Medium::ramdisk(8192, true).unwrap()));
    }
}
