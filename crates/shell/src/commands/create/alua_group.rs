// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `alua create`: makes an ALUA group of a backstore.
//!
//! Above: `create`.  Below: the API.
//! Never here: which ids are taken.

use super::{made, must_be_one, unexpected};
use crate::command::{Command, Needs, Places, Values, required};
use crate::failure::Failure;
use crate::session::Call;
use crate::tree::{Place, Subject};
use api::v1;

pub(super) const COMMAND: Command = Command {
    name: "create",
    places: Places::At(&[Place::AluaGroups]),
    parameters: &[
        required("name", Values::Free, "its name"),
        required("tag", Values::Free, "what guests know it by, 1 to 65535"),
    ],
    summary: "Make an ALUA group of target ports",
    details: "A LUN is put into it by `set alua alua_tg_pt_gp_name=` at the LUN.",
    needs: Needs::Node,
    run,
};

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::AluaGroups { id, .. } = &call.node.subject else { return Ok(()) };
    let id = id.clone();
    let (group, tag) = (call.arguments.required("name")?.to_owned(), call.arguments.required("tag")?);
    must_be_one(&group)?;
    let tag: u16 = tag.parse().ok().filter(|tag| *tag != 0).ok_or_else(|| {
        Failure::new("The TPG Tag must be between 1 and 65535").hint(format!("{tag} is not"))
    })?;
    let outcome =
        call.apply(v1::Change::CreateAluaGroup { id, group: group.clone(), group_id: Some(tag) })?;
    let v1::Outcome::AluaGroupCreated { .. } = outcome else { return Err(unexpected(&outcome)) };
    made(call, &format!("Created ALUA TPG {group}."), &group);
    Ok(())
}
