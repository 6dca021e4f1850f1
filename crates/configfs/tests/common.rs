// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon without guests, and the tree over it as text.
//!
//! Above: the tests beside this file.  Below: `model`.
//! Never here: a claim.
#![allow(dead_code, reason = "each test file uses a part")]

use configfs::{Counters, Daemon, Denied, Host, LiveBackstore, LiveDevice, LiveReservations, NodeKind, Tree};
use model::{BackstoreId, Change, Key, Kind, Model, Place, Wwn};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// A daemon that carries everything out at once.
#[derive(Default)]
pub(crate) struct Plane {
    model: Mutex<Arc<Model>>,
    /// Each transaction that was asked for.
    pub(crate) asked: Mutex<Vec<Vec<String>>>,
    pub(crate) connected: Mutex<bool>,
    pub(crate) missing: Mutex<bool>,
    pub(crate) transitioning: Mutex<BTreeSet<u16>>,
    pub(crate) reservations: Mutex<BTreeMap<BackstoreId, LiveReservations>>,
    /// What was counted for everything.
    pub(crate) counters: Mutex<Option<Counters>>,
}

impl Plane {
    pub(crate) fn set(&self, change: Change) {
        let mut model = self.model.lock().unwrap();
        *model = Arc::new(model.apply(change).unwrap());
    }

    /// What a medium cannot do is known now.
    pub(crate) fn learn_limits(&self, id: &BackstoreId, beyond: &[Key]) {
        Arc::make_mut(&mut *self.model.lock().unwrap()).learn_limits(id, beyond);
    }

    pub(crate) fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Daemon for Plane {
    fn model(&self) -> Arc<Model> {
        Arc::clone(&self.model.lock().unwrap())
    }

    fn backstore(&self, id: &BackstoreId) -> Option<LiveBackstore> {
        let model = self.model();
        let backstore = model.backstores().get(id)?;
        Some(LiveBackstore {
            size_bytes: backstore.medium.size_bytes().unwrap_or(14 << 30),
            block_bytes: 512,
            physical_block_bytes: 512,
            read_only: false,
            device: (id.kind == Kind::Block && !*self.missing.lock().unwrap()).then(|| LiveDevice {
                name: "dm-0".to_owned(),
                major: 252,
                minor: 0,
                block_bytes: 512,
                rotational: true,
            }),
            transitioning: self.transitioning.lock().unwrap().clone(),
        })
    }

    fn connected(&self, _: &Wwn) -> bool {
        *self.connected.lock().unwrap()
    }

    fn reservations(&self, id: &BackstoreId) -> Option<LiveReservations> {
        self.reservations.lock().unwrap().get(id).cloned()
    }

    fn counted(&self, _: &BackstoreId) -> Option<Counters> {
        *self.counters.lock().unwrap()
    }

    fn counted_at(&self, _: &Place) -> Option<Counters> {
        *self.counters.lock().unwrap()
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), Denied> {
        self.asked.lock().unwrap().push(changes.iter().map(Change::to_string).collect());
        if *self.missing.lock().unwrap() {
            return Err(Denied::Fault { message: "it does not exist".to_owned(), errno: Errno::NOENT });
        }
        let mut model = self.model.lock().unwrap();
        let mut after = Model::clone(&model);
        for change in changes {
            after.make(change)?;
        }
        *model = Arc::new(after);
        Ok(())
    }
}

/// The tree of the machine that LIO's was recorded on.
pub(crate) fn tree() -> (Arc<Plane>, Tree) {
    tree_on("6.1.0-56-amd64")
}

/// The tree of one with another kernel.
pub(crate) fn tree_on(release: &str) -> (Arc<Plane>, Tree) {
    let plane = Arc::new(Plane::default());
    // The devices of this process are as good a list as any.
    let disks = "/dev/fd".into();
    let host = Host { machine: "x86_64".to_owned(), release: release.to_owned(), disks };
    (Arc::clone(&plane), Tree::new(plane, host))
}

/// Makes what the recorded tree has, in the order in which it was made there.
pub(crate) fn furnish(tree: &Tree) {
    let devices = [
        (
            "fileio_0",
            "disk0",
            "fd_dev_name=/tmp/d.img,fd_dev_size=16777216,fd_buffered_io=1",
            "/tmp/d.img",
            1,
        ),
        ("iblock_0", "disk1", "udev_path=/dev/vda", "/dev/vda", 2),
        ("rd_mcp_0", "ram0", "rd_pages=2048", "", 3),
    ];
    tree.mkdir("target/vhost").unwrap();
    let tpg = "target/vhost/naa.5001405aabbccdd0/tpgt_1";
    tree.mkdir("target/vhost/naa.5001405aabbccdd0").unwrap();
    tree.mkdir(tpg).unwrap();
    tree.write(&format!("{tpg}/nexus"), "naa.5001405aabbccdd1\n").unwrap();
    for (lun, (hba, name, control, udev_path, serial)) in devices.into_iter().enumerate() {
        let device = format!("target/core/{hba}/{name}");
        tree.mkdir(&format!("target/core/{hba}")).unwrap();
        tree.mkdir(&device).unwrap();
        tree.write(&format!("{device}/control"), control).unwrap();
        tree.write(&format!("{device}/udev_path"), udev_path).unwrap();
        tree.write(&format!("{device}/enable"), "1\n").unwrap();
        let serial = format!("3f9e2c5a-7d41-4f0e-9b7a-{serial:012}");
        tree.write(&format!("{device}/wwn/vpd_unit_serial"), &serial).unwrap();
        tree.mkdir(&format!("{tpg}/lun/lun_{lun}")).unwrap();
        let link = if lun == 2 { "v" } else { "virtual_scsi_port" };
        let to = format!("/sys/kernel/config/{device}");
        tree.symlink(&to, &format!("{tpg}/lun/lun_{lun}/{link}")).unwrap();
    }
}

/// What the tree has, in the form of the recordings: what is at each path.
pub(crate) fn dump(tree: &Tree, at: &str, into: &mut BTreeMap<String, String>) {
    let said = match tree.kind(at).unwrap() {
        NodeKind::Directory => {
            for name in tree.list(at).unwrap() {
                dump(tree, &format!("{at}/{name}"), into);
            }
            "D 755".to_owned()
        }
        NodeKind::File(0o200) => "F 200  (write-only)".to_owned(),
        NodeKind::File(mode) => match tree.read(at) {
            Ok(text) => format!("F {mode:o} = {}", text.trim_end()),
            Err(errno) => format!("F {mode:o} !! {}", std::io::Error::from(errno)),
        },
        NodeKind::Link => format!("L -> {}", tree.read(at).unwrap()),
    };
    into.insert(at.to_owned(), said);
}

/// A recording in the same form.
pub(crate) fn recorded(text: &str) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        if let Some(more) = line.strip_prefix("        | ") {
            let said = all.get_mut(&last).unwrap();
            said.push_str(if said.ends_with("= ") { "" } else { "\n" });
            said.push_str(more);
            continue;
        }
        let (kind, rest) = line.split_once(' ').unwrap();
        let (path, said) = match kind {
            "D" => (rest.trim_start_matches("755 ").trim_end_matches('/'), "D 755".to_owned()),
            "L" => {
                let (path, to) = rest.trim_start().split_once(" -> ").unwrap();
                (path, format!("L -> {to}"))
            }
            _ => {
                let (mode, rest) = rest.split_once(' ').unwrap();
                let (path, said) = rest.split_once(' ').unwrap();
                let said = if said == "=" { "= " } else { said };
                (path, format!("F {mode} {said}"))
            }
        };
        path.clone_into(&mut last);
        all.insert(last.clone(), said);
    }
    all.into_iter().map(|(path, said)| (path, said.trim_end().to_owned())).collect()
}

/// Refused twice, and nothing is different.
pub(crate) fn check_refused(tree: &Tree, what: &str, errno: Errno, ask: impl Fn() -> Result<(), Errno>) {
    let before = whole(tree);
    assert_eq!(ask(), Err(errno), "{what}");
    assert_eq!(ask(), Err(errno), "{what}, again");
    assert_eq!(whole(tree), before, "{what}");
}

fn whole(tree: &Tree) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    dump(tree, "target", &mut all);
    all.retain(|path, _| !path.ends_with("creation_time"));
    all
}
