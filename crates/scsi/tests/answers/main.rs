// SPDX-License-Identifier: Apache-2.0 OR MIT
//! CDBs in, answers out: this crate put together as a unit that has no state.
//!
//! Above: nothing.
//! Below: the public functions of `scsi`.
//! Never here: I/O; a command that moves blocks is answered with no data.

mod deviations; // where we answer otherwise than LIO, and why
mod golden; // every answer of LIO that we recorded
mod hostile; // what no initiator in its right mind sends
mod unit; // the unit under test
