// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A configuration in the form that people write.
//!
//! Above: whoever keeps configurations in files.  Below: `model`.
//! Never here: what is live; a file says what is wanted, and leaves out what nobody wanted.
//!
//! What it makes, applied to nothing, is the same configuration: a test does so with any.

use model::{
    Acl, AluaAttribute, AluaGroup, AluaGroupName, Attribute, Backstore, CompletionAffinity, IdentityField,
    LUN_ALUA_ATTRIBUTES, LunAlua, LunMapping, MappedLun, Medium, Model, TargetOption, Tpg,
};
use std::fmt::{Display, Write};

/// The text of a file whose scope is everything.
#[must_use]
pub fn text(model: &Model) -> String {
    let mut file = File::default();
    file.put("scope", format_args!("[\"*\"]"));
    let things = model.foreign().things().iter().filter(|(name, _)| !name.starts_with("lun "));
    let kept: Vec<String> = things.map(|(_, text)| quoted(text)).collect();
    if !kept.is_empty() {
        file.put("kept", format_args!("[{}]", kept.join(", ")));
    }
    if !model.lu_groups().is_empty() {
        file.table("lu_groups");
        for (name, id) in model.lu_groups() {
            file.put(&quoted(name.as_str()), id);
        }
    }
    for (id, backstore) in model.backstores() {
        storage_object(&mut file, &format!("{}.{}", id.kind, quoted(id.name.as_str())), backstore);
    }
    for (wwn, target) in model.targets() {
        let at = format!("vhost.{}", quoted(wwn.as_str()));
        file.table(&at);
        let options = target.options.iter();
        let options: Vec<String> =
            options.map(|(key, value)| format!("{} = {value}", TargetOption::of(key).name)).collect();
        if !options.is_empty() {
            file.put("options", format_args!("{{ {} }}", options.join(", ")));
        }
        let affinity = target.completion_affinity;
        if affinity != CompletionAffinity::default() {
            file.put("parameters", format_args!("{{ {} = {affinity} }}", CompletionAffinity::NAME));
        }
        for (tag, tpg) in &target.tpgs {
            let place = format!("lun {wwn}/tpg{tag}/lun");
            let kept = model.foreign().things().iter().filter_map(|(name, text)| {
                let number = name.strip_prefix(&place)?.parse().ok()?;
                Some((number, text.as_str()))
            });
            group(&mut file, &format!("{at}.tpg{tag}"), tpg, kept);
        }
    }
    file.0
}

#[derive(Default)]
struct File(String);

impl File {
    fn table(&mut self, at: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "\n[{at}]");
    }

    fn put(&mut self, word: &str, value: impl Display) {
        let _ = writeln!(self.0, "{word} = {value}");
    }
}

/// A text as TOML quotes it: as JSON does, and the one character besides that it does not take plain.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn storage_object(file: &mut File, at: &str, backstore: &Backstore) {
    file.table(at);
    match &backstore.medium {
        Medium::Block { path, read_only, size_bytes: _ } => {
            file.put("path", quoted(path.as_str()));
            if let Some(read_only) = read_only {
                file.put("readonly", read_only);
            }
        }
        Medium::Fileio { path, size_bytes, sparse } => {
            file.put("path", quoted(path.as_str()));
            if let Some(bytes) = size_bytes {
                file.put("size", bytes);
            }
            if !sparse {
                file.put("sparse", sparse);
            }
        }
        Medium::Ramdisk { size_bytes, nullio } => {
            file.put("size", size_bytes);
            if *nullio {
                file.put("nullio", nullio);
            }
        }
    }
    file.put("wwn", quoted(backstore.unit_serial.as_str()));
    if backstore.lu_group.as_str() != AluaGroupName::DEFAULT_LU {
        file.put("lu_group", quoted(backstore.lu_group.as_str()));
    }
    if let Some(map) = backstore.alua.lba_map() {
        file.put("lba_map", quoted(&map.to_string()));
    }
    let identity = backstore.identity().iter();
    let identity: Vec<String> =
        identity.map(|(key, text)| format!("{} = {}", IdentityField::of(key).name, quoted(text))).collect();
    if !identity.is_empty() {
        file.put("identity", format_args!("{{ {} }}", identity.join(", ")));
    }
    let set = backstore.attributes().iter();
    let set: Vec<String> = set.map(|(key, value)| format!("{} = {value}", Attribute::of(key).name)).collect();
    if !set.is_empty() {
        file.put("attributes", format_args!("{{ {} }}", set.join(", ")));
    }
    for (name, group) in backstore.alua.iter() {
        alua_group(file, &format!("{at}.alua.{}", quoted(name.as_str())), name, group);
    }
}

/// All of a group that is not as it was at first.
fn alua_group(file: &mut File, at: &str, name: &AluaGroupName, group: &AluaGroup) {
    let is_default = name.as_str() == AluaGroupName::DEFAULT;
    if is_default && group.iter().next().is_none() {
        return;
    }
    file.table(at);
    if !is_default {
        file.put("tg_pt_gp_id", group.id);
    }
    for (key, value) in group.iter() {
        file.put(AluaAttribute::of(key).name, value);
    }
}

fn group<'k>(file: &mut File, at: &str, group: &Tpg, kept: impl Iterator<Item = (u16, &'k str)>) {
    let Tpg { nexus, relative_port, luns, acls } = group;
    file.table(at);
    file.put("nexus", quoted(nexus.as_str()));
    file.put("relative_port", relative_port.get());
    for (number, mapping) in luns {
        file.put(&format!("lun{number}"), lun(mapping));
    }
    for (number, text) in kept.filter(|(number, _)| luns.keys().all(|lun| lun.get() != *number)) {
        file.put(&format!("lun{number}"), format_args!("{{ kept = {} }}", quoted(text)));
    }
    for (initiator, Acl { luns }) in acls {
        file.table(&format!("{at}.acls.{}", quoted(initiator.as_str())));
        for (number, MappedLun { of, alias, write_protect }) in luns {
            let protected = if *write_protect { ", write_protect = true" } else { "" };
            let alias = quoted(alias.as_str());
            let value = format_args!("{{ lun = \"lun{of}\", alias = {alias}{protected} }}");
            file.put(&format!("mapped_lun{number}"), value);
        }
    }
}

fn lun(mapping: &LunMapping) -> String {
    let LunMapping { backstore, alias, write_protect, alua } = mapping;
    let LunAlua { group, offline, status, write_metadata } = alua;
    let mut words =
        format!("backstore = {}, alias = {}", quoted(&backstore.to_string()), quoted(alias.as_str()));
    if *write_protect {
        words.push_str(", write_protect = true");
    }
    let [group_name, offline_name, status_name, metadata_name] = LUN_ALUA_ATTRIBUTES;
    if group.as_str() != AluaGroupName::DEFAULT {
        let _ = write!(words, ", {group_name} = {}", quoted(group.as_str()));
    }
    let numbers = [
        (offline_name, u8::from(*offline)),
        (status_name, status.number()),
        (metadata_name, u8::from(*write_metadata)),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        let _ = write!(words, ", {name} = {number}");
    }
    format!("{{ {words} }}")
}
