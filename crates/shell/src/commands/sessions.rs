// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `sessions`: the guests that are connected now.
//!
//! Above: the table; `complete`, which offers their numbers.  Below: `tree`.
//! Never here: how a guest connects.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::Failure;
use crate::session::Call;
use crate::tree::waiting::sentence;
use crate::tree::{Place, backstore_name};
use api::v1;
use serde_json::{Value, json};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "sessions",
    places: Places::At(&[Place::Root]),
    parameters: &[
        optional(
            "action",
            Values::Choice(&["detail", "list"]),
            "list, a line for each, or detail, also what each guest sees and waits for; list if left out",
        ),
        optional("sid", Values::Session, "the number of the only session to show"),
    ],
    summary: "Show the guests that are connected",
    details: "Each target port group of a target with a guest is a session. Sessions are numbered from 1 on in the \
order of the tree, so that a number may be another's when guests come and go.",
    needs: Needs::Node,
    run,
}];

/// A guest at a target port group.
pub(crate) struct Session<'c> {
    /// From 1 on, in the order of the tree.
    pub(crate) id: usize,
    target: &'c v1::Target,
    tpg: &'c v1::Tpg,
}

/// The sessions of a configuration.
pub(crate) fn sessions(config: &v1::Config) -> Vec<Session<'_>> {
    let connected = config.targets.iter().filter(|target| target.connected);
    let groups = connected.flat_map(|target| target.tpgs.iter().map(move |tpg| (target, tpg)));
    groups.zip(1..).map(|((target, tpg), id)| Session { id, target, tpg }).collect()
}

/// How far what belongs to a session is indented.
const INDENT: &str = "    ";

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let is_detailed = match call.arguments.get("action") {
        None | Some("list") => false,
        Some("detail") => true,
        Some(other) => {
            return Err(Failure::new("action must be one of: list, detail").hint(format!("not {other}")));
        }
    };
    let wanted = match call.arguments.get("sid") {
        None => None,
        Some(text) => {
            let number = text.parse::<usize>();
            Some(number.map_err(|_| Failure::new(format!("sid must be a number, '{text}' given")))?)
        }
    };
    let all = sessions(&call.tree.config);
    let shown: Vec<&Session<'_>> =
        all.iter().filter(|session| wanted.is_none_or(|wanted| session.id == wanted)).collect();
    if let (Some(wanted), true) = (wanted, shown.is_empty()) {
        return Err(Failure::new(format!("no session found with sid {wanted}"))
            .hint("`sessions` shows which there are"));
    }
    call.result(json!({ "sessions": shown.iter().map(|session| value(session)).collect::<Vec<_>>() }));
    if shown.is_empty() {
        call.print_line("(no open sessions)");
        return Ok(());
    }
    for session in shown {
        let text = lines(session, is_detailed);
        call.print(&text);
    }
    Ok(())
}

/// What a program is told of a session, whether details were wanted or not.
fn value(session: &Session<'_>) -> Value {
    let Session { id, target, tpg } = session;
    let lun = |(number, backstore, write_protect): (u16, &v1::BackstoreId, bool)| json!({ "lun": number, "storage_object": backstore_name(backstore), "write_protect": write_protect });
    let luns: Vec<Value> = seen(tpg).into_iter().map(lun).collect();
    json!({
        "id": id, "target": target.wwn, "tag": tpg.tag, "nexus": tpg.nexus, "socket": target.socket, "luns": luns,
        "waiting": tpg.waiting,
    })
}

fn lines(session: &Session<'_>, is_detailed: bool) -> String {
    let Session { id, target, tpg } = session;
    let mut lines = format!("alias: guest\tsid: {id} type: Normal session-state: LOGGED_IN\n");
    if !is_detailed {
        return lines;
    }
    // vhost-user has no log-in: who may open the socket is the guest.
    lines.push_str(&format!("{INDENT}name: {} (NOT AUTHENTICATED)\n", tpg.nexus));
    for (number, backstore, write_protect) in seen(tpg) {
        let mode = if write_protect { "r" } else { "rw" };
        let backstore = backstore_name(backstore);
        lines.push_str(&format!("{INDENT}mapped-lun: {number} backstore: {backstore} mode: {mode}\n"));
        if let Some(waiting) = tpg.waiting.iter().find(|waiting| waiting.lun == number) {
            lines.push_str(&format!("{INDENT}{INDENT}{}\n", sentence(waiting)));
        }
    }
    let socket = &target.socket;
    lines.push_str(&format!("{INDENT}address: {socket} (vhost-user)  cid: 0 connection-state: LOGGED_IN\n"));
    lines
}

/// What the guest sees: as the access control list of its nexus has it, or every LUN.
fn seen(tpg: &v1::Tpg) -> Vec<(u16, &v1::BackstoreId, bool)> {
    let Some(acl) = tpg.acls.iter().find(|acl| acl.initiator == tpg.nexus) else {
        return tpg.luns.iter().map(|lun| (lun.lun, &lun.backstore, lun.write_protect)).collect();
    };
    let mapped = acl.luns.iter().filter_map(|mapped| {
        let lun = tpg.luns.iter().find(|lun| lun.lun == mapped.of)?;
        Some((mapped.lun, &lun.backstore, lun.write_protect || mapped.write_protect))
    });
    mapped.collect()
}
