// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looking for what was not there when it was to be: media, locks, the places of sockets.
//!
//! Above: `running`, after each commit.  Below: `opening`, `state`.
//! Never here: what is looked for; `state` knows.

use super::access::Steering;
use super::opening::{Look, Seeking};
use super::places::{Places, why_not};
use super::state::State;
use super::{RunningMachine, SEEK_INTERVAL, lock, sanitizing, wait_for};
use crate::service_manager;
use backstore::{Hold, HostLock};
use model::Wwn;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use vhost_scsi::Reactors;

/// Who looks.
struct Seeker {
    reactors: Arc<Reactors>,
    state: Arc<Mutex<State>>,
    seeking: Arc<AtomicBool>,
    steering: Arc<Steering>,
    places: Arc<Places>,
    paths: Seeking,
}

impl RunningMachine {
    /// Looks for what is missing or locked by another process, as long as something is.
    pub(super) fn seek(&self) {
        if !self.state().seeks() || self.seeking.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut seeker = Seeker {
            reactors: Arc::clone(&self.reactors),
            state: Arc::clone(&self.state),
            seeking: Arc::clone(&self.seeking),
            steering: Arc::clone(&self.steering),
            places: Arc::clone(&self.places),
            paths: Seeking::default(),
        };
        let look = move || while seeker.round() {};
        if std::thread::Builder::new().name("seek".into()).spawn(look).is_err() {
            self.seeking.store(false, Ordering::SeqCst);
        }
    }
}

impl Seeker {
    /// Looks once, after a while.  Returns whether there is more to look for.
    fn round(&mut self) -> bool {
        std::thread::sleep(SEEK_INTERVAL);
        let mut appeared = self.look_for_media();
        appeared |= self.look_for_sockets();
        self.look_for_locks();
        let state = lock(&self.state);
        if appeared {
            service_manager::serves(&state.live(|_| PathBuf::new()));
        }
        let seeks = state.seeks();
        if !seeks {
            // Under the lock, so that whoever finds something missing after this starts anew.
            self.seeking.store(false, Ordering::SeqCst);
        }
        seeks
    }

    fn look_for_media(&mut self) -> bool {
        let missing = lock(&self.state).missing();
        if missing.is_empty() {
            return false;
        }
        let mut appeared = false;
        self.paths.begin();
        for backstore in &missing {
            let opened = match self.paths.look(backstore) {
                Look::There(opened) => *opened,
                Look::Hangs => {
                    lock(&self.state).note_hang(backstore, true);
                    continue;
                }
                Look::NotThere => {
                    lock(&self.state).note_hang(backstore, false);
                    continue;
                }
            };
            // Held until guests that run have been shown it, whose targets then hold it too.
            let _hold = opened.host_lock().and_then(HostLock::try_hold);
            let mut state = lock(&self.state);
            if state.appear(backstore, opened) {
                sanitizing::go_on(&state);
                drop(state);
                self.steering.appeared(backstore.id());
                tracing::info!("storage object {} has appeared and is served", backstore.id());
                appeared = true;
            }
        }
        appeared
    }

    fn look_for_sockets(&self) -> bool {
        let unserved: Vec<Wwn> = lock(&self.state).unserved().cloned().collect();
        let mut appeared = false;
        for wwn in &unserved {
            let bound = match self.places.bind(wwn) {
                Ok(bound) => bound,
                Err(fault) => {
                    lock(&self.state).note_socket_fault(wwn, why_not(fault));
                    continue;
                }
            };
            if lock(&self.state).serve_late(wwn, bound, &self.reactors) {
                tracing::info!("target {wwn} has its socket and is served");
                appeared = true;
            }
        }
        appeared
    }

    fn look_for_locks(&self) {
        let withheld = lock(&self.state).withheld();
        let holds: Vec<Hold> = withheld.iter().filter_map(HostLock::try_hold).collect();
        let farewells = lock(&self.state).show_withheld();
        drop(holds);
        wait_for(&self.reactors, &self.state, farewells);
    }
}
