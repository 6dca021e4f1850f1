// SPDX-License-Identifier: Apache-2.0 OR MIT
//! THE table of a backstore's attributes: LIO's `attrib/` directory.
//!
//! Above: `apply` (what may be set), the doors (what is listed, help), `lunard` (what LIO's
//! saveconfig.json holds).
//! Below: nothing.
//! Never here: what an attribute does to a command; `target` does that.
//!
//! An attribute never says more than is true: one whose feature is not built ([`Access::Unbuilt`]) takes
//! the one value that is, so that a configuration of LIO which does not ask for the feature is accepted,
//! and one which does is refused.

use crate::Kind;
use crate::kernel_number::kernel_u32;
use std::collections::BTreeMap;

/// The most bytes that one READ or WRITE may move: MAXIMUM TRANSFER LENGTH of VPD page B0h, in bytes.
pub const TRANSFER_BYTES_MAX: u32 = 8 << 20;

/// Names one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is described by the help text of its row")]
pub enum Key {
    AluaSupport,
    BlockSize,
    Emulate3pc,
    EmulateCaw,
    EmulateDpo,
    EmulateFuaRead,
    EmulateFuaWrite,
    EmulateModelAlias,
    EmulatePr,
    EmulateRemovable,
    EmulateRestReord,
    EmulateRsoc,
    EmulateTas,
    EmulateTpu,
    EmulateTpws,
    EmulateUaIntlckCtrl,
    EmulateWriteCache,
    EnforcePrIsids,
    ForcePrAptpl,
    HwBlockSize,
    HwMaxSectors,
    HwQueueDepth,
    IsNonrot,
    MaxUnmapBlockDescCount,
    MaxUnmapLbaCount,
    MaxWriteSameLen,
    OptimalSectors,
    PgrSupport,
    PhysicalBlockSize,
    PiProtFormat,
    PiProtType,
    PiProtVerify,
    QueueDepth,
    UnmapGranularity,
    UnmapGranularityAlignment,
    UnmapZeroesData,
}

/// One row: an attribute and its rules.
#[derive(Debug)]
pub struct Attribute {
    /// Which.
    pub key: Key,
    /// LIO's name for it.
    pub name: &'static str,
    /// Which values make sense.
    pub values: Values,
    /// Who may change it.
    pub access: Access,
    /// Whether a change is refused while a LUN shows the backstore, because guests asked once and rely on
    /// the answer.
    pub frozen_while_exported: bool,
    /// One line or two for the administrator, without a full stop at the end.
    pub help: &'static str,
    /// For block, fileio and ramdisk; `None` where the medium says it.
    defaults: [Option<u32>; 3],
}

/// Which values an attribute takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// 0 or 1.
    Switch,
    /// One of these.
    OneOf(&'static [u32]),
    /// From the first to the last.
    Between(u32, u32),
    /// Logical blocks, from 1 to as many as [`TRANSFER_BYTES_MAX`] holds.
    Transfer,
}

/// Who may change an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The administrator.
    Settable,
    /// Nobody; a sensible value is accepted and has no effect, as in LIO.
    Ignored,
    /// Nobody: it is a fact of the medium.
    ReadOnly,
    /// The administrator, on every kind but block, where it is a fact of the device.
    SettableButOnBlock,
    /// Nobody yet: what it governs is not built, and its one value says so.
    Unbuilt,
}

impl Attribute {
    /// The row of `key`.
    #[must_use]
    pub fn of(key: Key) -> &'static Self {
        let row = ATTRIBUTES.iter().find(|row| row.key == key);
        row.expect("the table has a row for every key: a test walks them")
    }

    /// The row of LIO's `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ATTRIBUTES.iter().find(|row| row.name == name)
    }

    /// The value where nobody set one; `None` where the medium of this kind says it.
    #[must_use]
    pub fn default_of(&self, kind: Kind) -> Option<u32> {
        let [block, fileio, ramdisk] = self.defaults;
        match kind {
            Kind::Block => block,
            Kind::Fileio => fileio,
            Kind::Ramdisk => ramdisk,
        }
    }

    /// Whether the doors list it: what is not built yet is not offered.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.access != Access::Unbuilt
    }

    /// Whether LIO has none of that name: its tools do not know it.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.key, Key::EmulateRemovable | Key::PhysicalBlockSize)
    }

    /// Whether the administrator can set it on a backstore of this kind.
    #[must_use]
    pub fn is_settable_on(&self, kind: Kind) -> bool {
        match self.access {
            Access::Settable | Access::Ignored => true,
            Access::SettableButOnBlock => kind != Kind::Block,
            Access::ReadOnly | Access::Unbuilt => false,
        }
    }

    /// Whether LIO of Linux 6.1 does not have it: its tools complain of it in a saveconfig.json.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        self.key == Key::EmulateRsoc
    }

    /// Whether a mode page says the same, which guests may change and save (SPC-4, Control; SBC-3, Caching).
    #[must_use]
    pub fn is_selectable(&self) -> bool {
        matches!(self.key, Key::EmulateTas | Key::EmulateUaIntlckCtrl | Key::EmulateWriteCache)
    }

    /// The values in words, such as `0 or 1`, for a backstore with logical blocks of this size.
    #[must_use]
    pub fn values_in_words(&self, block_bytes: u32) -> String {
        match self.values {
            Values::Switch => "0 or 1".to_owned(),
            Values::OneOf(list) => {
                let words: Vec<String> = list.iter().map(u32::to_string).collect();
                words.join(", ")
            }
            Values::Between(least, most) => format!("{least} to {most}"),
            Values::Transfer => format!("1 to {}", transfer_blocks_max(block_bytes)),
        }
    }

    /// The value that a text is, whether it makes sense or not: a number as the kernel reads it
    /// ([`kernel_number`](crate::kernel_number)); for a switch 1, 0 and the words of the kernel's `kstrtobool`.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<u32> {
        let word = text.strip_suffix('\n').unwrap_or(text).to_ascii_lowercase();
        match (self.values, word.as_str()) {
            (Values::Switch, "1" | "y" | "yes" | "on" | "true") => Some(1),
            (Values::Switch, "0" | "n" | "no" | "off" | "false") => Some(0),
            // It looks at the first letter, so that 0x1 is 0, which nobody means.
            (Values::Switch, _) => None,
            _ => kernel_u32(text),
        }
    }

    /// Reads a value as typed that makes sense.
    pub(crate) fn parse(&self, text: &str, block_bytes: u32) -> Option<u32> {
        self.read(text).filter(|value| self.takes(*value, block_bytes))
    }

    pub(crate) fn takes(&self, value: u32, block_bytes: u32) -> bool {
        match self.values {
            Values::Switch => value <= 1,
            Values::OneOf(list) => list.contains(&value),
            Values::Between(least, most) => least <= value && value <= most,
            Values::Transfer => 1 <= value && value <= transfer_blocks_max(block_bytes),
        }
    }
}

/// As many logical blocks as one command may move.
pub(crate) fn transfer_blocks_max(block_bytes: u32) -> u32 {
    TRANSFER_BYTES_MAX / block_bytes.max(1)
}

/// What the administrator set on one backstore; everything else has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(BTreeMap<Key, u32>);

impl Attributes {
    /// The value set, if one was.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<u32> {
        self.0.get(&key).copied()
    }

    /// What was set, by key.
    pub fn iter(&self) -> impl Iterator<Item = (Key, u32)> + '_ {
        self.0.iter().map(|(key, value)| (*key, *value))
    }

    /// Crate only: whoever calls has asked the table.
    pub(crate) fn set(&mut self, key: Key, value: u32) {
        self.0.insert(key, value);
    }

    pub(crate) fn unset(&mut self, key: Key) {
        self.0.remove(&key);
    }
}

use Access::{Ignored, ReadOnly, Settable, SettableButOnBlock, Unbuilt};
use Values::{Between, OneOf, Switch, Transfer};

const FROZEN: bool = true;
const FREE: bool = false;
const BY_MEDIUM: [Option<u32>; 3] = [None; 3];

const fn always(value: u32) -> [Option<u32>; 3] {
    [Some(value); 3]
}

const fn row(
    key: Key,
    name: &'static str,
    values: Values,
    access: Access,
    frozen_while_exported: bool,
    defaults: [Option<u32>; 3],
    help: &'static str,
) -> Attribute {
    Attribute { key, name, values, access, frozen_while_exported, help, defaults }
}

const fn unbuilt(key: Key, name: &'static str, values: Values, value: u32, help: &'static str) -> Attribute {
    row(key, name, values, Unbuilt, FREE, always(value), help)
}

/// The table, in the order of names.
#[rustfmt::skip]
pub const ATTRIBUTES: &[Attribute] = &[
    unbuilt(Key::AluaSupport, "alua_support", Switch, 1,
        "1: asymmetric access is answered here and not by the device; the only way there is"),
    row(Key::BlockSize, "block_size", OneOf(&[512, 1024, 2048, 4096]), Settable, FROZEN, [None, Some(512), Some(512)],
        "Bytes in a logical block. A device starts with its own"),
    row(Key::Emulate3pc, "emulate_3pc", Switch, Settable, FREE, always(1),
        "1: guests may have blocks copied between the LUNs of a target without moving them (EXTENDED COPY)"),
    row(Key::EmulateCaw, "emulate_caw", Switch, Settable, FREE, always(1),
        "1: guests may compare and write blocks with nobody in between (COMPARE AND WRITE)"),
    row(Key::EmulateDpo, "emulate_dpo", Switch, Ignored, FREE, always(1),
        "Accepted and without effect, as in LIO: DPO is always understood"),
    row(Key::EmulateFuaRead, "emulate_fua_read", Switch, Ignored, FREE, always(1),
        "Accepted and without effect, as in LIO: a read always sees what was written last"),
    row(Key::EmulateFuaWrite, "emulate_fua_write", Switch, Settable, FREE, always(1),
        "1: guests may ask that a single write be durable before its answer (FUA), where a write cache makes that a question"),
    row(Key::EmulateModelAlias, "emulate_model_alias", Switch, Settable, FROZEN, always(1),
        "1: guests see the backstore's name as the product; 0: they see its kind, as IBLOCK, FILEIO or RAMDISK-MCP"),
    row(Key::EmulatePr, "emulate_pr", Switch, Settable, FROZEN, always(1),
        "1: guests may reserve the unit, persistently or with RESERVE; 0: the commands for it do not exist"),
    row(Key::EmulateRemovable, "emulate_removable", Switch, Settable, FROZEN, always(0),
        "1: guests may take the medium out, as may the administrator with eject; LIO has no such attribute"),
    unbuilt(Key::EmulateRestReord, "emulate_rest_reord", Switch, 0,
        "Restricted reordering; neither LIO nor Lunar has it"),
    row(Key::EmulateRsoc, "emulate_rsoc", Switch, Settable, FREE, always(1),
        "1: guests may ask which commands there are (REPORT SUPPORTED OPERATION CODES)"),
    row(Key::EmulateTas, "emulate_tas", Switch, Settable, FROZEN, always(1),
        "1: a command that somebody else aborted ends with TASK ABORTED; 0: it ends without an answer"),
    row(Key::EmulateTpu, "emulate_tpu", Switch, Settable, FREE, [Some(0), Some(1), Some(1)],
        "1: guests may give space back (UNMAP), where the medium can"),
    row(Key::EmulateTpws, "emulate_tpws", Switch, Settable, FREE, [Some(0), Some(1), Some(1)],
        "1: guests may give space back by WRITE SAME, where the medium can"),
    row(Key::EmulateUaIntlckCtrl, "emulate_ua_intlck_ctrl", OneOf(&[0, 1, 2]), Settable, FROZEN, always(0),
        "0: a unit attention is cleared when it is reported; 1: by REQUEST SENSE alone; 2: and a reservation conflict establishes one"),
    row(Key::EmulateWriteCache, "emulate_write_cache", Switch, SettableButOnBlock, FREE, [Some(0), Some(1), Some(0)],
        "1: guests see a volatile write cache and must flush it; 0: every write is durable before its answer. A block device has its own, and 0 here"),
    row(Key::EnforcePrIsids, "enforce_pr_isids", Switch, Ignored, FREE, always(1),
        "Accepted and without effect: it is about sessions of iSCSI"),
    row(Key::ForcePrAptpl, "force_pr_aptpl", Switch, Settable, FROZEN, always(0),
        "1: every registration outlasts a restart of the host, whether it asks for that or not"),
    row(Key::HwBlockSize, "hw_block_size", OneOf(&[512, 1024, 2048, 4096]), ReadOnly, FREE, [None, Some(512), Some(512)],
        "Bytes in a logical block of the medium itself"),
    row(Key::HwMaxSectors, "hw_max_sectors", Transfer, ReadOnly, FREE, BY_MEDIUM,
        "The most logical blocks of one command"),
    row(Key::HwQueueDepth, "hw_queue_depth", Between(1, QUEUE_DEPTH_MAX), ReadOnly, FREE, always(QUEUE_DEPTH_MAX),
        "The upper bound of queue_depth"),
    row(Key::IsNonrot, "is_nonrot", Switch, Settable, FREE, [None, Some(0), Some(1)],
        "1: guests see a medium that does not rotate. A block device starts with its own answer"),
    row(Key::MaxUnmapBlockDescCount, "max_unmap_block_desc_count", Between(0, UNMAP_DESCRIPTORS_MAX), Settable, FREE, always(0),
        "The most ranges of one UNMAP; 0 leaves it to Lunar"),
    row(Key::MaxUnmapLbaCount, "max_unmap_lba_count", Between(0, u32::MAX), Settable, FREE, always(0),
        "The most logical blocks of one UNMAP; 0 leaves it to Lunar and the medium"),
    row(Key::MaxWriteSameLen, "max_write_same_len", Between(0, u32::MAX), Settable, FREE, always(0),
        "The most logical blocks of one WRITE SAME; 0 leaves it to Lunar and the medium"),
    row(Key::OptimalSectors, "optimal_sectors", Transfer, Settable, FROZEN, BY_MEDIUM,
        "The number of logical blocks above which guests should split a transfer; starts as hw_max_sectors"),
    unbuilt(Key::PgrSupport, "pgr_support", Switch, 1,
        "1: reservations are answered here and not by the device; the only way there is"),
    row(Key::PhysicalBlockSize, "physical_block_size", OneOf(PHYSICAL_BLOCK_SIZES), SettableButOnBlock, FROZEN, [None, Some(512), Some(512)],
        "Bytes in a physical block: what guests should align to; starts as block_size. A block device has its own. LIO has no such attribute"),
    unbuilt(Key::PiProtFormat, "pi_prot_format", Switch, 0,
        "Formats protection information; not available in this version"),
    unbuilt(Key::PiProtType, "pi_prot_type", Between(0, 3), 0,
        "The type of protection information; not available in this version"),
    unbuilt(Key::PiProtVerify, "pi_prot_verify", Switch, 0,
        "Whether protection information is verified here; not available in this version"),
    row(Key::QueueDepth, "queue_depth", Between(1, QUEUE_DEPTH_MAX), Settable, FROZEN, always(QUEUE_DEPTH_MAX),
        "Shown to administrators, as in LIO; it holds no command back"),
    row(Key::UnmapGranularity, "unmap_granularity", Between(0, u32::MAX), Settable, FREE, always(0),
        "The logical blocks that guests should give back at once; 0 is what the medium says"),
    row(Key::UnmapGranularityAlignment, "unmap_granularity_alignment", Between(0, UNMAP_ALIGNMENT_MAX), Settable, FREE, always(0),
        "The first logical block that unmap_granularity counts from; 0 is what the medium says"),
    row(Key::UnmapZeroesData, "unmap_zeroes_data", Switch, Settable, FROZEN, always(1),
        "1: guests are told that unmapped blocks read as zeroes, where the medium makes sure of it"),
];

/// What READ CAPACITY (16) can say of every size of logical blocks, within reason.
const PHYSICAL_BLOCK_SIZES: &[u32] = &[512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

/// As many descriptors as a parameter list of UNMAP can hold.
const UNMAP_DESCRIPTORS_MAX: u32 = 4095;

/// UNMAP GRANULARITY ALIGNMENT has 31 bits.
const UNMAP_ALIGNMENT_MAX: u32 = 0x7fff_ffff;

/// LIO's queue depth of everything that is not a block device.
const QUEUE_DEPTH_MAX: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Block, Kind::Fileio, Kind::Ramdisk];

    #[test]
    fn every_key_has_one_row_and_names_are_in_order() {
        for pair in ATTRIBUTES.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} before {}", pair[0].name, pair[1].name);
            assert!(pair[0].key < pair[1].key, "{:?} before {:?}", pair[0].key, pair[1].key);
        }
        // `UnmapZeroesData` is the last key, so a key without a row would leave the table short.
        assert_eq!(ATTRIBUTES.len(), Key::UnmapZeroesData as usize + 1);
        assert_eq!(Attribute::of(Key::UnmapZeroesData).name, "unmap_zeroes_data");
    }

    #[test]
    fn every_default_is_a_value_of_its_attribute() {
        for row in ATTRIBUTES {
            for value in KINDS.iter().filter_map(|kind| row.default_of(*kind)) {
                assert!(row.takes(value, 512), "{} = {value}", row.name);
            }
        }
    }

    #[test]
    fn help_is_a_line_without_a_full_stop() {
        for row in ATTRIBUTES {
            assert!(
                !row.help.is_empty() && !row.help.ends_with('.') && !row.help.contains('\n'),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn the_attributes_of_real_lio_are_all_known() {
        // The keys of `attributes` in a saveconfig.json of Linux 6.1.
        for name in
            "alua_support block_size emulate_3pc emulate_caw emulate_dpo emulate_fua_read emulate_fua_write \
             emulate_model_alias emulate_pr emulate_rest_reord emulate_tas emulate_tpu emulate_tpws \
             emulate_ua_intlck_ctrl emulate_write_cache enforce_pr_isids force_pr_aptpl is_nonrot \
             max_unmap_block_desc_count max_unmap_lba_count max_write_same_len optimal_sectors pgr_support \
             pi_prot_format pi_prot_type pi_prot_verify queue_depth unmap_granularity \
             unmap_granularity_alignment unmap_zeroes_data"
                .split_whitespace()
        {
            assert!(Attribute::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn switches_read_the_words_of_the_kernel() {
        let tas = Attribute::of(Key::EmulateTas);
        for (text, value) in
            [("1", 1), ("0", 0), ("y", 1), ("Y", 1), ("n", 0), ("on", 1), ("off", 0), ("1\n", 1)]
        {
            assert_eq!(tas.parse(text, 512), Some(value), "{text}");
        }
        for text in ["", "2", "-1", "+1", "None", "maybe", "1 1", "0x1", "010", "1abc", "10", "01", "1\n\n"] {
            assert_eq!(tas.parse(text, 512), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_read_in_any_base() {
        let depth = Attribute::of(Key::QueueDepth);
        for (text, value) in [("16", 16), ("0x10", 16), ("010", 8), ("128", 128)] {
            assert_eq!(depth.parse(text, 512), Some(value), "{text}");
        }
        for text in ["0", "129", "0x", "08", "0x-1", "4294967296", "1e1"] {
            assert_eq!(depth.parse(text, 512), None, "{text}");
        }
    }

    #[test]
    fn a_transfer_is_bounded_in_bytes_whatever_the_block() {
        let optimal = Attribute::of(Key::OptimalSectors);
        assert_eq!(optimal.parse("16384", 512), Some(16384));
        assert_eq!(optimal.parse("16385", 512), None);
        assert_eq!(optimal.parse("2048", 4096), Some(2048));
        assert_eq!(optimal.parse("2049", 4096), None);
        assert_eq!(optimal.parse("0", 512), None);
    }
}
