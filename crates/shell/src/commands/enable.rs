// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enable`: there for targetcli's scripts.
//!
//! Above: the table.  Below: nothing.
//! Never here: a change; a target port group of vhost is always enabled.

use crate::command::{Command, Needs, Places};
use crate::screen::Level;
use crate::tree::Place;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "enable",
    places: Places::At(&[Place::Tpg]),
    parameters: &[],
    summary: "Enable the target port group",
    details: "A target port group of vhost is enabled as long as it exists.",
    needs: Needs::Node,
    run: |call| {
        call.say(Level::Info, "The TPGT is already enabled.");
        Ok(())
    },
}];
