// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The form that people write: TOML, with the words of the tree.
//!
//! Above: `document`, which reads the result as it reads a saveconfig.json.  Below: `toml`.
//! Never here: whether a name or a number may be; `document` says so for both forms alike.
//!
//! ```toml
//! scope = ["fileio/db-*", "naa.50014050db*"]
//!
//! [fileio.db-1]
//! path = "/srv/db-1.img"
//! size = "14G"
//! attributes = { emulate_tpu = 1 }
//! identity = { vendor_id = "ACME" }
//!
//! [vhost."naa.50014050db000001"]
//! options = { num_queues = 4 }
//!
//! [vhost."naa.50014050db000001".tpg1]
//! lun0 = "fileio/db-1"
//! lun1 = { backstore = "block/logs", write_protect = true }
//! ```
//!
//! `write` has the other direction.
//!
//! A word that is not known is an error: it is a typing error, and not a tool's that knows more.

mod write; // a configuration in this form

use super::document::shown;
use super::entry::shown_value;
use super::{own, strict_json};
use model::{ALUA_ATTRIBUTES, AluaAttribute, AluaGroupName, LUN_ALUA_ATTRIBUTES};
use serde_json::{Map, Value, json};
use toml::Table;

pub use write::text;

/// What a table of the file is, with the words that it may have.
const FILE: &[&str] = &["scope", "lu_groups", "block", "fileio", "ramdisk", "vhost", "kept"];
const BLOCK: &[&str] = &["path", "readonly", "wwn", "identity", "attributes", "alua", "lba_map", "lu_group"];
const FILEIO: &[&str] = &[
    "path",
    "size",
    "shrink",
    "write_back",
    "sparse",
    "wwn",
    "identity",
    "attributes",
    "alua",
    "lba_map",
    "lu_group",
];
const RAMDISK: &[&str] =
    &["size", "shrink", "nullio", "wwn", "identity", "attributes", "alua", "lba_map", "lu_group"];
const LUN: &[&str] = &["backstore", "write_protect", "alias"];
const MAPPED_LUN: &[&str] = &["lun", "write_protect", "alias"];

/// The same in the members of a saveconfig.json.
///
/// # Errors
/// One line that names what is wrong, and where.
pub(super) fn parse(text: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(text)
        .map_err(|err| format!("the file is not UTF-8 from byte {} on", err.valid_up_to()))?;
    let file: Table = toml::from_str(text).map_err(|err| syntax(text, &err))?;
    numbers(&file, "")?;
    known(&file, FILE, "the file")?;
    let mut objects = Vec::new();
    let mut own_objects = Map::new();
    for (kind, words) in [("block", BLOCK), ("fileio", FILEIO), ("ramdisk", RAMDISK)] {
        for (name, backstore) in tables(&file, kind, "the file")? {
            let at = format!("[{kind}.{}]", shown(name));
            let backstore = table(backstore, &at)?;
            known(backstore, words, &at)?;
            objects.push(storage_object(kind, name, backstore, &at)?);
            let own = own_object(backstore);
            if !own.is_empty() {
                own_objects.insert(format!("{kind}/{name}"), Value::Object(own));
            }
        }
    }
    let mut targets = Vec::new();
    for (wwn, target) in tables(&file, "vhost", "the file")? {
        let at = format!("[vhost.\"{}\"]", shown(wwn));
        targets.push(self::target(wwn, table(target, &at)?, &at)?);
    }
    let scope = file.get("scope").map_or(json!([]), value);
    let mut fabric_modules = Vec::new();
    for (thing, text) in kept(&file)? {
        match thing.as_object().map(|thing| (thing.contains_key("plugin"), thing.contains_key("fabric"))) {
            Some((true, _)) => objects.push(thing),
            Some((_, true)) => targets.push(thing),
            Some(_) => fabric_modules.push(thing),
            None => return Err(format!("kept of the file has '{}', which is no object", shown(text))),
        }
    }
    let mut whole = json!({
        "fabric_modules": fabric_modules,
        "storage_objects": objects,
        "targets": targets,
        own::KEY: {
            "version": own::VERSION, "typed": true, "scope": scope, "storage_objects": own_objects,
        },
    });
    if let Some(groups) = file.get("lu_groups") {
        whole[own::KEY]["lu_groups"] = value(groups);
    }
    Ok(whole)
}

/// Makes sure that every number is one: `nan` and `inf` have no word in JSON, and would be gone without one.
fn numbers<'t>(
    table: impl IntoIterator<Item = (&'t String, &'t toml::Value)>,
    at: &str,
) -> Result<(), String> {
    for (word, written) in table {
        let at = format!("{at}{}", shown(word));
        number(written, &at)?;
    }
    Ok(())
}

fn number(written: &toml::Value, at: &str) -> Result<(), String> {
    match written {
        toml::Value::Float(number) if !number.is_finite() => {
            Err(format!("{at} of the file is {number}, which is no number"))
        }
        toml::Value::Array(list) => list.iter().try_for_each(|written| self::number(written, at)),
        toml::Value::Table(table) => numbers(table, &format!("{at}.")),
        _ => Ok(()),
    }
}

/// What is kept for LIO's tools, in their words.
fn kept(file: &Table) -> Result<Vec<(Value, &str)>, String> {
    let Some(written) = file.get("kept") else { return Ok(Vec::new()) };
    let list = written.as_array().ok_or_else(|| "kept of the file is no list".to_owned())?;
    list.iter().map(|one| in_words_of_lio(one, "kept of the file")).collect()
}

fn in_words_of_lio<'t>(written: &'t toml::Value, at: &str) -> Result<(Value, &'t str), String> {
    let text =
        written.as_str().ok_or_else(|| format!("{at} is {}, not text", shown_value(&value(written))))?;
    let thing = strict_json::parse(text.as_bytes()).map_err(|err| format!("{at}: {err}"))?;
    Ok((thing, text))
}

fn storage_object(kind: &str, name: &str, backstore: &Table, at: &str) -> Result<Value, String> {
    let mut object = Map::from_iter([("plugin".to_owned(), json!(kind)), ("name".to_owned(), json!(name))]);
    for (word, written) in backstore {
        let (word, written) = match word.as_str() {
            "path" if written.is_str() => ("dev", value(written)),
            "path" => return Err(format!("path of {at} is {}, not text", shown_value(&value(written)))),
            "size" => ("size", json!(size(written, at)?)),
            // These are said in words of ours, which keep apart what is false and what is not said.
            "readonly" if written.as_bool().is_some() => ("readonly", value(written)),
            "sparse" if written.as_bool().is_some() => continue,
            "identity" if written.is_table() => continue,
            "identity" => return Err(format!("identity of {at} is no table")),
            "sparse" => return Err(format!("sparse of {at} is neither true nor false")),
            "lba_map" if !written.is_str() => return Err(format!("lba_map of {at} is no text")),
            "lba_map" | "lu_group" | "shrink" => continue,
            "alua" => ("alua_tpgs", alua_groups(backstore, at)?),
            word => (word, value(written)),
        };
        object.insert(word.to_owned(), written);
    }
    if kind == "ramdisk" && !object.contains_key("size") {
        return Err(format!("size is missing from {at}"));
    }
    if kind != "ramdisk" && !object.contains_key("dev") {
        return Err(format!("path is missing from {at}"));
    }
    Ok(Value::Object(object))
}

fn own_object(backstore: &Table) -> Map<String, Value> {
    let mut own = Map::new();
    for word in ["readonly", "sparse", "shrink", "identity", "lba_map", "lu_group"] {
        if let Some(said) = backstore.get(word) {
            own.insert(word.to_owned(), value(said));
        }
    }
    // What is written by hand is set, also where it would be so anyway.
    let set = backstore.get("attributes").and_then(toml::Value::as_table);
    if let Some(set) = set.filter(|set| !set.is_empty()) {
        own.insert("set".to_owned(), set.keys().map(|name| json!(name)).collect());
    }
    own
}

/// Target port groups by name.  Who names one says which it is: its id is what guests know it by.
fn alua_groups(backstore: &Table, at: &str) -> Result<Value, String> {
    let mut groups = Vec::new();
    for (name, group) in tables(backstore, "alua", at)? {
        let at = format!("{}.alua.\"{}\"]", at.trim_end_matches(']'), shown(name));
        let group = table(group, &at)?;
        let mut item: Map<String, Value> =
            group.iter().map(|(word, written)| (word.clone(), value(written))).collect();
        if name != AluaGroupName::DEFAULT && !item.contains_key("tg_pt_gp_id") {
            return Err(format!("tg_pt_gp_id is missing from {at}"));
        }
        if let Some(word) = item.keys().find(|word| !is_of_group(word)) {
            let words: Vec<&str> = ALUA_ATTRIBUTES.iter().map(|row| row.name).collect();
            return Err(unknown(word, &at, &[&["tg_pt_gp_id"][..], &words].concat()));
        }
        item.insert("name".to_owned(), json!(name));
        groups.push(Value::Object(item));
    }
    Ok(Value::Array(groups))
}

fn is_of_group(word: &str) -> bool {
    word == "tg_pt_gp_id" || AluaAttribute::named(word).is_some()
}

/// What a target has besides its target port groups.
const OF_A_TARGET: &[&str] = &["options", "parameters"];

fn target(wwn: &str, target: &Table, at: &str) -> Result<Value, String> {
    let mut tpgs = Vec::new();
    for (word, written) in target {
        if OF_A_TARGET.contains(&word.as_str()) {
            continue;
        }
        let tag = number_after("tpg", word)
            .ok_or_else(|| unknown(word, at, &[OF_A_TARGET, &["tpg1", "tpg2", "..."]].concat()))?;
        let at = format!("[vhost.\"{}\".{word}]", shown(wwn));
        tpgs.push(tpg(tag, table(written, &at)?, &at)?);
    }
    let mut whole = json!({ "fabric": "vhost", "wwn": wwn, "tpgs": tpgs });
    for word in OF_A_TARGET {
        if let Some(written) = target.get(*word) {
            whole[*word] = value(written);
        }
    }
    Ok(whole)
}

fn tpg(tag: u64, tpg: &Table, at: &str) -> Result<Value, String> {
    let mut luns = Vec::new();
    let mut acls = Vec::new();
    for (word, written) in tpg {
        if ["nexus", "relative_port"].contains(&word.as_str()) {
            continue;
        }
        if word == "acls" {
            for (initiator, acl) in tables(tpg, "acls", at)? {
                let at = format!("{at}.acls.\"{}\"", shown(initiator));
                acls.push(node_acl(initiator, table(acl, &at)?, &at)?);
            }
            continue;
        }
        let index = number_after("lun", word)
            .ok_or_else(|| unknown(word, at, &["nexus", "relative_port", "acls", "lun0", "lun1", "..."]))?;
        luns.push(lun(index, written, word, at)?);
    }
    let mut whole = json!({ "tag": tag, "luns": luns, "node_acls": acls });
    let own: Map<String, Value> = ["nexus", "relative_port"]
        .into_iter()
        .filter_map(|word| Some((word.to_owned(), value(tpg.get(word)?))))
        .collect();
    if !own.is_empty() {
        whole[own::KEY] = Value::Object(own);
    }
    Ok(whole)
}

fn lun(index: u64, written: &toml::Value, word: &str, at: &str) -> Result<Value, String> {
    let place = format!("{word} of {at}");
    let mut members = Map::new();
    let backstore = match written {
        toml::Value::Table(lun) if lun.contains_key("kept") => {
            known(lun, &["kept"], &place)?;
            let (mut thing, text) = in_words_of_lio(&lun["kept"], &format!("kept of {place}"))?;
            let Some(members) = thing.as_object_mut() else {
                return Err(format!("kept of {place} is '{}', which is no object", shown(text)));
            };
            members.insert("index".to_owned(), json!(index));
            return Ok(thing);
        }
        toml::Value::Table(lun) => {
            known(lun, &[LUN, &LUN_ALUA_ATTRIBUTES].concat(), &place)?;
            let rest = lun.iter().filter(|(word, _)| *word != "backstore");
            members.extend(rest.map(|(word, written)| (word.clone(), value(written))));
            lun.get("backstore").ok_or_else(|| format!("backstore is missing from {place}"))?
        }
        other => other,
    };
    let name = backstore.as_str().ok_or_else(|| {
        let shows = shown_value(&value(backstore));
        format!("{place} is {shows}, which is no backstore; one is \"fileio/disk0\"")
    })?;
    members.insert("index".to_owned(), json!(index));
    members.insert("storage_object".to_owned(), json!(format!("/backstores/{name}")));
    Ok(Value::Object(members))
}

fn node_acl(initiator: &str, acl: &Table, at: &str) -> Result<Value, String> {
    let mut mapped_luns = Vec::new();
    for (word, written) in acl {
        let index = number_after("mapped_lun", word)
            .ok_or_else(|| unknown(word, at, &["mapped_lun0", "mapped_lun1", "..."]))?;
        let mut members = Map::new();
        let lun = match written {
            toml::Value::Table(mapped) => {
                known(mapped, MAPPED_LUN, &format!("{word} of {at}"))?;
                let rest = mapped.iter().filter(|(word, _)| *word != "lun");
                members.extend(rest.map(|(word, written)| (word.clone(), value(written))));
                mapped.get("lun").map(value).unwrap_or_default()
            }
            other => value(other),
        };
        let tpg_lun = lun.as_str().and_then(|lun| number_after("lun", lun)).ok_or_else(|| {
            format!("{word} of {at} is {}, which is no LUN; one is \"lun0\"", shown_value(&lun))
        })?;
        members.insert("index".to_owned(), json!(index));
        members.insert("tpg_lun".to_owned(), json!(tpg_lun));
        mapped_luns.push(Value::Object(members));
    }
    Ok(json!({ "node_wwn": initiator, "mapped_luns": mapped_luns }))
}

/// The number of `tpg7`, written as the tree writes it.
fn number_after(word: &str, text: &str) -> Option<u64> {
    let digits = text.strip_prefix(word)?;
    let plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok()).flatten()
}

/// Bytes, as a number or as the shell reads them.
fn size(written: &toml::Value, at: &str) -> Result<u64, String> {
    let said = shown_value(&value(written));
    let wrong = || format!("size of {at} is {said}, which is no size; one is \"14G\" or a number of bytes");
    let text = match written {
        toml::Value::Integer(bytes) => return u64::try_from(*bytes).map_err(|_| wrong()),
        toml::Value::String(text) => text.to_lowercase(),
        _ => return Err(wrong()),
    };
    let text = text.strip_suffix("ib").or_else(|| text.strip_suffix('b')).unwrap_or(&text);
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, 'k')) => (&text[..at], 10),
        Some((at, 'm')) => (&text[..at], 20),
        Some((at, 'g')) => (&text[..at], 30),
        Some((at, 't')) => (&text[..at], 40),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn tables<'t>(of: &'t Table, word: &str, at: &str) -> Result<Vec<(&'t str, &'t toml::Value)>, String> {
    let Some(written) = of.get(word) else { return Ok(Vec::new()) };
    let entries = written.as_table().ok_or_else(|| format!("{word} of {at} is no table"))?;
    Ok(entries.iter().map(|(name, value)| (name.as_str(), value)).collect())
}

fn table<'t>(value: &'t toml::Value, at: &str) -> Result<&'t Table, String> {
    value.as_table().ok_or_else(|| format!("{at} is no table"))
}

fn known(table: &Table, words: &[&str], at: &str) -> Result<(), String> {
    match table.keys().find(|word| !words.contains(&word.as_str())) {
        None => Ok(()),
        Some(word) => Err(unknown(word, at, words)),
    }
}

fn unknown(word: &str, at: &str, words: &[&str]) -> String {
    format!("{} of {at} is not known; there can be {}", shown(word), words.join(", "))
}

fn value(written: &toml::Value) -> Value {
    match written {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(truth) => json!(truth),
        toml::Value::Datetime(when) => json!(when.to_string()),
        toml::Value::Array(list) => list.iter().map(value).collect(),
        toml::Value::Table(table) => table.iter().map(|(word, of)| (word.clone(), value(of))).collect(),
    }
}

/// What TOML has against the text, on one line.
fn syntax(text: &str, err: &toml::de::Error) -> String {
    let at = err.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message: String = err.message().split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{message}, at line {line} column {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_tree_become_those_of_lio() {
        let text = r#"
            scope = ["fileio/*"]
            lu_groups = { left = 7 }
            kept = ['{"fabric": "iscsi", "wwn": "iqn.x"}', '{"name": "iscsi"}', '{"plugin": "pscsi", "name": "s0"}']
            [block.logs]
            path = "/dev/sdb"
            readonly = false
            [fileio.db-1]
            path = "/srv/db-1.img"
            size = "14G"
            write_back = false
            sparse = false
            wwn = "s1"
            identity = { vendor_id = "ACME" }
            attributes = { emulate_tpu = 1 }
            lu_group = "left"
            [fileio.db-1.alua.near]
            tg_pt_gp_id = 1
            preferred = 1
            [ramdisk.r0]
            size = 4096
            nullio = true
            [vhost."naa.5001405000000001"]
            options = { num_queues = 4 }
            [vhost."naa.5001405000000001".tpg1]
            nexus = "naa.5001405000000002"
            relative_port = 3
            lun5 = { kept = '{"index": 5, "storage_object": "/backstores/pscsi/s0"}' }
            lun0 = { backstore = "fileio/db-1", alua_tg_pt_gp_name = "near" }
            lun16383 = { backstore = "block/logs", write_protect = true }
            [vhost."naa.5001405000000001".tpg1.acls."naa.5001405000000002"]
            mapped_lun3 = "lun0"
            mapped_lun4 = { lun = "lun16383", write_protect = true }
        "#;
        let expected = r#"{
            "fabric_modules": [{ "name": "iscsi" }],
            "storage_objects": [
              { "plugin": "block", "name": "logs", "dev": "/dev/sdb", "readonly": false },
              { "plugin": "fileio", "name": "db-1", "dev": "/srv/db-1.img", "size": 15032385536, "write_back": false,
                "wwn": "s1", "attributes": { "emulate_tpu": 1 },
                "alua_tpgs": [{ "name": "near", "tg_pt_gp_id": 1, "preferred": 1 }] },
              { "plugin": "ramdisk", "name": "r0", "size": 4096, "nullio": true },
              { "plugin": "pscsi", "name": "s0" }
            ],
            "targets": [{
              "fabric": "vhost", "wwn": "naa.5001405000000001", "options": { "num_queues": 4 },
              "tpgs": [{ "tag": 1, "x_lunar": { "nexus": "naa.5001405000000002", "relative_port": 3 }, "node_acls": [
                { "node_wwn": "naa.5001405000000002", "mapped_luns": [
                  { "index": 3, "tpg_lun": 0 },
                  { "index": 4, "tpg_lun": 16383, "write_protect": true }
                ]}
              ], "luns": [
                { "index": 0, "storage_object": "/backstores/fileio/db-1", "alua_tg_pt_gp_name": "near" },
                { "index": 16383, "storage_object": "/backstores/block/logs", "write_protect": true },
                { "index": 5, "storage_object": "/backstores/pscsi/s0" }
              ]}]
            }, { "fabric": "iscsi", "wwn": "iqn.x" }],
            "x_lunar": { "version": 2, "typed": true, "scope": ["fileio/*"], "lu_groups": { "left": 7 }, "storage_objects": {
              "block/logs": { "readonly": false },
              "fileio/db-1": { "sparse": false, "lu_group": "left", "identity": { "vendor_id": "ACME" }, "set": ["emulate_tpu"] }
            }}
        }"#;
        let expected: Value = serde_json::from_str(expected).expect("JSON");
        assert_eq!(parse(text.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, message) in [
            ("block = 1", "block of the file is no table"),
            ("[block]\nx = 1", "[block.x] is no table"),
            (
                "blocks = {}",
                "blocks of the file is not known; there can be scope, lu_groups, block, fileio, ramdisk, vhost, kept",
            ),
            (
                "[fileio.x]\npaht = \"/x\"",
                "paht of [fileio.x] is not known; there can be path, size, shrink, write_back, sparse, wwn, identity, attributes, alua, lba_map, lu_group",
            ),
            ("[fileio.x]\nsize = 512", "path is missing from [fileio.x]"),
            ("[fileio.x]\npath = 1", "path of [fileio.x] is 1, not text"),
            (
                "[ramdisk.x]\nsize = 512\n[ramdisk.x.alua.near]\npreferred = 1",
                "tg_pt_gp_id is missing from [ramdisk.x.alua.\"near\"]",
            ),
            ("kept = [7]", "kept of the file is 7, not text"),
            ("kept = [\"[]\"]", "kept of the file has '[]', which is no object"),
            ("[ramdisk.x]", "size is missing from [ramdisk.x]"),
            (
                "[ramdisk.x]\nsize = \"1.5G\"",
                "size of [ramdisk.x] is '1.5G', which is no size; one is \"14G\" or a number of bytes",
            ),
            (
                "[ramdisk.x]\nsize = -1",
                "size of [ramdisk.x] is -1, which is no size; one is \"14G\" or a number of bytes",
            ),
            (
                "[vhost.x]\ntgp1 = {}",
                "tgp1 of [vhost.\"x\"] is not known; there can be options, parameters, tpg1, tpg2, ...",
            ),
            (
                "[vhost.x.tpg1]\nlun01 = \"fileio/x\"",
                "lun01 of [vhost.\"x\".tpg1] is not known; there can be nexus, relative_port, acls, lun0, lun1, ...",
            ),
            (
                "[vhost.x.tpg1]\nlun1 = 7",
                "lun1 of [vhost.\"x\".tpg1] is 7, which is no backstore; one is \"fileio/disk0\"",
            ),
            ("[vhost.x.tpg1]\nlun1 = {}", "backstore is missing from lun1 of [vhost.\"x\".tpg1]"),
            ("[fileio.x]\npath = \"/x\"\n[fileio.x]", "duplicate key, at line 3 column 9"),
            (
                "[ramdisk.x]\nsize = 512\nattributes = { max_write_same_len = nan }",
                "ramdisk.x.attributes.max_write_same_len of the file is NaN, which is no number",
            ),
            (
                "[vhost.x]\noptions.num_queues = -inf",
                "vhost.x.options.num_queues of the file is -inf, which is no number",
            ),
            ("scope = [[inf]]", "scope of the file is inf, which is no number"),
            ("a = ", "string values must be quoted, expected literal string, at line 1 column 5"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(message.to_owned()), "{text}");
        }
        assert_eq!(parse(b"a\xff"), Err("the file is not UTF-8 from byte 1 on".to_owned()));
    }
}
