// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's core: logical units, the maps that lead to them, and the commands they execute.
//!
//! Above: `vhost-scsi`, which hands in one command at a time, and `lunard`, which publishes units and maps.
//! Below: `scsi` for bytes and their meaning, `backstore` for blocks.
//! Never here: rings, sockets, files, threads.  A command is decided here and done elsewhere: [`execute`]
//! returns an answer, or the one I/O that leads to it.
//!
//! What is shared between threads is immutable: a change publishes a new [`LunMap`], and a reader finds out
//! by one atomic load.  What a unit and a nexus remember is beside the maps, in [`UnitState`] and [`Attentions`]; a
//! command finds out by one more load whether any of it concerns it.

#![forbid(unsafe_code)]

mod admission; // whether a command may go on                               SAM
mod alua; // asymmetric access                                             SPC
mod attentions; // what a nexus has to be told first                          SAM
mod copies; // what became of copies                                           SPC
mod exclusion; // blocks that one command has for itself                      SBC (COMPARE AND WRITE)
mod execute; // a command: decided                                            SPC, SBC
mod gate; // one word between a nexus and a unit
mod lines; // where a thread counts
mod logical_unit; // what a unit is                                           SAM
mod lun_map; // address -> logical unit                                       SAM, SPC (REPORT LUNS)
mod media; // what a unit does beyond reading and writing                      SBC
mod modes; // what initiators changed of the mode pages
mod nexus; // who speaks                                                      SAM
mod reservations; // who has reserved a unit                                  SPC
mod sanitizing; // whether a medium is being freed of its contents            SBC
mod scarcity; // whether the space below gets scarce                           SBC
mod scope; // a set of commands
mod script; // commands of several steps
mod sync; // what threads meet at
mod tally; // what was asked of a unit
mod task; // one command, from arrival to answer                              SAM
mod tray; // whether the medium is in, and the unit started                    SBC
mod unit_state; // what a unit remembers

/// What it takes to carry out an [`IoPlan`]: the fabric moves bytes through these and knows no backstore.
pub mod io {
    pub use backstore::{BackstoreError, Channel, Completed, Hold, Io, IoKind, Submitted, Submitter, Token};
}

pub use alua::{AccessGroup, Alua, Membership, Steer};
pub use attentions::Attentions;
pub use exclusion::{Exclusion, Exclusions, Wake, overlap};
pub use execute::{Decision, IoPlan, Place, ScriptPlan, execute, io_failed, may_repeat};
pub use gate::{Barred, Gate, Word};
pub use logical_unit::{LogicalUnit, Store, StoreName, UnitFlags};
pub use lun_map::{Group, LunMap, Mapping, NexusLoss, Way};
pub use media::{AtomicBlocks, Media, MediaWishes};
pub use modes::{ModeChanges, Selected};
pub use nexus::{Nexus, NexusName, NexusNumber};
pub use reservations::{Held, Kind, REGISTRATIONS_MAX, Registration, Reservations};
pub use sanitizing::{Sanitize, SanitizeState, SanitizeWork, Sanitized, Sanitizing};
pub use scarcity::{Crossing, Scarcity};
pub use scope::Scope;
pub use script::{Abort, Claim, Helper, Outcome, Reply, Script, Step, Told};
pub use tally::{Failure, Kind as Counted, Managed, Tallies, Tally, Totals};
pub use task::{Answer, Buffers, Ended, TaskAttribute};
pub use tray::{By, Readiness, Tray};
pub use unit_state::{NotPersisted, Persist, SelectedModes, To, UnitRecord, UnitState, Volatile};

#[cfg(test)]
#[path = "attentions/tests.rs"]
mod attentions_tests;
#[cfg(test)]
#[path = "gate/tests.rs"]
mod gate_tests;
