// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access and access control lists as writes.
//!
//! Above: `jobs`.  Below: `found/access.rs`, which says where they are.
//! Never here: rules; the model has them.
//!
//! The plan takes LUNs as a guest of Lunar sees them.  The kernel keeps lists and LUNs apart, so the lists are compared
//! here, and the plan is made without them.

use super::{Work, group};
use crate::files::{Act, Fault};
use crate::found::{LU_GROUPS, acl_directory, all_acls};
use model::{
    AclPlace, AluaAttribute, AluaGroup, AluaGroupName, AluaGroups, AluaKey, Backstore, BackstoreId, Change,
    LbaMap, Lun, LunAlua, MappedLun, Model, Place, Refusal, Step,
};
use std::collections::BTreeSet;

/// A model without access control lists.
pub(super) fn without_acls(model: &Model) -> Result<Model, Refusal> {
    let mut bare = model.clone();
    for (place, _) in all_acls(model) {
        bare.make(Change::DeleteAcl(place))?;
    }
    Ok(bare)
}

/// What the steps take away, if only for a moment: a list cannot stand on it.
#[derive(Debug, Default)]
pub(super) struct Gone {
    luns: BTreeSet<Place>,
    groups: BTreeSet<(model::Wwn, model::TpgTag)>,
}

impl Gone {
    pub(super) fn of(steps: &[Step]) -> Self {
        let mut gone = Self::default();
        for step in steps {
            match step {
                Step::UnmapLun { wwn, tag, lun } => {
                    gone.luns.insert(Place { wwn: wwn.clone(), tag: *tag, lun: *lun });
                }
                Step::RemoveTpg { wwn, tag } => {
                    gone.groups.insert((wwn.clone(), *tag));
                }
                _ => {}
            }
        }
        gone
    }

    fn has_list(&self, place: &AclPlace) -> bool {
        self.groups.contains(&(place.wwn.clone(), place.tag))
    }

    fn has_lun(&self, place: &AclPlace, of: Lun) -> bool {
        let AclPlace { wwn, tag, initiator: _ } = place;
        self.has_list(place) || self.luns.contains(&Place { wwn: wwn.clone(), tag: *tag, lun: of })
    }
}

impl Work<'_> {
    /// Takes away what is not wanted of the lists, before the LUNs go.
    pub(super) fn remove_acls(&mut self, gone: &Gone) {
        for (place, acl) in all_acls(&self.found.model) {
            let kept = self.new.acl(&place).ok().filter(|_| !gone.has_list(&place));
            for (lun, mapped) in &acl.luns {
                if !kept.and_then(|kept| kept.luns.get(lun)).is_some_and(|is| is_same(mapped, is))
                    || gone.has_lun(&place, mapped.of)
                {
                    self.unmap_for(&place, *lun, mapped);
                }
            }
            if kept.is_none() {
                let at = acl_directory(&place);
                self.push(Act::Rmdir(at.clone()), vec![Act::Mkdir(at)]);
            }
        }
    }

    /// Makes what is wanted, once the LUNs are there.
    pub(super) fn add_acls(&mut self, gone: &Gone) {
        for (place, acl) in all_acls(self.new) {
            let before = self.found.model.acl(&place).ok().filter(|_| !gone.has_list(&place));
            if before.is_none() {
                self.make(&acl_directory(&place));
            }
            for (lun, mapped) in &acl.luns {
                let was = before.and_then(|before| before.luns.get(lun)).filter(|was| is_same(was, mapped));
                match was.filter(|_| !gone.has_lun(&place, mapped.of)) {
                    None => self.map_for(&place, *lun, mapped),
                    Some(was) if was.write_protect != mapped.write_protect => {
                        let at = format!("{}/lun_{lun}/write_protect", acl_directory(&place));
                        let text = |mapped: &MappedLun| u8::from(mapped.write_protect).to_string();
                        let undo = vec![Act::Write { at: at.clone(), text: text(was) }];
                        self.push(Act::Write { at, text: text(mapped) }, undo);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn unmap_for(&mut self, place: &AclPlace, lun: Lun, mapped: &MappedLun) {
        let at = format!("{}/lun_{lun}", acl_directory(place));
        let acts = mapping(place, &at, mapped);
        let link = format!("{at}/{}", mapped.alias);
        self.push(Act::Unlink(link), acts);
        self.push(Act::Rmdir(at.clone()), vec![Act::Mkdir(at)]);
    }

    fn map_for(&mut self, place: &AclPlace, lun: Lun, mapped: &MappedLun) {
        let at = format!("{}/lun_{lun}", acl_directory(place));
        self.make(&at);
        for act in mapping(place, &at, mapped) {
            let undo = match &act {
                Act::Link { at, .. } => vec![Act::Unlink(at.clone())],
                _ => Vec::new(),
            };
            self.push(act, undo);
        }
    }

    /// New groups of logical units, before backstores go into them.
    pub(super) fn add_lu_groups(&mut self) {
        let new = self.new;
        for (name, id) in new.lu_groups() {
            if !self.found.model.lu_groups().contains_key(name) {
                let at = format!("{LU_GROUPS}/{name}");
                self.make(&at);
                self.push(Act::Write { at: format!("{at}/lu_gp_id"), text: id.to_string() }, Vec::new());
            }
        }
    }

    /// Those that nobody is in any more.
    pub(super) fn remove_lu_groups(&mut self) {
        let found = self.found;
        for (name, id) in found.model.lu_groups() {
            if !self.new.lu_groups().contains_key(name) {
                let at = format!("{LU_GROUPS}/{name}");
                let id = Act::Write { at: format!("{at}/lu_gp_id"), text: id.to_string() };
                self.push(Act::Rmdir(at.clone()), vec![Act::Mkdir(at), id]);
            }
        }
    }

    /// Gives a backstore its groups.
    pub(super) fn set_alua(&mut self, id: &BackstoreId, groups: &AluaGroups) -> Result<(), Fault> {
        let Some(adapter) = self.adapters.get(id) else { return Ok(()) };
        let directory = format!("core/{adapter}/{}", id.name);
        let was = self.found.model.backstores().get(id).filter(|_| !self.opened.contains(id));
        let before = was.map(|was| was.alua.clone()).unwrap_or_default();
        // The kernel lets groups be LBA dependent from here on.
        if before.lba_map() != groups.lba_map() {
            let undo = vec![lba_map(&directory, &before)];
            self.push(lba_map(&directory, groups), undo);
        }
        for (name, group) in before.iter().filter(|(name, _)| groups.get(name).is_none()) {
            let at = format!("{directory}/alua/{name}");
            let undo = making(&at, name, group);
            self.push(Act::Rmdir(at), undo);
        }
        for (name, group) in groups.iter() {
            let at = format!("{directory}/alua/{name}");
            match before.get(name).filter(|before| before.id == group.id) {
                Some(before) => {
                    for (act, undo) in settings(&at, group).into_iter().zip(settings(&at, before)) {
                        if act != undo {
                            self.push(act, vec![undo]);
                        }
                    }
                }
                None => {
                    self.make(&at);
                    for act in making(&at, name, group).into_iter().skip(1) {
                        self.push(act, Vec::new());
                    }
                }
            }
        }
        let before = was.map_or(AluaGroupName::DEFAULT_LU.to_owned(), |was| was.lu_group.to_string());
        let wanted = self.new.backstores().get(id).map(|is| is.lu_group.to_string()).unwrap_or_default();
        if before != wanted {
            let at = format!("{directory}/alua_lu_gp");
            let undo = vec![Act::Write { at: at.clone(), text: before }];
            self.push(Act::Write { at, text: wanted }, undo);
        }
        Ok(())
    }

    /// Gives a LUN what it has of asymmetric access.
    pub(super) fn set_lun_alua(&mut self, place: &Place, alua: &LunAlua) {
        let found = self.found.model.targets().get(&place.wwn).and_then(|target| target.tpgs.get(&place.tag));
        let before = found.and_then(|tpg| tpg.luns.get(&place.lun)).filter(|_| !self.mapped.contains(place));
        let before = before.map(|before| before.alua.clone()).unwrap_or_default();
        let at = format!("{}/lun/lun_{}", group(&place.wwn, place.tag), place.lun);
        for (act, undo) in lun_settings(&at, alua).into_iter().zip(lun_settings(&at, &before)) {
            if act != undo {
                self.push(act, vec![undo]);
            }
        }
    }

    /// Takes the groups of a backstore away that is to be closed: its directory goes only without them.
    pub(super) fn remove_groups(&mut self, backstore: &Backstore, directory: &str) {
        for (name, group) in backstore.alua.iter().filter(|(name, _)| !is_default(name)) {
            let at = format!("{directory}/alua/{name}");
            let undo = making(&at, name, group);
            self.push(Act::Rmdir(at), undo);
        }
    }
}

/// What a backstore that was closed has of groups when it is back, besides those that were taken away.
pub(super) fn alua_again(backstore: &Backstore, directory: &str) -> Vec<Act> {
    let default = AluaGroupName::default_group();
    let at = format!("{directory}/alua/{default}");
    let group = backstore.alua.get(&default);
    let mut acts: Vec<Act> =
        group.into_iter().flat_map(|group| making(&at, &default, group).into_iter().skip(1)).collect();
    if backstore.alua.lba_map().is_some() {
        acts.insert(0, lba_map(directory, &backstore.alua));
    }
    if backstore.lu_group.as_str() != AluaGroupName::DEFAULT_LU {
        let at = format!("{directory}/alua_lu_gp");
        acts.push(Act::Write { at, text: backstore.lu_group.to_string() });
    }
    acts
}

/// What says which blocks are reached how.
fn lba_map(directory: &str, groups: &AluaGroups) -> Act {
    let text = groups.lba_map().map(LbaMap::file_text).unwrap_or_default();
    Act::Write { at: format!("{directory}/lba_map"), text }
}

/// Whether a group is the one that every backstore has.
fn is_default(name: &AluaGroupName) -> bool {
    name.as_str() == AluaGroupName::DEFAULT
}

/// Whether a mapped LUN can stay, perhaps with another write protection.
fn is_same(one: &MappedLun, other: &MappedLun) -> bool {
    one.of == other.of && one.alias == other.alias
}

/// What makes a directory a mapped LUN.
fn mapping(AclPlace { wwn, tag, .. }: &AclPlace, at: &str, mapped: &MappedLun) -> Vec<Act> {
    let to = format!("{}/lun/lun_{}", group(wwn, *tag), mapped.of);
    let link = Act::Link { at: format!("{at}/{}", mapped.alias), to };
    let text = u8::from(mapped.write_protect).to_string();
    vec![link, Act::Set { at: format!("{at}/write_protect"), text }]
}

/// What makes a group: its directory, its id, and what is not as it was at first.
fn making(at: &str, name: &AluaGroupName, wanted: &AluaGroup) -> Vec<Act> {
    let mut acts = vec![Act::Mkdir(at.to_owned())];
    if !is_default(name) {
        acts.push(Act::Write { at: format!("{at}/tg_pt_gp_id"), text: wanted.id.to_string() });
    }
    let fresh = settings(at, &AluaGroup::new(wanted.id));
    acts.extend(
        settings(at, wanted).into_iter().zip(fresh).filter(|(act, fresh)| act != fresh).map(|(act, _)| act),
    );
    acts
}

/// All attributes of a group, in an order that the kernel takes: what a state needs, the state, who set it.
fn settings(at: &str, group: &AluaGroup) -> Vec<Act> {
    let last = |key: &AluaKey| match key {
        AluaKey::AccessState => 1,
        AluaKey::AccessStatus => 2,
        _ => 0,
    };
    let mut keys: Vec<AluaKey> = model::ALUA_ATTRIBUTES.iter().map(|row| row.key).collect();
    keys.sort_by_key(last);
    let write = |key: AluaKey| Act::Write {
        at: format!("{at}/{}", AluaAttribute::of(key).name),
        text: group.get(key).to_string(),
    };
    keys.into_iter().map(write).collect()
}

/// What a LUN that was taken away has of asymmetric access when it is back.
pub(super) fn lun_again(at: &str, alua: &LunAlua) -> Vec<Act> {
    let fresh = lun_settings(at, &LunAlua::default());
    lun_settings(at, alua)
        .into_iter()
        .zip(fresh)
        .filter(|(act, fresh)| act != fresh)
        .map(|(act, _)| act)
        .collect()
}

fn lun_settings(at: &str, alua: &LunAlua) -> Vec<Act> {
    let LunAlua { group, offline, status, write_metadata } = alua;
    [
        ("alua_tg_pt_gp", group.to_string()),
        ("alua_tg_pt_offline", u8::from(*offline).to_string()),
        ("alua_tg_pt_status", status.number().to_string()),
        ("alua_tg_pt_write_md", u8::from(*write_metadata).to_string()),
    ]
    .into_iter()
    .map(|(name, text)| Act::Write { at: format!("{at}/{name}"), text })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backwards, disk, in_words, page};
    use super::super::{Sizes, jobs};
    use super::*;
    use crate::found::Found;
    use model::{LunAlias, LunAluaSetting, TpgTag, Wwn};

    fn place() -> Place {
        let wwn = Wwn::parse("naa.500140568720f76f").unwrap();
        Place { wwn, tag: TpgTag::new(1), lun: Lun::parse(0).unwrap() }
    }

    fn list() -> AclPlace {
        let Place { wwn, tag, lun: _ } = place();
        AclPlace { wwn, tag, initiator: Wwn::parse("naa.5001405000000aaa").unwrap() }
    }

    fn with_list(model: &Model) -> Model {
        let alias = LunAlias::parse("abcdef0123").unwrap();
        let mapped = MappedLun { of: Lun::parse(0).unwrap(), alias, write_protect: true };
        let list = model.apply(Change::CreateAcl(list())).unwrap();
        list.apply(Change::MapAclLun { acl: self::list(), lun: Lun::parse(3).unwrap(), mapped }).unwrap()
    }

    fn with_group(model: &Model) -> Model {
        let name = AluaGroupName::parse("far").unwrap();
        let (backstore, group) = (disk().id(), AluaGroup::new(16));
        let made = model.apply(Change::CreateAluaGroup { backstore, name: name.clone(), group }).unwrap();
        let value = |attribute: &str| Change::SetAluaAttribute {
            backstore: disk().id(),
            group: name.clone(),
            attribute: attribute.to_owned(),
            value: "1".to_owned(),
        };
        let made = made.apply(value("alua_access_state")).unwrap().apply(value("preferred")).unwrap();
        made.apply(Change::SetLunAlua { place: place(), setting: LunAluaSetting::Group(name) }).unwrap()
    }

    fn found(model: Model) -> Found {
        let adapters = [(disk().id(), "iblock_0".to_owned())].into();
        Found { model, adapters, numbers: [0].into(), ..Found::default() }
    }

    fn set_default(attribute: &str, value: &str) -> Change {
        Change::SetAluaAttribute {
            backstore: disk().id(),
            group: AluaGroupName::default_group(),
            attribute: attribute.to_owned(),
            value: value.to_owned(),
        }
    }

    const LIST: &str = "vhost/naa.500140568720f76f/tpgt_1/acls/naa.5001405000000aaa";

    #[test]
    fn a_list_comes_after_its_luns_and_goes_before_them() {
        let words = in_words(&jobs(&found(page()), &with_list(&page()), &Sizes::new(), true).unwrap());
        let lun = "vhost/naa.500140568720f76f/tpgt_1/lun/lun_0";
        let expected = [
            format!("mkdir {LIST}"),
            format!("mkdir {LIST}/lun_3"),
            format!("ln -s {lun} {LIST}/lun_3/abcdef0123"),
            format!("set \"1\" {LIST}/lun_3/write_protect"),
        ];
        assert_eq!(words, expected);

        let all = jobs(&found(with_list(&page())), &Model::default(), &Sizes::new(), true).unwrap();
        let words = in_words(&all);
        let expected = [
            format!("rm {LIST}/lun_3/abcdef0123"),
            format!("rmdir {LIST}/lun_3"),
            format!("rmdir {LIST}"),
            format!("rm {lun}/a08824829b"),
        ];
        assert_eq!(words[1..5], expected);
        let back = in_words(&backwards(&all));
        let expected = [
            format!("mkdir {LIST}"),
            format!("mkdir {LIST}/lun_3"),
            format!("ln -s {lun} {LIST}/lun_3/abcdef0123"),
            format!("set \"1\" {LIST}/lun_3/write_protect"),
        ];
        assert_eq!(back[back.len() - 4..], expected);
    }

    #[test]
    fn a_list_of_the_nexus_leaves_the_luns_of_the_group_where_they_are() {
        // In Lunar the guest then sees the list's LUNs; in the kernel's tree the two are apart.
        let nexus = AclPlace { initiator: Wwn::parse("naa.5001405000000001").unwrap(), ..list() };
        let new = page().apply(Change::CreateAcl(nexus.clone())).unwrap();
        let words = in_words(&jobs(&found(page()), &new, &Sizes::new(), true).unwrap());
        assert_eq!(words, [format!("mkdir {}", acl_directory(&nexus))]);
    }

    #[test]
    fn a_mapped_lun_leaves_its_lun_while_that_is_opened_anew() {
        let mut moved = with_list(&page());
        moved.make(Change::UnmapLun(place())).unwrap();
        let words = in_words(&jobs(&found(with_list(&page())), &moved, &Sizes::new(), true).unwrap());
        let expected = [
            format!("rm {LIST}/lun_3/abcdef0123"),
            format!("rmdir {LIST}/lun_3"),
            "rm vhost/naa.500140568720f76f/tpgt_1/lun/lun_0/a08824829b".to_owned(),
            "rmdir vhost/naa.500140568720f76f/tpgt_1/lun/lun_0".to_owned(),
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn a_group_has_its_id_before_its_state_and_its_luns_after() {
        let words = in_words(&jobs(&found(page()), &with_group(&page()), &Sizes::new(), true).unwrap());
        let expected = [
            "mkdir core/iblock_0/disk0/alua/far",
            "write \"16\" core/iblock_0/disk0/alua/far/tg_pt_gp_id",
            "write \"1\" core/iblock_0/disk0/alua/far/preferred",
            "write \"1\" core/iblock_0/disk0/alua/far/alua_access_state",
            "write \"2\" core/iblock_0/disk0/alua/far/alua_access_status",
            "write \"far\" vhost/naa.500140568720f76f/tpgt_1/lun/lun_0/alua_tg_pt_gp",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn a_map_comes_before_the_state_that_needs_it_and_with_a_backstore_that_is_back() {
        let mut mapped = page();
        for change in [
            Change::SetLbaMap { backstore: disk().id(), map: "8 0; 0 7 0:S".to_owned() },
            set_default("alua_access_type", "1"),
            set_default("alua_access_state", "4"),
        ] {
            mapped.make(change).unwrap();
        }
        let words = in_words(&jobs(&found(page()), &mapped, &Sizes::new(), true).unwrap());
        let at = |part: &str| words.iter().position(|word| word == part).unwrap();
        let map = "write \"8 0\\n0 7 0:S\\n\" core/iblock_0/disk0/lba_map";
        let state = "write \"4\" core/iblock_0/disk0/alua/default_tg_pt_gp/alua_access_state";
        assert!(at(map) < at(state), "{words:?}");
        let all = jobs(&found(mapped), &Model::default(), &Sizes::new(), true).unwrap();
        let back = in_words(&backwards(&all));
        let at = |part: &str| back.iter().position(|word| word == part).unwrap();
        assert!(at("write \"1\\n\" core/iblock_0/disk0/enable") < at(map) && at(map) < at(state), "{back:?}");
    }

    #[test]
    fn a_closed_backstore_comes_back_with_its_groups() {
        let all = jobs(&found(with_group(&page())), &Model::default(), &Sizes::new(), true).unwrap();
        let words = in_words(&all);
        let at = |part: &str| words.iter().position(|word| word == part).unwrap();
        assert!(at("rmdir core/iblock_0/disk0/alua/far") < at("rmdir core/iblock_0/disk0"));
        let back = in_words(&backwards(&all));
        let at = |part: &str| back.iter().position(|word| word == part).unwrap();
        let lun = "vhost/naa.500140568720f76f/tpgt_1/lun/lun_0";
        let order = [
            at("write \"1\\n\" core/iblock_0/disk0/enable"),
            at("mkdir core/iblock_0/disk0/alua/far"),
            at("write \"16\" core/iblock_0/disk0/alua/far/tg_pt_gp_id"),
            at("write \"2\" core/iblock_0/disk0/alua/far/alua_access_status"),
            at(&format!("ln -s core/iblock_0/disk0 {lun}/a08824829b")),
            at(&format!("write \"far\" {lun}/alua_tg_pt_gp")),
        ];
        assert!(order.is_sorted(), "{back:?}");
    }
}
