// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access in a saveconfig.json: `alua_tpgs` of a storage object, and what a LUN has.
//!
//! Above: the writer, `document`.  Below: `model`, whose rules decide.
//! Never here: which storage object or LUN it is.

use super::document::shown;
use super::entry::Entry;
use model::{
    ALUA_ATTRIBUTES, AluaAttribute, AluaGroup, AluaGroupName, AluaGroups, AluaKey, Backstore, BackstoreId,
    LUN_ALUA_ATTRIBUTES, LbaMap, LbaMapError, LunAlua, LunAluaSetting, LunAluaStatus, Place, Refusal,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One item of `alua_tpgs`, with the members that LIO's tools write.
pub(super) fn group((name, group): (&AluaGroupName, &AluaGroup)) -> Value {
    // They leave this one out: with them it cannot be set.
    let written = ALUA_ATTRIBUTES.iter().filter(|row| row.key != AluaKey::SupportLbaDependent);
    let mut item: Map<String, Value> =
        written.map(|row| (row.name.to_owned(), json!(group.get(row.key)))).collect();
    item.insert("name".to_owned(), json!(name.as_str()));
    item.insert("tg_pt_gp_id".to_owned(), json!(group.id));
    Value::Object(item)
}

/// Adds what a LUN has besides its group, where it is not as it was at first.  LIO's tools do not look.
pub(super) fn put_lun(alua: &LunAlua, lun: &mut Value) {
    let LunAlua { group: _, offline, status, write_metadata } = alua;
    let [_, names @ ..] = LUN_ALUA_ATTRIBUTES;
    let values = [u8::from(*offline), status.number(), u8::from(*write_metadata)];
    for (name, value) in names.into_iter().zip(values).filter(|(_, value)| *value != 0) {
        lun[name] = json!(value);
    }
}

/// What a file says of the groups of a storage object: each with the attributes that it names.
pub(super) type SaidGroups = BTreeMap<AluaGroupName, BTreeSet<AluaKey>>;

/// Takes over which blocks are reached how.
pub(super) fn read_lba_map(text: Option<&str>, backstore: &mut Backstore) -> Result<(), Refusal> {
    let map = LbaMap::parse(text.unwrap_or_default());
    let map = map.map_err(|LbaMapError { line, why }| {
        let backstore = backstore.id();
        Refusal::LbaMapInvalid { backstore, line, why }
    });
    backstore.alua.restore_lba_map(map?);
    Ok(())
}

/// The groups that a storage object with those of `is` has after a file that has `wanted` and names `said` of it.
/// What the file does not name of a group that is there stays, states above all: guests set them too.
pub(super) fn merged(
    id: &BackstoreId,
    is: &AluaGroups,
    wanted: &AluaGroups,
    said: &SaidGroups,
) -> Result<AluaGroups, Refusal> {
    let mut merged = AluaGroups::default();
    merged.restore_lba_map(is.lba_map().cloned());
    let default = AluaGroupName::default_group();
    let nothing = BTreeSet::new();
    for (name, group) in wanted.iter() {
        let said = said.get(name).unwrap_or(&nothing);
        let was = is.get(name).filter(|was| was.id == group.id || *name == default);
        let mut whole = AluaGroup::new(group.id);
        for row in ALUA_ATTRIBUTES {
            let from = was.filter(|_| !said.contains(&row.key)).unwrap_or(group);
            // Both have passed the rule of the row.
            let _ = whole.restore(row, from.get(row.key));
        }
        merged.restore(id, name.clone(), whole)?;
    }
    Ok(merged)
}

/// Gives a storage object the groups of its `alua_tpgs`.  `takes_default`: the default group too; LIO's tools leave
/// that as it is.  `is_typed`: somebody means each word, and did not read it in the middle of a transition.  Returns what is
/// not known, and what was said.
pub(super) fn read_groups(
    entry: &Entry<'_>,
    backstore: &mut Backstore,
    takes_default: bool,
    is_typed: bool,
) -> Result<(Vec<String>, SaidGroups), String> {
    let mut notes = Vec::new();
    let mut all_said = SaidGroups::new();
    let id = backstore.id();
    for item in entry.list("alua_tpgs")? {
        let item = Entry::of(item, format!("ALUA group of {}", entry.at()))?;
        let name = item.text("name")?.unwrap_or_default();
        if name == AluaGroupName::DEFAULT && !takes_default {
            continue;
        }
        let name = AluaGroupName::parse(name).map_err(|refusal| refusal.to_string())?;
        let item = item.named(format!("ALUA group {name} of {}", entry.at()));
        let number = item.whole("tg_pt_gp_id")?.unwrap_or(0);
        let number = u16::try_from(number).map_err(|_| format!("{}: there is no id {number}", item.at()))?;
        let mut group = AluaGroup::new(number);
        let said = all_said.entry(name.clone()).or_default();
        for key in item.keys().filter(|key| !["name", "tg_pt_gp_id"].contains(key)) {
            let Some(row) = AluaAttribute::named(key) else {
                notes.push(format!("'{}' of {} is not known here", shown(key), item.at()));
                continue;
            };
            said.insert(row.key);
            let value = item.whole(key)?.unwrap_or(row.default.into());
            let is_mapped = backstore.alua.lba_map().is_some();
            if row.key == AluaKey::SupportLbaDependent && value != u64::from(is_mapped) {
                return Err(format!("{}: {key} cannot be {value}: it follows lba_map", item.at()));
            }
            let between = row.key == AluaKey::AccessState && value == u64::from(AluaGroup::TRANSITIONING);
            let taken =
                !(is_typed && between) && u32::try_from(value).is_ok_and(|value| group.restore(row, value));
            if !taken {
                return Err(format!(
                    "{}: {key} cannot be {value}: it takes {}",
                    item.at(),
                    row.values_in_words()
                ));
            }
        }
        backstore.alua.restore(&id, name, group).map_err(|refusal| refusal.to_string())?;
    }
    Ok((notes, all_said))
}

/// What of a LUN's a file names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SaidOfLun {
    pub(super) group: bool,
    offline: bool,
    status: bool,
    write_metadata: bool,
}

impl SaidOfLun {
    /// `all`: whatever the file leaves out is as it was at first.
    pub(super) fn by(entry: &Entry<'_>, all: bool) -> Self {
        let [group, offline, status, write_metadata] =
            LUN_ALUA_ATTRIBUTES.map(|name| all || entry.get(name).is_some());
        Self { group, offline, status, write_metadata }
    }

    /// What makes a LUN with `is` one with what is said of `wanted`.
    pub(super) fn settings(self, is: &LunAlua, wanted: &LunAlua) -> Vec<LunAluaSetting> {
        let mut settings = Vec::new();
        if self.group && is.group != wanted.group {
            settings.push(LunAluaSetting::Group(wanted.group.clone()));
        }
        // Whoever sets it is the administrator, unless the file says who.
        if self.offline && is.offline != wanted.offline {
            settings.push(LunAluaSetting::Offline(wanted.offline));
            if self.status {
                settings.push(LunAluaSetting::Status(wanted.status));
            }
        } else if self.status && is.status != wanted.status {
            settings.push(LunAluaSetting::Status(wanted.status));
        }
        if self.write_metadata && is.write_metadata != wanted.write_metadata {
            settings.push(LunAluaSetting::WriteMetadata(wanted.write_metadata));
        }
        settings
    }

    /// What a LUN that had `was` has when it is made again.
    pub(super) fn merged(self, was: &LunAlua, wanted: &LunAlua) -> LunAlua {
        LunAlua {
            group: if self.group { wanted.group.clone() } else { was.group.clone() },
            offline: if self.offline { wanted.offline } else { was.offline },
            status: if self.status { wanted.status } else { was.status },
            write_metadata: if self.write_metadata { wanted.write_metadata } else { was.write_metadata },
        }
    }
}

/// What a LUN has.
pub(super) fn read_lun(entry: &Entry<'_>, place: &Place) -> Result<LunAlua, String> {
    let [group, offline, status, write_metadata] = LUN_ALUA_ATTRIBUTES;
    let named = entry.text(group)?.unwrap_or_default();
    let setting = LunAluaSetting::parse(place, group, named).map_err(|refusal| refusal.to_string())?;
    let LunAluaSetting::Group(group) = setting else { return Ok(LunAlua::default()) };
    let mut wanted = LunAlua { group, ..LunAlua::default() };
    // Who put it offline is said behind it.
    for name in [offline, status, write_metadata] {
        if let Some(number) = entry.whole(name)? {
            let setting = LunAluaSetting::parse(place, name, &number.to_string());
            wanted.set(setting.map_err(|refusal| refusal.to_string())?);
        }
    }
    if entry.get(status).is_none() {
        wanted.status = LunAluaStatus::default();
    }
    Ok(wanted)
}
