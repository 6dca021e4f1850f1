// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `clearconfig`: takes everything away.
//!
//! Above: the table.  Below: the API.
//! Never here: how; the daemon does all of it or nothing.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::Place;
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "clearconfig",
    places: Places::At(&[Place::Root]),
    parameters: &[optional("confirm", Values::Truth, "must be true, lest it be typed by mistake")],
    summary: "Remove every target, LUN and backstore",
    details: "All of it goes, or nothing: it is refused while a guest is connected. Files and devices stay as they \
are; the contents of ramdisks are lost. What was restored for other fabrics and is kept for the next saveconfig goes \
too.\n\nThe file that saveconfig wrote stays, so that restoreconfig can bring everything back.",
    needs: Needs::Node,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    if call.arguments.truth("confirm")? != Some(true) {
        return Err(Failure::new("As a precaution, confirm=True needs to be set"));
    }
    let cleared = call.api().clear()?;
    call.result(json!({
        "storage_objects": cleared.storage_objects, "targets": cleared.targets, "kept_things": cleared.kept_things,
    }));
    if cleared.kept_things > 0 {
        let things = cleared.kept_things;
        call.say(Level::Warning, &format!("What was kept and not served is forgotten too ({things})"));
    }
    call.say(Level::Info, "All configuration cleared");
    Ok(())
}
