// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Follows a chain of descriptors and gathers its buffers (virtio 1.2, 2.7.4 and 2.7.5).
//!
//! Above: `ring`.
//! Below: `layout` reads descriptors, `memory` finds buffers.
//! Never here: the meaning of the buffers.

use memory::{GuestAddress, IoBuf, RegionHint, View};

use crate::error::ChainError;
use crate::layout::{Descriptor, IndirectTable, RingMemory, ScatteredTable, WholeTable};

/// Descriptors of a chain, and pieces of memory that they are, at most; those of an indirect table included. That
/// is what one `preadv` takes, and a buffer each for request and response.
pub const SEGMENTS_MAX: u16 = 1024 + 2;

/// Bytes of a chain, at most (2.7.5.1).
const CHAIN_BYTES_MAX: u64 = 1 << 32;

/// Follows the chain at `head`. On an error the lists hold part of it.
#[inline]
pub(crate) fn follow(
    ring: &RingMemory,
    allow_indirect: bool,
    head: u16,
    buffers: &mut Buffers<'_>,
) -> Result<(), ChainError> {
    let entries = ring.entries();
    let mut index = head;
    for _ in 0..entries {
        let out_of_range = ChainError::IndexOutOfRange { index, entries: u32::from(entries) };
        let descriptor = ring.descriptor(index).ok_or(out_of_range)?;
        if descriptor.is_indirect() {
            return follow_indirect(&descriptor, allow_indirect, buffers);
        }
        buffers.add(&descriptor)?;
        if !descriptor.has_next() {
            return Ok(());
        }
        index = descriptor.next;
    }
    Err(ChainError::Loop)
}

/// The end of a chain, in a table of its own. The WRITE flag of the descriptor that leads there means nothing
/// (2.7.5.3.2).
#[inline]
fn follow_indirect(
    descriptor: &Descriptor,
    allow_indirect: bool,
    buffers: &mut Buffers<'_>,
) -> Result<(), ChainError> {
    if !allow_indirect {
        return Err(ChainError::IndirectNotNegotiated);
    }
    if descriptor.has_next() {
        return Err(ChainError::IndirectNotLast);
    }
    let Descriptor { address: table, bytes, .. } = *descriptor;
    if bytes == 0 || !bytes.is_multiple_of(16) {
        return Err(ChainError::IndirectLength { bytes });
    }
    match WholeTable::find(table, bytes / 16, buffers.view, buffers.near) {
        Some(table) => follow_table(&table, buffers),
        None => follow_scattered(table, bytes, buffers),
    }
}

#[cold]
fn follow_scattered(table: GuestAddress, bytes: u32, buffers: &mut Buffers<'_>) -> Result<(), ChainError> {
    let unmapped = ChainError::IndirectUnmapped { table, bytes };
    let table = ScatteredTable::find(table, bytes / 16, buffers.view).ok_or(unmapped)?;
    follow_table(&table, buffers)
}

#[inline]
fn follow_table(table: &impl IndirectTable, buffers: &mut Buffers<'_>) -> Result<(), ChainError> {
    let entries = table.entries();
    let mut index = 0;
    for _ in 0..entries {
        let out_of_range = ChainError::IndexOutOfRange { index, entries };
        let descriptor = table.descriptor(index).ok_or(out_of_range)?;
        if descriptor.is_indirect() {
            return Err(ChainError::IndirectNested);
        }
        // Ends long before `entries` does if that is some millions: it counts.
        buffers.add(&descriptor)?;
        if !descriptor.has_next() {
            return Ok(());
        }
        index = descriptor.next;
    }
    Err(ChainError::Loop)
}

/// The buffers of one chain, as they come.
pub(crate) struct Buffers<'a> {
    view: &'a View,
    readable: &'a mut IoBuf,
    writable: &'a mut IoBuf,
    /// Where the last indirect table was.
    near: &'a mut RegionHint,
    descriptors: u16,
    bytes: u64,
    is_writing: bool,
}

impl<'a> Buffers<'a> {
    /// Starts a chain; the lists are empty.
    pub(crate) fn new(
        view: &'a View,
        readable: &'a mut IoBuf,
        writable: &'a mut IoBuf,
        near: &'a mut RegionHint,
    ) -> Self {
        Self { view, readable, writable, near, descriptors: 0, bytes: 0, is_writing: false }
    }

    /// Adds a buffer. One of no bytes adds none, and counts as a descriptor.
    #[inline]
    fn add(&mut self, descriptor: &Descriptor) -> Result<(), ChainError> {
        self.descriptors += 1; // At most one past the limit.
        self.bytes += u64::from(descriptor.bytes); // At most 2^32 a descriptor, so far from overflow.
        let list = if descriptor.is_writable() {
            self.is_writing = true;
            &mut *self.writable
        } else if self.is_writing {
            return Err(ChainError::ReadableAfterWritable);
        } else {
            &mut *self.readable
        };
        if self.descriptors > SEGMENTS_MAX {
            return Err(ChainError::TooLong);
        }
        if self.bytes > CHAIN_BYTES_MAX {
            return Err(ChainError::TooManyBytes);
        }
        list.push(self.view, descriptor.address, descriptor.bytes)?;
        // A buffer across regions is several pieces; a chain of such must not grow our lists without end.
        if self.readable.segments() + self.writable.segments() > usize::from(SEGMENTS_MAX) {
            return Err(ChainError::TooLong);
        }
        Ok(())
    }
}
