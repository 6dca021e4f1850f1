// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `delete`: removes a backstore, a target, a target port group, a LUN, an access control list, a mapped LUN or an ALUA
//! group.
//!
//! Above: the table.  Below: the API.
//! Never here: a rule; the daemon refuses what is in use.

use super::create::number_after;
use crate::command::{Command, Needs, Places, Values, optional, required};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::{Place, Subject, VHOST_IN_CONFIGFS};
use crate::wwn;
use api::v1::{BackstoreId, Change, DEFAULT_ALUA_GROUP, Kind};
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "delete",
        places: Places::At(&[Place::Block, Place::Fileio, Place::Ramdisk]),
        parameters: &[
            required("name", Values::Child, "its name"),
            optional("save", Values::Truth, "whether to write saveconfig.json after it; false if left out"),
        ],
        summary: "Remove a backstore",
        details: "It is refused while a LUN shows the backstore. The file or device is left as it is; the contents \
of a ramdisk are lost.",
        needs: Needs::Node,
        run: backstore,
    },
    Command {
        name: "delete",
        places: Places::At(&[Place::Vhost]),
        parameters: &[required("wwn", Values::Child, "its name")],
        summary: "Remove a target with its target port groups and LUNs",
        details: "It is refused while a guest is connected. The backstores stay.",
        needs: Needs::Node,
        run: target,
    },
    Command {
        name: "delete",
        places: Places::At(&[Place::Target]),
        parameters: &[required("tag", Values::Child, "its number, or tpg and its number")],
        summary: "Remove a target port group with its LUNs",
        details: "The backstores stay.",
        needs: Needs::Node,
        run: tpg,
    },
    Command {
        name: "delete",
        places: Places::At(&[Place::AluaGroups]),
        parameters: &[required("name", Values::Child, "its name")],
        summary: "Remove an ALUA group",
        details: "It is refused while a LUN is in it.",
        needs: Needs::Node,
        run: alua_group,
    },
    Command {
        name: "delete",
        places: Places::At(&[Place::Luns]),
        parameters: &[required("lun", Values::Child, "its number, or lun and its number")],
        summary: "Take a LUN from the guest",
        details: "The backstore stays.",
        needs: Needs::Node,
        run: lun,
    },
    Command {
        name: "delete",
        places: Places::At(&[Place::Acls]),
        parameters: &[required("wwn", Values::Child, "the initiator's name")],
        summary: "Remove an access control list with its mapped LUNs",
        details: "If it is that of the nexus, the guest sees the LUNs of the target port group again.",
        needs: Needs::Node,
        run: acl,
    },
    Command {
        name: "delete",
        places: Places::At(&[Place::Acl]),
        parameters: &[required("mapped_lun", Values::Child, "its number, or mapped_lun and its number")],
        summary: "Take a LUN from the initiator",
        details: "The LUN of the target port group stays.",
        needs: Needs::Node,
        run: mapped_lun,
    },
];

fn alua_group(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::AluaGroups { id, .. } = &call.node.subject else { return Ok(()) };
    let id = id.clone();
    let name = call.arguments.required("name")?.to_owned();
    if call.node.child(&name).is_none() {
        return Err(unknown(call, "Invalid ALUA group name".to_owned()));
    }
    if name == DEFAULT_ALUA_GROUP {
        return Err(Failure::new(format!("Can not delete {name}")).hint("it is always there"));
    }
    // As quiet as targetcli.
    call.apply(Change::DeleteAluaGroup { id, group: name })?;
    Ok(())
}

fn backstore(call: &mut Call<'_>) -> Result<(), Failure> {
    let kind = match call.node.subject.place() {
        Place::Block => Kind::Block,
        Place::Fileio => Kind::Fileio,
        _ => Kind::Ramdisk,
    };
    let saves = call.arguments.truth("save")?.unwrap_or(false);
    let name = call.arguments.required("name")?.to_owned();
    if call.node.child(&name).is_none() {
        return Err(unknown(call, format!("No storage object named {name}.")));
    }
    call.apply(Change::DeleteBackstore { id: BackstoreId { kind, name: name.clone() } })?;
    gone(call, &name);
    call.say(Level::Info, &format!("Deleted storage object {name}."));
    if saves {
        super::saveconfig::save(call)?;
    }
    Ok(())
}

fn target(call: &mut Call<'_>) -> Result<(), Failure> {
    let wwn = call.arguments.required("wwn")?.to_owned();
    let name = wwn::normalize(&wwn)?;
    if call.node.child(&name).is_none() {
        return Err(unknown(call, format!("No such Target in configfs: {VHOST_IN_CONFIGFS}/{name}")));
    }
    call.apply(Change::DeleteTarget { wwn: name.clone() })?;
    gone(call, &name);
    call.say(Level::Info, &format!("Deleted Target {wwn}."));
    Ok(())
}

fn tpg(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Target { wwn, .. } = &call.node.subject else { return Ok(()) };
    let typed = call.arguments.required("tag")?;
    let tag = number_after("tpg", typed)
        .ok_or_else(|| unknown(call, "Tag argument must be a number.".to_owned()))?;
    if call.node.child(&format!("tpg{tag}")).is_none() {
        return Err(unknown(call, format!("No such TPG in configfs: {VHOST_IN_CONFIGFS}/{wwn}/tpgt_{tag}")));
    }
    call.apply(Change::DeleteTpg { wwn: wwn.clone(), tag })?;
    gone(call, &format!("tpg{tag}"));
    call.say(Level::Info, &format!("Deleted TPGT {tag}."));
    Ok(())
}

fn lun(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Luns { wwn, tag } = &call.node.subject else { return Ok(()) };
    let typed = call.arguments.required("lun")?;
    let lun = number_after("lun", typed).filter(|lun| call.node.child(&format!("lun{lun}")).is_some());
    let Some(lun) = lun else { return Err(unknown(call, "Invalid LUN".to_owned())) };
    call.apply(Change::UnmapLun { wwn: wwn.clone(), tag: *tag, lun })?;
    gone(call, &format!("lun{lun}"));
    call.say(Level::Info, &format!("Deleted LUN {lun}."));
    Ok(())
}

fn acl(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Acls { wwn, tag } = &call.node.subject else { return Ok(()) };
    let typed = call.arguments.required("wwn")?.to_owned();
    let initiator = wwn::normalize(&typed)?;
    if call.node.child(&initiator).is_none() {
        let at = format!("{VHOST_IN_CONFIGFS}/{wwn}/tpgt_{tag}/acls/{initiator}");
        return Err(unknown(call, format!("No such NodeACL in configfs: {at}")));
    }
    call.apply(Change::DeleteAcl { wwn: wwn.clone(), tag: *tag, initiator: initiator.clone() })?;
    gone(call, &initiator);
    call.say(Level::Info, &format!("Deleted Node ACL {typed}."));
    Ok(())
}

fn mapped_lun(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Acl { wwn, tag, initiator } = &call.node.subject else { return Ok(()) };
    let typed = call.arguments.required("mapped_lun")?;
    let number = number_after("mapped_lun", typed);
    let lun = number.filter(|lun| call.node.child(&format!("mapped_lun{lun}")).is_some());
    let Some(lun) = lun else { return Err(unknown(call, format!("No such mapped LUN: {typed}"))) };
    let (wwn, initiator) = (wwn.clone(), initiator.clone());
    call.apply(Change::UnmapAclLun { wwn, tag: *tag, initiator, lun })?;
    gone(call, &format!("mapped_lun{lun}"));
    call.say(Level::Info, &format!("Deleted Mapped LUN {lun}."));
    Ok(())
}

/// Tells a program which node there was.
fn gone(call: &mut Call<'_>, name: &str) {
    call.result(json!({ "path": call.path.child(name).to_string() }));
}

/// A failure to find what was named, with what there is.
fn unknown(call: &Call<'_>, message: String) -> Failure {
    let names: Vec<&str> = call.node.children.iter().map(|child| child.name.as_str()).collect();
    let hint = match names.as_slice() {
        [] => format!("{} has none", call.path),
        names => format!("{} has {}", call.path, shortened(names)),
    };
    Failure::new(message).hint(hint)
}

/// The most names a hint lists.
const NAMES_MAX: usize = 8;

fn shortened(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMES_MAX);
    let list = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(" ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}
