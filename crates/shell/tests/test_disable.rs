// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `disable`.

use crate::support::furnished;

#[test]
fn a_target_port_group_that_goes_on_serving_is_not_said_to_be_disabled() {
    furnished().transcript(
        "
/> /vhost/naa.500140568720f76f/tpg1 disable
! The TPGT could not be disabled.
! hint: a TPG of vhost is always enabled; delete its LUNs to take them from the guest
",
    );
}
