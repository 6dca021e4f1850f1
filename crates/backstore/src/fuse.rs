// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of file systems in user space.
//!
//! Above: `file`.  Below: the kernel's table of mounts, which answers whatever hangs.
//! Never here: a question to the file system itself.
//!
//! Such a file can be polled, unlike others, and its first poll is a request that its server has to answer.  io_uring
//! polls what it cannot do at once, on the thread that hands the I/O over: a server that hangs would hold up all
//! guests of a reactor.

use mounts::{Mount, Mounts};
use rustix::fs::{fstat, major, minor};
use std::fs::File;

/// Whether a file system in user space has the file.
pub(crate) fn has(file: &File) -> bool {
    let (Ok(stat), Ok(mounts)) = (fstat(file), Mounts::now()) else { return false };
    is_fuse(&mounts, major(stat.st_dev), minor(stat.st_dev))
}

/// Whether the device is one of FUSE's.
fn is_fuse(mounts: &Mounts, major: u32, minor: u32) -> bool {
    mounts.of_device(major, minor).any(Mount::is_fuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_of_fuse_is_told_by_its_device_whatever_names_others_have() {
        let mounts = Mounts::parse(
            b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
              49 35 0:48 / /home/\xff rw - fuse.\xff host: rw\n\
              50 35 0:49 / /srv rw,relatime shared:3 - fuse.sshfs host: rw,user_id=0\n",
        );
        assert!(is_fuse(&mounts, 0, 48));
        assert!(is_fuse(&mounts, 0, 49));
        assert!(!is_fuse(&mounts, 98, 0));
        assert!(!is_fuse(&mounts, 0, 5));
    }
}
