// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `acls/WWN create`: shows a LUN to an initiator.
//!
//! Above: `create`.  Below: the API; `lun`, for a backstore that has no LUN yet.
//! Never here: which number is free.

use super::lun::{lowest_free, storage_object};
use super::{made, number_after, unexpected};
use crate::arguments::truth;
use crate::command::{Command, Needs, Places, Values, optional, required};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::{Place, Subject};
use api::v1::{self, Change, Outcome};

pub(super) const COMMAND: Command = Command {
    name: "create",
    places: Places::At(&[Place::Acl]),
    parameters: &[
        required("mapped_lun", Values::FreeNumber, "the number that the initiator sees, 0 to 16383"),
        required(
            "tpg_lun_or_backstore",
            Values::LunOrBackstore,
            "the LUN, such as lun0; or the path of a backstore, of which a LUN is made where there is none",
        ),
        optional("write_protect", Values::Truth, "whether the initiator may only read; false if left out"),
    ],
    summary: "Show a LUN to the initiator",
    details: "One LUN may be mapped under several numbers.",
    needs: Needs::Node,
    run,
};

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Acl { wwn, tag, initiator } = &call.node.subject else { return Ok(()) };
    let (wwn, tag, initiator) = (wwn.clone(), *tag, initiator.clone());
    let number = call.arguments.required("mapped_lun")?;
    let number = number_after("mapped_lun", number).ok_or_else(|| {
        Failure::new("mapped_lun must be an integer").hint(format!("{number} should be 0 to 16383"))
    })?;
    let write_protect = match call.arguments.get("write_protect") {
        // As targetcli's own transcripts have it.
        Some("1") => true,
        None | Some("0") => false,
        Some(text) => truth(text)?,
    };
    let typed = call.arguments.required("tpg_lun_or_backstore")?.to_owned();
    let mut found = find(call, &wwn, tag, &typed)?;
    let is_new = !found.changes.is_empty();
    let twice = call.node.children.iter().any(|mapped| mapped.is_mapping_of(found.of));
    let map = Change::MapAclLun { wwn, tag, initiator, lun: Some(number), of: found.of, write_protect };
    found.changes.push(map);
    let outcomes = call.apply_all(found.changes)?;
    let last = outcomes.last().unwrap_or(&Outcome::Done);
    let Outcome::AclLunMapped { lun } = last else { return Err(unexpected(last)) };
    if let Some(name) = found.new_backstore {
        call.say(Level::Info, &format!("Created storage object {name}."));
    }
    if is_new {
        call.say(Level::Info, &format!("Created LUN {}.", found.of));
    }
    if twice {
        let warning = format!("Warning: TPG LUN {} already mapped to this NodeACL", found.of);
        call.say(Level::Warning, &warning);
    }
    made(call, &format!("Created Mapped LUN {lun}."), &format!("mapped_lun{lun}"));
    Ok(())
}

/// A LUN of the group, and what has to be made for it.
struct Found {
    of: u16,
    changes: Vec<Change>,
    new_backstore: Option<String>,
}

fn find(call: &Call<'_>, wwn: &str, tag: u16, typed: &str) -> Result<Found, Failure> {
    let luns: &[v1::Lun] = call.tree.tpg(wwn, tag).map(|tpg| tpg.luns.as_slice()).unwrap_or_default();
    if let Some(of) = number_after("lun", typed) {
        if luns.iter().all(|lun| lun.lun != of) {
            return Err(Failure::new("LUN, storage object, or path not valid")
                .hint(format!("there is no lun{of}; `ls ../../luns` shows them")));
        }
        return Ok(Found { of, changes: Vec::new(), new_backstore: None });
    }
    let not_valid = |failure: Failure| Failure {
        message: "LUN, storage object, or path not valid".to_owned(),
        ..failure
    };
    let (backstore, new) = storage_object(call, typed).map_err(not_valid)?;
    if let Some(lun) = luns.iter().find(|lun| lun.backstore == backstore) {
        return Ok(Found { of: lun.lun, changes: Vec::new(), new_backstore: None });
    }
    let of = lowest_free(luns.iter().map(|lun| lun.lun));
    let new_backstore = new.is_some().then(|| backstore.name.clone());
    let (wwn, lun, write_protect) = (wwn.to_owned(), Some(of), false);
    let map = Change::MapLun { wwn, tag, lun, backstore, write_protect };
    let changes = new.map(Change::CreateBackstore).into_iter().chain([map]).collect();
    Ok(Found { of, changes, new_backstore })
}
