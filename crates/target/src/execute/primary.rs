// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands that ask what a unit is and how it is: SPC's, and those of SBC that are answered from facts.
//!
//! Above: `execute`.
//! Below: `scsi`, which lays the answers out.
//! Never here: bytes.

use super::block::ready;
use super::{Decision, done, give, refuse};
use crate::logical_unit::LogicalUnit;
use crate::lun_map::{Group, Mapping};
use crate::task::Buffers;
use scsi::inquiry::{self, Identity, InquiryFlags, Peripheral};
use scsi::mode::{self, ModeState};
use scsi::vpd::{self, ExtendedInquiry, Facts, Limits, Provisioning};
use scsi::{
    Address, CDB_BYTES_MAX, Capabilities, Command, Inquiry, Lun, ReportLuns, Sense, SenseFormat, capacity,
    report_luns, rsoc,
};

/// MAXIMUM TRANSFER LENGTH that guests are told, in bytes: 2048 pages, as LIO over vhost has it.
const TRANSFER_BYTES_TOLD: u32 = 8 * 1024 * 1024;

/// Which commands this unit has, and which bits of them.
pub(super) fn capabilities(unit: &LogicalUnit) -> Capabilities {
    Capabilities {
        dpofua: unit.dpofua(),
        report_supported_operation_codes: unit.flags.report_supported_operation_codes,
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
        Command::TestUnitReady | Command::StartStopUnit(_) => {
            ready(unit)?;
            Ok(done(buffers))
        }
        Command::RequestSense(request) => {
            let format = if request.descriptor { SenseFormat::Descriptor } else { SenseFormat::Fixed };
            let state = if unit.store.is_some() { Sense::NO_SENSE } else { Sense::LOGICAL_UNIT_NOT_READY };
            let sense = mapping.attentions.take().unwrap_or(state).encode(format);
            Ok(give(&sense, u64::from(request.allocation_bytes), buffers))
        }
        Command::Inquiry(command) => {
            let data = inquiry_data(group, unit, command)?;
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
            let data = capacity::read_capacity_16(&unit.geometry, Provisioning::default());
            Ok(give(&data, u64::from(command.allocation_bytes), buffers))
        }
        Command::ReportLuns(command) => Ok(luns_of(Some(group), command, buffers)),
        Command::ReportSupportedOperationCodes(command) => {
            let data = rsoc::build(command, &capabilities(unit))?;
            Ok(give(&data, u64::from(command.allocation_bytes), buffers))
        }
        Command::Read(_) | Command::Write(_) | Command::Verify(_) | Command::SynchronizeCache(_) => {
            Err(Sense::INTERNAL_TARGET_FAILURE)
        }
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
            inquiry_without_unit(peripheral, &command, buffers)
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
        Ok(Command::Inquiry(command)) => inquiry_without_unit(Peripheral::WellKnown, &command, buffers),
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

fn inquiry_without_unit<'a>(peripheral: Peripheral, command: &Inquiry, buffers: &Buffers) -> Decision<'a> {
    if command.page.is_some() {
        return refuse(Sense::INVALID_FIELD_IN_CDB, buffers);
    }
    let identity = Identity {
        vendor: Identity::ascii_field("LIO-ORG"),
        product: Identity::ascii_field("LUNAR"),
        revision: Identity::ascii_field("4.0"),
        unit_serial: String::new(),
        company_id: 0x00_1405,
    };
    let data = inquiry::standard(&identity, &InquiryFlags { peripheral, ..InquiryFlags::default() });
    give(&data, u64::from(command.allocation_bytes), buffers)
}

fn inquiry_data(group: &Group, unit: &LogicalUnit, command: &Inquiry) -> Result<Vec<u8>, Sense> {
    let Some(page) = command.page else {
        return Ok(inquiry::standard(&unit.identity, &InquiryFlags::default()));
    };
    let facts = Facts {
        peripheral: Peripheral::Disk,
        identity: &unit.identity,
        port: &group.port(),
        extended: ExtendedInquiry {
            head_of_queue: false,
            ordered: false,
            volatile_cache: unit.flags.write_cache,
        },
        limits: limits(unit),
        provisioning: Provisioning::default(),
        solid_state: unit.flags.solid_state,
    };
    vpd::page(page, &facts).ok_or(Sense::INVALID_FIELD_IN_CDB)
}

fn limits(unit: &LogicalUnit) -> Limits {
    let transfer_blocks_max = TRANSFER_BYTES_TOLD / unit.geometry.block_bytes.max(1);
    Limits {
        granularity_blocks: unit.granularity_blocks,
        transfer_blocks_max,
        transfer_blocks_optimal: unit.optimal_blocks.min(transfer_blocks_max),
        ..Limits::default()
    }
}

fn mode_state(mapping: &Mapping) -> ModeState {
    let unit = &*mapping.unit;
    ModeState {
        blocks: unit.geometry.blocks,
        block_bytes: unit.geometry.block_bytes,
        write_cache: unit.flags.write_cache,
        dpofua: unit.dpofua(),
        write_protected: mapping.write_protect || unit.flags.read_only,
        d_sense: false,
        tas: unit.flags.tas,
        ua_interlock: unit.flags.ua_interlock,
    }
}
