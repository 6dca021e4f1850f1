// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enable`.

use crate::support::furnished;

#[test]
fn a_target_port_group_is_enabled_already() {
    furnished().transcript(
        "
/> /vhost/naa.500140568720f76f/tpg1 enable
The TPGT is already enabled.
/> /vhost/naa.500140568720f76f enable
! Command not found enable
! hint: enable is a command of tpg: write the path of one before it
",
    );
}
