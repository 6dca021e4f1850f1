// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `saveconfig`.

use crate::support::{Session, furnished, transcript};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_daemon_writes_its_own_file() {
    transcript("/> saveconfig\nConfiguration saved to /var/lib/lunar/saveconfig.json\n");
}

#[test]
fn another_file_is_written_whole_and_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("saved.json");
    fs::write(&file, "what was there before, and is longer than what comes").expect("written");
    let mut session = Session::new();
    let reply = session.run(&format!("saveconfig savefile={}", file.display()));
    assert_eq!(reply.out, format!("Configuration saved to {}\n", file.display()));
    assert_eq!(fs::read_to_string(&file).expect("read"), "{\n  \"storage_objects\": []\n}\n");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1);
}

#[test]
fn what_a_crash_left_behind_is_no_obstacle_and_no_waste() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("saved.json");
    fs::write(format!("{}.{}", file.display(), std::process::id()), "half").expect("written");
    let reply = Session::new().run(&format!("saveconfig {}", file.display()));
    assert_eq!(reply.out, format!("Configuration saved to {}\n", file.display()));
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1);
}

#[test]
fn a_directory_that_is_not_there_is_made_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let before = mode(directory.path());
    let file = directory.path().join("target/of/lio/saved.json");
    let reply = Session::new().run(&format!("saveconfig {}", file.display()));
    assert_eq!(reply.out, format!("Configuration saved to {}\n", file.display()));
    assert_eq!(
        ["target", "target/of", "target/of/lio"].map(|name| mode(&directory.path().join(name))),
        [0o700; 3]
    );
    assert_eq!((mode(&file), mode(directory.path())), (0o600, before));
}

#[test]
fn a_file_that_ends_in_toml_is_in_the_form_that_apply_takes() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("saved.toml");
    let reply = Session::new().run(&format!("saveconfig {}", file.display()));
    assert_eq!(reply.out, format!("Configuration saved to {}\n", file.display()));
    assert_eq!(fs::read_to_string(&file).expect("read"), "scope = [\"*\"]\n");
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    transcript(
        "
/> saveconfig /proc/nosuch/saved.json
! Could not write /proc/nosuch/saved.json: No such file or directory
/> saveconfig /proc
! Could not write /proc: is a directory
",
    );
}

#[test]
fn as_many_earlier_versions_are_kept_as_the_preference_says() {
    let mut session = Session::new();
    session.run("saveconfig");
    session.run("set global max_backup_files=3");
    session.run("saveconfig");
    assert_eq!(session.fake.0.borrow().saved, [Some(10), Some(3)]);
}

/// What the daemon would write: two storage objects, one of them shown by a target.
const NOW: &str = r#"{"fabric_modules": [],
 "storage_objects": [{"name": "disk1", "plugin": "fileio", "size": 2}, {"name": "disk2", "plugin": "ramdisk"}],
 "targets": [
  {"fabric": "vhost", "wwn": "naa.5001405000000001", "tpgs": [{"luns": [{"storage_object": "/backstores/fileio/disk1"}]}]},
  {"fabric": "vhost", "wwn": "naa.5001405000000002", "tpgs": [{"luns": [{"storage_object": "/backstores/fileio/disk1"}]}]},
  {"fabric": "vhost", "wwn": "naa.5001405000000003", "tpgs": [{"luns": []}]}],
 "x_lunar": {"version": 1, "storage_objects": {"fileio/disk1": {"sparse": false}, "ramdisk/disk2": {}}}}"#;

#[test]
fn one_backstore_is_saved_into_a_file_that_has_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("saved.json");
    let before = r#"{"note": "mine", "fabric_modules": [{"name": "iscsi"}],
        "storage_objects": [{"name": "disk1", "plugin": "fileio", "size": 1}, {"name": "x", "plugin": "pscsi"}],
        "targets": [{"fabric": "iscsi", "wwn": "iqn.x"}, {"fabric": "vhost", "wwn": "naa.5001405000000001", "tpgs": []}]}"#;
    fs::write(&file, before).expect("written");
    let mut session = furnished();
    session.fake.0.borrow_mut().text = Some(NOW.to_owned());
    let reply = session.run(&format!("/backstores/fileio/disk1 saveconfig {}", file.display()));
    let said = format!("Storage Object 'fileio:disk1' config saved to {}.\n", file.display());
    assert_eq!((reply.out, reply.err), (said, String::new()));
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    assert_eq!(saved["note"], "mine");
    assert_eq!(saved["fabric_modules"][0]["name"], "iscsi");
    let names = |list: &str, name: &str| -> Vec<String> {
        let list = saved[list].as_array().expect("a list").iter();
        list.map(|one| one[name].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("storage_objects", "name"), ["disk1", "x"]);
    assert_eq!(saved["storage_objects"][0]["size"], 2);
    // Every target that shows it, where targetcli takes the first alone.
    assert_eq!(names("targets", "wwn"), ["iqn.x", "naa.5001405000000001", "naa.5001405000000002"]);
    // What LIO wrote goes on meaning what LIO means.
    assert_eq!(saved.get("x_lunar"), None);
}

#[test]
fn one_backstore_makes_a_file_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("saved.json");
    let mut session = furnished();
    session.fake.0.borrow_mut().text = Some(NOW.to_owned());
    session.run(&format!("/backstores/fileio/disk1 saveconfig {}", file.display()));
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    assert_eq!(saved["storage_objects"].as_array().map(Vec::len), Some(1));
    let own = serde_json::json!({"version": 1, "storage_objects": {"fileio/disk1": {"sparse": false}}});
    assert_eq!(saved["x_lunar"], own);
    session.transcript(
        "
/> /backstores/fileio/disk1 saveconfig
Storage Object 'fileio:disk1' config saved to /var/lib/lunar/saveconfig.json.
",
    );
}

#[test]
fn a_file_that_is_none_of_ours_stays_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("saved.json");
    let mut session = furnished();
    session.fake.0.borrow_mut().text = Some(NOW.to_owned());
    for (text, why) in [
        ("", "is empty"),
        ("{\"targets\": 7}", "is no saveconfig.json: 'targets' is no list"),
        ("[1]", "is no saveconfig.json: "),
        ("\u{1f}\u{8b}", "is no saveconfig.json: "),
    ] {
        fs::write(&file, text).expect("written");
        let reply = session.run(&format!("/backstores/fileio/disk1 saveconfig {}", file.display()));
        assert!(reply.failed && reply.err.starts_with(&format!("{} {why}", file.display())), "{}", reply.err);
        assert_eq!(fs::read_to_string(&file).expect("read"), text);
    }
    for own in ["5", "{\"storage_objects\": 5}"] {
        fs::write(&file, format!("{{\"x_lunar\": {own}}}")).expect("written");
        let reply = session.run(&format!("/backstores/fileio/disk1 saveconfig {}", file.display()));
        assert_eq!(reply.err, "");
    }
}
