// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's RAM: memfds mapped here and handed to the back end.
//!
//! Above: `ring`, `exchange`, `load`, tests.  Below: memfd, mmap.
//! Never here: what the bytes mean.  No Rust reference to guest bytes is ever formed: the device writes them at will.
//! All `unsafe` of guest memory is in this file and in `window`.

mod allocator;
mod plan;
mod window;

use crate::error::Error;
use allocator::Allocator;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use plan::{Plan, RegionPlan};
pub use window::Window;

/// An address as the guest's processor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestAddress(pub u64);

impl GuestAddress {
    /// Returns the address `bytes` further on.  Wraps, so that hostile chains can be written.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

/// One region as the back end is told of it.
#[derive(Debug)]
pub struct Region {
    /// Where the guest sees it.
    pub guest: GuestAddress,
    /// Length in bytes; need not be whole pages.
    pub bytes: u64,
    /// Where the front end claims to have it mapped.  Nothing is mapped there in truth: a back end in this process
    /// that used the address as a pointer would be found out.
    pub user: u64,
    /// Where it begins in its file; need not be a page border.
    pub file_offset: u64,
    file: usize,
}

/// One memfd, mapped whole.
#[derive(Debug)]
struct File {
    fd: OwnedFd,
    base: NonNull<u8>,
    bytes: usize,
}

/// The guest's RAM.
#[derive(Debug)]
pub struct Memory {
    files: Vec<File>,
    regions: Vec<Region>,
    allocator: Mutex<Allocator>,
}

// SAFETY: the pointers lead to shared mappings that live as long as `self`; every access through them is a raw copy
// or an atomic, and the guest's bytes carry no invariant that a race could break.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Builds the memory that `plan` describes, filled with zeroes.
    ///
    /// # Errors
    /// [`Error::Plan`] for a plan that overlaps itself or is empty, [`Error::Host`] where memory is refused.
    pub fn create(plan: &Plan) -> Result<Arc<Self>, Error> {
        let (regions, file_lengths) = plan.lay_out()?;
        let files = file_lengths
            .iter()
            .map(|&bytes| File::create(bytes, plan.sealed))
            .collect::<Result<Vec<_>, _>>()?;
        let allocator =
            Mutex::new(Allocator::new(regions.iter().map(|region| (region.guest.0, region.bytes))));
        Ok(Arc::new(Self { files, regions, allocator }))
    }

    /// Returns the regions by rising guest address.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Returns the file that holds `region`.
    #[must_use]
    pub fn file(&self, region: &Region) -> BorrowedFd<'_> {
        self.files[region.file].fd.as_fd()
    }

    /// Takes `bytes` from wherever they are free in one region, starting at a multiple of `align` (a power of two).
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn allocate(self: &Arc<Self>, bytes: u64, align: u64) -> Result<GuestBuffer, Error> {
        let address = self.allocator().take(bytes, align).ok_or(Error::OutOfMemory { bytes })?;
        Ok(GuestBuffer { memory: Arc::clone(self), address: GuestAddress(address), bytes })
    }

    /// Takes exactly this range; it may cross from one region into the next if they touch.
    ///
    /// # Errors
    /// [`Error::Unmapped`] if a part of it is no memory or is in use.
    pub fn allocate_at(self: &Arc<Self>, address: GuestAddress, bytes: u64) -> Result<GuestBuffer, Error> {
        if !self.allocator().take_at(address.0, bytes) {
            return Err(Error::Unmapped { address, bytes });
        }
        Ok(GuestBuffer { memory: Arc::clone(self), address, bytes })
    }

    /// Returns an address with at least `bytes` of nothing at and after it.
    #[must_use]
    pub fn hole(&self, bytes: u64) -> GuestAddress {
        let mut candidate = 0_u64;
        for region in &self.regions {
            if region.guest.0.saturating_sub(candidate) >= bytes {
                break;
            }
            candidate = region.guest.0 + region.bytes;
        }
        GuestAddress(candidate)
    }

    /// Returns what the back end knows a range as, if it lies in one region.
    #[must_use]
    pub fn user_address(&self, address: GuestAddress, bytes: u64) -> Option<u64> {
        let (region, offset) = self.region_of(address)?;
        (bytes <= region.bytes - offset).then(|| region.user + offset)
    }

    /// Copies guest bytes out.
    ///
    /// # Errors
    /// [`Error::Unmapped`]; `out` may then be filled in part.
    pub fn read(&self, address: GuestAddress, out: &mut [u8]) -> Result<(), Error> {
        let bytes = out.len() as u64;
        let mut done = 0;
        while done < out.len() {
            let (source, room) =
                self.span(address.plus(done as u64)).ok_or(Error::Unmapped { address, bytes })?;
            let step = room.min(out.len() - done);
            // SAFETY: `span` returned `room >= step` readable bytes of a live mapping; `out` is ours and apart from it.
            unsafe { std::ptr::copy_nonoverlapping(source.as_ptr(), out[done..].as_mut_ptr(), step) };
            done += step;
        }
        Ok(())
    }

    /// Copies bytes into the guest.
    ///
    /// # Errors
    /// [`Error::Unmapped`]; the guest's bytes may then be changed in part.
    pub fn write(&self, address: GuestAddress, data: &[u8]) -> Result<(), Error> {
        let bytes = data.len() as u64;
        let mut done = 0;
        while done < data.len() {
            let (target, room) =
                self.span(address.plus(done as u64)).ok_or(Error::Unmapped { address, bytes })?;
            let step = room.min(data.len() - done);
            // SAFETY: as in `read`, the other way round.
            unsafe { std::ptr::copy_nonoverlapping(data[done..].as_ptr(), target.as_ptr(), step) };
            done += step;
        }
        Ok(())
    }

    /// Returns a fast way to one range, for rings.
    ///
    /// # Errors
    /// [`Error::Unmapped`] unless the range lies in one region.
    pub fn window(self: &Arc<Self>, address: GuestAddress, bytes: u64) -> Result<Window, Error> {
        let unmapped = Error::Unmapped { address, bytes };
        match self.span(address) {
            Some((base, room)) if bytes <= room as u64 => Ok(Window::new(Arc::clone(self), base, bytes)),
            _ => Err(unmapped),
        }
    }

    /// Truncates the file of `region`, as a hostile front end may, so that the back end's next touch past
    /// `bytes_left` of the region raises SIGBUS or EFAULT over there.  Whoever touches it here dies the same way:
    /// only the last region of a file is accepted, and only where nothing is allocated in what goes.
    ///
    /// # Errors
    /// [`Error::Plan`] for another region, memory in use or a sealed file; [`Error::Host`].
    pub fn truncate(&self, region: usize, bytes_left: u64) -> Result<(), Error> {
        let region = self.regions.get(region).ok_or(Error::Plan { detail: "no such region" })?;
        let file = &self.files[region.file];
        if region.file_offset + region.bytes != file.bytes as u64 {
            return Err(Error::Plan { detail: "only the last region of a file can be truncated" });
        }
        let gone = region.bytes.saturating_sub(bytes_left);
        if !self.allocator().take_at(region.guest.0 + region.bytes - gone, gone) {
            return Err(Error::Plan { detail: "memory in use cannot be truncated" });
        }
        rustix::fs::ftruncate(&file.fd, region.file_offset + bytes_left)
            .map_err(Error::host("ftruncate of guest RAM"))
    }

    fn allocator(&self) -> MutexGuard<'_, Allocator> {
        self.allocator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn region_of(&self, address: GuestAddress) -> Option<(&Region, u64)> {
        let after = self.regions.partition_point(|region| region.guest <= address);
        let region = self.regions.get(after.checked_sub(1)?)?;
        let offset = address.0 - region.guest.0;
        (offset < region.bytes).then_some((region, offset))
    }

    /// Returns where an address is mapped here and how many bytes follow in its region.
    fn span(&self, address: GuestAddress) -> Option<(NonNull<u8>, usize)> {
        let (region, offset) = self.region_of(address)?;
        let file = &self.files[region.file];
        let start = usize::try_from(region.file_offset + offset).ok()?;
        let room = usize::try_from(region.bytes - offset).ok()?;
        assert!(start + room <= file.bytes, "the plan put the region inside its file");
        // SAFETY: `start` lies inside the mapping of `file.bytes` bytes that begins at `base`.
        Some((unsafe { file.base.add(start) }, room))
    }
}

impl File {
    fn create(bytes: u64, sealed: bool) -> Result<Self, Error> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create("guest-ram", flags).map_err(Error::host("memfd_create"))?;
        rustix::fs::ftruncate(&fd, bytes).map_err(Error::host("ftruncate of guest RAM"))?;
        if sealed {
            let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
            rustix::fs::fcntl_add_seals(&fd, seals).map_err(Error::host("sealing guest RAM"))?;
        }
        let bytes = usize::try_from(bytes).map_err(|_| Error::OutOfMemory { bytes })?;
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, prot, flags, &fd, 0) }
            .map_err(Error::host("mapping guest RAM"))?;
        let base = NonNull::new(base.cast()).ok_or(Error::OutOfMemory { bytes: bytes as u64 })?;
        Ok(Self { fd, base, bytes })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and every user of it holds an `Arc<Memory>` that outlives its use.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping");
    }
}

/// A piece of guest memory that is ours until dropped.
#[derive(Debug)]
pub struct GuestBuffer {
    memory: Arc<Memory>,
    address: GuestAddress,
    bytes: u64,
}

impl GuestBuffer {
    /// Returns where the guest sees it.
    #[must_use]
    pub fn address(&self) -> GuestAddress {
        self.address
    }

    /// Returns its length.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies `data` to `offset`.
    ///
    /// # Errors
    /// [`Error::Unmapped`] where it would leave the buffer.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.check(offset, data.len() as u64)?;
        self.memory.write(self.address.plus(offset), data)
    }

    /// Copies from `offset` to `out`.
    ///
    /// # Errors
    /// [`Error::Unmapped`] where it would leave the buffer.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.check(offset, out.len() as u64)?;
        self.memory.read(self.address.plus(offset), out)
    }

    /// Returns a fast way to the whole buffer.
    ///
    /// # Errors
    /// [`Error::Unmapped`] where it crosses a region's border.
    pub fn window(&self) -> Result<Window, Error> {
        self.memory.window(self.address, self.bytes)
    }

    fn check(&self, offset: u64, bytes: u64) -> Result<(), Error> {
        let fits = offset.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        if fits { Ok(()) } else { Err(Error::Unmapped { address: self.address.plus(offset), bytes }) }
    }
}

impl Drop for GuestBuffer {
    fn drop(&mut self) {
        self.memory.allocator().give(self.address.0, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_touching_regions() -> Arc<Memory> {
        let regions = vec![RegionPlan::new(0x1_0000, 0x2340), RegionPlan::new(0x1_2340, 0x1000).skip(0x110)];
        Memory::create(&Plan { regions, sealed: true }).expect("memory")
    }

    #[test]
    fn a_copy_crosses_touching_regions() {
        let memory = two_touching_regions();
        let buffer = memory.allocate_at(GuestAddress(0x1_233e), 4).expect("range");
        buffer.write(0, &[1, 2, 3, 4]).expect("write");
        let mut back = [0; 2];
        memory.read(GuestAddress(0x1_2340), &mut back).expect("read");
        assert_eq!(back, [3, 4]);
        assert_eq!(memory.user_address(GuestAddress(0x1_233e), 2), Some(0x5000_0000_233e));
        assert_eq!(memory.user_address(GuestAddress(0x1_233e), 3), None);
    }

    #[test]
    fn the_file_holds_what_was_written_at_the_offset_the_back_end_is_told() {
        let memory = two_touching_regions();
        memory.write(GuestAddress(0x1_2340), b"lunar").expect("write");
        let second = &memory.regions()[1];
        assert_eq!((second.file_offset, second.user), (0x2450, 0x5010_0000_0000));
        let mut found = [0; 5];
        rustix::io::pread(memory.file(second), &mut found, 0x2450).expect("pread");
        assert_eq!(&found, b"lunar");
    }

    #[test]
    fn a_hole_is_outside_every_region() {
        let memory = two_touching_regions();
        assert_eq!(memory.hole(0x1_0000), GuestAddress(0));
        assert_eq!(memory.hole(0x1_0001), GuestAddress(0x1_3340));
        assert!(matches!(memory.read(GuestAddress(0x1_333f), &mut [0; 2]), Err(Error::Unmapped { .. })));
    }

    #[test]
    fn memory_in_use_is_not_given_twice() {
        let memory = two_touching_regions();
        let held = memory.allocate_at(GuestAddress(0x1_1000), 0x100).expect("range");
        assert!(memory.allocate_at(GuestAddress(0x1_10ff), 1).is_err());
        drop(held);
        assert!(memory.allocate_at(GuestAddress(0x1_10ff), 1).is_ok());
    }

    #[test]
    fn a_sealed_file_cannot_be_truncated_and_an_unsealed_one_can() {
        assert!(matches!(two_touching_regions().truncate(1, 0), Err(Error::Host { .. })));
        let plan = Plan { regions: vec![RegionPlan::new(0, 0x4000)], sealed: false };
        let memory = Memory::create(&plan).expect("memory");
        memory.truncate(0, 0x1000).expect("truncate");
        assert_eq!(rustix::fs::fstat(memory.file(&memory.regions()[0])).expect("stat").st_size, 0x1000);
        assert!(memory.allocate(0x1001, 1).is_err());
    }
}
