// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `resize`.

use crate::support::furnished;
use api::v1::{BackstoreId, Change, Kind};
use std::fs;

#[test]
fn a_size_is_asked_for_and_the_new_one_told() {
    let mut session = furnished();
    session.transcript(
        "
/> /backstores/fileio/disk1 resize 20M
Resized fileio disk1 to 20971520
/> /backstores/fileio/disk1 resize +4M
Resized fileio disk1 to 25165824
/> /backstores/ramdisk/disk2 resize size=8M
The size of ramdisk disk2 is 8388608 as before
",
    );
    let id = |kind, name: &str| BackstoreId { kind, name: name.to_owned() };
    let expected = [
        vec![Change::Resize { id: id(Kind::Fileio, "disk1"), size_bytes: 20_971_520, shrink: false }],
        vec![Change::Resize { id: id(Kind::Fileio, "disk1"), size_bytes: 25_165_824, shrink: false }],
        vec![Change::Resize { id: id(Kind::Ramdisk, "disk2"), size_bytes: 8_388_608, shrink: false }],
    ];
    assert_eq!(session.fake.0.borrow().asked[5..], expected);
}

#[test]
fn what_has_grown_already_is_measured() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("image");
    fs::write(&file, []).expect("made");
    let path = file.display().to_string();
    let mut session = furnished();
    assert!(!session.run(&format!("/backstores/fileio create grown {path} 1M")).failed);
    fs::File::options().write(true).open(&file).and_then(|file| file.set_len(3 << 20)).expect("grown");
    session.transcript(
        "
/> /backstores/fileio/grown resize
Resized fileio grown to 3145728
/> /backstores/ramdisk/disk2 resize
! Missing required parameter size
! hint: the command is: resize size
/> /backstores/block/disk0 resize 12X
! Cannot interpret size, wrong format: 12X
! hint: a size is a whole number and k, m, g or t, such as 14G
",
    );
    fs::remove_file(&file).expect("removed");
    session.transcript(&format!(
        "
/> /backstores/fileio/grown resize
! Could not read the size of {path}: No such file or directory
! hint: give the size
"
    ));
}

#[test]
fn a_program_is_told_both_sizes() {
    let expected = r#"{"schema":1,"command":"resize","path":"/backstores/ramdisk/disk2","ok":true,"messages":[{"level":"info","text":"Resized ramdisk disk2 to 16777216"}],"result":{"path":"/backstores/ramdisk/disk2","size_bytes":16777216,"was_bytes":8388608},"error":null}"#;
    let reply = furnished().run("/backstores/ramdisk/disk2 resize 16M --json");
    assert_eq!(reply.out, format!("{expected}\n"));
}
