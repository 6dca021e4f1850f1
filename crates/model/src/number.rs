// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What things are numbered by.
//!
//! Above: every other file of this crate.  Below: nothing.
//! Never here: which number is free; `model` knows that.

use crate::Refusal;
use std::fmt;
use std::num::NonZeroU16;

/// The tag of a target port group: the SCSI target id that the guest sees, 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TpgTag(u8);

impl TpgTag {
    /// The highest tag: byte 1 of a virtio-scsi LUN (virtio 1.2, 5.6.6.1).
    pub const MAX: u16 = 255;

    /// The tag of this number; every byte is one.
    #[must_use]
    pub fn new(tag: u8) -> Self {
        Self(tag)
    }

    /// Takes a number from outside.
    ///
    /// # Errors
    /// [`Refusal::TagOutOfRange`].
    pub fn parse(tag: u16) -> Result<Self, Refusal> {
        u8::try_from(tag).map(Self).map_err(|_| Refusal::TagOutOfRange { tag })
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A logical unit number, 0 to 16383.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lun(u16);

impl Lun {
    /// The highest number: 14 bits of flat space addressing (SAM-5), all that virtio-scsi carries.
    pub const MAX: u16 = 16383;

    /// Takes a number from outside.
    ///
    /// # Errors
    /// [`Refusal::LunOutOfRange`].
    pub fn parse(lun: u16) -> Result<Self, Refusal> {
        if lun > Self::MAX { Err(Refusal::LunOutOfRange { lun }) } else { Ok(Self(lun)) }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

/// A relative target port identifier, 1 to 65535 (SPC-4, relative target port designator): unique among all target port groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePort(NonZeroU16);

impl RelativePort {
    /// The identifier of this number.
    #[must_use]
    pub fn new(port: NonZeroU16) -> Self {
        Self(port)
    }

    /// Takes a number from outside; 0 is reserved.
    ///
    /// # Errors
    /// [`Refusal::RelativePortZero`].
    pub fn parse(port: u16) -> Result<Self, Refusal> {
        NonZeroU16::new(port).map(Self).ok_or(Refusal::RelativePortZero)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

macro_rules! displays_as_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
displays_as_number!(TpgTag, Lun, RelativePort);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_end_at_255() {
        assert_eq!(TpgTag::parse(255).map(TpgTag::get), Ok(255));
        assert_eq!(TpgTag::parse(256), Err(Refusal::TagOutOfRange { tag: 256 }));
    }

    #[test]
    fn luns_end_at_16383() {
        assert_eq!(Lun::parse(16383).map(Lun::get), Ok(16383));
        assert_eq!(Lun::parse(16384), Err(Refusal::LunOutOfRange { lun: 16384 }));
    }

    #[test]
    fn relative_ports_start_at_1() {
        assert_eq!(RelativePort::parse(1).map(RelativePort::get), Ok(1));
        assert_eq!(RelativePort::parse(65535).map(RelativePort::get), Ok(65535));
        assert_eq!(RelativePort::parse(0), Err(Refusal::RelativePortZero));
    }
}
