// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The answer to REPORT SUPPORTED OPERATION CODES.  SPC-4.
//!
//! Above: `target`, which knows the attributes.
//! Below: `opcode`, from whose table all of it is derived.
//! Never here: a command by name.

use crate::Sense;
use crate::cdb::primary::{ReportSupportedOperationCodes, ReportingOption};
use crate::field::{self, Block};
use crate::opcode::{Capabilities, OPCODES, Opcode, rows};

/// A command timeouts descriptor that names no timeouts.
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

/// SPC-4, all_commands parameter data format.
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

/// SPC-4, one_command parameter data format.
fn one(opcode: &Opcode, timeouts: bool, unit: &Capabilities) -> Vec<u8> {
    let header = Block::<4>::new()
        .bit::<1, 7>(timeouts) // CTDP
        .bits::<1, 2, 0>(SUPPORTED)
        .be16::<2>(cdb_bytes(opcode));
    let mut answer = header.done().to_vec();
    let (refused, flags_at) = (unit.refused_bits(opcode), opcode.flags_at());
    // The only byte of the CDB whose bits depend on the unit.
    let usage = opcode.usage.iter().enumerate();
    answer.extend(
        usage.map(|(index, &bits)| if index == flags_at { field::without(bits, refused) } else { bits }),
    );
    if timeouts {
        answer.extend(TIMEOUTS);
    }
    answer
}

fn cdb_bytes(opcode: &Opcode) -> u16 {
    u16::try_from(opcode.cdb_bytes()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(option: ReportingOption, unit: Capabilities) -> Result<Vec<u8>, Sense> {
        build(&ReportSupportedOperationCodes { option, timeouts: false, allocation_bytes: 0 }, &unit)
    }

    #[test]
    fn all_commands_are_listed_in_order() {
        let answer = ask(ReportingOption::All, Capabilities::ALL).expect("the list");
        assert_eq!(answer.len(), 4 + 8 * 77);
        assert_eq!(answer[..4], [0, 0, 0x02, 0x68]);
        assert_eq!(answer[4..12], [/* TEST UNIT READY */ 0x00, 0, 0, 0, 0, 0, 0, 6]);
        let (entries, []) = answer[4..].as_chunks::<8>() else { panic!("whole descriptors") };
        assert!(entries.is_sorted());
        for entry in [
            [/* REZERO UNIT */ 0x01, 0, 0, 0, 0, 0, 0, 6],
            [/* SEEK (6) */ 0x0b, 0, 0, 0, 0, 0, 0, 6],
            [/* SEEK (10) */ 0x2b, 0, 0, 0, 0, 0, 0, 10],
            [/* REPORT IDENTIFYING INFORMATION */ 0xa3, 0, 0x00, 0x05, 0, 1, 0, 12],
            [/* READ (10) */ 0x28, 0, 0, 0, 0, 0, 0, 10],
            [/* WRITE SAME (32) */ 0x7f, 0, 0x00, 0x0d, 0, /* SERVACTV */ 1, 0, 32],
            [/* READ CAPACITY (16) */ 0x9e, 0, 0x00, 0x10, 0, 1, 0, 16],
            [/* VERIFY (12) */ 0xaf, 0, 0, 0, 0, 0, 0, 12],
        ] {
            assert!(entries.contains(&entry), "{entry:02x?}");
        }
    }

    #[test]
    fn timeouts_are_asked_for() {
        let all = ReportSupportedOperationCodes {
            option: ReportingOption::All,
            timeouts: true,
            allocation_bytes: 0,
        };
        let answer = build(&all, &Capabilities::ALL).expect("the list");
        assert_eq!(answer[..4], [0, 0, 0x06, 0x04]);
        assert_eq!(answer.len(), 4 + 20 * 77);
        #[rustfmt::skip]
        assert_eq!(answer[4..24], [0x00, 0, 0, 0, 0, /* CTDP */ 2, 0, 6, 0x00, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let one = ReportSupportedOperationCodes { option: ReportingOption::Plain { opcode: 0x00 }, ..all };
        let answer = build(&one, &Capabilities::ALL).expect("the command");
        #[rustfmt::skip]
        assert_eq!(answer, [0, /* CTDP */ 0x83, 0, 6, 0, 0, 0, 0, 0, 0x04, 0x00, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn usage_data_shows_dpo_and_fua_where_they_may_be_set() {
        let usage = |opcode, unit| ask(ReportingOption::Plain { opcode }, unit).expect("the command");
        let uncached = Capabilities { dpofua: false, ..Capabilities::ALL };
        let read_10 = |byte_1| vec![0, 3, 0, 10, 0x28, byte_1, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04];
        assert_eq!(usage(0x28, Capabilities::ALL), read_10(0x18));
        assert_eq!(usage(0x28, uncached), read_10(0x00));
        let verify_10 = |byte_1| vec![0, 3, 0, 10, 0x2f, byte_1, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04];
        assert_eq!(usage(0x2f, Capabilities::ALL), verify_10(0x16));
        assert_eq!(usage(0x2f, uncached), verify_10(0x06));
        let read_6 = vec![0, 3, 0, 6, 0x08, 0x1f, 0xff, 0xff, 0xff, 0x04];
        assert_eq!(usage(0x08, uncached), read_6);
    }

    #[test]
    fn usage_data_shows_the_unmap_bit_where_it_may_be_set() {
        let flags = |opcode, service_action, at: usize, unit| {
            let answer = ask(ReportingOption::Either { opcode, service_action }, unit).expect("the command");
            answer[4 + at]
        };
        let without = Capabilities { write_same_unmaps: false, ..Capabilities::ALL };
        assert_eq!((flags(0x41, 0, 1, Capabilities::ALL), flags(0x41, 0, 1, without)), (0x08, 0x00));
        assert_eq!((flags(0x7f, 0x0d, 10, Capabilities::ALL), flags(0x7f, 0x0d, 10, without)), (0x09, 0x01));
        assert_eq!((flags(0x7f, 0x0d, 1, Capabilities::ALL), flags(0x7f, 0x0d, 1, without)), (0x04, 0x04));
    }

    #[test]
    fn option_1_is_for_commands_without_service_actions() {
        let plain = |opcode| ask(ReportingOption::Plain { opcode }, Capabilities::ALL);
        assert_eq!(plain(0x00), Ok(vec![0, 3, 0, 6, 0x00, 0, 0, 0, 0, 0x04]));
        assert_eq!(plain(0x9e), Err(Sense::INVALID_FIELD_IN_CDB));
        assert_eq!(plain(0x7e), Ok(vec![0, 1, 0, 0]));
    }

    #[test]
    fn option_2_is_for_service_actions() {
        let action = |opcode, service_action| {
            ask(ReportingOption::ServiceAction { opcode, service_action }, Capabilities::ALL)
        };
        let usage = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04];
        assert_eq!(action(0x9e, 0x10), Ok([&[0, 3, 0, 16][..], &usage].concat()));
        assert_eq!(action(0x9e, 0x14), Ok(vec![0, 1, 0, 0]));
        assert_eq!(action(0x9e, 0x0110), Ok(vec![0, 1, 0, 0]));
        assert_eq!(action(0x28, 0), Err(Sense::INVALID_FIELD_IN_CDB));
        assert_eq!(action(0x7e, 0), Ok(vec![0, 1, 0, 0]));
    }

    #[test]
    fn option_3_is_for_both() {
        let either = |opcode, service_action| {
            let answer = ask(ReportingOption::Either { opcode, service_action }, Capabilities::ALL)
                .expect("an answer");
            (answer[1], answer.len())
        };
        assert_eq!(either(0x28, 0), (3, 14));
        assert_eq!(either(0x28, 1), (1, 4));
        assert_eq!(either(0x9e, 0x10), (3, 20));
        assert_eq!(either(0x9e, 0), (1, 4));
        assert_eq!(either(0x7e, 0), (1, 4));
    }

    #[test]
    fn a_command_that_an_attribute_takes_away_is_not_listed() {
        let unit = Capabilities { report_supported_operation_codes: false, ..Capabilities::ALL };
        let answer = ask(ReportingOption::All, unit).expect("the list");
        assert_eq!(answer[..4], [0, 0, 0x02, 0x60]);
        let action = ReportingOption::ServiceAction { opcode: 0xa3, service_action: 0x0c };
        assert_eq!(ask(action, unit), Ok(vec![0, 1, 0, 0]));
    }
}
