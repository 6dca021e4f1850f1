// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `saveconfig`.

use crate::support::{Session, transcript};
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
fn a_file_that_cannot_be_written_is_named() {
    transcript(
        "
/> saveconfig /proc/nosuch/saved.json
! Could not write /proc/nosuch/saved.json: No such file or directory (os error 2)
/> saveconfig /proc
! Could not write /proc: is a directory
",
    );
}
