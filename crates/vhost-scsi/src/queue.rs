// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One queue on its worker: chains in, answers out.
//!
//! Above: `worker`, which owns it while it runs.
//! Below: `request`, `response`, `target`, `virtqueue`; `control` for the queue that manages tasks.
//! Never here: waiting, and any lock.

mod claims; // what commands wait for
mod common; // what all queues of a worker use
mod drained; // the end of all service
mod logged; // what is written, for a migration
mod old; // what has been under way for long
mod requests; // chains that ask for commands
mod scopes; // which of its tasks are meant
mod steps; // commands of several steps
mod telling; // events

use crate::control::Management;
use crate::events::Pending;
use crate::logging::Logging;
use crate::losses::Losses;
use crate::port::TargetPort;
use crate::quiesce::{Ending, TaskName};
use crate::response;
use crate::signs_of_life::SignsOfLife;
pub(crate) use claims::Claimed;
use exec::snapshot::Cached;
use memory::{IoBuf, View};
use reactor::KickTag;
use slab::Slab;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::time::Instant;
use steps::Steps;
use target::io::{Completed, Submitter, Token};
use target::{Answer, LunMap, Outcome};
use virtqueue::crash::{self, Point};
use virtqueue::{RingError, SplitRing};

pub(crate) use common::Common;
pub(crate) use steps::{QueueErrand, Wanted};

/// Chains taken from one ring in one pass.
pub(crate) const BATCH_MAX: usize = 32;
/// Bytes that one ring may have moved at once, within a pass, before the next ring has its turn.
const BYTES_A_PASS: u64 = 2 * 1024 * 1024;

/// What a queue is for (virtio 1.2, 5.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueKind {
    Control,
    Event,
    Request,
}

impl QueueKind {
    pub(crate) fn of_index(index: u16) -> Self {
        match index {
            0 => Self::Control,
            1 => Self::Event,
            _ => Self::Request,
        }
    }
}

/// What a queue leaves behind when it has stopped.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// The index of the next chain that it would have taken.
    pub(crate) next_avail: u16,
    /// Events that there were no buffers for.
    pub(crate) untold: Pending,
}

/// How far the end of a queue has come.
#[derive(Debug)]
pub(crate) enum Life {
    Runs,
    /// The driver broke the ring: nothing more is taken from it.
    Broken,
    /// The process ends: nothing more is taken, once that many heads have been looked at.
    Drains {
        heads: u64,
    },
    /// Nothing more is taken; when what was taken is answered the queue ends.
    Ends(mpsc::Sender<Stopped>),
}

/// A head that was taken from the ring.
#[derive(Clone, Copy)]
struct Head {
    number: u16,
    /// A process that died took it before, and may have done what it asks for, wholly or in part.
    again: bool,
}

/// A command whose I/O is under way.
struct Task {
    head: u16,
    name: TaskName,
    number: u64,
    /// The answer if the I/O succeeds.
    answer: Answer,
    response: IoBuf,
    buffer_bytes: u64,
    ends_as: Option<Ending>,
    /// Of a flush, or a write that must be durable: the number of its backstore, and where its losses are counted.
    losses: Option<(u64, Arc<AtomicU64>)>,
    is_flush: bool,
    is_read: bool,
    /// What it counts as if the medium fails its present I/O.
    failure: target::Failure,
    /// What it may write: nothing before it has claimed it.
    writes: Claimed,
    /// Of a command that has several.
    steps: Option<Box<Steps>>,
}

impl Task {
    /// Whether it has nothing under way but the wait for the end of others.
    fn waits_for_quiet(&self) -> bool {
        self.steps.as_ref().is_some_and(|steps| steps.waits_for_quiet)
    }

    /// Writes the response: the one that an abort asks for, or what the command came to.  Returns the bytes written.
    fn respond(&self, map: &LunMap, answer: impl FnOnce(u64) -> Answer) -> u32 {
        let format = || map.sense_format_at(self.name.target, self.name.lun);
        match self.ends_as {
            Some(ending) if ending.others_task_aborted && ending.by != self.name.client => {
                response::answer(&Answer::task_aborted(self.buffer_bytes), format, &self.response)
            }
            Some(ending) => response::refuse(ending.own, self.buffer_bytes, &self.response),
            None => response::answer(&answer(self.buffer_bytes), format, &self.response),
        }
    }
}

/// A queue on its worker.
pub(crate) struct Queue {
    pub(crate) kind: QueueKind,
    pub(crate) ring: SplitRing,
    pub(crate) view: View,
    pub(crate) client: u64,
    pub(crate) port: Arc<TargetPort>,
    pub(crate) signs: Arc<SignsOfLife>,
    pub(crate) losses: Arc<Losses>,
    pub(crate) features: u64,
    pub(crate) call: Option<OwnedFd>,
    pub(crate) err: Option<OwnedFd>,
    pub(crate) kick: Option<OwnedFd>,
    pub(crate) tag: KickTag,
    /// What the present kick descriptor is watched as.
    pub(crate) kick_tag: KickTag,
    pub(crate) enabled: bool,
    /// Whether nothing may be taken yet: a process that died may still be at work on what this leads to.
    pub(crate) held_back: bool,
    pub(crate) life: Life,
    /// Whether the worker looks at it in every round.
    pub(crate) active: bool,
    /// Whether answers wait to be published.
    pub(crate) dirty: bool,
    pub(crate) management: Management,
    /// While a migration is under way.
    pub(crate) logging: Option<Logging>,
    /// Of the event queue: what the guest is still to be told.
    pub(crate) untold: Pending,
    map: Cached<LunMap>,
    /// Taken from the ring and not yet looked at.
    taken: VecDeque<u16>,
    /// How many of those, from the first on, a process that died took before.
    resubmitted: usize,
    /// Heads that were looked at since the start.
    looked_at: u64,
    /// How many are to be looked at even if the ring is told to stop.
    must_see: u64,
    tasks: Slab<Task>,
    /// What tasks want of others.
    errands: Vec<QueueErrand>,
}

/// What it takes to make a queue.
pub(crate) struct QueueParts {
    pub(crate) kind: QueueKind,
    pub(crate) ring: SplitRing,
    pub(crate) memory: Arc<memory::GuestMemory>,
    pub(crate) client: u64,
    pub(crate) port: Arc<TargetPort>,
    pub(crate) signs: Arc<SignsOfLife>,
    pub(crate) losses: Arc<Losses>,
    pub(crate) features: u64,
    pub(crate) call: Option<OwnedFd>,
    pub(crate) err: Option<OwnedFd>,
    pub(crate) kick: Option<OwnedFd>,
    pub(crate) enabled: bool,
    pub(crate) logging: Option<Logging>,
    pub(crate) held_back: bool,
}

impl Queue {
    pub(crate) fn new(parts: QueueParts, tag: KickTag) -> Self {
        let QueueParts {
            kind,
            ring,
            memory,
            client,
            port,
            signs,
            losses,
            features,
            call,
            err,
            kick,
            enabled,
            logging,
            held_back,
        } = parts;
        let map = Cached::new(port.map());
        // A process that died with a buffer in its hands was about to tell something.
        let missed = kind == QueueKind::Event && ring.resubmissions() > 0;
        losses.note_stores(map.get());
        let mut queue = Self {
            map,
            view: View::new(memory),
            taken: VecDeque::with_capacity(BATCH_MAX),
            resubmitted: 0,
            looked_at: 0,
            must_see: 0,
            tasks: Slab::new(),
            errands: Vec::new(),
            management: Management::default(),
            untold: Pending::after(missed),
            kind,
            ring,
            client,
            port,
            signs,
            losses,
            features,
            call,
            err,
            kick,
            tag,
            kick_tag: tag,
            enabled,
            held_back,
            life: Life::Runs,
            active: false,
            dirty: false,
            logging: None,
        };
        queue.set_logging(logging);
        queue
    }

    /// Says so, once, when a guest that kicked has never offered anything.
    pub(crate) fn look_for_sign(&self) {
        self.signs.note_if(self.ring.has_work());
        if self.signs.must_tell()
            && let Some(suppressed) = self.port.log.spend(Instant::now())
        {
            tracing::warn!(
                target = self.port.wwn(),
                suppressed,
                "the guest kicks and its rings stay empty, so its memory is probably private to the front end; \
                 start QEMU with a memory backend that has share=on"
            );
        }
    }

    /// Whether a look at the ring would find something to do.
    pub(crate) fn has_work(&self) -> bool {
        !self.taken.is_empty() || (self.takes() && self.ring.has_work())
    }

    /// Whether chains are taken from the ring now.
    fn takes(&self) -> bool {
        let may = match self.kind {
            QueueKind::Event => !self.untold.is_empty(),
            QueueKind::Control | QueueKind::Request => !self.management.is_full(),
        };
        may && !self.held_back
            && match self.life {
                Life::Runs => self.enabled || self.must_resubmit(),
                Life::Drains { heads } => {
                    let seen = self.looked_at + self.taken.len() as u64;
                    seen < heads && (self.enabled || self.must_resubmit())
                }
                Life::Broken => false,
                Life::Ends(_) => self.must_resubmit() || (self.enabled && self.has_unseen()),
            }
    }

    /// Whether there is something in the ring that an abort is to find, which was asked for before the ring was to stop.
    fn has_unseen(&self) -> bool {
        self.looked_at + (self.taken.len() as u64) < self.must_see
    }

    /// Whether what a dead process took has to be done even though nothing new is taken: a queue is quiet when all
    /// that anyone took is answered.  Not so the control queue while it waits for the others.
    fn must_resubmit(&self) -> bool {
        let may = match self.life {
            Life::Runs | Life::Drains { .. } => self.kind == QueueKind::Request,
            Life::Broken => false,
            Life::Ends(_) => self.kind != QueueKind::Event,
        };
        may && !self.held_back && self.ring.resubmissions() > 0
    }

    /// What [`Queue::has_looked_at`] is to reach until all that the guest has offered by now is begun.  A stop waits
    /// for that as well: what is offered before an abort must not run after its answer, when the ring starts anew.
    pub(crate) fn offered(&mut self) -> u64 {
        let looks = self.takes() || (self.enabled && !self.held_back && matches!(self.life, Life::Ends(_)));
        let waiting = if looks { self.ring.waiting() } else { 0 };
        let offered = self.looked_at + (self.taken.len() + waiting) as u64;
        self.must_see = self.must_see.max(offered);
        offered
    }

    /// Whether that many heads have been looked at, or there are no more: a driver may move its index back.
    pub(crate) fn has_looked_at(&self, heads: u64) -> bool {
        self.looked_at >= heads || !self.has_work()
    }

    /// Whether nothing that was taken waits for an answer.
    pub(crate) fn is_quiet(&self) -> bool {
        let ends = matches!(self.life, Life::Ends(_));
        let nothing_taken = self.taken.is_empty() && !self.must_resubmit() && !(ends && self.has_work());
        nothing_taken && self.tasks.is_empty() && self.management.is_empty()
    }

    /// Asks the driver for kicks; returns whether there is work already.
    pub(crate) fn arm(&mut self) -> bool {
        if !self.taken.is_empty() {
            return true;
        }
        self.takes() && self.ring.arm()
    }

    /// Brings the map up to date.
    pub(crate) fn refresh_map(&mut self) {
        if self.map.refresh(self.port.map()) {
            self.losses.note_stores(self.map.get());
        }
    }

    /// Looks at the ring once; returns whether there was anything to do.
    pub(crate) fn pass(&mut self, index: u32, common: &mut Common, submitter: &mut Submitter) -> bool {
        if self.kind == QueueKind::Event {
            return self.takes() && self.tell(common, submitter);
        }
        if self.taken.is_empty() && self.takes() {
            let mut heads = [0; BATCH_MAX];
            let again = self.ring.resubmissions() > 0;
            match self.ring.pop_batch(&mut heads) {
                Ok(count) => {
                    self.resubmitted = if again { count } else { 0 };
                    self.taken.extend(heads.iter().take(count));
                    self.signs.note_if(count > 0);
                }
                Err(error) => self.break_off(error, submitter),
            }
        }
        if self.taken.is_empty() {
            return false;
        }
        self.refresh_map();
        let map = Arc::clone(self.map.get());
        let mut bytes_left = BYTES_A_PASS;
        while bytes_left > 0
            && let Some(head) = self.taken.pop_front()
        {
            self.looked_at += 1;
            let again = self.resubmitted > 0;
            self.resubmitted = self.resubmitted.saturating_sub(1);
            let bytes = match self.kind {
                QueueKind::Control => self.take_management(head, again, &map),
                _ => self.take_request(index, Head { number: head, again }, &map, common, submitter),
            };
            bytes_left = bytes_left.saturating_sub(bytes);
        }
        true
    }

    fn break_off(&mut self, error: RingError, submitter: &mut Submitter) {
        if let Some(suppressed) = self.port.log.spend(Instant::now()) {
            let (target, kind) = (self.port.wwn(), self.kind);
            tracing::warn!(target, ?kind, suppressed, %error, "the guest broke a ring; it is stopped");
        }
        match self.life {
            // What is left to do cannot be done; who waits for the end is told all the same.
            Life::Ends(_) => self.held_back = true,
            Life::Runs | Life::Drains { .. } | Life::Broken => self.life = Life::Broken,
        }
        if let Some(err) = &self.err {
            // SAFETY: the queue keeps the descriptor open, and the worker's `retired` after it.
            unsafe { submitter.notify(err.as_fd()) }
        }
    }

    /// Gives a head back, of whose buffers `bytes` bytes have been written, and none outside of the lists `written`.
    pub(crate) fn push(&mut self, head: u16, bytes: u32, written: &[&IoBuf]) {
        if let Some(logging) = &self.logging {
            // The whole lists, because a read that failed or fell short may have written anywhere in them.
            written.iter().for_each(|list| logging.log.mark_list(list));
        }
        crash::pass(Point::Answered);
        self.ring.push_used(head, bytes);
        self.dirty = true;
    }

    /// Gives a head back of which nothing but the response, the last of its lists, was written.  No byte was moved.
    fn push_response(&mut self, head: u16, bytes: u32, lists: [IoBuf; 3], common: &mut Common) -> u64 {
        self.push(head, bytes, &[&lists[2]]);
        common.give_back_all(lists);
        0
    }

    /// Answers the task whose I/O has ended, or takes its next step.
    pub(crate) fn finish(
        &mut self,
        index: u32,
        completed: Completed,
        common: &mut Common,
        submitter: &mut Submitter,
    ) {
        crash::pass(Point::Completed);
        let Completed { token, buffer, result } = completed;
        let (_, key) = token_parts(token.redeem());
        let result = self.heard(key, result);
        // The token is the only way here, and it comes once.
        self.count_if_failed(key, result);
        if self.tasks[key].steps.is_some() {
            return self.go_on(index, key, Outcome::Io { buffer, result }, common, submitter);
        }
        let task = self.tasks.remove(key);
        let written = task.respond(self.map.get(), |buffer_bytes| match result {
            Ok(()) => task.answer,
            Err(error) => target::io_failed(error, buffer_bytes),
        });
        let lists = [&task.response, &buffer];
        // What a write reads from has not changed.
        self.push(task.head, written, if task.is_read { &lists } else { &lists[..1] });
        common.give_back_all([buffer, task.response]);
    }
}

fn token_number(queue: u32, task: usize) -> u64 {
    u64::from(queue) << 32 | u64::from(u32::try_from(task).unwrap_or(u32::MAX))
}

/// The queue and the task of a token's number.
pub(crate) fn token_parts(number: u64) -> (usize, usize) {
    let [a, b, c, d, rest @ ..] = number.to_le_bytes();
    (u32::from_le_bytes(rest) as usize, u32::from_le_bytes([a, b, c, d]) as usize)
}

/// The queue of a completion.
pub(crate) fn queue_of(completed: Completed) -> (usize, Completed) {
    let number = completed.token.redeem();
    (token_parts(number).0, Completed { token: Token::new(number), ..completed })
}
