// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Page-aligned buffers for I/O that may not go to guest memory itself.
//!
//! Above: `kernel_io`, `space`.  Below: the allocator.  Never here: guest memory.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The length of one buffer in bytes: a larger transfer goes through it in pieces.
pub(crate) const BOUNCE_BYTES: usize = 256 * 1024;
/// Buffers of one channel.  More transfers that need one wait for their turn.
pub(crate) const BOUNCE_BUFFERS_MAX: usize = 8;

const PAGE_BYTES: usize = 4096;
const _: () = assert!(BOUNCE_BYTES.is_multiple_of(PAGE_BYTES));

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

/// One buffer.
pub(crate) struct Bounce(Vec<Page>);

impl Bounce {
    pub(crate) fn new() -> Option<Self> {
        let mut pages = Vec::new();
        pages.try_reserve_exact(BOUNCE_BYTES / PAGE_BYTES).ok()?;
        pages.resize(BOUNCE_BYTES / PAGE_BYTES, Page([0; PAGE_BYTES]));
        Some(Self(pages))
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_slice().as_mut_bytes()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }
}

/// The buffers of one channel.
#[derive(Default)]
pub(crate) struct BouncePool {
    free: Vec<Bounce>,
    made: usize,
}

impl BouncePool {
    /// Whether none is lent: then nobody will give one back, and who did not get one must not wait for it.
    pub(crate) fn is_whole(&self) -> bool {
        self.free.len() == self.made
    }

    /// A buffer, unless all are taken or the host has no memory for one.
    pub(crate) fn take(&mut self) -> Option<Bounce> {
        if let Some(buffer) = self.free.pop() {
            return Some(buffer);
        }
        if self.made == BOUNCE_BUFFERS_MAX {
            return None;
        }
        let buffer = Bounce::new()?;
        self.made += 1;
        Some(buffer)
    }

    pub(crate) fn give_back(&mut self, buffer: Bounce) {
        self.free.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::BouncePool;

    #[test]
    fn buffers_are_aligned_and_bounded() {
        let mut pool = BouncePool::default();
        let mut taken: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(taken.len(), 8);
        assert!(!pool.is_whole());
        assert_eq!(taken[0].bytes().len(), 262_144);
        assert_eq!(taken[0].bytes().as_ptr().addr() % 4096, 0);
        pool.give_back(taken.pop().unwrap());
        assert!(pool.take().is_some());
        assert!(pool.take().is_none());
        assert!(BouncePool::default().is_whole());
    }
}
