// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One split ring, from the device's side: take chains, give them back, notify.
//!
//! Above: a queue on its reactor, which owns the ring while it runs; the connection, which starts and parks it.
//! Below: `layout` for the bytes, `chain` for descriptors, `inflight` for what survives us.
//! Never here: event file descriptors; threads; allocation after the start.
//!
//! Indices run freely through all of `u16`; differences are taken modulo 65536, places modulo the ring's entries.
//!
//! ```text
//!        published          next_used                       next_avail          avail.idx
//! ───────────┼──────────────────┼───────────────────────────────┼───────────────────┼──────
//!  the driver│    pushed, the   │  (in flight: taken and not    │ offered, not yet  │
//!  has them  │  driver sees not │   pushed, in any order)       │ taken             │
//! ```

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use memory::{DirtyLog, GuestAddress, GuestMemory, IoBuf, RegionHint, UserAddress, View};

use crate::chain::{self, Buffers};
use crate::crash::{self, Point};
use crate::error::{ChainError, RingError};
use crate::heads::{Heads, State};
use crate::inflight::{InflightQueue, Resumption};
use crate::layout::{self, NO_INTERRUPT, NO_NOTIFY, RingMemory, UsedLog};

/// Entries of a ring, at most (virtio 1.2, 2.7).
pub const QUEUE_ENTRIES_MAX: u16 = 32768;

const _: () = assert!(QUEUE_ENTRIES_MAX.is_power_of_two());

/// What the front end says about a ring before it starts.
#[derive(Clone, Debug)]
pub struct RingConfig {
    /// Number of descriptors, 1 to [`QUEUE_ENTRIES_MAX`]. The standard wants a power of two; QEMU does not.
    pub entries: u16,
    /// Where the front end sees the descriptor table.
    pub desc: UserAddress,
    /// Where the front end sees the available ring.
    pub avail: UserAddress,
    /// Where the front end sees the used ring.
    pub used: UserAddress,
    /// VIRTIO_F_EVENT_IDX was negotiated (2.7.10).
    pub event_idx: bool,
    /// VIRTIO_F_INDIRECT_DESC was negotiated (2.7.5.3).
    pub indirect: bool,
    /// VIRTIO_F_VERSION_1 was negotiated; without it the ring is in the guest's byte order.
    pub version_1: bool,
    /// Index of the first chain to take (`SET_VRING_BASE`). Not believed where an inflight region knows better.
    pub next_avail: u16,
}

impl RingConfig {
    /// Checks that a ring so described would find its parts in `memory`.
    ///
    /// # Errors
    /// As [`SplitRing::remap`].
    pub fn check(&self, memory: &Arc<GuestMemory>) -> Result<(), RingError> {
        RingMemory::resolve(self, Arc::clone(memory)).map(drop)
    }

    /// Length of the used ring in bytes: what a dirty log is to cover from its guest address on.
    pub fn used_bytes(&self) -> u64 {
        layout::used_bytes(self.entries) as u64
    }
}

/// Where a ring's position came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the front end: there is no inflight region, or it was new.
    Base,
    /// From an inflight region, which held this many heads that nobody had answered. They are taken first.
    Resumed {
        /// How many.
        heads: u16,
    },
    /// From the front end, since the inflight region tells of another life of the ring. It was cleared.
    Stale,
}

/// A split ring. `Send`, so that it can be parked with another thread; used by one at a time.
#[derive(Debug)]
pub struct SplitRing {
    ring: RingMemory,
    config: RingConfig,
    next_avail: u16,
    next_used: u16,
    /// Our index as the driver sees it.
    published: u16,
    heads: Heads,
    /// Heads pushed and not yet published, in order; room for every entry.
    pending: Vec<u16>,
    /// Heads that another process took and did not answer, last one first.
    resubmissions: Vec<u16>,
    inflight: Option<InflightQueue>,
    origin: Origin,
    notify_on_empty: bool,
    /// Where the last indirect table was.
    near: RegionHint,
    /// We cannot know whether the driver was told of what is published: tell it at the next occasion.
    must_notify: bool,
    /// `memory::broken_mappings()` when this ring's memory was last seen whole.
    broken_seen: u64,
}

impl SplitRing {
    /// Starts a ring on `memory`. The used index is read from the ring; the available index comes from the region,
    /// if that is given and has been used before, else from `config`.
    ///
    /// Before heads of a previous process run again, its I/O must be over; fence it off before this call.
    ///
    /// # Errors
    /// What the front end said is impossible; see [`RingError`].
    pub fn start(
        config: RingConfig,
        memory: Arc<GuestMemory>,
        inflight: Option<InflightQueue>,
    ) -> Result<Self, RingError> {
        if !config.version_1 && cfg!(target_endian = "big") {
            return Err(RingError::LegacyByteOrder);
        }
        let entries = config.entries;
        let ring = RingMemory::resolve(&config, memory)?;
        let used_index = ring.used_index();
        let mut started = Self {
            next_avail: config.next_avail,
            next_used: used_index,
            published: used_index,
            heads: Heads::new(entries),
            pending: Vec::with_capacity(usize::from(entries)),
            resubmissions: Vec::new(),
            inflight,
            origin: Origin::Base,
            notify_on_empty: false,
            near: RegionHint::default(),
            must_notify: true,
            broken_seen: 0,
            ring,
            config,
        };
        started.check_memory()?;
        started.resume()?;
        Ok(started)
    }

    /// Takes the next chains that the driver offers, as many as `heads` has room for. Heads that a previous process
    /// left unanswered come first, in the order in which the driver offered them, and alone: see
    /// [`resubmissions`](Self::resubmissions).
    ///
    /// # Errors
    /// The driver broke the ring, or its memory has gone. What was taken before the fault is returned first, and the
    /// error by the next call. The ring is good for nothing more then, but chains in flight may still be pushed.
    pub fn pop_batch(&mut self, heads: &mut [u16]) -> Result<usize, RingError> {
        self.check_memory()?;
        if !self.resubmissions.is_empty() {
            return Ok(self.pop_resubmissions(heads));
        }
        let entries = self.ring.entries();
        let waiting = self.ring.available_index().wrapping_sub(self.next_avail);
        if waiting > entries {
            return Err(RingError::AvailableIndex { waiting, entries });
        }
        let mut taken = 0;
        for place in heads.iter_mut().take(usize::from(waiting)) {
            let head = self.ring.available_head(self.next_avail);
            if let Err(error) = self.take(head) {
                return if taken == 0 { Err(error) } else { Ok(taken) };
            }
            *place = head;
            taken += 1;
            self.next_avail = self.next_avail.wrapping_add(1);
        }
        crash::pass(Point::Popped);
        Ok(taken)
    }

    /// How many of the next heads that [`pop_batch`](Self::pop_batch) returns were taken before, by a process that
    /// died. What they asked for may have been done already, wholly or in part.
    pub fn resubmissions(&self) -> usize {
        self.resubmissions.len()
    }

    /// Gathers the buffers of a head that was popped; both lists are cleared first.
    ///
    /// # Errors
    /// The chain is no request; both lists are empty then. The head is still in flight: push it with 0 bytes.
    #[inline]
    pub fn chain(
        &mut self,
        head: u16,
        view: &View,
        readable: &mut IoBuf,
        writable: &mut IoBuf,
    ) -> Result<(), ChainError> {
        readable.clear();
        writable.clear();
        let mut buffers = Buffers::new(view, readable, writable, &mut self.near);
        let followed = chain::follow(&self.ring, self.config.indirect, head, &mut buffers);
        if followed.is_err() {
            readable.clear();
            writable.clear();
        }
        followed
    }

    /// Gives a head back to the driver, with the number of bytes written to its buffers, from the first one on
    /// without a gap (2.7.8.2). The driver sees it at the next [`publish`](Self::publish).
    ///
    /// # Panics
    /// If the head is not in flight, or was pushed before: a command would be answered twice.
    #[inline]
    pub fn push_used(&mut self, head: u16, bytes_written: u32) {
        let is_ours = self.heads.advance(head, State::Taken, State::Answered);
        assert!(is_ours, "head {head} is not in flight, or was answered before");
        self.ring.write_used(self.next_used, head, bytes_written);
        crash::pass(Point::Used);
        self.next_used = self.next_used.wrapping_add(1);
        if let Some(inflight) = &mut self.inflight {
            inflight.link(head);
        }
        crash::pass(Point::Linked);
        self.pending.push(head);
    }

    /// Shows the driver all heads pushed since the last time. Returns whether it wants a notification for them.
    ///
    /// Where the memory has gone, nothing is shown: what was read or written may not be what the guest has.
    pub fn publish(&mut self) -> bool {
        if self.pending.is_empty() || self.check_memory().is_err() {
            return false;
        }
        let old = self.published;
        crash::pass(Point::Showing);
        self.ring.store_used_index(self.next_used);
        crash::pass(Point::Shown);
        self.published = self.next_used;
        for &head in &self.pending {
            // The driver may offer it again from now on.
            self.heads.advance(head, State::Answered, State::Free);
        }
        if let Some(inflight) = &mut self.inflight {
            inflight.commit(&self.pending, self.published);
        }
        crash::pass(Point::Committed);
        self.pending.clear();
        self.wants_notification(old)
    }

    /// Asks the driver for kicks. Returns whether there is work already, which it may have offered without a kick:
    /// then do not sleep.
    pub fn arm(&mut self) -> bool {
        if self.config.event_idx {
            self.ring.store_available_event(self.next_avail);
        } else {
            self.ring.store_used_flags(0);
        }
        // The wish must be seen before we look (2.7.10.1); the driver has the same fence between its two accesses.
        fence(Ordering::SeqCst);
        self.has_work()
    }

    /// Spares the driver its kicks while we poll. With EVENT_IDX the event stays where it is, behind the driver's
    /// index, so that it does not kick; the flag means nothing then (2.7.7.2).
    pub fn disarm(&mut self) {
        if !self.config.event_idx {
            self.ring.store_used_flags(NO_NOTIFY);
        }
    }

    /// Whether [`pop_batch`](Self::pop_batch) has something to say.
    pub fn has_work(&self) -> bool {
        !self.resubmissions.is_empty() || self.ring.available_index() != self.next_avail
    }

    /// Heads that [`pop_batch`](Self::pop_batch) would return if the driver offered no more.
    pub fn waiting(&self) -> usize {
        let offered = self.ring.available_index().wrapping_sub(self.next_avail);
        self.resubmissions.len() + usize::from(offered.min(self.ring.entries()))
    }

    /// Heads that the driver waits for: taken, or to be resubmitted, and not published.
    pub fn in_flight(&self) -> u16 {
        self.heads.in_flight()
    }

    /// Index of the next chain to take, for the answer to `GET_VRING_BASE`.
    pub fn next_avail(&self) -> u16 {
        self.next_avail
    }

    /// Number of descriptors.
    pub fn entries(&self) -> u16 {
        self.ring.entries()
    }

    /// Where the position came from when the ring started.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Finds the ring in a new map of the same guest. Chains gathered before keep their own map.
    ///
    /// # Errors
    /// The ring is not in the new map; it stays on the old one.
    pub fn remap(&mut self, memory: Arc<GuestMemory>) -> Result<(), RingError> {
        let log = self.ring.log().cloned();
        self.ring = RingMemory::resolve(&self.config, memory)?;
        self.ring.set_log(log);
        self.broken_seen = 0; // Not seen whole yet.
        Ok(())
    }

    /// Marks in `log` what is written to the used ring from now on, whose guest address is `used`, and all of it at
    /// once; or marks nothing more.  The log covers the whole used ring.
    pub fn set_log(&mut self, log: Option<(Arc<DirtyLog>, GuestAddress)>) {
        self.ring.set_log(log.map(|(log, used)| UsedLog { log, used }));
    }

    /// Follows a change of VIRTIO_F_EVENT_IDX; features may be set again while rings run.
    pub fn set_event_idx(&mut self, event_idx: bool) {
        if self.config.event_idx != event_idx {
            self.config.event_idx = event_idx;
            self.ring.store_used_flags(0);
            self.must_notify = true;
        }
    }

    /// Follows a change of VIRTIO_F_NOTIFY_ON_EMPTY (legacy, bit 24): the driver wants a notification whenever it has
    /// nothing more to offer, even if it asked for none. Off at the start.
    pub fn set_notify_on_empty(&mut self, notify_on_empty: bool) {
        self.notify_on_empty = notify_on_empty;
    }

    /// Takes up what the inflight region knows.
    fn resume(&mut self) -> Result<(), RingError> {
        let Some(inflight) = &mut self.inflight else { return Ok(()) };
        let (entries, used_index) = (self.ring.entries(), self.published);
        let offered = self.ring.available_index().wrapping_sub(used_index);
        match inflight.resume(entries, used_index, offered)? {
            Resumption::New => {}
            Resumption::Stale => self.origin = Origin::Stale,
            Resumption::Heads(mut heads) => {
                // Every head taken was taken in order, so what is not in the region was never taken. The base may say
                // otherwise: QEMU sends the used index, Cloud Hypervisor the driver's.
                let taken = u16::try_from(heads.len()).unwrap_or(u16::MAX); // At most `entries`.
                self.next_avail = used_index.wrapping_add(taken);
                self.origin = Origin::Resumed { heads: taken };
                for &head in &heads {
                    self.heads.advance(head, State::Free, State::Taken);
                }
                heads.reverse();
                self.resubmissions = heads;
            }
        }
        Ok(())
    }

    #[cold]
    fn pop_resubmissions(&mut self, heads: &mut [u16]) -> usize {
        let mut taken = 0;
        for place in heads {
            let Some(head) = self.resubmissions.pop() else { break };
            *place = head;
            taken += 1;
            crash::pass(Point::PoppedAgain);
        }
        taken
    }

    #[inline]
    fn take(&mut self, head: u16) -> Result<(), RingError> {
        let entries = self.ring.entries();
        if head >= entries {
            return Err(RingError::HeadOutOfRange { head, entries });
        }
        if !self.heads.advance(head, State::Free, State::Taken) {
            return Err(RingError::HeadInFlight { head });
        }
        crash::pass(Point::Seen);
        if let Some(inflight) = &mut self.inflight {
            inflight.take(head);
        }
        crash::pass(Point::Taken);
        Ok(())
    }

    /// Whether the driver wants to hear of the elements from `old` to `published` (2.7.7, 2.7.10).
    #[inline]
    fn wants_notification(&mut self, old: u16) -> bool {
        // Our index must be seen before we look at the driver's wish; it has the same fence the other way round.
        fence(Ordering::SeqCst);
        if std::mem::take(&mut self.must_notify) {
            return true;
        }
        if self.notify_on_empty && !self.has_work() {
            return true;
        }
        if self.config.event_idx {
            is_event_passed(self.ring.used_event(), old, self.published)
        } else {
            self.ring.available_flags() & NO_INTERRUPT == 0
        }
    }

    /// One load, as long as no mapping of this process breaks.
    #[inline]
    fn check_memory(&mut self) -> Result<(), RingError> {
        let broken = memory::broken_mappings();
        if broken == self.broken_seen {
            return Ok(());
        }
        self.look_at_memory(broken)
    }

    #[cold]
    fn look_at_memory(&mut self, broken: u64) -> Result<(), RingError> {
        let is_region_broken = self.inflight.as_ref().is_some_and(InflightQueue::is_broken);
        if is_region_broken || self.ring.memory().is_broken() {
            return Err(RingError::MemoryBroken);
        }
        self.broken_seen = broken;
        Ok(())
    }
}

/// Whether an index that moves from `old` to `new` passes `event` (2.7.7.1, `vring_need_event`).
fn is_event_passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests;
