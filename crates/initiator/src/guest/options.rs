// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What kind of guest it is to be.
//!
//! Above: tests, benches.  Below: nothing.
//! Never here: state.

use crate::dialect::{Dialect, FEATURE_EVENT_IDX, FEATURE_INDIRECT, LEGACY_FIRMWARE, LINUX_DRIVER};
use crate::memory::Plan;
use crate::ring::Wait;
use std::time::Duration;

/// A guest's memory unless told otherwise.
const MEMORY_BYTES: u64 = 64 << 20;
/// How long the guest waits for anything unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// What kind of guest it is to be.  The default is Linux in QEMU with one request queue.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its front end.
    pub dialect: Dialect,
    /// The features its driver takes where they are offered.
    pub driver_features: u64,
    /// Protocol features its front end takes, of those of the dialect.
    pub protocol_features: u64,
    /// Whether the front end uses protocol features at all (bit 30); without them rings run as soon as they are kicked.
    pub protocol: bool,
    /// Its memory.
    pub memory: Plan,
    /// Request queues; control and event queue come on top.
    pub request_queues: u16,
    /// Entries of every ring.
    pub entries: u16,
    /// How its driver waits for request and control queues.
    pub wait: Wait,
    /// Whether only request queues are set up, as firmware does; all are enabled nevertheless.
    pub only_request_queues: bool,
    /// Whether kicks have a descriptor; if not, the back end has to poll.
    pub kick_descriptor: bool,
    /// Buffers posted on the event queue.
    pub event_buffers: u16,
    /// How long it waits for anything.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dialect: Dialect::QEMU,
            driver_features: LINUX_DRIVER,
            protocol_features: u64::MAX,
            protocol: true,
            memory: Plan::pc(MEMORY_BYTES),
            request_queues: 1,
            entries: 128,
            wait: Wait::Sleep,
            only_request_queues: false,
            kick_descriptor: true,
            event_buffers: 8,
            patience: PATIENCE,
        }
    }
}

impl Options {
    /// Speaks as another front end.
    #[must_use]
    pub fn dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Has so many request queues.
    #[must_use]
    pub fn request_queues(self, request_queues: u16) -> Self {
        Self { request_queues, ..self }
    }

    /// Has rings of so many entries.
    #[must_use]
    pub fn entries(self, entries: u16) -> Self {
        Self { entries, ..self }
    }

    /// Has other memory.
    #[must_use]
    pub fn memory(self, memory: Plan) -> Self {
        Self { memory, ..self }
    }

    /// Waits otherwise.
    #[must_use]
    pub fn wait(self, wait: Wait) -> Self {
        Self { wait, ..self }
    }

    /// Has another patience.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Has a driver that takes these features and no others.
    #[must_use]
    pub fn driver_features(self, driver_features: u64) -> Self {
        Self { driver_features, ..self }
    }

    /// Is firmware on a transitional device: legacy virtio, polling, one request queue and nothing else set up.
    #[must_use]
    pub fn firmware(self) -> Self {
        let driver_features = LEGACY_FIRMWARE;
        Self { driver_features, wait: Wait::Poll, request_queues: 1, only_request_queues: true, ..self }
    }

    /// Has a driver without EVENT_IDX.
    #[must_use]
    pub fn without_event_idx(self) -> Self {
        let driver_features = self.driver_features & !FEATURE_EVENT_IDX;
        Self { driver_features, ..self }
    }

    /// Has a driver without indirect descriptors.
    #[must_use]
    pub fn without_indirect(self) -> Self {
        let driver_features = self.driver_features & !FEATURE_INDIRECT;
        Self { driver_features, ..self }
    }

    /// Has a front end that does not take these protocol features, say [`crate::dialect::protocol::INFLIGHT_SHMFD`].
    #[must_use]
    pub fn without_protocol_features(self, bits: u64) -> Self {
        let protocol_features = self.protocol_features & !bits;
        Self { protocol_features, ..self }
    }

    /// Has a front end from before protocol features.
    #[must_use]
    pub fn without_protocol(self) -> Self {
        Self { protocol: false, ..self }
    }
}
