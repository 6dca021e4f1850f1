// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machine that serves guests.
//!
//! Above: `state_driver`, which hands over steps.
//! Below: `backstore` (opened here), `target` (units and maps built here), `vhost-scsi` (sockets, reactors).
//! Never here: the model, and a decision about what may be configured.

mod access; // asymmetric access
#[cfg(test)]
mod disks; // what waits for the disk with the records of units
mod fault; // a failure below, in the administrator's words
mod medium; // opening what a backstore is kept in
mod memories; // what units remember
mod offer; // what a front end is offered
mod opening; // what may hang with a path
mod patience; // commands that wait for long
mod places; // of guests' sockets
mod sanitizing; // what a dead process was removing
mod seek; // what was not there when it was to be
mod state; // what runs now
mod way; // which file systems a path leads through

use super::{
    Countable, Fault, Found, Gauge, Live, LiveBackstore, Machine, Occasion, Rest, SpaceLook, Statistics,
};
use crate::daemon::Host;
use crate::service_manager;
use crate::start_error::StartError;
use crate::state_driver::Handle;
use crate::watchdog::Probe;
use access::{Steering, Transition};
use backstore::Hold;
use fault::locked_fault;
use medium::{HandedOver, Opened};
use memories::Counting;
use model::{Backstore, BackstoreId, Key, Step, Wwn};
use opening::Restoring;
use patience::Patience;
use places::{Places, why_not};
use state::{Gone, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};
use target::{Reservations, Steer};
use vhost_scsi::{Bound, Reactors, Scope, Waiting};

/// How long an answer waits for I/O on what it took away.  A disk that hangs longer is let go of when it
/// comes back; until then its file stays open.
const QUIET_PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked for files and devices that are missing.
const SEEK_INTERVAL: Duration = Duration::from_secs(1);

/// The machine that serves guests.
pub struct RunningMachine {
    reactors: Arc<Reactors>,
    places: Arc<Places>,
    state: Arc<Mutex<State>>,
    seeking: Arc<AtomicBool>,
    steering: Arc<Steering>,
    patience: Mutex<Patience>,
    /// What has waited for long, as of the last look: asked for while the next one is under way.
    waiting: Mutex<Vec<Waiting>>,
}

/// What [`RunningMachine`] has prepared.  Dropped, what was created for it goes again.
pub struct Ready {
    steps: Vec<Step>,
    opened: BTreeMap<BackstoreId, Opened>,
    /// What is open already, as it is at its new size.
    resized: BTreeMap<BackstoreId, Opened>,
    /// Each target's; why there is none, where it is made without.
    sockets: BTreeMap<Wwn, Result<Bound, String>>,
    /// The locks of what guests that run are to be shown.
    holds: Vec<Hold>,
}

/// I/O to wait for after a commit.
pub(super) struct Farewell {
    scope: Scope,
    /// The backstore to close then.
    close: Option<u64>,
    /// What keeps the backstore open until then.
    last: Option<Opened>,
    /// What keeps it locked until then.
    hold: Option<Hold>,
    /// What is to be cut then.
    cut: Option<Cut>,
}

impl Farewell {
    /// To what is in this scope, with nothing to do then.
    fn of(scope: Scope) -> Self {
        Self { scope, close: None, last: None, hold: None, cut: None }
    }
}

/// A backstore that shows less than its medium has.
pub(super) struct Cut {
    id: BackstoreId,
    /// Which of all that ever were.
    number: u64,
    /// Who waits for it.
    tell: mpsc::Sender<Result<(), Fault>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RunningMachine {
    /// A machine that serves nothing yet.
    ///
    /// # Errors
    /// [`StartError::Reactor`], where the kernel gives no io_uring.
    pub fn start(host: Host<'_>) -> Result<Self, StartError> {
        let reactors =
            Reactors::start(usize::from(host.reactors)).map_err(|source| StartError::Reactor { source })?;
        let state = Arc::new(Mutex::new(State::remembering(host.units)));
        Ok(Self {
            reactors,
            places: Arc::new(Places::new(host.runtime_dir.to_owned(), host.socket_group)),
            steering: Steering::new(&state),
            state,
            seeking: Arc::default(),
            patience: Mutex::default(),
            waiting: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Ends a change of an access state when its time is over.
    fn end_later(&self, transition: Transition) {
        let state = Arc::clone(&self.state);
        let transition = Arc::new(transition);
        let theirs = Arc::clone(&transition);
        let end = move |wait: bool| {
            if wait {
                std::thread::sleep(theirs.delay);
            }
            let mut state = lock(&state);
            if state.access.end(&theirs) {
                let altering = std::mem::replace(&mut state.access.altering, theirs.by.clone());
                state.show_access();
                state.tell_access();
                state.access.altering = altering;
            }
        };
        let later = end.clone();
        if std::thread::Builder::new().name("transition".into()).spawn(move || later(true)).is_err() {
            end(false);
        }
    }

    /// Refuses what a connected guest would lose, or could not be told.
    fn must_spare_guests(&self, steps: &[Step], step: &Step, occasion: Occasion) -> Result<(), Fault> {
        match step {
            Step::RemoveTarget(wwn) if occasion != Occasion::Forced && self.state().is_connected(wwn) => {
                Err(fault::in_use_fault(wwn))
            }
            // One that goes with its target is named after that.
            Step::RemoveTpg { wwn, tag }
                if occasion != Occasion::Forced
                    && self.state().is_connected(wwn)
                    && !steps.contains(&Step::RemoveTarget(wwn.clone())) =>
            {
                Err(fault::tpg_in_use_fault(wwn, *tag))
            }
            // What a guest was told it relies on, beyond a reconnect too.
            Step::SetOptions { wwn, .. } if self.state().is_connected(wwn) => {
                Err(fault::options_fixed_fault(wwn))
            }
            _ => Ok(()),
        }
    }

    /// The medium of a backstore that these steps open: from one that they close, where it is kept in the same.
    fn open(
        &self,
        steps: &[Step],
        backstore: &Backstore,
        occasion: Occasion,
        restoring: &mut Restoring,
        opened: &BTreeMap<BackstoreId, Opened>,
    ) -> Result<Opened, Fault> {
        // Looked at before the lock is taken: the path may hang.
        let there = medium::where_it_leads(backstore, steps);
        let handed_over = there.and_then(|there| {
            // What one of these steps was given another is not, by whatever path.
            let is_given = |opened: &Opened| opened.host_lock().is_some_and(|lock| lock.is_of(&there));
            let is_free = !opened.values().any(is_given);
            is_free.then(|| self.state().hand_over(steps, backstore, &there)).flatten()
        });
        match handed_over {
            Some(HandedOver::AsItIs(opened)) => opened.fit_for(backstore, occasion),
            Some(HandedOver::InPlaceOf(before)) => {
                medium::open_in_place_of(backstore, occasion, Some(&before))
            }
            None if occasion == Occasion::Restore => restoring.open(backstore),
            None => medium::open(backstore, occasion),
        }
    }

    /// The socket of a target; why there is none when the daemon starts, which is told of, and looked for again.
    fn bind(&self, wwn: &Wwn, occasion: Occasion) -> Result<Result<Bound, String>, Fault> {
        match self.places.hold().bind(wwn) {
            Err(fault) if occasion == Occasion::Restore => {
                let why = why_not(fault);
                tracing::warn!("target {wwn} has no socket: {why}; it is served when it can be");
                Ok(Err(why))
            }
            bound => bound.map(Ok),
        }
    }

    /// The open medium that is to have another size.
    fn to_resize(&self, backstore: &Backstore) -> Result<Opened, Fault> {
        self.state().to_resize(backstore)
    }

    /// The same for a smaller size.
    fn to_shrink(&self, backstore: &Backstore) -> Result<Opened, Fault> {
        self.state().to_shrink(backstore)
    }

    /// Waits, within [`QUIET_PATIENCE`], until nothing is in flight on what was taken away, and closes it.
    fn say_farewell(&self, farewells: Vec<Farewell>) {
        if !farewells.is_empty() {
            let _ = self.begin_farewell(farewells).recv_timeout(QUIET_PATIENCE);
        }
    }

    /// Has a thread of its own wait until nothing is in flight on what was taken away, and close it or cut it.
    fn begin_farewell(&self, farewells: Vec<Farewell>) -> mpsc::Receiver<()> {
        let (reactors, state) = (Arc::clone(&self.reactors), Arc::clone(&self.state));
        let (done, quiet) = mpsc::channel();
        let farewells = Arc::new(Mutex::new(farewells));
        let theirs = Arc::clone(&farewells);
        let take = |farewells: &Mutex<Vec<Farewell>>| {
            std::mem::take(&mut *farewells.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let wait = move || {
            wait_for(&reactors, &state, take(&theirs));
            let _ = done.send(());
        };
        if std::thread::Builder::new().name("farewell".into()).spawn(wait).is_err() {
            // Without a thread nobody can wait: what may have I/O in flight is kept, open and locked, for good.
            for mut farewell in take(&farewells) {
                // Whoever waits for the cut hears that there is none.
                farewell.cut = None;
                std::mem::forget(farewell);
            }
        }
        quiet
    }

    /// Has a thread of its own give back what nexuses took that are gone, each as soon as nothing of it is in flight at its
    /// unit: no disk that hangs keeps back what was taken of another.  It is told when all is given back.
    fn begin_giving_back(&self, gone: Vec<Arc<Gone>>) -> mpsc::Receiver<()> {
        let (done, given_back) = mpsc::channel();
        if gone.is_empty() {
            return given_back;
        }
        let (tell, quiet) = mpsc::channel::<Arc<Gone>>();
        let state = Arc::clone(&self.state);
        let wait = move || {
            for gone in quiet {
                gone.give_back(|| lock(&state).is_gone(&gone));
            }
            let _ = done.send(());
        };
        if let Err(error) = std::thread::Builder::new().name("giving-back".into()).spawn(wait) {
            tracing::error!(
                "cannot free what guests reserved that are gone: {error}; the next change tries it again"
            );
            return given_back;
        }
        for gone in gone {
            self.reactors.tell_when_quiet(gone.scope(), &gone, &tell);
        }
        given_back
    }
}

fn wait_for(reactors: &Reactors, state: &Mutex<State>, farewells: Vec<Farewell>) {
    for Farewell { scope, close, last, hold, cut } in farewells {
        reactors.quiesce(scope, close);
        if let Some(error) = last.as_ref().and_then(Opened::settle) {
            tracing::error!("{error}");
        }
        drop((last, hold));
        if let Some(cut) = cut {
            let medium = loop {
                let medium = lock(state).to_cut(&cut).transpose();
                if let Some(medium) = medium {
                    break medium;
                }
                std::thread::sleep(SEEK_INTERVAL);
            };
            // Whatever the system says now, the guests' blocks are where they were.
            let ended =
                medium.and_then(|medium| medium.cut().map_err(|error| fault::not_cut(&cut.id, &error)));
            lock(state).is_cut(&cut);
            // Whoever asked for it may be gone.
            let _ = cut.tell.send(ended);
        }
    }
}

impl Machine for RunningMachine {
    type Prepared = Ready;

    fn prepare(&self, steps: &[Step], occasion: Occasion) -> Result<Ready, Fault> {
        let mut ready = Ready {
            steps: steps.to_vec(),
            opened: BTreeMap::new(),
            resized: BTreeMap::new(),
            sockets: BTreeMap::new(),
            holds: Vec::new(),
        };
        let mut restoring = Restoring::default();
        for (done, step) in steps.iter().enumerate() {
            if occasion == Occasion::Restore {
                service_manager::restoring(done, steps.len());
            }
            self.must_spare_guests(steps, step, occasion)?;
            match step {
                Step::OpenBackstore(backstore) => {
                    let opened = self.open(steps, backstore, occasion, &mut restoring, &ready.opened)?;
                    ready.opened.insert(backstore.id(), opened);
                }
                Step::CreateTarget(wwn) => {
                    ready.sockets.insert(wwn.clone(), self.bind(wwn, occasion)?);
                }
                Step::MapLun { wwn, backstore, .. } if self.state().is_running(wwn) => {
                    let opening = ready.opened.get(backstore);
                    let lock = opening.and_then(Opened::host_lock).cloned();
                    if let Some(lock) = lock.or_else(|| self.state().host_lock(backstore)) {
                        let held = lock.try_hold();
                        ready.holds.push(held.ok_or_else(|| locked_fault(backstore, lock.path()))?);
                    }
                }
                Step::UpdateBackstore(backstore) => self.state().must_fit(backstore)?,
                _ => {}
            }
        }
        restoring.tell();
        // Last, because a file that has grown stays so.
        for step in steps {
            let resized = match step {
                Step::ResizeBackstore { backstore, .. } => {
                    medium::grown(backstore, &self.to_resize(backstore)?).map(|grown| (backstore.id(), grown))
                }
                Step::ShrinkBackstore { backstore, .. } => {
                    medium::shrunk(backstore, &self.to_shrink(backstore)?).map(|less| (backstore.id(), less))
                }
                _ => continue,
            };
            ready.resized.extend([resized?]);
        }
        Ok(ready)
    }

    fn found(&self, prepared: &Ready) -> Vec<Found> {
        prepared.opened.iter().chain(&prepared.resized).map(|(id, opened)| opened.found(id)).collect()
    }

    fn commit(&self, prepared: Ready) -> Vec<Rest> {
        let Ready { steps, mut opened, mut resized, mut sockets, holds } = prepared;
        for opened in opened.values_mut() {
            opened.keep();
        }
        let counting = self.state().to_count(&steps);
        // Beyond the lock: what is kept waits for a disk.
        let other_modes: Vec<_> = counting.into_iter().filter_map(Counting::count).collect();
        let removes = steps.iter().any(|step| matches!(step, Step::RemoveTarget(_)));
        let places = removes.then(|| self.places.hold());
        let mut state = self.state();
        let mut farewells = Vec::new();
        for step in &steps {
            let medium = match step {
                Step::OpenBackstore(backstore) => opened.remove(&backstore.id()),
                Step::ResizeBackstore { backstore, .. } | Step::ShrinkBackstore { backstore, .. } => {
                    resized.remove(&backstore.id())
                }
                _ => None,
            };
            farewells.extend(state.take_step(step, medium));
        }
        let rest = state.take_rest();
        farewells.extend(state.publish());
        let gone = state.take_gone();
        memories::tell_of_modes(&other_modes);
        state.have_power();
        state.serve(&mut sockets, &self.reactors);
        let transitions = state.access.take_begun();
        sanitizing::go_on(&state);
        drop((state, places));
        for transition in transitions {
            self.end_later(transition);
        }
        // What came of them, targets hold.
        drop(holds);
        self.seek();
        // A cut may take as long as a disk hangs: whoever asked for it waits, and nobody else.
        let (cuts, others) = farewells.into_iter().partition(|farewell: &Farewell| farewell.cut.is_some());
        let cuts: Vec<Farewell> = cuts;
        for cut in cuts {
            drop(self.begin_farewell(vec![cut]));
        }
        let deadline = Instant::now() + QUIET_PATIENCE;
        let given_back = self.begin_giving_back(gone);
        self.say_farewell(others);
        let _ = given_back.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        rest
    }

    fn live(&self) -> Live {
        let mut live = self.state().live(|wwn| self.places.of(wwn));
        for waiting in self.waiting() {
            let wwn = Wwn::parse(&waiting.wwn).ok();
            if let Some(target) = wwn.and_then(|wwn| live.targets.get_mut(&wwn)) {
                target.waiting.push(patience::told(&waiting));
            }
        }
        live
    }

    fn live_backstore(&self, id: &BackstoreId) -> Option<LiveBackstore> {
        self.state().live_backstore(id)
    }

    fn connected(&self, wwn: &Wwn) -> bool {
        self.state().connected(wwn)
    }

    fn reservations(&self, id: &BackstoreId) -> Option<Reservations> {
        self.state().reservations(id)
    }

    fn move_medium(&self, id: &BackstoreId, loaded: bool, force: bool) -> Result<(), Fault> {
        // Beyond the lock: what is kept waits for a disk.
        let unit = self.state().unit(id);
        let unit = unit.ok_or_else(|| fault::deleted(id))?;
        memories::move_medium(id, &unit, loaded, force)?;
        let Some(store) = unit.store.as_ref().filter(|_| !loaded) else { return Ok(()) };
        let scope = Scope { medium: Some(store.medium()), ..Scope::default() };
        let farewell = Farewell::of(scope);
        // Nothing comes after what was under way; then the cache is written.
        if self.begin_farewell(vec![farewell]).recv_timeout(QUIET_PATIENCE).is_err() {
            return Err(fault::still_busy(id));
        }
        store.backstore.flush().map_err(|error| fault::not_flushed(id, error))
    }

    fn limits(&self, id: &BackstoreId) -> Option<Vec<Key>> {
        self.state().limits(id)
    }

    fn gauges(&self) -> Vec<Gauge> {
        self.state().gauges()
    }

    fn see_spaces(&self, looks: &[SpaceLook]) -> BTreeSet<BackstoreId> {
        self.state().see_spaces(looks)
    }

    fn shows(&self, of: &BackstoreId, medium: &Weak<dyn backstore::Backstore>) -> bool {
        self.state().shows(of, medium)
    }

    fn lost(&self, backstore: &BackstoreId, medium: &Weak<dyn backstore::Backstore>) {
        let Some(farewells) = self.state().lose(backstore, medium) else { return };
        tracing::warn!("{backstore} is gone: its LUNs answer NOT READY until it is back");
        service_manager::serves(&self.live());
        self.seek();
        self.say_farewell(farewells);
    }

    fn owned_by(&self, owner: &Handle) {
        self.steering.owned_by(owner.clone());
        let mut state = self.state();
        state.access.steer = Some(Arc::clone(&self.steering) as Arc<dyn Steer>);
        state.show_access();
        state.tell_access();
    }

    fn counted(&self, of: &Countable) -> Option<Statistics> {
        self.state().counted(of)
    }

    fn look_for_waiting(&self) {
        let long = self.patience.lock().unwrap_or_else(PoisonError::into_inner).look(&self.reactors);
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = long;
    }

    fn waiting(&self) -> Vec<Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn probes(&self) -> Vec<Probe> {
        let names = self.reactors.names().enumerate();
        let probe = |(index, name)| {
            let reactors = Arc::clone(&self.reactors);
            Probe::new(name, move |answer| reactors.ask_alive(index, answer))
        };
        names.map(probe).collect()
    }

    fn stop(&self, deadline: Instant) -> Option<String> {
        self.state().stop_accepting();
        let undrained = self.reactors.drain(deadline);
        // The front ends see the end of their connections only now.
        let _places = self.places.hold();
        let endpoints = self.state().take_endpoints();
        drop(endpoints);
        self.state().what_is_left(&undrained)
    }
}
