// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event queue: buffers the device fills when something happens (virtio 1.2, 5.6.6.3).
//!
//! Above: `guest`, tests.  Below: `exchange`.
//! Never here: what a guest does about an event.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::exchange::{Exchange, Layout, Returned};
use crate::request::LunAddress;
use std::time::Duration;

/// Bytes of an event.
pub const EVENT_BYTES: usize = 16;
/// "Events were missed", in the event field.
pub const EVENTS_MISSED: u32 = 0x8000_0000;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Bytes the device says it wrote.
    pub used_len: u32,
    /// What happened, without the bit that says others were missed.
    pub event: u32,
    /// Whether others were missed.
    pub missed: bool,
    /// To which unit.
    pub address: LunAddress,
    /// Why.
    pub reason: u32,
}

/// The event queue.
#[derive(Debug)]
pub struct EventQueue {
    /// The messages and the ring beneath.
    pub exchange: Exchange,
    /// Whether a buffer goes back to the device when its event was taken.
    pub repost: bool,
}

impl EventQueue {
    /// Receives events over `exchange`.
    #[must_use]
    pub fn new(exchange: Exchange) -> Self {
        Self { exchange, repost: true }
    }

    /// Gives the device `count` buffers of `bytes` each.
    ///
    /// # Errors
    /// As [`Exchange::start`].
    pub fn post(&mut self, count: u16, bytes: usize) -> Result<(), Error> {
        let layout = Layout { indirect: false, ..Layout::default() };
        for _ in 0..count {
            self.exchange.stage(&[], bytes, &layout)?;
        }
        self.exchange.ring.kick()?;
        Ok(())
    }

    /// Waits for an event; `None` if none came.
    ///
    /// # Errors
    /// The accusations of a ring; [`Error::ShortResponse`] for a buffer that came back without a whole event.
    pub fn next_event(&mut self, patience: Duration) -> Result<Option<Event>, Error> {
        let returned = match self.exchange.wait_any(&Deadline::after(patience)) {
            Err(Error::NotAnswered { .. }) => return Ok(None),
            other => other?,
        };
        if self.repost {
            self.post(1, returned.written.len())?;
        }
        self.decode(&returned).map(Some)
    }

    fn decode(&self, returned: &Returned) -> Result<Event, Error> {
        let used_len = returned.used_len;
        let short =
            Error::ShortResponse { queue: self.exchange.ring.index(), used_len, response_bytes: EVENT_BYTES };
        let Some((bytes, _)) = returned.written.split_first_chunk::<EVENT_BYTES>() else { return Err(short) };
        if (used_len as usize) < EVENT_BYTES {
            return Err(short);
        }
        let [e0, e1, e2, e3, address @ .., r0, r1, r2, r3] = *bytes;
        let event = u32::from_le_bytes([e0, e1, e2, e3]);
        Ok(Event {
            used_len,
            event: event & !EVENTS_MISSED,
            missed: event & EVENTS_MISSED != 0,
            address: LunAddress(address),
            reason: u32::from_le_bytes([r0, r1, r2, r3]),
        })
    }
}
