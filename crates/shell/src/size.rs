// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sizes as they are typed and as they are shown.
//!
//! Above: the commands, the tree.  Below: nothing.
//! Never here: rounding to blocks or pages; that is the daemon's.

use crate::failure::{Failure, codes};

/// Bytes for `16M`, `16MiB`, `16mb` or `16777216`: a whole number, one of k m g t, and `i` and `b` as one likes.
///
/// # Errors
/// Says which text it is when it has another form or does not fit 64 bits.
pub fn parse(text: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::new(format!("Cannot interpret size, wrong format: {text}"))
            .hint("a size is a whole number and k, m, g or t, such as 14G")
            .code(codes::SYNTAX)
    };
    let plain: String = text.to_lowercase().chars().filter(|&letter| letter != 'i').collect();
    let plain = plain.strip_suffix('b').unwrap_or(&plain);
    let (digits, shift) = match plain.char_indices().next_back() {
        Some((at, 'k')) => (&plain[..at], 10),
        Some((at, 'm')) => (&plain[..at], 20),
        Some((at, 'g')) => (&plain[..at], 30),
        Some((at, 't')) => (&plain[..at], 40),
        _ => (plain, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: Option<u64> = digits.parse().ok();
    // Digits alone that are no number are too many.
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| wrong().hint(format!("{text} is too large: no size has more than 64 bits")))
}

/// `16.0MiB`, or `512 bytes` below one KiB.
#[must_use]
pub fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (bytes.ilog2() / 10).clamp(1, 6);
    // Above 53 bits the last digits are lost; one digit after the point does not show it.
    let value = bytes as f64 / (1_u64 << (10 * power)) as f64;
    let unit = usize::try_from(power - 1).ok().and_then(|at| units.get(at)).copied().unwrap_or("EiB");
    format!("{value:.1}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_with_optional_i_and_b() {
        for (text, bytes) in [
            ("10", 10),
            ("10b", 10),
            ("10k", 10_240),
            ("10K", 10_240),
            ("16M", 16_777_216),
            ("16MiB", 16_777_216),
            ("16mb", 16_777_216),
            ("14G", 15_032_385_536),
            ("1t", 1_099_511_627_776),
            ("0", 0),
        ] {
            assert_eq!(parse(text).ok(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn other_sizes_are_refused_by_name() {
        for text in [
            "",
            "M",
            "1.5G",
            "-1",
            "+1",
            "1 M",
            "12X",
            "1MM",
            "1bb",
            "99999999999999999999",
            "16777216T",
            "１M",
        ] {
            let failure = parse(text).expect_err(text);
            assert_eq!(failure.message, format!("Cannot interpret size, wrong format: {text}"));
            let is_large = failure.hint.is_some_and(|hint| hint.contains("too large"));
            assert_eq!(is_large, ["99999999999999999999", "16777216T"].contains(&text), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_with_one_digit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0KiB"),
            (1536, "1.5KiB"),
            (67_108_864, "64.0MiB"),
            (15_032_385_536, "14.0GiB"),
            (1 << 40, "1.0TiB"),
            (u64::MAX, "16.0EiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
