// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The answer to REPORT SUPPORTED OPERATION CODES.  SPC-4 6.35.
//!
//! Above: `target`, which knows the attributes.
//! Below: `opcode`, from whose table all of it is derived.
//! Never here: a command by name.

use crate::Sense;
use crate::cdb::primary::{ReportSupportedOperationCodes, ReportingOption};
use crate::field::{self, Block};
use crate::opcode::{Capabilities, OPCODES, Opcode, rows};

/// A command timeouts descriptor that names no timeouts.  SPC-4 6.35.4.
const TIMEOUTS: [u8; 12] = [0x00, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// SUPPORT: the device server does not have the command, or has it as the standard says.
const NOT_SUPPORTED: u8 = 0b001;
const SUPPORTED: u8 = 0b011;

/// Returns the whole answer; the caller cuts it to the allocation length, which leaves the lengths true.
///
/// # Errors
///
/// INVALID FIELD IN CDB where option 1 names an operation code that has service actions, or option 2 one that
/// has none.
pub fn build(command: &ReportSupportedOperationCodes, unit: &Capabilities) -> Result<Vec<u8>, Sense> {
    let wanted = match command.option {
        ReportingOption::All => return Ok(all(command.timeouts, unit)),
        ReportingOption::Plain { opcode } => {
            if has_service_actions(opcode, unit) {
                return Err(Sense::INVALID_FIELD_IN_CDB);
            }
            find(opcode, None, unit)
        }
        ReportingOption::ServiceAction { opcode, service_action } => {
            if find(opcode, None, unit).is_some() {
                return Err(Sense::INVALID_FIELD_IN_CDB);
            }
            find(opcode, Some(service_action), unit)
        }
        ReportingOption::Either { opcode, service_action } => {
            let plain = find(opcode, None, unit).filter(|_| service_action == 0);
            plain.or_else(|| find(opcode, Some(service_action), unit))
        }
    };
    Ok(match wanted {
        Some(opcode) => one(opcode, command.timeouts, unit),
        None => Block::<4>::new().bits::<1, 2, 0>(NOT_SUPPORTED).done().to_vec(),
    })
}

/// Returns whether an operation code that this unit has is split by service actions.
fn has_service_actions(code: u8, unit: &Capabilities) -> bool {
    rows(code).iter().any(|row| row.service_action.is_some() && unit.has(row))
}

fn find(code: u8, service_action: Option<u16>, unit: &Capabilities) -> Option<&'static Opcode> {
    rows(code).iter().find(|row| row.service_action == service_action && unit.has(row))
}

/// The all_commands format.  SPC-4 6.35.2.
fn all(timeouts: bool, unit: &Capabilities) -> Vec<u8> {
    let mut list = Vec::new();
    for opcode in OPCODES.iter().filter(|opcode| unit.has(opcode)) {
        let descriptor = Block::<8>::new()
            .byte::<0>(opcode.code())
            .be16::<2>(opcode.service_action.unwrap_or_default())
            .bit::<5, 1>(timeouts) // CTDP
            .bit::<5, 0>(opcode.service_action.is_some()) // SERVACTV
            .be16::<6>(cdb_bytes(opcode));
        list.extend(descriptor.done());
        if timeouts {
            list.extend(TIMEOUTS);
        }
    }
    let list_bytes = u32::try_from(list.len()).unwrap_or(u32::MAX);
    let mut answer = list_bytes.to_be_bytes().to_vec();
    answer.extend(list);
    answer
}

/// The one_command format.  SPC-4 6.35.3.
fn one(opcode: &Opcode, timeouts: bool, unit: &Capabilities) -> Vec<u8> {
    let header = Block::<4>::new()
        .bit::<1, 7>(timeouts) // CTDP
        .bits::<1, 2, 0>(SUPPORTED)
        .be16::<2>(cdb_bytes(opcode));
    let mut answer = header.done().to_vec();
    let refused = unit.refused_bits(opcode);
    // Byte 1 of the CDB: the only one whose bits depend on the unit.
    let usage = opcode.usage.iter().enumerate();
    answer.extend(usage.map(|(index, &bits)| if index == 1 { field::without(bits, refused) } else { bits }));
    if timeouts {
        answer.extend(TIMEOUTS);
    }
    answer
}

fn cdb_bytes(opcode: &Opcode) -> u16 {
    u16::try_from(opcode.cdb_bytes()).unwrap_or(u16::MAX)
}
