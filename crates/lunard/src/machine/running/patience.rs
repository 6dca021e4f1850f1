// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands that have waited for long: told to the administrator, again and again, and ever more seldom.
//!
//! Above: `running`, which is asked to look now and then.  Below: `vhost-scsi`, which knows what is under way.
//! Never here: an end of a command.  A disk that hangs may come back.

use crate::machine::LiveWaiting;
use std::collections::BTreeMap;
use std::time::Duration;
use vhost_scsi::{Deed, Marks, Reactors, Waiting};

/// From when on a command is told of.
const LONG: Duration = Duration::from_secs(20);
/// Lines of one look; what is more is counted.
const LINES_MAX: usize = 8;

/// What is known from one look to the next.
#[derive(Default)]
pub(super) struct Patience {
    marks: Marks,
    /// How long each unit's commands may wait until they are told of again.
    told: BTreeMap<(String, u8, u16), Duration>,
}

impl Patience {
    /// Looks, says what is to be said, and returns what has waited for long.
    pub(super) fn look(&mut self, reactors: &Reactors) -> Vec<Waiting> {
        let waiting = reactors.waiting(&mut self.marks);
        let long: Vec<_> = waiting.into_iter().filter(|waiting| waiting.since >= LONG).collect();
        let mut lines = Vec::new();
        for waiting in &long {
            let place = place(waiting);
            let until = self.told.get(&place).copied().unwrap_or(LONG);
            if waiting.since >= until {
                self.told.insert(place, waiting.since * 2);
                lines.push(line(waiting));
            }
        }
        let more = lines.len().saturating_sub(LINES_MAX);
        lines.iter().take(LINES_MAX).for_each(|line| tracing::warn!("{line}"));
        if more > 0 {
            tracing::warn!("commands to {more} more LUNs have waited for long");
        }
        let still: Vec<_> = long.iter().map(place).collect();
        self.told.retain(|place, _| {
            let stays = still.contains(place);
            if !stays {
                let (wwn, tag, lun) = place;
                tracing::info!("LUN {lun} of {wwn}/tpg{tag} answers again");
            }
            stays
        });
        long
    }
}

/// As every door tells it.
pub(super) fn told(waiting: &Waiting) -> LiveWaiting {
    let Waiting { wwn: _, target, lun, commands, deed: _, command, since } = waiting;
    LiveWaiting { tag: (*target).into(), lun: *lun, command, since: *since, commands: *commands }
}

fn place(waiting: &Waiting) -> (String, u8, u16) {
    (waiting.wwn.clone(), waiting.target, waiting.lun)
}

fn line(waiting: &Waiting) -> String {
    let Waiting { wwn, target, lun, commands, deed, command, since } = waiting;
    let deed = match deed {
        Deed::Read => "a read",
        Deed::Write => "a write",
        Deed::Flush => "a flush",
        Deed::Several => "a command of several steps",
    };
    let others = match commands.saturating_sub(1) {
        0 => String::new(),
        others => format!(", and {others} more commands"),
    };
    format!("LUN {lun} of {wwn}/tpg{target}: {deed} ({command}) has waited for {} s{others}", since.as_secs())
}
