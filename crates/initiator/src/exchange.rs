// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bytes to the device and bytes back, over one ring: what all three kinds of queue have in common.
//!
//! Above: `request`, `control`, `event`.  Below: `ring`, `memory`.
//! Never here: what the bytes mean.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::memory::{GuestAddress, GuestBuffer, Memory};
use crate::ring::{Buffer, DESCRIPTOR_BYTES, Ring, Used, Wait};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What device-writable memory holds before the device writes: bytes it leaves alone keep this value.
pub const FILL: u8 = 0xa5;

/// How a message is cut into descriptors and where they lie.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Offsets at which the device-readable bytes are cut, rising.  An offset given twice makes an empty descriptor.
    pub readable_cuts: Vec<usize>,
    /// The same for the device-writable bytes.
    pub writable_cuts: Vec<usize>,
    /// Whether the chain is one indirect descriptor.
    pub indirect: bool,
    /// Where the pieces lie.
    pub place: Place,
}

/// Where the pieces of a message lie in guest memory.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Each by itself, `offset` bytes behind a multiple of `align` (a power of two).
    Apart {
        /// What the start of a piece is aligned to, before the offset.
        align: u64,
        /// How far behind.
        offset: u64,
    },
    /// One right behind the other from this address on, readable bytes first.
    From(GuestAddress),
}

impl Default for Layout {
    /// One descriptor for what is read, one for what is written, indirect, on page borders.
    fn default() -> Self {
        let place = Place::Apart { align: 4096, offset: 0 };
        Self { readable_cuts: Vec::new(), writable_cuts: Vec::new(), indirect: true, place }
    }
}

/// Names one message in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// A message that came back.
#[derive(Clone, Debug)]
pub struct Returned {
    /// Which one.
    pub token: Token,
    /// Bytes the device says it wrote.
    pub used_len: u32,
    /// All device-writable bytes; those it did not write hold [`FILL`].
    pub written: Vec<u8>,
}

/// What is kept of a message while the device holds it.
#[derive(Debug)]
struct Pending {
    token: Token,
    writable: Vec<(GuestAddress, usize)>,
    _held: Vec<GuestBuffer>,
}

/// A ring, and the messages in flight on it.
#[derive(Debug)]
pub struct Exchange {
    /// The ring, for whoever wants to see or break it.
    pub ring: Ring,
    /// How its driver waits.
    pub wait: Wait,
    memory: Arc<Memory>,
    pending: HashMap<u16, Pending>,
    arrived: VecDeque<Returned>,
    tokens: u64,
}

impl Exchange {
    /// Exchanges messages over `ring`, which lies in `memory`.
    #[must_use]
    pub fn new(memory: Arc<Memory>, ring: Ring, wait: Wait) -> Self {
        Self { ring, wait, memory, pending: HashMap::new(), arrived: VecDeque::new(), tokens: 0 }
    }

    /// Sends `readable` with room for `writable_bytes` of answer, and kicks.
    ///
    /// # Errors
    /// [`Error::RingFull`], [`Error::OutOfMemory`], [`Error::Unmapped`]; [`Error::Invalid`] for impossible cuts.
    pub fn start(&mut self, readable: &[u8], writable_bytes: usize, layout: &Layout) -> Result<Token, Error> {
        let token = self.stage(readable, writable_bytes, layout)?;
        self.ring.kick()?;
        Ok(token)
    }

    /// As [`Exchange::start`], but the kick is left to the caller: several messages in one batch.
    ///
    /// # Errors
    /// As [`Exchange::start`].
    pub fn stage(&mut self, readable: &[u8], writable_bytes: usize, layout: &Layout) -> Result<Token, Error> {
        let mut placer = Placer::new(&self.memory, layout.place, readable.len() + writable_bytes)?;
        let (mut chain, mut writable) = (Vec::new(), Vec::new());
        let mut rest = readable;
        for bytes in pieces(readable.len(), &layout.readable_cuts)? {
            let (piece, following) = rest.split_at(bytes);
            rest = following;
            let address = placer.place(bytes)?;
            self.memory.write(address, piece)?;
            chain.push(Buffer { address, bytes: descriptor_bytes(bytes)?, writable: false });
        }
        for bytes in pieces(writable_bytes, &layout.writable_cuts)? {
            let address = placer.place(bytes)?;
            self.memory.write(address, &vec![FILL; bytes])?;
            chain.push(Buffer { address, bytes: descriptor_bytes(bytes)?, writable: true });
            writable.push((address, bytes));
        }
        let mut held = placer.held;
        let head = if layout.indirect {
            let table = self.memory.allocate((chain.len() * DESCRIPTOR_BYTES) as u64, 16)?;
            let head = self.ring.offer_indirect(&chain, &table)?;
            held.push(table);
            head
        } else {
            self.ring.offer(&chain)?
        };
        let token = Token(self.tokens);
        self.tokens += 1;
        self.pending.insert(head, Pending { token, writable, _held: held });
        Ok(token)
    }

    /// Waits for any message to come back.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] at the deadline, [`Error::Late`] for a head that was offered by hand, and the
    /// accusations of [`Ring::reap`].
    pub fn wait_any(&mut self, deadline: &Deadline) -> Result<Returned, Error> {
        if let Some(returned) = self.arrived.pop_front() {
            return Ok(returned);
        }
        let used = self.ring.wait(self.wait, deadline)?;
        self.take(used)
    }

    /// Waits for one message; others that come back meanwhile are kept for later.
    ///
    /// # Errors
    /// As [`Exchange::wait_any`].
    pub fn wait_for(&mut self, token: Token, deadline: &Deadline) -> Result<Returned, Error> {
        if let Some(place) = self.arrived.iter().position(|returned| returned.token == token)
            && let Some(returned) = self.arrived.remove(place)
        {
            return Ok(returned);
        }
        loop {
            let used = self.ring.wait(self.wait, deadline)?;
            let returned = self.take(used)?;
            if returned.token == token {
                return Ok(returned);
            }
            self.arrived.push_back(returned);
        }
    }

    /// Returns a message that has come back, if there is one, without waiting.
    ///
    /// # Errors
    /// As [`Exchange::wait_any`].
    pub fn try_any(&mut self) -> Result<Option<Returned>, Error> {
        if let Some(returned) = self.arrived.pop_front() {
            return Ok(Some(returned));
        }
        self.ring.reap()?.map(|used| self.take(used)).transpose()
    }

    /// Returns how many messages the device holds.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Makes the ring new and forgets what was in flight, as a driver does when it has reset the device.
    pub fn reinitialise(&mut self) {
        self.ring.reinitialise();
        self.pending.clear();
        self.arrived.clear();
    }

    fn take(&mut self, used: Used) -> Result<Returned, Error> {
        let pending = self.pending.remove(&used.head).ok_or(Error::Late { queue: self.ring.index() })?;
        let mut written = Vec::new();
        for (address, bytes) in pending.writable {
            let start = written.len();
            written.resize(start + bytes, 0);
            self.memory.read(address, &mut written[start..])?;
        }
        Ok(Returned { token: pending.token, used_len: used.bytes_written, written })
    }
}

/// Finds room for the pieces of one message.
struct Placer<'a> {
    memory: &'a Arc<Memory>,
    place: Place,
    next: GuestAddress,
    held: Vec<GuestBuffer>,
}

impl<'a> Placer<'a> {
    fn new(memory: &'a Arc<Memory>, place: Place, bytes: usize) -> Result<Self, Error> {
        let mut placer = Self { memory, place, next: GuestAddress(0), held: Vec::new() };
        if let Place::From(from) = place {
            placer.held.push(memory.allocate_at(from, bytes as u64)?);
            placer.next = from;
        }
        Ok(placer)
    }

    fn place(&mut self, bytes: usize) -> Result<GuestAddress, Error> {
        let Place::Apart { align, offset } = self.place else {
            let address = self.next;
            self.next = address.plus(bytes as u64);
            return Ok(address);
        };
        let whole = offset
            .checked_add(bytes as u64)
            .ok_or(Error::Invalid { detail: "an offset out of this world" })?;
        let buffer = self.memory.allocate(whole, align)?;
        let address = buffer.address().plus(offset);
        self.held.push(buffer);
        Ok(address)
    }
}

/// Returns the lengths that `total` bytes fall into when they are cut.
fn pieces(total: usize, cuts: &[usize]) -> Result<Vec<usize>, Error> {
    let mut lengths = Vec::with_capacity(cuts.len() + 1);
    let mut start = 0;
    for &cut in cuts {
        if cut < start || cut > total {
            return Err(Error::Invalid { detail: "cuts rise and end within the message" });
        }
        lengths.push(cut - start);
        start = cut;
    }
    if start < total {
        lengths.push(total - start);
    }
    Ok(lengths)
}

fn descriptor_bytes(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes).map_err(|_| Error::Invalid { detail: "a descriptor covers less than 4 GiB" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_make_pieces_and_a_cut_twice_an_empty_one() {
        assert_eq!(pieces(51, &[]).expect("fine"), [51]);
        assert_eq!(pieces(51, &[1, 50]).expect("fine"), [1, 49, 1]);
        assert_eq!(pieces(51, &[20, 20, 51]).expect("fine"), [20, 0, 31]);
        assert_eq!(pieces(0, &[]).expect("fine"), [0_usize; 0]);
        assert!(pieces(51, &[52]).is_err());
        assert!(pieces(51, &[9, 8]).is_err());
    }
}
