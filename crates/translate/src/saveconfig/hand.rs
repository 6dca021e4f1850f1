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
//! A word that is not known is an error: it is a typing error, and not a tool's that knows more.

use super::document::shown;
use super::entry::shown_value;
use super::own;
use serde_json::{Map, Value, json};
use toml::Table;

/// What a table of the file is, with the words that it may have.
const FILE: &[&str] = &["scope", "block", "fileio", "ramdisk", "vhost"];
const BLOCK: &[&str] = &["path", "readonly", "wwn", "identity", "attributes"];
const FILEIO: &[&str] = &["path", "size", "write_back", "sparse", "wwn", "identity", "attributes"];
const RAMDISK: &[&str] = &["size", "nullio", "wwn", "identity", "attributes"];
const LUN: &[&str] = &["backstore", "write_protect"];

/// The same in the members of a saveconfig.json.
///
/// # Errors
/// One line that names what is wrong, and where.
pub(super) fn parse(text: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(text)
        .map_err(|err| format!("the file is not UTF-8 from byte {} on", err.valid_up_to()))?;
    let file: Table = toml::from_str(text).map_err(|err| syntax(text, &err))?;
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
    Ok(json!({
        "storage_objects": objects,
        "targets": targets,
        own::KEY: { "version": 1, "scope": scope, "storage_objects": own_objects },
    }))
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
    for word in ["readonly", "sparse", "identity"] {
        if let Some(said) = backstore.get(word) {
            own.insert(word.to_owned(), value(said));
        }
    }
    own
}

fn target(wwn: &str, target: &Table, at: &str) -> Result<Value, String> {
    let mut tpgs = Vec::new();
    for (word, written) in target {
        if word == "options" {
            continue;
        }
        let tag = number_after("tpg", word)
            .ok_or_else(|| unknown(word, at, &["options", "tpg1", "tpg2", "..."]))?;
        let at = format!("[vhost.\"{}\".{word}]", shown(wwn));
        tpgs.push(tpg(tag, table(written, &at)?, &at)?);
    }
    let mut whole = json!({ "fabric": "vhost", "wwn": wwn, "tpgs": tpgs });
    if let Some(options) = target.get("options") {
        whole["options"] = value(options);
    }
    Ok(whole)
}

fn tpg(tag: u64, tpg: &Table, at: &str) -> Result<Value, String> {
    let mut luns = Vec::new();
    let mut acls = Vec::new();
    for (word, written) in tpg {
        if word == "nexus" {
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
            .ok_or_else(|| unknown(word, at, &["nexus", "acls", "lun0", "lun1", "..."]))?;
        let (backstore, write_protect) = match written {
            toml::Value::Table(lun) => {
                known(lun, LUN, &format!("{word} of {at}"))?;
                let backstore = lun
                    .get("backstore")
                    .ok_or_else(|| format!("backstore is missing from {word} of {at}"))?;
                (backstore, lun.get("write_protect").map(value))
            }
            other => (other, None),
        };
        let name = backstore.as_str().ok_or_else(|| {
            let shows = shown_value(&value(backstore));
            format!("{word} of {at} is {shows}, which is no backstore; one is \"fileio/disk0\"")
        })?;
        luns.push(json!({
            "index": index,
            "storage_object": format!("/backstores/{name}"),
            "write_protect": write_protect,
        }));
    }
    let mut whole = json!({ "tag": tag, "luns": luns, "node_acls": acls });
    if let Some(nexus) = tpg.get("nexus") {
        whole[own::KEY] = json!({ "nexus": value(nexus) });
    }
    Ok(whole)
}

fn node_acl(initiator: &str, acl: &Table, at: &str) -> Result<Value, String> {
    let mut mapped_luns = Vec::new();
    for (word, written) in acl {
        let index = number_after("mapped_lun", word)
            .ok_or_else(|| unknown(word, at, &["mapped_lun0", "mapped_lun1", "..."]))?;
        let (lun, write_protect) = match written {
            toml::Value::Table(mapped) => {
                known(mapped, &["lun", "write_protect"], &format!("{word} of {at}"))?;
                (mapped.get("lun").map(value).unwrap_or_default(), mapped.get("write_protect").map(value))
            }
            other => (value(other), None),
        };
        let tpg_lun = lun.as_str().and_then(|lun| number_after("lun", lun)).ok_or_else(|| {
            format!("{word} of {at} is {}, which is no LUN; one is \"lun0\"", shown_value(&lun))
        })?;
        mapped_luns.push(json!({ "index": index, "tpg_lun": tpg_lun, "write_protect": write_protect }));
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
            [ramdisk.r0]
            size = 4096
            nullio = true
            [vhost."naa.5001405000000001"]
            options = { num_queues = 4 }
            [vhost."naa.5001405000000001".tpg1]
            nexus = "naa.5001405000000002"
            lun0 = "fileio/db-1"
            lun16383 = { backstore = "block/logs", write_protect = true }
            [vhost."naa.5001405000000001".tpg1.acls."naa.5001405000000002"]
            mapped_lun3 = "lun0"
            mapped_lun4 = { lun = "lun16383", write_protect = true }
        "#;
        let expected = r#"{
            "storage_objects": [
              { "plugin": "block", "name": "logs", "dev": "/dev/sdb", "readonly": false },
              { "plugin": "fileio", "name": "db-1", "dev": "/srv/db-1.img", "size": 15032385536, "write_back": false,
                "wwn": "s1", "attributes": { "emulate_tpu": 1 } },
              { "plugin": "ramdisk", "name": "r0", "size": 4096, "nullio": true }
            ],
            "targets": [{
              "fabric": "vhost", "wwn": "naa.5001405000000001", "options": { "num_queues": 4 },
              "tpgs": [{ "tag": 1, "x_lunar": { "nexus": "naa.5001405000000002" }, "node_acls": [
                { "node_wwn": "naa.5001405000000002", "mapped_luns": [
                  { "index": 3, "tpg_lun": 0, "write_protect": null },
                  { "index": 4, "tpg_lun": 16383, "write_protect": true }
                ]}
              ], "luns": [
                { "index": 0, "storage_object": "/backstores/fileio/db-1", "write_protect": null },
                { "index": 16383, "storage_object": "/backstores/block/logs", "write_protect": true }
              ]}]
            }],
            "x_lunar": { "version": 1, "scope": ["fileio/*"], "storage_objects": {
              "block/logs": { "readonly": false }, "fileio/db-1": { "sparse": false, "identity": { "vendor_id": "ACME" } }
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
                "blocks of the file is not known; there can be scope, block, fileio, ramdisk, vhost",
            ),
            (
                "[fileio.x]\npaht = \"/x\"",
                "paht of [fileio.x] is not known; there can be path, size, write_back, sparse, wwn, identity, attributes",
            ),
            ("[fileio.x]\nsize = 512", "path is missing from [fileio.x]"),
            ("[fileio.x]\npath = 1", "path of [fileio.x] is 1, not text"),
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
                "tgp1 of [vhost.\"x\"] is not known; there can be options, tpg1, tpg2, ...",
            ),
            (
                "[vhost.x.tpg1]\nlun01 = \"fileio/x\"",
                "lun01 of [vhost.\"x\".tpg1] is not known; there can be nexus, acls, lun0, lun1, ...",
            ),
            (
                "[vhost.x.tpg1]\nlun1 = 7",
                "lun1 of [vhost.\"x\".tpg1] is 7, which is no backstore; one is \"fileio/disk0\"",
            ),
            ("[vhost.x.tpg1]\nlun1 = {}", "backstore is missing from lun1 of [vhost.\"x\".tpg1]"),
            ("[fileio.x]\npath = \"/x\"\n[fileio.x]", "duplicate key, at line 3 column 9"),
            ("a = ", "string values must be quoted, expected literal string, at line 1 column 5"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(message.to_owned()), "{text}");
        }
        assert_eq!(parse(b"a\xff"), Err("the file is not UTF-8 from byte 1 on".to_owned()));
    }
}
