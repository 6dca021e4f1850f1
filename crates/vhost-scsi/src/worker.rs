// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All queues of one reactor.
//!
//! Above: `connection` and `control` send it mail; `lunard` asks it to be quiet.
//! Below: `queue`, `channels`.
//! Never here: a lock, a wait, a system call of its own.

mod claims; // memory and blocks that commands wait for
mod draining; // a worker's part of the end
mod ending; // queues that are disabled or end
mod errands; // what steps of commands want of others
mod kicks; // how it hears of what guests offer
mod lines; // those who wait, in order
mod marking; // dirty logs
mod quiescing;
#[cfg(test)]
mod schedules; // workers under every schedule // waiting for what is in flight
mod telling; // news

use crate::drain::Drain;
use crate::errands::Errand;
use crate::events::Pending;
use crate::logging::Logging;
use crate::patience::OldTasks;
use crate::queue::{Common, Life, Queue, QueueParts, Stopped, queue_of};
use crate::quiesce::Quiesce;
use crate::signs_of_life;
use claims::Waiting;
use draining::Draining;
use exec::timer::Timers;
use memory::{GuestMemory, View};
use quiescing::WaitingQuiesce;
use reactor::{Event, KickTag, Post, Work};
use slab::Slab;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Instant;
use target::io::Submitter;
use target::{Outcome, Told};
use virtqueue::RingError;
use virtqueue::crash::{self, Point};

/// Kicks of silent guests that are followed up at one time: a guest may kick as often as it likes.
const WAITING_FOR_SIGNS_MAX: usize = 64;

/// How often a control ring is looked at before another ring stops: a batch each time, and few drivers have two aborts.
const LOOK_PASSES_MAX: usize = 32;

/// Which queue of a worker: a place, and a count that tells it from its earlier holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueKey(KickTag);

/// What may be asked of a worker.
pub enum Mail {
    #[doc(hidden)]
    Private(Letter),
}

/// The letters behind [`Mail`].
pub struct Letter(LetterKind);

pub(crate) enum LetterKind {
    Start {
        parts: Box<QueueParts>,
        key: mpsc::Sender<QueueKey>,
    },
    Stop {
        key: QueueKey,
        stopped: mpsc::Sender<Stopped>,
    },
    /// Looks at all that the guest has offered by now; `done` is told when others were told what they have to see for it.
    Look {
        key: QueueKey,
        done: mpsc::Sender<()>,
    },
    /// `done` is told when it is so; of a queue that is disabled, when all that it took is answered too.
    Enable {
        key: QueueKey,
        enabled: bool,
        done: mpsc::Sender<()>,
    },
    /// Lets a queue that was held back take from its ring; `done` is told when it is so.
    LetGo {
        key: QueueKey,
        done: mpsc::Sender<()>,
    },
    SetCall {
        key: QueueKey,
        call: Option<OwnedFd>,
    },
    SetErr {
        key: QueueKey,
        err: Option<OwnedFd>,
    },
    SetKick {
        key: QueueKey,
        kick: Option<OwnedFd>,
    },
    Remap {
        key: QueueKey,
        memory: Arc<GuestMemory>,
        done: mpsc::Sender<Result<(), RingError>>,
    },
    /// `done` is told when it is so: what is written to the guest from then on is logged so, also by what began before.
    SetLogging {
        key: QueueKey,
        logging: Option<Box<Logging>>,
        done: mpsc::Sender<()>,
    },
    /// News for the guest of an event queue.
    Announce {
        key: QueueKey,
        pending: Pending,
    },
    Quiesce(Quiesce),
    Drain(Drain),
    /// Tells which tasks that began before the `before`th are under way.
    TellOld {
        before: u64,
        answer: mpsc::Sender<OldTasks>,
    },
    /// Answered from the loop, by one that goes round.
    Alive {
        answer: mpsc::Sender<()>,
    },
    /// A step of a command has ended, that others had a part in.
    StepEnded {
        key: QueueKey,
        task: (usize, u64),
        end: StepEnd,
    },
    /// Blocks of a medium that one command had for itself were let go.
    ClaimsFree {
        medium: u64,
    },
    ManagementQuiet {
        key: QueueKey,
        request: usize,
    },
    ManagementTold {
        key: QueueKey,
        request: usize,
        told: Told,
    },
}

/// How a step ended that others had a part in.
pub(crate) enum StepEnd {
    Told(Told),
    Quiet,
    /// And the blocks that were asked for are its own.
    Claimed,
}

impl From<StepEnd> for Outcome {
    fn from(end: StepEnd) -> Self {
        match end {
            StepEnd::Told(told) => Self::Told(told),
            StepEnd::Quiet => Self::Quiet,
            StepEnd::Claimed => Self::Claimed,
        }
    }
}

/// What a worker has a timer for.
enum Due {
    /// To look at the rings without a kick descriptor.
    PolledRings,
    /// To see whether a guest that kicked has offered anything.
    SignOfLife(QueueKey),
    /// A step of a command was to wait until now.
    StepEnded(QueueKey, (usize, u64)),
}

/// All queues of one reactor.
pub struct Worker {
    post: Post<Worker>,
    /// Which of the reactors it is on.
    number: usize,
    peers: Arc<OnceLock<Vec<Post<Worker>>>>,
    /// To the threads that may block.
    errands: mpsc::Sender<Errand>,
    queues: Slab<Queue>,
    generation: u32,
    /// Queues that are looked at in every round.
    active: Vec<u32>,
    /// Queues without a kick descriptor.
    polled: Vec<u32>,
    /// Whether a timer is set for them.
    polls_by_time: bool,
    timers: Timers<Due>,
    /// Timers that wait for a sign of life.
    waiting_for_signs: usize,
    /// Queues that have answers to publish.
    dirty: Vec<u32>,
    /// Queues whose front end is to be told of marks in its dirty log.
    marked: Vec<u32>,
    ending: Vec<u32>,
    /// Queues that were disabled and still have something under way.
    parking: Vec<(QueueKey, mpsc::Sender<()>)>,
    /// Queues that have ended and whose last notification is handed over with the next round.
    ended: Vec<(mpsc::Sender<Stopped>, Stopped)>,
    common: Common,
    /// Commands that wait for memory or blocks.
    waiting: Waiting,
    quiesces: Vec<WaitingQuiesce>,
    draining: Draining,
    /// Descriptors that an entry which was not handed over yet may still name, with the count of hand-overs
    /// when they were given up.
    retired: Vec<(u64, OwnedFd)>,
}

impl Worker {
    pub(crate) fn new(
        post: Post<Worker>,
        number: usize,
        peers: Arc<OnceLock<Vec<Post<Worker>>>>,
        errands: mpsc::Sender<Errand>,
    ) -> Self {
        Self {
            post,
            number,
            peers,
            errands,
            queues: Slab::new(),
            generation: 0,
            active: Vec::new(),
            polled: Vec::new(),
            polls_by_time: false,
            timers: Timers::default(),
            waiting_for_signs: 0,
            dirty: Vec::new(),
            marked: Vec::new(),
            ending: Vec::new(),
            parking: Vec::new(),
            ended: Vec::new(),
            common: Common::default(),
            waiting: Waiting::default(),
            quiesces: Vec::new(),
            draining: Draining::default(),
            retired: Vec::new(),
        }
    }

    pub(crate) fn queue(&mut self, key: QueueKey) -> Option<&mut Queue> {
        self.queues.get_mut(key.0.key as usize).filter(|queue| queue.tag == key.0)
    }

    /// The queue that watches a kick descriptor under `tag`.
    fn kicked(&self, tag: KickTag) -> Option<&Queue> {
        self.queues.get(tag.key as usize).filter(|queue| queue.kick_tag == tag)
    }

    fn activate(&mut self, index: u32) {
        let Some(queue) = self.queues.get_mut(index as usize) else { return };
        if !queue.active {
            queue.active = true;
            queue.ring.disarm();
            self.active.push(index);
            self.note_marks(index);
        }
    }

    fn start(&mut self, submitter: &mut Submitter, parts: QueueParts) -> QueueKey {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.queues.vacant_entry();
        let index = u32::try_from(entry.key()).unwrap_or(u32::MAX);
        let tag = KickTag { key: index, generation: self.generation };
        let mut queue = Queue::new(parts, tag);
        self.draining.check_in(&mut queue);
        entry.insert(queue);
        self.watch(submitter, index);
        // The guest may have kicked long ago.
        self.activate(index);
        QueueKey(tag)
    }

    fn remap(&mut self, key: QueueKey, memory: Arc<GuestMemory>) -> Result<(), RingError> {
        let Some(queue) = self.queue(key) else { return Ok(()) };
        queue.ring.remap(Arc::clone(&memory))?;
        queue.view = View::new(memory);
        Ok(())
    }

    fn stop(&mut self, key: QueueKey, stopped: mpsc::Sender<Stopped>) {
        let Some(queue) = self.queue(key) else { return };
        queue.life = Life::Ends(stopped);
        self.ending.push(key.0.key);
        // What was taken and not looked at is still to be done.
        self.activate(key.0.key);
    }

    /// Looks at a ring until all is looked at that is in it now, or it takes no more, or that was as much as any driver offers:
    /// other queues wait meanwhile.
    fn look(&mut self, submitter: &mut Submitter, QueueKey(tag): QueueKey) {
        let Some(offered) = self.queue(QueueKey(tag)).map(Queue::offered) else { return };
        for _ in 0..LOOK_PASSES_MAX {
            let queue = self.queues.get_mut(tag.key as usize).filter(|queue| queue.tag == tag);
            let Some(queue) = queue.filter(|queue| !queue.has_looked_at(offered)) else { break };
            if !queue.pass(tag.key, &mut self.common, submitter) {
                break;
            }
            self.note_dirty(tag.key);
            self.send_errands(submitter, tag.key);
        }
        self.activate(tag.key);
    }

    /// Task management of a queue has come on.
    fn management_moved(&mut self, submitter: &mut Submitter, QueueKey(tag): QueueKey) {
        self.note_dirty(tag.key);
        self.send_errands(submitter, tag.key);
        self.activate(tag.key);
    }

    fn publish_queue(&mut self, submitter: &mut Submitter, index: u32) {
        let Some(queue) = self.queues.get_mut(index as usize) else { return };
        queue.dirty = false;
        if !queue.has_lost_its_log()
            && queue.ring.publish()
            && let Some(call) = &queue.call
        {
            crash::pass(Point::Silent);
            // SAFETY: the queue keeps the descriptor open; a descriptor that is replaced stays in `retired`
            // until what was queued with it has been handed over.
            unsafe { submitter.notify(call.as_fd()) }
        }
    }

    /// Looks in a while whether the guest of a queue has offered anything yet.
    fn wait_for_sign(&mut self, key: QueueKey) {
        if self.waiting_for_signs < WAITING_FOR_SIGNS_MAX {
            self.waiting_for_signs += 1;
            self.timers.set(Instant::now() + signs_of_life::PATIENCE, Due::SignOfLife(key));
        }
    }
}

impl Work for Worker {
    type Mail = Mail;

    fn mail(&mut self, submitter: &mut Submitter, mail: Mail) {
        let Mail::Private(Letter(letter)) = mail;
        match letter {
            LetterKind::Start { parts, key } => {
                let _ = key.send(self.start(submitter, *parts));
            }
            LetterKind::Stop { key, stopped } => self.stop(key, stopped),
            LetterKind::Look { key, done } => {
                self.look(submitter, key);
                let _ = done.send(());
            }
            LetterKind::Enable { key, enabled, done } => self.enable(submitter, key, enabled, done),
            LetterKind::LetGo { key, done } => {
                if let Some(queue) = self.queue(key) {
                    queue.held_back = false;
                    self.activate(key.0.key);
                }
                let _ = done.send(());
            }
            LetterKind::SetCall { key, call } => {
                if let Some(queue) = self.queue(key) {
                    let old = std::mem::replace(&mut queue.call, call);
                    if let Some(call) = &queue.call {
                        // What went to the old descriptor may have been told to nobody.
                        // SAFETY: the queue keeps the descriptor open, and `retired` after it.
                        unsafe { submitter.notify(call.as_fd()) }
                    }
                    self.retire(submitter, old);
                }
            }
            LetterKind::SetErr { key, err } => {
                if let Some(queue) = self.queue(key) {
                    let old = std::mem::replace(&mut queue.err, err);
                    self.retire(submitter, old);
                }
            }
            LetterKind::SetKick { key, kick } => self.set_kick(submitter, key, kick),
            LetterKind::Remap { key, memory, done } => {
                let _ = done.send(self.remap(key, memory));
            }
            LetterKind::SetLogging { key, logging, done } => {
                self.set_logging(submitter, key, logging.map(|logging| *logging));
                let _ = done.send(());
            }
            LetterKind::Announce { key, pending } => self.announce(key, pending),
            LetterKind::Quiesce(quiesce) => self.quiesce(quiesce),
            LetterKind::Drain(drain) => self.drain(drain),
            LetterKind::TellOld { before, answer } => {
                let _ = answer.send(self.old_tasks(before));
            }
            LetterKind::Alive { answer } => {
                let _ = answer.send(());
            }
            LetterKind::StepEnded { key, task, end } => {
                self.step_ended(submitter, key, task, end.into());
            }
            LetterKind::ClaimsFree { medium } => self.claims_free(medium),
            LetterKind::ManagementQuiet { key, request } => {
                if let Some(queue) = self.queue(key) {
                    queue.management_quiet(request);
                    self.management_moved(submitter, key);
                }
            }
            LetterKind::ManagementTold { key, request, told } => {
                if let Some(queue) = self.queue(key) {
                    queue.management_told(request, told);
                    self.management_moved(submitter, key);
                }
            }
        }
    }

    fn poll(&mut self, submitter: &mut Submitter) -> bool {
        let mut busy = self.waiting.is_ready();
        for at in 0..self.active.len() {
            let Some(&index) = self.active.get(at) else { break };
            let Some(queue) = self.queues.get_mut(index as usize) else { continue };
            busy |= queue.pass(index, &mut self.common, submitter);
            self.note_dirty(index);
            self.send_errands(submitter, index);
        }
        busy
    }

    fn event(&mut self, submitter: &mut Submitter, event: Event) {
        match event {
            Event::Kicked(tag) => {
                let Some(queue) = self.kicked(tag) else { return };
                let key = QueueKey(queue.tag);
                let is_sign = queue.ring.has_work();
                queue.signs.note_if(is_sign);
                if !queue.signs.seen() {
                    self.wait_for_sign(key);
                }
                self.activate(tag.key);
            }
            Event::KickEnded(tag, result) => {
                if self.kicked(tag).is_none_or(|queue| queue.kick.is_none()) {
                    return;
                }
                if result >= 0 {
                    self.watch(submitter, tag.key);
                } else {
                    // Not a descriptor that can be watched.  The guest is served all the same.
                    self.forget_polled(tag.key);
                    self.poll_by_time(tag.key);
                }
                self.activate(tag.key);
            }
            Event::Io(tag, result) => {
                let Some(completed) = self.common.channels.completed(submitter, tag, result) else { return };
                let (index, completed) = queue_of(completed);
                // A queue stays until its tasks have ended.
                let number = u32::try_from(index).unwrap_or(u32::MAX);
                self.queues[index].finish(number, completed, &mut self.common, submitter);
                self.note_dirty(number);
                self.send_errands(submitter, number);
            }
        }
    }

    fn publish(&mut self, submitter: &mut Submitter) {
        let hand_overs = submitter.hand_overs();
        self.retired.retain(|&(retired_at, _)| retired_at >= hand_overs);
        for (sender, stopped) in self.ended.drain(..) {
            let _ = sender.send(stopped);
        }
        self.look_after_waiting(submitter);
        for index in std::mem::take(&mut self.dirty) {
            self.publish_queue(submitter, index);
        }
        self.signal_marks(submitter);
        self.answer_quiesces(submitter);
        if !self.parking.is_empty() {
            self.tell_parked();
        }
        if !self.ending.is_empty() {
            self.end_quiet_queues(submitter);
        }
        self.answer_drains(submitter);
    }

    fn arm(&mut self) -> bool {
        // Who waits for the end of a queue is told in the next round.
        let mut found = !self.ended.is_empty() || self.draining.is_telling() || self.waiting.is_ready();
        let (queues, marked) = (&mut self.queues, &mut self.marked);
        self.active.retain(|&index| {
            let Some(queue) = queues.get_mut(index as usize) else { return false };
            if queue.arm() {
                queue.ring.disarm();
                found = true;
                return true;
            }
            queue.active = false;
            if queue.signals_marks() {
                // Of the wish for kicks, in one more round.
                marked.push(index);
                found = true;
            }
            false
        });
        found
    }

    fn disarm(&mut self) {}

    fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn expired(&mut self, submitter: &mut Submitter, now: Instant) {
        while let Some(due) = self.timers.take_due(now) {
            match due {
                Due::StepEnded(key, task) => self.step_ended(submitter, key, task, Outcome::Waited),
                Due::PolledRings => self.look_at_polled_rings(now),
                Due::SignOfLife(key) => {
                    self.waiting_for_signs = self.waiting_for_signs.saturating_sub(1);
                    if let Some(queue) = self.queue(key) {
                        queue.look_for_sign();
                    }
                }
            }
        }
    }
}

/// Sends a letter to a worker.
///
/// # Panics
/// When the worker's mailbox is full: it has stopped, and a process without one of its reactors must end, so
/// that its supervisor starts a new one.
pub(crate) fn send(post: &Post<Worker>, letter: LetterKind) {
    assert!(post.send(Mail::Private(Letter(letter))).is_ok(), "a reactor has stopped taking its mail");
}
