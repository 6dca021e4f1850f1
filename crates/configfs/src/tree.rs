// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looking and listing: which places there are now.
//!
//! Above: `fuse`, and whoever wants to see the tree without mounting it.
//! Below: `node` (the places), `staged` (what is only here), `text` (what files say).
//! Never here: a change.

use crate::daemon::{Counters, Daemon, Denied, LiveBackstore, LiveReservations};
use crate::node::{AclPart, Device, DevicePart, Dir, Hba, LunPart, Node, TargetPart, TpgPart};
use crate::node::{RSOC, RSOC_SINCE, parse_lun, parse_tpg, parse_wwn};
use crate::staged::Staged;
use model::{
    Acl, AclPlace, AluaGroupName, BackstoreId, BackstoreName, CompletionAffinity, Lun, MappedLun, Place,
    TpgTag, Wwn,
};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the host calls itself, for the lines that say on what the target runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Such as `x86_64`.
    pub machine: String,
    /// Such as `6.1.0-56-amd64`.
    pub release: String,
    /// Where the kernel lists its block devices by name.
    pub disks: PathBuf,
}

impl Host {
    /// This host.
    #[must_use]
    pub fn this() -> Self {
        let uname = rustix::system::uname();
        Self {
            machine: uname.machine().to_string_lossy().into_owned(),
            release: uname.release().to_string_lossy().into_owned(),
            disks: PathBuf::from("/sys/class/block"),
        }
    }

    /// A name for a block device that is not open: that in its path, or any that there is.  LIO's tools look up
    /// whatever a backstore names, and list nothing at all where they find none.
    pub(crate) fn disk_at(&self, path: &str) -> Option<String> {
        let is_name = |name: &&str| !name.contains(['/', ':', ' ']) && !name.starts_with('.');
        let named = path.strip_prefix("/dev/").filter(is_name).map(str::to_owned);
        named.filter(|name| self.disks.join(name).exists()).or_else(|| {
            let entries = std::fs::read_dir(&self.disks).ok()?.filter_map(Result::ok);
            entries.filter_map(|entry| entry.file_name().into_string().ok()).min()
        })
    }

    /// Whether LIO of this kernel has [`RSOC`].
    fn has_rsoc(&self) -> bool {
        let mut numbers = self.release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        numbers.next().zip(numbers.next()).is_some_and(|release| release >= RSOC_SINCE)
    }
}

/// What something in the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file with this mode.
    File(u16),
    /// A symbolic link.
    Link,
}

/// LIO's tree over a daemon.
pub struct Tree {
    pub(crate) daemon: Arc<dyn Daemon>,
    pub(crate) host: Host,
    staged: Mutex<Staged>,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The tree as it is while this is held.
pub(crate) struct View<'a> {
    pub(crate) staged: &'a Staged,
    pub(crate) host: &'a Host,
    daemon: &'a dyn Daemon,
}

impl Tree {
    /// The tree over this daemon, on this host.
    #[must_use]
    pub fn new(daemon: Arc<dyn Daemon>, host: Host) -> Self {
        Self { daemon, host, staged: Mutex::default() }
    }

    /// What is staged, abreast of the configuration.
    pub(crate) fn staged(&self) -> MutexGuard<'_, Staged> {
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        staged.see(self.daemon.model());
        staged
    }

    /// Looks at the tree.
    pub(crate) fn view<R>(&self, look: impl FnOnce(&View<'_>) -> R) -> R {
        let staged = self.staged();
        look(&View { staged: &staged, host: &self.host, daemon: &*self.daemon })
    }

    /// Writes a line to the log for whoever finds an errno too short.
    pub(crate) fn tell(&self, what: &str, denied: &Denied) {
        tracing::info!("configfs: cannot {what}: {denied}");
    }

    /// Where a path leads, without following links.
    pub(crate) fn walk(&self, path: &str) -> Option<Node> {
        self.view(|view| {
            let mut at = Node::Dir(Dir::Root);
            for name in path.split('/').filter(|name| !name.is_empty()) {
                let Node::Dir(dir) = &at else { return None };
                at = view.child(dir, name)?;
            }
            Some(at)
        })
    }

    /// What is at a path below the root, such as `target/core`.
    #[must_use]
    pub fn kind(&self, path: &str) -> Option<Kind> {
        self.walk(path).map(|node| match node {
            Node::Dir(_) => Kind::Directory,
            Node::File(dir, name) => Kind::File(dir.mode(name)),
            Node::Link(..) => Kind::Link,
        })
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// ENOENT or ENOTDIR.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        match self.walk(path).ok_or(Errno::NOENT)? {
            Node::Dir(dir) => {
                let mut names: Vec<String> =
                    self.view(|view| view.children(&dir)).into_iter().map(|(name, _)| name).collect();
                names.sort_unstable();
                Ok(names)
            }
            Node::File(..) | Node::Link(..) => Err(Errno::NOTDIR),
        }
    }

    /// What a file says, or where a link leads.
    ///
    /// # Errors
    /// ENOENT, EISDIR, or what the kernel says where a file cannot be read now.
    pub fn read(&self, path: &str) -> Result<String, Errno> {
        match self.walk(path).ok_or(Errno::NOENT)? {
            Node::Dir(_) => Err(Errno::ISDIR),
            Node::File(dir, _) if dir.mode(file_name(path)) & 0o444 == 0 => Err(Errno::ACCESS),
            Node::File(dir, name) => self.view(|view| view.text(&dir, name)),
            Node::Link(dir, name) => self.view(|view| view.link(&dir, &name)).ok_or(Errno::NOENT),
        }
    }

    /// Writes to a file.
    ///
    /// # Errors
    /// Those of the kernel; then nothing has changed.
    pub fn write(&self, path: &str, text: &str) -> Result<(), Errno> {
        match self.walk(path).ok_or(Errno::NOENT)? {
            Node::Dir(_) => Err(Errno::ISDIR),
            Node::Link(..) => Err(Errno::INVAL),
            Node::File(dir, name) if dir.mode(name) & 0o222 == 0 => Err(Errno::ACCESS),
            Node::File(dir, name) => self.store(&dir, name, text),
        }
    }

    fn parent<'p>(&self, path: &'p str) -> Result<(Dir, &'p str), Errno> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.walk(parent).ok_or(Errno::NOENT)? {
            Node::Dir(dir) => Ok((dir, name)),
            Node::File(..) | Node::Link(..) => Err(Errno::NOTDIR),
        }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// Those of the kernel; then nothing has changed.
    pub fn mkdir(&self, path: &str) -> Result<(), Errno> {
        let (dir, name) = self.parent(path)?;
        self.make_dir(&dir, name).map(drop)
    }

    /// Removes a directory.
    ///
    /// # Errors
    /// Those of the kernel; then nothing has changed.
    pub fn rmdir(&self, path: &str) -> Result<(), Errno> {
        let (dir, name) = self.parent(path)?;
        self.remove_dir(&dir, name)
    }

    /// Makes a symbolic link at `path` that says `to`.
    ///
    /// # Errors
    /// Those of the kernel; then nothing has changed.
    pub fn symlink(&self, to: &str, path: &str) -> Result<(), Errno> {
        let (dir, name) = self.parent(path)?;
        self.make_link(&dir, name, to).map(drop)
    }

    /// Removes a symbolic link.
    ///
    /// # Errors
    /// Those of the kernel; then nothing has changed.
    pub fn unlink(&self, path: &str) -> Result<(), Errno> {
        let (dir, name) = self.parent(path)?;
        self.remove_link(&dir, name)
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl View<'_> {
    pub(crate) fn live(&self, id: &BackstoreId) -> Option<LiveBackstore> {
        self.daemon.backstore(id)
    }

    pub(crate) fn live_reservations(&self, id: &BackstoreId) -> LiveReservations {
        self.daemon.reservations(id).unwrap_or_default()
    }

    pub(crate) fn counted(&self, id: &BackstoreId) -> Option<Counters> {
        self.daemon.counted(id)
    }

    pub(crate) fn counted_at(&self, place: &Place) -> Option<Counters> {
        self.daemon.counted_at(place)
    }

    /// Whether a guest is connected to a target now.
    pub(crate) fn connected(&self, wwn: &Wwn) -> bool {
        self.daemon.connected(wwn)
    }

    /// Whether a directory is still there.
    pub(crate) fn has(&self, dir: &Dir) -> bool {
        let staged = self.staged;
        match dir {
            Dir::Root | Dir::Top | Dir::Core | Dir::CoreAlua | Dir::LuGroups => true,
            Dir::LuGroup(name) => self.has_lu_group(name),
            Dir::AluaGroup(device, name) => self.has_device(device) && self.has_alua_group(device, name),
            Dir::Hba(hba) => staged.hbas.contains_key(hba),
            Dir::Device(device, _) => self.has_device(device),
            Dir::Vhost | Dir::DiscoveryAuth => staged.vhost,
            Dir::Target(wwn, _) => staged.model.targets().contains_key(wwn),
            Dir::Tpg(wwn, tag, _) => staged.has_tpg(wwn, *tag),
            Dir::Lun(place, _) => self.has_lun(place),
            Dir::Acl(place, _) => self.acl(place).is_some() || self.is_session(place),
            Dir::AclLun(acl, lun, _) => {
                self.mapped(acl, *lun).is_some()
                    || (staged.mapped.contains_key(&(acl.clone(), *lun))
                        && (self.acl(acl).is_some() || self.is_session(acl)))
            }
            Dir::Iscsi | Dir::IscsiAuth => staged.iscsi,
        }
    }

    fn has_device(&self, device: &Device) -> bool {
        self.staged.devices.contains_key(device) || self.staged.configured(device).is_some()
    }

    fn has_lun(&self, place: &Place) -> bool {
        self.staged.luns.contains_key(place) || self.mapping(place).is_some()
    }

    pub(crate) fn mapping(&self, place: &Place) -> Option<&model::LunMapping> {
        self.staged.model.tpg(&place.wwn, place.tag).ok()?.luns.get(&place.lun)
    }

    /// An access control list of the configuration.
    pub(crate) fn acl(&self, place: &AclPlace) -> Option<&Acl> {
        self.staged.model.acl(place).ok()
    }

    /// A mapped LUN of the configuration.
    pub(crate) fn mapped(&self, acl: &AclPlace, lun: Lun) -> Option<&MappedLun> {
        self.acl(acl)?.luns.get(&lun)
    }

    /// Whether the guest of this name is connected now.
    pub(crate) fn is_session(&self, place: &AclPlace) -> bool {
        self.nexus(&place.wwn, place.tag) == Some(&place.initiator) && self.connected(&place.wwn)
    }

    /// The name of the guest's side of a target port group.
    /// Where LIO would complete the commands of a target.
    pub(crate) fn completion_affinity(&self, wwn: &Wwn) -> CompletionAffinity {
        self.staged.model.target(wwn).map(|target| target.completion_affinity).unwrap_or_default()
    }

    pub(crate) fn nexus(&self, wwn: &Wwn, tag: TpgTag) -> Option<&Wwn> {
        self.staged.model.tpg(wwn, tag).ok().map(|tpg| &tpg.nexus)
    }

    /// Whether a file that may be in one of two places is in this one.
    fn has_file(&self, dir: &Dir, file: &str) -> bool {
        match dir {
            Dir::Device(_, DevicePart::Attrib) if file == RSOC => self.host.has_rsoc(),
            Dir::Device(_, DevicePart::Whole) if file == RSOC => !self.host.has_rsoc(),
            _ => true,
        }
    }

    /// What a directory has under a name.
    pub(crate) fn child(&self, dir: &Dir, name: &str) -> Option<Node> {
        if !self.has(dir) {
            return None;
        }
        if let Some(file) = dir.file(name).filter(|file| self.has_file(dir, file)) {
            return Some(Node::File(dir.clone(), file));
        }
        if let Some(group) = dir.group(name) {
            return Some(Node::Dir(group));
        }
        let made = match dir {
            Dir::Top => match name {
                "vhost" => Dir::Vhost,
                "iscsi" => Dir::Iscsi,
                _ => return None,
            },
            Dir::Core => Dir::Hba(Hba::parse(name)?),
            Dir::Hba(hba) => {
                let device = Device { hba: *hba, name: BackstoreName::parse(name).ok()? };
                Dir::Device(device, DevicePart::Whole)
            }
            Dir::Device(device, DevicePart::Alua) => {
                Dir::AluaGroup(device.clone(), AluaGroupName::parse(name).ok()?)
            }
            Dir::LuGroups => Dir::LuGroup(AluaGroupName::parse(name).ok()?),
            Dir::Vhost => Dir::Target(parse_wwn(name)?, TargetPart::Whole),
            Dir::Target(wwn, TargetPart::Whole) => Dir::Tpg(wwn.clone(), parse_tpg(name)?, TpgPart::Whole),
            Dir::Tpg(wwn, tag, TpgPart::Luns) => Dir::Lun(lun_at(wwn, *tag, name)?, LunPart::Whole),
            Dir::Tpg(wwn, tag, TpgPart::Acls) => {
                let initiator = parse_wwn(name)?;
                Dir::Acl(AclPlace { wwn: wwn.clone(), tag: *tag, initiator }, AclPart::Whole)
            }
            Dir::Acl(acl, AclPart::Whole) => Dir::AclLun(acl.clone(), parse_lun(name)?, false),
            Dir::Lun(_, LunPart::Whole) | Dir::AclLun(_, _, false) => {
                let there = self.link_name(dir).is_some_and(|link| link == name);
                return there.then(|| Node::Link(dir.clone(), name.to_owned()));
            }
            _ => return None,
        };
        self.has(&made).then_some(Node::Dir(made))
    }

    /// All that a directory has.
    pub(crate) fn children(&self, dir: &Dir) -> Vec<(String, Node)> {
        if !self.has(dir) {
            return Vec::new();
        }
        let files = dir.files().iter().filter(|(name, _)| self.has_file(dir, name));
        let files = files.map(|(name, _)| ((*name).to_owned(), Node::File(dir.clone(), name)));
        let groups = dir
            .groups()
            .iter()
            .filter_map(|name| dir.group(name).map(|group| ((*name).to_owned(), Node::Dir(group))));
        let mut all: Vec<(String, Node)> = files.chain(groups).collect();
        all.extend(self.made(dir).into_iter().map(|(name, dir)| (name, Node::Dir(dir))));
        if let Some(link) = self.link_name(dir) {
            all.push((link.to_owned(), Node::Link(dir.clone(), link.to_owned())));
        }
        all
    }

    /// How many directories a directory has.
    pub(crate) fn directories(&self, dir: &Dir) -> usize {
        let staged = self.staged;
        // Those that may be many are not listed to be counted.
        let made = match dir {
            Dir::Core => staged.hbas.len(),
            Dir::Vhost => staged.model.targets().len(),
            Dir::Tpg(wwn, tag, TpgPart::Luns) => {
                let known = staged.model.tpg(wwn, *tag).map_or(0, |tpg| tpg.luns.len());
                known + staged.luns_of(wwn, *tag).count()
            }
            _ => self.made(dir).len(),
        };
        dir.groups().len() + made
    }

    /// The directories in it that somebody made.
    pub(crate) fn made(&self, dir: &Dir) -> Vec<(String, Dir)> {
        let staged = self.staged;
        match dir {
            Dir::Top => [("vhost", Dir::Vhost), ("iscsi", Dir::Iscsi)]
                .into_iter()
                .filter(|(_, dir)| self.has(dir))
                .map(|(name, dir)| (name.to_owned(), dir))
                .collect(),
            Dir::Core => staged.hbas.keys().map(|hba| (hba.to_string(), Dir::Hba(*hba))).collect(),
            Dir::Hba(hba) => {
                let configured = staged.hbas.get(hba).into_iter().flat_map(|info| &info.configured);
                let names = configured.chain(staged.unconfigured_of(*hba));
                let device = |name: &BackstoreName| Device { hba: *hba, name: name.clone() };
                names.map(|name| (name.to_string(), Dir::Device(device(name), DevicePart::Whole))).collect()
            }
            Dir::Device(device, DevicePart::Alua) => {
                let names = self.alua_groups_made(device).into_iter();
                names.map(|name| (name.to_string(), Dir::AluaGroup(device.clone(), name))).collect()
            }
            Dir::LuGroups => {
                let names = self.lu_groups_made().into_iter();
                names.map(|name| (name.to_string(), Dir::LuGroup(name))).collect()
            }
            Dir::Vhost => {
                let targets = staged.model.targets().keys();
                targets.map(|wwn| (wwn.to_string(), Dir::Target(wwn.clone(), TargetPart::Whole))).collect()
            }
            Dir::Target(wwn, TargetPart::Whole) => {
                let known =
                    staged.model.target(wwn).into_iter().flat_map(|target| target.tpgs.keys().copied());
                let only_here = staged.tpgs.iter().filter(|(of, _)| of == wwn).map(|(_, tag)| *tag);
                let tpg = |tag: TpgTag| (format!("tpgt_{tag}"), Dir::Tpg(wwn.clone(), tag, TpgPart::Whole));
                known.chain(only_here).map(tpg).collect()
            }
            Dir::Tpg(wwn, tag, TpgPart::Luns) => {
                let known = staged.model.tpg(wwn, *tag).into_iter().flat_map(|tpg| tpg.luns.keys().copied());
                let only_here = staged.luns_of(wwn, *tag).map(|(lun, _)| lun);
                let all = known.chain(only_here);
                all.map(|lun| (format!("lun_{lun}"), Dir::Lun(at(wwn, *tag, lun), LunPart::Whole))).collect()
            }
            Dir::Tpg(wwn, tag, TpgPart::Acls) => {
                let known = staged.model.tpg(wwn, *tag).into_iter().flat_map(|tpg| tpg.acls.keys());
                let mut names: BTreeSet<&Wwn> = known.collect();
                names.extend(self.nexus(wwn, *tag).filter(|_| self.connected(wwn)));
                let place = |name: &Wwn| AclPlace { wwn: wwn.clone(), tag: *tag, initiator: name.clone() };
                let acl = |name: &Wwn| (name.to_string(), Dir::Acl(place(name), AclPart::Whole));
                names.into_iter().map(acl).collect()
            }
            Dir::Acl(acl, AclPart::Whole) => {
                let known = self.acl(acl).into_iter().flat_map(|list| list.luns.keys().copied());
                let only_here = staged.mapped_of(acl).map(|(lun, _)| lun);
                let all: BTreeSet<Lun> = known.chain(only_here).collect();
                let dir = |lun: Lun| (format!("lun_{lun}"), Dir::AclLun(acl.clone(), lun, false));
                all.into_iter().map(dir).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The name of the link in a directory, if there is one.
    pub(crate) fn link_name(&self, dir: &Dir) -> Option<&str> {
        match dir {
            Dir::Lun(place, LunPart::Whole) => match self.staged.luns.get(place) {
                Some(link) => link.as_ref().map(|link| link.alias.as_str()),
                None => self.mapping(place).map(|mapping| mapping.alias.as_str()),
            },
            Dir::AclLun(acl, lun, false) => match self.mapped(acl, *lun) {
                Some(mapped) => Some(mapped.alias.as_str()),
                None => self.staged.mapped.get(&(acl.clone(), *lun))?.as_deref(),
            },
            _ => None,
        }
    }

    /// Where a link leads, as LIO writes it: relative, so that it holds wherever the tree is mounted.
    pub(crate) fn link(&self, dir: &Dir, name: &str) -> Option<String> {
        if self.link_name(dir)? != name {
            return None;
        }
        match dir {
            Dir::AclLun(acl, lun, _) => {
                let AclPlace { wwn, tag, initiator: _ } = acl;
                let lun = self.mapped(acl, *lun).map_or(*lun, |mapped| mapped.of);
                Some(format!("../../../../../../../target/vhost/{wwn}/tpgt_{tag}/lun/lun_{lun}"))
            }
            Dir::Lun(place, _) => {
                let staged = self.staged.luns.get(place).and_then(Option::as_ref).map(|link| &link.backstore);
                let id = staged.or_else(|| self.mapping(place).map(|mapping| &mapping.backstore))?;
                let home = self.staged.homes.get(id)?;
                Some(format!("../../../../../../target/core/{}/{}", home.hba, id.name))
            }
            _ => None,
        }
    }
}

fn at(wwn: &Wwn, tag: TpgTag, lun: Lun) -> Place {
    Place { wwn: wwn.clone(), tag, lun }
}

fn lun_at(wwn: &Wwn, tag: TpgTag, name: &str) -> Option<Place> {
    Some(at(wwn, tag, parse_lun(name)?))
}
