// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands that ask what a unit is and how it is: those of SPC, and the like of SBC.
//!
//! Above: `opcode`, whose table names these parsers.
//! Below: `field`.
//! Never here: the answers, which the files named after them build.

use crate::alua::{ReportTargetPortGroups, SET_BYTES_MAX, SetTargetPortGroups};
use crate::cdb::{Cdb, Command};
use crate::{Sense, SenseFormat};

/// Asks for the sense data of this nexus as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSense {
    /// DESC: the descriptor format is wanted.
    pub descriptor: bool,
    /// The most bytes to return.
    pub allocation_bytes: u8,
}

impl RequestSense {
    /// Returns the layout that is wanted, whatever D_SENSE says.  SPC-4, REQUEST SENSE.
    #[must_use]
    pub const fn format(&self) -> SenseFormat {
        if self.descriptor { SenseFormat::Descriptor } else { SenseFormat::Fixed }
    }
}

/// Asks what the unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// The vital product data page that is wanted, or `None` for the standard data.
    pub page: Option<u8>,
    /// The most bytes to return.
    pub allocation_bytes: u16,
}

/// Asks for mode pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSense {
    /// Whether this is MODE SENSE (10), which has the longer header.
    pub long_header: bool,
    /// DBD: no block descriptor.
    pub disable_block_descriptors: bool,
    /// LLBAA: a block descriptor of sixteen bytes is welcome.
    pub long_lba_accepted: bool,
    /// Which values of the page.
    pub control: PageControl,
    /// The page, 3Fh for all.
    pub page: u8,
    /// The subpage, FFh for all.
    pub subpage: u8,
    /// The most bytes to return.
    pub allocation_bytes: u16,
}

/// Changes mode pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSelect {
    /// Whether this is MODE SELECT (10), which has the longer header.
    pub long_header: bool,
    /// PF: what follows the header and the block descriptors are pages.
    pub page_format: bool,
    /// SP: what is changed is to outlast a reset.
    pub save: bool,
    /// The length of the parameter list.
    pub list_bytes: u16,
}

/// Which values of a mode page are wanted.  SPC-4, PC field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageControl {
    /// Those in force.
    Current,
    /// A mask of what MODE SELECT can change.
    Changeable,
    /// Those of a new unit.
    Default,
    /// Those that outlast a reset.
    Saved,
}

/// Asks for another power condition, or for the medium to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartStopUnit {
    /// The answer may come before it is done.
    pub immediate: bool,
    /// What was written need not be on the medium first.
    pub no_flush: bool,
    /// What is to be done.
    pub action: StartStop,
}

/// What START STOP UNIT asks for.  SBC-3, START STOP UNIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartStop {
    /// The active power condition, by START = 1 or by its name.
    Start,
    /// The stopped power condition.
    Stop,
    /// The medium in, and the active power condition.
    Load,
    /// The medium out.
    Eject,
}

/// Asks for the capacity and the layout of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadCapacity16 {
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// Asks which units this nexus has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportLuns {
    /// Which kinds of units.
    pub select: SelectReport,
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// Which kinds of units REPORT LUNS lists.  SPC-4, SELECT REPORT field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectReport {
    /// Those that have a number of their own.
    Numbered,
    /// The well-known ones.
    WellKnown,
    /// All.
    All,
}

/// Asks what somebody has written down about the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportIdentifyingInformation {
    /// What of it.
    pub kind: IdentifyingInformation,
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// What REPORT IDENTIFYING INFORMATION is to report.  SPC-4, INFORMATION TYPE field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentifyingInformation {
    /// The text for the peripheral device.
    Text,
    /// Which types there are, and how long they can be.
    Supported,
}

/// Asks which commands there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportSupportedOperationCodes {
    /// All commands, or which one.
    pub option: ReportingOption,
    /// RCTD: each command with a timeouts descriptor.
    pub timeouts: bool,
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// Asks which task management functions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportSupportedTaskManagementFunctions {
    /// REPD: the extended format, with timeouts.
    pub extended: bool,
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// What REPORT SUPPORTED OPERATION CODES is to report.  SPC-4, REPORTING OPTIONS field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportingOption {
    /// Option 0: all commands.
    All,
    /// Option 1: a command that has no service actions.
    Plain {
        /// Its operation code.
        opcode: u8,
    },
    /// Option 2: a service action.
    ServiceAction {
        /// Its operation code.
        opcode: u8,
        /// Its number.
        service_action: u16,
    },
    /// Option 3: either; a command without service actions wants a service action of 0 here.
    Either {
        /// Its operation code.
        opcode: u8,
        /// Its number.
        service_action: u16,
    },
}

pub(crate) fn test_unit_ready(_cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::TestUnitReady)
}

pub(crate) fn request_sense(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (descriptor, allocation_bytes) = (cdb.bit::<1, 0>(), cdb.byte::<4>());
    Ok(Command::RequestSense(RequestSense { descriptor, allocation_bytes }))
}

pub(crate) fn inquiry(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let page = match (cdb.bit::<1, 0>(), cdb.byte::<2>()) {
        (true, page) => Some(page),
        (false, 0) => None,
        (false, _) => return Err(Sense::INVALID_FIELD_IN_CDB), // SPC-4, INQUIRY: EVPD.
    };
    Ok(Command::Inquiry(Inquiry { page, allocation_bytes: cdb.be16::<3>() }))
}

pub(crate) fn mode_sense_6(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::ModeSense(ModeSense {
        long_header: false,
        disable_block_descriptors: cdb.bit::<1, 3>(),
        long_lba_accepted: false,
        control: page_control(cdb),
        page: cdb.bits::<2, 5, 0>(),
        subpage: cdb.byte::<3>(),
        allocation_bytes: u16::from(cdb.byte::<4>()),
    }))
}

pub(crate) fn mode_sense_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::ModeSense(ModeSense {
        long_header: true,
        disable_block_descriptors: cdb.bit::<1, 3>(),
        long_lba_accepted: cdb.bit::<1, 4>(),
        control: page_control(cdb),
        page: cdb.bits::<2, 5, 0>(),
        subpage: cdb.byte::<3>(),
        allocation_bytes: cdb.be16::<7>(),
    }))
}

pub(crate) fn mode_select_6(cdb: Cdb<'_>) -> Result<Command, Sense> {
    mode_select(ModeSelect {
        long_header: false,
        page_format: cdb.bit::<1, 4>(),
        save: cdb.bit::<1, 0>(),
        list_bytes: u16::from(cdb.byte::<4>()),
    })
}

pub(crate) fn mode_select_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    mode_select(ModeSelect {
        long_header: true,
        page_format: cdb.bit::<1, 4>(),
        save: cdb.bit::<1, 0>(),
        list_bytes: cdb.be16::<7>(),
    })
}

fn mode_select(command: ModeSelect) -> Result<Command, Sense> {
    // Vendor-specific lists, which PF = 0 announces, we have none of.
    if !command.page_format && command.list_bytes != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    Ok(Command::ModeSelect(command))
}

fn page_control(cdb: Cdb<'_>) -> PageControl {
    match cdb.bits::<2, 7, 6>() {
        0 => PageControl::Current,
        1 => PageControl::Changeable,
        2 => PageControl::Default,
        _ => PageControl::Saved,
    }
}

/// SBC-3, START STOP UNIT.
///
/// | POWER CONDITION | LOEJ | START | asks for |
/// |---|---|---|---|
/// | START_VALID | 0 | 1 | the active power condition |
/// | START_VALID | 0 | 0 | the stopped power condition |
/// | START_VALID | 1 | 1 | the medium in |
/// | START_VALID | 1 | 0 | the medium out |
/// | ACTIVE | | | the active power condition; START and LOEJ have no meaning beside a name |
/// | IDLE, STANDBY, LU_CONTROL, FORCE_… | | | 5/24/00: there are no such power conditions and no timers (no VPD page 8Ah) |
pub(crate) fn start_stop_unit(cdb: Cdb<'_>) -> Result<Command, Sense> {
    const START_VALID: u8 = 0x0;
    const ACTIVE: u8 = 0x1;
    let (start, load_eject) = (cdb.bit::<4, 0>(), cdb.bit::<4, 1>());
    let action = match (cdb.bits::<4, 7, 4>(), cdb.bits::<3, 3, 0>()) {
        (START_VALID, 0) => match (load_eject, start) {
            (false, true) => StartStop::Start,
            (false, false) => StartStop::Stop,
            (true, true) => StartStop::Load,
            (true, false) => StartStop::Eject,
        },
        (ACTIVE, 0) => StartStop::Start,
        _ => return Err(Sense::INVALID_FIELD_IN_CDB),
    };
    let (immediate, no_flush) = (cdb.bit::<1, 0>(), cdb.bit::<4, 2>());
    Ok(Command::StartStopUnit(StartStopUnit { immediate, no_flush, action }))
}

pub(crate) fn read_capacity_10(cdb: Cdb<'_>) -> Result<Command, Sense> {
    // Both fields are obsolete in SBC-3.  SBC-2 wants this refusal, and LIO still gives it.
    let (first, partial_medium) = (cdb.be32::<2>(), cdb.bit::<8, 0>());
    if first != 0 && !partial_medium {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    Ok(Command::ReadCapacity10)
}

pub(crate) fn read_capacity_16(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::ReadCapacity16(ReadCapacity16 { allocation_bytes: cdb.be32::<10>() }))
}

pub(crate) fn report_luns(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let select = match cdb.byte::<2>() {
        0 => SelectReport::Numbered,
        1 => SelectReport::WellKnown,
        2 => SelectReport::All,
        _ => return Err(Sense::INVALID_FIELD_IN_CDB),
    };
    Ok(Command::ReportLuns(ReportLuns { select, allocation_bytes: cdb.be32::<6>() }))
}

pub(crate) fn report_identifying_information(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let kind = match cdb.bits::<10, 7, 1>() {
        0x02 => IdentifyingInformation::Text,
        0x7f => IdentifyingInformation::Supported,
        // The binary one, which nobody could set, is not there.
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(10, 7)),
    };
    let allocation_bytes = cdb.be32::<6>();
    Ok(Command::ReportIdentifyingInformation(ReportIdentifyingInformation { kind, allocation_bytes }))
}

pub(crate) fn report_supported_task_management_functions(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (extended, allocation_bytes) = (cdb.bit::<2, 7>(), cdb.be32::<6>());
    if allocation_bytes < 4 {
        return Err(Sense::INVALID_FIELD_IN_CDB); // SPC-4, ALLOCATION LENGTH of this command.
    }
    Ok(Command::ReportSupportedTaskManagementFunctions(ReportSupportedTaskManagementFunctions {
        extended,
        allocation_bytes,
    }))
}

pub(crate) fn report_supported_operation_codes(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (opcode, service_action) = (cdb.byte::<3>(), cdb.be16::<4>());
    let option = match cdb.bits::<2, 2, 0>() {
        0 => ReportingOption::All,
        1 => ReportingOption::Plain { opcode },
        2 => ReportingOption::ServiceAction { opcode, service_action },
        3 => ReportingOption::Either { opcode, service_action },
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(2, 2)),
    };
    Ok(Command::ReportSupportedOperationCodes(ReportSupportedOperationCodes {
        option,
        timeouts: cdb.bit::<2, 7>(),
        allocation_bytes: cdb.be32::<6>(),
    }))
}

pub(crate) fn report_target_port_groups(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let extended = match cdb.bits::<1, 7, 5>() {
        0 => false,
        1 => true,
        _ => return Err(Sense::INVALID_FIELD_IN_CDB), // SPC-4, PARAMETER DATA FORMAT.
    };
    let allocation_bytes = cdb.be32::<6>();
    Ok(Command::ReportTargetPortGroups(ReportTargetPortGroups { extended, allocation_bytes }))
}

pub(crate) fn set_target_port_groups(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let list_bytes = cdb.be32::<6>();
    if usize::try_from(list_bytes).map_or(true, |bytes| bytes > SET_BYTES_MAX) {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    Ok(Command::SetTargetPortGroups(SetTargetPortGroups { list_bytes }))
}
