// SPDX-License-Identifier: Apache-2.0 OR MIT
//! saveconfig.json: equal to what targetcli 2.1.53 wrote on Linux 6.1 but for what is listed here, and
//! written so that it is whole at any moment.

use flate2::read::GzDecoder;
use lunard::machine::Live;
use lunard::saveconfig::{self, BACKUPS_MAX, SaveConfig};
use model::{
    AbsolutePath, Backstore, BackstoreId, BackstoreName, Change, Kind, Lun, LunAlias, LunAlua, LunMapping,
    Medium, Model, RelativePort, Tpg, TpgTag, UnitSerial, Wwn,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// By targetcli 2.1.53 on Linux 6.1: a device, a file, a target.
const GOLDEN: &str = include_str!("fixtures/lio-6.1-saveconfig.json");

fn backstore(name: &str, serial: &str, medium: Medium) -> Change {
    let (name, serial) = (BackstoreName::parse(name).unwrap(), UnitSerial::parse(serial).unwrap());
    Change::CreateBackstore(Backstore::new(name, serial, medium).unwrap())
}

fn path(text: &str) -> AbsolutePath {
    AbsolutePath::parse(text).unwrap()
}

/// What the fixture has.
fn same_as_golden(write_protect: bool) -> Model {
    let wwn = Wwn::parse("naa.50014051768b3758").unwrap();
    let tag = TpgTag::new(1);
    let tpg = Tpg::new(Wwn::made_up(1), RelativePort::parse(1).unwrap());
    let disk0 = BackstoreId { kind: Kind::Fileio, name: BackstoreName::parse("disk0").unwrap() };
    let mapping = LunMapping {
        backstore: disk0,
        alias: LunAlias::parse("41ec07eb12").unwrap(),
        write_protect,
        alua: LunAlua::default(),
    };
    let changes = [
        backstore(
            "disk1",
            "0ac57045-5b9e-4177-9be0-04ccd4aa66e8",
            Medium::Block { path: path("/dev/vda"), read_only: None, size_bytes: None },
        ),
        backstore(
            "disk0",
            "b9311139-ff05-4ffd-a5cc-8b35be14d722",
            Medium::Fileio { path: path("/tmp/d.img"), size_bytes: Some(16_777_216), sparse: true },
        ),
        Change::CreateTarget { wwn: wwn.clone(), tpgs: BTreeMap::from([(tag, tpg)]) },
        Change::MapLun { wwn, tag, lun: Lun::parse(0).unwrap(), mapping },
    ];
    changes.into_iter().fold(Model::default(), |model, change| model.apply(change).unwrap())
}

/// The fixture with what is different here: what is not built yet, and limits that are our own.
fn golden_with_our_differences() -> Value {
    let mut golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for object in golden["storage_objects"].as_array_mut().unwrap() {
        for (attribute, value) in [
            ("emulate_3pc", 1),
            ("emulate_caw", 1),
            ("unmap_zeroes_data", 1),
            ("max_unmap_block_desc_count", 0),
            ("max_unmap_lba_count", 0),
            ("max_write_same_len", 0),
            ("optimal_sectors", 16384),
            ("queue_depth", 128),
            ("unmap_granularity", 0),
        ] {
            object["attributes"][attribute] = json!(value);
        }
        // A file is thin here.
        let thin = u32::from(object["plugin"] == "fileio");
        for attribute in ["emulate_tpu", "emulate_tpws"] {
            object["attributes"][attribute] = json!(thin);
        }
    }
    // What LIO has no word for, where its tools do not look.
    golden["targets"][0]["tpgs"][0]["x_lunar"] = json!({"nexus": "naa.5001405000000001", "relative_port": 1});
    golden["x_lunar"] = json!({ "version": 2, "storage_objects": { "block/disk1": {
        "by_device": { "block_size": 512, "is_nonrot": 0, "optimal_sectors": 16384 },
    } } });
    golden.sort_all_objects();
    golden
}

#[test]
fn the_text_is_targetclis_but_for_known_differences() {
    let expected = format!("{:#}\n", golden_with_our_differences());
    assert_eq!(saveconfig::text(&same_as_golden(false), &Live::default()), expected);
}

#[test]
fn the_fixture_itself_is_printed_as_we_print() {
    // So that equal text above means equal to the last space.
    assert_eq!(format!("{:#}\n", serde_json::from_str::<Value>(GOLDEN).unwrap()).trim(), GOLDEN.trim());
}

#[test]
fn a_lun_that_refuses_writes_says_so_where_lio_does_not_mind() {
    let text = saveconfig::text(&same_as_golden(true), &Live::default());
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value["targets"][0]["tpgs"][0]["luns"][0],
        json!({
            "alias": "41ec07eb12",
            "alua_tg_pt_gp_name": "default_tg_pt_gp",
            "index": 0,
            "storage_object": "/backstores/fileio/disk0",
            "write_protect": true,
        })
    );
}

#[test]
fn options_of_a_target_are_written_where_lio_does_not_mind() {
    let wwn = Wwn::parse("naa.50014051768b3758").unwrap();
    let set = Change::SetOption { wwn, option: "num_queues".to_owned(), value: "4".to_owned() };
    let model = same_as_golden(false).apply(set).unwrap();
    let text = saveconfig::text(&model, &Live::default());
    let mut value: Value = serde_json::from_str(&text).unwrap();
    let target = value["targets"][0].as_object_mut().unwrap();
    assert_eq!(target.remove("options"), Some(json!({"num_queues": 4})));
    // Nothing else is different from what LIO would write.
    let without: Value =
        serde_json::from_str(&saveconfig::text(&same_as_golden(false), &Live::default())).unwrap();
    assert_eq!(value, without);
}

#[test]
fn ramdisks_and_switches_are_in_targetclis_words() {
    let change = backstore("r0", "s", Medium::ramdisk(8_388_608, true).unwrap());
    let model = Model::default().apply(change).unwrap();
    let value: Value = serde_json::from_str(&saveconfig::text(&model, &Live::default())).unwrap();
    let object = value["storage_objects"][0].as_object().unwrap();
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    assert_eq!(keys, ["alua_tpgs", "attributes", "name", "nullio", "plugin", "size", "wwn"]);
    assert_eq!((&object["size"], &object["nullio"]), (&json!(8_388_608), &json!(true)));
    assert_eq!(object["attributes"]["is_nonrot"], 1);
}

#[test]
fn the_first_file_has_no_backup_and_is_private() {
    let scratch = tempfile::tempdir().unwrap();
    let saved = SaveConfig::new(scratch.path()).write("first\n", BACKUPS_MAX).unwrap();
    assert_eq!(saved.backups, None);
    assert_eq!(saved.path, scratch.path().join("saveconfig.json").display().to_string());
    assert_eq!(std::fs::read_to_string(&saved.path).unwrap(), "first\n");
    assert_eq!(std::fs::metadata(&saved.path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(listing(scratch.path()), ["saveconfig.json"]);
}

#[test]
fn what_is_replaced_is_kept_unless_it_is_kept_already() {
    let scratch = tempfile::tempdir().unwrap();
    let file = SaveConfig::new(scratch.path());
    file.write("first\n", BACKUPS_MAX).unwrap();
    let backups = file.write("second\n", BACKUPS_MAX).unwrap().backups.unwrap();
    assert_eq!(backups.kept, 10);
    assert_eq!(backups.directory, format!("{}/backup/", scratch.path().display()));
    let kept = listing(&scratch.path().join("backup"));
    assert_eq!(kept.len(), 1);
    assert!(kept[0].starts_with("saveconfig-2") && kept[0].ends_with("-json.gz"), "{kept:?}");
    let mut text = String::new();
    let packed = std::fs::File::open(scratch.path().join("backup").join(&kept[0])).unwrap();
    GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    assert_eq!(text, "first\n");

    // The file is put back as it was: what it replaces is new, what replaces it then is not.
    std::fs::write(scratch.path().join("saveconfig.json"), "first\n").unwrap();
    assert_eq!(file.write("third\n", BACKUPS_MAX).unwrap().backups, None);
    assert_eq!(listing(&scratch.path().join("backup")).len(), 1);
}

#[test]
fn what_is_saved_twice_within_a_second_is_kept_twice() {
    let scratch = tempfile::tempdir().unwrap();
    let file = SaveConfig::new(scratch.path());
    for text in ["first\n", "second\n", "third\n", "fourth\n"] {
        file.write(text, BACKUPS_MAX).unwrap();
    }
    let backup = scratch.path().join("backup");
    let texts = listing(&backup).into_iter().map(|name| {
        let mut text = String::new();
        let packed = std::fs::File::open(backup.join(name)).unwrap();
        GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["first\n", "second\n", "third\n"]);
}

#[test]
fn the_newest_ten_are_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let backup = scratch.path().join("backup");
    std::fs::create_dir(&backup).unwrap();
    for day in 10..25 {
        std::fs::write(backup.join(format!("saveconfig-201411{day}-00:00:00-json.gz")), "x").unwrap();
    }
    std::fs::write(backup.join("notes.txt"), "mine").unwrap();
    let file = SaveConfig::new(scratch.path());
    file.write("first\n", BACKUPS_MAX).unwrap();
    file.write("second\n", BACKUPS_MAX).unwrap();
    let kept = listing(&backup);
    assert_eq!(kept.len(), 11);
    assert_eq!(kept[0], "notes.txt");
    assert_eq!(kept[1], "saveconfig-20141116-00:00:00-json.gz");
}

#[test]
fn as_many_are_kept_as_are_asked_for() {
    let scratch = tempfile::tempdir().unwrap();
    let file = SaveConfig::new(scratch.path());
    for text in ["1\n", "2\n", "3\n", "4\n"] {
        file.write(text, 2).unwrap();
    }
    assert_eq!(listing(&scratch.path().join("backup")).len(), 2);
    let backups = file.write("5\n", 3).unwrap().backups.unwrap();
    assert_eq!((backups.kept, listing(&scratch.path().join("backup")).len()), (3, 3));
    assert_eq!(file.write("6\n", 0).unwrap().backups, None);
    assert_eq!(listing(&scratch.path().join("backup")).len(), 3);
}

#[test]
fn what_a_crash_left_behind_is_no_obstacle() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("saveconfig.json.temp"), "half").unwrap();
    SaveConfig::new(scratch.path()).write("whole\n", BACKUPS_MAX).unwrap();
    assert_eq!(listing(scratch.path()), ["saveconfig.json"]);
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let file = SaveConfig::new(scratch.path());
    file.write("first\n", BACKUPS_MAX).unwrap();
    std::fs::create_dir(scratch.path().join("saveconfig.json.temp")).unwrap();
    let err = file.write("second\n", BACKUPS_MAX).unwrap_err();
    let expected = format!("cannot write {}/saveconfig.json.temp: Is a directory", scratch.path().display());
    assert_eq!(err.to_string(), expected);
    assert_eq!(std::fs::read_to_string(scratch.path().join("saveconfig.json")).unwrap(), "first\n");
}

fn listing(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
