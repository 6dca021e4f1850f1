// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a unit is, page by page: the vital product data.  SPC-4 and SBC-3, VPD parameters.
//!
//! Above: `target`, which knows the facts.
//! Below: `field`; `vpd::identification` builds the longest page.
//! Never here: a page that promises what the unit does not do.
//!
//! To add a page: write its builder, and a row in `PAGES`.  Page 00h lists what is in that table.

mod identification;

pub use identification::naa_of;

use crate::field::Block;
use crate::inquiry::{Identity, Peripheral};

/// Through which port a unit is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name of the target device: `naa.` and 16 hex digits.
    pub target_wwn: String,
    /// The tag of the target port group as the administrator knows it, 0..=255.
    pub tpg_tag: u16,
    /// RELATIVE TARGET PORT IDENTIFIER, 1..=65535; 0 is reserved (SPC-4, relative target port
    /// designator format) and shown as 1.
    pub relative_port: u16,
    /// The ALUA target port group, where the unit is in one.
    pub tg_pt_group: Option<u16>,
    /// The logical unit group, where the unit is in one.
    pub lu_group: Option<u16>,
}

/// The Extended INQUIRY Data page.  SPC-4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtendedInquiry {
    /// HEADSUP: HEAD OF QUEUE is done as it says.
    pub head_of_queue: bool,
    /// ORDSUP: ORDERED is done as it says.
    pub ordered: bool,
    /// V_SUP: the unit has a volatile write cache.
    pub volatile_cache: bool,
}

/// The Block Limits page, SBC-3.  A count of 0 says that there is no such limit, or no such command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// OPTIMAL TRANSFER LENGTH GRANULARITY in blocks; 0 says nothing.
    pub granularity_blocks: u16,
    /// MAXIMUM TRANSFER LENGTH in blocks; 0 says that there is none.
    pub transfer_blocks_max: u32,
    /// OPTIMAL TRANSFER LENGTH in blocks; 0 says nothing.
    pub transfer_blocks_optimal: u32,
    /// MAXIMUM COMPARE AND WRITE LENGTH in blocks; 0: the command is not there.
    pub compare_and_write_blocks_max: u8,
    /// MAXIMUM UNMAP LBA COUNT; 0: the command is not there.
    pub unmap_blocks_max: u32,
    /// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT; 0: the command is not there.
    pub unmap_descriptors_max: u32,
    /// OPTIMAL UNMAP GRANULARITY in blocks; 0 says nothing.
    pub unmap_granularity_blocks: u32,
    /// UNMAP GRANULARITY ALIGNMENT, a block address of 31 bits.
    pub unmap_alignment: Option<u32>,
    /// MAXIMUM WRITE SAME LENGTH in blocks; 0 says nothing.
    pub write_same_blocks_max: u64,
    /// What WRITE ATOMIC (16) takes, where it is there.
    pub atomic: AtomicLimits,
}

/// How much is written whole or not at all, SBC-4.  All 0 where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtomicLimits {
    /// MAXIMUM ATOMIC TRANSFER LENGTH in blocks.
    pub blocks_max: u32,
    /// ATOMIC ALIGNMENT in blocks; 0: anywhere.
    pub alignment_blocks: u32,
    /// ATOMIC TRANSFER LENGTH GRANULARITY in blocks; 0: any length.
    pub granularity_blocks: u32,
}

/// The Logical Block Provisioning page (SBC-3) and its echo in READ CAPACITY (16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provisioning {
    /// LBPU: UNMAP is there.
    pub unmap: bool,
    /// LBPWS and LBPWS10: WRITE SAME with UNMAP = 1 is there.
    pub write_same_unmaps: bool,
    /// LBPRZ: a block that is not mapped reads as zeroes.
    pub unmapped_reads_zero: bool,
}

impl Provisioning {
    /// Returns LBPME: blocks need not be mapped.
    #[must_use]
    pub const fn is_managed(self) -> bool {
        self.unmap || self.write_same_unmaps
    }

    /// Returns LBPRZ, which means nothing where every block is mapped.
    #[must_use]
    pub const fn reads_zero(self) -> bool {
        self.is_managed() && self.unmapped_reads_zero
    }
}

/// Everything the pages are made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What the address leads to.
    pub peripheral: Peripheral,
    /// How the unit is named.
    pub identity: &'a Identity,
    /// Through which port it is seen.
    pub port: &'a Port,
    /// How it takes commands.
    pub extended: ExtendedInquiry,
    /// How much it takes at once.
    pub limits: Limits,
    /// What becomes of blocks that are given up.
    pub provisioning: Provisioning,
    /// The medium does not rotate.
    pub solid_state: bool,
    /// USER DATA SEGMENT SIZE in blocks and USER DATA SEGMENT MULTIPLIER, where REPORT REFERRALS is there.
    pub referrals: Option<(u32, u32)>,
    /// THRESHOLD EXPONENT: of two, the blocks that a threshold counts in; 0 where there is none.
    pub threshold_exponent: u8,
}

impl<'a> Facts<'a> {
    /// Of an address that leads to no disk.
    #[must_use]
    pub fn without_disk(peripheral: Peripheral, identity: &'a Identity, port: &'a Port) -> Self {
        Self {
            peripheral,
            identity,
            port,
            extended: ExtendedInquiry::default(),
            limits: Limits::default(),
            provisioning: Provisioning::default(),
            solid_state: false,
            referrals: None,
            threshold_exponent: 0,
        }
    }
}

/// A page: its code, whether this unit has it, and what follows its header of four bytes.
struct Page {
    code: u8,
    exists: fn(&Facts<'_>) -> bool,
    body: fn(&Facts<'_>) -> Vec<u8>,
}

/// Every page that there is, in the order in which page 00h must list them.
const PAGES: &[Page] = &[
    Page { code: 0x00, exists: always, body: supported_pages },
    Page { code: 0x80, exists: has_serial, body: unit_serial_number },
    Page { code: 0x83, exists: always, body: identification::body },
    Page { code: 0x86, exists: always, body: extended_inquiry_data },
    Page { code: 0xb0, exists: is_disk, body: block_limits },
    Page { code: 0xb1, exists: is_disk, body: block_device_characteristics },
    Page { code: 0xb2, exists: is_disk, body: logical_block_provisioning },
    Page { code: 0xb3, exists: is_disk, body: referrals },
];

/// Returns a page, or `None` where this unit has no such page; the caller cuts it to the allocation length.
#[must_use]
pub fn page(code: u8, facts: &Facts<'_>) -> Option<Vec<u8>> {
    let page = PAGES.iter().find(|page| page.code == code && (page.exists)(facts))?;
    let body = (page.body)(facts);
    // Designators are cut to their length fields, so that a whole page stays far below 65,535 bytes.
    let body_bytes = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let header = Block::<4>::new().byte::<0>(facts.peripheral.code()).byte::<1>(code).be16::<2>(body_bytes);
    let mut answer = header.done().to_vec();
    answer.extend(body);
    Some(answer)
}

fn always(_: &Facts<'_>) -> bool {
    true
}

fn has_serial(facts: &Facts<'_>) -> bool {
    !facts.identity.unit_serial.is_empty()
}

fn is_disk(facts: &Facts<'_>) -> bool {
    facts.peripheral == Peripheral::Disk
}

/// SPC-4, Supported VPD Pages.
fn supported_pages(facts: &Facts<'_>) -> Vec<u8> {
    PAGES.iter().filter(|page| (page.exists)(facts)).map(|page| page.code).collect()
}

/// SPC-4, Unit Serial Number.  The NUL at the end is LIO's, and SPC-4 (ASCII data field requirements) allows
/// it; `udev` names disks by this page.
fn unit_serial_number(facts: &Facts<'_>) -> Vec<u8> {
    identification::serial(facts.identity).chain([0]).collect()
}

/// SPC-4, Extended INQUIRY Data.
fn extended_inquiry_data(facts: &Facts<'_>) -> Vec<u8> {
    Block::<60>::new()
        .bit::<1, 2>(facts.extended.head_of_queue)
        .bit::<1, 1>(facts.extended.ordered)
        .bit::<1, 0>(true) // SIMPSUP
        .bit::<2, 0>(facts.extended.volatile_cache)
        .bit::<4, 4>(facts.referrals.is_some()) // R_SUP
        .done()
        .to_vec()
}

/// SBC-3, Block Limits.  Always with the fields for UNMAP and WRITE SAME: an initiator that finds the page shorter
/// knows no limit, where a 0 tells it that there is no command.
fn block_limits(facts: &Facts<'_>) -> Vec<u8> {
    let limits = &facts.limits;
    let block = Block::<60>::new()
        .bit::<0, 0>(true) // WSNZ: a WRITE SAME must say how many blocks.
        .byte::<1>(limits.compare_and_write_blocks_max)
        .be16::<2>(limits.granularity_blocks)
        .be32::<4>(limits.transfer_blocks_max)
        .be32::<8>(limits.transfer_blocks_optimal)
        .be32::<16>(limits.unmap_blocks_max)
        .be32::<20>(limits.unmap_descriptors_max)
        .be32::<24>(limits.unmap_granularity_blocks)
        .be64::<32>(limits.write_same_blocks_max)
        .be32::<40>(limits.atomic.blocks_max)
        .be32::<44>(limits.atomic.alignment_blocks)
        .be32::<48>(limits.atomic.granularity_blocks);
    let block = match limits.unmap_alignment {
        Some(alignment) => block.be32::<28>(alignment).bit::<28, 7>(true), // UGAVALID
        None => block,
    };
    block.done().to_vec()
}

/// SBC-3, Block Device Characteristics.
fn block_device_characteristics(facts: &Facts<'_>) -> Vec<u8> {
    // WABEREQ: what is read after SANITIZE, BLOCK ERASE, which is there where blocks can be given up.
    const READS_ARE_GOOD: u8 = 1;
    let after_erase = if facts.provisioning.is_managed() { READS_ARE_GOOD } else { 0 };
    // MEDIUM ROTATION RATE: 1 is "does not rotate", 0 is "not reported".
    let block = Block::<60>::new().be16::<0>(u16::from(facts.solid_state)).bits::<3, 7, 6>(after_erase);
    block.done().to_vec()
}

/// SBC-3, Logical Block Provisioning.
fn logical_block_provisioning(facts: &Facts<'_>) -> Vec<u8> {
    const THIN: u8 = 2;
    let provisioning = facts.provisioning;
    let kind = if provisioning.is_managed() { THIN } else { 0 };
    Block::<4>::new()
        .byte::<0>(facts.threshold_exponent)
        .bit::<1, 7>(provisioning.unmap)
        .bit::<1, 6>(provisioning.write_same_unmaps)
        .bit::<1, 5>(provisioning.write_same_unmaps)
        .bit::<1, 2>(provisioning.reads_zero())
        .bits::<2, 2, 0>(kind)
        .done()
        .to_vec()
}

/// SBC-3, Referrals.  LIO has the page too where nothing is referred, as R_SUP of the Extended INQUIRY Data page says.
fn referrals(facts: &Facts<'_>) -> Vec<u8> {
    let (segment_blocks, multiplier) = facts.referrals.unwrap_or_default();
    Block::<12>::new().be32::<4>(segment_blocks).be32::<8>(multiplier).done().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u8, change: impl FnOnce(&mut Facts<'_>), expected: &[u8]) {
        let identity = Identity {
            vendor: *b"LIO-ORG ",
            product: *b"disk0           ",
            revision: *b"4.0 ",
            unit_serial: String::from("77"),
            company_id: 0x00_1405,
        };
        let port = Port {
            target_wwn: String::from("naa.5001405000000001"),
            tpg_tag: 1,
            relative_port: 1,
            tg_pt_group: None,
            lu_group: None,
        };
        let mut facts = Facts {
            peripheral: Peripheral::Disk,
            identity: &identity,
            port: &port,
            extended: ExtendedInquiry::default(),
            limits: Limits::default(),
            provisioning: Provisioning::default(),
            solid_state: false,
            referrals: None,
            threshold_exponent: 0,
        };
        change(&mut facts);
        let page = page(code, &facts).expect("the page is there");
        assert_eq!(page[..expected.len()], *expected);
        assert!(page[expected.len()..].iter().all(|byte| *byte == 0), "{page:02x?}");
    }

    #[test]
    fn the_serial_number_ends_with_a_nul() {
        check(0x80, |_| {}, &[0x00, 0x80, 0, 3, b'7', b'7', 0]);
    }

    #[test]
    fn extended_inquiry_claims_task_attributes_and_a_cache() {
        check(0x86, |_| {}, &[0, 0x86, 0, 0x3c, 0, 0x01]);
        check(0x86, |facts| facts.extended.ordered = true, &[0, 0x86, 0, 0x3c, 0, 0x03]);
        check(0x86, |facts| facts.extended.head_of_queue = true, &[0, 0x86, 0, 0x3c, 0, 0x05]);
        check(0x86, |facts| facts.extended.volatile_cache = true, &[0, 0x86, 0, 0x3c, 0, 0x01, 0x01]);
    }

    #[test]
    fn referrals_are_claimed_with_the_shape_of_the_segments() {
        check(0xb3, |_| {}, &[0, 0xb3, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let shape = |facts: &mut Facts<'_>| facts.referrals = Some((0x0102_0304, 0x0506_0708));
        check(0xb3, shape, &[0, 0xb3, 0, 0x0c, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        check(0x86, shape, &[0, 0x86, 0, 0x3c, 0, 0x01, 0, 0, /* R_SUP */ 0x10]);
        check(0x86, |facts| facts.referrals = Some((0, 0)), &[0, 0x86, 0, 0x3c, 0, 0x01, 0, 0, 0x10]);
    }

    #[test]
    fn block_limits_has_a_place_for_each_limit() {
        let limits = Limits {
            granularity_blocks: 0x0203,
            transfer_blocks_max: 0x0405_0607,
            transfer_blocks_optimal: 0x0809_0a0b,
            compare_and_write_blocks_max: 0x01,
            unmap_blocks_max: 0x1011_1213,
            unmap_descriptors_max: 0x1415_1617,
            unmap_granularity_blocks: 0x1819_1a1b,
            unmap_alignment: Some(0x1c1d_1e1f),
            write_same_blocks_max: 0x2021_2223_2425_2627,
            atomic: AtomicLimits {
                blocks_max: 0x2829_2a2b,
                alignment_blocks: 0x2c2d_2e2f,
                granularity_blocks: 0x3031_3233,
            },
        };
        #[rustfmt::skip]
        let expected = [
            0x00, 0xb0, 0x00, 0x3c, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
            0x00, 0x00, 0x00, 0x00, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b,
            0x9c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b,
            0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x33,
        ];
        check(0xb0, |facts| facts.limits = limits, &expected);
    }

    #[test]
    fn an_unmap_alignment_of_0_is_valid() {
        let with_alignment = |facts: &mut Facts<'_>| facts.limits.unmap_alignment = Some(0);
        let mut expected = vec![0x00, 0xb0, 0x00, 0x3c, 0x01];
        expected.resize(32, 0);
        expected.push(0x80);
        check(0xb0, with_alignment, &expected);
    }

    #[test]
    fn a_solid_state_medium_does_not_rotate() {
        check(0xb1, |_| {}, &[0x00, 0xb1, 0x00, 0x3c]);
        check(0xb1, |facts| facts.solid_state = true, &[0x00, 0xb1, 0x00, 0x3c, 0x00, 0x01]);
        check(0xb1, |facts| facts.provisioning.unmap = true, &[0x00, 0xb1, 0x00, 0x3c, 0, 0, 0, 0x40]);
    }

    #[test]
    fn a_unit_without_unmap_is_fully_provisioned() {
        check(0xb2, |_| {}, &[0x00, 0xb2, 0x00, 0x04]);
        check(0xb2, |facts| facts.provisioning.unmapped_reads_zero = true, &[0x00, 0xb2, 0x00, 0x04]);
        check(0xb2, |facts| facts.provisioning.unmap = true, &[0x00, 0xb2, 0x00, 0x04, 0x00, 0x80, 0x02]);
        check(0xb2, |facts| facts.threshold_exponent = 11, &[0x00, 0xb2, 0x00, 0x04, 0x0b]);
        let write_same = |facts: &mut Facts<'_>| facts.provisioning.write_same_unmaps = true;
        check(0xb2, write_same, &[0x00, 0xb2, 0x00, 0x04, 0x00, 0x60, 0x02]);
    }
}
