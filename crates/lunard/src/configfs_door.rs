// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's tree in the file system: what it needs of this daemon.
//!
//! Above: `daemon`, which opens it where `--configfs` says.  Below: `configfs`, the handle of `state_driver`.
//! Never here: a path or a text of the tree.

use crate::machine::{self, Countable, Statistics};
use crate::start_error::StartError;
use crate::state_driver::{Failure, Handle};
use api::v1;
use configfs::{
    Counters, Daemon, Denied, Host, LiveBackstore, LiveDevice, LiveRegistrant, LiveReservations, Mounted,
    Tree,
};
use model::{BackstoreId, Change, Model, Place, Wwn};
use rustix::io::Errno;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};
use target::{Managed, NexusName, Registration, Reservations};
use tokio::sync::oneshot::Receiver;
use tracing::info;

/// How long a write, a mkdir or the like may wait: whoever waits for the file system cannot be killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Mounts the tree.  It goes with the value returned.
///
/// # Errors
/// [`StartError::Configfs`].
pub fn open(handle: &Handle, dir: &Path) -> Result<Mounted, StartError> {
    let tree = Tree::new(Arc::new(Door(handle.clone())), Host::this());
    let mounted = configfs::mount(tree, dir).map_err(|source| StartError::Configfs { source })?;
    handle.watch(mounted.changed());
    info!("LIO's tree is at {}", dir.display());
    Ok(mounted)
}

#[derive(Debug)]
struct Door(Handle);

impl Daemon for Door {
    fn model(&self) -> Arc<Model> {
        self.0.model()
    }

    fn backstore(&self, id: &BackstoreId) -> Option<LiveBackstore> {
        self.0.live_backstore(id).map(backstore)
    }

    fn connected(&self, wwn: &Wwn) -> bool {
        self.0.connected(wwn)
    }

    fn reservations(&self, id: &BackstoreId) -> Option<LiveReservations> {
        self.0.reservations(id).as_ref().map(reserved)
    }

    fn counted(&self, backstore: &BackstoreId) -> Option<Counters> {
        self.0.counted(&Countable::Backstore(backstore.clone())).map(counters)
    }

    fn counted_at(&self, place: &Place) -> Option<Counters> {
        self.0.counted(&Countable::Lun(place.clone())).map(counters)
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), Denied> {
        match wait(self.0.make(changes), Instant::now() + PATIENCE) {
            Some(Ok(_)) => Ok(()),
            Some(Err(failure)) => Err(denied(failure)),
            None => {
                let message =
                    format!("it took longer than {} seconds, and was taken back", PATIENCE.as_secs());
                Err(Denied::Fault { message, errno: Errno::TIMEDOUT })
            }
        }
    }
}

fn reserved(live: &Reservations) -> LiveReservations {
    let registrant = |(nexus, registration): (&NexusName, &Registration)| LiveRegistrant {
        initiator: nexus.initiator.clone(),
        relative_port: nexus.relative_port,
        key: registration.key,
        generation: registration.generation,
        all_target_ports: registration.all_target_ports,
        holds: live.held.as_ref().is_some_and(|held| held.holder == *nexus),
    };
    LiveReservations {
        generation: live.generation,
        outlasts_power: live.outlasts_power,
        registrants: live.registrations.iter().map(registrant).collect(),
        kind: live.held.as_ref().map(|held| held.kind.code()),
        legacy: live.legacy.as_ref().map(|nexus| nexus.initiator.clone()),
    }
}

fn counters(counts: Statistics) -> Counters {
    let Statistics { asked, managed: Managed { resets, aborted, nothing_to_abort } } = counts;
    let (read_bytes, write_bytes) = (asked.moved.read.bytes, asked.moved.write.bytes);
    Counters { commands: asked.commands(), read_bytes, write_bytes, resets, aborted, nothing_to_abort }
}

fn backstore(live: machine::LiveBackstore) -> LiveBackstore {
    let machine::LiveBackstore {
        size_bytes,
        block_bytes,
        physical_block_bytes,
        read_only,
        device,
        transitioning,
        ..
    } = live;
    let device = device.map(|device| {
        let machine::LiveDevice { name, major, minor, block_bytes, rotational } = device;
        LiveDevice { name, major, minor, block_bytes, rotational }
    });
    LiveBackstore { size_bytes, block_bytes, physical_block_bytes, read_only, device, transitioning }
}

fn denied(failure: Failure) -> Denied {
    let message = failure.to_string();
    let errno = match failure {
        Failure::Refused(refusal) => return Denied::Refused(refusal),
        Failure::Fault(fault) => fault.errno,
        // The tree restores no file, and applies none.
        Failure::Restore(_) | Failure::Moved => Errno::INVAL,
        Failure::Save(_) => Errno::IO,
        Failure::Busy => Errno::AGAIN,
        Failure::Stopping => Errno::SHUTDOWN,
    };
    Denied::Fault { message, errno }
}

pub(crate) type Answer = Result<v1::Applied, Failure>;

/// Waits for the answer, and takes the changes back if it does not come in time.
pub(crate) fn wait(answer: Receiver<Answer>, until: Instant) -> Option<Answer> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut answer = pin!(answer);
    loop {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
            return Some(answer.unwrap_or(Err(Failure::Stopping)));
        }
        let Some(left) = until.checked_duration_since(Instant::now()) else { break };
        std::thread::park_timeout(left);
    }
    // It may have come in this moment.
    answer.close();
    answer.try_recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[test]
    fn an_answer_is_waited_for_but_not_for_ever() {
        let (reply, answer) = oneshot::channel::<Answer>();
        let sender = std::thread::spawn(move || reply.send(Ok(v1::Applied { results: Vec::new() })).is_ok());
        let got = wait(answer, Instant::now() + Duration::from_secs(60));
        assert!(matches!(got, Some(Ok(_))));
        assert!(sender.join().unwrap());

        let (late, answer) = oneshot::channel::<Answer>();
        assert!(wait(answer, Instant::now()).is_none());
        assert!(late.is_closed(), "the changes are taken back");

        let (gone, answer) = oneshot::channel::<Answer>();
        drop(gone);
        assert!(matches!(wait(answer, Instant::now()), Some(Err(Failure::Stopping))));
    }

    #[test]
    fn a_fault_keeps_the_word_of_the_kernel() {
        let fault = machine::Fault {
            message: "Could not open /x: it does not exist".to_owned(),
            hint: None,
            kind: machine::FaultKind::Caller,
            errno: Errno::NOENT,
        };
        assert_eq!(denied(Failure::Fault(fault)).errno(), Errno::NOENT);
        assert_eq!(denied(Failure::Stopping).errno(), Errno::SHUTDOWN);
    }
}
