// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What MODE SELECT asks for.  SPC-4, mode parameter list.
//!
//! Above: `target`, which puts it in force.
//! Below: the pages as MODE SENSE has them.
//! Never here: what follows from a change.

use super::{ModeState, Modes, PAGES, UaInterlock, mask};
use crate::Sense;
use crate::cdb::primary::ModeSelect;

/// The longest parameter list: the pages that there are fit many times.
pub const LIST_BYTES_MAX: u16 = 4096;

/// What a parameter list asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What would be in force of a unit of which nobody changes anything else.
    pub modes: Modes,
    /// Whether the list has a Caching page, so that what `modes` has of it was sent.
    pub caching: bool,
    /// Whether it has a Control page.
    pub control: bool,
}

/// Reads a parameter list; returns what is to be in force from now on.  All of it is, or nothing.
///
/// # Errors
/// PARAMETER LIST LENGTH ERROR where it ends within something, INVALID FIELD IN PARAMETER LIST for a page that is not
/// there or has another length, a block descriptor that would make it another disk, and a bit that cannot be changed.
pub fn select(command: &ModeSelect, list: &[u8], state: &ModeState) -> Result<Selection, Sense> {
    let mut rest = behind_descriptors(command, list, state)?;
    let mut wanted = Selection { modes: state.modes(), caching: false, control: false };
    while let [first, second, ..] = *rest {
        let code = first & 0x3f;
        // SPC-4, mode page and subpage format, by SPF.
        let (subpage, bytes) = if first & 0x40 == 0 {
            (0, usize::from(second) + 2)
        } else {
            let [_, _, high, low, ..] = *rest else { return Err(Sense::PARAMETER_LIST_LENGTH_ERROR) };
            (second, usize::from(u16::from_be_bytes([high, low])) + 4)
        };
        let page = PAGES.iter().find(|page| (page.code, page.subpage) == (code, subpage));
        let page = page.filter(|page| (page.exists)(state) && (first & 0x40 != 0) == (page.subpage != 0));
        let page = page.ok_or(Sense::INVALID_FIELD_IN_PARAMETER_LIST)?;
        let current = (page.bytes)(&state.with(&wanted.modes));
        if bytes != current.len() {
            return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
        }
        let (asked, behind) = rest.split_at_checked(bytes).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
        let mask = mask(code, bytes, state);
        let changes = asked.iter().zip(&current).zip(&mask).skip(page.header_bytes());
        for ((asked, current), mask) in changes {
            if (asked ^ current) & !mask != 0 {
                return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
            }
        }
        take(code, asked, &mut wanted)?;
        rest = behind;
    }
    if rest.is_empty() { Ok(wanted) } else { Err(Sense::PARAMETER_LIST_LENGTH_ERROR) }
}

/// What follows the header and the block descriptor, which may only say what is so.
fn behind_descriptors<'a>(
    command: &ModeSelect,
    list: &'a [u8],
    state: &ModeState,
) -> Result<&'a [u8], Sense> {
    let (header, descriptors, long) = match (command.long_header, list) {
        (false, [_, _, _, length, ..]) => (4, usize::from(*length), false),
        (true, [_, _, _, _, flags, _, high, low, ..]) => {
            (8, usize::from(u16::from_be_bytes([*high, *low])), flags & 1 != 0)
        }
        _ => return Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
    };
    let rest = list.get(header..).unwrap_or_default();
    let (descriptor, rest) = rest.split_at_checked(descriptors).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    let (blocks, block_bytes, all) = match (descriptor, long) {
        ([], _) => return Ok(rest),
        ([a, b, c, d, _, e, f, g], false) => {
            let blocks = u64::from(u32::from_be_bytes([*a, *b, *c, *d]));
            (blocks, u32::from_be_bytes([0, *e, *f, *g]), u64::from(u32::MAX))
        }
        ([a, b, c, d, e, f, g, h, _, _, _, _, i, j, k, l], true) => {
            let blocks = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (blocks, u32::from_be_bytes([*i, *j, *k, *l]), u64::MAX)
        }
        _ => return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST),
    };
    // SBC-3, mode parameter block descriptors: 0 leaves the number as it is, and all ones mean all there are.
    let same = blocks == 0 || blocks == all || blocks == state.blocks.0.min(all);
    if same && (block_bytes == 0 || block_bytes == state.block_bytes) {
        Ok(rest)
    } else {
        Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST)
    }
}

/// Takes the values of a page.
fn take(code: u8, page: &[u8], wanted: &mut Selection) -> Result<(), Sense> {
    let modes = &mut wanted.modes;
    let byte = |at: usize| page.get(at).copied().unwrap_or_default();
    match code {
        0x08 => {
            modes.write_cache = byte(2) & 0x04 != 0;
            modes.no_read_ahead = byte(12) & 0x20 != 0;
            wanted.caching = true;
        }
        0x0a => {
            modes.d_sense = byte(2) & 0x04 != 0;
            modes.tas = byte(5) & 0x40 != 0;
            modes.ua_interlock = match byte(4) >> 4 & 0b11 {
                0b00 => UaInterlock::Clear,
                0b10 => UaInterlock::Keep,
                0b11 => UaInterlock::KeepAndEstablish,
                _ => return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST),
            };
            wanted.control = true;
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlockCount;
    use crate::mode::Stored;

    const MODES: Modes = Modes {
        write_cache: true,
        no_read_ahead: true,
        d_sense: false,
        tas: true,
        ua_interlock: UaInterlock::Clear,
    };
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
        stored: Some(Stored { default: MODES, saved: MODES, write_cache_changes: true }),
    };
    const SIX: ModeSelect =
        ModeSelect { long_header: false, page_format: true, save: false, list_bytes: 255 };
    const CACHING: [u8; 20] = [0x88, 0x12, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0];
    const CONTROL: [u8; 12] = [0x8a, 0x0a, 0x02, 0x10, 0, 0x40, 0, 0, 0xff, 0xff, 0, 30];

    fn with(header: &[u8], pages: &[&[u8]]) -> Vec<u8> {
        [&[header], pages].concat().concat()
    }

    fn selected(pages: &[&[u8]]) -> Result<Modes, Sense> {
        select(&SIX, &with(&[0, 0, 0, 0], pages), &STATE).map(|selection| selection.modes)
    }

    #[test]
    fn of_the_pages_with_something_to_change_it_is_known_which_were_sent() {
        let sent = |pages: &[&[u8]]| {
            let selection = select(&SIX, &with(&[0, 0, 0, 0], pages), &STATE).unwrap();
            (selection.caching, selection.control)
        };
        let error_recovery = [0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(sent(&[&CACHING]), (true, false));
        assert_eq!(sent(&[&CONTROL]), (false, true));
        assert_eq!(sent(&[&CONTROL, &error_recovery, &CACHING]), (true, true));
        assert_eq!(sent(&[&error_recovery]), (false, false));
    }

    #[test]
    fn what_may_be_changed_is_taken_from_every_page() {
        let (mut caching, mut control) = (CACHING, CONTROL);
        (caching[2], caching[12]) = (0, 0);
        (control[2], control[4], control[5]) = (0x06, 0x30, 0);
        let expected = Modes {
            write_cache: false,
            no_read_ahead: false,
            d_sense: true,
            tas: false,
            ua_interlock: UaInterlock::KeepAndEstablish,
        };
        assert_eq!(selected(&[&caching, &control]), Ok(expected));
        assert_eq!(selected(&[&CACHING, &CONTROL]), Ok(MODES));
        assert_eq!(selected(&[]), Ok(MODES));
    }

    #[test]
    fn a_bit_that_cannot_be_changed_is_refused_with_all_the_rest() {
        for at in (2..20).filter(|at| ![2, 12].contains(at)) {
            let mut caching = CACHING;
            caching[at] ^= 1;
            assert_eq!(selected(&[&caching]), Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST), "byte {at}");
        }
        let mut reserved = CONTROL;
        reserved[4] = 0x10;
        assert_eq!(selected(&[&reserved]), Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST));
        let fixed = Stored { write_cache_changes: false, default: MODES, saved: MODES };
        let state = ModeState { stored: Some(fixed), ..STATE };
        let mut off = CACHING;
        off[2] = 0;
        let list = with(&[0, 0, 0, 0], &[&off]);
        assert_eq!(select(&SIX, &list, &state), Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST));
    }

    #[test]
    fn a_list_that_ends_within_something_has_the_wrong_length() {
        assert_eq!(select(&SIX, &[0, 0, 0], &STATE), Err(Sense::PARAMETER_LIST_LENGTH_ERROR));
        assert_eq!(selected(&[&CACHING[..19]]), Err(Sense::PARAMETER_LIST_LENGTH_ERROR));
        assert_eq!(selected(&[&CACHING, &[0x0a]]), Err(Sense::PARAMETER_LIST_LENGTH_ERROR));
        let list = with(&[0, 0, 0, 8], &[&[0; 7]]);
        assert_eq!(select(&SIX, &list, &STATE), Err(Sense::PARAMETER_LIST_LENGTH_ERROR));
    }

    #[test]
    fn pages_that_are_not_there_or_have_another_length_are_refused() {
        let mut longer = [0; 21];
        longer[..20].copy_from_slice(&CACHING);
        longer[1] = 0x13;
        for page in
            [&[0x3f, 0x00][..], &[0x1a, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &longer, &[0x48, 0x01, 0, 0]]
        {
            assert_eq!(selected(&[page]), Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST), "{page:02x?}");
        }
    }

    #[test]
    fn a_block_descriptor_may_say_what_is_so_and_nothing_else() {
        let short = |blocks: [u8; 4], bytes: [u8; 3]| {
            let [a, b, c] = bytes;
            let list = with(&[0, 0, 0, 8], &[&blocks, &[0, a, b, c], &CACHING]);
            select(&SIX, &list, &STATE).map(|selection| selection.modes)
        };
        for blocks in [[0, 1, 0, 0], [0; 4], [0xff; 4]] {
            assert_eq!(short(blocks, [0, 2, 0]), Ok(MODES));
        }
        assert_eq!(short([0, 0, 1, 0], [0, 2, 0]), Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST));
        assert_eq!(short([0, 1, 0, 0], [0, 16, 0]), Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST));
        let ten = ModeSelect { long_header: true, ..SIX };
        let long =
            with(&[0, 0, 0, 0, 1, 0, 0, 16], &[&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0], &CACHING]);
        assert_eq!(select(&ten, &long, &STATE).map(|selection| selection.modes), Ok(MODES));
    }
}
