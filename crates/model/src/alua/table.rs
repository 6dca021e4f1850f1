// SPDX-License-Identifier: Apache-2.0 OR MIT
//! THE table of the attributes of a target port group.
//!
//! Above: `alua`, whose groups keep their values; the doors, which show the rows.
//! Below: numbers.
//! Never here: a rule about more than one of them.

use crate::kernel_number::kernel_u32;

/// Names one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is described by the help text of its row")]
pub enum AluaKey {
    AccessState,
    AccessStatus,
    AccessType,
    SupportActiveNonoptimized,
    SupportActiveOptimized,
    SupportLbaDependent,
    SupportOffline,
    SupportStandby,
    SupportTransitioning,
    SupportUnavailable,
    WriteMetadata,
    ImplicitTransSecs,
    NonopDelayMsecs,
    Preferred,
    TransDelayMsecs,
}

/// One row: an attribute of a target port group and its rules.
#[derive(Debug)]
pub struct AluaAttribute {
    /// Which.
    pub key: AluaKey,
    /// LIO's name for it.
    pub name: &'static str,
    /// Which values make sense.
    values: Values,
    /// The value of a new group.
    pub default: u32,
    /// One line or two for the administrator, without a full stop at the end.
    pub help: &'static str,
}

/// Which values an attribute takes.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// One of these.
    OneOf(&'static [u32]),
    /// From the first to the last.
    Between(u32, u32),
}

impl Values {
    fn take(self, value: u32) -> bool {
        match self {
            Self::OneOf(list) => list.contains(&value),
            Self::Between(least, most) => least <= value && value <= most,
        }
    }
}

const fn row(
    key: AluaKey,
    name: &'static str,
    values: Values,
    default: u32,
    help: &'static str,
) -> AluaAttribute {
    AluaAttribute { key, name, values, default, help }
}

const fn supports(key: AluaKey, name: &'static str, help: &'static str) -> AluaAttribute {
    row(key, name, Values::Between(0, 1), 1, help)
}

/// The table, in the order of names.
#[rustfmt::skip]
pub const ALUA_ATTRIBUTES: &[AluaAttribute] = &[
    row(AluaKey::AccessState, "alua_access_state", Values::OneOf(&[0, 1, 2, 3, 4]), 0,
        "How guests reach the backstore through the group: 0 optimized, 1 non-optimized, 2 standby, 3 unavailable, 4 as lba_map has it for each block, which takes an alua_access_type of 1; it reads 15 while the group is transitioning; setting it needs implicit in alua_access_type and the state's alua_support"),
    row(AluaKey::AccessStatus, "alua_access_status", Values::Between(0, 2), 0,
        "Who changed the state last: 0 nobody, 1 a guest, 2 the administrator"),
    row(AluaKey::AccessType, "alua_access_type", Values::Between(0, 3), 3,
        "Who may change the state: 0 nobody, 1 the administrator (implicit), 2 guests (explicit), 3 both"),
    supports(AluaKey::SupportActiveNonoptimized, "alua_support_active_nonoptimized",
        "Whether the group can be active/non-optimized"),
    supports(AluaKey::SupportActiveOptimized, "alua_support_active_optimized",
        "Whether the group can be active/optimized"),
    row(AluaKey::SupportLbaDependent, "alua_support_lba_dependent", Values::Between(0, 1), 0,
        "Whether the state can differ from block to block: 1 while the backstore has an lba_map, else 0"),
    supports(AluaKey::SupportOffline, "alua_support_offline", "Whether a LUN of the group can be offline"),
    supports(AluaKey::SupportStandby, "alua_support_standby", "Whether the group can be in standby"),
    supports(AluaKey::SupportTransitioning, "alua_support_transitioning", "Whether the group can be transitioning"),
    supports(AluaKey::SupportUnavailable, "alua_support_unavailable", "Whether the group can be unavailable"),
    row(AluaKey::WriteMetadata, "alua_write_metadata", Values::Between(0, 1), 0,
        "Kept for LIO's tools; states are always on disk before they are answered"),
    row(AluaKey::ImplicitTransSecs, "implicit_trans_secs", Values::Between(0, 255), 0,
        "The seconds that guests are told to give a change of the state; 0 leaves it to them"),
    row(AluaKey::NonopDelayMsecs, "nonop_delay_msecs", Values::Between(0, 10_000), 100,
        "By how many milliseconds reads and writes are delayed while the group is active/non-optimized"),
    row(AluaKey::Preferred, "preferred", Values::Between(0, 1), 0,
        "Whether guests are told to prefer the group"),
    row(AluaKey::TransDelayMsecs, "trans_delay_msecs", Values::Between(0, 30_000), 0,
        "For how many milliseconds a change of the state leaves the group transitioning"),
];

impl AluaAttribute {
    /// The row of `key`.
    #[must_use]
    pub fn of(key: AluaKey) -> &'static Self {
        let row = ALUA_ATTRIBUTES.iter().find(|row| row.key == key);
        row.expect("the table has a row for every key: a test walks them")
    }

    /// The row of LIO's `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALUA_ATTRIBUTES.iter().find(|row| row.name == name)
    }

    /// The values in words, such as `0 to 255`.
    #[must_use]
    pub fn values_in_words(&self) -> String {
        match self.values {
            Values::Between(0, 1) => "0 or 1".to_owned(),
            Values::Between(least, most) => format!("{least} to {most}"),
            Values::OneOf(list) => {
                let words: Vec<String> = list.iter().map(u32::to_string).collect();
                words.join(", ")
            }
        }
    }

    /// Whether a value makes sense.
    pub(super) fn takes(&self, value: u32) -> bool {
        self.values.take(value)
    }

    pub(super) fn parse(&self, text: &str) -> Option<u32> {
        kernel_u32(text).filter(|value| self.takes(*value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_lios() {
        assert!(ALUA_ATTRIBUTES.is_sorted_by(|a, b| a.name < b.name));
        let defaults: Vec<u32> = ALUA_ATTRIBUTES.iter().map(|row| row.default).collect();
        assert_eq!(defaults, [0, 0, 3, 1, 1, 0, 1, 1, 1, 1, 0, 0, 100, 0, 0]);
        for row in ALUA_ATTRIBUTES {
            assert!(row.values.take(row.default), "{}", row.name);
            assert_eq!(AluaAttribute::of(row.key).name, row.name);
        }
    }
}
