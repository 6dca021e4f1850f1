// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bytes of a split ring (virtio 1.2, 2.7) and the only access to them.
//!
//! Above: `ring`, `chain`.
//! Below: `memory`, which finds them.
//! Never here: any rule about what the bytes may say.
//!
//! ```text
//! descriptor table   16 * entries       addr u64, len u32, flags u16, next u16
//! available ring     6 + 2 * entries    flags u16, idx u16, ring[entries] u16, used_event u16
//! used ring          6 + 8 * entries    flags u16, idx u16, ring[entries] {id u32, len u32}, avail_event u16
//! ```
//!
//! Addresses are resolved when the ring starts, so an access is a load or a store and no look-up. Words that order
//! other accesses (`idx`) or race by design (`flags`, events) are atomics; the `&AtomicU16` made for such an access
//! is the one reference to guest memory that may exist, since it promises nothing about who else writes. All else
//! is volatile and read once.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use memory::{DirtyLog, GuestAddress, GuestMemory, HostRange, IoBuf, RegionHint, UserAddress, View};

use crate::crash::{self, Point};
use crate::error::{RingError, RingPart};
use crate::ring::{QUEUE_ENTRIES_MAX, RingConfig};

/// Length of a descriptor.
pub(crate) const DESCRIPTOR_BYTES: usize = 16;
const USED_ELEMENT_BYTES: usize = 8;
/// Offsets in both the available and the used ring.
const FLAGS_OFFSET: usize = 0;
const INDEX_OFFSET: usize = 2;
const ELEMENTS_OFFSET: usize = 4;
/// Length of `flags`, `idx` and the event together.
const RING_WORDS_BYTES: usize = 6;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// `VIRTQ_AVAIL_F_NO_INTERRUPT` (2.7.6): the driver wants no notification.
pub(crate) const NO_INTERRUPT: u16 = 1;
/// `VIRTQ_USED_F_NO_NOTIFY` (2.7.8): we want no kick.
pub(crate) const NO_NOTIFY: u16 = 1;

/// A descriptor, copied out of guest memory: from here on nobody changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) address: GuestAddress,
    pub(crate) bytes: u32,
    pub(crate) next: u16,
    flags: u16,
}

impl Descriptor {
    /// Takes apart the two words of a descriptor, already in our byte order.
    #[expect(clippy::cast_possible_truncation, reason = "the second word is three fields side by side")]
    fn from_words(address: u64, rest: u64) -> Self {
        let (bytes, flags, next) = (rest as u32, (rest >> 32) as u16, (rest >> 48) as u16);
        Self { address: GuestAddress(address), bytes, next, flags }
    }

    pub(crate) fn has_next(&self) -> bool {
        self.flags & NEXT != 0
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.flags & WRITE != 0
    }

    pub(crate) fn is_indirect(&self) -> bool {
        self.flags & INDIRECT != 0
    }
}

/// The three areas of one ring.
#[derive(Debug)]
pub(crate) struct RingMemory {
    descriptors: NonNull<u8>,
    available: NonNull<u8>,
    used: NonNull<u8>,
    entries: u16,
    /// `entries - 1` where that is a mask, else 0.
    mask: u16,
    /// Keeps the areas mapped.
    memory: Arc<GuestMemory>,
    /// Where writes to the used ring are logged, if they are.
    log: Option<UsedLog>,
}

/// The dirty log of a used ring.
#[derive(Clone, Debug)]
pub(crate) struct UsedLog {
    pub(crate) log: Arc<DirtyLog>,
    /// The guest's address of the used ring.
    pub(crate) used: GuestAddress,
}

// SAFETY: the pointers lie in mappings that `memory` keeps, which are good on any thread; one thread at a time has
// the ring.
unsafe impl Send for RingMemory {}

impl RingMemory {
    /// Finds the areas. Each lies in one region and is aligned as 2.7 asks.
    pub(crate) fn resolve(config: &RingConfig, memory: Arc<GuestMemory>) -> Result<Self, RingError> {
        let entries = config.entries;
        if entries == 0 || entries > QUEUE_ENTRIES_MAX {
            return Err(RingError::Entries { entries });
        }
        let find = |part, address: UserAddress, bytes, alignment| {
            let range =
                memory.host_of_user(address, bytes).ok_or(RingError::Unmapped { part, address, bytes })?;
            // The address in this process: it decides whether our loads are legal, and is that of the front end but
            // for whole pages, or the front end maps its guest in a way that no machine would.
            if !range.ptr.as_ptr().addr().is_multiple_of(alignment) {
                return Err(RingError::Misaligned { part, address, alignment });
            }
            Ok(range.ptr)
        };
        // The event at the end of either ring is counted in, whether negotiated or not, since it may be at any time
        // (SET_FEATURES repeats). Every driver we know of leaves room for it.
        let count = u64::from(entries);
        let descriptors = find(RingPart::Descriptors, config.desc, 16 * count, 16)?;
        let available = find(RingPart::Available, config.avail, 6 + 2 * count, 2)?;
        let used = find(RingPart::Used, config.used, used_bytes(entries) as u64, 4)?;
        let mask = if entries.is_power_of_two() { entries - 1 } else { 0 };
        Ok(Self { descriptors, available, used, entries, mask, memory, log: None })
    }

    /// Logs writes to the used ring from now on, or logs them no more.
    pub(crate) fn set_log(&mut self, log: Option<UsedLog>) {
        self.log = log;
        // All of it: a process that died may have written what it did not live to mark.
        self.mark(0, used_bytes(self.entries));
    }

    /// Where writes to the used ring are logged.
    pub(crate) fn log(&self) -> Option<&UsedLog> {
        self.log.as_ref()
    }

    /// Logs a write to the used ring, after it was done.
    #[inline]
    fn mark(&self, offset: usize, bytes: usize) {
        if let Some(log) = &self.log {
            log.mark(offset, bytes);
        }
    }

    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    pub(crate) fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// Reads a descriptor of the ring's own table.
    #[inline]
    pub(crate) fn descriptor(&self, index: u16) -> Option<Descriptor> {
        if index >= self.entries {
            return None;
        }
        // SAFETY: `resolve` found 16 * entries bytes, aligned to 16, and `index < entries`; `memory` keeps them.
        Some(unsafe { read_descriptor(self.descriptors.as_ptr(), usize::from(index)) })
    }

    /// The driver's index. What it wrote before it is seen after this (2.7.13.3).
    #[inline]
    pub(crate) fn available_index(&self) -> u16 {
        u16::from_le(self.available_word(INDEX_OFFSET).load(Ordering::Acquire))
    }

    /// The driver's flags.
    #[inline]
    pub(crate) fn available_flags(&self) -> u16 {
        u16::from_le(self.available_word(FLAGS_OFFSET).load(Ordering::Relaxed))
    }

    /// `used_event` (2.7.10): the driver wants a notification when our index passes it.
    #[inline]
    pub(crate) fn used_event(&self) -> u16 {
        let offset = ELEMENTS_OFFSET + 2 * usize::from(self.entries);
        u16::from_le(self.available_word(offset).load(Ordering::Relaxed))
    }

    /// The head that the driver put where free-running `index` says.
    #[inline]
    pub(crate) fn available_head(&self, index: u16) -> u16 {
        let offset = ELEMENTS_OFFSET + 2 * self.slot(index);
        // SAFETY: `slot` is below `entries`, and `resolve` found 6 + 2 * entries bytes, aligned to 2.
        u16::from_le(unsafe { self.available.as_ptr().add(offset).cast::<u16>().read_volatile() })
    }

    /// Our index as the driver sees it. Only we write it; read when a ring starts.
    pub(crate) fn used_index(&self) -> u16 {
        u16::from_le(self.used_word(INDEX_OFFSET).load(Ordering::Relaxed))
    }

    /// Puts an element where free-running `index` says; not visible until the index passes it.
    #[inline]
    pub(crate) fn write_used(&mut self, index: u16, head: u16, bytes: u32) {
        let offset = ELEMENTS_OFFSET + USED_ELEMENT_BYTES * self.slot(index);
        // SAFETY: `slot` is below `entries`, and `resolve` found 6 + 8 * entries bytes, aligned to 4.
        unsafe {
            let element = self.used.as_ptr().add(offset).cast::<u32>();
            element.write_volatile(u32::from(head).to_le());
            crash::pass(Point::HalfUsed);
            element.add(1).write_volatile(bytes.to_le());
        }
        self.mark(offset, USED_ELEMENT_BYTES);
    }

    /// Moves our index; everything written before it is seen by a driver that sees it (2.7.14).
    #[inline]
    pub(crate) fn store_used_index(&mut self, index: u16) {
        self.used_word(INDEX_OFFSET).store(index.to_le(), Ordering::Release);
        self.mark(INDEX_OFFSET, 2);
    }

    /// Sets our flags.
    pub(crate) fn store_used_flags(&mut self, flags: u16) {
        self.used_word(FLAGS_OFFSET).store(flags.to_le(), Ordering::Relaxed);
        self.mark(FLAGS_OFFSET, 2);
    }

    /// Sets `avail_event` (2.7.10): we want a kick when the driver's index passes it.
    #[inline]
    pub(crate) fn store_available_event(&mut self, index: u16) {
        let offset = ELEMENTS_OFFSET + USED_ELEMENT_BYTES * usize::from(self.entries);
        self.used_word(offset).store(index.to_le(), Ordering::Relaxed);
        self.mark(offset, 2);
    }

    /// The place of a free-running index. Where `entries` does not divide 65536 (only QEMU has such rings, and
    /// virtio 1.2, 2.7 forbids them) the places jump when the index wraps; QEMU's own devices and the drivers that
    /// meet them count that way too.
    #[inline]
    fn slot(&self, index: u16) -> usize {
        usize::from(if self.mask != 0 { index & self.mask } else { index % self.entries })
    }

    #[inline]
    fn available_word(&self, offset: usize) -> &AtomicU16 {
        debug_assert!(offset + 2 <= RING_WORDS_BYTES + 2 * usize::from(self.entries));
        // SAFETY: the callers' offsets are even and inside the area that `resolve` found, aligned to 2; it stays
        // mapped while `self` lives. Others access it too, atomically: they are other machines to this program.
        unsafe { AtomicU16::from_ptr(self.available.as_ptr().add(offset).cast()) }
    }

    #[inline]
    fn used_word(&self, offset: usize) -> &AtomicU16 {
        debug_assert!(offset + 2 <= RING_WORDS_BYTES + USED_ELEMENT_BYTES * usize::from(self.entries));
        // SAFETY: as in `available_word`.
        unsafe { AtomicU16::from_ptr(self.used.as_ptr().add(offset).cast()) }
    }
}

impl UsedLog {
    #[cold]
    fn mark(&self, offset: usize, bytes: usize) {
        // Does not wrap: whoever set the log saw that it covers the whole used ring.
        self.log.mark(GuestAddress(self.used.0.saturating_add(offset as u64)), bytes as u64);
    }
}

/// Length of a used ring, its event included.
pub(crate) fn used_bytes(entries: u16) -> usize {
    RING_WORDS_BYTES + USED_ELEMENT_BYTES * usize::from(entries)
}

/// An indirect table (2.7.5.3): copies a descriptor out, `None` past the last one.
pub(crate) trait IndirectTable {
    fn entries(&self) -> u32;
    fn descriptor(&self, index: u16) -> Option<Descriptor>;
}

/// A table in one region and aligned, as drivers have it.
pub(crate) struct WholeTable<'view> {
    range: HostRange,
    entries: u32,
    /// Keeps the range mapped.
    _view: &'view View,
}

impl<'view> WholeTable<'view> {
    /// Finds the table of `entries` descriptors at `table`. `None` where it is not all in one region, or is oddly
    /// placed.
    #[inline]
    pub(crate) fn find(
        table: GuestAddress,
        entries: u32,
        view: &'view View,
        near: &mut RegionHint,
    ) -> Option<Self> {
        let range = view.memory().host_of_guest(table, table_bytes(entries), near)?;
        let is_aligned = range.ptr.cast::<u64>().is_aligned();
        is_aligned.then_some(Self { range, entries, _view: view })
    }
}

impl IndirectTable for WholeTable<'_> {
    #[inline]
    fn entries(&self) -> u32 {
        self.entries
    }

    #[inline]
    fn descriptor(&self, index: u16) -> Option<Descriptor> {
        if u32::from(index) >= self.entries {
            return None;
        }
        // SAFETY: `find` saw 16 * entries bytes in one region, aligned to 8, and `index < entries`; the view keeps
        // the region.
        Some(unsafe { read_descriptor(self.range.ptr.as_ptr(), usize::from(index)) })
    }
}

/// A table across regions, or at an odd address. Nobody has those, so they may be slow.
pub(crate) struct ScatteredTable {
    buf: IoBuf,
    entries: u32,
}

impl ScatteredTable {
    /// Finds the table of `entries` descriptors at `table`. `None` where it is not all guest memory.
    pub(crate) fn find(table: GuestAddress, entries: u32, view: &View) -> Option<Self> {
        let mut buf = IoBuf::new();
        let bytes = u32::try_from(table_bytes(entries)).ok()?;
        buf.push(view, table, bytes).ok()?;
        Some(Self { buf, entries })
    }
}

impl IndirectTable for ScatteredTable {
    fn entries(&self) -> u32 {
        self.entries
    }

    fn descriptor(&self, index: u16) -> Option<Descriptor> {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        let copied = self.buf.copy_to(table_bytes(u32::from(index)), &mut bytes);
        if copied < DESCRIPTOR_BYTES {
            return None;
        }
        let words = u128::from_le_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "the lower and the upper half")]
        let (address, rest) = (words as u64, (words >> 64) as u64);
        Some(Descriptor::from_words(address, rest))
    }
}

fn table_bytes(entries: u32) -> u64 {
    DESCRIPTOR_BYTES as u64 * u64::from(entries)
}

/// Copies a descriptor, each byte read once.
///
/// # Safety
/// `table` is aligned to 8 and has at least `index + 1` descriptors, mapped throughout the call.
#[inline]
unsafe fn read_descriptor(table: *const u8, index: usize) -> Descriptor {
    // SAFETY: the caller's promise. Volatile: the driver may write to it at this very moment, and then we get some
    // mixture, which is checked like any other descriptor.
    let (address, rest) = unsafe {
        let words = table.add(DESCRIPTOR_BYTES * index).cast::<u64>();
        (words.read_volatile(), words.add(1).read_volatile())
    };
    Descriptor::from_words(u64::from_le(address), u64::from_le(rest))
}
