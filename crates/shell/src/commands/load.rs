// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `load`: puts the medium of a backstore back.
//!
//! Above: the table.  Below: `eject`, which does the opposite in the same way.
//! Never here: whether it was out; the daemon knows.

use super::eject::move_medium;
use crate::command::{Command, Needs, Places};
use crate::tree::Place;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "load",
    places: Places::At(&[Place::StorageObject]),
    parameters: &[],
    summary: "Put the medium back, and start a backstore that a guest has stopped",
    details: "Guests are told that it may be another medium.",
    needs: Needs::Node,
    run: |call| move_medium(call, true),
}];
