// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver's end of a ring, for tests and benchmarks: it writes what it is told, sense or nonsense.
//!
//! Above: tests here and in `tests/`, the benchmark.
//! Below: a memory file, written with `pwrite`; so it needs no `unsafe` and sees what another process would see.
//! Never here: anything that the product uses. Failures are panics.
//!
//! ```text
//! guest address        front end's address    in the file
//! 0x0000_0000  1 MiB   0x7000_0000_0000       0          rings (see `DESC`, `AVAIL`, `USED`)
//! 0x0010_0000  1 MiB   0x7000_0010_0000       2 MiB      data; the two are neighbours for the guest
//! 0x0020_0000  1 MiB   0x7000_0020_0000       1 MiB      data; and not for us
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use memory::{GuestAddress, GuestMemory, RegionSpec, UserAddress, View};
use rustix::fs::MemfdFlags;

use crate::ring::{RingConfig, SplitRing};

/// Where the descriptor table is.
pub const DESC: u64 = 0;
/// Where the available ring is.
pub const AVAIL: u64 = 0x8_0000;
/// Where the used ring is.
pub const USED: u64 = 0xa_0000;
/// First byte of data memory.
pub const DATA: u64 = 0x10_0000;
/// Where the two data regions meet.
pub const BORDER: u64 = 0x20_0000;
/// First byte after all memory.
pub const END: u64 = 0x30_0000;
/// What the front end adds to a guest address.
pub const USER: u64 = 0x7000_0000_0000;

const MIB: u64 = 0x10_0000;

/// `VIRTQ_DESC_F_NEXT`.
pub const NEXT: u16 = 1;
/// `VIRTQ_DESC_F_WRITE`.
pub const WRITE: u16 = 2;
/// `VIRTQ_DESC_F_INDIRECT`.
pub const INDIRECT: u16 = 4;

/// A descriptor as a driver writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desc {
    /// Guest address of the buffer.
    pub address: u64,
    /// Length in bytes.
    pub bytes: u32,
    /// `NEXT`, `WRITE`, `INDIRECT`, or nonsense.
    pub flags: u16,
    /// Index of the next descriptor.
    pub next: u16,
}

impl Desc {
    /// The 16 bytes of the table.
    pub fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[0..8].copy_from_slice(&self.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.flags.to_le_bytes());
        bytes[14..16].copy_from_slice(&self.next.to_le_bytes());
        bytes
    }
}

/// A driver and its guest's memory.
#[derive(Debug)]
pub struct Driver {
    file: File,
    memory: Arc<GuestMemory>,
    entries: u16,
    available: u16,
}

impl Driver {
    /// A guest with a ring of `entries` entries, all zero.
    pub fn new(entries: u16) -> Self {
        let file = rustix::fs::memfd_create("lunar-test-guest", MemfdFlags::CLOEXEC).expect("a memory file");
        rustix::fs::ftruncate(&file, END).expect("room");
        let file = File::from(file);
        let memory = Arc::new(map(&file));
        Self { file, memory, entries, available: 0 }
    }

    /// The guest's memory as the device maps it.
    pub fn memory(&self) -> Arc<GuestMemory> {
        Arc::clone(&self.memory)
    }

    /// The same memory, mapped once more.
    pub fn map_again(&self) -> Arc<GuestMemory> {
        Arc::new(map(&self.file))
    }

    /// A view of the memory, for this thread.
    pub fn view(&self) -> View {
        View::new(self.memory())
    }

    /// The guest's memory as a file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What a front end would say about the ring: all features, from the beginning.
    pub fn config(&self) -> RingConfig {
        RingConfig {
            entries: self.entries,
            desc: UserAddress(USER + DESC),
            avail: UserAddress(USER + AVAIL),
            used: UserAddress(USER + USED),
            event_idx: false,
            indirect: true,
            version_1: true,
            next_avail: 0,
        }
    }

    /// Starts the device's end with [`config`](Self::config).
    pub fn start(&self) -> SplitRing {
        SplitRing::start(self.config(), self.memory(), None).expect("a good ring")
    }

    /// Writes guest memory.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, in_file(address)).expect("guest memory");
    }

    /// Reads guest memory.
    pub fn read<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, in_file(address)).expect("guest memory");
        bytes
    }

    /// Writes a descriptor of the ring's table.
    pub fn desc(&self, index: u16, desc: Desc) {
        self.desc_at(DESC + 16 * u64::from(index), desc);
    }

    /// Writes a descriptor anywhere.
    pub fn desc_at(&self, address: u64, desc: Desc) {
        self.write(address, &desc.encode());
    }

    /// Writes a table of descriptors linked in order, from the ring's own descriptor `head` on, and ends it.
    pub fn link(&self, head: u16, buffers: &[(u64, u32, u16)]) {
        self.link_at(DESC, head, buffers);
    }

    /// The same in an indirect table at `table`, and the ring's descriptor `head` that points to it.
    pub fn link_indirect(&self, head: u16, table: u64, buffers: &[(u64, u32, u16)]) {
        self.link_at(table, 0, buffers);
        let bytes = u32::try_from(16 * buffers.len()).expect("a short table");
        self.desc(head, Desc { address: table, bytes, flags: INDIRECT, next: 0 });
    }

    /// Offers a head: writes the ring's next element and moves the index.
    pub fn offer(&mut self, head: u16) {
        self.write_available(self.available, head);
        self.set_available_index(self.available.wrapping_add(1));
    }

    /// Writes the element where a free-running index points.
    pub fn write_available(&self, index: u16, head: u16) {
        let slot = u64::from(index % self.entries);
        self.write(AVAIL + 4 + 2 * slot, &head.to_le_bytes());
    }

    /// Moves the driver's index, here and in memory.
    pub fn set_available_index(&mut self, index: u16) {
        self.available = index;
        self.write(AVAIL + 2, &index.to_le_bytes());
    }

    /// Sets the driver's flags; 1 = no interrupt.
    pub fn set_available_flags(&self, flags: u16) {
        self.write(AVAIL, &flags.to_le_bytes());
    }

    /// Sets `used_event`.
    pub fn set_used_event(&self, event: u16) {
        self.write(AVAIL + 4 + 2 * u64::from(self.entries), &event.to_le_bytes());
    }

    /// The device's index.
    pub fn used_index(&self) -> u16 {
        u16::from_le_bytes(self.read(USED + 2))
    }

    /// Pretends that the device's index was moved.
    pub fn set_used_index(&self, index: u16) {
        self.write(USED + 2, &index.to_le_bytes());
    }

    /// The device's flags; 1 = no kick.
    pub fn used_flags(&self) -> u16 {
        u16::from_le_bytes(self.read(USED))
    }

    /// `avail_event`.
    pub fn available_event(&self) -> u16 {
        u16::from_le_bytes(self.read(USED + 4 + 8 * u64::from(self.entries)))
    }

    /// The element (head, bytes) where a free-running index points.
    pub fn used(&self, index: u16) -> (u32, u32) {
        let element: [u8; 8] = self.read(USED + 4 + 8 * u64::from(index % self.entries));
        let element = u64::from_le_bytes(element);
        (u32::try_from(element & 0xffff_ffff).unwrap(), u32::try_from(element >> 32).unwrap())
    }

    fn link_at(&self, table: u64, first: u16, buffers: &[(u64, u32, u16)]) {
        for (n, &(address, bytes, flags)) in (first..).zip(buffers) {
            let is_last = usize::from(n - first) + 1 == buffers.len();
            let flags = if is_last { flags } else { flags | NEXT };
            let next = if is_last { 0 } else { n + 1 };
            self.desc_at(table + 16 * u64::from(n), Desc { address, bytes, flags, next });
        }
    }
}

fn map(file: &File) -> GuestMemory {
    let region = |guest, file_offset| RegionSpec {
        guest: GuestAddress(guest),
        user: UserAddress(USER + guest),
        bytes: MIB,
        file_offset,
        file: file.try_clone().expect("a second descriptor").into(),
    };
    let regions = vec![region(0, 0), region(DATA, 2 * MIB), region(BORDER, MIB)];
    GuestMemory::from_regions(regions).expect("a good table")
}

/// Where a guest address is in the file. What begins in one region must end in it.
fn in_file(address: u64) -> u64 {
    match address / MIB {
        0 => address,
        1 => address + MIB,
        2 => address - MIB,
        _ => panic!("{address:#x} is not guest memory"),
    }
}
