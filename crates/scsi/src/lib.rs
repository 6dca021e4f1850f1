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
//! The revisions of the standards that comments cite are SPC-4 r37, SBC-3 r36, SAM-5 r21 and SAT/SPL as
//! they are referred to from there.

#![forbid(unsafe_code)]

mod field; // where bits and multi-byte fields lie: the only shifts and masks
mod geometry; // blocks, and how many there are                              SBC 4
mod lun; // the addresses of logical units                                    SAM 4.7
mod sense; // why a command was refused                                       SPC 4.5
mod status; // how a command ended                                            SAM 5.3

mod cdb; // a command as the guest meant it                                   SPC 6, SBC 5
pub mod opcode; // THE table                                                  SPC 4.3, 6.34

// The answers, a file for each.
pub mod capacity;
pub mod inquiry;
pub mod mode;
pub mod report_luns;
pub mod rsoc;
pub mod vpd;

pub use cdb::block::{Read, SynchronizeCache, Verify, Write};
pub use cdb::primary::{
    Inquiry, ModeSense, PageControl, ReadCapacity16, ReportLuns, ReportSupportedOperationCodes,
    ReportingOption, RequestSense, SelectReport, StartStopUnit,
};
pub use cdb::{CDB_BYTES_MAX, Command, DataPhase};
pub use geometry::{BlockCount, Geometry, Lba};
pub use lun::{Address, Lun};
pub use opcode::{Capabilities, decode};
pub use sense::{EncodedSense, SENSE_BYTES_MAX, Sense, SenseFormat, SenseKey};
pub use status::Status;
