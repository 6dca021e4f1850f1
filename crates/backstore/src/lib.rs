// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where blocks live.
//!
//! Above: `target`, which decides what is read and written, and `lunard`, which opens and closes.
//! Below: files and devices of the host, through `reactor`; guest memory as `memory`'s scatter lists.
//! Never here: SCSI.  A backstore knows bytes at offsets and failures with a cause; which sense that becomes
//! is not its business.
//!
//! A [`Backstore`] is the handle that any thread may hold.  A [`Channel`] is one reactor's way in: it is
//! used by that thread alone, never blocks, and gives every [`Token`] back exactly once.

mod aligned;
mod block;
mod calls;
#[cfg(feature = "test-utils")]
pub mod decorate;
mod discard_thread;
mod error;
mod file;
mod fuse;
mod host_lock;
mod kernel_io;
mod ramdisk;
mod size;
mod space;
mod sysfs;
mod token;

pub use block::{BlockDevice, BlockOptions, Device};
pub use error::{BackstoreError, OpenError};
pub use file::{FileOptions, FileStore, NewFile};
pub use host_lock::{Hold, HostLock};
pub use ramdisk::{RAMDISK_BYTES_MAX, Ramdisk};
pub use reactor::Submitter;
pub use space::{Abilities, Discard, Extent, copy_by_kernel};
pub use token::Token;

use memory::IoBuf;
use std::io;
use std::sync::Arc;

/// What is known of a backstore from the moment it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The capacity in bytes.
    pub bytes: u64,
    /// The smallest unit of I/O in bytes: a device's logical sector; 512 for files and memory.
    pub block_bytes: u32,
    /// The unit the medium writes without reading first, in bytes.  A multiple of `block_bytes`.
    pub physical_block_bytes: u32,
    /// Where the first aligned physical block begins, in bytes.
    pub alignment_bytes: u32,
    /// The smallest efficient I/O in bytes, or 0.
    pub io_min_bytes: u32,
    /// The most efficient I/O in bytes, or 0.
    pub io_opt_bytes: u32,
    /// Whether writes are refused by the backstore itself.
    pub read_only: bool,
    /// Whether a write that was answered may still be lost with the power, until a flush.
    pub write_cache: bool,
    /// Whether the medium rotates.
    pub rotational: bool,
}

/// Where a unit's blocks live: the handle that every thread may hold.
pub trait Backstore: Send + Sync {
    /// What it is.  Cheap, and the same for the life of the handle.
    fn geometry(&self) -> &Geometry;

    /// How large the medium is now, in bytes: a file or a device may have grown since it was opened, or been cut.  May
    /// wait for the host; never called on a reactor.
    ///
    /// # Errors
    /// What the system says.
    fn bytes_now(&self) -> io::Result<u64> {
        Ok(self.geometry().bytes)
    }

    /// Makes the medium at least `bytes` large, where it is not and can be, and durably so; returns it as it is then.
    /// Channels into files and devices that are open already lead to the new part as well.  Waits for the host; never
    /// called on a reactor.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::TooSmall`] for what is smaller and cannot be made larger from here.
    fn grown(&self, _bytes: u64) -> Result<Arc<dyn Backstore>, OpenError> {
        Err(OpenError::TooSmall { path: "a medium of a fixed size".into(), bytes: self.geometry().bytes })
    }

    /// The medium as it is when only its first `bytes` are shown; nothing beyond is lost before [`Backstore::cut`].  Channels
    /// into files that are open already lead there as well.  May wait for the host; never called on a reactor.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::TooSmall`] for what cannot be made smaller from here.
    fn shrunk(&self, _bytes: u64) -> Result<Arc<dyn Backstore>, OpenError> {
        Err(OpenError::TooSmall { path: "a medium of a fixed size".into(), bytes: self.geometry().bytes })
    }

    /// Gives up what the medium has beyond the bytes that it shows, for good.  Nothing may be under way there.  Waits for
    /// the host; never called on a reactor.
    ///
    /// # Errors
    /// What the system says.
    fn cut(&self) -> io::Result<()> {
        Ok(())
    }

    /// Opens this reactor's way in.  Called on the reactor's own thread; `key` is the number that the
    /// channel's operations carry through the kernel.
    fn channel(&self, key: u32) -> Box<dyn Channel>;

    /// What it can do beyond reading and writing.  Cheap, and the same for the life of the handle.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// Where the space at `offset`, a byte inside of [`Geometry::bytes`], ends, and whether any is taken for it.  May
    /// block.
    ///
    /// # Errors
    /// [`BackstoreError`]
    fn extent(&self, _offset: u64) -> Result<Extent, BackstoreError> {
        Ok(Extent { end: self.geometry().bytes, mapped: true })
    }

    /// The file that bytes can be copied from and to by the kernel, without passing through here.
    fn regular_file(&self) -> Option<&std::fs::File> {
        None
    }

    /// Fills the range with zeroes, and gives its space back where `discard` and it can be.  May block, for long.
    ///
    /// # Errors
    /// [`BackstoreError`]
    fn zero(&self, _offset: u64, _bytes: u64, _discard: bool) -> Result<(), BackstoreError> {
        Err(BackstoreError::Internal)
    }

    /// Writes `data`, whole blocks.  May block.
    ///
    /// # Errors
    /// [`BackstoreError`]
    fn write_at(&self, _offset: u64, _data: &[u8]) -> Result<(), BackstoreError> {
        Err(BackstoreError::Internal)
    }

    /// Brings everything that was written to stable storage.  May block.
    ///
    /// # Errors
    /// [`BackstoreError`]
    fn flush(&self) -> Result<(), BackstoreError> {
        Err(BackstoreError::Internal)
    }

    /// The lock that must be held while guests use it, where other processes can reach what it is kept in.
    fn host_lock(&self) -> Option<&Arc<HostLock>> {
        None
    }
}

/// One reactor's way in.  Never blocks.
pub trait Channel {
    /// Begins `io`.  The token comes back exactly once: in the result, or from [`Channel::completed`].
    ///
    /// The caller has checked that the range lies inside [`Geometry::bytes`] and that a read or write is
    /// neither empty nor unaligned to [`Geometry::block_bytes`].
    fn submit(&mut self, submitter: &mut Submitter, io: Io, token: Token) -> Submitted;

    /// Takes the completion of one of this channel's operations.
    fn completed(&mut self, submitter: &mut Submitter, operation: u32, result: i32) -> Option<Completed>;

    /// Operations that have begun and not ended.
    fn in_flight(&self) -> usize;
}

/// One operation.
#[derive(Debug)]
pub struct Io {
    /// What to do.
    pub kind: IoKind,
    /// Where, in bytes from the start.  0 for a flush.
    pub offset: u64,
    /// Guest memory to fill or to write from; empty for what moves no data.
    pub buffer: IoBuf,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoKind {
    /// Fills the buffer.
    Read,
    /// Writes the buffer.
    Write {
        /// Whether it must be on stable storage before it completes (FUA).
        durable: bool,
    },
    /// Brings everything that was written to stable storage.
    Flush,
    /// Gives the range's space back.  Only where [`Abilities::discard`] says that it can be.
    Discard {
        /// The length of the range.
        bytes: u64,
    },
    /// Fills the range with zeroes, and keeps its space.  Only where [`Abilities::zeroes`].
    WriteZeroes {
        /// The length of the range.
        bytes: u64,
        /// Whether they must be on stable storage before it completes.
        durable: bool,
    },
}

impl IoKind {
    /// Whether it changes what is read.
    #[must_use]
    pub const fn changes(&self) -> bool {
        match self {
            Self::Read | Self::Flush => false,
            Self::Write { .. } | Self::Discard { .. } | Self::WriteZeroes { .. } => true,
        }
    }
}

/// What became of [`Channel::submit`].
#[must_use]
#[derive(Debug)]
pub enum Submitted {
    /// It goes on; [`Channel::completed`] will tell.
    Queued,
    /// It has ended already.
    Done(Completed),
}

/// The end of an operation.
#[must_use]
#[derive(Debug)]
pub struct Completed {
    /// The caller's token.
    pub token: Token,
    /// The buffer, for reuse; what it describes is no longer the whole.
    pub buffer: IoBuf,
    /// How it went.  An error says nothing about how much was transferred.
    pub result: Result<(), BackstoreError>,
}
