// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The answer to REPORT IDENTIFYING INFORMATION.  SPC-4.
//!
//! Above: `target`, which knows the text.
//! Below: `field`.
//! Never here: setting it; the administrator does.

use crate::cdb::primary::{IdentifyingInformation, ReportIdentifyingInformation};
use crate::field::Block;

/// The longest text with the NUL at its end, in bytes.  SPC-4, peripheral device text identifying information.
const TEXT_BYTES_MAX: u16 = 256;

/// Lays the answer out; the caller cuts it to the allocation length.  A text that there is none of has no NUL either.
#[must_use]
pub fn build(command: &ReportIdentifyingInformation, text: &str) -> Vec<u8> {
    match command.kind {
        IdentifyingInformation::Text => {
            let text = text.as_bytes().get(..usize::from(TEXT_BYTES_MAX) - 1).unwrap_or(text.as_bytes());
            let end = if text.is_empty() { &[][..] } else { &[0] };
            answer(&[text, end].concat())
        }
        IdentifyingInformation::Supported => {
            // INFORMATION TYPE 0000010b, MAXIMUM INFORMATION LENGTH.
            answer(&Block::<4>::new().bits::<0, 7, 1>(0x02).be16::<2>(TEXT_BYTES_MAX).done())
        }
    }
}

fn answer(information: &[u8]) -> Vec<u8> {
    let bytes = u16::try_from(information.len()).unwrap_or(u16::MAX);
    let mut answer = Block::<4>::new().be16::<2>(bytes).done().to_vec();
    answer.extend(information);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: IdentifyingInformation, text: &str) -> Vec<u8> {
        build(&ReportIdentifyingInformation { kind, allocation_bytes: 0 }, text)
    }

    #[test]
    fn a_text_ends_with_a_nul_and_none_is_empty() {
        let text = |text| ask(IdentifyingInformation::Text, text);
        assert_eq!(text("ab c"), [0, 0, 0, 5, b'a', b'b', b' ', b'c', 0]);
        assert_eq!(text(""), [0, 0, 0, 0]);
        let longest = "x".repeat(255);
        assert_eq!((text(&longest).len(), &text(&longest)[..4]), (260, &[0, 0, 1, 0][..]));
        assert_eq!(text(&format!("{longest}y")), text(&longest));
    }

    #[test]
    fn the_only_type_is_the_text_of_256_bytes() {
        let supported = ask(IdentifyingInformation::Supported, "x");
        assert_eq!(supported, [0, 0, 0, 4, /* type 2 */ 0x04, 0, 1, 0]);
    }
}
