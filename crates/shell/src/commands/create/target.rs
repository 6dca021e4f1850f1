// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/vhost create`: makes a target, with one target port group as targetcli does.
//!
//! Above: `create`.  Below: the API.
//! Never here: making up a name.

use super::{made, unexpected};
use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::Place;
use api::v1;

pub(super) const COMMAND: Command = Command {
    name: "create",
    places: Places::At(&[Place::Vhost]),
    parameters: &[optional(
        "wwn",
        Values::Free,
        "its name, such as naa.5001405000000001; made up if left out",
    )],
    summary: "Make a target, which one guest connects to",
    details: "It gets the target port group 1. `lunar qemu WWN` prints what QEMU needs for it.",
    needs: Needs::Node,
    run,
};

/// The tag of the target port group that comes with a target.
const FIRST_TAG: u16 = 1;

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let wwn = call.arguments.get("wwn").map(str::to_owned);
    let outcome = call.apply(v1::Change::CreateTarget { wwn, tpgs: vec![FIRST_TAG] })?;
    let v1::Outcome::TargetCreated { target } = outcome else { return Err(unexpected(&outcome)) };
    call.say(Level::Info, &format!("Created target {}.", target.wwn));
    made(call, &format!("Created TPG {FIRST_TAG}."), &target.wwn);
    Ok(())
}
