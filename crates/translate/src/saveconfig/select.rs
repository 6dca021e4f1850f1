// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The part of a saveconfig.json that is to be restored.
//!
//! Above: `document`.  Below: `entry`.
//! Never here: what is in a storage object or target.
//!
//! What is not asked for is not looked at: a fault in it is none of ours.

use super::document::{DocumentError, kind_of, shown};
use super::entry::Entry;
use super::own::{self, Own};
use api::v1;
use model::Wwn;
use serde_json::Value;
use std::collections::BTreeSet;

/// Entries of the file, with their places in it.
pub(super) struct Part<'v> {
    pub(super) storage_objects: Vec<(usize, &'v Value)>,
    pub(super) fabric_modules: &'v [Value],
    pub(super) targets: Vec<(usize, &'v Value)>,
    pub(super) own: Own,
    /// Members of the file that mean nothing.
    pub(super) unknown: Vec<String>,
    /// The storage objects that were asked for by name, as `block/disk0`; `None` where all were.
    pub(super) named: Option<BTreeSet<String>>,
}

pub(super) fn part<'v>(file: &Entry<'v>, options: &v1::RestoreOptions) -> Result<Part<'v>, DocumentError> {
    let known = ["fabric_modules", "storage_objects", "targets", own::KEY];
    let all = file.list("storage_objects")?.iter().enumerate();
    let targets = file.list("targets")?.iter().enumerate();
    let mut part = Part {
        storage_objects: all.clone().collect(),
        fabric_modules: file.list("fabric_modules")?,
        targets: targets.collect(),
        own: Own::read(file)?,
        unknown: file.keys().filter(|key| !known.contains(key)).map(shown).collect(),
        named: None,
    };
    if options.target.is_none() && options.storage_object.is_none() {
        return Ok(part);
    }
    (part.fabric_modules, part.unknown) = (&[], Vec::new());
    part.targets = match &options.target {
        None => Vec::new(),
        Some(wwn) => named_target(&part.targets, wwn)?,
    };
    let named = match &options.storage_object {
        None => BTreeSet::new(),
        Some(name) => BTreeSet::from([named_object(&part.storage_objects, name)?]),
    };
    let shown = shown_by(&part.targets);
    let wanted = |(_, object): &(usize, &Value)| {
        object_name(object).is_some_and(|name| named.contains(&name) || shown.contains(&name))
    };
    part.storage_objects = all.filter(wanted).collect();
    part.named = Some(named);
    Ok(part)
}

fn named_target<'v>(
    targets: &[(usize, &'v Value)],
    wanted: &str,
) -> Result<Vec<(usize, &'v Value)>, DocumentError> {
    let as_wwn = Wwn::parse(wanted).ok();
    let is_wanted = |target: &Value| {
        let wwn = target.get("wwn").and_then(Value::as_str);
        wwn.is_some_and(|wwn| wwn == wanted || (as_wwn.is_some() && Wwn::parse(wwn).ok() == as_wwn))
    };
    let found: Vec<_> = targets.iter().copied().filter(|(_, target)| is_wanted(target)).collect();
    if found.is_empty() {
        return Err(DocumentError::NotThere(format!("the file has no target {}", shown(wanted))));
    }
    Ok(found)
}

/// The `kind/name` of what was asked for.
fn named_object(objects: &[(usize, &Value)], wanted: &str) -> Result<String, DocumentError> {
    let wanted_too = wanted.replacen(':', "/", 1);
    let names: BTreeSet<String> = objects.iter().filter_map(|(_, object)| object_name(object)).collect();
    if names.contains(wanted) || names.contains(&wanted_too) {
        return Ok(if names.contains(wanted) { wanted.to_owned() } else { wanted_too });
    }
    let is_wanted = |name: &&String| name.split_once('/').is_some_and(|(_, name)| name == wanted);
    let found: Vec<&String> = names.iter().filter(is_wanted).collect();
    match found.as_slice() {
        [] => Err(DocumentError::NotThere(format!("the file has no storage object {}", shown(wanted)))),
        [only] => Ok((*only).clone()),
        several => {
            let several: Vec<String> = several.iter().map(|name| shown(name)).collect();
            let message = format!("{} can be {}", shown(wanted), several.join(" or "));
            Err(DocumentError::Malformed(message))
        }
    }
}

/// `block/disk0`, by the name of the kind that is ours where the plugin has several.
fn object_name(object: &Value) -> Option<String> {
    let plugin = object.get("plugin").and_then(Value::as_str)?;
    let name = object.get("name").and_then(Value::as_str)?;
    Some(format!("{}/{name}", own_word(plugin)))
}

fn own_word(plugin: &str) -> &str {
    match kind_of(plugin) {
        Some(kind) => kind.as_str(),
        None => plugin,
    }
}

/// What the LUNs of these targets show.  What is malformed is found when it is read.
fn shown_by(targets: &[(usize, &Value)]) -> BTreeSet<String> {
    let members = |value: &'_ Value, key: &str| -> Vec<Value> {
        value.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let mut shown = BTreeSet::new();
    for (_, target) in targets {
        for lun in members(target, "tpgs").iter().flat_map(|tpg| members(tpg, "luns")) {
            let path = lun.get("storage_object").and_then(Value::as_str);
            let object = path.and_then(|path| path.strip_prefix("/backstores/"));
            if let Some((plugin, name)) = object.and_then(|object| object.split_once('/')) {
                shown.insert(format!("{}/{name}", own_word(plugin)));
            }
        }
    }
    shown
}
