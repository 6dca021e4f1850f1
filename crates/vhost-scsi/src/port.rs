// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What all connections of one target share.
//!
//! Above: `lunard` publishes maps; `connection` claims; workers read.
//! Below: `exec`'s snapshots.
//! Never here: sockets.

use exec::snapshot::Published;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use target::LunMap;

/// A target as its connections see it.
pub struct TargetPort {
    /// Unique for the life of the process.
    pub(crate) id: u64,
    wwn: String,
    map: Published<LunMap>,
    connections: AtomicUsize,
    claim: Mutex<Claim>,
    released: Condvar,
}

/// Who may run rings: one connection at a time, because the rings of two guests know nothing of each other.
#[derive(Default)]
struct Claim {
    holder: Option<u64>,
    /// The holder's front end has gone and its rings are draining.
    leaving: bool,
}

impl TargetPort {
    /// A target called `wwn` with the LUNs of `map`.
    pub fn new(wwn: String, map: LunMap) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            wwn,
            map: Published::new(map),
            connections: AtomicUsize::new(0),
            claim: Mutex::new(Claim::default()),
            released: Condvar::new(),
        }
    }

    /// The target's name.
    pub fn wwn(&self) -> &str {
        &self.wwn
    }

    /// The number that a [`crate::Scope`] knows it by.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The LUNs, as they are published.
    pub fn map(&self) -> &Published<LunMap> {
        &self.map
    }

    /// Front ends connected now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Claims the right to run rings for `client`.  Waits for a holder that is leaving; returns `false` when
    /// there is one that stays.
    pub(crate) fn claim(&self, client: u64) -> bool {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match claim.holder {
                None => {
                    *claim = Claim { holder: Some(client), leaving: false };
                    return true;
                }
                Some(holder) if holder == client => return true,
                Some(_) if claim.leaving => {
                    claim = self.released.wait(claim).unwrap_or_else(PoisonError::into_inner);
                }
                Some(_) => return false,
            }
        }
    }

    /// The front end of `client` has gone; whoever comes next may wait for its rings.
    pub(crate) fn leave(&self, client: u64) {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        if claim.holder == Some(client) {
            claim.leaving = true;
            self.released.notify_all();
        }
    }

    /// All rings of `client` have stopped.
    pub(crate) fn release(&self, client: u64) {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        if claim.holder == Some(client) {
            *claim = Claim::default();
            self.released.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TargetPort;
    use std::sync::Arc;
    use target::LunMap;

    fn port() -> Arc<TargetPort> {
        Arc::new(TargetPort::new("naa.5001405000000001".into(), LunMap::default()))
    }

    #[test]
    fn one_client_runs_rings_at_a_time() {
        let port = port();
        assert!(port.claim(1));
        assert!(port.claim(1));
        assert!(!port.claim(2));
        port.release(2);
        assert!(!port.claim(2));
        port.release(1);
        assert!(port.claim(2));
    }

    #[test]
    fn a_newcomer_waits_for_a_client_that_is_leaving() {
        let port = port();
        assert!(port.claim(1));
        port.leave(1);
        let waiting = std::thread::spawn({
            let port = Arc::clone(&port);
            move || port.claim(2)
        });
        port.release(1);
        assert!(waiting.join().unwrap());
        assert!(!port.claim(3));
    }
}
