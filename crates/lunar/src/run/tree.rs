// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's tree as `lunard` mounts it, and whether it is really there.
//!
//! Above: `run`, `namespace`.  Below: statfs(2), `/proc/self/mountinfo`.
//! Never here: a mount.
//!
//! LIO's library makes a plain directory into a plain tree, and reports success: nothing is run where this file
//! does not vouch for what is there.

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use shell::Failure;
use std::path::{Path, PathBuf};

/// What statfs(2) says of FUSE.
const FUSE_MAGIC: u64 = 0x6573_5546;

/// How `lunard` has its mount listed.
const FILE_SYSTEM: &str = "fuse.lunard";

/// The tree, as it was found.
pub(crate) struct Tree {
    dir: PathBuf,
    device: u64,
}

impl Tree {
    /// The tree that is mounted on a directory.
    pub(crate) fn find(dir: &Path) -> Result<Self, Failure> {
        let not_there = |errno: Errno| match errno {
            Errno::NOTCONN | Errno::CONNABORTED => {
                Failure::new(format!("the tree at {} has no lunard any more", dir.display()))
                    .hint("start lunard again with --configfs, and it mounts it anew")
            }
            Errno::ACCESS => Failure::new(format!("the tree at {} is another user's", dir.display()))
                .hint("lunard of an ordinary user shows it to that user alone"),
            errno => Failure::new(format!("cannot use {}: {errno}", dir.display())),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir, flags, Mode::empty()).map_err(not_there)?;
        let found = rustix::fs::fstat(&root).map_err(not_there)?;
        // Unlike the others this is never answered from memory.
        let file_system = rustix::fs::fstatfs(&root).map_err(not_there)?;
        let is_fuse = u64::try_from(file_system.f_type) == Ok(FUSE_MAGIC);
        let is_ours = is_fuse && file_system_of(found.st_dev).as_deref() == Some(FILE_SYSTEM);
        let has_target = || rustix::fs::statat(&root, "target", AtFlags::empty()).is_ok();
        if !is_ours || !has_target() {
            return Err(Failure::new(format!("there is no tree of lunard at {}", dir.display()))
                .hint("a plain directory would be taken for one: start lunard with --configfs"));
        }
        Ok(Self { dir: dir.to_owned(), device: found.st_dev })
    }

    /// Where it is mounted.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes sure that what is at a path now is this tree.
    pub(crate) fn must_be_at(&self, path: &str) -> Result<(), Failure> {
        let found = rustix::fs::stat(format!("{path}/target"));
        if found.is_ok_and(|found| found.st_dev == self.device) {
            return Ok(());
        }
        Err(Failure::new(format!("the tree at {} did not get to {path}", self.dir.display())))
    }
}

/// Whether the top of what is mounted at a path is a tree of `lunard`, alive or dead.
pub(crate) fn is_mounted_at(path: &str) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // proc(5): the mount point is the fifth field; the last line of one is the top.
    let top = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(path));
    top.and_then(kind_of).is_some_and(|kind| kind == FILE_SYSTEM)
}

/// The kind of the file system with a device number, as the kernel lists it.
fn file_system_of(device: u64) -> Option<String> {
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    // proc(5): the device is the third field.
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(number.as_str()))?;
    kind_of(line).map(str::to_owned)
}

/// proc(5): the kind is the first field after a lone hyphen.
fn kind_of(line: &str) -> Option<&str> {
    line.split_once(" - ")?.1.split(' ').next()
}
