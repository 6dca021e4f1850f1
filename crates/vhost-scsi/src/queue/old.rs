// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tasks of a queue that have been under way for long.
//!
//! Above: `worker`, which is asked.  Below: the queue's own tasks.
//! Never here: a clock.

use super::{Queue, Task};
use crate::patience::{Deed, Old, TOLD_MAX};

impl Queue {
    /// Adds the tasks that began before the `before`th to what is told of their units.
    pub(crate) fn tell_old(&self, before: u64, told: &mut Vec<Old>) {
        for (_, task) in self.tasks.iter().filter(|(_, task)| task.number < before) {
            let (wwn, target, lun) = (self.port.wwn(), task.name.target, task.name.lun);
            let of_unit = |old: &&mut Old| old.wwn == wwn && (old.target, old.lun) == (target, lun);
            let is_full = told.len() >= TOLD_MAX;
            match told.iter_mut().find(of_unit) {
                Some(old) => {
                    old.commands += 1;
                    if task.number < old.oldest {
                        (old.oldest, old.deed, old.code) = (task.number, deed(task), task.name.code);
                    }
                }
                None if !is_full => told.push(Old {
                    wwn: wwn.to_owned(),
                    target,
                    lun,
                    commands: 1,
                    deed: deed(task),
                    code: task.name.code,
                    oldest: task.number,
                }),
                None => {}
            }
        }
    }
}

fn deed(task: &Task) -> Deed {
    match task {
        Task { steps: Some(_), .. } => Deed::Several,
        Task { is_read: true, .. } => Deed::Read,
        Task { is_flush: true, .. } => Deed::Flush,
        _ => Deed::Write,
    }
}
