// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One target's socket.
//!
//! Above: `lunard` binds it while it prepares a change, and serves it once the change is made.
//! Below: `connection`, `place`.
//! Never here: what a front end says.

use crate::connection;
use crate::place::SocketName;
use crate::port::TargetPort;
use crate::reactors::Reactors;
use rustix::fs::{Gid, Mode};
use rustix::io::Errno;
use rustix::net::Shutdown;
use std::collections::HashMap;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

/// Front ends connected to one target at a time.  One runs rings; another may wait, as a migration's
/// destination does; more are turned away.
const CONNECTIONS_MAX: usize = 8;
const STACK_BYTES: usize = 256 * 1024;
/// Who may connect: the daemon's user, and the group.
const SOCKET_MODE: Mode = Mode::from_raw_mode(0o660);

/// A socket that has its name and does not serve yet.  Dropped, the name goes.
pub struct Bound {
    listener: UnixListener,
    name: SocketName,
    /// The thread that will accept, started already: to begin to serve cannot fail.
    thread: thread::JoinHandle<()>,
    begin: mpsc::Sender<Arc<Shared>>,
}

impl Bound {
    /// Binds a socket, for `group` where there is one and the process may give things to it.  A name that a daemon left behind is taken over.
    ///
    /// # Errors
    /// Those of [`SocketName::bind`].
    pub fn bind(path: &Path, group: Option<u32>) -> io::Result<Self> {
        let (listener, name) = SocketName::bind(path)?;
        rustix::fs::chmod(path, SOCKET_MODE)?;
        if let Some(group) = group {
            match rustix::fs::chown(path, None, Some(Gid::from_raw(group))) {
                // A user who is not of the group: then his own guests alone may connect.
                Ok(()) | Err(Errno::PERM) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let (begin, begun) = mpsc::channel();
        let accepting = listener.try_clone()?;
        let thread =
            thread::Builder::new().name("accept".into()).stack_size(STACK_BYTES).spawn(move || {
                // An error means that the target was never made.
                if let Ok(shared) = begun.recv() {
                    accept(&accepting, &shared);
                }
            })?;
        Ok(Self { listener, name, thread, begin })
    }

    /// Begins to serve.
    pub fn serve(self, port: Arc<TargetPort>, reactors: Arc<Reactors>) -> Endpoint {
        let Self { listener, name, thread, begin } = self;
        port.announcer.begin();
        let shared = Arc::new(Shared {
            port,
            reactors,
            open: Mutex::new(HashMap::new()),
            closing: AtomicBool::new(false),
        });
        assert!(begin.send(Arc::clone(&shared)).is_ok(), "the thread waits for this");
        Endpoint { listener, name, shared, thread: Some(thread) }
    }
}

/// A socket that serves.  Dropped, it closes, with its connections.
pub struct Endpoint {
    listener: UnixListener,
    name: SocketName,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Shared {
    port: Arc<TargetPort>,
    reactors: Arc<Reactors>,
    /// The connections, so that they can be ended from outside.
    open: Mutex<HashMap<u64, UnixStream>>,
    closing: AtomicBool,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, UnixStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    /// The target.
    pub fn port(&self) -> &Arc<TargetPort> {
        &self.shared.port
    }

    /// Where front ends connect.
    pub fn path(&self) -> &Path {
        self.name.path()
    }

    /// Turns away all who connect from now on.  Who is connected stays.
    pub fn stop_accepting(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // A listening socket that is shut down wakes whoever waits in accept.
        let _ = rustix::net::shutdown(&self.listener, Shutdown::Both);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop_accepting();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for socket in self.shared.open().values() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    let mut next = 0;
    while !shared.closing.load(Ordering::SeqCst) {
        let socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) => {
                if Errno::from_io_error(&error) == Some(Errno::INVAL) {
                    return;
                }
                // Out of descriptors or memory: it may pass, and until then there is nothing to be done.
                if let Some(suppressed) = shared.port.log.spend(Instant::now()) {
                    tracing::warn!(target = shared.port.wwn(), suppressed, %error, "cannot accept a front end");
                }
                thread::sleep(std::time::Duration::from_secs(1));
                continue;
            }
        };
        next += 1;
        begin(socket, next, shared);
    }
}

fn begin(socket: UnixStream, number: u64, shared: &Arc<Shared>) {
    let log = |what: &str| {
        if let Some(suppressed) = shared.port.log.spend(Instant::now()) {
            tracing::info!(target = shared.port.wwn(), suppressed, "{what}");
        }
    };
    let Ok(copy) = socket.try_clone() else { return };
    {
        let mut open = shared.open();
        if open.len() >= CONNECTIONS_MAX {
            drop(open);
            return log("a front end was turned away: too many are connected to this target");
        }
        open.insert(number, copy);
    }
    log("a front end connected");
    let serving = Arc::clone(shared);
    let spawned = thread::Builder::new().name("connection".into()).stack_size(STACK_BYTES).spawn(move || {
        let closed = connection::serve(socket, &serving.port, &serving.reactors);
        serving.open().remove(&number);
        // At the end of all service it is we who closed it.
        if serving.closing.load(Ordering::SeqCst) {
            return;
        }
        if let Some(suppressed) = serving.port.log.spend(Instant::now()) {
            tracing::info!(target = serving.port.wwn(), suppressed, "{closed}");
        }
    });
    if spawned.is_err() {
        shared.open().remove(&number);
        log("a front end was turned away: no thread is to be had");
    }
}
