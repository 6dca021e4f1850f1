// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The keys of the picker, as a terminal sends them.
//!
//! Above: `picker`.  Below: bytes of a terminal in raw mode.
//! Never here: reading, waiting, or a key that the picker has no use for.
//!
//! Of crossterm only what draws is used: its reader asks a terminal that has gone again and again, for ever.

use super::{Move, Step};

/// Where in a key the bytes so far end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Between two keys.
    #[default]
    Start,
    /// After ESC, which is a key of its own where nothing follows.
    Escape,
    /// After ESC O: one more byte is to come.
    Single,
    /// After ESC [ and perhaps parameters.
    Control {
        /// The first parameter so far; what is no number that a key has is 255.
        first: u8,
        /// Whether that is over.
        is_over: bool,
    },
    /// After ESC [ [, with which the console of Linux has function keys: one more byte is to come.
    Function,
}

/// Puts the bytes of a key together.
#[derive(Debug, Default)]
pub(super) struct Keys {
    at: At,
}

impl Keys {
    /// Whether more bytes of a key are to come, or may be.
    pub(super) fn is_within(&self) -> bool {
        self.at != At::Start
    }

    /// Takes one more byte.  Returns what the key means that ends with it; nothing where none does, or none that means
    /// anything.
    pub(super) fn take(&mut self, byte: u8) -> Option<Step> {
        let (at, step) = match (self.at, byte) {
            (At::Escape, b'[') => (At::Control { first: 0, is_over: false }, None),
            (At::Escape, b'O') => (At::Single, None),
            (At::Escape, 0x1b) => (At::Start, Some(Step::Leave)),
            (At::Control { first: 0, is_over: false }, b'[') => (At::Function, None),
            (At::Control { first, is_over: false }, b'0'..=b'9') => {
                let first = first.saturating_mul(10).saturating_add(byte - b'0');
                (At::Control { first, is_over: false }, None)
            }
            (At::Control { first, .. }, 0x20..=0x3f) => (At::Control { first, is_over: true }, None),
            (At::Control { first, .. }, 0x40..=0x7e) => (At::Start, named(first, byte)),
            (At::Single, 0x20..=0x7e) => (At::Start, named(0, byte)),
            (At::Function, 0x20..=0x7e) => (At::Start, None),
            // A key with Alt is that key; what is no part of a sequence ends it.
            (_, 0x1b) => (At::Escape, None),
            _ => (At::Start, plain(byte)),
        };
        self.at = at;
        step
    }

    /// Nothing has followed for a while: what was begun is over.  Returns what it means.
    pub(super) fn end(&mut self) -> Option<Step> {
        (std::mem::take(&mut self.at) == At::Escape).then_some(Step::Leave)
    }
}

/// What a key of one byte means.
fn plain(byte: u8) -> Option<Step> {
    const CONTROL_C: u8 = 3;
    Some(match byte {
        CONTROL_C | b'q' => Step::Leave,
        b'\r' => Step::Choose,
        b'k' => Step::Move(Move::Up),
        b'j' => Step::Move(Move::Down),
        b' ' => Step::Move(Move::PageDown),
        b'g' => Step::Move(Move::First),
        b'G' => Step::Move(Move::Last),
        _ => return None,
    })
}

/// What a key means that ends with this byte, after this first parameter; Shift and the like are in the second.
fn named(first: u8, last: u8) -> Option<Step> {
    Some(Step::Move(match (last, first) {
        (b'A', _) => Move::Up,
        (b'B', _) => Move::Down,
        (b'H', _) | (b'~', 1 | 7) => Move::First,
        (b'F', _) | (b'~', 4 | 8) => Move::Last,
        (b'~', 5) => Move::PageUp,
        (b'~', 6) => Move::PageDown,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> (Vec<Step>, bool) {
        let mut keys = Keys::default();
        let steps = bytes.iter().filter_map(|byte| keys.take(*byte)).collect();
        (steps, keys.is_within())
    }

    #[test]
    fn each_key_is_known_however_a_terminal_writes_it() {
        for (bytes, step) in [
            (&b"\x1b[A\x1bOA\x1b[1;5Ak\x1bk"[..], Step::Move(Move::Up)),
            (b"\x1b[B\x1bOB\x1b[1;2Bj", Step::Move(Move::Down)),
            (b"\x1b[5~\x1b[5;3~", Step::Move(Move::PageUp)),
            (b"\x1b[6~ ", Step::Move(Move::PageDown)),
            (b"\x1b[H\x1bOH\x1b[1~\x1b[7~g", Step::Move(Move::First)),
            (b"\x1b[F\x1bOF\x1b[4~\x1b[8~G", Step::Move(Move::Last)),
            (b"\r", Step::Choose),
            (b"q\x03\x1b\x1b", Step::Leave),
        ] {
            let (steps, is_within) = typed(bytes);
            assert!(
                !is_within && !steps.is_empty() && steps.iter().all(|is| *is == step),
                "{bytes:?}: {steps:?}"
            );
        }
        assert_eq!(typed(b"\x1b[A\x1bOA\x1b[1;5Ak\x1bk").0.len(), 5);
    }

    #[test]
    fn keys_without_a_meaning_are_passed_over_whole() {
        for bytes in [
            &b"x\n\t\x1a\x7f\xc3\xbc"[..],
            b"\x1b[C\x1b[D\x1bOC\x1bOP\x1b[15~\x1b[2~\x1b[3~\x1b[60~\x1b[261~\x1b[99999999999~",
            b"\x1b[[A\x1b[?1;2c\x1b[1$q\x1bx",
        ] {
            assert_eq!(typed(bytes), (Vec::new(), false), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_part_of_a_sequence_ends_it_and_counts() {
        for bytes in [&b"\x1b[\x03"[..], b"\x1b[1;\x03", b"\x1bO\x03", b"\x1b[[\x03", b"\x1b\x03"] {
            assert_eq!(typed(bytes), (vec![Step::Leave], false), "{bytes:?}");
        }
        assert_eq!(typed(b"\x1b[\x1b[A"), (vec![Step::Move(Move::Up)], false));
    }

    #[test]
    fn an_escape_alone_leaves_and_an_unfinished_sequence_is_nothing() {
        for (bytes, step) in [
            (&b"\x1b"[..], Some(Step::Leave)),
            (b"\x1b[", None),
            (b"\x1b[5", None),
            (b"\x1bO", None),
            (b"\x1b[[", None),
            (b"", None),
        ] {
            let mut keys = Keys::default();
            assert!(bytes.iter().all(|byte| keys.take(*byte).is_none()), "{bytes:?}");
            assert_eq!((keys.is_within(), keys.end(), keys.is_within()), (!bytes.is_empty(), step, false));
        }
    }
}
