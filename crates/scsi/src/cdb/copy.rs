// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Copies that the target makes by itself.  SPC-4, EXTENDED COPY (LID1) and RECEIVE COPY RESULTS.
//!
//! Above: `opcode`, whose table names these parsers.
//! Below: `field`.
//! Never here: the parameter list, which the file `copy` reads.

use crate::Sense;
use crate::cdb::{Cdb, Command};

/// Copies between units, as a parameter list says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedCopy {
    /// The length of the parameter list; 0 copies nothing and is no error.
    pub list_bytes: u32,
}

/// Asks what copies can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOperatingParameters {
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// Asks what became of a copy.  SPC-4, RECEIVE COPY STATUS (LID1) and RECEIVE COPY FAILURE DETAILS (LID1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyResults {
    /// What is asked.
    pub question: CopyQuestion,
    /// LIST IDENTIFIER, which EXTENDED COPY was given.
    pub list: u8,
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// What is asked of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyQuestion {
    /// How far it has come, and whether it has ended.
    Status,
    /// With what status and sense data it failed.
    Failure,
}

pub(crate) fn extended_copy(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::ExtendedCopy(ExtendedCopy { list_bytes: cdb.be32::<10>() }))
}

pub(crate) fn copy_operating_parameters(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::CopyOperatingParameters(CopyOperatingParameters { allocation_bytes: cdb.be32::<10>() }))
}

pub(crate) fn copy_status(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(results(CopyQuestion::Status, cdb))
}

pub(crate) fn copy_failure_details(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(results(CopyQuestion::Failure, cdb))
}

fn results(question: CopyQuestion, cdb: Cdb<'_>) -> Command {
    Command::CopyResults(CopyResults { question, list: cdb.byte::<2>(), allocation_bytes: cdb.be32::<10>() })
}
