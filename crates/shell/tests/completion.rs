// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the Tab key offers.

use crate::support::{Session, furnished};

/// The replacements for a line with the cursor at its end.
#[track_caller]
fn check(session: &Session, line: &str, start: usize, expected: &[&str]) {
    let completion = session.shell.complete(line);
    let offered: Vec<&str> =
        completion.candidates.iter().map(|candidate| candidate.replacement.as_str()).collect();
    assert_eq!(offered, expected, "{line:?}");
    assert_eq!(completion.start, start, "{line:?}");
}

#[test]
fn the_first_word_is_a_path_or_a_command() {
    let session = furnished();
    check(&session, "st", 0, &["status "]);
    let offered = session.shell.complete("").candidates;
    let offered: Vec<&str> = offered.iter().map(|offer| offer.replacement.as_str()).collect();
    assert_eq!(offered.iter().filter(|offer| ["/", "* "].contains(offer)).count(), 2, "{offered:?}");
    check(&session, "*", 0, &["* "]);
    check(&session, "* st", 2, &["status "]);
    check(&session, "b", 0, &["backstores/", "bookmarks "]);
    check(&session, "/v", 0, &["/vhost/"]);
    check(&session, "backstores/fi", 0, &["backstores/fileio/"]);
    check(
        &session,
        "/vhost/naa.500140568720f76f/tpg1/luns/",
        0,
        &["/vhost/naa.500140568720f76f/tpg1/luns/lun0 "],
    );
    check(&session, "@", 0, &["@last "]);
    check(&session, "/vhost cr", 7, &["create "]);
    check(&session, "nosuch ", 7, &[]);
}

#[test]
fn parameters_have_values_and_keywords() {
    let mut session = furnished();
    check(&session, "/backstores/ramdisk create r0 1M ", 33, &["false ", "nullio=", "true ", "wwn="]);
    check(&session, "/backstores/ramdisk create r0 1M nu", 33, &["nullio="]);
    check(&session, "/backstores/ramdisk create r0 1M nullio=t", 33, &["nullio=true "]);
    check(&session, "/backstores/block delete ", 25, &["disk0 ", "name=", "save="]);
    check(&session, "/vhost delete n", 14, &["naa.500140568720f76f "]);
    check(&session, "ls --", 3, &["--json "]);
    check(&session, "ls /backstores/r", 3, &["/backstores/ramdisk/"]);
    check(&session, "cd path=/b", 3, &["path=/backstores/"]);
    check(&session, "help st", 5, &["status "]);
    check(&session, "bookmarks s", 10, &["show "]);
    check(&session, "cd @", 3, &["@last "]);
    session.run("/vhost bookmarks add v");
    check(&session, "cd @v/", 3, &["@v/naa.500140568720f76f/"]);
    check(&session, "ls path=@l", 3, &["path=@last "]);
    check(&session, "apply -f /pro", 9, &["/proc/"]);
    check(&session, "apply -y /pro", 9, &["/proc/"]);
    check(&session, "apply -f x --", 11, &["--dry-run ", "--force ", "--json ", "--yes "]);
    check(&session, "apply -y -f x --", 14, &["--dry-run ", "--force ", "--json "]);
    let lun = "/vhost/naa.500140568720f76f/tpg1/luns/lun0 set alua ";
    check(
        &session,
        &format!("{lun}alua_tg_pt_"),
        lun.len(),
        &["alua_tg_pt_gp_name=", "alua_tg_pt_offline=", "alua_tg_pt_status=", "alua_tg_pt_write_md="],
    );
    let groups = "/backstores/fileio/disk1/alua set alua ";
    check(&session, groups, groups.len(), &["lba_map="]);
}

#[test]
fn a_lun_is_offered_backstores() {
    let session = furnished();
    let luns = "/vhost/naa.500140568720f76f/tpg1/luns create ";
    let at = luns.len();
    check(
        &session,
        &format!("{luns}/backstores/"),
        at,
        &["/backstores/block/", "/backstores/fileio/", "/backstores/ramdisk/"],
    );
    check(&session, &format!("{luns}/backstores/block/"), at, &["/backstores/block/disk0 "]);
    check(
        &session,
        luns,
        at,
        &["/backstores/", "add_mapped_luns=", "lun=", "storage_object=", "write_protect="],
    );
}

#[test]
fn groups_have_parameters_and_these_have_values() {
    let session = furnished();
    check(&session, "get g", 4, &["global ", "group="]);
    check(&session, "get global prompt", 11, &["prompt_length "]);
    check(&session, "set global prompt", 11, &["prompt_length="]);
    check(&session, "set global color_mode=", 11, &["color_mode=false ", "color_mode=true "]);
    check(&session, "/backstores/block/disk0 set attribute emulate_t", 38, &["emulate_tpu="]);
}

#[test]
fn files_of_the_host_are_offered_and_quoted() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("my disk.img"), "").expect("written");
    std::fs::create_dir(directory.path().join("more")).expect("made");
    let session = furnished();
    let lead = format!("/backstores/fileio create f0 {}/m", directory.path().display());
    let path = directory.path().display();
    let (one, two) = (format!("{path}/more/"), format!("{path}/my\\ disk.img "));
    check(&session, &lead, 29, &[&one, &two]);
}

#[test]
fn a_daemon_that_is_not_there_is_no_reason_to_stop() {
    let session = Session::new();
    session.fake.stop();
    check(&session, "exi", 0, &["exit "]);
}

#[test]
fn values_are_offered_where_they_are_known() {
    let mut session = furnished();
    let tpg = "/vhost/naa.500140568720f76f/tpg1";
    check(&session, &format!("{tpg}/acls create n"), 45, &["naa.5001405c3bdda0c6 "]);
    check(&session, &format!("{tpg}/luns create /backstores/block/disk0 lun="), 69, &["lun=1 "]);
    check(&session, "/vhost/naa.500140568720f76f create tag=", 35, &["tag=2 "]);
    session.run(&format!("{tpg}/acls create naa.5001405c3bdda0c6"));
    check(&session, &format!("{tpg}/acls create wwn="), 45, &[]);
    check(&session, &format!("{tpg}/acls delete wwn="), 45, &["wwn=naa.5001405c3bdda0c6 "]);
    let list = format!("{tpg}/acls/naa.5001405c3bdda0c6");
    check(&session, &format!("{list} create 1 l"), 68, &["lun0 "]);
    check(&session, &format!("{list} create 1 /b"), 68, &["/backstores/"]);
    check(&session, &format!("{list} delete m"), 66, &["mapped_lun0 ", "mapped_lun="]);
    check(&session, "sessions ", 9, &["action=", "detail ", "list ", "sid="]);
    session.fake.connect("naa.500140568720f76f");
    check(&session, "sessions detail ", 16, &["1 ", "sid="]);
}

#[test]
fn attributes_and_options_have_values() {
    let session = furnished();
    let set = "/backstores/block/disk0 set attribute emulate_tpu=";
    check(&session, set, 38, &["emulate_tpu=0 ", "emulate_tpu=1 "]);
    check(&session, "/vhost/naa.500140568720f76f set option virtqueue_size=", 39, &["virtqueue_size=32768 "]);
    check(&session, "/vhost/naa.500140568720f76f/tpg1 set attribute fabric", 47, &["fabric_prot_type="]);
    check(&session, "/vhost/naa.500140568720f76f set parameter c", 42, &["cmd_completion_affinity="]);
    check(&session, "set global prompt_length=", 11, &["prompt_length=30 "]);
}

#[test]
fn what_a_file_would_restore_is_offered() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("s.json");
    let text = r#"{"storage_objects": [{"plugin": "fileio", "name": "f9"}, 7], "targets": [{"wwn": "naa.5001405000000009"}]}"#;
    std::fs::write(&file, text).expect("written");
    let session = furnished();
    let file = file.display();
    let lead = format!("restoreconfig {file} ");
    check(&session, &format!("{lead}target="), lead.len(), &["target=naa.5001405000000009 "]);
    check(&session, &format!("{lead}storage_object="), lead.len(), &["storage_object=fileio/f9 "]);
    check(&session, "restoreconfig target=", 14, &["target=naa.500140568720f76f "]);
    check(&session, "restoreconfig /nosuch target=", 22, &[]);
}
