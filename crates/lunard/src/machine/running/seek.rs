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
        let mut seeker = self.seeker();
        let look = move || while seeker.round() {};
        if std::thread::Builder::new().name("seek".into()).spawn(look).is_err() {
            self.seeking.store(false, Ordering::SeqCst);
        }
    }

    fn seeker(&self) -> Seeker {
        Seeker {
            reactors: Arc::clone(&self.reactors),
            state: Arc::clone(&self.state),
            seeking: Arc::clone(&self.seeking),
            steering: Arc::clone(&self.steering),
            places: Arc::clone(&self.places),
            paths: Seeking::default(),
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
            let places = self.places.hold();
            if !lock(&self.state).is_unserved(wwn) {
                continue;
            }
            let bound = match places.bind(wwn) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Host;
    use crate::machine::{Machine, Occasion};
    use crate::store::Units;
    use model::Step;
    use std::path::PathBuf;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// Long enough for who does not wait.
    const SHORT: Duration = Duration::from_millis(200);
    /// Long enough for a machine that is busy.
    const LONG: Duration = Duration::from_secs(60);

    struct Scene {
        machine: Arc<RunningMachine>,
        wwn: Wwn,
        place: PathBuf,
        _folder: tempfile::TempDir,
    }

    /// A machine whose places nobody looks at but the test.
    fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("vhost")).unwrap();
        let host =
            Host { runtime_dir: folder.path(), socket_group: None, reactors: 1, units: Units::default() };
        let machine = Arc::new(RunningMachine::start(host).unwrap());
        machine.seeking.store(true, Ordering::SeqCst);
        let place = folder.path().join("vhost/naa.5001405000000001.sock");
        Scene { machine, wwn: Wwn::parse("naa.5001405000000001").unwrap(), place, _folder: folder }
    }

    impl Scene {
        fn make(&self, step: Step, occasion: Occasion) {
            let ready = self.machine.prepare(&[step], occasion).map_err(|fault| fault.message).unwrap();
            self.machine.commit(ready);
        }

        fn create(&self) -> Step {
            Step::CreateTarget(self.wwn.clone())
        }

        fn remove(&self) -> Step {
            Step::RemoveTarget(self.wwn.clone())
        }

        /// What comes of it when somebody has the places until `meanwhile` has ended.
        fn waits<T: Send + 'static>(
            &self,
            what: impl FnOnce(&RunningMachine) -> T + Send + 'static,
            meanwhile: impl FnOnce(),
        ) -> T {
            let (machine, (done, is_done)) = (Arc::clone(&self.machine), channel());
            let (begin, has_begun) = channel();
            let held = self.machine.places.hold();
            std::thread::spawn(move || {
                begin.send(()).unwrap();
                done.send(what(&machine))
            });
            has_begun.recv_timeout(LONG).unwrap();
            assert!(is_done.recv_timeout(SHORT).is_err(), "somebody else has the places");
            meanwhile();
            drop(held);
            is_done.recv_timeout(LONG).unwrap()
        }
    }

    #[test]
    fn who_looks_whether_a_place_is_free_takes_it_from_no_change() {
        let scene = scene();
        std::fs::write(&scene.place, "in the way").unwrap();
        scene.make(scene.create(), Occasion::Restore);
        std::fs::remove_file(&scene.place).unwrap();
        let appeared = scene.waits(
            |machine| machine.seeker().look_for_sockets(),
            || {
                assert!(!scene.place.exists(), "it is not bound");
                // A change removes the target.
                scene.machine.state().take_step(&scene.remove(), None);
            },
        );
        assert!(!appeared && !scene.place.exists());
        scene.make(scene.create(), Occasion::Change);
        assert!(scene.place.exists());
    }

    #[test]
    fn a_change_waits_for_who_binds_or_removes_a_socket() {
        let scene = scene();
        let create = scene.create();
        let ready = scene.waits(
            move |machine| machine.prepare(&[create], Occasion::Change).map_err(|fault| fault.message),
            || assert!(!scene.place.exists(), "it is not bound"),
        );
        scene.machine.commit(ready.unwrap());
        let ready = scene.machine.prepare(&[scene.remove()], Occasion::Change);
        let ready = ready.map_err(|fault| fault.message).unwrap();
        scene.waits(
            move |machine| machine.commit(ready).len(),
            || assert!(scene.place.exists(), "it is not removed"),
        );
        assert!(!scene.place.exists());
    }
}
