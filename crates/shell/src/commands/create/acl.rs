// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `acls create`: makes an access control list.
//!
//! Above: `create`.  Below: the API.
//! Never here: which numbers are free.

use super::unexpected;
use crate::command::{Command, Needs, Places, Values, optional, required};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::{Place, Subject};
use crate::wwn;
use api::v1::{Change, Outcome};
use serde_json::json;

pub(super) const COMMAND: Command = Command {
    name: "create",
    places: Places::At(&[Place::Acls]),
    parameters: &[
        required("wwn", Values::Initiator, "the initiator's name, such as naa.5001405000000001"),
        optional(
            "add_mapped_luns",
            Values::Truth,
            "whether it maps all LUNs of the group; as auto_add_mapped_luns has it if left out",
        ),
    ],
    summary: "Make an access control list for an initiator",
    details: "The only initiator of a target port group is its nexus, whose name `ls` shows beside it. With a list \
for that name the guest sees the mapped LUNs of the list and no other. A list for another name waits for a nexus of \
that name.",
    needs: Needs::Node,
    run,
};

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Acls { wwn, tag } = &call.node.subject else { return Ok(()) };
    let (wwn, tag) = (wwn.clone(), *tag);
    let initiator = wwn::normalize(call.arguments.required("wwn")?)?;
    if call.node.child(&initiator).is_some() {
        return Err(Failure::new("This NodeACL already exists in configFS")
            .hint(format!("`ls {}` shows it", call.path.child(&initiator))));
    }
    let adds = call.arguments.truth("add_mapped_luns")?;
    let adds = adds.unwrap_or_else(|| call.kept.is_on("auto_add_mapped_luns"));
    let luns: Vec<u16> = match call.tree.tpg(&wwn, tag) {
        Some(tpg) if adds => tpg.luns.iter().map(|lun| lun.lun).collect(),
        _ => Vec::new(),
    };
    // All of it at once: a guest whose list it is must not lose a disk in between.
    let create = Change::CreateAcl { wwn: wwn.clone(), tag, initiator: initiator.clone() };
    let map = luns.iter().map(|of| Change::MapAclLun {
        wwn: wwn.clone(),
        tag,
        initiator: initiator.clone(),
        lun: Some(*of),
        of: *of,
        write_protect: false,
    });
    let outcomes = call.apply_all(std::iter::once(create).chain(map).collect())?;
    call.say(Level::Info, &format!("Created Node ACL for {initiator}"));
    for outcome in outcomes.iter().skip(1) {
        let Outcome::AclLunMapped { lun } = outcome else { return Err(unexpected(outcome)) };
        call.say(Level::Info, &format!("Created mapped LUN {lun}."));
    }
    let path = call.path.child(&initiator);
    call.result(json!({ "path": path.to_string(), "luns": luns }));
    call.created(&path);
    Ok(())
}
