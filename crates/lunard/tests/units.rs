// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What units remember, on disk: it outlasts the daemon, and the host's power where it was asked to.
//!
//! Above: nothing.  Below: the store.
//! Never here: commands; a unit that cannot be kept refuses in `target`'s tests.

mod common;

use common::{Plane, ramdisk};
use lunard::directories::StateDir;
use lunard::start_error::StartError;
use lunard::store::{FILE_NAME, Store, Units};
use model::Model;
use redb::{Database, TableDefinition};
use scsi::sanitize::Overwrite;
use std::path::Path;
use target::{Held, Kind, NexusName, Registration, Reservations, Sanitize, Tray, UnitRecord};

const SERIAL: &str = "3f9e2c5a-7d41-4f0e-9b7a-000000000004";

fn nexus(relative_port: u16) -> NexusName {
    NexusName { initiator: format!("naa.600140500000000{relative_port}"), relative_port }
}

fn record(outlasts_power: bool) -> UnitRecord {
    let registration = |key, all_target_ports| Registration { key, all_target_ports, generation: 3 };
    let reservations = Reservations {
        registrations: [(nexus(1), registration(u64::MAX, true)), (nexus(2), registration(1, false))].into(),
        held: Some(Held { holder: nexus(2), kind: Kind::ExclusiveAccessRegistrants }),
        generation: 7,
        outlasts_power,
        legacy: Some(nexus(1)),
    };
    let tray = Tray { ejected: true, stopped: false, kept_by: [nexus(2)].into() };
    let overwrite = Some(Overwrite { invert: true, count: 3, pattern: vec![1, 2, 0xff] });
    let (unrestricted_exit, failed, done_bytes) = (true, outlasts_power, 4 << 20);
    let sanitize = Sanitize { overwrite, block_bytes: 512, unrestricted_exit, failed, done_bytes };
    UnitRecord { reservations, sanitize: Some(sanitize), tray, ..UnitRecord::default() }
}

/// Opens the database under a boot of the host.
fn open(directory: &Path, boot: &str) -> (StateDir, Store, Units) {
    let state_dir = StateDir::claim(directory).unwrap();
    let store = Store::open(&state_dir).unwrap();
    let units = store.units_of(boot).unwrap();
    (state_dir, store, units)
}

#[test]
fn a_restart_of_the_daemon_takes_nothing_away() {
    for outlasts_power in [false, true] {
        let scratch = tempfile::tempdir().unwrap();
        let (_state_dir, _store, units) = open(scratch.path(), "first boot");
        assert!(units.records.is_empty() && !units.lost_power);
        units.persist.save(SERIAL, &record(outlasts_power)).unwrap();
        drop((_state_dir, _store, units));
        let (_state_dir, _store, units) = open(scratch.path(), "first boot");
        assert_eq!(units.records, [(SERIAL.to_owned(), record(outlasts_power))].into());
        assert!(!units.lost_power);
    }
}

#[test]
fn a_restart_of_the_host_leaves_what_was_to_outlast_it() {
    let kept = record(true).reservations;
    for (outlasts_power, expected) in
        [(false, Reservations::default()), (true, Reservations { generation: 0, legacy: None, ..kept })]
    {
        let scratch = tempfile::tempdir().unwrap();
        let (state_dir, store, units) = open(scratch.path(), "first boot");
        units.persist.save(SERIAL, &record(outlasts_power)).unwrap();
        drop((state_dir, store, units));
        let (state_dir, store, units) = open(scratch.path(), "second boot");
        assert_eq!(units.records[SERIAL].reservations, expected);
        assert_eq!(units.records[SERIAL].modes, record(true).saved_modes);
        // The medium stays out, and nobody keeps it there.
        let tray = Tray { ejected: true, ..Tray::default() };
        assert_eq!(units.records[SERIAL].tray, tray);
        assert_eq!(units.records[SERIAL].sanitize, record(outlasts_power).sanitize);
        assert!(units.lost_power);
        // Another unit's change makes the second boot the one that counts, for all of them.
        units.persist.save("other", &record(false)).unwrap();
        drop((state_dir, store, units));
        for is_to_be_told in [true, false] {
            let (_state_dir, _store, units) = open(scratch.path(), "second boot");
            assert_eq!(units.records[SERIAL].reservations, expected);
            assert_eq!(units.records["other"], record(false));
            // A start that did not come through has told nobody.
            assert_eq!(units.lost_power, is_to_be_told);
            units.boot.note();
        }
    }
}

#[test]
fn a_restart_of_the_host_is_one_though_no_unit_keeps_anything_after_it() {
    let kept = record(true).reservations;
    for remembers in [false, true] {
        let scratch = tempfile::tempdir().unwrap();
        let (state_dir, store, units) = open(scratch.path(), "first boot");
        if remembers {
            units.persist.save(SERIAL, &record(true)).unwrap();
        }
        units.boot.note();
        drop((state_dir, store, units));
        for (boot, lost_power) in [("second boot", true), ("second boot", false), ("third boot", true)] {
            let (_state_dir, _store, units) = open(scratch.path(), boot);
            assert_eq!(units.lost_power, lost_power, "{boot}, {remembers}");
            let expected = Reservations { generation: 0, legacy: None, ..kept.clone() };
            let found = units.records.get(SERIAL).map(|record| &record.reservations);
            assert_eq!(found, remembers.then_some(&expected), "{boot}");
            units.boot.note();
        }
    }
}

#[test]
fn a_database_that_does_not_say_which_boot_was_told_of_means_the_one_that_wrote_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (state_dir, store, units) = open(scratch.path(), "first boot");
    units.persist.save(SERIAL, &record(true)).unwrap();
    drop((state_dir, store, units));
    let database = Database::open(scratch.path().join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    let host = TableDefinition::<&str, &str>::new("host");
    assert!(transaction.open_table(host).unwrap().remove("told_boot_id").unwrap().is_some());
    transaction.commit().unwrap();
    drop(database);
    for (boot, lost_power) in [("first boot", false), ("second boot", true), ("second boot", true)] {
        let (_state_dir, _store, units) = open(scratch.path(), boot);
        assert_eq!(units.lost_power, lost_power, "{boot}");
        units.persist.save(SERIAL, &record(true)).unwrap();
    }
}

#[test]
fn what_a_unit_remembers_goes_with_its_last_backstore() {
    let scratch = tempfile::tempdir().unwrap();
    let (state_dir, mut store, units) = open(scratch.path(), "boot");
    let model = Plane::drafted([ramdisk("r0")]);
    let serial = model.backstores().values().next().unwrap().unit_serial.to_string();
    let model = model.clone();
    store.save(&Model::default(), &model).unwrap();
    units.persist.save(&serial, &record(true)).unwrap();
    let more = Plane::drafted([ramdisk("r0"), ramdisk("r1")]);
    store.save(&model, &more).unwrap();
    assert!(store.units_of("boot").unwrap().records.contains_key(&serial));
    store.save(&more, &Model::default()).unwrap();
    assert!(store.units_of("boot").unwrap().records.is_empty());
    drop(state_dir);
}

#[test]
fn a_serial_number_that_is_new_remembers_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let model = Plane::drafted([ramdisk("r0")]).clone();
    let serial = model.backstores().values().next().unwrap().unit_serial.to_string();
    let (_state_dir, mut store, units) = open(scratch.path(), "boot");
    // What a command wanted that ended after the last backstore of its unit.
    units.persist.save(&serial, &record(true)).unwrap();
    store.save(&Model::default(), &model).unwrap();
    assert!(store.units_of("boot").unwrap().records.is_empty());
}

#[test]
fn a_database_that_is_closed_has_nothing_to_repair_though_units_have_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (_state_dir, store, units) = open(scratch.path(), "boot");
    units.persist.save(SERIAL, &record(true)).unwrap();
    // Of the byte after the magic number the second bit says that it must be repaired.
    let flags = || std::fs::read(scratch.path().join(FILE_NAME)).unwrap()[9];
    assert_eq!(flags() & 2, 2);
    drop(store.closing());
    assert_eq!(flags() & 2, 0);
    units.persist.save(SERIAL, &record(false)).unwrap_err();
}

#[test]
fn a_row_that_cannot_be_is_damage_and_the_unit_is_named() {
    const UNITS: TableDefinition<&str, &[u8]> = TableDefinition::new("units");
    let rows: [(&[u8], &str); 2] = [
        (b"{", "EOF"),
        (
            br#"{"reservations":{"generation":1,"outlasts_power":false,"registrations":[],"legacy":null,
            "held":{"holder":{"initiator":"naa.6001405000000001","relative_port":1},"kind":2}}}"#,
            "there is no reservation of type 2",
        ),
    ];
    for (row, why) in rows {
        let scratch = tempfile::tempdir().unwrap();
        drop(open(scratch.path(), "boot"));
        let database = Database::open(scratch.path().join(FILE_NAME)).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(UNITS).unwrap().insert(SERIAL, row).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let state_dir = StateDir::claim(scratch.path()).unwrap();
        let found = Store::open(&state_dir).unwrap().units_of("boot").map(|_| ());
        let Err(StartError::Damaged { what, .. }) = found else { panic!("{found:?}") };
        assert!(what.contains(SERIAL) && what.contains(why), "{what}");
    }
}
