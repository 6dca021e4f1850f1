// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plays the caller of a session: takes a front end's bytes, carries the effects out on nothing, and writes them down.
//!
//! Above: the tests of this folder.
//! Below: the public interface of the crate, the only place that knows it.
//! Never here: constants of the crate.

use std::fs::File;
use std::os::fd::OwnedFd;
use vhost_user::{
    Effect, Offer, ProtocolError, ProtocolFeatures, Received, Receiver, Region, Remark, Reply, Session,
};

/// A connection to a device of six queues with 256 entries at most.
pub(crate) struct Caller {
    pub(crate) session: Session,
    receiver: Receiver,
    /// Where a ring stands when it is stopped.
    pub(crate) next_avail: u16,
    /// Effects whose line begins with this fail.
    pub(crate) failing: &'static str,
}

/// What the device offers: features 0x1_7900_0006, protocol features 0x1_b22b (MQ, LOG_SHMFD, REPLY_ACK,
/// BACKEND_REQ, CONFIG, INFLIGHT_SHMFD, RESET_DEVICE, CONFIGURE_MEM_SLOTS, STATUS).
pub(crate) fn offer() -> Offer {
    Offer {
        features: 0x1_7900_0006,
        protocol_features: ProtocolFeatures::from_bits_retain(0x1_b22b),
        queues: 6,
        queue_entries_max: 256,
        memory_slots: 32,
        config: vec![4, 0, 0, 0, 126, 0, 0, 0],
    }
}

impl Caller {
    pub(crate) fn new() -> Self {
        Self::with(offer())
    }

    pub(crate) fn with(offer: Offer) -> Self {
        Self { session: Session::new(offer), receiver: Receiver::new(), next_avail: 7, failing: "none" }
    }

    /// A connection on which acknowledgements were agreed on: features 1 << 30, protocol features 0x1_b22b.
    pub(crate) fn with_acks() -> Self {
        let mut caller = Self::new();
        caller.expect(&message(2, &u64s(&[0x4000_0000])), 0, &["features 0x40000000"]);
        caller.expect(&message(16, &u64s(&[0x1_b22b])), 0, &[]);
        caller
    }

    /// Sends one message and compares what has to be done about it.
    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: &[u8], fds: usize, effects: &[&str]) {
        assert_eq!(self.says(bytes, devices(fds)), effects);
    }

    /// Sends one message and returns what has to be done about it, a line an effect.
    pub(crate) fn says(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) -> Vec<String> {
        match self.effects(bytes, fds) {
            Ok(lines) => lines,
            Err(error) => vec![format!("closed: {error}")],
        }
    }

    fn effects(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Vec<String>, ProtocolError> {
        let (mut rest, mut fds, mut lines) = (bytes, Some(fds), Vec::new());
        loop {
            let space = self.receiver.space();
            let taken = space.len().min(rest.len());
            space[..taken].copy_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            let effects = match self.receiver.received(taken, fds.take().unwrap_or_default())? {
                Received::Partial => {
                    assert!(!rest.is_empty(), "the test's message is too short");
                    continue;
                }
                Received::Message(message) => self.session.on(message)?,
                Received::Malformed(malformed) => self.session.on_malformed(malformed)?,
            };
            for effect in effects {
                self.carry_out(effect, &mut lines)?;
            }
            if rest.is_empty() {
                return Ok(lines);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, lines: &mut Vec<String>) -> Result<(), ProtocolError> {
        let line = describe(&effect);
        let fails = line.starts_with(self.failing);
        if !line.is_empty() {
            lines.push(line);
        }
        match effect {
            Effect::StartRing(start) if fails => self.session.start_failed(start.index),
            _ if fails => self.session.failed()?,
            Effect::StopRing { index } => {
                lines.extend(self.session.ring_stopped(index, self.next_avail).iter().map(reply));
            }
            Effect::AllocateInflight(_) => {
                let area = devices(1).pop().map(|fd| (fd, 0x3000));
                lines.extend(self.session.inflight_allocated(area).iter().map(reply));
            }
            Effect::Acknowledge => lines.extend(self.session.acknowledge().iter().map(reply)),
            _ => {}
        }
        Ok(())
    }
}

/// A message of version 1.
pub(crate) fn message(request: u8, payload: &[u8]) -> Vec<u8> {
    with_flags(request, 1, payload)
}

/// A message of version 1 that asks for an acknowledgement.
pub(crate) fn message_acked(request: u8, payload: &[u8]) -> Vec<u8> {
    with_flags(request, 9, payload)
}

fn with_flags(request: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![request, 0, 0, 0, flags, 0, 0, 0];
    bytes.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn u64s(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(crate) fn u32s(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// SET_VRING_ADDR of the ring, unlogged: 0x1000, 0x2000 and 0x3000 on from `at`.
pub(crate) fn addresses(index: u32, at: u64) -> Vec<u8> {
    let mut payload = u32s(&[index, 0]);
    payload.extend(u64s(&[at + 0x1000, at + 0x2000, at + 0x3000, 0]));
    message(9, &payload)
}

/// File descriptors that do no harm.
pub(crate) fn devices(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| File::open("/dev/null").unwrap().into()).collect()
}

/// One line for one effect; none for the request to acknowledge, whose answer has a line of its own.
fn describe(effect: &Effect) -> String {
    let fd = |fd: &Option<OwnedFd>| if fd.is_some() { "fd" } else { "none" };
    match effect {
        Effect::Reply(answer) => reply(answer),
        Effect::Acknowledge => String::new(),
        Effect::Remark(Remark::FeaturesNeverOffered { bits }) => format!("remark: never offered {bits:#x}"),
        Effect::Remark(Remark::NoMemory) => "remark: no memory".to_owned(),
        Effect::Remark(Remark::Refused { request, refusal }) => format!("remark: {request}: {refusal}"),
        Effect::Features { acked } => format!("features {acked:#x}"),
        Effect::MapMemory(regions) => format!("map{}", regions.iter().map(region).collect::<String>()),
        Effect::AddRegion(added) => format!("add{}", region(added)),
        Effect::RemoveRegion { guest, user, bytes } => format!("remove {guest:#x} {user:#x} +{bytes:#x}"),
        Effect::AllocateInflight(area) => format!("inflight: allocate {} x {}", area.queues, area.entries),
        Effect::AdoptInflight(area) => {
            format!(
                "inflight: {} x {} at {:#x} +{:#x}",
                area.queues, area.entries, area.file_offset, area.bytes
            )
        }
        Effect::StartRing(start) => format!(
            "start {}: {} entries at {:#x} {:#x} {:#x}, base {}, features {:#x}, kick {}",
            start.index,
            start.entries,
            start.addresses.desc,
            start.addresses.used,
            start.addresses.avail,
            start.base,
            start.features,
            fd(&start.kick),
        ),
        Effect::StopRing { index } => format!("stop {index}"),
        Effect::DisableRing { index } => format!("disable {index}"),
        Effect::EnableRing { index } => format!("enable {index}"),
        Effect::SetKick { index, kick } => format!("kick {index}: {}", fd(kick)),
        Effect::SetCall { index, call } => format!("call {index}: {}", fd(call)),
        Effect::SetErr { index, err } => format!("err {index}: {}", fd(err)),
        Effect::LogRing { index, log } => format!("log {index}: {log:x?}"),
        Effect::SetLogBase(log) => format!("log at {:#x} +{:#x}", log.file_offset, log.bytes),
        Effect::SetLogFd(_) => "log fd".to_owned(),
        Effect::ResetDevice => "reset".to_owned(),
        Effect::SetStatus(status) => format!("status {status}"),
        Effect::BackendChannel(_) => "channel".to_owned(),
        Effect::WriteConfig(write) => {
            format!("config {}: {:?} by {:?}", write.offset, write.data, write.origin)
        }
    }
}

fn region(region: &Region) -> String {
    format!(" {:#x} {:#x} +{:#x}@{:#x}", region.guest, region.user, region.bytes, region.file_offset)
}

/// The words of the header and the payload in hex, and the number of file descriptors.
fn reply(answer: &Reply) -> String {
    let (header, payload) = answer.bytes().split_at(12);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let words: Vec<String> = header.chunks(4).map(hex).collect();
    let fds = if answer.fds().is_empty() { String::new() } else { format!(" +{} fd", answer.fds().len()) };
    format!("send {} {}{fds}", words.join(" "), hex(payload)).trim_end().to_owned()
}
