// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access in the tree: the groups of a backstore and of logical units, and the files of a LUN.
//!
//! Above: `text`, `store`, `make`.  Below: `staged`, `model`'s rules.
//! Never here: what a state does to a guest.
//!
//! A group begins without an id, and is only here until one is written.

use crate::Denied;
use crate::control::number;
use crate::node::{Device, Dir, LunPart};
use crate::staged::Staged;
use crate::tree::{Tree, View};
use model::{
    AluaAttribute, AluaGroup, AluaGroupName, AluaKey, BackstoreId, Change, LbaMap, LunAlua, LunAluaSetting,
    Model, Place, Refusal,
};
use rustix::io::Errno;

/// How often an id is chosen anew that another door took meanwhile.
const ID_ATTEMPTS_MAX: usize = 8;

/// LIO's words for who changed a state.
fn status(number: u32) -> &'static str {
    match number {
        1 => "Altered by Explicit STPG",
        2 => "Altered by Implicit ALUA",
        _ => "None",
    }
}

/// LIO's words for a state.
fn state(number: u32) -> &'static str {
    match number {
        0 => "Active/Optimized",
        1 => "Active/NonOptimized",
        2 => "Standby",
        3 => "Unavailable",
        4 => "LBA Dependent",
        14 => "Offline",
        15 => "Transitioning",
        _ => "None",
    }
}

/// LIO's words for who may change a state.
fn access_type(number: u32) -> &'static str {
    match number {
        1 => "Implicit",
        2 => "Explicit",
        3 => "Implicit and Explicit",
        _ => "None",
    }
}

/// What a group's files say but for `members`; `id` is none before one is written.
fn group_text(group: &AluaGroup, id: Option<u16>, file: &str) -> String {
    if file == "tg_pt_gp_id" {
        return id.map_or_else(String::new, |id| format!("{id}\n"));
    }
    let Some(row) = AluaAttribute::named(file) else { return String::new() };
    let value = group.get(row.key);
    match row.key {
        AluaKey::AccessStatus => format!("{}\n", status(value)),
        AluaKey::AccessType => format!("{}\n", access_type(value)),
        _ => format!("{value}\n"),
    }
}

impl View<'_> {
    /// Whether a target port group is there, with an id or without.
    pub(crate) fn has_alua_group(&self, device: &Device, name: &AluaGroupName) -> bool {
        let is_default = name.as_str() == AluaGroupName::DEFAULT;
        let configured = || self.staged.configured(device).is_some_and(|it| it.alua.get(name).is_some());
        is_default || configured() || self.staged.alua.contains_key(&(device.clone(), name.clone()))
    }

    /// The target port groups of a backstore that somebody made.
    pub(crate) fn alua_groups_made(&self, device: &Device) -> Vec<AluaGroupName> {
        let configured = self.staged.configured(device).into_iter().flat_map(|it| it.alua.iter());
        let configured = configured.map(|(name, _)| name.clone());
        let staged = self.staged.alua.keys().filter(|(of, _)| of == device).map(|(_, name)| name.clone());
        let all = configured.chain(staged);
        all.filter(|name| name.as_str() != AluaGroupName::DEFAULT).collect()
    }

    /// The groups of logical units that somebody made.
    pub(crate) fn lu_groups_made(&self) -> Vec<AluaGroupName> {
        self.staged.model.lu_groups().keys().chain(&self.staged.lu_groups).cloned().collect()
    }

    /// Whether a group of logical units is there, with an id or without.
    pub(crate) fn has_lu_group(&self, name: &AluaGroupName) -> bool {
        name.as_str() == AluaGroupName::DEFAULT_LU
            || self.staged.model.lu_groups().contains_key(name)
            || self.staged.lu_groups.contains(name)
    }

    /// What a file of a target port group says.
    pub(crate) fn alua_group_text(&self, device: &Device, name: &AluaGroupName, file: &str) -> String {
        let id = device.id();
        if file == "members" {
            let line = |place: Place| {
                let Place { wwn, tag, lun } = place;
                format!("vhost/{wwn}/tpgt_{tag}/lun_{lun}\n")
            };
            return self.staged.model.members(&id, name).map(line).collect();
        }
        if let Some(group) = self.staged.configured(device).and_then(|backstore| backstore.alua.get(name)) {
            if file == "alua_access_state" {
                return format!("{}\n", self.alua_state(&id, group));
            }
            return group_text(group, Some(group.id), file);
        }
        let new = AluaGroup::new(0);
        let staged = self.staged.alua.get(&(device.clone(), name.clone()));
        // The default group of a backstore before `enable` has its id already.
        let id = (name.as_str() == AluaGroupName::DEFAULT).then_some(0);
        group_text(staged.unwrap_or(&new), id, file)
    }

    /// The state that a group is in now.
    fn alua_state(&self, id: &BackstoreId, group: &AluaGroup) -> u32 {
        let between = self.live(id).is_some_and(|live| live.transitioning.contains(&group.id));
        if between { AluaGroup::TRANSITIONING } else { group.get(AluaKey::AccessState) }
    }

    /// What a file of a group of logical units says.
    pub(crate) fn lu_group_text(&self, name: &AluaGroupName, file: &str) -> String {
        if file != "members" {
            let staged = self.staged.lu_groups.contains(name);
            let id = self.staged.model.lu_group_id(name);
            return if staged { String::new() } else { format!("{id}\n") };
        }
        let mut homes: Vec<_> = self.staged.homes.iter().collect();
        homes.sort_by_key(|(_, home)| home.index);
        let is_member = |id: &BackstoreId| {
            self.staged.model.backstores().get(id).is_some_and(|backstore| backstore.lu_group == *name)
        };
        let members = homes.into_iter().filter(|(id, _)| is_member(id));
        members.map(|(id, home)| format!("{}/{}\n", home.hba, id.name)).collect()
    }

    /// What `alua_lu_gp` of a backstore says.
    pub(crate) fn lu_group_of(&self, backstore: &model::Backstore) -> String {
        let (name, id) = (&backstore.lu_group, self.staged.model.lu_group_id(&backstore.lu_group));
        format!("LU Group Alias: {name}\nLU Group ID: {id}\n")
    }

    /// What a file of a LUN says.
    pub(crate) fn lun_alua_text(&self, place: &Place, file: &str) -> Result<String, Errno> {
        let (id, alua) = self.lun_alua(place).ok_or(Errno::NODEV)?;
        let LunAlua { group, offline, status: who, write_metadata } = alua;
        let number = |number: u8| Ok(format!("{number}\n"));
        match file {
            "alua_tg_pt_offline" => number(u8::from(*offline)),
            "alua_tg_pt_status" => number(who.number()),
            "alua_tg_pt_write_md" => number(u8::from(*write_metadata)),
            _ => {
                let groups = &self.staged.model.backstores().get(id).ok_or(Errno::NODEV)?.alua;
                let known = groups.get(group).ok_or(Errno::NODEV)?;
                let (primary, altered) = (self.alua_state(id, known), known.get(AluaKey::AccessStatus));
                Ok(format!(
                    "TG Port Alias: {group}\nTG Port Group ID: {}\nTG Port Primary Access State: {}\n\
                     TG Port Primary Access Status: {}\nTG Port Secondary Access State: {}\n\
                     TG Port Secondary Access Status: {}\n",
                    known.id,
                    state(primary),
                    status(altered),
                    if *offline { "Offline" } else { "None" },
                    status(who.number().into()),
                ))
            }
        }
    }

    /// What a LUN that is linked has, configured or not.
    fn lun_alua(&self, place: &Place) -> Option<(&BackstoreId, &LunAlua)> {
        self.link_name(&Dir::Lun(place.clone(), LunPart::Whole))?;
        match self.staged.luns.get(place) {
            Some(link) => link.as_ref().map(|link| (&link.backstore, &link.alua)),
            None => self.mapping(place).map(|mapping| (&mapping.backstore, &mapping.alua)),
        }
    }
}

impl Tree {
    /// Writes a file of a target port group.
    pub(crate) fn store_alua_group(
        &self,
        device: &Device,
        name: &AluaGroupName,
        file: &str,
        line: &str,
    ) -> Result<(), Errno> {
        let key = (device.clone(), name.clone());
        {
            let mut staged = self.staged();
            if staged.configured(device).is_none() {
                // LIO takes no state before `enable`, and no group is made by then.
                return Err(Errno::NODEV);
            }
            if let Some(group) = staged.alua.get_mut(&key)
                && file != "tg_pt_gp_id"
            {
                // LIO knows no states of a group without an id.
                let needs_id = file == "alua_access_state" || file.starts_with("alua_support_");
                let taken = !needs_id && group.set_attribute(&device.id(), name, file, line).is_ok();
                return if taken { Ok(()) } else { Err(Errno::INVAL) };
            }
        }
        if file == "tg_pt_gp_id" {
            return self.store_alua_id(&key, line);
        }
        let (backstore, attribute, value) = (device.id(), file.to_owned(), line.to_owned());
        let what = format!("set {file} of ALUA group {name} of {backstore}");
        let change = Change::SetAluaAttribute { backstore, group: name.clone(), attribute, value };
        self.ask(&what, vec![change])
    }

    /// Makes a staged group a configured one.
    fn store_alua_id(&self, key: &(Device, AluaGroupName), line: &str) -> Result<(), Errno> {
        let (device, name) = key;
        let wanted = number(line).ok().and_then(|id| u16::try_from(id).ok()).ok_or(Errno::INVAL)?;
        let backstore = device.id();
        let what = format!("set the id of ALUA group {name} of {backstore}");
        for _ in 0..ID_ATTEMPTS_MAX {
            let group = {
                let staged = self.staged();
                // One that has an id keeps it.
                let group = staged.alua.get(key).ok_or(Errno::INVAL)?;
                let known = staged.configured(device).ok_or(Errno::NODEV)?;
                // As in LIO, 0 asks for any.
                let id = if wanted == 0 { known.alua.free_id() } else { wanted };
                let mut group = group.clone();
                group.id = id;
                group
            };
            let change = Change::CreateAluaGroup { backstore: backstore.clone(), name: name.clone(), group };
            match self.daemon.apply(vec![change]) {
                Ok(()) => {
                    self.staged().alua.remove(key);
                    return Ok(());
                }
                Err(Denied::Refused(Refusal::AluaIdInUse { .. })) if wanted == 0 => {}
                Err(denied) => {
                    self.tell(&what, &denied);
                    return Err(denied.errno());
                }
            }
        }
        Err(Errno::AGAIN)
    }

    /// Writes the id of a group of logical units.
    pub(crate) fn store_lu_group(&self, name: &AluaGroupName, line: &str) -> Result<(), Errno> {
        let wanted = number(line).ok().and_then(|id| u16::try_from(id).ok()).ok_or(Errno::INVAL)?;
        let id = {
            let staged = self.staged();
            if !staged.lu_groups.contains(name) {
                return Err(Errno::INVAL);
            }
            let taken = |id: &u16| staged.model.lu_groups().values().any(|taken| taken == id);
            let free = (1..=u16::MAX).find(|id| !taken(id)).ok_or(Errno::NOSPC)?;
            if wanted == 0 { free } else { wanted }
        };
        self.ask(&format!("make LU group {name}"), vec![Change::CreateLuGroup { name: name.clone(), id }])?;
        self.staged().lu_groups.remove(name);
        Ok(())
    }

    /// Puts a backstore into a group of logical units.
    pub(crate) fn store_lu_group_of(&self, device: &Device, line: &str) -> Result<(), Errno> {
        if self.staged().configured(device).is_none() {
            return Err(Errno::NODEV);
        }
        let group = match line.trim() {
            "NULL" => AluaGroupName::default_lu_group(),
            text => AluaGroupName::parse(text).map_err(|_| Errno::NODEV)?,
        };
        let backstore = device.id();
        let what = format!("put {backstore} into LU group {group}");
        self.ask(&what, vec![Change::SetLuGroup { backstore, group }])
    }

    /// Says which blocks of a backstore are reached how.
    pub(crate) fn store_lba_map(&self, device: &Device, text: &str) -> Result<(), Errno> {
        let map = LbaMap::parse(text).map_err(|_| Errno::INVAL)?;
        if let Some(staged) = self.staged().devices.get_mut(device) {
            staged.lba_map = map;
            return Ok(());
        }
        let backstore = device.id();
        let what = format!("set lba_map of {backstore}");
        self.ask(&what, vec![Change::SetLbaMap { backstore, map: text.to_owned() }])
    }

    /// Writes a file of a LUN.
    pub(crate) fn store_lun_alua(&self, place: &Place, file: &str, line: &str) -> Result<(), Errno> {
        let attribute = if file == "alua_tg_pt_gp" { "alua_tg_pt_gp_name" } else { file };
        let errno = |refusal: Refusal| match (file, crate::errno_of(&refusal)) {
            ("alua_tg_pt_gp", _) => Errno::NODEV,
            (_, errno) => errno,
        };
        let id = self.view(|view| view.lun_alua(place).map(|(id, _)| id.clone())).ok_or(Errno::NODEV)?;
        let setting = LunAluaSetting::parse(place, attribute, line).map_err(errno)?;
        {
            let mut staged = self.staged();
            let model = std::sync::Arc::clone(&staged.model);
            if let Some(Some(link)) = staged.luns.get_mut(place) {
                if let LunAluaSetting::Group(group) = &setting {
                    let known = model.backstores().get(&id).and_then(|backstore| backstore.alua.get(group));
                    known.ok_or(Errno::NODEV)?;
                }
                link.alua.set(setting);
                return Ok(());
            }
        }
        let change = Change::SetLunAlua { place: place.clone(), setting };
        let what = format!("set {file} of {place}");
        self.ask(&what, vec![change])
    }

    /// rmdir of a target port group: its LUNs go back to the default, as in LIO.
    pub(crate) fn remove_alua_group(&self, device: Device, name: AluaGroupName) -> Result<(), Errno> {
        let backstore = device.id();
        let changes = {
            let mut staged = self.staged();
            if staged.alua.remove(&(device, name.clone())).is_some() {
                return Ok(());
            }
            removal(&staged.model, &backstore, name.clone())
        };
        self.ask(&format!("remove ALUA group {name} of {backstore}"), changes)
    }

    /// rmdir of a group of logical units: its members go back to the default, as in LIO.
    pub(crate) fn remove_lu_group(&self, name: AluaGroupName) -> Result<(), Errno> {
        let changes = {
            let mut staged = self.staged();
            if staged.lu_groups.remove(&name) {
                return Ok(());
            }
            let members = staged.model.backstores().values().filter(|member| member.lu_group == name);
            let back = members.map(|member| Change::SetLuGroup {
                backstore: member.id(),
                group: AluaGroupName::default_lu_group(),
            });
            back.chain([Change::DeleteLuGroup(name.clone())]).collect()
        };
        self.ask(&format!("remove LU group {name}"), changes)
    }
}

fn removal(model: &Model, backstore: &BackstoreId, name: AluaGroupName) -> Vec<Change> {
    let serial = model.backstores().get(backstore).map(|backstore| &backstore.unit_serial);
    // Backstores of one unit have one set of groups.
    let unit = model.backstores().values().filter(|other| Some(&other.unit_serial) == serial);
    let mut changes = Vec::new();
    for id in unit.map(model::Backstore::id) {
        let back = model.members(&id, &name).map(|place| Change::SetLunAlua {
            place,
            setting: LunAluaSetting::Group(AluaGroupName::default_group()),
        });
        changes.extend(back);
    }
    changes.push(Change::DeleteAluaGroup { backstore: backstore.clone(), name });
    changes
}

impl Staged {
    /// mkdir of a target port group.
    pub(crate) fn make_alua_group(&mut self, device: &Device, name: &str) -> Result<Dir, Errno> {
        if self.configured(device).is_none() {
            return Err(Errno::NODEV);
        }
        let name = AluaGroupName::parse(name).map_err(|_| Errno::INVAL)?;
        self.alua.insert((device.clone(), name.clone()), AluaGroup::new(0));
        Ok(Dir::AluaGroup(device.clone(), name))
    }

    /// mkdir of a group of logical units.
    pub(crate) fn make_lu_group(&mut self, name: &str) -> Result<Dir, Errno> {
        let name = AluaGroupName::parse(name).map_err(|_| Errno::INVAL)?;
        self.lu_groups.insert(name.clone());
        Ok(Dir::LuGroup(name))
    }
}
