// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest that is connected, in the words in which LIO's tools read sessions: the `info` of a node ACL.
//!
//! Above: `text`.  Below: nothing.
//! Never here: access control.

use model::{TpgTag, Wwn};

/// What `acls/<nexus>/info` says of the guest that is connected.
pub(crate) fn info(nexus: &Wwn, tag: TpgTag) -> String {
    format!(
        "InitiatorName: {nexus}\nInitiatorAlias: guest\n\
         LIO Session ID: {tag}   ISID: 0x00 00 00 00 00 00  TSIH: 0  SessionType: Normal\n\
         Session State: TARG_SESS_STATE_LOGGED_IN\n\
         ---------------------[Connections]---------------------\n\
         CID: 0  Connection State: TARG_CONN_STATE_LOGGED_IN\n   \
         Address vhost-user virtio-scsi  StatSN: 0x00000000\n"
    )
}

/// What `acls/<initiator>/info` says where no guest of that name is connected.
pub(crate) fn none(initiator: &Wwn) -> String {
    format!("No active session for initiator {initiator}\n")
}
