// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `clearconfig`.

use crate::support::{furnished, transcript};

#[test]
fn it_must_be_confirmed() {
    transcript(
        "
/> clearconfig
! As a precaution, confirm=True needs to be set
/> clearconfig confirm=false
! As a precaution, confirm=True needs to be set
/> clearconfig confirm=yes
! Syntax error, 'yes' is not true|false.
! hint: confirm is true or false
/> vhost/ clearconfig true
! Command not found clearconfig
! hint: clearconfig is a command of root: write the path of one before it
",
    );
}

#[test]
fn everything_goes_and_what_was_kept_is_told() {
    let mut session = furnished();
    session.fake.0.borrow_mut().kept_things = 2;
    session.transcript(
        "
/> clearconfig confirm=True
What was kept and not served is forgotten too (2)
All configuration cleared
/> ls / 1
o- / ............................................................. [...]
  o- backstores .................................................. [...]
  o- vhost ................................................ [Targets: 0]
/> clearconfig true
All configuration cleared
",
    );
}
