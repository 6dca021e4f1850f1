// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One socket, one guest: carries out what the front end's messages mean.
//!
//! Above: `endpoint`, which accepts.
//! Below: `vhost-user`'s session, `worker`.
//! Never here: a ring that runs.  It lives on its worker; this thread starts it, waits for it, and may block
//! on nothing that another guest needs.

mod beginning; // whether a guest begins or goes on
mod dirty_log; // which pages were written to, for a migration

use crate::config_space::{DeviceOffer, QUEUES_MAX};
use crate::events::{FEATURE_CHANGE, FEATURE_HOTPLUG};
use crate::fence::{Awaited, Fence};
use crate::logging::Line;
use crate::losses::Losses;
use crate::port::TargetPort;
use crate::queue::{QueueKind, QueueParts, Stopped};
use crate::reactors::Reactors;
use crate::signs_of_life::SignsOfLife;
use crate::socket;
use crate::worker::{LetterKind, QueueKey, Worker, send};
use beginning::Past;
use dirty_log::FrontEndLog;
use memory::{GuestAddress, GuestMemory, RegionSpec, UserAddress};
use reactor::Post;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;
use vhost_user::{
    Effect, InflightArea, Offer, ProtocolError, ProtocolFeatures, Received, Receiver, Region, Remark, Reply,
    RingStart, Session, WireError, features,
};
use virtqueue::{InflightRegion, RingConfig, SplitRing};

/// The control queue.
const CONTROL: u16 = 0;
/// Memory regions of a guest.
const MEMORY_SLOTS: u16 = 509;
/// The event queue.
const EVENT: u16 = 1;
/// What a guest can be told unasked (virtio 1.2, 5.6.3).
const SCSI_FEATURES: u64 = FEATURE_HOTPLUG | FEATURE_CHANGE;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("the front end closed the connection")]
    ByFrontEnd,
    #[error("the front end cut its dirty log short, so the connection was closed")]
    LogCut,
    #[error("the front end sent what is no message: {0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
}

struct Connection {
    socket: UnixStream,
    session: Session,
    port: Arc<TargetPort>,
    reactors: Arc<Reactors>,
    client: u64,
    memory: Arc<GuestMemory>,
    signs: Arc<SignsOfLife>,
    losses: Arc<Losses>,
    inflight: Option<InflightRegion>,
    dirty: FrontEndLog,
    line: Arc<Line>,
    fence: Fence,
    /// Where messages of our own would go.  There are none; a front end takes the end of it for our end.
    backend_channel: Option<OwnedFd>,
    past: Past,
    rings: Vec<RingSlot>,
}

/// What the connection knows of one ring.
#[derive(Default)]
struct RingSlot {
    running: Option<Running>,
    /// Whether the front end has disabled it since it was started.
    parked: bool,
    call: Option<OwnedFd>,
    err: Option<OwnedFd>,
}

struct Running {
    post: Post<Worker>,
    key: QueueKey,
    config: RingConfig,
    /// The guest's address of the used ring, if writes to it are to be logged.
    used_log: Option<u64>,
}

/// Serves one front end until it goes.
pub(crate) fn serve(socket: UnixStream, port: &Arc<TargetPort>, reactors: &Arc<Reactors>) -> Closed {
    static NEXT_CLIENT: AtomicU64 = AtomicU64::new(1);
    let line = match Line::new(&socket) {
        Ok(line) => Arc::new(line),
        Err(error) => return Closed::Socket(error),
    };
    let mut connection = Connection {
        socket,
        session: Session::new(offer(&port.device())),
        port: Arc::clone(port),
        reactors: Arc::clone(reactors),
        client: NEXT_CLIENT.fetch_add(1, Ordering::Relaxed),
        memory: Arc::new(GuestMemory::empty()),
        signs: Arc::default(),
        losses: Arc::default(),
        inflight: None,
        dirty: FrontEndLog::default(),
        line,
        fence: Fence::default(),
        backend_channel: None,
        past: Past::default(),
        rings: (0..QUEUES_MAX).map(|_| RingSlot::default()).collect(),
    };
    port.connected();
    let closed = connection.run();
    // Whoever comes next may find the rings still draining, and sees by the socket that they will stop.
    let _ = connection.socket.shutdown(std::net::Shutdown::Both);
    connection.stop_all();
    port.release(connection.client);
    port.disconnected();
    closed
}

fn offer(device: &DeviceOffer) -> Offer {
    Offer {
        features: SCSI_FEATURES
            | features::NOTIFY_ON_EMPTY
            | features::ANY_LAYOUT
            | features::INDIRECT_DESC
            | features::EVENT_IDX
            | features::LOG_ALL
            | features::VERSION_1,
        protocol_features: ProtocolFeatures::MQ
            | ProtocolFeatures::LOG_SHMFD
            | ProtocolFeatures::REPLY_ACK
            | ProtocolFeatures::BACKEND_REQ
            | ProtocolFeatures::CONFIG
            | ProtocolFeatures::INFLIGHT_SHMFD
            | ProtocolFeatures::RESET_DEVICE
            | ProtocolFeatures::CONFIGURE_MEM_SLOTS
            | ProtocolFeatures::STATUS,
        queues: device.queues(),
        queue_entries_max: device.queue_entries_max,
        memory_slots: MEMORY_SLOTS,
        config: device.config_space(),
    }
}

impl Connection {
    fn run(&mut self) -> Closed {
        let mut receiver = Receiver::new();
        loop {
            if let Err(closed) = self.step(&mut receiver) {
                return closed;
            }
        }
    }

    fn step(&mut self, receiver: &mut Receiver) -> Result<(), Closed> {
        if self.fence.is_shut() && self.fence.wait(&self.port, &self.socket) == Awaited::Locks {
            self.let_rings_go();
        }
        let (bytes, descriptors) = socket::receive(&self.socket, receiver.space())?;
        if bytes == 0 {
            return Err(if self.line.is_cut() { Closed::LogCut } else { Closed::ByFrontEnd });
        }
        let effects = match receiver.received(bytes, descriptors)? {
            Received::Partial => return Ok(()),
            Received::Message(message) => self.session.on(message)?,
            Received::Malformed(malformed) => self.session.on_malformed(malformed)?,
        };
        for effect in effects {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), Closed> {
        match effect {
            Effect::Reply(reply) => self.send(&reply)?,
            Effect::Acknowledge => {
                if let Some(reply) = self.session.acknowledge() {
                    self.send(&reply)?;
                }
            }
            Effect::Remark(remark) => self.remark(remark),
            Effect::MapMemory(regions) => self.map_memory(regions)?,
            Effect::AddRegion(region) => self.add_region(region)?,
            Effect::RemoveRegion { guest, user, bytes } => self.remove_region(guest, user, bytes)?,
            Effect::AllocateInflight(request) => {
                let made = InflightRegion::create(request.queues, request.entries);
                let area = made.ok().map(|(region, file)| (file, region.bytes()));
                if let Some(reply) = self.session.inflight_allocated(area) {
                    self.send(&reply)?;
                }
            }
            Effect::AdoptInflight(area) => self.adopt_inflight(area)?,
            Effect::StartRing(start) => self.start_ring(start),
            Effect::StopRing { index } => {
                self.pass_fence(index)?;
                let next_avail = self.stop_ring(index);
                self.release_if_nothing_runs();
                if let Some(reply) = self.session.ring_stopped(index, next_avail) {
                    self.send(&reply)?;
                }
            }
            Effect::DisableRing { index } => {
                self.pass_fence(index)?;
                self.enable_ring(index, false);
            }
            Effect::EnableRing { index } => self.enable_ring(index, true),
            Effect::SetKick { index, kick } => {
                if let Some(kick) = &kick {
                    must_be_eventfd(kick)?;
                }
                if let Some(Running { post, key, .. }) = self.running(index) {
                    send(post, LetterKind::SetKick { key: *key, kick });
                }
            }
            Effect::SetCall { index, call } => self.set_call(index, call)?,
            Effect::SetErr { index, err } => self.set_err(index, err)?,
            Effect::BackendChannel(channel) => self.backend_channel = Some(channel),
            Effect::Features { acked } => self.features_acknowledged(acked)?,
            Effect::LogRing { index, log } => self.log_ring(index, log)?,
            Effect::SetLogBase(area) => self.set_log_base(area)?,
            Effect::SetLogFd(signal) => self.set_log_fd(signal)?,
            Effect::ResetDevice => self.reset_by_guest(),
            // Nothing here is done for: there is no other state of the device beside that of its rings.
            Effect::SetStatus(_) | Effect::WriteConfig(_) => {}
        }
        Ok(())
    }

    fn send(&self, reply: &Reply) -> io::Result<()> {
        socket::send(&self.socket, reply.bytes(), reply.fds())
    }

    fn warn(&self, what: &str) {
        if let Some(suppressed) = self.port.log.spend(Instant::now()) {
            tracing::warn!(target = self.port.wwn(), suppressed, "{what}");
        }
    }

    fn remark(&self, remark: Remark) {
        match remark {
            Remark::FeaturesNeverOffered { bits } => tracing::debug!(
                target = self.port.wwn(),
                "the front end acknowledged features that were not offered: {bits:#x}"
            ),
            Remark::NoMemory => self.warn(
                "the front end gave no guest memory; start QEMU with a memory backend that has share=on",
            ),
            Remark::Refused { request, refusal } => {
                let name = request.name().unwrap_or("an unknown message");
                self.warn(&format!("refused {name}: {refusal}"));
            }
        }
    }

    fn map_memory(&mut self, regions: Vec<Region>) -> Result<(), Closed> {
        let specs = regions.into_iter().map(spec).collect();
        match GuestMemory::from_regions(specs) {
            Ok(memory) => self.use_memory(memory),
            Err(error) => self.refuse_memory(&error.to_string()),
        }
    }

    fn add_region(&mut self, region: Region) -> Result<(), Closed> {
        match self.memory.with_region(spec(region)) {
            Ok(memory) => self.use_memory(memory),
            Err(error) => self.refuse_memory(&error.to_string()),
        }
    }

    fn remove_region(&mut self, guest: u64, user: u64, bytes: u64) -> Result<(), Closed> {
        match self.memory.without_region(GuestAddress(guest), UserAddress(user), bytes) {
            Some(memory) => self.use_memory(memory),
            None => self.refuse_memory("there is no such region"),
        }
    }

    fn refuse_memory(&mut self, what: &str) -> Result<(), Closed> {
        self.warn(&format!("the guest's memory cannot be mapped: {what}"));
        Ok(self.session.failed()?)
    }

    /// Puts a new map in force, on the rings that run first: when this is acknowledged the front end may take
    /// away what the old map had and the new one has not.
    fn use_memory(&mut self, memory: GuestMemory) -> Result<(), Closed> {
        let memory = Arc::new(memory);
        if let Err(what) = self.check_memory_is_logged(&memory) {
            return self.refuse_memory(&what);
        }
        // All rings or none: what is refused has changed nothing.
        for running in self.rings.iter().filter_map(|ring| ring.running.as_ref()) {
            if let Err(error) = running.config.check(&memory) {
                return self.refuse_memory(&format!("a running ring is not in it: {error}"));
            }
        }
        for running in self.rings.iter().filter_map(|ring| ring.running.as_ref()) {
            let (done, answer) = mpsc::channel();
            send(&running.post, LetterKind::Remap { key: running.key, memory: Arc::clone(&memory), done });
            if let Ok(Err(error)) = answer.recv() {
                self.warn(&format!("a running ring is not in the new memory map: {error}"));
                self.session.failed()?;
            }
        }
        self.memory = memory;
        Ok(())
    }

    fn adopt_inflight(&mut self, area: InflightArea) -> Result<(), Closed> {
        let InflightArea { bytes, file_offset, queues, entries, file } = area;
        match InflightRegion::adopt(file, bytes, file_offset, queues, entries) {
            Ok(region) => {
                self.inflight = Some(region);
                Ok(())
            }
            Err(error) => {
                self.warn(&format!("the area for requests in flight was refused: {error}"));
                Ok(self.session.failed()?)
            }
        }
    }

    fn start_ring(&mut self, start: RingStart) {
        let index = start.index;
        let outcome = self.try_start_ring(start);
        if let Err(what) = outcome {
            self.warn(&format!("ring {index} was not started: {what}"));
            self.session.start_failed(index);
            self.release_if_nothing_runs();
        }
    }

    fn try_start_ring(&mut self, start: RingStart) -> Result<(), String> {
        let RingStart { index, entries, addresses, base, kick, features } = start;
        if let Some(kick) = &kick {
            must_be_eventfd(kick).map_err(|error| error.to_string())?;
        }
        if !self.port.claim(self.client, &self.socket).map_err(|error| error.to_string())? {
            return Err("another front end is running this target's rings".into());
        }
        // Where a ring is held back already, all are, and are let go together.
        let held_back = self.fence.is_shut() || !self.fence.try_open(&self.port);
        let config = RingConfig {
            entries,
            desc: UserAddress(addresses.desc),
            avail: UserAddress(addresses.avail),
            used: UserAddress(addresses.used),
            event_idx: features & features::EVENT_IDX != 0,
            indirect: features & features::INDIRECT_DESC != 0,
            version_1: features & features::VERSION_1 != 0,
            next_avail: base,
        };
        let tracked = self.inflight.as_ref().and_then(|region| region.queue(index));
        let mut ring = SplitRing::start(config.clone(), Arc::clone(&self.memory), tracked)
            .map_err(|error| error.to_string())?;
        ring.set_notify_on_empty(features & features::NOTIFY_ON_EMPTY != 0);
        let logging = self.logging_of_new_ring(index, addresses.log, config.used_bytes())?;
        let enabled = !(index == CONTROL && self.control_waits());
        let slot = self.rings.get_mut(usize::from(index)).ok_or("there is no such ring")?;
        slot.parked = false;
        let copy = |descriptor: &Option<OwnedFd>| {
            descriptor.as_ref().map(OwnedFd::try_clone).transpose().map_err(|error| error.to_string())
        };
        let (call, err) = (copy(&slot.call)?, copy(&slot.err)?);
        // Nothing can go wrong any more: a ring that is not started begins no guest.
        self.begin_or_go_on(index, &ring);
        let parts = Box::new(QueueParts {
            kind: QueueKind::of_index(index),
            ring,
            memory: Arc::clone(&self.memory),
            client: self.client,
            port: Arc::clone(&self.port),
            signs: Arc::clone(&self.signs),
            losses: Arc::clone(&self.losses),
            features,
            call,
            err,
            kick,
            enabled,
            logging,
            held_back,
        });
        let post = self.reactors.next().clone();
        let (key, answer) = mpsc::channel();
        send(&post, LetterKind::Start { parts, key });
        let key = answer.recv().map_err(|error| error.to_string())?;
        if index == EVENT {
            self.port.announcer.started(post.clone(), key);
        }
        if let Some(slot) = self.rings.get_mut(usize::from(index)) {
            slot.running = Some(Running { post, key, config, used_log: addresses.log });
        }
        // Says whether a driver speaks legacy virtio, which no other place shows.
        let target = self.port.wwn();
        tracing::debug!(target, ring = index, entries, "a ring runs with features {features:#x}");
        if index != CONTROL && !self.control_waits() {
            self.let_control_go();
        }
        Ok(())
    }

    fn running(&self, index: u16) -> Option<&Running> {
        self.rings.get(usize::from(index))?.running.as_ref()
    }

    /// Drains and stops a ring; returns where it stands.
    fn stop_ring(&mut self, index: u16) -> u16 {
        let slot = self.rings.get_mut(usize::from(index));
        let Some(Running { post, key, .. }) = slot.and_then(|slot| slot.running.take()) else { return 0 };
        if index == EVENT {
            self.port.announcer.stopping();
        } else if index != CONTROL {
            self.look_at_control();
        }
        let (stopped, answer) = mpsc::channel();
        send(&post, LetterKind::Stop { key, stopped });
        let Ok(Stopped { next_avail, untold }) = answer.recv() else { return 0 };
        if index == EVENT {
            self.port.announcer.left(untold);
        }
        self.port.ring_stopped(index, next_avail);
        next_avail
    }

    /// Has the control queue looked at before another ring stops.  An abort that was offered by then may be answered after
    /// the stop, and what was offered before the abort must not wait in that ring when it is.
    fn look_at_control(&self) {
        if let Some(Running { post, key, .. }) = self.running(CONTROL) {
            let (done, answer) = mpsc::channel();
            send(post, LetterKind::Look { key: *key, done });
            let _ = answer.recv();
        }
    }

    fn release_if_nothing_runs(&mut self) {
        if self.rings.iter().all(|ring| ring.running.is_none()) {
            self.port.release(self.client);
            self.fence = Fence::default();
        }
    }

    /// A front end that stops or disables a ring may give its memory to other uses as soon as it is told that it
    /// is so.  What a dead process began there must have ended by then, and be answered.
    fn pass_fence(&mut self, index: u16) -> Result<(), Closed> {
        if !self.fence.is_shut() || self.running(index).is_none() {
            return Ok(());
        }
        if !self.fence.wait_for_locks(&self.port, &self.socket) {
            return Err(Closed::ByFrontEnd);
        }
        self.let_rings_go();
        Ok(())
    }

    /// Lets the rings run that were held back, the control queue last: an abort must find what it is to abort.
    fn let_rings_go(&self) {
        for index in (0..QUEUES_MAX).rev() {
            if let Some(Running { post, key, .. }) = self.running(index) {
                let (done, answer) = mpsc::channel();
                send(post, LetterKind::LetGo { key: *key, done });
                let _ = answer.recv();
            }
        }
    }

    fn let_control_go(&self) {
        let parked = self.rings.first().is_some_and(|slot| slot.parked);
        if let (Some(Running { post, key, .. }), false) = (self.running(CONTROL), parked) {
            enable(post, *key, true);
        }
    }

    /// Whether a command that a dead process took still waits for its ring.  The control queue is not looked at
    /// then: an abort would find nothing, be answered, and the command would run all the same.
    fn control_waits(&self) -> bool {
        let Some(region) = &self.inflight else { return false };
        (CONTROL + 2..QUEUES_MAX).any(|index| {
            self.running(index).is_none() && region.queue(index).is_some_and(|part| part.is_used())
        })
    }

    fn stop_all(&mut self) {
        for index in 0..QUEUES_MAX {
            self.stop_ring(index);
        }
    }

    fn enable_ring(&mut self, index: u16, enabled: bool) {
        if let Some(slot) = self.rings.get_mut(usize::from(index)) {
            slot.parked = !enabled;
        }
        let enabled = enabled && !(index == CONTROL && self.control_waits());
        if let Some(Running { post, key, .. }) = self.running(index) {
            enable(post, *key, enabled);
        }
    }

    fn set_call(&mut self, index: u16, call: Option<OwnedFd>) -> Result<(), Closed> {
        let Some(slot) = self.rings.get_mut(usize::from(index)) else { return Ok(()) };
        if let Some(call) = &call {
            must_be_eventfd(call)?;
        }
        // A completion may have been told to the descriptor before this one, which nobody reads; so the new
        // one is written to once it is in force.  A ring that does not run notifies when it starts.
        if let Some(Running { post, key, .. }) = &slot.running {
            let copy = call.as_ref().map(OwnedFd::try_clone).transpose()?;
            send(post, LetterKind::SetCall { key: *key, call: copy });
        } else if let Some(call) = &call {
            let _ = rustix::io::write(call, &1_u64.to_ne_bytes());
        }
        slot.call = call;
        Ok(())
    }

    fn set_err(&mut self, index: u16, err: Option<OwnedFd>) -> Result<(), Closed> {
        let Some(slot) = self.rings.get_mut(usize::from(index)) else { return Ok(()) };
        if let Some(err) = &err {
            must_be_eventfd(err)?;
        }
        if let Some(Running { post, key, .. }) = &slot.running {
            let copy = err.as_ref().map(OwnedFd::try_clone).transpose()?;
            send(post, LetterKind::SetErr { key: *key, err: copy });
        }
        slot.err = err;
        Ok(())
    }
}

/// Enables or disables a queue and returns when it is so: a disabled one has answered all it took, because a
/// front end may reset its guest by no more than this.
fn enable(post: &Post<Worker>, key: QueueKey, enabled: bool) {
    let (done, answer) = mpsc::channel();
    send(post, LetterKind::Enable { key, enabled, done });
    let _ = answer.recv();
}

/// Refuses what is no eventfd: a descriptor of another kind may block whoever touches it, and a reactor does.
/// Writes to it return at once from then on.
fn must_be_eventfd(descriptor: &OwnedFd) -> io::Result<()> {
    let name = std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))?;
    if name.as_os_str() != "anon_inode:[eventfd]" {
        return Err(io::Error::other(format!(
            "a descriptor for notifications is {}, not an eventfd",
            name.display()
        )));
    }
    let flags = rustix::fs::fcntl_getfl(descriptor)?;
    Ok(rustix::fs::fcntl_setfl(descriptor, flags | rustix::fs::OFlags::NONBLOCK)?)
}

fn spec(region: Region) -> RegionSpec {
    let Region { guest, user, bytes, file_offset, file } = region;
    RegionSpec { guest: GuestAddress(guest), user: UserAddress(user), bytes, file_offset, file }
}
