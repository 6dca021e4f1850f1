// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages in any order and cut anywhere, into the protocol without I/O.
//!
//! Above: libFuzzer, `tests/corpus.rs`.
//! Below: `vhost-user`.
//! Never here: a socket; that is `connection`.
//!
//! Promised: effects make sense one after the other, whatever of them fails; no descriptor is left open at the end;
//! and no panic.

use crate::input::Input;
use crate::messages::{Piece, message, protocol_features};
use ::vhost_user::{Effect, Offer, ProtocolFeatures, Received, Receiver, Session};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::OwnedFd;

/// Rings of the offer.
const RINGS: u16 = 6;
/// Messages of one input, at most.
const MESSAGES_MAX: usize = 200;
/// The longest answer: a header, and a whole configuration space.
const REPLY_BYTES_MAX: usize = 12 + 4096;

/// What is known of a ring from the effects alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Stopped,
    Running,
    Parked,
}

struct Caller {
    session: Session,
    receiver: Receiver,
    rings: [Known; RINGS as usize],
    /// Which of the next effects that can fail do.
    failures: u64,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (reader, writer) = io::pipe().expect("a pipe");
    let writer = OwnedFd::from(writer);
    let mut caller = Caller {
        session: Session::new(offer()),
        receiver: Receiver::new(),
        rings: [Known::Stopped; RINGS as usize],
        failures: input.u64(),
    };
    if !input.rarely(4) {
        caller.takes(&protocol_features(), &writer);
    }
    for _ in 0..MESSAGES_MAX {
        if input.is_empty() {
            break;
        }
        for piece in message(&mut input) {
            // The state stays sound even where the caller takes its time to close.
            caller.takes(&piece, &writer);
        }
    }
    drop(caller);
    drop(writer);
    let mut left = [PollFd::new(&reader, PollFlags::empty())];
    poll(&mut left, Some(&Timespec::default())).expect("a pipe can be polled");
    assert!(left[0].revents().contains(PollFlags::HUP), "a descriptor is still open");
}

fn offer() -> Offer {
    Offer {
        features: 0x1_7100_0006,
        protocol_features: ProtocolFeatures::MQ
            | ProtocolFeatures::REPLY_ACK
            | ProtocolFeatures::CONFIG
            | ProtocolFeatures::INFLIGHT_SHMFD
            | ProtocolFeatures::RESET_DEVICE
            | ProtocolFeatures::CONFIGURE_MEM_SLOTS
            | ProtocolFeatures::STATUS,
        queues: RINGS,
        queue_entries_max: 256,
        memory_slots: 8,
        config: vec![0x5a; 36],
    }
}

impl Caller {
    fn takes(&mut self, piece: &Piece, file: &OwnedFd) {
        let fds = piece.kinds.iter().map(|_| file.try_clone().expect("a descriptor")).collect();
        let (mut rest, mut fds) = (&piece.bytes[..], Some(fds));
        while !rest.is_empty() {
            let space = self.receiver.space();
            let taken = space.len().min(rest.len());
            space[..taken].copy_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            let effects = match self.receiver.received(taken, fds.take().unwrap_or_default()) {
                Err(_) => {
                    self.receiver = Receiver::new();
                    return;
                }
                Ok(Received::Partial) => continue,
                Ok(Received::Message(message)) => self.session.on(message),
                Ok(Received::Malformed(malformed)) => self.session.on_malformed(malformed),
            };
            for effect in effects.into_iter().flatten() {
                self.carry_out(effect);
            }
        }
    }

    fn becomes(&mut self, index: u16, from: &[Known], to: Known) {
        let before = std::mem::replace(&mut self.rings[usize::from(index)], to);
        assert!(from.contains(&before), "ring {index} was {before:?} and becomes {to:?}");
    }

    fn fails(&mut self) -> bool {
        self.failures = self.failures.rotate_right(1);
        self.failures & 1 != 0
    }

    fn fail_or_not(&mut self) {
        if self.fails() {
            let _ = self.session.failed();
        }
    }

    fn all_are(&self, wanted: Known) -> bool {
        self.rings.iter().all(|known| *known == wanted)
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::StartRing(start) => {
                assert!((1..=256).contains(&start.entries));
                self.becomes(start.index, &[Known::Stopped], Known::Running);
                if self.fails() {
                    self.becomes(start.index, &[Known::Running], Known::Stopped);
                    self.session.start_failed(start.index);
                }
            }
            Effect::StopRing { index } => {
                self.becomes(index, &[Known::Running, Known::Parked], Known::Stopped);
                let _ = self.session.ring_stopped(index, index);
            }
            Effect::DisableRing { index } => self.becomes(index, &[Known::Running], Known::Parked),
            Effect::EnableRing { index } => self.becomes(index, &[Known::Parked], Known::Running),
            Effect::SetKick { index, .. } | Effect::LogRing { index, .. } => {
                assert_ne!(self.rings[usize::from(index)], Known::Stopped);
            }
            Effect::SetCall { index, .. } | Effect::SetErr { index, .. } => assert!(index < RINGS),
            Effect::ResetDevice => assert!(self.all_are(Known::Stopped)),
            Effect::AllocateInflight(area) => {
                assert!((1..=RINGS).contains(&area.queues) && (1..=256).contains(&area.entries));
                assert_eq!(self.session.inflight_allocated(None).map(|reply| reply.fds().len()), Some(0));
            }
            Effect::AdoptInflight(_) => {
                assert!(self.all_are(Known::Stopped));
                self.fail_or_not();
            }
            Effect::MapMemory(_)
            | Effect::AddRegion(_)
            | Effect::RemoveRegion { .. }
            | Effect::SetLogBase(_)
            | Effect::WriteConfig(_) => self.fail_or_not(),
            Effect::Acknowledge => {
                let reply = self.session.acknowledge().expect("an acknowledgement that was asked for");
                assert_eq!(reply.bytes().len(), 20);
                assert!(self.session.acknowledge().is_none());
            }
            Effect::Reply(reply) => assert!(reply.bytes().len() <= REPLY_BYTES_MAX),
            Effect::Remark(_)
            | Effect::Features { .. }
            | Effect::SetLogFd(_)
            | Effect::SetStatus(_)
            | Effect::BackendChannel(_) => {}
        }
    }
}
