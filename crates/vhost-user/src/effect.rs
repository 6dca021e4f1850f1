// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the caller has to do about a message.
//!
//! Above: the caller, which carries effects out one after the other, each to its end, on the connection's thread.
//! Below: `message`, for what is only passed on.
//! Never here: how it is done.

use crate::message::{ConfigWrite, InflightArea, LogArea, Region, Request, RingAddresses};
use crate::{Refusal, Reply};
use std::os::fd::OwnedFd;

/// One thing to do.  All effects of a message are carried out, in order, even where one of them fails.
///
/// An effect that can fail says so; a failure is reported with [`crate::Session::failed`] or
/// [`crate::Session::start_failed`], at once.
#[derive(Debug)]
pub enum Effect {
    /// Send this.
    Reply(Reply),
    /// Send what [`crate::Session::acknowledge`] returns.  Always the last effect of its message, so that it tells
    /// of the failures before it.
    Acknowledge,
    /// Something an administrator should read, at most once a connection for each kind.
    Remark(Remark),
    /// These virtio features are in force.  Cheap: it comes twice in one start of QEMU, and again while rings run, when
    /// LOG_ALL comes or goes.  Can fail; the features before stay then.
    Features {
        /// What the front end asked for, bits that were never offered included.
        acked: u64,
    },
    /// Replace the whole memory map, perhaps while rings run.  Can fail; the old map then stays.
    MapMemory(Vec<Region>),
    /// Add to the memory map, perhaps while rings run.  Can fail.
    AddRegion(Region),
    /// Take a region out of the memory map, perhaps while rings run.  Can fail; the region then stays.
    RemoveRegion {
        /// First guest-physical address.
        guest: u64,
        /// First address in the front end's address space.
        user: u64,
        /// Length in bytes.
        bytes: u64,
    },
    /// Make a new area for requests in flight, zeroed, and send what [`crate::Session::inflight_allocated`] returns.
    /// The area is not in force before it comes back with [`Effect::AdoptInflight`].
    AllocateInflight(InflightRequest),
    /// Keep requests in flight in this area from the next start of a ring on.  Can fail.  No ring runs.  It may be the
    /// area of before: Cloud Hypervisor gives the same one again after a reset of the guest, with nothing in flight
    /// and the old used indices in it.
    AdoptInflight(InflightArea),
    /// Start a ring and look at it at once: the guest may have kicked long ago.
    /// Can fail: [`crate::Session::start_failed`].
    StartRing(RingStart),
    /// Finish all requests of a ring that was started, stop it, close its kick, and tell
    /// [`crate::Session::ring_stopped`], which may return an answer to send.  The ring may be a disabled one, and no answer may be asked for.
    StopRing {
        /// Index of the ring.
        index: u16,
    },
    /// Fetch nothing from a started ring until [`Effect::EnableRing`].  What is in flight runs on.
    DisableRing {
        /// Index of the ring.
        index: u16,
    },
    /// Go on with a disabled ring where it stands, and look at it at once.
    EnableRing {
        /// Index of the ring.
        index: u16,
    },
    /// Take another kick for a started ring, and look at the ring at once.
    SetKick {
        /// Index of the ring.
        index: u16,
        /// The eventfd; none means: poll.
        kick: Option<OwnedFd>,
    },
    /// Notify the guest through this from now on, started or not, and write 1 to it at once: a completion may have
    /// been told to the fd before it, which nobody reads (QEMU sends the real one after the rings run).
    SetCall {
        /// Index of the ring.
        index: u16,
        /// The eventfd; none means that the guest polls.
        call: Option<OwnedFd>,
    },
    /// Tell of a broken ring through this from now on.
    SetErr {
        /// Index of the ring.
        index: u16,
        /// The eventfd, if there is one.
        err: Option<OwnedFd>,
    },
    /// Log writes to the used ring of a started ring, or log them no more.  Can fail; what was logged before stays then.
    LogRing {
        /// Index of the ring.
        index: u16,
        /// Guest-physical address of the used ring.
        log: Option<u64>,
    },
    /// Use this dirty log.  Can fail.
    SetLogBase(LogArea),
    /// Signal this after logging.
    SetLogFd(OwnedFd),
    /// Bring the device to its first state.  All rings have been stopped by effects before this one; the memory map,
    /// calls and acknowledged features stay, because QEMU does not send them again.
    ResetDevice,
    /// The virtio device status is this now.  0 is no reset: QEMU sends it at each stop, a pause included.
    SetStatus(u8),
    /// Talk to the front end through this from now on.
    BackendChannel(OwnedFd),
    /// Write to the configuration space.  Can fail.
    WriteConfig(ConfigWrite),
}

/// What an area for requests in flight must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InflightRequest {
    /// Queues of all kinds, 1 to what was offered.
    pub queues: u16,
    /// Entries of each, 1 to what was offered.
    pub entries: u16,
}

/// All that a ring needs to run.
#[derive(Debug)]
pub struct RingStart {
    /// Index of the ring.
    pub index: u16,
    /// Number of entries, 1 to what was offered.  Not always a power of two: QEMU takes any.
    pub entries: u16,
    /// Where it lies.
    pub addresses: RingAddresses,
    /// Available index to go on from.  Without worth where an inflight area in use is in force: front ends differ in
    /// what they send then.
    pub base: u16,
    /// Eventfd of the guest's kicks; none means: poll.
    pub kick: Option<OwnedFd>,
    /// Features in force.
    pub features: u64,
}

/// Something an administrator should read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The front end acknowledged features that were never offered; they are tolerated.
    FeaturesNeverOffered {
        /// Those not told of before.
        bits: u64,
    },
    /// A ring was given addresses while there is no memory: QEMU was started without `share=on`.
    NoMemory,
    /// A message was refused and the connection goes on.  Once for each kind of message.
    Refused {
        /// Which message.
        request: Request,
        /// Why.
        refusal: Refusal,
    },
}
