// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a transaction ended: who is told, what is counted, and what is said of it in the log.
//!
//! Above: `state_driver`.
//! Below: nothing.
//! Never here: what a transaction does.

use super::{PREPARING_MAX, WAITING_MAX};
use crate::machine::{Fault, FaultKind};
use crate::saveconfig::RestoreError;
use crate::store::SaveError;
use crate::wish::Wishes;
use api::v1;
use model::{Change, Refusal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tracing::warn;

/// Why a transaction did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration has a rule against it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The configuration is not the one that it is meant for.
    #[error("the configuration has changed since the difference was shown")]
    Moved,
    /// A saveconfig.json does not fit what is configured.
    #[error(transparent)]
    Restore(RestoreError),
    /// It cannot be prepared.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It cannot be kept.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// There is no thread for it.
    #[error("{} changes are waiting for the host already", PREPARING_MAX + WAITING_MAX)]
    Busy,
    /// The daemon is ending.
    #[error("lunard is stopping")]
    Stopping,
}

/// Who is told how a transaction ended.
pub(super) struct Reply {
    to: oneshot::Sender<Result<v1::Applied, Failure>>,
    /// Whether only guests have asked: they may do so as often as they like, and may not fill a log.
    pub(super) of_guest: bool,
}

impl Reply {
    pub(super) fn new(to: oneshot::Sender<Result<v1::Applied, Failure>>, wishes: &Wishes) -> Self {
        let of_guest = matches!(wishes, Wishes::Whole(changes) if changes.iter().all(Change::is_of_guest));
        Self { to, of_guest }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }
}

/// How often it is told at most that what guests have asked for failed.
const GUEST_FAILURE_INTERVAL: Duration = Duration::from_secs(60);

/// How many transactions ended how.
#[derive(Debug, Default)]
pub struct Counts {
    /// Done, and durable.
    pub done: AtomicU64,
    /// Refused by the configuration's rules.
    pub refused: AtomicU64,
    /// Failed for the host.
    pub failed: AtomicU64,
    /// When it was last told that what guests have asked for failed.
    guests_failed: Mutex<Option<Instant>>,
}

impl Counts {
    /// Counts how a transaction ended, and tells who asked for it.
    pub(super) fn answer(&self, reply: Reply, result: Result<v1::Applied, Failure>) {
        let count = match &result {
            Ok(_) => &self.done,
            Err(
                Failure::Refused(_)
                | Failure::Moved
                | Failure::Restore(_)
                | Failure::Fault(Fault { kind: FaultKind::Caller, .. }),
            ) => &self.refused,
            Err(err) => {
                self.fail(reply.of_guest, err);
                let _ = reply.to.send(result);
                return;
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        // Whoever asked may be gone; then the answer is for nobody.
        let _ = reply.to.send(result);
    }

    /// Counts what failed for the host, and tells of it.
    pub(super) fn fail(&self, of_guest: bool, why: &dyn std::fmt::Display) {
        if !of_guest || self.may_tell_of_guests(Instant::now()) {
            warn!("a change failed: {why}");
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is time again for a line about what guests have asked for.
    fn may_tell_of_guests(&self, now: Instant) -> bool {
        let mut last = self.guests_failed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= GUEST_FAILURE_INTERVAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Wwn;

    #[test]
    fn what_guests_ask_for_is_told_of_apart_and_its_failure_once_a_minute() {
        let serial = || model::UnitSerial::parse("a").unwrap();
        let modes = Change::SelectModes { serial: serial(), saved: Vec::new() };
        let access = Change::AlterAlua { serial: serial(), states: Vec::new(), offline: Vec::new() };
        let of_guest =
            |changes: &[Change]| Reply::new(oneshot::channel().0, &Wishes::Whole(changes.to_vec())).of_guest;
        assert!(of_guest(std::slice::from_ref(&modes)) && of_guest(&[access]));
        assert!(!of_guest(&[modes, Change::DeleteTarget(Wwn::made_up(1))]));
        let (counts, start) = (Counts::default(), Instant::now());
        let told = (0..180).filter(|second| counts.may_tell_of_guests(start + Duration::from_secs(*second)));
        assert_eq!(told.collect::<Vec<_>>(), [0, 60, 120]);
    }
}
