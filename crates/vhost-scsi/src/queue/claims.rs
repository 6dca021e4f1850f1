// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory and blocks that commands wait for, on their queue.
//!
//! Above: the queue; `worker`, which lends the one and asks others for the other.
//! Below: `target::Exclusions`.
//! Never here: who has what.

use super::{Common, Queue, Task};
use crate::scratches::Borrower;
use memory::IoBuf;
use std::ops::Range;
use target::io::{IoKind, Submitter};
use target::{Answer, Buffers, Claim, Exclusion, IoPlan, Outcome, Script, Step, Store};

use super::steps::Steps;

/// Blocks that a command writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// Of which unit, by the number of its exclusions: it may be reached through several backstores.
    pub(crate) of: u64,
    /// Which, in bytes.
    pub(crate) range: Range<u64>,
}

impl Claimed {
    /// None at all.
    pub(crate) const NOTHING: Self = Self { of: 0, range: 0..0 };

    /// Whether both have a byte in common.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.of == other.of && target::overlap(&self.range, &other.range)
    }
}

/// What one I/O writes.
pub(super) fn written_by(plan: &IoPlan<'_>, buffer: &IoBuf) -> Claimed {
    let bytes = match plan.kind {
        IoKind::Read | IoKind::Flush => return Claimed::NOTHING,
        IoKind::Write { .. } => buffer.bytes(),
        IoKind::Discard { bytes } | IoKind::WriteZeroes { bytes, .. } => bytes,
    };
    Claimed { of: plan.store.exclusions.id(), range: plan.offset..plan.offset.saturating_add(bytes) }
}

/// One I/O that has to wait for its blocks.
struct Later {
    claim: Claim,
    kind: IoKind,
    buffer: IoBuf,
    buffer_bytes: u64,
    answer: Answer,
}

impl Script for Later {
    fn next(&mut self, last: Outcome, _: &mut Buffers) -> Step {
        match last {
            Outcome::Claimed => Step::Io {
                store: self.claim.store.clone(),
                kind: self.kind,
                offset: self.claim.range.start,
                buffer: std::mem::take(&mut self.buffer),
            },
            Outcome::Io { result: Ok(()), .. } => Step::Done(self.answer),
            Outcome::Io { result: Err(error), .. } => Step::Done(target::io_failed(error, self.buffer_bytes)),
            _ => Step::Claim(self.claim.clone()),
        }
    }
}

impl Queue {
    /// Begins the I/O of a task when nobody has its blocks for himself.
    pub(super) fn begin_later(
        &mut self,
        index: u32,
        mut task: Task,
        (store, kind): (&Store, IoKind),
        buffer: IoBuf,
        common: &mut Common,
        submitter: &mut Submitter,
    ) {
        let Claimed { range, .. } = std::mem::replace(&mut task.writes, Claimed::NOTHING);
        let claim = Claim { store: store.clone(), range, exclusive: false };
        let later = Later { claim, kind, buffer, buffer_bytes: task.buffer_bytes, answer: task.answer };
        task.steps = Some(Box::new(Steps::new(Box::new(later), Buffers::default())));
        let key = self.tasks.insert(task);
        self.go_on(index, key, Outcome::Begun, common, submitter);
    }

    fn waiting(&mut self, (key, number): (usize, u64)) -> Option<&mut Task> {
        let waits = |task: &&mut Task| task.steps.as_ref().is_some_and(|steps| steps.waits);
        self.tasks.get_mut(key).filter(|task| task.number == number).filter(waits)
    }

    /// Whether a task still waits for what it wanted: it may have been aborted.
    pub(crate) fn still_waits(&mut self, task: (usize, u64)) -> bool {
        self.waiting(task).is_some()
    }

    /// Who a task that still waits borrows memory as.
    pub(crate) fn borrower(&mut self, task: (usize, u64)) -> Option<Borrower> {
        self.waiting(task).map(|task| task.name.borrower())
    }

    /// Gives a task the blocks that it waits for, beside others or, with an exclusion, alone.
    pub(crate) fn grant(&mut self, task: (usize, u64), claimed: Claimed, exclusion: Option<Exclusion>) {
        let Some(task) = self.waiting(task) else { return };
        let Some(steps) = &mut task.steps else { return };
        steps.waits = false;
        // Who is alone there needs not be waited for: others are kept out.
        task.writes = if exclusion.is_some() { Claimed::NOTHING } else { claimed };
        steps.exclusion = exclusion;
    }

    /// Notes which memory a task has been lent.
    pub(crate) fn lend(&mut self, task: (usize, u64), slot: Option<u32>) {
        let Some(task) = self.waiting(task) else { return };
        let Some(steps) = &mut task.steps else { return };
        steps.waits = false;
        steps.scratch = slot;
    }
}
