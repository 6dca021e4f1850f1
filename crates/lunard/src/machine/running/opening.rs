// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may hang with a file system or a device, done by a thread that can be left behind.
//!
//! Above: `running`, which restores and looks for what is missing.
//! Below: `medium`, `mounts`.
//! Never here: a guest.

use super::medium::{self, Opened};
use super::mounts::Mounts;
use crate::machine::{Fault, Occasion};
use model::{Backstore, BackstoreId, Kind};
use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a start waits for media that do not answer, in all; a disk that has to spin up first is there by then, or found
/// soon after.
const RESTORE_PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits for each of them when that is over.
const RESTORE_PATIENCE_LEAST: Duration = Duration::from_millis(100);

/// How long it waits with that in all.  Then it opens nothing more, and what is there is found right after the start.
const RESTORE_PATIENCE_MOST: Duration = Duration::from_secs(10);

/// How many media may hang on a file system or a device before it is not entered any more.  One of them may hang alone.
const HANG_MAX: usize = 3;

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

/// How far a thread has come on the way to a medium: the file system, or the device, that it has entered last.
#[derive(Clone, Default)]
struct Way(Arc<Mutex<PathBuf>>);

impl Way {
    /// Goes to a medium, as far as that may be entered, and does there what is to be done.  `None` where it may not.
    fn go<T>(
        &self,
        to: &Backstore,
        may: impl Fn(&Path) -> bool,
        mounts: &Mounts,
        job: impl FnOnce() -> T,
    ) -> Option<T> {
        let enter = |place: &Path| {
            place.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
            may(place)
        };
        let path = to.medium.path().map(|path| Path::new(path.as_str()));
        let may_go = path.is_none_or(|path| {
            // A device hangs by itself, and not with where its node is: not all of /dev with one of them.
            let is_device = || to.kind() == Kind::Block || leads_to_device(path);
            mounts.follow(path, enter) && (!is_device() || enter(path))
        });
        may_go.then(job)
    }

    fn entered(&self) -> PathBuf {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn leads_to_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| there.file_type().is_block_device())
}

/// How many media hang on each file system or device.
#[derive(Clone, Default)]
struct Silent(BTreeMap<PathBuf, usize>);

impl Silent {
    fn note(&mut self, place: PathBuf) {
        *self.0.entry(place).or_default() += 1;
    }

    /// Whether it may be entered once more.
    fn may_enter(&self, place: &Path) -> bool {
        self.0.get(place).is_none_or(|hang| *hang < HANG_MAX)
    }
}

/// Opens what was configured when the daemon starts: what does not answer keeps nothing else from being served.
#[derive(Default)]
pub(super) struct Restoring {
    aside: Aside<Option<Result<Opened, Fault>>>,
    mounts: Option<Arc<Mounts>>,
    silent: Silent,
    /// How long it was waited for what hangs.
    waited: Duration,
}

impl Restoring {
    /// Opens a medium, or finds it missing, or hanging.
    ///
    /// # Errors
    /// As of [`medium::open`].
    pub(super) fn open(&mut self, backstore: &Backstore) -> Result<Opened, Fault> {
        let wanted = backstore.clone();
        self.within_patience(backstore, move || medium::open(&wanted, Occasion::Restore)).unwrap_or_else(
            || {
                tracing::warn!(
                    "{} is not opened: its file system or device does not answer; it is served when it does",
                    backstore.id()
                );
                Ok(Opened::hanging())
            },
        )
    }

    /// Does it, unless it hangs, or others hang there, or too much time has gone with what hangs.
    fn within_patience(
        &mut self,
        backstore: &Backstore,
        job: impl FnOnce() -> Result<Opened, Fault> + Send + 'static,
    ) -> Option<Result<Opened, Fault>> {
        if self.waited >= RESTORE_PATIENCE_MOST {
            return None;
        }
        let mounts = Arc::clone(self.mounts.get_or_insert_with(|| Arc::new(Mounts::now())));
        let (wanted, begun, way, silent) =
            (backstore.clone(), Instant::now(), Way::default(), self.silent.clone());
        let patience = RESTORE_PATIENCE.saturating_sub(self.waited).max(RESTORE_PATIENCE_LEAST);
        let theirs = way.clone();
        let done = self
            .aside
            .within(patience, move || theirs.go(&wanted, |place| silent.may_enter(place), &mounts, job));
        done.unwrap_or_else(|_| {
            self.waited += begun.elapsed();
            self.silent.note(way.entered());
            None
        })
    }
}

/// Looks for what is missing; what does not answer keeps nobody from looking for the rest.
#[derive(Default)]
pub(super) struct Seeking {
    aside: Aside<Look>,
    hung: BTreeMap<BackstoreId, (Way, Hung<Look>)>,
    mounts: Arc<Mounts>,
}

/// What a look has found.
pub(super) enum Look {
    There(Box<Opened>),
    NotThere,
    Hangs,
}

impl Seeking {
    /// Begins to look for all that is missing.
    pub(super) fn begin(&mut self) {
        self.mounts = Arc::new(Mounts::now());
        // What ended late is let go of, and looked for anew.
        self.hung.retain(|_, (_, hung)| !hung.has_ended());
    }

    pub(super) fn look(&mut self, backstore: &Backstore) -> Look {
        let id = backstore.id();
        if self.hung.contains_key(&id) {
            return Look::Hangs;
        }
        let mut silent = Silent::default();
        self.hung.values().for_each(|(way, _)| silent.note(way.entered()));
        let (wanted, way, mounts) = (backstore.clone(), Way::default(), Arc::clone(&self.mounts));
        let theirs = way.clone();
        let look = move || {
            let opened = theirs.go(
                &wanted,
                |place| silent.may_enter(place),
                &mounts,
                || medium::open_if_there(&wanted),
            );
            opened.map_or(Look::Hangs, |opened| {
                opened.map_or(Look::NotThere, |opened| Look::There(Box::new(opened)))
            })
        };
        self.aside.within(SEEK_PATIENCE, look).unwrap_or_else(|hung| {
            self.hung.insert(id, (way, hung));
            Look::Hangs
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Aside, Restoring, Silent};
    use model::{Backstore, BackstoreName, Medium, UnitSerial};
    use std::path::Path;
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

    #[test]
    fn a_start_that_has_waited_for_ten_seconds_opens_nothing_more() {
        let (name, serial) = (BackstoreName::parse("r0").unwrap(), UnitSerial::parse("r0").unwrap());
        let disk = Backstore::new(name, serial, Medium::ramdisk(1 << 20, false).unwrap()).unwrap();
        let mut restoring = Restoring { waited: Duration::from_millis(9999), ..Restoring::default() };
        assert!(!restoring.open(&disk).unwrap().hangs());
        restoring.waited = Duration::from_secs(10);
        assert!(restoring.open(&disk).unwrap().hangs());
    }

    #[test]
    fn where_three_hang_nobody_goes_any_more() {
        let (away, near) = (Path::new("/away"), Path::new("/near"));
        let mut silent = Silent::default();
        for _ in 0..3 {
            assert!(silent.may_enter(away));
            silent.note(away.to_owned());
        }
        assert!(!silent.may_enter(away) && silent.may_enter(near));
    }
}
