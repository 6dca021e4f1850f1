// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a unit behaves: the mode pages.  SPC-4 7.5, SBC-3 6.5.
//!
//! Above: `target`, which knows the state.
//! Below: `field`.
//! Never here: a change.  No page can be changed or saved, and the pages say so.
//!
//! To add a page: write its builder, and a row in `PAGES`.

use crate::cdb::primary::{ModeSense, PageControl};
use crate::field::Block;
use crate::{BlockCount, Sense};

/// PAGE CODE for all pages, SUBPAGE CODE for all subpages.
const ALL_PAGES: u8 = 0x3f;
const ALL_SUBPAGES: u8 = 0xff;

/// What the pages and their header are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeState {
    /// The number of blocks of the unit.
    pub blocks: BlockCount,
    /// The length of a block in bytes.
    pub block_bytes: u32,
    /// WCE: a write may be answered from a volatile cache.
    pub write_cache: bool,
    /// DPOFUA: DPO and FUA may be set.  [`Capabilities::dpofua`](crate::Capabilities) must say the same.
    pub dpofua: bool,
    /// WP: the unit, or the way to it, is read-only.
    pub write_protected: bool,
    /// D_SENSE: sense data comes in descriptor format.
    pub d_sense: bool,
    /// TAS: a command that another nexus aborts ends with TASK ABORTED.
    pub tas: bool,
    /// UA_INTLCK_CTRL: what happens to a unit attention that was reported.
    pub ua_interlock: UaInterlock,
}

/// UA_INTLCK_CTRL of the Control mode page.  SPC-4 table 385.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum UaInterlock {
    /// It is cleared.  The attribute `emulate_ua_intlck_ctrl` = 0.
    #[default]
    Clear = 0b00,
    /// It stays until REQUEST SENSE.  The attribute = 1.
    Keep = 0b10,
    /// It stays, and BUSY, TASK SET FULL and RESERVATION CONFLICT establish one.  The attribute = 2.
    KeepAndEstablish = 0b11,
}

/// A page: its code, and all of its bytes with the values in force.
struct Page {
    code: u8,
    bytes: fn(&ModeState) -> Vec<u8>,
}

/// Every page that there is, in the order in which page 3Fh must list them.
const PAGES: &[Page] = &[
    Page { code: 0x01, bytes: error_recovery },
    Page { code: 0x08, bytes: caching },
    Page { code: 0x0a, bytes: control },
    Page { code: 0x1c, bytes: informational_exceptions },
];

/// Returns the whole answer to MODE SENSE (6) or (10); the caller cuts it to the allocation length, which
/// leaves the length field true.
///
/// # Errors
///
/// INVALID FIELD IN CDB for a page or subpage that is not there, SAVING PARAMETERS NOT SUPPORTED where saved
/// values are asked for (SPC-4 6.13.3.5).
pub fn sense(command: &ModeSense, state: &ModeState) -> Result<Vec<u8>, Sense> {
    if command.control == PageControl::Saved {
        return Err(Sense::SAVING_PARAMETERS_NOT_SUPPORTED);
    }
    if !matches!(command.subpage, 0 | ALL_SUBPAGES) {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let pages: Vec<u8> = PAGES
        .iter()
        .filter(|page| matches!(command.page, ALL_PAGES) || page.code == command.page)
        .flat_map(|page| values(page, command.control, state))
        .collect();
    if pages.is_empty() {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let descriptor = block_descriptor(command, state);
    let mut answer = if command.long_header {
        header_10(&descriptor, &pages, state)
    } else {
        header_6(&descriptor, &pages, state)
    };
    answer.extend(descriptor);
    answer.extend(pages);
    Ok(answer)
}

fn values(page: &Page, control: PageControl, state: &ModeState) -> Vec<u8> {
    let mut bytes = (page.bytes)(state);
    match control {
        // Nothing can be changed from here, so a unit that was never touched has the values in force.
        PageControl::Current | PageControl::Default | PageControl::Saved => {}
        PageControl::Changeable => bytes.iter_mut().skip(2).for_each(|byte| *byte = 0),
    }
    bytes
}

/// SPC-4 7.5.6.
fn header_6(descriptor: &[u8], pages: &[u8], state: &ModeState) -> Vec<u8> {
    let behind_length = 3 + descriptor.len() + pages.len();
    Block::<4>::new()
        .byte::<0>(u8::try_from(behind_length).unwrap_or(u8::MAX))
        .byte::<2>(device_specific(state))
        .byte::<3>(u8::try_from(descriptor.len()).unwrap_or(u8::MAX))
        .done()
        .to_vec()
}

/// SPC-4 7.5.6.
fn header_10(descriptor: &[u8], pages: &[u8], state: &ModeState) -> Vec<u8> {
    let behind_length = 6 + descriptor.len() + pages.len();
    Block::<8>::new()
        .be16::<0>(u16::try_from(behind_length).unwrap_or(u16::MAX))
        .byte::<3>(device_specific(state))
        .bit::<4, 0>(descriptor.len() == 16) // LONGLBA
        .be16::<6>(u16::try_from(descriptor.len()).unwrap_or(u16::MAX))
        .done()
        .to_vec()
}

/// SBC-3 6.5.1.
fn device_specific(state: &ModeState) -> u8 {
    let [byte] = Block::<1>::new().bit::<0, 7>(state.write_protected).bit::<0, 4>(state.dpofua).done();
    byte
}

/// SBC-3 6.5.2: the short descriptor, or the long one where it is welcome and the short one would not do.
fn block_descriptor(command: &ModeSense, state: &ModeState) -> Vec<u8> {
    if command.disable_block_descriptors {
        return Vec::new();
    }
    match u32::try_from(state.blocks.0) {
        Err(_) if command.long_lba_accepted => {
            Block::<16>::new().be64::<0>(state.blocks.0).be32::<12>(state.block_bytes).done().to_vec()
        }
        blocks => {
            let blocks = blocks.unwrap_or(u32::MAX);
            Block::<8>::new().be32::<0>(blocks).be32::<4>(state.block_bytes).done().to_vec()
        }
    }
}

/// SBC-3 6.5.8.
fn error_recovery(_: &ModeState) -> Vec<u8> {
    Block::<12>::new().byte::<0>(0x01).byte::<1>(0x0a).done().to_vec()
}

/// SBC-3 6.5.5.
fn caching(state: &ModeState) -> Vec<u8> {
    Block::<20>::new()
        .byte::<0>(0x08)
        .byte::<1>(0x12)
        .bit::<2, 2>(state.write_cache) // WCE; RCD = 0.
        .bit::<12, 5>(true) // DRA: no read-ahead of ours.
        .done()
        .to_vec()
}

/// SPC-4 7.5.8.
fn control(state: &ModeState) -> Vec<u8> {
    Block::<12>::new()
        .byte::<0>(0x0a)
        .byte::<1>(0x0a)
        .bit::<2, 2>(state.d_sense)
        .bit::<2, 1>(true) // GLTSD: no log pages are saved.
        .bits::<3, 7, 4>(1) // QUEUE ALGORITHM MODIFIER: unrestricted reordering.
        .bits::<4, 5, 4>(state.ua_interlock as u8)
        .bit::<5, 6>(state.tas)
        .be16::<8>(0xffff) // BUSY TIMEOUT PERIOD: unlimited.
        .be16::<10>(30) // EXTENDED SELF-TEST COMPLETION TIME in seconds.
        .done()
        .to_vec()
}

/// SPC-4 7.5.11.
fn informational_exceptions(_: &ModeState) -> Vec<u8> {
    Block::<12>::new().byte::<0>(0x1c).byte::<1>(0x0a).done().to_vec()
}
