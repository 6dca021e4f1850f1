// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `restoreconfig`.

use crate::support::{Session, transcript};
use api::v1::{RestoreOptions, SAVECONFIG_BYTES_MAX};
use std::fs;

#[test]
fn the_daemons_own_file_is_restored_and_its_notes_are_told() {
    transcript(
        "
/> restoreconfig
attributes of block/disk0 that cannot be so here
Configuration restored from /var/lib/lunar/saveconfig.json
",
    );
}

#[test]
fn notes_are_warnings() {
    transcript(
        "
/> set global color_mode=false
Parameter color_mode is now 'false'.
/> restoreconfig
Warning: attributes of block/disk0 that cannot be so here
Info: Configuration restored from /var/lib/lunar/saveconfig.json
/> set global loglevel_console=error
Info: Parameter loglevel_console is now 'error'.
/> restoreconfig
",
    );
}

#[test]
fn another_file_is_sent_as_it_is_with_what_is_wanted_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("saved.json");
    fs::write(&file, "{}\n").expect("written");
    let path = file.display();
    let mut session = Session::new();
    session.transcript(&format!(
        "
/> restoreconfig {path} clear_existing=TRUE target=naa.5001405000000001 storage_object=block/disk0
Configuration restored from {path}
/> restoreconfig {path} false
Configuration restored from {path}
"
    ));
    let all = RestoreOptions {
        clear_existing: true,
        target: Some("naa.5001405000000001".to_owned()),
        storage_object: Some("block/disk0".to_owned()),
    };
    let expected = [(Some("{}\n".to_owned()), all), (Some("{}\n".to_owned()), RestoreOptions::default())];
    assert_eq!(session.fake.0.borrow().restored, expected);
}

#[test]
fn clear_existing_is_true_or_false_and_nothing_else() {
    let mut session = Session::new();
    session.transcript(
        "
/> restoreconfig clear_existing=no
! Syntax error, 'no' is not true|false.
! hint: clear_existing is true or false
",
    );
    assert_eq!(session.fake.0.borrow().restored, []);
}

#[test]
fn files_that_cannot_be_restored_are_named_and_not_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("empty"), "").expect("written");
    fs::write(at("packed"), [0x1f, 0x8b, 8]).expect("written");
    fs::File::create(at("long")).and_then(|file| file.set_len(100 << 20)).expect("made");
    let here = directory.path().display();
    let mut session = Session::new();
    session.transcript(&format!(
        "
/> restoreconfig {here}/nosuch
! Restore file {here}/nosuch not found
/> restoreconfig {here}/empty
! {here}/empty is empty
/> restoreconfig {here}/packed
! {here}/packed is packed
! hint: unpack it with gunzip first
/> restoreconfig {here}/long
! {here}/long is longer than 67108864 bytes
/> restoreconfig {here}
! Could not read {here}: Is a directory
"
    ));
    assert_eq!(session.fake.0.borrow().restored, []);
    assert_eq!(SAVECONFIG_BYTES_MAX, 67_108_864);
}

#[test]
fn what_the_daemon_refuses_is_told_with_the_file_where_that_is_at_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("cut"), "[").expect("written");
    fs::write(at("again"), "there").expect("written");
    let here = directory.path().display();
    transcript(&format!(
        "
/> restoreconfig {here}/cut
! Could not restore {here}/cut: the file ends too early, at line 1 column 0
! hint: nothing was changed
/> restoreconfig {here}/again
! storageobject 'block:disk0' exist not restoring
! hint: nothing was changed
"
    ));
}
