// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What things are called.
//!
//! Above: every other file of this crate.  Below: nothing.
//! Never here: whether a name is taken; `apply` knows that.
//!
//! A value of these types has passed its rule; nobody checks it again.

use crate::Refusal;
use std::fmt;
use std::path::Path;

/// The name of a backstore, unique within its kind.
///
/// Printable ASCII without `/` and space: it is a directory of LIO's tree, a word of the shell, and (where
/// it fits, see [`BackstoreName::fits_product`]) the product identification that guests see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackstoreName(String);

impl BackstoreName {
    /// The longest name, in bytes: that of a directory.
    pub const BYTES_MAX: usize = 255;

    /// The longest name that `emulate_model_alias` shows to guests, in bytes.
    ///
    /// The field of INQUIRY (SPC-4, PRODUCT IDENTIFICATION) has 16; LIO keeps one for a terminator,
    /// and a disk that moves between the two must not change its name on the way.
    pub const PRODUCT_BYTES_MAX: usize = 15;

    /// Takes a name as typed.
    ///
    /// # Errors
    /// [`Refusal::NameCharacters`] or [`Refusal::NameLength`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return Err(Refusal::NameLength { name: shown(text) });
        }
        let has_separator = text.bytes().any(|byte| byte == b'/' || byte.is_ascii_whitespace());
        let what = match text {
            // targetcli's words.
            _ if has_separator => "contain /, newline or spaces/tabs",
            "." | ".." => "be . or ..",
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => "contain anything but printable ASCII",
            _ => return Ok(Self(text.to_owned())),
        };
        Err(Refusal::NameCharacters { name: shown(text), what })
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether guests can be shown this name as the product identification.
    #[must_use]
    pub fn fits_product(&self) -> bool {
        self.0.len() <= Self::PRODUCT_BYTES_MAX
    }
}

/// A world wide name: `naa.` and 16 lower-case hexadecimal digits, the first of them 1, 2 or 5.
///
/// libvirt's schema takes `naa.` and exactly 16 digits; targetcli stops starting up where it meets a first
/// digit other than these three.  Both have to live with our names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wwn(String);

impl Wwn {
    /// The length of every name, in bytes.
    pub const BYTES: usize = 20;
    /// How many of the digits are free in a name made up by us: 9 after `naa.5001405`.
    pub const MADE_UP_DIGITS: usize = 9;

    /// Takes a name as typed, with targetcli's leniency: surrounding space, upper case, a leading `0x`,
    /// `-` and `:` between digits, and a missing `naa.` are forgiven.
    ///
    /// # Errors
    /// [`Refusal::WwnInvalid`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let invalid = || Refusal::WwnInvalid { wwn: shown(text) };
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.strip_prefix("naa.").unwrap_or_else(|| lower.strip_prefix("0x").unwrap_or(&lower));
        let digits: String = digits.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if digits.len() != 16 || !hexadecimal || !digits.starts_with(['1', '2', '5']) {
            return Err(invalid());
        }
        Ok(Self(format!("naa.{digits}")))
    }

    /// A name of the kind that targetcli makes up: NAA 5 and the company id 001405h, then the lowest nine
    /// digits of `chance`.
    #[must_use]
    pub fn made_up(chance: u64) -> Self {
        Self(format!("naa.5001405{:09x}", chance & 0xf_ffff_ffff))
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A unit serial number: what VPD pages 80h and 83h say of a backstore.
///
/// Two backstores may share one: that is how two paths to one device become one disk in the guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitSerial(String);

impl UnitSerial {
    /// The longest serial number, in bytes: LIO's.
    pub const BYTES_MAX: usize = 253;

    /// Takes a serial number as typed: printable ASCII (SPC-4, Unit Serial Number page), without a space at either end.
    ///
    /// # Errors
    /// [`Refusal::UnitSerialInvalid`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let length = !text.is_empty() && text.len() <= Self::BYTES_MAX;
        let printable = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        if !length || !printable || text.trim() != text {
            return Err(Refusal::UnitSerialInvalid { serial: shown(text) });
        }
        Ok(Self(text.to_owned()))
    }

    /// The serial number itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a LUN's link in LIO's tree: ten hexadecimal digits where we or LIO's tools make it up, any
/// file name of printable ASCII where a person does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LunAlias(String);

impl LunAlias {
    /// The longest alias, in bytes: that of a file name.
    pub const BYTES_MAX: usize = 255;

    /// Takes an alias as typed or stored.
    ///
    /// # Errors
    /// [`Refusal::AliasInvalid`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let length = !text.is_empty() && text.len() <= Self::BYTES_MAX;
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if !length || !printable || text == "." || text == ".." {
            return Err(Refusal::AliasInvalid { alias: shown(text) });
        }
        Ok(Self(text.to_owned()))
    }

    /// The alias made of the lowest ten digits of `chance`.
    #[must_use]
    pub fn made_up(chance: u64) -> Self {
        Self(format!("{:010x}", chance & 0xff_ffff_ffff))
    }

    /// The alias itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An absolute path of the host, kept as typed.
///
/// Two paths are equal when they are the same text but for repeated `/` and for `.`; that two different
/// paths lead to one file is for whoever opens them to see.
#[derive(Clone, Debug)]
pub struct AbsolutePath(String);

impl AbsolutePath {
    /// The longest path, in bytes: the kernel's `PATH_MAX` without its terminator.
    pub const BYTES_MAX: usize = 4095;

    /// Takes a path as typed.
    ///
    /// # Errors
    /// [`Refusal::PathInvalid`]: not absolute, too long, or with a control character in it (paths stand
    /// in LIO's one-line files).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let acceptable =
            text.starts_with('/') && text.len() <= Self::BYTES_MAX && !text.chars().any(char::is_control);
        if !acceptable {
            return Err(Refusal::PathInvalid { path: shown(text) });
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for the file system.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl PartialEq for AbsolutePath {
    fn eq(&self, other: &Self) -> bool {
        self.as_path() == other.as_path()
    }
}

impl Eq for AbsolutePath {}

macro_rules! displays_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
displays_as_text!(BackstoreName, Wwn, UnitSerial, LunAlias, AbsolutePath);

/// The most characters of something typed that a message repeats.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// What somebody typed, fit to stand in a line of a message: no control characters, not endless.
pub(crate) fn shown(text: &str) -> String {
    let mut line: String = text.chars().take(SHOWN_CHARACTERS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARACTERS_MAX).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backstore_names_are_words_of_targetcli() {
        for good in ["disk0", "a", "vm-1_root.img", "x@y:z"] {
            assert_eq!(BackstoreName::parse(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for (bad, says) in [
            ("a/b", "contain /, newline or spaces/tabs: 'a/b'"),
            ("a b", "contain /, newline or spaces/tabs: 'a b'"),
            ("a\tb", "contain /, newline or spaces/tabs: 'a\\tb'"),
            ("a\nb", "contain /, newline or spaces/tabs: 'a\\nb'"),
            ("../x", "contain /, newline or spaces/tabs: '../x'"),
            (".", "be . or ..: '.'"),
            ("..", "be . or ..: '..'"),
            ("dïsk", "contain anything but printable ASCII: 'dïsk'"),
            ("a\u{7f}", "contain anything but printable ASCII: 'a\\u{7f}'"),
        ] {
            let refusal = BackstoreName::parse(bad).expect_err(bad);
            assert_eq!(refusal.to_string(), format!("A storage object's name cannot {says}"));
            assert_eq!(refusal.code(), "name_characters");
        }
        assert!(matches!(BackstoreName::parse(""), Err(Refusal::NameLength { .. })));
        assert!(BackstoreName::parse(&"n".repeat(255)).is_ok());
        assert!(matches!(BackstoreName::parse(&"n".repeat(256)), Err(Refusal::NameLength { .. })));
    }

    #[test]
    fn a_name_of_15_bytes_fits_the_product_field_and_one_of_16_does_not() {
        assert_eq!(BackstoreName::parse("fifteen-letters").map(|n| n.fits_product()), Ok(true));
        assert_eq!(BackstoreName::parse("sixteen-letters-").map(|n| n.fits_product()), Ok(false));
    }

    #[test]
    fn wwns_are_normalised_as_targetcli_does() {
        for typed in [
            "naa.500140568720f76f",
            "NAA.500140568720F76F",
            " naa.500140568720f76f ",
            "500140568720f76f",
            "0x500140568720f76f",
            "50:01:40:56:87:20:f7:6f",
            "5001-4056-8720-f76f",
        ] {
            assert_eq!(Wwn::parse(typed).map(|w| w.to_string()), Ok("naa.500140568720f76f".to_owned()));
        }
    }

    #[test]
    fn wwns_that_libvirt_or_targetcli_refuse_are_refused() {
        for bad in [
            "",
            "foo",
            "naa.",
            "naa.500140568720f76",
            "naa.500140568720f76f0",
            "naa.500140568720f76g",
            "naa.600140568720f76f",
            "naa.300140568720f76f",
            "naa.0x500140568720f7",
            "naa.60014050000000010000000000000001",
            "iqn.2003-01.org.linux-iscsi.host:sn.1",
            "eui.0014051234567890",
            "naa.naa.500140568720f76f",
            "naa.50014056872é76f",
        ] {
            assert_eq!(Wwn::parse(bad), Err(Refusal::WwnInvalid { wwn: bad.to_owned() }));
        }
    }

    #[test]
    fn made_up_wwns_carry_the_company_id_and_nine_digits_of_chance() {
        assert_eq!(Wwn::made_up(0xffff_fff8_7654_321a).to_string(), "naa.500140587654321a");
        assert_eq!(Wwn::made_up(1).to_string(), "naa.5001405000000001");
        assert_eq!(Wwn::parse(Wwn::made_up(7).as_str()), Ok(Wwn::made_up(7)));
    }

    #[test]
    fn unit_serials_are_printable_and_bounded() {
        assert!(UnitSerial::parse("b9311139-ff05-4ffd-a5cc-8b35be14d722").is_ok());
        assert!(UnitSerial::parse(&"s".repeat(253)).is_ok());
        for bad in ["", " x", "x ", "a\nb", "é", "s".repeat(254).as_str()] {
            assert!(matches!(UnitSerial::parse(bad), Err(Refusal::UnitSerialInvalid { .. })), "{bad:?}");
        }
    }

    #[test]
    fn aliases_are_file_names() {
        assert_eq!(LunAlias::made_up(0xff_a088_2482_9b00).as_str(), "8824829b00");
        for good in ["a08824829b", "virtual_scsi_port", "v", "a".repeat(255).as_str()] {
            assert!(LunAlias::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../etc/pas", "a b", "a\nb", "\u{e9}", "a".repeat(256).as_str()] {
            assert!(LunAlias::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_absolute_and_compare_by_components() {
        assert_eq!(AbsolutePath::parse("/dev//sda"), AbsolutePath::parse("/dev/./sda"));
        assert_ne!(AbsolutePath::parse("/dev/sda"), AbsolutePath::parse("/dev/sdb"));
        assert_eq!(AbsolutePath::parse("/dev//sda").map(|p| p.to_string()), Ok("/dev//sda".to_owned()));
        for bad in ["", "disk.img", "./x", "~/x", "/a\nb", "/a\0b"] {
            assert!(matches!(AbsolutePath::parse(bad), Err(Refusal::PathInvalid { .. })), "{bad:?}");
        }
        assert!(AbsolutePath::parse(&format!("/{}", "p".repeat(4094))).is_ok());
        assert!(AbsolutePath::parse(&format!("/{}", "p".repeat(4095))).is_err());
    }

    #[test]
    fn what_was_typed_is_repeated_in_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}"), "a\\nb\\u{1b}");
        assert_eq!(shown(&"x".repeat(200)).chars().count(), 81);
    }
}
