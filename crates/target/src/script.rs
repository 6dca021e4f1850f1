// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands of several steps.
//!
//! Above: the chapters of commands write them; `vhost-scsi` takes their steps.
//! Below: nothing.
//! Never here: how a step is taken, or a thread.
//!
//! Most commands are decided at once: an answer, or one I/O and an answer.  The others are a [`Script`], which is asked
//! what comes next each time a step has ended.  Between two steps a script may be dropped, when a guest has the command
//! aborted or reset: what it has done by then stays done, so a script leaves the medium and the unit in a valid state
//! after each step.

use crate::logical_unit::Store;
use crate::scope::Scope;
use crate::task::{Answer, Buffers};
use backstore::{BackstoreError, IoKind};
use memory::{IoBuf, Scratch};
use scsi::Sense;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// A command of several steps.  It stays on the thread of its queue, so it may keep scatter lists.
pub trait Script {
    /// What comes next, now that the last step has ended as `last`.  `buffers` are the command's, for the steps and for
    /// the answer; a list that was taken out for [`Step::Io`] is put back by who wants it there.
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step;
}

/// How a step ended.
#[derive(Debug)]
pub enum Outcome {
    /// There was none yet.
    Begun,
    /// An I/O has ended, and gives its list back.
    Io {
        /// What was handed over.
        buffer: IoBuf,
        /// How it went.
        result: Result<(), BackstoreError>,
    },
    /// What was asked has been answered.
    Told(Told),
    /// All in the scope has ended.
    Quiet,
    /// The time is over.
    Waited,
    /// Memory is lent until the command ends; `None` where the host has none.
    Memory(Option<Scratch>),
    /// Blocks may be written.
    Claimed,
}

/// The answer to [`Step::Ask`]: a number for the script to make sense of, or the sense to end with.
pub type Told = Result<u64, Sense>;

/// What is to be done next.
pub enum Step {
    /// One I/O on one of the plan's stores.
    Io {
        /// On what.
        store: Store,
        /// What.
        kind: IoKind,
        /// First byte.
        offset: u64,
        /// From or into what.
        buffer: IoBuf,
    },
    /// Something that may block, on a thread that may.
    Ask {
        /// Which thread.
        helper: Helper,
        /// What is done there.  It is called once, and answers once.
        work: Box<dyn FnOnce(Reply) + Send>,
    },
    /// Waits until all in `scope` that is under way on any reactor has ended, and its answers are visible.  Who is itself
    /// waiting for quiet is not waited for, so two of these cannot wait for each other.
    Quiesce {
        /// What is to end.
        scope: Scope,
        /// Whether it ends aborted, and that includes what guests have offered by now.
        abort: Option<Abort>,
    },
    /// Waits.
    Wait(Duration),
    /// Waits for memory of the device's own: [`memory::SCRATCH_BYTES`].  One piece a command, and before any claim: who has
    /// memory may wait for blocks, and who has blocks waits for nobody.
    Memory,
    /// Waits until blocks may be written.  A command that writes by [`Step::Io`] claims what it writes, and gives up what it
    /// claimed before.
    Claim(Claim),
    /// The command has ended.
    Done(Answer),
}

/// Blocks that a command is going to write.
#[derive(Clone)]
pub struct Claim {
    /// On what.
    pub store: Store,
    /// Which, in bytes.
    pub range: Range<u64>,
    /// Whether nobody else may write them meanwhile, on any reactor, and whoever has begun to is waited for.
    pub exclusive: bool,
}

/// How commands end that another command has aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// Whether those of other nexuses end with the status TASK ABORTED (TAS of the Control mode page).
    pub others_task_aborted: bool,
}

/// Who does what may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Helper {
    /// The one who keeps the state of units.  Never anything that touches a medium.
    Keeper,
    /// The one who has the configuration changed.  He may wait for what the administrator does, and nobody waits for him but
    /// who asks for such a change.
    Steward,
    /// The one of that store.  A medium that hangs keeps nobody but who waits for it.
    Medium(u64),
}

/// The way back of an answer.  Dropped without one, it says that something of ours has failed.
#[must_use]
pub struct Reply(Option<Box<dyn FnOnce(Told) + Send>>);

impl Reply {
    /// A reply that calls `send`, once.
    pub fn new(send: impl FnOnce(Told) + Send + 'static) -> Self {
        Self(Some(Box::new(send)))
    }

    /// Answers.
    pub fn tell(mut self, told: Told) {
        self.send(told);
    }

    fn send(&mut self, told: Told) {
        if let Some(send) = self.0.take() {
            send(told);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send(Err(Sense::INTERNAL_TARGET_FAILURE));
    }
}

impl fmt::Debug for dyn Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

#[cfg(test)]
mod tests {
    use super::Reply;
    use scsi::Sense;
    use std::sync::mpsc;

    #[test]
    fn a_reply_is_sent_once_and_a_dropped_one_says_that_something_failed() {
        let (sender, told) = mpsc::channel();
        let reply = |sender: &mpsc::Sender<_>| {
            let sender = sender.clone();
            Reply::new(move |told| sender.send(told).unwrap())
        };
        reply(&sender).tell(Ok(7));
        drop(reply(&sender));
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Ok(7), Err(Sense::INTERNAL_TARGET_FAILURE)]);
    }
}
