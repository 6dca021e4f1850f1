// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tree knows beside the configuration: what is not whole yet, and under which HBA each backstore is.
//!
//! Above: `tree`, which holds the lock.  Below: `model`.
//! Never here: the configuration itself; it is only compared with what was seen last.

use crate::control::Control;
use crate::node::{Device, Hba};
use model::{
    AbsolutePath, AclPlace, AluaGroup, AluaGroupName, Attribute, Backstore, BackstoreId, BackstoreName,
    IdentityKey, Key, Kind, LbaMap, Lun, LunAlias, LunAlua, Medium, Model, Place, Refusal, TpgTag,
    UnitSerial, Wwn,
};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// The most HBAs, unconfigured backstores, and target port groups and LUNs that are not whole: all of it is
/// memory that a tool which dies half way leaves behind.
pub(crate) const STAGED_MAX: usize = 4096;

/// What is known of an HBA.
#[derive(Clone, Debug)]
pub(crate) struct HbaInfo {
    /// Counts HBAs from 1 on, in the order in which they came.
    pub(crate) index: u32,
    /// Whether it stays while it is empty: somebody made it and has not used it yet, or took its last backstore away
    /// and is about to remove it.
    pub(crate) by_hand: bool,
    /// The backstores in it that are configured.
    pub(crate) configured: BTreeSet<BackstoreName>,
}

/// What is known of a backstore that is configured.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) hba: Hba,
    /// Counts backstores from 1 on, in the order in which they came.
    pub(crate) index: u32,
    pub(crate) since: Instant,
    /// What somebody has called it, which nobody else shows.
    pub(crate) alias: Option<String>,
}

/// A backstore before `enable`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unconfigured {
    pub(crate) control: Control,
    pub(crate) udev_path: String,
    pub(crate) alias: Option<String>,
    pub(crate) serial: Option<UnitSerial>,
    /// As written, by name: checked, but not yet against what is found when it is opened.
    pub(crate) attributes: BTreeMap<&'static str, String>,
    /// Who it is to say that it is, likewise.
    pub(crate) identity: BTreeMap<&'static str, String>,
    /// Which of its blocks are to be reached how.
    pub(crate) lba_map: Option<LbaMap>,
}

impl Unconfigured {
    /// The value of an attribute that was written.
    pub(crate) fn attribute(&self, kind: Kind, key: Key) -> Option<u32> {
        let name = Attribute::of(key).name;
        let text = self.attributes.get(name)?;
        scratch(kind).ok()?.set_attribute(name, text).ok()
    }

    /// Checks and keeps an attribute.
    pub(crate) fn set_attribute(
        &mut self,
        kind: Kind,
        name: &'static str,
        text: &str,
    ) -> Result<(), Refusal> {
        scratch(kind)?.set_attribute(name, text)?;
        self.attributes.insert(name, text.to_owned());
        Ok(())
    }

    /// Who it says that it is.
    pub(crate) fn identity(&self, kind: Kind, key: IdentityKey) -> String {
        let known = scratch(kind).and_then(|mut scratch| {
            self.say_identity(&mut scratch)?;
            Ok(scratch.identity_text(key))
        });
        known.unwrap_or_default()
    }

    /// Checks and keeps who it is to say that it is.
    pub(crate) fn set_identity(&mut self, kind: Kind, name: &'static str, text: &str) -> Result<(), Refusal> {
        scratch(kind)?.set_identity(name, text)?;
        self.identity.insert(name, text.to_owned());
        Ok(())
    }

    fn say_identity(&self, backstore: &mut Backstore) -> Result<(), Refusal> {
        for (name, text) in &self.identity {
            backstore.set_identity(name, text)?;
        }
        Ok(())
    }

    /// The backstore that it becomes, with LIO's defaults where nothing was written.
    pub(crate) fn backstore(&self, device: &Device, made_up: UnitSerial) -> Result<Backstore, Errno> {
        let invalid = |refusal: Refusal| crate::errno_of(&refusal);
        let kind = device.hba.kind;
        let medium = self.control.medium(kind)?;
        let serial = self.serial.clone().unwrap_or(made_up);
        let mut backstore = Backstore::new(device.name.clone(), serial, medium).map_err(invalid)?;
        // The size of a block bounds what other attributes may be; one that was written is not left to a device.
        if let Some(text) = self.attributes.get("block_size") {
            backstore.set_attribute("block_size", text).map_err(invalid)?;
        }
        let cache = if self.control.buffered { "1" } else { "0" };
        let cache = (kind != Kind::Block).then_some(("emulate_write_cache", cache));
        let written = self.attributes.iter().map(|(name, text)| (*name, text.as_str()));
        let all = [("emulate_model_alias", "0")].into_iter().chain(cache).chain(written);
        for (name, text) in all.filter(|(name, _)| *name != "block_size") {
            let mut with = backstore.clone();
            with.set_attribute(name, text).map_err(invalid)?;
            let key = Attribute::named(name).map(|row| row.key);
            // What would be so anyway nobody wishes.
            if key.is_none_or(|key| with.attribute(key) != backstore.attribute(key)) {
                backstore = with;
            }
        }
        self.say_identity(&mut backstore).map_err(invalid)?;
        backstore.alua.restore_lba_map(self.lba_map.clone());
        Ok(backstore)
    }
}

/// A backstore of a kind, to try attributes on.
fn scratch(kind: Kind) -> Result<Backstore, Refusal> {
    let path = || AbsolutePath::parse("/scratch");
    let medium = match kind {
        Kind::Block => Medium::Block { path: path()?, read_only: None, size_bytes: None },
        Kind::Fileio => Medium::Fileio { path: path()?, size_bytes: None, sparse: true },
        Kind::Ramdisk => Medium::ramdisk(0, false)?,
    };
    let mut backstore =
        Backstore::new(BackstoreName::parse("scratch")?, UnitSerial::parse("scratch")?, medium)?;
    backstore.set_attribute("emulate_model_alias", "0")?;
    Ok(backstore)
}

/// A link of a LUN in a target port group that has no nexus yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) alias: LunAlias,
    pub(crate) backstore: BackstoreId,
    pub(crate) alua: LunAlua,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// The configuration as it was seen last.
    pub(crate) model: Arc<Model>,
    /// What some LUN of it shows.
    pub(crate) shown: BTreeSet<BackstoreId>,
    pub(crate) hbas: BTreeMap<Hba, HbaInfo>,
    pub(crate) homes: BTreeMap<BackstoreId, Home>,
    /// Where backstores go that are being enabled.
    pub(crate) enabling: BTreeMap<BackstoreId, Hba>,
    pub(crate) devices: BTreeMap<Device, Unconfigured>,
    pub(crate) vhost: bool,
    pub(crate) iscsi: bool,
    /// Without a nexus yet.
    pub(crate) tpgs: BTreeSet<(Wwn, TpgTag)>,
    /// Directories of LUNs that the configuration does not have.
    pub(crate) luns: BTreeMap<Place, Option<Link>>,
    /// Directories of mapped LUNs that the configuration does not have; in a session, with the name of the link to
    /// the LUN of the same number.
    pub(crate) mapped: BTreeMap<(AclPlace, Lun), Option<String>>,
    /// Target port groups that have no id yet.
    pub(crate) alua: BTreeMap<(Device, AluaGroupName), AluaGroup>,
    /// Groups of logical units that have no id yet.
    pub(crate) lu_groups: BTreeSet<AluaGroupName>,
    pub(crate) dbroot: Option<String>,
    hbas_seen: u32,
    homes_seen: u32,
}

impl Staged {
    /// Makes room for one more thing.
    pub(crate) fn room(&self) -> Result<(), Errno> {
        let by_hand = self.hbas.values().filter(|info| info.by_hand).count();
        let groups = self.alua.len() + self.lu_groups.len();
        let used =
            by_hand + self.devices.len() + self.tpgs.len() + self.luns.len() + self.mapped.len() + groups;
        if used < STAGED_MAX { Ok(()) } else { Err(Errno::NOSPC) }
    }

    /// Adds an HBA.
    pub(crate) fn add_hba(&mut self, hba: Hba, by_hand: bool) {
        self.hbas_seen += 1;
        self.hbas.insert(hba, HbaInfo { index: self.hbas_seen, by_hand, configured: BTreeSet::new() });
    }

    /// Whether an HBA stays when its last backstore goes.
    pub(crate) fn keep_hba(&mut self, hba: Hba, stays: bool) {
        if let Some(info) = self.hbas.get_mut(&hba) {
            info.by_hand = stays;
        }
    }

    /// The backstore in a device's directory, if it is configured.
    pub(crate) fn configured(&self, device: &Device) -> Option<&Backstore> {
        let id = device.id();
        self.homes.get(&id).filter(|home| home.hba == device.hba)?;
        self.model.backstores().get(&id)
    }

    /// What somebody has called a backstore.
    pub(crate) fn alias(&self, device: &Device) -> Option<&str> {
        let home = self.homes.get(&device.id()).filter(|home| home.hba == device.hba);
        let alias = home.map(|home| &home.alias).or_else(|| Some(&self.devices.get(device)?.alias));
        alias.and_then(Option::as_deref)
    }

    /// The same, to be written.
    pub(crate) fn alias_mut(&mut self, device: &Device) -> Option<&mut Option<String>> {
        let home = self.homes.get_mut(&device.id()).filter(|home| home.hba == device.hba);
        home.map(|home| &mut home.alias).or_else(|| Some(&mut self.devices.get_mut(device)?.alias))
    }

    /// Whether a target port group is there, with a nexus or without.
    pub(crate) fn has_tpg(&self, wwn: &Wwn, tag: TpgTag) -> bool {
        self.model.tpg(wwn, tag).is_ok() || self.tpgs.contains(&(wwn.clone(), tag))
    }

    /// The LUNs of a target port group that are only here.
    pub(crate) fn luns_of(&self, wwn: &Wwn, tag: TpgTag) -> impl Iterator<Item = (Lun, &Option<Link>)> {
        let within = move |place: &Place| place.tag == tag && place.wwn == *wwn;
        self.luns.iter().filter(move |(place, _)| within(place)).map(|(place, link)| (place.lun, link))
    }

    /// The mapped LUNs of an access control list or session that are only here.
    pub(crate) fn mapped_of(&self, acl: &AclPlace) -> impl Iterator<Item = (Lun, &Option<String>)> {
        self.mapped.iter().filter(move |((of, _), _)| of == acl).map(|((_, lun), link)| (*lun, link))
    }

    /// The unconfigured backstores of an HBA, by name.
    pub(crate) fn unconfigured_of(&self, hba: Hba) -> impl Iterator<Item = &BackstoreName> {
        self.devices.keys().filter(move |device| device.hba == hba).map(|device| &device.name)
    }

    /// Takes over the configuration as it is now.
    pub(crate) fn see(&mut self, model: Arc<Model>) {
        if Arc::ptr_eq(&self.model, &model) {
            return;
        }
        self.model = model;
        let model = Arc::clone(&self.model);
        self.shown = model.shown().into_iter().cloned().collect();
        let gone = self.homes.iter().filter(|(id, _)| !model.backstores().contains_key(*id));
        let gone: Vec<(BackstoreId, Hba)> = gone.map(|(id, home)| (id.clone(), home.hba)).collect();
        for (id, hba) in gone {
            self.homes.remove(&id);
            let unconfigured = self.unconfigured_of(hba).next().is_some();
            if let Some(info) = self.hbas.get_mut(&hba) {
                info.configured.remove(&id.name);
                if info.configured.is_empty() && !unconfigured && !info.by_hand {
                    self.hbas.remove(&hba);
                }
            }
        }
        let fresh: Vec<&BackstoreId> =
            model.backstores().keys().filter(|id| !self.homes.contains_key(*id)).collect();
        let mut taken: BTreeSet<u32> = self.hbas.keys().map(|hba| hba.number).collect();
        let mut free = (0..=u32::MAX).filter(move |number| taken.insert(*number));
        for id in fresh {
            self.settle(id, &mut free);
        }
        self.tpgs.retain(|(wwn, tag)| model.target(wwn).is_ok_and(|target| !target.tpgs.contains_key(tag)));
        let tpgs = &self.tpgs;
        self.luns.retain(|place, _| {
            let at = (place.wwn.clone(), place.tag);
            let known = model.tpg(&place.wwn, place.tag).ok();
            known.map_or(tpgs.contains(&at), |tpg| !tpg.luns.contains_key(&place.lun))
        });
        self.mapped.retain(|(acl, lun), link| match (model.tpg(&acl.wwn, acl.tag), model.acl(acl)) {
            (Err(_), _) => false,
            (Ok(_), Ok(known)) => link.is_none() && !known.luns.contains_key(lun),
            (Ok(tpg), Err(_)) => tpg.nexus == acl.initiator && (link.is_none() || tpg.luns.contains_key(lun)),
        });
        let homes = &self.homes;
        self.alua.retain(|(device, name), _| {
            let id = device.id();
            let is_home = homes.get(&id).is_some_and(|home| home.hba == device.hba);
            let known = model.backstores().get(&id).filter(|_| is_home);
            known.is_some_and(|backstore| backstore.alua.get(name).is_none())
        });
        self.lu_groups.retain(|name| !model.lu_groups().contains_key(name));
        self.vhost |= !model.targets().is_empty();
    }

    /// Finds a place for a backstore that is new.
    fn settle(&mut self, id: &BackstoreId, free: &mut dyn Iterator<Item = u32>) {
        let staged = self.devices.keys().find(|device| device.id() == *id).cloned();
        let alias =
            staged.as_ref().and_then(|device| self.devices.remove(device)).and_then(|staged| staged.alias);
        let known = self.enabling.get(id).copied().or(staged.map(|device| device.hba));
        let hba = known.unwrap_or_else(|| Hba { kind: id.kind, number: free.next().unwrap_or(u32::MAX) });
        if !self.hbas.contains_key(&hba) {
            self.add_hba(hba, false);
        }
        if let Some(info) = self.hbas.get_mut(&hba) {
            info.configured.insert(id.name.clone());
            info.by_hand = false;
        }
        self.homes_seen += 1;
        self.homes.insert(id.clone(), Home { hba, index: self.homes_seen, since: Instant::now(), alias });
    }
}
