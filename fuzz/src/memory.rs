// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory of a guest that lies, with what is not its own right beside it.
//!
//! Above: `chains`, `inflight`.
//! Below: memory files; they are written with `pwrite`, as another process would.
//! Never here: what the bytes mean.
//!
//! ```text
//! guest address        in the file          front end's address
//! 0x00_0000  0x8000    0x00230              0x7000_0000_0000    rings, requests, tables
//! 0x00_8000  0x45a0    0x09010              0x7100_0000_0000    data; the two are neighbours for the guest alone
//! 0x10_0000  0x2001    0x0e7f3              0x7200_0000_0000    data, at an odd place
//! ```
//! What lies between them in the file is mapped, because pages are, and is nobody's: it is filled with [`FOREIGN`] and
//! must stay so.  The same bytes fill another guest's memory, and must never be found in this one's.

use ::memory::{GuestAddress, GuestMemory, RegionSpec, UserAddress};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A byte that this guest cannot write.
const FOREIGN: u8 = 0xc5;
/// So many of them, aligned, are no accident.
const RUN: [u8; 8] = [FOREIGN; 8];

/// Guest address, bytes, place in the file, front end's address.
const REGIONS: [(u64, u64, u64, u64); 3] = [
    (0, 0x8000, 0x0230, 0x7000_0000_0000),
    (0x8000, 0x45a0, 0x9010, 0x7100_0000_0000),
    (0x10_0000, 0x2001, 0xe7f3, 0x7200_0000_0000),
];
const FILE_BYTES: u64 = 0x11000;

/// Where the first two regions meet.
pub(crate) const BORDER: u64 = REGIONS[1].0;
/// The end of the second.
pub(crate) const END: u64 = REGIONS[1].0 + REGIONS[1].1;
/// The third.
pub(crate) const APART: u64 = REGIONS[2].0;

/// The memory of the guest.
pub(crate) struct Guest {
    file: File,
    /// The file was cut short; what grows again is zero.
    cut: AtomicBool,
}

impl Guest {
    pub(crate) fn new() -> Self {
        let file = memory_file(FILE_BYTES);
        for (start, end) in between() {
            fill(&file, start, end);
        }
        Self { file, cut: AtomicBool::new(false) }
    }

    /// Maps it, all or without the last region; `None` where the file has become too short.
    pub(crate) fn map(&self, whole: bool) -> Option<Arc<GuestMemory>> {
        let regions = if whole { &REGIONS[..] } else { &REGIONS[..2] };
        let specs = regions.iter().map(|&(guest, bytes, file_offset, user)| RegionSpec {
            guest: GuestAddress(guest),
            user: UserAddress(user),
            bytes,
            file_offset,
            file: self.file.try_clone().expect("a descriptor").into(),
        });
        match GuestMemory::from_regions(specs.collect()) {
            Ok(memory) => Some(Arc::new(memory)),
            Err(error) => {
                assert!(self.cut.load(Ordering::Relaxed), "a good table: {error}");
                None
            }
        }
    }

    /// Writes what of `bytes` lies in memory.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) {
        for &(guest, length, file_offset, _) in &REGIONS {
            let Some(offset) = address.checked_sub(guest).filter(|offset| *offset < length) else { continue };
            let room = usize::try_from(length - offset).expect("small").min(bytes.len());
            let own: Vec<u8> =
                bytes[..room].iter().map(|&byte| if byte == FOREIGN { 0 } else { byte }).collect();
            let _ = self.file.write_at(&own, file_offset + offset);
        }
    }

    /// Whether the file was ever cut short.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Reads two bytes that lie in one region.
    pub(crate) fn u16(&self, address: u64) -> u16 {
        let mut bytes = [0; 2];
        self.read(address, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    /// Reads bytes that lie in one region.
    pub(crate) fn bytes(&self, address: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.read(address, &mut bytes);
        bytes
    }

    fn read(&self, address: u64, bytes: &mut [u8]) {
        for &(guest, length, file_offset, _) in &REGIONS {
            if let Some(offset) = address
                .checked_sub(guest)
                .filter(|offset| offset.saturating_add(bytes.len() as u64) <= length)
            {
                let _ = self.file.read_at(bytes, file_offset + offset);
            }
        }
    }

    /// Cuts the file short.
    pub(crate) fn truncate(&self, bytes: u64) {
        self.cut.store(true, Ordering::Relaxed);
        self.file.set_len(bytes.min(FILE_BYTES)).expect("a memory file");
    }

    /// Asserts that what is not the guest's is as it was, and not in the guest.
    pub(crate) fn check(&self) {
        let mut all = vec![0; usize::try_from(FILE_BYTES).expect("small")];
        let length = self.file.read_at(&mut all, 0).expect("a memory file");
        all.truncate(length);
        for (start, end) in between() {
            let (start, end) = (place(start).min(length), place(end).min(length));
            let foreign = &all[start..end];
            let is_cut = self.cut.load(Ordering::Relaxed);
            let is_whole = foreign.iter().all(|&byte| byte == FOREIGN || is_cut && byte == 0);
            assert!(is_whole, "bytes beside the guest's were written");
        }
        for &(_, bytes, file_offset, _) in &REGIONS {
            let (start, end) = (place(file_offset), place(file_offset + bytes));
            let own = all.get(start..end.min(length)).unwrap_or_default();
            let leaked = own.chunks_exact(8).any(|chunk| chunk == RUN);
            assert!(!leaked, "the guest has bytes that are not its own");
        }
    }
}

/// Another guest's memory: mapped, and never named.
pub(crate) struct Neighbour {
    file: File,
    _memory: GuestMemory,
}

impl Neighbour {
    const BYTES: u64 = 0x10000;

    pub(crate) fn new() -> Self {
        let file = memory_file(Self::BYTES);
        fill(&file, 0, Self::BYTES);
        let spec = RegionSpec {
            guest: GuestAddress(0),
            user: UserAddress(REGIONS[0].3),
            bytes: Self::BYTES,
            file_offset: 0,
            file: file.try_clone().expect("a descriptor").into(),
        };
        let memory = GuestMemory::from_regions(vec![spec]).expect("a good table");
        Self { file, _memory: memory }
    }

    /// Asserts that nobody wrote to it.
    pub(crate) fn check(&self) {
        let mut all = vec![0; place(Self::BYTES)];
        self.file.read_exact_at(&mut all, 0).expect("a memory file");
        assert!(all.chunks_exact(8).all(|chunk| chunk == RUN), "another guest's memory was written");
    }
}

/// What the front end calls a guest address; what is no memory stays what it is.
pub(crate) fn user_address(address: u64) -> u64 {
    let offset = |&(guest, bytes, _, user): &(u64, u64, u64, u64)| {
        address.checked_sub(guest).filter(|offset| *offset < bytes).map(|offset| user + offset)
    };
    REGIONS.iter().find_map(offset).unwrap_or(address)
}

/// A region as it is: guest address, bytes, place in the file, front end's address.
pub(crate) fn region(at: usize) -> (u64, u64, u64, u64) {
    REGIONS[at % REGIONS.len()]
}

/// A file of zeroes in memory.
pub(crate) fn memory_file(bytes: u64) -> File {
    let file = File::from(rustix::fs::memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("a memory file"));
    file.set_len(bytes).expect("room");
    file
}

fn fill(file: &File, start: u64, end: u64) {
    file.write_all_at(&vec![FOREIGN; place(end - start)], start).expect("a memory file");
}

/// What lies between the regions in the file.
fn between() -> impl Iterator<Item = (u64, u64)> {
    let ends = REGIONS.iter().map(|&(_, bytes, file_offset, _)| file_offset + bytes);
    let starts = std::iter::once(0).chain(ends);
    starts.zip(REGIONS.iter().map(|&(_, _, file_offset, _)| file_offset).chain(std::iter::once(FILE_BYTES)))
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("small")
}
