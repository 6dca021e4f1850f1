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

/// Asks what copies can be made.  RECEIVE COPY RESULTS has no other service action here: a copy is answered when it has
/// ended, so that there is no other result to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOperatingParameters {
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

pub(crate) fn extended_copy(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::ExtendedCopy(ExtendedCopy { list_bytes: cdb.be32::<10>() }))
}

pub(crate) fn copy_operating_parameters(cdb: Cdb<'_>) -> Result<Command, Sense> {
    Ok(Command::CopyOperatingParameters(CopyOperatingParameters { allocation_bytes: cdb.be32::<10>() }))
}
