// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Giving space back and filling it with zeroes: what the kernel is asked for, one call after the other.
//!
//! Above: `kernel_io`.
//! Below: `reactor`.
//! Never here: data.

use crate::{Abilities, IoKind};
use reactor::{opcode, squeue, types};
use rustix::io::Errno;

/// How the space of an open file is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiscardBy {
    /// By punching a hole, which reads as zeroes.
    Hole,
    /// By the command that block devices take since Linux 6.12, and before by a thread.
    Command,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    PunchHole,
    ZeroRange,
    /// Takes space for what is a hole.
    Allocate,
    DiscardCommand,
    /// BLKDISCARD, which is no call of the ring.
    DiscardThread,
    /// Makes the calls before it durable.
    Sync,
}

/// The calls of one operation that are left, the next one first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    left: [Option<Call>; 3],
    /// The length of the range in bytes.
    pub(crate) bytes: u64,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Next,
    Done,
    Failed(Errno),
}

/// `_IO(0x12, 0)` of linux/blkdev.h.
const BLOCK_URING_CMD_DISCARD: u32 = 0x1200;

impl Calls {
    /// The calls of an operation of this kind, if it is one that is made of calls.
    pub(crate) fn of(kind: IoKind, discard: DiscardBy, always_durable: bool) -> Option<Self> {
        let (call, bytes, durable) = match kind {
            IoKind::Discard { bytes } => (discard.call(), bytes, false),
            IoKind::WriteZeroes { bytes, durable } => (Call::ZeroRange, bytes, durable),
            IoKind::Read | IoKind::Write { .. } | IoKind::WriteWhole { .. } | IoKind::Flush => return None,
        };
        let sync = (durable || always_durable).then_some(Call::Sync);
        Some(Self { left: [Some(call), sync, None], bytes })
    }

    pub(crate) fn next(&self) -> Option<Call> {
        self.left[0]
    }

    /// The next call as the ring takes it; `None` for what is no call of the ring.
    pub(crate) fn entry(&self, fd: types::Fd, offset: u64) -> Option<squeue::Entry> {
        let allocate = |mode| opcode::Fallocate::new(fd, self.bytes).offset(offset).mode(mode).build();
        Some(match self.next()? {
            Call::PunchHole => allocate(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE),
            Call::ZeroRange => allocate(libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE),
            Call::Allocate => allocate(libc::FALLOC_FL_KEEP_SIZE),
            Call::DiscardCommand => {
                // The range's start is in the entry's address, its length where the command begins.
                let mut length = [0; 16];
                length[..8].copy_from_slice(&self.bytes.to_ne_bytes());
                opcode::UringCmd16::new(fd, BLOCK_URING_CMD_DISCARD).addr(Some(offset)).cmd(length).build()
            }
            Call::Sync => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
            Call::DiscardThread => return None,
        })
    }

    /// Takes the result of the next call.
    pub(crate) fn ended(&mut self, result: i32) -> Turn {
        if result < 0 {
            return match (self.next(), Errno::from_raw_os_error(result.saturating_neg())) {
                (_, Errno::AGAIN | Errno::INTR) => Turn::Next,
                // A file system that knows holes and not this (tmpfs): a hole, and space for it.
                (Some(Call::ZeroRange), Errno::OPNOTSUPP) => {
                    self.left = [Some(Call::PunchHole), Some(Call::Allocate), self.left[1]];
                    Turn::Next
                }
                // A kernel before 6.12.
                (Some(Call::DiscardCommand), Errno::OPNOTSUPP | Errno::INVAL) => {
                    self.left[0] = Some(Call::DiscardThread);
                    Turn::Next
                }
                (_, errno) => Turn::Failed(errno),
            };
        }
        self.left = [self.left[1], self.left[2], None];
        if self.next().is_some() { Turn::Next } else { Turn::Done }
    }
}

impl DiscardBy {
    /// The way of an open file or device.
    pub(crate) fn of(abilities: Abilities) -> Self {
        let reads_zero = abilities.discard.is_none_or(|discard| discard.reads_zero);
        if reads_zero { Self::Hole } else { Self::Command }
    }

    fn call(self) -> Call {
        match self {
            Self::Hole => Call::PunchHole,
            Self::Command => Call::DiscardCommand,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEROES: IoKind = IoKind::WriteZeroes { bytes: 4096, durable: true };

    #[test]
    fn zeroes_that_a_file_system_does_not_write_are_a_hole_with_space() {
        let mut calls = Calls::of(ZEROES, DiscardBy::Hole, false).unwrap();
        assert_eq!(calls.next(), Some(Call::ZeroRange));
        assert_eq!(calls.ended(-95), Turn::Next);
        assert_eq!((calls.next(), calls.ended(0)), (Some(Call::PunchHole), Turn::Next));
        assert_eq!((calls.next(), calls.ended(0)), (Some(Call::Allocate), Turn::Next));
        assert_eq!((calls.next(), calls.ended(0)), (Some(Call::Sync), Turn::Done));
    }

    #[test]
    fn a_full_file_system_ends_them() {
        let mut calls = Calls::of(ZEROES, DiscardBy::Hole, false).unwrap();
        assert_eq!(calls.ended(-28), Turn::Failed(Errno::NOSPC));
    }

    #[test]
    fn a_kernel_without_the_command_leaves_it_to_a_thread() {
        let discard = IoKind::Discard { bytes: 4096 };
        let mut calls = Calls::of(discard, DiscardBy::Command, false).unwrap();
        assert_eq!((calls.next(), calls.ended(-95)), (Some(Call::DiscardCommand), Turn::Next));
        assert_eq!((calls.next(), calls.ended(0)), (Some(Call::DiscardThread), Turn::Done));
    }

    #[test]
    fn what_is_given_back_is_durable_where_every_write_is() {
        let discard = IoKind::Discard { bytes: 4096 };
        let mut calls = Calls::of(discard, DiscardBy::Hole, true).unwrap();
        assert_eq!((calls.next(), calls.ended(0)), (Some(Call::PunchHole), Turn::Next));
        assert_eq!((calls.next(), calls.ended(0)), (Some(Call::Sync), Turn::Done));
    }
}
