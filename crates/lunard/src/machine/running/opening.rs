// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may hang with a file system or a device, done by a thread that can be left behind.
//!
//! Above: `running`, which restores and looks for what is missing.
//! Below: `medium`.
//! Never here: a guest.

use super::medium::{self, Opened};
use crate::machine::{Fault, Occasion};
use model::{Backstore, BackstoreId};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// How long a start waits for media that do not answer, in all; a disk that has to spin up first is there by then, or found
/// soon after.
const RESTORE_PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits for each of them when that is over.
const RESTORE_PATIENCE_LEAST: Duration = Duration::from_millis(100);

/// How long one that is looked for is waited for before the others are.
const SEEK_PATIENCE: Duration = Duration::from_millis(500);

type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// Has one thing after another done by a thread, as long as none of them hangs.
pub(super) struct Aside<T>(Option<Worker<T>>);

struct Worker<T> {
    jobs: Sender<Job<T>>,
    done: Receiver<T>,
}

/// What was not done in time, and a thread that hangs in it.
pub(super) struct Hung<T>(Receiver<T>);

impl<T> Default for Aside<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Aside<T> {
    /// Does one thing, and waits so long for it.
    ///
    /// # Errors
    /// [`Hung`], where it is not done by then.
    pub(super) fn within(
        &mut self,
        patience: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Hung<T>> {
        let Some(worker) = self.0.take().or_else(Worker::start) else {
            // Without a thread there is nobody to hang instead.
            return Ok(job());
        };
        // Its thread takes jobs as long as this end is there.
        let _ = worker.jobs.send(Box::new(job));
        match worker.done.recv_timeout(patience) {
            Ok(done) => {
                self.0 = Some(worker);
                Ok(done)
            }
            Err(_) => Err(Hung(worker.done)),
        }
    }
}

impl<T: Send + 'static> Worker<T> {
    fn start() -> Option<Self> {
        let (jobs, to_do) = channel::<Job<T>>();
        let (tell, done) = channel();
        let work = move || {
            for job in to_do {
                if tell.send(job()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("open".to_owned()).spawn(work).ok()?;
        Some(Self { jobs, done })
    }
}

impl<T> Hung<T> {
    /// Whether it has come to an end, which is not looked at any more.
    pub(super) fn has_ended(&self) -> bool {
        !matches!(self.0.try_recv(), Err(TryRecvError::Empty))
    }
}

/// Opens what was configured when the daemon starts: what does not answer keeps nothing else from being served.
pub(super) struct Restoring {
    aside: Aside<Result<Opened, Fault>>,
    left: Duration,
}

impl Default for Restoring {
    fn default() -> Self {
        Self { aside: Aside::default(), left: RESTORE_PATIENCE }
    }
}

impl Restoring {
    /// Opens a medium, or finds it missing, or hanging.
    ///
    /// # Errors
    /// As of [`medium::open`].
    pub(super) fn open(&mut self, backstore: &Backstore) -> Result<Opened, Fault> {
        let (wanted, begun) = (backstore.clone(), Instant::now());
        let patience = self.left.max(RESTORE_PATIENCE_LEAST);
        self.aside.within(patience, move || medium::open(&wanted, Occasion::Restore)).unwrap_or_else(|_| {
            self.left = self.left.saturating_sub(begun.elapsed());
            tracing::warn!(
                "{} is not opened: its file system or device does not answer; it is served when it does",
                backstore.id()
            );
            Ok(Opened::hanging())
        })
    }
}

/// Looks for what is missing; what does not answer keeps nobody from looking for the rest.
#[derive(Default)]
pub(super) struct Seeking {
    aside: Aside<Option<Opened>>,
    hung: BTreeMap<BackstoreId, Hung<Option<Opened>>>,
}

/// What a look has found.
pub(super) enum Look {
    There(Opened),
    NotThere,
    Hangs,
}

impl Seeking {
    pub(super) fn look(&mut self, backstore: &Backstore) -> Look {
        let id = backstore.id();
        if self.hung.get(&id).is_some_and(|hung| !hung.has_ended()) {
            return Look::Hangs;
        }
        // What ended late is let go of, and looked for anew.
        self.hung.remove(&id);
        let wanted = backstore.clone();
        match self.aside.within(SEEK_PATIENCE, move || medium::open_if_there(&wanted)) {
            Ok(Some(opened)) => Look::There(opened),
            Ok(None) => Look::NotThere,
            Err(hung) => {
                self.hung.insert(id, hung);
                Look::Hangs
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Aside;
    use std::sync::mpsc::channel;
    use std::thread::current;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn who_hangs_keeps_his_thread_and_the_others_have_another() {
        let mut aside = Aside::default();
        let Ok(first) = aside.within(LONG, || current().id()) else { panic!("it hangs") };
        let Ok(second) = aside.within(LONG, || current().id()) else { panic!("it hangs") };
        assert_eq!(first, second);
        let (go_on, waits) = channel::<()>();
        let hung = aside.within(Duration::from_millis(10), move || {
            let _ = waits.recv();
            current().id()
        });
        let Err(hung) = hung else { panic!("it did not wait") };
        assert!(!hung.has_ended());
        let Ok(third) = aside.within(LONG, || current().id()) else { panic!("it hangs") };
        assert!(third != first);
        drop(go_on);
        while !hung.has_ended() {
            std::thread::yield_now();
        }
    }
}
