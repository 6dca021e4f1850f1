// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access, as the administrator wants it: the target port groups of a backstore (LIO's `alua/` directory).
//!
//! Above: `backstore`, which has these; `lun_alua`, what a LUN has of them; `apply/alua.rs`, which changes them; the doors.
//! Below: names and numbers; `lba_map`.
//! Never here: what a state does to a command; `target` does that.
//!
//! Every backstore has the group [`AluaGroupName::DEFAULT`] with the id 0, and every LUN is in one group of its backstore.

mod table; // of the attributes of a group

use crate::name::shown;
use crate::{BackstoreId, LbaMap, Refusal};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
pub use table::{ALUA_ATTRIBUTES, AluaAttribute, AluaKey};

/// The most target port groups of a backstore.
pub const ALUA_GROUPS_MAX: usize = 256;

/// The most groups of logical units.
pub const LU_GROUPS_MAX: usize = 1024;

/// The name of a target port group, unique within its backstore, or of a group of logical units.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AluaGroupName(String);

impl AluaGroupName {
    /// The target port group that every backstore has.
    pub const DEFAULT: &'static str = "default_tg_pt_gp";
    /// The group of logical units that is always there.
    pub const DEFAULT_LU: &'static str = "default_lu_gp";
    /// The longest name, in bytes: that of a directory.
    pub const BYTES_MAX: usize = 255;

    /// Takes a name as typed: printable ASCII without `/` and space, and not `NULL`, which means the default in LIO's
    /// tree.
    ///
    /// # Errors
    /// [`Refusal::AluaNameInvalid`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let length = !text.is_empty() && text.len() <= Self::BYTES_MAX;
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if !length || !printable || ["NULL", ".", ".."].contains(&text) {
            return Err(Refusal::AluaNameInvalid { name: shown(text) });
        }
        Ok(Self(text.to_owned()))
    }

    /// The target port group that every backstore has.
    #[must_use]
    pub fn default_group() -> Self {
        Self(Self::DEFAULT.to_owned())
    }

    /// The group of logical units that is always there.
    #[must_use]
    pub fn default_lu_group() -> Self {
        Self(Self::DEFAULT_LU.to_owned())
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AluaGroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bits of `alua_access_type`.
const IMPLICIT: u32 = 1;
const EXPLICIT: u32 = 2;

/// Values of `alua_access_state`.
const LBA_DEPENDENT: u32 = 4;
const OFFLINE: u32 = 14;
const TRANSITIONING: u32 = 15;

/// Values of `alua_access_status`: who changed the state last.
const BY_COMMAND: u32 = 1;
const BY_ADMINISTRATOR: u32 = 2;

/// One target port group of a backstore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AluaGroup {
    /// What guests know it by.
    pub id: u16,
    /// What is not as the table has it.
    values: BTreeMap<AluaKey, u32>,
}

/// Why a value cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    Value,
    NotImplicit,
    Unsupported,
    /// LBA dependent is for the administrator alone.
    Explicit,
    /// It is as the map says.
    FollowsMap,
}

impl AluaGroup {
    /// What `alua_access_state` reads while the group is between two states.
    pub const TRANSITIONING: u32 = TRANSITIONING;

    /// A group as LIO makes it.
    #[must_use]
    pub fn new(id: u16) -> Self {
        Self { id, values: BTreeMap::new() }
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, key: AluaKey) -> u32 {
        self.values.get(&key).copied().unwrap_or_else(|| AluaAttribute::of(key).default)
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, key: AluaKey) -> bool {
        self.get(key) != 0
    }

    /// Whether the administrator may change the state.
    #[must_use]
    pub fn is_implicit(&self) -> bool {
        self.get(AluaKey::AccessType) & IMPLICIT != 0
    }

    /// Whether guests may change the state.
    #[must_use]
    pub fn is_explicit(&self) -> bool {
        self.get(AluaKey::AccessType) & EXPLICIT != 0
    }

    /// Those that are not as the table has them, by key, but for the one that follows the map.
    pub fn iter(&self) -> impl Iterator<Item = (AluaKey, u32)> + '_ {
        let said = self.values.iter().filter(|(key, _)| **key != AluaKey::SupportLbaDependent);
        said.map(|(key, value)| (*key, *value))
    }

    /// Whether its blocks are reached as a map says.
    #[must_use]
    pub fn is_lba_dependent(&self) -> bool {
        self.get(AluaKey::AccessState) == LBA_DEPENDENT
    }

    /// Takes over a value that was kept, whatever the others are: how it came about is not asked.
    ///
    /// Returns whether it was taken: a value that makes no sense is not.
    #[must_use]
    pub fn restore(&mut self, row: &AluaAttribute, value: u32) -> bool {
        if row.key == AluaKey::AccessState && value == TRANSITIONING {
            // It was read in the middle of a transition, which has ended.
            return true;
        }
        let sensible = row.takes(value);
        if sensible {
            self.put(row.key, value);
        }
        sensible
    }

    fn put(&mut self, key: AluaKey, value: u32) {
        if value == AluaAttribute::of(key).default {
            self.values.remove(&key);
        } else {
            self.values.insert(key, value);
        }
    }

    /// Sets an attribute as typed.  Returns its value.
    pub(crate) fn set(&mut self, row: &AluaAttribute, text: &str) -> Result<u32, Misfit> {
        let value = row.parse(text).ok_or(Misfit::Value)?;
        match row.key {
            AluaKey::AccessState => {}
            AluaKey::SupportLbaDependent if value != self.get(row.key) => return Err(Misfit::FollowsMap),
            AluaKey::AccessType if value & EXPLICIT != 0 && self.is_lba_dependent() => {
                return Err(Misfit::Explicit);
            }
            _ => {
                self.put(row.key, value);
                return Ok(value);
            }
        }
        if !self.is_implicit() {
            return Err(Misfit::NotImplicit);
        }
        // SPC-4: no SET TARGET PORT GROUPS leads there, and LIO has none lead away.
        if value == LBA_DEPENDENT && self.supports(value) && self.is_explicit() {
            return Err(Misfit::Explicit);
        }
        self.change_state(value, BY_ADMINISTRATOR)?;
        Ok(value)
    }

    /// Sets an attribute as typed.  Returns its value.
    ///
    /// # Errors
    /// [`Refusal::NoSuchAluaAttribute`], [`Refusal::AluaValue`], [`Refusal::AluaNotImplicit`],
    /// [`Refusal::AluaStateUnsupported`], [`Refusal::AluaLbaDependentExplicit`] or [`Refusal::AluaFollowsMap`], about the
    /// group `name` of `backstore`.
    pub fn set_attribute(
        &mut self,
        backstore: &BackstoreId,
        name: &AluaGroupName,
        attribute: &str,
        text: &str,
    ) -> Result<u32, Refusal> {
        let (backstore, group) = (backstore.clone(), name.clone());
        let Some(row) = AluaAttribute::named(attribute) else {
            return Err(Refusal::NoSuchAluaAttribute { backstore, group, attribute: shown(attribute) });
        };
        let value = shown(text);
        self.set(row, text).map_err(|misfit| match misfit {
            Misfit::Value => Refusal::AluaValue {
                backstore,
                group,
                attribute: row.name,
                value,
                values: row.values_in_words(),
            },
            Misfit::NotImplicit => Refusal::AluaNotImplicit { backstore, group },
            Misfit::Unsupported => Refusal::AluaStateUnsupported { backstore, group, state: value },
            Misfit::Explicit => Refusal::AluaLbaDependentExplicit { backstore, group },
            Misfit::FollowsMap => Refusal::AluaFollowsMap { backstore, group, value },
        })
    }

    /// Another state, as a guest asks for it.
    pub(crate) fn alter(&mut self, state: u32) -> Result<(), Misfit> {
        if [TRANSITIONING, OFFLINE, LBA_DEPENDENT].contains(&state) {
            return Err(Misfit::Value);
        }
        self.change_state(state, BY_COMMAND)
    }

    fn change_state(&mut self, state: u32, by: u32) -> Result<(), Misfit> {
        if !self.supports(state) {
            return Err(Misfit::Unsupported);
        }
        if self.get(AluaKey::AccessState) != state {
            self.put(AluaKey::AccessState, state);
            self.put(AluaKey::AccessStatus, by);
        }
        Ok(())
    }

    /// Whether the group can be in a state.
    #[must_use]
    pub fn supports(&self, state: u32) -> bool {
        let key = match state {
            0 => AluaKey::SupportActiveOptimized,
            1 => AluaKey::SupportActiveNonoptimized,
            2 => AluaKey::SupportStandby,
            3 => AluaKey::SupportUnavailable,
            LBA_DEPENDENT => AluaKey::SupportLbaDependent,
            OFFLINE => AluaKey::SupportOffline,
            TRANSITIONING => AluaKey::SupportTransitioning,
            _ => return false,
        };
        self.is_on(key)
    }
}

/// The target port groups of a backstore, of which one is always there, and which blocks are reached how through those of
/// them that are LBA dependent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AluaGroups {
    groups: BTreeMap<AluaGroupName, AluaGroup>,
    /// Of all copies of the configuration one map.
    lba_map: Option<Arc<LbaMap>>,
}

impl Default for AluaGroups {
    fn default() -> Self {
        let groups = BTreeMap::from([(AluaGroupName::default_group(), AluaGroup::new(0))]);
        Self { groups, lba_map: None }
    }
}

impl AluaGroups {
    /// One of them.
    #[must_use]
    pub fn get(&self, name: &AluaGroupName) -> Option<&AluaGroup> {
        self.groups.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&AluaGroupName, &AluaGroup)> {
        self.groups.iter()
    }

    /// The one that guests know by `id`.
    #[must_use]
    pub fn with_id(&self, id: u16) -> Option<(&AluaGroupName, &AluaGroup)> {
        self.groups.iter().find(|(_, group)| group.id == id)
    }

    /// The lowest id from 1 on that none of them has.
    #[must_use]
    pub fn free_id(&self) -> u16 {
        let free = (1..=u16::MAX).find(|id| self.with_id(*id).is_none());
        free.expect("there are fewer groups than numbers")
    }

    pub(crate) fn get_mut(&mut self, name: &AluaGroupName) -> Option<&mut AluaGroup> {
        self.groups.get_mut(name)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut AluaGroup> {
        self.groups.values_mut()
    }

    pub(crate) fn with_id_mut(&mut self, id: u16) -> Option<&mut AluaGroup> {
        self.values_mut().find(|group| group.id == id)
    }

    /// Adds one; its id and its name must be new.
    ///
    /// # Errors
    /// [`Refusal::AluaGroupExists`], [`Refusal::AluaIdInUse`] or [`Refusal::TooManyAluaGroups`].
    pub fn add(
        &mut self,
        backstore: &BackstoreId,
        name: AluaGroupName,
        group: AluaGroup,
    ) -> Result<(), Refusal> {
        if self.groups.contains_key(&name) {
            return Err(Refusal::AluaGroupExists { backstore: backstore.clone(), group: name });
        }
        if let Some((taken, _)) = self.with_id(group.id) {
            let (id, taken) = (group.id, taken.clone());
            return Err(Refusal::AluaIdInUse { backstore: backstore.clone(), id, group: taken });
        }
        if self.groups.len() >= ALUA_GROUPS_MAX {
            return Err(Refusal::TooManyAluaGroups { backstore: backstore.clone() });
        }
        self.groups.insert(name, group);
        self.follow_map();
        Ok(())
    }

    /// Puts a group that was kept in place of the one of its name, or beside the others.
    ///
    /// # Errors
    /// Those of [`AluaGroups::add`].
    pub fn restore(
        &mut self,
        backstore: &BackstoreId,
        name: AluaGroupName,
        group: AluaGroup,
    ) -> Result<(), Refusal> {
        if name.as_str() == AluaGroupName::DEFAULT {
            // Its id is no matter of taste.
            self.groups.insert(name, AluaGroup { id: 0, ..group });
            self.follow_map();
            return Ok(());
        }
        self.add(backstore, name, group)
    }

    pub(crate) fn remove(&mut self, name: &AluaGroupName) {
        if name.as_str() != AluaGroupName::DEFAULT {
            self.groups.remove(name);
        }
    }

    /// Which blocks are reached how.
    #[must_use]
    pub fn lba_map(&self) -> Option<&LbaMap> {
        self.lba_map.as_deref()
    }

    /// Takes over a map, or none, whatever state the groups are in.  Each can be LBA dependent while there is one.
    pub fn restore_lba_map(&mut self, map: Option<LbaMap>) {
        self.lba_map = map.map(Arc::new);
        self.follow_map();
    }

    fn follow_map(&mut self) {
        let supported = u32::from(self.lba_map.is_some());
        self.groups.values_mut().for_each(|group| group.put(AluaKey::SupportLbaDependent, supported));
    }

    /// Has groups that were kept in a way that makes no sense by now (LBA dependent where no map says how, or where guests may
    /// change their state) be in the state that a new group is in: by each way every block is reached, which is so in
    /// truth.  Returns which.
    #[must_use]
    pub fn make_sensible(&mut self) -> Vec<AluaGroupName> {
        let (has_map, default) = (self.lba_map.is_some(), AluaAttribute::of(AluaKey::AccessState).default);
        let is_senseless = |group: &AluaGroup| group.is_lba_dependent() && (!has_map || group.is_explicit());
        let senseless = self.groups.iter_mut().filter(|(_, group)| is_senseless(group));
        let mended = senseless.map(|(name, group)| {
            group.put(AluaKey::AccessState, default);
            name.clone()
        });
        mended.collect()
    }

    /// Refuses groups that are LBA dependent where no map says how, or where guests may change their state.
    pub(crate) fn must_make_sense(&self, backstore: &BackstoreId) -> Result<(), Refusal> {
        for (name, _) in self.groups.iter().filter(|(_, group)| group.is_lba_dependent()) {
            let (backstore, group) = (backstore.clone(), name.clone());
            if self.lba_map.is_none() {
                return Err(Refusal::LbaMapNeeded { backstore, group });
            }
            if self.groups[name].is_explicit() {
                return Err(Refusal::AluaLbaDependentExplicit { backstore, group });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(group: &mut AluaGroup, name: &str, text: &str) -> Result<u32, Misfit> {
        group.set(AluaAttribute::named(name).expect("a row"), text)
    }

    #[test]
    fn each_attribute_has_the_range_of_lio() {
        for (name, most) in [
            ("alua_access_status", 2),
            ("alua_access_type", 3),
            ("implicit_trans_secs", 255),
            ("nonop_delay_msecs", 10_000),
            ("trans_delay_msecs", 30_000),
            ("preferred", 1),
            ("alua_write_metadata", 1),
            ("alua_support_offline", 1),
        ] {
            let mut group = AluaGroup::new(0);
            assert_eq!(set(&mut group, name, &most.to_string()), Ok(most), "{name}");
            assert_eq!(set(&mut group, name, &(most + 1).to_string()), Err(Misfit::Value), "{name}");
            assert_eq!(set(&mut group, name, "x"), Err(Misfit::Value), "{name}");
            assert_eq!(group.get(AluaAttribute::named(name).unwrap().key), most, "{name}");
        }
    }

    #[test]
    fn a_state_needs_implicit_access_and_support() {
        let mut group = AluaGroup::new(5);
        assert_eq!(set(&mut group, "alua_access_state", "2"), Ok(2));
        assert_eq!(group.get(AluaKey::AccessStatus), 2);
        assert_eq!(set(&mut group, "alua_access_state", "4"), Err(Misfit::Unsupported));
        assert_eq!(set(&mut group, "alua_access_state", "14"), Err(Misfit::Value));
        assert_eq!(set(&mut group, "alua_access_state", "5"), Err(Misfit::Value));
        assert_eq!(set(&mut group, "alua_access_state", "15"), Err(Misfit::Value));
        assert_eq!(set(&mut group, "alua_support_unavailable", "0"), Ok(0));
        assert_eq!(set(&mut group, "alua_access_state", "3"), Err(Misfit::Unsupported));
        assert_eq!(set(&mut group, "alua_access_type", "2"), Ok(2));
        assert_eq!(set(&mut group, "alua_access_state", "0"), Err(Misfit::NotImplicit));
        assert_eq!(group.get(AluaKey::AccessState), 2);
    }

    #[test]
    fn a_group_is_lba_dependent_where_a_map_says_how_and_the_administrator_alone_may_change_it() {
        let mut groups = AluaGroups::default();
        let default = AluaGroupName::default_group();
        let set = |groups: &mut AluaGroups, name: &str, text: &str| {
            set(groups.get_mut(&default).expect("it is always there"), name, text)
        };
        let (state, access_type, support) =
            ("alua_access_state", "alua_access_type", "alua_support_lba_dependent");
        assert_eq!(set(&mut groups, state, "4"), Err(Misfit::Unsupported));
        assert_eq!(
            (set(&mut groups, support, "0"), set(&mut groups, support, "1")),
            (Ok(0), Err(Misfit::FollowsMap))
        );
        groups.restore_lba_map(LbaMap::parse("8 0; 0 7 0:S").unwrap());
        assert_eq!(
            (set(&mut groups, support, "1"), set(&mut groups, support, "0")),
            (Ok(1), Err(Misfit::FollowsMap))
        );
        assert_eq!(set(&mut groups, support, "2"), Err(Misfit::Value));
        assert_eq!(set(&mut groups, state, "4"), Err(Misfit::Explicit));
        assert_eq!(set(&mut groups, access_type, "1"), Ok(1));
        assert_eq!(set(&mut groups, state, "4"), Ok(4));
        assert_eq!(
            (set(&mut groups, access_type, "2"), set(&mut groups, access_type, "3")),
            (Err(Misfit::Explicit), Err(Misfit::Explicit))
        );
        assert_eq!(set(&mut groups, access_type, "0"), Ok(0));
        assert_eq!(set(&mut groups, state, "0"), Err(Misfit::NotImplicit));
        // What comes later can be so too, and nothing when the map has gone.
        let disk =
            BackstoreId { kind: crate::Kind::Ramdisk, name: crate::BackstoreName::parse("r").unwrap() };
        let later = AluaGroupName::parse("later").unwrap();
        groups.add(&disk, later.clone(), AluaGroup::new(5)).unwrap();
        assert!(groups.get(&later).unwrap().supports(4));
        assert_eq!(groups.get(&later).unwrap().iter().count(), 0, "nobody said so");
        assert_eq!(groups.must_make_sense(&disk), Ok(()));
        groups.restore_lba_map(None);
        assert!(!groups.get(&later).unwrap().supports(4));
        assert!(matches!(groups.must_make_sense(&disk), Err(Refusal::LbaMapNeeded { .. })));
    }

    #[test]
    fn a_copy_of_the_groups_has_no_map_of_its_own() {
        let mut groups = AluaGroups::default();
        groups.restore_lba_map(LbaMap::parse("8 0; 0 7 0:S").unwrap());
        let copy = groups.clone();
        assert!(std::ptr::eq(groups.lba_map().unwrap(), copy.lba_map().unwrap()));
    }

    #[test]
    fn the_same_state_again_is_nobodys_change() {
        let mut group = AluaGroup::new(0);
        assert_eq!(set(&mut group, "alua_access_state", "0"), Ok(0));
        assert_eq!(group, AluaGroup::new(0));
    }

    #[test]
    fn a_state_that_was_kept_in_the_middle_of_a_transition_is_the_first() {
        let mut group = AluaGroup::new(0);
        let row = AluaAttribute::named("alua_access_state").unwrap();
        assert!(group.restore(row, 15));
        assert_eq!(group.get(AluaKey::AccessState), 0);
        assert!(group.restore(row, 3) && !group.restore(row, 14));
        assert_eq!(group.get(AluaKey::AccessState), 3);
    }

    #[test]
    fn a_guest_sets_no_secondary_state_of_a_group() {
        let mut group = AluaGroup::new(0);
        assert_eq!(group.alter(15), Err(Misfit::Value));
        assert_eq!(group.alter(14), Err(Misfit::Value));
        assert_eq!(group.alter(1), Ok(()));
        assert_eq!((group.get(AluaKey::AccessState), group.get(AluaKey::AccessStatus)), (1, 1));
    }

    #[test]
    fn names_are_words() {
        for bad in ["", "a b", "a/b", "NULL", ".", "..", "\u{e4}"] {
            assert!(AluaGroupName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(AluaGroupName::parse("grp1").map(|name| name.to_string()), Ok("grp1".to_owned()));
    }
}
