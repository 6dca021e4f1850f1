// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What there is to set, and what is known of it beside its value.
//!
//! Above: `server`, `kernel-target`.  Below: the tables of `model`.
//! Never here: a value.

use crate::view;
use api::v1;

/// Every attribute that is listed.
#[must_use]
pub fn attributes() -> v1::AttributeTable {
    let listed = model::ATTRIBUTES.iter().filter(|row| row.is_listed());
    let info = |row: &model::Attribute| v1::AttributeInfo {
        name: row.name.to_owned(),
        help: row.help.to_owned(),
        values: row.values_in_words(512),
        settable_on: settable_on(row),
        frozen_while_exported: row.frozen_while_exported,
    };
    v1::AttributeTable { attributes: listed.map(info).collect(), alua: alua(), identity: identity() }
}

/// Every attribute of an ALUA group.
fn alua() -> Vec<v1::OptionInfo> {
    let info = |row: &model::AluaAttribute| v1::OptionInfo {
        name: row.name.to_owned(),
        help: row.help.to_owned(),
        values: row.values_in_words(),
        default: row.default.to_string(),
    };
    model::ALUA_ATTRIBUTES.iter().map(info).collect()
}

/// Who a backstore can say that it is.
fn identity() -> Vec<v1::OptionInfo> {
    let info = |row: &model::IdentityField| v1::OptionInfo {
        name: row.name.to_owned(),
        help: row.help.to_owned(),
        values: row.values_in_words(),
        default: String::new(),
    };
    let serial = v1::OptionInfo {
        name: model::UNIT_SERIAL_FILE.to_owned(),
        help: "The serial number that guests tell the disk by; what a ramdisk held is gone with another one"
            .to_owned(),
        values: format!("1 to {} characters of printable ASCII", model::UnitSerial::BYTES_MAX),
        default: String::new(),
    };
    model::IDENTITY_FIELDS.iter().map(info).chain([serial]).collect()
}

fn settable_on(row: &model::Attribute) -> Vec<v1::Kind> {
    let kinds = model::Kind::ALL.into_iter().filter(|kind| row.is_settable_on(*kind));
    kinds.map(view::wire_kind).collect()
}

/// Every option of a target.
#[must_use]
pub fn options() -> v1::OptionTable {
    let info = |row: &model::TargetOption| v1::OptionInfo {
        name: row.name.to_owned(),
        help: row.help.to_owned(),
        values: row.values_in_words(),
        default: row.default.to_string(),
    };
    v1::OptionTable { options: model::TARGET_OPTIONS.iter().map(info).collect() }
}
