// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `ramdisk`: memory of the daemon.
//!
//! Above: `lunard` opens, `target` uses.
//! Below: `memory`; the disk is a memory map of its own, so guest bytes are copied straight across.
//! Never here: waiting.  Every operation ends where it begins; the kernel is asked only to take memory back.
//!
//! The contents go with the daemon.  They are shared memory, so they do not count as the daemon's own.

use crate::{
    Abilities, Backstore, BackstoreError, Channel, Completed, Discard, Extent, Geometry, Io, IoKind,
    OpenError, Submitted, Submitter, Token, space,
};
use memory::{GuestAddress, GuestMemory, IoBuf, RegionSpec, UserAddress, View};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fstat, ftruncate, memfd_create,
};
use rustix::io::Errno;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// The largest ramdisk in bytes.  Its pages are taken from the host as they are written.
pub const RAMDISK_BYTES_MAX: u64 = 1 << 40;

const RAMDISK_BLOCK_BYTES: u32 = 512;
/// The unit in which memory is given back, in bytes.
const RAMDISK_DISCARD_BYTES: u32 = 4096;
/// What is given back or filled with zeroes at once, in bytes: the reactor does it by itself.
const RAMDISK_DISCARD_BYTES_MAX: u64 = 32 << 20;

/// Memory as a disk.
pub struct Ramdisk {
    memory: Arc<GuestMemory>,
    /// What the memory is kept in; `nullio` keeps nothing.
    file: Option<Arc<File>>,
    geometry: Geometry,
}

impl Ramdisk {
    /// Makes a disk of `bytes` zeroes.  With `nullio` it keeps nothing: writes vanish, reads give zeroes.
    ///
    /// # Errors
    /// [`OpenError`] when the host does not give the memory, or `bytes` is 0 or above [`RAMDISK_BYTES_MAX`].
    pub fn new(bytes: u64, nullio: bool) -> Result<Self, OpenError> {
        let file = if nullio { None } else { Some(Arc::new(make_file()?)) };
        Self::of(file, bytes)
    }

    /// The first `bytes` of a file, which is made that large.
    fn of(file: Option<Arc<File>>, bytes: u64) -> Result<Self, OpenError> {
        let path = PathBuf::from("a ramdisk");
        if bytes < u64::from(RAMDISK_BLOCK_BYTES) {
            return Err(OpenError::TooSmall { path, bytes });
        }
        if bytes > RAMDISK_BYTES_MAX {
            return Err(OpenError::NoSpace { path, bytes, errno: Errno::FBIG });
        }
        let memory = file.as_deref().map_or_else(|| Ok(GuestMemory::empty()), |file| map(file, bytes))?;
        let geometry = Geometry {
            bytes,
            block_bytes: RAMDISK_BLOCK_BYTES,
            physical_block_bytes: RAMDISK_BLOCK_BYTES,
            alignment_bytes: 0,
            io_min_bytes: RAMDISK_BLOCK_BYTES,
            io_opt_bytes: 0,
            read_only: false,
            write_cache: false,
            rotational: false,
        };
        Ok(Self { memory: Arc::new(memory), file, geometry })
    }
}

fn refused(bytes: u64, errno: Errno) -> OpenError {
    OpenError::NoSpace { path: PathBuf::from("a ramdisk"), bytes, errno }
}

/// A file that can grow and never shrinks: what is mapped of it stays there.
fn make_file() -> Result<File, OpenError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("lunar-ramdisk", flags).map_err(|errno| refused(0, errno))?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL).map_err(|errno| refused(0, errno))?;
    Ok(File::from(file))
}

fn map(file: &File, bytes: u64) -> Result<GuestMemory, OpenError> {
    let sized = fstat(file).and_then(|stat| {
        // Never smaller, which its seal forbids as well.
        if u64::try_from(stat.st_size).unwrap_or(0) < bytes { ftruncate(file, bytes) } else { Ok(()) }
    });
    sized.map_err(|errno| refused(bytes, errno))?;
    let file = file.try_clone().map_err(|_| refused(bytes, Errno::MFILE))?;
    let file = file.into();
    let region =
        RegionSpec { guest: GuestAddress(0), user: UserAddress(0x1000), bytes, file_offset: 0, file };
    GuestMemory::from_regions(vec![region]).map_err(|_| refused(bytes, Errno::NOMEM))
}

impl Backstore for Ramdisk {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// A channel into the smaller disk does not lead to the new part: it is mapped anew.
    fn grown(&self, bytes: u64) -> Result<Arc<dyn Backstore>, OpenError> {
        Ok(Arc::new(Self::of(self.file.clone(), bytes.max(self.geometry.bytes))?))
    }

    fn shrunk(&self, bytes: u64) -> Result<Arc<dyn Backstore>, OpenError> {
        Ok(Arc::new(Self::of(self.file.clone(), bytes.min(self.geometry.bytes))?))
    }

    /// What is mapped stays mapped, and its memory is given back.
    fn cut(&self) -> std::io::Result<()> {
        let Some(file) = self.file.as_deref() else { return Ok(()) };
        let kept = self.geometry.bytes;
        let beyond = u64::try_from(fstat(file)?.st_size).unwrap_or(0).saturating_sub(kept);
        if beyond == 0 {
            return Ok(());
        }
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(file, punch, kept, beyond)?)
    }

    fn channel(&self, _key: u32) -> Box<dyn Channel> {
        Box::new(RamdiskChannel {
            view: View::new(Arc::clone(&self.memory)),
            range: IoBuf::new(),
            nullio: self.file.is_none(),
            file: self.file.clone(),
        })
    }

    fn abilities(&self) -> Abilities {
        let discard = Discard {
            granularity_bytes: RAMDISK_DISCARD_BYTES,
            alignment_bytes: 0,
            bytes_max: RAMDISK_DISCARD_BYTES_MAX,
            reads_zero: true,
        };
        Abilities { discard: Some(discard), zeroes: true }
    }

    fn extent(&self, offset: u64) -> Result<Extent, BackstoreError> {
        match &self.file {
            Some(file) => space::extent_of_file(file, offset, self.geometry.bytes),
            None => Ok(Extent { end: self.geometry.bytes, mapped: false }),
        }
    }

    fn zero(&self, offset: u64, bytes: u64, discard: bool) -> Result<(), BackstoreError> {
        match &self.file {
            Some(file) => space::zero(file, offset, bytes, discard, self.abilities()),
            None => Ok(()),
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), BackstoreError> {
        match &self.file {
            Some(file) => space::write_at(file, offset, data),
            None => Ok(()),
        }
    }

    fn flush(&self) -> Result<(), BackstoreError> {
        Ok(())
    }
}

struct RamdiskChannel {
    view: View,
    range: IoBuf,
    file: Option<Arc<File>>,
    nullio: bool,
}

impl RamdiskChannel {
    fn copy(&mut self, io: &Io) -> Result<(), BackstoreError> {
        if self.nullio {
            if io.kind == IoKind::Read {
                io.buffer.fill(0, 0, io.buffer.bytes());
            }
            return Ok(());
        }
        match (io.kind, &self.file) {
            (IoKind::Discard { bytes }, Some(file)) => return give_back(file, io.offset, bytes),
            (IoKind::WriteZeroes { bytes, .. }, _) => {
                self.at(io.offset, bytes)?;
                self.range.fill(0, 0, bytes);
                return Ok(());
            }
            _ => {}
        }
        self.at(io.offset, io.buffer.bytes())?;
        match io.kind {
            IoKind::Read => self.range.copy_into(&io.buffer),
            IoKind::Write { .. } => io.buffer.copy_into(&self.range),
            _ => 0,
        };
        Ok(())
    }

    /// Makes `range` that part of the disk.
    fn at(&mut self, offset: u64, bytes: u64) -> Result<(), BackstoreError> {
        self.range.clear();
        let bytes = u32::try_from(bytes).map_err(|_| BackstoreError::Internal)?;
        self.range.push(&self.view, GuestAddress(offset), bytes).map_err(|_| BackstoreError::Internal)
    }
}

/// Pages that are given back are zeroes when they are looked at next, through the map too.
fn give_back(file: &File, offset: u64, bytes: u64) -> Result<(), BackstoreError> {
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, punch, offset, bytes).map_err(|errno| BackstoreError::from_errno(errno, true))
}

impl Channel for RamdiskChannel {
    fn submit(&mut self, _submitter: &mut Submitter, io: Io, token: Token) -> Submitted {
        let result = self.copy(&io);
        Submitted::Done(Completed { token, buffer: io.buffer, result })
    }

    fn completed(&mut self, _: &mut Submitter, _operation: u32, _result: i32) -> Option<Completed> {
        None
    }

    fn in_flight(&self) -> usize {
        0
    }
}
