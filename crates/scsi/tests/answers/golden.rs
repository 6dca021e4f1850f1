// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every recorded answer of LIO is ours too, or is named here as one that we want otherwise.
//!
//! Above: `main`.
//! Below: `unit`, and the recordings in `tests/golden`.
//! Never here: a reason.  Each name in a `WANTED_OTHERWISE` has a test in `deviations`.

use crate::unit::{Answer, Unit};
use scsi::vpd::{Limits, Provisioning};
use scsi::{BlockCount, Geometry};

/// Answers of any unit that we want otherwise.
const WANTED_OTHERWISE: &[&str] = &[
    "inq-naca",         // control_byte_naca_is_refused
    "lbastatus",        // get_lba_status_is_there
    "luns-0",           // report_luns_lists_units_in_the_order_of_their_numbers
    "luns-1",           // report_luns_tells_well_known_units_apart
    "luns-16",          // report_luns_lists_units_in_the_order_of_their_numbers
    "luns-2",           // report_luns_tells_well_known_units_apart
    "ms6-3f-sav",       // saved_mode_pages_are_refused
    "op-a4-1f",         // an_unknown_service_action_is_an_invalid_field
    "reqsense-desc",    // request_sense_answers_in_descriptor_format
    "reqsense-fixed",   // request_sense_is_as_long_as_the_sense
    "startstop-start",  // start_without_immed_is_good
    "startstop-start2", // start_without_immed_is_good
    "startstop-stop",   // stopping_is_there
];

/// Answers in which only the four bytes of the block descriptor differ: the number of blocks, which LIO gives
/// as the last address.  Test: `mode_block_descriptor_holds_the_number_of_blocks`.
const BLOCK_DESCRIPTOR_AT: &[(&str, usize)] = &[("ms6-", 4), ("ms10-", 8)];

struct Recording {
    name: &'static str,
    cdb: Vec<u8>,
    answer: Answer,
}

fn recordings(text: &'static str) -> Vec<Recording> {
    let hex = |text: &str, separator: char| -> Vec<u8> {
        text.split(separator).map(|byte| u8::from_str_radix(byte, 16).expect("hex digits")).collect()
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let [name, cdb, answer] = line.split(" | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
            let answer = match answer {
                "GOOD" => Ok(Vec::new()),
                sense if sense.contains('/') => {
                    Err(hex(sense, '/').try_into().expect("three bytes of sense"))
                }
                data => Ok(hex(data, ' ')),
            };
            Recording { name, cdb: hex(cdb, ' '), answer }
        })
        .collect()
}

/// Returns LIO's answer with the number of blocks in place of the last address.
fn with_block_count(recording: &Recording) -> Answer {
    let at = BLOCK_DESCRIPTOR_AT.iter().find(|(name, _)| recording.name.starts_with(name)).map(|(_, at)| *at);
    let mut answer = recording.answer.clone();
    if let (Some(at), Ok(data)) = (at, &mut answer)
        && !recording.name.ends_with("-dbd")
        && let Some(descriptor) = data.get_mut(at..at + 4)
    {
        let last: [u8; 4] = descriptor.try_into().expect("four bytes");
        descriptor.copy_from_slice(&(u32::from_be_bytes(last) + 1).to_be_bytes());
    }
    answer
}

fn check(text: &'static str, unit: &Unit, otherwise: &[&str]) {
    let recordings = recordings(text);
    assert_eq!(recordings.len(), 110);
    for recording in recordings {
        let ours = unit.answer(&recording.cdb);
        let expected = with_block_count(&recording);
        let name = recording.name;
        if WANTED_OTHERWISE.contains(&name) || otherwise.contains(&name) {
            assert_ne!(ours, expected, "{name} is no longer a deviation");
        } else {
            assert_eq!(ours, expected, "{name}");
        }
    }
}

#[test]
fn a_file_with_a_write_cache_answers_as_lio() {
    let text = include_str!("../golden/fileio-writeback.txt");
    check(text, &Unit::lio(1), &["inq-vpd-b0" /* block_limits_is_whole_without_unmap */]);
}

#[test]
fn a_file_with_unmap_answers_as_lio() {
    let unit = Unit {
        limits: Limits {
            unmap_blocks_max: 0x2000,
            unmap_descriptors_max: 1,
            unmap_granularity_blocks: 1,
            write_same_blocks_max: 0x1000,
            ..Unit::lio(2).limits
        },
        provisioning: Provisioning { unmap: true, write_same_unmaps: true, unmapped_reads_zero: true },
        ..Unit::lio(2)
    };
    let text = include_str!("../golden/fileio-writeback-tpu-tpws.txt");
    let otherwise = &[
        "inq-vpd-b1", // what_is_read_after_an_erase_is_said_where_there_is_one
        "inq-vpd-b2", // provisioning_type_is_thin_where_blocks_can_be_unmapped
    ];
    check(text, &unit, otherwise);
}

#[test]
fn a_file_of_4096_byte_blocks_answers_as_lio() {
    let unit = Unit {
        geometry: Geometry { blocks: BlockCount(16_384), block_bytes: 4096, ..Unit::lio(5).geometry },
        limits: Limits { transfer_blocks_max: 0x800, ..Unit::lio(5).limits },
        ..Unit::lio(5)
    };
    let otherwise = &[
        "inq-vpd-b0", // block_limits_is_whole_without_unmap
        // The recorder's buffer of 512 bytes was too short for a block, which is the transport's to find.
        "read10-dpo",
        "read10-fua",
        "read6",
    ];
    check(include_str!("../golden/fileio-4k.txt"), &unit, otherwise);
}

#[test]
fn a_ramdisk_answers_as_lio() {
    let mut unit = Unit {
        geometry: Geometry { blocks: BlockCount(32_768), ..Unit::lio(3).geometry },
        limits: Limits {
            transfer_blocks_max: 0xffff_fff8,
            transfer_blocks_optimal: 0xffff_fff8,
            ..Unit::lio(3).limits
        },
        write_cache: false,
        solid_state: true,
        ..Unit::lio(3)
    };
    unit.identity.product = *b"RAMDISK-MCP     ";
    unit.extended.volatile_cache = false;
    let otherwise = &[
        "inq-vpd-b0", // block_limits_is_whole_without_unmap
        "sync10-oor", // synchronize_cache_checks_its_range_on_every_unit
    ];
    check(include_str!("../golden/ramdisk.txt"), &unit, otherwise);
}

#[test]
fn target_port_groups_are_those_of_lio() {
    // Not among the 110: it was recorded apart.
    let recorded = [0, 0, 0, 0x0c, 0x00, 0xcf, 0, 0, 0, 0, 0, 0x01, 0, 0, 0, 0x01];
    let cdb = [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
    assert_eq!(Unit::lio(1).answer(&cdb), Ok(recorded.to_vec()));
}

#[test]
fn a_vpd_page_is_there_where_page_00_lists_it_and_nowhere_else() {
    let unit = Unit::lio(1);
    let listed = [0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2, 0xb3];
    for page in 0..=u8::MAX {
        assert_eq!(unit.answer(&[0x12, 1, page, 0, 0xff, 0]).is_ok(), listed.contains(&page), "{page:02x}");
    }
}
