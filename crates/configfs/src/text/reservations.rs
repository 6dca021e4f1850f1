// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the files of `pr/` say: who has reserved a backstore.
//!
//! Above: `device`.  Below: what is live.
//! Never here: a change; reservations are guests' alone.

use super::device::State;
use crate::daemon::{LiveRegistrant, LiveReservations};
use crate::node::Device;
use crate::tree::View;
use model::{Attribute, BackstoreId, Key, Kind};

/// What is said where nobody holds a persistent reservation.
const NOBODY: &str = "No SPC-3 Reservation holder\n";

impl View<'_> {
    pub(super) fn reservations(&self, device: &Device, state: &State<'_>, file: &str) -> String {
        let enabled = match state {
            State::Unconfigured(_) => Attribute::of(Key::EmulatePr).default_of(Kind::Ramdisk) == Some(1),
            State::Configured(backstore) => backstore.is_on(Key::EmulatePr),
        };
        let id = device.id();
        let live = match state {
            State::Unconfigured(_) => LiveReservations::default(),
            State::Configured(_) => self.live_reservations(&id),
        };
        let holder = live.registrants.iter().find(|registrant| registrant.holds);
        let of_holder = |says: &dyn Fn(&LiveRegistrant) -> String| holder.map_or(NOBODY.to_owned(), says);
        match file {
            "res_holder" | "res_type" if !enabled => "SPC_RESERVATIONS_DISABLED\n".to_owned(),
            "res_aptpl_active" | "res_aptpl_metadata" if !enabled => String::new(),
            "res_type" if live.legacy.is_some() => "SPC2_RESERVATIONS\n".to_owned(),
            "res_type" => "SPC3_PERSISTENT_RESERVATIONS\n".to_owned(),
            "res_aptpl_active" => {
                let active = if live.outlasts_power { "Activated" } else { "Disabled" };
                format!("APTPL Bit Status: {active}\n")
            }
            "res_aptpl_metadata" => "Ready to process PR APTPL metadata..\n".to_owned(),
            "res_pr_generation" => format!("{:#010x}\n", live.generation),
            "res_pr_registered_i_pts" => registrations(&live),
            "res_holder" => match &live.legacy {
                Some(initiator) => format!("SPC-2 Reservation: vhost Initiator: {initiator}\n"),
                None => {
                    of_holder(&|holder| format!("SPC-3 Reservation: vhost Initiator: {}\n", holder.initiator))
                }
            },
            "res_pr_all_tgt_pts" => of_holder(&|holder| {
                let ports = if holder.all_target_ports { "All Target Ports" } else { "Single Target Port" };
                format!("SPC-3 Reservation: {ports} registration\n")
            }),
            "res_pr_holder_tg_port" => of_holder(&|holder| self.port(&id, holder)),
            "res_pr_type" => match live.kind {
                Some(kind) => format!("SPC-3 Reservation Type: {}\n", name_of(kind)),
                None => NOBODY.to_owned(),
            },
            _ => NOBODY.to_owned(),
        }
    }

    /// The target port of a holder, as far as it is still configured.
    fn port(&self, id: &BackstoreId, holder: &LiveRegistrant) -> String {
        let tpgs = self
            .staged
            .model
            .targets()
            .iter()
            .flat_map(|(wwn, target)| target.tpgs.iter().map(move |(tag, tpg)| (wwn, tag, tpg)));
        let mut tpgs = tpgs.filter(|(_, _, tpg)| {
            tpg.relative_port.get() == holder.relative_port && tpg.nexus.as_str() == holder.initiator
        });
        let Some((wwn, tag, tpg)) = tpgs.next() else { return NOBODY.to_owned() };
        let lun = tpg.luns.iter().find(|(_, mapping)| mapping.backstore == *id);
        let lun = lun.map_or(0, |(lun, _)| lun.get());
        format!(
            "SPC-3 Reservation: vhost Target Node Endpoint: {wwn}\n\
             SPC-3 Reservation: Relative Port Identifier Tag: {} vhost Portal Group Tag: {tag} vhost Logical Unit: {lun}\n",
            holder.relative_port
        )
    }
}

fn registrations(live: &LiveReservations) -> String {
    let line = |registrant: &LiveRegistrant| {
        let LiveRegistrant { initiator, key, generation, .. } = registrant;
        format!("vhost Node: {initiator} Key: {key:#018x} PRgen: {generation:#010x}\n")
    };
    let lines: String = live.registrants.iter().map(line).collect();
    format!("SPC-3 PR Registrations:\n{}", if lines.is_empty() { "None\n" } else { &lines })
}

/// The type of a persistent reservation in LIO's words.
fn name_of(kind: u8) -> &'static str {
    match kind {
        1 => "Write Exclusive Access",
        3 => "Exclusive Access",
        5 => "Write Exclusive Access, Registrants Only",
        6 => "Exclusive Access, Registrants Only",
        7 => "Write Exclusive Access, All Registrants",
        8 => "Exclusive Access, All Registrants",
        _ => "Unknown SPC-3 PR Type",
    }
}
