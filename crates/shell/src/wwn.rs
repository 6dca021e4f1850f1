// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The spellings of a target's name.
//!
//! Above: `create` and `delete` of targets, `lunar qemu`, `lunar libvirt`.  Below: nothing.
//! Never here: making one up; that is the daemon's.

use crate::failure::Failure;

/// `naa.` and sixteen hexadecimal digits in lower case, from the spellings that rtslib takes: with or without
/// `naa.` or `0x`, with dashes or colons between the digits, in any case.
///
/// # Errors
/// The NAA field must be 1, 2, 5 or c to f, as rtslib has it; libvirt takes all of these.
pub fn normalize(text: &str) -> Result<String, Failure> {
    let lower = text.trim().to_lowercase();
    let digits: String = match lower.strip_prefix("naa.") {
        Some(digits) => digits.to_owned(),
        None => lower.strip_prefix("0x").unwrap_or(&lower).to_owned(),
    };
    let digits: String = digits.chars().filter(|digit| !matches!(digit, '-' | ':')).collect();
    let known = digits.starts_with(['1', '2', '5', 'c', 'd', 'e', 'f']);
    if digits.len() != 16 || !known || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::new("WWN not valid as: naa")
            .hint(format!("{text} should be naa. and 16 hexadecimal digits, such as naa.5001405000000001")));
    }
    Ok(format!("naa.{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_rtslib_is_one_name() {
        for text in [
            "naa.500140568720f76f",
            "500140568720f76f",
            "0x500140568720f76f",
            "50:01:40:56:87:20:f7:6f",
            "5001-4056-8720-f76f",
            "NAA.500140568720F76F",
            " naa.500140568720f76f ",
        ] {
            assert_eq!(normalize(text).expect(text), "naa.500140568720f76f");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "bogus.123",
            "naa.0x500140568720f76f",
            "naa.500140568720f76",
            "naa.500140568720f76f0",
            "naa.600140568720f76f",
            "naa.300140568720f76f",
            "naa.50014056b3a18e4c58f61c4ed5f0f7aa",
            "iqn.2003-01.org.linux-iscsi.host:sn.1",
            "eui.001405aabbccddee",
            "naa.500140568720f76g",
        ] {
            assert_eq!(normalize(text).expect_err(text).message, "WWN not valid as: naa");
        }
    }
}
