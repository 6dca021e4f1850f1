// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a backstore can do with space: give it back, fill it with zeroes, say where there is none.
//!
//! Above: `target` tells guests, and asks.
//! Below: `file`, `block` and `ramdisk` find out.
//! Never here: a promise that the medium does not make.

use crate::aligned::{BOUNCE_BYTES, Bounce};
use crate::{Backstore, BackstoreError};
use rustix::fs::{FallocateFlags, SeekFrom, copy_file_range, fallocate, fdatasync, fstat, fstatvfs, seek};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// What a backstore can do beyond reading and writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// How space is given back, where it can be.
    pub discard: Option<Discard>,
    /// Whether zeroes can be written without being sent ([`IoKind::WriteZeroes`](crate::IoKind::WriteZeroes)).
    pub zeroes: bool,
    /// Whether space is taken as it is written, from a store that others take from as well: [`Space`] says how much is left.
    pub shares_space: bool,
    /// What is written whole or not at all ([`IoKind::WriteWhole`](crate::IoKind::WriteWhole)), where anything is.
    pub atomic: Option<Atomic>,
}

/// Writes that are whole or not at all: of a power of two of bytes, and at a multiple of their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atomic {
    /// The shortest, in bytes.
    pub bytes_min: u32,
    /// The longest, in bytes.
    pub bytes_max: u32,
}

/// The space of a store that others take from as well, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What may still be taken, by whoever comes first.
    pub available: u64,
    /// What is taken for this medium.
    pub used: u64,
    /// Which store it is: others that have this number take from it too.
    pub store: u64,
}

/// The space of a regular file's file system.
pub(crate) fn of_file_system(file: &File) -> Result<Space, Errno> {
    let (whole, own) = (fstatvfs(file)?, fstat(file)?);
    Ok(Space {
        total: whole.f_blocks.saturating_mul(whole.f_frsize),
        available: whole.f_bavail.saturating_mul(whole.f_frsize),
        used: u64::try_from(own.st_blocks).unwrap_or(0).saturating_mul(512),
        store: own.st_dev,
    })
}

/// How space is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discard {
    /// The unit in which space is given back, in bytes; what is smaller is overwritten or left alone.
    pub granularity_bytes: u32,
    /// Where the first such unit begins, in bytes.
    pub alignment_bytes: u32,
    /// The most bytes that the medium takes at once; 0 says nothing.
    pub bytes_max: u64,
    /// Whether what was given back reads as zeroes, all of it.
    pub reads_zero: bool,
}

/// Bytes side by side that are all of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where the next one begins, in bytes; behind the place that was asked about.
    pub end: u64,
    /// Whether space is taken for them.
    pub mapped: bool,
}

/// What a regular file can do: every file system that can punch holes reads them as zeroes.
///
/// It is tried behind the end of the file, where there is nothing to lose.
pub(crate) fn of_file(file: &File) -> Abilities {
    let Ok(stat) = fstat(file) else { return Abilities::default() };
    let behind = u64::try_from(stat.st_size).unwrap_or(0).next_multiple_of(FILE_GRANULARITY_MAX);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if fallocate(file, punch, behind, FILE_GRANULARITY_MAX).is_err() {
        return Abilities::default();
    }
    let unit = u64::try_from(stat.st_blksize).unwrap_or(0).min(FILE_GRANULARITY_MAX);
    let discard = Discard {
        granularity_bytes: u32::try_from(unit).unwrap_or(0).max(512),
        alignment_bytes: 0,
        bytes_max: 0,
        reads_zero: true,
    };
    Abilities { discard: Some(discard), zeroes: true, shares_space: true, atomic: None }
}

/// Fills a range of an open file or device with zeroes, and gives its space back where `discard` and that is known to
/// be possible.
pub(crate) fn zero(
    file: &File,
    offset: u64,
    bytes: u64,
    discard: bool,
    abilities: Abilities,
) -> Result<(), BackstoreError> {
    let to = |errno| BackstoreError::from_errno(errno, true);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if discard && abilities.discard.is_some_and(|discard| discard.reads_zero) {
        return fallocate(file, punch, offset, bytes).map_err(to);
    }
    if abilities.zeroes {
        let zero = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match fallocate(file, zero, offset, bytes) {
            Err(Errno::OPNOTSUPP) => {
                fallocate(file, punch, offset, bytes)
                    .and_then(|()| fallocate(file, FallocateFlags::KEEP_SIZE, offset, bytes))
                    .map_err(to)?;
            }
            done => done.map_err(to)?,
        }
        return Ok(());
    }
    let mut buffer = Bounce::new().ok_or(BackstoreError::Internal)?;
    let (mut at, end) = (offset, offset.saturating_add(bytes));
    while at < end {
        let piece = usize::try_from(end - at).unwrap_or(usize::MAX).min(BOUNCE_BYTES);
        write_piece(file, at, &buffer.bytes()[..piece])?;
        at += piece as u64;
    }
    Ok(())
}

/// Writes `data` by way of a buffer that any device takes.
pub(crate) fn write_at(file: &File, offset: u64, data: &[u8]) -> Result<(), BackstoreError> {
    let mut buffer = Bounce::new().ok_or(BackstoreError::Internal)?;
    let mut at = offset;
    for piece in data.chunks(BOUNCE_BYTES) {
        let there = &mut buffer.bytes()[..piece.len()];
        there.copy_from_slice(piece);
        write_piece(file, at, there)?;
        at += piece.len() as u64;
    }
    Ok(())
}

fn write_piece(file: &File, offset: u64, data: &[u8]) -> Result<(), BackstoreError> {
    file.write_all_at(data, offset).map_err(|error| match Errno::from_io_error(&error) {
        Some(errno) => BackstoreError::from_errno(errno, true),
        None => BackstoreError::WriteFailed,
    })
}

/// Brings what was written to stable storage.
pub(crate) fn flush(file: &File) -> Result<(), BackstoreError> {
    fdatasync(file).map_err(|errno| BackstoreError::from_errno(errno, true))
}

/// Copies bytes from one place to another by the kernel, which shares blocks where the file system can.  Returns how many
/// are copied: fewer than `bytes` perhaps, and 0 where the kernel does not copy between these.  May block.
///
/// # Errors
/// [`BackstoreError`]
pub fn copy_by_kernel(
    (from, at): (&dyn Backstore, u64),
    (to, into): (&dyn Backstore, u64),
    bytes: u64,
) -> Result<u64, BackstoreError> {
    let (Some(source), Some(sink)) = (from.regular_file(), to.regular_file()) else { return Ok(0) };
    let (mut at, mut into) = (at, into);
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    match copy_file_range(source, Some(&mut at), sink, Some(&mut into), bytes) {
        Ok(copied) => Ok(copied as u64),
        // Other file systems, ranges of one file that overlap, or a kernel that does not.
        Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => Ok(0),
        Err(errno) => Err(BackstoreError::from_errno(errno, true)),
    }
}

/// The largest unit that a file's space is said to be given back in, in bytes.
const FILE_GRANULARITY_MAX: u64 = 1 << 20;

/// Where the space of a file changes next behind `offset`, in a file that is used up to `bytes`.
pub(crate) fn extent_of_file(file: &File, offset: u64, bytes: u64) -> Result<Extent, BackstoreError> {
    let to = |errno| BackstoreError::from_errno(errno, false);
    let data = match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data,
        Err(Errno::NXIO) => return Ok(Extent { end: bytes, mapped: false }),
        // A file system that does not know takes space for all.
        Err(Errno::INVAL) => return Ok(Extent { end: bytes, mapped: true }),
        Err(errno) => return Err(to(errno)),
    };
    if data > offset {
        return Ok(Extent { end: data.min(bytes), mapped: false });
    }
    let hole = match seek(file, SeekFrom::Hole(offset)) {
        Ok(hole) if hole > offset => hole,
        // Written or given back between the two looks; the next question shows it.
        Ok(_) | Err(Errno::NXIO) => offset.saturating_add(1),
        Err(errno) => return Err(to(errno)),
    };
    Ok(Extent { end: hole.min(bytes), mapped: true })
}
