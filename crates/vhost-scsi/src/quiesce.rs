// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Waiting for what is in flight: one mechanism for aborts, resets, and taking a unit away.
//!
//! Above: `control`, and `lunard` when it unmaps.
//! Below: `worker`, which knows its tasks.
//! Never here: what is done once all is quiet.
//!
//! A quiescence is asked of every worker.  Each answers when no task in the scope that it had at that moment
//! is left, and after the answers of those tasks are visible to their guests.  Tasks that come later are not
//! waited for, so a guest that keeps sending cannot hold it up.  Who only asks whether there are any is answered at
//! that moment.

use crate::queue::Claimed;
use crate::response::ResponseCode;
use crate::scratches::Borrower;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use target::{NexusNumber, Place, Scope, StoreName};

/// What a task is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskName {
    pub(crate) client: u64,
    pub(crate) port: u64,
    pub(crate) target: u8,
    pub(crate) lun: u16,
    pub(crate) tag: u64,
    pub(crate) store: StoreName,
    /// The number of the unit's state, and that of the nexus; 0 where there is no unit.
    pub(crate) unit: u64,
    pub(crate) nexus: NexusNumber,
    /// Which command it is: its operation code, and the byte with its service action where it may have one.
    pub(crate) code: [u8; 2],
}

impl TaskName {
    /// Whose memory it borrows.
    pub(crate) fn borrower(&self) -> Borrower {
        Borrower { client: self.client, store: self.store.id }
    }

    pub(crate) fn is_in(&self, scope: &Scope) -> bool {
        fn agrees<T: PartialEq>(wanted: Option<T>, is: T) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        agrees(scope.client, self.client)
            && agrees(scope.port, self.port)
            && agrees(scope.target, self.target)
            && agrees(scope.lun, self.lun)
            && agrees(scope.tag, self.tag)
            && agrees(scope.unit, self.unit)
            && agrees(scope.nexus, self.nexus)
            && agrees(scope.store, self.store.id)
            && agrees(scope.medium, self.store.medium)
    }

    /// Whether a command that works there is in a scope because of that.  A tag names a command where it was sent to.
    pub(crate) fn is_at(&self, place: &Place, scope: &Scope) -> bool {
        let Place { lun, unit, store } = *place;
        scope.tag.is_none() && Self { lun, unit, store, ..*self }.is_in(scope)
    }
}

/// How the tasks of a scope end when a guest asked for their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// The connection that asked.
    pub(crate) by: u64,
    /// What its own tasks are answered with.
    pub(crate) own: ResponseCode,
    /// Whether those of others end with the status TASK ABORTED (TAS of the Control mode page); if not, as its own.
    pub(crate) others_task_aborted: bool,
    /// Whether others whose commands end without a status of their own are told so by a unit attention.
    pub(crate) others_are_told: bool,
}

impl Ending {
    /// Whether who sent `task` learns of its end by a unit attention.
    pub(crate) fn tells(&self, task: &TaskName) -> bool {
        self.others_are_told && !self.others_task_aborted && self.by != task.client
    }
}

/// A quiescence asked of one worker.
pub(crate) struct Quiesce {
    pub(crate) scope: Scope,
    /// How the tasks are to end, instead of by their own result.
    pub(crate) ends_as: Option<Ending>,
    /// Backstore whose channel is to be closed when all is quiet.
    pub(crate) close: Option<u64>,
    /// Only those that may write here, where something is said: one that has not claimed its blocks yet is not waited for.
    pub(crate) writes: Option<Claimed>,
    /// Whether commands are waited for that wait for quiet themselves.
    pub(crate) waits_for_waiting: bool,
    /// Where to note that something is there.  Where nothing is to end, that is all, and nothing is waited for.
    pub(crate) looks: Option<Arc<AtomicBool>>,
    /// Called once.
    pub(crate) done: Box<dyn FnOnce() + Send>,
}

impl Quiesce {
    /// Whether it is answered at once.
    pub(crate) fn only_looks(&self) -> bool {
        self.looks.is_some() && self.ends_as.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::TaskName;
    use target::{NexusNumber, Place, Scope, StoreName};

    const NEXUS: NexusNumber = NexusNumber { initiator: 12, relative_port: 10 };
    const OTHER: NexusNumber = NexusNumber { relative_port: 9, ..NEXUS };

    const TASK: TaskName = TaskName {
        client: 1,
        port: 2,
        target: 3,
        lun: 4,
        tag: 5,
        store: StoreName { id: 6, medium: 11 },
        unit: 8,
        nexus: NEXUS,
        code: [0x2a, 0],
    };

    #[test]
    fn an_empty_scope_is_everything() {
        assert!(TASK.is_in(&Scope::default()));
    }

    #[test]
    fn every_field_excludes_what_differs_in_it() {
        let none = Scope::default();
        for (scope, inside) in [
            (Scope { client: Some(1), ..none }, true),
            (Scope { client: Some(9), ..none }, false),
            (Scope { port: Some(9), ..none }, false),
            (Scope { target: Some(9), ..none }, false),
            (Scope { lun: Some(9), ..none }, false),
            (Scope { tag: Some(9), ..none }, false),
            (Scope { store: Some(9), ..none }, false),
            (Scope { store: Some(6), ..none }, true),
            (Scope { store: Some(11), ..none }, false),
            (Scope { medium: Some(11), ..none }, true),
            (Scope { medium: Some(6), ..none }, false),
            (Scope { unit: Some(8), ..none }, true),
            (Scope { unit: Some(9), ..none }, false),
            (Scope { nexus: Some(NEXUS), ..none }, true),
            (Scope { nexus: Some(OTHER), ..none }, false),
            (Scope { nexus: Some(NexusNumber { initiator: 9, ..NEXUS }), ..none }, false),
            (Scope::NOTHING, false),
            (Scope { client: Some(1), target: Some(3), lun: Some(4), tag: Some(5), ..none }, true),
        ] {
            assert_eq!(TASK.is_in(&scope), inside, "{scope:?}");
        }
    }

    #[test]
    fn who_works_elsewhere_is_in_the_scopes_of_that_place_too() {
        let place = Place { lun: 24, unit: 28, store: StoreName { id: 26, medium: 31 } };
        let none = Scope::default();
        for (scope, there) in [
            (Scope { client: Some(1), target: Some(3), lun: Some(24), ..none }, true),
            (Scope { client: Some(9), target: Some(3), lun: Some(24), ..none }, false),
            (Scope { unit: Some(28), nexus: Some(NEXUS), ..none }, true),
            (Scope { unit: Some(28), nexus: Some(OTHER), ..none }, false),
            (Scope { store: Some(26), ..none }, true),
            (Scope { medium: Some(31), ..none }, true),
            (Scope { unit: Some(8), lun: Some(24), ..none }, false),
            // It has no tag there.
            (Scope { client: Some(1), target: Some(3), lun: Some(24), tag: Some(5), ..none }, false),
            (Scope::NOTHING, false),
        ] {
            assert_eq!(TASK.is_at(&place, &scope), there, "{scope:?}");
            assert!(!TASK.is_in(&scope), "{scope:?}");
        }
    }
}
