// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The places of guests' sockets.
//!
//! Above: `running`, `seek`.  Below: `vhost-scsi`, which binds.
//! Never here: which targets there are.
//!
//! A change may remove a target and make it anew while somebody looks whether the place of its socket has become free.  One of them
//! would find the other's socket there, or remove it: so whoever binds or removes one has all places for himself.

use super::fault::socket_fault;
use crate::directories::guest_socket;
use crate::machine::Fault;
use model::Wwn;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vhost_scsi::Bound;

/// The places of guests' sockets.
#[derive(Debug)]
pub(super) struct Places {
    runtime_dir: PathBuf,
    socket_group: Option<u32>,
    lock: Mutex<()>,
}

/// The places of guests' sockets, for who binds or removes one.
pub(super) struct Held<'a> {
    places: &'a Places,
    _lock: MutexGuard<'a, ()>,
}

impl Places {
    pub(super) fn new(runtime_dir: PathBuf, socket_group: Option<u32>) -> Self {
        Self { runtime_dir, socket_group, lock: Mutex::default() }
    }

    /// Where the socket of a target is.
    pub(super) fn of(&self, wwn: &Wwn) -> PathBuf {
        guest_socket(&self.runtime_dir, wwn)
    }

    /// Has them for oneself.  Never asked for by who holds what runs (`State`), which is taken after this.
    pub(super) fn hold(&self) -> Held<'_> {
        Held { places: self, _lock: self.lock.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl Held<'_> {
    /// Binds the socket of a target.
    pub(super) fn bind(&self, wwn: &Wwn) -> Result<Bound, Fault> {
        let path = self.places.of(wwn);
        Bound::bind(&path, self.places.socket_group).map_err(|error| socket_fault(&path, &error))
    }
}

/// Why a target has no socket, and the way out, in one line.
pub(super) fn why_not(fault: Fault) -> String {
    let Fault { message, hint, .. } = fault;
    hint.map_or_else(|| message.clone(), |hint| format!("{message}; {hint}"))
}
