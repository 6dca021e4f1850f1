// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands of guests that have waited for long, where people look.
//!
//! Above: `tree`, `sessions`.  Below: the wire types.
//! Never here: what is long.

use super::Fact;
use api::v1;

/// The commands to a LUN of a target port group, whatever number the guest knows it by.
pub(super) fn at(tpg: &v1::Tpg, lun: u16) -> Option<&v1::Waiting> {
    let list = tpg.acls.iter().find(|acl| acl.initiator == tpg.nexus);
    tpg.waiting.iter().find(|waiting| match list {
        None => waiting.lun == lun,
        Some(acl) => acl.luns.iter().any(|mapped| mapped.lun == waiting.lun && mapped.of == lun),
    })
}

/// What is said of them behind a summary, with the space before it.
pub(super) fn remark(waiting: Option<&v1::Waiting>) -> String {
    waiting.map_or_else(String::new, |waiting| format!(" {}", sentence(waiting)))
}

/// The same for programs.
pub(super) fn details(waiting: Option<&v1::Waiting>) -> Vec<(&'static str, Fact)> {
    waiting.map_or_else(Vec::new, |v1::Waiting { lun: _, command, seconds, commands }| {
        vec![
            ("waiting_command", Fact::Text(command.clone())),
            ("waiting_seconds", Fact::Number(*seconds)),
            ("waiting_commands", Fact::Number(*commands)),
        ]
    })
}

/// `WRITE (10) has waited for 45 s, and 2 more`.
pub(crate) fn sentence(waiting: &v1::Waiting) -> String {
    let v1::Waiting { lun: _, command, seconds, commands } = waiting;
    match commands.saturating_sub(1) {
        0 => format!("{command} has waited for {seconds} s"),
        more => format!("{command} has waited for {seconds} s, and {more} more"),
    }
}
