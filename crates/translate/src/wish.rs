// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a door asks for, made whole: names parsed, free numbers chosen, the rest made up.
//!
//! Above: the owner of a model.  Below: `model`, whose rules decide, `saveconfig`, and [`Chance`].
//! Never here: whether something may happen; `Model::make` says so.

use crate::host;
use crate::live::Occasion;
use crate::saveconfig::{self, Apply, Comparison, Restore, RestoreError};
use api::v1;
use model::{
    AbsolutePath, AclPlace, AluaAttribute, AluaGroup, AluaGroupName, Backstore, BackstoreId, BackstoreName,
    Change, CompletionAffinity, IdentityField, Kind, LbaMap, Lun, LunAlias, LunAlua, LunAluaSetting,
    LunMapping, MappedLun, Medium, Model, Place, Refusal, Step, Tpg, TpgTag, UNIT_SERIAL_FILE, UnitSerial,
    Wwn, plan_by,
};
use std::collections::BTreeMap;

/// Where made-up values come from.
pub trait Chance: Send {
    /// 64 bits, of which at least the lowest 60 are random.
    fn bits(&mut self) -> u64;
    /// A random UUID, lower case.
    fn uuid(&mut self) -> String;
}

/// The host's random numbers.
#[derive(Debug, Default)]
pub struct HostChance;

impl Chance for HostChance {
    fn bits(&mut self) -> u64 {
        uuid::Uuid::new_v4().as_u64_pair().1
    }

    fn uuid(&mut self) -> String {
        uuid::Uuid::new_v4().to_string()
    }
}

/// What a door asks for at once.
#[derive(Clone, Debug)]
pub enum Wishes {
    /// These changes.
    Changes(Vec<v1::Change>),
    /// These, which have all their names and numbers already.
    Whole(Vec<Change>),
    /// The things of a saveconfig.json.
    Restore(Box<Restore>),
    /// That everything be as a file says, if it is still as it was when the difference was looked at.
    Apply {
        /// The file.
        apply: Box<Apply>,
        /// How the configuration was, but for what guests have asked for.
        generation: Generation,
        /// What was shown, where something was: nothing else is done.
        shown: Option<Box<Comparison>>,
    },
    /// That nothing be left.
    Clear,
}

/// Which configuration it is, among those of one owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(pub u64);

impl Wishes {
    /// The transaction that does it.
    ///
    /// # Errors
    /// [`RestoreError`], which has the refusal of a change in it.
    pub fn draft(&self, model: &Model, chance: &mut dyn Chance) -> Result<Draft, RestoreError> {
        Ok(match self {
            Self::Changes(wishes) => on_this_host(Draft::new(model, wishes, chance)?)?,
            Self::Whole(changes) => on_this_host(Draft::of(model, changes)?)?,
            Self::Restore(restore) => restore.draft(model, chance)?,
            Self::Apply { apply, .. } => apply.draft(model, chance)?,
            Self::Clear => saveconfig::clear(model)?,
        })
    }

    /// The one configuration that this is meant for, if it is.
    #[must_use]
    pub fn meant_for(&self) -> Option<Generation> {
        match self {
            Self::Apply { generation, .. } => Some(*generation),
            Self::Changes(_) | Self::Whole(_) | Self::Restore(_) | Self::Clear => None,
        }
    }

    /// Whether `draft`, which is drafted on `model`, does something else than what was shown: guests change the
    /// configuration too, and count in no generation.
    #[must_use]
    pub fn is_other_than_shown(&self, model: &Model, draft: &Draft) -> bool {
        match self {
            Self::Apply { apply, shown: Some(shown), .. } => apply.compare(model, draft) != **shown,
            _ => false,
        }
    }

    /// Why the machine is to prepare it.
    #[must_use]
    pub fn occasion(&self) -> Occasion {
        match self {
            Self::Changes(_) | Self::Whole(_) | Self::Clear => Occasion::Change,
            Self::Apply { apply, .. } if apply.is_forced() => Occasion::Forced,
            Self::Restore(_) | Self::Apply { .. } => Occasion::Import,
        }
    }
}

/// Refuses a CPU that the host has not, as LIO does.  What was said before stays, whatever became of the CPU.
fn on_this_host(draft: Draft) -> Result<Draft, Refusal> {
    for change in &draft.changes {
        let Change::SetParameter { wwn, value, .. } = change else { continue };
        if !CompletionAffinity::parse(value).is_some_and(host::has_cpu_of) {
            return Err(Refusal::completion_affinity(wwn, value));
        }
    }
    Ok(draft)
}

/// A transaction that the model accepts.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What is to be.
    pub model: Model,
    /// How to get there from another model than the one it was drafted on.
    pub changes: Vec<Change>,
    /// What to tell of each wish once it is done.
    pub made: Vec<Made>,
}

/// What a wish has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// A backstore, and what the administrator should know of it.
    Backstore(BackstoreId, Vec<String>),
    /// A target.
    Target(Wwn),
    /// A target port group.
    Tpg(TpgTag),
    /// A LUN.
    Lun(Lun),
    /// A mapped LUN, by the number that the initiator sees.
    AclLun(Lun),
    /// An attribute's value, as it reads back.
    Attribute(u32),
    /// A text, such as what a backstore says of itself, as it reads back.
    Identity(String),
    /// An option's value, as it reads back.
    Option(u32),
    /// An ALUA group's id.
    AluaGroup(u16),
    /// Nothing that has a name.
    Nothing,
}

impl Draft {
    /// Makes all of `wishes`, in order, on a copy of `model`.
    ///
    /// # Errors
    /// The [`Refusal`] of the first that cannot be.
    pub fn new(model: &Model, wishes: &[v1::Change], chance: &mut dyn Chance) -> Result<Self, Refusal> {
        let mut draft = Self { model: model.clone(), changes: Vec::new(), made: Vec::new() };
        for wish in wishes {
            let (change, made) = complete(&draft.model, wish, chance)?;
            draft.model.make(change.clone())?;
            draft.changes.push(change);
            draft.made.push(draft.read_back(made, wish));
        }
        Ok(draft)
    }

    /// Makes all of `changes`, in order, on a copy of `model`.
    ///
    /// # Errors
    /// The [`Refusal`] of the first that cannot be.
    pub fn of(model: &Model, changes: &[Change]) -> Result<Self, Refusal> {
        let made = changes.iter().map(|_| Made::Nothing).collect();
        Self { model: model.clone(), changes: changes.to_vec(), made }.moved_to(model)
    }

    /// The steps to there from the model that it was drafted on.
    #[must_use]
    pub fn steps_from(&self, model: &Model) -> Vec<Step> {
        plan_by(model, &self.model, &self.changes)
    }

    /// The same changes, word for word, on another model.
    ///
    /// # Errors
    /// The [`Refusal`] of the first that cannot be there.
    pub fn moved_to(&self, model: &Model) -> Result<Self, Refusal> {
        let mut moved = Self { model: model.clone(), ..self.clone() };
        for change in &self.changes {
            moved.model.make(change.clone())?;
        }
        Ok(moved)
    }

    /// The value of an attribute that was just set: some take a value and keep another.
    fn read_back(&self, made: Made, wish: &v1::Change) -> Made {
        if let v1::Change::SetOption { wwn, option, .. } = wish {
            let target = Wwn::parse(wwn).ok().and_then(|wwn| self.model.targets().get(&wwn));
            let row = model::TargetOption::named(option);
            return target.zip(row).map_or(made, |(target, row)| Made::Option(target.options.get(row.key)));
        }
        if let v1::Change::SetParameter { wwn, .. } = wish {
            let target = Wwn::parse(wwn).ok().and_then(|wwn| self.model.targets().get(&wwn));
            return target.map_or(made, |target| Made::Identity(target.completion_affinity.to_string()));
        }
        if let v1::Change::SetAluaAttribute { id, group, attribute, .. } = wish {
            let backstore = backstore_id(id).ok().and_then(|id| self.model.backstores().get(&id));
            let name = AluaGroupName::parse(group).ok();
            let group = backstore.zip(name).and_then(|(backstore, name)| backstore.alua.get(&name));
            let row = AluaAttribute::named(attribute);
            return group.zip(row).map_or(made, |(group, row)| Made::Attribute(group.get(row.key)));
        }
        if let v1::Change::SetLbaMap { id, .. } = wish {
            let backstore = backstore_id(id).ok().and_then(|id| self.model.backstores().get(&id));
            let map = |of: &Backstore| of.alua.lba_map().map(LbaMap::to_string).unwrap_or_default();
            return backstore.map_or(made, |of| Made::Identity(map(of)));
        }
        if let v1::Change::SetLunAlua { wwn, tag, lun, attribute, .. } = wish {
            let tpg = Wwn::parse(wwn).and_then(|wwn| self.model.tpg(&wwn, TpgTag::parse(*tag)?));
            let shown = tpg.ok().zip(Lun::parse(*lun).ok()).and_then(|(tpg, lun)| tpg.luns.get(&lun));
            return shown.and_then(|of| of.alua.text(attribute)).map_or(made, Made::Identity);
        }
        if let v1::Change::SetIdentity { id, attribute, .. } = wish {
            let backstore = backstore_id(id).ok().and_then(|id| self.model.backstores().get(&id));
            let row = IdentityField::named(attribute);
            return backstore.zip(row).map_or(made, |(of, row)| Made::Identity(of.identity_text(row.key)));
        }
        let v1::Change::SetAttribute { id, attribute, .. } = wish else { return made };
        let backstore = backstore_id(id).ok().and_then(|id| self.model.backstores().get(&id));
        let row = model::Attribute::named(attribute);
        let value = backstore.zip(row).and_then(|(backstore, row)| backstore.attribute(row.key));
        value.map_or(made, Made::Attribute)
    }
}

fn complete(model: &Model, wish: &v1::Change, chance: &mut dyn Chance) -> Result<(Change, Made), Refusal> {
    Ok(match wish {
        v1::Change::CreateBackstore(wanted) => {
            let backstore = backstore(wanted, chance)?;
            let made = Made::Backstore(backstore.id(), notes(&backstore));
            (Change::CreateBackstore(backstore), made)
        }
        v1::Change::DeleteBackstore { id } => (Change::DeleteBackstore(backstore_id(id)?), Made::Nothing),
        v1::Change::SetAttribute { id, attribute, value } => {
            let (attribute, value) = (attribute.clone(), value.clone());
            (Change::SetAttribute { backstore: backstore_id(id)?, attribute, value }, Made::Nothing)
        }
        v1::Change::SetIdentity { id, attribute, value } => set_identity(id, attribute, value)?,
        v1::Change::Resize { id, size_bytes, shrink } => {
            let (size_bytes, shrink) = (*size_bytes, *shrink);
            (Change::Resize { backstore: backstore_id(id)?, size_bytes, shrink }, Made::Nothing)
        }
        v1::Change::CreateTarget { wwn, tpgs } => create_target(model, wwn.as_deref(), tpgs, chance)?,
        v1::Change::SetOption { wwn, option, value } => {
            let (option, value) = (option.clone(), value.clone());
            (Change::SetOption { wwn: Wwn::parse(wwn)?, option, value }, Made::Nothing)
        }
        v1::Change::SetParameter { wwn, parameter, value } => {
            let (parameter, value) = (parameter.clone(), value.clone());
            (Change::SetParameter { wwn: Wwn::parse(wwn)?, parameter, value }, Made::Nothing)
        }
        v1::Change::DeleteTarget { wwn } => (Change::DeleteTarget(Wwn::parse(wwn)?), Made::Nothing),
        v1::Change::CreateTpg { wwn, tag } => {
            let wwn = Wwn::parse(wwn)?;
            let tag = tag.map_or_else(|| model.free_tag(&wwn), TpgTag::parse)?;
            let tpg = new_tpg(model, &mut model.free_relative_ports(), chance)?;
            (Change::CreateTpg { wwn, tag, tpg }, Made::Tpg(tag))
        }
        v1::Change::DeleteTpg { wwn, tag } => {
            (Change::DeleteTpg { wwn: Wwn::parse(wwn)?, tag: TpgTag::parse(*tag)? }, Made::Nothing)
        }
        v1::Change::MapLun { wwn, tag, lun, backstore, write_protect } => {
            let (wwn, tag) = (Wwn::parse(wwn)?, TpgTag::parse(*tag)?);
            let lun = lun.map_or_else(|| model.tpg(&wwn, tag)?.free_lun(), Lun::parse)?;
            let alias = LunAlias::made_up(chance.bits());
            let mapping = LunMapping {
                backstore: backstore_id(backstore)?,
                alias,
                write_protect: *write_protect,
                alua: LunAlua::default(),
            };
            (Change::MapLun { wwn, tag, lun, mapping }, Made::Lun(lun))
        }
        v1::Change::UnmapLun { wwn, tag, lun } => {
            let place = Place { wwn: Wwn::parse(wwn)?, tag: TpgTag::parse(*tag)?, lun: Lun::parse(*lun)? };
            (Change::UnmapLun(place), Made::Nothing)
        }
        v1::Change::CreateAcl { .. }
        | v1::Change::DeleteAcl { .. }
        | v1::Change::MapAclLun { .. }
        | v1::Change::UnmapAclLun { .. }
        | v1::Change::ProtectAclLun { .. } => complete_acl(model, wish, chance)?,
        v1::Change::CreateAluaGroup { .. }
        | v1::Change::DeleteAluaGroup { .. }
        | v1::Change::SetAluaAttribute { .. }
        | v1::Change::SetLbaMap { .. }
        | v1::Change::SetLunAlua { .. }
        | v1::Change::CreateLuGroup { .. }
        | v1::Change::DeleteLuGroup { .. }
        | v1::Change::SetLuGroup { .. } => complete_alua(model, wish)?,
    })
}

/// The serial number is beside the rest of it in LIO's tree, and another thing.
fn set_identity(id: &v1::BackstoreId, attribute: &str, value: &str) -> Result<(Change, Made), Refusal> {
    let backstore = backstore_id(id)?;
    if attribute == UNIT_SERIAL_FILE {
        let serial = UnitSerial::parse(value.trim())?;
        let made = Made::Identity(serial.to_string());
        return Ok((Change::SetUnitSerial { backstore, serial }, made));
    }
    let (attribute, value) = (attribute.to_owned(), value.to_owned());
    Ok((Change::SetIdentity { backstore, attribute, value }, Made::Nothing))
}

/// The wishes about access control lists.
fn complete_acl(
    model: &Model,
    wish: &v1::Change,
    chance: &mut dyn Chance,
) -> Result<(Change, Made), Refusal> {
    Ok(match wish {
        v1::Change::CreateAcl { wwn, tag, initiator } => {
            (Change::CreateAcl(acl_place(wwn, *tag, initiator)?), Made::Nothing)
        }
        v1::Change::DeleteAcl { wwn, tag, initiator } => {
            (Change::DeleteAcl(acl_place(wwn, *tag, initiator)?), Made::Nothing)
        }
        v1::Change::MapAclLun { wwn, tag, initiator, lun, of, write_protect } => {
            let (acl, of) = (acl_place(wwn, *tag, initiator)?, Lun::parse(*of)?);
            let lun = lun.map_or_else(|| model.acl(&acl)?.free_lun(of), Lun::parse)?;
            let alias = LunAlias::made_up(chance.bits());
            let mapped = MappedLun { of, alias, write_protect: *write_protect };
            (Change::MapAclLun { acl, lun, mapped }, Made::AclLun(lun))
        }
        v1::Change::UnmapAclLun { wwn, tag, initiator, lun } => {
            let acl = acl_place(wwn, *tag, initiator)?;
            (Change::UnmapAclLun { acl, lun: Lun::parse(*lun)? }, Made::Nothing)
        }
        v1::Change::ProtectAclLun { wwn, tag, initiator, lun, write_protect } => {
            let acl = acl_place(wwn, *tag, initiator)?;
            let (lun, write_protect) = (Lun::parse(*lun)?, *write_protect);
            (Change::ProtectAclLun { acl, lun, write_protect }, Made::Nothing)
        }
        other => unreachable!("`complete` makes {other:?} itself"),
    })
}

/// The wishes about asymmetric access.
fn complete_alua(model: &Model, wish: &v1::Change) -> Result<(Change, Made), Refusal> {
    let change = match wish {
        v1::Change::CreateAluaGroup { id, group, group_id } => {
            let (backstore, name) = (backstore_id(id)?, AluaGroupName::parse(group)?);
            let id = match group_id {
                Some(id) => *id,
                None => model.backstore(&backstore)?.alua.free_id(),
            };
            let group = AluaGroup::new(id);
            return Ok((Change::CreateAluaGroup { backstore, name, group }, Made::AluaGroup(id)));
        }
        v1::Change::DeleteAluaGroup { id, group } => {
            Change::DeleteAluaGroup { backstore: backstore_id(id)?, name: AluaGroupName::parse(group)? }
        }
        v1::Change::SetAluaAttribute { id, group, attribute, value } => Change::SetAluaAttribute {
            backstore: backstore_id(id)?,
            group: AluaGroupName::parse(group)?,
            attribute: attribute.clone(),
            value: value.clone(),
        },
        v1::Change::SetLbaMap { id, lba_map } => {
            Change::SetLbaMap { backstore: backstore_id(id)?, map: lba_map.clone() }
        }
        v1::Change::SetLunAlua { wwn, tag, lun, attribute, value } => {
            let place = Place { wwn: Wwn::parse(wwn)?, tag: TpgTag::parse(*tag)?, lun: Lun::parse(*lun)? };
            let setting = LunAluaSetting::parse(&place, attribute, value)?;
            Change::SetLunAlua { place, setting }
        }
        v1::Change::CreateLuGroup { group, group_id } => {
            Change::CreateLuGroup { name: AluaGroupName::parse(group)?, id: *group_id }
        }
        v1::Change::DeleteLuGroup { group } => Change::DeleteLuGroup(AluaGroupName::parse(group)?),
        v1::Change::SetLuGroup { id, group } => {
            Change::SetLuGroup { backstore: backstore_id(id)?, group: AluaGroupName::parse(group)? }
        }
        other => unreachable!("`complete` completes {other:?} itself"),
    };
    Ok((change, Made::Nothing))
}

fn acl_place(wwn: &str, tag: u16, initiator: &str) -> Result<AclPlace, Refusal> {
    Ok(AclPlace { wwn: Wwn::parse(wwn)?, tag: TpgTag::parse(tag)?, initiator: Wwn::parse(initiator)? })
}

fn create_target(
    model: &Model,
    wwn: Option<&str>,
    tags: &[u16],
    chance: &mut dyn Chance,
) -> Result<(Change, Made), Refusal> {
    let wwn = wwn.map_or_else(|| Ok(new_wwn(model, chance)), Wwn::parse)?;
    let mut ports = model.free_relative_ports();
    let mut tpgs = BTreeMap::new();
    for tag in tags {
        let tag = TpgTag::parse(*tag)?;
        if tpgs.insert(tag, new_tpg(model, &mut ports, chance)?).is_some() {
            return Err(Refusal::TpgExists { wwn, tag });
        }
    }
    Ok((Change::CreateTarget { wwn: wwn.clone(), tpgs }, Made::Target(wwn)))
}

fn new_tpg(
    model: &Model,
    ports: &mut dyn Iterator<Item = model::RelativePort>,
    chance: &mut dyn Chance,
) -> Result<Tpg, Refusal> {
    let port = ports.next().ok_or(Refusal::NoFreeRelativePort)?;
    Ok(Tpg::new(new_wwn(model, chance), port))
}

/// A name that nothing has.  Of 2^36 names at most 2^17 are taken, so the first try nearly always does.
fn new_wwn(model: &Model, chance: &mut dyn Chance) -> Wwn {
    loop {
        let wwn = Wwn::made_up(chance.bits());
        if !model.knows(&wwn) {
            return wwn;
        }
    }
}

fn backstore(wanted: &v1::CreateBackstore, chance: &mut dyn Chance) -> Result<Backstore, Refusal> {
    let (name, unit_serial, medium, write_back) = match wanted {
        v1::CreateBackstore::Block { name, path, read_only, unit_serial } => {
            let path = AbsolutePath::parse(path)?;
            (name, unit_serial, Medium::Block { path, read_only: *read_only, size_bytes: None }, None)
        }
        v1::CreateBackstore::Fileio { name, path, size_bytes, write_back, sparse, unit_serial } => {
            let path = AbsolutePath::parse(path)?;
            let medium = Medium::Fileio { path, size_bytes: *size_bytes, sparse: sparse.unwrap_or(true) };
            (name, unit_serial, medium, *write_back)
        }
        v1::CreateBackstore::Ramdisk { name, size_bytes, nullio, unit_serial } => {
            (name, unit_serial, Medium::ramdisk(*size_bytes, *nullio)?, None)
        }
    };
    let name = BackstoreName::parse(name)?;
    let unit_serial = match unit_serial {
        Some(text) => UnitSerial::parse(text)?,
        None => UnitSerial::parse(&chance.uuid())?,
    };
    let mut backstore = Backstore::new(name, unit_serial, medium)?;
    if write_back == Some(false) {
        backstore.set_attribute("emulate_write_cache", "0")?;
    }
    Ok(backstore)
}

/// What the administrator should know of a backstore that is made.
#[must_use]
pub fn notes(backstore: &Backstore) -> Vec<String> {
    if backstore.name.fits_product() {
        return Vec::new();
    }
    let most = BackstoreName::PRODUCT_BYTES_MAX;
    let product = product_of(backstore.kind());
    vec![format!(
        "{} has more than {most} characters: guests see {product} as the product instead",
        backstore.name
    )]
}

/// What guests see as the product where it is not the backstore's name.
fn product_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Block => "IBLOCK",
        Kind::Fileio => "FILEIO",
        Kind::Ramdisk => "RAMDISK-MCP",
    }
}

/// A backstore as a door names it.
///
/// # Errors
/// Those of [`BackstoreName::parse`].
pub fn backstore_id(id: &v1::BackstoreId) -> Result<BackstoreId, Refusal> {
    let v1::BackstoreId { kind, name } = id;
    let kind = match kind {
        v1::Kind::Block => Kind::Block,
        v1::Kind::Fileio => Kind::Fileio,
        v1::Kind::Ramdisk => Kind::Ramdisk,
    };
    Ok(BackstoreId { kind, name: BackstoreName::parse(name)? })
}
