// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of all kinds, mapped.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::MemfdFlags;

use super::*;
use crate::copy;

pub(crate) fn memfd(bytes: u64) -> File {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("lunar-test", flags).unwrap();
    rustix::fs::ftruncate(&file, bytes).unwrap();
    File::from(file)
}

fn first_bytes<const N: usize>(mapping: &Mapping) -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: all tests map at least N bytes, and hold the mapping during the call.
    unsafe { copy::read(mapping.start().as_ptr(), &mut bytes) };
    bytes
}

#[test]
fn any_offset_and_length_can_be_mapped() {
    let file = memfd(0x10000);
    file.write_all_at(b"lunar", 0x2ffd).unwrap();
    for (offset, bytes) in [(0x2ffd, 5), (0x2ffd, 0xd003), (0x2ffd, 0x1000)] {
        let mapping = Mapping::map(file.as_fd(), offset, bytes).unwrap();
        assert_eq!(&first_bytes::<5>(&mapping), b"lunar", "{offset:#x}+{bytes:#x}");
        assert_eq!(mapping.bytes() as u64, bytes);
    }
}

#[test]
fn writes_reach_the_file() {
    let file = memfd(0x2000);
    let mapping = Mapping::map(file.as_fd(), 0xfff, 2).unwrap();
    // SAFETY: two bytes are mapped.
    unsafe { copy::write(mapping.start().as_ptr(), b"ab") };
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 0xffe).unwrap();
    assert_eq!(&bytes, b"\0ab\0");
}

#[test]
fn a_file_must_be_as_long_as_claimed_to_the_byte() {
    let file = memfd(0x1800);
    assert!(Mapping::map(file.as_fd(), 0x1000, 0x800).is_ok());
    let refused = Mapping::map(file.as_fd(), 0x1000, 0x801).unwrap_err();
    assert!(
        matches!(refused, MappingError::FileShort { needed_bytes: 0x1801, file_bytes: 0x1800 }),
        "{refused}"
    );
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let file = memfd(0x1000);
    let map = |offset, bytes| Mapping::map(file.as_fd(), offset, bytes).unwrap_err();
    assert!(matches!(map(0, 0), MappingError::Empty));
    assert!(matches!(map(1, u64::MAX), MappingError::Overflow { offset: 1, bytes: u64::MAX }));
    assert!(matches!(map(0, u64::MAX), MappingError::FileShort { .. }));
}

#[test]
fn descriptors_that_hold_no_memory_are_refused() {
    let (pipe, _other) = std::io::pipe().unwrap();
    let refused = Mapping::map(OwnedFd::from(pipe).as_fd(), 0, 4096).unwrap_err();
    assert!(matches!(refused, MappingError::NotAFile), "{refused}");
    let directory = File::open("/").unwrap();
    let refused = Mapping::map(directory.as_fd(), 0, 4096).unwrap_err();
    assert!(matches!(refused, MappingError::NotAFile), "{refused}");
}

#[test]
fn a_read_only_descriptor_is_refused_by_the_kernel() {
    let file = memfd(0x1000);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let read_only = File::open(path).unwrap();
    let refused = Mapping::map(read_only.as_fd(), 0, 4096).unwrap_err();
    let MappingError::Os { call, source } = refused else { panic!("{refused}") };
    assert_eq!((call, source.raw_os_error()), ("mmap", Some(13))); // EACCES
}

#[test]
fn seals_are_seen() {
    let file = memfd(0x1000);
    assert!(!Mapping::map(file.as_fd(), 0, 0x1000).unwrap().is_shrink_sealed());
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
    assert!(Mapping::map(file.as_fd(), 0, 0x1000).unwrap().is_shrink_sealed());
}

/// `VmFlags` of smaps: `dd` = not in core dumps, `dc` = not in forked children, `sh` = shared.
#[test]
fn guest_memory_stays_out_of_dumps_and_children() {
    let file = memfd(0x3000);
    let mapping = Mapping::map(file.as_fd(), 0, 0x3000).unwrap();
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{:x}-", mapping.start().as_ptr().addr());
    let area = smaps.lines().skip_while(|line| !line.starts_with(&start));
    let flags = area.skip(1).find_map(|line| line.strip_prefix("VmFlags:")).unwrap();
    for flag in ["dd", "dc", "sh"] {
        assert!(flags.split_whitespace().any(|found| found == flag), "{flag} in {flags}");
    }
}

#[test]
fn a_dropped_mapping_is_gone() {
    let file = memfd(0x3000);
    let mapping = Mapping::map(file.as_fd(), 0, 0x3000).unwrap();
    let count = || std::fs::read_to_string("/proc/self/maps").unwrap().matches("memfd:lunar-gone").count();
    assert_eq!(count(), 0);
    drop(mapping);
    let flags = MemfdFlags::CLOEXEC;
    let file = File::from(rustix::fs::memfd_create("lunar-gone", flags).unwrap());
    file.set_len(0x3000).unwrap();
    let mapping = Mapping::map(file.as_fd(), 0x1001, 0x1fff).unwrap();
    assert_eq!(count(), 1);
    drop(mapping);
    assert_eq!(count(), 0);
}

/// Needs a huge page, which few machines have to spare: then there is nothing to see.
#[test]
fn huge_pages_map_from_any_offset() {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
    let Ok(file) = rustix::fs::memfd_create("lunar-huge", flags) else { return };
    let file = File::from(file);
    file.set_len(0x20_0000).unwrap();
    match Mapping::map(file.as_fd(), 0x1234, 0x1000) {
        // mmap reserves nothing (NORESERVE), so only the alignment is tested; touching it could be a SIGBUS.
        Ok(mapping) => assert_eq!(mapping.start().as_ptr().addr() % 0x20_0000, 0x1234),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn memory_that_another_process_or_host_serves_is_told_from_ours() {
    for (magic, remote) in [
        (0x6573_5546, true),  // FUSE
        (0x6969, true),       // NFS
        (0x0102_1997, true),  // 9P
        (0x0102_1994, false), // tmpfs, and memfd
        (0x9584_58f6, false), // hugetlbfs
        (0xef53, false),      // ext4
        (0x5846_5342, false), // XFS
    ] {
        assert_eq!(super::is_remote(magic), remote, "{magic:#x}");
    }
}
