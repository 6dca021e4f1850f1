// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Device Identification page: every name of a unit, its port and its target.  SPC-4.
//!
//! Above: `vpd`.
//! Below: `field`.
//! Never here: how a name is chosen.
//!
//! Initiators name disks and find paths of one disk by these bytes; a change of one of them renames every
//! guest's disk.  Their order is LIO's.

use crate::field::{Block, pack_digits};
use crate::inquiry::{Identity, Peripheral};
use crate::vpd::{Facts, Port};

/// Code sets of a designator.  SPC-4, CODE SET field.
#[derive(Clone, Copy)]
enum CodeSet {
    Binary = 1,
    Ascii = 2,
    Utf8 = 3,
}

/// What a designator names.  SPC-4, ASSOCIATION field.
#[derive(Clone, Copy)]
enum Association {
    LogicalUnit = 0,
    TargetPort = 1,
    TargetDevice = 2,
}

/// Designator types.  SPC-4, DESIGNATOR TYPE field.
#[derive(Clone, Copy)]
enum Kind {
    T10VendorId = 1,
    Naa = 3,
    RelativeTargetPort = 4,
    TargetPortGroup = 5,
    LogicalUnitGroup = 6,
    ScsiNameString = 8,
}

/// PROTOCOL IDENTIFIER of SAS, whose names (`naa.`) our ports carry.  SPC-4.
const SERIAL_ATTACHED_SCSI: u8 = 6;

/// The most bytes of a serial number that are shown: with its NUL it must fit a length of eight bits.
const SERIAL_BYTES_MAX: usize = 254;

/// Returns the bytes of the serial number that are shown.
pub(super) fn serial(identity: &Identity) -> impl Iterator<Item = u8> {
    identity.unit_serial.bytes().take(SERIAL_BYTES_MAX)
}

/// Returns the page without its header.
pub(super) fn body(facts: &Facts<'_>) -> Vec<u8> {
    let Facts { identity, port, .. } = facts;
    let mut page = Vec::new();
    // SPC-4, Device Identification: a well known unit has no name but its address.
    let is_disk = facts.peripheral == Peripheral::Disk;
    if is_disk && !identity.unit_serial.is_empty() {
        designator(&mut page, CodeSet::Binary, Association::LogicalUnit, Kind::Naa, &naa_of(identity));
    }
    if is_disk {
        let text = t10_vendor_id(identity);
        designator(&mut page, CodeSet::Ascii, Association::LogicalUnit, Kind::T10VendorId, &text);
    }
    number(&mut page, Association::TargetPort, Kind::RelativeTargetPort, Some(port.relative_port.max(1)));
    number(&mut page, Association::TargetPort, Kind::TargetPortGroup, port.tg_pt_group);
    number(&mut page, Association::LogicalUnit, Kind::LogicalUnitGroup, port.lu_group);
    let Port { target_wwn, tpg_tag, .. } = port;
    name(&mut page, Association::TargetPort, &format!("{target_wwn},t,0x{tpg_tag:04x}"));
    name(&mut page, Association::TargetDevice, target_wwn);
    page
}

/// Returns the name of a unit.  SPC-4, NAA IEEE Registered Extended: 6h, the company, then 25 hex digits of the serial
/// number.
#[must_use]
pub fn naa_of(identity: &Identity) -> [u8; 16] {
    let [_, high, middle, low] = identity.company_id.to_be_bytes(); // An OUI has 24 bits.
    let company = format!("6{high:02x}{middle:02x}{low:02x}");
    let digits = company.chars().chain(identity.unit_serial.chars());
    pack_digits(digits.filter_map(|digit| digit.to_digit(16)))
}

/// SPC-4, T10 vendor ID based designator: the vendor, then what it likes, which is `PRODUCT:SERIAL` and a NUL.
fn t10_vendor_id(identity: &Identity) -> Vec<u8> {
    let mut text = identity.vendor.to_vec();
    if !identity.unit_serial.is_empty() {
        text.extend(identity.product.trim_ascii_end());
        text.push(b':');
        text.extend(serial(identity));
        text.truncate(TEXT_BYTES_MAX);
        text.push(0);
    }
    text
}

/// SPC-4, SCSI name string designator: ends with a NUL and is filled with NULs to a multiple of four.
fn name(page: &mut Vec<u8>, association: Association, text: &str) {
    let mut text = text.as_bytes().to_vec();
    text.truncate(TEXT_BYTES_MAX);
    text.push(0);
    text.resize(text.len().next_multiple_of(4), 0);
    designator(page, CodeSet::Utf8, association, Kind::ScsiNameString, &text);
}

/// A designator of a 16-bit number behind two reserved bytes: relative target port and the two kinds of groups.
fn number(page: &mut Vec<u8>, association: Association, kind: Kind, number: Option<u16>) {
    if let Some(number) = number {
        let body = Block::<4>::new().be16::<2>(number).done();
        designator(page, CodeSet::Binary, association, kind, &body);
    }
}

/// The most bytes of text in a designator before its NULs: with four of them it still fits eight bits.
const TEXT_BYTES_MAX: usize = 248;

fn designator(page: &mut Vec<u8>, code_set: CodeSet, association: Association, kind: Kind, body: &[u8]) {
    // PIV, and with it the protocol, belongs to what names a port or a target.
    let names_port = !matches!(association, Association::LogicalUnit);
    let header = Block::<4>::new()
        .bits::<0, 7, 4>(if names_port { SERIAL_ATTACHED_SCSI } else { 0 })
        .bits::<0, 3, 0>(code_set as u8)
        .bit::<1, 7>(names_port)
        .bits::<1, 5, 4>(association as u8)
        .bits::<1, 3, 0>(kind as u8)
        .byte::<3>(u8::try_from(body.len()).unwrap_or(u8::MAX));
    page.extend(header.done());
    page.extend(body.iter().take(usize::from(u8::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(unit_serial: &str) -> Identity {
        Identity {
            vendor: *b"LIO-ORG ",
            product: *b"disk0           ",
            revision: *b"4.0 ",
            unit_serial: String::from(unit_serial),
            company_id: 0x00_1405,
        }
    }

    #[test]
    fn naa_is_the_company_and_25_digits_of_the_serial() {
        let naa = naa_of(&identity("1f2e3d4c-5b6a-7980-8190-a0b0c0d0e0f0"));
        let expected =
            [0x60, 0x01, 0x40, 0x51, 0xf2, 0xe3, 0xd4, 0xc5, 0xb6, 0xa7, 0x98, 0x08, 0x19, 0x0a, 0x0b, 0x0c];
        assert_eq!(naa, expected);
    }

    #[test]
    fn naa_skips_what_is_no_hex_digit_and_fills_with_zeroes() {
        let expected = [0x60, 0x01, 0x40, 0x5a, 0xbc, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(naa_of(&identity("A-xyz-bC_1")), expected);
    }

    #[test]
    fn naa_takes_24_bits_of_a_company() {
        let naa = naa_of(&Identity { company_id: 0xff12_3456, ..identity("1") });
        assert_eq!(naa[..4], [0x61, 0x23, 0x45, 0x61]);
    }

    #[test]
    fn the_vendor_designator_is_product_and_serial() {
        assert_eq!(t10_vendor_id(&identity("77")), b"LIO-ORG disk0:77\0");
        assert_eq!(t10_vendor_id(&identity("")), b"LIO-ORG ");
    }

    #[test]
    fn a_name_always_ends_with_a_nul() {
        let named = |text| {
            let mut page = Vec::new();
            name(&mut page, Association::TargetDevice, text);
            page
        };
        assert_eq!(named("abc"), [0x63, 0xa8, 0, 4, b'a', b'b', b'c', 0]);
        assert_eq!(named("abcd"), [0x63, 0xa8, 0, 8, b'a', b'b', b'c', b'd', 0, 0, 0, 0]);
    }

    #[test]
    fn a_port_outside_of_every_group_names_none() {
        let mut page = Vec::new();
        number(&mut page, Association::TargetPort, Kind::TargetPortGroup, None);
        assert_eq!(page, []);
        number(&mut page, Association::TargetPort, Kind::TargetPortGroup, Some(0x0102));
        assert_eq!(page, [0x61, 0x95, 0, 4, 0, 0, 1, 2]);
    }
}
