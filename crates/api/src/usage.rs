// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lines that say what is wrong: both programs say it alike, and repeat nothing without end.
//!
//! Above: `lunard`, `lunar`, `shell`.  Below: nothing.
//! Never here: what is wrong.

use std::borrow::Cow;

/// The most characters of a line that is said, and how many of them are its end where there are more: what was typed
/// stands in its middle.
const LINE_CHARACTERS_MAX: usize = 1024;
const END_CHARACTERS: usize = 255;

/// The most characters of a word of the command line that are repeated.
const WORD_CHARACTERS_MAX: usize = 255;

/// One line for what the parser of the command line (`clap`) says in several: its first paragraph, without `error: `, and
/// what it advises, if it does.  No word is endless, and none has control characters.
#[must_use]
pub fn one_line(said: &str) -> (String, Option<String>) {
    let mut paragraphs = said.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let message = fit(first.strip_prefix("error: ").unwrap_or(first));
    let tip = paragraphs.find_map(|paragraph| paragraph.trim_start().strip_prefix("tip: ")).map(fit);
    (message, tip)
}

/// The text, or both its ends where it is longer than some 1,000 characters.
#[must_use]
pub fn both_ends(text: &str) -> Cow<'_, str> {
    let count = text.chars().count();
    if count <= LINE_CHARACTERS_MAX {
        return Cow::Borrowed(text);
    }
    let head = text.chars().take(LINE_CHARACTERS_MAX - END_CHARACTERS);
    let end = text.chars().skip(count - END_CHARACTERS);
    Cow::Owned(head.chain(['…']).chain(end).collect())
}

/// The words with one space between them.
fn fit(text: &str) -> String {
    let word = |word: &str| {
        let mut shown: String = word.chars().take(WORD_CHARACTERS_MAX).collect();
        if word.chars().nth(WORD_CHARACTERS_MAX).is_some() {
            shown.push('…');
        }
        shown.replace(|letter: char| letter.is_control(), "?")
    };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_in_several_lines_is_one() {
        let said = "error: the following required arguments were not provided:\n  <WWN>...\n\nUsage: lunar qemu <WWN>...\n";
        let message = "the following required arguments were not provided: <WWN>...";
        assert_eq!(one_line(said), (message.to_owned(), None));
    }

    #[test]
    fn advice_is_kept() {
        let said = "error: unexpected argument '--dry' found\n\n  tip: a similar argument exists: '--dry-run'\n\nUsage: x\n";
        let (message, tip) = one_line(said);
        assert_eq!(message, "unexpected argument '--dry' found");
        assert_eq!(tip.as_deref(), Some("a similar argument exists: '--dry-run'"));
    }

    #[test]
    fn both_ends_of_what_is_too_long_are_left() {
        assert_eq!(both_ends(&"ä".repeat(1024)), "ä".repeat(1024));
        let cut = both_ends(&format!("No such path /{} at all", "ä".repeat(99_999))).into_owned();
        assert!(cut.starts_with("No such path /ää") && cut.ends_with("ää at all"), "{cut}");
        assert_eq!(cut.chars().count(), 1025);
    }

    #[test]
    fn a_word_is_not_endless() {
        let (message, _) =
            one_line(&format!("error: unexpected argument '{}' found", "x\u{1b}".repeat(9999)));
        assert_eq!(message.chars().count(), "unexpected argument ".len() + 256 + " found".len());
        assert!(message.ends_with("x?x?… found"), "{message}");
    }
}
