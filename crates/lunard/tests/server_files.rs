// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole files at the API: what is saved, restored, and compared and applied.

mod served;

use api::ClientError;
use api::v1::{ApplyOptions, Config, Kind, RestoreOptions};
use served::common::{id, map, ramdisk, target};
use served::{Daemon, refused};

const WWN: &str = "naa.500140568720f76f";

/// By targetcli 2.1.53 on Linux 6.1.
const FILE: &[u8] = include_bytes!("fixtures/lio-6.1-saveconfig.json");

#[test]
fn the_saved_file_is_what_is_shown() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.apply(vec![ramdisk("a"), target(WWN), map(WWN, None, Kind::Ramdisk, "a")]).unwrap();
    let saved = client.saveconfig(&api::v1::SaveOptions::default()).unwrap();
    assert!(saved.path.ends_with("/state/saveconfig.json"), "{}", saved.path);
    assert_eq!(std::fs::read_to_string(&saved.path).unwrap(), client.saveconfig_text().unwrap());
    let backup = daemon.scratch.path().join("state/backup");
    std::fs::write(&backup, "in the way").unwrap();
    let err = client.saveconfig(&api::v1::SaveOptions::default()).unwrap_err();
    assert!(matches!(err, ClientError::Problem { status: 500, .. }), "{err:?}");
    assert!(err.to_string().starts_with(&format!("cannot write {}", backup.display())), "{err}");
}

#[test]
fn a_whole_file_is_restored_as_one_transaction() {
    let daemon = Daemon::start();
    let client = daemon.client();
    daemon.machine().put_file("/tmp/d.img", 16_777_216);
    let restored = client.restoreconfig(Some(FILE.to_vec()), &RestoreOptions::default()).unwrap();
    assert_eq!((restored.path, restored.storage_objects, restored.targets), (None, 2, 1));
    // The file has the size that it should have, so that there is nothing to say of it.
    assert_eq!(restored.notes.len(), 1);
    assert!(restored.notes[0].starts_with("attributes of block/disk1"), "{:?}", restored.notes);
    let config = client.config().unwrap();
    assert_eq!(config.targets[0].tpgs[0].luns[0].alias, "41ec07eb12");
    let before = client.saveconfig_text().unwrap();

    let (status, code, message) =
        refused(client.restoreconfig(Some(FILE.to_vec()), &RestoreOptions::default()));
    assert_eq!((status, code.as_str()), (409, "restore_conflict"));
    assert!(message.starts_with("storageobject 'block:disk1' exist not restoring; "), "{message}");
    let options = RestoreOptions { clear_existing: true, ..RestoreOptions::default() };
    client.restoreconfig(Some(FILE.to_vec()), &options).unwrap();
    assert_eq!(client.saveconfig_text().unwrap(), before);
}

#[test]
fn a_file_of_another_size_than_saved_keeps_its_own_and_it_is_told() {
    let daemon = Daemon::start();
    daemon.machine().put_file("/tmp/d.img", 1_048_576);
    let restored = daemon.client().restoreconfig(Some(FILE.to_vec()), &RestoreOptions::default()).unwrap();
    assert_eq!(restored.notes[1], "/tmp/d.img exists, using its size (1048576 bytes) instead");
}

#[test]
fn the_daemons_own_file_needs_no_body() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let path = daemon.scratch.path().join("state/saveconfig.json").display().to_string();
    let missing = refused(client.restoreconfig(None, &RestoreOptions::default()));
    assert_eq!(missing, (404, "no_saveconfig".to_owned(), format!("Restore file {path} not found")));
    client.apply(vec![ramdisk("a"), target(WWN), map(WWN, None, Kind::Ramdisk, "a")]).unwrap();
    let before = client.config().unwrap();
    client.saveconfig(&api::v1::SaveOptions::default()).unwrap();
    let cleared = client.clearconfig().unwrap();
    assert_eq!((cleared.storage_objects, cleared.targets, cleared.kept_things), (1, 1, 0));
    assert_eq!(client.config().unwrap(), Config::default());
    let restored = client.restoreconfig(None, &RestoreOptions::default()).unwrap();
    assert_eq!(restored.path, Some(path));
    assert_eq!(client.config().unwrap(), before);
}

#[test]
fn what_cannot_be_restored_changes_nothing() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.apply(vec![ramdisk("a")]).unwrap();
    let before = client.config().unwrap();
    daemon.machine().remove_path("/dev/vda");
    let clear = RestoreOptions { clear_existing: true, ..RestoreOptions::default() };
    let one = RestoreOptions { storage_object: Some("nosuch".to_owned()), ..clear.clone() };
    let cut = &FILE[..FILE.len() / 2];
    for (file, options, status, code) in [
        (FILE, &clear, 422, "cannot_prepare"),
        (FILE, &one, 404, "not_in_saveconfig"),
        (cut, &clear, 400, "saveconfig"),
        (b"{\"targets\": [], \"targets\": []}", &clear, 400, "saveconfig"),
        (b"\x1f\x8b\x08", &clear, 400, "saveconfig"),
    ] {
        let (answered, word, message) = refused(client.restoreconfig(Some(file.to_vec()), options));
        assert_eq!((answered, word.as_str()), (status, code), "{message}");
        assert!(!message.contains('\n'), "{message}");
        assert_eq!(client.config().unwrap(), before);
    }
    let (status, text) = daemon.answer("POST", "/v1/restoreconfig?clear_existing=maybe", "{}");
    assert_eq!(status, 400, "{text}");
}

#[test]
fn a_file_that_is_too_long_is_refused() {
    let daemon = Daemon::start();
    let answer = daemon.request("POST", "/v1/restoreconfig", &" ".repeat(100 << 20));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("the body is longer than 67108864 bytes"), "{answer}");
    // Twice what other requests may have is no matter.
    let long = [FILE, &vec![b' '; 16 << 20]].concat();
    daemon.client().restoreconfig(Some(long), &RestoreOptions::default()).unwrap();
    let path = daemon.scratch.path().join("state/saveconfig.json");
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let (status, code, message) = refused(daemon.client().restoreconfig(None, &RestoreOptions::default()));
    assert_eq!((status, code.as_str()), (413, "too_large"));
    assert_eq!(message, format!("{} is longer than 67108864 bytes", path.display()));
}

#[test]
fn the_configuration_is_written_as_a_file_that_is_so() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let file = "[ramdisk.r0]\nsize = \"1M\"\n[ramdisk.r0.alua.near]\ntg_pt_gp_id = 4\npreferred = 1\n\
                [vhost.\"naa.500140568720f76f\".tpg1]\n\
                lun0 = { backstore = \"ramdisk/r0\", alua_tg_pt_gp_name = \"near\" }\n";
    client.apply_file(file.as_bytes().to_vec(), &ApplyOptions::default()).unwrap();
    let text = client.file_to_apply().unwrap();
    assert!(text.starts_with("scope = [\"*\"]\n\n[ramdisk.\"r0\"]\nsize = 1048576\nwwn = \""), "{text}");
    let group = "\n[ramdisk.\"r0\".alua.\"near\"]\ntg_pt_gp_id = 4\npreferred = 1\n";
    assert!(text.contains(group), "{text}");
    let look = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    assert_eq!(client.apply_file(text.into_bytes(), &look).unwrap().differences, []);
}

#[test]
fn a_file_is_compared_and_then_applied_to_what_it_was_compared_with() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let file = b"[ramdisk.r0]\nsize = \"1M\"\n[vhost.\"naa.500140568720f76f\".tpg1]\nlun0 = \"ramdisk/r0\"\n";
    let look = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    let shown = client.apply_file(file.to_vec(), &look).unwrap();
    assert_eq!((shown.applied, shown.differences.len()), (false, 4));
    assert_eq!(client.config().unwrap(), Config::default());
    // Somebody else comes first.
    client.apply(vec![ramdisk("r1")]).unwrap();
    let make = |generation: &str| ApplyOptions {
        generation: Some(generation.to_owned()),
        ..ApplyOptions::default()
    };
    let moved = refused(client.apply_file(file.to_vec(), &make(&shown.generation)));
    let message = "the configuration has changed since the difference was shown".to_owned();
    assert_eq!(moved, (409, "moved".to_owned(), message));
    assert_eq!(client.config().unwrap().targets, []);
    let shown = client.apply_file(file.to_vec(), &look).unwrap();
    let made = client.apply_file(file.to_vec(), &make(&shown.generation)).unwrap();
    assert_eq!((made.applied, made.differences), (true, shown.differences));
    assert_eq!(client.config().unwrap().targets[0].tpgs[0].luns[0].backstore, id(Kind::Ramdisk, "r0"));
    // Once more there is nothing to do.
    assert_eq!(client.apply_file(file.to_vec(), &ApplyOptions::default()).unwrap().differences, []);
}

#[test]
fn the_name_of_what_was_shown_is_another_once_a_guest_has_made_it_another() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let file = b"[ramdisk.r0]\nsize = \"1M\"\n".to_vec();
    client.apply_file(file.clone(), &ApplyOptions::default()).unwrap();
    let changed = [file.as_slice(), b"attributes = { emulate_fua_write = 0 }\n"].concat();
    let look = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    let shown = client.apply_file(changed.clone(), &look).unwrap();
    assert_eq!(shown.differences.len(), 1);
    let model = daemon.handle().model();
    let serial = model.backstores().values().next().unwrap().unit_serial.clone();
    let save = |tas| {
        let saved = vec![(model::Key::EmulateTas, tas)];
        let change = model::Change::SelectModes { serial: serial.clone(), saved };
        daemon.handle().make(vec![change]).blocking_recv().unwrap().unwrap();
    };
    let make = ApplyOptions { generation: Some(shown.generation.clone()), ..ApplyOptions::default() };
    save(0);
    let moved = refused(client.apply_file(changed.clone(), &make));
    assert_eq!((moved.0, moved.1.as_str()), (409, "moved"));
    assert_ne!(client.apply_file(changed.clone(), &look).unwrap().generation, shown.generation);
    save(1);
    assert_eq!(client.apply_file(changed, &make).unwrap().differences, shown.differences);
}

#[test]
fn a_guest_loses_nothing_by_a_file_unless_it_is_forced() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client
        .apply(vec![ramdisk("r0"), ramdisk("r1"), target(WWN), map(WWN, Some(0), Kind::Ramdisk, "r0")])
        .unwrap();
    daemon.machine().connect(&model::Wwn::parse(WWN).unwrap());
    let whole = b"scope = [\"*\"]\n".to_vec();
    let without_lun = b"[vhost.\"naa.500140568720f76f\".tpg1]\n".to_vec();
    let message = "the guests of target naa.500140568720f76f are connected and would lose what they have";
    for file in [&whole, &without_lun] {
        let refusal = refused(client.apply_file(file.clone(), &ApplyOptions::default()));
        assert_eq!(refusal, (409, "guest_connected".to_owned(), message.to_owned()));
        let look = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
        assert_eq!(client.apply_file(file.clone(), &look).unwrap().guests_lose, [WWN]);
    }
    // A LUN more is nothing lost.
    let more =
        b"[vhost.\"naa.500140568720f76f\".tpg1]\nlun0 = \"ramdisk/r0\"\nlun1 = \"ramdisk/r1\"\n".to_vec();
    assert_eq!(client.apply_file(more, &ApplyOptions::default()).unwrap().guests_lose, Vec::<String>::new());
    let force = ApplyOptions { force: true, ..ApplyOptions::default() };
    assert!(client.apply_file(whole, &force).unwrap().applied);
    assert_eq!(client.config().unwrap(), Config::default());
}

#[test]
fn a_file_that_cannot_be_applied_is_one_clear_error() {
    let daemon = Daemon::start();
    let client = daemon.client();
    for (file, message) in [
        ("{", "the file ends too early, at line 1 column 1"),
        ("[fileio.x]\npath = 1\n", "path of [fileio.x] is 1, not text"),
        (
            "scope = [\"disk*\"]",
            "the scope has 'disk*', which no name can be; one is fileio/disk0, naa.5001405000000001, fileio/db-* or *",
        ),
        (
            "[ramdisk.\"a b\"]\nsize = 1",
            "A storage object's name cannot contain /, newline or spaces/tabs: 'a b'",
        ),
    ] {
        let refusal = refused(client.apply_file(file.as_bytes().to_vec(), &ApplyOptions::default()));
        assert_eq!((refusal.0, refusal.1.as_str()), (400, "saveconfig"), "{file}");
        assert_eq!(refusal.2, message);
    }
    let deep = format!("a = {}", "[".repeat(100_000));
    assert_eq!(refused(client.apply_file(deep.into_bytes(), &ApplyOptions::default())).0, 400);
    assert_eq!(daemon.answer("POST", "/v1/apply?dry_run=perhaps", "").0, 400);
    assert_eq!(client.config().unwrap(), Config::default());
}
