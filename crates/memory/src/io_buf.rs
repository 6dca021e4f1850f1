// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A scatter list over guest memory: what a request reads from, or writes to.
//!
//! Above: `virtqueue` fills it, `target` copies small answers through it, `backstore` hands it to the kernel.
//! Below: `guest_memory` finds the bytes, `copy` moves them.
//! Never here: the meaning of the bytes.

use crate::address::GuestAddress;
use crate::copy;
use crate::view::View;

/// Part of a range is not guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{guest} with {bytes} bytes is not all guest memory")]
pub struct Unmapped {
    /// Where the range begins.
    pub guest: GuestAddress,
    /// Its length.
    pub bytes: u32,
}

/// A list of ranges of guest memory, in order, read as one string of bytes.
///
/// It holds the memory map while it is not empty, so the ranges stay mapped however long an I/O takes, whatever the
/// front end does to its table meanwhile. Made to be reused: [`clear`](Self::clear) keeps the allocation.
///
/// What [`advance`](Self::advance) drops is remembered: an I/O eats its list, and whoever logs what it wrote asks
/// afterwards what the list was ([`DirtyLog::mark_list`](crate::DirtyLog::mark_list)).
///
/// Invariant: every segment lies inside one mapping of `view`, none is empty, and the lengths of those from `front` on
/// add up to `bytes`.
#[derive(Debug, Default)]
pub struct IoBuf {
    view: Option<View>,
    segments: Vec<libc::iovec>,
    /// Segments before this one were dropped by `advance`.
    front: usize,
    /// Bytes that `advance` dropped from the segment at `front`.
    cut: u64,
    /// Segments before this one were given away by `take_front`.
    begin: usize,
    bytes: u64,
    /// The region of the latest push: where the next one most likely lies.
    region: usize,
    /// Whether the last segment still ends where the latest push ended, so that a neighbour may extend it.
    can_merge: bool,
}

impl IoBuf {
    /// An empty list. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list with room for `segments` ranges.
    pub fn with_capacity(segments: usize) -> Self {
        Self { segments: Vec::with_capacity(segments), ..Self::default() }
    }

    /// Empties the list and lets go of the map; keeps the room.
    #[inline]
    pub fn clear(&mut self) {
        self.segments.clear();
        self.front = 0;
        self.cut = 0;
        self.begin = 0;
        self.bytes = 0;
        self.can_merge = false;
        self.view = None;
    }

    /// Appends `bytes` bytes of guest memory, split where regions meet and merged with the range before where they
    /// follow on. Zero bytes append nothing, wherever they are said to be.
    ///
    /// # Errors
    /// [`Unmapped`] if any byte lies outside of all regions; the list is as before then.
    ///
    /// # Panics
    /// If the list holds ranges of another view: one request has one map.
    #[inline]
    pub fn push(&mut self, view: &View, guest: GuestAddress, bytes: u32) -> Result<(), Unmapped> {
        if bytes == 0 {
            return Ok(());
        }
        match &self.view {
            Some(held) if self.bytes != 0 => assert!(held.is_same(view), "one request has one map"),
            Some(_) => {
                self.clear();
                self.view = Some(view.clone());
            }
            None => self.view = Some(view.clone()),
        }
        let memory = view.memory();
        if let Some(found) = memory.locate(guest, self.region)
            && u64::from(bytes) <= found.left_bytes
        {
            self.append(found.region, found.host.as_ptr(), bytes);
            return Ok(());
        }
        self.push_split(view, guest, bytes).ok_or(Unmapped { guest, bytes })
    }

    /// Length of the whole list in bytes.
    #[inline]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there is no byte in the list.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Number of ranges.
    #[inline]
    pub fn segments(&self) -> usize {
        self.iovecs().len()
    }

    /// The ranges as the kernel takes them. Valid for an I/O only as long as the list is left alone; they name memory
    /// that the guest may read and write at any time.
    #[inline]
    pub fn iovecs(&self) -> &[libc::iovec] {
        &self.segments[self.front..]
    }

    /// Copies bytes from `offset` on into `out`. Returns how many: fewer than `out` holds where the list ends first.
    pub fn copy_to(&self, offset: u64, out: &mut [u8]) -> usize {
        let mut done = 0;
        self.for_each_piece(offset, out.len(), |at, bytes| {
            // SAFETY: the piece lies inside a live mapping (invariant of the list, which holds the map), and
            // `out` is memory of our own.
            unsafe { copy::read(at, &mut out[done..done + bytes]) };
            done += bytes;
        });
        done
    }

    /// Copies `data` to the bytes from `offset` on. Returns how many bytes fit.
    pub fn copy_from(&self, offset: u64, data: &[u8]) -> usize {
        let mut done = 0;
        self.for_each_piece(offset, data.len(), |at, bytes| {
            // SAFETY: as in `copy_to`; mappings are writable.
            unsafe { copy::write(at, &data[done..done + bytes]) };
            done += bytes;
        });
        done
    }

    /// Sets `bytes` bytes from `offset` on to `byte`. Returns how many fit.
    pub fn fill(&self, offset: u64, byte: u8, bytes: u64) -> u64 {
        let mut done = 0;
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.for_each_piece(offset, wanted, |at, bytes| {
            // SAFETY: as in `copy_from`.
            unsafe { copy::fill(at, byte, bytes) };
            done += bytes as u64;
        });
        done
    }

    /// Another list of the same bytes, for one I/O after which this list is still wanted.
    #[must_use]
    pub fn share(&self) -> Self {
        Self {
            view: self.view.clone(),
            segments: self.iovecs().to_vec(),
            bytes: self.bytes,
            region: self.region,
            ..Self::default()
        }
    }

    /// Drops the first `bytes` bytes, or all if there are fewer.
    pub fn advance(&mut self, bytes: u64) {
        let mut left = bytes.min(self.bytes);
        self.bytes -= left;
        while left > 0
            && let Some(segment) = self.segments.get_mut(self.front)
        {
            let length = segment.iov_len as u64;
            if left < length {
                shrink_front(segment, left);
                self.cut += left;
                break;
            }
            left -= length;
            extend_front(segment, self.cut);
            self.cut = 0;
            self.front += 1;
        }
        if self.bytes == 0 {
            self.can_merge = false;
        }
    }

    /// Drops all but the first `bytes` bytes.
    pub fn truncate(&mut self, bytes: u64) {
        if bytes >= self.bytes {
            return;
        }
        if bytes == 0 {
            return self.clear();
        }
        let mut end = 0;
        let mut kept = self.front;
        for segment in &mut self.segments[self.front..] {
            kept += 1;
            let length = segment.iov_len as u64;
            if bytes - end <= length {
                shrink_back(segment, length - (bytes - end));
                break;
            }
            end += length;
        }
        self.segments.truncate(kept);
        self.bytes = bytes;
        self.can_merge = false;
    }

    /// Moves the first `bytes` bytes, or all if there are fewer, into `into`, which is cleared first.
    pub fn take_front(&mut self, bytes: u64, into: &mut IoBuf) {
        into.clear();
        let bytes = bytes.min(self.bytes);
        if bytes == 0 {
            return;
        }
        into.view.clone_from(&self.view);
        let mut left = bytes;
        for segment in self.iovecs() {
            let mut segment = *segment;
            let length = segment.iov_len as u64;
            if left < length {
                shrink_back(&mut segment, length - left);
            }
            left -= left.min(length);
            into.segments.push(segment);
            if left == 0 {
                break;
            }
        }
        into.bytes = bytes;
        self.advance(bytes);
        // The other list answers for them now.
        (self.begin, self.cut) = (self.front, 0);
        if self.bytes == 0 {
            self.clear();
        }
    }

    /// Whether every range begins and ends at a multiple of `mask + 1` (a power of two), as direct I/O wants it. The
    /// address is that of this process, which is what the kernel looks at.
    pub fn is_aligned(&self, mask: usize) -> bool {
        self.iovecs().iter().all(|segment| (segment.iov_base.addr() | segment.iov_len) & mask == 0)
    }

    /// Calls `visit` with the guest's address and the length of each range of the list, bytes that `advance` dropped
    /// included.
    pub(crate) fn for_each_guest_range(&self, mut visit: impl FnMut(GuestAddress, u64)) {
        let Some(view) = &self.view else { return };
        for (at, segment) in self.segments.iter().enumerate().skip(self.begin) {
            let mut segment = *segment;
            if at == self.front {
                extend_front(&mut segment, self.cut);
            }
            // Never `None`: every segment lies in the map, in one region.
            if let Some(guest) = view.memory().guest_of_host(segment.iov_base.cast()) {
                visit(guest, segment.iov_len as u64);
            }
        }
    }

    /// The slow way of `push`: the range spans regions, or is not all there.
    #[cold]
    fn push_split(&mut self, view: &View, guest: GuestAddress, bytes: u32) -> Option<()> {
        let (segments, before) = (self.segments.len(), self.bytes);
        let last = self.segments.last().copied();
        let (mut at, mut left) = (guest, bytes);
        while left > 0 {
            let Some(found) = view.memory().locate(at, self.region) else {
                self.undo(segments, last, before);
                return None;
            };
            let piece = u32::try_from(found.left_bytes).unwrap_or(u32::MAX).min(left);
            self.append(found.region, found.host.as_ptr(), piece);
            left -= piece;
            // Never saturates: a region ends inside the address space (`MapError::GuestOverflow`).
            at = GuestAddress(at.0.saturating_add(u64::from(piece)));
        }
        Some(())
    }

    fn undo(&mut self, segments: usize, last: Option<libc::iovec>, bytes: u64) {
        if bytes == 0 {
            return self.clear();
        }
        self.segments.truncate(segments);
        if let (Some(kept), Some(last)) = (self.segments.last_mut(), last) {
            *kept = last; // It may have been extended.
        }
        self.bytes = bytes;
        self.can_merge = false;
    }

    /// Appends a range of one region; not empty.
    #[inline]
    fn append(&mut self, region: usize, host: *mut u8, bytes: u32) {
        let length = bytes as usize;
        self.bytes += u64::from(bytes);
        // Neighbours of one region only: two mappings side by side are still two allocations.
        if self.can_merge
            && self.region == region
            && let Some(last) = self.segments.last_mut()
            && last.iov_base.cast::<u8>().wrapping_add(last.iov_len) == host
        {
            last.iov_len += length;
            return;
        }
        self.segments.push(libc::iovec { iov_base: host.cast(), iov_len: length });
        self.region = region;
        self.can_merge = true;
    }

    /// Calls `visit` with the address and length of each piece of `bytes` bytes from `offset` on, in order.
    fn for_each_piece(&self, offset: u64, bytes: usize, mut visit: impl FnMut(*mut u8, usize)) {
        let (mut skip, mut left) = (offset, bytes);
        for segment in self.iovecs() {
            if left == 0 {
                break;
            }
            let length = segment.iov_len as u64;
            if skip >= length {
                skip -= length;
                continue;
            }
            // Lossless: less than a length that came as `usize`.
            let start = usize::try_from(skip).unwrap_or(usize::MAX);
            let piece = (segment.iov_len - start).min(left);
            visit(segment.iov_base.cast::<u8>().wrapping_add(start), piece);
            skip = 0;
            left -= piece;
        }
    }
}

/// Drops the first `bytes` bytes of a range that has more.
fn shrink_front(segment: &mut libc::iovec, bytes: u64) {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(segment.iov_len);
    segment.iov_base = segment.iov_base.wrapping_byte_add(bytes);
    segment.iov_len -= bytes;
}

/// Takes back the `bytes` bytes that were dropped before a range.
fn extend_front(segment: &mut libc::iovec, bytes: u64) {
    let bytes = usize::try_from(bytes).unwrap_or(0);
    segment.iov_base = segment.iov_base.wrapping_byte_sub(bytes);
    segment.iov_len += bytes;
}

/// Drops the last `bytes` bytes of a range that has more.
fn shrink_back(segment: &mut libc::iovec, bytes: u64) {
    segment.iov_len -= usize::try_from(bytes).unwrap_or(usize::MAX).min(segment.iov_len);
}

#[cfg(test)]
mod tests;
