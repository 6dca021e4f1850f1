// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A front end that lies: anything in any order must neither panic nor make us hold more than we said.
//!
//! Above: `main`.
//! Below: `caller::offer`, the crate's public interface.
//! Never here: what an honest message leads to.

use crate::caller::{message, message_acked, offer};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use vhost_user::{Effect, Received, Receiver, Session};

/// Rings of the offer; each may hold one kick.
const RINGS: usize = 6;

/// One message: bytes, and how many file descriptors come along.
type Piece = (Vec<u8>, usize);

/// What the caller knows of a ring from the effects alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Stopped,
    Running,
    Parked,
}

/// A caller that checks that the effects make sense one after the other.
struct Checker {
    session: Session,
    receiver: Receiver,
    rings: BTreeMap<u16, Known>,
    /// Every nth fallible effect fails; 0: none.
    fail_each: usize,
    effects: usize,
}

impl Checker {
    fn new(fail_each: usize) -> Self {
        let rings = (0..6).map(|index| (index, Known::Stopped)).collect();
        Self { session: Session::new(offer()), receiver: Receiver::new(), rings, fail_each, effects: 0 }
    }

    /// Takes a piece of the stream; returns whether the connection goes on.
    fn takes(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) -> bool {
        let (mut rest, mut fds) = (bytes, Some(fds));
        while !rest.is_empty() {
            let space = self.receiver.space();
            let taken = space.len().min(rest.len());
            space[..taken].copy_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            let effects = match self.receiver.received(taken, fds.take().unwrap_or_default()) {
                Err(_) => return false,
                Ok(Received::Partial) => continue,
                Ok(Received::Message(message)) => self.session.on(message),
                Ok(Received::Malformed(malformed)) => self.session.on_malformed(malformed),
            };
            let Ok(effects) = effects else { return false };
            if !effects.into_iter().all(|effect| self.carry_out(effect)) {
                return false;
            }
        }
        true
    }

    fn becomes(&mut self, index: u16, from: &[Known], to: Known) {
        let before = self.rings.insert(index, to).expect("a ring that exists");
        assert!(from.contains(&before), "ring {index} was {before:?} and becomes {to:?}");
    }

    fn fails(&mut self) -> bool {
        self.effects += 1;
        self.fail_each != 0 && self.effects.is_multiple_of(self.fail_each)
    }

    /// Carries an effect out; returns whether the connection goes on.
    fn carry_out(&mut self, effect: Effect) -> bool {
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
                assert_ne!(self.rings[&index], Known::Stopped);
            }
            Effect::SetCall { index, .. } | Effect::SetErr { index, .. } => assert!(index < 6),
            Effect::ResetDevice => assert!(self.rings.values().all(|known| *known == Known::Stopped)),
            Effect::AllocateInflight(area) => {
                assert!((1..=6).contains(&area.queues) && (1..=256).contains(&area.entries));
                assert_eq!(self.session.inflight_allocated(None).map(|reply| reply.fds().len()), Some(0));
            }
            Effect::AdoptInflight(_) => {
                assert!(self.rings.values().all(|known| *known == Known::Stopped));
                return !self.fails() || self.session.failed().is_ok();
            }
            Effect::MapMemory(_)
            | Effect::AddRegion(_)
            | Effect::RemoveRegion { .. }
            | Effect::SetLogBase(_)
            | Effect::WriteConfig(_) => return !self.fails() || self.session.failed().is_ok(),
            Effect::Acknowledge => {
                let reply = self.session.acknowledge().expect("an acknowledgement that was asked for");
                assert_eq!(reply.bytes().len(), 20);
                assert!(self.session.acknowledge().is_none());
            }
            Effect::Reply(reply) => assert!(reply.bytes().len() <= 12 + 4096),
            Effect::Remark(_)
            | Effect::Features { .. }
            | Effect::SetLogFd(_)
            | Effect::SetStatus(_)
            | Effect::BackendChannel(_) => {}
        }
        true
    }
}

/// Pieces of a stream whose every file descriptor is the same open file, so that they can be counted.
struct Files {
    name: String,
    writer: OwnedFd,
}

impl Files {
    fn new() -> Self {
        let writer = File::from(OwnedFd::from(io::pipe().unwrap().1));
        let inode = writer.metadata().unwrap().ino();
        Self { name: format!("pipe:[{inode}]"), writer: writer.into() }
    }

    fn some(&self, count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| self.writer.try_clone().unwrap()).collect()
    }

    /// How many of them are open, this test's own aside.
    fn open(&self) -> usize {
        let fds = fs::read_dir("/proc/self/fd").unwrap();
        let targets = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        targets.filter(|target| target.to_str() == Some(&self.name)).count() - 1
    }
}

/// A small value, so that messages meet each other, or any.
fn value() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..8u32, 2 => 120..260u32, 1 => any::<u32>()]
}

/// A message with the length it should have and values that often fit.
fn plausible() -> impl Strategy<Value = Piece> {
    let one = prop::collection::vec(value(), 2);
    let sixty_four = prop_oneof![0..0x110u64, Just(0x4000_0000), Just(0x1_b22b), any::<u64>()];
    let region = (0..4u64, 0..3u64, prop::bool::ANY);
    let body = prop_oneof![
        4 => (prop::sample::select(vec![8u8, 10, 11, 18]), one).prop_map(|(request, words)| {
            (request, words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>(), 0)
        }),
        3 => (prop::sample::select(vec![12u8, 13, 14]), 0..7u64, prop::bool::ANY).prop_map(|(request, index, fd)| {
            (request, (index | if fd { 0 } else { 0x100 }).to_le_bytes().to_vec(), usize::from(fd))
        }),
        2 => (prop::sample::select(vec![2u8, 16, 39]), sixty_four).prop_map(|(request, word)| {
            (request, word.to_le_bytes().to_vec(), 0)
        }),
        2 => (0..7u32, 0..3u64, 0..2u32).prop_map(|(index, at, flags)| {
            let mut payload: Vec<u8> = [index, flags].iter().flat_map(|word| word.to_le_bytes()).collect();
            payload.extend([at << 12, at << 12, at << 12, 0].iter().flat_map(|word| word.to_le_bytes()));
            (9u8, payload, 0)
        }),
        2 => region.prop_map(|(at, length, add)| {
            let words = [0, at << 12, length << 12, at << 12, 0];
            let payload = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            (if add { 37u8 } else { 38 }, payload, 1)
        }),
        1 => (prop::sample::select(vec![31u8, 32]), 0..8u8, 0..3u8).prop_map(|(request, queues, entries)| {
            let mut payload = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, queues, 0, entries, 0];
            payload.resize(if entries == 1 { 24 } else { 20 }, 0);
            (request, payload, 1)
        }),
        1 => (prop::sample::select(vec![24u8, 25]), 0..12u32, 0..12usize).prop_map(|(request, offset, length)| {
            let mut payload = offset.to_le_bytes().to_vec();
            payload.extend(u32::try_from(length).unwrap().to_le_bytes());
            payload.extend([0; 4]);
            payload.resize(12 + length, 0xaa);
            (request, payload, 0)
        }),
        2 => (prop::sample::select(vec![1u8, 3, 4, 7, 15, 17, 21, 34, 36, 40]), 0..2usize)
            .prop_map(|(request, fds)| (request, Vec::new(), fds)),
    ];
    (body, prop::bool::weighted(0.7)).prop_map(|((request, payload, fds), need_reply)| {
        let make = if need_reply { message_acked } else { message };
        (make(request, &payload), fds)
    })
}

/// A message framed well with anything inside.
fn framed() -> impl Strategy<Value = Piece> {
    (0..50u8, prop::collection::vec(any::<u8>(), 0..80), 0..3usize)
        .prop_map(|(request, payload, fds)| (message_acked(request, &payload), fds))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_in_any_order_keep_rings_consistent_and_files_bounded(
        pieces in prop::collection::vec(prop_oneof![9 => plausible(), 1 => framed()], 0..120),
        fail_each in 0..5usize,
    ) {
        let files = Files::new();
        let mut checker = Checker::new(fail_each);
        // With acknowledgements, so that refusals leave the connection open and the story goes on.
        checker.takes(&message(16, &0x1_b22b_u64.to_le_bytes()), Vec::new());
        for (bytes, fds) in pieces {
            let goes_on = checker.takes(&bytes, files.some(fds));
            prop_assert!(files.open() <= RINGS, "{} files are open", files.open());
            if !goes_on {
                // The state stays sound even if the caller takes its time to close.
                continue;
            }
        }
        drop(checker);
        prop_assert_eq!(files.open(), 0);
    }

    #[test]
    fn bytes_of_any_kind_never_panic_nor_leak(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..64), 0..4usize), 0..40),
    ) {
        let files = Files::new();
        let mut checker = Checker::new(0);
        for (bytes, fds) in pieces {
            let goes_on = checker.takes(&bytes, files.some(fds));
            prop_assert!(files.open() <= RINGS + 32, "{} files are open", files.open());
            if !goes_on {
                break;
            }
        }
        drop(checker);
        prop_assert_eq!(files.open(), 0);
    }
}
