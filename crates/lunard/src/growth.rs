// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files and devices that grow are noticed, and guests are shown the new size; and where the space below gets scarce,
//! guests and the administrator are told.
//!
//! Above: `daemon`, which starts it.
//! Below: the machine, which says what to look at; `state_driver`, which makes a change of what was seen.
//! Never here: a reactor, or a guest.
//!
//! Everything open is looked at every other second by a [`Looker`], a thread that may hang.  Where it does, it is left
//! behind until it comes back, and the rest is looked at by another.  It tells of a look only where there is something new,
//! and this thread sleeps: to look is most of what a daemon without work does.
//!
//! What has become smaller is told of once and left alone: a file that is being copied back is short for a while, and
//! an end that was cut off by mistake may come back.  Reads of what is not there fail, and nothing else.
//!
//! A device without a single byte left is gone, and so is a file whose file system says that it will never answer again:
//! they are given up, and looked for anew under their names.

mod looker; // the thread that looks
mod told; // what is said of the space below

use crate::machine::{Gauge, Machine, SpaceLook};
use crate::state_driver::{Failure, Handle};
use api::v1;
use backstore::Space;
use looker::{Found, Looker, Progress};
use model::{BackstoreId, Change, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot::{self, error::TryRecvError};
use told::{Line, Told};
use tracing::{info, warn};

/// How often the looker is looked after, and what has waited for long is looked for.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long one look may take before it is left behind.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is left alone what could not be taken over.
const RETRY: Duration = Duration::from_secs(60);

/// What the watch wakes up for.
enum News {
    /// The configuration is another.
    Changed,
    /// A look found something new.
    Found(Arc<[Gauge]>, Found),
}

/// Begins to look, for as long as the process lives.
///
/// # Errors
/// Those of starting a thread.
pub(crate) fn watch<M: Machine>(machine: Arc<M>, handle: Handle) -> io::Result<()> {
    let (tell, news) = sync_channel(1);
    let (changed, is_other) = (tell.clone(), Arc::new(AtomicBool::new(false)));
    let becomes_other = Arc::clone(&is_other);
    handle.watch(move || {
        becomes_other.store(true, Ordering::Release);
        // Whatever waits to be heard says enough.
        let _ = changed.try_send(News::Changed);
    });
    let _detached = Builder::new()
        .name("growth".to_owned())
        .spawn(move || Watch::new(machine, handle, is_other, tell).for_ever(&news))?;
    Ok(())
}

/// Whether an open file or device will never answer again: its FUSE server ended, its NFS server has forgotten it, its
/// device is gone.
fn is_for_good(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOTCONN | Errno::STALE | Errno::NODEV | Errno::NXIO))
}

struct Watch<M> {
    machine: Arc<M>,
    handle: Handle,
    is_other: Arc<AtomicBool>,
    tell: SyncSender<News>,
    looker: Option<Looker>,
    /// Where the looker was when it was looked after.
    was: Option<Progress>,
    /// What could not be looked at, and the thread that waits for it.
    hung: BTreeMap<BackstoreId, JoinHandle<()>>,
    /// Changes that are under way.
    asked: BTreeMap<BackstoreId, oneshot::Receiver<Result<v1::Applied, Failure>>>,
    /// What is not tried again before then.
    refused: BTreeMap<BackstoreId, Instant>,
    /// What is smaller than it is shown, and was told of.
    cut: BTreeSet<BackstoreId>,
    /// What was said of the space below.
    told: Told,
}

impl<M: Machine> Watch<M> {
    fn new(machine: Arc<M>, handle: Handle, is_other: Arc<AtomicBool>, tell: SyncSender<News>) -> Self {
        let (hung, asked, refused) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (cut, told) = (BTreeSet::new(), Told::default());
        Self { machine, handle, is_other, tell, looker: None, was: None, hung, asked, refused, cut, told }
    }

    fn for_ever(mut self, news: &Receiver<News>) {
        let mut due = Instant::now() + INTERVAL;
        // What was restored is looked at soon.
        self.start_looker();
        loop {
            // Where nothing can grow there is nothing to do before the next change.
            let heard = if self.has_something() {
                news.recv_timeout(due.saturating_duration_since(Instant::now()))
            } else {
                (self.looker, self.was) = (None, None);
                news.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match heard {
                Ok(News::Changed) => self.start_looker(),
                Ok(News::Found(gauges, found)) => self.see(&gauges, found),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= due {
                due = Instant::now() + self.look_after();
            }
        }
    }

    fn has_something(&self) -> bool {
        self.handle.model().backstores().keys().any(|id| id.kind != Kind::Ramdisk)
    }

    /// Starts a looker where there is none; without a thread the next round starts one.
    fn start_looker(&mut self) {
        if self.looker.is_none() {
            let hung = self.hung.keys().cloned().collect();
            let (machine, is_other) = (Arc::clone(&self.machine), Arc::clone(&self.is_other));
            self.looker = Looker::start(machine, hung, is_other, self.tell.clone()).ok();
        }
    }

    /// Looks whether the looker still looks; returns how long it may be left alone.
    fn look_after(&mut self) -> Duration {
        self.hear_answers();
        self.machine.look_for_waiting();
        let before = self.hung.len();
        self.hung.retain(|_, thread| !thread.is_finished());
        if self.hung.len() < before || self.looker.as_ref().is_some_and(Looker::has_ended) {
            self.looker = None;
        }
        let is = self.looker.as_ref().and_then(Looker::progress);
        let is_stuck = is.is_some() && is == self.was.take();
        if is_stuck && let Some((id, thread)) = self.looker.take().and_then(Looker::leave) {
            warn!("the size of {id} cannot be looked at: its file system or device does not answer");
            self.hung.insert(id, thread);
        }
        self.was = is.filter(|_| !is_stuck);
        self.start_looker();
        if self.was.is_some() { PATIENCE } else { INTERVAL }
    }

    fn see(&mut self, gauges: &[Gauge], found: Found) {
        self.hear_answers();
        let mut spaces = Vec::new();
        for (gauge, seen) in gauges.iter().zip(found) {
            let (id, shown, medium) = (&gauge.backstore, gauge.shown_bytes, gauge.medium());
            match seen {
                // It was given another size, or another medium, since the look began.
                Ok(_) if !self.machine.shows(id, medium) => {}
                Ok((0, _)) if id.kind == Kind::Block => self.machine.lost(id, medium),
                Ok((now, space)) => {
                    self.compare(id, shown, now);
                    spaces.extend(space.map(|space| (id.clone(), now, space)));
                }
                Err(error) if is_for_good(&error) => self.machine.lost(id, medium),
                Err(_) => {}
            }
        }
        self.see_spaces(spaces);
    }

    fn compare(&mut self, id: &BackstoreId, shown: u64, now: u64) {
        if now < shown {
            if self.cut.insert(id.clone()) {
                warn!("{id} was cut to {now} bytes: guests see {shown}, and cannot read what is not there");
            }
            return;
        }
        self.cut.remove(id);
        let is_due = self.refused.get(id).is_none_or(|until| *until <= Instant::now());
        if now > shown && is_due && !self.asked.contains_key(id) {
            let resize = Change::Resize { backstore: id.clone(), size_bytes: now, shrink: false };
            self.asked.insert(id.clone(), self.handle.make(vec![resize]));
        }
    }

    /// Compares what is left of each store with what the backstores on it have a claim on: their holes.
    fn see_spaces(&mut self, spaces: Vec<(BackstoreId, u64, Space)>) {
        let mut claimed: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, bytes, space) in &spaces {
            let all = claimed.entry(space.store).or_default();
            *all = all.saturating_add(bytes.saturating_sub(space.used));
        }
        let looks: Vec<SpaceLook> = spaces
            .into_iter()
            .map(|(backstore, _, space)| {
                let claimed = claimed.get(&space.store).copied().unwrap_or(0);
                SpaceLook { backstore, space, claimed }
            })
            .collect();
        let scarce = self.machine.see_spaces(&looks);
        for line in self.told.lines(&looks, &scarce, Instant::now()) {
            match line {
                Line::Scarce(line) => warn!("{line}"),
                Line::Enough(line) => info!("{line}"),
            }
        }
    }

    fn hear_answers(&mut self) {
        let refused = &mut self.refused;
        self.asked.retain(|id, answer| match answer.try_recv() {
            Ok(Ok(_)) => {
                refused.remove(id);
                false
            }
            Ok(Err(failure)) => {
                warn!("{id} has grown, and its guests cannot be shown the new size: {failure}");
                refused.insert(id.clone(), Instant::now() + RETRY);
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directories::StateDir;
    use crate::machine::{Fault, Found as Medium, Live, Occasion, Rest};
    use crate::state_driver;
    use crate::store::Store;
    use crate::wish::Chance;
    use backstore::{Backstore, FileOptions, FileStore, NewFile, Ramdisk};
    use model::{BackstoreName, Model, Step};
    use std::sync::Weak;

    /// A machine whose guests are shown only this.
    struct Showing(Arc<dyn Backstore>);

    impl Machine for Showing {
        type Prepared = ();

        fn prepare(&self, _: &[Step], _: Occasion) -> Result<(), Fault> {
            Ok(())
        }

        fn found(&self, (): &()) -> Vec<Medium> {
            Vec::new()
        }

        fn commit(&self, (): ()) -> Vec<Rest> {
            Vec::new()
        }

        fn live(&self) -> Live {
            Live::default()
        }

        fn shows(&self, _: &BackstoreId, medium: &Weak<dyn Backstore>) -> bool {
            Weak::ptr_eq(&Arc::downgrade(&self.0), medium)
        }
    }

    struct NoChance;

    impl Chance for NoChance {
        fn bits(&mut self) -> u64 {
            0
        }

        fn uuid(&mut self) -> String {
            String::new()
        }
    }

    #[test]
    fn a_size_that_was_shown_when_the_look_began_and_is_no_more_is_compared_with_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let create = Some(NewFile { bytes: 2 << 20, sparse: true });
        let file = FileStore::open(&FileOptions { path: path.clone(), create, write_back: false }).unwrap();
        let before: Arc<dyn Backstore> = Arc::new(file);
        let after = before.shrunk(1 << 20).unwrap();
        after.cut().unwrap();
        let state_dir = StateDir::claim(folder.path()).unwrap();
        let machine = Arc::new(Showing(Arc::clone(&after)));
        let store = Store::open(&state_dir).unwrap();
        let (handle, running) = state_driver::start(
            Model::default(),
            store,
            Arc::clone(&machine),
            Box::new(NoChance),
            "/".into(),
        )
        .unwrap();
        let mut watch = Watch::new(machine, handle, Arc::default(), sync_channel(1).0);
        let id = BackstoreId { kind: Kind::Fileio, name: BackstoreName::parse("disk0").unwrap() };
        let mut look_at = |medium: &Arc<dyn Backstore>| {
            let gauge = Gauge::new(id.clone(), medium);
            let found = vec![gauge.look()];
            watch.see(&[gauge], found);
            (watch.cut.clone(), watch.asked.len())
        };
        assert_eq!(look_at(&before), (BTreeSet::new(), 0));
        // Who is shown it is told.
        std::fs::File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
        assert_eq!(look_at(&after), (BTreeSet::from([id.clone()]), 0));
        running.stop();
    }

    #[test]
    fn what_is_looked_at_is_not_kept_open_by_that() {
        let medium: Arc<dyn Backstore> = Arc::new(Ramdisk::new(1 << 20, false).unwrap());
        let gauge =
            Gauge::new(BackstoreId { kind: Kind::Fileio, name: BackstoreName::parse("d").unwrap() }, &medium);
        assert_eq!(gauge.look().unwrap().0, 1_048_576);
        assert_eq!(Arc::strong_count(&medium), 1);
        drop(medium);
        assert_eq!(gauge.look().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
