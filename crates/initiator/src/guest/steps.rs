// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries out the steps of a dialect over the guest's connection.
//!
//! Above: `guest`.  Below: `connection`.
//! Never here: which steps, and in which order.

use super::{FIRST_REQUEST_QUEUE, Guest};
use crate::connection::CONFIG_BYTES;
use crate::dialect::{FEATURE_LOG_ALL, FEATURE_PROTOCOL, RingStep, Step, protocol};
use crate::error::Error;
use crate::notifier::Notifier;
use std::os::unix::net::UnixStream;

impl Guest {
    /// Carries out `steps`, one after the other, to the first that fails.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn run(&mut self, steps: &[Step]) -> Result<(), Error> {
        steps.iter().try_for_each(|&step| self.step(step))
    }

    /// Carries out one step; one that needs a protocol feature that was not agreed on does nothing.
    fn step(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Owner => self.connection()?.set_owner(),
            Step::ReadFeatures => {
                self.facts.offered = self.connection()?.features()?;
                Ok(())
            }
            Step::ProtocolFeatures => self.negotiate_protocol(),
            Step::QueueCount => self.read_queue_count(),
            Step::MemorySlots if self.agreed(protocol::CONFIGURE_MEM_SLOTS) => {
                self.facts.slots = self.connection()?.memory_slots()?;
                Ok(())
            }
            Step::BackendChannel if self.agreed(protocol::BACKEND_REQ) => self.open_backend_channel(),
            Step::Config if self.agreed(protocol::CONFIG) => {
                self.facts.config = self.connection()?.config(0, CONFIG_BYTES)?;
                Ok(())
            }
            Step::MaskedCalls => self.send_masked_calls(),
            Step::AckFeatures => self.acknowledge_features(),
            Step::AddStatus(bits) if self.agreed(protocol::STATUS) => {
                let connection = self.connection()?;
                let status = connection.status()?;
                let wanted = status | u64::from(bits);
                if wanted == status { Ok(()) } else { connection.set_status(wanted) }
            }
            Step::SetStatus(status) if self.agreed(protocol::STATUS) => {
                self.connection()?.set_status(status.into())
            }
            Step::Inflight if self.agreed(protocol::INFLIGHT_SHMFD) => self.share_inflight(),
            Step::NewInflight if self.agreed(protocol::INFLIGHT_SHMFD) => {
                self.inflight = None;
                self.share_inflight()
            }
            Step::MemorySlotsOrTable if self.agreed(protocol::CONFIGURE_MEM_SLOTS) => self.send_new_regions(),
            Step::MemorySlotsOrTable | Step::MemoryTable => self.send_memory_table(),
            Step::Rings(steps) => {
                let first = if self.options.only_request_queues { FIRST_REQUEST_QUEUE } else { 0 };
                self.run_for_rings(first, steps)
            }
            Step::RingsNeverSetUp(steps) => self.run_for_rings_never_set_up(steps),
            Step::EnableAll => self.run_for_rings(0, &[RingStep::Enable]),
            Step::DisableAll => self.run_for_rings(0, &[RingStep::Disable]),
            // The feature each of these depends on was not agreed on.
            Step::MemorySlots
            | Step::BackendChannel
            | Step::Config
            | Step::AddStatus(_)
            | Step::SetStatus(_)
            | Step::NewInflight
            | Step::Inflight => Ok(()),
        }
    }

    fn agreed(&self, feature: u64) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.protocol_features() & feature != 0)
    }

    fn negotiate_protocol(&mut self) -> Result<(), Error> {
        if !self.options.protocol || self.facts.offered & FEATURE_PROTOCOL == 0 {
            return Ok(());
        }
        let taken = self.options.dialect.protocol_features & self.options.protocol_features;
        let connection = self.connection()?;
        let agreed = connection.offered_protocol_features()? & taken;
        connection.set_protocol_features(agreed)
    }

    fn read_queue_count(&mut self) -> Result<(), Error> {
        if !self.agreed(protocol::MQ) {
            return Ok(());
        }
        let offered = self.connection()?.queue_count()?;
        self.facts.queues = Some(offered);
        let wanted = u64::from(self.queue_count());
        if offered < wanted { Err(Error::TooFewQueues { offered, wanted }) } else { Ok(()) }
    }

    fn open_backend_channel(&mut self) -> Result<(), Error> {
        if self.facts.backend_channel.is_some() {
            return Ok(());
        }
        let (ours, theirs) =
            UnixStream::pair().map_err(|source| Error::Host { what: "socketpair", source })?;
        self.connection()?.set_backend_channel(&theirs)?;
        self.facts.backend_channel = Some(ours);
        Ok(())
    }

    fn send_masked_calls(&mut self) -> Result<(), Error> {
        for queue in 0..self.queue_count() {
            let connection = self.connection.as_mut().ok_or(Error::NotConnected)?;
            connection.set_ring_call(queue, self.masked.get(usize::from(queue)))?;
            let errors = match queue {
                0 => &self.control.exchange.ring.errors,
                1 => &self.events.exchange.ring.errors,
                _ => &self.requests[usize::from(queue) - 2].exchange.ring.errors,
            };
            connection.set_ring_error(queue, errors)?;
        }
        Ok(())
    }

    fn acknowledge_features(&mut self) -> Result<(), Error> {
        let dialect = &self.options.dialect;
        let visible = (self.facts.offered & dialect.passes) | dialect.adds_blindly;
        let mut features = visible & self.options.driver_features;
        if self.options.protocol {
            features |= self.facts.offered & FEATURE_PROTOCOL;
        }
        // A migration that is under way goes on.
        features |= self.facts.features & FEATURE_LOG_ALL;
        self.facts.features = features;
        self.adopt_features();
        self.connection()?.set_features(features)
    }

    fn share_inflight(&mut self) -> Result<(), Error> {
        let (queues, entries) = (self.queue_count(), self.options.entries);
        let connection = self.connection.as_mut().ok_or(Error::NotConnected)?;
        let inflight = match self.inflight.take() {
            Some(inflight) => inflight,
            None => connection.inflight(queues, entries)?,
        };
        connection.set_inflight(self.inflight.insert(inflight))
    }

    fn send_new_regions(&mut self) -> Result<(), Error> {
        let wanted = self.memory.regions().len() as u64;
        if self.facts.slots < wanted {
            return Err(Error::TooFewSlots { offered: self.facts.slots, wanted });
        }
        for (index, region) in self.memory.regions().iter().enumerate() {
            if !self.facts.regions_sent.contains(&index) {
                let connection = self.connection.as_mut().ok_or(Error::NotConnected)?;
                connection.add_region(&self.memory, region)?;
                self.facts.regions_sent.push(index);
            }
        }
        Ok(())
    }

    fn send_memory_table(&mut self) -> Result<(), Error> {
        let connection = self.connection.as_mut().ok_or(Error::NotConnected)?;
        connection.set_memory_table(&self.memory)
    }

    fn run_for_rings(&mut self, first: u16, steps: &[RingStep]) -> Result<(), Error> {
        for queue in first..self.queue_count() {
            for &step in steps {
                self.ring_step(queue, step)?;
            }
        }
        Ok(())
    }

    /// Carries out steps for the queues beyond those of the driver.
    fn run_for_rings_never_set_up(&mut self, steps: &[RingStep]) -> Result<(), Error> {
        let offered = self.facts.queues.and_then(|count| u16::try_from(count).ok());
        let enabling = self.facts.features & FEATURE_PROTOCOL != 0;
        let nowhere = self.memory.regions().first().map_or(0, |region| region.user);
        let (first, kick, call) = (self.queue_count(), Notifier::new()?, Notifier::new()?);
        let connection = self.connection.as_mut().ok_or(Error::NotConnected)?;
        for queue in first..offered.unwrap_or(first) {
            for step in steps {
                match step {
                    RingStep::Num => connection.set_ring_entries(queue, 0)?,
                    RingStep::Base => connection.set_ring_base(queue, 0)?,
                    RingStep::Address => connection.set_ring_user_addresses(queue, [nowhere; 3])?,
                    RingStep::Kick => connection.set_ring_kick(queue, Some(&kick))?,
                    RingStep::Call => connection.set_ring_call(queue, Some(&call))?,
                    RingStep::Enable if enabling => connection.enable_ring(queue, true)?,
                    RingStep::Disable if enabling => connection.enable_ring(queue, false)?,
                    RingStep::TakeBase => {
                        connection.take_ring_base(queue)?;
                    }
                    RingStep::Enable | RingStep::Disable => {}
                }
            }
        }
        Ok(())
    }

    fn ring_step(&mut self, queue: u16, step: RingStep) -> Result<(), Error> {
        let place = usize::from(queue);
        let connection = self.connection.as_mut().ok_or(Error::NotConnected)?;
        let ring = match queue {
            0 => &self.control.exchange.ring,
            1 => &self.events.exchange.ring,
            _ => &self.requests[place - 2].exchange.ring,
        };
        let enabling = self.facts.features & FEATURE_PROTOCOL != 0;
        match step {
            RingStep::Num => connection.set_ring_entries(queue, ring.entries()),
            RingStep::Base => connection.set_ring_base(queue, self.bases[place]),
            RingStep::Address => {
                let logged = self.facts.features & FEATURE_LOG_ALL != 0;
                let log = logged.then(|| ring.addresses().used);
                connection.set_ring_addresses_logged(&self.memory, ring, log)
            }
            RingStep::Kick => {
                connection.set_ring_kick(queue, self.options.kick_descriptor.then_some(&ring.kicks))
            }
            RingStep::Call => connection.set_ring_call(queue, Some(&ring.calls)),
            RingStep::Enable if enabling => connection.enable_ring(queue, true),
            RingStep::Disable if enabling => connection.enable_ring(queue, false),
            RingStep::TakeBase => {
                self.bases[place] = connection.take_ring_base(queue)?;
                Ok(())
            }
            // Without bit 30 a ring is enabled for as long as it runs.
            RingStep::Enable | RingStep::Disable => Ok(()),
        }
    }
}
