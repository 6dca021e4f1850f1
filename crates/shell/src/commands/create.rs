// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `create`: makes a backstore, a target, a target port group, a LUN, an access control list, a mapped LUN or an ALUA
//! group.
//!
//! Above: the table.  Below: one file for each sort of thing.
//! Never here: a rule; the daemon refuses what cannot be.

mod acl;
mod alua_group;
mod block;
mod fileio;
mod lun;
mod mapped_lun;
mod ramdisk;
mod target;
mod tpg;

use crate::command::{Command, Parameter, Values, optional};
use crate::failure::{Failure, codes};
use crate::screen::Level;
use crate::session::Call;
use api::v1;
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[
    block::COMMAND,
    fileio::COMMAND,
    ramdisk::COMMAND,
    target::COMMAND,
    tpg::COMMAND,
    lun::COMMAND,
    acl::COMMAND,
    mapped_lun::COMMAND,
    alua_group::COMMAND,
];

/// The parameter that sets the unit serial number, in targetcli's word for it.
const SERIAL: Parameter = optional("wwn", Values::Free, "the unit serial number; made up if left out");

/// Makes a backstore, reports what the daemon noted, and returns it as it is now.
fn make_backstore(call: &mut Call<'_>, wanted: v1::CreateBackstore) -> Result<v1::Backstore, Failure> {
    let (kind, name) = match &wanted {
        v1::CreateBackstore::Block { name, .. } => (v1::Kind::Block, name),
        v1::CreateBackstore::Fileio { name, .. } => (v1::Kind::Fileio, name),
        v1::CreateBackstore::Ramdisk { name, .. } => (v1::Kind::Ramdisk, name),
    };
    must_be_one(name)?;
    let id = v1::BackstoreId { kind, name: name.clone() };
    let mut changes = vec![v1::Change::CreateBackstore(wanted)];
    if !call.kept.is_on("export_backstore_name_as_model") {
        let (attribute, value) = ("emulate_model_alias".to_owned(), "0".to_owned());
        changes.push(v1::Change::SetAttribute { id, attribute, value });
    }
    let outcomes = call.apply_all(changes)?;
    let first = outcomes.into_iter().next().unwrap_or(v1::Outcome::Done);
    let v1::Outcome::BackstoreCreated { backstore, notes } = first else {
        return Err(unexpected(&first));
    };
    for note in notes {
        call.say(Level::Info, &note);
    }
    Ok(backstore)
}

/// Refuses the one name that a path gives to all children of a node.  LIO allows it, so that there may be one, from a
/// saveconfig.json or LIO's tree.
fn must_be_one(name: &str) -> Result<(), Failure> {
    match name {
        "*" => Err(Failure::new("The name * stands for all children of a node: nothing can be made by it")
            .hint("choose another name")
            .code(codes::SYNTAX)),
        _ => Ok(()),
    }
}

/// The daemon is of another version, or wrong.
fn unexpected(outcome: &v1::Outcome) -> Failure {
    Failure::new(format!("lunard gave an answer that this version of lunar does not know: {outcome:?}"))
}

/// Reports what was made, and remembers where it is.
fn made(call: &mut Call<'_>, message: &str, name: &str) {
    call.say(Level::Info, message);
    let path = call.path.child(name);
    call.result(json!({ "path": path.to_string() }));
    call.created(&path);
}

/// The number of `7` or `lun7`, with `lun` in any case; `None` for anything else.
pub(super) fn number_after(prefix: &str, text: &str) -> Option<u16> {
    let digits = match text.get(..prefix.len()) {
        Some(head) if head.eq_ignore_ascii_case(prefix) => &text[prefix.len()..],
        _ => text,
    };
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}
