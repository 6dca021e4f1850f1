// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whatever a guest sends, whatever an administrator names: an answer, and never a panic.
//!
//! Above: `main`.
//! Below: `unit`.
//! Never here: a fixed CDB; those are beside the code.

use crate::unit::Unit;
use proptest::prelude::*;
use scsi::inquiry::{Identity, InquiryFlags, Peripheral};
use scsi::opcode::{OPCODES, find};
use scsi::vpd::{AtomicLimits, ExtendedInquiry, Limits, Port, Provisioning};
use scsi::{
    Address, BlockCount, CDB_BYTES_MAX, DataPhase, Geometry, Lun, Sense, SenseFormat, SenseKey, decode, vpd,
};

fn any_unit() -> impl Strategy<Value = Unit> {
    let names = (any::<[u8; 8]>(), any::<[u8; 16]>(), any::<[u8; 4]>(), ".{0,400}", any::<u32>());
    let peripherals = prop_oneof![
        Just(Peripheral::Disk),
        Just(Peripheral::WellKnown),
        Just(Peripheral::NotConnected),
        Just(Peripheral::Absent)
    ];
    let port = (".{0,400}", any::<u16>(), any::<u16>(), any::<Option<u16>>(), any::<Option<u16>>());
    let geometry = (any::<u64>(), any::<u32>(), any::<u8>(), any::<u16>());
    let limits = (any::<[u32; 5]>(), any::<Option<u32>>(), any::<u64>());
    let luns = prop::collection::vec((0..16384u16).prop_map(|lun| Lun::new(lun).expect("in range")), 0..40);
    (names, peripherals, port, geometry, limits, any::<[bool; 12]>(), luns).prop_map(
        |(names, peripheral, port, geometry, limits, bits, luns)| Unit {
            identity: Identity {
                vendor: names.0,
                product: names.1,
                revision: names.2,
                unit_serial: names.3,
                company_id: names.4,
            },
            flags: InquiryFlags {
                peripheral,
                removable: bits[4],
                implicit_alua: bits[0],
                explicit_alua: bits[1],
                third_party_copy: bits[2],
                protect: bits[3],
                multi_port: bits[4],
            },
            port: Port {
                target_wwn: port.0,
                tpg_tag: port.1,
                relative_port: port.2,
                tg_pt_group: port.3,
                lu_group: port.4,
            },
            extended: ExtendedInquiry { head_of_queue: bits[5], ordered: bits[6], volatile_cache: bits[7] },
            limits: Limits {
                granularity_blocks: port.1,
                transfer_blocks_max: limits.0[0],
                transfer_blocks_optimal: limits.0[1],
                compare_and_write_blocks_max: geometry.2,
                unmap_blocks_max: limits.0[2],
                unmap_descriptors_max: limits.0[3],
                unmap_granularity_blocks: limits.0[4],
                unmap_alignment: limits.1,
                write_same_blocks_max: limits.2,
                atomic: AtomicLimits::default(),
            },
            provisioning: Provisioning {
                unmap: bits[8],
                write_same_unmaps: bits[9],
                unmapped_reads_zero: bits[10],
            },
            solid_state: bits[11],
            geometry: Geometry {
                blocks: BlockCount(geometry.0),
                block_bytes: geometry.1,
                physical_exponent: geometry.2,
                lowest_aligned: geometry.3,
            },
            write_cache: bits[7],
            luns,
        },
    )
}

proptest! {
    /// Every operation code with the same random rest: none panics, and one that is not in the table is
    /// refused as such.
    #[test]
    fn every_cdb_is_answered(unit in any_unit(), rest in any::<[u8; CDB_BYTES_MAX - 1]>()) {
        let mut cdb = [0; CDB_BYTES_MAX];
        cdb[1..].copy_from_slice(&rest);
        for code in 0..=u8::MAX {
            cdb[0] = code;
            let answer = unit.run(&cdb);
            if find(&cdb).is_none() {
                let code = answer.map_err(|sense| [sense.key as u8, sense.asc, sense.ascq]);
                prop_assert!(matches!(code, Err([5, 0x20 | 0x24, 0])), "{code:?}");
            } else if let (Ok(answer), Ok(DataPhase::In { bytes_max })) = (answer, decode(&cdb).map(|c| c.data_phase())) {
                prop_assert!(u64::try_from(answer.len()).is_ok_and(|bytes| bytes <= bytes_max));
            }
        }
    }

    /// The CDBs that a unit takes, so that the random rest above does not stop at the first check.
    #[test]
    fn every_builder_answers(unit in any_unit(), select in 0..3u8, page in any::<u8>(), option in 0..4u8) {
        let luns = unit.answer(&[0xa0, 0, select, 0, 0, 0, 0, 1, 0, 0, 0, 0]).expect("a selection in order");
        prop_assert_eq!(luns.len(), 8 + usize::from(u16::from_be_bytes([luns[2], luns[3]])));
        let codes = unit.answer(&[0xa3, 0x0c, option, page, 0, 0, 0, 0, 0xff, 0, 0, 0]);
        prop_assert!(codes.is_ok_and(|codes| codes.len() >= 4) || option == 1 || option == 2);
        let inquiry = unit.answer(&[0x12, 0, 0, 0, 0xff, 0]).expect("the standard data");
        prop_assert_eq!(inquiry.len(), 96);
    }

    /// A page's length field is true, whatever names it is made of, and it names itself.
    #[test]
    fn a_vpd_page_is_as_long_as_it_says(unit in any_unit(), code in any::<u8>()) {
        for code in [code, 0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2, 0xb3] {
            if let Some(page) = vpd::page(code, &unit.facts()) {
                prop_assert_eq!(page[1], code);
                prop_assert_eq!(page.len(), 4 + usize::from(u16::from_be_bytes([page[2], page[3]])));
            }
        }
    }

    /// Designators follow each other without a gap, and those of names are multiples of four.
    #[test]
    fn designators_fill_the_identification_page(unit in any_unit()) {
        let page = vpd::page(0x83, &unit.facts()).expect("every unit has it");
        let mut rest = &page[4..];
        while let [head, kind, _, bytes, ..] = *rest {
            let (body, behind) = rest[4..].split_at(usize::from(bytes));
            if kind % 16 == 8 {
                prop_assert_eq!((head % 16, body.len() % 4, body.last()), (3, 0, Some(&0)));
            }
            rest = behind;
        }
        prop_assert!(rest.is_empty());
    }

    /// The usage map is the truth: a bit that is not in it changes nothing.
    #[test]
    fn bits_outside_of_the_usage_map_are_not_looked_at(noise in any::<[u8; CDB_BYTES_MAX]>(), seed in any::<[u8; CDB_BYTES_MAX]>()) {
        for opcode in OPCODES {
            let (mut clean, mut noisy) = ([0; CDB_BYTES_MAX], noise);
            for (index, &usage) in opcode.usage.iter().enumerate() {
                // What identifies the command is a value in the map, not a mask.
                let (mask, value) = match (index, opcode.service_action) {
                    (0, _) => (0xff, usage),
                    // The length and the service action of the CDB that says how long it is.
                    (7..=9, _) if opcode.code() == 0x7f => (0xff, usage),
                    (1, _) if opcode.code() == 0x7f => (usage, seed[index] & usage),
                    (1, Some(_)) => (0x1f, usage),
                    _ => (usage, seed[index] & usage),
                };
                clean[index] = value;
                noisy[index] = value | (noise[index] & !mask);
            }
            prop_assert_eq!(decode(&noisy), decode(&clean), "{}", opcode.name);
        }
    }

    /// An address is read back as it was written.
    #[test]
    fn a_lun_field_is_read_back(target in any::<u8>(), lun in 0..16384u16) {
        let lun = Lun::new(lun).expect("in range");
        prop_assert_eq!(Address::decode(&lun.field(target)), Address::Unit { target, lun });
    }

    /// Any LUN field at all: the target is what it says.
    #[test]
    fn any_lun_field_is_read(field in any::<[u8; 8]>(), first in 0..3u8) {
        let field = [first, field[1], field[2], field[3], field[4], field[5], field[6], field[7]];
        match Address::decode(&field) {
            Address::Unit { target, lun } => {
                prop_assert_eq!((first, target), (1, field[1]));
                prop_assert_eq!(lun.get() % 256, u16::from(field[3]));
            }
            Address::ReportLunsWellKnown { target } => prop_assert_eq!(target, Some(field[1])),
            Address::Invalid => {}
        }
    }

    /// Sense is 18 bytes, or 8 with descriptors of 12 and 8.
    #[test]
    fn sense_has_one_of_five_lengths(asc in any::<u8>(), ascq in any::<u8>(), information in any::<Option<u64>>(), progress in any::<Option<u16>>()) {
        let sense = Sense { information, ..Sense::new(SenseKey::MediumError, asc, ascq) };
        let sense = progress.map_or(sense, |parts| sense.with_progress(parts));
        prop_assert_eq!(sense.encode(SenseFormat::Fixed).len(), 18);
        let descriptor = sense.encode(SenseFormat::Descriptor);
        let descriptors = [(information.is_some(), 12), (progress.is_some(), 8)];
        let expected: usize = descriptors.iter().filter(|(there, _)| *there).map(|(_, bytes)| bytes).sum();
        prop_assert_eq!(descriptor.len(), 8 + expected);
        prop_assert_eq!(descriptor.len(), 8 + usize::from(descriptor[7]));
    }
}

/// The other half of the truth: each bit in a usage map makes a difference to some CDB.
#[test]
fn every_bit_of_a_usage_map_is_looked_at() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    for opcode in OPCODES {
        let first = match opcode.service_action {
            Some(_) if opcode.code() == 0x7f => 10,
            Some(_) => 2,
            None => 1,
        };
        for index in first..opcode.cdb_bytes() {
            for bit in (0..8).map(|bit| 1 << bit).filter(|bit| opcode.usage[index] & bit != 0) {
                let matters = (0..2000).any(|attempt| {
                    let mut cdb = [0; CDB_BYTES_MAX];
                    for (byte, usage) in cdb.iter_mut().zip(opcode.usage) {
                        // From many bits to none, so that some CDBs are full and some are in order.
                        *byte = (0..attempt % 8).fold(*usage, |bits, _| bits & random());
                    }
                    cdb[0] = opcode.code();
                    if let Some(service_action) = opcode.service_action {
                        cdb[..first].copy_from_slice(&opcode.usage[..first]);
                        cdb[1] = match opcode.code() {
                            0x7f => 0,
                            _ => u8::try_from(service_action).expect("five bits"),
                        };
                    }
                    let before = decode(&cdb);
                    cdb[index] ^= bit;
                    decode(&cdb) != before
                });
                assert!(matters, "{}: byte {index}, bit {bit:02x}", opcode.name);
            }
        }
    }
}
