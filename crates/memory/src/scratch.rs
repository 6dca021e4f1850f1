// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory of the device's own, as a scatter list: for what is read to be looked at, or written without being sent.
//!
//! Above: `vhost-scsi`, which lends it to commands.
//! Below: a map of its own, so that every I/O takes it as it takes a guest's memory.
//! Never here: a guest's memory.

use crate::{GuestAddress, GuestMemory, IoBuf, RegionSpec, UserAddress, View};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::sync::Arc;

/// The length of one piece in bytes: what a command works through more than that with.
pub const SCRATCH_BYTES: u32 = 128 * 1024;
/// Pieces of one pool.  Who wants one more waits until one is given back.
pub const SCRATCHES_MAX: u32 = 16;

/// One piece of memory, page aligned.  It is lent: see [`ScratchPool::give_back`].
#[derive(Debug)]
pub struct Scratch {
    view: View,
    slot: u32,
}

impl Scratch {
    /// A list of the first `bytes` bytes, at most [`SCRATCH_BYTES`].
    #[must_use]
    pub fn list(&self, bytes: u64) -> IoBuf {
        let mut list = IoBuf::new();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(SCRATCH_BYTES);
        let at = GuestAddress(u64::from(self.slot) * u64::from(SCRATCH_BYTES));
        let pushed = list.push(&self.view, at, bytes);
        debug_assert_eq!(pushed, Ok(()), "a slot lies in the map");
        list
    }

    /// Which piece of its pool it is.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

/// The pieces of one thread.
#[derive(Debug, Default)]
pub struct ScratchPool {
    view: Option<View>,
    free: Vec<u32>,
    /// Pieces that have been lent at least once.
    made: u32,
}

impl ScratchPool {
    /// Whether a piece can be had now, or never.
    #[must_use]
    pub fn has_free(&self) -> bool {
        !self.free.is_empty() || self.made < SCRATCHES_MAX
    }

    /// Lends a piece, whose contents are what its last holder left.  `None` when all are lent, or the host gives no memory.
    pub fn take(&mut self) -> Option<Scratch> {
        let view = match &self.view {
            Some(view) => view.clone(),
            None => self.view.insert(View::new(Arc::new(map()?))).clone(),
        };
        let slot = self.free.pop().or_else(|| (self.made < SCRATCHES_MAX).then_some(self.made))?;
        self.made = self.made.max(slot + 1);
        Some(Scratch { view, slot })
    }

    /// Takes a piece back.  Nothing may use it any more.
    pub fn give_back(&mut self, slot: u32) {
        debug_assert!(!self.free.contains(&slot), "a piece is given back once");
        self.free.push(slot);
    }
}

fn map() -> Option<GuestMemory> {
    let bytes = u64::from(SCRATCH_BYTES) * u64::from(SCRATCHES_MAX);
    let file = memfd_create("lunar-scratch", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).ok()?;
    ftruncate(&file, bytes).ok()?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).ok()?;
    let (guest, user) = (GuestAddress(0), UserAddress(0x1000));
    GuestMemory::from_regions(vec![RegionSpec { guest, user, bytes, file_offset: 0, file }]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_overlap_and_are_bounded() {
        let mut pool = ScratchPool::default();
        let lent: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(lent.len(), 16);
        assert!(!pool.has_free());
        for (at, scratch) in lent.iter().enumerate() {
            scratch.list(131_072).fill(0, u8::try_from(at).unwrap(), 131_072);
        }
        for (at, scratch) in lent.iter().enumerate() {
            let mut ends = [0xff; 2];
            scratch.list(1).copy_to(0, &mut ends[..1]);
            scratch.list(131_072).copy_to(131_071, &mut ends[1..]);
            assert_eq!(ends, [u8::try_from(at).unwrap(); 2]);
            assert!(scratch.list(131_072).is_aligned(4095));
        }
        pool.give_back(lent[3].slot());
        assert_eq!(pool.take().map(|scratch| scratch.slot()), Some(3));
        assert!(pool.take().is_none());
    }
}
