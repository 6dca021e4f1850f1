// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The running target, as the owner of the configuration sees it.
//!
//! Above: `state_driver`, which hands over steps; `view`, which shows what is live.
//! Below: whatever runs: `machine/running.rs`, or the fake in `machine/fake.rs`, where no guest is needed.
//! Never here: the model.  A machine knows steps, not wishes.

pub mod fake; // a machine without guests, for tests
pub mod running; // the machine that serves guests

pub use translate::live::{Live, LiveBackstore, LiveDevice, LiveSpace, LiveTarget, LiveWaiting, Occasion};

use crate::state_driver::Handle;
use crate::watchdog::Probe;
use backstore::Space;
use model::{BackstoreId, Key, Place, Step, Wwn};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use target::{Managed, Reservations, Totals};
use tracing::warn;
use vhost_scsi::Waiting;

/// What serves guests.
pub trait Machine: Send + Sync + 'static {
    /// Everything that [`Machine::commit`] needs, opened, locked and probed.
    type Prepared: Send + 'static;

    /// Gets everything ready that can fail or take long: opens, locks, probes, binds sockets.
    ///
    /// Never changes what guests see.  Dropping the result undoes it, a file that was created included.
    /// Called on a thread made for it, which it may block for as long as a disk hangs; several may run
    /// at once, for transactions of which none knows of the others, and their results come to `commit`
    /// in any order or not at all.
    ///
    /// What a guest stands in the way of, such as removing the target it is connected to, is a fault of
    /// the caller's here.  A guest that connects only afterwards loses its connection in `commit`.
    ///
    /// # Errors
    /// The [`Fault`] that names the thing and the way out; then nothing has changed.
    fn prepare(&self, steps: &[Step], occasion: Occasion) -> Result<Self::Prepared, Fault>;

    /// What was found out about the media while preparing.
    fn found(&self, prepared: &Self::Prepared) -> Vec<Found>;

    /// Makes guests see it.  Cannot fail; called on one thread, one at a time, in the order in which the
    /// configuration changed.
    ///
    /// The steps follow from the configuration as it is now, but others may have been committed since
    /// they were prepared: what a step names is to be looked up here, not there.
    ///
    /// Returns what is not so yet and waits for a disk: whoever asked is answered when it is.
    fn commit(&self, prepared: Self::Prepared) -> Vec<Rest>;

    /// What the running target knows.  Never waits for a disk or a guest.
    fn live(&self) -> Live;

    /// What of that is a backstore's.
    fn live_backstore(&self, id: &BackstoreId) -> Option<LiveBackstore> {
        self.live().backstores.remove(id)
    }

    /// Whether a front end is connected to a target now.
    fn connected(&self, wwn: &Wwn) -> bool {
        self.live().targets.get(wwn).is_some_and(|target| target.connected)
    }

    /// Who has reserved a backstore and who is registered with it, where anyone ever did.
    fn reservations(&self, _id: &BackstoreId) -> Option<Reservations> {
        None
    }

    /// Takes the medium of a backstore out, or puts it in; `force` does so although a guest keeps it in.  Returns when that is
    /// durable, and blocks as long as the disk with the records of units does.
    ///
    /// # Errors
    /// The [`Fault`] that names what is in the way; then nothing has changed.
    fn move_medium(&self, _id: &BackstoreId, _loaded: bool, _force: bool) -> Result<(), Fault> {
        Ok(())
    }

    /// What could be said of a medium and it cannot do, where it is open.
    fn limits(&self, _of: &BackstoreId) -> Option<Vec<Key>> {
        None
    }

    /// The open media that may grow, each with the size that guests see.
    fn gauges(&self) -> Vec<Gauge> {
        Vec::new()
    }

    /// Takes note of how much space is left below backstores, all that were looked at in one round, and returns below
    /// which of them it is scarce.
    fn see_spaces(&self, _looks: &[SpaceLook]) -> BTreeSet<BackstoreId> {
        BTreeSet::new()
    }

    /// Whether guests are still shown this very medium, at this size.
    fn shows(&self, _of: &BackstoreId, _medium: &Weak<dyn backstore::Backstore>) -> bool {
        true
    }

    /// An open medium is gone for good, though something may come in its place: its guests are told NOT READY until that is
    /// there.
    fn lost(&self, _backstore: &BackstoreId, _medium: &Weak<dyn backstore::Backstore>) {}

    /// From now on `owner` has the configuration: what a guest wants changed of it goes there.
    fn owned_by(&self, _owner: &Handle) {}

    /// What guests asked for; `None` where nobody counts.
    fn counted(&self, _of: &Countable) -> Option<Statistics> {
        None
    }

    /// Looks for commands that have waited for long, and tells of them.  Called now and then.
    fn look_for_waiting(&self) {}

    /// What the last such look has found.
    fn waiting(&self) -> Vec<Waiting> {
        Vec::new()
    }

    /// The threads that serve guests, for who wants to know whether they live.
    fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }

    /// Ends serving, by `deadline` at the latest.  What was begun for guests is finished; what a disk does not give
    /// back in time is for the next daemon, and is returned in one line.  Called once, last.
    fn stop(&self, _deadline: Instant) -> Option<String> {
        None
    }
}

/// How long is waited for a [`Rest`] before the log says so.
const REST_PATIENCE: Duration = Duration::from_secs(5);

/// A file that guests see the new end of, and that is cut there when what they have in flight has ended.
#[derive(Debug)]
pub struct Rest {
    backstore: BackstoreId,
    ended: Receiver<Result<(), Fault>>,
}

impl Rest {
    /// What `ended` tells of.
    #[must_use]
    pub fn new(backstore: BackstoreId, ended: Receiver<Result<(), Fault>>) -> Self {
        Self { backstore, ended }
    }

    /// Waits until it is cut, as long as the disk hangs.
    ///
    /// # Errors
    /// The [`Fault`] of what could not be cut.
    pub fn wait(self) -> Result<(), Fault> {
        let Self { backstore, ended } = self;
        let cut = match ended.recv_timeout(REST_PATIENCE) {
            Err(RecvTimeoutError::Timeout) => {
                warn!(
                    "{backstore} is smaller for its guests, and is cut when what they have in flight has ended; if lunard \
                     ends before, it has its old size again"
                );
                ended.recv().ok()
            }
            cut => cut.ok(),
        };
        cut.unwrap_or_else(|| {
            Err(Fault {
                message: format!("{backstore} was not cut: there is no thread for it"),
                hint: Some("its guests see the new size until lunard starts anew".into()),
                kind: FaultKind::Host,
                errno: Errno::AGAIN,
            })
        })
    }
}

/// What commands are counted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Countable {
    /// A backstore, since it was opened.
    Backstore(BackstoreId),
    /// A LUN, since it was mapped.
    Lun(Place),
}

/// What guests asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Commands.
    pub asked: Totals,
    /// What task management did to the unit, whatever way it came.
    pub managed: Managed,
}

/// What was seen of the space below a backstore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceLook {
    /// Which.
    pub backstore: BackstoreId,
    /// The space.
    pub space: Space,
    /// How many bytes of that store guests may fill, and have not: of all backstores on it.
    pub claimed: u64,
}

/// How large an open medium is.
pub struct Gauge {
    /// Which.
    pub backstore: BackstoreId,
    /// As guests see it, in bytes.
    pub shown_bytes: u64,
    /// The medium itself, which is not kept open by this: whoever deletes a backstore finds its device unused.
    medium: Weak<dyn backstore::Backstore>,
}

impl Gauge {
    /// A look at `medium`.
    #[must_use]
    pub fn new(backstore: BackstoreId, medium: &Arc<dyn backstore::Backstore>) -> Self {
        Self { backstore, shown_bytes: medium.geometry().bytes, medium: Arc::downgrade(medium) }
    }

    /// Whether the other is a look at the same medium.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.backstore == other.backstore && Weak::ptr_eq(&self.medium, &other.medium)
    }

    /// The medium itself.
    #[must_use]
    pub const fn medium(&self) -> &Weak<dyn backstore::Backstore> {
        &self.medium
    }

    /// How many bytes it has now, and how much space is left below where it is shared with others.  May hang with the medium,
    /// which stays open meanwhile.
    ///
    /// # Errors
    /// What the system says of the size; `NotFound` where the medium was closed.  Of a store that is gone, the size says so.
    pub fn look(&self) -> std::io::Result<(u64, Option<Space>)> {
        let medium = self.medium.upgrade().ok_or(std::io::ErrorKind::NotFound)?;
        Ok((medium.bytes_now()?, medium.space_now().unwrap_or(None)))
    }
}

impl std::fmt::Debug for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gauge({}, {})", self.backstore, self.shown_bytes)
    }
}

/// What was found out about a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose medium.
    pub backstore: BackstoreId,
    /// Its size in bytes, unless it is missing.
    pub size_bytes: Option<u64>,
    /// The sectors of its device, in bytes, where they became its logical blocks.
    pub sector_bytes: Option<u32>,
    /// Attributes that would say more than the medium can do: they read 0.
    pub beyond: Vec<Key>,
    /// What the administrator should know, each one line in targetcli's words, such as
    /// `/srv/f exists, using its size (1048576 bytes) instead`.
    pub notes: Vec<String>,
}

/// Why steps cannot be prepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// One line that names the thing and what is wrong with it, without a full stop.
    pub message: String,
    /// One line with the way out, where there is one.
    pub hint: Option<String>,
    /// Whose fault it is.
    pub kind: FaultKind,
    /// The kernel's word for it, where there is room for nothing else: LIO's tree in the file system.
    pub errno: Errno,
}

/// Whose fault a [`Fault`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The caller's: it named something that cannot be used so.  Answered with a status 4xx.
    Caller,
    /// The host's.  Answered with a status 5xx.
    Host,
}
