// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The life cycle of one ring (vhost-user, "Ring states").
//!
//! Above: `session`.
//! Below: `effect`.
//! Never here: the ring's memory.
//!
//! ```text
//!            SET_VRING_KICK             enabled, NUM and ADDR known
//!   Stopped ────────────────> Started ─────────────────────────────> Live
//!      ^                         │                                    │ SET_VRING_ENABLE 0 parks it,
//!      └─────────────────────────┴────────────────────────────────────┘ 1 lets it go on
//!                     GET_VRING_BASE, RESET_DEVICE
//! ```
//! Whether a ring is enabled is kept beside that: it may be said at any time, and outlives a stop.
//!
//! A live ring that is enabled cannot be described anew.  One that is parked can, and is stopped by that: libkrun
//! resets a device by SET_VRING_ENABLE 0 alone, and describes the rings again when the guest has rebooted.

use crate::{Effect, Refusal, RingAddresses, RingStart};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;

/// One ring as the front end has described it so far.
#[derive(Debug)]
pub(crate) struct Ring {
    index: u16,
    entries: Option<NonZeroU16>,
    addresses: Option<RingAddresses>,
    /// Where to go on from, once that is known.
    base: Option<u16>,
    /// The caller was told to stop the ring; where it stopped is the base, unless the front end sets another.
    base_follows: bool,
    enabled: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Stopped,
    /// The front end may begin, but something is missing: we keep the kick.
    Started {
        kick: Option<OwnedFd>,
    },
    /// Handed to the caller, kick and all.  Runs if enabled.
    Live,
}

impl Ring {
    pub(crate) fn new(index: u16) -> Self {
        Self {
            index,
            entries: None,
            addresses: None,
            base: None,
            base_follows: false,
            enabled: false,
            state: State::Stopped,
        }
    }

    /// Whether the caller holds the ring, running or parked.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, State::Live)
    }

    /// Whether the caller holds the ring and may take requests from it.
    pub(crate) fn runs(&self) -> bool {
        self.is_live() && self.enabled
    }

    /// Available index to go on from, as far as is known without asking the caller.
    pub(crate) fn base(&self) -> u16 {
        self.base.unwrap_or_default()
    }

    /// The same, if the front end has said it or was told.
    pub(crate) fn known_base(&self) -> Option<u16> {
        self.base
    }

    /// Sets the number of entries.  A ring of none never starts.
    pub(crate) fn set_entries(
        &mut self,
        entries: Option<NonZeroU16>,
        features: u64,
    ) -> Result<Option<Effect>, Refusal> {
        if self.entries == entries {
            return Ok(None);
        }
        let stop = self.unsettle()?;
        self.entries = entries;
        Ok(stop.or_else(|| self.start_if_ready(features)))
    }

    /// Sets the addresses.  Only whether the used ring is logged can change while the ring goes on.
    pub(crate) fn set_addresses(
        &mut self,
        addresses: RingAddresses,
        features: u64,
    ) -> Result<Option<Effect>, Refusal> {
        let unlogged = |addresses| RingAddresses { log: None, ..addresses };
        if self.is_live() && self.addresses.map(unlogged) == Some(unlogged(addresses)) {
            let before = self.addresses.replace(addresses);
            let changed = before != Some(addresses);
            return Ok(changed.then_some(Effect::LogRing { index: self.index, log: addresses.log }));
        }
        let stop = self.unsettle()?;
        self.addresses = Some(addresses);
        Ok(stop.or_else(|| self.start_if_ready(features)))
    }

    /// The addresses, if they are known.
    pub(crate) fn addresses(&self) -> Option<RingAddresses> {
        self.addresses
    }

    /// Takes back a change of what is logged.
    pub(crate) fn restore_addresses(&mut self, addresses: RingAddresses) {
        self.addresses = Some(addresses);
    }

    /// Sets the available index to go on from.
    pub(crate) fn set_base(&mut self, base: u16) -> Result<Option<Effect>, Refusal> {
        let stop = self.unsettle()?;
        self.base = Some(base);
        self.base_follows = false;
        Ok(stop)
    }

    /// Starts the ring, or gives a live one another kick.
    pub(crate) fn kick(&mut self, kick: Option<OwnedFd>, features: u64) -> Option<Effect> {
        if self.is_live() {
            return Some(Effect::SetKick { index: self.index, kick });
        }
        self.state = State::Started { kick };
        self.start_if_ready(features)
    }

    /// Enables or disables the ring.  To say it twice does nothing.
    pub(crate) fn enable(&mut self, enable: bool, features: u64) -> Option<Effect> {
        if self.enabled == enable {
            return None;
        }
        self.enabled = enable;
        let index = self.index;
        match (self.is_live(), enable) {
            (false, _) => self.start_if_ready(features),
            (true, true) => Some(Effect::EnableRing { index }),
            (true, false) => Some(Effect::DisableRing { index }),
        }
    }

    /// Stops the ring; returns whether the caller has it and must stop it too.
    pub(crate) fn stop(&mut self) -> bool {
        let live = self.is_live();
        self.state = State::Stopped;
        self.base_follows = live;
        live
    }

    /// Takes note that the caller could not start the ring after all.
    pub(crate) fn start_failed(&mut self) {
        self.state = State::Stopped;
    }

    /// Takes note of where the caller stopped the ring.
    pub(crate) fn stopped_at(&mut self, next_avail: u16) {
        if std::mem::replace(&mut self.base_follows, false) {
            self.base = Some(next_avail);
        }
    }

    /// Brings the ring to its first state; returns whether the caller has it and must stop it.
    pub(crate) fn reset(&mut self) -> bool {
        let live = self.is_live();
        *self = Self::new(self.index);
        live
    }

    /// Makes the ring ready to be described anew: returns the effect that stops a parked one.
    fn unsettle(&mut self) -> Result<Option<Effect>, Refusal> {
        let index = self.index;
        if self.runs() {
            return Err(Refusal::RingRuns { index });
        }
        Ok(self.is_live().then(|| self.stop()).map(|_| Effect::StopRing { index }))
    }

    /// Hands the ring to the caller if it is started, enabled and fully described.
    fn start_if_ready(&mut self, features: u64) -> Option<Effect> {
        let (Some(entries), Some(addresses), true) = (self.entries, self.addresses, self.enabled) else {
            return None;
        };
        match std::mem::replace(&mut self.state, State::Live) {
            State::Started { kick } => {
                let start = RingStart {
                    index: self.index,
                    entries: entries.get(),
                    addresses,
                    base: self.base(),
                    kick,
                    features,
                };
                Some(Effect::StartRing(start))
            }
            other => {
                self.state = other;
                None
            }
        }
    }
}
