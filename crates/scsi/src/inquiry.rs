// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who a unit is: the standard INQUIRY data.  SPC-4.
//!
//! Above: `target`, which knows the facts.
//! Below: `field`.
//! Never here: the vital product data pages, which are `vpd`'s.

use crate::field::Block;

/// The standard data has room for the version descriptors and a vendor's bytes behind them, as LIO's has.
const STANDARD_BYTES: usize = 96;

/// How a unit is named.  All of it ends up before the guest's `udev`: it must not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// T10 VENDOR IDENTIFICATION, padded with spaces.
    pub vendor: [u8; 8],
    /// PRODUCT IDENTIFICATION, padded with spaces.
    pub product: [u8; 16],
    /// PRODUCT REVISION LEVEL, padded with spaces.
    pub revision: [u8; 4],
    /// The serial number, ASCII, usually a UUID; at most 254 bytes of it are shown.  Empty: the unit has none.
    pub unit_serial: String,
    /// The IEEE company id of the NAA designator, 24 bits: `001405h` is LIO's.
    pub company_id: u32,
}

impl Identity {
    /// Returns `text` as an ASCII field: cut or padded with spaces to `N` bytes.  SPC-4, ASCII data
    /// field requirements.
    ///
    /// What is not printable ASCII becomes an underscore, since an initiator may refuse the unit for it.
    #[must_use]
    pub fn ascii_field<const N: usize>(text: &str) -> [u8; N] {
        let mut field = [b' '; N];
        for (to, from) in field.iter_mut().zip(text.chars()) {
            *to = u8::try_from(from).ok().filter(|byte| (0x20..0x7f).contains(byte)).unwrap_or(b'_');
        }
        field
    }
}

/// PERIPHERAL QUALIFIER and PERIPHERAL DEVICE TYPE.  SPC-4, standard INQUIRY data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Peripheral {
    /// A disk that is there.
    #[default]
    Disk = 0x00,
    /// A well-known logical unit.
    WellKnown = 0x1e,
    /// LUN 0 of a target that has no LUN 0: it answers INQUIRY and REPORT LUNS, and is not a disk.
    NotConnected = 0x3f,
    /// No unit, and none possible here.
    Absent = 0x7f,
}

impl Peripheral {
    /// Returns the byte that opens INQUIRY data and each VPD page.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// What the standard data claims.  A claim is made only where the commands behind it are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InquiryFlags {
    /// What the address leads to.
    pub peripheral: Peripheral,
    /// RMB: the medium can be taken out.
    pub removable: bool,
    /// TPGS bit 0: target port group states change by themselves.
    pub implicit_alua: bool,
    /// TPGS bit 1: SET TARGET PORT GROUPS is there.
    pub explicit_alua: bool,
    /// 3PC: EXTENDED COPY is there.
    pub third_party_copy: bool,
    /// PROTECT: the unit can hold protection information.
    pub protect: bool,
    /// MULTIP: the unit is reachable through more than one port.
    pub multi_port: bool,
}

/// Returns the standard INQUIRY data, 96 bytes; the caller cuts it to the allocation length.
#[must_use]
pub fn standard(identity: &Identity, flags: &InquiryFlags) -> Vec<u8> {
    let block = Block::<STANDARD_BYTES>::new()
        .byte::<0>(flags.peripheral.code())
        .bit::<1, 7>(flags.removable)
        .byte::<2>(0x06) // VERSION: SPC-4.
        .byte::<3>(0x02) // RESPONSE DATA FORMAT; NORMACA = 0, HISUP = 0.
        .byte::<4>(0x5b) // ADDITIONAL LENGTH: bytes behind this one.
        .bit::<5, 7>(true) // SCCS, which LIO sets; it asks nothing of a unit that has no controller commands.
        .bit::<5, 5>(flags.explicit_alua)
        .bit::<5, 4>(flags.implicit_alua)
        .bit::<5, 3>(flags.third_party_copy)
        .bit::<5, 0>(flags.protect)
        .bit::<6, 4>(flags.multi_port)
        .bit::<7, 1>(true) // CMDQUE
        .bytes::<8, 8>(identity.vendor)
        .bytes::<16, 16>(identity.product)
        .bytes::<32, 4>(identity.revision)
        // VERSION DESCRIPTORS, none of which claims a version.
        .be16::<58>(0x00a0) // SAM-5
        .be16::<60>(0x0c60) // SAS-3, the transport whose names we use
        .be16::<62>(0x0460); // SPC-4
    let block = match flags.peripheral {
        Peripheral::Disk => block.be16::<64>(0x04c0), // SBC-3
        Peripheral::WellKnown | Peripheral::NotConnected | Peripheral::Absent => block,
    };
    block.done().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            vendor: Identity::ascii_field("LIO-ORG"),
            product: Identity::ascii_field("disk0"),
            revision: Identity::ascii_field("4.0"),
            unit_serial: String::from("1f2e3d4c-5b6a-7980-8190-a0b0c0d0e0f0"),
            company_id: 0x00_1405,
        }
    }

    #[test]
    fn the_disk_of_the_walkthrough_names_itself() {
        let data = standard(&identity(), &InquiryFlags::default());
        assert_eq!(data.len(), 96);
        // Qualifier 0, a disk, not removable; SPC-4, which Linux prints as ANSI 6.
        assert_eq!(data[..8], [0x00, 0x00, 0x06, 0x02, 0x5b, 0x80, 0x00, 0x02]);
        assert_eq!(&data[8..36], b"LIO-ORG disk0           4.0 ");
        assert_eq!(data[56..68], [0, 0, 0x00, 0xa0, 0x0c, 0x60, 0x04, 0x60, 0x04, 0xc0, 0, 0]);
    }

    #[test]
    fn each_claim_is_a_bit() {
        let claims = |flags| {
            let data = standard(&identity(), &flags);
            [data[0], data[5], data[6]]
        };
        let removable =
            |removable| standard(&identity(), &InquiryFlags { removable, ..InquiryFlags::default() })[1];
        assert_eq!((removable(false), removable(true)), (0x00, 0x80));
        let none = InquiryFlags::default();
        assert_eq!(claims(InquiryFlags { implicit_alua: true, ..none }), [0x00, 0x90, 0x00]);
        assert_eq!(claims(InquiryFlags { explicit_alua: true, ..none }), [0x00, 0xa0, 0x00]);
        assert_eq!(claims(InquiryFlags { third_party_copy: true, ..none }), [0x00, 0x88, 0x00]);
        assert_eq!(claims(InquiryFlags { protect: true, ..none }), [0x00, 0x81, 0x00]);
        assert_eq!(claims(InquiryFlags { multi_port: true, ..none }), [0x00, 0x80, 0x10]);
        let peripheral = |peripheral| claims(InquiryFlags { peripheral, ..none })[0];
        assert_eq!(peripheral(Peripheral::WellKnown), 0x1e);
        assert_eq!(peripheral(Peripheral::NotConnected), 0x3f);
        assert_eq!(peripheral(Peripheral::Absent), 0x7f);
    }

    #[test]
    fn only_a_disk_claims_the_standard_of_disks() {
        let flags = InquiryFlags { peripheral: Peripheral::NotConnected, ..InquiryFlags::default() };
        assert_eq!(standard(&identity(), &flags)[62..66], [0x04, 0x60, 0x00, 0x00]);
    }

    #[test]
    fn an_ascii_field_is_padded_cut_and_printable() {
        assert_eq!(&Identity::ascii_field::<8>("disk0"), b"disk0   ");
        assert_eq!(&Identity::ascii_field::<4>("disk0"), b"disk");
        assert_eq!(&Identity::ascii_field::<6>("d\u{e4}\n\0~ "), b"d___~ ");
    }
}
