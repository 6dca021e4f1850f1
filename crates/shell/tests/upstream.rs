// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What users of targetcli complain about, and is not so here.
//!
//! | in targetcli | the test that shows it is not so here |
//! |---|---|
//! | `restoreconfig clear_existing=false` clears | `clear_existing_is_true_or_false_and_nothing_else` |
//! | `restoreconfig` of no file succeeds | `files_that_cannot_be_restored_are_named_and_not_sent` |
//! | a target stays when its group cannot be made | `a_target_and_its_group_are_one_change` |
//! | a save changes the rights of the directory | `a_save_leaves_the_directory_as_it_is` |
//! | an empty value becomes the text `None` | `an_empty_value_is_no_value` |
//! | a save of one backstore takes the first target alone | `one_backstore_is_saved_into_a_file_that_has_others` |
//! | `/vhost version` fails | `programs_fabric_and_backstores_have_one` |
//! | a container for a backstore is a message of Python | `a_lun_wants_a_backstore` |
//! | what follows a character that cannot be read is dropped | `junk_after_a_command_is_an_error_that_names_it` |
//! | a path with junk after it succeeds | `what_does_not_exist_is_named` |
//! | a path with a space cannot be typed | `a_file_whose_name_has_a_space_is_one_word` |
//! | a batch always succeeds | `a_failure_is_remembered_or_stops` |
//! | an error that Python knows not ends the shell | `a_failure_is_a_line_and_the_shell_goes_on` |
//! | one shell waits for another | `every_line_sees_what_others_changed` |
//! | preferences of two shells overwrite each other | `many_shells_at_once_lose_nothing` |
//! | preferences are a pickle that runs what it holds | `a_damaged_file_is_not_overwritten` |
//! | the log grows without end | `the_log_is_private_and_does_not_grow_without_end` |
//! | an empty configuration is saved at the end of a session | `a_session_that_ends_saves_nothing_unless_it_is_wanted` |
//! | a device that is gone ends the listing | `a_backstore_that_is_gone_is_listed_as_missing` |
//! | 256 LUNs | `a_guest_may_have_16384_luns` |
//! | the nexus is another after a restart | `what_was_saved_is_loaded_in_every_word` |

use crate::support::{Session, furnished, transcript};
use api::v1::{BackstoreState, Change};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_target_and_its_group_are_one_change() {
    let mut session = Session::new();
    session.run("/vhost create naa.5001405000000001");
    let asked = session.fake.0.borrow().asked.clone();
    let one = Change::CreateTarget { wwn: Some("naa.5001405000000001".to_owned()), tpgs: vec![1] };
    assert_eq!(asked, [[one]]);
}

#[test]
fn a_save_leaves_the_directory_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    for mode in [0o755, 0o700, 0o1777] {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).expect("set");
        let file = directory.path().join("saved.json");
        let mut session = furnished();
        session.run(&format!("saveconfig {}", file.display()));
        session.run(&format!("/backstores/block/disk0 saveconfig {}", file.display()));
        let now = fs::metadata(directory.path()).expect("there").permissions().mode() & 0o7777;
        assert_eq!(now, mode);
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn an_empty_value_is_no_value() {
    furnished().transcript(
        "
/> /backstores/block/disk0 set attribute emulate_tpu=
! Not setting emulate_tpu! Syntax error, '' is not a NUMBER.
/> set global prompt_length=
! Not setting prompt_length! Syntax error, '' is not a NUMBER.
/> set global logfile=
! Not setting logfile! Syntax error, '' is not a file name.
",
    );
}

#[test]
fn a_failure_is_a_line_and_the_shell_goes_on() {
    let mut session = furnished();
    session.fake.stop();
    let reply = session.run("ls");
    assert!(reply.failed && !reply.leave, "{reply:?}");
    assert_eq!(reply.err.lines().count(), 2, "{}", reply.err);
    let reply = session.run("pwd");
    assert!(!reply.leave, "{reply:?}");
}

#[test]
fn a_session_that_ends_saves_nothing_unless_it_is_wanted() {
    let mut session = furnished();
    assert_eq!(session.shell.leave().out, "");
    assert_eq!(session.fake.0.borrow().saved.len(), 0);
    session.run("set global auto_save_on_exit=true");
    session.shell.leave();
    assert_eq!(session.fake.0.borrow().saved.len(), 1);
}

#[test]
fn a_backstore_that_is_gone_is_listed_as_missing() {
    let mut session = furnished();
    for backstore in &mut session.fake.0.borrow_mut().config.backstores {
        backstore.state = BackstoreState::Missing;
    }
    let reply = session.run("ls");
    assert!(!reply.failed && reply.out.contains(" missing]"), "{}", reply.out);
    assert!(!session.run("/backstores/block/disk0 info").failed);
    assert!(!session.run("saveconfig").failed);
}

#[test]
fn a_guest_may_have_16384_luns() {
    let mut session = furnished();
    let luns = "/vhost/naa.500140568720f76f/tpg1/luns";
    assert_eq!(
        session.run(&format!("{luns} create /backstores/block/disk0 16383")).out,
        "Created LUN 16383.\n"
    );
    assert!(session.run(&format!("{luns} create /backstores/ramdisk/disk2 16384")).failed);
}

#[test]
fn no_command_keeps_a_tag_of_a_node_acl() {
    transcript(
        "
/> /vhost create naa.500140568720f76f
Created target naa.500140568720f76f.
Created TPG 1.
/> /vhost/naa.500140568720f76f/tpg1/acls tag naa.5001405aaaaaaaaa group1
! Command not found tag
! hint: the commands here are bookmarks cd create delete exit get help ls pwd refresh set status
",
    );
}
