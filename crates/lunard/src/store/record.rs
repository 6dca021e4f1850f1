// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a row of the database holds.
//!
//! Above: `store`.  Below: `model`, through whose rules everything read passes.
//! Never here: the database itself.
//!
//! The rows are for this program alone, and forever: a field may be added with a default, never renamed.

use model::{
    AbsolutePath, Acl, AclPlace, AluaAttribute, AluaGroupName, AluaGroups, Attribute, BackstoreId,
    BackstoreName, Change, CompletionAffinity, Foreign, IdentityField, Kind, LbaMap, LunAlias, LunAluaStatus,
    LunMapping, MappedLun, Medium, Model, Place, RelativePort, TargetOption, TpgTag, UnitSerial, Wwn,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every row, by key.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) layout: Option<u64>,
    pub(super) backstores: BTreeMap<(String, String), Vec<u8>>,
    pub(super) targets: BTreeMap<String, Vec<u8>>,
    pub(super) tpgs: BTreeMap<(String, u8), Vec<u8>>,
    pub(super) luns: BTreeMap<(String, u8, u16), Vec<u8>>,
    pub(super) foreign: BTreeMap<String, Vec<u8>>,
    pub(super) lu_groups: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Backstore {
    unit_serial: String,
    medium: Record,
    /// By LIO's name; what the administrator did not set is absent.
    attributes: BTreeMap<String, u32>,
    /// By name; a default group that is as it was at first is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    alua: BTreeMap<String, AluaGroup>,
    /// Which blocks are reached how, as LIO's file has it; absent where nobody set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lba_map: Option<String>,
    /// Absent where it is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lu_group: Option<String>,
    /// Who it says that it is, by LIO's name; what nobody set is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    identity: BTreeMap<String, String>,
    /// What guests have saved of the attributes, by LIO's name; what is as above is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    selected: BTreeMap<String, u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AluaGroup {
    id: u16,
    /// By LIO's name; what has its default is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    values: BTreeMap<String, u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LuGroup {
    id: u16,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Record {
    Block { path: String, read_only: Option<bool>, size_bytes: Option<u64> },
    Fileio { path: String, size_bytes: Option<u64>, sparse: bool },
    Ramdisk { size_bytes: u64, nullio: bool },
}

/// Rows of the first versions are `{}`.
#[derive(Debug, Serialize, Deserialize)]
struct Target {
    /// By name; what has its default is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, u32>,
    /// LIO's number for it; absent where it is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completion_affinity: Option<i32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tpg {
    nexus: String,
    relative_port: u16,
    /// Access control lists by initiator, each its mapped LUNs by number; absent in rows of the first versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    acls: BTreeMap<String, BTreeMap<u16, Mapped>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mapped {
    of: u16,
    alias: String,
    write_protect: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lun {
    kind: String,
    backstore: String,
    alias: String,
    write_protect: bool,
    /// Absent where it is as it was at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alua: Option<LunAlua>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LunAlua {
    group: String,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    status: u32,
    #[serde(default)]
    write_metadata: bool,
}

impl Rows {
    /// The rows of a model.
    pub(super) fn of(model: &Model) -> Self {
        let mut rows = Self::default();
        for (BackstoreId { kind, name }, backstore) in model.backstores() {
            let key = (kind.as_str().to_owned(), name.as_str().to_owned());
            rows.backstores.insert(key, json(&Backstore::of(backstore)));
        }
        for (wwn, model::Target { tpgs, options, completion_affinity }) in model.targets() {
            let wwn = wwn.as_str();
            let options = options.iter().map(|(key, value)| (TargetOption::of(key).name.to_owned(), value));
            let is_new = *completion_affinity == CompletionAffinity::default();
            let completion_affinity = (!is_new).then_some(completion_affinity.number());
            let target = Target { options: options.collect(), completion_affinity };
            rows.targets.insert(wwn.to_owned(), json(&target));
            for (tag, model::Tpg { nexus, relative_port, luns, acls }) in tpgs {
                let acls =
                    acls.iter().map(|(initiator, acl)| (initiator.as_str().to_owned(), mapped_luns(acl)));
                let (nexus, acls) = (nexus.as_str().to_owned(), acls.collect());
                let tpg = Tpg { nexus, relative_port: relative_port.get(), acls };
                rows.tpgs.insert((wwn.to_owned(), tag.get()), json(&tpg));
                for (lun, mapping) in luns {
                    rows.luns.insert((wwn.to_owned(), tag.get(), lun.get()), json(&Lun::of(mapping)));
                }
            }
        }
        let lu_groups = model.lu_groups().iter();
        rows.lu_groups.extend(lu_groups.map(|(name, id)| (name.to_string(), json(&LuGroup { id: *id }))));
        let foreign = model.foreign().things().iter();
        rows.foreign.extend(foreign.map(|(name, text)| (name.clone(), text.as_bytes().to_vec())));
        rows
    }

    /// The model of the rows; else what is wrong with the first that is wrong.
    pub(super) fn into_model(self) -> Result<Model, String> {
        let mut model = Model::default();
        let make = |model: &mut Model, what: &str, change: Result<Change, String>| {
            change
                .and_then(|change| model.make(change).map_err(|refusal| refusal.to_string()))
                .map_err(|err| format!("{what}: {err}"))
        };
        for (name, row) in self.lu_groups {
            make(&mut model, &format!("LU group {name}"), lu_group_change(&name, &row))?;
        }
        for ((kind, name), row) in self.backstores {
            backstore(&kind, &name, &row)
                .and_then(|backstore| model.restore_backstore(backstore).map_err(words))
                .map_err(|err| format!("backstore {kind}/{name}: {err}"))?;
        }
        for (wwn, row) in self.targets {
            let what = format!("target {wwn}");
            let wwn = parse_wwn(&wwn).map_err(|err| format!("{what}: {err}"))?;
            make(&mut model, &what, Ok(Change::CreateTarget { wwn: wwn.clone(), tpgs: BTreeMap::new() }))?;
            let target = parse(&row).map_err(|err| format!("{what}: {err}"))?;
            let Target { options, completion_affinity } = target;
            for (option, value) in options {
                let value = value.to_string();
                make(&mut model, &what, Ok(Change::SetOption { wwn: wwn.clone(), option, value }))?;
            }
            if let Some(number) = completion_affinity {
                let (parameter, value) = (CompletionAffinity::NAME.to_owned(), number.to_string());
                make(&mut model, &what, Ok(Change::SetParameter { wwn, parameter, value }))?;
            }
        }
        let mut lists = Vec::new();
        for ((wwn, tag), row) in self.tpgs {
            let what = format!("TPG {tag} of {wwn}");
            let (change, acls) = tpg_changes(&wwn, tag, &row).map_err(|err| format!("{what}: {err}"))?;
            make(&mut model, &what, Ok(change))?;
            lists.extend(acls.into_iter().map(|change| (what.clone(), change)));
        }
        for ((wwn, tag, lun), row) in self.luns {
            make(&mut model, &format!("LUN {lun} of {wwn}/tpg{tag}"), lun_change(&wwn, tag, lun, &row))?;
        }
        // What they map has to be there.
        for (what, change) in lists {
            make(&mut model, &what, Ok(change))?;
        }
        make(&mut model, "what is kept and not served", foreign_change(self.foreign))?;
        Ok(model)
    }
}

impl Backstore {
    fn of(backstore: &model::Backstore) -> Self {
        let medium = match &backstore.medium {
            Medium::Block { path, read_only, size_bytes } => Record::Block {
                path: path.as_str().to_owned(),
                read_only: *read_only,
                size_bytes: *size_bytes,
            },
            Medium::Fileio { path, size_bytes, sparse } => {
                Record::Fileio { path: path.as_str().to_owned(), size_bytes: *size_bytes, sparse: *sparse }
            }
            Medium::Ramdisk { size_bytes, nullio } => {
                Record::Ramdisk { size_bytes: size_bytes.get(), nullio: *nullio }
            }
        };
        let (attributes, identity) = (backstore.attributes().iter(), backstore.identity().iter());
        let selected = backstore.selected().iter();
        Self {
            selected: selected.map(|(key, value)| (Attribute::of(*key).name.to_owned(), *value)).collect(),
            unit_serial: backstore.unit_serial.as_str().to_owned(),
            medium,
            attributes: attributes.map(|(key, value)| (Attribute::of(key).name.to_owned(), value)).collect(),
            alua: alua_rows(&backstore.alua),
            lba_map: backstore.alua.lba_map().map(LbaMap::to_string),
            lu_group: (backstore.lu_group.as_str() != AluaGroupName::DEFAULT_LU)
                .then(|| backstore.lu_group.to_string()),
            identity: identity
                .map(|(key, text)| (IdentityField::of(key).name.to_owned(), text.to_owned()))
                .collect(),
        }
    }
}

impl Lun {
    fn of(mapping: &LunMapping) -> Self {
        let LunMapping { backstore, alias, write_protect, alua } = mapping;
        let is_new = *alua == model::LunAlua::default();
        let model::LunAlua { group, offline, status, write_metadata } = alua;
        let alua = LunAlua {
            group: group.to_string(),
            offline: *offline,
            status: status.number().into(),
            write_metadata: *write_metadata,
        };
        Self {
            alua: (!is_new).then_some(alua),
            kind: backstore.kind.as_str().to_owned(),
            backstore: backstore.name.as_str().to_owned(),
            alias: alias.as_str().to_owned(),
            write_protect: *write_protect,
        }
    }
}

fn backstore(kind: &str, name: &str, row: &[u8]) -> Result<model::Backstore, String> {
    let Backstore { unit_serial, medium, attributes, alua, lba_map, lu_group, identity, selected } =
        parse(row)?;
    let medium = match medium {
        Record::Block { path, read_only, size_bytes } => {
            AbsolutePath::parse(&path).map(|path| Medium::Block { path, read_only, size_bytes })
        }
        Record::Fileio { path, size_bytes, sparse } => {
            AbsolutePath::parse(&path).map(|path| Medium::Fileio { path, size_bytes, sparse })
        }
        Record::Ramdisk { size_bytes, nullio } => Medium::ramdisk(size_bytes, nullio),
    };
    let medium = medium.map_err(words)?;
    if medium.kind() != parse_kind(kind)? {
        return Err(format!("it is a {}", medium.kind()));
    }
    let name = BackstoreName::parse(name).map_err(words)?;
    let serial = UnitSerial::parse(&unit_serial).map_err(words)?;
    let mut backstore = model::Backstore::new(name, serial, medium).map_err(words)?;
    // The size of a block bounds what other attributes may be.
    let is_block_size = |name: &str| name == "block_size";
    let (first, rest): (Vec<_>, Vec<_>) = attributes.into_iter().partition(|(name, _)| is_block_size(name));
    for (name, value) in first.into_iter().chain(rest) {
        backstore.set_attribute(&name, &value.to_string()).map_err(words)?;
    }
    for (name, text) in identity {
        backstore.set_identity(&name, &text).map_err(words)?;
    }
    let known = |(name, value): (&String, &u32)| Some((Attribute::named(name)?.key, *value));
    backstore.select(&selected.iter().filter_map(known).collect::<Vec<_>>());
    let id = backstore.id();
    match LbaMap::parse(&lba_map.unwrap_or_default()) {
        Ok(map) => backstore.alua.restore_lba_map(map),
        // Guests reach every block without it.
        Err(wrong) => {
            let (line, why) = (wrong.line, wrong.why);
            tracing::warn!(
                "{id} is served without the lba_map that it was kept with: line {line} of it: {why}"
            );
        }
    }
    for (name, AluaGroup { id: number, values }) in alua {
        let mut group = model::AluaGroup::new(number);
        for (attribute, value) in values {
            let row = AluaAttribute::named(&attribute);
            let taken = row.is_some_and(|row| group.restore(row, value));
            if !taken {
                return Err(format!("ALUA group {name}: {attribute} cannot be {value}"));
            }
        }
        let name = AluaGroupName::parse(&name).map_err(words)?;
        backstore.alua.restore(&id, name, group).map_err(words)?;
    }
    // Earlier versions took it over from files.
    for group in backstore.alua.make_sensible() {
        tracing::warn!(
            "ALUA group {group} of {id} was kept as LBA dependent, which it cannot be: it is active/optimized; set its \
             alua_access_type, its lba_map and its alua_access_state again"
        );
    }
    if let Some(name) = lu_group {
        backstore.lu_group = AluaGroupName::parse(&name).map_err(words)?;
    }
    Ok(backstore)
}

fn alua_rows(groups: &AluaGroups) -> BTreeMap<String, AluaGroup> {
    let default = model::AluaGroup::default();
    let kept = groups.iter().filter(|(_, group)| **group != default);
    let values = |group: &model::AluaGroup| {
        group.iter().map(|(key, value)| (AluaAttribute::of(key).name.to_owned(), value)).collect()
    };
    kept.map(|(name, group)| (name.to_string(), AluaGroup { id: group.id, values: values(group) })).collect()
}

fn lu_group_change(name: &str, row: &[u8]) -> Result<Change, String> {
    let LuGroup { id } = parse(row)?;
    Ok(Change::CreateLuGroup { name: AluaGroupName::parse(name).map_err(words)?, id })
}

fn lun_alua(row: Option<LunAlua>) -> Result<model::LunAlua, String> {
    let Some(LunAlua { group, offline, status, write_metadata }) = row else {
        return Ok(model::LunAlua::default());
    };
    let group = AluaGroupName::parse(&group).map_err(words)?;
    let status = LunAluaStatus::from_number(status).ok_or_else(|| format!("there is no status {status}"))?;
    Ok(model::LunAlua { group, offline, status, write_metadata })
}

fn mapped_luns(acl: &Acl) -> BTreeMap<u16, Mapped> {
    let mapped = acl.luns.iter().map(|(lun, MappedLun { of, alias, write_protect })| {
        let (of, alias) = (of.get(), alias.as_str().to_owned());
        (lun.get(), Mapped { of, alias, write_protect: *write_protect })
    });
    mapped.collect()
}

/// The group, and its access control lists for when its LUNs are there.
fn tpg_changes(wwn: &str, tag: u8, row: &[u8]) -> Result<(Change, Vec<Change>), String> {
    let Tpg { nexus, relative_port, acls } = parse(row)?;
    let (wwn, tag) = (parse_wwn(wwn)?, TpgTag::new(tag));
    let mut lists = Vec::new();
    for (initiator, luns) in acls {
        let acl = AclPlace { wwn: wwn.clone(), tag, initiator: parse_wwn(&initiator)? };
        lists.push(Change::CreateAcl(acl.clone()));
        for (lun, Mapped { of, alias, write_protect }) in luns {
            let (lun, of) = (parse_lun(lun)?, parse_lun(of)?);
            let mapped = MappedLun { of, alias: LunAlias::parse(&alias).map_err(words)?, write_protect };
            lists.push(Change::MapAclLun { acl: acl.clone(), lun, mapped });
        }
    }
    let port = RelativePort::parse(relative_port).map_err(words)?;
    let tpg = model::Tpg::new(parse_wwn(&nexus)?, port);
    Ok((Change::CreateTpg { wwn, tag, tpg }, lists))
}

fn lun_change(wwn: &str, tag: u8, lun: u16, row: &[u8]) -> Result<Change, String> {
    let Lun { kind, backstore, alias, write_protect, alua } = parse(row)?;
    let name = BackstoreName::parse(&backstore).map_err(words)?;
    let backstore = BackstoreId { kind: parse_kind(&kind)?, name };
    let alias = LunAlias::parse(&alias).map_err(words)?;
    let mapping = LunMapping { backstore, alias, write_protect, alua: lun_alua(alua)? };
    let Place { wwn, tag, lun } = Place { wwn: parse_wwn(wwn)?, tag: TpgTag::new(tag), lun: parse_lun(lun)? };
    Ok(Change::MapLun { wwn, tag, lun, mapping })
}

fn foreign_change(rows: BTreeMap<String, Vec<u8>>) -> Result<Change, String> {
    let mut things = BTreeMap::new();
    for (name, row) in rows {
        let text = String::from_utf8(row).map_err(|err| err.to_string())?;
        things.insert(name, text);
    }
    Ok(Change::KeepForeign { was: Foreign::default(), is: Foreign::new(things).map_err(words)? })
}

fn parse<'a, T: Deserialize<'a>>(row: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(row).map_err(|err| err.to_string())
}

fn parse_kind(kind: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    found.ok_or_else(|| format!("there is no kind {kind}"))
}

fn parse_lun(lun: u16) -> Result<model::Lun, String> {
    model::Lun::parse(lun).map_err(words)
}

fn parse_wwn(wwn: &str) -> Result<Wwn, String> {
    Wwn::parse(wwn).map_err(words)
}

fn words(refusal: model::Refusal) -> String {
    refusal.to_string()
}

fn json(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).expect("rows are plain structs of numbers and text")
}
