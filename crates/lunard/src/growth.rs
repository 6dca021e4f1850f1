// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files and devices that grow are noticed, and guests are shown the new size; and where the space below gets scarce,
//! guests and the administrator are told.
//!
//! Above: `daemon`, which starts it.
//! Below: the machine, which says what to look at; `state_driver`, which makes a change of what was seen.
//! Never here: a reactor, or a guest.
//!
//! Everything open is looked at once in [`INTERVAL`], on a thread that may hang.  Where it does, it is left behind
//! until it comes back, and the rest is looked at by another.
//!
//! What has become smaller is told of once and left alone: a file that is being copied back is short for a while, and
//! an end that was cut off by mistake may come back.  Reads of what is not there fail, and nothing else.
//!
//! A device without a single byte left is gone, and so is a file whose file system says that it will never answer again:
//! they are given up, and looked for anew under their names.

mod told; // what is said of the space below

use crate::machine::{Gauge, Machine, SpaceLook};
use crate::state_driver::{Failure, Handle};
use api::v1;
use backstore::Space;
use model::{BackstoreId, Change, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot::{self, error::TryRecvError};
use told::{Line, Told};
use tracing::{info, warn};

/// How often everything is looked at: this is most of what a daemon without work does.
const INTERVAL: Duration = Duration::from_secs(2);
/// How many looks there are for each one at what has waited for long.
const LOOKS_A_PATIENCE: u32 = 5;
/// How long one look may take before it is left behind.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is left alone what could not be taken over.
const RETRY: Duration = Duration::from_secs(60);

/// Begins to look, for as long as the process lives.
///
/// # Errors
/// Those of starting a thread.
pub(crate) fn watch<M: Machine>(machine: Arc<M>, handle: Handle) -> io::Result<()> {
    let (changed, changes) = sync_channel(1);
    handle.watch(move || {
        // One that waits to be heard says enough.
        let _ = changed.try_send(());
    });
    let _detached = Builder::new().name("growth".to_owned()).spawn(move || {
        let mut watch = Watch::new(machine, handle);
        loop {
            // Where nothing can grow there is nothing to do before the next change.
            let heard = if watch.has_something() {
                changes.recv_timeout(INTERVAL)
            } else {
                changes.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match heard {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => watch.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })?;
    Ok(())
}

/// What a look has found: the size, and the space below.
type Seen = (u64, Option<Space>);

fn look_at(gauge: &Gauge) -> io::Result<Seen> {
    // Of a store that is gone, the size says so.
    Ok((gauge.bytes_now()?, gauge.space_now().unwrap_or(None)))
}

/// Whether an open file or device will never answer again: its FUSE server ended, its NFS server has forgotten it, its
/// device is gone.
fn is_for_good(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOTCONN | Errno::STALE | Errno::NODEV | Errno::NXIO))
}

/// A thread that looks.
struct Looker {
    gauges: Sender<Vec<Gauge>>,
    seen: Receiver<io::Result<Seen>>,
    thread: JoinHandle<()>,
}

impl Looker {
    fn start() -> io::Result<Self> {
        let (gauges, to_look_at) = channel::<Vec<Gauge>>();
        let (tell, seen) = channel();
        let thread = Builder::new().name("look".to_owned()).spawn(move || {
            for gauge in to_look_at.into_iter().flatten() {
                if tell.send(look_at(&gauge)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { gauges, seen, thread })
    }
}

struct Watch<M> {
    machine: Arc<M>,
    handle: Handle,
    looker: Option<Looker>,
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
    looks: u32,
}

impl<M: Machine> Watch<M> {
    fn new(machine: Arc<M>, handle: Handle) -> Self {
        let (hung, asked, refused) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (cut, told) = (BTreeSet::new(), Told::default());
        Self { machine, handle, looker: None, hung, asked, refused, cut, told, looks: 0 }
    }

    fn has_something(&self) -> bool {
        self.handle.model().backstores().keys().any(|id| id.kind != Kind::Ramdisk)
    }

    fn look(&mut self) {
        self.hung.retain(|_, thread| !thread.is_finished());
        self.hear_answers();
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(LOOKS_A_PATIENCE) {
            self.machine.look_for_waiting();
        }
        let all = self.machine.gauges().into_iter();
        self.look_at(all.filter(|gauge| !self.hung.contains_key(&gauge.backstore)).collect());
    }

    /// Has the looker look at all of them before it is waited for: two threads that wake each other for every file would
    /// be most of what an idle daemon does.
    fn look_at(&mut self, gauges: Vec<Gauge>) {
        // Without a thread they are looked at in the next round.
        let Some(looker) = self.looker.take().or_else(|| Looker::start().ok()) else { return };
        let shown: Vec<_> =
            gauges.iter().map(|gauge| (gauge.backstore.clone(), gauge.shown_bytes, gauge.medium())).collect();
        // One that has ended hears nothing, and is found out below.
        let _ = looker.gauges.send(gauges);
        let mut spaces = Vec::new();
        for (id, shown, medium) in shown {
            match looker.seen.recv_timeout(PATIENCE) {
                // It was given another size, or another medium, since the look began.
                Ok(_) if !self.machine.shows(&id, &medium) => {}
                Ok(Ok((0, _))) if id.kind == Kind::Block => self.machine.lost(&id, &medium),
                Ok(Ok((now, space))) => {
                    self.compare(&id, shown, now);
                    spaces.extend(space.map(|space| (id, now, space)));
                }
                Ok(Err(error)) if is_for_good(&error) => self.machine.lost(&id, &medium),
                Ok(Err(_)) => {}
                Err(_) => {
                    warn!("the size of {id} cannot be looked at: its file system or device does not answer");
                    // It does not go on to what comes after this one; another does, in the next round.
                    self.hung.insert(id, looker.thread);
                    return;
                }
            }
        }
        self.looker = Some(looker);
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
    use crate::machine::{Fault, Found, Live, Occasion, Rest};
    use crate::state_driver;
    use crate::store::Store;
    use crate::wish::Chance;
    use backstore::{Backstore, FileOptions, FileStore, NewFile};
    use model::{BackstoreName, Model, Step};

    /// A machine whose guests are shown only this.
    struct Showing(Arc<dyn Backstore>);

    impl Machine for Showing {
        type Prepared = ();

        fn prepare(&self, _: &[Step], _: Occasion) -> Result<(), Fault> {
            Ok(())
        }

        fn found(&self, (): &()) -> Vec<Found> {
            Vec::new()
        }

        fn commit(&self, (): ()) -> Vec<Rest> {
            Vec::new()
        }

        fn live(&self) -> Live {
            Live::default()
        }

        fn shows(&self, _: &BackstoreId, medium: &Arc<dyn Backstore>) -> bool {
            Arc::ptr_eq(&self.0, medium)
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
        let mut watch = Watch::new(machine, handle);
        let id = BackstoreId { kind: Kind::Fileio, name: BackstoreName::parse("disk0").unwrap() };
        watch.look_at(vec![Gauge::new(id.clone(), before)]);
        assert!(watch.cut.is_empty() && watch.asked.is_empty());
        // Who is shown it is told.
        std::fs::File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
        watch.look_at(vec![Gauge::new(id.clone(), after)]);
        assert_eq!(watch.cut, BTreeSet::from([id]));
        running.stop();
    }
}
