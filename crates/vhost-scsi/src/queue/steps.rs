// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands of several steps, on their queue.
//!
//! Above: the queue, which begins them; `worker`, which runs their errands.
//! Below: `target::Script`.
//! Never here: what a command means.

use super::{Claimed, Common, Queue, Task, token_number};
use crate::quiesce::TaskName;
use memory::IoBuf;
use std::sync::Arc;
use std::time::Duration;
use target::io::{BackstoreError, Completed, Io, IoKind, Submitted, Submitter, Token};
use target::{
    Abort, Answer, Buffers, Claim, Exclusion, Failure, Helper, Outcome, Place, Reply, Scope, Script,
    ScriptPlan, Step,
};

/// Steps that may end at once, one after the other, before other commands have their turn.
const STEPS_AT_ONCE_MAX: usize = 16;

/// How far a command of several steps has come.
pub(super) struct Steps {
    script: Box<dyn Script>,
    buffers: Buffers,
    /// Whether what it reads is verified.
    verifies: bool,
    /// Whether it waits for quiet, and so has nothing under way.
    pub(super) waits_for_quiet: bool,
    /// Whether it waits for memory or blocks, and so has nothing under way.
    pub(super) waits: bool,
    /// The memory that it was lent.
    pub(super) scratch: Option<u32>,
    /// The blocks that it has for itself.
    pub(super) exclusion: Option<Exclusion>,
    /// How its last step ended, while others have their turn.
    held: Option<Outcome>,
    /// The units that it works on, where that is another than it was sent to.
    pub(super) elsewhere: Vec<Place>,
}

impl Steps {
    pub(super) fn new(script: Box<dyn Script>, buffers: Buffers) -> Self {
        Self {
            script,
            buffers,
            verifies: false,
            waits_for_quiet: false,
            waits: false,
            scratch: None,
            exclusion: None,
            held: None,
            elsewhere: Vec::new(),
        }
    }

    /// Whether it waits for memory or blocks; it does so no more.
    pub(super) fn takes_leave(&mut self) -> bool {
        std::mem::take(&mut self.waits)
    }
}

/// What a step needs of others than its queue.
pub(crate) enum Wanted {
    Ask(Helper, Box<dyn FnOnce(Reply) + Send>),
    Quiet(Scope, Option<Abort>),
    Time(Duration),
    Memory,
    Claim(Claim),
}

/// Something wanted, by a task.
pub(crate) struct QueueErrand {
    /// The task's place and its number, which no other task has.
    pub(crate) task: (usize, u64),
    pub(crate) wanted: Wanted,
}

impl Queue {
    /// Whether steps of tasks want anything of others.
    pub(crate) fn has_errands(&self) -> bool {
        !self.errands.is_empty()
    }

    /// What the steps of tasks want of others, since the last call.
    pub(crate) fn take_errands(&mut self) -> Vec<QueueErrand> {
        std::mem::take(&mut self.errands)
    }

    /// Begins a command of several steps.
    pub(super) fn begin_steps(
        &mut self,
        index: u32,
        (head, name): (u16, TaskName),
        ScriptPlan { script, elsewhere, verifies, .. }: ScriptPlan,
        (buffers, response): (Buffers, IoBuf),
        common: &mut Common,
        submitter: &mut Submitter,
    ) {
        let number = common.next_task();
        let buffer_bytes = buffers.data_in.bytes().saturating_add(buffers.data_out.bytes());
        let key = self.tasks.insert(Task {
            head,
            name,
            number,
            answer: Answer::task_aborted(buffer_bytes),
            response,
            buffer_bytes,
            ends_as: None,
            losses: None,
            is_flush: false,
            is_read: false,
            failure: Failure::NONE,
            writes: Claimed::NOTHING,
            steps: Some(Box::new(Steps { elsewhere, verifies, ..Steps::new(script, buffers) })),
        });
        self.go_on(index, key, Outcome::Begun, common, submitter);
    }

    /// A step that others had a part in has ended.
    pub(crate) fn step_ended(
        &mut self,
        index: u32,
        (key, number): (usize, u64),
        outcome: Outcome,
        common: &mut Common,
        submitter: &mut Submitter,
    ) {
        let Some(task) = self.tasks.get_mut(key).filter(|task| task.number == number) else { return };
        let Some(steps) = &mut task.steps else { return };
        let outcome = steps.held.take().unwrap_or(outcome);
        self.go_on(index, key, outcome, common, submitter);
    }

    /// Takes the next steps of a task, until one has to be waited for.
    pub(super) fn go_on(
        &mut self,
        index: u32,
        key: usize,
        mut last: Outcome,
        common: &mut Common,
        submitter: &mut Submitter,
    ) {
        for _ in 0..STEPS_AT_ONCE_MAX {
            let Some(task) = self.tasks.get_mut(key) else { return };
            let Some(steps) = &mut task.steps else { return };
            steps.waits_for_quiet = false;
            if task.ends_as.is_some() {
                return self.end_steps(key, last, &Answer::task_aborted(0), common);
            }
            match steps.script.next(last, &mut steps.buffers) {
                Step::Io { store, kind, offset, buffer } => {
                    let kind = store.kind(kind);
                    task.failure = Failure::of(&store, kind, steps.verifies);
                    task.is_flush = kind == IoKind::Flush;
                    let syncs = kind == IoKind::Flush || kind.is_durable_write();
                    task.losses = syncs.then(|| (store.id, Arc::clone(&store.losses)));
                    let channel = common.channels.of(&store);
                    let io = Io { kind, offset, buffer };
                    match common.channels.submit(channel, submitter, io, Token::new(token_number(index, key)))
                    {
                        Submitted::Queued => return,
                        Submitted::Done(Completed { token, buffer, result }) => {
                            token.redeem();
                            let result = self.heard(key, result);
                            self.count_if_failed(key, result);
                            last = Outcome::Io { buffer, result };
                        }
                    }
                }
                Step::Ask { helper, work } => return self.want(key, Wanted::Ask(helper, work)),
                Step::Quiesce { scope, abort } => {
                    steps.waits_for_quiet = true;
                    return self.want(key, Wanted::Quiet(scope, abort));
                }
                Step::Wait(time) => return self.want(key, Wanted::Time(time)),
                Step::Memory => {
                    steps.waits = true;
                    return self.want(key, Wanted::Memory);
                }
                Step::Claim(claim) => {
                    (task.writes, steps.exclusion) = (Claimed::NOTHING, None);
                    if claim.exclusive || !claim.store.exclusions.is_empty() {
                        steps.waits = true;
                        return self.want(key, Wanted::Claim(claim));
                    }
                    task.writes = Claimed { of: claim.store.exclusions.id(), range: claim.range };
                    last = Outcome::Claimed;
                }
                Step::Done(answer) => return self.end_steps(key, Outcome::Begun, &answer, common),
            }
        }
        if let Some(steps) = self.tasks.get_mut(key).and_then(|task| task.steps.as_mut()) {
            steps.held = Some(last);
            self.want(key, Wanted::Time(Duration::ZERO));
        }
    }

    /// The result of an I/O of a task, or the news of a write that was lost before.
    pub(super) fn heard(&self, key: usize, result: Result<(), BackstoreError>) -> Result<(), BackstoreError> {
        match self.tasks.get(key) {
            // A write that must be durable tells of itself; but a failure may be the news of another's write.
            Some(Task { losses: Some((store, losses)), is_flush, .. })
                if *is_flush || result.is_err_and(BackstoreError::may_be_anothers) =>
            {
                self.losses.hear(*store, losses, result)
            }
            _ => result,
        }
    }

    /// Counts what the medium has failed of a task.
    pub(super) fn count_if_failed(&self, key: usize, result: Result<(), BackstoreError>) {
        if let Some(task) = self.tasks.get(key).filter(|_| result.is_err()) {
            self.map.get().count_failure(task.name.target, task.name.lun, task.failure);
        }
    }

    fn want(&mut self, key: usize, wanted: Wanted) {
        if let Some(task) = self.tasks.get(key) {
            self.errands.push(QueueErrand { task: (key, task.number), wanted });
        }
    }

    /// Answers a task; `last` may hold a list that its last step has written.
    fn end_steps(&mut self, key: usize, last: Outcome, answer: &Answer, common: &mut Common) {
        let mut task = self.tasks.remove(key);
        let Some(steps) = task.steps.take() else { return };
        let Steps { buffers: Buffers { data_in, data_out }, scratch, .. } = *steps;
        if let Some(slot) = scratch {
            common.scratches.give_back(task.name.borrower(), slot);
        }
        let written = task.respond(self.map.get(), |_| *answer);
        match last {
            Outcome::Io { buffer, .. } => {
                self.push(task.head, written, &[&data_in, &buffer, &task.response]);
                common.give_back(buffer);
            }
            _ => self.push(task.head, written, &[&data_in, &task.response]),
        }
        common.give_back_all([data_in, data_out, task.response]);
    }
}
