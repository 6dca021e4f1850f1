// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tells when a front end did not share the memory it sent.
//!
//! Above: `connection`, before it starts a ring.
//! Below: `lseek`.
//! Never here: guest bytes.
//!
//! QEMU without `share=on` sends its memory file all the same, but the guest writes to private copies of its
//! pages.  The file stays a hole where the guest has built its rings, the rings look empty for ever, and
//! nobody says a word.  A driver writes to its rings before it starts them, so a hole there is the sign.

use rustix::fs::{SeekFrom, seek};
use std::io;
use std::os::fd::OwnedFd;
use vhost_user::Region;

/// The file behind one region.
struct Backing {
    user: u64,
    bytes: u64,
    file_offset: u64,
    file: OwnedFd,
}

/// The files behind a memory map.
#[derive(Default)]
pub(crate) struct ShareCheck {
    files: Vec<Backing>,
}

impl ShareCheck {
    pub(crate) fn add(&mut self, region: &Region) -> io::Result<()> {
        let file = region.file.try_clone()?;
        self.files.push(Backing {
            user: region.user,
            bytes: region.bytes,
            file_offset: region.file_offset,
            file,
        });
        Ok(())
    }

    pub(crate) fn remove(&mut self, user: u64) {
        self.files.retain(|backing| backing.user != user);
    }

    pub(crate) fn clear(&mut self) {
        self.files.clear();
    }

    /// Whether nothing was ever written to the page at `user`.
    pub(crate) fn is_hole(&self, user: u64) -> bool {
        let Some(backing) = self.files.iter().find(|file| user.wrapping_sub(file.user) < file.bytes) else {
            return false;
        };
        let Some(at) = backing.file_offset.checked_add(user - backing.user) else { return false };
        match seek(&backing.file, SeekFrom::Data(at)) {
            Ok(data) => data != at,
            // ENXIO: no data from there on.  Anything else: a file that does not tell.
            Err(errno) => errno == rustix::io::Errno::NXIO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ShareCheck;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use vhost_user::Region;

    #[test]
    fn a_page_that_was_written_is_no_hole() {
        let file = memfd_create("shared", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 1 << 20).unwrap();
        rustix::io::pwrite(&file, &[0], 0x3008).unwrap();
        let region = Region { guest: 0, user: 0x70_0000, bytes: 0x8_0000, file_offset: 0x1000, file };
        let mut check = ShareCheck::default();
        check.add(&region).unwrap();
        assert!(!check.is_hole(0x70_2000));
        assert!(check.is_hole(0x70_4000));
        assert!(check.is_hole(0x70_0000));
        assert!(!check.is_hole(0x90_0000), "outside of the map there is nothing to say");
    }
}
