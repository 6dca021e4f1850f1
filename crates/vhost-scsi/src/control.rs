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
use scsi::Address;
use scsi::opcode::Repeat;
use slab::Slab;
use target::{LunMap, Scope};

const TYPE_TASK_MANAGEMENT: u32 = 0;
const TYPE_NOTIFICATION_QUERY: u32 = 1;
const TYPE_NOTIFICATION_SUBSCRIBE: u32 = 2;
const TASK_MANAGEMENT_BYTES: usize = 24;
const NOTIFICATION_BYTES: usize = 16;
/// An answer to a notification request; one to task management has a byte.
const ANSWER_BYTES_MAX: u64 = 5;
const ABORT_TASK: u32 = 0;
const LOGICAL_UNIT_RESET: u32 = 5;
/// The functions there are, and whether each may be done again after the death of a process that may have done it.
/// Both wait for what is in flight and change nothing, so they may.
const FUNCTIONS: &[(u32, Repeat)] = &[(ABORT_TASK, Repeat::Harmless), (LOGICAL_UNIT_RESET, Repeat::Harmless)];
/// Requests of one queue that may wait before it is left alone until one is answered.
const WAITING_MAX: usize = 16;

/// What a task management request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Function {
    Complete = 0,
    BadTarget = 3,
    Rejected = 11,
    IncorrectLun = 12,
}

/// Requests that wait until their scope is quiet.
#[derive(Default)]
pub(crate) struct Management {
    waiting: Slab<Waiting>,
    /// Scopes that are to be made quiet, with the request that waits; the worker asks everyone.
    pub(crate) wanted: Vec<(usize, Scope, Ending)>,
}

struct Waiting {
    head: u16,
    response: IoBuf,
    /// Workers that have not answered.
    workers: usize,
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
            Some(TYPE_TASK_MANAGEMENT) if again && !may_repeat(&request) => {
                self.answer_management(head, Function::Rejected, &writable);
            }
            Some(TYPE_TASK_MANAGEMENT) => self.manage(head, &request, map, writable),
            Some(TYPE_NOTIFICATION_QUERY | TYPE_NOTIFICATION_SUBSCRIBE) => {
                self.notification(head, &request, map, &writable);
            }
            // An answer's form depends on the type, so an unknown one is given back as it came.
            _ => self.push(head, 0, &[]),
        }
        0
    }

    fn manage(&mut self, head: u16, request: &Reader, map: &LunMap, response: IoBuf) {
        let (Some(function), Some(lun), Some(tag)) = (request.word(4), request.lun(8), request.long(16))
        else {
            return self.answer_management(head, Function::BadTarget, &response);
        };
        let Address::Unit { target, lun } = Address::decode(&lun) else {
            return self.answer_management(head, Function::BadTarget, &response);
        };
        let Some(group) = map.group(target) else {
            return self.answer_management(head, Function::BadTarget, &response);
        };
        let Some(mapping) = group.unit(lun) else {
            return self.answer_management(head, Function::IncorrectLun, &response);
        };
        let (scope, own) = match function {
            ABORT_TASK => {
                let client = Some(self.client);
                let scope = Scope {
                    client,
                    target: Some(target),
                    lun: Some(lun.get()),
                    tag: Some(tag),
                    ..Scope::default()
                };
                (scope, ResponseCode::Aborted)
            }
            LOGICAL_UNIT_RESET => match &mapping.unit.store {
                Some(store) => (Scope { store: Some(store.id), ..Scope::default() }, ResponseCode::Reset),
                // Nothing can be in flight to a unit that is missing.
                None => return self.answer_management(head, Function::Complete, &response),
            },
            _ => return self.answer_management(head, Function::Rejected, &response),
        };
        let others_task_aborted = mapping.unit.flags.tas;
        let ending = Ending { by: self.client, own, others_task_aborted };
        let key = self.management.waiting.insert(Waiting { head, response, workers: 0 });
        self.management.wanted.push((key, scope, ending));
    }

    /// One worker has nothing left in the scope of a waiting request.
    pub(crate) fn management_quiet(&mut self, key: usize) {
        let Some(waiting) = self.management.waiting.get_mut(key) else { return };
        waiting.workers = waiting.workers.saturating_sub(1);
        if waiting.workers == 0 {
            let Waiting { head, response, .. } = self.management.waiting.remove(key);
            self.answer_management(head, Function::Complete, &response);
        }
    }

    fn answer_management(&mut self, head: u16, function: Function, response: &IoBuf) {
        let written = response.copy_from(0, &[function as u8]);
        self.push(head, u32::try_from(written).unwrap_or(0), &[response]);
    }

    /// Asynchronous notifications: none is ever raised, so every query says so.
    fn notification(&mut self, head: u16, request: &Reader, map: &LunMap, response: &IoBuf) {
        let known = request.length >= NOTIFICATION_BYTES
            && request.lun(4).is_some_and(|lun| match Address::decode(&lun) {
                Address::Unit { target, .. } => map.group(target).is_some(),
                _ => false,
            });
        let code = if known { Function::Complete } else { Function::BadTarget };
        if response.bytes() < ANSWER_BYTES_MAX {
            return self.push(head, 0, &[]);
        }
        let written = response.copy_from(0, &[0, 0, 0, 0, code as u8]);
        self.push(head, u32::try_from(written).unwrap_or(0), &[response]);
    }
}

/// Whether a function that a dead process took may be done again; one that there is not is rejected anyway.
fn may_repeat(request: &Reader) -> bool {
    let row = FUNCTIONS.iter().find(|(function, _)| request.word(4) == Some(*function));
    row.is_none_or(|&(_, repeat)| repeat == Repeat::Harmless)
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
