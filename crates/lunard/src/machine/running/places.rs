// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The places of guests' sockets.
//!
//! Above: `running`, `seek`.  Below: `vhost-scsi`, which binds.
//! Never here: which targets there are.

use super::fault::socket_fault;
use crate::directories::guest_socket;
use crate::machine::Fault;
use model::Wwn;
use std::path::PathBuf;
use vhost_scsi::Bound;

/// The places of guests' sockets.
#[derive(Debug)]
pub(super) struct Places {
    runtime_dir: PathBuf,
    socket_group: Option<u32>,
}

impl Places {
    pub(super) fn new(runtime_dir: PathBuf, socket_group: Option<u32>) -> Self {
        Self { runtime_dir, socket_group }
    }

    /// Where the socket of a target is.
    pub(super) fn of(&self, wwn: &Wwn) -> PathBuf {
        guest_socket(&self.runtime_dir, wwn)
    }

    /// Binds the socket of a target.
    pub(super) fn bind(&self, wwn: &Wwn) -> Result<Bound, Fault> {
        let path = self.of(wwn);
        Bound::bind(&path, self.socket_group).map_err(|error| socket_fault(&path, &error))
    }
}

/// Why a target has no socket, and the way out, in one line.
pub(super) fn why_not(fault: Fault) -> String {
    let Fault { message, hint, .. } = fault;
    hint.map_or_else(|| message.clone(), |hint| format!("{message}; {hint}"))
}
