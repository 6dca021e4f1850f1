// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of file systems in user space.
//!
//! Above: `file`.  Below: the kernel's table of mounts, which answers whatever hangs.
//! Never here: a question to the file system itself.
//!
//! Such a file can be polled, unlike others, and its first poll is a request that its server has to answer.  io_uring
//! polls what it cannot do at once, on the thread that hands the I/O over: a server that hangs would hold up all
//! guests of a reactor.

use rustix::fs::{fstat, major, minor};
use std::fs::File;

/// Whether a file system in user space has the file.
pub(crate) fn has(file: &File) -> bool {
    let Ok(stat) = fstat(file) else { return false };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_fuse(&mounts, &format!("{}:{}", major(stat.st_dev), minor(stat.st_dev)))
}

/// Whether the device is one of FUSE's in a table of mounts (proc(5), `/proc/pid/mountinfo`).
fn is_fuse(mounts: &str, device: &str) -> bool {
    let of_device = mounts.lines().filter(|line| line.split(' ').nth(2) == Some(device));
    let mut kinds = of_device.filter_map(|line| line.split_once(" - ")?.1.split(' ').next());
    kinds.any(|kind| kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.") || kind == "virtiofs")
}

#[cfg(test)]
mod tests {
    use super::is_fuse;

    #[test]
    fn a_mount_of_fuse_is_told_by_its_device() {
        let mounts = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
                      50 35 0:49 / /srv rw,relatime shared:3 - fuse.sshfs host: rw,user_id=0\n\
                      51 35 0:50 / /m rw - fuse hung rw\n";
        assert!(is_fuse(mounts, "0:49"));
        assert!(is_fuse(mounts, "0:50"));
        assert!(!is_fuse(mounts, "98:0"));
        assert!(!is_fuse(mounts, "0:5"));
    }
}
