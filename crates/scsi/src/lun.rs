// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The addresses of logical units: virtio-scsi's eight bytes, and the entries of REPORT LUNS.
//!
//! Above: `vhost-scsi`, which reads addresses from requests and writes them into events; `report_luns`.
//! Below: `field`.
//! Never here: which units exist.
//!
//! SAM-5 (LUN structure) defines the forms of a LUN; virtio 1.2, 5.6.6.1 puts a 01h and the target before one.

use crate::field::{Block, Fields};

/// The number of a logical unit within its target, 0..=16383.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lun(u16);

/// From this number on a LUN has the flat form: the peripheral form holds eight bits.
const FLAT_FROM: u16 = 256;

/// The REPORT LUNS well-known logical unit.  SPC-4, well known logical units.
const REPORT_LUNS_WELL_KNOWN: [u8; 2] = [0xc1, 0x01];

impl Lun {
    /// The highest number that the flat form holds.
    pub const MAX: Self = Self(16383);

    /// Returns the LUN, or `None` above 16383.
    #[must_use]
    pub const fn new(lun: u16) -> Option<Self> {
        if lun <= Self::MAX.0 { Some(Self(lun)) } else { None }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns the two bytes of a single-level LUN: 00 LL below 256, flat (40h) from there on.
    ///
    /// The form matters: Linux compares the sixteen bits of an event's LUN with those of REPORT LUNS.
    #[must_use]
    pub fn single_level(self) -> [u8; 2] {
        let method = if self.0 < FLAT_FROM { 0b00 } else { 0b01 };
        Block::<2>::new().be16::<0>(self.0).bits::<0, 7, 6>(method).done()
    }

    /// Returns an entry of REPORT LUNS.
    #[must_use]
    pub fn entry(self) -> [u8; 8] {
        Block::<8>::new().bytes::<0, 2>(self.single_level()).done()
    }

    /// Returns the LUN field of a virtio-scsi event or request that concerns this unit of `target`.
    #[must_use]
    pub fn field(self, target: u8) -> [u8; 8] {
        Block::<8>::new().byte::<0>(1).byte::<1>(target).bytes::<2, 2>(self.single_level()).done()
    }
}

/// Returns the entry of REPORT LUNS for the REPORT LUNS well-known logical unit.
#[must_use]
pub(crate) fn well_known_entry() -> [u8; 8] {
    Block::<8>::new().bytes::<0, 2>(REPORT_LUNS_WELL_KNOWN).done()
}

/// What the LUN field of a virtio-scsi request addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A unit of a target.  Whether either exists is not known here.
    Unit {
        /// The SCSI target id, which is the tag of a target port group.
        target: u8,
        /// The unit.
        lun: Lun,
    },
    /// The REPORT LUNS well-known logical unit, of one target (`01 TT C1 01`) or of the device (`C1 01`).
    ReportLunsWellKnown {
        /// `None` where the field names no target.
        target: Option<u8>,
    },
    /// No form that we know: answered with the response BAD_TARGET.
    Invalid,
}

impl Address {
    /// Reads the LUN field of a request.  Bytes 4..=7 of a unit's address are not looked at.
    #[must_use]
    pub fn decode(field: &[u8; 8]) -> Self {
        let fields = Fields(field);
        if *field == well_known_entry() {
            return Self::ReportLunsWellKnown { target: None };
        }
        if fields.byte::<0>() != 1 {
            return Self::Invalid;
        }
        let target = fields.byte::<1>();
        if [fields.byte::<2>(), fields.byte::<3>()] == REPORT_LUNS_WELL_KNOWN {
            return Self::ReportLunsWellKnown { target: Some(target) };
        }
        match (fields.bits::<2, 7, 6>(), fields.bits::<2, 5, 0>()) {
            // Peripheral: a bus number other than 0 would lead to a unit behind the target.
            (0b00, 0) => Self::Unit { target, lun: Lun(u16::from(fields.byte::<3>())) },
            // Flat: Linux sends this form for every unit, the first 256 as well.
            (0b01, high) => Self::Unit { target, lun: Lun(u16::from_be_bytes([high, fields.byte::<3>()])) },
            _ => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(target: u8, lun: u16) -> Address {
        Address::Unit { target, lun: Lun::new(lun).expect("the test asks for a LUN") }
    }

    #[test]
    fn a_unit_is_addressed_in_peripheral_or_flat_form() {
        assert_eq!(Address::decode(&[1, 3, 0, 7, 0, 0, 0, 0]), unit(3, 7));
        assert_eq!(Address::decode(&[1, 3, 0x40, 7, 0, 0, 0, 0]), unit(3, 7));
        assert_eq!(Address::decode(&[1, 255, 0x41, 0x2c, 0, 0, 0, 0]), unit(255, 300));
        assert_eq!(Address::decode(&[1, 0, 0x7f, 0xff, 0, 0, 0, 0]), unit(0, 16383));
    }

    #[test]
    fn bytes_behind_the_first_level_are_not_looked_at() {
        assert_eq!(Address::decode(&[1, 3, 0x40, 7, 1, 2, 3, 4]), unit(3, 7));
    }

    #[test]
    fn a_field_that_does_not_begin_with_01_is_invalid() {
        assert_eq!(Address::decode(&[0, 3, 0, 7, 0, 0, 0, 0]), Address::Invalid);
        assert_eq!(Address::decode(&[2, 3, 0, 7, 0, 0, 0, 0]), Address::Invalid);
    }

    #[test]
    fn a_peripheral_lun_with_a_bus_number_is_not_taken_for_a_flat_one() {
        assert_eq!(Address::decode(&[1, 3, 0x01, 7, 0, 0, 0, 0]), Address::Invalid);
        assert_eq!(Address::decode(&[1, 3, 0x3f, 7, 0, 0, 0, 0]), Address::Invalid);
    }

    #[test]
    fn other_addressing_methods_are_not_taken_for_a_flat_lun() {
        assert_eq!(Address::decode(&[1, 3, 0x80, 7, 0, 0, 0, 0]), Address::Invalid);
        assert_eq!(Address::decode(&[1, 3, 0xc1, 7, 0, 0, 0, 0]), Address::Invalid);
        assert_eq!(Address::decode(&[1, 3, 0xc2, 1, 0, 0, 0, 0]), Address::Invalid);
    }

    #[test]
    fn the_report_luns_well_known_unit_has_an_address_of_its_own() {
        let whole_device = Address::ReportLunsWellKnown { target: None };
        assert_eq!(Address::decode(&[0xc1, 1, 0, 0, 0, 0, 0, 0]), whole_device);
        assert_eq!(Address::decode(&[0xc1, 1, 0, 0, 0, 0, 0, 1]), Address::Invalid);
        let of_target = Address::ReportLunsWellKnown { target: Some(9) };
        assert_eq!(Address::decode(&[1, 9, 0xc1, 1, 0, 0, 0, 0]), of_target);
    }

    #[test]
    fn entries_are_peripheral_below_256_and_flat_from_there() {
        let entry = |lun| Lun::new(lun).expect("the test asks for a LUN").entry();
        assert_eq!(entry(0), [0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(entry(255), [0, 255, 0, 0, 0, 0, 0, 0]);
        assert_eq!(entry(256), [0x41, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(entry(16383), [0x7f, 0xff, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn the_field_of_an_event_has_the_form_of_the_entry() {
        let field = |lun| Lun::new(lun).expect("the test asks for a LUN").field(5);
        assert_eq!(field(7), [1, 5, 0, 7, 0, 0, 0, 0]);
        assert_eq!(field(300), [1, 5, 0x41, 0x2c, 0, 0, 0, 0]);
    }

    #[test]
    fn a_lun_has_14_bits() {
        assert_eq!(Lun::new(16383).map(Lun::get), Some(16383));
        assert_eq!(Lun::new(16384), None);
    }
}
