// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is counted, and what LIO shows beside it.
//!
//! Above: `text`.  Below: what is live.
//! Never here: a number that nobody counts; reading such a file says ENODATA.

use super::device::{State, identity_of, serial_of};
use crate::daemon::Counters;
use crate::node::{Device, DevicePart, Hba, LunPart};
use crate::staged::Home;
use crate::tree::View;
use model::{BackstoreId, IdentityKey, Place};
use rustix::io::Errno;

/// LIO's `mbytes`: whole units of so many bytes.
const MEGABYTE: u64 = 1 << 20;

impl View<'_> {
    /// LIO's number of an HBA in statistics: one more than in `hba_info`.
    fn instance(&self, hba: Hba) -> u32 {
        self.staged.hbas.get(&hba).map_or(0, |info| info.index + 1)
    }

    fn counters(&self, id: &BackstoreId) -> Result<Counters, Errno> {
        self.counted(id).ok_or(Errno::NODATA)
    }

    fn counters_at(&self, place: &Place) -> Result<Counters, Errno> {
        self.counted_at(place).ok_or(Errno::NODATA)
    }

    pub(super) fn device_statistics(
        &self,
        device: &Device,
        part: DevicePart,
        file: &str,
    ) -> Result<String, Errno> {
        let id = device.id();
        let state = self.state(device).ok_or(Errno::NOENT)?;
        let home = self.staged.homes.get(&id);
        let shown = self.is_shown(&id);
        let index = home.map_or(0, |home| home.index).to_string();
        let line = match (part, file) {
            (_, "inst") => self.instance(device.hba).to_string(),
            (DevicePart::ScsiLu, "indx") => "1".to_owned(),
            (_, "indx" | "dev") => index,
            (_, "role") => "Target".to_owned(),
            (_, "ports") => u8::from(shown).to_string(),
            (_, "num_lus") => "1".to_owned(),
            (_, "non_access_lus") => u8::from(!shown).to_string(),
            (DevicePart::ScsiTgtDev, "status") => if shown { "activated" } else { "deactivated" }.to_owned(),
            (_, "status") => if shown { "available" } else { "notavailable" }.to_owned(),
            (_, "state_bit") => "exposed".to_owned(),
            (_, "dev_type" | "lun") => "0".to_owned(),
            (_, "lu_name") => match serial_of(&state) {
                "" => "None".to_owned(),
                serial => serial.to_owned(),
            },
            (_, "vend") => format!("{:8}", identity_of(device, &state, IdentityKey::VendorId)),
            (_, "prod") => format!("{:16}", identity_of(device, &state, IdentityKey::ProductId)),
            (_, "rev") => format!("{:4}", identity_of(device, &state, IdentityKey::Revision)),
            (_, "creation_time") => home.map_or(0, age_in_centiseconds).to_string(),
            (_, "num_cmds") if matches!(state, State::Configured(_)) => {
                self.counters(&id)?.commands.to_string()
            }
            (_, "read_mbytes") if matches!(state, State::Configured(_)) => {
                (self.counters(&id)?.read_bytes / MEGABYTE).to_string()
            }
            (_, "write_mbytes") if matches!(state, State::Configured(_)) => {
                (self.counters(&id)?.write_bytes / MEGABYTE).to_string()
            }
            // Nothing was done with what is not configured.
            _ if matches!(state, State::Unconfigured(_)) => "0".to_owned(),
            (_, "hs_num_cmds") => self.counters(&id)?.commands.to_string(),
            (_, "resets") => self.counters(&id)?.resets.to_string(),
            (_, "aborts_complete") => self.counters(&id)?.aborted.to_string(),
            (_, "aborts_no_task") => self.counters(&id)?.nothing_to_abort.to_string(),
            // TASK SET FULL, which is never answered.
            (_, "full_stat") => "0".to_owned(),
            _ => return Err(Errno::NODATA),
        };
        Ok(format!("{line}\n"))
    }

    pub(super) fn lun_statistics(&self, place: &Place, part: LunPart, file: &str) -> Result<String, Errno> {
        let mapping = self.mapping(place).ok_or(Errno::NODEV)?;
        let home = self.staged.homes.get(&mapping.backstore).ok_or(Errno::NODEV)?;
        let tpg = self.staged.model.tpg(&place.wwn, place.tag).map_err(|_| Errno::NODEV)?;
        let backstore = self.staged.model.backstore(&mapping.backstore).map_err(|_| Errno::NODEV)?;
        let port = tpg.relative_port.get();
        let Place { wwn, tag, lun: _ } = place;
        let line = match (part, file) {
            (_, "inst") => self.instance(home.hba).to_string(),
            (_, "dev") => home.index.to_string(),
            (LunPart::ScsiTransport, "indx") => tag.to_string(),
            (_, "indx") => port.to_string(),
            (_, "role") => format!("Device{}", home.index),
            (_, "name") => format!("vhostPort#{port}"),
            (_, "port_index") => format!("{wwn}+t+{tag}"),
            (_, "device") => "scsiTransportvhost".to_owned(),
            (_, "dev_name") => format!("{wwn}+{}", backstore.unit_serial),
            (_, "proto_id") => "6".to_owned(),
            (_, "in_cmds" | "hs_in_cmds") => self.counters_at(place)?.commands.to_string(),
            (_, "read_mbytes") => (self.counters_at(place)?.read_bytes / MEGABYTE).to_string(),
            (_, "write_mbytes") => (self.counters_at(place)?.write_bytes / MEGABYTE).to_string(),
            // BUSY, which is never answered.
            (_, "busy_count") => "0".to_owned(),
            _ => return Err(Errno::NODATA),
        };
        Ok(format!("{line}\n"))
    }
}

/// Since when it has been there, in hundredths of a second.
fn age_in_centiseconds(home: &Home) -> u128 {
    home.since.elapsed().as_millis() / 10
}
