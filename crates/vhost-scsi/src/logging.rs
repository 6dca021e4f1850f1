// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a queue needs to log what it writes to its guest, while a migration is under way.
//!
//! Above: `connection`, which gives it and takes it; `queue` and `worker`, which have one branch for it.
//! Below: `memory`'s dirty log.
//! Never here: whether logging is wanted.

use memory::{DirtyLog, GuestAddress};
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A dirty log as one queue has it.
pub(crate) struct Logging {
    pub(crate) log: Arc<DirtyLog>,
    /// The guest's address of the used ring, where writes to that are logged too.
    pub(crate) used: Option<GuestAddress>,
    /// Told of new marks, where the front end wants to be.
    pub(crate) signal: Option<OwnedFd>,
    /// Ends the connection if the log is cut short.
    pub(crate) line: Arc<Line>,
}

/// A connection as its queues can end it.
pub(crate) struct Line {
    socket: UnixStream,
    cut: AtomicBool,
}

impl Line {
    pub(crate) fn new(socket: &UnixStream) -> io::Result<Self> {
        Ok(Self { socket: socket.try_clone()?, cut: AtomicBool::new(false) })
    }

    /// Ends the connection, whose thread finds out by its socket.
    pub(crate) fn cut(&self) {
        if !self.cut.swap(true, Ordering::AcqRel) {
            // The one system call of its own that a worker makes: at once over, and once a connection.
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}
