// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's tree as `lunard` mounts it, and whether it is really there.
//!
//! Above: `run`, `namespace`.  Below: statfs(2), `mounts`.
//! Never here: a mount.
//!
//! LIO's library makes a plain directory into a plain tree, and reports success: nothing is run where this file
//! does not vouch for what is there.

use mounts::Mounts;
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
        let is_ours = is_fuse && is_tree(found.st_dev);
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
    Mounts::now().is_ok_and(|mounts| is_tree_at(&mounts, Path::new(path)))
}

fn is_tree_at(mounts: &Mounts, path: &Path) -> bool {
    mounts.of(path).is_some_and(|top| top.place == path && top.kind == FILE_SYSTEM)
}

/// Whether what is mounted from a device is a tree of `lunard`, as the kernel lists it.
fn is_tree(device: u64) -> bool {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Mounts::now().is_ok_and(|mounts| {
        mounts.of_device(major, minor).next().is_some_and(|mount| mount.kind == FILE_SYSTEM)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_found_where_it_is_on_top_whatever_its_place_and_its_neighbours_are_called() {
        let mounts = Mounts::parse(
            b"1 0 0:1 / / rw - ext4 a rw\n\
              2 1 0:2 / /home/\xff rw - fuse.\xff a rw\n\
              3 1 0:3 / /my\\040tree rw - fuse.lunard lunard rw\n\
              4 1 0:3 / /hidden rw - fuse.lunard lunard rw\n\
              5 4 0:4 / /hidden rw - tmpfs a rw\n",
        );
        let is_there = |path: &str| is_tree_at(&mounts, Path::new(path));
        assert!(is_there("/my tree"));
        assert!(!is_there("/my\\040tree") && !is_there("/my tree/target"));
        assert!(!is_there("/hidden") && !is_there("/"));
    }
}
