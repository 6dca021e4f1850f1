// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel has to forget when another door changes something.
//!
//! Above: `mount`.  Below: `fuser`'s notifications.
//! Never here: a wait of anybody else.  A notification may have to wait for a request on the same directory; it
//! has a thread of its own for that.
//!
//! Only what goes is told: the kernel is never told that a name is free, so it asks for what comes.

use crate::fuse::Shared;
use crate::node::{Device, DevicePart, Dir, Hba, LunPart, Node, TargetPart, TpgPart};
use fuser::{INodeNo, Notifier};
use model::{BackstoreId, Model, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};

/// A name in a directory.
type Entry = (Dir, String);

/// The configuration as the kernel may remember it.
struct Seen {
    model: Arc<Model>,
    homes: BTreeMap<BackstoreId, Hba>,
}

impl Seen {
    fn now(shared: &Shared) -> Self {
        let staged = shared.tree.staged();
        let homes = staged.homes.iter().map(|(id, home)| (id.clone(), home.hba)).collect();
        Self { model: Arc::clone(&staged.model), homes }
    }

    /// Every name that the configuration gives, or may have given.
    fn entries(&self) -> BTreeSet<Entry> {
        let mut entries = BTreeSet::new();
        for (id, hba) in &self.homes {
            entries.insert((Dir::Core, hba.to_string()));
            entries.insert((Dir::Hba(*hba), id.name.to_string()));
            let device = || Device { hba: *hba, name: id.name.clone() };
            let groups =
                self.model.backstores().get(id).into_iter().flat_map(|backstore| backstore.alua.iter());
            for (group, _) in groups {
                entries.insert((Dir::Device(device(), DevicePart::Alua), group.to_string()));
            }
        }
        entries.extend(self.model.lu_groups().keys().map(|group| (Dir::LuGroups, group.to_string())));
        for (wwn, target) in self.model.targets() {
            entries.insert((Dir::Vhost, wwn.to_string()));
            for (tag, tpg) in &target.tpgs {
                entries.insert((Dir::Target(wwn.clone(), TargetPart::Whole), format!("tpgt_{tag}")));
                for (lun, mapping) in &tpg.luns {
                    entries.insert((Dir::Tpg(wwn.clone(), *tag, TpgPart::Luns), format!("lun_{lun}")));
                    let place = Place { wwn: wwn.clone(), tag: *tag, lun: *lun };
                    entries.insert((Dir::Lun(place, LunPart::Whole), mapping.alias.to_string()));
                }
            }
        }
        entries
    }
}

/// Runs until the sender is gone, or the mount is.
pub(crate) fn run(shared: &Weak<Shared>, notifier: &Notifier, changed: &Receiver<()>) {
    let Some(mut seen) = shared.upgrade().map(|shared| Seen::now(&shared)) else { return };
    while changed.recv().is_ok() {
        // Several changes are looked at once.
        while changed.try_recv().is_ok() {}
        let Some(shared) = shared.upgrade() else { return };
        let now = Seen::now(&shared);
        if !Arc::ptr_eq(&now.model, &seen.model) {
            tell(&shared, notifier, &seen, &now);
        }
        seen = now;
    }
}

fn tell(shared: &Shared, notifier: &Notifier, was: &Seen, is: &Seen) {
    let (before, after): (BTreeSet<Entry>, BTreeSet<Entry>) = (was.entries(), is.entries());
    let mut directories: BTreeSet<u64> = BTreeSet::new();
    for (dir, name) in before.symmetric_difference(&after) {
        let Some(parent) = shared.inodes().known(&Node::Dir(dir.clone())) else { continue };
        directories.insert(parent);
        if shared.tree.view(|view| view.child(dir, name)).is_none() {
            // The kernel may have forgotten by itself, or the mount may be gone.
            let _ = notifier.inval_entry(INodeNo(parent), OsStr::new(name));
        }
    }
    for number in directories {
        // The number of links of a directory is the number of directories in it.
        let _ = notifier.inval_inode(INodeNo(number), -1, 0);
    }
}
