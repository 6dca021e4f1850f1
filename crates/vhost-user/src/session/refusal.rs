// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a message was refused, in words an administrator can act on.
//!
//! Above: `session` and its caller, which logs.
//! Below: nothing.
//! Never here: what happens then.

use crate::message::Request;
use crate::{ProtocolFeatures, WireError, features};

/// The connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The stream has lost its meaning.
    #[error("the front end does not speak vhost-user: {0}")]
    Wire(#[from] WireError),
    /// A message was refused, and its sender had not asked to be told.
    #[error("{request}: {refusal}")]
    Refused {
        /// Which message.
        request: Request,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a message was refused.  It has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The message makes no sense.
    #[error(transparent)]
    Malformed(WireError),
    /// No such message, or none for this device.
    #[error("this message is not served")]
    NotServed,
    /// The message belongs to a protocol feature that was not offered.
    #[error("protocol feature {feature:?} was not offered")]
    FeatureNotOffered {
        /// The feature.
        feature: ProtocolFeatures,
    },
    /// Virtio features were acknowledged that were not offered and cannot be ignored.
    #[error("features {bits:#x} were not offered and cannot be ignored: {}", without(*.bits))]
    FeaturesNotOffered {
        /// The features.
        bits: u64,
    },
    /// Protocol features were acknowledged that were not offered.
    #[error("protocol features {bits:#x} were not offered")]
    ProtocolFeaturesNotOffered {
        /// The features.
        bits: u64,
    },
    /// The device has no such ring.
    #[error("there is no ring {index}, only {queues} of them")]
    NoSuchRing {
        /// Index in the message.
        index: u32,
        /// Number of rings.
        queues: u16,
    },
    /// A ring of too many entries.
    #[error("a ring of {entries} entries is longer than the {entries_max} that this device takes")]
    RingEntries {
        /// Entries in the message.
        entries: u32,
        /// Most that were offered.
        entries_max: u16,
    },
    /// An available index that does not fit in 16 bits.
    #[error("{base:#x} is no index of a split ring")]
    RingBase {
        /// Index in the message.
        base: u32,
    },
    /// A ring that runs cannot be described anew.
    #[error("ring {index} runs")]
    RingRuns {
        /// Index of the ring.
        index: u16,
    },
    /// More memory regions than were offered.
    #[error("{regions} memory regions are more than {slots}")]
    TooManyRegions {
        /// How many there would be.
        regions: usize,
        /// How many there may be.
        slots: u16,
    },
    /// A region to remove is not there.
    #[error("there is no memory region at {guest:#x}")]
    NoSuchRegion {
        /// Its guest-physical address.
        guest: u64,
    },
    /// An inflight area for more queues or entries than were offered.
    #[error("an inflight area for {queues} queues of {entries} entries does not fit this device")]
    InflightShape {
        /// Queues in the message.
        queues: u16,
        /// Entries in the message.
        entries: u16,
    },
    /// An inflight area comes while rings run.
    #[error("an inflight area cannot be changed while a ring runs")]
    InflightInUse,
    /// A write beyond the configuration space.
    #[error("{bytes} bytes at offset {offset} are not within the configuration space")]
    ConfigRange {
        /// Offset of the first byte.
        offset: u32,
        /// Number of bytes.
        bytes: usize,
    },
    /// An effect could not be carried out; the caller knows why.
    #[error("it could not be carried out")]
    NotCarriedOut,
}

/// Says what a user must change so that a front end asks for none of `bits`, in QEMU's words.
fn without(bits: u64) -> &'static str {
    if bits & features::RING_PACKED != 0 {
        return "set packed=off on the guest's device";
    }
    if bits & features::ACCESS_PLATFORM != 0 {
        return "set iommu_platform=off on the guest's device";
    }
    if bits & features::IN_ORDER != 0 {
        return "set in_order=off on the guest's device";
    }
    "the guest cannot be migrated"
}
