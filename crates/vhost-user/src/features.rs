// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Feature bits: those of the protocol, and those virtio bits that this layer must understand.
//!
//! Above: `session`, which negotiates, and its callers, which offer.
//! Below: nothing.
//! Never here: virtio-scsi's own bits.  They pass through this crate unread.

bitflags::bitflags! {
    /// Protocol features (vhost-user, "Protocol features"), those that [`crate::Session`] can serve.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ProtocolFeatures: u64 {
        /// Several queues: GET_QUEUE_NUM.
        const MQ = 1 << 0;
        /// The dirty log comes as shared memory: SET_LOG_BASE carries a file.
        const LOG_SHMFD = 1 << 1;
        /// A message may ask for an acknowledgement.
        const REPLY_ACK = 1 << 3;
        /// A channel for messages from the back end to the front end.
        const BACKEND_REQ = 1 << 5;
        /// The back end serves the device's configuration space.
        const CONFIG = 1 << 9;
        /// A shared area remembers requests in flight, so that a new back end can resume them.
        const INFLIGHT_SHMFD = 1 << 12;
        /// RESET_DEVICE.  QEMU resets the back end only where this is negotiated.
        const RESET_DEVICE = 1 << 13;
        /// Memory regions come and go one at a time.
        const CONFIGURE_MEM_SLOTS = 1 << 15;
        /// The virtio device status is passed on.
        const STATUS = 1 << 16;
    }
}

/// NOTIFY_ON_EMPTY, a legacy bit.
pub const NOTIFY_ON_EMPTY: u64 = 1 << 24;
/// VHOST_F_LOG_ALL: log every write to guest memory, for migration.
pub const LOG_ALL: u64 = 1 << 26;
/// ANY_LAYOUT, a legacy bit: requests may be framed freely (virtio 1.2, 2.7.4.3).
pub const ANY_LAYOUT: u64 = 1 << 27;
/// INDIRECT_DESC: a descriptor may point to a table of descriptors.
pub const INDIRECT_DESC: u64 = 1 << 28;
/// EVENT_IDX: notifications are asked for by index.
pub const EVENT_IDX: u64 = 1 << 29;
/// VHOST_USER_F_PROTOCOL_FEATURES: protocol features exist, and rings wait for SET_VRING_ENABLE.
pub const PROTOCOL_FEATURES: u64 = 1 << 30;
/// VERSION_1: not a legacy device.
pub const VERSION_1: u64 = 1 << 32;
/// ACCESS_PLATFORM: ring and buffer addresses pass an IOMMU.
pub const ACCESS_PLATFORM: u64 = 1 << 33;
/// RING_PACKED: the packed ring layout.
pub const RING_PACKED: u64 = 1 << 34;
/// IN_ORDER: requests finish in the order they came.
pub const IN_ORDER: u64 = 1 << 35;

/// Bits that are refused when they were not offered: to go on without them would read or write the wrong guest
/// memory, or lose requests.  Every other bit is tolerated, because QEMU passes on what its own device offers
/// (SCSI CHANGE, T10_PI, ANY_LAYOUT, …) whatever the back end offered.
pub const NEVER_TOLERATED: u64 = LOG_ALL | ACCESS_PLATFORM | RING_PACKED | IN_ORDER;
