// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `apply`: makes everything as a file says.
//!
//! Above: the table.  Below: `difference`, the API.
//! Never here: what a file means; the daemon compares, and makes it so.

use crate::command::{Command, Needs, Places, Values, flag, required};
use crate::difference::{refused, show};
use crate::failure::Failure;
use crate::savefile::read_or;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::Place;
use api::v1::ApplyOptions;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "apply",
    places: Places::At(&[Place::Root]),
    parameters: &[
        required("file", Values::HostPath, "a saveconfig.json, or a file in TOML; -f may stand before it"),
        flag("dry-run", "show what would be done, and do nothing"),
        flag("yes", "do not ask first; -y is the same"),
        flag("force", "guests that are connected may lose their target, or a LUN"),
    ],
    summary: "Make everything as a file says, and nothing twice",
    details: "What is otherwise is shown first, as by `diff`. On a terminal it is then asked for; in a script it is \
meant. All of it is done, or nothing; if somebody else changed the configuration meanwhile, nothing.\n\n\
What the file names is made as it says. What it does not name stays, unless the file's scope has it. A target in the \
file has the LUNs that the file says, and no others.",
    needs: Needs::Node,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let path = call.host_path(call.arguments.required("file")?);
    let document = read_or(&path, || format!("{path} not found"))?;
    let force = call.arguments.flag("force");
    let look = ApplyOptions { dry_run: true, force, generation: None };
    let shown = call.api().apply_file(document.clone(), &look).map_err(|error| refused(&path, error))?;
    show(call, &path, &shown);
    if call.arguments.flag("dry-run") {
        call.say(Level::Info, "Nothing was changed.");
        return Ok(());
    }
    let loses = !shown.guests_lose.is_empty() && !force;
    let asks = !(shown.differences.is_empty() || loses || call.arguments.flag("yes"));
    if asks && !call.is_meant("Apply this?") {
        return Err(Failure::new("Nothing was changed.").code("declined"));
    }
    let make = ApplyOptions { dry_run: false, force, generation: Some(shown.generation) };
    let made = call.api().apply_file(document, &make).map_err(|error| refused(&path, error))?;
    // What was told before is not told again.
    let news: Vec<&String> = made.notes.iter().filter(|note| !shown.notes.contains(note)).collect();
    for note in news {
        call.say(Level::Warning, note);
    }
    call.result(crate::difference::result(&path, &made));
    call.say(Level::Info, &format!("Everything is as {path} says."));
    Ok(())
}
