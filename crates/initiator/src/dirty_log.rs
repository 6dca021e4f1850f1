// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dirty log of a migration, as its front end makes, reads and clears it.
//!
//! Above: `guest`, tests.  Below: memfd, mmap.
//! Never here: which pages should be in it.

use crate::error::Error;
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of guest memory that a bit stands for.
pub const PAGE_BYTES: u64 = 4096;
const WORD_BYTES: usize = 8;

/// A log in shared memory.  It is cleared word by word, while the back end sets bits.
#[derive(Debug)]
pub struct DirtyLog {
    fd: OwnedFd,
    offset: u64,
    bytes: u64,
    base: NonNull<u8>,
    mapped: usize,
}

impl DirtyLog {
    /// Makes a log of `bytes` bytes at `offset` of a file that is called `name` in `/proc/self/maps`; both numbers are
    /// multiples of 8.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Host`].
    pub fn create(name: &str, offset: u64, bytes: u64) -> Result<Self, Error> {
        let whole = offset.checked_add(bytes).filter(|_| (offset | bytes).is_multiple_of(8) && bytes > 0);
        let whole = whole.ok_or(Error::Invalid { detail: "a log is made of whole words" })?;
        let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map_err(Error::host("memfd_create"))?;
        rustix::fs::ftruncate(&fd, whole).map_err(Error::host("ftruncate of a dirty log"))?;
        let mapped = usize::try_from(whole).map_err(|_| Error::OutOfMemory { bytes: whole })?;
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::NORESERVE);
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe { rustix::mm::mmap(std::ptr::null_mut(), mapped, prot, flags, &fd, 0) }
            .map_err(Error::host("mapping a dirty log"))?;
        let base = NonNull::new(base.cast()).ok_or(Error::OutOfMemory { bytes: whole })?;
        Ok(Self { fd, offset, bytes, base, mapped })
    }

    /// Makes one that covers guest addresses below `end`, as QEMU does: a whole number of words.
    ///
    /// # Errors
    /// As [`DirtyLog::create`].
    pub fn covering(end: u64) -> Result<Self, Error> {
        Self::create("dirty-log", 0, end.div_ceil(PAGE_BYTES * 64).max(1) * 8)
    }

    /// Returns the file that holds it.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns where it begins in its file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns its length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the numbers of the pages that are marked, and clears their bits.
    #[must_use]
    pub fn take(&self) -> BTreeSet<u64> {
        let mut pages = BTreeSet::new();
        let first = usize::try_from(self.offset).unwrap_or(0);
        for (at, page) in (first..self.mapped).step_by(WORD_BYTES).zip((0_u64..).step_by(64)) {
            // SAFETY: `at` is a multiple of 8 and a word from it on lies inside the mapping; the back end accesses it
            // atomically too.
            let word = unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(at).cast()) };
            let mut bits = u64::from_le(word.swap(0, Ordering::AcqRel));
            while bits != 0 {
                pages.insert(page + u64::from(bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
        pages
    }

    /// Cuts its file short, as a hostile front end may.  Not to be read afterwards.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn truncate(&self) -> Result<(), Error> {
        rustix::fs::ftruncate(&self.fd, 0).map_err(Error::host("ftruncate of a dirty log"))
    }
}

impl Drop for DirtyLog {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and nothing borrowed from it lives on.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.mapped) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping");
    }
}

// SAFETY: all access to the mapping is atomic, and it is unmapped once, when nobody has it any more.
unsafe impl Send for DirtyLog {}
// SAFETY: as above.
unsafe impl Sync for DirtyLog {}

#[cfg(test)]
mod tests {
    use super::DirtyLog;

    #[test]
    fn a_log_gives_the_pages_whose_bits_are_set_once() {
        let log = DirtyLog::create("log", 8, 16).expect("a log");
        rustix::io::pwrite(log.file(), &[0x21, 0, 0, 0, 0, 0, 0, 0x80, 0x02], 8).expect("written");
        assert_eq!(log.take().into_iter().collect::<Vec<_>>(), [0, 5, 63, 65]);
        assert!(log.take().is_empty());
        assert_eq!(DirtyLog::covering(0x4_0000).expect("a log").bytes(), 8);
        assert_eq!(DirtyLog::covering(0x4_0001).expect("a log").bytes(), 16);
    }
}
