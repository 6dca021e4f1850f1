// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A range of guest memory that was looked up once: what a ring works on.
//!
//! Above: `ring`, `load`.  Below: the mapping that `memory` made.
//! Never here: meaning.  All accesses are checked against the range; a bug here panics, it does not stray.

use super::Memory;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// A checked way to one range of guest memory.  Offsets are in bytes from its start.
#[derive(Debug)]
pub struct Window {
    _memory: Arc<Memory>,
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns a share of the mapping it points into, and its accesses are raw copies or atomics.
unsafe impl Send for Window {}

impl Window {
    /// Covers `bytes` at `base`, which the caller has found inside one mapping of `memory`.
    pub(super) fn new(memory: Arc<Memory>, base: NonNull<u8>, bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).expect("a mapped range fits the address space");
        Self { _memory: memory, base, bytes }
    }

    /// Reads the little-endian field at `offset`, which is even.  `Ordering` as for an atomic load.
    #[must_use]
    pub fn load_u16(&self, offset: usize, ordering: Ordering) -> u16 {
        u16::from_le(self.atomic(offset).load(ordering))
    }

    /// Writes the little-endian field at `offset`, which is even.  `Ordering` as for an atomic store.
    pub fn store_u16(&self, offset: usize, value: u16, ordering: Ordering) {
        self.atomic(offset).store(value.to_le(), ordering);
    }

    /// Copies out of the range.
    pub fn read(&self, offset: usize, out: &mut [u8]) {
        self.check(offset, out.len());
        // SAFETY: the range was just checked; `out` is ours and cannot overlap the mapping.
        unsafe { std::ptr::copy_nonoverlapping(self.base.as_ptr().add(offset), out.as_mut_ptr(), out.len()) };
    }

    /// Copies into the range.
    pub fn write(&self, offset: usize, data: &[u8]) {
        self.check(offset, data.len());
        // SAFETY: as in `read`, the other way round.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.base.as_ptr().add(offset), data.len()) };
    }

    /// Sets every byte of the range.
    pub fn fill(&self, byte: u8) {
        // SAFETY: the whole range is inside the mapping.
        unsafe { std::ptr::write_bytes(self.base.as_ptr(), byte, self.bytes) };
    }

    fn atomic(&self, offset: usize) -> &AtomicU16 {
        self.check(offset, 2);
        // SAFETY: two bytes inside the live mapping; `check` asserts their alignment below.  Guest memory may change
        // under us at any time, which is what an atomic is for.
        unsafe {
            let field = self.base.as_ptr().add(offset).cast::<u16>();
            assert!(field.is_aligned(), "ring fields are placed on even addresses");
            AtomicU16::from_ptr(field)
        }
    }

    fn check(&self, offset: usize, bytes: usize) {
        let fits = offset.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        assert!(fits, "{bytes} bytes at {offset} leave a window of {}", self.bytes);
    }
}
