// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/vhost/WWN create`: makes a target port group.
//!
//! Above: `create`.  Below: the API.
//! Never here: which tag is free.

use super::{made, number_after, unexpected};
use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::Failure;
use crate::session::Call;
use crate::tree::{Place, Subject};
use api::v1;

pub(super) const COMMAND: Command = Command {
    name: "create",
    places: Places::At(&[Place::Target]),
    parameters: &[optional(
        "tag",
        Values::FreeNumber,
        "its number, 0 to 255; the lowest free one from 1 if left out",
    )],
    summary: "Make a target port group",
    details: "Its tag is the SCSI target id that the guest sees.",
    needs: Needs::Node,
    run,
};

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Target { wwn, .. } = &call.node.subject else { return Ok(()) };
    let number = |text: &str| {
        number_after("tpg", text).ok_or_else(|| {
            Failure::new("Tag argument must be a number.").hint(format!("{text} should be 0 to 255"))
        })
    };
    let tag = call.arguments.get("tag").map(number).transpose()?;
    let outcome = call.apply(v1::Change::CreateTpg { wwn: wwn.clone(), tag })?;
    let v1::Outcome::TpgCreated { tag } = outcome else { return Err(unexpected(&outcome)) };
    made(call, &format!("Created TPG {tag}."), &format!("tpg{tag}"));
    Ok(())
}
