// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two configurations, side by side: what is made, goes, or has another value, by the paths of the shell's tree.
//!
//! Above: `apply`.  Below: `model`.
//! Never here: how it came about, or how it is shown.

use api::v1::{Action, Difference, ValueChange};
use model::{
    ATTRIBUTES, Access, AluaAttribute, AluaGroup, AluaGroupName, Backstore, BackstoreId, CompletionAffinity,
    IDENTITY_FIELDS, IdentityField, LUN_ALUA_ATTRIBUTES, LunAlua, LunMapping, MappedLun, Medium, Model,
    TARGET_OPTIONS, Target, Wwn,
};
use std::collections::BTreeMap;

/// What a thing is, word by word.
type Facts = BTreeMap<String, String>;

/// What goes, LUNs before what they are in; then what is made or otherwise, LUNs last.  `said` tells whether
/// somebody said the serial number of a storage object: one that is made up is not known before it is made.
pub(super) fn compare(before: &Model, after: &Model, said: &dyn Fn(&BackstoreId) -> bool) -> Vec<Difference> {
    let (was, is) = (places(before), places(after));
    let mut differences = Vec::new();
    let goes = |(at, _): &(&At, &Facts)| !is.contains_key(*at) && !at.is_default_group();
    for (path, facts) in was.iter().rev().filter(goes) {
        let values = facts.iter().filter(|(name, _)| TOLD_OF_THE_GONE.contains(&name.as_str()));
        let gone = |(name, value): (&String, &String)| change(name, Some(value), None);
        differences.push(Difference {
            action: Action::Delete,
            path: path.path.clone(),
            values: values.map(gone).collect(),
        });
    }
    for (path, facts) in &is {
        match was.get(path) {
            // Every storage object has it, and nobody made it so.
            None if path.is_default_group() && facts.len() == 1 => {}
            None => {
                let told = |(name, _): &(&String, &String)| is_told_of_the_new(after, path, name, said);
                let values = facts.iter().filter(told).map(|(name, value)| change(name, None, Some(value)));
                differences.push(Difference {
                    action: Action::Create,
                    path: path.path.clone(),
                    values: values.collect(),
                });
            }
            Some(old) if old != facts => {
                let names = old.keys().chain(facts.keys());
                let mut names: Vec<&String> =
                    names.filter(|name| old.get(*name) != facts.get(*name)).collect();
                names.sort();
                names.dedup();
                let is_new = names.iter().any(|name| MADE_ANEW_FOR.contains(&name.as_str()));
                differences.push(Difference {
                    action: if is_new { Action::Replace } else { Action::Change },
                    path: path.path.clone(),
                    values: names
                        .into_iter()
                        .map(|name| change(name, old.get(name), facts.get(name)))
                        .collect(),
                });
            }
            Some(_) => {}
        }
    }
    differences
}

fn change(name: &str, from: Option<&String>, to: Option<&String>) -> ValueChange {
    ValueChange { name: name.to_owned(), from: from.cloned(), to: to.cloned() }
}

/// Where a thing is, in the order of the list: storage objects, targets, groups, LUNs, access control lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    depth: u8,
    numbers: (String, u16, u16),
    path: String,
    backstore: Option<BackstoreId>,
}

impl At {
    /// Whether it is the target port group that every storage object has.
    fn is_default_group(&self) -> bool {
        self.depth == 0 && self.path.ends_with(&format!("/alua/{}", AluaGroupName::DEFAULT))
    }
}

/// Where groups of logical units are in LIO's tree; the shell's has no place for them.
const LU_GROUPS: &str = "core/alua/lu_gps";

/// What is told of a thing that goes: enough to know which it is.
const TOLD_OF_THE_GONE: &[&str] = &["path", "backstore", "lun"];

/// What of a storage object, or of a LUN, cannot change below a guest.
const MADE_ANEW_FOR: &[&str] = &["path", "readonly", "nullio", "wwn", "backstore", "lun", "write_protect"];

/// What was made up is not told, since it is made up anew when the thing is made; nor are defaults.
fn is_told_of_the_new(after: &Model, at: &At, name: &str, said: &dyn Fn(&BackstoreId) -> bool) -> bool {
    if let Some(id) = &at.backstore {
        let Some(backstore) = after.backstores().get(id) else { return false };
        return match name {
            "wwn" => said(id),
            _ => match (model::Attribute::named(name), IdentityField::named(name)) {
                (Some(row), _) => backstore.attributes().get(row.key).is_some(),
                (None, Some(row)) => backstore.identity().iter().any(|(key, _)| key == row.key),
                (None, None) => true,
            },
        };
    }
    let target = || after.targets().iter().find(|(wwn, _)| wwn.as_str() == at.numbers.0);
    if name == CompletionAffinity::NAME {
        return target()
            .is_some_and(|(_, target)| target.completion_affinity != CompletionAffinity::default());
    }
    match TARGET_OPTIONS.iter().find(|row| row.name == name) {
        Some(row) => target().is_some_and(|(_, target)| target.options.get(row.key) != row.default),
        None => true,
    }
}

fn places(model: &Model) -> BTreeMap<At, Facts> {
    let mut places = BTreeMap::new();
    for (id, backstore) in model.backstores() {
        let at = At {
            depth: 0,
            numbers: (String::new(), 0, 0),
            path: format!("/backstores/{id}"),
            backstore: Some(id.clone()),
        };
        places.insert(at, of_backstore(backstore));
        for (name, group) in backstore.alua.iter() {
            let path = format!("/backstores/{id}/alua/{name}");
            let at = At { depth: 0, numbers: (String::new(), 0, 0), path, backstore: None };
            places.insert(at, of_group(group));
        }
    }
    for (name, id) in model.lu_groups() {
        let path = format!("/{LU_GROUPS}/{name}");
        let at = At { depth: 0, numbers: (String::new(), 0, 0), path, backstore: None };
        places.insert(at, Facts::from([("lu_gp_id".to_owned(), id.to_string())]));
    }
    for (wwn, target) in model.targets() {
        places.insert(at(1, wwn, 0, 0, format!("/vhost/{wwn}")), of_target(target));
        for (tag, tpg) in &target.tpgs {
            let path = format!("/vhost/{wwn}/tpg{tag}");
            for (lun, mapping) in &tpg.luns {
                let path = format!("{path}/luns/lun{lun}");
                places.insert(at(3, wwn, tag.get().into(), lun.get(), path), of_lun(mapping));
            }
            for (initiator, acl) in &tpg.acls {
                let path = format!("{path}/acls/{initiator}");
                for (lun, mapped) in &acl.luns {
                    let path = format!("{path}/mapped_lun{lun}");
                    places.insert(at(5, wwn, tag.get().into(), lun.get(), path), of_mapped(mapped));
                }
                places.insert(at(4, wwn, tag.get().into(), 0, path), Facts::new());
            }
            places.insert(at(2, wwn, tag.get().into(), 0, path), Facts::new());
        }
    }
    places
}

fn at(depth: u8, wwn: &Wwn, tag: u16, lun: u16, path: String) -> At {
    At { depth, numbers: (wwn.to_string(), tag, lun), path, backstore: None }
}

fn of_backstore(backstore: &Backstore) -> Facts {
    let mut facts = Facts::new();
    let mut put = |name: &str, value: String| facts.insert(name.to_owned(), value);
    put("wwn", backstore.unit_serial.as_str().to_owned());
    match &backstore.medium {
        Medium::Block { path, read_only, size_bytes: _ } => {
            put("path", path.as_str().to_owned());
            if *read_only == Some(true) {
                put("readonly", true.to_string());
            }
        }
        Medium::Fileio { path, size_bytes, sparse: _ } => {
            put("path", path.as_str().to_owned());
            if let Some(bytes) = size_bytes {
                put("size_bytes", bytes.to_string());
            }
        }
        Medium::Ramdisk { size_bytes, nullio } => {
            put("size_bytes", size_bytes.to_string());
            if *nullio {
                put("nullio", true.to_string());
            }
        }
    }
    if backstore.lu_group.as_str() != AluaGroupName::DEFAULT_LU {
        put("lu_group", backstore.lu_group.to_string());
    }
    if let Some(map) = backstore.alua.lba_map() {
        put("lba_map", map.to_string());
    }
    for row in IDENTITY_FIELDS {
        put(row.name, backstore.identity_text(row.key));
    }
    // What nobody can set follows from the rest.
    for row in ATTRIBUTES.iter().filter(|row| row.access != Access::ReadOnly) {
        if let Some(value) = backstore.attribute(row.key) {
            put(row.name, value.to_string());
        }
    }
    facts
}

/// Attributes that have their defaults are left out.
fn of_group(group: &AluaGroup) -> Facts {
    let set = group.iter().map(|(key, value)| (AluaAttribute::of(key).name.to_owned(), value.to_string()));
    set.chain([("tg_pt_gp_id".to_owned(), group.id.to_string())]).collect()
}

fn of_target(target: &Target) -> Facts {
    let option = |row: &model::TargetOption| (row.name.to_owned(), target.options.get(row.key).to_string());
    let parameter = (CompletionAffinity::NAME.to_owned(), target.completion_affinity.to_string());
    TARGET_OPTIONS.iter().map(option).chain([parameter]).collect()
}

fn of_mapped(mapped: &MappedLun) -> Facts {
    let mut facts = Facts::from([("lun".to_owned(), format!("lun{}", mapped.of))]);
    if mapped.write_protect {
        facts.insert("write_protect".to_owned(), true.to_string());
    }
    facts
}

fn of_lun(mapping: &LunMapping) -> Facts {
    let mut facts = Facts::from([("backstore".to_owned(), mapping.backstore.to_string())]);
    if mapping.write_protect {
        facts.insert("write_protect".to_owned(), true.to_string());
    }
    let LunAlua { group, offline, status, write_metadata } = &mapping.alua;
    let values = [
        (group.as_str() != AluaGroupName::DEFAULT).then(|| group.to_string()),
        offline.then(|| "1".to_owned()),
        (status.number() != 0).then(|| status.number().to_string()),
        write_metadata.then(|| "1".to_owned()),
    ];
    for (name, value) in LUN_ALUA_ATTRIBUTES.into_iter().zip(values) {
        facts.extend(value.map(|value| (name.to_owned(), value)));
    }
    facts
}
