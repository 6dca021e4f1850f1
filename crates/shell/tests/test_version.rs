// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `version`.

use crate::support::{Session, furnished};

#[test]
fn programs_fabric_and_backstores_have_one() {
    furnished().transcript(
        "
/> version
lunar version 1.2.3
lunard version 1.2.4
/> /vhost version
Target fabric module vhost: 1.2.4
/> /backstores/block/disk0 version
Backstore plugin block v1.2.4
",
    );
}

#[test]
fn the_shells_own_version_needs_no_daemon() {
    let mut session = Session::new();
    session.fake.stop();
    session.transcript("/> version\nlunar version 1.2.3\nno lunard is running at /run/lunar/api.sock\n");
}
