// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `sessions`.

use crate::support::{Session, furnished};
use api::v1::Waiting;

/// With a guest at the target, and a second group that has an access control list.
fn visited() -> Session {
    let mut session = furnished();
    for line in [
        "/vhost/naa.500140568720f76f create 7",
        "/vhost/naa.500140568720f76f/tpg7/luns create /backstores/ramdisk/disk2",
        "/vhost/naa.500140568720f76f/tpg7/acls create naa.5001405c3bdda0c6 add_mapped_luns=false",
        "/vhost/naa.500140568720f76f/tpg7/acls/naa.5001405c3bdda0c6 create 9 lun0 true",
        "/vhost create",
    ] {
        assert_eq!(session.run(line).err, "", "{line}");
    }
    session.fake.connect("naa.500140568720f76f");
    session
}

#[test]
fn without_guests_there_are_none() {
    furnished().transcript(
        "
/> sessions
(no open sessions)
/> sessions detail
(no open sessions)
",
    );
}

#[test]
fn guests_are_listed_in_targetclis_words() {
    visited().transcript(
        "
/> sessions
alias: guest\tsid: 1 type: Normal session-state: LOGGED_IN
alias: guest\tsid: 2 type: Normal session-state: LOGGED_IN
/> sessions list 2
alias: guest\tsid: 2 type: Normal session-state: LOGGED_IN
",
    );
}

#[test]
fn details_say_what_a_guest_sees() {
    visited().transcript(
        "
/> sessions detail 1
alias: guest\tsid: 1 type: Normal session-state: LOGGED_IN
    name: naa.5001405c3bdda0c6 (NOT AUTHENTICATED)
    mapped-lun: 0 backstore: fileio/disk1 mode: rw
    address: /run/lunar/vhost/naa.500140568720f76f.sock (vhost-user)  cid: 0 connection-state: LOGGED_IN
/> sessions detail 2
alias: guest\tsid: 2 type: Normal session-state: LOGGED_IN
    name: naa.5001405c3bdda0c6 (NOT AUTHENTICATED)
    mapped-lun: 9 backstore: ramdisk/disk2 mode: r
    address: /run/lunar/vhost/naa.500140568720f76f.sock (vhost-user)  cid: 0 connection-state: LOGGED_IN
",
    );
}

#[test]
fn what_a_guest_has_waited_for_is_said_with_its_lun() {
    let mut session = visited();
    for (tag, lun, commands) in [(1, 0, 1), (7, 9, 3)] {
        let waiting = Waiting { lun, command: "WRITE (10)".to_owned(), seconds: 45, commands };
        session.fake.wait("naa.500140568720f76f", tag, waiting);
    }
    session.transcript(
        "
/> sessions detail 2
alias: guest\tsid: 2 type: Normal session-state: LOGGED_IN
    name: naa.5001405c3bdda0c6 (NOT AUTHENTICATED)
    mapped-lun: 9 backstore: ramdisk/disk2 mode: r
        WRITE (10) has waited for 45 s, and 2 more
    address: /run/lunar/vhost/naa.500140568720f76f.sock (vhost-user)  cid: 0 connection-state: LOGGED_IN
/> /vhost/naa.500140568720f76f/tpg1/luns/lun0 status
Status for /vhost/naa.500140568720f76f/tpg1/luns/lun0: fileio/disk1 (/srv/disk1.img) (default_tg_pt_gp) \
WRITE (10) has waited for 45 s
/> /vhost/naa.500140568720f76f/tpg7/luns/lun0 status
Status for /vhost/naa.500140568720f76f/tpg7/luns/lun0: ramdisk/disk2 (default_tg_pt_gp) \
WRITE (10) has waited for 45 s, and 2 more
",
    );
    let told = session.run("sessions list 1 --json");
    assert!(
        told.out.contains(r#""waiting":[{"command":"WRITE (10)","commands":1,"lun":0,"seconds":45}]"#),
        "{}",
        told.out
    );
}

#[test]
fn what_is_no_session_is_refused() {
    visited().transcript(
        "
/> sessions detail 3
! no session found with sid 3
! hint: `sessions` shows which there are
/> sessions list x
! sid must be a number, 'x' given
/> sessions show
! action must be one of: list, detail
! hint: not show
",
    );
}
