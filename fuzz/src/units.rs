// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The units that a front end or a guest that lies is given.
//!
//! Above: `chains`, `commands`, `connection`.
//! Below: ramdisks.
//! Never here: a disk that anything depends on.

use backstore::Ramdisk;
use scsi::Lun;
use scsi::inquiry::Identity;
use scsi::mode::UaInterlock;
use std::sync::Arc;
use target::{Group, LogicalUnit, LunMap, Mapping, Nexus, Store, UnitFlags};

/// Bytes of each disk.
pub(crate) const DISK_BYTES: u64 = 64 * 1024;

const FLAGS: UnitFlags = UnitFlags {
    write_cache: true,
    fua_write: true,
    solid_state: true,
    read_only: false,
    removable: false,
    tas: true,
    ua_interlock: UaInterlock::Clear,
    report_supported_operation_codes: true,
    reservations: true,
    force_registrations_to_outlast_power: false,
};

/// LUN 0 with blocks of 512 bytes, 1 with 4096, 2 for reading only, 3 that keeps nothing, 4 whose disk is missing.
pub(crate) fn many() -> LunMap {
    many_with_disks().0
}

/// The same, and the disks.
pub(crate) fn many_with_disks() -> (LunMap, Vec<Store>) {
    let read_only = UnitFlags { read_only: true, ..FLAGS };
    let disks = [disk(1, false), disk(2, false), disk(3, false), disk(4, true)];
    let [small, large, protected, nothing] = disks.clone();
    let map = map([
        LogicalUnit::new(small, identity(), 512, FLAGS),
        LogicalUnit::new(large, identity(), 4096, FLAGS),
        LogicalUnit::new(protected, identity(), 512, read_only),
        LogicalUnit::new(nothing, identity(), 512, FLAGS),
        LogicalUnit::missing(identity(), 512, FLAGS),
    ]);
    (map, disks.into())
}

/// One disk, known by `id`.
pub(crate) fn one(id: u64) -> LunMap {
    map([LogicalUnit::new(disk(id, false), identity(), 512, FLAGS)])
}

fn disk(id: u64, nullio: bool) -> Store {
    Store::new(id, Arc::new(Ramdisk::new(DISK_BYTES, nullio).expect("memory")))
}

fn identity() -> Identity {
    Identity {
        vendor: Identity::ascii_field("LIO-ORG"),
        product: Identity::ascii_field("fuzz"),
        revision: Identity::ascii_field("4.0"),
        unit_serial: "3f9e2c5a-7d41-4f0e-9b7a-000000000004".into(),
        company_id: 0x00_1405,
    }
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
