// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration as a tree of nodes, as targetcli draws it.
//!
//! Above: `session`, the commands, `draw`, `json`.  Below: the wire types.
//! Never here: asking the daemon, or how a node is drawn.

mod acls; // access control lists and mapped LUNs
pub(crate) mod waiting; // commands that have waited for long

use crate::alua::state_name;
use crate::daemon::Foreign;
use crate::failure::{Failure, codes};
use crate::path::NodePath;
use crate::size::human;
use api::v1;
use std::collections::BTreeMap;

/// Which sort of node it is: the key of the table of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// `/`
    Root,
    /// `/backstores`
    Backstores,
    /// `/backstores/block`
    Block,
    /// `/backstores/fileio`
    Fileio,
    /// `/backstores/ramdisk`
    Ramdisk,
    /// A backstore, which targetcli calls a storage object.
    StorageObject,
    /// The ALUA groups of a backstore.
    AluaGroups,
    /// One ALUA group.
    AluaGroup,
    /// `/vhost`
    Vhost,
    /// A target.
    Target,
    /// A target port group.
    Tpg,
    /// The access control lists of a target port group.
    Acls,
    /// One access control list.
    Acl,
    /// A LUN as an initiator sees it.
    MappedLun,
    /// The LUNs of a target port group.
    Luns,
    /// One LUN.
    Lun,
    /// What another fabric has, which is only looked at.
    Foreign,
}

/// What a node stands for, in the API's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A node that only holds others.
    Container(Place),
    /// A backstore.
    Backstore(Box<v1::Backstore>),
    /// A target.
    Target {
        /// Its name.
        wwn: String,
        /// The options of its device, by name.
        options: BTreeMap<String, String>,
        /// What is kept of it for LIO's tools, by name.
        parameters: BTreeMap<String, String>,
    },
    /// A target port group.
    Tpg {
        /// The target.
        wwn: String,
        /// The tag.
        tag: u16,
    },
    /// The access control lists of a target port group.
    Acls {
        /// The target.
        wwn: String,
        /// The tag.
        tag: u16,
    },
    /// One access control list.
    Acl {
        /// The target.
        wwn: String,
        /// The tag.
        tag: u16,
        /// Whose it is.
        initiator: String,
    },
    /// A LUN as an initiator sees it.
    MappedLun {
        /// The target.
        wwn: String,
        /// The tag.
        tag: u16,
        /// Who sees it.
        initiator: String,
        /// Under which number.
        lun: u16,
    },
    /// The LUNs of a target port group.
    Luns {
        /// The target.
        wwn: String,
        /// The tag.
        tag: u16,
    },
    /// One LUN.
    Lun {
        /// The target.
        wwn: String,
        /// The tag.
        tag: u16,
        /// Its number.
        lun: u16,
        /// What it has of ALUA.
        alua: v1::LunAlua,
    },
    /// The ALUA groups of a backstore.
    AluaGroups {
        /// Of which backstore.
        id: v1::BackstoreId,
        /// Which blocks are reached how; empty where nobody set it.
        lba_map: String,
    },
    /// One ALUA group.
    AluaGroup {
        /// Of which backstore.
        id: v1::BackstoreId,
        /// The group.
        group: Box<v1::AluaGroup>,
    },
}

impl Subject {
    /// The sort of node.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Container(place) => *place,
            Self::Backstore(_) => Place::StorageObject,
            Self::Target { .. } => Place::Target,
            Self::Tpg { .. } => Place::Tpg,
            Self::Acls { .. } => Place::Acls,
            Self::Acl { .. } => Place::Acl,
            Self::MappedLun { .. } => Place::MappedLun,
            Self::Luns { .. } => Place::Luns,
            Self::Lun { .. } => Place::Lun,
            Self::AluaGroups { .. } => Place::AluaGroups,
            Self::AluaGroup { .. } => Place::AluaGroup,
        }
    }
}

/// A value that `info` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// Shown as `True` or `False`.
    Truth(bool),
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name; the root has `/`.
    pub name: String,
    /// What it stands for.
    pub subject: Subject,
    /// What `ls` shows in brackets.
    pub summary: String,
    /// Whether it works; nothing where that has no meaning.
    pub healthy: Option<bool>,
    /// What `info` shows, in its order; empty where there is no `info`.
    pub facts: Vec<(&'static str, Fact)>,
    /// What programs are told besides.
    pub details: Vec<(&'static str, Fact)>,
    /// Sorted as `ls` shows them.
    pub children: Vec<Node>,
}

/// All nodes, and the configuration they were made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The configuration.
    pub config: v1::Config,
    /// `/`.
    pub root: Node,
}

impl Tree {
    /// Draws up the nodes of a configuration.
    #[must_use]
    pub fn new(config: v1::Config) -> Self {
        let backstores = container("backstores", Place::Backstores, "").with_children(vec![
            storage_objects(&config, v1::Kind::Block),
            storage_objects(&config, v1::Kind::Fileio),
            storage_objects(&config, v1::Kind::Ramdisk),
        ]);
        let root = container("/", Place::Root, "").with_children(vec![backstores, vhost(&config)]);
        Self { config, root }
    }

    /// A target port group of the configuration.
    #[must_use]
    pub fn tpg(&self, wwn: &str, tag: u16) -> Option<&v1::Tpg> {
        let target = self.config.targets.iter().find(|target| target.wwn == wwn)?;
        target.tpgs.iter().find(|tpg| tpg.tag == tag)
    }

    /// The same with what is there besides, and only looked at.  A step that leads nowhere becomes a node.
    #[must_use]
    pub fn with_foreign(mut self, things: &[Foreign]) -> Self {
        for Foreign { path, summary } in things {
            let mut node = &mut self.root;
            for step in NodePath::root().join(path).steps() {
                node = node.child_or_foreign(step);
            }
            if node.subject == Subject::Container(Place::Foreign) {
                node.summary.clone_from(summary);
            }
        }
        self
    }

    /// The node of a path.
    ///
    /// # Errors
    /// Names the first step that leads nowhere.
    pub fn find(&self, path: &NodePath) -> Result<&Node, Failure> {
        let mut node = &self.root;
        let mut so_far = NodePath::root();
        for step in path.steps() {
            let next = so_far.child(step);
            node = node.child(step).ok_or_else(|| no_such_path(&next, &so_far, node))?;
            so_far = next;
        }
        Ok(node)
    }
}

/// The most names that a hint has.
const NAMES_MAX: usize = 16;

/// `above`, at `parent`, is the last node of the path that is there.
fn no_such_path(path: &NodePath, parent: &NodePath, above: &Node) -> Failure {
    let names: Vec<&str> = above.children.iter().map(|child| child.name.as_str()).collect();
    let hint = match names.as_slice() {
        [] => format!("{parent} has nothing below it"),
        names if names.len() <= NAMES_MAX => format!("{parent} has {}", names.join(" ")),
        names => format!("{parent} has {} others; `ls {parent}` shows them", names.len()),
    };
    Failure::new(format!("No such path {path}")).hint(hint).code(codes::NO_SUCH_PATH)
}

impl Node {
    /// The child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Whether it is a mapped LUN of that LUN.
    pub(crate) fn is_mapping_of(&self, lun: u16) -> bool {
        self.facts.contains(&("tpg_lun", Fact::Number(lun.into())))
    }

    fn child_or_foreign(&mut self, name: &str) -> &mut Node {
        let at = match self.children.iter().position(|child| child.name == name) {
            Some(at) => at,
            None => {
                let at = self.children.partition_point(|child| sort_key(&child.name) < sort_key(name));
                self.children.insert(at, container(name, Place::Foreign, ""));
                at
            }
        };
        &mut self.children[at]
    }

    fn with_children(mut self, mut children: Vec<Node>) -> Self {
        children.sort_by(|a, b| sort_key(&a.name).cmp(&sort_key(&b.name)));
        self.children = children;
        self
    }
}

/// `lun2` sorts before `lun10`: the text, then the number at its end, then the name itself for `lun02`.
fn sort_key(name: &str) -> (&str, Option<u128>, &str) {
    let text = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let number = name.strip_prefix(text).and_then(|digits| digits.parse().ok());
    match number {
        Some(_) => (text, number, name),
        None => (name, None, name),
    }
}

/// The word for a kind in paths and replies.
#[must_use]
pub fn kind_name(kind: v1::Kind) -> &'static str {
    match kind {
        v1::Kind::Block => "block",
        v1::Kind::Fileio => "fileio",
        v1::Kind::Ramdisk => "ramdisk",
    }
}

/// `block/disk0`.
#[must_use]
pub fn backstore_name(id: &v1::BackstoreId) -> String {
    format!("{}/{}", kind_name(id.kind), id.name)
}

fn container(name: &str, place: Place, summary: impl Into<String>) -> Node {
    Node {
        name: name.to_owned(),
        subject: Subject::Container(place),
        summary: summary.into(),
        healthy: None,
        facts: Vec::new(),
        details: Vec::new(),
        children: Vec::new(),
    }
}

fn storage_objects(config: &v1::Config, kind: v1::Kind) -> Node {
    let objects: Vec<Node> =
        config.backstores.iter().filter(|backstore| backstore.id.kind == kind).map(storage_object).collect();
    let place = match kind {
        v1::Kind::Block => Place::Block,
        v1::Kind::Fileio => Place::Fileio,
        v1::Kind::Ramdisk => Place::Ramdisk,
    };
    container(kind_name(kind), place, format!("Storage Objects: {}", objects.len())).with_children(objects)
}

fn alua_groups(backstore: &v1::Backstore) -> Node {
    let groups: Vec<Node> =
        backstore.alua_groups.iter().map(|group| alua_group(&backstore.id, group)).collect();
    let mut node = container("alua", Place::AluaGroups, format!("ALUA Groups: {}", groups.len()));
    let lba_map = backstore.lba_map.clone().unwrap_or_default();
    node.subject = Subject::AluaGroups { id: backstore.id.clone(), lba_map };
    node.with_children(groups)
}

fn alua_group(id: &v1::BackstoreId, group: &v1::AluaGroup) -> Node {
    let state = group.attributes.get("alua_access_state").map_or("", String::as_str);
    let summary = format!("ALUA state: {}", state_name(state));
    let mut node = container(&group.name, Place::AluaGroup, summary);
    node.subject = Subject::AluaGroup { id: id.clone(), group: Box::new(group.clone()) };
    node.healthy = Some(true);
    node.details = vec![("tg_pt_gp_id", Fact::Number(group.group_id.into()))];
    node
}

fn storage_object(backstore: &v1::Backstore) -> Node {
    let groups = alua_groups(backstore);
    Node {
        name: backstore.id.name.clone(),
        summary: storage_object_summary(backstore),
        healthy: Some(backstore.state != v1::BackstoreState::Missing),
        facts: storage_object_facts(backstore),
        details: vec![
            ("size_bytes", Fact::Number(backstore.size_bytes)),
            ("block_bytes", Fact::Number(backstore.block_bytes.into())),
            ("read_only", Fact::Truth(backstore.read_only)),
            ("write_cache", Fact::Truth(backstore.write_back)),
            ("missing", Fact::Truth(backstore.state == v1::BackstoreState::Missing)),
            ("ejected", Fact::Truth(backstore.state == v1::BackstoreState::Ejected)),
            ("stopped", Fact::Truth(backstore.state == v1::BackstoreState::Stopped)),
        ],
        subject: Subject::Backstore(Box::new(backstore.clone())),
        children: vec![groups],
    }
}

fn storage_object_summary(backstore: &v1::Backstore) -> String {
    let size = human(backstore.size_bytes);
    let path = backstore.path.as_deref().unwrap_or_default();
    let cache = if writes_back(backstore) { "write-back" } else { "write-thru" };
    let state = match backstore.state {
        v1::BackstoreState::Activated => "activated",
        v1::BackstoreState::Deactivated => "deactivated",
        v1::BackstoreState::Missing => "missing",
        v1::BackstoreState::Ejected => "ejected",
        v1::BackstoreState::Stopped => "stopped",
    };
    match backstore.id.kind {
        v1::Kind::Block if backstore.read_only => format!("{path} ({size}) ro {cache} {state}"),
        v1::Kind::Block | v1::Kind::Fileio => format!("{path} ({size}) {cache} {state}"),
        v1::Kind::Ramdisk if backstore.nullio => format!("nullio ({size}) {state}"),
        v1::Kind::Ramdisk => format!("({size}) {state}"),
    }
}

/// What targetcli calls write-back: the attribute, which stays 0 on a block device whatever cache that has.
fn writes_back(backstore: &v1::Backstore) -> bool {
    let attribute = backstore.attributes.get("emulate_write_cache");
    attribute.map_or(backstore.write_back, |value| value != "0")
}

fn storage_object_facts(backstore: &v1::Backstore) -> Vec<(&'static str, Fact)> {
    let path = Fact::Text(backstore.path.clone().unwrap_or_default());
    let name = Fact::Text(backstore.id.name.clone());
    let plugin = Fact::Text(kind_name(backstore.id.kind).to_owned());
    let serial = Fact::Text(backstore.unit_serial.clone());
    let size = Fact::Number(backstore.size_bytes);
    let write_back = Fact::Truth(writes_back(backstore));
    match backstore.id.kind {
        v1::Kind::Block => vec![
            ("dev", path),
            ("name", name),
            ("plugin", plugin),
            ("readonly", Fact::Truth(backstore.read_only)),
            ("write_back", write_back),
            ("wwn", serial),
        ],
        v1::Kind::Fileio => vec![
            ("aio", Fact::Truth(false)),
            ("dev", path),
            ("name", name),
            ("plugin", plugin),
            ("size", size),
            ("write_back", write_back),
            ("wwn", serial),
        ],
        v1::Kind::Ramdisk => {
            let nullio = backstore.nullio.then_some(("nullio", Fact::Truth(true)));
            let rest = [("plugin", plugin), ("size", size), ("wwn", serial)];
            std::iter::once(("name", name)).chain(nullio).chain(rest).collect()
        }
    }
}

fn vhost(config: &v1::Config) -> Node {
    let mut node = container("vhost", Place::Vhost, format!("Targets: {}", config.targets.len()));
    node.facts = [
        ("Fabric module name", "vhost"),
        ("ConfigFS path", VHOST_IN_CONFIGFS),
        ("Allowed WWN types", "naa"),
        ("Fabric module features", "nexus, acls, tpgts"),
        ("Corresponding kernel module", "tcm_vhost"),
    ]
    .map(|(key, value)| (key, Fact::Text(value.to_owned())))
    .to_vec();
    node.with_children(config.targets.iter().map(|target| self::target(config, target)).collect())
}

/// Where LIO's tree has the targets; targetcli's words name it.
pub const VHOST_IN_CONFIGFS: &str = "/sys/kernel/config/target/vhost";

fn target(config: &v1::Config, target: &v1::Target) -> Node {
    let wwn = target.wwn.clone();
    let fault = target.socket_fault.as_ref().map(|fault| ("socket_fault", Fact::Text(fault.clone())));
    let remark = if fault.is_some() { ", no socket" } else { "" };
    let details =
        [("socket", Fact::Text(target.socket.clone())), ("connected", Fact::Truth(target.connected))];
    let (fabric, name) = (("fabric", Fact::Text("vhost".to_owned())), ("wwn", Fact::Text(wwn.clone())));
    let node = Node {
        name: wwn.clone(),
        summary: format!("TPGs: {}{remark}", target.tpgs.len()),
        healthy: fault.as_ref().map(|_| false),
        facts: [Some(fabric), fault.clone(), Some(name)].into_iter().flatten().collect(),
        details: details.into_iter().chain(fault).collect(),
        subject: Subject::Target {
            wwn,
            options: target.options.clone(),
            parameters: target.parameters.clone(),
        },
        children: Vec::new(),
    };
    node.with_children(target.tpgs.iter().map(|group| tpg(config, &target.wwn, group)).collect())
}

fn tpg(config: &v1::Config, wwn: &str, tpg: &v1::Tpg) -> Node {
    let tag = tpg.tag;
    let luns = Node {
        name: "luns".to_owned(),
        subject: Subject::Luns { wwn: wwn.to_owned(), tag },
        summary: format!("LUNs: {}", tpg.luns.len()),
        healthy: None,
        facts: Vec::new(),
        details: Vec::new(),
        children: Vec::new(),
    };
    let luns = luns.with_children(tpg.luns.iter().map(|unit| lun(config, wwn, tpg, unit)).collect());
    Node {
        name: format!("tpg{tag}"),
        subject: Subject::Tpg { wwn: wwn.to_owned(), tag },
        summary: format!("{}, no-gen-acls", tpg.nexus),
        healthy: Some(true),
        // A target port group of vhost is enabled from the start to the end: LIO's has no switch either.
        facts: vec![("enable", Fact::Truth(true)), ("tag", Fact::Number(tag.into()))],
        details: vec![("nexus", Fact::Text(tpg.nexus.clone()))],
        children: vec![acls::acls(wwn, tpg), luns],
    }
}

fn lun(config: &v1::Config, wwn: &str, tpg: &v1::Tpg, lun: &v1::Lun) -> Node {
    let tag = tpg.tag;
    let backstore = config.backstores.iter().find(|backstore| backstore.id == lun.backstore);
    let name = backstore_name(&lun.backstore);
    let path = backstore.and_then(|backstore| backstore.path.as_deref());
    let mode = if lun.write_protect { " ro" } else { "" };
    let group = &lun.alua.group;
    let offline = if lun.alua.offline { " offline" } else { "" };
    let waiting = waiting::at(tpg, lun.lun);
    let remark = waiting::remark(waiting);
    let mut details = vec![("write_protect", Fact::Truth(lun.write_protect))];
    details.extend(waiting::details(waiting));
    let is_there = backstore.is_some_and(|backstore| backstore.state != v1::BackstoreState::Missing);
    let summary = match path {
        Some(path) => format!("{name} ({path}) ({group}){mode}{offline}{remark}"),
        None => format!("{name} ({group}){mode}{offline}{remark}"),
    };
    Node {
        name: format!("lun{}", lun.lun),
        subject: Subject::Lun { wwn: wwn.to_owned(), tag, lun: lun.lun, alua: lun.alua.clone() },
        summary,
        healthy: Some(is_there && waiting.is_none()),
        facts: vec![
            ("alias", Fact::Text(lun.alias.clone())),
            ("alua_tg_pt_gp_name", Fact::Text(group.clone())),
            ("index", Fact::Number(lun.lun.into())),
            ("storage_object", Fact::Text(format!("/backstores/{name}"))),
        ],
        details,
        children: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_text_then_number() {
        let mut names = vec!["lun10", "lun2", "disk", "lun1", "a9b", "lun", "a10b", "7", "lun02"];
        names.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        assert_eq!(names, ["7", "a10b", "a9b", "disk", "lun", "lun1", "lun02", "lun2", "lun10"]);
    }

    #[test]
    fn what_is_foreign_stands_among_the_others_and_takes_no_node_away() {
        let thing =
            |path: &str, summary: &str| Foreign { path: path.to_owned(), summary: summary.to_owned() };
        let tree = Tree::new(v1::Config::default()).with_foreign(&[
            thing("/iscsi/iqn.x", "TPGs: 1"),
            thing("/iscsi/iqn.x/tpg1/luns/lun0", "block/disk0"),
            thing("/vhost", "never shown"),
        ]);
        let names: Vec<&str> = tree.root.children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["backstores", "iscsi", "vhost"]);
        let target = tree.find(&NodePath::root().join("/iscsi/iqn.x")).expect("a node");
        assert_eq!((target.summary.as_str(), target.subject.place()), ("TPGs: 1", Place::Foreign));
        let lun = tree.find(&NodePath::root().join("/iscsi/iqn.x/tpg1/luns/lun0")).expect("a node");
        assert_eq!(lun.summary, "block/disk0");
        assert_eq!(tree.root.child("vhost").expect("a node").summary, "Targets: 0");
    }

    #[test]
    fn a_path_that_ends_in_the_void_names_its_first_wrong_step() {
        let tree = Tree::new(v1::Config::default());
        let failure = tree.find(&NodePath::root().join("/backstores/nosuch/x")).expect_err("no such node");
        assert_eq!(failure.message, "No such path /backstores/nosuch");
    }
}
