// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Numbers as the kernel reads them where something is written into one of its files.
//!
//! Above: every table of attributes, and the doors that take what LIO's tools write.  Below: nothing.
//! Never here: which numbers make sense.
//!
//! LIO reads with `kstrtou32` and its like, with base 0, and so does Lunar at every door: what one takes, all take.

/// The number that a text is to the kernel, in decimal, hexadecimal (`0x`) or octal (`0`).
///
/// As `kstrtoull` with base 0 has it: one `+` may be in front and one newline behind, and nothing else, no space either.
/// `None` where the text is none, or is 2^64 or more.
#[must_use]
pub fn kernel_number(text: &str) -> Option<u64> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    // `from_str_radix` would take a sign here.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// The same for what the kernel keeps in 32 bits (`kstrtou32`).
pub(crate) fn kernel_u32(text: &str) -> Option<u32> {
    kernel_number(text).and_then(|number| u32::try_from(number).ok())
}

/// The same for what the kernel keeps in 32 bits with a sign (`kstrtoint`).
pub(crate) fn kernel_i32(text: &str) -> Option<i32> {
    match text.strip_prefix('-') {
        // What has one sign takes no other.
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => {
            kernel_number(digits).and_then(|number| 0_i32.checked_sub_unsigned(u32::try_from(number).ok()?))
        }
        None => kernel_number(text).and_then(|number| i32::try_from(number).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_kernel_reads_them() {
        for (text, number) in [
            ("0", 0),
            ("1", 1),
            ("+1", 1),
            ("1\n", 1),
            ("+0x10\n", 16),
            ("0x10", 16),
            ("0XfF", 255),
            ("010", 8),
            ("00", 0),
            ("4294967296", 4_294_967_296),
            ("18446744073709551615", u64::MAX),
            ("0xffffffffffffffff", u64::MAX),
        ] {
            assert_eq!(kernel_number(text), Some(number), "{text:?}");
        }
    }

    #[test]
    fn numbers_below_zero_are_read_as_the_kernel_reads_them() {
        for (text, number) in [
            ("-1", -1),
            ("-1\n", -1),
            ("-0x2", -2),
            ("-010", -8),
            ("-0", 0),
            ("+3", 3),
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
        ] {
            assert_eq!(kernel_i32(text), Some(number), "{text:?}");
        }
        for text in
            ["", "-", "--1", "-+1", "+-1", "- 1", "2147483648", "-2147483649", "-18446744073709551615"]
        {
            assert_eq!(kernel_i32(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_the_kernel_answers_with_an_error_is_no_number() {
        for text in [
            "",
            "\n",
            "+",
            " 1",
            "1 ",
            "1 \n",
            "1\n\n",
            "\n1",
            "++1",
            "+-1",
            "-1",
            "-0",
            "1+",
            "0x",
            "0x+1",
            "0+1",
            "08",
            "0o7",
            "0b1",
            "x",
            "a",
            "1_0",
            "1.0",
            "18446744073709551616",
            "0x10000000000000000",
        ] {
            assert_eq!(kernel_number(text), None, "{text:?}");
        }
        assert_eq!((kernel_u32("4294967295"), kernel_u32("4294967296")), (Some(4_294_967_295), None));
    }
}
