// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From start to end.
//!
//! Above: `main`, which chooses the machine.  Below: everything.
//! Never here: how any of it works.
//!
//! The order of a start: claim the directories, open and read the database, restore everything on the
//! machine, and only then listen.  The order of an end: stop taking changes, stop listening, stop the
//! machine, let go of the database and the directories.

use crate::configfs_door;
use crate::directories::{self, RuntimeDir, StateDir};
use crate::machine::{Machine, Occasion};
use crate::options::Options;
use crate::saveconfig::SaveConfig;
use crate::server::{self, Service};
use crate::start_error::StartError;
use crate::state_driver;
use crate::store::Store;
use crate::wish::HostChance;
use model::{Model, plan};
use rustix::process::{Resource, Rlimit};
use sd_notify::NotifyState;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// What a machine is made for.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// Where its sockets go.
    pub runtime_dir: &'a Path,
    /// The group that its sockets are given; `None` keeps the daemon's own.
    pub socket_group: Option<u32>,
    /// How many threads move guests' data.
    pub reactors: u16,
}

/// How long a thread of the control plane that has done its work waits for more.
const IDLE_THREAD: Duration = Duration::from_secs(1);

/// How long the last answers may take to leave once the daemon ends.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

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
    let runtime_dir = RuntimeDir::claim(&runtime_dir, options.socket_group.as_deref())?;
    directories::keep_new_files_private();
    let store = Store::open(&state_dir)?;
    let model = store.load()?;
    let machine = Arc::new(make_machine(Host {
        runtime_dir: runtime_dir.path(),
        socket_group: runtime_dir.socket_group(),
        reactors: options.reactors(),
    })?);
    let model = restore(&*machine, model)?;
    info!("restored {} storage objects and {} targets", model.backstores().len(), model.targets().len());

    let own_path = runtime_dir.path().to_owned();
    let started =
        state_driver::start(model, store, Arc::clone(&machine), Box::new(HostChance), own_path.clone());
    let (handle, running) = started.map_err(|source| StartError::Host { source })?;
    let tree = options.configfs.as_deref().map(|dir| configfs_door::open(&handle, dir)).transpose()?;
    let service = Service::new(handle, SaveConfig::new(state_dir.path()));
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_keep_alive(IDLE_THREAD)
        .build()
        .map_err(|source| StartError::Host { source })?;
    let served = tokio.block_on(serve(&service, &own_path, options, running));
    tokio.shutdown_background();
    drop(tree);
    machine.stop();
    info!("stopped");
    served
}

/// Makes the machine run what was configured.  A medium that is not there is no reason not to start.
fn restore<M: Machine>(machine: &M, mut model: Model) -> Result<Model, StartError> {
    let steps = plan(&Model::default(), &model);
    let prepared = machine.prepare(&steps, Occasion::Restore);
    let prepared =
        prepared.map_err(|fault| StartError::Restore { message: fault.message, hint: fault.hint })?;
    for found in machine.found(&prepared) {
        match found.size_bytes {
            Some(bytes) => model.learn_size(&found.backstore, bytes),
            None => warn!("storage object {} is missing: its LUNs answer NOT READY", found.backstore),
        }
    }
    machine.commit(prepared);
    Ok(model)
}

async fn serve(
    service: &Service,
    runtime_dir: &Path,
    options: &Options,
    running: state_driver::Running,
) -> Result<(), StartError> {
    let signals = |kind| signal(kind).map_err(|source| StartError::Host { source });
    let (mut terminate, mut interrupt) =
        (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let api = server::listen(runtime_dir)?;
    let metrics = match options.metrics {
        Some(at) => Some(server::listen_for_metrics(at).await?),
        None => None,
    };
    info!("serving {}", directories::api_socket(runtime_dir).display());
    notify(NotifyState::Ready);
    let serving = server::serve(service, api, metrics);
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    notify(NotifyState::Stopping);
    info!("stopping");
    // From here on every change that waits is answered; the connections end as their answers leave.
    running.stop();
    service.stop();
    // A request that its sender never ends gets no answer.
    let _ = tokio::time::timeout(LAST_ANSWERS, serving).await;
    let _ = std::fs::remove_file(directories::api_socket(runtime_dir));
    Ok(())
}

fn notify(state: NotifyState<'_>) {
    if let Err(err) = sd_notify::notify(&[state]) {
        warn!("cannot notify the service manager: {err}");
    }
}

/// A target has a handful of descriptors, so the soft limit of 1024 is soon too low.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if rustix::process::setrlimit(Resource::Nofile, raised).is_err() {
        warn!("cannot raise the limit of open files");
    }
}
