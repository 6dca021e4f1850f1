// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access in a saveconfig.json: `alua_tpgs` of a storage object, and what a LUN has.
//!
//! Above: the writer, `document`.  Below: `model`, whose rules decide.
//! Never here: which storage object or LUN it is.

use super::document::shown;
use super::entry::Entry;
use model::{
    ALUA_ATTRIBUTES, AluaAttribute, AluaGroup, AluaGroupName, AluaKey, Backstore, LUN_ALUA_ATTRIBUTES,
    LunAlua, LunAluaSetting, LunAluaStatus, Place,
};
use serde_json::{Map, Value, json};

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

/// Gives a storage object the groups of its `alua_tpgs`.  `takes_default`: the default group too; LIO's tools leave
/// that as it is.  Returns what is not known.
pub(super) fn read_groups(
    entry: &Entry<'_>,
    backstore: &mut Backstore,
    takes_default: bool,
) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
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
        for key in item.keys().filter(|key| !["name", "tg_pt_gp_id"].contains(key)) {
            let Some(row) = AluaAttribute::named(key) else {
                notes.push(format!("'{}' of {} is not known here", shown(key), item.at()));
                continue;
            };
            let value = item.whole(key)?.unwrap_or(row.default.into());
            let taken = u32::try_from(value).is_ok_and(|value| group.restore(row, value));
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
    Ok(notes)
}

/// What a LUN has.
pub(super) fn read_lun(entry: &Entry<'_>, place: &Place) -> Result<LunAlua, String> {
    let [group, offline, status, write_metadata] = LUN_ALUA_ATTRIBUTES;
    let named = entry.text(group)?.unwrap_or_default();
    let setting = LunAluaSetting::parse(place, group, named).map_err(|refusal| refusal.to_string())?;
    let LunAluaSetting::Group(group) = setting else { return Ok(LunAlua::default()) };
    let number = |name| entry.whole(name).map(Option::unwrap_or_default);
    let who = u32::try_from(number(status)?).ok().and_then(LunAluaStatus::from_number);
    Ok(LunAlua {
        group,
        offline: number(offline)? != 0,
        status: who.ok_or_else(|| format!("{status} of {} takes 0 to 2", entry.at()))?,
        write_metadata: number(write_metadata)? != 0,
    })
}
