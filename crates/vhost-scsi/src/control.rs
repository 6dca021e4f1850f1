// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Task management (virtio 1.2, 5.6.6.2): every request is answered, and none before it is true.
//!
//! Above: `worker`, which tells when a scope is quiet.
//! Below: `quiesce`.
//! Never here: cancelling.  The kernel seldom can, so an abort waits for what is in flight to end.

use crate::queue::Queue;
use crate::quiesce::Ending;
use crate::response::ResponseCode;
use memory::IoBuf;
use scsi::opcode::Repeat;
use scsi::{Address, Sense};
use slab::Slab;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use target::{LunMap, NexusLoss, NotPersisted, Reply, Scope, Told, UnitState};

const TYPE_TASK_MANAGEMENT: u32 = 0;
const TYPE_NOTIFICATION_QUERY: u32 = 1;
const TYPE_NOTIFICATION_SUBSCRIBE: u32 = 2;
const TASK_MANAGEMENT_BYTES: usize = 24;
const NOTIFICATION_BYTES: usize = 16;
/// An answer to a notification request; one to task management has a byte.
const ANSWER_BYTES_MAX: u64 = 5;

/// A task management function.
struct Function {
    code: u32,
    reach: Reach,
    deed: Deed,
    /// Whether it may be done again after the death of a process that may have done it.
    repeat: Repeat,
}

/// Which tasks a function is about.
#[derive(Clone, Copy)]
enum Reach {
    /// One of this guest's to one LUN.
    Task,
    /// All of this guest's to one LUN.
    TaskSet,
    /// Everyone's to the unit, whatever leads there.
    Unit,
    /// All of this guest's to one target.
    Nexus,
}

/// What becomes of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// They end.
    Abort,
    /// They end, and who else loses any is told.
    Clear,
    /// They end, and what they were done under is reset.
    Reset,
    /// Nothing; it is looked whether there are any.
    Query,
}

impl Function {
    const fn new(code: u32, reach: Reach, deed: Deed) -> Self {
        // All of them wait for what is in flight, and what they take away is not there the second time.
        Self { code, reach, deed, repeat: Repeat::Harmless }
    }
}

/// The functions of virtio 1.2, 5.6.6.2.  CLEAR ACA is not there, because there is no auto contingent allegiance.
const FUNCTIONS: &[Function] = &[
    Function::new(0, Reach::Task, Deed::Abort),    // ABORT TASK
    Function::new(1, Reach::TaskSet, Deed::Abort), // ABORT TASK SET
    Function::new(3, Reach::Unit, Deed::Clear),    // CLEAR TASK SET
    Function::new(4, Reach::Nexus, Deed::Reset),   // I_T NEXUS RESET
    Function::new(5, Reach::Unit, Deed::Reset),    // LOGICAL UNIT RESET
    Function::new(6, Reach::Task, Deed::Query),    // QUERY TASK
    Function::new(7, Reach::TaskSet, Deed::Query), // QUERY TASK SET
];
/// Requests of one queue that may wait before it is left alone until one is answered.
const WAITING_MAX: usize = 16;

/// What a task management request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Response {
    Complete = 0,
    BadTarget = 3,
    Failure = 9,
    Succeeded = 10,
    Rejected = 11,
    IncorrectLun = 12,
}

/// Requests that wait until their scope is quiet.
#[derive(Default)]
pub(crate) struct Management {
    waiting: Slab<Waiting>,
    /// What is wanted of every worker.
    pub(crate) wanted: Vec<Wanted>,
    /// What is to be done where it may block, with the request that waits for it.
    pub(crate) errands: Vec<(usize, Work)>,
}

/// Work that may block.
type Work = Box<dyn FnOnce(Reply) + Send>;

/// A scope that is to be made quiet, or looked at, with the request that waits.
pub(crate) struct Wanted {
    pub(crate) request: usize,
    pub(crate) scope: Scope,
    pub(crate) ends_as: Option<Ending>,
    pub(crate) looks: Option<Arc<AtomicBool>>,
}

struct Waiting {
    head: u16,
    response: IoBuf,
    /// Workers that have not answered.
    workers: usize,
    then: Then,
}

/// What a function resets.
enum Reset {
    Unit(Arc<UnitState>),
    Nexus(NexusLoss),
}

impl Reset {
    /// Whether it has to wait for the disk with the records of units.  What is reserved in this moment by a command that
    /// was not there when the scope was made quiet may as well have been reserved after the reset.
    fn may_block(&self) -> bool {
        match self {
            Self::Unit(state) => state.reset_may_block(),
            Self::Nexus(loss) => loss.may_block(),
        }
    }

    /// What is left to do where nothing blocks.
    fn tell(&self) {
        match self {
            Self::Unit(state) => state.tell_reset(),
            Self::Nexus(loss) => loss.tell(),
        }
    }

    fn happen(&self) -> Result<(), NotPersisted> {
        match self {
            Self::Unit(state) => state.reset(),
            Self::Nexus(loss) => loss.happen(),
        }
    }
}

/// What comes when every worker has answered.
enum Then {
    /// The answer.
    Complete,
    /// The answer, which says whether any task was found.
    Tell(Arc<AtomicBool>),
    /// The answer; the unit counts whether the task was found.
    Count(Arc<AtomicBool>, Arc<UnitState>),
    /// This, and then the answer.
    Do(Reset),
    /// Nothing: it is being done.
    Wait,
}

impl Management {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no more requests are taken for now: each costs every worker a look at all its tasks in a round.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Sets how many workers were asked for a request.
    pub(crate) fn asked(&mut self, key: usize, workers: usize) {
        if let Some(waiting) = self.waiting.get_mut(key) {
            waiting.workers = workers;
        }
    }
}

impl Queue {
    /// Takes one request of the control queue.
    pub(crate) fn take_management(&mut self, head: u16, again: bool, map: &LunMap) -> u64 {
        let (mut readable, mut writable) = (IoBuf::new(), IoBuf::new());
        let mut bytes = [0; TASK_MANAGEMENT_BYTES];
        if self.ring.chain(head, &self.view, &mut readable, &mut writable).is_err() {
            self.push(head, 0, &[]);
            return 0;
        }
        // No answer is longer, and all that is left is marked as written.
        writable.truncate(ANSWER_BYTES_MAX);
        let length = readable.copy_to(0, &mut bytes);
        let request = Reader { bytes, length };
        match request.word(0) {
            Some(TYPE_TASK_MANAGEMENT) => self.manage(head, again, &request, map, writable),
            Some(TYPE_NOTIFICATION_QUERY | TYPE_NOTIFICATION_SUBSCRIBE) => {
                self.notification(head, &request, map, &writable);
            }
            // An answer's form depends on the type, so an unknown one is given back as it came.
            _ => self.push(head, 0, &[]),
        }
        0
    }

    fn manage(&mut self, head: u16, again: bool, request: &Reader, map: &LunMap, response: IoBuf) {
        match self.prepare(again, request, map) {
            Ok((scope, ends_as, then)) => {
                let looks = match &then {
                    Then::Tell(found) | Then::Count(found, _) => Some(Arc::clone(found)),
                    Then::Complete | Then::Do(_) | Then::Wait => None,
                };
                let request = self.management.waiting.insert(Waiting { head, response, workers: 0, then });
                self.management.wanted.push(Wanted { request, scope, ends_as, looks });
            }
            Err(refusal) => self.answer_management(head, refusal, &response),
        }
    }

    /// What a function asks of every worker, and what comes then.
    fn prepare(
        &self,
        again: bool,
        request: &Reader,
        map: &LunMap,
    ) -> Result<(Scope, Option<Ending>, Then), Response> {
        let (Some(code), Some(lun), Some(tag)) = (request.word(4), request.lun(8), request.long(16)) else {
            return Err(Response::BadTarget);
        };
        let Address::Unit { target, lun } = Address::decode(&lun) else { return Err(Response::BadTarget) };
        let group = map.group(target).ok_or(Response::BadTarget)?;
        let mapping = group.unit(lun).ok_or(Response::IncorrectLun);
        let function = FUNCTIONS.iter().find(|function| function.code == code);
        let function = match (function, &mapping) {
            // A nexus is reset, whether there is a unit at that number or not.
            (Some(function), _) if matches!(function.reach, Reach::Nexus) => function,
            (_, Err(absent)) => return Err(*absent),
            (Some(function), Ok(_)) => function,
            (None, Ok(_)) => return Err(Response::Rejected),
        };
        if again && function.repeat == Repeat::Never {
            return Err(Response::Rejected);
        }
        let nexus = Scope { client: Some(self.client), target: Some(target), ..Scope::default() };
        let set = Scope { lun: Some(lun.get()), ..nexus };
        let unit = mapping.as_ref().ok().map(|mapping| &mapping.unit);
        let scope = match function.reach {
            Reach::Task => Scope { tag: Some(tag), ..set },
            Reach::TaskSet => set,
            Reach::Unit => Scope { unit: unit.map(|unit| unit.state.id()), ..Scope::default() },
            Reach::Nexus => nexus,
        };
        let ending = Ending {
            by: self.client,
            own: if function.deed == Deed::Reset { ResponseCode::Reset } else { ResponseCode::Aborted },
            others_task_aborted: unit.is_some_and(|unit| unit.modes().tas),
            others_are_told: function.deed == Deed::Clear,
        };
        let then = match (function.deed, unit) {
            (Deed::Query, _) => return Ok((scope, None, Then::Tell(Arc::default()))),
            (Deed::Abort, Some(unit)) if matches!(function.reach, Reach::Task) => {
                Then::Count(Arc::default(), Arc::clone(&unit.state))
            }
            (Deed::Abort | Deed::Clear, _) => Then::Complete,
            (Deed::Reset, Some(unit)) if matches!(function.reach, Reach::Unit) => {
                let state = Arc::clone(&unit.state);
                Then::Do(Reset::Unit(state))
            }
            (Deed::Reset, _) => Then::Do(Reset::Nexus(group.nexus_loss())),
        };
        Ok((scope, Some(ending), then))
    }

    /// One worker has nothing left in the scope of a waiting request, or has looked.
    pub(crate) fn management_quiet(&mut self, key: usize) {
        let Some(waiting) = self.management.waiting.get_mut(key) else { return };
        waiting.workers = waiting.workers.saturating_sub(1);
        if waiting.workers > 0 {
            return;
        }
        match std::mem::replace(&mut waiting.then, Then::Wait) {
            Then::Complete => self.management_done(key, Response::Complete),
            Then::Count(found, state) => {
                state.tallies().count_abort(found.load(Ordering::SeqCst));
                self.management_done(key, Response::Complete);
            }
            Then::Tell(found) if found.load(Ordering::SeqCst) => {
                self.management_done(key, Response::Succeeded);
            }
            Then::Tell(_) => self.management_done(key, Response::Complete),
            Then::Do(reset) if reset.may_block() => {
                let work = move |reply: Reply| reply.tell(reset.happen().map(|()| 0).map_err(Sense::from));
                self.management.errands.push((key, Box::new(work)));
            }
            Then::Do(reset) => {
                reset.tell();
                self.management_done(key, Response::Complete);
            }
            Then::Wait => {}
        }
    }

    /// What had to be done for a waiting request is done, or could not be.
    pub(crate) fn management_told(&mut self, key: usize, told: Told) {
        self.management_done(key, if told.is_ok() { Response::Complete } else { Response::Failure });
    }

    fn management_done(&mut self, key: usize, answer: Response) {
        if let Some(Waiting { head, response, .. }) = self.management.waiting.try_remove(key) {
            self.answer_management(head, answer, &response);
        }
    }

    fn answer_management(&mut self, head: u16, answer: Response, response: &IoBuf) {
        let written = response.copy_from(0, &[answer as u8]);
        self.push(head, u32::try_from(written).unwrap_or(0), &[response]);
    }

    /// Asynchronous notifications: none is ever raised, so every query says so.
    fn notification(&mut self, head: u16, request: &Reader, map: &LunMap, response: &IoBuf) {
        let known = request.length >= NOTIFICATION_BYTES
            && request.lun(4).is_some_and(|lun| match Address::decode(&lun) {
                Address::Unit { target, .. } => map.group(target).is_some(),
                _ => false,
            });
        let code = if known { Response::Complete } else { Response::BadTarget };
        if response.bytes() < ANSWER_BYTES_MAX {
            return self.push(head, 0, &[]);
        }
        let written = response.copy_from(0, &[0, 0, 0, 0, code as u8]);
        self.push(head, u32::try_from(written).unwrap_or(0), &[response]);
    }
}

/// A request of the control queue, as far as it came.
struct Reader {
    bytes: [u8; TASK_MANAGEMENT_BYTES],
    length: usize,
}

impl Reader {
    fn field<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(..self.length)?.get(at..)?.first_chunk().copied()
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.field(at).map(u32::from_le_bytes)
    }

    fn long(&self, at: usize) -> Option<u64> {
        self.field(at).map(u64::from_le_bytes)
    }

    fn lun(&self, at: usize) -> Option<[u8; 8]> {
        self.field(at)
    }
}
