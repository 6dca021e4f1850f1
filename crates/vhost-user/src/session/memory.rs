// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages about shared memory: the memory map, the inflight area.
//!
//! Above: `session`.
//! Below: nothing.
//! Never here: mapping.  This file only counts what was promised.

use super::{Awaits, Owner, Refusal, Session, Undo};
use crate::message::{InflightArea, Region, Request};
use crate::{Effect, InflightRequest, Reply};
use std::os::fd::OwnedFd;

/// What names a region: REM_MEM_REG must match in all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RegionKey {
    pub(super) guest: u64,
    pub(super) user: u64,
    pub(super) bytes: u64,
}

impl RegionKey {
    fn of(region: &Region) -> Self {
        Self { guest: region.guest, user: region.user, bytes: region.bytes }
    }
}

impl Session {
    pub(super) fn set_mem_table(&mut self, regions: Vec<Region>) -> Result<Vec<Effect>, Refusal> {
        self.check_slots(regions.len())?;
        let keys = regions.iter().map(RegionKey::of).collect();
        self.owner = Owner::Present;
        self.replace_regions(keys);
        Ok(vec![Effect::MapMemory(regions)])
    }

    pub(super) fn add_region(&mut self, region: Region) -> Result<Vec<Effect>, Refusal> {
        if self.owner == Owner::Former && !self.rings.iter().any(crate::ring::Ring::is_live) {
            return self.set_mem_table(vec![region]);
        }
        self.check_slots(self.regions.len().saturating_add(1))?;
        let mut keys = self.regions.clone();
        keys.push(RegionKey::of(&region));
        self.replace_regions(keys);
        Ok(vec![Effect::AddRegion(region)])
    }

    pub(super) fn remove_region(&mut self, key: RegionKey) -> Result<Vec<Effect>, Refusal> {
        let Some(at) = self.regions.iter().position(|known| *known == key) else {
            return Err(Refusal::NoSuchRegion { guest: key.guest });
        };
        let mut keys = self.regions.clone();
        keys.remove(at);
        self.replace_regions(keys);
        let RegionKey { guest, user, bytes } = key;
        Ok(vec![Effect::RemoveRegion { guest, user, bytes }])
    }

    fn check_slots(&self, regions: usize) -> Result<(), Refusal> {
        let slots = self.offer.memory_slots;
        if regions <= usize::from(slots) { Ok(()) } else { Err(Refusal::TooManyRegions { regions, slots }) }
    }

    fn replace_regions(&mut self, keys: Vec<RegionKey>) {
        self.pending.undo = Undo::Regions(std::mem::replace(&mut self.regions, keys));
    }

    pub(super) fn get_inflight(
        &mut self,
        queues: u16,
        entries: u16,
        payload_bytes: usize,
    ) -> Result<Vec<Effect>, Refusal> {
        self.check_inflight(queues, entries)?;
        let request = InflightRequest { queues, entries };
        self.pending.awaits = Awaits::Inflight { request, payload_bytes };
        Ok(vec![Effect::AllocateInflight(request)])
    }

    pub(super) fn set_inflight(&mut self, area: InflightArea) -> Result<Vec<Effect>, Refusal> {
        self.check_inflight(area.queues, area.entries)?;
        if self.rings.iter().any(crate::ring::Ring::runs) {
            return Err(Refusal::InflightInUse);
        }
        // Those that are parked belong to a guest that is gone: Cloud Hypervisor resets a device by
        // SET_VRING_ENABLE 0, and begins anew with this.
        let mut effects = self.stop_parked_rings();
        effects.push(Effect::AdoptInflight(area));
        Ok(effects)
    }

    fn check_inflight(&self, queues: u16, entries: u16) -> Result<(), Refusal> {
        let fits = queues <= self.offer.queues && entries <= self.offer.queue_entries_max;
        if fits { Ok(()) } else { Err(Refusal::InflightShape { queues, entries }) }
    }
}

/// Answers GET_INFLIGHT_FD in the form it was asked in, padded or not.
pub(super) fn inflight_reply(
    area: Option<(OwnedFd, u64)>,
    request: InflightRequest,
    payload_bytes: usize,
) -> Reply {
    let (fd, bytes) = match area {
        Some((fd, bytes)) => (Some(fd), bytes),
        None => (None, 0),
    };
    let reply =
        Reply::to(Request::GET_INFLIGHT_FD).u64(bytes).u64(0).u16(request.queues).u16(request.entries);
    let padding = payload_bytes.saturating_sub(20).min(4);
    let reply = reply.data([0; 4].get(..padding).unwrap_or_default());
    match fd {
        Some(fd) => reply.fd(fd),
        None => reply,
    }
}
