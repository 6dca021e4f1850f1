// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The running target, as the owner of the configuration sees it.
//!
//! Above: `state_driver`, which hands over steps; `view`, which shows what is live.
//! Below: whatever runs: `machine/running.rs`, or the fake in `machine/fake.rs`, where no guest is needed.
//! Never here: the model.  A machine knows steps, not wishes.

pub mod fake; // a machine without guests, for tests
pub mod running; // the machine that serves guests

use crate::watchdog::Probe;
use model::{BackstoreId, Place, Step, Wwn};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;
use target::Totals;

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
    fn commit(&self, prepared: Self::Prepared);

    /// What the running target knows.  Never waits for a disk or a guest.
    fn live(&self) -> Live;

    /// What guests asked for; `None` where nobody counts.
    fn counted(&self, _of: &Countable) -> Option<Totals> {
        None
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

/// What commands are counted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Countable {
    /// A backstore, since it was opened.
    Backstore(BackstoreId),
    /// A LUN, since it was mapped.
    Lun(Place),
}

/// Why steps are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The daemon starts: what is not there is restored as missing, and no file is created.
    Restore,
    /// The administrator asked: what is not there is a fault, or a file to create.
    Change,
    /// The administrator restores a file: the same, but a file that is there is meant to be.
    Import,
}

impl Occasion {
    /// Whether somebody waits for the answer, and wants all or nothing.
    #[must_use]
    pub fn is_asked_for(self) -> bool {
        match self {
            Self::Change | Self::Import => true,
            Self::Restore => false,
        }
    }
}

/// What was found out about a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose medium.
    pub backstore: BackstoreId,
    /// Its size in bytes, unless it is missing.
    pub size_bytes: Option<u64>,
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

/// What the running target knows and the configuration does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// By kind and name.
    pub backstores: BTreeMap<BackstoreId, LiveBackstore>,
    /// By name.
    pub targets: BTreeMap<Wwn, LiveTarget>,
}

/// A backstore as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveBackstore {
    /// The capacity in bytes; of a missing medium the one last known, or 0.
    pub size_bytes: u64,
    /// Bytes in a logical block.
    pub block_bytes: u32,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// Whether guests see a volatile write cache.
    pub write_back: bool,
    /// Whether its file or device is not there.
    pub missing: bool,
    /// Which device of the host it is, if it is one.
    pub device: Option<LiveDevice>,
}

/// A block device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveDevice {
    /// The kernel's name, such as `dm-0`.
    pub name: String,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Bytes in a logical block of the device itself.
    pub block_bytes: u32,
    /// Whether it rotates.
    pub rotational: bool,
}

/// A target as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTarget {
    /// Where QEMU connects.
    pub socket: PathBuf,
    /// Whether a front end is connected now.
    pub connected: bool,
}
