// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What became of copies: kept for who asked for them.  SPC-4, RECEIVE COPY STATUS (LID1) and RECEIVE COPY FAILURE
//! DETAILS (LID1).
//!
//! Above: EXTENDED COPY, which tells; RECEIVE COPY RESULTS, which asks; `unit_state`, which keeps one for each unit.
//! Below: `scsi`, which lays the answers out.
//! Never here: the copying.  Nothing of this outlasts the process: a copy does not, either.
//!
//! A nexus names its copies by a list identifier.  What is kept of one goes when it has been fetched, when the nexus uses the
//! identifier again, with a reset of the unit or the loss of the nexus, and, the oldest first, where more than
//! [`COPIES_MAX`] would be kept.

use crate::nexus::NexusName;
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::task::{Answer, Ended};
use scsi::copy::{self, COPIES_MAX, CopyStatus};
use scsi::{CopyQuestion, CopyResults, Sense, SenseFormat, Status};
use std::collections::VecDeque;
use std::sync::Arc;

/// The copies of one unit's nexuses.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// In the order of their beginning; [`COPIES_MAX`] of each nexus at most.
    kept: VecDeque<Copy>,
    next: u64,
}

#[derive(Debug)]
struct Copy {
    number: u64,
    nexus: NexusName,
    list: u8,
    segments: u16,
    bytes: u64,
    ended: Option<Ended>,
    status_fetched: bool,
    failure_fetched: bool,
}

/// Why no copy begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// The nexus has one under way with that identifier.
    SameIdentifier,
    /// It has as many under way as there may be.
    TooMany,
}

/// A copy that is under way.  Dropped without an end it is forgotten: it was aborted.
#[derive(Debug)]
pub(crate) struct CopyRecord {
    of: Arc<Copies>,
    number: u64,
}

impl Copies {
    /// Notes that a copy begins.
    pub(crate) fn begin(self: &Arc<Self>, nexus: &NexusName, list: u8) -> Result<CopyRecord, NotBegun> {
        let mut table = self.table();
        let mine = |copy: &&Copy| copy.nexus == *nexus;
        if table.kept.iter().filter(mine).any(|copy| copy.list == list && copy.ended.is_none()) {
            return Err(NotBegun::SameIdentifier);
        }
        table.kept.retain(|copy| copy.nexus != *nexus || copy.list != list);
        if table.kept.iter().filter(mine).count() >= usize::from(COPIES_MAX) {
            let oldest = table.kept.iter().position(|copy| copy.nexus == *nexus && copy.ended.is_some());
            table.kept.remove(oldest.ok_or(NotBegun::TooMany)?);
        }
        let number = table.next;
        table.next += 1;
        table.kept.push_back(Copy {
            number,
            nexus: nexus.clone(),
            list,
            segments: 0,
            bytes: 0,
            ended: None,
            status_fetched: false,
            failure_fetched: false,
        });
        Ok(CopyRecord { of: Arc::clone(self), number })
    }

    /// Answers RECEIVE COPY STATUS or RECEIVE COPY FAILURE DETAILS, for a guest that takes `taken` bytes of it.
    ///
    /// # Errors
    /// INVALID FIELD IN CDB where there is no such copy, or where details are asked for of one that goes on.
    pub(crate) fn results(
        &self,
        nexus: &NexusName,
        command: &CopyResults,
        taken: u64,
        format: SenseFormat,
    ) -> Result<Vec<u8>, Sense> {
        const NO_SUCH_COPY: Sense = Sense::INVALID_FIELD_IN_CDB.at_cdb(2, 7);
        let mut table = self.table();
        let found = table.kept.iter_mut().find(|copy| copy.nexus == *nexus && copy.list == command.list);
        let copy = found.ok_or(NO_SUCH_COPY)?;
        let data = match command.question {
            CopyQuestion::Status if copy.status_fetched => return Err(NO_SUCH_COPY),
            CopyQuestion::Status => {
                copy.status_fetched = copy.ended.is_some();
                copy::status(&copy.status())
            }
            CopyQuestion::Failure => {
                let ended = copy.ended.ok_or(NO_SUCH_COPY)?;
                let data = copy::failure_details(failure(ended), format);
                let whole = data.len() as u64;
                copy.failure_fetched |= command.allocation_bytes == 0 || taken >= whole;
                data
            }
        };
        table.kept.retain(|copy| !copy.is_fetched());
        Ok(data)
    }

    /// The unit was reset: nothing is kept of what has ended.  What goes on is aborted by who resets.
    pub(crate) fn forget(&self) {
        self.table().kept.retain(|copy| copy.ended.is_none());
    }

    /// The same for one nexus, which was lost.
    pub(crate) fn forget_of(&self, nexus: &NexusName) {
        self.table().kept.retain(|copy| copy.nexus != *nexus || copy.ended.is_none());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copy {
    fn status(&self) -> CopyStatus {
        let ended = self.ended.map(|ended| failure(ended).is_none());
        CopyStatus { ended, segments: self.segments, bytes: self.bytes }
    }

    /// Whether nothing is left to be asked for.
    fn is_fetched(&self) -> bool {
        let failed = self.ended.is_some_and(|ended| failure(ended).is_some());
        self.status_fetched && (self.failure_fetched || !failed)
    }
}

/// With what a command failed, if it did.
fn failure(ended: Ended) -> Option<(Status, Option<Sense>)> {
    match ended {
        Ended::Status(Status::Good, _) => None,
        Ended::Status(status, sense) => Some((status, sense)),
        Ended::Overrun => Some((Status::CheckCondition, None)),
    }
}

impl CopyRecord {
    /// The segment of that number is begun, counted from 1.
    pub(crate) fn segment_begun(&self, number: u16) {
        self.change(|copy| copy.segments = number);
    }

    /// So many bytes more have been written.
    pub(crate) fn written(&self, bytes: u64) {
        self.change(|copy| copy.bytes = copy.bytes.saturating_add(bytes));
    }

    /// The copy has ended, and is kept to be asked for.
    pub(crate) fn ended(self, answer: &Answer) {
        self.change(|copy| copy.ended = Some(answer.ended));
    }

    fn change(&self, change: impl FnOnce(&mut Copy)) {
        if let Some(copy) = self.of.table().kept.iter_mut().find(|copy| copy.number == self.number) {
            change(copy);
        }
    }
}

impl Drop for CopyRecord {
    fn drop(&mut self) {
        self.of.table().kept.retain(|copy| copy.number != self.number || copy.ended.is_some());
    }
}

#[cfg(test)]
#[path = "copies/tests.rs"]
mod tests;
