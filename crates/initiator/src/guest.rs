// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole guest: memory, rings, driver and the front end that connects them to a back end.
//!
//! ```text
//!   connect ── realized ── start ── running ── stop ──┐        lose ── lost ── reconnect ── running
//!                 ^                    │  reset ──────┤          ^
//!                 └────────────────────┴──────────────┘       (any)
//! ```
//! Above: tests, benches.  Below: `connection`, `request`, `control`, `event`.
//! Never here: the order of messages (`dialect`), the carrying out of one (`guest/steps.rs`).

mod logging;
mod options;
mod steps;
mod successor;

use crate::commands;
use crate::connection::{Connection, Inflight};
use crate::control::ControlQueue;
use crate::dialect::{BaseAfterLoss, FEATURE_EVENT_IDX, FEATURE_HOTPLUG, FEATURE_INDIRECT, protocol};
use crate::error::Error;
use crate::event::{EVENT_BYTES, EventQueue};
use crate::exchange::Exchange;
use crate::memory::Memory;
use crate::notifier::Notifier;
use crate::request::{Answer, Command, LunAddress, RequestQueue};
use crate::ring::{Ring, Wait};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use logging::Snapshot;
pub use options::Options;

/// Queues before the first request queue: control and event.
pub const FIRST_REQUEST_QUEUE: u16 = 2;

/// A guest with one virtio-scsi device.
#[derive(Debug)]
pub struct Guest {
    options: Options,
    path: PathBuf,
    memory: Arc<Memory>,
    control: ControlQueue,
    events: EventQueue,
    requests: Vec<RequestQueue>,
    masked: Vec<Notifier>,
    connection: Option<Connection>,
    running: bool,
    /// What the connection in its present state has been told and has told.
    facts: Facts,
    inflight: Option<Inflight>,
    bases: Vec<u16>,
}

/// What was learnt or agreed on over one connection.
#[derive(Debug, Default)]
struct Facts {
    offered: u64,
    features: u64,
    slots: u64,
    queues: Option<u64>,
    regions_sent: Vec<usize>,
    backend_channel: Option<UnixStream>,
    config: Vec<u8>,
}

impl Guest {
    /// Boots a guest on the back end at `path`: connects, negotiates, starts all rings, posts event buffers.
    ///
    /// # Errors
    /// [`Error`] names what did not arrive.
    pub fn boot(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let mut guest = Self::connect(path, options)?;
        guest.start()?;
        Ok(guest)
    }

    /// Makes a guest and connects it, up to where its own driver would take over.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn connect(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let memory = Memory::create(&options.memory)?;
        let queues = FIRST_REQUEST_QUEUE + options.request_queues;
        let exchange = |queue: u16, wait: Wait| -> Result<Exchange, Error> {
            Ok(Exchange::new(Arc::clone(&memory), Ring::create(&memory, queue, options.entries)?, wait))
        };
        let control = ControlQueue::new(exchange(0, options.wait)?, options.patience);
        let events = EventQueue::new(exchange(1, Wait::Sleep)?);
        let requests = (FIRST_REQUEST_QUEUE..queues)
            .map(|queue| Ok(RequestQueue::new(exchange(queue, options.wait)?, options.patience)))
            .collect::<Result<Vec<_>, Error>>()?;
        let masked = (0..queues).map(|_| Notifier::new()).collect::<Result<Vec<_>, _>>()?;
        let mut guest = Self {
            path: path.as_ref().into(),
            memory,
            control,
            events,
            requests,
            masked,
            connection: None,
            running: false,
            facts: Facts::default(),
            inflight: None,
            bases: vec![0; queues.into()],
            options,
        };
        guest.realize()?;
        Ok(guest)
    }

    /// Starts the device: the guest's driver sets DRIVER_OK.  Events get their buffers if HOTPLUG was agreed on.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn start(&mut self) -> Result<(), Error> {
        self.run(self.options.dialect.start)?;
        self.running = true;
        if self.facts.features & FEATURE_HOTPLUG != 0 && self.events.exchange.in_flight() == 0 {
            let room = u16::try_from(self.events.exchange.ring.free_descriptors()).unwrap_or(u16::MAX);
            self.events.post(self.options.event_buffers.min(room), EVENT_BYTES)?;
        }
        Ok(())
    }

    /// Makes the indices of a queue that was never started begin at `index`, with SET_VRING_BASE to match.
    ///
    /// # Errors
    /// [`Error::NoSuchQueue`]; [`Error::Invalid`] with chains in flight.
    pub fn start_at(&mut self, queue: u16, index: u16) -> Result<(), Error> {
        let ring = self.ring_mut(queue)?;
        if ring.in_flight() > 0 {
            return Err(Error::Invalid { detail: "the indices of a ring in use stay as they are" });
        }
        ring.set_indices(index);
        self.bases[usize::from(queue)] = index;
        Ok(())
    }

    /// Stops all rings, as for a migration or before a reset; returns the bases the back end gave, by queue.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn stop(&mut self) -> Result<Vec<u16>, Error> {
        self.run(self.options.dialect.stop)?;
        self.running = false;
        Ok(self.bases.clone())
    }

    /// Resets the device as a guest's reboot does: stops the rings, sends RESET_DEVICE if that was agreed on, makes
    /// rings and inflight region new.  Commands in flight are forgotten.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn reset(&mut self) -> Result<(), Error> {
        if self.running {
            self.stop()?;
        }
        let connection = self.connection.as_mut().ok_or(Error::NotConnected)?;
        if connection.protocol_features() & protocol::RESET_DEVICE != 0 {
            connection.reset_device()?;
        }
        self.forget_all();
        Ok(())
    }

    /// Drops the connection without a word, as a front end that was killed.  Memory, rings and commands stay.
    pub fn lose(&mut self) {
        self.connection = None;
        self.running = false;
        self.facts = Facts::default();
    }

    /// Connects again after [`Guest::lose`] or after the back end has died, and starts the rings where they were,
    /// with the old inflight region.  Commands in flight are answered as if nothing had been.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn reconnect(&mut self) -> Result<(), Error> {
        self.lose();
        let policy = self.options.dialect.base_after_loss;
        for queue in 0..self.queue_count() {
            let ring = self.ring_mut(queue)?;
            let base = match policy {
                BaseAfterLoss::UsedIndex => ring.used_index(),
                BaseAfterLoss::AvailableIndex => ring.available_index(),
            };
            self.bases[usize::from(queue)] = base;
        }
        self.realize()?;
        self.run(self.options.dialect.start)?;
        self.running = true;
        Ok(())
    }

    /// Forgets what was in flight and makes all rings and the inflight region new, without telling the back end.
    pub fn forget_all(&mut self) {
        self.control.exchange.reinitialise();
        self.events.exchange.reinitialise();
        for queue in &mut self.requests {
            queue.exchange.reinitialise();
        }
        self.inflight = None;
        self.bases.fill(0);
    }

    /// Executes a command on the first request queue.
    ///
    /// # Errors
    /// As [`RequestQueue::execute`].
    pub fn execute(&mut self, command: &Command) -> Result<Answer, Error> {
        let outcome = self.request_queue(0)?.execute(command);
        outcome.map_err(|error| self.explain(error))
    }

    /// Executes a command, and again where it is told such `news`: each once, for a command tells what is pending once.
    /// What is told of more often is the answer.
    ///
    /// # Errors
    /// As [`Guest::execute`].
    pub fn execute_after(&mut self, news: &[[u8; 3]], command: &Command) -> Result<Answer, Error> {
        let mut answer = self.execute(command)?;
        for _ in news {
            if answer.check_condition().is_none_or(|sense| !news.contains(&sense)) {
                break;
            }
            answer = self.execute(command)?;
        }
        Ok(answer)
    }

    /// Turns "no answer" into "the connection is gone" where that is why.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        let gone = || self.connection.as_ref().is_none_or(|connection| connection.is_closed());
        match error {
            Error::NotAnswered { .. } if gone() => Error::Closed { message: "a command in flight" },
            error => error,
        }
    }

    /// Returns the number of blocks of a unit and their length in bytes, by READ CAPACITY (10) or, where
    /// that does not reach, (16).
    ///
    /// # Errors
    /// As [`Guest::execute`]; [`Error::Command`] if the command fails.
    pub fn capacity(&mut self, address: LunAddress) -> Result<(u64, u32), Error> {
        let answer = self.execute(&commands::read_capacity_10(address))?.good("READ CAPACITY (10)")?;
        let short = Error::Invalid { detail: "READ CAPACITY returned less than a capacity" };
        let Some([a, b, c, d, e, f, g, h]) = answer.data_in.first_chunk().copied() else { return Err(short) };
        let last = u32::from_be_bytes([a, b, c, d]);
        if last < u32::MAX {
            return Ok((u64::from(last) + 1, u32::from_be_bytes([e, f, g, h])));
        }
        let answer = self.execute(&commands::read_capacity_16(address, 32))?.good("READ CAPACITY (16)")?;
        let Some((last, rest)) = answer.data_in.split_first_chunk() else { return Err(short) };
        let Some(block_bytes) = rest.first_chunk() else { return Err(short) };
        Ok((u64::from_be_bytes(*last).saturating_add(1), u32::from_be_bytes(*block_bytes)))
    }

    /// Returns the control queue.
    pub fn control(&mut self) -> &mut ControlQueue {
        &mut self.control
    }

    /// Returns the event queue.
    pub fn events(&mut self) -> &mut EventQueue {
        &mut self.events
    }

    /// Returns a request queue, counted from 0.
    ///
    /// # Errors
    /// [`Error::NoSuchQueue`].
    pub fn request_queue(&mut self, number: u16) -> Result<&mut RequestQueue, Error> {
        let queue = number.saturating_add(FIRST_REQUEST_QUEUE);
        self.requests.get_mut(usize::from(number)).ok_or(Error::NoSuchQueue { queue })
    }

    /// Returns all request queues, for a thread each.
    pub fn request_queues(&mut self) -> &mut [RequestQueue] {
        &mut self.requests
    }

    /// Returns the ring of a queue, counted with the control queue as 0.
    ///
    /// # Errors
    /// [`Error::NoSuchQueue`].
    pub fn ring_mut(&mut self, queue: u16) -> Result<&mut Ring, Error> {
        Ok(&mut self.exchange_mut(queue)?.ring)
    }

    /// Returns the exchange of a queue, counted with the control queue as 0.
    ///
    /// # Errors
    /// [`Error::NoSuchQueue`].
    pub fn exchange_mut(&mut self, queue: u16) -> Result<&mut Exchange, Error> {
        match queue {
            0 => Ok(&mut self.control.exchange),
            1 => Ok(&mut self.events.exchange),
            _ => self.request_queue(queue - FIRST_REQUEST_QUEUE).map(|requests| &mut requests.exchange),
        }
    }

    /// Returns how many queues there are: control, event and requests.
    #[must_use]
    pub fn queue_count(&self) -> u16 {
        FIRST_REQUEST_QUEUE + self.options.request_queues
    }

    /// Returns the guest's memory.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Returns the connection, to send messages by hand.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub fn connection(&mut self) -> Result<&mut Connection, Error> {
        self.connection.as_mut().ok_or(Error::NotConnected)
    }

    /// Returns the features the back end offered.
    #[must_use]
    pub fn offered_features(&self) -> u64 {
        self.facts.offered
    }

    /// Returns the features that were acknowledged.
    #[must_use]
    pub fn features(&self) -> u64 {
        self.facts.features
    }

    /// Returns the configuration space, where the dialect reads it.
    #[must_use]
    pub fn config(&self) -> &[u8] {
        &self.facts.config
    }

    /// Returns the inflight region, if there is one.
    #[must_use]
    pub fn inflight(&self) -> Option<&Inflight> {
        self.inflight.as_ref()
    }

    /// Returns our end of the back end's channel, if it has been set up.
    #[must_use]
    pub fn backend_channel(&self) -> Option<&UnixStream> {
        self.facts.backend_channel.as_ref()
    }

    fn realize(&mut self) -> Result<(), Error> {
        let connection = Connection::connect(&self.path, self.options.dialect.acks, self.options.patience)?;
        self.connection = Some(connection);
        self.facts = Facts::default();
        self.run(self.options.dialect.realize)
    }

    /// Puts what was acknowledged into the rings.
    fn adopt_features(&mut self) {
        let features = self.facts.features;
        for queue in 0..self.queue_count() {
            if let Ok(ring) = self.ring_mut(queue) {
                ring.set_event_idx(features & FEATURE_EVENT_IDX != 0);
            }
        }
        self.control.indirect = features & FEATURE_INDIRECT != 0;
        for requests in &mut self.requests {
            requests.indirect = features & FEATURE_INDIRECT != 0;
        }
    }
}
