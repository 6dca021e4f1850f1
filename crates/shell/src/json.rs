// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nodes as programs see them: the result of `ls`, and of `info`, which has no children.
//!
//! Above: `ls`, `info`.  Below: `tree`.
//! Never here: how people see it; what is around a result.
//!
//! Each node is an object with
//! - `name` and `path`, both text;
//! - `kind`: `root`, `backstores`, `block`, `fileio`, `ramdisk`, `storage_object`, `alua_groups`, `alua_group`,
//!   `vhost`, `target`, `tpg`, `acls`, `acl`, `mapped_lun`, `luns` or `lun`;
//! - `summary`: what `ls` shows in brackets, perhaps empty;
//! - `healthy`: true, false, or null where that has no meaning;
//! - `info`: what `info` shows, with numbers and truth values as such; empty where there is no `info`;
//! - `details`: what programs want to know besides; empty where there is nothing.  A storage object has
//!   `size_bytes`, `block_bytes`, `read_only`, `write_cache` (whether guests must flush), `missing`, `ejected` and `stopped`; a target
//!   `socket`, where QEMU connects, `connected`, and while it has no socket `socket_fault`, why not; a target port group `nexus`; an access control list `guest`, whether it
//!   is that of the nexus; an ALUA group `tg_pt_gp_id`; a LUN `write_protect` and, where commands have waited for long,
//!   `waiting_command`, `waiting_seconds` and `waiting_commands`;
//! - `children`: an array of such objects, in the order of `ls`.
//!
//! Names may be added to these; none changes its meaning.

use crate::path::NodePath;
use crate::tree::{Fact, Node, Place};
use serde_json::{Map, Value, json};

/// The object of `node` without its children.
pub(crate) fn facts(node: &Node, path: &NodePath) -> Value {
    json!({
        "name": node.name,
        "path": path.to_string(),
        "kind": kind(node.subject.place()),
        "summary": node.summary,
        "healthy": node.healthy,
        "info": object(&node.facts),
        "details": object(&node.details),
    })
}

/// The object of `node`, down to `depth` levels below it.
pub(crate) fn value(node: &Node, path: &NodePath, depth: Option<usize>) -> Value {
    let children: Vec<Value> = match depth {
        Some(0) => Vec::new(),
        _ => node
            .children
            .iter()
            .map(|child| value(child, &path.child(&child.name), depth.map(|depth| depth - 1)))
            .collect(),
    };
    let mut value = facts(node, path);
    value["children"] = children.into();
    value
}

fn object(facts: &[(&'static str, Fact)]) -> Map<String, Value> {
    facts.iter().map(|(key, fact)| ((*key).to_owned(), fact_value(fact))).collect()
}

fn fact_value(fact: &Fact) -> Value {
    match fact {
        Fact::Text(text) => json!(text),
        Fact::Number(number) => json!(number),
        Fact::Truth(truth) => json!(truth),
    }
}

/// The word for a sort of node.
pub(crate) fn kind(place: Place) -> &'static str {
    match place {
        Place::Root => "root",
        Place::Backstores => "backstores",
        Place::Block => "block",
        Place::Fileio => "fileio",
        Place::Ramdisk => "ramdisk",
        Place::StorageObject => "storage_object",
        Place::AluaGroups => "alua_groups",
        Place::AluaGroup => "alua_group",
        Place::Vhost => "vhost",
        Place::Target => "target",
        Place::Tpg => "tpg",
        Place::Acls => "acls",
        Place::Acl => "acl",
        Place::MappedLun => "mapped_lun",
        Place::Luns => "luns",
        Place::Lun => "lun",
        Place::Foreign => "foreign",
    }
}
