// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file that says what is to be, and what is, become one transaction with nothing in it that is so already.
//!
//! Above: `wish`, on the thread of the owner; whoever shows the difference first.  Below: `model`, `compare`.
//! Never here: text.
//!
//! What the file names is made as it says: what it leaves out of a thing has its default, but for what was made up
//! when the thing was made (a serial number, a nexus, a relative port, an alias), which stays.  What it does not name
//! goes where the file's scope has it, and stays where not.

use super::alua;
use super::compare::compare;
use super::document::Document;
use super::restore::{Ports, RestoreError, Work, mapped_luns, names, new_name, places, wanted_acls};
use super::{TargetEntry, TpgEntry};
use crate::wish::{Chance, Draft, Made, notes};
use api::v1;
use model::{
    ATTRIBUTES, Acl, AclPlace, AluaGroupName, AluaGroups, Backstore, BackstoreId, Change, IDENTITY_FIELDS,
    Key, Lun, LunAluaSetting, LunMapping, MappedLun, Medium, Model, Place, Refusal, Step, TARGET_OPTIONS,
    Tpg, TpgTag, Wwn,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be.
#[derive(Clone, Debug)]
pub struct Apply {
    document: Document,
    /// Whether guests may lose what is to go.
    force: bool,
}

/// What there is to do, and who would notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What is otherwise than the file says, in the order in which it is read best.
    pub differences: Vec<v1::Difference>,
    /// Targets whose LUNs go, are made anew or shrink, with the first of those LUNs.
    pub taken_from: BTreeMap<Wwn, Place>,
    /// What is lost of what stays, one line each.
    pub losses: Vec<String>,
}

impl Apply {
    /// What `document` says.
    #[must_use]
    pub fn new(document: Document, force: bool) -> Self {
        Self { document, force }
    }

    /// Whether guests may lose what is to go.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.force
    }

    /// What is otherwise than the file says, one line each, not endless.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.document.notes()
    }

    /// The transaction on `model`: empty where everything is so already.
    ///
    /// # Errors
    /// [`RestoreError`], for the first thing that cannot be.
    pub fn draft(&self, model: &Model, chance: &mut dyn Chance) -> Result<Draft, RestoreError> {
        let replaced = self.replaced(model)?;
        let mut work = Work::on(model);
        let all: Vec<&Backstore> = self.document.backstores.iter().collect();
        work.create_lu_groups(&self.document.lu_groups, &all, true)?;
        self.unmap(model, &replaced, &mut work)?;
        self.remove(model, &replaced, &mut work)?;
        for backstore in &self.document.backstores {
            match model.backstores().get(&backstore.id()) {
                Some(was) if !replaced.contains(&backstore.id()) => {
                    let shrink = self.document.shrinks.contains(&backstore.id());
                    change_backstore(backstore, &mut work, was, shrink)?;
                    self.put_groups(backstore, was, &mut work)?;
                }
                was => {
                    let mut backstore = backstore.clone();
                    if let Some(was) = was {
                        self.keep_what_is_not_said(&mut backstore, was)?;
                    }
                    let made = Made::Backstore(backstore.id(), notes(&backstore));
                    work.make(Change::CreateBackstore(backstore), made)?;
                }
            }
        }
        self.targets(model, &mut work, chance)?;
        work.map_again()?;
        let mut kept = model.foreign().things().clone();
        kept.extend(self.document.foreign.clone());
        work.keep(kept)?;
        Ok(work.draft)
    }

    /// What the transaction does, for whoever decides whether to make it.
    #[must_use]
    pub fn compare(&self, before: &Model, draft: &Draft) -> Comparison {
        let mut taken_from = BTreeMap::new();
        let mut losses = Vec::new();
        for step in draft.steps_from(before) {
            match step {
                Step::UnmapLun { wwn, tag, lun } => {
                    taken_from.entry(wwn.clone()).or_insert(Place { wwn, tag, lun });
                }
                // The end of a disk is the guest's, too.
                Step::ShrinkBackstore { backstore, from_bytes } => {
                    let (id, bytes) = (backstore.id(), backstore.medium.size_bytes().unwrap_or(0));
                    for (place, _) in places(before, &id) {
                        taken_from.entry(place.wwn.clone()).or_insert(place);
                    }
                    let lost = from_bytes.unwrap_or(bytes).saturating_sub(bytes);
                    losses.push(format!("{id} shrinks: what it holds in its last {lost} bytes is lost"));
                }
                _ => {}
            }
        }
        let said = |id: &BackstoreId| !self.document.made_up.contains(id);
        Comparison { differences: compare(before, &draft.model, &said), taken_from, losses }
    }

    /// What the file has no word for stays, also where a storage object is made anew.
    fn keep_what_is_not_said(&self, backstore: &mut Backstore, was: &Backstore) -> Result<(), Refusal> {
        if self.document.made_up.contains(&backstore.id()) {
            backstore.unit_serial = was.unit_serial.clone();
        }
        backstore.alua = self.groups(backstore, was)?;
        if !self.document.said_lu_groups.contains(&backstore.id()) {
            backstore.lu_group = was.lu_group.clone();
        }
        Ok(())
    }

    /// The groups of a storage object that is there, and its map: those of the file, if it names any.
    fn groups(&self, wanted: &Backstore, was: &Backstore) -> Result<AluaGroups, Refusal> {
        let mut groups = match self.document.said_groups.get(&wanted.id()) {
            None => was.alua.clone(),
            Some(said) => alua::merged(&wanted.id(), &was.alua, &wanted.alua, said)?,
        };
        if self.document.said_lba_maps.contains(&wanted.id()) {
            groups.restore_lba_map(wanted.alua.lba_map().cloned());
        }
        Ok(groups)
    }

    /// Gives a storage object that stays its groups.
    fn put_groups(&self, wanted: &Backstore, was: &Backstore, work: &mut Work) -> Result<(), RestoreError> {
        let id = wanted.id();
        let groups = self.groups(wanted, was)?;
        let is = work.draft.model.backstore(&id)?;
        let lu_group = Some(&wanted.lu_group)
            .filter(|lu_group| self.document.said_lu_groups.contains(&id) && is.lu_group != **lu_group);
        if is.alua != groups {
            // Two disks that are one unit have the same groups, also in a file.
            if is.alua != was.alua {
                let serial = is.unit_serial.clone();
                let twin = |other: &&Backstore| other.unit_serial == serial && other.id() != id;
                let twin =
                    work.draft.model.backstores().values().find(twin).map_or(id.clone(), Backstore::id);
                return Err(Refusal::AluaGroupsDiffer { backstore: id, twin }.into());
            }
            self.leave_groups(&id, &groups, work)?;
            work.make(Change::PutAluaGroups { backstore: id.clone(), groups }, Made::Nothing)?;
        }
        if let Some(group) = lu_group.cloned() {
            work.make(Change::SetLuGroup { backstore: id, group }, Made::Nothing)?;
        }
        Ok(())
    }

    /// Puts LUNs whose group goes, and for which the file names another, into the default group for the while.
    fn leave_groups(
        &self,
        id: &BackstoreId,
        groups: &AluaGroups,
        work: &mut Work,
    ) -> Result<(), RestoreError> {
        let serial = work.draft.model.backstore(id)?.unit_serial.clone();
        let all = work.draft.model.backstores().values();
        let twins: Vec<BackstoreId> =
            all.filter(|twin| twin.unit_serial == serial).map(Backstore::id).collect();
        let members: Vec<(Place, LunMapping)> =
            twins.iter().flat_map(|twin| places(&work.draft.model, twin)).collect();
        for (place, mapping) in members {
            let said = self.document.said_of_luns.get(&place).is_some_and(|said| said.group);
            if said && groups.get(&mapping.alua.group).is_none() {
                let setting = LunAluaSetting::Group(AluaGroupName::default_group());
                work.make(Change::SetLunAlua { place, setting }, Made::Nothing)?;
            }
        }
        Ok(())
    }

    /// The storage objects that are there and must be made anew.
    fn replaced(&self, model: &Model) -> Result<BTreeSet<BackstoreId>, RestoreError> {
        let mut replaced = BTreeSet::new();
        for wanted in &self.document.backstores {
            let id = wanted.id();
            let Some(is) = model.backstores().get(&id) else { continue };
            let other_serial = !self.document.made_up.contains(&id) && wanted.unit_serial != is.unit_serial;
            if other_serial || is_other_medium(wanted, is, self.document.shrinks.contains(&id))? {
                replaced.insert(id);
            }
        }
        Ok(replaced)
    }

    /// Takes away the LUNs that are not to be, or not so, and for a while those of what is made anew.
    fn unmap(
        &self,
        model: &Model,
        replaced: &BTreeSet<BackstoreId>,
        work: &mut Work,
    ) -> Result<(), RestoreError> {
        for (wwn, target) in model.targets() {
            let named = self.document.targets.get(wwn);
            for (tag, tpg) in &target.tpgs {
                let wanted = named.and_then(|named| named.tpgs.get(tag));
                for (lun, mapping) in &tpg.luns {
                    let place = Place { wwn: wwn.clone(), tag: *tag, lun: *lun };
                    let stays = named.is_none() || wanted.is_some_and(|wanted| is_so(wanted, *lun, mapping));
                    let anew = replaced.contains(&mapping.backstore);
                    if stays && !anew {
                        continue;
                    }
                    // What a named target shows is mapped again with the rest of it.
                    if named.is_none() {
                        work.mapped_again.extend(mapped_luns(model, &place));
                        work.again.push((place.clone(), mapping.clone()));
                    }
                    work.make(Change::UnmapLun(place), Made::Nothing)?;
                }
            }
        }
        Ok(())
    }

    fn remove(
        &self,
        model: &Model,
        replaced: &BTreeSet<BackstoreId>,
        work: &mut Work,
    ) -> Result<(), RestoreError> {
        for (wwn, target) in model.targets() {
            match self.document.targets.get(wwn) {
                None if self.document.scope.has_target(wwn) => {
                    work.again.retain(|(place, _)| place.wwn != *wwn);
                    work.mapped_again.retain(|(acl, _, _)| acl.wwn != *wwn);
                    work.make(Change::DeleteTarget(wwn.clone()), Made::Nothing)?;
                }
                None => {}
                Some(named) => {
                    for tag in target.tpgs.keys().filter(|tag| !named.tpgs.contains_key(tag)) {
                        work.make(Change::DeleteTpg { wwn: wwn.clone(), tag: *tag }, Made::Nothing)?;
                    }
                }
            }
        }
        let named: BTreeSet<BackstoreId> = self.document.backstores.iter().map(Backstore::id).collect();
        for id in model.backstores().keys() {
            let goes = !named.contains(id) && self.document.scope.has_backstore(id);
            if goes || replaced.contains(id) {
                work.make(Change::DeleteBackstore(id.clone()), Made::Nothing)?;
            }
        }
        Ok(())
    }

    fn targets(&self, before: &Model, work: &mut Work, chance: &mut dyn Chance) -> Result<(), RestoreError> {
        let mut names = names(&work.draft.model);
        let mut ports = Ports::new(&work.draft.model, &self.document.targets, before);
        for (wwn, TargetEntry { tpgs, options, completion_affinity }) in &self.document.targets {
            let is_there = before.targets().get(wwn);
            if is_there.is_none() {
                let change = Change::CreateTarget { wwn: wwn.clone(), tpgs: BTreeMap::new() };
                work.make(change, Made::Target(wwn.clone()))?;
            }
            if let Some(options) = options {
                set_options(wwn, options, work)?;
            }
            if let Some(affinity) = completion_affinity {
                work.set_completion_affinity(wwn, *affinity)?;
            }
            for (tag, tpg) in tpgs {
                let was = is_there.and_then(|target| target.tpgs.get(tag));
                if was.is_none() {
                    let nexus = tpg.nexus.clone().unwrap_or_else(|| new_name(&mut names, chance));
                    let made = Tpg::new(nexus, ports.of(wwn, *tag)?);
                    let change = Change::CreateTpg { wwn: wwn.clone(), tag: *tag, tpg: made };
                    work.make(change, Made::Tpg(*tag))?;
                }
                self.map(wwn, *tag, tpg, was, work)?;
                acls(wwn, *tag, tpg, work)?;
            }
        }
        Ok(())
    }

    fn map(
        &self,
        wwn: &Wwn,
        tag: TpgTag,
        wanted: &TpgEntry,
        was: Option<&Tpg>,
        work: &mut Work,
    ) -> Result<(), RestoreError> {
        for (lun, mapping) in &wanted.luns {
            let place = Place { wwn: wwn.clone(), tag, lun: *lun };
            let said = self.document.said_of_luns.get(&place).copied().unwrap_or_default();
            if let Some(is) = work.draft.model.tpg(wwn, tag)?.luns.get(lun).cloned() {
                for setting in said.settings(&is.alua, &mapping.alua) {
                    work.make(Change::SetLunAlua { place: place.clone(), setting }, Made::Nothing)?;
                }
                continue;
            }
            let was = was.and_then(|was| was.luns.get(lun)).filter(|was| was.backstore == mapping.backstore);
            let mut mapping = mapping.clone();
            if let Some(was) = was {
                (mapping.alias, mapping.alua) = (was.alias.clone(), said.merged(&was.alua, &mapping.alua));
            }
            work.map(place, mapping)?;
        }
        Ok(())
    }
}

/// Makes the access control lists of a group what the file says.
fn acls(wwn: &Wwn, tag: TpgTag, wanted: &TpgEntry, work: &mut Work) -> Result<(), RestoreError> {
    let Tpg { nexus, acls: is, .. } = work.draft.model.tpg(wwn, tag)?.clone();
    let wanted = wanted_acls(wanted, &nexus);
    let place = |initiator: &Wwn| AclPlace { wwn: wwn.clone(), tag, initiator: initiator.clone() };
    for initiator in is.keys().filter(|initiator| !wanted.contains_key(*initiator)) {
        work.make(Change::DeleteAcl(place(initiator)), Made::Nothing)?;
    }
    for (initiator, list) in wanted {
        let acl = place(initiator);
        if !is.contains_key(initiator) {
            work.make(Change::CreateAcl(acl.clone()), Made::Nothing)?;
        }
        let nothing = Acl::default();
        let is = is.get(initiator).unwrap_or(&nothing);
        let is_other = |lun: &Lun, mapped: &MappedLun| list.luns.get(lun).is_none_or(|is| is.of != mapped.of);
        for (lun, _) in is.luns.iter().filter(|(lun, mapped)| is_other(lun, mapped)) {
            work.make(Change::UnmapAclLun { acl: acl.clone(), lun: *lun }, Made::Nothing)?;
        }
        for (lun, mapped) in &list.luns {
            let (acl, lun, mapped) = (acl.clone(), *lun, mapped.clone());
            let change = match is.luns.get(&lun) {
                Some(is) if is.of == mapped.of && is.write_protect == mapped.write_protect => continue,
                Some(is) if is.of == mapped.of => {
                    Change::ProtectAclLun { acl, lun, write_protect: mapped.write_protect }
                }
                _ => Change::MapAclLun { acl, lun, mapped },
            };
            work.make(change, Made::Nothing)?;
        }
    }
    Ok(())
}

/// Whether a LUN is as the file has it.  Its alias, a name in LIO's tree, is its own affair.
fn is_so(wanted: &TpgEntry, lun: Lun, is: &LunMapping) -> bool {
    wanted
        .luns
        .get(&lun)
        .is_some_and(|wanted| wanted.backstore == is.backstore && wanted.write_protect == is.write_protect)
}

/// Whether a medium must be opened anew to be as the file says.  One that is to be larger grows.
/// `shrinks`: so does one that is to be smaller, for the file says that it may.
fn is_other_medium(wanted: &Backstore, is: &Backstore, shrinks: bool) -> Result<bool, Refusal> {
    Ok(match (&wanted.medium, &is.medium) {
        (
            Medium::Block { path, read_only, size_bytes: _ },
            Medium::Block { path: is_path, read_only: is_read_only, size_bytes: _ },
        ) => path != is_path || read_only.unwrap_or(false) != is_read_only.unwrap_or(false),
        (
            Medium::Fileio { path, size_bytes, sparse: _ },
            Medium::Fileio { path: is_path, size_bytes: is_bytes, sparse: _ },
        ) => {
            if path == is_path && !shrinks {
                must_not_shrink(wanted, *size_bytes, *is_bytes)?;
            }
            path != is_path
        }
        (
            Medium::Ramdisk { size_bytes, nullio },
            Medium::Ramdisk { size_bytes: is_bytes, nullio: is_nullio },
        ) => {
            if nullio == is_nullio && !shrinks {
                must_not_shrink(wanted, Some(size_bytes.get()), Some(is_bytes.get()))?;
            }
            nullio != is_nullio
        }
        _ => true,
    })
}

/// A file that is larger by less than a block is as large as it says.
fn must_not_shrink(wanted: &Backstore, bytes: Option<u64>, is_bytes: Option<u64>) -> Result<(), Refusal> {
    let (Some(size_bytes), Some(now_bytes)) = (bytes, is_bytes) else { return Ok(()) };
    if size_bytes < whole_blocks(wanted, now_bytes) {
        return Err(Refusal::SizeTooSmall { backstore: wanted.id(), size_bytes, now_bytes });
    }
    Ok(())
}

fn whole_blocks(backstore: &Backstore, bytes: u64) -> u64 {
    bytes - bytes % u64::from(backstore.block_bytes().unwrap_or(1).max(1))
}

/// Changes what can be changed below guests.
fn change_backstore(
    wanted: &Backstore,
    work: &mut Work,
    was: &Backstore,
    shrink: bool,
) -> Result<(), RestoreError> {
    let id = wanted.id();
    if let (Some(bytes), Some(now)) = (wanted.medium.size_bytes(), was.medium.size_bytes())
        && (bytes > now || (shrink && bytes < whole_blocks(wanted, now)))
    {
        work.make(Change::Resize { backstore: id.clone(), size_bytes: bytes, shrink }, Made::Nothing)?;
    }
    // The size of a block bounds what other attributes may be.
    let first = ATTRIBUTES.iter().filter(|row| row.key == Key::BlockSize);
    let rest = ATTRIBUTES.iter().filter(|row| row.key != Key::BlockSize);
    for row in first.chain(rest) {
        let is = work.draft.model.backstore(&id)?.attribute(row.key);
        // A default is no wish for what the medium cannot do.
        if was.is_beyond_medium(row.key) && !wanted.is_wanted(row.key) {
            continue;
        }
        // What a device decides, and the file does not, stays as it was set.
        let Some(value) = wanted.attribute(row.key).filter(|value| is != Some(*value)) else { continue };
        let change = Change::SetAttribute {
            backstore: id.clone(),
            attribute: row.name.to_owned(),
            value: value.to_string(),
        };
        work.make(change, Made::Attribute(value))?;
    }
    let joined = work.draft.model.has_twins(&id);
    for row in IDENTITY_FIELDS {
        let value = wanted.identity_text(row.key);
        // Who a unit of several ways is, the first of them says where the file does not.
        let says = wanted.identity().iter().any(|(key, _)| key == row.key);
        if (says || !joined) && work.draft.model.backstore(&id)?.identity_text(row.key) != value {
            let attribute = row.name.to_owned();
            work.make(Change::SetIdentity { backstore: id.clone(), attribute, value }, Made::Nothing)?;
        }
    }
    Ok(())
}

/// Sets the options that are otherwise: one that the file leaves out has its default.
fn set_options(wwn: &Wwn, wanted: &BTreeMap<String, String>, work: &mut Work) -> Result<(), RestoreError> {
    for row in TARGET_OPTIONS {
        let is = work.draft.model.target(wwn)?.options.get(row.key).to_string();
        let value = wanted.get(row.name).cloned().unwrap_or_else(|| row.default.to_string());
        if is != value {
            let option = row.name.to_owned();
            work.make(Change::SetOption { wwn: wwn.clone(), option, value }, Made::Nothing)?;
        }
    }
    Ok(())
}
