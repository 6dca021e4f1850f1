// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A saveconfig.json, read: what is served becomes a wish, the rest is kept word for word or told.
//!
//! Above: `server`, which has the bytes; `restore`, which makes a transaction of the result.
//! Below: `strict_json`, `entry`, the names and numbers of `model`.
//! Never here: what is configured now.
//!
//! Files of LIO's tools and our own are read alike.  What their format has no word for is under `x_lunar`,
//! which their tools skip: see `own`.

mod attributes; // of its storage objects
mod lio; // what they can be in LIO
mod values; // of its targets, and of what is in them

use super::alua::{SaidGroups, SaidOfLun};
use super::entry::Entry;
use super::notes::Notes;
use super::own::{Own, OwnObject};
use super::scope::Scope;
use super::{TargetEntry, TpgEntry, hand, select, strict_json};
use crate::wish::Chance;
use api::v1;
use model::{
    AbsolutePath, Acl, AluaGroupName, Backstore, BackstoreId, BackstoreName, Foreign, IDENTITY_FIELDS, Kind,
    LUN_ALUA_ATTRIBUTES, Lun, LunAlias, LunMapping, MappedLun, Medium, Model, Place, Refusal, RelativePort,
    TpgTag, UnitSerial, Wwn,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a saveconfig.json asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The storage objects that are served, in the order of the file.
    pub(super) backstores: Vec<Backstore>,
    /// Those of them whose serial number the file does not say, so that it was made up.
    pub(super) made_up: BTreeSet<BackstoreId>,
    /// Those that may become smaller.
    pub(super) shrinks: BTreeSet<BackstoreId>,
    /// What the file answers for: what is within and not in the file is to go.
    pub(super) scope: Scope,
    /// Those of them that nobody asked for by name, but for the sake of a target.
    pub(super) implied: BTreeSet<BackstoreId>,
    /// The targets that are served.
    pub(super) targets: BTreeMap<Wwn, TargetEntry>,
    /// The groups of logical units of the file, by name.
    pub(super) lu_groups: BTreeMap<AluaGroupName, u16>,
    /// What it says of the groups of storage objects; of one that is not here it says nothing.
    pub(super) said_groups: BTreeMap<BackstoreId, SaidGroups>,
    /// The storage objects whose group of logical units it says.
    pub(super) said_lu_groups: BTreeSet<BackstoreId>,
    /// Storage objects of which the file says which blocks are reached how.
    pub(super) said_lba_maps: BTreeSet<BackstoreId>,
    /// What it says of the asymmetric access of LUNs.
    pub(super) said_of_luns: BTreeMap<Place, SaidOfLun>,
    /// What is kept for LIO's tools, by name.
    pub(super) foreign: BTreeMap<String, String>,
    /// Whether one of LIO's tools wrote it, which says every attribute as it reads it.
    is_of_lio: bool,
    /// What is otherwise than the file says.
    notes: Notes,
}

/// What is wrong with a saveconfig.json.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is none, or something in it cannot be.
    #[error("{0}")]
    Malformed(String),
    /// It has not what was asked for.
    #[error("{0}")]
    NotThere(String),
}

impl From<String> for DocumentError {
    fn from(message: String) -> Self {
        Self::Malformed(message)
    }
}

impl Document {
    /// Reads a file, or the part of it that was asked for.
    ///
    /// # Errors
    /// [`DocumentError`], for the first thing that is wrong.
    pub fn read(
        text: &[u8],
        options: &v1::RestoreOptions,
        chance: &mut dyn Chance,
    ) -> Result<Self, DocumentError> {
        Self::of(&strict_json::parse(text)?, Author::Program, options, chance)
    }

    /// Reads a file that is to be applied: a saveconfig.json, or one in the form of [`hand`].
    ///
    /// # Errors
    /// [`DocumentError`], for the first thing that is wrong.
    pub fn read_wanted(text: &[u8], chance: &mut dyn Chance) -> Result<Self, DocumentError> {
        let (whole, author) = if Self::is_saveconfig(text) {
            (strict_json::parse(text)?, Author::Program)
        } else {
            (hand::parse(text)?, Author::Person)
        };
        let mut document = Self::of(&whole, author, &v1::RestoreOptions::default(), chance)?;
        document.scope = Scope::read(&Entry::of(&whole, "the file".to_owned())?)?;
        Ok(document)
    }

    /// Whether a text is a saveconfig.json, and not in the form that people write.
    #[must_use]
    pub fn is_saveconfig(text: &[u8]) -> bool {
        text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
    }

    /// The form that people write, in the members of a saveconfig.json.
    ///
    /// # Errors
    /// [`DocumentError`], for the first thing that is wrong.
    pub fn typed_as_saveconfig(text: &[u8]) -> Result<Vec<u8>, DocumentError> {
        Ok(hand::parse(text)?.to_string().into_bytes())
    }

    /// Says nothing of what is not served: it is somebody else's.
    pub fn forget_foreign(&mut self) {
        self.foreign.clear();
    }

    /// Gives storage objects the attributes that they have in `model`, where they are there: they are somebody else's.
    pub fn keep_attributes_of(&mut self, model: &Model) {
        for wanted in &mut self.backstores {
            let Some(is) = model.backstores().get(&wanted.id()) else { continue };
            let mut kept = is.clone();
            kept.unit_serial.clone_from(&wanted.unit_serial);
            kept.medium.clone_from(&wanted.medium);
            kept.alua.clone_from(&wanted.alua);
            kept.lu_group.clone_from(&wanted.lu_group);
            for row in IDENTITY_FIELDS {
                let said = wanted.identity().iter().find(|(key, _)| *key == row.key);
                // It has passed the rule of the row; an empty text takes back what was said.
                let _ = kept.set_identity(row.name, said.map_or("", |(_, text)| text));
            }
            *wanted = kept;
        }
    }

    fn of(
        whole: &Value,
        author: Author,
        options: &v1::RestoreOptions,
        chance: &mut dyn Chance,
    ) -> Result<Self, DocumentError> {
        let part = select::part(&Entry::of(whole, "the file".to_owned())?, options)?;
        let is_of_lio = author == Author::Program && !part.own.is_ours();
        let (document, seen) = (Self { is_of_lio, ..Self::default() }, BTreeSet::new());
        let mut reader = Reader { document, author, own: part.own, seen, chance };
        for key in part.unknown {
            reader.document.notes.add(format!("'{key}' of the file is not known here"));
        }
        for (index, object) in part.storage_objects {
            reader.storage_object(index, object)?;
        }
        for module in part.fabric_modules {
            reader.fabric_module(module)?;
        }
        for (index, target) in part.targets {
            reader.target(index, target)?;
        }
        let lu_groups = reader.own.lu_groups();
        let mut document = Self { lu_groups, ..reader.document };
        if let Some(named) = part.named {
            let all = document.backstores.iter().map(Backstore::id);
            document.implied = all.filter(|id| !named.contains(&id.to_string())).collect();
        }
        Foreign::new(document.foreign.clone()).map_err(|refusal| refusal.to_string())?;
        Ok(document)
    }

    /// What is not served, word for word, by name: `target iscsi/iqn.2003-01.org.example:x`.
    #[must_use]
    pub fn foreign(&self) -> &BTreeMap<String, String> {
        &self.foreign
    }

    /// What is otherwise than the file says, one line each, not endless.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.lines()
    }
}

/// The kind that a plugin of LIO's is, by every name that LIO's tools take.
pub(super) fn kind_of(plugin: &str) -> Option<Kind> {
    match plugin {
        "block" | "iblock" => Some(Kind::Block),
        "fileio" => Some(Kind::Fileio),
        "ramdisk" | "rd_mcp" => Some(Kind::Ramdisk),
        _ => None,
    }
}

/// What somebody wrote, fit to stand in a line of a message.
pub(super) fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 80;
    let mut line: String = text.chars().take(CHARACTERS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        line.push('…');
    }
    line
}

/// A number that the model has 16 bits for, in its words where the file says one that is longer.
fn short(what: &str, number: u64) -> Result<u16, String> {
    u16::try_from(number).map_err(|_| format!("{what} {number} is out of range"))
}

fn words(refusal: Refusal) -> DocumentError {
    DocumentError::Malformed(refusal.to_string())
}

/// Who wrote a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    /// One of LIO's tools, which saves what its kernel had: what cannot be so here is told of, and the rest restored.
    Program,
    /// Somebody who means each word.
    Person,
}

struct Reader<'c> {
    document: Document,
    author: Author,
    own: Own,
    seen: BTreeSet<BackstoreId>,
    chance: &'c mut dyn Chance,
}

impl Reader<'_> {
    fn note(&mut self, line: String) {
        self.document.notes.add(line);
    }

    fn keep(&mut self, name: String, value: &Value) {
        self.document.foreign.insert(name, value.to_string());
    }

    fn storage_object(&mut self, index: usize, value: &Value) -> Result<(), DocumentError> {
        let entry = Entry::of(value, format!("storage object {index}"))?;
        let name =
            entry.text("name")?.ok_or_else(|| format!("'name' not defined in storage object {index}"))?;
        let plugin = entry
            .text("plugin")?
            .ok_or_else(|| format!("'plugin' not defined or invalid in storageobject {}", shown(name)))?;
        let Some(kind) = kind_of(plugin) else {
            let (plugin, name) = (shown(plugin), shown(name));
            self.note(format!("storage object {plugin}/{name} is not served; it is kept as it is"));
            self.keep(format!("storage_object {plugin}/{name}"), value);
            return Ok(());
        };
        let name = BackstoreName::parse(name).map_err(words)?;
        let id = BackstoreId { kind, name };
        if !self.seen.insert(id.clone()) {
            return Err(format!("storage object {id} is there twice").into());
        }
        let entry = entry.named(format!("storage object {id}"));
        let own = self.own.of(&id)?;
        let medium = self.medium(&entry, kind, &own)?;
        let serial = match entry.text("wwn")? {
            Some(serial) => serial.to_owned(),
            None => {
                self.document.made_up.insert(id.clone());
                self.chance.uuid()
            }
        };
        let serial = UnitSerial::parse(&serial).map_err(words)?;
        let mut backstore = Backstore::new(id.name, serial, medium).map_err(words)?;
        self.attributes(&entry, &mut backstore, &own)?;
        for (name, text) in &own.identity {
            backstore.set_identity(name, text).map_err(words)?;
        }
        self.whole_blocks(&mut backstore)?;
        super::alua::read_lba_map(own.lba_map.as_deref(), &mut backstore).map_err(words)?;
        if own.lba_map.is_some() || self.own.says_all() {
            self.document.said_lba_maps.insert(backstore.id());
        }
        let is_typed = self.author == Author::Person;
        let (notes, said) = super::alua::read_groups(&entry, &mut backstore, self.own.has_alua(), is_typed)?;
        notes.into_iter().for_each(|note| self.note(note));
        if entry.get("alua_tpgs").is_some() {
            self.document.said_groups.insert(backstore.id(), said);
        }
        if let Some(group) = &own.lu_group {
            backstore.lu_group = group.clone();
        }
        if own.shrink {
            self.document.shrinks.insert(backstore.id());
        }
        if own.lu_group.is_some() || self.own.says_all() {
            self.document.said_lu_groups.insert(backstore.id());
        }
        self.rest_of_storage_object(&entry, kind)?;
        self.document.backstores.push(backstore);
        Ok(())
    }

    fn medium(&mut self, entry: &Entry<'_>, kind: Kind, own: &OwnObject) -> Result<Medium, DocumentError> {
        let path = |entry: &Entry<'_>| -> Result<AbsolutePath, DocumentError> {
            AbsolutePath::parse(entry.required_text("dev")?).map_err(words)
        };
        Ok(match kind {
            Kind::Block => {
                let read_only = entry.truth("readonly")?.filter(|read_only| *read_only);
                let read_only = own.read_only.unwrap_or(read_only);
                Medium::Block { path: path(entry)?, read_only, size_bytes: None }
            }
            Kind::Fileio => {
                let size_bytes = entry.whole("size")?.filter(|bytes| *bytes != 0);
                Medium::Fileio { path: path(entry)?, size_bytes, sparse: own.sparse }
            }
            Kind::Ramdisk => {
                let size_bytes = entry.required_whole("size")?;
                Medium::ramdisk(size_bytes, entry.truth("nullio")? == Some(true)).map_err(words)?
            }
        })
    }

    /// A file that is to be made ends with a block.
    fn whole_blocks(&mut self, backstore: &mut Backstore) -> Result<(), DocumentError> {
        let (id, block_bytes) = (backstore.id(), u64::from(backstore.block_bytes().unwrap_or(512)));
        let Medium::Fileio { size_bytes: Some(bytes), .. } = &mut backstore.medium else { return Ok(()) };
        let whole = *bytes - *bytes % block_bytes;
        if whole == 0 {
            return Err(format!("storage object {id}: {bytes} bytes are less than a block").into());
        }
        if whole != *bytes {
            self.note(format!(
                "the size of storage object {id}, {bytes} bytes, is taken as {whole}: whole blocks"
            ));
            *bytes = whole;
        }
        Ok(())
    }

    /// Tells what of a storage object is not taken over.
    fn rest_of_storage_object(&mut self, entry: &Entry<'_>, kind: Kind) -> Result<(), DocumentError> {
        let of_kind: &[&str] = match kind {
            Kind::Block => &["dev", "readonly", "write_back", "exclusive"],
            Kind::Fileio => &["dev", "size", "write_back", "aio"],
            Kind::Ramdisk => &["size", "nullio"],
        };
        // LIO's tools skip the last two themselves.
        let common = ["name", "plugin", "wwn", "attributes", "alua_tpgs", "exists", "buffered_mode"];
        for key in entry.keys().filter(|key| !common.contains(key) && !of_kind.contains(key)) {
            self.note(format!("'{}' of {} is not known here", shown(key), entry.at()));
        }
        if entry.truth("exclusive")? == Some(false) {
            self.note(format!("{} is opened exclusively all the same", entry.at()));
        }
        Ok(())
    }

    fn fabric_module(&mut self, value: &Value) -> Result<(), DocumentError> {
        let entry = Entry::of(value, "fabric module".to_owned())?;
        let name = entry.text("name")?.unwrap_or_default();
        self.note(format!("fabric module {} is not served; it is kept as it is", shown(name)));
        self.keep(format!("fabric_module {}", shown(name)), value);
        Ok(())
    }

    fn target(&mut self, index: usize, value: &Value) -> Result<(), DocumentError> {
        let entry = Entry::of(value, format!("target {index}"))?;
        let wwn = entry.text("wwn")?.ok_or_else(|| format!("'wwn' not defined in target {index}"))?;
        let fabric =
            entry.text("fabric")?.ok_or_else(|| format!("target {} missing 'fabric' field", shown(wwn)))?;
        if fabric != "vhost" {
            let (fabric, wwn) = (shown(fabric), shown(wwn));
            self.note(format!("target {wwn} of fabric {fabric} is not served; it is kept as it is"));
            self.keep(format!("target {fabric}/{wwn}"), value);
            return Ok(());
        }
        let wwn = Wwn::parse(wwn).map_err(words)?;
        let entry = entry.named(format!("target {wwn}"));
        self.unknown_keys(&entry, &["fabric", "wwn", "tpgs", "parameters", "attributes", "options"]);
        let completion_affinity = self.completion_affinity(&entry)?;
        self.lost(&entry)?;
        let groups = entry.list("tpgs")?;
        let mut tpgs = BTreeMap::new();
        for group in groups {
            let group = Entry::of(group, format!("TPG of target {wwn}"))?;
            let tag = match group.whole("tag")? {
                Some(tag) => TpgTag::parse(short("TPG tag", tag)?).map_err(words)?,
                None => free_tag(&tpgs).ok_or_else(|| format!("target {wwn} has too many TPGs"))?,
            };
            let group = group.named(format!("TPG {tag} of target {wwn}"));
            let tpg = self.tpg(&group, &wwn, tag)?;
            if tpgs.insert(tag, tpg).is_some() {
                return Err(format!("{} is there twice", group.at()).into());
            }
        }
        let options = self.options(&entry)?;
        let target = TargetEntry { tpgs, options, completion_affinity };
        if self.document.targets.insert(wwn, target).is_some() {
            return Err(format!("{} is there twice", entry.at()).into());
        }
        Ok(())
    }

    fn tpg(&mut self, entry: &Entry<'_>, wwn: &Wwn, tag: TpgTag) -> Result<TpgEntry, DocumentError> {
        self.unknown_keys(
            entry,
            &["tag", "enable", "attributes", "parameters", "luns", "node_acls", "portals", "x_lunar"],
        );
        self.lost(entry)?;
        if !entry.list("portals")?.is_empty() {
            self.note(format!("the portals of {} are not taken over: vhost has none", entry.at()));
        }
        if entry.truth("enable")? == Some(false) {
            self.note(format!("{} is served, for vhost has no switch to disable it", entry.at()));
        }
        let own = entry.object("x_lunar")?.map(|own| Entry::on(own, format!("x_lunar of {}", entry.at())));
        let (mut nexus, mut relative_port) = (None, None);
        if let Some(own) = own {
            nexus = own.text("nexus")?.map(Wwn::parse).transpose().map_err(words)?;
            let port = own.whole("relative_port")?.map(|port| u16::try_from(port).unwrap_or(0));
            relative_port = port.map(RelativePort::parse).transpose().map_err(words)?;
        }
        let mut tpg = TpgEntry {
            nexus,
            relative_port,
            luns: BTreeMap::new(),
            acls: BTreeMap::new(),
            may_be_sessions: BTreeSet::new(),
        };
        for lun in entry.list("luns")? {
            self.lun(lun, &mut tpg, wwn, tag)?;
        }
        for acl in entry.list("node_acls")? {
            self.node_acl(acl, &mut tpg, entry.at())?;
        }
        Ok(tpg)
    }

    fn node_acl(&mut self, value: &Value, tpg: &mut TpgEntry, group: &str) -> Result<(), DocumentError> {
        let entry = Entry::of(value, format!("node ACL of {group}"))?;
        let name = entry.text("node_wwn")?.ok_or_else(|| "'node_wwn' missing in node_acl".to_owned())?;
        let initiator = Wwn::parse(name).map_err(words)?;
        let entry = entry.named(format!("node ACL {initiator} of {group}"));
        // vhost has no passwords of an initiator.
        self.unknown_keys(&entry, &["node_wwn", "mapped_luns", "attributes", "parameters", "tag"]);
        self.lost(&entry)?;
        if entry.text("tag")?.is_some_and(|tag| !tag.is_empty()) {
            self.note(format!("the tag of {} is not taken over", entry.at()));
        }
        let mut acl = Acl::default();
        let written = entry.list("mapped_luns")?;
        for mapped in written {
            self.mapped_lun(mapped, &mut acl, tpg, entry.at())?;
        }
        // A list that was not empty says that this initiator sees less, whatever is left of it.
        if written.is_empty() && !self.own.is_ours() {
            tpg.may_be_sessions.insert(initiator.clone());
        }
        if tpg.acls.insert(initiator, acl).is_some() {
            return Err(format!("{} is there twice", entry.at()).into());
        }
        Ok(())
    }

    fn mapped_lun(
        &mut self,
        value: &Value,
        acl: &mut Acl,
        tpg: &TpgEntry,
        list: &str,
    ) -> Result<(), DocumentError> {
        let entry = Entry::of(value, format!("mapped LUN of {list}"))?;
        let number = |key: &str, missing: &str| -> Result<Lun, DocumentError> {
            let number = entry.whole(key)?.ok_or_else(|| missing.to_owned())?;
            Lun::parse(short("LUN", number)?).map_err(words)
        };
        let of = number("tpg_lun", "'tpg_lun' not in a mapped_lun")?;
        let lun = number("index", "'index' not in a mapped_lun")?;
        let entry = entry.clone().named(format!("mapped LUN {lun} of {list}"));
        if !tpg.luns.contains_key(&of) {
            // Also where the LUN shows what is kept and not served.
            let line = format!("Could not find matching TPG LUN {of} for {}", entry.at());
            if self.author == Author::Person || self.own.is_typed() {
                return Err(format!("{line}: the file has no such LUN there").into());
            }
            self.note(line);
            return Ok(());
        }
        self.unknown_keys(&entry, &["index", "tpg_lun", "alias", "write_protect"]);
        let alias = entry.text("alias")?.and_then(|alias| LunAlias::parse(alias).ok());
        let alias = alias.unwrap_or_else(|| LunAlias::made_up(self.chance.bits()));
        let write_protect = match entry.get("write_protect") {
            Some(Value::Number(number)) => number.as_u64() != Some(0),
            _ => entry.truth("write_protect")? == Some(true),
        };
        if acl.luns.insert(lun, MappedLun { of, alias, write_protect }).is_some() {
            return Err(format!("{} is there twice", entry.at()).into());
        }
        Ok(())
    }

    fn lun(
        &mut self,
        value: &Value,
        tpg: &mut TpgEntry,
        wwn: &Wwn,
        tag: TpgTag,
    ) -> Result<(), DocumentError> {
        let entry = Entry::of(value, format!("LUN of {wwn}/tpg{tag}"))?;
        let index =
            entry.whole("index")?.ok_or_else(|| format!("'index' missing from a LUN in TPG {tag}"))?;
        let lun = Lun::parse(short("LUN", index)?).map_err(words)?;
        let entry = entry.named(format!("LUN {lun} of {wwn}/tpg{tag}"));
        let object = entry.text("storage_object")?.and_then(|path| path.strip_prefix("/backstores/"));
        let Some((plugin, name)) = object.and_then(|path| path.split_once('/')) else {
            return Err(format!("Malformed storage object field for LUN {lun} of {wwn}/tpg{tag}").into());
        };
        let Some(kind) = kind_of(plugin) else {
            let object = format!("{}/{}", shown(plugin), shown(name));
            self.note(format!("{} shows {object}, which is not served; it is kept as it is", entry.at()));
            self.keep(format!("lun {wwn}/tpg{tag}/lun{lun}"), value);
            return Ok(());
        };
        self.unknown_keys(
            &entry,
            &[&["index", "storage_object", "alias", "write_protect"][..], &LUN_ALUA_ATTRIBUTES].concat(),
        );
        let place = Place { wwn: wwn.clone(), tag, lun };
        let alua = super::alua::read_lun(&entry, &place)?;
        self.document.said_of_luns.insert(place, SaidOfLun::by(&entry, self.own.says_all()));
        let alias = match entry.text("alias")?.map(LunAlias::parse) {
            Some(Ok(alias)) => alias,
            Some(Err(_)) => {
                self.note(format!("{} gets another alias", entry.at()));
                LunAlias::made_up(self.chance.bits())
            }
            None => LunAlias::made_up(self.chance.bits()),
        };
        let backstore = BackstoreId { kind, name: BackstoreName::parse(name).map_err(words)? };
        let write_protect = entry.truth("write_protect")? == Some(true);
        if tpg.luns.insert(lun, LunMapping { backstore, alias, write_protect, alua }).is_some() {
            return Err(format!("{} is there twice", entry.at()).into());
        }
        Ok(())
    }

    fn unknown_keys(&mut self, entry: &Entry<'_>, known: &[&str]) {
        for key in entry.keys().filter(|key| !known.contains(key)) {
            self.note(format!("'{}' of {} is not known here", shown(key), entry.at()));
        }
    }
}

fn free_tag(taken: &BTreeMap<TpgTag, TpgEntry>) -> Option<TpgTag> {
    (1..=u8::MAX).map(TpgTag::new).find(|tag| !taken.contains_key(tag))
}
