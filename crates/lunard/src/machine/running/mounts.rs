// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which file systems a path leads through, so that one that does not answer is known before it is touched again.
//!
//! Above: `opening`.  Below: `/proc/self/mountinfo`, which answers whatever hangs.
//! Never here: what is opened, and how long anybody waits.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// The most links that a path may lead through, as for the kernel.
const LINKS_MAX: usize = 40;

/// Where the fifth word of a line, the place of a mount, is.
const PLACE: usize = 4;

/// Where file systems are mounted.
#[derive(Debug, Default)]
pub(super) struct Mounts(BTreeSet<PathBuf>);

impl Mounts {
    /// As it is now; none where that is not to be read.
    pub(super) fn now() -> Self {
        Self::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(table: &[u8]) -> Self {
        let lines = table.split(|byte| *byte == b'\n');
        let places = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(PLACE));
        Self(places.map(|place| PathBuf::from(OsString::from_vec(unescaped(place)))).collect())
    }

    /// Follows an absolute path, as the kernel would, and asks before each place of a mount whether to enter it.  Returns whether
    /// the end was reached.  Hangs where a file system does.
    pub(super) fn follow(&self, path: &Path, mut enter: impl FnMut(&Path) -> bool) -> bool {
        let mut left = words(path);
        let (mut at, mut links) = (PathBuf::from("/"), 0);
        while let Some(word) = left.pop() {
            if word == OsStr::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(word);
            if self.0.contains(&next) && !enter(&next) {
                return false;
            }
            // What is no link, or not there, whoever opens it finds out.
            let Ok(target) = std::fs::read_link(&next) else {
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

/// A word of the table, in which blanks and the like are three octal digits behind a backslash.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, others @ ..] = rest {
        let digits =
            others.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &others[3..];
            }
            None => {
                plain.push(*first);
                rest = others;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_places_of_mounts_are_the_fifth_words_of_the_table() {
        let table =
            b"22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:26 / /srv/my\\040disks\\134x rw - nfs4 a:/b rw\n";
        let Mounts(places) = Mounts::parse(table);
        assert_eq!(places, BTreeSet::from(["/".into(), "/srv/my disks\\x".into()]));
    }

    #[test]
    fn a_path_is_followed_over_links_into_mounts_and_no_further_than_it_may() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("far/deep")).unwrap();
        std::fs::create_dir(top.join("near")).unwrap();
        symlink(top.join("far"), top.join("near/away")).unwrap();
        symlink("../near/away/deep", top.join("near/there")).unwrap();
        symlink("round", top.join("round")).unwrap();
        let mounts = Mounts(BTreeSet::from([top.join("far"), top.join("far/deep")]));
        let entered = |path: &str, may: &str| {
            let mut entered = Vec::new();
            let ended = mounts.follow(&top.join(path), |place| {
                entered.push(place.strip_prefix(&top).unwrap().display().to_string());
                !place.ends_with(may)
            });
            (entered.join(" "), ended)
        };
        assert_eq!(entered("near/file", ""), (String::new(), true));
        assert_eq!(entered("far/file", "none"), ("far".to_owned(), true));
        assert_eq!(entered("near/away/../file", "none"), ("far".to_owned(), true));
        assert_eq!(entered("near/there/file", "none"), ("far far/deep".to_owned(), true));
        assert_eq!(entered("near/there/file", "far"), ("far".to_owned(), false));
        assert_eq!(entered("round/file", "none"), (String::new(), true));
    }
}
