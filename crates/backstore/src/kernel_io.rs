// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads, writes and flushes of one open file, through the reactor's ring.
//!
//! Above: `file` and `block`, which say how their file wants to be treated.
//! Below: `reactor`.
//! Never here: opening, and guest bytes except on their way through a bounce buffer.
//!
//! The kernel may transfer less than was asked; what is left is asked for again until all is there, or
//! until it says zero or an error.  A scatter list longer than one system call takes goes in pieces.

use crate::aligned::{BOUNCE_BYTES, Bounce, BouncePool};
use crate::calls::{Calls, DiscardBy, Turn};
use crate::discard_thread::Discarding;
use crate::{BackstoreError, Channel, Completed, Io, IoKind, Submitted, Submitter, Token, sysfs};
use memory::IoBuf;
use reactor::{IoTag, opcode, squeue, types};
use rustix::io::Errno;
use slab::Slab;
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Scatter-list entries of one system call (IOV_MAX).
const IOVECS_MAX: usize = 1024;

/// How a file wants to be treated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// The file bypasses the page cache and takes only buffers aligned to this many bytes; a power of two.
    pub(crate) direct_alignment: Option<usize>,
    /// Every write is durable before it completes.
    pub(crate) always_durable: bool,
    /// How space is given back.
    pub(crate) discard: DiscardBy,
    /// Whether the file may be asked, before its I/O, if it is ready, by whoever hands the I/O over: that can hang
    /// (see `fuse`), so a thread of the kernel's is to do it all.
    pub(crate) may_hang_at_once: bool,
    /// The numbers of a device.
    pub(crate) device: Option<(u32, u32)>,
}

/// The channel of a file.
pub(crate) struct FileChannel {
    file: Arc<File>,
    key: u32,
    manner: Manner,
    /// Whether to try reads at once, without the ring, for data that is in the page cache.
    try_cached: bool,
    operations: Slab<Operation>,
    bounces: BouncePool,
    waiting_for_bounce: VecDeque<usize>,
}

struct Operation {
    token: Token,
    kind: IoKind,
    /// Where the rest of the transfer goes.
    offset: u64,
    /// The rest of the transfer.
    rest: IoBuf,
    path: Path,
}

/// How the data moves.
enum Path {
    /// Between the file and guest memory.
    Straight,
    /// Through a buffer that is not there yet.
    WaitsForBounce,
    /// Through a buffer; `piece` bytes of it are under way.
    Bounced { buffer: Bounce, piece: usize },
    /// Not at all: space is given back or filled.
    None { calls: Calls, thread: Option<Discarding> },
}

enum Progress {
    GoesOn,
    Ended(Result<(), BackstoreError>),
}

impl FileChannel {
    pub(crate) fn new(file: Arc<File>, key: u32, manner: Manner) -> Self {
        Self {
            file,
            key,
            manner,
            try_cached: manner.direct_alignment.is_none() && !manner.may_hang_at_once,
            operations: Slab::new(),
            bounces: BouncePool::default(),
            waiting_for_bounce: VecDeque::new(),
        }
    }

    /// Reads what the page cache has, in one system call that never waits for the medium.  Returns whether
    /// that was all of it.
    fn read_cached(&mut self, io: &mut Io) -> bool {
        let iovecs = io.buffer.iovecs();
        let count = iovecs.len().min(IOVECS_MAX);
        let (Ok(offset), Ok(count)) = (i64::try_from(io.offset), i32::try_from(count)) else { return false };
        // SAFETY:
        // - the iovecs lie in guest memory that the scatter list keeps mapped;
        // - the kernel writes the bytes; no reference to them exists.
        let read =
            unsafe { libc::preadv2(self.file.as_raw_fd(), iovecs.as_ptr(), count, offset, libc::RWF_NOWAIT) };
        let Ok(read) = u64::try_from(read) else {
            if Errno::from_io_error(&std::io::Error::last_os_error()) == Some(Errno::OPNOTSUPP) {
                self.try_cached = false;
            }
            return false;
        };
        io.buffer.advance(read);
        io.offset += read;
        io.buffer.is_empty()
    }

    fn path_for(&mut self, io: &Io) -> Path {
        if let Some(calls) = Calls::of(io.kind, self.manner.discard, self.manner.always_durable) {
            return Path::None { calls, thread: None };
        }
        let Some(alignment) = self.manner.direct_alignment else { return Path::Straight };
        let in_one_call = io.buffer.segments() <= IOVECS_MAX;
        if io.kind == IoKind::Flush || (in_one_call && io.buffer.is_aligned(alignment - 1)) {
            return Path::Straight;
        }
        match self.bounces.take() {
            Some(buffer) => Path::Bounced { buffer, piece: 0 },
            None => Path::WaitsForBounce,
        }
    }

    /// Queues the next piece of an operation.
    fn push(&mut self, submitter: &mut Submitter, index: usize) {
        let fd = types::Fd(self.file.as_raw_fd());
        let Some(operation) = self.operations.get_mut(index) else { return };
        let durable = self.manner.always_durable;
        let entry = match &mut operation.path {
            Path::WaitsForBounce => {
                self.waiting_for_bounce.push_back(index);
                return;
            }
            Path::Straight => straight_entry(fd, operation.kind, operation.offset, &operation.rest, durable),
            Path::Bounced { buffer, piece } => {
                *piece = usize::try_from(operation.rest.bytes()).unwrap_or(usize::MAX).min(BOUNCE_BYTES);
                if matches!(operation.kind, IoKind::Write { .. }) {
                    operation.rest.copy_to(0, &mut buffer.bytes()[..*piece]);
                }
                bounced_entry(fd, operation.kind, operation.offset, buffer, *piece, durable)
            }
            Path::None { calls, thread } => call_entry(&self.file, operation.offset, calls, thread),
        };
        let flags = if self.manner.may_hang_at_once { squeue::Flags::ASYNC } else { squeue::Flags::empty() };
        let entry = entry.flags(flags);
        // The slab never holds as many operations as the chains of all rings, far below 2^32.
        let tag = IoTag { channel: self.key, operation: u32::try_from(index).unwrap_or(u32::MAX) };
        // SAFETY:
        // - guest memory stays mapped while `rest` lives, a bounce buffer while `path` lives, and both stay
        //   in the slab until the completion; their heap parts do not move with it;
        // - the iovec array is not touched before the round's hand-over, when the kernel copies it
        //   (IORING_FEAT_SUBMIT_STABLE);
        // - `self.file` outlives the channel's operations.
        unsafe { submitter.push_io(entry, tag) }
    }

    fn advance(&mut self, index: usize, result: i32) -> Progress {
        let Some(operation) = self.operations.get_mut(index) else { return Progress::GoesOn };
        if let Path::None { calls, thread } = &mut operation.path {
            let result = thread.take().map_or(result, |thread| thread.result());
            return match calls.ended(result) {
                Turn::Next => Progress::GoesOn,
                Turn::Done => Progress::Ended(Ok(())),
                Turn::Failed(errno) => Progress::Ended(Err(BackstoreError::from_errno(errno, true))),
            };
        }
        let writing = operation.kind != IoKind::Read;
        let Ok(moved) = u64::try_from(result) else {
            return match Errno::from_raw_os_error(result.saturating_neg()) {
                Errno::AGAIN | Errno::INTR => Progress::GoesOn,
                errno => Progress::Ended(Err(BackstoreError::from_errno(errno, writing))),
            };
        };
        if operation.kind == IoKind::Flush {
            return Progress::Ended(Ok(()));
        }
        if moved == 0 {
            // The end of a file that was cut under us, or a device that takes no more.
            let error = if writing { BackstoreError::WriteFailed } else { BackstoreError::ReadFailed };
            return Progress::Ended(Err(error));
        }
        if let Path::Bounced { buffer, piece } = &mut operation.path {
            let moved_here = usize::try_from(moved).unwrap_or(usize::MAX).min(*piece);
            if !writing {
                operation.rest.copy_from(0, &buffer.bytes()[..moved_here]);
            }
        }
        operation.rest.advance(moved);
        operation.offset += moved;
        if operation.rest.is_empty() { Progress::Ended(Ok(())) } else { Progress::GoesOn }
    }

    /// What a failure means.  A device that has gone has no bytes left: what is read ends at once, and what is written finds
    /// no space.
    fn told(&self, error: BackstoreError) -> BackstoreError {
        use BackstoreError::{NoSpace, ReadFailed, Unreachable, WriteFailed};
        match (error, self.manner.device) {
            (ReadFailed | WriteFailed | NoSpace | Unreachable, Some((major, minor)))
                if sysfs::is_gone(major, minor) =>
            {
                BackstoreError::Gone
            }
            _ => error,
        }
    }

    fn remove(&mut self, submitter: &mut Submitter, index: usize) -> Option<(Token, IoBuf)> {
        let operation = self.operations.try_remove(index)?;
        if let Path::Bounced { buffer, .. } = operation.path {
            self.bounces.give_back(buffer);
            self.start_waiting(submitter);
        }
        Some((operation.token, operation.rest))
    }

    fn start_waiting(&mut self, submitter: &mut Submitter) {
        let Some(index) = self.waiting_for_bounce.pop_front() else { return };
        let Some(buffer) = self.bounces.take() else {
            self.waiting_for_bounce.push_front(index);
            return;
        };
        if let Some(operation) = self.operations.get_mut(index) {
            operation.path = Path::Bounced { buffer, piece: 0 };
            self.push(submitter, index);
        }
    }
}

fn write_flags(kind: IoKind, always_durable: bool) -> i32 {
    match kind {
        IoKind::Write { durable } if durable || always_durable => libc::RWF_DSYNC,
        _ => 0,
    }
}

fn straight_entry(
    fd: types::Fd,
    kind: IoKind,
    offset: u64,
    rest: &IoBuf,
    always_durable: bool,
) -> squeue::Entry {
    let iovecs = rest.iovecs();
    let count = u32::try_from(iovecs.len().min(IOVECS_MAX)).unwrap_or(0);
    match kind {
        IoKind::Read => opcode::Readv::new(fd, iovecs.as_ptr(), count).offset(offset).build(),
        IoKind::Write { .. } => opcode::Writev::new(fd, iovecs.as_ptr(), count)
            .offset(offset)
            .rw_flags(write_flags(kind, always_durable))
            .build(),
        // The others are made of calls.
        _ => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
    }
}

/// The next call of an operation that moves no data.
fn call_entry(
    file: &Arc<File>,
    offset: u64,
    calls: &Calls,
    thread: &mut Option<Discarding>,
) -> squeue::Entry {
    let fd = types::Fd(file.as_raw_fd());
    if let Some(entry) = calls.entry(fd, offset) {
        return entry;
    }
    *thread = Discarding::begin(file, offset, calls.bytes);
    match thread {
        Some(thread) => {
            let done = types::Fd(thread.done.as_raw_fd());
            opcode::Read::new(done, (&raw mut *thread.count).cast(), 8).build()
        }
        // The kernel refuses this at once.
        None => opcode::Fallocate::new(fd, 0).build(),
    }
}

fn bounced_entry(
    fd: types::Fd,
    kind: IoKind,
    offset: u64,
    buffer: &mut Bounce,
    piece: usize,
    always_durable: bool,
) -> squeue::Entry {
    let length = u32::try_from(piece).unwrap_or(0);
    match kind {
        IoKind::Read => opcode::Read::new(fd, buffer.as_mut_ptr(), length).offset(offset).build(),
        _ => opcode::Write::new(fd, buffer.as_mut_ptr(), length)
            .offset(offset)
            .rw_flags(write_flags(kind, always_durable))
            .build(),
    }
}

impl Channel for FileChannel {
    fn submit(&mut self, submitter: &mut Submitter, mut io: Io, token: Token) -> Submitted {
        if self.try_cached && io.kind == IoKind::Read && self.read_cached(&mut io) {
            return Submitted::Done(Completed { token, buffer: io.buffer, result: Ok(()) });
        }
        let path = self.path_for(&io);
        if matches!(path, Path::WaitsForBounce) && self.bounces.is_whole() {
            let result = Err(BackstoreError::Internal);
            return Submitted::Done(Completed { token, buffer: io.buffer, result });
        }
        let Io { kind, offset, buffer } = io;
        let index = self.operations.insert(Operation { token, kind, offset, rest: buffer, path });
        self.push(submitter, index);
        Submitted::Queued
    }

    fn completed(&mut self, submitter: &mut Submitter, operation: u32, result: i32) -> Option<Completed> {
        let index = usize::try_from(operation).ok()?;
        match self.advance(index, result) {
            Progress::GoesOn => {
                self.push(submitter, index);
                None
            }
            Progress::Ended(result) => {
                let (token, buffer) = self.remove(submitter, index)?;
                Some(Completed { token, buffer, result: result.map_err(|error| self.told(error)) })
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.operations.len()
    }
}
