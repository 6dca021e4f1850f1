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
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};
use target::{Helper, Reply};

/// How long a helper without work stays.
const IDLE: Duration = Duration::from_secs(10);
/// Helpers of media there may be at once.  Errands to more media than these are answered as a failure of ours.
const HELPERS_MAX: usize = 256;

/// What is to be done, and the way back.
pub(crate) struct Errand {
    pub(crate) helper: Helper,
    pub(crate) work: Box<dyn FnOnce(Reply) + Send>,
    pub(crate) reply: Reply,
}

type Job = (Box<dyn FnOnce(Reply) + Send>, Reply);

/// The way to a helper.  Its thread ends when this is dropped and all jobs are done, so none is lost.
struct Way {
    jobs: Sender<Job>,
    /// Jobs that are not done yet.
    pending: Arc<AtomicUsize>,
    used: Instant,
}

/// Starts the thread that passes errands on; it ends when nobody can send any more.  On a host that gives no thread, every
/// errand is answered as a failure of ours.
pub(crate) fn start() -> Sender<Errand> {
    let (sender, errands) = mpsc::channel::<Errand>();
    let pass_on = move || {
        let mut helpers: HashMap<Helper, Way> = HashMap::new();
        loop {
            let errand = if helpers.is_empty() {
                errands.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                errands.recv_timeout(IDLE)
            };
            match errand {
                Ok(errand) => pass(errand, &mut helpers),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            helpers.retain(|_, way| way.is_busy() || way.used.elapsed() < IDLE);
        }
    };
    if let Err(error) = thread::Builder::new().name("errands".to_owned()).spawn(pass_on) {
        tracing::error!(%error, "cannot start the thread for commands that may block");
    }
    sender
}

fn pass(Errand { helper, work, reply }: Errand, helpers: &mut HashMap<Helper, Way>) {
    if !helpers.contains_key(&helper) {
        // However many media hang, the state of units is kept, and the configuration changed.
        let media = helpers.keys().filter(|helper| matches!(helper, Helper::Medium(_))).count();
        if media >= HELPERS_MAX && matches!(helper, Helper::Medium(_)) {
            return;
        }
        let Some(way) = Way::open() else { return };
        helpers.insert(helper, way);
    }
    if let Some(way) = helpers.get_mut(&helper) {
        way.used = Instant::now();
        way.pending.fetch_add(1, Ordering::Relaxed);
        // A helper ends only when its way is gone.
        let _ = way.jobs.send((work, reply));
    }
}

impl Way {
    /// Starts a helper; `None` where the host gives no thread.
    fn open() -> Option<Self> {
        let (jobs, to_do) = mpsc::channel::<Job>();
        let pending = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&pending);
        let run = move || {
            for (work, reply) in to_do {
                work(reply);
                left.fetch_sub(1, Ordering::Relaxed);
            }
        };
        thread::Builder::new().name("errand".to_owned()).spawn(run).ok()?;
        Some(Self { jobs, pending, used: Instant::now() })
    }

    fn is_busy(&self) -> bool {
        self.pending.load(Ordering::Relaxed) > 0
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
    fn the_state_of_units_is_kept_however_many_media_hang() {
        let (errands, (told, answers)) = (start(), mpsc::channel());
        let mut hanging = Vec::new();
        for medium in 0..256 {
            let (release, hang) = mpsc::channel::<()>();
            hanging.push(release);
            let hangs = move |reply: Reply| {
                let _ = hang.recv();
                reply.tell(Ok(medium));
            };
            errands.send(errand(Helper::Medium(medium), &told, hangs)).unwrap();
        }
        errands.send(errand(Helper::Medium(256), &told, |reply| reply.tell(Ok(0)))).unwrap();
        assert_eq!(answers.recv().unwrap(), Err(scsi::Sense::INTERNAL_TARGET_FAILURE));
        errands.send(errand(Helper::Keeper, &told, |reply| reply.tell(Ok(1000)))).unwrap();
        assert_eq!(answers.recv().unwrap(), Ok(1000));
        drop(hanging);
        assert_eq!(answers.iter().take(256).filter(|told| told.is_ok()).count(), 256);
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
