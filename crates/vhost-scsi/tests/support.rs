// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A target with units of the test's choice, served on a real socket.
//!
//! Above: the tests of this crate.  Below: `vhost-scsi`, `target`, `backstore`.
//! Never here: what a test claims.

#![allow(dead_code, reason = "each test uses its part")]

use backstore::decorate::{Fate, Judged};
use backstore::{Backstore, FileOptions, FileStore, NewFile, Ramdisk};
use initiator::deadline::Deadline;
use initiator::{Answer, Command, Guest, LunAddress, Options, commands};
use scsi::Lun;
use scsi::inquiry::Identity;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use target::{Group, LogicalUnit, LunMap, Mapping, Nexus, Store, UnitFlags, UnitState};
use vhost_scsi::{Bound, DeviceOffer, Endpoint, Reactors, TargetPort};

/// A target being served.
pub(crate) struct Rig {
    pub(crate) endpoint: Endpoint,
    pub(crate) reactors: Arc<Reactors>,
    pub(crate) directory: tempfile::TempDir,
}

/// A unit of a test, on one backstore.
pub(crate) struct Unit {
    pub(crate) store: Store,
    pub(crate) block_bytes: u32,
    pub(crate) flags: UnitFlags,
    pub(crate) state: Arc<UnitState>,
}

pub(crate) const FLAGS: UnitFlags =
    UnitFlags { write_cache: false, solid_state: false, ..UnitFlags::DEFAULT };

impl Unit {
    pub(crate) fn new(backstore: impl Backstore + 'static) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let write_cache = backstore.geometry().write_cache;
        Self {
            store: Store::new(NEXT.fetch_add(1, Ordering::Relaxed), Arc::new(backstore)),
            block_bytes: 512,
            flags: UnitFlags { write_cache, ..FLAGS },
            state: UnitState::volatile("serial"),
        }
    }

    pub(crate) fn ramdisk(bytes: u64) -> Self {
        Self::new(Ramdisk::new(bytes, false).unwrap())
    }

    pub(crate) fn file(path: &Path, bytes: u64, write_back: bool) -> Self {
        let create = Some(NewFile { bytes, sparse: true });
        Self::new(FileStore::open(&FileOptions { path: path.into(), create, write_back }).unwrap())
    }

    pub(crate) fn logical_unit(&self, name: &str) -> Arc<LogicalUnit> {
        let identity = Identity {
            vendor: Identity::ascii_field("LIO-ORG"),
            product: Identity::ascii_field(name),
            revision: Identity::ascii_field("4.0"),
            unit_serial: "3f9e2c5a-7d41-4f0e-9b7a-000000000004".into(),
            company_id: 0x00_1405,
        };
        let unit = LogicalUnit::new(self.store.clone(), identity, self.block_bytes, self.flags);
        Arc::new(unit.remembering(Arc::clone(&self.state)))
    }
}

/// A map with `units` as LUN 0, 1, … of target 1.
pub(crate) fn map(units: &[Unit]) -> LunMap {
    let mappings = units.iter().enumerate().map(|(lun, unit)| {
        let mapping = Mapping::new(unit.logical_unit("disk0"), false);
        (Lun::new(u16::try_from(lun).unwrap()).unwrap(), mapping)
    });
    let mut map = LunMap::default();
    map.insert(1, Group::new(nexus(), mappings));
    map
}

/// Two units with names of their own, for copies between them: 1 is LUN 0, 2 is LUN 1.
pub(crate) fn copy_rig(first: &Unit, second: &Unit) -> Rig {
    Rig::with_map(copy_map(nexus(), first, second))
}

/// The same as one nexus sees them.
pub(crate) fn copy_map(nexus: Nexus, first: &Unit, second: &Unit) -> LunMap {
    let mappings = [(0, first, "11"), (1, second, "22")].map(|(lun, unit, serial)| {
        let mut unit = Arc::into_inner(unit.logical_unit("disk")).unwrap();
        unit.identity.unit_serial = serial.into();
        (Lun::new(lun).unwrap(), Mapping::new(Arc::new(unit), false))
    });
    let mut map = LunMap::default();
    map.insert(1, Group::new(nexus, mappings));
    map
}

/// The nexus of a guest with target 1.
pub(crate) fn nexus() -> Nexus {
    Nexus::new("naa.6001405000000001", "naa.5001405000000001", 1, 1)
}

impl Rig {
    /// Serves `units` as LUN 0, 1, … of target 1.
    pub(crate) fn new(units: &[Unit]) -> Self {
        Self::with_map(map(units))
    }

    pub(crate) fn with_map(map: LunMap) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let reactors = Reactors::start(2).unwrap();
        let port = Arc::new(TargetPort::new("naa.5001405000000001".into(), map));
        let bound = Bound::bind(&directory.path().join("sock"), None).unwrap();
        let endpoint = bound.serve(port, Arc::clone(&reactors));
        Self { endpoint, reactors, directory }
    }

    /// Serves `units` from a target with a name of its own, whose device is this to a front end.
    pub(crate) fn offering(units: &[Unit], device: DeviceOffer) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0x100);
        let wwn = format!("naa.5001405{:09x}", NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::tempdir().unwrap();
        let reactors = Reactors::start(2).unwrap();
        let port = Arc::new(TargetPort::new(wwn, map(units)));
        port.offer(device);
        let bound = Bound::bind(&directory.path().join("sock"), None).unwrap();
        let endpoint = bound.serve(port, Arc::clone(&reactors));
        Self { endpoint, reactors, directory }
    }

    /// Serves `units` from another target on the same reactors.
    pub(crate) fn beside(&self, units: &[Unit]) -> Self {
        self.beside_with(map(units))
    }

    /// The same, with a map of its own.
    pub(crate) fn beside_with(&self, map: LunMap) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0x200);
        let wwn = format!("naa.5001405{:09x}", NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::tempdir().unwrap();
        let reactors = Arc::clone(&self.reactors);
        let bound = Bound::bind(&directory.path().join("sock"), None).unwrap();
        let endpoint = bound.serve(Arc::new(TargetPort::new(wwn, map)), Arc::clone(&reactors));
        Self { endpoint, reactors, directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.endpoint.path().to_path_buf()
    }

    pub(crate) fn boot(&self, options: Options) -> Guest {
        Guest::boot(self.path(), options).unwrap()
    }
}

/// What a command is answered.
pub(crate) fn run(guest: &mut Guest, command: &Command) -> Answer {
    guest.execute(command).unwrap()
}

/// The same, which must be GOOD.
pub(crate) fn good(guest: &mut Guest, command: &Command) -> Answer {
    let answer = run(guest, command);
    assert!(answer.is_good(), "{answer:?}");
    answer
}

/// Has a command end with a CHECK CONDITION of this key, code and qualifier.
pub(crate) fn refused(guest: &mut Guest, command: &Command, sense: [u8; 3]) {
    assert_eq!(run(guest, command).check_condition(), Some(sense));
}

/// Waits for what is promised.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Deadline::after(Duration::from_secs(30));
    while !holds() {
        assert!(!deadline.passed(), "never: {what}");
        std::thread::yield_now();
    }
}

/// Two guests with two nexuses on one unit, each with a target port of its own.
pub(crate) struct TwoGuests {
    pub(crate) one: Guest,
    pub(crate) two: Guest,
    /// Whether the medium hangs.
    pub(crate) hangs: Arc<AtomicBool>,
    pub(crate) rigs: [Rig; 2],
}

/// The same, where the medium hangs at first, with this TAS and what the unit remembers.
pub(crate) fn two_guests(tas: bool, state: Arc<UnitState>) -> TwoGuests {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let store =
        Judged::new(Ramdisk::new(1 << 20, false).unwrap(), move |_, _| Fate::Hang(Arc::clone(&switch)));
    let unit = Unit::new(store);
    let unit = Unit { flags: UnitFlags { tas, ..unit.flags }, state, ..unit };
    let unit = unit.logical_unit("disk0");
    let map = |number: u16| {
        let (initiator, target) =
            (format!("naa.600140500000000{number}"), format!("naa.500140500000000{number}"));
        let mut map = LunMap::default();
        let mapping = Mapping::new(Arc::clone(&unit), false);
        map.insert(1, Group::new(Nexus::new(initiator, target, 1, number), [(Lun::default(), mapping)]));
        map
    };
    let first = Rig::with_map(map(1));
    let second = first.beside_with(map(2));
    let (one, two) = (first.boot(Options::default()), second.boot(Options::default()));
    TwoGuests { one, two, hangs, rigs: [first, second] }
}

/// What a guest is told at a LUN, one TEST UNIT READY after the other.
pub(crate) fn told_at(guest: &mut Guest, lun: LunAddress) -> Vec<[u8; 3]> {
    let look = |guest: &mut Guest| run(guest, &commands::test_unit_ready(lun)).check_condition();
    std::iter::from_fn(|| look(guest)).collect()
}
