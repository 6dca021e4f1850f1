// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The changes of asymmetric access.
//!
//! Above: `apply`.  Below: `alua`, which has the rules of a single value.
//! Never here: what a guest is told of it.
//!
//! Backstores of one unit serial number are one unit to a guest: what is changed of the groups of one is changed of all.

use crate::{
    AluaAttribute, AluaGroup, AluaGroupName, AluaGroups, AluaKey, Backstore, BackstoreId, Change,
    LU_GROUPS_MAX, LbaMap, LbaMapError, LunAluaSetting, Model, Place, Refusal, RelativePort, UnitSerial,
};
use std::collections::{BTreeMap, BTreeSet};

impl Model {
    /// One of the changes of asymmetric access.
    pub(super) fn make_alua(&mut self, change: Change) -> Result<(), Refusal> {
        match change {
            Change::CreateAluaGroup { backstore, name, group } => {
                self.create_alua_group(&backstore, name, &group)
            }
            Change::DeleteAluaGroup { backstore, name } => self.delete_alua_group(&backstore, &name),
            Change::SetAluaAttribute { backstore, group, attribute, value } => {
                self.set_alua_attribute(&backstore, &group, &attribute, &value)
            }
            Change::SetLbaMap { backstore, map } => self.set_lba_map(&backstore, &map),
            Change::PutAluaGroups { backstore, groups } => self.put_alua_groups(&backstore, &groups),
            Change::SetLunAlua { place, setting } => self.set_lun_alua(place, setting),
            Change::AlterAlua { serial, states, offline } => self.alter_alua(&serial, &states, &offline),
            Change::CreateLuGroup { name, id } => self.create_lu_group(name, id),
            Change::DeleteLuGroup(name) => self.delete_lu_group(name),
            Change::SetLuGroup { backstore, group } => self.set_lu_group(&backstore, group),
            other => unreachable!("`make` makes {other} itself"),
        }
    }

    /// Gives a backstore that comes to a unit the groups of the unit, its name, and what guests have saved of it: whichever
    /// way a guest comes, it finds one unit.
    ///
    /// # Errors
    /// [`Refusal::AluaGroupsDiffer`] where it brings groups of its own.
    pub(super) fn join_unit(&self, backstore: &mut Backstore) -> Result<(), Refusal> {
        let id = backstore.id();
        let serial = backstore.unit_serial.clone();
        let twins = self.backstores.values().filter(|other| other.unit_serial == serial && other.id() != id);
        backstore.join_selected(twins.clone());
        let Some(twin) = twins.into_iter().next() else { return Ok(()) };
        backstore.take_identity(twin);
        if backstore.alua == twin.alua {
            return Ok(());
        }
        let bare = backstore.alua == AluaGroups::default();
        let shown_in = self.mappings().any(|(_, mapping)| mapping.backstore == id);
        if !bare || shown_in {
            return Err(Refusal::AluaGroupsDiffer { backstore: id, twin: twin.id() });
        }
        backstore.alua = twin.alua.clone();
        Ok(())
    }

    /// Whether another backstore is one unit with `id`.
    #[must_use]
    pub fn has_twins(&self, id: &BackstoreId) -> bool {
        self.twins(id).is_ok_and(|twins| twins.len() > 1)
    }

    /// The backstores that are one unit with `id`, which is among them.
    pub(super) fn twins(&self, id: &BackstoreId) -> Result<Vec<BackstoreId>, Refusal> {
        let serial = &self.backstore(id)?.unit_serial;
        Ok(self.with_serial(serial))
    }

    fn with_serial(&self, serial: &UnitSerial) -> Vec<BackstoreId> {
        let twins = self.backstores.values().filter(|backstore| backstore.unit_serial == *serial);
        twins.map(Backstore::id).collect()
    }

    fn alua_group(&self, id: &BackstoreId, name: &AluaGroupName) -> Result<&AluaGroup, Refusal> {
        let group = self.backstore(id)?.alua.get(name);
        group.ok_or_else(|| Refusal::NoSuchAluaGroup { backstore: id.clone(), group: name.clone() })
    }

    fn create_alua_group(
        &mut self,
        id: &BackstoreId,
        name: AluaGroupName,
        group: &AluaGroup,
    ) -> Result<(), Refusal> {
        let mut groups = self.backstore(id)?.alua.clone();
        groups.add(id, name, group.clone())?;
        groups.must_make_sense(id)?;
        self.put_alua(id, &groups)
    }

    fn delete_alua_group(&mut self, id: &BackstoreId, name: &AluaGroupName) -> Result<(), Refusal> {
        self.alua_group(id, name)?;
        if name.as_str() == AluaGroupName::DEFAULT {
            return Err(Refusal::AluaGroupStays { group: name.clone() });
        }
        for twin in self.twins(id)? {
            let member = self.members(&twin, name).next();
            if let Some(place) = member {
                return Err(Refusal::AluaGroupInUse { backstore: twin, group: name.clone(), place });
            }
        }
        let mut groups = self.backstore(id)?.alua.clone();
        groups.remove(name);
        self.put_alua(id, &groups)
    }

    fn set_lba_map(&mut self, id: &BackstoreId, text: &str) -> Result<(), Refusal> {
        let map = LbaMap::parse(text).map_err(|LbaMapError { line, why }| Refusal::LbaMapInvalid {
            backstore: id.clone(),
            line,
            why,
        });
        let mut groups = self.backstore(id)?.alua.clone();
        groups.restore_lba_map(map?);
        groups.must_make_sense(id)?;
        self.put_alua(id, &groups)
    }

    fn put_alua_groups(&mut self, id: &BackstoreId, groups: &AluaGroups) -> Result<(), Refusal> {
        groups.must_make_sense(id)?;
        for twin in self.twins(id)? {
            let goes = |name: &AluaGroupName| groups.get(name).is_none();
            let mut members = self.mappings().filter(|(_, mapping)| mapping.backstore == twin);
            if let Some((place, mapping)) = members.find(|(_, mapping)| goes(&mapping.alua.group)) {
                let group = mapping.alua.group.clone();
                return Err(Refusal::AluaGroupInUse { backstore: twin, group, place });
            }
        }
        self.put_alua(id, groups)
    }

    fn put_alua(&mut self, id: &BackstoreId, groups: &AluaGroups) -> Result<(), Refusal> {
        for twin in self.twins(id)? {
            if let Some(backstore) = self.backstores.get_mut(&twin) {
                backstore.alua = groups.clone();
            }
        }
        Ok(())
    }

    fn set_alua_attribute(
        &mut self,
        id: &BackstoreId,
        name: &AluaGroupName,
        attribute: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        let group = self.alua_group(id, name)?;
        let mut wanted = group.clone();
        let value = wanted.set_attribute(id, name, attribute, text)?;
        let number = wanted.id;
        let mut groups = self.backstore(id)?.alua.clone();
        if let Some(group) = groups.get_mut(name) {
            *group = wanted;
        }
        self.put_alua(id, &groups)?;
        if attribute == AluaAttribute::of(AluaKey::AccessState).name {
            let row = AluaAttribute::of(AluaKey::AccessState);
            self.follow(id, |groups| {
                // Where there is none of that id, or it refuses the state, all stays as it is.
                let _ = groups.with_id_mut(number).map(|group| group.set(row, &value.to_string()));
            });
        }
        Ok(())
    }

    /// Has the other members of the group of logical units of a backstore follow, each once, with the backstores that are
    /// one unit with them.
    fn follow(&mut self, id: &BackstoreId, alter: impl Fn(&mut AluaGroups)) {
        let Some(lu_group) = self.backstores.get(id).map(|backstore| backstore.lu_group.clone()) else {
            return;
        };
        if lu_group.as_str() == AluaGroupName::DEFAULT_LU {
            return;
        }
        let members = self.backstores.values().filter(|member| member.lu_group == lu_group);
        let units: BTreeSet<UnitSerial> = members.map(|member| member.unit_serial.clone()).collect();
        for backstore in
            self.backstores.values_mut().filter(|backstore| units.contains(&backstore.unit_serial))
        {
            alter(&mut backstore.alua);
        }
    }

    fn set_lun_alua(&mut self, place: Place, setting: LunAluaSetting) -> Result<(), Refusal> {
        let tpg = self.tpg(&place.wwn, place.tag)?;
        let mapping = tpg.luns.get(&place.lun);
        let mapping = mapping.ok_or_else(|| Refusal::NoSuchLun { place: place.clone() })?;
        let backstore = self.backstore(&mapping.backstore)?;
        if let LunAluaSetting::Group(group) = &setting
            && backstore.alua.get(group).is_none()
        {
            let (backstore, group) = (backstore.id(), group.clone());
            return Err(Refusal::NoSuchAluaGroup { backstore, group });
        }
        if let Some(mapping) = self.tpg_mut(&place.wwn, place.tag)?.luns.get_mut(&place.lun) {
            mapping.alua.set(setting);
        }
        Ok(())
    }

    fn alter_alua(
        &mut self,
        serial: &UnitSerial,
        states: &[(u16, u32)],
        offline: &[RelativePort],
    ) -> Result<(), Refusal> {
        let twins = self.with_serial(serial);
        let refused = || Refusal::AluaNotAltered { serial: serial.clone() };
        let first = twins.first().and_then(|id| self.backstores.get(id)).ok_or_else(refused)?;
        let mut groups = first.alua.clone();
        for (id, state) in states {
            let group = groups.with_id_mut(*id).filter(|group| group.is_explicit()).ok_or_else(refused)?;
            group.alter(*state).map_err(|_| refused())?;
        }
        let ports = self.ports_to_take_offline(&twins, &groups, offline).ok_or_else(refused)?;
        for twin in &twins {
            if let Some(backstore) = self.backstores.get_mut(twin) {
                backstore.alua = groups.clone();
            }
        }
        // A guest may name a group as often as it likes.
        let states: BTreeMap<u16, u32> = states.iter().copied().collect();
        for twin in &twins {
            self.follow(twin, |groups| {
                for group in groups.values_mut().filter(|group| group.is_explicit()) {
                    // One that refuses the state stays as it is.
                    let _ = states.get(&group.id).map(|state| group.alter(*state));
                }
            });
        }
        for place in ports {
            if let Some(mapping) = self.tpg_mut(&place.wwn, place.tag)?.luns.get_mut(&place.lun) {
                mapping.alua.take_offline();
            }
        }
        Ok(())
    }

    /// The LUNs behind ports; nothing where one of the ports is none of the unit's, or cannot be offline.
    fn ports_to_take_offline(
        &self,
        twins: &[BackstoreId],
        groups: &AluaGroups,
        offline: &[RelativePort],
    ) -> Option<Vec<Place>> {
        let mut places = Vec::new();
        for port in offline {
            let before = places.len();
            for (place, mapping) in self.mappings().filter(|(_, mapping)| twins.contains(&mapping.backstore))
            {
                let tpg = self.tpg(&place.wwn, place.tag).ok()?;
                let group = groups.get(&mapping.alua.group)?;
                if tpg.relative_port == *port {
                    if !(group.is_explicit() && group.is_on(AluaKey::SupportOffline)) {
                        return None;
                    }
                    places.push(place);
                }
            }
            if places.len() == before {
                return None;
            }
        }
        Some(places)
    }

    fn create_lu_group(&mut self, name: AluaGroupName, id: u16) -> Result<(), Refusal> {
        if name.as_str() == AluaGroupName::DEFAULT_LU || self.lu_groups.contains_key(&name) {
            return Err(Refusal::LuGroupExists { group: name });
        }
        let taken = self.lu_groups.iter().find(|(_, taken)| **taken == id).map(|(name, _)| name.clone());
        let taken = taken.or_else(|| (id == 0).then(AluaGroupName::default_lu_group));
        if let Some(group) = taken {
            return Err(Refusal::LuGroupIdInUse { id, group });
        }
        if self.lu_groups.len() >= LU_GROUPS_MAX {
            return Err(Refusal::TooManyLuGroups);
        }
        self.lu_groups.insert(name, id);
        Ok(())
    }

    fn delete_lu_group(&mut self, name: AluaGroupName) -> Result<(), Refusal> {
        self.must_have_lu_group(&name)?;
        if name.as_str() == AluaGroupName::DEFAULT_LU {
            return Err(Refusal::AluaGroupStays { group: name });
        }
        if let Some(member) = self.backstores.values().find(|backstore| backstore.lu_group == name) {
            return Err(Refusal::LuGroupInUse { backstore: member.id(), group: name });
        }
        self.lu_groups.remove(&name);
        Ok(())
    }

    fn set_lu_group(&mut self, id: &BackstoreId, group: AluaGroupName) -> Result<(), Refusal> {
        self.backstore(id)?;
        self.must_have_lu_group(&group)?;
        if let Some(backstore) = self.backstores.get_mut(id) {
            backstore.lu_group = group;
        }
        Ok(())
    }

    /// Refuses a group of logical units that is not there.
    pub(super) fn must_have_lu_group(&self, name: &AluaGroupName) -> Result<(), Refusal> {
        if name.as_str() == AluaGroupName::DEFAULT_LU || self.lu_groups.contains_key(name) {
            Ok(())
        } else {
            Err(Refusal::NoSuchLuGroup { group: name.clone() })
        }
    }
}
