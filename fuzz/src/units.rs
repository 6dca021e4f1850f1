// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The units that a front end or a guest that lies is given.
//!
//! Above: `chains`, `commands`, `connection`.
//! Below: ramdisks, a decorator that claims more than they do, and `segments`.
//! Never here: a disk that anything depends on.

use crate::segments::Segmented;
use backstore::{
    Abilities, Atomic, Backstore, BackstoreError, Channel, Completed, Extent, Geometry, Io, IoKind, Ramdisk,
    Submitted, Submitter, Token,
};
use scsi::Lun;
use scsi::inquiry::Identity;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use target::{
    Group, LogicalUnit, LunMap, Mapping, Nexus, NotPersisted, Persist, Store, UnitFlags, UnitRecord,
    UnitState,
};

/// Bytes of each disk.
pub(crate) const DISK_BYTES: u64 = 64 * 1024;

const FLAGS: UnitFlags = UnitFlags::DEFAULT;

/// All of them, for who needs no more than the way there.
pub(crate) fn many() -> LunMap {
    let units = Units::new();
    units.map
}

/// LUN 0 with blocks of 512 bytes, 1 with 4096, 2 for reading only, 3 that keeps nothing, 4 whose disk is missing, 5 whose
/// medium can be taken out, 6 that writes whole or not at all, 7 with physical blocks of 4096 bytes, 8 whose space gets scarce,
/// and 9 that is another way to LUN 0.  Through the second SCSI target six LUNs are ways to one more unit, which reach other blocks
/// of it.
pub(crate) struct Units {
    /// The way there.
    pub(crate) map: LunMap,
    /// What each LUN leads to.
    pub(crate) units: Vec<Unit>,
    /// The disks.
    pub(crate) disks: Vec<Store>,
    /// What is reached how of the last of `units`.
    pub(crate) segmented: Arc<Segmented>,
}

/// What one LUN leads to.
#[derive(Clone)]
pub(crate) struct Unit {
    /// What it remembers.
    pub(crate) state: Arc<UnitState>,
    /// Where that is kept.
    pub(crate) keeper: Arc<Keeper>,
    /// Which of [`Units::disks`] its blocks are on.
    pub(crate) disk: Option<usize>,
}

/// How many LUNs the first SCSI target has.
pub(crate) const LUNS: u8 = 10;
/// The second SCSI target.
pub(crate) const SECOND: u8 = 2;

impl Units {
    pub(crate) fn new() -> Self {
        let shares = Abilities { shares_space: true, ..ramdisk(false).abilities() };
        let whole = Abilities { atomic: Some(WHOLE), ..ramdisk(false).abilities() };
        let (small, large, protected) = (disk(1, false), disk(2, false), disk(3, false));
        let (nothing, removable) = (disk(4, true), disk(5, false));
        let whole = Store::new(6, Arc::new(Able(ramdisk(false), whole)));
        let (advanced, thin) = (disk(7, false), Store::new(8, Arc::new(Able(ramdisk(false), shares))));
        let second = Store::new(9, Arc::clone(&small.backstore));
        let read_only = UnitFlags { read_only: true, ..FLAGS };
        let loose = UnitFlags { removable: true, ..FLAGS };
        let unit = |store: &Store, block, flags| {
            LogicalUnit::new(store.clone(), identity(store.id.min(8)), block, flags)
        };
        let all = [
            unit(&small, 512, FLAGS),
            unit(&large, 4096, FLAGS),
            unit(&protected, 512, read_only),
            unit(&nothing, 512, FLAGS),
            LogicalUnit::missing(identity(10), 512, FLAGS),
            unit(&removable, 512, loose),
            unit(&whole, 512, FLAGS),
            unit(&advanced, 512, FLAGS).with_physical_blocks(4096),
            unit(&thin, 512, FLAGS),
            LogicalUnit::new(second, identity(1), 512, FLAGS),
        ];
        let disks = vec![small, large, protected, nothing, removable, whole, advanced, thin];
        Self::remembering(all, disks)
    }

    /// The same units, each with what it remembers, and one more; those with one serial number share that.
    fn remembering<const N: usize>(all: [LogicalUnit; N], mut disks: Vec<Store>) -> Self {
        let mut units: Vec<Unit> = Vec::new();
        let apart = disk(11, false);
        apart.backstore.write_at(0, &Segmented::contents()).expect("memory");
        disks.push(apart.clone());
        let apart = LogicalUnit::new(apart, identity(11), 512, FLAGS);
        let mut remembering = |unit: LogicalUnit| {
            let serial = unit.identity.unit_serial.as_str();
            let known = units.iter().find(|known| known.state.serial() == serial).cloned();
            let own = known.unwrap_or_else(|| {
                let keeper = Arc::<Keeper>::default();
                let persist = Arc::clone(&keeper);
                let state = UnitState::new(serial, UnitRecord::default(), persist);
                let id = unit.store.as_ref().map(|store| store.id);
                Unit { state, keeper, disk: disks.iter().position(|disk| Some(disk.id) == id) }
            });
            let unit = unit.remembering(Arc::clone(&own.state));
            units.push(own);
            unit
        };
        let mut map = map(all.map(&mut remembering));
        let apart = remembering(apart);
        let keeper = units.last().map(|unit| Arc::clone(&unit.keeper)).unwrap_or_default();
        let (group, segmented) = Segmented::new(apart, keeper);
        map.insert(SECOND, group);
        Self { map, units, disks, segmented }
    }
}

/// Where a record outlasts the process, unless that fails.
#[derive(Default)]
pub(crate) struct Keeper {
    /// Whether it fails from now on.
    pub(crate) fails: AtomicBool,
    /// How often it has failed.
    pub(crate) failures: AtomicU32,
    kept: Mutex<UnitRecord>,
}

impl Keeper {
    /// What would be there after a crash.
    pub(crate) fn kept(&self) -> UnitRecord {
        self.kept.lock().expect("nobody panics with it").clone()
    }
}

impl Persist for Keeper {
    fn save(&self, _: &str, record: &UnitRecord) -> Result<(), NotPersisted> {
        if self.fails.load(Ordering::SeqCst) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            return Err(NotPersisted);
        }
        *self.kept.lock().expect("nobody panics with it") = record.clone();
        Ok(())
    }
}

/// What LUN 6 writes whole or not at all.
const WHOLE: Atomic = Atomic { bytes_min: 1024, bytes_max: 8192 };

/// A ramdisk that can what it says.
struct Able(Ramdisk, Abilities);

impl Backstore for Able {
    fn geometry(&self) -> &Geometry {
        self.0.geometry()
    }

    fn channel(&self, key: u32) -> Box<dyn Channel> {
        Box::new(AbleChannel(self.0.channel(key)))
    }

    fn abilities(&self) -> Abilities {
        self.1
    }

    fn extent(&self, offset: u64) -> Result<Extent, BackstoreError> {
        self.0.extent(offset)
    }

    fn zero(&self, offset: u64, bytes: u64, discard: bool) -> Result<(), BackstoreError> {
        self.0.zero(offset, bytes, discard)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), BackstoreError> {
        self.0.write_at(offset, data)
    }

    fn flush(&self) -> Result<(), BackstoreError> {
        self.0.flush()
    }
}

struct AbleChannel(Box<dyn Channel>);

impl Channel for AbleChannel {
    fn submit(&mut self, submitter: &mut Submitter, io: Io, token: Token) -> Submitted {
        if let IoKind::WriteWhole { .. } = io.kind {
            // What a kernel takes with RWF_ATOMIC, and nothing else.
            let (bytes, range) = (io.buffer.bytes(), u64::from(WHOLE.bytes_min)..=u64::from(WHOLE.bytes_max));
            let taken = bytes.is_power_of_two() && range.contains(&bytes) && io.offset.is_multiple_of(bytes);
            assert!(taken, "{bytes} bytes at {} cannot be written whole", io.offset);
        }
        self.0.submit(submitter, io, token)
    }

    fn completed(&mut self, submitter: &mut Submitter, operation: u32, result: i32) -> Option<Completed> {
        self.0.completed(submitter, operation, result)
    }

    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }
}

/// One disk, known by `id`.
pub(crate) fn one(id: u64) -> LunMap {
    map([LogicalUnit::new(disk(id, false), identity(id), 512, FLAGS)])
}

fn disk(id: u64, nullio: bool) -> Store {
    Store::new(id, Arc::new(ramdisk(nullio)))
}

fn ramdisk(nullio: bool) -> Ramdisk {
    Ramdisk::new(DISK_BYTES, nullio).expect("memory")
}

fn identity(number: u64) -> Identity {
    Identity {
        vendor: Identity::ascii_field("LIO-ORG"),
        product: Identity::ascii_field("fuzz"),
        revision: Identity::ascii_field("4.0"),
        // In the NAA designator too each is another, and none has a byte that a guest cannot send (`Guest::write`).
        unit_serial: format!("{number:08x}-7d41-4f0e-9b7a-3f9e2d5a0001").as_str().into(),
        company_id: 0x00_1405,
    }
}

/// The NAA designator of the unit with that number.
pub(crate) fn name(number: u8) -> [u8; 16] {
    let digit = (number << 4) | 0x07;
    [0x60, 0x01, 0x40, 0x50, 0, 0, 0, digit, 0xd4, 0x14, 0xf0, 0xe9, 0xb7, 0xa3, 0xf9, 0xe2]
}

fn map<const N: usize>(units: [LogicalUnit; N]) -> LunMap {
    let nexus = Nexus::new("naa.6001405000000001", "naa.5001405000000001", 1, 1);
    let mappings = (0..)
        .zip(units)
        .map(|(lun, unit)| (Lun::new(lun).expect("a small LUN"), Mapping::new(Arc::new(unit), false)));
    let mut map = LunMap::default();
    map.insert(1, Group::new(nexus, mappings));
    map
}
