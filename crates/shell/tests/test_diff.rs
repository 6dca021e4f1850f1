// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `diff`.

use crate::support::{Session, difference};
use api::v1::{Action, ApplyOptions};
use shell::{Mode, Screen};
use std::fs;

/// A file, and a daemon that has something of each sort otherwise.
pub(crate) fn differing() -> (tempfile::TempDir, String, Session) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("disks.toml");
    fs::write(&file, "scope = []\n").expect("written");
    let session = Session::new();
    session.fake.0.borrow_mut().differences = vec![
        difference(Action::Delete, "/vhost/naa.5001405000000001/tpg1/luns/lun0", &["backstore=fileio/old>"]),
        difference(Action::Delete, "/vhost/naa.5001405000000001", &[]),
        difference(
            Action::Create,
            "/backstores/fileio/new",
            &["path=>/srv/new.img", "size_bytes=>15032385536"],
        ),
        difference(
            Action::Change,
            "/backstores/fileio/disk0",
            &["emulate_tpu=0>1", "size_bytes=1048576>16777216"],
        ),
        difference(Action::Replace, "/backstores/fileio/disk1", &["path=/srv/a>/srv/b", "readonly=true>"]),
    ];
    (directory, file.display().to_string(), session)
}

#[test]
fn what_is_otherwise_is_shown_and_nothing_is_done() {
    let (_directory, file, mut session) = differing();
    session.transcript(&format!(
        "
/> diff {file}
'x' of the file is not known here
- /vhost/naa.5001405000000001/tpg1/luns/lun0 (fileio/old)
- /vhost/naa.5001405000000001
+ /backstores/fileio/new
    path: /srv/new.img
    size_bytes: 15032385536 (14.0GiB)
~ /backstores/fileio/disk0
    emulate_tpu: 0 -> 1
    size_bytes: 1048576 (1.0MiB) -> 16777216 (16.0MiB)
! /backstores/fileio/disk1 (made anew)
    path: /srv/a -> /srv/b
    readonly: true -> none
1 to make, 1 to change, 1 to make anew, 2 to remove
"
    ));
    let looked = ApplyOptions { dry_run: true, force: false, generation: None };
    assert_eq!(session.fake.0.borrow().applied, [("scope = []\n".to_owned(), looked)]);
}

#[test]
fn a_file_like_the_configuration_says_so() {
    let (_directory, file, mut session) = differing();
    session.fake.0.borrow_mut().differences.clear();
    session.transcript(&format!(
        "
/> diff -f {file}
'x' of the file is not known here
Everything is as {file} says.
"
    ));
}

#[test]
fn a_guest_that_would_lose_something_is_named() {
    let (_directory, file, mut session) = differing();
    session.fake.0.borrow_mut().guests_lose = vec!["naa.5001405000000001".to_owned()];
    let out = session.run(&format!("diff {file}")).out;
    assert!(
        out.ends_with("The guest of naa.5001405000000001 is connected and would lose what it has.\n"),
        "{out}"
    );
}

#[test]
fn colours_go_by_what_is_done() {
    let (_directory, file, session) = differing();
    let screen = Screen { columns: 60, colour_out: true, ..Screen::plain(Mode::Session) };
    let mut coloured = Session::on(screen);
    coloured.fake.0.borrow_mut().differences = session.fake.0.borrow().differences.clone();
    let out = coloured.run(&format!("diff {file}")).out;
    for line in [
        "\u{1b}[31m- /vhost/naa.5001405000000001\u{1b}[0m\n",
        "\u{1b}[32m+ /backstores/fileio/new\u{1b}[0m\n    path",
        "\u{1b}[33m~ /backstores/fileio/disk0\u{1b}[0m\n",
        "\u{1b}[31m! /backstores/fileio/disk1 (made anew)\u{1b}[0m\n",
    ] {
        assert!(out.contains(line), "{out:?}");
    }
}

#[test]
fn a_program_is_told_each_value() {
    let (_directory, file, mut session) = differing();
    session.fake.0.borrow_mut().differences.truncate(1);
    let expected = format!(
        r#"{{"schema":1,"command":"diff","path":"/","ok":true,"messages":[{{"level":"warning","text":"'x' of the file is not known here"}},{{"level":"info","text":"1 to remove"}}],"result":{{"applied":false,"differences":[{{"action":"delete","path":"/vhost/naa.5001405000000001/tpg1/luns/lun0","values":[{{"from":"fileio/old","name":"backstore"}}]}}],"file":"{file}","generation":"g-1","guests_lose":[]}},"error":null}}"#
    );
    assert_eq!(session.run(&format!("diff {file} --json")).out, format!("{expected}\n"));
}

#[test]
fn a_file_that_is_none_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("cut"), "[").expect("written");
    let here = directory.path().display();
    Session::new().transcript(&format!(
        "
/> diff {here}/nosuch
! {here}/nosuch not found
/> diff {here}/cut
! {here}/cut: the file ends too early, at line 1 column 0
! hint: nothing was changed
/> diff
! Missing required parameter file
! hint: the command is: diff file
/> diff -f
! Missing required parameter file
! hint: the command is: diff file
"
    ));
}
