// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A change, made: the rules of the whole, as far as they follow from the configuration alone.
//!
//! Above: the owner of the model.  Below: `model`, which answers what is there.
//! Never here: the rules of a single name or number; their types have them.

mod alua; // the changes of asymmetric access

use crate::name::shown;
use crate::{
    ACLS_MAX, Acl, AclPlace, Attribute, BACKSTORES_MAX, Backstore, BackstoreId, Change, CompletionAffinity,
    Foreign, IdentityField, Key, Lun, LunMapping, MappedLun, Model, Place, Refusal, Target, TargetOption,
    Tpg, TpgTag, UnitSerial, Wwn,
};
use std::collections::BTreeMap;

impl Model {
    /// The model after `change`.
    ///
    /// # Errors
    /// The [`Refusal`] that names what stands in the way.
    pub fn apply(&self, change: Change) -> Result<Self, Refusal> {
        let mut after = self.clone();
        after.make(change)?;
        Ok(after)
    }

    /// The same in place, for whoever makes many changes of one copy.
    ///
    /// # Errors
    /// The [`Refusal`] that names what stands in the way; then nothing has changed.
    pub fn make(&mut self, change: Change) -> Result<(), Refusal> {
        match change {
            Change::CreateBackstore(backstore) => self.create_backstore(backstore),
            Change::DeleteBackstore(id) => self.delete_backstore(&id),
            Change::SetAttribute { backstore, attribute, value } => {
                self.set_attribute(&backstore, &attribute, &value)
            }
            Change::SelectModes { serial, saved } => {
                self.select_modes(&serial, &saved);
                Ok(())
            }
            Change::SetIdentity { backstore, attribute, value } => {
                self.set_identity(&backstore, &attribute, &value)
            }
            Change::Resize { backstore, size_bytes, shrink } => self.resize(&backstore, size_bytes, shrink),
            Change::SetUnitSerial { backstore, serial } => self.set_unit_serial(&backstore, serial),
            Change::CreateTarget { wwn, tpgs } => self.create_target(wwn, tpgs),
            Change::SetOption { wwn, option, value } => self.set_option(&wwn, &option, &value),
            Change::SetParameter { wwn, parameter, value } => self.set_parameter(&wwn, &parameter, &value),
            Change::DeleteTarget(wwn) => self.delete_target(&wwn),
            Change::CreateTpg { wwn, tag, tpg } => self.create_tpg(&wwn, tag, tpg),
            Change::DeleteTpg { wwn, tag } => self.delete_tpg(&wwn, tag),
            Change::MapLun { wwn, tag, lun, mapping } => self.map_lun(&wwn, tag, lun, mapping),
            Change::UnmapLun(place) => self.unmap_lun(place),
            Change::CreateAcl(place) => self.create_acl(place),
            Change::DeleteAcl(place) => self.delete_acl(place),
            Change::MapAclLun { acl, lun, mapped } => self.map_acl_lun(acl, lun, mapped),
            Change::UnmapAclLun { acl, lun } => self.unmap_acl_lun(acl, lun),
            Change::ProtectAclLun { acl, lun, write_protect } => {
                self.protect_acl_lun(&acl, lun, write_protect)
            }
            Change::KeepForeign { was, is } => self.keep_foreign(&was, is),
            Change::CreateAluaGroup { .. }
            | Change::DeleteAluaGroup { .. }
            | Change::SetAluaAttribute { .. }
            | Change::SetLbaMap { .. }
            | Change::PutAluaGroups { .. }
            | Change::SetLunAlua { .. }
            | Change::AlterAlua { .. }
            | Change::CreateLuGroup { .. }
            | Change::DeleteLuGroup(_)
            | Change::SetLuGroup { .. } => self.make_alua(change),
        }
    }

    fn create_backstore(&mut self, mut backstore: Backstore) -> Result<(), Refusal> {
        let id = backstore.id();
        if self.backstores.contains_key(&id) {
            return Err(Refusal::BackstoreExists { backstore: id });
        }
        if let Some(path) = backstore.medium.path()
            && let Some(user) = self.user_of(path)
        {
            return Err(Refusal::PathInUse { path: path.clone(), user: user.id() });
        }
        if self.backstores.len() >= BACKSTORES_MAX {
            return Err(Refusal::TooManyBackstores);
        }
        self.must_have_lu_group(&backstore.lu_group)?;
        backstore.alua.must_make_sense(&id)?;
        self.join_unit(&mut backstore)?;
        self.backstores.insert(id, backstore);
        Ok(())
    }

    /// Has a backstore again as it was kept: it says that it is who it said that it was, and not who another of its unit is.
    ///
    /// # Errors
    /// As of [`Change::CreateBackstore`].
    pub fn restore_backstore(&mut self, backstore: Backstore) -> Result<(), Refusal> {
        let known = backstore.clone();
        self.create_backstore(backstore)?;
        self.share_identity(&known, &[known.id()]);
        Ok(())
    }

    fn delete_backstore(&mut self, id: &BackstoreId) -> Result<(), Refusal> {
        self.backstore(id)?;
        if let Some(place) = self.shown_at(id) {
            return Err(Refusal::BackstoreInUse { backstore: id.clone(), place });
        }
        self.backstores.remove(id);
        Ok(())
    }

    fn set_attribute(&mut self, id: &BackstoreId, name: &str, value: &str) -> Result<(), Refusal> {
        // On a copy, so that a value which changes nothing is no change: LIO's tools write every
        // attribute back as they read it, exported or not.
        let mut wanted = self.backstore(id)?.clone();
        wanted.set_attribute(name, value)?;
        let row: &Attribute = wanted.row(name)?;
        let changes = wanted.attribute(row.key) != self.backstore(id)?.attribute(row.key);
        // The product that it says is that of the whole unit.
        let renames = changes && row.key == Key::EmulateModelAlias;
        let concerned = if renames { self.twins(id)? } else { vec![id.clone()] };
        if row.frozen_while_exported
            && changes
            && let Some(place) = concerned.iter().find_map(|one| self.shown_at(one))
        {
            return Err(Refusal::AttributeFrozen { backstore: id.clone(), attribute: row.name, place });
        }
        if renames {
            self.share_identity(&wanted, &concerned);
        }
        // What guests had saved of it was saved for the whole unit.
        if !wanted.selected().contains_key(&row.key) {
            let serial = &wanted.unit_serial;
            for other in self.backstores.values_mut().filter(|other| other.unit_serial == *serial) {
                other.deselect(row.key);
            }
        }
        self.backstores.insert(id.clone(), wanted);
        Ok(())
    }

    fn select_modes(&mut self, serial: &UnitSerial, saved: &[(Key, u32)]) {
        let of_unit = self.backstores.values_mut().filter(|backstore| backstore.unit_serial == *serial);
        of_unit.for_each(|backstore| backstore.select(saved));
    }

    fn set_identity(&mut self, id: &BackstoreId, name: &str, value: &str) -> Result<(), Refusal> {
        let mut wanted = self.backstore(id)?.clone();
        let key = wanted.set_identity(name, value)?;
        let changes = wanted.identity_text(key) != self.backstore(id)?.identity_text(key);
        let twins = self.twins(id)?;
        if changes && let Some(place) = twins.iter().find_map(|twin| self.shown_at(twin)) {
            let attribute = IdentityField::of(key).name;
            return Err(Refusal::AttributeFrozen { backstore: id.clone(), attribute, place });
        }
        self.share_identity(&wanted, &twins);
        Ok(())
    }

    /// Has all of them say that they are who one of them is.
    fn share_identity(&mut self, wanted: &Backstore, twins: &[BackstoreId]) {
        for twin in twins {
            if let Some(twin) = self.backstores.get_mut(twin) {
                twin.take_identity(wanted);
            }
        }
    }

    fn resize(&mut self, id: &BackstoreId, size_bytes: u64, shrink: bool) -> Result<(), Refusal> {
        let known = self.backstore(id)?;
        let medium = known.medium.resized(size_bytes)?;
        if let Some(now_bytes) = known.medium.size_bytes().filter(|now| medium.size_bytes() < Some(*now)) {
            let backstore = id.clone();
            if !shrink {
                return Err(Refusal::SizeTooSmall { backstore, size_bytes, now_bytes });
            }
            if size_bytes < u64::from(known.block_bytes().unwrap_or(1)) {
                return Err(Refusal::SizeWithoutBlock { backstore, size_bytes });
            }
        }
        if let Some(backstore) = self.backstores.get_mut(id) {
            backstore.medium = medium;
        }
        Ok(())
    }

    fn set_unit_serial(&mut self, id: &BackstoreId, serial: UnitSerial) -> Result<(), Refusal> {
        let known = self.backstore(id)?;
        if known.unit_serial != serial
            && let Some(place) = self.shown_at(id)
        {
            return Err(Refusal::BackstoreInUse { backstore: id.clone(), place });
        }
        let mut wanted = known.clone();
        wanted.unit_serial = serial;
        // What it had was for the unit that it was.
        if wanted.unit_serial != known.unit_serial {
            wanted.deselect_all();
            self.join_unit(&mut wanted)?;
        }
        self.backstores.insert(id.clone(), wanted);
        Ok(())
    }

    fn create_target(&mut self, wwn: Wwn, tpgs: BTreeMap<TpgTag, Tpg>) -> Result<(), Refusal> {
        if self.targets.contains_key(&wwn) {
            return Err(Refusal::TargetExists { wwn });
        }
        self.targets.insert(wwn.clone(), Target::default());
        for (tag, tpg) in tpgs {
            if let Err(refusal) = self.create_tpg(&wwn, tag, tpg) {
                self.targets.remove(&wwn);
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn set_option(&mut self, wwn: &Wwn, name: &str, value: &str) -> Result<(), Refusal> {
        self.target(wwn)?;
        let refused = |row: &TargetOption| Refusal::OptionValue {
            wwn: wwn.clone(),
            option: row.name,
            value: shown(value),
            values: row.values_in_words(),
        };
        let unknown = || Refusal::NoSuchOption { wwn: wwn.clone(), option: shown(name) };
        let row = TargetOption::named(name).ok_or_else(unknown)?;
        let number = row.parse(value).ok_or_else(|| refused(row))?;
        self.target_mut(wwn)?.options.set(row, number);
        Ok(())
    }

    fn set_parameter(&mut self, wwn: &Wwn, name: &str, value: &str) -> Result<(), Refusal> {
        self.target(wwn)?;
        if name != CompletionAffinity::NAME {
            return Err(Refusal::NoSuchParameter { wwn: wwn.clone(), parameter: shown(name) });
        }
        let affinity = CompletionAffinity::parse(value);
        let affinity = affinity.ok_or_else(|| Refusal::completion_affinity(wwn, value))?;
        self.target_mut(wwn)?.completion_affinity = affinity;
        Ok(())
    }

    fn delete_target(&mut self, wwn: &Wwn) -> Result<(), Refusal> {
        self.target(wwn)?;
        self.targets.remove(wwn);
        Ok(())
    }

    fn create_tpg(&mut self, wwn: &Wwn, tag: TpgTag, tpg: Tpg) -> Result<(), Refusal> {
        if self.target(wwn)?.tpgs.contains_key(&tag) {
            return Err(Refusal::TpgExists { wwn: wwn.clone(), tag });
        }
        if !tpg.luns.is_empty() || !tpg.acls.is_empty() {
            return Err(Refusal::TpgNotEmpty { tag });
        }
        if self.tpgs().any(|other| other.relative_port == tpg.relative_port) {
            return Err(Refusal::RelativePortInUse { port: tpg.relative_port.get() });
        }
        self.target_mut(wwn)?.tpgs.insert(tag, tpg);
        Ok(())
    }

    fn delete_tpg(&mut self, wwn: &Wwn, tag: TpgTag) -> Result<(), Refusal> {
        self.tpg(wwn, tag)?;
        self.target_mut(wwn)?.tpgs.remove(&tag);
        Ok(())
    }

    fn map_lun(&mut self, wwn: &Wwn, tag: TpgTag, lun: Lun, mapping: LunMapping) -> Result<(), Refusal> {
        let tpg = self.tpg(wwn, tag)?;
        let backstore = self.backstore(&mapping.backstore)?;
        if backstore.alua.get(&mapping.alua.group).is_none() {
            let group = mapping.alua.group;
            return Err(Refusal::NoSuchAluaGroup { backstore: mapping.backstore, group });
        }
        let place = |lun| Place { wwn: wwn.clone(), tag, lun };
        if let Some((other, _)) = tpg.luns.iter().find(|(_, other)| other.backstore == mapping.backstore) {
            return Err(Refusal::AlreadyMapped { backstore: mapping.backstore, place: place(*other) });
        }
        if let Some(taken) = tpg.luns.get(&lun) {
            return Err(Refusal::LunExists { place: place(lun), shows: taken.backstore.clone() });
        }
        self.tpg_mut(wwn, tag)?.luns.insert(lun, mapping);
        Ok(())
    }

    fn unmap_lun(&mut self, place: Place) -> Result<(), Refusal> {
        let tpg = self.tpg_mut(&place.wwn, place.tag)?;
        if tpg.luns.remove(&place.lun).is_none() {
            return Err(Refusal::NoSuchLun { place });
        }
        for acl in tpg.acls.values_mut() {
            acl.luns.retain(|_, mapped| mapped.of != place.lun);
        }
        Ok(())
    }

    fn create_acl(&mut self, place: AclPlace) -> Result<(), Refusal> {
        let tpg = self.tpg_mut(&place.wwn, place.tag)?;
        if tpg.acls.contains_key(&place.initiator) {
            return Err(Refusal::AclExists { acl: place });
        }
        if tpg.acls.len() >= ACLS_MAX {
            return Err(Refusal::TooManyAcls { wwn: place.wwn, tag: place.tag });
        }
        tpg.acls.insert(place.initiator, Acl::default());
        Ok(())
    }

    fn delete_acl(&mut self, place: AclPlace) -> Result<(), Refusal> {
        let tpg = self.tpg_mut(&place.wwn, place.tag)?;
        tpg.acls.remove(&place.initiator).map(drop).ok_or(Refusal::NoSuchAcl { acl: place })
    }

    fn map_acl_lun(&mut self, place: AclPlace, lun: Lun, mapped: MappedLun) -> Result<(), Refusal> {
        let known = self.acl(&place)?;
        if !self.tpg(&place.wwn, place.tag)?.luns.contains_key(&mapped.of) {
            let AclPlace { wwn, tag, initiator: _ } = place;
            return Err(Refusal::NoSuchLun { place: Place { wwn, tag, lun: mapped.of } });
        }
        if let Some(taken) = known.luns.get(&lun) {
            return Err(Refusal::MappedLunExists { acl: place, lun, of: taken.of });
        }
        self.acl_mut(&place)?.luns.insert(lun, mapped);
        Ok(())
    }

    fn unmap_acl_lun(&mut self, place: AclPlace, lun: Lun) -> Result<(), Refusal> {
        let removed = self.acl_mut(&place)?.luns.remove(&lun);
        removed.map(drop).ok_or(Refusal::NoSuchMappedLun { acl: place, lun })
    }

    fn protect_acl_lun(&mut self, place: &AclPlace, lun: Lun, write_protect: bool) -> Result<(), Refusal> {
        let mapped = self.acl_mut(place)?.luns.get_mut(&lun);
        let absent = || Refusal::NoSuchMappedLun { acl: place.clone(), lun };
        mapped.ok_or_else(absent)?.write_protect = write_protect;
        Ok(())
    }

    fn keep_foreign(&mut self, was: &Foreign, is: Foreign) -> Result<(), Refusal> {
        if self.foreign != *was {
            return Err(Refusal::ForeignMoved);
        }
        self.foreign = is;
        Ok(())
    }

    fn target_mut(&mut self, wwn: &Wwn) -> Result<&mut Target, Refusal> {
        self.targets.get_mut(wwn).ok_or_else(|| Refusal::NoSuchTarget { wwn: wwn.clone() })
    }

    fn tpg_mut(&mut self, wwn: &Wwn, tag: TpgTag) -> Result<&mut Tpg, Refusal> {
        let tpg = self.target_mut(wwn)?.tpgs.get_mut(&tag);
        tpg.ok_or_else(|| Refusal::NoSuchTpg { wwn: wwn.clone(), tag })
    }

    fn acl_mut(&mut self, place: &AclPlace) -> Result<&mut Acl, Refusal> {
        let acl = self.tpg_mut(&place.wwn, place.tag)?.acls.get_mut(&place.initiator);
        acl.ok_or_else(|| Refusal::NoSuchAcl { acl: place.clone() })
    }
}
