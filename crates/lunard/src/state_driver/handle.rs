// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What everybody else has of the owner of the configuration.
//!
//! Above: `server`, `configfs_door`, and what wants to know how it is.
//! Below: `state_driver`, by its mail; the machine, by closures that `state_driver` makes.
//! Never here: a change of anything.

use super::{Counts, Failure, Reply};
use crate::machine::{Countable, Fault, Live, LiveBackstore, Statistics};
use crate::view::View;
use crate::watchdog::Probe;
use crate::wish::{Generation, Wishes};
use api::v1;
use model::{BackstoreId, Change, Model, Wwn};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use target::Reservations;
use tokio::sync::oneshot;
use vhost_scsi::Waiting;

/// What everybody else has of the owner.
#[derive(Clone)]
pub struct Handle {
    pub(super) submit: Arc<dyn Fn(Wishes, Reply) + Send + Sync>,
    pub(super) ask_alive: Arc<dyn Fn(Sender<()>) + Send + Sync>,
    pub(super) appeared: Arc<dyn Fn(BackstoreId) + Send + Sync>,
    /// Whether the owner waits for the disk of the database.
    pub(super) saving: Arc<AtomicBool>,
    pub(super) live: Arc<dyn Fn() -> Live + Send + Sync>,
    pub(super) move_medium: Moving,
    pub(super) live_backstore: Asking<LiveBackstore>,
    pub(super) connected: Arc<dyn Fn(&Wwn) -> bool + Send + Sync>,
    pub(super) reservations: Asking<Reservations>,
    pub(super) counted: Counting,
    pub(super) waiting: Arc<dyn Fn() -> Vec<Waiting> + Send + Sync>,
    pub(super) model: Arc<RwLock<(Arc<Model>, Generation)>>,
    pub(super) counts: Arc<Counts>,
    pub(super) runtime_dir: Arc<PathBuf>,
    pub(super) watchers: Arc<Mutex<Vec<Watcher>>>,
}

/// Takes the medium of a backstore out, or puts it in: which, whether in, whether by force.
pub(super) type Moving = Arc<dyn Fn(&BackstoreId, bool, bool) -> Result<(), Fault> + Send + Sync>;

/// What the running target knows of a backstore.
pub(super) type Asking<T> = Arc<dyn Fn(&BackstoreId) -> Option<T> + Send + Sync>;

/// What guests asked for.
pub(super) type Counting = Arc<dyn Fn(&Countable) -> Option<Statistics> + Send + Sync>;

/// What is called after each commit.
pub(super) type Watcher = Box<dyn Fn() + Send + Sync>;

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Handle {
    /// Makes all of `wishes` happen, or none.  A caller who stops waiting takes them back, unless they
    /// are being committed already.
    ///
    /// # Errors
    /// The [`Failure`] of the first that cannot be.
    pub async fn apply(&self, wishes: Vec<v1::Change>) -> Result<v1::Applied, Failure> {
        self.ask(Wishes::Changes(wishes)).await
    }

    /// The same for wishes of every sort.
    ///
    /// # Errors
    /// The [`Failure`] of the first that cannot be.
    pub async fn ask(&self, wishes: Wishes) -> Result<v1::Applied, Failure> {
        let (reply, answer) = oneshot::channel();
        let reply = Reply::new(reply, &wishes);
        (self.submit)(wishes, reply);
        answer.await.unwrap_or(Err(Failure::Stopping))
    }

    /// Asks for changes that are whole already.  Whoever drops the answer before it comes takes them back, unless
    /// they are being committed.
    #[must_use]
    pub fn make(&self, changes: Vec<Change>) -> oneshot::Receiver<Result<v1::Applied, Failure>> {
        let (reply, answer) = oneshot::channel();
        let wishes = Wishes::Whole(changes);
        let reply = Reply::new(reply, &wishes);
        (self.submit)(wishes, reply);
        answer
    }

    /// Says that a medium that was missing is there: the owner looks at what it can do.
    pub fn appeared(&self, id: BackstoreId) {
        (self.appeared)(id);
    }

    /// Has `watcher` called after each commit, on the owner's thread: it must not wait.
    pub fn watch(&self, watcher: impl Fn() + Send + Sync + 'static) {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(watcher));
    }

    /// The configuration as it was last committed.
    #[must_use]
    pub fn model(&self) -> Arc<Model> {
        self.snapshot().0
    }

    /// The same, with a number that each change raises which is not a guest's.
    #[must_use]
    pub fn snapshot(&self) -> (Arc<Model>, Generation) {
        let shared = self.model.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&shared.0), shared.1)
    }

    /// What the running target knows.
    #[must_use]
    pub fn live(&self) -> Live {
        (self.live)()
    }

    /// What of that is a backstore's.
    #[must_use]
    pub fn live_backstore(&self, id: &BackstoreId) -> Option<LiveBackstore> {
        (self.live_backstore)(id)
    }

    /// Whether a front end is connected to a target now.
    #[must_use]
    pub fn connected(&self, wwn: &Wwn) -> bool {
        (self.connected)(wwn)
    }

    /// Who has reserved a backstore and who is registered with it, where anyone ever did.
    #[must_use]
    pub fn reservations(&self, id: &BackstoreId) -> Option<Reservations> {
        (self.reservations)(id)
    }

    /// Takes the medium of a backstore out, or puts it in.  Blocks as long as the disk with the records of units does.
    ///
    /// # Errors
    /// The [`Fault`] that names what is in the way; then nothing has changed.
    pub fn move_medium(&self, id: &BackstoreId, loaded: bool, force: bool) -> Result<(), Fault> {
        (self.move_medium)(id, loaded, force)
    }

    /// What guests asked of a backstore or at a LUN, where that is counted.
    #[must_use]
    pub fn counted(&self, of: &Countable) -> Option<Statistics> {
        (self.counted)(of)
    }

    /// Commands of guests that have waited for long.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        (self.waiting)()
    }

    /// The configuration as the API shows it.
    #[must_use]
    pub fn config(&self) -> v1::Config {
        let (model, live) = (self.model(), self.live());
        View::new(&model, &live, &self.runtime_dir).config()
    }

    /// The owner, for who wants to know whether it lives.  While it waits for the disk of the database it is not
    /// stuck: guests are served, and a new daemon would wait for the same disk.
    #[must_use]
    pub fn probe(&self) -> Probe {
        let (ask, saving) = (Arc::clone(&self.ask_alive), Arc::clone(&self.saving));
        Probe::new("state", move |answer| ask(answer)).excused(move || saving.load(Ordering::Relaxed))
    }

    /// How many transactions ended how.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}
