// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `diff`: shows what `apply` would do with a file.
//!
//! Above: the table.  Below: `difference`, the API.
//! Never here: making it so.

use crate::command::{Command, Needs, Places, Values, required};
use crate::difference::{refused, show};
use crate::failure::Failure;
use crate::savefile::read_or;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::Place;
use api::v1::ApplyOptions;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "diff",
    places: Places::At(&[Place::Root]),
    parameters: &[required(
        "file",
        Values::HostPath,
        "a saveconfig.json, or a file in TOML; -f may stand before it",
    )],
    summary: "Show what a file has otherwise than the configuration",
    details: "Nothing is changed, and no file or device is opened. A line with + is of a thing that `apply` would make, \
~ of one that it would change below guests, ! of one that it would make anew, - of one that it would remove.\n\n\
With --json, differences is empty where everything is as the file says.",
    needs: Needs::Node,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let path = call.host_path(call.arguments.required("file")?);
    let document = read_or(&path, || format!("{path} not found"))?;
    let options = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    let compared = call.api().apply_file(document, &options).map_err(|error| refused(&path, error))?;
    show(call, &path, &compared);
    if compared.differences.is_empty() {
        call.say(Level::Info, &format!("Everything is as {path} says."));
    }
    Ok(())
}
