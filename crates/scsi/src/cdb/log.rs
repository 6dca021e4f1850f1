// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands about what a unit has counted, and about its tests of itself.  SPC-4.
//!
//! Above: `opcode`, whose table names these parsers.
//! Below: `field`.
//! Never here: the answers, which `log` builds.

use crate::Sense;
use crate::cdb::{Cdb, Command};

/// Asks for a log page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSense {
    /// PC = 01b: the values that were counted, and no thresholds or defaults.
    pub is_cumulative: bool,
    /// The page.
    pub page: u8,
    /// The subpage.
    pub subpage: u8,
    /// PARAMETER POINTER: those from this one on.
    pub first_parameter: u16,
    /// The most bytes to return.
    pub allocation_bytes: u16,
}

/// Asks to forget what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSelect {
    /// PCR: all of it.
    pub reset: bool,
    /// The length of the parameter list.
    pub list_bytes: u16,
}

/// Asks for a diagnostic page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveDiagnosticResults {
    /// The most bytes to return.
    pub allocation_bytes: u16,
}

pub(crate) fn log_sense(cdb: Cdb<'_>) -> Result<Command, Sense> {
    // SP: nothing is saved.
    if cdb.bit::<1, 0>() {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    Ok(Command::LogSense(LogSense {
        is_cumulative: cdb.bits::<2, 7, 6>() == 1,
        page: cdb.bits::<2, 5, 0>(),
        subpage: cdb.byte::<3>(),
        first_parameter: cdb.be16::<5>(),
        allocation_bytes: cdb.be16::<7>(),
    }))
}

pub(crate) fn log_select(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (saves, reset, list_bytes) = (cdb.bit::<1, 0>(), cdb.bit::<1, 1>(), cdb.be16::<7>());
    // SPC-4, LOG SELECT: PCR and a parameter list exclude each other; and one page alone is not reset.
    if saves || (reset && list_bytes != 0) || cdb.bits::<2, 5, 0>() != 0 || cdb.byte::<3>() != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    Ok(Command::LogSelect(LogSelect { reset, list_bytes }))
}

pub(crate) fn receive_diagnostic_results(cdb: Cdb<'_>) -> Result<Command, Sense> {
    // PCV: without it, what the last SEND DIAGNOSTIC asked for, of which there is nothing.
    if cdb.bit::<1, 0>() && cdb.byte::<2>() != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let allocation_bytes = cdb.be16::<3>();
    Ok(Command::ReceiveDiagnosticResults(ReceiveDiagnosticResults { allocation_bytes }))
}

/// SPC-4, SEND DIAGNOSTIC: the default self-test, and those in the foreground, which have ended with the answer.
pub(crate) fn send_diagnostic(cdb: Cdb<'_>) -> Result<Command, Sense> {
    let (code, default) = (cdb.bits::<1, 7, 5>(), cdb.bit::<1, 2>());
    match (code, default, cdb.be16::<3>()) {
        (0, self_test, 0) => Ok(Command::SendDiagnostic { self_test }),
        (0b101 | 0b110, false, 0) => Ok(Command::SendDiagnostic { self_test: true }),
        _ => Err(Sense::INVALID_FIELD_IN_CDB),
    }
}
