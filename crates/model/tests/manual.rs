// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The manual's tables of attributes and options are the tables of attributes and options.
//!
//! Above: nothing.  Below: `docs/manual/backstores.md`, `docs/manual/guests.md`, `docs/manual/alua.md`.

use model::{
    ALUA_ATTRIBUTES, ATTRIBUTES, AluaAttribute, Attribute, Kind, TARGET_OPTIONS, TargetOption, Values,
};

const MANUAL: &str = include_str!("../../../docs/manual/backstores.md");
const ALUA: &str = include_str!("../../../docs/manual/alua.md");
const GUESTS: &str = include_str!("../../../docs/manual/guests.md");

/// A row as the manual has it.
fn row(attribute: &Attribute) -> String {
    let unsaid = if attribute.values == Values::Transfer { "8 MiB" } else { "device's" };
    let default =
        |kind| attribute.default_of(kind).map_or_else(|| unsaid.to_owned(), |value| value.to_string());
    let [block, fileio, ramdisk] = Kind::ALL.map(|kind| match default(kind) {
        default if attribute.is_settable_on(kind) => default,
        default => format!("{default}, fixed"),
    });
    let frozen = if attribute.frozen_while_exported { "unmapped" } else { "" };
    let (name, values, help) = (attribute.name, attribute.values_in_words(512), attribute.help);
    format!("| `{name}` | {values} | {block} | {fileio} | {ramdisk} | {frozen} | {help} |")
}

#[test]
fn the_manual_has_every_attribute_as_it_is() {
    let (_, table) = MANUAL.split_once("\n| attribute |").expect("there is a table");
    let in_manual: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let listed: Vec<String> = ATTRIBUTES.iter().filter(|row| row.is_listed()).map(row).collect();
    assert_eq!(in_manual, listed, "the manual's table should read:\n{}", listed.join("\n"));
}

#[test]
fn the_manual_has_every_option_as_it_is() {
    let (_, table) = GUESTS.split_once("\n| option | values |").expect("there is a table");
    let in_manual: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let row = |option: &TargetOption| {
        let (name, values) = (option.name, option.values_in_words());
        format!("| `{name}` | {values} | {} | {} |", option.default, option.help)
    };
    let listed: Vec<String> = TARGET_OPTIONS.iter().map(row).collect();
    assert_eq!(in_manual, listed, "the manual's table should read:\n{}", listed.join("\n"));
}

#[test]
fn the_manual_has_every_attribute_of_an_alua_group_as_it_is() {
    let (_, table) = ALUA.split_once("\n| attribute | values |").expect("there is a table");
    let in_manual: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let row = |attribute: &AluaAttribute| {
        let (name, values) = (attribute.name, attribute.values_in_words());
        format!("| `{name}` | {values} | {} | {} |", attribute.default, attribute.help)
    };
    let listed: Vec<String> = ALUA_ATTRIBUTES.iter().map(row).collect();
    assert_eq!(in_manual, listed, "the manual's table should read:\n{}", listed.join("\n"));
}
