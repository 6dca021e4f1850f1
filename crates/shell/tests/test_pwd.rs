// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `pwd`.

use crate::support::{Session, transcript};

#[test]
fn the_path_is_shown_in_full() {
    transcript(
        "
/> pwd
/
/> /backstores/ramdisk pwd
/backstores/ramdisk
/> pwd x
! Got 1 positionnal parameters, expected exactly 0.
! hint: 'x' is too much; the command is: pwd
",
    );
}

#[test]
fn it_needs_no_daemon() {
    let mut session = Session::new();
    session.fake.stop();
    session.transcript("/> pwd\n/\n");
}
