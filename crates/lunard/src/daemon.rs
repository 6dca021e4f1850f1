// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From start to end.
//!
//! Above: `main`, which chooses the machine.  Below: everything.
//! Never here: how any of it works.
//!
//! The order of a start: claim the directories and the place of the API's socket, open and read the database, restore
//! everything on the machine, and only then listen.  The order of an end: stop taking changes, stop listening, have the machine
//! finish what guests have in flight, let go of the database and the directories.  An end takes no longer than
//! [`END`], whatever hangs.

use crate::configfs_door;
use crate::directories::{self, RuntimeDir, StateDir};
use crate::growth;
use crate::machine::{Machine, Occasion};
use crate::options::Options;
use crate::saveconfig::SaveConfig;
use crate::server::{self, Service};
use crate::start_error::StartError;
use crate::store::{Store, Units};
use crate::watchdog::{Probe, Watchdog};
use crate::wish::HostChance;
use crate::{service_manager, state_driver, watchdog};
use model::{Model, plan};
use rustix::process::{Resource, Rlimit};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};
use vhost_scsi::{LAST_COMMANDS, SocketName};

/// What a machine is made for.
pub struct Host<'a> {
    /// Where its sockets go.
    pub runtime_dir: &'a Path,
    /// The group that its sockets are given; `None` keeps the daemon's own.
    pub socket_group: Option<u32>,
    /// How many threads move guests' data.
    pub reactors: u16,
    /// What units remember from before, and where it is kept.
    pub units: Units,
}

/// How long a thread of the control plane that has done its work waits for more.
const IDLE_THREAD: Duration = Duration::from_secs(1);

/// How long an end may take in all.  The service manager must be more patient than that: `TimeoutStopSec=` of the
/// unit.
pub const END: Duration = Duration::from_secs(10);

/// How long the last changes may take once the daemon ends: as long as one waits for what it took away.
const LAST_CHANGES: Duration = Duration::from_secs(6);

/// How long the last answers may take to leave.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What is left of [`END`] when the machine is to have ended, for closing.
const LAST_SECOND: Duration = Duration::from_secs(1);

const _: () = assert!(
    LAST_CHANGES.as_secs() + LAST_ANSWERS.as_secs() + LAST_COMMANDS.as_secs() + LAST_SECOND.as_secs()
        <= END.as_secs(),
    "there is time left for what guests have in flight"
);

/// Runs a daemon until it is told to end by SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`], where it does not come to run.
pub fn run<M: Machine>(
    options: &Options,
    make_machine: impl FnOnce(Host<'_>) -> Result<M, StartError>,
) -> Result<(), StartError> {
    raise_open_files();
    let (state_dir, runtime_dir) = (options.state_dir()?, options.runtime_dir()?);
    let state_dir = StateDir::claim(&state_dir)?;
    state_dir.must_not_be(&runtime_dir)?;
    let runtime_dir = RuntimeDir::claim(&runtime_dir, options.socket_group.as_deref())?;
    directories::keep_new_files_private();
    // Whatever is in its place stops the start before any guest is let in.
    let api = server::bind(runtime_dir.path())?;
    let store = Store::open(&state_dir)?;
    let _closing = store.closing();
    let model = store.load()?;
    let units = store.units()?;
    let boot = units.boot.clone();
    let machine = Arc::new(make_machine(Host {
        runtime_dir: runtime_dir.path(),
        socket_group: runtime_dir.socket_group(),
        reactors: options.reactors(),
        units,
    })?);
    let model = restore(&*machine, model)?;
    info!("restored {} storage objects and {} targets", model.backstores().len(), model.targets().len());

    let own_path = runtime_dir.path().to_owned();
    let started =
        state_driver::start(model, store, Arc::clone(&machine), Box::new(HostChance), own_path.clone());
    let (handle, running) = started.map_err(|source| StartError::Host { source })?;
    machine.owned_by(&handle);
    let owner = handle.probe();
    let watched = growth::watch(Arc::clone(&machine), handle.clone());
    watched.map_err(|source| StartError::Host { source })?;
    let tree = options.configfs.as_deref().map(|dir| configfs_door::open(&handle, dir)).transpose()?;
    let service = Service::new(handle, SaveConfig::new(state_dir.path()))
        .with_tree(tree.as_ref().map(configfs::Mounted::dir));
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_keep_alive(IDLE_THREAD)
        .build()
        .map_err(|source| StartError::Host { source })?;
    let served = tokio.block_on(async {
        let mut signals = Signals::new()?;
        let (api, name) = api.listen()?;
        let metrics = match options.metrics {
            Some(at) => Some(server::listen_for_metrics(at).await?),
            None => None,
        };
        // Nothing fails from here on.
        boot.note();
        info!("serving {}", directories::api_socket(&own_path).display());
        service_manager::ready(&machine.live());
        let _watchdog = watch(&*machine, owner);
        let serving = server::serve(&service, api, metrics);
        tokio::pin!(serving);
        tokio::select! {
            () = &mut serving => {}
            () = signals.recv() => {}
        }
        service_manager::stopping();
        info!("stopping");
        tokio::select! {
            () = end(&service, running, &mut serving, name, &machine) => info!("stopped"),
            () = signals.recv() => warn!("told again to end: what guests have in flight is left for the next lunard"),
        }
        Ok(())
    });
    // Threads that hang on a disk do not keep the process.
    tokio.shutdown_background();
    drop(tree);
    served
}

/// Makes the machine run what was configured.  A medium that is not there is no reason not to start.
fn restore<M: Machine>(machine: &M, mut model: Model) -> Result<Model, StartError> {
    let steps = plan(&Model::default(), &model);
    let prepared = machine.prepare(&steps, Occasion::Restore);
    let prepared =
        prepared.map_err(|fault| StartError::Restore { message: fault.message, hint: fault.hint })?;
    for found in machine.found(&prepared) {
        model.learn_limits(&found.backstore, &found.beyond);
        match found.size_bytes {
            Some(bytes) => model.learn_size(&found.backstore, bytes),
            None => warn!("storage object {} is missing: its LUNs answer NOT READY", found.backstore),
        }
    }
    machine.commit(prepared);
    Ok(model)
}

/// The order of an end, within [`END`].
async fn end<M: Machine>(
    service: &Service,
    running: state_driver::Running,
    serving: impl Future<Output = ()>,
    name: SocketName,
    machine: &Arc<M>,
) {
    let deadline = Instant::now() + END;
    // Every change that waits is answered; the connections end as their answers leave.
    let changes = spawn_blocking(move || running.stop());
    if timeout(LAST_CHANGES, changes).await.is_err() {
        warn!("a change is under way and hangs: it is not waited for any longer");
    }
    service.stop();
    // A request that its sender never ends gets no answer.
    let _ = timeout(LAST_ANSWERS, serving).await;
    drop(name);
    let machine = Arc::clone(machine);
    let stopped = spawn_blocking(move || machine.stop(deadline - LAST_SECOND));
    match timeout(deadline.saturating_duration_since(Instant::now()), stopped).await {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(left))) => {
            warn!("{left}");
            service_manager::left(&left);
        }
        Ok(Err(_)) | Err(_) => warn!("what guests have in flight is left for the next lunard"),
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let signals = |kind| signal(kind).map_err(|source| StartError::Host { source });
        Ok(Self {
            terminate: signals(SignalKind::terminate())?,
            interrupt: signals(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Begins to tell the service manager that the daemon lives, where it wants to hear it.
fn watch<M: Machine>(machine: &M, owner: Probe) -> Option<Watchdog> {
    let timeout = sd_notify::watchdog_enabled()?;
    let tokio = tokio::runtime::Handle::current();
    let api = Probe::new("api", move |answer| {
        tokio.spawn(async move {
            let _ = answer.send(());
        });
    });
    let probes = machine.probes().into_iter().chain([owner, api]).collect();
    let started = watchdog::start(timeout, probes, service_manager::alive);
    started.map_err(|err| warn!("there is no thread for the watchdog: {err}")).ok()
}

/// A target has a handful of descriptors, so the soft limit of 1024 is soon too low.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if rustix::process::setrlimit(Resource::Nofile, raised).is_err() {
        warn!("cannot raise the limit of open files");
    }
}
