// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The nodes of access control lists and mapped LUNs.
//!
//! Above: `tree`.  Below: the wire types.
//! Never here: what a list means for a guest.

use super::{Fact, Node, Subject, backstore_name};
use api::v1;

/// The node `acls` of a target port group.
pub(super) fn acls(wwn: &str, tpg: &v1::Tpg) -> Node {
    let node = Node {
        name: "acls".to_owned(),
        subject: Subject::Acls { wwn: wwn.to_owned(), tag: tpg.tag },
        summary: format!("ACLs: {}", tpg.acls.len()),
        healthy: None,
        facts: Vec::new(),
        details: Vec::new(),
        children: Vec::new(),
    };
    node.with_children(tpg.acls.iter().map(|list| acl(wwn, tpg, list)).collect())
}

fn acl(wwn: &str, tpg: &v1::Tpg, acl: &v1::Acl) -> Node {
    let initiator = acl.initiator.clone();
    let node = Node {
        name: initiator.clone(),
        summary: format!("Mapped LUNs: {}", acl.luns.len()),
        healthy: None,
        facts: Vec::new(),
        details: vec![("guest", Fact::Truth(initiator == tpg.nexus))],
        subject: Subject::Acl { wwn: wwn.to_owned(), tag: tpg.tag, initiator },
        children: Vec::new(),
    };
    node.with_children(acl.luns.iter().map(|mapped| mapped_lun(wwn, tpg, acl, mapped)).collect())
}

fn mapped_lun(wwn: &str, tpg: &v1::Tpg, acl: &v1::Acl, mapped: &v1::MappedLun) -> Node {
    let of = tpg.luns.iter().find(|lun| lun.lun == mapped.of);
    let mode = if mapped.write_protect { "ro" } else { "rw" };
    let summary = match of {
        Some(lun) => format!("lun{} {} ({mode})", mapped.of, backstore_name(&lun.backstore)),
        None => "BROKEN LUN LINK".to_owned(),
    };
    Node {
        name: format!("mapped_lun{}", mapped.lun),
        subject: Subject::MappedLun {
            wwn: wwn.to_owned(),
            tag: tpg.tag,
            initiator: acl.initiator.clone(),
            lun: mapped.lun,
        },
        summary,
        healthy: Some(of.is_some()),
        facts: vec![
            ("alias", Fact::Text(mapped.alias.clone())),
            ("index", Fact::Number(mapped.lun.into())),
            ("tpg_lun", Fact::Number(mapped.of.into())),
            ("write_protect", Fact::Truth(mapped.write_protect)),
        ],
        details: Vec::new(),
        children: Vec::new(),
    }
}
