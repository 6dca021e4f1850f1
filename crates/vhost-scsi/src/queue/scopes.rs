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
    /// Whether it is meant, by where it was sent or by what it works on.
    fn is_in(&self, scope: &Scope) -> bool {
        let works_there = |steps: &Steps| steps.elsewhere.iter().any(|place| self.name.is_at(place, scope));
        self.name.is_in(scope) || self.steps.as_deref().is_some_and(works_there)
    }
}

impl Queue {
    /// Marks the tasks of a scope that are to end in another way than by their own result.  Who waits for quiet goes on,
    /// if `spares_waiting`.
    pub(crate) fn mark(&mut self, scope: &Scope, ending: Ending, spares_waiting: bool) {
        for (key, task) in &mut self.tasks {
            if task.is_in(scope) && !(spares_waiting && task.waits_for_quiet()) {
                task.ends_as = Some(ending);
                // Nothing of it is under way, and what it waits for may be far.
                if task.steps.as_mut().is_some_and(|steps| steps.takes_leave()) {
                    let wanted = Wanted::Time(Duration::ZERO);
                    self.errands.push(QueueErrand { task: (key, task.number), wanted });
                }
                if ending.tells(&task.name) {
                    tell_cleared(self.map.get(), &task.name);
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
        self.tasks.iter().any(|(_, task)| task.number < before && task.is_in(&quiesce.scope) && counts(task))
    }

    /// Whether a task that began before the `before`th is under way.
    pub(crate) fn has_any_task(&self, before: u64) -> bool {
        self.tasks.iter().any(|(_, task)| task.number < before)
    }
}

/// Tells a nexus that others ended its commands.  SAM-5, CLEAR TASK SET.
fn tell_cleared(map: &LunMap, task: &TaskName) {
    let lun = scsi::Lun::new(task.lun).unwrap_or_default();
    if let Some(mapping) = map.group(task.target).and_then(|group| group.unit(lun)) {
        mapping.attentions.establish(Sense::COMMANDS_CLEARED_BY_ANOTHER_INITIATOR);
    }
}
