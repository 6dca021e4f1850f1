// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which commands have been under way for long.
//!
//! Above: `lunard`, which asks now and then and tells the administrator.
//! Below: the workers, each of which knows its own tasks.
//! Never here: a clock in the way of a command.  Tasks are numbered as they begin, and whoever asks remembers which
//! numbers there were at which time: what is older than such a mark has waited at least since then.

use crate::reactors::Reactors;
use crate::worker::{LetterKind, send};
use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a reactor may take to answer: it answers from its loop.
const PROMPT: Duration = Duration::from_secs(1);
/// Marks that are remembered of each reactor.
const MARKS_MAX: usize = 64;
/// Units that one reactor tells of at a time.
pub(crate) const TOLD_MAX: usize = 64;

/// What a command that waits is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It flushes.
    Flush,
    /// It has several steps.
    Several,
}

/// Commands to one unit that are under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The target.
    pub wwn: String,
    /// The SCSI target id.
    pub target: u8,
    /// The LUN.
    pub lun: u16,
    /// How many.
    pub commands: usize,
    /// What the oldest does.
    pub deed: Deed,
    /// The name that the standard gives the oldest.
    pub command: &'static str,
    /// How long the oldest has waited, at least.
    pub since: Duration,
}

/// The same as a worker tells it.
pub(crate) struct Old {
    pub(crate) wwn: String,
    pub(crate) target: u8,
    pub(crate) lun: u16,
    pub(crate) commands: usize,
    pub(crate) deed: Deed,
    /// Which command the oldest is.
    pub(crate) code: [u8; 2],
    /// The number of the oldest.
    pub(crate) oldest: u64,
}

/// What a worker answers.
pub(crate) struct OldTasks {
    /// How many tasks it has begun.
    pub(crate) begun: u64,
    pub(crate) old: Vec<Old>,
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub struct Marks(Vec<VecDeque<(Instant, u64)>>);

impl Reactors {
    /// The commands that were under way when this was called the last time with the same marks, and still are.  A
    /// reactor that does not answer is left out.
    pub fn waiting(&self, marks: &mut Marks) -> Vec<Waiting> {
        marks.0.resize_with(self.posts().len(), VecDeque::new);
        let mut waiting = Vec::new();
        for (post, marks) in self.posts().zip(&mut marks.0) {
            let before = marks.back().map_or(0, |(_, begun)| *begun);
            let (answer, told) = mpsc::channel();
            send(post, LetterKind::TellOld { before, answer });
            let Ok(OldTasks { begun, old }) = told.recv_timeout(PROMPT) else { continue };
            let now = Instant::now();
            waiting.extend(old.into_iter().map(|old| old.since(marks, now)));
            marks.push_back((now, begun));
            if marks.len() > MARKS_MAX {
                // The first is kept: something may have waited since then.
                let first = marks.pop_front();
                marks.pop_front();
                marks.extend(first);
                marks.rotate_right(1);
            }
        }
        waiting
    }
}

impl Old {
    fn since(self, marks: &VecDeque<(Instant, u64)>, now: Instant) -> Waiting {
        let after = marks.iter().find(|(_, begun)| *begun > self.oldest);
        let since = after.map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at));
        let Self { wwn, target, lun, commands, deed, code, oldest: _ } = self;
        let command = scsi::opcode::name_of(code);
        Waiting { wwn, target, lun, commands, deed, command, since }
    }
}
