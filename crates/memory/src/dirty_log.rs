// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dirty log of a migration: which pages of a guest have been written to, a bit each.
//!
//! Above: `virtqueue`, which marks what it writes to used rings; the fabric, which marks buffers.
//! Below: `mapping`; the front end, which reads the log and clears it while we write.
//! Never here: whether logging is wanted, and any byte of the guest.
//!
//! ```text
//! page = guest address / 4096        byte = page / 8        bit = page % 8
//! ```
//!
//! A page is marked after it was written: the front end clears a bit before it copies the page, so a mark that came
//! first could be taken for a page that has not changed yet.  Marking is a locked operation with Release order, never a
//! look first whether the bit is there already: such a look may be done before what was written is seen.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::address::GuestAddress;
use crate::error::MappingError;
use crate::guest_memory::GuestMemory;
use crate::io_buf::IoBuf;
use crate::mapping::Mapping;

/// Bytes of guest memory that a bit stands for.
const PAGE_BYTES: u64 = 4096;
/// Bytes of guest memory that a byte of the log stands for.
const BYTE_COVERS: u64 = PAGE_BYTES * 8;
const WORD_BYTES: usize = size_of::<u64>();
/// The longest log that is mapped, in bytes: addresses have 52 bits on every machine there is.
pub const LOG_BYTES_MAX: u64 = (1 << 52) / BYTE_COVERS;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Longer than [`LOG_BYTES_MAX`].
    #[error("a dirty log of {bytes:#x} bytes is longer than {LOG_BYTES_MAX:#x}")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// It cannot be mapped.
    #[error("the dirty log cannot be mapped: {0}")]
    Mapping(#[from] MappingError),
}

/// A dirty log in memory that the front end shares.
///
/// Each byte of it is accessed by operations of one width only, so that no two of ours ever overlap in part.
#[derive(Debug)]
pub struct DirtyLog {
    mapping: Mapping,
    /// Bytes before the first aligned word, which are accessed one by one, and so are those after the last.
    head: usize,
    /// Where the last word ends.
    words_end: usize,
}

impl DirtyLog {
    /// Maps the log of `bytes` bytes that begins at `offset` of `file`; any alignment.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn map(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<Self, LogError> {
        if bytes > LOG_BYTES_MAX {
            return Err(LogError::TooLong { bytes });
        }
        let mapping = Mapping::map(file, offset, bytes)?;
        let head = mapping.start().as_ptr().align_offset(WORD_BYTES).min(mapping.bytes());
        let words_end = head + (mapping.bytes() - head) / WORD_BYTES * WORD_BYTES;
        Ok(Self { mapping, head, words_end })
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.mapping.bytes() as u64
    }

    /// The end of what it covers: the first guest address without a bit.
    pub fn covered_end(&self) -> u64 {
        // Does not overflow: `LOG_BYTES_MAX`.
        self.bytes() * BYTE_COVERS
    }

    /// Whether the front end has taken bytes of it away, and a mark has gone astray.
    pub fn is_broken(&self) -> bool {
        self.mapping.is_broken()
    }

    /// Marks the pages of `bytes` bytes from `guest` on.  What the log does not cover is left out: whoever uses a log
    /// sees to it that it covers the guest.
    pub fn mark(&self, guest: GuestAddress, bytes: u64) {
        let Some(last) = bytes.checked_sub(1).map(|more| guest.0.saturating_add(more)) else { return };
        let pages = self.bytes() * 8;
        if guest.0 / PAGE_BYTES >= pages {
            return;
        }
        let (first, last) = (guest.0 / PAGE_BYTES, (last / PAGE_BYTES).min(pages - 1));
        // Lossless: both are below the bits of a mapping.
        let byte_of = |page: u64| usize::try_from(page / 8).unwrap_or(usize::MAX);
        let (mut first_bit, last_byte, last_bit) = (first % 8, byte_of(last), last % 8);
        let mut at = byte_of(first);
        while at <= last_byte {
            if at >= self.head && at < self.words_end {
                let word = at - (at - self.head) % WORD_BYTES;
                let from = (at - word) as u64 * 8 + first_bit;
                let to =
                    if last_byte - word < WORD_BYTES { (last_byte - word) as u64 * 8 + last_bit } else { 63 };
                self.word(word).fetch_or(bits(from, to).to_le(), Ordering::Release);
                at = word + WORD_BYTES;
            } else {
                let to = if at == last_byte { last_bit } else { 7 };
                self.byte(at).fetch_or(bits(first_bit, to).to_le_bytes()[0], Ordering::Release);
                at += 1;
            }
            first_bit = 0;
        }
    }

    /// Marks the pages of a whole list, bytes that an I/O has moved past included.
    pub fn mark_list(&self, list: &IoBuf) {
        list.for_each_guest_range(|guest, bytes| self.mark(guest, bytes));
    }

    /// Marks every page of a guest.
    pub fn mark_all(&self, memory: &GuestMemory) {
        for region in memory.regions() {
            self.mark(region.guest, region.bytes);
        }
    }

    /// The byte at `at`, which is below the length and not part of a word.
    fn byte(&self, at: usize) -> &AtomicU8 {
        debug_assert!(at < self.mapping.bytes());
        // SAFETY: `at` is inside the mapping, which `self` keeps; everybody accesses it atomically: the front end is
        // another process, and we by this function or by `word`, never by both.
        unsafe { AtomicU8::from_ptr(self.mapping.start().as_ptr().wrapping_add(at)) }
    }

    /// The word at `at`, a multiple of its length behind `head` and below `words_end`.
    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at >= self.head && at < self.words_end && (at - self.head).is_multiple_of(WORD_BYTES));
        // SAFETY: as in `byte`; `head` is where the mapping is aligned to a word, and the last word ends inside it.
        unsafe { AtomicU64::from_ptr(self.mapping.start().as_ptr().wrapping_add(at).cast()) }
    }
}

/// Bits `from` to `to`, both below 64 and both included.
fn bits(from: u64, to: u64) -> u64 {
    u64::MAX << from & u64::MAX >> (63 - to)
}

#[cfg(test)]
mod tests;
