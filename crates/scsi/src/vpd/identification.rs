// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Device Identification page: every name of a unit, its port and its target.  SPC-4 7.8.6.
//!
//! Above: `vpd`.
//! Below: `field`.
//! Never here: how a name is chosen.
//!
//! Initiators name disks and find paths of one disk by these bytes; a change of one of them renames every
//! guest's disk.  Their order is LIO's.

use crate::field::{Block, pack_digits};
use crate::inquiry::Identity;
use crate::vpd::{Facts, Port};

/// Code sets of a designator.  SPC-4 table 461.
#[derive(Clone, Copy)]
enum CodeSet {
    Binary = 1,
    Ascii = 2,
    Utf8 = 3,
}

/// What a designator names.  SPC-4 table 462.
#[derive(Clone, Copy)]
enum Association {
    LogicalUnit = 0,
    TargetPort = 1,
    TargetDevice = 2,
}

/// Designator types.  SPC-4 table 463.
#[derive(Clone, Copy)]
enum Kind {
    T10VendorId = 1,
    Naa = 3,
    RelativeTargetPort = 4,
    TargetPortGroup = 5,
    LogicalUnitGroup = 6,
    ScsiNameString = 8,
}

/// PROTOCOL IDENTIFIER of SAS, whose names (`naa.`) our ports carry.  SPC-4 7.6.1.
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
    if !identity.unit_serial.is_empty() {
        designator(&mut page, CodeSet::Binary, Association::LogicalUnit, Kind::Naa, &naa_of(identity));
    }
    designator(
        &mut page,
        CodeSet::Ascii,
        Association::LogicalUnit,
        Kind::T10VendorId,
        &t10_vendor_id(identity),
    );
    number(&mut page, Association::TargetPort, Kind::RelativeTargetPort, Some(port.relative_port));
    number(&mut page, Association::TargetPort, Kind::TargetPortGroup, port.tg_pt_group);
    number(&mut page, Association::LogicalUnit, Kind::LogicalUnitGroup, port.lu_group);
    let Port { target_wwn, tpg_tag, .. } = port;
    name(&mut page, Association::TargetPort, &format!("{target_wwn},t,0x{tpg_tag:04x}"));
    name(&mut page, Association::TargetDevice, target_wwn);
    page
}

/// NAA 6h, IEEE Registered Extended: the company, then 25 hex digits of the serial number.  SPC-4 7.8.6.6.5.
fn naa_of(identity: &Identity) -> [u8; 16] {
    let company = format!("6{:06x}", identity.company_id);
    let digits = company.chars().take(7).chain(identity.unit_serial.chars());
    pack_digits(digits.filter_map(|digit| digit.to_digit(16)))
}

/// SPC-4 7.8.6.4: the vendor, then what it likes, which is `PRODUCT:SERIAL` and a NUL.
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

/// SPC-4 7.8.6.11: ends with a NUL and is filled with NULs to a multiple of four.
fn name(page: &mut Vec<u8>, association: Association, text: &str) {
    let mut text = text.as_bytes().to_vec();
    text.truncate(TEXT_BYTES_MAX);
    text.push(0);
    text.resize(text.len().next_multiple_of(4), 0);
    designator(page, CodeSet::Utf8, association, Kind::ScsiNameString, &text);
}

/// A designator of a 16-bit number behind two reserved bytes: SPC-4 7.8.6.7 to 7.8.6.9.
fn number(page: &mut Vec<u8>, association: Association, kind: Kind, number: Option<u16>) {
    if let Some(number) = number {
        let body = Block::<4>::new().be16::<2>(number).done();
        designator(page, CodeSet::Binary, association, kind, &body);
    }
}

/// The most bytes of text in a designator before its NULs: with four of them it still fits eight bits.
const TEXT_BYTES_MAX: usize = 248;

fn designator(page: &mut Vec<u8>, code_set: CodeSet, association: Association, kind: Kind, body: &[u8]) {
    // PIV, and with it the protocol, belongs to what names a port or a target.  SPC-4 7.8.6.1.
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
