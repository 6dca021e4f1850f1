// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes the archive the kernel unpacks into its first root file system.
//!
//! Above: `initramfs`.  Below: bytes.  The format is "newc" of the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::BTreeMap;
use std::path::{Component, Path};

const MAGIC: &str = "070701";
const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// Files, directories and links by path.  What is added later under the same path replaces the earlier.
#[derive(Debug, Default)]
pub struct Archive(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    mode: u32,
    bytes: Vec<u8>,
}

impl Archive {
    /// Adds a directory and its parents.
    pub fn directory(&mut self, path: impl AsRef<Path>) {
        let mut whole = String::new();
        for name in names(path.as_ref()) {
            if !whole.is_empty() {
                whole.push('/');
            }
            whole.push_str(name);
            self.0.entry(whole.clone()).or_insert(Entry { mode: DIRECTORY, bytes: Vec::new() });
        }
    }

    /// Adds a file.
    pub fn file(&mut self, path: impl AsRef<Path>, bytes: Vec<u8>) {
        self.add(path.as_ref(), FILE, bytes);
    }

    /// Adds a file that may be executed.
    pub fn program(&mut self, path: impl AsRef<Path>, bytes: Vec<u8>) {
        self.add(path.as_ref(), PROGRAM, bytes);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: impl AsRef<Path>, to: &str) {
        self.add(path.as_ref(), LINK, to.as_bytes().to_vec());
    }

    /// Whether something has that path.
    pub fn contains(&self, path: impl AsRef<Path>) -> bool {
        self.0.contains_key(&whole(path.as_ref()))
    }

    fn add(&mut self, path: &Path, mode: u32, bytes: Vec<u8>) {
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        self.0.insert(whole(path), Entry { mode, bytes });
    }

    /// The archive's bytes.  A directory precedes what is in it, because a prefix sorts first.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (inode, (name, entry)) in self.0.iter().enumerate() {
            append(&mut out, inode, name, entry);
        }
        append(&mut out, 0, "TRAILER!!!", &Entry { mode: 0, bytes: Vec::new() });
        out
    }
}

/// The names along a path, without a root or dots.
fn names(path: &Path) -> impl Iterator<Item = &str> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    })
}

fn whole(path: &Path) -> String {
    names(path).collect::<Vec<_>>().join("/")
}

fn append(out: &mut Vec<u8>, inode: usize, name: &str, entry: &Entry) {
    let links = if entry.mode == DIRECTORY { 2 } else { 1 };
    let (uid, gid, time, major, minor, check) = (0, 0, 0, 0, 0, 0);
    let (file_bytes, name_bytes) = (entry.bytes.len(), name.len() + 1);
    out.extend_from_slice(MAGIC.as_bytes());
    out.extend_from_slice(
        format!(
            "{inode:08x}{:08x}{uid:08x}{gid:08x}{links:08x}{time:08x}{file_bytes:08x}{major:08x}{minor:08x}\
             {major:08x}{minor:08x}{name_bytes:08x}{check:08x}",
            entry.mode
        )
        .as_bytes(),
    );
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(&entry.bytes);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_of_one_file_has_the_bytes_of_the_format() {
        let mut archive = Archive::default();
        archive.file("/a/b", b"hi".to_vec());
        let expected = concat!(
            "070701",
            "00000000",
            "000041ed",
            "00000000",
            "00000000",
            "00000002",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000002",
            "00000000",
            "a\0",
            "070701",
            "00000001",
            "000081a4",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000002",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000004",
            "00000000",
            "a/b\0\0\0",
            "hi\0\0",
            "070701",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "0000000b",
            "00000000",
            "TRAILER!!!\0\0\0\0",
        );
        assert_eq!(String::from_utf8_lossy(&archive.bytes()), expected);
    }

    #[test]
    fn the_later_of_two_with_one_path_wins() {
        let mut archive = Archive::default();
        archive.link("bin/sh", "dash");
        archive.link("/bin/sh", "busybox");
        let bytes = archive.bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert!(archive.contains("/bin/sh"));
        assert!(text.contains("busybox") && !text.contains("dash"));
    }
}
