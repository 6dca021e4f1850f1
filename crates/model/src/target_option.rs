// SPDX-License-Identifier: Apache-2.0 OR MIT
//! THE table of a target's options: what its device is to a front end.  LIO has no such words.
//!
//! Above: `target`, which has their values, `apply` (what may be set), the doors (what is listed, help).
//! Below: nothing.
//! Never here: what an option does to a connection; `vhost-scsi` does that.
//!
//! The names are those of QEMU's properties and of the configuration space of virtio-scsi (virtio 1.2,
//! 5.6.4), which mean the same.

use std::collections::BTreeMap;

/// The most request queues: vhost-user has 8 bits for the index of a queue, and two are control and event.
pub const REQUEST_QUEUES_MAX: u32 = 254;

/// Names one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is described by the help text of its row")]
pub enum OptionKey {
    CmdPerLun,
    MaxSectors,
    NumQueues,
    SegMax,
    VirtqueueSize,
}

/// One row: an option and its rules.
#[derive(Debug)]
pub struct TargetOption {
    /// Which.
    pub key: OptionKey,
    /// Its name.
    pub name: &'static str,
    /// The least value.
    pub least: u32,
    /// The greatest.
    pub most: u32,
    /// The value where nobody set one.
    pub default: u32,
    /// One line or two for the administrator, without a full stop at the end.
    pub help: &'static str,
}

impl TargetOption {
    /// The row of `key`.
    #[must_use]
    pub fn of(key: OptionKey) -> &'static Self {
        let row = TARGET_OPTIONS.iter().find(|row| row.key == key);
        row.expect("the table has a row for every key: a test walks them")
    }

    /// The row of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGET_OPTIONS.iter().find(|row| row.name == name)
    }

    /// The values in words, such as `0 to 254`.
    #[must_use]
    pub fn values_in_words(&self) -> String {
        format!("{} to {}", self.least, self.most)
    }

    /// Reads a value as typed, with space around it or without: no file of the kernel's is like it.
    pub(crate) fn parse(&self, text: &str) -> Option<u32> {
        let value = crate::kernel_number::kernel_u32(text.trim())?;
        (self.least <= value && value <= self.most).then_some(value)
    }
}

/// What the options of one target are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetOptions(BTreeMap<OptionKey, u32>);

impl TargetOptions {
    /// The value of an option, set or not.
    #[must_use]
    pub fn get(&self, key: OptionKey) -> u32 {
        self.0.get(&key).copied().unwrap_or_else(|| TargetOption::of(key).default)
    }

    /// Those that are not as they were at first, by key.
    pub fn iter(&self) -> impl Iterator<Item = (OptionKey, u32)> + '_ {
        self.0.iter().map(|(key, value)| (*key, *value))
    }

    /// Crate only: whoever calls has asked the table.
    pub(crate) fn set(&mut self, row: &TargetOption, value: u32) {
        if value == row.default {
            self.0.remove(&row.key);
        } else {
            self.0.insert(row.key, value);
        }
    }
}

/// The table, in the order of names.
#[rustfmt::skip]
pub const TARGET_OPTIONS: &[TargetOption] = &[
    TargetOption { key: OptionKey::CmdPerLun, name: "cmd_per_lun", least: 1, most: 32768, default: 128,
        help: "The commands that a guest should have under way on one LUN" },
    // Linux takes no less than a page, and no command is longer than 65535 sectors are.
    TargetOption { key: OptionKey::MaxSectors, name: "max_sectors", least: 8, most: 65535, default: 65535,
        help: "The longest transfer that a guest should ask for, in sectors of 512 bytes" },
    TargetOption { key: OptionKey::NumQueues, name: "num_queues", least: 0, most: REQUEST_QUEUES_MAX, default: 0,
        help: "The request queues that a front end is told of, and the most that it may have; 0: it is told of 1 and may have 254" },
    // A chain has two descriptors more, for the request and its answer.
    TargetOption { key: OptionKey::SegMax, name: "seg_max", least: 1, most: 1024, default: 126,
        help: "The pieces of memory that one transfer of a guest should consist of at most; guests of QEMU are told 126 by QEMU" },
    TargetOption { key: OptionKey::VirtqueueSize, name: "virtqueue_size", least: 3, most: 32768, default: 32768,
        help: "The most entries that a queue of a front end may have" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_row_and_names_are_in_order() {
        for pair in TARGET_OPTIONS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} before {}", pair[0].name, pair[1].name);
            assert!(pair[0].key < pair[1].key, "{:?} before {:?}", pair[0].key, pair[1].key);
        }
        // `VirtqueueSize` is the last key, so a key without a row would leave the table short.
        assert_eq!(TARGET_OPTIONS.len(), OptionKey::VirtqueueSize as usize + 1);
        for row in TARGET_OPTIONS {
            assert!(row.least <= row.default && row.default <= row.most, "{}", row.name);
            assert!(!row.help.ends_with('.'), "{}", row.name);
        }
    }

    #[test]
    fn the_ends_of_a_range_are_in_it_and_what_is_beyond_is_not() {
        let parse = |name: &str, text: &str| TargetOption::named(name).unwrap().parse(text);
        for (name, least, most) in [
            ("num_queues", "0", "254"),
            ("virtqueue_size", "3", "32768"),
            ("seg_max", "1", "1024"),
            ("max_sectors", "8", "65535"),
            ("cmd_per_lun", "1", "32768"),
        ] {
            assert_eq!(parse(name, least), least.parse().ok());
            assert_eq!(parse(name, most), most.parse().ok());
            let beyond = most.parse::<u64>().unwrap() + 1;
            assert_eq!(parse(name, &beyond.to_string()), None, "{name}");
        }
        for (name, text) in
            [("virtqueue_size", "2"), ("seg_max", "0"), ("max_sectors", "7"), ("num_queues", "-1")]
        {
            assert_eq!(parse(name, text), None, "{name}");
        }
        for text in ["", "x", "4294967297", "1.5"] {
            assert_eq!(parse("seg_max", text), None, "{text}");
        }
        assert_eq!(parse("num_queues", " 0x10 "), Some(16));
    }

    #[test]
    fn a_default_that_was_set_is_as_one_that_was_not() {
        let mut options = TargetOptions::default();
        assert_eq!(options.get(OptionKey::SegMax), 126);
        options.set(TargetOption::of(OptionKey::SegMax), 64);
        assert_eq!(options.get(OptionKey::SegMax), 64);
        options.set(TargetOption::of(OptionKey::SegMax), 126);
        assert_eq!(options, TargetOptions::default());
    }
}
