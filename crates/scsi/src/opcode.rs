// SPDX-License-Identifier: Apache-2.0 OR MIT
//! THE table of commands.
//!
//! Above: [`decode`], `rsoc`, and whoever wants to know which commands exist.
//! Below: the parsers of `cdb`.
//! Never here: what a command does.
//!
//! To add a command: write its parser in a chapter of `cdb`, and one row in [`OPCODES`], in its place by
//! operation code and service action (the order is checked when this compiles).

use crate::cdb::{CDB_BYTES_MAX, Cdb, Command, block, primary};
use crate::{Sense, field};

/// A command, or one service action of a command.
pub struct Opcode {
    /// The name that the standard gives it.
    pub name: &'static str,
    /// CDB USAGE DATA of SPC-4 6.35.3: the operation code, then a one for each bit that a unit with every
    /// capability looks at; the SERVICE ACTION field holds its value.  The length is that of the CDB.
    pub usage: &'static [u8],
    /// The value of the SERVICE ACTION field where the operation code has one.
    pub service_action: Option<u16>,
    /// The attribute without which the command does not exist.
    pub feature: Option<Feature>,
    /// Bits of byte 1 (DPO, FUA) that are refused unless [`Capabilities::dpofua`].
    pub dpofua_bits: u8,
    /// Bits of byte 1 (RDPROTECT and its kin) that are refused unless the unit has protection information.
    pub protect_bits: u8,
    parse: fn(Cdb<'_>) -> Result<Command, Sense>,
}

/// An attribute that makes commands exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `emulate_rsoc`.
    ReportSupportedOperationCodes,
}

/// What of the table a unit has, as its attributes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// DPO and FUA may be set: the unit has a write cache and `emulate_fua_write`.  The DPOFUA bit of MODE
    /// SENSE says the same.
    pub dpofua: bool,
    /// `emulate_rsoc`.
    pub report_supported_operation_codes: bool,
}

impl Capabilities {
    /// Returns whether the unit has `command` at all.
    #[must_use]
    pub fn has(&self, opcode: &Opcode) -> bool {
        match opcode.feature {
            None => true,
            Some(Feature::ReportSupportedOperationCodes) => self.report_supported_operation_codes,
        }
    }

    /// Returns the bits of byte 1 that this unit refuses in a CDB of `opcode`.
    #[must_use]
    pub fn refused_bits(&self, opcode: &Opcode) -> u8 {
        let dpofua = if self.dpofua { 0 } else { opcode.dpofua_bits };
        field::union(dpofua, opcode.protect_bits)
    }

    /// Refuses a command that this unit does not have, or a bit of it: what REPORT SUPPORTED OPERATION
    /// CODES would say, applied to a command.
    ///
    /// # Errors
    ///
    /// INVALID OPCODE where an attribute switched the command off; INVALID FIELD IN CDB for DPO or FUA on a
    /// unit without them (SBC-3 5.10, 5.32) and for protection information that the unit was not formatted
    /// with (SBC-3 4.21.2).
    pub fn admit(&self, command: &Command) -> Result<(), Sense> {
        let (cached, protect) = match command {
            Command::Read(read) => (read.fua || read.dpo, read.protect),
            Command::Write(write) => (write.fua || write.dpo, write.protect),
            Command::Verify(verify) => (verify.dpo, verify.protect),
            Command::ReportSupportedOperationCodes(_) if !self.report_supported_operation_codes => {
                return Err(Sense::INVALID_OPCODE);
            }
            _ => (false, 0),
        };
        if (cached && !self.dpofua) || protect != 0 {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        Ok(())
    }
}

impl Opcode {
    const fn new(
        name: &'static str,
        usage: &'static [u8],
        parse: fn(Cdb<'_>) -> Result<Command, Sense>,
    ) -> Self {
        Self { name, usage, service_action: None, feature: None, dpofua_bits: 0, protect_bits: 0, parse }
    }

    const fn service_action(self, service_action: u16) -> Self {
        Self { service_action: Some(service_action), ..self }
    }

    const fn feature(self, feature: Feature) -> Self {
        Self { feature: Some(feature), ..self }
    }

    /// READ and WRITE: protection bits 7..=5, DPO 4, FUA 3.
    const fn media(self) -> Self {
        Self { dpofua_bits: 0x18, protect_bits: 0xe0, ..self }
    }

    /// VERIFY: protection bits 7..=5, DPO 4.
    const fn media_without_fua(self) -> Self {
        Self { dpofua_bits: 0x10, protect_bits: 0xe0, ..self }
    }

    /// Returns the operation code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        self.usage[0]
    }

    /// Returns the length of the CDB in bytes.
    #[must_use]
    pub const fn cdb_bytes(&self) -> usize {
        self.usage.len()
    }

    /// Returns what orders the table: the operation code, then the service action.
    const fn order(&self) -> (u8, u16) {
        match self.service_action {
            Some(service_action) => (self.code(), service_action),
            None => (self.code(), 0),
        }
    }
}

/// Every command that there is, ordered by operation code, then by service action.
#[rustfmt::skip]
pub const OPCODES: &[Opcode] = &[
    Opcode::new("TEST UNIT READY", &[0x00, 0, 0, 0, 0, 0x04], primary::test_unit_ready),
    Opcode::new("REQUEST SENSE", &[0x03, 0x01, 0, 0, 0xff, 0x04], primary::request_sense),
    Opcode::new("READ (6)", &[0x08, 0x1f, 0xff, 0xff, 0xff, 0x04], block::read_6),
    Opcode::new("WRITE (6)", &[0x0a, 0x1f, 0xff, 0xff, 0xff, 0x04], block::write_6),
    Opcode::new("INQUIRY", &[0x12, 0x01, 0xff, 0xff, 0xff, 0x04], primary::inquiry),
    Opcode::new("MODE SENSE (6)", &[0x1a, 0x08, 0xff, 0xff, 0xff, 0x04], primary::mode_sense_6),
    Opcode::new("START STOP UNIT", &[0x1b, 0x01, 0, 0x0f, 0xf3, 0x04], primary::start_stop_unit),
    Opcode::new("READ CAPACITY (10)", &[0x25, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0x04], primary::read_capacity_10),
    Opcode::new("READ (10)", &[0x28, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], block::read_10).media(),
    Opcode::new("WRITE (10)", &[0x2a, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], block::write_10).media(),
    Opcode::new("VERIFY (10)", &[0x2f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], block::verify_10)
        .media_without_fua(),
    Opcode::new("SYNCHRONIZE CACHE (10)", &[0x35, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04],
        block::synchronize_cache_10),
    Opcode::new("MODE SENSE (10)", &[0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04], primary::mode_sense_10),
    Opcode::new("READ (16)", &[0x88, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04],
        block::read_16).media(),
    Opcode::new("WRITE (16)", &[0x8a, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04],
        block::write_16).media(),
    Opcode::new("VERIFY (16)", &[0x8f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04],
        block::verify_16).media_without_fua(),
    Opcode::new("SYNCHRONIZE CACHE (16)", &[0x91, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04],
        block::synchronize_cache_16),
    Opcode::new("READ CAPACITY (16)", &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04],
        primary::read_capacity_16).service_action(0x10),
    Opcode::new("REPORT LUNS", &[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], primary::report_luns),
    Opcode::new("REPORT SUPPORTED OPERATION CODES", &[0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04],
        primary::report_supported_operation_codes).service_action(0x0c).feature(Feature::ReportSupportedOperationCodes),
    Opcode::new("READ (12)", &[0xa8, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], block::read_12).media(),
    Opcode::new("WRITE (12)", &[0xaa, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], block::write_12).media(),
    Opcode::new("VERIFY (12)", &[0xaf, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], block::verify_12)
        .media_without_fua(),
];

/// For each operation code, where its rows begin; they end where those of the next code begin.
const FIRST_ROW: [u8; 257] = first_rows();

const fn first_rows() -> [u8; 257] {
    let mut first = [0; 257];
    let mut row: u8 = 0;
    let mut code: usize = 0;
    while code < 256 {
        first[code] = row;
        while (row as usize) < OPCODES.len() && OPCODES[row as usize].code() as usize == code {
            row += 1;
        }
        code += 1;
    }
    first[256] = row;
    // A row out of order would have been passed by.
    assert!(row as usize == OPCODES.len(), "OPCODES must be in the order of the operation codes");
    first
}

const _: () = {
    let mut row = 1;
    while row < OPCODES.len() {
        let (before, here) = (OPCODES[row - 1].order(), OPCODES[row].order());
        assert!(before.0 < here.0 || (before.0 == here.0 && before.1 < here.1), "two rows for one command");
        row += 1;
    }
};

/// Returns the rows of an operation code: none, one, or one for each service action.
#[must_use]
pub fn rows(code: u8) -> &'static [Opcode] {
    let code = usize::from(code);
    let (first, end) = (usize::from(FIRST_ROW[code]), usize::from(FIRST_ROW[code + 1]));
    OPCODES.get(first..end).unwrap_or_default()
}

/// Reads a CDB.
///
/// Looks at no more bytes than the command has, and not at reserved bits.
///
/// # Errors
///
/// INVALID OPCODE for a command or service action that is not in the table, INVALID FIELD IN CDB for a value
/// that no unit of ours accepts.  What depends on the unit is [`Capabilities::admit`]'s.
pub fn decode(cdb: &[u8; CDB_BYTES_MAX]) -> Result<Command, Sense> {
    let opcode = find(cdb).ok_or(Sense::INVALID_OPCODE)?;
    refuse_naca(opcode, cdb)?;
    (opcode.parse)(field::Fields(cdb))
}

/// Returns the row of a CDB, if it is in the table.
#[must_use]
pub fn find(cdb: &[u8; CDB_BYTES_MAX]) -> Option<&'static Opcode> {
    let fields = field::Fields(cdb);
    match rows(fields.byte::<0>()) {
        [] => None,
        [only] if only.service_action.is_none() => Some(only),
        several => {
            let wanted = Some(u16::from(fields.bits::<1, 4, 0>()));
            several.iter().find(|opcode| opcode.service_action == wanted)
        }
    }
}

/// SAM-5 5.2: NACA = 1 asks for an auto contingent allegiance, which we do not have (NORMACA = 0).
fn refuse_naca(opcode: &Opcode, cdb: &[u8; CDB_BYTES_MAX]) -> Result<(), Sense> {
    let control = cdb.get(opcode.cdb_bytes() - 1).copied().unwrap_or_default();
    if field::Fields(&[control]).bit::<0, 2>() { Err(Sense::INVALID_FIELD_IN_CDB) } else { Ok(()) }
}
