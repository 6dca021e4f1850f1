// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All that the administrator wants.
//!
//! Above: `apply` changes it, `plan` compares two of it, the doors show it.
//! Below: backstores and targets.
//! Never here: a change; this file only looks.

use crate::{
    AbsolutePath, Acl, AclPlace, AluaGroupName, Backstore, BackstoreId, Foreign, Key, LunMapping, Place,
    Refusal, RelativePort, Target, Tpg, TpgTag, Wwn,
};
use std::collections::{BTreeMap, BTreeSet};

/// The most backstores; relative ports bound targets and target port groups.
pub const BACKSTORES_MAX: usize = 65_536;

/// Every backstore and every target.
///
/// Always true: each LUN shows a backstore that exists; no backstore is shown twice in one target port
/// group; no file or device is in two backstores; no relative port is in two target port groups; each mapped
/// LUN is of a LUN in its target port group; each LUN is in an ALUA group that its backstore has; backstores of one
/// unit serial number have the same ALUA groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub(crate) backstores: BTreeMap<BackstoreId, Backstore>,
    pub(crate) targets: BTreeMap<Wwn, Target>,
    pub(crate) foreign: Foreign,
    /// The groups of logical units but for the default, by name.
    pub(crate) lu_groups: BTreeMap<AluaGroupName, u16>,
}

impl Model {
    /// The backstores, by kind and name.
    #[must_use]
    pub fn backstores(&self) -> &BTreeMap<BackstoreId, Backstore> {
        &self.backstores
    }

    /// The targets, by name.
    #[must_use]
    pub fn targets(&self) -> &BTreeMap<Wwn, Target> {
        &self.targets
    }

    /// What is kept of LIO's and not served.
    #[must_use]
    pub fn foreign(&self) -> &Foreign {
        &self.foreign
    }

    /// One backstore.
    ///
    /// # Errors
    /// [`Refusal::NoSuchBackstore`].
    pub fn backstore(&self, id: &BackstoreId) -> Result<&Backstore, Refusal> {
        self.backstores.get(id).ok_or_else(|| Refusal::NoSuchBackstore { backstore: id.clone() })
    }

    /// One target.
    ///
    /// # Errors
    /// [`Refusal::NoSuchTarget`].
    pub fn target(&self, wwn: &Wwn) -> Result<&Target, Refusal> {
        self.targets.get(wwn).ok_or_else(|| Refusal::NoSuchTarget { wwn: wwn.clone() })
    }

    /// One target port group.
    ///
    /// # Errors
    /// [`Refusal::NoSuchTarget`] or [`Refusal::NoSuchTpg`].
    pub fn tpg(&self, wwn: &Wwn, tag: TpgTag) -> Result<&Tpg, Refusal> {
        let tpg = self.target(wwn)?.tpgs.get(&tag);
        tpg.ok_or_else(|| Refusal::NoSuchTpg { wwn: wwn.clone(), tag })
    }

    /// One access control list.
    ///
    /// # Errors
    /// [`Refusal::NoSuchTarget`], [`Refusal::NoSuchTpg`] or [`Refusal::NoSuchAcl`].
    pub fn acl(&self, place: &AclPlace) -> Result<&Acl, Refusal> {
        let acl = self.tpg(&place.wwn, place.tag)?.acls.get(&place.initiator);
        acl.ok_or_else(|| Refusal::NoSuchAcl { acl: place.clone() })
    }

    /// Where a backstore is shown: the first LUN in the order of targets.
    #[must_use]
    pub fn shown_at(&self, id: &BackstoreId) -> Option<Place> {
        self.places().find(|(_, shown)| *shown == id).map(|(place, _)| place)
    }

    /// Every backstore that some LUN shows.
    #[must_use]
    pub fn shown(&self) -> BTreeSet<&BackstoreId> {
        self.places().map(|(_, shown)| shown).collect()
    }

    /// Whose medium a file or device is.
    #[must_use]
    pub fn user_of(&self, path: &AbsolutePath) -> Option<&Backstore> {
        self.backstores.values().find(|backstore| backstore.medium.path() == Some(path))
    }

    /// The lowest tag from 1 on that no target port group of the target has.
    ///
    /// # Errors
    /// [`Refusal::NoSuchTarget`] or [`Refusal::NoFreeTag`].
    pub fn free_tag(&self, wwn: &Wwn) -> Result<TpgTag, Refusal> {
        let target = self.target(wwn)?;
        let free = (1..=u8::MAX).map(TpgTag::new).find(|tag| !target.tpgs.contains_key(tag));
        free.ok_or_else(|| Refusal::NoFreeTag { wwn: wwn.clone() })
    }

    /// The lowest relative ports that no target port group has, in order.
    pub fn free_relative_ports(&self) -> impl Iterator<Item = RelativePort> + use<> {
        let taken: BTreeSet<RelativePort> = self.tpgs().map(|tpg| tpg.relative_port).collect();
        (1..=u16::MAX)
            .filter_map(|port| RelativePort::parse(port).ok())
            .filter(move |port| !taken.contains(port))
    }

    /// Whether a target or a nexus has this name: one that is made up must be new.
    #[must_use]
    pub fn knows(&self, wwn: &Wwn) -> bool {
        self.targets.contains_key(wwn) || self.tpgs().any(|tpg| tpg.nexus == *wwn)
    }

    /// Takes over the size of a medium, as whoever opened it found it, in bytes.
    ///
    /// A fact and not a wish, so it is no `Change`: no step follows from it.  A ramdisk has the size it
    /// was given.
    pub fn learn_size(&mut self, id: &BackstoreId, found_bytes: u64) {
        use crate::Medium::{Block, Fileio, Ramdisk};
        match self.backstores.get_mut(id).map(|backstore| &mut backstore.medium) {
            Some(Block { size_bytes, .. } | Fileio { size_bytes, .. }) => *size_bytes = Some(found_bytes),
            Some(Ramdisk { .. }) | None => {}
        }
    }

    /// Takes over the sectors of a medium for its logical blocks, as [`Backstore::take_blocks_of`] does.
    pub fn learn_blocks(&mut self, id: &BackstoreId, sector_bytes: u32) {
        if let Some(backstore) = self.backstores.get_mut(id) {
            backstore.take_blocks_of(sector_bytes);
        }
    }

    /// Takes note of what a medium cannot do, as [`Backstore::learn_limits`] does.
    pub fn learn_limits(&mut self, id: &BackstoreId, beyond: &[Key]) {
        if let Some(backstore) = self.backstores.get_mut(id) {
            backstore.learn_limits(beyond);
        }
    }

    /// The groups of logical units but for the default, by name, with their ids.
    #[must_use]
    pub fn lu_groups(&self) -> &BTreeMap<AluaGroupName, u16> {
        &self.lu_groups
    }

    /// What guests know a group of logical units by: 0 is the default's.
    #[must_use]
    pub fn lu_group_id(&self, name: &AluaGroupName) -> u16 {
        self.lu_groups.get(name).copied().unwrap_or(0)
    }

    /// The LUNs in a target port group of a backstore, in order.
    pub fn members<'m>(
        &'m self,
        backstore: &'m BackstoreId,
        group: &'m AluaGroupName,
    ) -> impl Iterator<Item = Place> + 'm {
        let all = self
            .mappings()
            .filter(move |(_, mapping)| mapping.backstore == *backstore && mapping.alua.group == *group);
        all.map(|(place, _)| place)
    }

    pub(crate) fn tpgs(&self) -> impl Iterator<Item = &Tpg> + '_ {
        self.targets.values().flat_map(|target| target.tpgs.values())
    }

    /// Every LUN with what it shows.
    fn places(&self) -> impl Iterator<Item = (Place, &BackstoreId)> + '_ {
        self.mappings().map(|(place, mapping)| (place, &mapping.backstore))
    }

    /// Every LUN with its mapping.
    pub fn mappings(&self) -> impl Iterator<Item = (Place, &LunMapping)> + '_ {
        self.targets.iter().flat_map(|(wwn, target)| {
            target.tpgs.iter().flat_map(move |(tag, tpg)| {
                tpg.luns
                    .iter()
                    .map(move |(lun, mapping)| (Place { wwn: wwn.clone(), tag: *tag, lun: *lun }, mapping))
            })
        })
    }
}
