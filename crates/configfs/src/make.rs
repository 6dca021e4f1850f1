// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Directories and links: mkdir, rmdir, symlink, unlink.
//!
//! Above: `fuse`, `tree`.  Below: `staged`, [`Daemon::apply`].
//! Never here: what files say.
//!
//! Nothing waits while it holds what is staged: a change is asked for without the lock, and what the
//! configuration refuses is refused.

use crate::daemon::Denied;
use crate::node::{AclPart, Device, DevicePart, Dir, Hba, LunPart, Node, TargetPart, TpgPart};
use crate::node::{parse_lun, parse_tpg, parse_wwn};
use crate::staged::{Link, Staged, Unconfigured};
use crate::tree::Tree;
use model::{
    AclPlace, BackstoreId, BackstoreName, Change, Lun, LunAlias, LunAlua, LunMapping, MappedLun, Place,
    TpgTag, Wwn,
};
use rustix::io::Errno;
use std::collections::BTreeMap;

/// The longest name of a directory, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The name of an HBA is shorter than this, in bytes (`TARGET_CORE_NAME_MAX_LEN`).
const HBA_NAME_BYTES: usize = 64;

impl Tree {
    /// Asks for a change, and says in the log why it was not made.
    pub(crate) fn ask(&self, what: &str, changes: Vec<Change>) -> Result<(), Errno> {
        self.daemon.apply(changes).map_err(|denied: Denied| {
            self.tell(what, &denied);
            denied.errno()
        })
    }

    /// mkdir.
    pub(crate) fn make_dir(&self, dir: &Dir, name: &str) -> Result<Node, Errno> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        if self.view(|view| view.child(dir, name)).is_some() {
            return Err(Errno::EXIST);
        }
        if let Dir::Vhost = dir {
            let wwn = parse_wwn(name).ok_or(Errno::INVAL)?;
            let change = Change::CreateTarget { wwn: wwn.clone(), tpgs: BTreeMap::new() };
            self.ask(&format!("make target {name}"), vec![change])?;
            return Ok(Node::Dir(Dir::Target(wwn, TargetPart::Whole)));
        }
        if let Dir::Tpg(wwn, tag, TpgPart::Acls) = dir {
            let initiator = parse_wwn(name).ok_or(Errno::INVAL)?;
            // One that has no nexus yet is no part of the configuration.
            self.view(|view| view.nexus(wwn, *tag).map(drop)).ok_or(Errno::NODEV)?;
            let place = AclPlace { wwn: wwn.clone(), tag: *tag, initiator };
            self.ask(&format!("make node ACL {place}"), vec![Change::CreateAcl(place.clone())])?;
            return Ok(Node::Dir(Dir::Acl(place, AclPart::Whole)));
        }
        let mut staged = self.staged();
        staged.room()?;
        stage_dir(&mut staged, dir, name).map(Node::Dir)
    }

    /// rmdir.
    pub(crate) fn remove_dir(&self, dir: &Dir, name: &str) -> Result<(), Errno> {
        let child = self.view(|view| view.child(dir, name)).ok_or(Errno::NOENT)?;
        let Node::Dir(child) = child else { return Err(Errno::NOTDIR) };
        if dir.group(name).is_some() {
            return Err(Errno::PERM);
        }
        match child {
            Dir::Device(device, _) => self.remove_device(&device),
            Dir::Target(wwn, _) => {
                if self.view(|view| !view.made(&Dir::Target(wwn.clone(), TargetPart::Whole)).is_empty()) {
                    return Err(Errno::NOTEMPTY);
                }
                self.ask(&format!("remove target {wwn}"), vec![Change::DeleteTarget(wwn)])
            }
            Dir::AluaGroup(device, name) => self.remove_alua_group(device, name),
            Dir::LuGroup(name) => self.remove_lu_group(name),
            Dir::Tpg(wwn, tag, _) => self.remove_tpg(wwn, tag),
            Dir::Lun(place, _) => {
                let mut staged = self.staged();
                match staged.luns.get(&place) {
                    Some(None) => staged.luns.remove(&place).map_or(Ok(()), |_| Ok(())),
                    // Linked, here or in the configuration.
                    Some(Some(_)) | None => Err(Errno::NOTEMPTY),
                }
            }
            Dir::AclLun(acl, lun, _) => {
                let mut staged = self.staged();
                match staged.mapped.get(&(acl.clone(), lun)) {
                    Some(None) => drop(staged.mapped.remove(&(acl, lun))),
                    // Linked, here or in the configuration.
                    Some(Some(_)) | None => return Err(Errno::NOTEMPTY),
                }
                Ok(())
            }
            Dir::Acl(place, _) => {
                let dir = Dir::Acl(place.clone(), AclPart::Whole);
                let (known, full) =
                    self.view(|view| (view.acl(&place).is_some(), !view.made(&dir).is_empty()));
                match (known, full) {
                    // The session is the guest's.
                    (false, _) => Err(Errno::BUSY),
                    (true, true) => Err(Errno::NOTEMPTY),
                    (true, false) => {
                        self.ask(&format!("remove node ACL {place}"), vec![Change::DeleteAcl(place)])
                    }
                }
            }
            Dir::Hba(hba) => {
                let mut staged = self.staged();
                let configured = staged.hbas.get(&hba).is_some_and(|info| !info.configured.is_empty());
                if configured || staged.unconfigured_of(hba).next().is_some() {
                    return Err(Errno::NOTEMPTY);
                }
                staged.hbas.remove(&hba);
                Ok(())
            }
            Dir::Vhost => {
                let mut staged = self.staged();
                if !staged.model.targets().is_empty() {
                    return Err(Errno::NOTEMPTY);
                }
                staged.vhost = false;
                Ok(())
            }
            Dir::Iscsi => {
                self.staged().iscsi = false;
                Ok(())
            }
            _ => Err(Errno::BUSY),
        }
    }

    fn remove_device(&self, device: &Device) -> Result<(), Errno> {
        let id = device.id();
        if !self.view(|view| view.alua_groups_made(device)).is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        {
            let mut staged = self.staged();
            if staged.configured(device).is_none() {
                staged.devices.remove(device).ok_or(Errno::NOENT)?;
                staged.keep_hba(device.hba, true);
                return Ok(());
            }
            if staged.model.shown_at(&id).is_some() || is_linked(&staged, &id) {
                return Err(Errno::BUSY);
            }
            // LIO's tools remove the HBA themselves: it must not be gone with its last backstore.
            staged.keep_hba(device.hba, true);
        }
        let gone = self.ask(&format!("remove {id}"), vec![Change::DeleteBackstore(id)]);
        if gone.is_err() {
            self.staged().keep_hba(device.hba, false);
        }
        gone
    }

    fn remove_tpg(&self, wwn: Wwn, tag: TpgTag) -> Result<(), Errno> {
        let full = self.view(|view| {
            let known = view.staged.model.tpg(&wwn, tag);
            known.is_ok_and(|tpg| !tpg.acls.is_empty())
                || !view.made(&Dir::Tpg(wwn.clone(), tag, TpgPart::Luns)).is_empty()
        });
        if full {
            return Err(Errno::NOTEMPTY);
        }
        if self.staged().tpgs.remove(&(wwn.clone(), tag)) {
            return Ok(());
        }
        if self.view(|view| view.connected(&wwn)) {
            return Err(Errno::BUSY);
        }
        self.ask(&format!("remove {wwn}/tpgt_{tag}"), vec![Change::DeleteTpg { wwn, tag }])
    }

    /// symlink.
    pub(crate) fn make_link(&self, dir: &Dir, name: &str, to: &str) -> Result<Node, Errno> {
        if self.view(|view| view.child(dir, name)).is_some() {
            return Err(Errno::EXIST);
        }
        match dir {
            Dir::Lun(place, LunPart::Whole) => self.link_lun(place, name, to)?,
            Dir::AclLun(acl, lun, false) => self.link_mapped_lun(acl, *lun, name, to)?,
            _ => return Err(Errno::PERM),
        }
        Ok(Node::Link(dir.clone(), name.to_owned()))
    }

    fn link_lun(&self, place: &Place, name: &str, to: &str) -> Result<(), Errno> {
        let alias = LunAlias::parse(name).map_err(|refusal| crate::errno_of(&refusal))?;
        let Place { wwn, tag, lun } = place.clone();
        let mapping = {
            let mut staged = self.staged();
            let id = linked_device(&staged, to)?;
            if staged.model.tpg(&wwn, tag).is_ok_and(|tpg| tpg.luns.contains_key(&lun)) {
                return Err(Errno::EXIST);
            }
            match staged.luns.get(place) {
                Some(Some(_)) => return Err(Errno::EXIST),
                Some(None) => {}
                None => return Err(Errno::NOENT),
            }
            if staged.tpgs.contains(&(wwn.clone(), tag)) {
                let twice = staged
                    .luns_of(&wwn, tag)
                    .any(|(_, link)| link.as_ref().is_some_and(|link| link.backstore == id));
                if twice {
                    return Err(Errno::EXIST);
                }
                staged
                    .luns
                    .insert(place.clone(), Some(Link { alias, backstore: id, alua: LunAlua::default() }));
                return Ok(());
            }
            LunMapping { backstore: id, alias, write_protect: false, alua: LunAlua::default() }
        };
        let what = format!("link {place}");
        self.ask(&what, vec![Change::MapLun { wwn, tag, lun, mapping }])
    }

    /// In an access control list, a change.  In a session, it may say what is so already: without a list the guest
    /// sees every LUN of its target port group under its own number, and may write to it.
    fn link_mapped_lun(&self, acl: &AclPlace, lun: Lun, name: &str, to: &str) -> Result<(), Errno> {
        let alias = LunAlias::parse(name).map_err(|refusal| crate::errno_of(&refusal))?;
        let mut staged = self.staged();
        let AclPlace { wwn, tag, initiator: _ } = acl;
        // A LUN of another group is none of these.
        let (_, number) = to.rsplit_once(&format!("/{wwn}/tpgt_{tag}/lun/")).ok_or(Errno::INVAL)?;
        let of = parse_lun(number).ok_or(Errno::NOENT)?;
        if !staged.model.tpg(wwn, *tag).is_ok_and(|tpg| tpg.luns.contains_key(&of)) {
            return Err(Errno::NOENT);
        }
        let is_list = staged.model.acl(acl).is_ok();
        match staged.mapped.get_mut(&(acl.clone(), lun)) {
            Some(None) if is_list => {}
            Some(None) if of != lun => return Err(Errno::OPNOTSUPP),
            Some(link @ None) => {
                *link = Some(name.to_owned());
                return Ok(());
            }
            Some(Some(_)) => return Err(Errno::EXIST),
            None => return Err(Errno::NOENT),
        }
        drop(staged);
        let mapped = MappedLun { of, alias, write_protect: false };
        let what = format!("link {acl}/lun_{lun}");
        self.ask(&what, vec![Change::MapAclLun { acl: acl.clone(), lun, mapped }])
    }

    fn unlink_mapped_lun(&self, acl: &AclPlace, lun: Lun) -> Result<(), Errno> {
        if self.view(|view| view.mapped(acl, lun).is_some()) {
            let what = format!("unlink {acl}/lun_{lun}");
            self.ask(&what, vec![Change::UnmapAclLun { acl: acl.clone(), lun }])?;
        }
        // The directory stays, as in LIO, until it is removed.
        let mut staged = self.staged();
        let mapped_again = staged.model.acl(acl).is_ok_and(|list| list.luns.contains_key(&lun));
        if !mapped_again && staged.room().is_ok() {
            staged.mapped.insert((acl.clone(), lun), None);
        }
        Ok(())
    }

    /// unlink.
    pub(crate) fn remove_link(&self, dir: &Dir, name: &str) -> Result<(), Errno> {
        match self.view(|view| view.child(dir, name)).ok_or(Errno::NOENT)? {
            Node::Dir(_) => return Err(Errno::ISDIR),
            Node::File(..) => return Err(Errno::PERM),
            Node::Link(..) => {}
        }
        let place = match dir {
            Dir::Lun(place, _) => place,
            Dir::AclLun(acl, lun, _) => return self.unlink_mapped_lun(acl, *lun),
            _ => return Err(Errno::PERM),
        };
        {
            let mut staged = self.staged();
            // LIO refuses later, when the directory is to go, and leaves a broken LUN.
            let known = staged.model.tpg(&place.wwn, place.tag).ok();
            if known.is_some_and(|tpg| tpg.acls.values().any(|acl| acl.mapped(place.lun).next().is_some())) {
                return Err(Errno::BUSY);
            }
            if staged.luns.contains_key(place) {
                staged.luns.insert(place.clone(), None);
                return Ok(());
            }
        }
        self.ask(&format!("unlink {place}"), vec![Change::UnmapLun(place.clone())])?;
        // The directory stays, as in LIO, until it is removed.
        let mut staged = self.staged();
        if staged.has_tpg(&place.wwn, place.tag) && staged.room().is_ok() {
            let mapped_again =
                staged.model.tpg(&place.wwn, place.tag).is_ok_and(|tpg| tpg.luns.contains_key(&place.lun));
            if !mapped_again {
                staged.luns.insert(place.clone(), None);
            }
        }
        Ok(())
    }
}

fn stage_dir(staged: &mut Staged, dir: &Dir, name: &str) -> Result<Dir, Errno> {
    match dir {
        Dir::Top => match name {
            "vhost" => {
                staged.vhost = true;
                Ok(Dir::Vhost)
            }
            "iscsi" => {
                staged.iscsi = true;
                Ok(Dir::Iscsi)
            }
            // No module of this name would load.
            _ => Err(Errno::INVAL),
        },
        Dir::Core => {
            if name.len() >= HBA_NAME_BYTES {
                return Err(Errno::NAMETOOLONG);
            }
            let hba = Hba::parse(name).ok_or(Errno::INVAL)?;
            staged.add_hba(hba, true);
            Ok(Dir::Hba(hba))
        }
        Dir::Hba(hba) => {
            let device = Device { hba: *hba, name: BackstoreName::parse(name).map_err(|_| Errno::INVAL)? };
            let id = device.id();
            // A name is unique in its kind, whatever the HBA.
            if staged.homes.contains_key(&id) || staged.devices.keys().any(|other| other.id() == id) {
                return Err(Errno::EXIST);
            }
            staged.devices.insert(device.clone(), Unconfigured::default());
            Ok(Dir::Device(device, DevicePart::Whole))
        }
        Dir::Target(wwn, TargetPart::Whole) => {
            let tag = parse_tpg(name).ok_or(Errno::INVAL)?;
            staged.tpgs.insert((wwn.clone(), tag));
            Ok(Dir::Tpg(wwn.clone(), tag, TpgPart::Whole))
        }
        Dir::Tpg(wwn, tag, TpgPart::Luns) => {
            let place = Place { wwn: wwn.clone(), tag: *tag, lun: parse_lun(name).ok_or(Errno::INVAL)? };
            staged.luns.insert(place.clone(), None);
            Ok(Dir::Lun(place, LunPart::Whole))
        }
        Dir::Acl(acl, AclPart::Whole) => {
            let lun = parse_lun(name).ok_or(Errno::INVAL)?;
            staged.mapped.insert((acl.clone(), lun), None);
            Ok(Dir::AclLun(acl.clone(), lun, false))
        }
        Dir::Tpg(_, _, TpgPart::Np) => Err(Errno::NOSYS),
        Dir::Device(device, DevicePart::Alua) => staged.make_alua_group(device, name),
        Dir::LuGroups => staged.make_lu_group(name),
        // What Lunar has none of: iSCSI.
        Dir::Iscsi => Err(Errno::OPNOTSUPP),
        _ => Err(Errno::PERM),
    }
}

/// The backstore that a link's text leads to, wherever the tree is mounted.
fn linked_device(staged: &Staged, to: &str) -> Result<BackstoreId, Errno> {
    let (_, below) = to.rsplit_once("/target/core/").ok_or(Errno::PERM)?;
    let mut names = below.split('/').filter(|name| !name.is_empty());
    let hba = names.next().and_then(Hba::parse).ok_or(Errno::NOENT)?;
    if !staged.hbas.contains_key(&hba) {
        return Err(Errno::NOENT);
    }
    // An HBA, or what is in a backstore's directory, is no backstore.
    let (Some(name), None) = (names.next(), names.next()) else { return Err(Errno::FAULT) };
    let device = Device { hba, name: BackstoreName::parse(name).map_err(|_| Errno::NOENT)? };
    if staged.devices.contains_key(&device) {
        return Err(Errno::NODEV);
    }
    staged.configured(&device).ok_or(Errno::NOENT)?;
    Ok(device.id())
}

/// Whether a LUN of a target port group without a nexus shows it.
fn is_linked(staged: &Staged, id: &BackstoreId) -> bool {
    staged.luns.values().flatten().any(|link| link.backstore == *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_where_the_kernel_is_told_that_nothing_comes() {
        let fixed: Vec<Dir> = crate::node::one_of_each().into_iter().filter(Dir::is_fixed).collect();
        assert_eq!(fixed.len(), 30);
        for dir in fixed {
            for name in ["param", "vhost", "fileio_9", "disk0", "tpgt_9", "lun_9", "naa.5001405aabbccdd9"] {
                assert!(stage_dir(&mut Staged::default(), &dir, name).is_err(), "{dir:?}: {name}");
            }
            // Links are where LUNs are.
            assert!(!matches!(dir, Dir::Lun(_, LunPart::Whole) | Dir::AclLun(_, _, false)), "{dir:?}");
            // What makes changes of the configuration.
            assert!(!matches!(dir, Dir::Vhost | Dir::Tpg(_, _, TpgPart::Acls)), "{dir:?}");
        }
    }
}
