// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Copies from one scatter list to another.
//!
//! Above: `backstore`, whose ramdisk is a memory map of its own.
//! Below: `io_buf`.
//! Never here: a buffer in between, or a reference to either side's bytes.

use crate::io_buf::IoBuf;

impl IoBuf {
    /// Copies from the beginning of this list to the beginning of `to`, until either ends.  Returns how many
    /// bytes.  Others may read and write both meanwhile; then what arrives is a mixture, as with a disk.
    pub fn copy_into(&self, to: &IoBuf) -> u64 {
        let (sources, sinks) = (self.iovecs(), to.iovecs());
        let (mut source, mut sink) = ((0, 0), (0, 0));
        let mut done = 0;
        while let (Some(from), Some(into)) = (sources.get(source.0), sinks.get(sink.0)) {
            let bytes = (from.iov_len - source.1).min(into.iov_len - sink.1);
            // SAFETY: both pieces lie inside segments, which lie inside live mappings that the lists hold; the
            // offsets are below the segments' lengths and `bytes` does not pass either end.
            unsafe {
                let at = from.iov_base.cast::<u8>().add(source.1);
                across(at, into.iov_base.cast::<u8>().add(sink.1), bytes);
            }
            done += bytes as u64;
            step(&mut source, bytes, from.iov_len);
            step(&mut sink, bytes, into.iov_len);
        }
        done
    }
}

/// Moves a place (segment, offset in it) on by `bytes`, to the next segment at the end of this one.
fn step(place: &mut (usize, usize), bytes: usize, segment_bytes: usize) {
    place.1 += bytes;
    if place.1 == segment_bytes {
        *place = (place.0 + 1, 0);
    }
}

/// Copies `bytes` bytes by aligned words where both sides are aligned alike, each exactly once.
///
/// # Safety
/// Both ranges lie inside mappings that stay mapped and writable throughout the call.
unsafe fn across(mut from: *const u8, mut to: *mut u8, bytes: usize) {
    const WORD_BYTES: usize = size_of::<u64>();
    const UNROLL: usize = 8;
    let mut left = bytes;
    // SAFETY: both pointers move on by what was copied and `left` counts it; words only where both are aligned.
    unsafe {
        if (from.addr() | to.addr()).is_multiple_of(WORD_BYTES) {
            while left >= WORD_BYTES * UNROLL {
                for word in 0..UNROLL {
                    let value = from.cast::<u64>().add(word).read_volatile();
                    to.cast::<u64>().add(word).write_volatile(value);
                }
                (from, to) = (from.add(WORD_BYTES * UNROLL), to.add(WORD_BYTES * UNROLL));
                left -= WORD_BYTES * UNROLL;
            }
        }
        while left > 0 {
            to.write_volatile(from.read_volatile());
            (from, to) = (from.add(1), to.add(1));
            left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{GuestAddress, GuestMemory, IoBuf, RegionSpec, UserAddress, View};
    use std::sync::Arc;

    fn memory() -> View {
        let file = rustix::fs::memfd_create("between", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 8192).unwrap();
        let region = RegionSpec {
            guest: GuestAddress(0),
            user: UserAddress(0x10_0000),
            bytes: 8192,
            file_offset: 0,
            file,
        };
        View::new(Arc::new(GuestMemory::from_regions(vec![region]).unwrap()))
    }

    fn list(view: &View, ranges: &[(u64, u32)]) -> IoBuf {
        let mut list = IoBuf::new();
        for &(at, bytes) in ranges {
            list.push(view, GuestAddress(at), bytes).unwrap();
        }
        list
    }

    #[test]
    fn every_split_of_either_side_gives_the_same_bytes() {
        let view = memory();
        let pattern: Vec<u8> = (0..=255).cycle().take(1000).collect();
        list(&view, &[(0, 1000)]).copy_from(0, &pattern);
        for sources in [&[(0, 1000)][..], &[(0, 1), (1, 600), (601, 399)], &[(0, 512), (512, 488)]] {
            for sinks in [&[(4096, 1000)][..], &[(4096, 7), (5000, 993)], &[(4096, 512), (6000, 488)]] {
                let to = list(&view, sinks);
                to.fill(0, 0xee, 1000);
                assert_eq!(list(&view, sources).copy_into(&to), 1000);
                let mut out = [0; 1000];
                to.copy_to(0, &mut out);
                assert_eq!(out[..], pattern[..], "{sources:?} {sinks:?}");
            }
        }
    }

    #[test]
    fn the_shorter_side_ends_it() {
        let view = memory();
        assert_eq!(list(&view, &[(0, 100)]).copy_into(&list(&view, &[(4096, 64)])), 64);
        assert_eq!(list(&view, &[(0, 10)]).copy_into(&list(&view, &[(4096, 64)])), 10);
        assert_eq!(list(&view, &[]).copy_into(&list(&view, &[(4096, 64)])), 0);
    }
}
