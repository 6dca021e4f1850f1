// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SCSI as bytes and their meaning.
//!
//! Above: `target`, which decides what a command does; `vhost-scsi`, which carries LUN fields and sense;
//! `initiator`, which speaks the other side.
//! Below: nothing of Lunar.
//! Never here: state, I/O, threads, or a guest's buffer.  A function of this crate is handed facts and
//! returns bytes, or is handed bytes and returns facts; it never panics on what a guest sent.
//!
//! One table, [`opcode::OPCODES`], is the truth about which commands exist: [`decode`], the length of a
//! CDB and REPORT SUPPORTED OPERATION CODES are derived from it.
//!
//! Comments cite SPC-4, SBC-3 and SAM-5 by the titles of their clauses and fields: the numbers of clauses
//! differ from one revision to the next, the titles do not.

#![forbid(unsafe_code)]

mod field; // where fields lie in bytes: the only shifts and masks
mod geometry; // blocks and how many there are       SBC
mod lun; // the addresses of logical units            SAM
mod sense; // why a command was refused               SPC
mod status; // how a command ended                    SAM

mod cdb; // a command as the guest meant it           SPC, SBC
pub mod opcode; // THE table                          SPC

// The answers and the parameter lists, a file for each.
pub mod alua;
pub mod capacity;
pub mod copy;
pub mod defects;
pub mod format;
pub mod identifying;
pub mod inquiry;
pub mod lba_status;
pub mod log;
pub mod mode;
pub mod persistent;
pub mod referrals;
pub mod report_luns;
pub mod rsoc;
pub mod sanitize;
pub mod task_functions;
pub mod unmap;
pub mod vpd;

pub use cdb::block::{Read, Seek, SynchronizeCache, Verify, Write};
pub use cdb::copy::{CopyOperatingParameters, CopyQuestion, CopyResults, ExtendedCopy};
pub use cdb::log::{LogSelect, LogSense, ReceiveDiagnosticResults};
pub use cdb::media::{
    FormatUnit, GetLbaStatus, PreFetch, PreventAllowMediumRemoval, ReadDefectData, ReportReferrals, Sanitize,
    SanitizeKind, Unmap, WriteAtomic, WriteSame,
};
pub use cdb::primary::{
    IdentifyingInformation, Inquiry, ModeSelect, ModeSense, PageControl, ReadCapacity16,
    ReportIdentifyingInformation, ReportLuns, ReportSupportedOperationCodes,
    ReportSupportedTaskManagementFunctions, ReportingOption, RequestSense, SelectReport, StartStop,
    StartStopUnit,
};
pub use cdb::reservation::{
    PersistentReserveIn, PersistentReserveInAction, PersistentReserveOut, PersistentReserveOutAction,
};
pub use cdb::{CDB_BYTES_MAX, Command, DataPhase};
pub use geometry::{BlockCount, Geometry, Lba};
pub use lun::{Address, Lun};
pub use opcode::{Capabilities, decode};
pub use sense::{EncodedSense, SENSE_BYTES_MAX, Sense, SenseFormat, SenseKey, Specific};
pub use status::Status;
