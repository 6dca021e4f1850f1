// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The inflight region of vhost-user: which heads the driver waits for, kept where our death does not reach it.
//!
//! Above: `ring`, at its three places; the connection, which makes the region or takes it over.
//! Below: `memory`, which maps it.
//! Never here: the packed layout; the order in which requests may run again.
//!
//! The front end keeps the file while we are gone and hands it to our successor. Per queue, at multiples of 64 bytes
//! (vhost-user, "Inflight I/O tracking", split virtqueues; all little-endian):
//!
//! ```text
//!  0 features u64 (0)   8 version u16   10 desc_num u16   12 last_batch_head u16   14 used_idx u16
//! 16 + 16 * head:       inflight u8, 5 bytes padding, next u16, counter u64
//! ```
//!
//! | place | in | writes |
//! |---|---|---|
//! | 1 | `pop_batch` | `counter`, then `inflight = 1`: the head is ours |
//! | 2 | `push_used` | `next = last_batch_head`, then `last_batch_head = head`: the batch is a list |
//! | 3 | `publish` | after the ring's index moved: `inflight = 0` for the batch, then `used_idx` |
//!
//! A process that dies in place 3 leaves `used_idx` behind the ring's index; the difference is the length of the
//! batch, its heads are the first of the list, and they are answered, whatever their `inflight` says. A process that
//! dies anywhere else leaves heads with `inflight = 1`, all unanswered.
//!
//! Stores are in program order (Release), which is all that a successor needs: it runs after we are gone. The front
//! end can write here at any time; what we know ourselves is never read back.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};

use memory::Mapping;
use rustix::fs::{MemfdFlags, SealFlags};

use crate::crash::{self, Point};
use crate::error::{InflightError, RingError};
use crate::ring::QUEUE_ENTRIES_MAX;

/// Queues of a region, at most: the most a virtio-scsi device of QEMU has (1024), control and event queue.
pub const INFLIGHT_QUEUES_MAX: u16 = 1024 + 2;

const VERSION: u16 = 1;
const QUEUE_ALIGNMENT: usize = 64;
const HEADER_BYTES: usize = 16;
const VERSION_OFFSET: usize = 8;
const DESC_NUM_OFFSET: usize = 10;
const LAST_BATCH_HEAD_OFFSET: usize = 12;
const USED_INDEX_OFFSET: usize = 14;
const ENTRY_BYTES: usize = 16;
/// Offsets in an entry.
const INFLIGHT_OFFSET: usize = 0;
const NEXT_OFFSET: usize = 6;
const COUNTER_OFFSET: usize = 8;

/// The region of all queues of a connection.
#[derive(Clone, Debug)]
pub struct InflightRegion {
    mapping: Arc<Mapping>,
    queues: u16,
    entries: u16,
}

impl InflightRegion {
    /// Makes a region, empty, and the file to give to the front end (`GET_INFLIGHT_FD`; offset 0, length
    /// [`bytes`](Self::bytes)). The file is sealed: nobody can cut it short.
    ///
    /// # Errors
    /// The numbers are impossible, or the host has no memory left.
    pub fn create(queues: u16, entries: u16) -> Result<(Self, OwnedFd), InflightError> {
        let bytes = region_bytes(queues, entries)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("lunar-inflight", flags).map_err(std::io::Error::from)?;
        rustix::fs::ftruncate(&file, bytes).map_err(std::io::Error::from)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals).map_err(std::io::Error::from)?;
        let region = Self { mapping: Arc::new(Mapping::map(file.as_fd(), 0, bytes)?), queues, entries };
        Ok((region, file))
    }

    /// Takes over a region that the front end kept (`SET_INFLIGHT_FD`), new or used. What is in it is looked at when
    /// a ring starts.
    ///
    /// # Errors
    /// The numbers do not fit each other or the file.
    pub fn adopt(
        file: OwnedFd,
        mmap_size: u64,
        mmap_offset: u64,
        queues: u16,
        entries: u16,
    ) -> Result<Self, InflightError> {
        let needed_bytes = region_bytes(queues, entries)?;
        if mmap_size < needed_bytes {
            return Err(InflightError::TooShort { bytes: mmap_size, needed_bytes });
        }
        if !mmap_offset.is_multiple_of(8) {
            return Err(InflightError::Misaligned { offset: mmap_offset });
        }
        let mapping = Arc::new(Mapping::map(file.as_fd(), mmap_offset, needed_bytes)?);
        Ok(Self { mapping, queues, entries })
    }

    /// Length of the region in bytes.
    pub fn bytes(&self) -> u64 {
        self.mapping.bytes() as u64
    }

    /// The part of one queue, or `None` past the last. One ring at a time may have it.
    pub fn queue(&self, index: u16) -> Option<InflightQueue> {
        (index < self.queues).then(|| InflightQueue {
            mapping: Arc::clone(&self.mapping),
            start: usize::from(index) * queue_bytes(self.entries),
            entries: self.entries,
            counter: 0,
            last_batch_head: 0,
        })
    }
}

/// What one queue's part of the region tells a ring that starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resumption {
    /// It was never used.
    New,
    /// It cannot be about this ring; it was cleared.
    Stale,
    /// These heads are unanswered, in the order in which they were taken.
    Heads(Vec<u16>),
}

/// One queue's part of the region.
#[derive(Debug)]
pub struct InflightQueue {
    mapping: Arc<Mapping>,
    /// Where the part begins, in bytes.
    start: usize,
    entries: u16,
    /// The next head's place in the order of all heads ever taken.
    counter: u64,
    last_batch_head: u16,
}

impl InflightQueue {
    /// Heads that there is room for.
    pub fn entries(&self) -> u16 {
        self.entries
    }

    /// Whether a process that died may have left heads here that nobody has answered.
    pub fn is_used(&self) -> bool {
        let version = u16::from_le(self.u16_at(VERSION_OFFSET).load(Ordering::Acquire));
        let taken = |head| self.u8_at(self.entry(head) + INFLIGHT_OFFSET).load(Ordering::Relaxed) != 0;
        version != 0 && (0..self.entries).any(taken)
    }

    /// Takes up the work of whoever wrote here before, for a ring of `entries` entries whose used index is
    /// `used_index`, and whose driver has offered `offered` chains beyond it.
    pub(crate) fn resume(
        &mut self,
        entries: u16,
        used_index: u16,
        offered: u16,
    ) -> Result<Resumption, RingError> {
        if self.entries < entries {
            return Err(RingError::InflightTooSmall { tracked: self.entries, entries });
        }
        match u16::from_le(self.u16_at(VERSION_OFFSET).load(Ordering::Acquire)) {
            0 => {
                self.reset(used_index);
                Ok(Resumption::New)
            }
            VERSION => {
                match self.repair(entries, used_index).filter(|heads| heads.len() <= usize::from(offered)) {
                    Some(heads) => Ok(Resumption::Heads(heads)),
                    // The guest was reset while nobody served it, or the front end invents things. Running heads that
                    // this driver never offered would write into memory that is somebody else's by now.
                    None => {
                        self.reset(used_index);
                        Ok(Resumption::Stale)
                    }
                }
            }
            version => Err(RingError::InflightVersion { version }),
        }
    }

    /// Place 1: the head is taken.
    #[inline]
    pub(crate) fn take(&mut self, head: u16) {
        let entry = self.entry(head);
        self.u64_at(entry + COUNTER_OFFSET).store(self.counter.to_le(), Ordering::Relaxed);
        crash::pass(Point::Counted);
        self.u8_at(entry + INFLIGHT_OFFSET).store(1, Ordering::Release);
        self.counter = self.counter.wrapping_add(1);
    }

    /// Place 2: the head is part of the next batch.
    #[inline]
    pub(crate) fn link(&mut self, head: u16) {
        let entry = self.entry(head);
        self.u16_at(entry + NEXT_OFFSET).store(self.last_batch_head.to_le(), Ordering::Relaxed);
        crash::pass(Point::HalfLinked);
        self.u16_at(LAST_BATCH_HEAD_OFFSET).store(head.to_le(), Ordering::Release);
        self.last_batch_head = head;
    }

    /// Place 3: the driver sees the batch, up to `used_index`.
    #[inline]
    pub(crate) fn commit(&mut self, batch: &[u16], used_index: u16) {
        for &head in batch {
            self.u8_at(self.entry(head) + INFLIGHT_OFFSET).store(0, Ordering::Release);
            crash::pass(Point::Committing);
        }
        crash::pass(Point::Cleared);
        self.u16_at(USED_INDEX_OFFSET).store(used_index.to_le(), Ordering::Release);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.mapping.is_broken()
    }

    /// Finishes a place 3 that was cut off. Returns the heads still in flight, by their counters, or `None` where
    /// the region contradicts itself or the ring.
    fn repair(&mut self, entries: u16, used_index: u16) -> Option<Vec<u16>> {
        if u16::from_le(self.u16_at(DESC_NUM_OFFSET).load(Ordering::Relaxed)) != self.entries {
            return None;
        }
        let recorded = u16::from_le(self.u16_at(USED_INDEX_OFFSET).load(Ordering::Relaxed));
        let batch = used_index.wrapping_sub(recorded);
        if batch > entries {
            return None;
        }
        let last_batch_head = u16::from_le(self.u16_at(LAST_BATCH_HEAD_OFFSET).load(Ordering::Relaxed));
        let mut head = last_batch_head;
        for _ in 0..batch {
            if head >= entries {
                return None;
            }
            let entry = self.entry(head);
            self.u8_at(entry + INFLIGHT_OFFSET).store(0, Ordering::Release);
            crash::pass(Point::Repairing);
            head = u16::from_le(self.u16_at(entry + NEXT_OFFSET).load(Ordering::Relaxed));
        }
        self.u16_at(USED_INDEX_OFFSET).store(used_index.to_le(), Ordering::Release);
        crash::pass(Point::Repaired);
        self.last_batch_head = last_batch_head;
        self.unanswered(entries)
    }

    /// The heads in flight, by their counters. The counter goes on above the highest.
    fn unanswered(&mut self, entries: u16) -> Option<Vec<u16>> {
        let mut heads = Vec::new();
        for head in 0..self.entries {
            let entry = self.entry(head);
            if self.u8_at(entry + INFLIGHT_OFFSET).load(Ordering::Relaxed) == 0 {
                continue;
            }
            if head >= entries {
                return None;
            }
            heads.push((u64::from_le(self.u64_at(entry + COUNTER_OFFSET).load(Ordering::Relaxed)), head));
        }
        heads.sort_unstable();
        self.counter = heads.last().map_or(0, |(counter, _)| counter.wrapping_add(1));
        Some(heads.into_iter().map(|(_, head)| head).collect())
    }

    /// Starts anew with no head in flight. The version goes last: until it is there, all is still to be done.
    fn reset(&mut self, used_index: u16) {
        self.u16_at(VERSION_OFFSET).store(0, Ordering::Release);
        for head in 0..self.entries {
            self.u8_at(self.entry(head) + INFLIGHT_OFFSET).store(0, Ordering::Release);
            crash::pass(Point::Clearing);
        }
        self.u64_at(0).store(0, Ordering::Relaxed); // Features: there are none.
        self.u16_at(DESC_NUM_OFFSET).store(self.entries.to_le(), Ordering::Relaxed);
        self.u16_at(LAST_BATCH_HEAD_OFFSET).store(0, Ordering::Relaxed);
        self.u16_at(USED_INDEX_OFFSET).store(used_index.to_le(), Ordering::Release);
        self.counter = 0;
        self.last_batch_head = 0;
        self.u16_at(VERSION_OFFSET).store(VERSION.to_le(), Ordering::Release);
    }

    /// Where an entry begins, from the start of the part.
    ///
    /// # Panics
    /// If the head is beyond the region; rings that have such heads do not start.
    #[inline]
    fn entry(&self, head: u16) -> usize {
        assert!(head < self.entries, "head {head} in a region of {}", self.entries);
        HEADER_BYTES + ENTRY_BYTES * usize::from(head)
    }

    #[inline]
    fn u8_at(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: see `at`.
        unsafe { AtomicU8::from_ptr(self.at(offset)) }
    }

    #[inline]
    fn u16_at(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: see `at`; offsets of such fields are even, and the part begins at a multiple of 8.
        unsafe { AtomicU16::from_ptr(self.at(offset).cast()) }
    }

    #[inline]
    fn u64_at(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: see `at`; offsets of such fields are multiples of 8, and so is where the part begins.
        unsafe { AtomicU64::from_ptr(self.at(offset).cast()) }
    }

    /// A byte of this part. All offsets come from constants and `entry`, so they lie inside `queue_bytes`, which is
    /// inside the mapping (`queue` checked the index), and the mapping lives as long as `self`. Others write there
    /// too, from other processes: every access of ours is atomic.
    #[inline]
    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < queue_bytes(self.entries));
        self.mapping.start().as_ptr().wrapping_add(self.start + offset)
    }
}

/// Length of one queue's part: the next one begins there.
fn queue_bytes(entries: u16) -> usize {
    (HEADER_BYTES + ENTRY_BYTES * usize::from(entries)).next_multiple_of(QUEUE_ALIGNMENT)
}

/// Length of a region, at most 538 MB, of which the host gives only what is written to.
fn region_bytes(queues: u16, entries: u16) -> Result<u64, InflightError> {
    if queues == 0 || queues > INFLIGHT_QUEUES_MAX {
        return Err(InflightError::Queues { queues });
    }
    if entries == 0 || entries > QUEUE_ENTRIES_MAX {
        return Err(InflightError::Entries { entries });
    }
    Ok(u64::from(queues) * queue_bytes(entries) as u64)
}

#[cfg(test)]
mod tests;
