// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration on disk: what was saved is there, and what is damaged is never taken for whole.

mod common;

use common::{Plane, block, fileio, map, ramdisk, set_option, set_parameter, target};
use lunard::directories::StateDir;
use lunard::start_error::StartError;
use lunard::store::{FILE_NAME, Store};
use model::{Change, Foreign, IdentityKey, Key, Model};
use redb::{Database, ReadableDatabase, TableDefinition};
use std::collections::BTreeMap;
use std::path::Path;

const WWN: &str = "naa.500140568720f76f";

const INITIATOR: &str = "naa.5001405aaaaaaaaa";

fn acl() -> api::v1::Change {
    api::v1::Change::CreateAcl { wwn: WWN.to_owned(), tag: 1, initiator: INITIATOR.to_owned() }
}

fn map_acl_lun(lun: Option<u16>, of: u16, write_protect: bool) -> api::v1::Change {
    let (wwn, initiator) = (WWN.to_owned(), INITIATOR.to_owned());
    api::v1::Change::MapAclLun { wwn, tag: 1, initiator, lun, of, write_protect }
}

/// Something of everything.
fn furnished() -> Model {
    let set = |name: &str, attribute: &str, value: &str| api::v1::Change::SetAttribute {
        id: common::id(api::v1::Kind::Ramdisk, name),
        attribute: attribute.to_owned(),
        value: value.to_owned(),
    };
    let wishes = [
        ramdisk("r0"),
        set("r0", "block_size", "4096"),
        set("r0", "optimal_sectors", "2048"),
        set("r0", "emulate_tas", "0"),
        ramdisk("a-name-of-more-than-fifteen"),
        fileio("f0", "/srv/f0.img", Some(1 << 30)),
        block("disk0", "/dev/disk/by-id/dm-uuid-mpath-36005076306ffc7630000000000002000"),
        target(WWN),
        set_option(WWN, "num_queues", "4"),
        set_option(WWN, "virtqueue_size", "256"),
        set_parameter(WWN, "cmd_completion_affinity", "-2"),
        map(WWN, None, api::v1::Kind::Block, "disk0"),
        map(WWN, Some(300), api::v1::Kind::Ramdisk, "r0"),
        target("naa.5001405000000001"),
        acl(),
        map_acl_lun(None, 0, false),
        map_acl_lun(Some(9), 300, true),
    ];
    let things = BTreeMap::from([("target iscsi/iqn.x".to_owned(), "{\"wwn\":\"iqn.x\"}".to_owned())]);
    let is = Foreign::new(things).unwrap();
    Plane::drafted(wishes).apply(Change::KeepForeign { was: Foreign::default(), is }).unwrap()
}

fn reopen(directory: &Path) -> Result<Model, StartError> {
    let state_dir = StateDir::claim(directory)?;
    Store::open(&state_dir)?.load()
}

/// Saves `model` in a new database.
fn save(directory: &Path, model: &Model) {
    let state_dir = StateDir::claim(directory).unwrap();
    Store::open(&state_dir).unwrap().save(&Model::default(), model).unwrap();
}

#[test]
fn a_new_database_is_empty() {
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(reopen(scratch.path()).unwrap(), Model::default());
    assert_eq!(reopen(scratch.path()).unwrap(), Model::default());
}

#[test]
fn what_was_saved_is_loaded_in_every_word() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    let loaded = reopen(scratch.path()).unwrap();
    assert_eq!(loaded, furnished());
    let r0 = loaded.backstores().values().find(|backstore| backstore.name.as_str() == "r0").unwrap();
    assert_eq!(r0.attribute(Key::OptimalSectors), Some(2048));
}

#[test]
fn a_map_of_blocks_of_the_greatest_length_is_loaded_again() {
    // As a file of LIO's tree has it: a line of 4 bytes, 291 of 14 and one of 18.
    let lines: String = (1000..1291).map(|block| format!("{block} {block} 0:O\n")).collect();
    let lba_map = format!("0 0\n{lines}100000 100000 0:O\n");
    assert_eq!(lba_map.len(), 4096);
    let id = common::id(api::v1::Kind::Ramdisk, "r0");
    let model = Plane::drafted([ramdisk("r0"), api::v1::Change::SetLbaMap { id, lba_map }]);
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &model);
    assert_eq!(reopen(scratch.path()).unwrap(), model);
}

#[test]
fn a_target_without_options_is_written_as_the_first_version_wrote_it() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    let database = Database::open(scratch.path().join(FILE_NAME)).unwrap();
    let targets: TableDefinition<&str, &[u8]> = TableDefinition::new("targets");
    let table = database.begin_read().unwrap().open_table(targets).unwrap();
    let row = |wwn: &str| String::from_utf8(table.get(wwn).unwrap().unwrap().value().to_vec()).unwrap();
    assert_eq!(row("naa.5001405000000001"), "{}");
    assert_eq!(row(WWN), r#"{"options":{"num_queues":4,"virtqueue_size":256},"completion_affinity":-2}"#);
}

#[test]
fn a_group_without_access_control_lists_is_written_as_the_first_version_wrote_it() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    let database = Database::open(scratch.path().join(FILE_NAME)).unwrap();
    let tpgs: TableDefinition<(&str, u8), &[u8]> = TableDefinition::new("tpgs");
    let table = database.begin_read().unwrap().open_table(tpgs).unwrap();
    let row = |wwn: &str| String::from_utf8(table.get((wwn, 1)).unwrap().unwrap().value().to_vec()).unwrap();
    let plain = row("naa.5001405000000001");
    assert!(
        plain.starts_with(r#"{"nexus":"naa.5001405"#) && plain.ends_with(r#","relative_port":2}"#),
        "{plain}"
    );
    let list = row(WWN);
    assert!(list.contains(r#""acls":{"naa.5001405aaaaaaaaa":{"0":{"of":0,"alias":""#), "{list}");
    assert!(
        list.contains(r#""9":{"of":300,"alias":""#) && list.contains(r#""write_protect":true}}}"#),
        "{list}"
    );
}

#[test]
fn a_mapped_lun_of_no_lun_is_damage_and_the_group_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    edit(&scratch.path().join(FILE_NAME), |transaction| {
        let table: TableDefinition<(&str, u8, u16), &[u8]> = TableDefinition::new("luns");
        transaction.open_table(table).unwrap().remove((WWN, 1, 300)).unwrap();
    });
    let err = reopen(scratch.path()).unwrap_err().to_string();
    let what = "TPG 1 of naa.500140568720f76f: Invalid LUN: naa.500140568720f76f/tpg1/lun300 does not exist";
    assert!(err.ends_with(what), "{err}");
}

#[test]
fn an_option_that_cannot_be_is_damage_and_the_target_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    for (row, what) in [
        (r#"{"options":{"num_queues":255}}"#, "option num_queues of naa.500140568720f76f cannot be '255'"),
        (r#"{"options":{"queues":1}}"#, "No option 'queues' on target naa.500140568720f76f"),
    ] {
        edit(&scratch.path().join(FILE_NAME), |transaction| {
            let targets: TableDefinition<&str, &[u8]> = TableDefinition::new("targets");
            transaction.open_table(targets).unwrap().insert(WWN, row.as_bytes()).unwrap();
        });
        let err = reopen(scratch.path()).unwrap_err().to_string();
        assert!(err.contains(&format!("target {WWN}: {what}")), "{err}");
    }
}

#[test]
fn a_save_takes_away_what_is_no_more() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    {
        let state_dir = StateDir::claim(scratch.path()).unwrap();
        let mut store = Store::open(&state_dir).unwrap();
        store.save(&furnished(), &Model::default()).unwrap();
    }
    assert_eq!(reopen(scratch.path()).unwrap(), Model::default());
}

#[test]
fn a_second_daemon_is_kept_out() {
    let scratch = tempfile::tempdir().unwrap();
    let state_dir = StateDir::claim(scratch.path()).unwrap();
    let _store = Store::open(&state_dir).unwrap();
    let err = reopen(scratch.path()).unwrap_err();
    assert!(matches!(err, StartError::StateDirInUse { .. }), "{err:?}");
    let message = format!("the state directory {} is in use by another lunard", scratch.path().display());
    assert_eq!(err.to_string(), message);
}

#[test]
fn the_databases_own_lock_keeps_a_second_daemon_out_too() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    let _other = Database::open(scratch.path().join(FILE_NAME)).unwrap();
    assert!(matches!(reopen(scratch.path()), Err(StartError::StateDirInUse { .. })));
}

#[test]
fn a_crash_between_persist_and_commit_leaves_the_new_configuration() {
    let scratch = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.apply([ramdisk("r0")]).unwrap();
    // What the disk holds at this moment is what a crash leaves: nothing was closed in an orderly way.
    std::fs::copy(scratch.path().join(FILE_NAME), crashed.path().join(FILE_NAME)).unwrap();
    assert_eq!(reopen(crashed.path()).unwrap(), *plane.model());
    assert_eq!(plane.model().backstores().len(), 1);
}

#[test]
fn a_crash_while_the_database_is_made_is_no_damage() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("lunar.redb.new"), b"half").unwrap();
    assert_eq!(reopen(scratch.path()).unwrap(), Model::default());
}

#[test]
fn what_is_no_database_is_named() {
    for (bytes, what) in [
        (b"".as_slice(), "it is empty"),
        (b"{\"targets\": []}", "it is not a database"),
        ([0; 8192].as_slice(), "it is not a database"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(FILE_NAME);
        std::fs::write(&path, bytes).unwrap();
        let err = reopen(scratch.path()).unwrap_err();
        assert!(matches!(err, StartError::Damaged { .. }), "{err:?}");
        assert_eq!(err.to_string(), format!("the database {} is damaged: {what}", path.display()));
        let hint = err.hint().unwrap();
        assert!(hint.starts_with(&format!("move it away ({})", path.display())), "{hint}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing was written to it");
    }
}

#[test]
fn a_database_of_somebody_else_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let database = Database::create(scratch.path().join(FILE_NAME)).unwrap();
    let table: TableDefinition<u8, u8> = TableDefinition::new("other");
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let err = reopen(scratch.path()).unwrap_err();
    assert!(err.to_string().ends_with("is damaged: it is not a database of lunard"), "{err}");
}

#[test]
fn a_newer_layout_is_refused_with_both_versions_and_the_way_out() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    let path = scratch.path().join(FILE_NAME);
    set_layout(&path, 5);
    let err = reopen(scratch.path()).unwrap_err();
    assert_eq!(
        err.to_string(),
        format!(
            "the database {} was written by a newer lunard: it has version 5 of its layout, and lunard 0.1.0 reads up to \
             version 4",
            path.display()
        )
    );
    assert_eq!(
        err.hint().as_deref(),
        Some(
            "nothing was changed; start the newer one, or give another --state-dir: what `lunar saveconfig FILE` writes \
             there, `lunar restoreconfig FILE` makes here"
        )
    );
    assert_eq!(layout(&path), Some(5));
}

/// Writes a database as the first version of the layout had it: five tables, rows without what came later.
fn old_database(directory: &Path) {
    let database = Database::create(directory.join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let meta: TableDefinition<&str, u64> = TableDefinition::new("meta");
        transaction.open_table(meta).unwrap().insert("layout", 1).unwrap();
        let backstores: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("backstores");
        let mut table = transaction.open_table(backstores).unwrap();
        let row = br#"{"unit_serial":"s1","medium":{"kind":"ramdisk","size_bytes":1048576,"nullio":false},"attributes":{"block_size":4096}}"#;
        table.insert(("ramdisk", "r0"), row.as_slice()).unwrap();
        let targets: TableDefinition<&str, &[u8]> = TableDefinition::new("targets");
        transaction.open_table(targets).unwrap().insert(WWN, b"{}".as_slice()).unwrap();
        let tpgs: TableDefinition<(&str, u8), &[u8]> = TableDefinition::new("tpgs");
        let row = br#"{"nexus":"naa.5001405aaaaaaaaa","relative_port":1}"#;
        transaction.open_table(tpgs).unwrap().insert((WWN, 1), row.as_slice()).unwrap();
        let luns: TableDefinition<(&str, u8, u16), &[u8]> = TableDefinition::new("luns");
        let row = br#"{"kind":"ramdisk","backstore":"r0","alias":"abcdef0123","write_protect":true}"#;
        transaction.open_table(luns).unwrap().insert((WWN, 1, 7), row.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_database_of_the_first_layout_is_read_and_raised_and_takes_what_came_later() {
    let scratch = tempfile::tempdir().unwrap();
    old_database(scratch.path());
    let path = scratch.path().join(FILE_NAME);
    let old = reopen(scratch.path()).unwrap();
    assert_eq!(layout(&path), Some(4));
    let tpg = old.targets().values().next().unwrap().tpgs.values().next().unwrap();
    let (lun, mapping) = tpg.luns.iter().next().unwrap();
    assert_eq!((lun.get(), mapping.write_protect, mapping.alias.as_str()), (7, true, "abcdef0123"));
    assert_eq!(old.backstores().values().next().unwrap().block_bytes(), Some(4096));
    assert_eq!(reopen(scratch.path()).unwrap(), old);
    let initiator = model::Wwn::parse(INITIATOR).unwrap();
    let wwn = old.targets().keys().next().unwrap().clone();
    let acl = model::AclPlace { wwn, tag: model::TpgTag::new(1), initiator };
    let new = old.apply(Change::CreateAcl(acl)).unwrap();
    {
        let state_dir = StateDir::claim(scratch.path()).unwrap();
        let mut store = Store::open(&state_dir).unwrap();
        assert_eq!(store.load().unwrap(), old);
        store.save(&old, &new).unwrap();
    }
    assert_eq!(reopen(scratch.path()).unwrap(), new);
}

#[test]
fn a_database_of_the_first_layout_that_is_damaged_is_left_as_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    old_database(scratch.path());
    let path = scratch.path().join(FILE_NAME);
    edit(&path, |transaction| {
        let targets: TableDefinition<&str, &[u8]> = TableDefinition::new("targets");
        transaction.open_table(targets).unwrap().insert("naa.6", b"{}".as_slice()).unwrap();
    });
    let err = reopen(scratch.path()).unwrap_err().to_string();
    assert!(err.contains("is damaged: target naa.6: "), "{err}");
    assert_eq!(layout(&path), Some(1));
}

#[test]
fn a_layout_before_the_first_is_damage() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    set_layout(&scratch.path().join(FILE_NAME), 0);
    let err = reopen(scratch.path()).unwrap_err().to_string();
    assert!(err.ends_with("is damaged: there is no version 0 of its layout"), "{err}");
}

fn set_layout(path: &Path, version: u64) {
    edit(path, |transaction| {
        let meta: TableDefinition<&str, u64> = TableDefinition::new("meta");
        transaction.open_table(meta).unwrap().insert("layout", version).unwrap();
    });
}

fn layout(path: &Path) -> Option<u64> {
    let database = Database::open(path).unwrap();
    let meta: TableDefinition<&str, u64> = TableDefinition::new("meta");
    let table = database.begin_read().unwrap().open_table(meta).unwrap();
    table.get("layout").unwrap().map(|version| version.value())
}

#[test]
fn rows_that_break_a_rule_are_damage_and_the_row_is_named() {
    for (kind, name, row, what) in [
        ("ramdisk", "r1", "}", "backstore ramdisk/r1: expected value at line 1 column 1"),
        ("ramdisk", "a b", RAMDISK, "backstore ramdisk/a b: A storage object's name cannot contain"),
        ("fileio", "r1", RAMDISK, "backstore fileio/r1: it is a ramdisk"),
        ("floppy", "r1", RAMDISK, "backstore floppy/r1: there is no kind floppy"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        save(scratch.path(), &furnished());
        edit(&scratch.path().join(FILE_NAME), |transaction| {
            let table: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("backstores");
            transaction.open_table(table).unwrap().insert((kind, name), row.as_bytes()).unwrap();
        });
        let err = reopen(scratch.path()).unwrap_err().to_string();
        assert!(err.contains(&format!("is damaged: {what}")), "{err}");
    }
}

#[test]
fn groups_that_an_earlier_version_kept_without_sense_are_active_and_the_start_goes_on() {
    let map = r#","lba_map":"8 0; 0 7 0:S""#;
    let senseless =
        r#""alua":{"g5":{"id":5,"values":{"alua_access_state":4,"alua_access_type":TYPE,"preferred":1}}}"#;
    for (access_type, lba_map, state, keeps_map) in [
        ("1", "", 0, false),
        ("3", map, 0, true),
        ("1", map, 4, true),
        // As no version takes it any more.
        ("1", r#","lba_map":"8 0; none""#, 0, false),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        save(scratch.path(), &furnished());
        let path = scratch.path().join(FILE_NAME);
        let groups = senseless.replace("TYPE", access_type);
        let row = RAMDISK.replace("}}", &format!(r#"}},{groups}{lba_map}}}"#));
        edit(&path, |transaction| {
            let table: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("backstores");
            transaction.open_table(table).unwrap().insert(("ramdisk", "r9"), row.as_bytes()).unwrap();
        });
        set_layout(&path, 2);
        let model = reopen(scratch.path()).unwrap();
        assert_eq!(layout(&path), Some(4));
        let backstore =
            model.backstores().values().find(|backstore| backstore.name.as_str() == "r9").unwrap();
        let (_, group) = backstore.alua.iter().find(|(name, _)| name.as_str() == "g5").unwrap();
        let values = (group.get(model::AluaKey::AccessState), group.get(model::AluaKey::Preferred));
        assert_eq!(values, (state, 1), "{row}");
        assert_eq!(backstore.alua.lba_map().is_some(), keeps_map, "{row}");
    }
}

#[test]
fn backstores_of_one_unit_that_were_kept_with_two_names_keep_them() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &Model::default());
    let named = RAMDISK.replace("}}", r#"},"identity":{"product_id":"OF OLD","vendor_id":"ACME"}}"#);
    edit(&scratch.path().join(FILE_NAME), |transaction| {
        let table: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("backstores");
        let mut table = transaction.open_table(table).unwrap();
        for (name, row) in [("a", RAMDISK), ("b", named.as_str()), ("c", RAMDISK)] {
            table.insert(("ramdisk", name), row.as_bytes()).unwrap();
        }
    });
    let model = reopen(scratch.path()).unwrap();
    let says = |of: &model::Backstore| {
        [IdentityKey::ProductId, IdentityKey::VendorId].map(|key| of.identity_text(key))
    };
    let said: Vec<_> = model.backstores().values().map(says).collect();
    assert_eq!(said, [["a", "LIO-ORG"], ["OF OLD", "ACME"], ["c", "LIO-ORG"]]);
}

const RAMDISK: &str =
    r#"{"unit_serial":"s","medium":{"kind":"ramdisk","size_bytes":4096,"nullio":false},"attributes":{}}"#;

#[test]
fn a_lun_without_its_backstore_is_damage() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    edit(&scratch.path().join(FILE_NAME), |transaction| {
        let table: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("backstores");
        transaction.open_table(table).unwrap().remove(("block", "disk0")).unwrap();
    });
    let err = reopen(scratch.path()).unwrap_err().to_string();
    assert!(
        err.ends_with("LUN 0 of naa.500140568720f76f/tpg1: No storage object named block/disk0"),
        "{err}"
    );
}

fn edit(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[test]
fn a_flipped_byte_is_found_or_does_no_harm() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    check_flipped_bytes(&std::fs::read(scratch.path().join(FILE_NAME)).unwrap());
}

#[test]
fn a_flipped_byte_after_a_crash_is_found_or_does_no_harm() {
    let scratch = tempfile::tempdir().unwrap();
    let state_dir = StateDir::claim(scratch.path()).unwrap();
    let mut store = Store::open(&state_dir).unwrap();
    // Two commits, so that there is an earlier state to fall back to by mistake.
    store.save(&Model::default(), &Plane::drafted([ramdisk("r0")])).unwrap();
    store.save(&Plane::drafted([ramdisk("r0")]), &furnished()).unwrap();
    check_flipped_bytes(&std::fs::read(scratch.path().join(FILE_NAME)).unwrap());
}

fn check_flipped_bytes(whole: &[u8]) {
    let scratch = tempfile::tempdir().unwrap();
    // Every 16th byte of the header, and of each page that holds anything the first bytes and some inside.
    let header = (0..512).step_by(16);
    let pages =
        (1..whole.len() / 4096).filter(|page| whole[page * 4096..][..4096].iter().any(|byte| *byte != 0));
    let inside = pages.flat_map(|page| [0, 5, 64, 500, 1500, 4000].map(|offset| page * 4096 + offset));
    let mut found = 0;
    for offset in header.chain(inside) {
        let mut damaged = whole.to_owned();
        damaged[offset] ^= 0x41;
        std::fs::write(scratch.path().join(FILE_NAME), &damaged).unwrap();
        match reopen(scratch.path()) {
            Ok(model) => assert_eq!(model, furnished(), "a byte at {offset} made another configuration"),
            Err(StartError::Damaged { .. }) => found += 1,
            Err(err) => panic!("a byte at {offset}: {err:?}"),
        }
    }
    assert!(10 < found, "{found}");
}

#[test]
fn a_database_that_was_cut_short_is_damaged() {
    let scratch = tempfile::tempdir().unwrap();
    save(scratch.path(), &furnished());
    let path = scratch.path().join(FILE_NAME);
    let whole = std::fs::read(&path).unwrap();
    for bytes in [1, 100, 4096, 8192, 16384, whole.len() / 2] {
        std::fs::write(&path, &whole[..bytes]).unwrap();
        let err = reopen(scratch.path()).unwrap_err();
        assert!(matches!(err, StartError::Damaged { .. }), "{bytes} bytes: {err:?}");
    }
}
