// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A saveconfig.json that was read, and what is configured now, become one transaction.
//!
//! Above: `wish`, on the thread of the owner.  Below: `model`, whose rules decide.
//! Never here: text.
//!
//! What a file does not say and the configuration that it replaces does (a nexus, a relative port, options)
//! is kept: a
//! guest that is connected notices nothing of a target that is restored as it is.

use super::document::Document;
use super::{TargetEntry, TpgEntry};
use crate::wish::{Chance, Draft, Made, notes};
use api::v1;
use model::{
    Acl, AclPlace, AluaGroupName, Backstore, BackstoreId, Change, CompletionAffinity, Foreign, Lun,
    LunMapping, MappedLun, Model, Place, Refusal, RelativePort, Target, TargetOption, TargetOptions, Tpg,
    TpgTag, Wwn,
};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

/// What to restore, and how.
#[derive(Clone, Debug)]
pub struct Restore {
    document: Document,
    options: v1::RestoreOptions,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Things of the same name are there.
    #[error("{}", conflicts(objects, targets))]
    Conflict {
        /// Storage objects.
        objects: Vec<BackstoreId>,
        /// Targets.
        targets: Vec<Wwn>,
    },
    /// A LUN shows what is neither in the file nor there.
    #[error("Could not find matching StorageObject for LUN {place}: there is no {object}")]
    NoStorageObject {
        /// The LUN.
        place: Place,
        /// What it is to show.
        object: BackstoreId,
    },
    /// The configuration has a rule against it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The most conflicts that a message names.
const CONFLICTS_MAX: usize = 16;

/// Each in targetcli's words.
fn conflicts(objects: &[BackstoreId], targets: &[Wwn]) -> String {
    let objects = objects
        .iter()
        .map(|BackstoreId { kind, name }| format!("storageobject '{kind}:{name}' exist not restoring"));
    let targets = targets.iter().map(|wwn| format!("target with wwn {wwn} exist, not restoring"));
    let all: Vec<String> = objects.chain(targets).collect();
    let mut told: Vec<String> = all.iter().take(CONFLICTS_MAX).cloned().collect();
    if let Some(more) = all.len().checked_sub(CONFLICTS_MAX).filter(|more| *more != 0) {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}

impl Restore {
    /// The things of `document`, as asked for.
    #[must_use]
    pub fn new(document: Document, options: v1::RestoreOptions) -> Self {
        Self { document, options }
    }

    /// The transaction on `model`.
    ///
    /// # Errors
    /// [`RestoreError`], for the first thing that cannot be.
    pub fn draft(&self, model: &Model, chance: &mut dyn Chance) -> Result<Draft, RestoreError> {
        let Document { backstores, implied, targets, foreign, lu_groups, .. } = &self.document;
        let is_wanted = |id: &BackstoreId| !(implied.contains(id) && model.backstores().contains_key(id));
        let backstores: Vec<&Backstore> =
            backstores.iter().filter(|backstore| is_wanted(&backstore.id())).collect();
        let is_whole = self.options.target.is_none() && self.options.storage_object.is_none();
        let mut work = Work::on(model);
        if self.options.clear_existing {
            if is_whole {
                work.clear()?;
            } else {
                work.remove(&backstores, targets.keys())?;
            }
        } else {
            must_not_be(model, &backstores, targets.keys())?;
        }
        work.create_lu_groups(lu_groups, &backstores, is_whole)?;
        for backstore in backstores {
            let made = Made::Backstore(backstore.id(), notes(backstore));
            work.make(Change::CreateBackstore(backstore.clone()), made)?;
        }
        work.create_targets(targets, model, chance)?;
        work.map_again()?;
        let mut kept = BTreeMap::new();
        if !(is_whole && self.options.clear_existing) {
            kept.clone_from(model.foreign().things());
        }
        kept.extend(foreign.clone());
        work.keep(kept)?;
        Ok(work.draft)
    }
}

/// The transaction that takes everything away.
///
/// # Errors
/// None that one would expect.
pub fn clear(model: &Model) -> Result<Draft, Refusal> {
    let mut work = Work::on(model);
    work.clear()?;
    work.keep(BTreeMap::new())?;
    Ok(work.draft)
}

fn must_not_be<'a>(
    model: &Model,
    backstores: &[&Backstore],
    targets: impl Iterator<Item = &'a Wwn>,
) -> Result<(), RestoreError> {
    let ids = backstores.iter().map(|backstore| backstore.id());
    let objects: Vec<BackstoreId> = ids.filter(|id| model.backstores().contains_key(id)).collect();
    let targets: Vec<Wwn> = targets.filter(|wwn| model.targets().contains_key(*wwn)).cloned().collect();
    if objects.is_empty() && targets.is_empty() {
        return Ok(());
    }
    Err(RestoreError::Conflict { objects, targets })
}

/// A draft being made.
pub(super) struct Work {
    pub(super) draft: Draft,
    /// LUNs of storage objects that are made anew, for the targets that stay.
    pub(super) again: Vec<(Place, LunMapping)>,
    /// Their mapped LUNs.
    pub(super) mapped_again: Vec<(AclPlace, Lun, MappedLun)>,
}

impl Work {
    pub(super) fn on(model: &Model) -> Self {
        let draft = Draft { model: model.clone(), changes: Vec::new(), made: Vec::new() };
        Self { draft, again: Vec::new(), mapped_again: Vec::new() }
    }

    pub(super) fn make(&mut self, change: Change, made: Made) -> Result<(), Refusal> {
        self.draft.model.make(change.clone())?;
        self.draft.changes.push(change);
        self.draft.made.push(made);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Refusal> {
        let targets: Vec<Wwn> = self.draft.model.targets().keys().cloned().collect();
        for wwn in targets {
            self.make(Change::DeleteTarget(wwn), Made::Nothing)?;
        }
        let backstores: Vec<BackstoreId> = self.draft.model.backstores().keys().cloned().collect();
        for id in backstores {
            self.make(Change::DeleteBackstore(id), Made::Nothing)?;
        }
        let lu_groups: Vec<AluaGroupName> = self.draft.model.lu_groups().keys().cloned().collect();
        for name in lu_groups {
            self.make(Change::DeleteLuGroup(name), Made::Nothing)?;
        }
        Ok(())
    }

    /// Makes the groups of logical units that are not there: all of the file, or those that its storage objects need.
    pub(super) fn create_lu_groups(
        &mut self,
        groups: &BTreeMap<AluaGroupName, u16>,
        backstores: &[&Backstore],
        all: bool,
    ) -> Result<(), Refusal> {
        for (name, id) in groups {
            let needed = all || backstores.iter().any(|backstore| backstore.lu_group == *name);
            if needed && self.draft.model.lu_groups().get(name) != Some(id) {
                self.make(Change::CreateLuGroup { name: name.clone(), id: *id }, Made::Nothing)?;
            }
        }
        Ok(())
    }

    /// Takes away what these are to replace.
    fn remove<'a>(
        &mut self,
        backstores: &[&Backstore],
        targets: impl Iterator<Item = &'a Wwn>,
    ) -> Result<(), Refusal> {
        for wwn in targets {
            if self.draft.model.targets().contains_key(wwn) {
                self.make(Change::DeleteTarget(wwn.clone()), Made::Nothing)?;
            }
        }
        for id in backstores.iter().map(|backstore| backstore.id()) {
            if !self.draft.model.backstores().contains_key(&id) {
                continue;
            }
            for (place, mapping) in places(&self.draft.model, &id) {
                self.mapped_again.extend(mapped_luns(&self.draft.model, &place));
                self.make(Change::UnmapLun(place.clone()), Made::Nothing)?;
                self.again.push((place, mapping));
            }
            self.make(Change::DeleteBackstore(id), Made::Nothing)?;
        }
        Ok(())
    }

    pub(super) fn map_again(&mut self) -> Result<(), Refusal> {
        for (Place { wwn, tag, lun }, mut mapping) in std::mem::take(&mut self.again) {
            let shown = self.draft.model.backstore(&mapping.backstore)?;
            if shown.alua.get(&mapping.alua.group).is_none() {
                mapping.alua.group = AluaGroupName::default_group();
            }
            self.make(Change::MapLun { wwn, tag, lun, mapping }, Made::Nothing)?;
        }
        for (acl, lun, mapped) in std::mem::take(&mut self.mapped_again) {
            self.make(Change::MapAclLun { acl, lun, mapped }, Made::Nothing)?;
        }
        Ok(())
    }

    fn create_targets(
        &mut self,
        targets: &BTreeMap<Wwn, TargetEntry>,
        before: &Model,
        chance: &mut dyn Chance,
    ) -> Result<(), RestoreError> {
        let mut names = names(&self.draft.model);
        let mut ports = Ports::new(&self.draft.model, targets, before);
        for (wwn, TargetEntry { tpgs, options, completion_affinity }) in targets {
            let mut groups = BTreeMap::new();
            for (tag, tpg) in tpgs {
                let was = before.targets().get(wwn).and_then(|target| target.tpgs.get(tag));
                let nexus = tpg.nexus.clone().or_else(|| was.map(|was| was.nexus.clone()));
                let nexus = nexus.unwrap_or_else(|| new_name(&mut names, chance));
                groups.insert(*tag, Tpg::new(nexus, ports.of(wwn, *tag)?));
            }
            let change = Change::CreateTarget { wwn: wwn.clone(), tpgs: groups };
            self.make(change, Made::Target(wwn.clone()))?;
            let was = before.targets().get(wwn).map(|was| options_of(&was.options)).unwrap_or_default();
            for (option, value) in options.clone().unwrap_or(was) {
                self.make(Change::SetOption { wwn: wwn.clone(), option, value }, Made::Nothing)?;
            }
            let was = before.targets().get(wwn).map(|was| was.completion_affinity);
            if let Some(affinity) = completion_affinity.or(was) {
                self.set_completion_affinity(wwn, affinity)?;
            }
            for (tag, tpg) in tpgs {
                for (lun, mapping) in &tpg.luns {
                    let place = Place { wwn: wwn.clone(), tag: *tag, lun: *lun };
                    self.map(place, mapping.clone())?;
                }
                let nexus = self.draft.model.tpg(wwn, *tag)?.nexus.clone();
                for (initiator, acl) in wanted_acls(tpg, &nexus) {
                    let place = AclPlace { wwn: wwn.clone(), tag: *tag, initiator: initiator.clone() };
                    self.make(Change::CreateAcl(place.clone()), Made::Nothing)?;
                    for (lun, mapped) in &acl.luns {
                        let (acl, lun, mapped) = (place.clone(), *lun, mapped.clone());
                        self.make(Change::MapAclLun { acl, lun, mapped }, Made::Nothing)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Says where LIO would complete commands, where that is said otherwise.
    pub(super) fn set_completion_affinity(
        &mut self,
        wwn: &Wwn,
        affinity: CompletionAffinity,
    ) -> Result<(), Refusal> {
        if self.draft.model.target(wwn)?.completion_affinity == affinity {
            return Ok(());
        }
        let (parameter, value) = (CompletionAffinity::NAME.to_owned(), affinity.to_string());
        self.make(Change::SetParameter { wwn: wwn.clone(), parameter, value }, Made::Nothing)
    }

    pub(super) fn map(&mut self, place: Place, mapping: LunMapping) -> Result<(), RestoreError> {
        let object = mapping.backstore.clone();
        let Place { wwn, tag, lun } = place.clone();
        match self.make(Change::MapLun { wwn, tag, lun, mapping }, Made::Nothing) {
            Err(Refusal::NoSuchBackstore { .. }) => Err(RestoreError::NoStorageObject { place, object }),
            other => Ok(other?),
        }
    }

    pub(super) fn keep(&mut self, things: BTreeMap<String, String>) -> Result<(), Refusal> {
        let (was, is) = (self.draft.model.foreign().clone(), Foreign::new(things)?);
        if was != is {
            self.make(Change::KeepForeign { was, is }, Made::Nothing)?;
        }
        Ok(())
    }
}

pub(super) fn places(model: &Model, id: &BackstoreId) -> Vec<(Place, LunMapping)> {
    let mut found = Vec::new();
    for (wwn, Target { tpgs, options: _, completion_affinity: _ }) in model.targets() {
        for (tag, tpg) in tpgs {
            for (lun, mapping) in tpg.luns.iter().filter(|(_, mapping)| mapping.backstore == *id) {
                found.push((Place { wwn: wwn.clone(), tag: *tag, lun: *lun }, mapping.clone()));
            }
        }
    }
    found
}

/// The access control lists that a group is to have, whose nexus is known by now.
pub(super) fn wanted_acls<'e>(wanted: &'e TpgEntry, nexus: &Wwn) -> BTreeMap<&'e Wwn, &'e Acl> {
    // The session of a guest that was connected, saved as a list, would hide its disks.
    let is_session = |initiator: &Wwn| {
        wanted.nexus.is_none() && wanted.may_be_sessions.contains(initiator) && *initiator == *nexus
    };
    wanted.acls.iter().filter(|(initiator, _)| !is_session(initiator)).collect()
}

/// The mapped LUNs of a LUN.
pub(super) fn mapped_luns(model: &Model, place: &Place) -> Vec<(AclPlace, Lun, MappedLun)> {
    let acls = model.tpg(&place.wwn, place.tag).into_iter().flat_map(|tpg| &tpg.acls);
    let mapped = acls.flat_map(|(initiator, acl)| {
        let at = AclPlace { wwn: place.wwn.clone(), tag: place.tag, initiator: initiator.clone() };
        let of_it = acl.luns.iter().filter(|(_, mapped)| mapped.of == place.lun);
        of_it.map(move |(lun, mapped)| (at.clone(), *lun, mapped.clone()))
    });
    mapped.collect()
}

/// Options by name, as they would be typed.
fn options_of(options: &TargetOptions) -> BTreeMap<String, String> {
    options.iter().map(|(key, value)| (TargetOption::of(key).name.to_owned(), value.to_string())).collect()
}

/// The names of all targets and nexuses.
pub(super) fn names(model: &Model) -> BTreeSet<Wwn> {
    let nexuses = model.targets().values().flat_map(|target| target.tpgs.values());
    model.targets().keys().cloned().chain(nexuses.map(|tpg| tpg.nexus.clone())).collect()
}

/// A name that nothing has.  Of 2^36 names at most 2^17 are taken, so the first try nearly always does.
pub(super) fn new_name(names: &mut BTreeSet<Wwn>, chance: &mut dyn Chance) -> Wwn {
    loop {
        let wwn = Wwn::made_up(chance.bits());
        if names.insert(wwn.clone()) {
            return wwn;
        }
    }
}

/// The relative ports of the target port groups that are to be.
pub(super) struct Ports {
    chosen: BTreeMap<(Wwn, TpgTag), RelativePort>,
    taken: BTreeSet<RelativePort>,
    next: u16,
}

impl Ports {
    /// Gives each group the port that the file says, else the one it has, as far as nobody else has it.
    pub(super) fn new(model: &Model, targets: &BTreeMap<Wwn, TargetEntry>, before: &Model) -> Self {
        let groups = model.targets().values().flat_map(|target| target.tpgs.values());
        let mut ports =
            Self { chosen: BTreeMap::new(), taken: groups.map(|tpg| tpg.relative_port).collect(), next: 1 };
        for (wwn, TargetEntry { tpgs, options: _, completion_affinity: _ }) in targets {
            for (tag, tpg) in tpgs {
                let was = before.targets().get(wwn).and_then(|target| target.tpgs.get(tag));
                let wanted = tpg.relative_port.or(was.map(|was| was.relative_port));
                if let Some(port) = wanted.filter(|port| ports.taken.insert(*port)) {
                    ports.chosen.insert((wwn.clone(), *tag), port);
                }
            }
        }
        ports
    }

    /// The port of a group: the lowest free one where it could have none of its own.
    pub(super) fn of(&mut self, wwn: &Wwn, tag: TpgTag) -> Result<RelativePort, Refusal> {
        if let Some(port) = self.chosen.get(&(wwn.clone(), tag)) {
            return Ok(*port);
        }
        while let Some(port) = NonZeroU16::new(self.next).map(RelativePort::new) {
            self.next = self.next.wrapping_add(1);
            if self.taken.insert(port) {
                return Ok(port);
            }
        }
        Err(Refusal::NoFreeRelativePort)
    }
}
