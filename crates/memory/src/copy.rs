// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Copies between guest memory and memory of our own. With `between`, the only CPU access to guest bytes here.
//!
//! Above: `io_buf`.
//! Below: nothing.
//! Never here: bounds; whoever calls has found the range inside a live mapping.
//!
//! Accesses are volatile, so each guest byte is read or written exactly once and the compiler may not assume
//! that a second look would show the same. They go by aligned words where the guest's side is aligned, which
//! it nearly always is; our side may lie anywhere.

const WORD_BYTES: usize = size_of::<u64>();
/// Words moved a turn of the loop; the compiler does not unroll volatile accesses by itself.
const UNROLL: usize = 4;

/// Copies guest bytes at `from` into `out`.
///
/// # Safety
/// `from..from + out.len()` lies inside one mapping that stays mapped and readable throughout the call. Others
/// may write to it meanwhile. `out` is no part of it.
pub(crate) unsafe fn read(from: *const u8, out: &mut [u8]) {
    let (head, rest) = out.split_at_mut(from.align_offset(WORD_BYTES).min(out.len()));
    let (mut blocks, mut at) = (rest.chunks_exact_mut(WORD_BYTES * UNROLL), from);
    // SAFETY: `at` runs through the caller's range exactly once, a byte or a word for as many bytes of `out`;
    // words are read only from where `align_offset` found the first aligned address, in steps of a word.
    unsafe {
        at = read_bytes(at, head);
        for block in &mut blocks {
            for word in block.chunks_exact_mut(WORD_BYTES) {
                word.copy_from_slice(&at.cast::<u64>().read_volatile().to_ne_bytes());
                at = at.add(WORD_BYTES);
            }
        }
        let mut words = blocks.into_remainder().chunks_exact_mut(WORD_BYTES);
        for word in &mut words {
            word.copy_from_slice(&at.cast::<u64>().read_volatile().to_ne_bytes());
            at = at.add(WORD_BYTES);
        }
        read_bytes(at, words.into_remainder());
    }
}

/// Copies `data` to guest bytes at `to`.
///
/// # Safety
/// As for [`read`], with the mapping writable.
pub(crate) unsafe fn write(to: *mut u8, data: &[u8]) {
    let (head, rest) = data.split_at(to.align_offset(WORD_BYTES).min(data.len()));
    let (blocks, mut at) = (rest.chunks_exact(WORD_BYTES * UNROLL), to);
    let words = blocks.remainder().chunks_exact(WORD_BYTES);
    let tail = words.remainder();
    // SAFETY: as in `read`.
    unsafe {
        at = write_bytes(at, head);
        for block in blocks {
            for word in block.chunks_exact(WORD_BYTES) {
                at.cast::<u64>().write_volatile(word_of(word));
                at = at.add(WORD_BYTES);
            }
        }
        for word in words {
            at.cast::<u64>().write_volatile(word_of(word));
            at = at.add(WORD_BYTES);
        }
        write_bytes(at, tail);
    }
}

/// Sets `bytes` guest bytes at `to` to `byte`.
///
/// # Safety
/// As for [`write`], with `bytes` for the length.
pub(crate) unsafe fn fill(to: *mut u8, byte: u8, bytes: usize) {
    let head = to.align_offset(WORD_BYTES).min(bytes);
    let words = (bytes - head) / WORD_BYTES;
    let word = u64::from_ne_bytes([byte; WORD_BYTES]);
    let mut at = to;
    // SAFETY: as in `read`; head, words and tail add up to `bytes`.
    unsafe {
        for _ in 0..head {
            at.write_volatile(byte);
            at = at.add(1);
        }
        for _ in 0..words {
            at.cast::<u64>().write_volatile(word);
            at = at.add(WORD_BYTES);
        }
        for _ in 0..bytes - head - words * WORD_BYTES {
            at.write_volatile(byte);
            at = at.add(1);
        }
    }
}

/// Returns the address after the bytes read.
///
/// # Safety
/// As for [`read`].
unsafe fn read_bytes(mut at: *const u8, out: &mut [u8]) -> *const u8 {
    for byte in out {
        // SAFETY: one byte of the caller's range for each byte of `out`.
        unsafe {
            *byte = at.read_volatile();
            at = at.add(1);
        }
    }
    at
}

/// Returns the address after the bytes written.
///
/// # Safety
/// As for [`write`].
unsafe fn write_bytes(mut at: *mut u8, data: &[u8]) -> *mut u8 {
    for byte in data {
        // SAFETY: one byte of the caller's range for each byte of `data`.
        unsafe {
            at.write_volatile(*byte);
            at = at.add(1);
        }
    }
    at
}

fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD_BYTES];
    word.copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every start and length around the borders of words and blocks, with sentinels on both sides.
    #[test]
    fn every_alignment_and_length_copies_exactly_its_bytes() {
        for start in 0..17 {
            for bytes in 0..90 {
                let guest: Vec<u8> = (0..128).collect();
                let mut out = vec![0xee; bytes];
                // SAFETY: the range lies inside `guest`, which lives on.
                unsafe { read(guest.as_ptr().add(start), &mut out) };
                assert_eq!(out, guest[start..start + bytes], "read {start}+{bytes}");

                let mut guest = vec![0xaa; 128];
                // SAFETY: the range lies inside `guest`, which is ours alone.
                unsafe { write(guest.as_mut_ptr().add(start), &out) };
                let mut expected = vec![0xaa; 128];
                expected[start..start + bytes].copy_from_slice(&out);
                assert_eq!(guest, expected, "write {start}+{bytes}");

                // SAFETY: as above.
                unsafe { fill(guest.as_mut_ptr().add(start), 0x55, bytes) };
                expected[start..start + bytes].fill(0x55);
                assert_eq!(guest, expected, "fill {start}+{bytes}");
            }
        }
    }
}
