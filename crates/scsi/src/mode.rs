// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a unit behaves: the mode pages.  SPC-4 and SBC-3, mode parameters.
//!
//! Above: `target`, which knows the state.
//! Below: `field`.
//! Never here: a change; `select` reads what is asked for, and `target` makes it so.
//!
//! To add a page: write its builder, and a row in `PAGES`.

mod select; // MODE SELECT

pub use select::{LIST_BYTES_MAX, Selection, select};

use crate::cdb::primary::{ModeSense, PageControl};
use crate::field::Block;
use crate::{BlockCount, Sense};

/// PAGE CODE for all pages, SUBPAGE CODE for all subpages.
const ALL_PAGES: u8 = 0x3f;
const ALL_SUBPAGES: u8 = 0xff;
/// The pages of which something can be changed.
const CACHING: u8 = 0x08;
const CONTROL: u8 = 0x0a;

/// What the pages and their header are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeState {
    /// The number of blocks of the unit.
    pub blocks: BlockCount,
    /// The length of a block in bytes.
    pub block_bytes: u32,
    /// WCE: a write may be answered from a volatile cache.
    pub write_cache: bool,
    /// DRA: nothing is read ahead.
    pub no_read_ahead: bool,
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
    /// THRESHOLD COUNT of the soft threshold of the space below, where its crossing is told.
    pub soft_threshold: Option<u32>,
    /// The other values of what can be changed; `None` for a unit on which nothing can.
    pub stored: Option<Stored>,
}

/// What MODE SELECT can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of that name of `ModeState`")]
pub struct Modes {
    pub write_cache: bool,
    pub no_read_ahead: bool,
    pub d_sense: bool,
    pub tas: bool,
    pub ua_interlock: UaInterlock,
}

/// Values that are not in force, but may come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Those that the administrator set.
    pub default: Modes,
    /// Those of a unit that was reset.
    pub saved: Modes,
    /// Whether WCE can be changed: a medium without a cache cannot be given one.
    pub write_cache_changes: bool,
}

impl ModeState {
    /// What is in force of what can be changed.
    #[must_use]
    pub fn modes(&self) -> Modes {
        let Self { write_cache, no_read_ahead, d_sense, tas, ua_interlock, .. } = *self;
        Modes { write_cache, no_read_ahead, d_sense, tas, ua_interlock }
    }

    /// The same with other values in force.
    #[must_use]
    pub fn with(&self, modes: &Modes) -> Self {
        let Modes { write_cache, no_read_ahead, d_sense, tas, ua_interlock } = *modes;
        Self { write_cache, no_read_ahead, d_sense, tas, ua_interlock, ..*self }
    }
}

/// UA_INTLCK_CTRL of the Control mode page.  SPC-4.
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

/// A page or subpage: its codes, whether the unit has it, and all of its bytes with the values in force.
struct Page {
    code: u8,
    subpage: u8,
    exists: fn(&ModeState) -> bool,
    bytes: fn(&ModeState) -> Vec<u8>,
}

impl Page {
    const fn new(code: u8, bytes: fn(&ModeState) -> Vec<u8>) -> Self {
        Self { code, subpage: 0, exists: |_| true, bytes }
    }

    /// The bytes before what a page is about: SPC-4, mode page and subpage format.
    const fn header_bytes(&self) -> usize {
        if self.subpage == 0 { 2 } else { 4 }
    }
}

/// Every page that there is, in the order in which page 3Fh must list them.
const PAGES: &[Page] = &[
    Page::new(0x01, error_recovery),
    Page::new(0x08, caching),
    Page::new(0x0a, control),
    Page::new(0x1c, informational_exceptions),
    Page { code: 0x1c, subpage: 0x02, exists: has_threshold, bytes: logical_block_provisioning },
];

/// Returns the whole answer to MODE SENSE (6) or (10); the caller cuts it to the allocation length, which
/// leaves the length field true.
///
/// # Errors
///
/// INVALID FIELD IN CDB for a page or subpage that is not there, SAVING PARAMETERS NOT SUPPORTED where saved
/// values are asked for (SPC-4, MODE SENSE (6), saved values).
pub fn sense(command: &ModeSense, state: &ModeState) -> Result<Vec<u8>, Sense> {
    if command.control == PageControl::Saved && state.stored.is_none() {
        return Err(Sense::SAVING_PARAMETERS_NOT_SUPPORTED);
    }
    // SPC-4, mode page codes: of all pages there are those without subpages and those with, and no other selection.
    if command.page == ALL_PAGES && !matches!(command.subpage, 0 | ALL_SUBPAGES) {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let pages: Vec<u8> = PAGES
        .iter()
        .filter(|page| command.page == ALL_PAGES || page.code == command.page)
        .filter(|page| command.subpage == ALL_SUBPAGES || page.subpage == command.subpage)
        .filter(|page| (page.exists)(state))
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
    let other = state.stored.as_ref().and_then(|stored| match control {
        PageControl::Default => Some(&stored.default),
        PageControl::Saved => Some(&stored.saved),
        PageControl::Current | PageControl::Changeable => None,
    });
    let mut bytes = (page.bytes)(&other.map_or(*state, |modes| state.with(modes)));
    if control == PageControl::Changeable {
        let mask = mask(page.code, bytes.len(), state);
        bytes.iter_mut().zip(mask).skip(page.header_bytes()).for_each(|(byte, mask)| *byte = mask);
    }
    if state.stored.is_some()
        && matches!(page.code, CACHING | CONTROL)
        && let Some(first) = bytes.first_mut()
    {
        *first |= 0x80; // PS: what is changed can be saved.
    }
    bytes
}

/// Which bits of a page MODE SELECT can change.
fn mask(code: u8, bytes: usize, state: &ModeState) -> Vec<u8> {
    let mut mask = vec![0; bytes];
    let Some(stored) = &state.stored else { return mask };
    let bits: &[(usize, u8)] = match code {
        CACHING if stored.write_cache_changes => &[(2, 0x04), (12, 0x20)],
        CACHING => &[(12, 0x20)],
        CONTROL => &[(2, 0x04), (4, 0x30), (5, 0x40)],
        _ => &[],
    };
    for &(at, bits) in bits {
        if let Some(byte) = mask.get_mut(at) {
            *byte = bits;
        }
    }
    mask
}

/// SPC-4, mode parameter header (6).
fn header_6(descriptor: &[u8], pages: &[u8], state: &ModeState) -> Vec<u8> {
    let behind_length = 3 + descriptor.len() + pages.len();
    Block::<4>::new()
        .byte::<0>(u8::try_from(behind_length).unwrap_or(u8::MAX))
        .byte::<2>(device_specific(state))
        .byte::<3>(u8::try_from(descriptor.len()).unwrap_or(u8::MAX))
        .done()
        .to_vec()
}

/// SPC-4, mode parameter header (10).
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

/// SBC-3, DEVICE-SPECIFIC PARAMETER field.
fn device_specific(state: &ModeState) -> u8 {
    let [byte] = Block::<1>::new().bit::<0, 7>(state.write_protected).bit::<0, 4>(state.dpofua).done();
    byte
}

/// SBC-3, mode parameter block descriptors: the short descriptor, or the long one where it is welcome and the short one would not do.
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

/// SBC-3, Read-Write Error Recovery.
fn error_recovery(state: &ModeState) -> Vec<u8> {
    // LBPERE: the crossing of a threshold is told.
    Block::<12>::new().byte::<0>(0x01).byte::<1>(0x0a).bit::<7, 7>(has_threshold(state)).done().to_vec()
}

/// SBC-3, Caching.
fn caching(state: &ModeState) -> Vec<u8> {
    Block::<20>::new()
        .byte::<0>(0x08)
        .byte::<1>(0x12)
        .bit::<2, 2>(state.write_cache) // WCE; RCD = 0.
        .bit::<12, 5>(state.no_read_ahead) // DRA
        .done()
        .to_vec()
}

/// SPC-4, Control.
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

/// SPC-4, Informational Exceptions Control.
fn informational_exceptions(_: &ModeState) -> Vec<u8> {
    Block::<12>::new().byte::<0>(0x1c).byte::<1>(0x0a).done().to_vec()
}

fn has_threshold(state: &ModeState) -> bool {
    state.soft_threshold.is_some()
}

/// SBC-3, Logical Block Provisioning: one soft threshold, told when what is available falls to it, to everyone (SITUA = 0).
fn logical_block_provisioning(state: &ModeState) -> Vec<u8> {
    const AVAILABLE: u8 = 0x01;
    Block::<24>::new()
        .byte::<0>(0x1c)
        .bit::<0, 6>(true) // SPF
        .byte::<1>(0x02)
        .be16::<2>(20)
        .bit::<16, 7>(true) // ENABLED; THRESHOLD TYPE = 0, soft; THRESHOLD ARMING = 0, when it decreases.
        .byte::<17>(AVAILABLE)
        .be32::<20>(state.soft_threshold.unwrap_or_default())
        .done()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: ModeState = ModeState {
        blocks: BlockCount(0x0001_0000),
        block_bytes: 512,
        write_cache: true,
        no_read_ahead: true,
        dpofua: true,
        write_protected: false,
        d_sense: false,
        tas: true,
        ua_interlock: UaInterlock::Clear,
        soft_threshold: None,
        stored: None,
    };

    #[test]
    fn all_pages_come_with_all_subpages_or_with_none() {
        let thin = ModeState { soft_threshold: Some(1), ..STATE };
        let length = |subpage| sense(&ModeSense { subpage, ..ask(0x3f) }, &thin).map(|answer| answer.len());
        assert_eq!((length(0x00), length(0xff)), (Ok(4 + 56), Ok(4 + 56 + 24)));
        for subpage in [0x01, 0x02, 0xfe] {
            assert_eq!(length(subpage), Err(Sense::INVALID_FIELD_IN_CDB), "{subpage:02x}");
        }
        // One page has the subpage that it has.
        assert!(sense(&ModeSense { subpage: 0x02, ..ask(0x1c) }, &thin).is_ok());
    }

    fn ask(page: u8) -> ModeSense {
        ModeSense {
            long_header: false,
            disable_block_descriptors: true,
            long_lba_accepted: false,
            control: PageControl::Current,
            page,
            subpage: 0,
            allocation_bytes: 0xfc,
        }
    }

    /// Returns a page of a unit in `state`, behind a header of four bytes.
    fn page(code: u8, state: ModeState) -> Vec<u8> {
        let answer = sense(&ask(code), &state).expect("the page is there");
        assert_eq!(usize::from(answer[0]), answer.len() - 1);
        answer[4..].to_vec()
    }

    #[test]
    fn linux_prints_43_00_10_08() {
        let command = ModeSense { disable_block_descriptors: false, ..ask(0x3f) };
        let answer = sense(&command, &STATE).expect("all pages");
        assert_eq!(answer[..12], [0x43, 0x00, 0x10, 0x08, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00]);
        assert_eq!(answer.len(), 68);
    }

    #[test]
    fn the_write_cache_is_bit_2_of_the_caching_page() {
        let on = [0x08, 0x12, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(page(0x08, STATE), on);
        let off = [0x08, 0x12, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(page(0x08, ModeState { write_cache: false, ..STATE }), off);
    }

    #[test]
    fn the_header_says_read_only_and_dpofua() {
        let device_specific = |state| sense(&ask(0x08), &state).expect("the page is there")[2];
        assert_eq!(device_specific(STATE), 0x10);
        assert_eq!(device_specific(ModeState { write_protected: true, ..STATE }), 0x90);
        assert_eq!(device_specific(ModeState { write_protected: true, dpofua: false, ..STATE }), 0x80);
        let long = ModeSense { long_header: true, ..ask(0x08) };
        let answer = sense(&long, &ModeState { write_protected: true, ..STATE }).expect("the page is there");
        assert_eq!(answer[..8], [0x00, 0x1a, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00]);
    }

    #[test]
    fn the_control_page_follows_the_attributes() {
        let control = |state| page(0x0a, state)[2..6].to_vec();
        assert_eq!(control(STATE), [0x02, 0x10, 0x00, 0x40]);
        assert_eq!(control(ModeState { d_sense: true, ..STATE }), [0x06, 0x10, 0x00, 0x40]);
        assert_eq!(control(ModeState { tas: false, ..STATE }), [0x02, 0x10, 0x00, 0x00]);
        let interlock = |ua_interlock| control(ModeState { ua_interlock, ..STATE });
        assert_eq!(interlock(UaInterlock::Keep), [0x02, 0x10, 0x20, 0x40]);
        assert_eq!(interlock(UaInterlock::KeepAndEstablish), [0x02, 0x10, 0x30, 0x40]);
    }

    #[test]
    fn a_soft_threshold_has_a_page_and_switches_its_report_on() {
        let state = ModeState { soft_threshold: Some(0x0102_0304), ..STATE };
        let subpage = |page, subpage| sense(&ModeSense { subpage, ..ask(page) }, &state);
        #[rustfmt::skip]
        let expected = [
            0x5c, 0x02, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x01, 0, 0, 0x01, 0x02, 0x03, 0x04,
        ];
        assert_eq!(subpage(0x1c, 0x02).unwrap()[4..], expected);
        assert_eq!(subpage(0x1c, 0x00).unwrap().len(), 4 + 12);
        assert_eq!(subpage(0x1c, 0xff).unwrap().len(), 4 + 12 + 24);
        assert_eq!(subpage(0x3f, 0x00).unwrap().len(), 4 + 56);
        assert_eq!(subpage(0x3f, 0xff).unwrap().len(), 4 + 56 + 24);
        assert_eq!(page(0x01, state), [0x01, 0x0a, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0]);
        let without = sense(&ModeSense { subpage: 0x02, ..ask(0x1c) }, &STATE);
        assert_eq!(without, Err(Sense::INVALID_FIELD_IN_CDB));
        let changeable = ModeSense { subpage: 0x02, control: PageControl::Changeable, ..ask(0x1c) };
        let mask = sense(&changeable, &state).unwrap();
        assert_eq!((&mask[4..8], mask[8..].iter().max()), (&[0x5c, 0x02, 0, 20][..], Some(&0)));
    }

    #[test]
    fn nothing_can_be_changed() {
        let command = ModeSense { control: PageControl::Changeable, ..ask(0x0a) };
        let answer = sense(&command, &STATE).expect("the page is there");
        assert_eq!(answer, [0x0f, 0x00, 0x10, 0x00, 0x0a, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_page_that_is_not_there_is_refused() {
        for code in (0..0x3f).filter(|code| ![0x01, 0x08, 0x0a, 0x1c].contains(code)) {
            assert_eq!(sense(&ask(code), &STATE), Err(Sense::INVALID_FIELD_IN_CDB), "{code:02x}");
        }
        assert_eq!(sense(&ModeSense { subpage: 1, ..ask(0x3f) }, &STATE), Err(Sense::INVALID_FIELD_IN_CDB));
    }

    #[test]
    fn a_long_block_descriptor_comes_only_where_it_is_welcome_and_needed() {
        let bytes = |blocks, long_header, long_lba_accepted| {
            let command =
                ModeSense { long_header, long_lba_accepted, disable_block_descriptors: false, ..ask(0x08) };
            let answer = sense(&command, &ModeState { blocks: BlockCount(blocks), ..STATE });
            answer.expect("the page is there").len() - 20
        };
        assert_eq!(bytes(0xffff_ffff, true, true), 8 + 8);
        assert_eq!(bytes(0x1_0000_0000, true, false), 8 + 8);
        assert_eq!(bytes(0x1_0000_0000, true, true), 8 + 16);
    }

    #[test]
    fn current_changeable_default_and_saved_values_are_told_apart() {
        let modes = Modes { write_cache: false, d_sense: true, ..STATE.modes() };
        let saved = Modes { tas: false, ..modes };
        let stored = Stored { default: modes, saved, write_cache_changes: true };
        let state = ModeState { stored: Some(stored), ..STATE };
        let page = |page, control| sense(&ModeSense { control, ..ask(page) }, &state).unwrap()[4..].to_vec();
        let caching = |control| (page(0x08, control)[0], page(0x08, control)[2], page(0x08, control)[12]);
        assert_eq!(caching(PageControl::Current), (0x88, 0x04, 0x20));
        assert_eq!(caching(PageControl::Changeable), (0x88, 0x04, 0x20));
        assert_eq!(caching(PageControl::Default), (0x88, 0x00, 0x20));
        let control = |control| page(0x0a, control)[2..6].to_vec();
        assert_eq!(control(PageControl::Current), [0x02, 0x10, 0x00, 0x40]);
        assert_eq!(control(PageControl::Changeable), [0x04, 0x00, 0x30, 0x40]);
        assert_eq!(control(PageControl::Default), [0x06, 0x10, 0x00, 0x40]);
        assert_eq!(control(PageControl::Saved), [0x06, 0x10, 0x00, 0x00]);
        assert_eq!(page(0x01, PageControl::Changeable), [0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
