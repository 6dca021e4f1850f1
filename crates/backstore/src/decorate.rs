// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A backstore that fails, delays, tears or hangs on cue.
//!
//! Above: tests of whoever must bear it.  Below: any backstore.
//! Never here: a surprise.  What happens to an operation is what the test said.
//!
//! An operation that has to wait is kept back, with a timer in the reactor's own ring, and goes on to the
//! backstore below when its time has come.

use crate::{
    Abilities, Backstore, BackstoreError, Channel, Completed, Extent, Geometry, HostLock, Io, IoKind,
    Submitted, Submitter, Token,
};
use reactor::{IoTag, opcode, types};
use slab::Slab;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often an operation that hangs looks whether it may go on.
const HANG_LOOK: Duration = Duration::from_millis(1);
/// Tells the decorator's own operations from those below.
const OWN: u32 = 1 << 31;

/// What is to become of an operation.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It goes on as if nothing were.
    Pass,
    /// It fails without touching the backstore.
    Fail(BackstoreError),
    /// Only so many of its first bytes are moved, and then it fails: what the power or a process leaves that goes in the
    /// middle.
    Tear(u64),
    /// It goes on later.
    Delay(Duration),
    /// It goes on once the switch is off.
    Hang(Arc<AtomicBool>),
}

/// Decides an operation's fate by its kind and its offset in bytes.
pub type Judge = Arc<dyn Fn(IoKind, u64) -> Fate + Send + Sync>;

/// A backstore whose operations are judged first.
pub struct Judged<B> {
    inner: B,
    judge: Judge,
}

impl<B: Backstore> Judged<B> {
    /// Puts `judge` before `inner`.
    pub fn new(inner: B, judge: impl Fn(IoKind, u64) -> Fate + Send + Sync + 'static) -> Self {
        Self { inner, judge: Arc::new(judge) }
    }
}

impl<B: Backstore> Backstore for Judged<B> {
    fn geometry(&self) -> &Geometry {
        self.inner.geometry()
    }

    fn channel(&self, key: u32) -> Box<dyn Channel> {
        Box::new(JudgedChannel {
            inner: self.inner.channel(key),
            judge: Arc::clone(&self.judge),
            key,
            kept: Slab::new(),
            torn: Vec::new(),
        })
    }

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    fn extent(&self, offset: u64) -> Result<Extent, BackstoreError> {
        self.inner.extent(offset)
    }

    fn regular_file(&self) -> Option<&std::fs::File> {
        self.inner.regular_file()
    }

    fn zero(&self, offset: u64, bytes: u64, discard: bool) -> Result<(), BackstoreError> {
        self.inner.zero(offset, bytes, discard)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), BackstoreError> {
        self.inner.write_at(offset, data)
    }

    fn flush(&self) -> Result<(), BackstoreError> {
        self.inner.flush()
    }

    fn host_lock(&self) -> Option<&Arc<HostLock>> {
        self.inner.host_lock()
    }
}

struct JudgedChannel {
    inner: Box<dyn Channel>,
    judge: Judge,
    key: u32,
    kept: Slab<Kept>,
    /// Operations under way below that fail however they end, by the numbers of their tokens.
    torn: Vec<(u64, BackstoreError)>,
}

/// An operation that waits.
struct Kept {
    io: Io,
    token: Token,
    until: Option<Arc<AtomicBool>>,
    /// What the kernel reads the time from; it must not move.
    time: Box<types::Timespec>,
}

/// The first bytes of an operation, or nothing where there are none.
fn first(mut io: Io, bytes: u64) -> Result<Io, Io> {
    let left = match &mut io.kind {
        IoKind::Flush => 0,
        IoKind::Read | IoKind::Write { .. } => {
            io.buffer.truncate(bytes);
            io.buffer.bytes()
        }
        IoKind::Discard { bytes: all } | IoKind::WriteZeroes { bytes: all, .. } => {
            *all = bytes.min(*all);
            *all
        }
    };
    if left > 0 { Ok(io) } else { Err(io) }
}

impl JudgedChannel {
    fn tear(&mut self, submitter: &mut Submitter, io: Io, token: Token, bytes: u64) -> Submitted {
        let error =
            if io.kind == IoKind::Read { BackstoreError::ReadFailed } else { BackstoreError::WriteFailed };
        let number = token.redeem();
        let token = Token::new(number);
        let io = match first(io, bytes) {
            Ok(io) => io,
            Err(io) => return Submitted::Done(Completed { token, buffer: io.buffer, result: Err(error) }),
        };
        self.torn.push((number, error));
        match self.inner.submit(submitter, io, token) {
            Submitted::Done(completed) => Submitted::Done(self.told(completed)),
            Submitted::Queued => Submitted::Queued,
        }
    }

    /// An end below, as it is to be told.
    fn told(&mut self, completed: Completed) -> Completed {
        let Completed { token, buffer, result } = completed;
        let number = token.redeem();
        let torn =
            self.torn.iter().position(|(torn, _)| *torn == number).map(|at| self.torn.swap_remove(at).1);
        Completed { token: Token::new(number), buffer, result: torn.map_or(result, Err) }
    }

    fn keep(&mut self, submitter: &mut Submitter, kept: Kept) {
        let index = self.kept.insert(kept);
        self.set_timer(submitter, index);
    }

    fn set_timer(&mut self, submitter: &mut Submitter, index: usize) {
        let Some(kept) = self.kept.get(index) else { return };
        let entry = opcode::Timeout::new(&raw const *kept.time).build();
        let tag = IoTag { channel: self.key, operation: OWN | u32::try_from(index).unwrap_or(0) };
        // SAFETY: the time is boxed, and its box stays in the slab until the timer has ended.
        unsafe { submitter.push_io(entry, tag) }
    }
}

impl Channel for JudgedChannel {
    fn submit(&mut self, submitter: &mut Submitter, io: Io, token: Token) -> Submitted {
        let (wait, until) = match (self.judge)(io.kind, io.offset) {
            Fate::Pass => return self.inner.submit(submitter, io, token),
            Fate::Fail(error) => {
                return Submitted::Done(Completed { token, buffer: io.buffer, result: Err(error) });
            }
            Fate::Tear(bytes) => return self.tear(submitter, io, token, bytes),
            Fate::Delay(wait) => (wait, None),
            Fate::Hang(until) => (HANG_LOOK, Some(until)),
        };
        self.keep(submitter, Kept { io, token, until, time: Box::new(types::Timespec::from(wait)) });
        Submitted::Queued
    }

    fn completed(&mut self, submitter: &mut Submitter, operation: u32, result: i32) -> Option<Completed> {
        if operation & OWN == 0 {
            let completed = self.inner.completed(submitter, operation, result)?;
            return Some(self.told(completed));
        }
        let index = usize::try_from(operation & !OWN).ok()?;
        let hangs = self.kept.get(index)?.until.as_ref().is_some_and(|until| until.load(Ordering::SeqCst));
        if hangs {
            self.set_timer(submitter, index);
            return None;
        }
        let Kept { io, token, .. } = self.kept.remove(index);
        match self.inner.submit(submitter, io, token) {
            Submitted::Done(completed) => Some(completed),
            Submitted::Queued => None,
        }
    }

    fn in_flight(&self) -> usize {
        self.kept.len() + self.inner.in_flight()
    }
}
