// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages about one ring.
//!
//! Above: `session`.
//! Below: `ring`, which has the life cycle.
//! Never here: rules of one ring that `ring` can know by itself.

use super::{Awaits, Refusal, Session, Undo};
use crate::message::{Request, RingAddresses};
use crate::ring::Ring;
use crate::{Effect, Remark, Reply};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;

impl Session {
    /// Checks an index of the wire.
    pub(super) fn ring_index(&self, index: u32) -> Result<u16, Refusal> {
        let queues = self.offer.queues;
        match u16::try_from(index) {
            Ok(known) if known < queues => Ok(known),
            _ => Err(Refusal::NoSuchRing { index, queues }),
        }
    }

    fn ring(&mut self, index: u32) -> Result<&mut Ring, Refusal> {
        let queues = self.offer.queues;
        let ring = usize::try_from(index).ok().and_then(|at| self.rings.get_mut(at));
        ring.ok_or(Refusal::NoSuchRing { index, queues })
    }

    pub(super) fn set_ring_entries(&mut self, index: u32, entries: u32) -> Result<Vec<Effect>, Refusal> {
        let (features, entries_max) = (self.features, self.offer.queue_entries_max);
        let ring = self.ring(index)?;
        match u16::try_from(entries) {
            // None at all: libkrun describes every queue, those too that the guest's driver never set up.
            Ok(known) if known <= entries_max => {
                Ok(ring.set_entries(NonZeroU16::new(known), features)?.into_iter().collect())
            }
            _ => Err(Refusal::RingEntries { entries, entries_max }),
        }
    }

    pub(super) fn set_ring_addresses(
        &mut self,
        index: u32,
        addresses: RingAddresses,
    ) -> Result<Vec<Effect>, Refusal> {
        let features = self.features;
        let ring = self.ring(index)?;
        let before = ring.addresses();
        let effect = ring.set_addresses(addresses, features)?;
        if let (Some(Effect::LogRing { index, .. }), Some(addresses)) = (&effect, before) {
            self.pending.undo = Undo::RingAddresses { index: *index, addresses };
        }
        let mut effects = Vec::new();
        if self.regions.is_empty() && !self.remarked.no_memory {
            self.remarked.no_memory = true;
            effects.push(Effect::Remark(Remark::NoMemory));
        }
        effects.extend(effect);
        Ok(effects)
    }

    pub(super) fn set_ring_base(&mut self, index: u32, base: u32) -> Result<Vec<Effect>, Refusal> {
        let ring = self.ring(index)?;
        let known = u16::try_from(base).map_err(|_| Refusal::RingBase { base })?;
        Ok(ring.set_base(known)?.into_iter().collect())
    }

    /// Stops a ring.  The answer waits until the caller has stopped it; a ring it does not have is answered at once.
    pub(super) fn get_ring_base(&mut self, index: u32) -> Result<Vec<Effect>, Refusal> {
        let known = self.ring_index(index)?;
        let ring = self.ring(index)?;
        if !ring.stop() {
            return Ok(vec![Effect::Reply(base_reply(known, ring.base()))]);
        }
        self.pending.awaits = Awaits::RingStopped { index: known };
        Ok(vec![Effect::StopRing { index: known }])
    }

    pub(super) fn set_ring_kick(&mut self, index: u8, kick: Option<OwnedFd>) -> Result<Vec<Effect>, Refusal> {
        let features = self.features;
        Ok(self.ring(u32::from(index))?.kick(kick, features).into_iter().collect())
    }

    pub(super) fn enable_ring(&mut self, index: u32, enable: bool) -> Result<Vec<Effect>, Refusal> {
        let features = self.features;
        Ok(self.ring(index)?.enable(enable, features).into_iter().collect())
    }

    /// Brings every ring to its first state and lists those the caller has to stop.
    pub(super) fn reset_rings(&mut self) -> Vec<Effect> {
        let rings = (0u16..).zip(&mut self.rings);
        rings.filter_map(|(index, ring)| ring.reset().then_some(Effect::StopRing { index })).collect()
    }

    /// Stops every ring that the caller holds and that is disabled.
    pub(super) fn stop_parked_rings(&mut self) -> Vec<Effect> {
        let rings = (0u16..).zip(&mut self.rings);
        let parked = rings.filter(|(_, ring)| ring.is_live() && !ring.runs());
        parked.filter_map(|(index, ring)| ring.stop().then_some(Effect::StopRing { index })).collect()
    }

    /// Enables every ring, as a front end without PROTOCOL_FEATURES expects it.
    pub(super) fn enable_all_rings(&mut self) -> Vec<Effect> {
        let features = self.features;
        self.rings.iter_mut().filter_map(|ring| ring.enable(true, features)).collect()
    }
}

/// Answers GET_VRING_BASE.
pub(super) fn base_reply(index: u16, next_avail: u16) -> Reply {
    Reply::to(Request::GET_VRING_BASE).u32(u32::from(index)).u32(u32::from(next_avail))
}
