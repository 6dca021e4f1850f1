// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may hang with a file system or a device, done by a thread that can be left behind.
//!
//! Above: `running`, which restores and looks for what is missing.
//! Below: `medium`, `way`.
//! Never here: a guest.

use super::medium::{self, Opened};
use super::way;
use crate::machine::{Fault, Occasion};
use model::{Backstore, BackstoreId, Kind};
use mounts::Mounts;
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
            way::follow(mounts, path, enter) && (!is_device() || enter(path))
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

    /// Whether it may be entered once more.  What all paths begin in always may: the daemon itself is there.
    fn may_enter(&self, place: &Path) -> bool {
        place == Path::new("/") || self.0.get(place).is_none_or(|hang| *hang < HANG_MAX)
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
    /// What was not tried.
    untried: BTreeMap<Untried, Vec<BackstoreId>>,
}

/// Why a medium was not tried when the daemon started.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Untried {
    /// Others hang there.
    Behind(PathBuf),
    /// The start has waited long enough.
    TooLate,
}

/// Why a medium was not opened when the daemon started.
enum Unopened {
    /// What it is kept in, or is, does not answer.
    Hangs(PathBuf),
    Untried(Untried),
}

impl Restoring {
    /// Opens a medium, or finds it missing, or hanging.
    ///
    /// # Errors
    /// As of [`medium::open`].
    pub(super) fn open(&mut self, backstore: &Backstore) -> Result<Opened, Fault> {
        let wanted = backstore.clone();
        let opened = self.within_patience(backstore, move || medium::open(&wanted, Occasion::Restore));
        opened.unwrap_or_else(|why| {
            match why {
                Unopened::Hangs(place) => tracing::warn!("{}", hangs(&backstore.id(), &place)),
                Unopened::Untried(why) => self.untried.entry(why).or_default().push(backstore.id()),
            }
            Ok(Opened::hanging())
        })
    }

    /// Says what was not tried, in one line for each reason.
    pub(super) fn tell(&self) {
        for line in self.untried.iter().map(|(why, these)| not_tried(why, these)) {
            tracing::warn!("{line}");
        }
    }

    /// Does it, unless it hangs, or others hang there, or too much time has gone with what hangs.
    fn within_patience(
        &mut self,
        backstore: &Backstore,
        job: impl FnOnce() -> Result<Opened, Fault> + Send + 'static,
    ) -> Result<Result<Opened, Fault>, Unopened> {
        if self.waited >= RESTORE_PATIENCE_MOST {
            return Err(Unopened::Untried(Untried::TooLate));
        }
        let mounts =
            Arc::clone(self.mounts.get_or_insert_with(|| Arc::new(Mounts::now().unwrap_or_default())));
        let (wanted, begun, way, silent) =
            (backstore.clone(), Instant::now(), Way::default(), self.silent.clone());
        let patience = RESTORE_PATIENCE.saturating_sub(self.waited).max(RESTORE_PATIENCE_LEAST);
        let theirs = way.clone();
        let done = self
            .aside
            .within(patience, move || theirs.go(&wanted, |place| silent.may_enter(place), &mounts, job));
        match done {
            Ok(opened) => opened.ok_or_else(|| Unopened::Untried(Untried::Behind(way.entered()))),
            Err(_) => {
                self.waited += begun.elapsed();
                self.silent.note(way.entered());
                Err(Unopened::Hangs(way.entered()))
            }
        }
    }
}

/// The most storage objects that a line of the log names.
const NAMED_MAX: usize = 4;

fn hangs(id: &BackstoreId, place: &Path) -> String {
    format!("{id} is not opened: {} does not answer; it is served when it does", shown(place))
}

fn not_tried(why: &Untried, these: &[BackstoreId]) -> String {
    let mut named: Vec<String> = these.iter().take(NAMED_MAX).map(BackstoreId::to_string).collect();
    if let Some(more) = these.len().checked_sub(NAMED_MAX).filter(|more| *more != 0) {
        named.push(format!("and {more} more"));
    }
    let named = named.join(", ");
    match why {
        Untried::Behind(place) => {
            format!(
                "not tried, because {} does not answer: {named}; served when they are there",
                shown(place)
            )
        }
        Untried::TooLate => format!(
            "not tried yet, because the start has waited {} s for others: {named}; looked for from now on",
            RESTORE_PATIENCE_MOST.as_secs()
        ),
    }
}

/// A place in one line of the log: what its user may have called it.
fn shown(place: &Path) -> String {
    if place.as_os_str().is_empty() {
        return "its file system".to_owned();
    }
    place.to_string_lossy().escape_debug().to_string()
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
        self.mounts = Arc::new(Mounts::now().unwrap_or_default());
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
    use super::*;
    use model::{AbsolutePath, BackstoreName, Medium, UnitSerial};
    use std::thread::current;

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
    fn who_hangs_is_told_of_and_who_only_waits_for_it_is_not_said_to_hang() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("far")).unwrap();
        std::fs::create_dir(top.join("near")).unwrap();
        std::os::unix::fs::symlink(top.join("near"), top.join("far/near")).unwrap();
        let shown = top.display();
        let table = format!("1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {shown}/far rw - fuse a rw\n");
        let mut restoring = Restoring {
            waited: Duration::from_secs(5),
            mounts: Some(Arc::new(Mounts::parse(table.as_bytes()))),
            ..Restoring::default()
        };
        let in_file = |name: &str, path: &str| {
            let path = AbsolutePath::parse(top.join(path).to_str().unwrap()).unwrap();
            let medium = Medium::Fileio { path, size_bytes: Some(1 << 20), sparse: true };
            let (name, serial) = (BackstoreName::parse(name).unwrap(), UnitSerial::parse(name).unwrap());
            Backstore::new(name, serial, medium).unwrap()
        };
        let (go_on, waits) = channel::<()>();
        let waits = Arc::new(Mutex::new(waits));
        let mut told = Vec::new();
        // What is reached over it is not kept in it.
        for (number, path) in ["far/near/a", "far/b", "near/../far/c", "far/d"].iter().enumerate() {
            let disk = in_file(&format!("disk{number}"), path);
            let waits = Arc::clone(&waits);
            let job = move || {
                let _ = waits.lock().unwrap().recv();
                Ok(Opened::missing())
            };
            let Err(Unopened::Hangs(place)) = restoring.within_patience(&disk, job) else {
                panic!("{path} does not hang")
            };
            told.push(hangs(&disk.id(), &place).replace(&shown.to_string(), ""));
        }
        let hung = |number, place| {
            format!("fileio/disk{number} is not opened: {place} does not answer; it is served when it does")
        };
        assert_eq!(told, [hung(0, "/"), hung(1, "/far"), hung(2, "/far"), hung(3, "/far")]);

        std::fs::write(top.join("near/there"), [0; 4096]).unwrap();
        assert!(!restoring.open(&in_file("near0", "near/there")).unwrap().hangs(), "others are opened");
        for number in 0..6 {
            assert!(restoring.open(&in_file(&format!("far{number}"), "far/f")).unwrap().hangs());
        }
        restoring.waited = Duration::from_secs(10);
        assert!(restoring.open(&in_file("near1", "near/there")).unwrap().hangs());
        let lines = restoring.untried.iter().map(|(why, these)| not_tried(why, these));
        let lines: Vec<String> = lines.map(|line| line.replace(&shown.to_string(), "")).collect();
        assert_eq!(
            lines,
            [
                "not tried, because /far does not answer: fileio/far0, fileio/far1, fileio/far2, fileio/far3, and 2 more; \
                 served when they are there",
                "not tried yet, because the start has waited 10 s for others: fileio/near1; looked for from now on",
            ]
        );
        drop(go_on);
    }

    #[test]
    fn what_a_user_called_his_mount_is_one_line() {
        let line = hangs_at("/home/x/a\nb\u{1b}[31m");
        assert_eq!(
            line,
            "fileio/d is not opened: /home/x/a\\nb\\u{1b}[31m does not answer; it is served when it does"
        );
    }

    fn hangs_at(place: &str) -> String {
        let id = BackstoreId { kind: model::Kind::Fileio, name: BackstoreName::parse("d").unwrap() };
        hangs(&id, Path::new(place))
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
        // The daemon itself is there.
        (0..3).for_each(|_| silent.note("/".into()));
        assert!(silent.may_enter(Path::new("/")));
    }
}
