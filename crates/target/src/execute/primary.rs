// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands that ask what a unit is and how it is: SPC's, and those of SBC that are answered from facts.
//!
//! Above: `execute`.
//! Below: `scsi`, which lays the answers out.
//! Never here: bytes.

use super::block::ready;
use super::compare::compare_blocks_max;
use super::{Decision, done, give, refuse};
use crate::logical_unit::LogicalUnit;
use crate::lun_map::{Group, Mapping};
use crate::task::Buffers;
use scsi::inquiry::{self, Identity, InquiryFlags, Peripheral};
use scsi::mode::{self, ModeState, Stored};
use scsi::vpd::{self, AtomicLimits, ExtendedInquiry, Facts, Limits, Port, Provisioning};
use scsi::{
    Address, CDB_BYTES_MAX, Capabilities, Command, Inquiry, Lun, ReportLuns, Sense, SenseFormat, capacity,
    copy, defects, identifying, log, report_luns, rsoc, task_functions,
};

/// MAXIMUM TRANSFER LENGTH that guests are told, in bytes: 2048 pages, as LIO over vhost has it.
const TRANSFER_BYTES_TOLD: u32 = 8 * 1024 * 1024;

/// Which commands this unit has, and which bits of them.
pub(super) fn capabilities(mapping: &Mapping) -> Capabilities {
    let unit = &*mapping.unit;
    Capabilities {
        dpofua: unit.dpofua(),
        report_supported_operation_codes: unit.flags.report_supported_operation_codes,
        unmap: unit.media.unmap,
        write_same_unmaps: unit.media.write_same_unmaps,
        compare_and_write: unit.media.compare_and_write,
        third_party_copy: unit.media.third_party_copy,
        write_atomic: unit.media.atomic.is_some(),
        removable: unit.flags.removable,
        set_target_port_groups: mapping.membership.as_ref().is_some_and(|membership| membership.explicit),
        reservations: unit.flags.reservations,
        referrals: mapping.membership.as_ref().is_some_and(|membership| membership.referrals.is_some()),
    }
}

/// Answers a command that needs no I/O.
pub(super) fn answer<'a>(
    group: &Group,
    mapping: &Mapping,
    command: &Command,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let unit = &*mapping.unit;
    match command {
        Command::TestUnitReady => {
            ready(unit)?;
            Ok(done(buffers))
        }
        Command::RequestSense(request) => {
            let format = if request.descriptor { SenseFormat::Descriptor } else { SenseFormat::Fixed };
            let state = match ready(unit) {
                Ok(_) => super::sanitize::pending(unit).unwrap_or(Sense::NO_SENSE),
                Err(refusal) => refusal,
            };
            // SPC-4, REQUEST SENSE: with any allocation length what is sensed is cleared, and lost where that is too short.
            let sense = mapping.attentions.take().unwrap_or(state).encode(format);
            Ok(give(&sense, u64::from(request.allocation_bytes), buffers))
        }
        Command::Inquiry(command) => {
            let data = inquiry_data(group, mapping, command)?;
            Ok(give(&data, u64::from(command.allocation_bytes), buffers))
        }
        Command::ModeSense(command) => {
            let data = mode::sense(command, &mode_state(mapping))?;
            Ok(give(&data, u64::from(command.allocation_bytes), buffers))
        }
        Command::ReadCapacity10 => {
            ready(unit)?;
            Ok(give(&capacity::read_capacity_10(&unit.geometry), u64::MAX, buffers))
        }
        Command::ReadCapacity16(command) => {
            ready(unit)?;
            let data = capacity::read_capacity_16(&unit.geometry, unit.media.provisioning());
            Ok(give(&data, u64::from(command.allocation_bytes), buffers))
        }
        Command::ReadDefectData(command) => {
            ready(unit)?;
            Ok(give(&defects::build(command), u64::from(command.allocation_bytes), buffers))
        }
        Command::CopyOperatingParameters(command) => {
            Ok(give(&copy::operating_parameters(), u64::from(command.allocation_bytes), buffers))
        }
        Command::ReportLuns(command) => Ok(luns_of(Some(group), command, buffers)),
        Command::ReportIdentifyingInformation(command) => {
            let data = identifying::build(command, &unit.identifying_text);
            Ok(give(&data, u64::from(command.allocation_bytes), buffers))
        }
        Command::ReportSupportedOperationCodes(command) => {
            let data = rsoc::build(command, &capabilities(mapping))?;
            Ok(give(&data, u64::from(command.allocation_bytes), buffers))
        }
        Command::ReportSupportedTaskManagementFunctions(command) => {
            let data = task_functions::build(command);
            Ok(give(&data, u64::from(command.allocation_bytes), buffers))
        }
        // What has a chapter of its own, or is in no unit's table.
        _ => Err(Sense::INVALID_OPCODE),
    }
}

/// Answers for an address of a target that leads to no unit.  SPC-4, incorrect logical unit selection: INQUIRY, REPORT LUNS and
/// REQUEST SENSE are answered all the same, so that a guest can look around.
pub(super) fn of_absent<'a>(
    group: &Group,
    address: Address,
    cdb: &[u8; CDB_BYTES_MAX],
    buffers: &Buffers,
) -> Decision<'a> {
    let is_zero = matches!(address, Address::Unit { lun, .. } if lun == Lun::default());
    match scsi::decode(cdb) {
        Ok(Command::ReportLuns(command)) => luns_of(Some(group), &command, buffers),
        Ok(Command::Inquiry(command)) => {
            // LUN 0 is where a guest begins to look, so it can be there without a disk; elsewhere nothing is.
            let peripheral = if is_zero { Peripheral::NotConnected } else { Peripheral::Absent };
            inquiry_without_unit(Some(group), peripheral, &command, buffers)
        }
        Ok(Command::RequestSense(request)) => {
            let format = if request.descriptor { SenseFormat::Descriptor } else { SenseFormat::Fixed };
            let sense = Sense::LOGICAL_UNIT_NOT_SUPPORTED.encode(format);
            give(&sense, u64::from(request.allocation_bytes), buffers)
        }
        _ => refuse(Sense::LOGICAL_UNIT_NOT_SUPPORTED, buffers),
    }
}

/// Answers for the REPORT LUNS well-known unit.  SPC-4, REPORT LUNS well known logical unit.
pub(super) fn of_well_known<'a>(
    group: Option<&Group>,
    cdb: &[u8; CDB_BYTES_MAX],
    buffers: &Buffers,
) -> Decision<'a> {
    match scsi::decode(cdb) {
        Ok(Command::ReportLuns(command)) => luns_of(group, &command, buffers),
        Ok(Command::Inquiry(command)) => {
            inquiry_without_unit(group, Peripheral::WellKnown, &command, buffers)
        }
        Ok(Command::RequestSense(request)) => {
            let format = if request.descriptor { SenseFormat::Descriptor } else { SenseFormat::Fixed };
            give(&Sense::NO_SENSE.encode(format), u64::from(request.allocation_bytes), buffers)
        }
        Ok(Command::TestUnitReady) => done(buffers),
        _ => refuse(Sense::INVALID_OPCODE, buffers),
    }
}

fn luns_of<'a>(group: Option<&Group>, command: &ReportLuns, buffers: &Buffers) -> Decision<'a> {
    if let Some(group) = group {
        // SPC-4, REPORT LUNS: who has the list needs not be told that it is another.
        group.clear(Sense::REPORTED_LUNS_DATA_CHANGED);
    }
    let mut luns: Vec<Lun> = group.map(|group| group.luns().collect()).unwrap_or_default();
    if luns.is_empty() {
        luns.push(Lun::default());
    }
    give(&report_luns::build(&luns, command.select), u64::from(command.allocation_bytes), buffers)
}

/// INQUIRY where there is no disk, through a target port if it came to one: SPC-4 wants the pages of what there is and of names,
/// of a well known unit too, and those are the names of the port and of the target.
fn inquiry_without_unit<'a>(
    group: Option<&Group>,
    peripheral: Peripheral,
    command: &Inquiry,
    buffers: &Buffers,
) -> Decision<'a> {
    let identity = Identity {
        vendor: Identity::ascii_field("LIO-ORG"),
        product: Identity::ascii_field("LUNAR"),
        revision: Identity::ascii_field("4.0"),
        unit_serial: String::new(),
        company_id: 0x00_1405,
    };
    let data = match (command.page, group) {
        (None, _) => {
            Some(inquiry::standard(&identity, &InquiryFlags { peripheral, ..InquiryFlags::default() }))
        }
        (Some(page), Some(group)) => {
            vpd::page(page, &Facts::without_disk(peripheral, &identity, &group.port()))
        }
        (Some(_), None) => None,
    };
    match data {
        Some(data) => give(&data, u64::from(command.allocation_bytes), buffers),
        None => refuse(Sense::INVALID_FIELD_IN_CDB, buffers),
    }
}

fn inquiry_data(group: &Group, mapping: &Mapping, command: &Inquiry) -> Result<Vec<u8>, Sense> {
    let said = said(mapping);
    let Some(page) = command.page else { return Ok(inquiry::standard(said.identity, &said.flags)) };
    let Said { identity, extended, limits, provisioning, solid_state, referrals, threshold_exponent, .. } =
        said;
    let port = Port { tg_pt_group: said.tg_pt_group, lu_group: said.lu_group, ..group.port() };
    let facts = Facts {
        peripheral: Peripheral::Disk,
        identity,
        port: &port,
        extended,
        limits,
        provisioning,
        solid_state,
        referrals,
        threshold_exponent,
    };
    vpd::page(page, &facts).ok_or(Sense::INVALID_FIELD_IN_CDB)
}

/// What INQUIRY says of a unit by one way to it, but for the names of the port: all that its standard data and its pages are
/// made of, so that whoever has two of these knows whether a guest would be answered otherwise.
#[derive(PartialEq)]
pub(crate) struct Said<'a> {
    identity: &'a Identity,
    flags: InquiryFlags,
    extended: ExtendedInquiry,
    limits: Limits,
    provisioning: Provisioning,
    solid_state: bool,
    referrals: Option<(u32, u32)>,
    threshold_exponent: u8,
    tg_pt_group: Option<u16>,
    lu_group: Option<u16>,
}

/// It all comes from the map that the command came by, and nothing from what changes beside maps.
pub(crate) fn said(mapping: &Mapping) -> Said<'_> {
    let (unit, membership) = (&*mapping.unit, mapping.membership.as_ref());
    let referrals = membership.and_then(|membership| membership.referrals.as_ref());
    Said {
        identity: &unit.identity,
        flags: InquiryFlags {
            peripheral: Peripheral::Disk,
            removable: unit.flags.removable,
            implicit_alua: membership.is_some_and(|membership| membership.implicit),
            explicit_alua: membership.is_some_and(|membership| membership.explicit),
            multi_port: membership.is_some_and(|membership| membership.multi_port),
            third_party_copy: unit.media.third_party_copy,
            protect: false,
        },
        extended: ExtendedInquiry {
            head_of_queue: false,
            ordered: false,
            // Of a cache that an initiator has switched off there is one all the same.
            volatile_cache: unit.flags.write_cache,
        },
        limits: limits(unit),
        provisioning: unit.media.provisioning(),
        solid_state: unit.flags.solid_state,
        referrals: referrals.map(|map| (map.segment_blocks, map.multiplier)),
        threshold_exponent: match unit.media.has_threshold() {
            true => log::threshold_exponent(unit.geometry.block_bytes),
            false => 0,
        },
        tg_pt_group: membership.map(|membership| membership.group),
        lu_group: membership.map(|membership| membership.lu_group),
    }
}

fn limits(unit: &LogicalUnit) -> Limits {
    let (media, block_bytes) = (&unit.media, unit.geometry.block_bytes);
    let transfer_blocks_max = TRANSFER_BYTES_TOLD / block_bytes.max(1);
    Limits {
        compare_and_write_blocks_max: if media.compare_and_write {
            compare_blocks_max(block_bytes)
        } else {
            0
        },
        granularity_blocks: unit.granularity_blocks,
        transfer_blocks_max,
        transfer_blocks_optimal: unit.optimal_blocks.min(transfer_blocks_max),
        write_same_blocks_max: media.write_same_blocks_max,
        atomic: media.atomic.map_or_else(AtomicLimits::default, |atomic| AtomicLimits {
            blocks_max: atomic.max,
            alignment_blocks: atomic.min,
            granularity_blocks: atomic.min,
        }),
        ..unmap_limits(unit)
    }
}

/// The limits of UNMAP, all 0 where it is not there.
fn unmap_limits(unit: &LogicalUnit) -> Limits {
    let media = &unit.media;
    if !media.provisioning().is_managed() {
        return Limits::default();
    }
    let (blocks, descriptors) =
        if media.unmap { (media.unmap_blocks_max, media.unmap_descriptors_max) } else { (0, 0) };
    Limits {
        unmap_blocks_max: blocks,
        unmap_descriptors_max: descriptors,
        unmap_granularity_blocks: media.unmap_granularity_blocks,
        unmap_alignment: (media.unmap_alignment_blocks > 0).then_some(media.unmap_alignment_blocks),
        ..Limits::default()
    }
}

pub(super) fn mode_state(mapping: &Mapping) -> ModeState {
    let unit = &*mapping.unit;
    let (own, modes) = (unit.own_modes(), unit.modes());
    ModeState {
        blocks: unit.geometry.blocks,
        block_bytes: unit.geometry.block_bytes,
        write_cache: modes.write_cache,
        no_read_ahead: modes.no_read_ahead,
        dpofua: unit.dpofua(),
        write_protected: mapping.refuses_writes(),
        d_sense: modes.d_sense,
        tas: modes.tas,
        ua_interlock: modes.ua_interlock,
        soft_threshold: unit
            .media
            .has_threshold()
            .then(|| log::threshold_sets(unit.state.scarcity().below().threshold_bytes)),
        stored: Some(Stored {
            default: own,
            saved: unit.state.record().saved_modes.over(own),
            write_cache_changes: own.write_cache,
        }),
    }
}
