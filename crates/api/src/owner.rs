// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whose a file is, in names: what a message about permission has to say.
//!
//! Above: the client and the daemon's messages.  Below: the host's accounts.
//! Never here: a decision about access; the kernel makes those.

use nix::unistd::{Gid, Group, Uid, User};
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The user and the group that a file belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's name, or its number where it has none.
    pub user: String,
    /// The group's name, or its number where it has none.
    pub group: String,
    /// The permission bits.
    pub mode: u32,
}

impl Owner {
    /// Whose `path` is; of a symbolic link, what it leads to.
    ///
    /// # Errors
    /// Those of `stat`.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            user: user_name(metadata.uid()),
            group: group_name(metadata.gid()),
            mode: metadata.mode() & 0o7777,
        })
    }

    /// Whose `path` is, or the closest directory above it that we may look at.
    #[must_use]
    pub fn of_nearest(path: &Path) -> Option<Self> {
        path.ancestors().find_map(|path| Self::of(path).ok())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}, group {}, mode {:04o}", self.user, self.group, self.mode)
    }
}

/// The name of a user, or its number.
#[must_use]
pub fn user_name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The name of a group, or its number.
#[must_use]
pub fn group_name(gid: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_directory_is_roots() {
        let owner = Owner::of(Path::new("/")).unwrap();
        assert_eq!((owner.user.as_str(), owner.group.as_str()), ("root", "root"));
    }

    #[test]
    fn accounts_without_a_name_are_shown_by_number() {
        assert_eq!(user_name(4_000_000_001), "4000000001");
        assert_eq!(group_name(4_000_000_002), "4000000002");
    }

    #[test]
    fn the_nearest_file_is_found_from_below() {
        assert_eq!(Owner::of_nearest(Path::new("/no/such/file")), Owner::of(Path::new("/")).ok());
    }
}
