// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `info`: what is known of a node.
//!
//! Above: the table.  Below: `tree`, which has the facts.
//! Never here: which facts a node has.

use crate::command::{Command, Needs, Places};
use crate::failure::Failure;
use crate::json;
use crate::session::Call;
use crate::tree::{Fact, Place, Subject};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "info",
    places: Places::At(&[
        Place::StorageObject,
        Place::Vhost,
        Place::Target,
        Place::Tpg,
        Place::Lun,
        Place::Acl,
        Place::MappedLun,
    ]),
    parameters: &[],
    summary: "Show what is known of the node",
    details: "With --json there is more for programs.",
    needs: Needs::Node,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    call.result(json::facts(call.node, &call.path));
    for (key, fact) in &call.node.facts {
        let value = match fact {
            Fact::Text(text) => text.clone(),
            Fact::Number(number) => number.to_string(),
            Fact::Truth(true) => "True".to_owned(),
            Fact::Truth(false) => "False".to_owned(),
        };
        call.print_line(&format!("{key}: {value}"));
    }
    if let Subject::Acl { initiator, .. } = &call.node.subject {
        // targetcli lists every initiator of a tag; here each is a node of its own.
        call.print(&format!("wwns:\n{initiator}\n"));
    }
    Ok(())
}
