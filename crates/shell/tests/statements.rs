// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What holds for every statement: paths, unknown commands, junk, and a daemon that is not there.

use crate::support::{FAKE_SERIAL, Session, transcript};

#[test]
fn what_does_not_exist_is_named() {
    transcript(
        "
/> /nosuch ls
! No such path /nosuch
! hint: / has backstores vhost
/> nosuch
! Command not found nosuch
! hint: the commands here are apply bookmarks cd clearconfig diff exit get help ls pwd refresh restoreconfig saveconfig sessions set status version
/> create disk0 /srv/disk0.img 1M
! Command not found create
! hint: create is a command of block, fileio, ramdisk, vhost, target, luns, acls, acl, alua_groups: write the path of one before it
/> /vhost nosuch
! Command not found nosuch
! hint: the commands here are bookmarks cd create delete exit get help info ls pwd refresh set status version
/> vhost create
! Command not found vhost
! hint: vhost is a node: cd vhost, or vhost/ COMMAND
/> /nosuch/* ls
! No such path /nosuch
! hint: / has backstores vhost
",
    );
}

#[test]
fn junk_after_a_command_is_an_error_that_names_it() {
    transcript(
        "
/> pwd;ls
! Command not found pwd;ls
! hint: the commands here are apply bookmarks cd clearconfig diff exit get help ls pwd refresh restoreconfig saveconfig sessions set status version
/> pwd ;ls
! Got 1 positionnal parameters, expected exactly 0.
! hint: ';ls' is too much; the command is: pwd
/> refresh --now
! Unexpected keyword parameter '--now'.
! hint: the command is: refresh
",
    );
}

#[test]
fn a_daemon_that_is_not_there_is_one_line_and_a_hint() {
    let mut session = Session::new();
    session.fake.stop();
    session.transcript(
        "
/> ls
! no lunard is running at /run/lunar/api.sock
! hint: start it with `lunard`
",
    );
}

#[test]
fn what_was_typed_cannot_write_on_the_terminal() {
    let mut session = Session::new();
    let reply = session.run("'\u{1b}[2J\nx'");
    assert!(reply.err.starts_with("Command not found ?[2J?x\nhint: "), "{:?}", reply.err);
}

#[test]
fn unit_serials_come_from_the_daemon() {
    let mut session = Session::new();
    session.run("/backstores/ramdisk create r0 1M");
    assert!(session.run("/backstores/ramdisk/r0 info").out.contains(FAKE_SERIAL));
}
