// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is written to the `control` file of a backstore, in pieces, before it is enabled.
//!
//! Above: `store`.  Below: nothing.
//! Never here: whether a file or device is there.

use model::{AbsolutePath, Kind, Medium, PAGE_BYTES, kernel_number};
use rustix::io::Errno;

/// What the pieces said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// `fd_dev_name=` or `udev_path=`.
    pub(crate) path: Option<AbsolutePath>,
    /// `fd_dev_size=`, in bytes.
    pub(crate) size_bytes: Option<u64>,
    /// `fd_buffered_io=1`.
    pub(crate) buffered: bool,
    /// `readonly=`.
    pub(crate) read_only: Option<bool>,
    /// `rd_pages=`.
    pub(crate) pages: Option<u64>,
    /// `rd_nullio=1`.
    pub(crate) nullio: bool,
}

/// Where the path of a file ends, which may have a comma in it: at the next option.
const NEXT_OPTION: &str = ",fd_";

impl Control {
    /// Takes one more piece.  What LIO does not know it skips, and so does this.
    ///
    /// # Errors
    /// EINVAL where a value is no value of its key, and where it asks for what is not there; then nothing
    /// is taken.
    pub(crate) fn take(&mut self, kind: Kind, text: &str) -> Result<(), Errno> {
        let mut after = self.clone();
        let text = text.trim_end_matches('\n');
        match (kind, text.split_once("fd_dev_name=")) {
            (Kind::Fileio, Some((before, rest))) => {
                let end = rest.find(NEXT_OPTION).unwrap_or(rest.len());
                let (path, options) = rest.split_at(end);
                after.path = Some(AbsolutePath::parse(path).map_err(|_| Errno::INVAL)?);
                after.take_options(kind, before)?;
                after.take_options(kind, options)?;
            }
            _ => after.take_options(kind, text)?,
        }
        *self = after;
        Ok(())
    }

    fn take_options(&mut self, kind: Kind, text: &str) -> Result<(), Errno> {
        for option in text.split([',', '\n']).filter(|option| !option.is_empty()) {
            let Some((key, value)) = option.split_once('=') else { continue };
            match (kind, key.trim()) {
                (Kind::Block, "udev_path") => {
                    self.path = Some(AbsolutePath::parse(value).map_err(|_| Errno::INVAL)?);
                }
                (Kind::Block, "readonly") => self.read_only = Some(number(value)? != 0),
                // A device that is not exclusively ours is written by two.
                (Kind::Block, "exclusive") if number(value)? != 1 => return Err(Errno::INVAL),
                (Kind::Fileio, "fd_dev_size") => self.size_bytes = Some(number(value)?),
                (Kind::Fileio, "fd_buffered_io") if number(value)? == 1 => self.buffered = true,
                (Kind::Fileio, "fd_buffered_io" | "fd_async_io") => return Err(Errno::INVAL),
                (Kind::Ramdisk, "rd_pages") => self.pages = Some(number(value)?),
                (Kind::Ramdisk, "rd_nullio") => self.nullio = number(value)? == 1,
                (Kind::Ramdisk, "rd_dummy") if number(value)? == 1 => return Err(Errno::INVAL),
                _ => {}
            }
        }
        Ok(())
    }

    /// The medium that the pieces describe.
    ///
    /// # Errors
    /// EINVAL where something is missing.
    pub(crate) fn medium(&self, kind: Kind) -> Result<Medium, Errno> {
        match kind {
            Kind::Block => {
                let path = self.path.clone().ok_or(Errno::INVAL)?;
                Ok(Medium::Block { path, read_only: self.read_only, size_bytes: None })
            }
            Kind::Fileio => {
                let path = self.path.clone().ok_or(Errno::INVAL)?;
                Ok(Medium::Fileio { path, size_bytes: self.size_bytes, sparse: true })
            }
            Kind::Ramdisk => {
                let pages = self.pages.filter(|pages| *pages != 0).ok_or(Errno::INVAL)?;
                let bytes = pages.checked_mul(PAGE_BYTES).ok_or(Errno::INVAL)?;
                Medium::ramdisk(bytes, self.nullio).map_err(|_| Errno::INVAL)
            }
        }
    }
}

/// A number in any base, as the kernel reads it.
pub(crate) fn number(text: &str) -> Result<u64, Errno> {
    kernel_number(text).ok_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(kind: Kind, pieces: &[&str]) -> Result<Control, Errno> {
        let mut control = Control::default();
        for piece in pieces {
            control.take(kind, piece)?;
        }
        Ok(control)
    }

    #[test]
    fn the_pieces_of_a_file_may_come_in_one_or_in_many() {
        let one = taken(Kind::Fileio, &["fd_dev_name=/srv/f0.img,fd_dev_size=16777216,fd_buffered_io=1\n"]);
        let many =
            taken(Kind::Fileio, &["fd_dev_size=0x1000000", "fd_buffered_io=1", "fd_dev_name=/srv/f0.img"]);
        assert_eq!(one, many);
        let control = one.unwrap();
        assert_eq!(control.path.unwrap().as_str(), "/srv/f0.img");
        assert_eq!((control.size_bytes, control.buffered), (Some(16_777_216), true));
    }

    #[test]
    fn a_path_may_have_a_comma() {
        let control = taken(Kind::Fileio, &["fd_dev_name=/srv/a,b=c.img,fd_dev_size=4096"]).unwrap();
        assert_eq!(control.path.unwrap().as_str(), "/srv/a,b=c.img");
        assert_eq!(control.size_bytes, Some(4096));
        let alone = taken(Kind::Fileio, &["fd_dev_name=/srv/a,b"]).unwrap();
        assert_eq!(alone.path.unwrap().as_str(), "/srv/a,b");
    }

    #[test]
    fn what_is_unknown_is_skipped_and_what_is_wrong_takes_nothing() {
        let mut control = taken(Kind::Fileio, &["bogus=1", "fd_dev_size=1"]).unwrap();
        let before = control.clone();
        for wrong in ["fd_buffered_io=0", "fd_async_io=1", "fd_dev_size=x", "fd_dev_name=relative"] {
            assert_eq!(
                control.take(Kind::Fileio, &format!("fd_dev_size=2,{wrong}")),
                Err(Errno::INVAL),
                "{wrong}"
            );
            assert_eq!(control, before);
        }
        assert_eq!(control.medium(Kind::Fileio), Err(Errno::INVAL));
    }

    #[test]
    fn a_ramdisk_has_pages_and_a_device_a_path() {
        let ramdisk = taken(Kind::Ramdisk, &["rd_pages=2048", "rd_nullio=1"]).unwrap();
        let medium = ramdisk.medium(Kind::Ramdisk).unwrap();
        assert_eq!(medium.size_bytes(), Some(8_388_608));
        let device = taken(Kind::Block, &["udev_path=/dev/vda", "readonly=1", "exclusive=1"]).unwrap();
        let Medium::Block { path, read_only, size_bytes: None } = device.medium(Kind::Block).unwrap() else {
            panic!("a device");
        };
        assert_eq!((path.as_str(), read_only), ("/dev/vda", Some(true)));
        assert_eq!(taken(Kind::Ramdisk, &["rd_pages=0"]).unwrap().medium(Kind::Ramdisk), Err(Errno::INVAL));
    }
}
