// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which tasks of a queue a quiescence is about.
//!
//! Above: `worker/quiescing.rs`, which asks.  Below: the queue's own tasks.
//! Never here: waiting.

use super::{Queue, QueueErrand, Steps, Task, Wanted};
use crate::quiesce::{Ending, Quiesce, TaskName};
use scsi::Sense;
use std::time::Duration;
use target::{LunMap, Scope};

impl Task {
    /// The LUN by which it is meant: that which it was sent to, or else one that it works on.
    fn place_in(&self, scope: &Scope) -> Option<u16> {
        let there = |steps: &Steps| {
            steps.elsewhere.iter().find(|place| self.name.is_at(place, scope)).map(|place| place.lun)
        };
        if self.is_sent_to(scope) {
            return Some(self.name.lun);
        }
        self.steps.as_deref().and_then(there)
    }

    /// Whether it is a task of a task set in the scope.
    fn is_sent_to(&self, scope: &Scope) -> bool {
        self.name.is_in(scope)
    }
}

impl Queue {
    /// Marks the tasks of a scope that are to end in another way than by their own result.  Who waits for quiet goes on,
    /// if `spares_waiting`.
    pub(crate) fn mark(&mut self, scope: &Scope, ending: Ending, spares_waiting: bool) {
        for (key, task) in &mut self.tasks {
            if spares_waiting && task.waits_for_quiet() {
                continue;
            }
            if let Some(lun) = task.place_in(scope) {
                task.ends_as = Some(ending);
                // Nothing of it is under way, and what it waits for may be far.
                if task.steps.as_mut().is_some_and(|steps| steps.takes_leave()) {
                    let wanted = Wanted::Time(Duration::ZERO);
                    self.errands.push(QueueErrand { task: (key, task.number), wanted });
                }
                if ending.tells(&task.name) {
                    tell_cleared(self.map.get(), &task.name, lun);
                }
            }
        }
    }

    /// Whether a task of a quiescence's scope that began before the `before`th is under way.
    pub(crate) fn has_task(&self, quiesce: &Quiesce, before: u64) -> bool {
        let writes_there =
            |task: &Task| quiesce.writes.as_ref().is_none_or(|claimed| claimed.overlaps(&task.writes));
        let counts =
            |task: &Task| (quiesce.waits_for_waiting || !task.waits_for_quiet()) && writes_there(task);
        // Who only asks asks for the task sets; who waits waits for whatever works there.
        let is_meant = |task: &Task| {
            if quiesce.only_looks() {
                task.is_sent_to(&quiesce.scope)
            } else {
                task.place_in(&quiesce.scope).is_some()
            }
        };
        self.tasks.iter().any(|(_, task)| task.number < before && is_meant(task) && counts(task))
    }

    /// Whether a task that began before the `before`th is under way.
    pub(crate) fn has_any_task(&self, before: u64) -> bool {
        self.tasks.iter().any(|(_, task)| task.number < before)
    }
}

/// Tells a nexus, at the LUN whose task set was cleared, that others ended its commands.  SAM-5, CLEAR TASK SET.
fn tell_cleared(map: &LunMap, task: &TaskName, lun: u16) {
    let lun = scsi::Lun::new(lun).unwrap_or_default();
    if let Some(mapping) = map.group(task.target).and_then(|group| group.unit(lun)) {
        mapping.attentions.establish(Sense::COMMANDS_CLEARED_BY_ANOTHER_INITIATOR);
    }
}
