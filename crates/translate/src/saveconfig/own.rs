// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What LIO's format has no word for: written under `x_lunar`, where LIO's tools do not look.
//!
//! Above: the writer, `document`.  Below: `model`.
//! Never here: what their format has a word for.
//!
//! Their tools lose a storage object that has a member they do not know, so what belongs to one is at the top of
//! the file, by kind and name:
//!
//! ```json
//! "x_lunar": { "version": 1, "storage_objects": { "block/disk0": { "by_device": { "is_nonrot": 1 }, "readonly": null } } }
//! ```
//!
//! | member | means |
//! |---|---|
//! | `by_device` | attributes that nobody set, with what the device said; one that was edited since is a wish |
//! | `attributes` | those that LIO has none of, where they were set |
//! | `set` | attributes that were set to what they would be anyway |
//! | `readonly` | what was asked for, where `readonly` of the storage object says what is |
//! | `sparse` | false, where a new file is to have all its blocks |
//! | `shrink` | true, where it may become smaller when the file is applied; never written |
//! | `identity` | who it says that it is, by the names of LIO's `wwn/` directory, where that was set |
//! | `lba_map` | which blocks are reached how, where somebody said it |
//! | `lu_group` | the group of logical units that it is in, where that is not the default |
//!
//! `typed` is true in what [`hand`](super::hand) makes of a file that somebody wrote: what it leaves out is not said.
//! From version 2 on, `alua_tpgs` says of the default group what is so, and `lu_groups` beside `storage_objects` has
//! the ids of the groups of logical units by name.

use super::entry::Entry;
use crate::live::LiveBackstore;
use crate::view;
use model::{
    ATTRIBUTES, Access, AluaGroupName, Attribute, Backstore, BackstoreId, IdentityField, Key, Medium,
    TRANSFER_BYTES_MAX,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The name of our members.
pub(super) const KEY: &str = "x_lunar";

/// What these words mean; another version may add some.
pub(super) const VERSION: u64 = 2;

/// The first version that had target port groups.
const VERSION_WITH_ALUA: u64 = 2;

/// What a file says of its storage objects in our words; nothing where it is not ours.
#[derive(Clone, Debug, Default)]
pub(super) struct Own(Option<OwnFile>);

#[derive(Clone, Debug, Default)]
struct OwnFile {
    version: u64,
    is_typed: bool,
    objects: Map<String, Value>,
    lu_groups: BTreeMap<AluaGroupName, u16>,
}

/// The same of one storage object.
#[derive(Clone, Debug)]
pub(super) struct OwnObject {
    pub(super) by_device: Map<String, Value>,
    pub(super) set: BTreeSet<String>,
    /// What LIO has no attribute for.
    pub(super) attributes: Map<String, Value>,
    /// What was asked for, if the file says it.
    pub(super) read_only: Option<Option<bool>>,
    pub(super) sparse: bool,
    pub(super) shrink: bool,
    pub(super) lu_group: Option<AluaGroupName>,
    pub(super) identity: BTreeMap<String, String>,
    pub(super) lba_map: Option<String>,
}

/// What a message calls Lunar's own part of a file: somebody who typed the file has no such part.
pub(super) fn of_the_file(own: &Map<String, Value>) -> String {
    match own.get("typed") {
        Some(Value::Bool(true)) => "the file".to_owned(),
        _ => format!("'{KEY}' of the file"),
    }
}

impl Own {
    pub(super) fn read(file: &Entry<'_>) -> Result<Self, String> {
        let Some(own) = file.object(KEY)? else { return Ok(Self::default()) };
        let own = Entry::on(own, of_the_file(own));
        let mut lu_groups = BTreeMap::new();
        for (name, id) in own.object("lu_groups")?.into_iter().flatten() {
            let name = AluaGroupName::parse(name).map_err(|refusal| refusal.to_string())?;
            let number = id.as_u64().and_then(|id| u16::try_from(id).ok());
            let number = number.ok_or_else(|| own.wrong("lu_groups", id, "a number up to 65535"))?;
            lu_groups.insert(name, number);
        }
        Ok(Self(Some(OwnFile {
            version: own.whole("version")?.unwrap_or(0),
            is_typed: own.truth("typed")?.unwrap_or(false),
            objects: own.object("storage_objects")?.cloned().unwrap_or_default(),
            lu_groups,
        })))
    }

    /// Whether the default target port groups of the file are as they were.
    pub(super) fn has_alua(&self) -> bool {
        self.0.as_ref().is_some_and(|own| own.version >= VERSION_WITH_ALUA)
    }

    /// Whether what the file leaves out of asymmetric access is as it was at first: Lunar wrote all of it, and nobody
    /// typed it.
    pub(super) fn says_all(&self) -> bool {
        self.has_alua() && self.0.as_ref().is_some_and(|own| !own.is_typed)
    }

    /// The groups of logical units.
    pub(super) fn lu_groups(&self) -> BTreeMap<AluaGroupName, u16> {
        self.0.as_ref().map(|own| own.lu_groups.clone()).unwrap_or_default()
    }

    /// Whether a person wrote it, in the form of `hand`.
    pub(super) fn is_typed(&self) -> bool {
        self.0.as_ref().is_some_and(|own| own.is_typed)
    }

    /// Whether Lunar wrote the file.
    pub(super) fn is_ours(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn of(&self, id: &BackstoreId) -> Result<OwnObject, String> {
        let nothing = Value::Object(Map::new());
        let value = self.0.as_ref().and_then(|own| own.objects.get(&id.to_string())).unwrap_or(&nothing);
        let entry = Entry::of(value, format!("'{KEY}' of storage object {id}"))?;
        let mut set = BTreeSet::new();
        for name in entry.list("set")? {
            let name = name.as_str().ok_or_else(|| entry.wrong("set", name, "a list of names"))?;
            set.insert(name.to_owned());
        }
        let mut identity = BTreeMap::new();
        for (name, said) in entry.object("identity")?.into_iter().flatten() {
            let text = said.as_str().ok_or_else(|| entry.wrong("identity", said, "a list of texts"))?;
            identity.insert(name.clone(), text.to_owned());
        }
        let says_read_only = entry.keys().any(|key| key == "readonly");
        Ok(OwnObject {
            by_device: entry.object("by_device")?.cloned().unwrap_or_default(),
            set,
            attributes: entry.object("attributes")?.cloned().unwrap_or_default(),
            read_only: if says_read_only { Some(entry.truth("readonly")?) } else { None },
            sparse: entry.truth("sparse")?.unwrap_or(true),
            shrink: entry.truth("shrink")?.unwrap_or(false),
            lu_group: entry
                .text("lu_group")?
                .map(AluaGroupName::parse)
                .transpose()
                .map_err(|refusal| refusal.to_string())?,
            identity,
            lba_map: entry.text("lba_map")?.map(str::to_owned),
        })
    }
}

/// What to write of a file, with what there is of its storage objects.
pub(super) fn file(objects: Map<String, Value>, lu_groups: &BTreeMap<AluaGroupName, u16>) -> Value {
    let mut own = json!({ "version": VERSION });
    if !lu_groups.is_empty() {
        own["lu_groups"] = lu_groups.iter().map(|(name, id)| (name.to_string(), json!(id))).collect();
    }
    if !objects.is_empty() {
        own["storage_objects"] = Value::Object(objects);
    }
    own
}

/// What to write of a storage object; nothing where their words say it all.
pub(super) fn object(backstore: &Backstore, live: Option<&LiveBackstore>) -> Option<Value> {
    let mut own = Map::new();
    let by_device: Map<String, Value> = ATTRIBUTES
        .iter()
        .filter(|row| row.access != Access::ReadOnly && !row.is_own())
        .filter(|row| backstore.attribute(row.key).is_none())
        .map(|row| (row.name.to_owned(), json!(view::attribute(backstore, live, row))))
        .collect();
    if !by_device.is_empty() {
        own.insert("by_device".to_owned(), Value::Object(by_device));
    }
    let set: Vec<&str> = backstore
        .attributes()
        .iter()
        .filter(|(key, value)| !Attribute::of(*key).is_own() && unset(backstore, *key) == Some(*value))
        .map(|(key, _)| Attribute::of(key).name)
        .collect();
    let attributes: Map<String, Value> = backstore
        .attributes()
        .iter()
        .filter(|(key, _)| Attribute::of(*key).is_own())
        .map(|(key, value)| (Attribute::of(key).name.to_owned(), json!(value)))
        .collect();
    if !attributes.is_empty() {
        own.insert("attributes".to_owned(), Value::Object(attributes));
    }
    if !set.is_empty() {
        own.insert("set".to_owned(), json!(set));
    }
    match &backstore.medium {
        Medium::Block { read_only, .. } => {
            let written = super::is_read_only(*read_only, live);
            if *read_only != written.then_some(true) {
                own.insert("readonly".to_owned(), json!(read_only));
            }
        }
        Medium::Fileio { sparse: false, .. } => {
            own.insert("sparse".to_owned(), json!(false));
        }
        Medium::Fileio { sparse: true, .. } | Medium::Ramdisk { .. } => {}
    }
    let identity = backstore.identity().iter();
    let identity: Map<String, Value> =
        identity.map(|(key, text)| (IdentityField::of(key).name.to_owned(), json!(text))).collect();
    if !identity.is_empty() {
        own.insert("identity".to_owned(), Value::Object(identity));
    }
    if backstore.lu_group.as_str() != AluaGroupName::DEFAULT_LU {
        own.insert("lu_group".to_owned(), json!(backstore.lu_group.as_str()));
    }
    if let Some(map) = backstore.alua.lba_map() {
        own.insert("lba_map".to_owned(), json!(map.to_string()));
    }
    (!own.is_empty()).then_some(Value::Object(own))
}

/// What an attribute would be if nobody had set it.
fn unset(backstore: &Backstore, key: Key) -> Option<u32> {
    match key {
        Key::OptimalSectors => backstore.block_bytes().map(|bytes| TRANSFER_BYTES_MAX / bytes.max(1)),
        _ => Attribute::of(key).default_of(backstore.kind()),
    }
}
