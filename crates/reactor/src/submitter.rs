// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way into the kernel: what is queued now is handed over once a round.
//!
//! Above: whoever runs on the reactor.
//! Below: the submission queue.
//! Never here: waiting.
//!
//! A completion is told apart by 64 bits of our own: eight say what kind it is, the rest whose.

use io_uring::{IoUring, opcode, squeue, types};
use std::os::fd::{AsRawFd, BorrowedFd};

const KIND_SHIFT: u32 = 56;
const KIND_NOTIFIED: u64 = 0;
const KIND_MAIL: u64 = 1;
const KIND_KICK: u64 = 2;
const KIND_IO: u64 = 3;
const KIND_CANCELLED: u64 = 4;
const KEY_BITS: u32 = 24;

/// The number that an eventfd is written with.  A static, because the kernel reads it after the call.
static ONE: u64 = 1;

/// Whose kick descriptor: a place and a count that tells a place from its earlier holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KickTag {
    /// The place.  Below 2^24.
    pub key: u32,
    /// Which holder of that place.
    pub generation: u32,
}

/// Whose I/O: a channel and an operation of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IoTag {
    /// The channel.  Below 2^24.
    pub channel: u32,
    /// The operation, numbered by the channel.
    pub operation: u32,
}

/// What the kernel completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A kick descriptor was written to.
    Kicked(KickTag),
    /// A kick descriptor is not watched any more.  A negative errno says why: it was cancelled (ECANCELED), or
    /// it cannot be polled; anything else, that the kernel ran short and it may be watched again.
    KickEnded(KickTag, i32),
    /// An operation ended: bytes, or a negative errno.
    Io(IoTag, i32),
}

/// What a completion is to the loop.
pub(crate) enum Arrival {
    ForWork(Event),
    Mail { again: bool },
    Nothing,
}

/// The way into the kernel.
pub struct Submitter {
    pub(crate) ring: IoUring,
    queued: usize,
    hand_overs: u64,
}

impl Submitter {
    pub(crate) fn new(ring: IoUring) -> Self {
        Self { ring, queued: 0, hand_overs: 0 }
    }

    /// Whether something waits to be handed over.
    pub fn is_pending(&self) -> bool {
        self.queued > 0
    }

    /// Takes note that the kernel was given what is queued, if it took all of it.
    pub(crate) fn handed_over(&mut self) {
        if self.ring.submission().is_empty() {
            self.queued = 0;
            self.hand_overs += 1;
        }
    }

    /// How often everything that was queued has been handed over.  What was queued at one count no longer needs
    /// its descriptors at a higher one: the kernel holds the open files itself by then.
    pub fn hand_overs(&self) -> u64 {
        self.hand_overs
    }

    /// Queues an I/O.
    ///
    /// # Safety
    /// What the entry points at (buffers, the iovec array until the end of this round, the descriptor)
    /// stays valid until its completion has arrived.
    pub unsafe fn push_io(&mut self, entry: squeue::Entry, tag: IoTag) {
        debug_assert!(tag.channel >> KEY_BITS == 0);
        let data = KIND_IO << KIND_SHIFT | u64::from(tag.channel) << 32 | u64::from(tag.operation);
        // SAFETY: the caller's contract is this call's.
        unsafe { self.push(entry.user_data(data)) }
    }

    /// Writes 1 to an eventfd, or leaves it where that would wait: a full counter is a notification already, and
    /// a request that waits would be one more for each round, for as long as its owner likes.
    ///
    /// # Safety
    /// The descriptor stays open until [`Submitter::hand_overs`] has grown.
    pub unsafe fn notify(&mut self, eventfd: BorrowedFd<'_>) {
        let entry = opcode::Write::new(types::Fd(eventfd.as_raw_fd()), (&raw const ONE).cast(), 8)
            .rw_flags(libc::RWF_NOWAIT)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(KIND_NOTIFIED << KIND_SHIFT);
        // SAFETY: `ONE` is a static; the descriptor is the caller's promise.
        unsafe { self.push(entry) }
    }

    /// Watches a kick descriptor until [`Submitter::unwatch`]; every write to it is one event or fewer.
    ///
    /// # Safety
    /// The descriptor stays open until [`Submitter::hand_overs`] has grown.
    pub unsafe fn watch(&mut self, eventfd: BorrowedFd<'_>, tag: KickTag) {
        // SAFETY: as above; after the hand-over the poll holds the open file itself.
        unsafe { self.watch_as(eventfd, kick_data(tag)) }
    }

    /// Watches the eventfd of the mailbox.
    ///
    /// # Safety
    /// As for [`Submitter::watch`].
    pub(crate) unsafe fn watch_mail(&mut self, eventfd: BorrowedFd<'_>) {
        // SAFETY: the caller's contract is this call's.
        unsafe { self.watch_as(eventfd, KIND_MAIL << KIND_SHIFT) }
    }

    /// # Safety
    /// As for [`Submitter::watch`].
    unsafe fn watch_as(&mut self, eventfd: BorrowedFd<'_>, data: u64) {
        let readable = u32::from(rustix::event::PollFlags::IN.bits());
        let entry = opcode::PollAdd::new(types::Fd(eventfd.as_raw_fd()), readable)
            .multi(true)
            .build()
            .user_data(data);
        // SAFETY: the descriptor is the caller's promise; nothing else is pointed at.
        unsafe { self.push(entry) }
    }

    /// Ends [`Submitter::watch`]; [`Event::KickEnded`] follows.
    pub fn unwatch(&mut self, tag: KickTag) {
        // Not a poll removal, which fails with EALREADY where a kick has come and its event has not.
        let entry = opcode::AsyncCancel::new(kick_data(tag)).build().user_data(KIND_CANCELLED << KIND_SHIFT);
        // SAFETY: the entry points at nothing.
        unsafe { self.push(entry) }
    }

    /// # Safety
    /// What the entry points at stays valid until the kernel needs it no more: its completion, at the latest.
    unsafe fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: the caller's contract is that of `SubmissionQueue::push`.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            // Full: hand over what is there.  The kernel takes all of it (IORING_SETUP_SUBMIT_ALL) unless it
            // is short of memory, and then there is nothing better to do than to try again.
            let _ = self.ring.submit();
            self.handed_over();
        }
        self.queued += 1;
    }

    pub(crate) fn arrival(data: u64, result: i32, flags: u32) -> Arrival {
        let more = io_uring::cqueue::more(flags);
        match data >> KIND_SHIFT {
            KIND_IO => Arrival::ForWork(Event::Io(io_tag(data), result)),
            KIND_KICK if more => Arrival::ForWork(Event::Kicked(kick_tag(data))),
            KIND_KICK => Arrival::ForWork(Event::KickEnded(kick_tag(data), result)),
            KIND_MAIL => Arrival::Mail { again: !more },
            // A notification that the descriptor did not take: its counter is full, which is one already.
            _ => Arrival::Nothing,
        }
    }
}

fn kick_data(tag: KickTag) -> u64 {
    debug_assert!(tag.key >> KEY_BITS == 0);
    KIND_KICK << KIND_SHIFT | u64::from(tag.key) << 32 | u64::from(tag.generation)
}

fn kick_tag(data: u64) -> KickTag {
    KickTag { key: key_of(data), generation: low_half(data) }
}

fn io_tag(data: u64) -> IoTag {
    IoTag { channel: key_of(data), operation: low_half(data) }
}

fn key_of(data: u64) -> u32 {
    low_half(data >> 32) & ((1 << KEY_BITS) - 1)
}

fn low_half(data: u64) -> u32 {
    let [a, b, c, d, ..] = data.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::{IoTag, KickTag, io_tag, kick_data, kick_tag};

    #[test]
    fn tags_survive_the_way_through_the_kernel() {
        let kick = KickTag { key: 0x00ff_fffe, generation: 0xfedc_ba98 };
        assert_eq!(kick_data(kick), 0x02ff_fffe_fedc_ba98);
        assert_eq!(kick_tag(kick_data(kick)), kick);
        assert_eq!(io_tag(0x0300_0007_0000_0009), IoTag { channel: 7, operation: 9 });
    }
}
