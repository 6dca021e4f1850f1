// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `eject`: takes the medium out of a removable backstore.
//!
//! Above: the table; `load`.  Below: the API.
//! Never here: whether a guest keeps the medium in; the daemon refuses.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::{Place, Subject, kind_name};
use api::v1::MoveMedium;
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "eject",
    places: Places::At(&[Place::StorageObject]),
    parameters: &[optional(
        "force",
        Values::Truth,
        "true takes the medium out although a guest keeps it in, as one does that has it mounted",
    )],
    summary: "Take the medium out of a removable backstore",
    details: "Guests are told that there is no medium until it is loaded, by load or by a guest, and so they are after \
a restart. The backstore must have emulate_removable=1.",
    needs: Needs::Node,
    run: |call| move_medium(call, false),
}];

/// Takes the medium out, or puts it in.
pub(super) fn move_medium(call: &mut Call<'_>, loaded: bool) -> Result<(), Failure> {
    let Subject::Backstore(backstore) = &call.node.subject else { return Ok(()) };
    let id = backstore.id.clone();
    let force = call.arguments.get("force") == Some("true");
    call.api().move_medium(&MoveMedium { id: id.clone(), loaded, force })?;
    call.result(json!({ "path": call.path.to_string(), "loaded": loaded }));
    let (kind, name) = (kind_name(id.kind), &id.name);
    let done = if loaded { "Loaded" } else { "Ejected" };
    call.say(Level::Info, &format!("{done} the medium of {kind} {name}"));
    Ok(())
}
