// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `refresh`: there for targetcli's scripts.
//!
//! Above: the table.  Below: nothing.
//! Never here: a cache; every line sees the configuration as it is.

use crate::command::{Command, Needs, Places};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "refresh",
    places: Places::All,
    parameters: &[],
    summary: "Do nothing, since every command reads the configuration anew",
    details: "",
    needs: Needs::Tree,
    run: |_| Ok(()),
}];
