// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A set of commands that are under way.
//!
//! Above: whoever waits for the end of some, or has them aborted.  Below: numbers of nexuses.
//! Never here: the commands.

use crate::nexus::NexusNumber;

/// Which commands.  A field that is `None` excludes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Those of one connection.
    pub client: Option<u64>,
    /// Those of one target, by the number of its port.
    pub port: Option<u64>,
    /// Those to one SCSI target id.
    pub target: Option<u8>,
    /// Those to one LUN, and those that work on it from another.
    pub lun: Option<u16>,
    /// Those with one tag; then the LUN is the one that they were sent to.
    pub tag: Option<u64>,
    /// Those on one backstore.
    pub store: Option<u64>,
    /// Those on the blocks of one unit, whichever unit they were sent to, and by whichever backstore and in whatever manner
    /// those are reached: by [`crate::Store::medium`].
    pub medium: Option<u64>,
    /// Those to one unit, through whatever backstore, by the number of its state, and those that work on it from another.
    pub unit: Option<u64>,
    /// Those of one nexus.  Its target port alone would not do: it may have another initiator since, as registrations outlast
    /// the target that they were made with, and the next one has its port.
    pub nexus: Option<NexusNumber>,
}

impl Scope {
    /// No command at all: who waits for its end waits until every reactor has come by.
    pub const NOTHING: Self = Self {
        client: Some(u64::MAX),
        port: None,
        target: None,
        lun: None,
        tag: None,
        store: None,
        medium: None,
        unit: None,
        nexus: None,
    };
}
