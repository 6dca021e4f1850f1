// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Work that may block, on threads that may.
//!
//! Above: `worker`, which sends what its commands ask for.
//! Below: threads.
//! Never here: what the work is.
//!
//! One thread takes the errands and passes each on to the thread of its helper, which is made when it is first needed and
//! ends when nothing has come for a while.  So a worker hands an errand over without a lock, and a medium that hangs
//! holds up the errands to that medium alone.  A guest cannot have more of them than its rings have commands.

use std::collections::HashMap;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use target::{Helper, Reply};

/// How long a helper without work stays.
const IDLE: Duration = Duration::from_secs(10);
/// Helpers there may be at once.  Errands to more media than these are answered as a failure of ours.
const HELPERS_MAX: usize = 256;

/// What is to be done, and the way back.
pub(crate) struct Errand {
    pub(crate) helper: Helper,
    pub(crate) work: Box<dyn FnOnce(Reply) + Send>,
    pub(crate) reply: Reply,
}

type Job = (Box<dyn FnOnce(Reply) + Send>, Reply);

/// The way to a helper.
struct Way {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

/// Starts the thread that passes errands on; it ends when nobody can send any more.  On a host that gives no thread, every
/// errand is answered as a failure of ours.
pub(crate) fn start() -> Sender<Errand> {
    let (sender, errands) = mpsc::channel::<Errand>();
    let pass_on = move || {
        let mut helpers = HashMap::new();
        for errand in errands {
            pass(errand, &mut helpers);
        }
    };
    if let Err(error) = thread::Builder::new().name("errands".to_owned()).spawn(pass_on) {
        tracing::error!(%error, "cannot start the thread for commands that may block");
    }
    sender
}

fn pass(Errand { helper, work, reply }: Errand, helpers: &mut HashMap<Helper, Way>) {
    let mut job = (work, reply);
    if let Some(way) = helpers.get(&helper) {
        match way.jobs.send(job) {
            Ok(()) => return,
            // It had ended, for want of work.
            Err(mpsc::SendError(back)) => job = back,
        }
    }
    helpers.retain(|_, way| !way.thread.is_finished());
    if helpers.len() >= HELPERS_MAX {
        return;
    }
    let (sender, jobs) = mpsc::channel::<Job>();
    let run = move || {
        while let Ok((work, reply)) = jobs.recv_timeout(IDLE) {
            work(reply);
        }
    };
    // The job waits in the channel; where there is no thread it is dropped there, and its reply says so.
    if sender.send(job).is_ok()
        && let Ok(thread) = thread::Builder::new().name("errand".to_owned()).spawn(run)
    {
        helpers.insert(helper, Way { jobs: sender, thread });
    }
}

#[cfg(test)]
mod tests {
    use super::{Errand, start};
    use std::sync::mpsc;
    use target::{Helper, Reply, Told};

    fn errand(
        helper: Helper,
        told: &mpsc::Sender<Told>,
        work: impl FnOnce(Reply) + Send + 'static,
    ) -> Errand {
        let told = told.clone();
        let reply = Reply::new(move |answer| told.send(answer).unwrap());
        Errand { helper, work: Box::new(work), reply }
    }

    #[test]
    fn a_medium_that_hangs_holds_up_nobody_else() {
        let (errands, (told, answers)) = (start(), mpsc::channel());
        let (release, hang) = mpsc::channel::<()>();
        let hangs = move |reply: Reply| {
            let _ = hang.recv();
            reply.tell(Ok(1));
        };
        errands.send(errand(Helper::Medium(1), &told, hangs)).unwrap();
        errands.send(errand(Helper::Medium(2), &told, |reply| reply.tell(Ok(2)))).unwrap();
        assert_eq!(answers.recv().unwrap(), Ok(2));
        errands.send(errand(Helper::Keeper, &told, |reply| reply.tell(Ok(3)))).unwrap();
        assert_eq!(answers.recv().unwrap(), Ok(3));
        release.send(()).unwrap();
        assert_eq!(answers.recv().unwrap(), Ok(1));
    }

    #[test]
    fn errands_to_one_medium_are_done_in_the_order_they_came() {
        let (errands, (told, answers)) = (start(), mpsc::channel());
        for number in 0..100 {
            errands.send(errand(Helper::Medium(1), &told, move |reply| reply.tell(Ok(number)))).unwrap();
        }
        let order: Vec<_> = answers.iter().take(100).map(|told| told.unwrap()).collect();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
