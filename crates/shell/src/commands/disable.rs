// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `disable`: says that it cannot be done.
//!
//! Above: the table.  Below: nothing.
//! Never here: targetcli's answer for vhost, "The TPGT has been disabled.", while its LUNs go on serving.

use crate::command::{Command, Needs, Places};
use crate::failure::Failure;
use crate::tree::Place;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "disable",
    places: Places::At(&[Place::Tpg]),
    parameters: &[],
    summary: "Disable the target port group, which vhost cannot",
    details: "A target port group of vhost is enabled as long as it exists. Delete its LUNs to take them from the \
guest.",
    needs: Needs::Node,
    run: |_| {
        Err(Failure::new("The TPGT could not be disabled.")
            .hint("a TPG of vhost is always enabled; delete its LUNs to take them from the guest"))
    },
}];
