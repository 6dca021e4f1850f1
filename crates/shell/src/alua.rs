// SPDX-License-Identifier: Apache-2.0 OR MIT
//! ALUA in targetcli's words: the names of states, and the parameters of the group `alua`.
//!
//! Above: `tree`, `get`, `set`.  Below: the wire types.
//! Never here: which values a parameter takes; the daemon refuses.

use crate::commands::Entry;
use api::v1;

/// The word for a state.
pub(crate) fn state_name(number: &str) -> &'static str {
    match number {
        "0" => "Active/optimized",
        "1" => "Active/non-optimized",
        "2" => "Standby",
        "3" => "Unavailable",
        "4" => "LBA Dependent",
        "14" => "Offline",
        "15" => "Transitioning",
        _ => "Unknown",
    }
}

/// The parameters of an ALUA group, by name.
pub(crate) fn of_group(group: &v1::AluaGroup, table: &[v1::OptionInfo]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = group
        .attributes
        .iter()
        .map(|(name, value)| Entry {
            name: name.clone(),
            value: value.clone(),
            // It follows the map.
            writable: name != "alua_support_lba_dependent",
            kind: "number",
            about: about(name, table),
        })
        .collect();
    let fixed = |name: &str, value: String, kind, about: &str| Entry {
        name: name.to_owned(),
        value,
        writable: false,
        kind,
        about: about.to_owned(),
    };
    entries.push(fixed("members", members(group), "string", "The LUNs that are in the group."));
    let id = group.group_id.to_string();
    entries.push(fixed("tg_pt_gp_id", id, "number", "What guests know the group by."));
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

/// Which blocks are reached how: the one parameter of all ALUA groups of a backstore together.
pub(crate) fn lba_map(value: &str) -> Entry {
    Entry {
        name: "lba_map".to_owned(),
        value: value.to_owned(),
        writable: true,
        kind: "string",
        about: "Which blocks are reached how through groups whose state is 4: the blocks of a segment and a multiplier; \
                then lines of a first and a last block and ID:STATE of each group, O, A, S or U; an empty text is none."
            .to_owned(),
    }
}

fn about(name: &str, table: &[v1::OptionInfo]) -> String {
    let info = table.iter().find(|info| info.name == name);
    info.map(|info| format!("{}.", info.help)).unwrap_or_default()
}

/// As targetcli prints its list of them.
fn members(group: &v1::AluaGroup) -> String {
    let member = |v1::AluaMember { wwn, tag, lun }: &v1::AluaMember| {
        format!("{{'driver': 'vhost', 'target': '{wwn}', 'tpgt': {tag}, 'lun': {lun}}}")
    };
    let all: Vec<String> = group.members.iter().map(member).collect();
    format!("[{}]", all.join(", "))
}

/// The parameters of a LUN, by name.
pub(crate) fn of_lun(alua: &v1::LunAlua) -> Vec<Entry> {
    let v1::LunAlua { group, offline, status, write_metadata } = alua;
    let entry = |name: &str, value: String, kind, about: &str| Entry {
        name: name.to_owned(),
        value,
        writable: true,
        kind,
        about: about.to_owned(),
    };
    let switch = |on: &bool| u8::from(*on).to_string();
    vec![
        entry(
            "alua_tg_pt_gp_name",
            group.clone(),
            "string",
            "The ALUA group of the backstore that it is in.",
        ),
        entry(
            "alua_tg_pt_offline",
            switch(offline),
            "number",
            "1 lets nothing reach the backstore this way.",
        ),
        entry(
            "alua_tg_pt_status",
            status.to_string(),
            "number",
            "Who changed that: 0 nobody, 1 a guest, 2 the administrator.",
        ),
        entry(
            "alua_tg_pt_write_md",
            switch(write_metadata),
            "number",
            "Kept for LIO's tools; nothing follows from it.",
        ),
    ]
}
