// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver's side of a split virtqueue (virtio 1.2, 2.7), and every way to misuse it.
//!
//! ```text
//!   offer -> available ring -> kick ~~> device ~~> used ring -> interrupt -> reap / wait
//! ```
//! Above: `exchange`, `load`, hostile tests.  Below: `memory`, `notifier`.
//! Never here: what the buffers hold.  A well-behaved driver uses `offer*`, `kick`, `reap` and `wait`; the file
//! `ring/raw.rs` lets a test write any descriptor, head and index.

mod raw;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::memory::{GuestAddress, GuestBuffer, Memory, Window};
use crate::notifier::Notifier;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// Bytes of one descriptor (virtio 1.2, 2.7.5).
pub const DESCRIPTOR_BYTES: usize = 16;
/// The chain goes on at `next`.
pub const DESCRIPTOR_NEXT: u16 = 1;
/// The device writes the buffer; otherwise it reads it.
pub const DESCRIPTOR_WRITE: u16 = 2;
/// The buffer is a table of descriptors.
pub const DESCRIPTOR_INDIRECT: u16 = 4;

/// Offsets in the available and the used ring, which begin alike.
const FLAGS: usize = 0;
const INDEX: usize = 2;
const SLOTS: usize = 4;
const AVAILABLE_SLOT_BYTES: usize = 2;
const USED_SLOT_BYTES: usize = 8;

/// VIRTQ_AVAIL_F_NO_INTERRUPT and VIRTQ_USED_F_NO_NOTIFY: "do not signal me".
const NO_SIGNAL: u16 = 1;

/// An interrupt may trail the used index by this much before we call it lost.
const SIGNAL_GRACE: Duration = Duration::from_millis(500);
/// A polling driver looks at the clock once in so many looks at the ring.
const SPINS_PER_CLOCK: u32 = 64;

/// One buffer of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Where it is.
    pub address: GuestAddress,
    /// Its length.
    pub bytes: u32,
    /// Whether the device writes it; otherwise it reads it.
    pub writable: bool,
}

/// One entry of a descriptor table, as it is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Guest address of the buffer.
    pub address: u64,
    /// Its length.
    pub bytes: u32,
    /// [`DESCRIPTOR_NEXT`], [`DESCRIPTOR_WRITE`], [`DESCRIPTOR_INDIRECT`].
    pub flags: u16,
    /// Index of the next descriptor, if the flags say there is one.
    pub next: u16,
}

impl Descriptor {
    /// Encodes it as it is in memory.
    #[must_use]
    pub fn to_bytes(self) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        bytes[0..8].copy_from_slice(&self.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.flags.to_le_bytes());
        bytes[14..16].copy_from_slice(&self.next.to_le_bytes());
        bytes
    }
}

/// One returned chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The head that was offered.
    pub head: u16,
    /// Bytes the device says it wrote.
    pub bytes_written: u32,
}

/// How the driver waits for the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// It asks for an interrupt and sleeps.
    #[default]
    Sleep,
    /// It wants no interrupts and looks again and again, until its deadline.
    Poll,
}

/// What is known of a chain that the device holds.
#[derive(Clone, Copy, Debug)]
struct Flight {
    descriptors: u16,
    writable_bytes: u64,
}

/// Where a ring's three parts are, as SET_VRING_ADDR needs them.
#[derive(Clone, Copy, Debug)]
pub struct RingAddresses {
    /// The descriptor table.
    pub descriptors: GuestAddress,
    /// The available ring.
    pub available: GuestAddress,
    /// The used ring.
    pub used: GuestAddress,
}

/// The driver's side of one split virtqueue.
#[derive(Debug)]
pub struct Ring {
    index: u16,
    entries: u16,
    event_idx: bool,
    descriptors: (GuestBuffer, Window),
    available: (GuestBuffer, Window),
    used: (GuestBuffer, Window),
    /// What follows each descriptor; kept apart from guest memory, which the device could change.
    next: Vec<u16>,
    free: Vec<u16>,
    flights: Vec<Option<Flight>>,
    in_flight: usize,
    available_next: u16,
    kicked_at: u16,
    used_next: u16,
    interrupts: u64,
    /// Signalled for the device.
    pub kicks: Notifier,
    /// Signalled by the device when it has returned something.
    pub calls: Notifier,
    /// Signalled by the device when the ring is unusable.
    pub errors: Notifier,
}

impl Ring {
    /// Places a ring of `entries` (1 to 32768, any number) in `memory` as queue `index`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Host`]; [`Error::Invalid`] for a wrong number of entries.
    pub fn create(memory: &Arc<Memory>, index: u16, entries: u16) -> Result<Self, Error> {
        if entries == 0 || entries > 32768 {
            return Err(Error::Invalid { detail: "a ring has 1 to 32768 entries" });
        }
        let count = u64::from(entries);
        let place = |bytes: u64, align: u64| -> Result<(GuestBuffer, Window), Error> {
            let buffer = memory.allocate(bytes, align)?;
            let window = buffer.window()?;
            Ok((buffer, window))
        };
        let mut ring = Self {
            index,
            entries,
            event_idx: false,
            descriptors: place(16 * count, 16)?,
            available: place(6 + 2 * count, 2)?,
            used: place(6 + 8 * count, 4)?,
            next: vec![0; usize::from(entries)],
            free: Vec::with_capacity(usize::from(entries)),
            flights: vec![None; usize::from(entries)],
            in_flight: 0,
            available_next: 0,
            kicked_at: 0,
            used_next: 0,
            interrupts: 0,
            kicks: Notifier::new()?,
            calls: Notifier::new()?,
            errors: Notifier::new()?,
        };
        ring.reinitialise();
        Ok(ring)
    }

    /// Makes the ring new, as a driver does after a reset of the device.  What was in flight is forgotten.
    pub fn reinitialise(&mut self) {
        for (_, window) in [&self.descriptors, &self.available, &self.used] {
            window.fill(0);
        }
        self.free = (0..self.entries).rev().collect();
        self.flights.fill(None);
        (self.in_flight, self.available_next, self.kicked_at, self.used_next) = (0, 0, 0, 0);
    }

    /// Switches VIRTIO_RING_F_EVENT_IDX, while the ring is stopped.
    pub fn set_event_idx(&mut self, event_idx: bool) {
        self.event_idx = event_idx;
    }

    /// Returns the queue's index.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Returns how many entries it has.
    #[must_use]
    pub fn entries(&self) -> u16 {
        self.entries
    }

    /// Returns where it is.
    #[must_use]
    pub fn addresses(&self) -> RingAddresses {
        RingAddresses {
            descriptors: self.descriptors.0.address(),
            available: self.available.0.address(),
            used: self.used.0.address(),
        }
    }

    /// Returns how many chains the device holds.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns how many descriptors are free.
    #[must_use]
    pub fn free_descriptors(&self) -> usize {
        self.free.len()
    }

    /// Returns how many interrupts have been taken since the ring was made.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn interrupts(&mut self) -> Result<u64, Error> {
        self.interrupts += self.calls.take()?;
        Ok(self.interrupts)
    }

    /// Offers a chain of direct descriptors; returns its head.  Visible to the device at once; not kicked.
    ///
    /// # Errors
    /// [`Error::RingFull`]; [`Error::Invalid`] for an empty chain.
    pub fn offer(&mut self, buffers: &[Buffer]) -> Result<u16, Error> {
        let wanted = buffers.len();
        if wanted == 0 {
            return Err(Error::Invalid { detail: "a chain has at least one descriptor" });
        }
        if wanted > self.free.len() {
            return Err(Error::RingFull { queue: self.index, wanted, free: self.free.len() });
        }
        let mut following = None;
        for buffer in buffers.iter().rev() {
            let slot = self.free.pop().expect("the room was checked");
            self.link(slot, buffer, following);
            following = Some(slot);
        }
        let head = following.expect("the chain is not empty");
        let descriptors = u16::try_from(wanted).expect("no more than the ring has");
        self.take_off(head, Flight { descriptors, writable_bytes: writable_bytes(buffers) });
        Ok(head)
    }

    /// Writes `buffers` as a table into `table` and offers it as one indirect descriptor; returns the head.
    ///
    /// # Errors
    /// [`Error::RingFull`], [`Error::Unmapped`] if the table is too small; [`Error::Invalid`] for an empty chain.
    pub fn offer_indirect(&mut self, buffers: &[Buffer], table: &GuestBuffer) -> Result<u16, Error> {
        write_table(buffers, table)?;
        let bytes = u32::try_from(buffers.len() * DESCRIPTOR_BYTES)
            .map_err(|_| Error::Invalid { detail: "a table has less than 2^28 descriptors" })?;
        self.offer_table(table.address(), bytes, writable_bytes(buffers))
    }

    /// Offers a table that is already written, of `table_bytes` at `table`, with room for `writable_bytes` of answer;
    /// returns the head.
    ///
    /// # Errors
    /// [`Error::RingFull`].
    pub fn offer_table(
        &mut self,
        table: GuestAddress,
        table_bytes: u32,
        writable_bytes: u64,
    ) -> Result<u16, Error> {
        let head = self.free.pop().ok_or(Error::RingFull { queue: self.index, wanted: 1, free: 0 })?;
        let descriptor =
            Descriptor { address: table.0, bytes: table_bytes, flags: DESCRIPTOR_INDIRECT, next: 0 };
        self.write_descriptor(head, descriptor);
        self.take_off(head, Flight { descriptors: 1, writable_bytes });
        Ok(head)
    }

    /// Tells the device of what was offered, if it wants to be told; returns whether it was.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn kick(&mut self) -> Result<bool, Error> {
        // Orders the store of the available index before the load of the device's wish (virtio 1.2, 2.7.13.4.1).
        fence(Ordering::SeqCst);
        let wanted = if self.event_idx {
            let event =
                self.used.1.load_u16(SLOTS + USED_SLOT_BYTES * usize::from(self.entries), Ordering::Relaxed);
            crossed(event, self.available_next, self.kicked_at)
        } else {
            self.available_next != self.kicked_at
                && self.used.1.load_u16(FLAGS, Ordering::Relaxed) & NO_SIGNAL == 0
        };
        self.kicked_at = self.available_next;
        if wanted {
            self.kicks.signal()?;
        }
        Ok(wanted)
    }

    /// Takes the next returned chain, if there is one.
    ///
    /// # Errors
    /// [`Error::UsedIndexJumped`], [`Error::NotInFlight`], [`Error::UsedTooLong`]: the device broke a rule.
    pub fn reap(&mut self) -> Result<Option<Used>, Error> {
        let queue = self.index;
        let advanced = self.used.1.load_u16(INDEX, Ordering::Acquire).wrapping_sub(self.used_next);
        if advanced == 0 {
            return Ok(None);
        }
        if usize::from(advanced) > self.in_flight {
            return Err(Error::UsedIndexJumped { queue, advanced, in_flight: self.in_flight });
        }
        let mut element = [0; USED_SLOT_BYTES];
        self.used.1.read(SLOTS + USED_SLOT_BYTES * usize::from(self.used_next % self.entries), &mut element);
        let [a, b, c, d, rest @ ..] = element;
        let (id, bytes_written) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(rest));
        self.used_next = self.used_next.wrapping_add(1);
        let stranger = Error::NotInFlight { queue, head: id };
        let Ok(head) = u16::try_from(id) else { return Err(stranger) };
        let Some(flight) = self.flights.get_mut(usize::from(head)).and_then(Option::take) else {
            return Err(stranger);
        };
        self.land(head, flight);
        let writable_bytes = flight.writable_bytes;
        if u64::from(bytes_written) > writable_bytes {
            return Err(Error::UsedTooLong { queue, head: id, used_len: bytes_written, writable_bytes });
        }
        Ok(Some(Used { head, bytes_written }))
    }

    /// Waits for the next returned chain.
    ///
    /// # Errors
    /// [`Error::NotAnswered`], [`Error::NotSignalled`], and those of [`Ring::reap`].
    pub fn wait(&mut self, wait: Wait, deadline: &Deadline) -> Result<Used, Error> {
        match wait {
            Wait::Sleep => self.sleep(deadline),
            Wait::Poll => self.poll(deadline),
        }
    }

    /// Asks the device for an interrupt at the next returned chain, or for none.  Returns whether one is there already.
    pub fn ask_for_interrupts(&mut self, wanted: bool) -> bool {
        if self.event_idx {
            // One behind is "not before 65536 more", which is as good as never.
            let event = if wanted { self.used_next } else { self.used_next.wrapping_sub(1) };
            let offset = SLOTS + AVAILABLE_SLOT_BYTES * usize::from(self.entries);
            self.available.1.store_u16(offset, event, Ordering::Relaxed);
        } else {
            let flags = if wanted { 0 } else { NO_SIGNAL };
            self.available.1.store_u16(FLAGS, flags, Ordering::Relaxed);
        }
        // Orders our wish before the look at the used index (virtio 1.2, 2.7.9).
        fence(Ordering::SeqCst);
        self.has_used()
    }

    /// Returns whether the device has returned a chain that was not reaped yet.
    #[must_use]
    pub fn has_used(&self) -> bool {
        self.used.1.load_u16(INDEX, Ordering::Acquire) != self.used_next
    }

    fn sleep(&mut self, deadline: &Deadline) -> Result<Used, Error> {
        loop {
            if let Some(used) = self.reap()? {
                return Ok(used);
            }
            if self.ask_for_interrupts(true) {
                continue;
            }
            if !self.calls.wait(deadline)? && !self.calls.wait(&Deadline::after(self.grace()))? {
                return Err(self.missed(deadline));
            }
            self.interrupts += self.calls.take()?;
        }
    }

    fn poll(&mut self, deadline: &Deadline) -> Result<Used, Error> {
        self.ask_for_interrupts(false);
        loop {
            for _ in 0..SPINS_PER_CLOCK {
                if let Some(used) = self.reap()? {
                    return Ok(used);
                }
                std::hint::spin_loop();
            }
            if deadline.passed() {
                return Err(self.missed(deadline));
            }
        }
    }

    /// An interrupt that is merely late is given time; silence is not.
    fn grace(&self) -> Duration {
        if self.has_used() { SIGNAL_GRACE } else { Duration::ZERO }
    }

    fn missed(&self, deadline: &Deadline) -> Error {
        let queue = self.index;
        if self.has_used() {
            return Error::NotSignalled { queue };
        }
        Error::NotAnswered { queue, in_flight: self.in_flight, waited: deadline.waited() }
    }

    fn link(&mut self, slot: u16, buffer: &Buffer, following: Option<u16>) {
        let mut flags = if buffer.writable { DESCRIPTOR_WRITE } else { 0 };
        if following.is_some() {
            flags |= DESCRIPTOR_NEXT;
        }
        let next = following.unwrap_or(0);
        self.next[usize::from(slot)] = next;
        self.write_descriptor(
            slot,
            Descriptor { address: buffer.address.0, bytes: buffer.bytes, flags, next },
        );
    }

    /// Makes a head available and counts it as held by the device.
    fn take_off(&mut self, head: u16, flight: Flight) {
        if let Some(place) = self.flights.get_mut(usize::from(head)) {
            *place = Some(flight);
        }
        self.in_flight += 1;
        self.write_available(self.available_next % self.entries, head);
        self.set_available_index(self.available_next.wrapping_add(1));
    }

    /// Frees the descriptors of a chain that came back.
    fn land(&mut self, head: u16, flight: Flight) {
        self.in_flight -= 1;
        let mut slot = head;
        for _ in 0..flight.descriptors {
            self.free.push(slot);
            slot = self.next[usize::from(slot)];
        }
    }
}

/// Writes a chain as a descriptor table.
///
/// # Errors
/// [`Error::Unmapped`] if the table is too small, [`Error::Invalid`] for an empty chain or one beyond 65535.
pub fn write_table(buffers: &[Buffer], table: &GuestBuffer) -> Result<(), Error> {
    if buffers.is_empty() {
        return Err(Error::Invalid { detail: "a chain has at least one descriptor" });
    }
    for (place, buffer) in buffers.iter().enumerate() {
        let mut flags = if buffer.writable { DESCRIPTOR_WRITE } else { 0 };
        let mut next = 0;
        if place + 1 < buffers.len() {
            flags |= DESCRIPTOR_NEXT;
            next = u16::try_from(place + 1)
                .map_err(|_| Error::Invalid { detail: "a chain is too long to link" })?;
        }
        let descriptor = Descriptor { address: buffer.address.0, bytes: buffer.bytes, flags, next };
        table.write((place * DESCRIPTOR_BYTES) as u64, &descriptor.to_bytes())?;
    }
    Ok(())
}

fn writable_bytes(buffers: &[Buffer]) -> u64 {
    buffers.iter().filter(|buffer| buffer.writable).map(|buffer| u64::from(buffer.bytes)).sum()
}

/// Returns whether an index that went from `old` to `new` passed `event` (virtio 1.2, 2.7.10).
fn crossed(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests;
