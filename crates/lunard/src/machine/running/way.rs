// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which file systems a path leads through, so that one that does not answer is known before it is touched again.
//!
//! Above: `opening`.  Below: `mounts`.
//! Never here: what is opened, and how long anybody waits.

use mounts::{Mount, Mounts};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// The most links that a path may lead through, as for the kernel.
const LINKS_MAX: usize = 40;

/// Follows an absolute path, as the kernel would, and asks at each place of a mount whether to go into that, or back into it.
/// Returns whether the end was reached.  Hangs where a file system does: in the one that was asked about last.
pub(super) fn follow(mounts: &Mounts, path: &Path, mut enter: impl FnMut(&Path) -> bool) -> bool {
    let mut left = words(path);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    let mut inside: Option<&Mount> = None;
    while let Some(word) = left.pop() {
        let is_back = word == OsStr::new("..");
        let next = if is_back { at.parent().unwrap_or(&at).to_owned() } else { at.join(word) };
        let mount = mounts.of(&next);
        if mount != inside && mount.is_some_and(|mount| !enter(&mount.place)) {
            return false;
        }
        inside = mount;
        // What is no link, or not there, whoever opens it finds out.
        let link = if is_back { None } else { std::fs::read_link(&next).ok() };
        let Some(target) = link else {
            at = next;
            continue;
        };
        links += 1;
        if links > LINKS_MAX {
            return true;
        }
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        left.extend(words(&target));
    }
    true
}

/// The words of a path, the first last.
fn words(path: &Path) -> Vec<OsString> {
    let words = path.components().filter_map(|component| match component {
        Component::Normal(word) => Some(word.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut words: Vec<OsString> = words.collect();
    words.reverse();
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_is_followed_over_links_into_mounts_and_out_of_them_and_no_further_than_it_may() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("far/deep")).unwrap();
        std::fs::create_dir(top.join("near")).unwrap();
        symlink(top.join("far"), top.join("near/away")).unwrap();
        symlink("../near/away/deep", top.join("near/there")).unwrap();
        symlink("round", top.join("round")).unwrap();
        symlink(top.join("near/file"), top.join("far/home")).unwrap();
        let shown = top.display();
        let mounts = Mounts::parse(
            format!(
                "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {shown}/far rw - ext4 a rw\n\
                 3 2 0:3 / {shown}/far/deep rw - ext4 a rw\n"
            )
            .as_bytes(),
        );
        let entered = |path: &str, may: &str| {
            let mut entered = Vec::new();
            let ended = follow(&mounts, &top.join(path), |place| {
                let place = place.strip_prefix(&top).unwrap_or(place).display().to_string();
                entered.push(place.clone());
                place != may
            });
            (entered.join(" "), ended)
        };
        assert_eq!(entered("near/file", "none"), ("/".to_owned(), true));
        assert_eq!(entered("far/file", "none"), ("/ far".to_owned(), true));
        assert_eq!(entered("near/there/file", "none"), ("/ far far/deep".to_owned(), true));
        assert_eq!(entered("near/there/file", "far"), ("/ far".to_owned(), false));
        assert_eq!(entered("round/file", "none"), ("/".to_owned(), true));
        // What is back outside is not kept in what was left.
        assert_eq!(entered("near/away/../file", "none"), ("/ far /".to_owned(), true));
        assert_eq!(entered("far/deep/../file", "none"), ("/ far far/deep far".to_owned(), true));
        assert_eq!(entered("far/home", "none"), ("/ far /".to_owned(), true));
    }
}
