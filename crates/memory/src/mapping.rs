// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One file of another process, mapped: a region of guest memory, or a region shared with the front end.
//!
//! Above: `guest_memory`; `virtqueue`, for the inflight region.
//! Below: the kernel, `sigbus`.
//! Never here: addresses of the guest.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::fs::{FileType, FsWord, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::error::MappingError;
use crate::sigbus;

/// `f_type` of hugetlbfs (`linux/magic.h`). Such files map, and unmap, in whole huge pages only.
const HUGETLBFS_MAGIC: FsWord = 0x9584_58f6;

/// A range of a file, mapped shared, readable and writable, until dropped.
///
/// Left out of core dumps (a guest's secrets are not ours to write down) and of forked children.
#[derive(Debug)]
pub struct Mapping {
    /// Where the kernel's mapping begins: at the page, or huge page, that holds the first byte.
    base: NonNull<u8>,
    base_bytes: usize,
    /// Bytes from `base` to the first byte asked for.
    skew: usize,
    bytes: usize,
    shrink_sealed: bool,
    guard: sigbus::Guard,
}

// SAFETY: a mapping is an address range. All access goes through raw pointers whose users promise to race with
// nobody through references; unmapping happens once, in `drop`, when no other holder is left.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives away nothing but the range.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `bytes` bytes of `file` from `offset` on, which need not be aligned to anything.
    ///
    /// # Errors
    /// See [`MappingError`]; nothing stays mapped then.
    pub fn map(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<Self, MappingError> {
        if bytes == 0 {
            return Err(MappingError::Empty);
        }
        let needed_bytes = offset.checked_add(bytes).ok_or(MappingError::Overflow { offset, bytes })?;
        let page = page_bytes(file)?;
        check_length(file, needed_bytes)?;

        let base_offset = offset - offset % page;
        let base_bytes = needed_bytes
            .checked_next_multiple_of(page)
            .map(|end| end - base_offset)
            .and_then(|length| isize::try_from(length).ok())
            .ok_or(MappingError::Overflow { offset, bytes })?
            .unsigned_abs();
        let base = map_shared(file, base_offset, base_bytes)?;
        let page = usize::try_from(page).map_err(|_| MappingError::Overflow { offset, bytes })?;
        // From here on, dropping `mapping` unmaps.
        let mapping = Self {
            base,
            base_bytes,
            skew: usize::try_from(offset % page as u64)
                .map_err(|_| MappingError::Overflow { offset, bytes })?,
            bytes: usize::try_from(bytes).map_err(|_| MappingError::Overflow { offset, bytes })?,
            shrink_sealed: is_shrink_sealed(file),
            guard: sigbus::Guard::new(base, base_bytes, page),
        };
        mapping.advise(Advice::LinuxDontDump)?;
        mapping.advise(Advice::LinuxDontFork)?;
        Ok(mapping)
    }

    /// The first byte asked for. Valid for [`bytes`](Self::bytes) bytes while `self` lives; the other side reads
    /// and writes them at any time, so never make a reference of it.
    pub fn start(&self) -> NonNull<u8> {
        // SAFETY: `skew < base_bytes`: both come from one rounding, and `skew + bytes <= base_bytes`.
        unsafe { self.base.add(self.skew) }
    }

    /// Length in bytes, as asked for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the file is sealed against shrinking (`F_SEAL_SHRINK`): if so, it can never be cut short under us.
    pub fn is_shrink_sealed(&self) -> bool {
        self.shrink_sealed
    }

    /// Whether an access has hit a hole in the file, so that some of this memory is ours alone now and what is
    /// written there reaches nobody. Whoever depends on this mapping must give it up.
    pub fn is_broken(&self) -> bool {
        self.guard.is_broken()
    }

    fn advise(&self, advice: Advice) -> Result<(), MappingError> {
        // SAFETY: the range is our own mapping, and neither advice changes what it holds.
        unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.base_bytes, advice) }
            .map_err(|errno| os("madvise", errno))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Before `munmap`: once the range is free, a fault in it is somebody else's.
        self.guard.release();
        // SAFETY: the range is the one that `map_shared` got, unmapped only here; whoever used `start` had
        // promised to be done by now.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.base_bytes) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// File systems whose pages come from another process or another host: FUSE, NFS, CIFS, SMB2, 9P, Ceph, AFS.
const REMOTE_MAGICS: [u32; 7] =
    [0x6573_5546, 0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x00c3_6400, 0x5346_414f];

/// The unit in which `file` can be mapped: a page, on hugetlbfs a huge page.
fn page_bytes(file: BorrowedFd<'_>) -> Result<u64, MappingError> {
    let page = rustix::param::page_size() as u64;
    let fs = rustix::fs::fstatfs(file).map_err(|errno| os("fstatfs", errno))?;
    if is_remote(i128::from(fs.f_type)) {
        return Err(MappingError::Remote);
    }
    if fs.f_type != HUGETLBFS_MAGIC {
        return Ok(page);
    }
    let huge_page = u64::try_from(fs.f_bsize).unwrap_or(page);
    Ok(if huge_page.is_power_of_two() { huge_page.max(page) } else { page })
}

fn is_remote(file_system_magic: i128) -> bool {
    REMOTE_MAGICS.iter().any(|&magic| i128::from(magic) == file_system_magic)
}

fn check_length(file: BorrowedFd<'_>, needed_bytes: u64) -> Result<(), MappingError> {
    let stat = rustix::fs::fstat(file).map_err(|errno| os("fstat", errno))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let file_bytes = u64::try_from(stat.st_size).unwrap_or(0);
            if file_bytes < needed_bytes {
                return Err(MappingError::FileShort { needed_bytes, file_bytes });
            }
            Ok(())
        }
        // Persistent memory (/dev/dax) tells no length; the driver refuses to map past its end.
        FileType::CharacterDevice => Ok(()),
        _ => Err(MappingError::NotAFile),
    }
}

fn is_shrink_sealed(file: BorrowedFd<'_>) -> bool {
    // Only memfds have seals; any other file says EINVAL.
    rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
}

fn map_shared(file: BorrowedFd<'_>, offset: u64, bytes: usize) -> Result<NonNull<u8>, MappingError> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::SHARED | MapFlags::NORESERVE;
    // SAFETY: without MAP_FIXED the kernel chooses an address that nothing of ours occupies.
    let base = unsafe { rustix::mm::mmap(ptr::null_mut(), bytes, protection, flags, file, offset) }
        .map_err(|errno| os("mmap", errno))?;
    NonNull::new(base.cast()).ok_or_else(|| os("mmap", rustix::io::Errno::FAULT))
}

fn os(call: &'static str, errno: rustix::io::Errno) -> MappingError {
    MappingError::Os { call, source: io::Error::from(errno) }
}

#[cfg(test)]
pub(crate) mod tests;
