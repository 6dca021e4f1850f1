// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The end of all service: what was taken is answered, and what was not taken stays for the next process.
//!
//! Above: `lunard`, when it is told to end.
//! Below: `worker/draining.rs`, a worker's part of it.
//! Never here: cancelling.  What a disk keeps for too long stays in the inflight region, and its guest waits.
//!
//! ```text
//!  1 everybody is served;  what began before the drain is waited for        one hanging disk delays nobody else
//!  2 no task management is taken any more                                   an abort finds all that came before it
//!  3 nothing is taken any more;  what was taken is answered, but for disks that hung in 1
//! ```
//!
//! 2 comes before 3 because of what an abort promises: that no command offered before it will run.  A worker that
//! stopped taking requests before another passes an abort on to it would leave such commands in their ring, for
//! the next process to run.

use crate::reactors::Reactors;
use crate::worker::{LetterKind, Worker, send};
use reactor::Post;
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long guests may be kept waiting by a drain (3): what a disk has not answered by then is hanging as well.
pub const LAST_COMMANDS: Duration = Duration::from_secs(2);

/// How long a worker may take for an answer that waits for no disk.
const PROMPT: Duration = Duration::from_millis(500);

/// What was under way when a drain ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undrained {
    /// Commands by backstore, by the number of its `Store`.
    pub commands: BTreeMap<u64, usize>,
    /// Reactors that did not answer, by number.
    pub silent: Vec<usize>,
}

/// What a worker is asked in a drain.
pub(crate) enum Drain {
    /// 1: to tell when nothing is left that is under way now.
    Older { done: mpsc::Sender<usize> },
    /// 2: to take no more task management; told at once.
    Control { done: mpsc::Sender<usize> },
    /// 3: to take nothing more, and to tell when all is answered that does not wait for these backstores.
    All { hanging: Vec<u64>, done: mpsc::Sender<usize> },
    /// How many commands are under way on which backstore; `older`: of those only that 1 waits for.
    Count { older: bool, answer: mpsc::Sender<(usize, BTreeMap<u64, usize>)> },
}

impl Reactors {
    /// Ends the service of all rings, by `deadline` at the latest.  Nothing is taken from a ring after this.  What
    /// was taken is answered, visible and told to its guest; what is returned is not, and stays in the inflight
    /// regions of its front ends.
    ///
    /// Guests are served until the last [`LAST_COMMANDS`] before the deadline, at the most, as long as a disk hangs.
    pub fn drain(&self, deadline: Instant) -> Undrained {
        let now = Instant::now();
        let patience = deadline.saturating_duration_since(now);
        let older_until = now + patience.saturating_sub(LAST_COMMANDS.min(patience / 2));
        let older = self.ask(older_until, |done| Drain::Older { done });
        let hanging =
            if older.len() < self.posts().len() { self.count(true).commands } else { BTreeMap::new() };
        let hanging: Vec<u64> = hanging.into_keys().collect();
        self.ask(deadline.min(Instant::now() + PROMPT), |done| Drain::Control { done });
        let quiet = self.ask(deadline, |done| Drain::All { hanging: hanging.clone(), done });
        if hanging.is_empty() && quiet.len() == self.posts().len() {
            return Undrained::default();
        }
        self.count(false)
    }

    /// Asks every worker, and returns which have answered at `until`.
    fn ask(&self, until: Instant, letter: impl Fn(mpsc::Sender<usize>) -> Drain) -> Vec<usize> {
        let answers = self.send_all(letter);
        let mut answered = Vec::new();
        while answered.len() < self.posts().len()
            && let Ok(number) = answers.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            answered.push(number);
        }
        answered
    }

    fn count(&self, older: bool) -> Undrained {
        let until = Instant::now() + PROMPT;
        let answers = self.send_all(|answer| Drain::Count { older, answer });
        let mut counted = Undrained { commands: BTreeMap::new(), silent: (0..self.posts().len()).collect() };
        while !counted.silent.is_empty()
            && let Ok((number, commands)) =
                answers.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            counted.silent.retain(|&silent| silent != number);
            for (store, count) in commands {
                *counted.commands.entry(store).or_default() += count;
            }
        }
        counted
    }

    fn send_all<T>(&self, letter: impl Fn(mpsc::Sender<T>) -> Drain) -> mpsc::Receiver<T> {
        let (sender, answers) = mpsc::channel();
        for post in self.posts() {
            let post: &Post<Worker> = post;
            send(post, LetterKind::Drain(letter(sender.clone())));
        }
        answers
    }
}
