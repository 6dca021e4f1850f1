// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `get`: shows parameters of a group.
//!
//! Above: the table; `set` shares the groups.  Below: `settings`, the API.
//! Never here: which attributes a backstore has.

use crate::alua;
use crate::command::{Command, Need, Needs, Parameter, Places, Values, optional};
use crate::failure::Failure;
use crate::session::Call;
use crate::settings::SETTINGS;
use crate::tree::{Place, Subject};
use api::v1;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "get",
    places: Places::All,
    parameters: &[
        optional(
            "group",
            Values::Group,
            "global, attribute at a backstore or target port group, identity at a backstore, parameter and option at a target, or alua at ALUA groups and a LUN; all groups are named if left out",
        ),
        Parameter {
            name: "parameter",
            need: Need::EveryValue,
            values: Values::GroupParameter,
            about: "which to show; all of the group with their descriptions if left out",
        },
    ],
    summary: "Show parameters",
    details: "",
    needs: Needs::Node,
    run,
}];

/// One parameter of a group.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) writable: bool,
    /// The word that `set` shows in place of the value.
    pub(crate) kind: &'static str,
    pub(crate) about: String,
}

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let Some(group) = call.arguments.get("group").map(str::to_owned) else {
        list_groups(call);
        return Ok(());
    };
    let entries = entries(call, &group)?;
    if call.arguments.values.is_empty() {
        call.result(object(&group, entries.iter()));
        return show_all(call, &group, entries.iter().map(|entry| (entry, entry.value.as_str())));
    }
    let wanted: Vec<&Entry> = call
        .arguments
        .values
        .iter()
        .map(|name| {
            let entry = entries.iter().find(|entry| entry.name == *name);
            entry.ok_or_else(|| {
                Failure::new(format!("No parameter '{name}' in group '{group}'."))
                    .hint(format!("`get {group}` shows those there are"))
            })
        })
        .collect::<Result<_, _>>()?;
    call.result(object(&group, wanted.iter().copied()));
    for entry in wanted {
        // targetcli ends the line of a parameter that can be set with a space.
        let mark = if entry.writable { "" } else { "[ro]" };
        call.print_line(&format!("{}={} {mark}", entry.name, entry.value));
    }
    Ok(())
}

/// The groups that the node has, in the order of targetcli; those that are Lunar's own come last.
pub(crate) fn groups(place: Place) -> &'static [&'static str] {
    match place {
        Place::StorageObject => &["global", "attribute", "identity"],
        Place::Target => &["global", "parameter", "option"],
        Place::Tpg => &["global", "attribute"],
        Place::AluaGroups | Place::AluaGroup | Place::Lun => &["global", "alua"],
        _ => &["global"],
    }
}

/// A group and its parameters, for programs.
pub(super) fn object<'e>(group: &str, entries: impl Iterator<Item = &'e Entry>) -> Value {
    let parameters: Vec<Value> = entries
        .map(|entry| {
            json!({
                "name": entry.name, "value": entry.value, "type": entry.kind,
                "writable": entry.writable, "about": entry.about,
            })
        })
        .collect();
    json!({ "group": group, "parameters": parameters })
}

pub(super) fn list_groups(call: &mut Call<'_>) {
    call.result(json!({ "groups": groups(call.node.subject.place()) }));
    let groups = groups(call.node.subject.place()).join(" ");
    call.print("\nAVAILABLE CONFIGURATION GROUPS\n==============================\n");
    call.print_line(&groups);
}

/// The parameters of a group at this node, by name.
pub(super) fn entries(call: &Call<'_>, group: &str) -> Result<Vec<Entry>, Failure> {
    if !groups(call.node.subject.place()).contains(&group) {
        return Err(Failure::new(format!("Unknown configuration group: {group}"))
            .hint(format!("this node has {}", groups(call.node.subject.place()).join(" "))));
    }
    match (group, &call.node.subject) {
        ("attribute", Subject::Backstore(backstore)) => Ok(attributes(backstore, &call.api().attributes()?)),
        ("attribute", Subject::Tpg { .. }) => Ok(vec![protection()]),
        ("parameter", Subject::Target { parameters, .. }) => Ok(self::parameters(parameters)),
        ("identity", Subject::Backstore(backstore)) => Ok(identity(backstore, &call.api().attributes()?)),
        ("option", Subject::Target { options, .. }) => Ok(target_options(options, &call.api().options()?)),
        ("alua", Subject::AluaGroup { group, .. }) => {
            Ok(alua::of_group(group, &call.api().attributes()?.alua))
        }
        ("alua", Subject::AluaGroups { lba_map, .. }) => Ok(vec![alua::lba_map(lba_map)]),
        ("alua", Subject::Lun { alua, .. }) => Ok(alua::of_lun(alua)),
        _ => Ok(globals(call)),
    }
}

fn globals(call: &Call<'_>) -> Vec<Entry> {
    let entry = |setting: &crate::settings::Setting| Entry {
        name: setting.name.to_owned(),
        value: call.kept.global(setting.name).to_owned(),
        writable: true,
        kind: setting.kind.word(),
        about: setting.description(),
    };
    SETTINGS.iter().map(entry).collect()
}

fn attributes(backstore: &v1::Backstore, table: &v1::AttributeTable) -> Vec<Entry> {
    let entry = |(name, value): (&String, &String)| {
        let info = table.attributes.iter().find(|info| info.name == *name);
        Entry {
            name: name.clone(),
            value: value.clone(),
            writable: info.is_some_and(|info| info.settable_on.contains(&backstore.id.kind)),
            kind: if value.bytes().all(|byte| byte.is_ascii_digit()) { "number" } else { "string" },
            about: info.map(|info| format!("{}.", info.help)).unwrap_or_default(),
        }
    };
    backstore.attributes.iter().map(entry).collect()
}

/// Who a backstore says that it is: LIO's `wwn/` directory.
fn identity(backstore: &v1::Backstore, table: &v1::AttributeTable) -> Vec<Entry> {
    let entry = |(name, value): (&String, &String)| {
        let info = table.identity.iter().find(|info| info.name == *name);
        Entry {
            name: name.clone(),
            value: value.clone(),
            writable: info.is_some(),
            kind: "string",
            about: info.map(|info| format!("{}.", info.help)).unwrap_or_default(),
        }
    };
    backstore.identity.iter().map(entry).collect()
}

/// The only attribute that LIO's vhost has: a kind of data protection, of which there is none here.
pub(crate) const FABRIC_PROT_TYPE: &str = "fabric_prot_type";

fn protection() -> Entry {
    Entry {
        name: FABRIC_PROT_TYPE.to_owned(),
        value: "0".to_owned(),
        writable: true,
        kind: "number",
        about: "Which protection information the fabric carries. It is 0, none, and cannot be otherwise."
            .to_owned(),
    }
}

/// What is kept of a target for LIO's tools.  An older daemon says nothing of it.
fn parameters(parameters: &BTreeMap<String, String>) -> Vec<Entry> {
    let about = "Where LIO would complete commands: -1, on the CPU that submitted them; -2, on any; else the number of a \
                 CPU. It is kept for LIO's tools, and `lunard` does not heed it.";
    let entry = |(name, value): (&String, &String)| Entry {
        name: name.clone(),
        value: value.clone(),
        writable: true,
        kind: "string",
        about: about.to_owned(),
    };
    parameters.iter().map(entry).collect()
}

fn target_options(options: &BTreeMap<String, String>, table: &v1::OptionTable) -> Vec<Entry> {
    let entry = |(name, value): (&String, &String)| {
        let info = table.options.iter().find(|info| info.name == *name);
        Entry {
            name: name.clone(),
            value: value.clone(),
            writable: info.is_some(),
            kind: "number",
            about: info.map(|info| format!("{}.", info.help)).unwrap_or_default(),
        }
    };
    options.iter().map(entry).collect()
}

/// A heading, and each parameter with its description.
pub(super) fn show_all<'e>(
    call: &mut Call<'_>,
    group: &str,
    entries: impl Iterator<Item = (&'e Entry, &'e str)>,
) -> Result<(), Failure> {
    let heading = format!("{} CONFIG GROUP", group.to_uppercase());
    call.print(&format!("{heading}\n{}\n", "=".repeat(heading.len())));
    for (entry, value) in entries {
        let mark = if entry.writable { "" } else { " [ro]" };
        let line = format!("{}={value}{mark}", entry.name);
        call.print(&format!("{line}\n{}\n{}\n\n", "-".repeat(line.chars().count()), entry.about));
    }
    Ok(())
}
