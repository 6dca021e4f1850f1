// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A migration, as far as the back end hears of it: the dirty log comes, changes and goes while rings run.
//!
//! Above: tests.  Below: `connection`.
//! Never here: what is done with the log.
//!
//! The order of messages is QEMU's: the log, then LOG_ALL, then each used ring; and back, without another log.

use super::Guest;
use crate::dialect::FEATURE_LOG_ALL;
use crate::dirty_log::DirtyLog;
use crate::error::Error;
use crate::memory::Memory;
use std::collections::BTreeSet;

impl Guest {
    /// Has every write to the guest's memory logged.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn start_logging(&mut self, log: &DirtyLog) -> Result<(), Error> {
        let features = self.facts.features | FEATURE_LOG_ALL;
        let connection = self.connection()?;
        connection.set_log_base(log)?;
        connection.set_features(features)?;
        self.facts.features = features;
        self.log_rings(true)
    }

    /// Has nothing logged any more: the migration was cancelled.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn stop_logging(&mut self) -> Result<(), Error> {
        let features = self.facts.features & !FEATURE_LOG_ALL;
        self.connection()?.set_features(features)?;
        self.facts.features = features;
        self.log_rings(false)?;
        // Neither message is acknowledged by itself; this has an answer, which comes after them.
        self.connection()?.features().map(drop)
    }

    /// Has writes to all used rings logged, or not.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn log_rings(&mut self, logged: bool) -> Result<(), Error> {
        for queue in 0..self.queue_count() {
            self.log_ring(queue, logged)?;
        }
        Ok(())
    }

    /// Has writes to one used ring logged, or not.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn log_ring(&mut self, queue: u16, logged: bool) -> Result<(), Error> {
        let place = usize::from(queue);
        let connection = self.connection.as_mut().ok_or(Error::NotConnected)?;
        let ring = match queue {
            0 => &self.control.exchange.ring,
            1 => &self.events.exchange.ring,
            _ => &self.requests[place - 2].exchange.ring,
        };
        let log = logged.then(|| ring.addresses().used);
        connection.set_ring_addresses_logged(&self.memory, ring, log)
    }
}

/// The whole of a guest's memory at one moment.
#[derive(Debug)]
pub struct Snapshot(Vec<(u64, Vec<u8>)>);

impl Snapshot {
    /// Copies all of `memory`.
    ///
    /// # Errors
    /// [`Error::Unmapped`].
    pub fn of(memory: &Memory) -> Result<Self, Error> {
        let copy = |region: &crate::memory::Region| {
            let mut bytes = vec![0; usize::try_from(region.bytes).unwrap_or(0)];
            memory.read(region.guest, &mut bytes)?;
            Ok((region.guest.0, bytes))
        };
        memory.regions().iter().map(copy).collect::<Result<_, Error>>().map(Self)
    }

    /// Returns the numbers of the pages in which a byte differs from `other`, of the same memory.
    #[must_use]
    pub fn pages_unlike(&self, other: &Self) -> BTreeSet<u64> {
        const PAGE: u64 = crate::dirty_log::PAGE_BYTES;
        let mut pages = BTreeSet::new();
        for ((guest, ours), (_, theirs)) in self.0.iter().zip(&other.0) {
            let mut at = 0;
            while at < ours.len() {
                let address = guest + at as u64;
                let room = usize::try_from(PAGE - address % PAGE).unwrap_or(1);
                let end = ours.len().min(at + room);
                if ours.get(at..end) != theirs.get(at..end) {
                    pages.insert(address / PAGE);
                }
                at = end;
            }
        }
        pages
    }

    /// Returns the numbers of all pages in which there is memory.
    #[must_use]
    pub fn pages(&self) -> BTreeSet<u64> {
        const PAGE: u64 = crate::dirty_log::PAGE_BYTES;
        let of = |(guest, bytes): &(u64, Vec<u8>)| guest / PAGE..(guest + bytes.len() as u64).div_ceil(PAGE);
        self.0.iter().flat_map(of).collect()
    }
}
