// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the files say.
//!
//! Above: `tree`, `fuse`.  Below: `text/device.rs`, `text/reservations.rs`, `text/statistics.rs`.
//! Never here: anything that LIO would not say in the same place; what is not so here is not claimed.

mod device; // a backstore
mod reservations; // who has reserved one
mod statistics; // what is counted

use crate::node::{AclPart, Dir, LunPart, TargetPart, TpgPart};
use crate::session;
use crate::tree::View;
use rustix::io::Errno;

/// The directory that LIO keeps reservations in, which nobody here reads.
const DBROOT: &str = "/etc/target";

impl View<'_> {
    /// The text of a file that is there.
    ///
    /// # Errors
    /// What the kernel says where a file cannot be read now.
    pub(crate) fn text(&self, dir: &Dir, file: &str) -> Result<String, Errno> {
        if !self.has(dir) {
            return Err(Errno::NOENT);
        }
        match dir {
            Dir::Top => Ok(self.top(file)),
            Dir::LuGroup(name) => Ok(self.lu_group_text(name, file)),
            Dir::AluaGroup(device, name) => Ok(self.alua_group_text(device, name, file)),
            Dir::Hba(hba) => {
                if file == "hba_mode" {
                    return Ok("0\n".to_owned());
                }
                let info = self.staged.hbas.get(hba).ok_or(Errno::NOENT)?;
                let plugin = crate::node::plugin(hba.kind);
                Ok(format!("HBA Index: {} plugin: {plugin} version: v5.0\n", info.index))
            }
            Dir::Device(device, part) => self.device_text(device, *part, file),
            Dir::Vhost => Ok(self.made_on("TCM_VHOST fabric module v0.1", "")),
            Dir::Target(wwn, TargetPart::Param) => Ok(format!("{}\n", self.completion_affinity(wwn))),
            Dir::Tpg(wwn, tag, TpgPart::Whole) => {
                self.nexus(wwn, *tag).map(|nexus| format!("{nexus}\n")).ok_or(Errno::NODEV)
            }
            Dir::Tpg(_, _, TpgPart::Attrib) => Ok("0\n".to_owned()),
            Dir::Lun(place, LunPart::Whole) => self.lun_alua_text(place, file),
            Dir::Lun(place, part) => self.lun_statistics(place, *part, file),
            Dir::Acl(acl, AclPart::Whole) if self.is_session(acl) => {
                Ok(session::info(&acl.initiator, acl.tag))
            }
            Dir::Acl(acl, AclPart::Whole) => Ok(session::none(&acl.initiator)),
            Dir::AclLun(acl, lun, _) if self.mapped(acl, *lun).is_some_and(|mapped| mapped.write_protect) => {
                Ok("1\n".to_owned())
            }
            Dir::Acl(_, AclPart::Auth) | Dir::AclLun(..) => Ok("0\n".to_owned()),
            Dir::Iscsi if file == "lio_version" => Ok("Datera Inc. iSCSI Target v4.1.0\n".to_owned()),
            Dir::Iscsi => Ok("\n".to_owned()),
            Dir::IscsiAuth => {
                let number = file == "authenticate_target" || file == "enforce_discovery_auth";
                Ok(if number { "0\n" } else { "NULL\n" }.to_owned())
            }
            _ => Err(Errno::NOENT),
        }
    }

    fn top(&self, file: &str) -> String {
        match file {
            "dbroot" => format!("{}\n", self.staged.dbroot.as_deref().unwrap_or(DBROOT)),
            _ => self.made_on("Target Engine Core ConfigFS Infrastructure v5.0", " "),
        }
    }

    /// LIO's line about itself; vhost's has no space before the last part.
    fn made_on(&self, what: &str, space: &str) -> String {
        format!("{what} on Linux/{}{space}on {}\n", self.host.machine, self.host.release)
    }
}
