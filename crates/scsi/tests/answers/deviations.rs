// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where we answer otherwise than LIO.  Each test has a row in the list of deviations.
//!
//! Above: `main`.
//! Below: `unit`.
//! Never here: an answer that is LIO's too.

use crate::unit::Unit;
use scsi::inquiry::{InquiryFlags, Peripheral};
use scsi::vpd::Provisioning;
use scsi::{BlockCount, Geometry, Sense, SenseFormat};

#[test]
fn vpd_00_lists_pages_without_a_serial_number_too() {
    let mut unit = Unit::lio(1);
    unit.identity.unit_serial.clear();
    assert_eq!(
        unit.answer(&[0x12, 1, 0, 0, 0xff, 0]),
        Ok(vec![0, 0, 0, 7, 0x00, 0x83, 0x86, 0xb0, 0xb1, 0xb2, 0xb3])
    );
    assert_eq!(unit.answer(&[0x12, 1, 0x80, 0, 0xff, 0]), Err([0x05, 0x24, 0x00]));
}

#[test]
fn block_limits_is_whole_without_unmap() {
    let mut expected = vec![0x00, 0xb0, 0x00, 0x3c, 0x01, 0x01, 0x00, 0x01];
    expected.extend([0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x40, 0x00]);
    expected.extend([0; 48]);
    assert_eq!(Unit::lio(1).answer(&[0x12, 1, 0xb0, 0, 0xff, 0]), Ok(expected));
}

#[test]
fn relative_target_port_is_never_zero() {
    let mut unit = Unit::lio(1);
    unit.port.relative_port = 0;
    let page = unit.answer(&[0x12, 1, 0x83, 0, 0xff, 0]).expect("the page is there");
    assert_eq!(page[80..88], [0x61, 0x94, 0x00, 0x04, 0x00, 0x00, 0x00, 0x01]);
    unit.port.relative_port = 0x0203;
    let page = unit.answer(&[0x12, 1, 0x83, 0, 0xff, 0]).expect("the page is there");
    assert_eq!(page[80..88], [0x61, 0x94, 0x00, 0x04, 0x00, 0x00, 0x02, 0x03]);
}

#[test]
fn provisioning_type_is_thin_where_blocks_can_be_unmapped() {
    let provisioning = Provisioning { unmap: true, write_same_unmaps: true, unmapped_reads_zero: true };
    let unit = Unit { provisioning, ..Unit::lio(1) };
    assert_eq!(
        unit.answer(&[0x12, 1, 0xb2, 0, 0xff, 0]),
        Ok(vec![0x00, 0xb2, 0x00, 0x04, 0x00, 0xe4, 0x02, 0x00])
    );
}

#[test]
fn inquiry_claims_third_party_copy_and_alua_only_where_they_are() {
    let flags = InquiryFlags::default();
    let unit = Unit { flags, ..Unit::lio(1) };
    assert_eq!(unit.answer(&[0x12, 0, 0, 0, 8, 0]), Ok(vec![0x00, 0x00, 0x06, 0x02, 0x5b, 0x80, 0x00, 0x02]));
}

#[test]
fn mode_block_descriptor_holds_the_number_of_blocks() {
    let unit = Unit::lio(1);
    let header_and_descriptor = vec![0x43, 0x00, 0x10, 0x08, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00];
    assert_eq!(unit.answer(&[0x1a, 0, 0x3f, 0, 12, 0]), Ok(header_and_descriptor));
    let blocks = BlockCount(0x1_0000_0000);
    let unit = Unit { geometry: Geometry { blocks, ..unit.geometry }, ..unit };
    let capped = vec![0x43, 0x00, 0x10, 0x08, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x02, 0x00];
    assert_eq!(unit.answer(&[0x1a, 0, 0x3f, 0, 12, 0]), Ok(capped));
    let mut long = vec![0x00, 0x4e, 0x00, 0x10, /* LONGLBA */ 0x01, 0x00, 0x00, 0x10];
    long.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x00, 0x02, 0x00]);
    assert_eq!(unit.answer(&[0x5a, 0x10, 0x3f, 0, 0, 0, 0, 0, 24, 0]), Ok(long));
}

#[test]
fn saved_mode_pages_are_refused() {
    let unit = Unit::lio(1);
    assert_eq!(unit.answer(&[0x1a, 0, 0xc8, 0, 0xfc, 0]), Err([0x05, 0x39, 0x00]));
    assert_eq!(unit.answer(&[0x5a, 0, 0xff, 0, 0, 0, 0, 0, 0xfc, 0]), Err([0x05, 0x39, 0x00]));
}

#[test]
fn subpage_ff_of_a_page_is_the_page() {
    let unit = Unit::lio(1);
    let page =
        vec![0x0f, 0x00, 0x10, 0x00, 0x0a, 0x0a, 0x02, 0x10, 0x00, 0x40, 0x00, 0x00, 0xff, 0xff, 0x00, 0x1e];
    assert_eq!(unit.answer(&[0x1a, 0x08, 0x0a, 0xff, 0xfc, 0]), Ok(page));
    assert_eq!(unit.answer(&[0x1a, 0x08, 0x0a, 0x01, 0xfc, 0]), Err([0x05, 0x24, 0x00]));
    assert_eq!(unit.answer(&[0x1a, 0x08, 0x02, 0xff, 0xfc, 0]), Err([0x05, 0x24, 0x00]));
}

#[test]
fn control_byte_naca_is_refused() {
    let unit = Unit::lio(1);
    assert_eq!(unit.answer(&[0x00, 0, 0, 0, 0, 0x04]), Err([0x05, 0x24, 0x00]));
    assert_eq!(unit.answer(&[0x12, 0, 0, 0, 0x60, 0x04]), Err([0x05, 0x24, 0x00]));
    assert_eq!(unit.answer(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0x04]), Err([0x05, 0x24, 0x00]));
    assert_eq!(unit.answer(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0xfb]), Ok(vec![]));
}

#[test]
fn an_unknown_service_action_is_an_invalid_field() {
    let unit = Unit::lio(1);
    let mut cdb = [0x9e, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
    assert_eq!(unit.answer(&cdb), Err([0x05, 0x24, 0x00]));
    cdb[1] = 0x1f;
    assert_eq!(unit.answer(&cdb), Err([0x05, 0x24, 0x00]));
    for code in [0x83, 0x84, 0xa3, 0xa4] {
        let mut cdb = [0; 16];
        (cdb[0], cdb[1]) = (code, 0x1f);
        assert_eq!(unit.answer(&cdb), Err([0x05, 0x24, 0x00]), "{code:02x}");
    }
    // READ (32), of which there is WRITE SAME (32) beside it.
    let mut long = [0; 32];
    (long[0], long[7], long[9]) = (0x7f, 0x18, 0x09);
    assert_eq!(unit.answer(&long), Err([0x05, 0x24, 0x00]));
}

#[test]
fn report_luns_lists_units_in_the_order_of_their_numbers() {
    let unit = Unit::lio(1);
    let mut expected = vec![0, 0, 0, 0x30, 0, 0, 0, 0];
    expected.extend((0..6).flat_map(|lun| [0, lun, 0, 0, 0, 0, 0, 0]));
    assert_eq!(unit.answer(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]), Ok(expected));
}

#[test]
fn report_luns_tells_well_known_units_apart() {
    let mut unit = Unit::lio(1);
    unit.luns.truncate(1);
    let well_known = vec![0, 0, 0, 8, 0, 0, 0, 0, 0xc1, 0x01, 0, 0, 0, 0, 0, 0];
    assert_eq!(unit.answer(&[0xa0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0]), Ok(well_known));
    let all = vec![0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc1, 0x01, 0, 0, 0, 0, 0, 0];
    assert_eq!(unit.answer(&[0xa0, 0, 2, 0, 0, 0, 0, 0, 4, 0, 0, 0]), Ok(all));
    assert_eq!(unit.answer(&[0xa0, 0, 3, 0, 0, 0, 0, 0, 4, 0, 0, 0]), Err([0x05, 0x24, 0x00]));
}

#[test]
fn request_sense_is_as_long_as_the_sense() {
    let mut expected = vec![0x70, 0, 0, 0, 0, 0, 0, 0x0a];
    expected.extend([0; 10]);
    assert_eq!(Unit::lio(1).answer(&[0x03, 0, 0, 0, 0xfc, 0]), Ok(expected));
}

#[test]
fn request_sense_answers_in_descriptor_format() {
    assert_eq!(Unit::lio(1).answer(&[0x03, 0x01, 0, 0, 0xfc, 0]), Ok(vec![0x72, 0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn start_without_immed_is_good() {
    let unit = Unit::lio(1);
    assert_eq!(unit.answer(&[0x1b, 0, 0, 0, 0x01, 0]), Ok(vec![]));
    assert_eq!(unit.answer(&[0x1b, 0, 0, 0, /* ACTIVE */ 0x10, 0]), Ok(vec![]));
    assert_eq!(unit.answer(&[0x1b, 0, 0, 0, /* NO_FLUSH */ 0x05, 0]), Ok(vec![]));
}

#[test]
fn stopping_is_there() {
    assert_eq!(Unit::lio(1).answer(&[0x1b, 0, 0, 0, 0x00, 0]), Ok(vec![]));
}

#[test]
fn synchronize_cache_checks_its_range_on_every_unit() {
    let unit = Unit { write_cache: false, ..Unit::lio(1) };
    assert_eq!(unit.answer(&[0x35, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0]), Err([0x05, 0x21, 0x00]));
}

#[test]
fn verify_12_is_there() {
    let unit = Unit::lio(1);
    assert_eq!(unit.answer(&[0xaf, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0]), Ok(vec![]));
    assert_eq!(unit.answer(&[0xaf, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 2, 0, 0]), Err([0x05, 0x21, 0x00]));
}

#[test]
fn verify_with_protection_or_a_reserved_bytchk_is_refused() {
    let unit = Unit::lio(1);
    assert_eq!(unit.answer(&[0x2f, /* VRPROTECT */ 0x20, 0, 0, 0, 0, 0, 0, 8, 0]), Err([0x05, 0x24, 0x00]));
    assert_eq!(unit.answer(&[0x2f, /* BYTCHK */ 0x04, 0, 0, 0, 0, 0, 0, 8, 0]), Err([0x05, 0x24, 0x00]));
}

#[test]
fn sense_has_its_true_length() {
    assert_eq!(Sense::WRITE_PROTECTED.encode(SenseFormat::Fixed).len(), 18);
    assert_eq!(Sense::WRITE_PROTECTED.encode(SenseFormat::Descriptor).len(), 8);
    assert_eq!(Sense::MISCOMPARE_DURING_VERIFY.with_information(7).encode(SenseFormat::Descriptor).len(), 20);
}

#[test]
fn pages_of_a_disk_are_not_those_of_a_well_known_unit() {
    let mut unit = Unit::lio(1);
    unit.flags.peripheral = Peripheral::WellKnown;
    assert_eq!(unit.answer(&[0x12, 1, 0, 0, 0xff, 0]), Ok(vec![0x1e, 0, 0, 4, 0x00, 0x80, 0x83, 0x86]));
    assert_eq!(unit.answer(&[0x12, 1, 0xb0, 0, 0xff, 0]), Err([0x05, 0x24, 0x00]));
}

#[test]
fn get_lba_status_is_there() {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[13]) = (0x9e, 0x12, 24);
    let mapped = vec![0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
    assert_eq!(Unit::lio(1).answer(&cdb), Ok(mapped));
}

#[test]
fn what_is_read_after_an_erase_is_said_where_there_is_one() {
    let provisioning = Provisioning { unmap: true, write_same_unmaps: true, unmapped_reads_zero: true };
    let unit = Unit { provisioning, ..Unit::lio(1) };
    let page = unit.answer(&[0x12, 1, 0xb1, 0, 0xff, 0]).expect("the page is there");
    assert_eq!(page[..8], [0, 0xb1, 0, 0x3c, 0, 0, 0, 0x40]);
}

#[test]
fn target_port_groups_with_the_extended_header_are_whole() {
    // LIO gives 16 of the 20 bytes, and 12 as the length of what follows it.
    let whole = [0, 0, 0, 0x10, 0x10, 0, 0, 0, 0x00, 0xcf, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    assert_eq!(Unit::lio(1).answer(&[0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]), Ok(whole.to_vec()));
}

#[test]
fn target_port_groups_are_cut_to_any_allocation_length() {
    let answer = |bytes| Unit::lio(1).answer(&[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, bytes, 0, 0]);
    assert_eq!(answer(0), Ok(vec![]));
    assert_eq!(answer(2), Ok(vec![0, 0]));
    assert_eq!(answer(4), Ok(vec![0, 0, 0, 0x0c]));
    assert_eq!(answer(10), Ok(vec![0, 0, 0, 0x0c, 0x00, 0xcf, 0, 0, 0, 0]));
}
