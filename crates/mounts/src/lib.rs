// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where file systems are mounted.
//!
//! Above: whoever has to know what a file is kept in before it is touched.
//! Below: `/proc/self/mountinfo` (proc(5)), which answers whatever hangs.
//! Never here: a question to a file system.
//!
//! Names are the users', who may mount what they like with FUSE: they are bytes, and blanks in them are written as octal digits.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Something that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number of it.
    pub id: u64,
    /// The number of what its place is in.
    pub parent: u64,
    /// Major and minor number of what is mounted, as in `st_dev` of its files.
    pub device: (u32, u32),
    /// Where.
    pub place: PathBuf,
    /// Which kind of file system, such as `ext4` or `fuse.sshfs`.
    pub kind: OsString,
}

impl Mount {
    /// Whether a program serves it.
    #[must_use]
    pub fn is_fuse(&self) -> bool {
        let kind = self.kind.as_encoded_bytes();
        matches!(kind, b"fuse" | b"fuseblk" | b"virtiofs") || kind.starts_with(b"fuse.")
    }

    /// What one line says; `None` where it is none.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ');
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
        let (id, parent) = (number()?, number()?);
        let (major, minor) = std::str::from_utf8(words.next()?).ok()?.split_once(':')?;
        let device = (major.parse().ok()?, minor.parse().ok()?);
        let _root = words.next()?;
        let place = PathBuf::from(unescaped(words.next()?));
        let _options = words.next()?;
        // Any number of fields that may come and go, and a hyphen after them.
        words.find(|word| *word == b"-")?;
        Some(Self { id, parent, device, place, kind: unescaped(words.next()?) })
    }
}

/// All that is mounted for this process.
#[derive(Debug, Default)]
pub struct Mounts {
    /// In the kernel's order: what was mounted later is later.
    all: Vec<Mount>,
    /// Which of them is at a place in another; in none, where this process sees no other.
    in_another: BTreeMap<(Option<u64>, PathBuf), usize>,
}

impl Mounts {
    /// As it is now.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn now() -> io::Result<Self> {
        std::fs::read("/proc/self/mountinfo").map(|table| Self::parse(&table))
    }

    /// What a table says in the kernel's form; lines that are not are left out.
    #[must_use]
    pub fn parse(table: &[u8]) -> Self {
        let all: Vec<Mount> = table.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect();
        let seen: BTreeSet<u64> = all.iter().map(|mount| mount.id).collect();
        let parent =
            |mount: &Mount| Some(mount.parent).filter(|parent| *parent != mount.id && seen.contains(parent));
        let in_another = all.iter().map(|mount| (parent(mount), mount.place.clone())).zip(0..).collect();
        Self { all, in_another }
    }

    /// The mount that has a path, which is absolute and leads through no link and no `..`: where several are on each other,
    /// the uppermost.  `None` where this process sees none.
    #[must_use]
    pub fn of(&self, path: &Path) -> Option<&Mount> {
        let mut above: Vec<&Path> = path.ancestors().collect();
        above.reverse();
        let mut at = None;
        for place in above {
            // No longer than the table, whatever it says.
            for _ in 0..self.all.len() {
                let inside = (at.map(|mount: &Mount| mount.id), place.to_owned());
                let Some(next) = self.in_another.get(&inside) else { break };
                at = self.all.get(*next);
            }
        }
        at
    }

    /// What is to be seen of a device: the same may be at several places.
    pub fn of_device(&self, major: u32, minor: u32) -> impl Iterator<Item = &Mount> {
        self.all.iter().filter(move |mount| mount.device == (major, minor))
    }
}

/// A word of the table, in which blanks and the like are three octal digits behind a backslash.
fn unescaped(word: &[u8]) -> OsString {
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
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn place(mounts: &Mounts, path: &str) -> (u64, String) {
        let mount = mounts.of(Path::new(path)).expect("a mount");
        (mount.id, mount.place.display().to_string())
    }

    #[test]
    fn a_line_is_read_with_any_number_of_fields_before_the_hyphen() {
        let mounts = Mounts::parse(
            b"36 35 98:7 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue\n\
              50 36 0:49 / /srv rw,relatime shared:3 master:1 - fuse.sshfs host:\\040- rw,user_id=0\n",
        );
        let all: Vec<_> =
            mounts.all.iter().map(|mount| (mount.id, mount.parent, mount.device, mount.is_fuse())).collect();
        assert_eq!(all, [(36, 35, (98, 7), false), (50, 36, (0, 49), true)]);
        assert_eq!(mounts.all[1].kind, "fuse.sshfs");
        assert_eq!(mounts.of_device(0, 49).map(|mount| mount.id).collect::<Vec<_>>(), [50]);
        assert_eq!(mounts.of_device(0, 4).count(), 0);
    }

    #[test]
    fn fuse_has_four_names() {
        let is_fuse =
            |kind: &str| Mounts::parse(format!("1 0 0:1 / / rw - {kind} x rw").as_bytes()).all[0].is_fuse();
        assert!(["fuse", "fuse.sshfs", "fuseblk", "virtiofs"].into_iter().all(is_fuse));
        assert!(!["fusectl", "ext4", "nfs4"].into_iter().any(is_fuse));
    }

    #[test]
    fn what_is_no_line_hides_none_that_is() {
        let mounts = Mounts::parse(
            b"\n7\nx y z\n1 0 nothing / / rw - ext4 /dev/vda rw\n2 1 0:5 / /a rw\n\xff\xfe\n\
              3 0 0:6 / / rw - ext4 /dev/vda rw",
        );
        assert_eq!(mounts.all.iter().map(|mount| mount.id).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn names_are_bytes_and_their_blanks_are_written_in_octal() {
        let mounts = Mounts::parse(
            b"1 0 0:1 / / rw - ext4 a rw\n\
              2 1 0:2 / /my\\040disks\\134040 rw - ext4 a rw\n\
              3 1 0:3 / /\xff\\012\\777x\\04 rw - fuse.\xfe\\011 a rw\n",
        );
        assert_eq!(place(&mounts, "/my disks\\040/a"), (2, "/my disks\\040".to_owned()));
        // Three digits that are more than a byte are no byte.
        let hostile = OsStr::from_bytes(b"/\xff\n\\777x\\04/a");
        assert_eq!(mounts.of(Path::new(hostile)).map(|mount| mount.id), Some(3));
        assert_eq!(mounts.all[2].kind.as_bytes(), b"fuse.\xfe\t");
    }

    #[test]
    fn a_path_is_of_the_deepest_mount_and_of_the_uppermost_there() {
        let mounts = Mounts::parse(
            b"22 1 0:1 / / rw - ext4 a rw\n\
              30 22 0:2 / /srv rw - nfs4 a rw\n\
              31 30 0:3 / /srv/deep rw - ext4 a rw\n\
              32 30 0:4 / /srv rw - ext4 a rw\n\
              33 32 0:5 / /srv/other rw - ext4 a rw\n\
              34 22 0:6 / /srv2 rw - ext4 a rw\n",
        );
        assert_eq!(place(&mounts, "/"), (22, "/".to_owned()));
        assert_eq!(place(&mounts, "/home/a"), (22, "/".to_owned()));
        assert_eq!(place(&mounts, "/srv"), (32, "/srv".to_owned()));
        assert_eq!(place(&mounts, "/srv/other/a/b"), (33, "/srv/other".to_owned()));
        // It is in what was mounted over.
        assert_eq!(place(&mounts, "/srv/deep/a"), (32, "/srv".to_owned()));
        assert_eq!(place(&mounts, "/srv22/a"), (22, "/".to_owned()));
    }

    #[test]
    fn of_two_at_one_place_the_later_counts() {
        let table = b"1 0 0:1 / / rw - ext4 a rw\n3 1 0:3 / /a rw - ext4 a rw\n2 1 0:2 / /a rw - ext4 a rw\n";
        assert_eq!(place(&Mounts::parse(table), "/a/b").0, 2);
    }

    #[test]
    fn a_root_that_is_its_own_parent_or_is_not_seen_keeps_nobody() {
        let mounts = Mounts::parse(b"1 1 0:1 / / rw - rootfs a rw\n2 1 0:2 / / rw - ext4 a rw\n");
        assert_eq!(place(&mounts, "/a").0, 2);
        let mounts = Mounts::parse(b"7 5 0:1 / /srv rw - ext4 a rw\n");
        assert_eq!(place(&mounts, "/srv/a").0, 7);
        assert_eq!(mounts.of(Path::new("/a")), None);
        assert_eq!(Mounts::default().of(Path::new("/a")), None);
        // Nobody mounts so.
        let circle = Mounts::parse(b"1 2 0:1 / / rw - a a rw\n2 1 0:2 / / rw - a a rw\n");
        assert_eq!(circle.of(Path::new("/a")), None);
    }

    #[test]
    fn this_process_sees_what_it_is_kept_in() {
        let mounts = Mounts::now().unwrap();
        let proc = mounts.of(Path::new("/proc/self")).expect("a mount");
        assert_eq!((proc.kind.as_bytes(), proc.place.as_path()), (b"proc".as_slice(), Path::new("/proc")));
    }
}
