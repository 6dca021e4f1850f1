// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `luns create`: shows a backstore to the guest.
//!
//! Above: `create`.  Below: the API; the host, to tell a file from a device.
//! Never here: which number is free.

use super::{made, number_after, unexpected};
use crate::command::{Command, Needs, Places, Values, keyword, optional, required};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::{Place, Subject};
use api::v1::{self, BackstoreId, Change, CreateBackstore, Kind};
use std::fs;
use std::os::unix::fs::FileTypeExt;

pub(super) const COMMAND: Command = Command {
    name: "create",
    places: Places::At(&[Place::Luns]),
    parameters: &[
        required(
            "storage_object",
            Values::BackstorePath,
            "the path of a backstore, or of a file or device of the host, for which one is made",
        ),
        optional("lun", Values::FreeNumber, "its number, 0 to 16383; the lowest free one if left out"),
        optional(
            "add_mapped_luns",
            Values::Truth,
            "whether every access control list of the group maps it; as auto_add_mapped_luns has it if left out",
        ),
        keyword("write_protect", Values::Truth, "whether the guest may only read; false if left out"),
    ],
    summary: "Show a backstore to the guest",
    details: "A guest that runs is told at once.",
    needs: Needs::Node,
    run,
};

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Luns { wwn, tag } = &call.node.subject else { return Ok(()) };
    let (wwn, tag) = (wwn.clone(), *tag);
    let adds = call.arguments.truth("add_mapped_luns")?;
    let adds = adds.unwrap_or_else(|| call.kept.is_on("auto_add_mapped_luns"));
    let write_protect = call.arguments.truth("write_protect")?.unwrap_or(false);
    let number = |text: &str| {
        number_after("lun", text).ok_or_else(|| {
            Failure::new("LUN must be 0 to 16383")
                .hint(format!("{text} should be a number, or lun and a number"))
        })
    };
    let lun = call.arguments.get("lun").map(number).transpose()?;
    let typed = call.arguments.required("storage_object")?.to_owned();
    let (backstore, new) = storage_object(call, &typed)?;
    let is_new = new.is_some();
    let tpg = call.tree.tpg(&wwn, tag).filter(|_| adds);
    let lists: Vec<String> = tpg.iter().flat_map(|tpg| &tpg.acls).map(|acl| acl.initiator.clone()).collect();
    // A list has to be told which LUN it maps.
    let taken = tpg.iter().flat_map(|tpg| &tpg.luns).map(|lun| lun.lun);
    let of = lun.unwrap_or_else(|| lowest_free(taken));
    let lun = if lists.is_empty() { lun } else { Some(of) };
    let in_lists = lists.iter().map(|initiator| Change::MapAclLun {
        wwn: wwn.clone(),
        tag,
        initiator: initiator.clone(),
        lun: None,
        of,
        write_protect: false,
    });
    let map = Change::MapLun { wwn: wwn.clone(), tag, lun, backstore: backstore.clone(), write_protect };
    // The backstore and its LUN come together or not at all.
    let changes = new.map(Change::CreateBackstore).into_iter().chain([map]).chain(in_lists).collect();
    let outcomes = call.apply_all(changes)?;
    if is_new {
        call.say(Level::Info, &format!("Created storage object {}.", backstore.name));
    }
    let outcome = outcomes.get(usize::from(is_new)).unwrap_or(&v1::Outcome::Done);
    let v1::Outcome::LunMapped { lun } = outcome else { return Err(unexpected(outcome)) };
    made(call, &format!("Created LUN {lun}."), &format!("lun{lun}"));
    for (initiator, outcome) in lists.iter().zip(outcomes.iter().skip(1 + usize::from(is_new))) {
        let v1::Outcome::AclLunMapped { lun: mapped } = outcome else { return Err(unexpected(outcome)) };
        call.say(Level::Info, &format!("Created LUN {lun}->{mapped} mapping in node ACL {initiator}"));
    }
    Ok(())
}

/// The lowest number that none of these is; they are sorted.
pub(super) fn lowest_free(taken: impl Iterator<Item = u16>) -> u16 {
    let in_order = (0..u16::MAX).zip(taken).take_while(|(number, taken)| number == taken);
    u16::try_from(in_order.count()).unwrap_or(u16::MAX)
}

/// The backstore that `typed` names: one of the tree, or one to make for a file or device of the host.
pub(super) fn storage_object(
    call: &Call<'_>,
    typed: &str,
) -> Result<(BackstoreId, Option<CreateBackstore>), Failure> {
    match known(call, typed)? {
        Some(backstore) => Ok((backstore, None)),
        None => from_host(call, typed).map(|(backstore, new)| (backstore, Some(new))),
    }
}

/// The backstore whose node `typed` names; `None` where it names no node.
fn known(call: &Call<'_>, typed: &str) -> Result<Option<BackstoreId>, Failure> {
    let path = call.resolve(typed)?;
    match call.tree.find(&path).map(|node| &node.subject) {
        Ok(Subject::Backstore(backstore)) => Ok(Some(backstore.id.clone())),
        Ok(_) => Err(not_valid(format!("{path} is no backstore; `ls /backstores` shows them"))),
        Err(_) => Ok(None),
    }
}

/// The backstore to make for a file or device of the host, named after its path as targetcli does.
fn from_host(call: &Call<'_>, typed: &str) -> Result<(BackstoreId, CreateBackstore), Failure> {
    let path = call.host_path(typed);
    let missing = || not_valid(format!("{typed} is neither a backstore nor a file or device of the host"));
    let kind = fs::metadata(&path).map_err(|_| missing())?.file_type();
    let name = path.trim_start_matches('/').replace('/', "-");
    let unit_serial = None;
    if kind.is_block_device() {
        let new = CreateBackstore::Block { name: name.clone(), path, read_only: None, unit_serial };
        return Ok((BackstoreId { kind: Kind::Block, name }, new));
    }
    if !kind.is_file() {
        return Err(missing());
    }
    let (size_bytes, write_back, sparse) = (None, None, None);
    let new =
        CreateBackstore::Fileio { name: name.clone(), path, size_bytes, write_back, sparse, unit_serial };
    Ok((BackstoreId { kind: Kind::Fileio, name }, new))
}

fn not_valid(hint: String) -> Failure {
    Failure::new("storage object or path not valid").hint(hint)
}
