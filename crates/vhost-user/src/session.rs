// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a message means now: the state of one connection.
//!
//! Above: the caller, which carries out the effects and answers back through this type.
//! Below: `ring`, `message`, `codec::Reply`.
//! Never here: anything that blocks or fails for reasons of the host.
//!
//! A connection that ends takes its session with it; the next one begins with a new session.  The front end says
//! everything again.

mod device; // features, status, configuration space
mod memory; // memory map, inflight area, dirty log
mod refusal; // why a message was refused
mod rings; // messages about one ring

use crate::codec::Malformed;
use crate::features;
use crate::message::{Body, LogArea, Message, Request, RingAddresses};
use crate::ring::Ring;
use crate::{Effect, ProtocolFeatures, Remark, Reply};
use memory::RegionKey;
pub use refusal::{ProtocolError, Refusal};
use std::os::fd::OwnedFd;

/// Most queues a device can have: SET_VRING_KICK has 8 bits for the index.
pub const QUEUES_MAX: u16 = 256;
/// Most memory regions we keep count of.
pub const MEMORY_SLOTS_MAX: u16 = 512;

/// What the back end offers to the front end.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Virtio features.  PROTOCOL_FEATURES is always added: without it QEMU refuses to start.
    pub features: u64,
    /// Protocol features.
    pub protocol_features: ProtocolFeatures,
    /// Queues of all kinds, at most [`QUEUES_MAX`].
    pub queues: u16,
    /// Most entries of a ring.
    pub queue_entries_max: u16,
    /// Most memory regions, at most [`MEMORY_SLOTS_MAX`].  Must never shrink from one connection to the next.
    pub memory_slots: u16,
    /// The configuration space.
    pub config: Vec<u8>,
}

/// The state of one connection.  Never blocks, does no I/O.
#[derive(Debug)]
pub struct Session {
    offer: Offer,
    /// Virtio features in force.
    features: u64,
    /// Protocol features in force.
    protocol_features: ProtocolFeatures,
    rings: Vec<Ring>,
    regions: Vec<RegionKey>,
    owner: Owner,
    status: u8,
    pending: Pending,
    remarked: Remarked,
}

/// Whose memory the map is.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// Nobody has claimed the device.
    Nobody,
    /// Whoever claimed it.
    Present,
    /// A former owner's.  QEMU keeps the connection when a device is unplugged, and says nothing of its memory; the
    /// device that is plugged in next claims the connection anew and describes its memory from nothing.
    Former,
}

/// The message whose effects are being carried out.
#[derive(Debug)]
struct Pending {
    request: Request,
    /// The front end waits for an acknowledgement.
    acknowledge: bool,
    /// An effect failed.
    failed: bool,
    undo: Undo,
    /// What the answer will be made of, where an effect yields it.
    awaits: Awaits,
}

#[derive(Debug)]
enum Undo {
    Nothing,
    Features(u64),
    Regions(Vec<RegionKey>),
    RingAddresses { index: u16, addresses: RingAddresses },
    Config(Vec<u8>),
}

#[derive(Debug)]
enum Awaits {
    Nothing,
    RingStopped { index: u16 },
    Inflight { request: crate::InflightRequest, payload_bytes: usize },
}

/// What has been remarked already.
#[derive(Debug, Default)]
struct Remarked {
    features: u64,
    no_memory: bool,
    /// A bit for each request number; those from 63 on share one.
    refusals: u64,
}

impl Pending {
    fn new(request: Request) -> Self {
        Self { request, acknowledge: false, failed: false, undo: Undo::Nothing, awaits: Awaits::Nothing }
    }
}

impl Session {
    /// Begins a connection.
    pub fn new(mut offer: Offer) -> Self {
        offer.features |= features::PROTOCOL_FEATURES;
        offer.queues = offer.queues.min(QUEUES_MAX);
        offer.memory_slots = offer.memory_slots.min(MEMORY_SLOTS_MAX);
        let rings = (0..offer.queues).map(Ring::new).collect();
        Self {
            offer,
            features: 0,
            protocol_features: ProtocolFeatures::empty(),
            rings,
            regions: Vec::new(),
            owner: Owner::Nobody,
            status: 0,
            pending: Pending::new(Request(0)),
            remarked: Remarked::default(),
        }
    }

    /// Virtio features in force, bits that were never offered included.
    pub fn features(&self) -> u64 {
        self.features
    }

    /// Protocol features in force.
    pub fn protocol_features(&self) -> ProtocolFeatures {
        self.protocol_features
    }

    /// Where each ring begins or goes on from, as far as that has been said over this connection.
    pub fn bases(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        (0u16..).zip(&self.rings).filter_map(|(index, ring)| Some((index, ring.known_base()?)))
    }

    /// The configuration space as a front end reads it.
    pub fn config(&self) -> &[u8] {
        &self.offer.config
    }

    /// Takes one message and returns what is to be done about it, in order.
    ///
    /// # Errors
    /// The message is refused and the front end did not ask for an acknowledgement that could say so: close the
    /// connection.
    pub fn on(&mut self, message: Message) -> Result<Vec<Effect>, ProtocolError> {
        let Message { request, need_reply, body } = message;
        self.pending = Pending::new(request);
        let outcome = self.may_use(request).and_then(|()| self.effects(body));
        // Judged after the message took effect: SET_PROTOCOL_FEATURES may itself bring REPLY_ACK, and front ends
        // built on rust-vmm then wait for the acknowledgement of this very message.
        self.pending.acknowledge = self.acknowledges(request, need_reply);
        match outcome {
            Ok(mut effects) => {
                if self.pending.acknowledge {
                    effects.push(Effect::Acknowledge);
                }
                Ok(effects)
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Takes a message that [`crate::codec::decode`] could make no sense of.
    ///
    /// # Errors
    /// As [`Session::on`].
    pub fn on_malformed(&mut self, malformed: Malformed) -> Result<Vec<Effect>, ProtocolError> {
        let Malformed { header, reason } = malformed;
        self.pending = Pending::new(header.request);
        self.pending.acknowledge = self.acknowledges(header.request, header.need_reply);
        self.refuse(Refusal::Malformed(reason))
    }

    /// Takes note that the effect just tried could not be carried out, and forgets what it would have changed.
    ///
    /// # Errors
    /// The front end did not ask for an acknowledgement that could say so: close the connection.
    pub fn failed(&mut self) -> Result<(), ProtocolError> {
        match std::mem::replace(&mut self.pending.undo, Undo::Nothing) {
            Undo::Nothing => {}
            Undo::Features(features) => self.features = features,
            Undo::Regions(regions) => self.regions = regions,
            Undo::RingAddresses { index, addresses } => {
                if let Some(ring) = self.rings.get_mut(usize::from(index)) {
                    ring.restore_addresses(addresses);
                }
            }
            Undo::Config(config) => self.offer.config = config,
        }
        self.pending.failed = true;
        if self.pending.acknowledge {
            return Ok(());
        }
        Err(ProtocolError::Refused { request: self.pending.request, refusal: Refusal::NotCarriedOut })
    }

    /// Takes note that a ring could not be started.  It is stopped then, its kick is gone, and the acknowledgement,
    /// if one was asked for, will say so.  Whether the connection goes on is the caller's choice; to keep it is kinder
    /// to a guest whose front end shares no memory, which would reconnect for ever.
    pub fn start_failed(&mut self, index: u16) {
        if let Some(ring) = self.rings.get_mut(usize::from(index)) {
            ring.start_failed();
        }
        self.pending.failed = true;
    }

    /// Takes note that a ring has stopped and that its next available index is `next_avail`.  Returns the answer if
    /// the front end waits for one.
    pub fn ring_stopped(&mut self, index: u16, next_avail: u16) -> Option<Reply> {
        self.rings.get_mut(usize::from(index))?.stopped_at(next_avail);
        if !matches!(self.pending.awaits, Awaits::RingStopped { index: awaited } if awaited == index) {
            return None;
        }
        self.pending.awaits = Awaits::Nothing;
        Some(rings::base_reply(index, next_avail))
    }

    /// Takes the new area for requests in flight, its file and its length in bytes, and returns the answer.  `None`
    /// tells the front end that there is none; it goes on without.
    pub fn inflight_allocated(&mut self, area: Option<(OwnedFd, u64)>) -> Option<Reply> {
        let awaits = std::mem::replace(&mut self.pending.awaits, Awaits::Nothing);
        let Awaits::Inflight { request, payload_bytes } = awaits else { return None };
        Some(memory::inflight_reply(area, request, payload_bytes))
    }

    /// Returns the acknowledgement of the message whose effects have been carried out, if one was asked for.
    pub fn acknowledge(&mut self) -> Option<Reply> {
        let asked = std::mem::replace(&mut self.pending.acknowledge, false);
        asked.then(|| Reply::to(self.pending.request).u64(u64::from(self.pending.failed)))
    }

    fn acknowledges(&self, request: Request, need_reply: bool) -> bool {
        need_reply && self.protocol_features.contains(ProtocolFeatures::REPLY_ACK) && !has_own_reply(request)
    }

    /// Refuses the pending message: says so where the front end asked for it, closes the connection elsewhere.
    fn refuse(&mut self, refusal: Refusal) -> Result<Vec<Effect>, ProtocolError> {
        let request = self.pending.request;
        if !self.pending.acknowledge {
            return Err(ProtocolError::Refused { request, refusal });
        }
        self.pending.failed = true;
        let mut effects = Vec::new();
        let bit = 1u64 << request.0.min(63);
        if self.remarked.refusals & bit == 0 {
            self.remarked.refusals |= bit;
            effects.push(Effect::Remark(Remark::Refused { request, refusal }));
        }
        effects.push(Effect::Acknowledge);
        Ok(effects)
    }

    /// Checks that the protocol feature a message belongs to was offered.  That it was acknowledged too is not
    /// asked for: to answer harms nobody, and silence would hang a sloppy front end.
    fn may_use(&self, request: Request) -> Result<(), Refusal> {
        let feature = feature_of(request);
        if self.offer.protocol_features.contains(feature) {
            return Ok(());
        }
        Err(Refusal::FeatureNotOffered { feature })
    }

    fn effects(&mut self, body: Body) -> Result<Vec<Effect>, Refusal> {
        match body {
            Body::SetOwner => {
                self.owner = if self.owner == Owner::Nobody { Owner::Present } else { Owner::Former };
                Ok(Vec::new())
            }
            Body::ResetOwner => Ok(Vec::new()),
            Body::GetFeatures => Ok(self.reply(|session, reply| reply.u64(session.offer.features))),
            Body::SetFeatures(acked) => self.set_features(acked),
            Body::GetProtocolFeatures => {
                Ok(self.reply(|session, reply| reply.u64(session.offer.protocol_features.bits())))
            }
            Body::SetProtocolFeatures(acked) => self.set_protocol_features(acked),
            Body::GetQueueNum => Ok(self.reply(|session, reply| reply.u64(u64::from(session.offer.queues)))),
            Body::GetMaxMemSlots => {
                Ok(self.reply(|session, reply| reply.u64(u64::from(session.offer.memory_slots))))
            }
            Body::GetStatus => Ok(self.reply(|session, reply| reply.u64(u64::from(session.status)))),
            Body::SetStatus(status) => Ok(self.set_status(status)),
            Body::GetConfig { offset, bytes, flags } => Ok(self.get_config(offset, bytes, flags)),
            Body::SetConfig(write) => self.set_config(write),
            Body::SetMemTable(regions) => self.set_mem_table(regions),
            Body::AddMemReg(region) => self.add_region(region),
            Body::RemMemReg { guest, user, bytes } => self.remove_region(RegionKey { guest, user, bytes }),
            Body::SetLogBase(log) => Ok(set_log_base(log)),
            Body::SetLogFd(fd) => Ok(vec![Effect::SetLogFd(fd)]),
            Body::GetInflightFd { queues, entries, payload_bytes } => {
                self.get_inflight(queues, entries, payload_bytes)
            }
            Body::SetInflightFd(area) => self.set_inflight(area),
            Body::SetVringNum { index, entries } => self.set_ring_entries(index, entries),
            Body::SetVringAddr { index, addresses } => self.set_ring_addresses(index, addresses),
            Body::SetVringBase { index, base } => self.set_ring_base(index, base),
            Body::GetVringBase { index } => self.get_ring_base(index),
            Body::SetVringKick { index, fd } => self.set_ring_kick(index, fd),
            Body::SetVringCall { index, fd } => {
                Ok(vec![Effect::SetCall { index: self.ring_index(u32::from(index))?, call: fd }])
            }
            Body::SetVringErr { index, fd } => {
                Ok(vec![Effect::SetErr { index: self.ring_index(u32::from(index))?, err: fd }])
            }
            Body::SetVringEnable { index, enable } => self.enable_ring(index, enable),
            Body::SetBackendReqFd(fd) => Ok(vec![Effect::BackendChannel(fd)]),
            Body::ResetDevice => Ok(self.reset_device()),
            Body::Unserved => Err(Refusal::NotServed),
        }
    }

    /// Answers the pending message at once.
    fn reply(&self, fill: impl FnOnce(&Self, Reply) -> Reply) -> Vec<Effect> {
        vec![Effect::Reply(fill(self, Reply::to(self.pending.request)))]
    }
}

/// Takes a dirty log.  The answer echoes the request, the form that front ends built on rust-vmm expect; QEMU takes any.
fn set_log_base(log: LogArea) -> Vec<Effect> {
    let reply = Reply::to(Request::SET_LOG_BASE).u64(log.bytes).u64(log.file_offset);
    vec![Effect::SetLogBase(log), Effect::Reply(reply)]
}

/// Returns the protocol feature that a message belongs to, or none.
fn feature_of(request: Request) -> ProtocolFeatures {
    match request {
        Request::GET_QUEUE_NUM => ProtocolFeatures::MQ,
        Request::SET_LOG_BASE | Request::SET_LOG_FD => ProtocolFeatures::LOG_SHMFD,
        Request::SET_BACKEND_REQ_FD => ProtocolFeatures::BACKEND_REQ,
        Request::GET_CONFIG | Request::SET_CONFIG => ProtocolFeatures::CONFIG,
        Request::GET_INFLIGHT_FD | Request::SET_INFLIGHT_FD => ProtocolFeatures::INFLIGHT_SHMFD,
        Request::RESET_DEVICE => ProtocolFeatures::RESET_DEVICE,
        Request::GET_MAX_MEM_SLOTS | Request::ADD_MEM_REG | Request::REM_MEM_REG => {
            ProtocolFeatures::CONFIGURE_MEM_SLOTS
        }
        Request::GET_STATUS | Request::SET_STATUS => ProtocolFeatures::STATUS,
        _ => ProtocolFeatures::empty(),
    }
}

/// Whether a message has an answer of its own, so that no acknowledgement is sent besides.
fn has_own_reply(request: Request) -> bool {
    matches!(
        request,
        Request::GET_FEATURES
            | Request::GET_PROTOCOL_FEATURES
            | Request::GET_QUEUE_NUM
            | Request::GET_MAX_MEM_SLOTS
            | Request::GET_STATUS
            | Request::GET_CONFIG
            | Request::GET_INFLIGHT_FD
            | Request::GET_VRING_BASE
            | Request::SET_LOG_BASE
    )
}
