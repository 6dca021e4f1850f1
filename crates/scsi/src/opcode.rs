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
use Repeat::Harmless;

/// A command, or one service action of a command.
pub struct Opcode {
    /// The name that the standard gives it.
    pub name: &'static str,
    /// CDB USAGE DATA of the one_command format: the operation code, then a one for each bit that a unit with every
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
    /// Whether the command may be executed again when nobody knows whether it was.
    pub repeat: Repeat,
    /// Which persistent reservations of another nexus it passes.
    pub access: Access,
    /// Whether it passes a reservation that another nexus took with RESERVE.
    pub passes_legacy: bool,
    /// What it does about a unit attention.
    pub attention: AttentionRule,
    parse: fn(Cdb<'_>) -> Result<Command, Sense>,
}

/// What becomes of a command that a process took and died with: the one that follows has to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It is executed again.  It changes nothing, or leaves the same behind however often it is done, wholly or in
    /// part: its initiator waits for it, so that nothing which depends on it has been done.
    Harmless,
    /// It is not, and ends without a status: what it does depends on what is there, and it may be done already.
    Never,
}

/// Which persistent reservations of another nexus a command passes; a nexus that is registered passes those of the
/// types for registrants whatever it asks for.  SPC-4, commands that are allowed in the presence of various
/// reservations; SBC-3, the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All.
    Always,
    /// Those that are exclusive for writing.
    Reads,
    /// None.  A command of which nothing is said has this.
    Writes,
}

/// What a command does about a unit attention.  SPC-4, unit attention conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionRule {
    /// It is not done: the attention is its answer.
    Reported,
    /// It is done, and the attention stays.
    Passed,
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

    /// Reads a CDB for this unit: [`decode`], and what the unit does not have is refused.  REPORT SUPPORTED
    /// OPERATION CODES says the same, from the same rows.
    ///
    /// # Errors
    ///
    /// As [`decode`]; INVALID OPCODE where an attribute switched the command off; INVALID FIELD IN CDB for
    /// DPO or FUA on a unit without them (SBC-3, DPOFUA), and for protection information that the unit was not
    /// formatted with (SBC-3, RDPROTECT and its kin).
    pub fn decode(&self, cdb: &[u8; CDB_BYTES_MAX]) -> Result<Command, Sense> {
        self.parse(self.find(cdb), cdb)
    }

    /// Returns the row of a CDB, if the unit has the command.
    #[must_use]
    pub fn find(&self, cdb: &[u8; CDB_BYTES_MAX]) -> Option<&'static Opcode> {
        find(cdb).filter(|opcode| self.has(opcode))
    }

    /// Reads a CDB whose row [`Capabilities::find`] returned.
    ///
    /// # Errors
    ///
    /// As [`Capabilities::decode`].
    pub fn parse(&self, row: Option<&Opcode>, cdb: &[u8; CDB_BYTES_MAX]) -> Result<Command, Sense> {
        let opcode = row.ok_or(Sense::INVALID_OPCODE)?;
        if field::intersect(cdb[1], self.refused_bits(opcode)) {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        opcode.parse(cdb)
    }
}

impl Opcode {
    const fn new(
        name: &'static str,
        usage: &'static [u8],
        repeat: Repeat,
        parse: fn(Cdb<'_>) -> Result<Command, Sense>,
    ) -> Self {
        let (service_action, feature) = (None, None);
        let (access, passes_legacy, attention) = (Access::Writes, false, AttentionRule::Reported);
        let (dpofua_bits, protect_bits) = (0, 0);
        Self {
            name,
            usage,
            service_action,
            feature,
            dpofua_bits,
            protect_bits,
            repeat,
            access,
            passes_legacy,
            attention,
            parse,
        }
    }

    const fn service_action(self, service_action: u16) -> Self {
        Self { service_action: Some(service_action), ..self }
    }

    const fn feature(self, feature: Feature) -> Self {
        Self { feature: Some(feature), ..self }
    }

    /// A command that only asks for what is on the medium, or how the unit is set.
    const fn reads(self) -> Self {
        Self { access: Access::Reads, ..self }
    }

    /// A command that passes every persistent reservation.
    const fn always(self) -> Self {
        Self { access: Access::Always, ..self }
    }

    /// A command that passes every reservation, RESERVE's too.
    const fn passes_legacy(self) -> Self {
        Self { access: Access::Always, passes_legacy: true, ..self }
    }

    /// A command that is done although an attention is pending.
    const fn passes_attention(self) -> Self {
        Self { attention: AttentionRule::Passed, ..self }
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

    fn parse(&self, cdb: &[u8; CDB_BYTES_MAX]) -> Result<Command, Sense> {
        // SAM-5, CONTROL byte: NACA = 1 asks for an auto contingent allegiance, which we do not have (NORMACA = 0).
        let control = cdb.get(self.cdb_bytes() - 1).copied().unwrap_or_default();
        if field::Fields(&[control]).bit::<0, 2>() {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        (self.parse)(field::Fields(cdb))
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
    Opcode::new("TEST UNIT READY", &[0x00, 0, 0, 0, 0, 0x04], Harmless, primary::test_unit_ready).always(),
    Opcode::new("REQUEST SENSE", &[0x03, 0x01, 0, 0, 0xff, 0x04], Harmless, primary::request_sense).passes_legacy().passes_attention(),
    Opcode::new("READ (6)", &[0x08, 0x1f, 0xff, 0xff, 0xff, 0x04], Harmless, block::read_6).reads(),
    Opcode::new("WRITE (6)", &[0x0a, 0x1f, 0xff, 0xff, 0xff, 0x04], Harmless, block::write_6),
    Opcode::new("INQUIRY", &[0x12, 0x01, 0xff, 0xff, 0xff, 0x04], Harmless, primary::inquiry).passes_legacy().passes_attention(),
    Opcode::new("MODE SENSE (6)", &[0x1a, 0x08, 0xff, 0xff, 0xff, 0x04], Harmless, primary::mode_sense_6).reads(),
    Opcode::new("START STOP UNIT", &[0x1b, 0x01, 0, 0x0f, 0xf3, 0x04], Harmless, primary::start_stop_unit).always(),
    Opcode::new("READ CAPACITY (10)", &[0x25, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0x04], Harmless, primary::read_capacity_10).always(),
    Opcode::new("READ (10)", &[0x28, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless, block::read_10).media().reads(),
    Opcode::new("WRITE (10)", &[0x2a, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless, block::write_10).media(),
    Opcode::new("VERIFY (10)", &[0x2f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless, block::verify_10)
        .media_without_fua().reads(),
    Opcode::new("SYNCHRONIZE CACHE (10)", &[0x35, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless,
        block::synchronize_cache_10).reads(),
    Opcode::new("MODE SENSE (10)", &[0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04], Harmless, primary::mode_sense_10).reads(),
    Opcode::new("READ (16)", &[0x88, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        block::read_16).media().reads(),
    Opcode::new("WRITE (16)", &[0x8a, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        block::write_16).media(),
    Opcode::new("VERIFY (16)", &[0x8f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        block::verify_16).media_without_fua().reads(),
    Opcode::new("SYNCHRONIZE CACHE (16)", &[0x91, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        block::synchronize_cache_16).reads(),
    Opcode::new("READ CAPACITY (16)", &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        primary::read_capacity_16).service_action(0x10).always(),
    Opcode::new("REPORT LUNS", &[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, primary::report_luns).passes_legacy().passes_attention(),
    Opcode::new("REPORT SUPPORTED OPERATION CODES", &[0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        primary::report_supported_operation_codes).service_action(0x0c).feature(Feature::ReportSupportedOperationCodes).reads(),
    Opcode::new("READ (12)", &[0xa8, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, block::read_12).media().reads(),
    Opcode::new("WRITE (12)", &[0xaa, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, block::write_12).media(),
    Opcode::new("VERIFY (12)", &[0xaf, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, block::verify_12)
        .media_without_fua().reads(),
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
/// that no unit of ours accepts.  For what depends on the unit see [`Capabilities::decode`].
pub fn decode(cdb: &[u8; CDB_BYTES_MAX]) -> Result<Command, Sense> {
    find(cdb).ok_or(Sense::INVALID_OPCODE)?.parse(cdb)
}

/// An operation code that only tests have, of a command that is not executed again.
#[cfg(feature = "test-utils")]
pub const DONE_ONCE: u8 = 0xc1;

/// Returns whether the command of a CDB may be executed again.  One that is not in the table may: it is refused,
/// now as before.
#[must_use]
pub fn repeat_of(cdb: &[u8; CDB_BYTES_MAX]) -> Repeat {
    #[cfg(feature = "test-utils")]
    if cdb[0] == DONE_ONCE {
        return Repeat::Never;
    }
    find(cdb).map_or(Harmless, |opcode| opcode.repeat)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn decoded(bytes: &[u8]) -> Result<Command, Sense> {
        let mut cdb = [0xff; CDB_BYTES_MAX]; // What follows a CDB has no meaning.
        cdb[..bytes.len()].copy_from_slice(bytes);
        decode(&cdb)
    }

    #[test]
    fn no_command_and_no_name_is_in_the_table_twice() {
        let (mut commands, mut names) = (HashSet::new(), HashSet::new());
        for opcode in OPCODES {
            assert!(commands.insert((opcode.code(), opcode.service_action)), "{}", opcode.name);
            assert!(names.insert(opcode.name), "{}", opcode.name);
        }
        assert_eq!(commands.len(), 23);
    }

    #[test]
    fn an_operation_code_has_service_actions_or_has_none() {
        for opcode in OPCODES.iter().filter(|opcode| opcode.service_action.is_none()) {
            assert_eq!(rows(opcode.code()).len(), 1, "{}", opcode.name);
        }
    }

    #[test]
    fn each_operation_code_leads_to_its_rows() {
        for code in 0..=u8::MAX {
            let expected: Vec<_> =
                OPCODES.iter().filter(|row| row.code() == code).map(|row| row.name).collect();
            let found: Vec<_> = rows(code).iter().map(|row| row.name).collect();
            assert_eq!(found, expected, "{code:02x}");
        }
    }

    #[test]
    fn a_cdb_is_as_long_as_the_group_of_its_operation_code_says() {
        for opcode in OPCODES {
            let bytes = match opcode.code() {
                0x00..=0x1f => 6,
                0x20..=0x5f => 10,
                0x80..=0x9f => 16,
                0xa0..=0xbf => 12,
                _ => panic!("{} belongs to no group", opcode.name),
            };
            assert_eq!(opcode.cdb_bytes(), bytes, "{}", opcode.name);
        }
    }

    #[test]
    fn usage_data_holds_the_service_action_and_naca() {
        for opcode in OPCODES {
            if let Some(service_action) = opcode.service_action {
                assert_eq!(u16::from(opcode.usage[1]), service_action, "{}", opcode.name);
            }
            assert_eq!(opcode.usage.last(), Some(&0x04), "{}", opcode.name);
            let conditional = opcode.dpofua_bits | opcode.protect_bits;
            assert_eq!(opcode.usage[1] & conditional, conditional, "{}", opcode.name);
        }
    }

    #[test]
    fn a_command_passes_the_reservations_that_the_standards_say() {
        // Written out: whoever adds a row says here which column of SPC's and SBC's tables it has.
        let always = [0x00, 0x03, 0x12, 0x1b, 0x25, 0x9e, 0xa0];
        let reads = [0x08, 0x1a, 0x28, 0x2f, 0x35, 0x5a, 0x88, 0x8f, 0x91, 0xa3, 0xa8, 0xaf];
        let legacy = [0x03, 0x12, 0xa0];
        for opcode in OPCODES {
            let code = opcode.code();
            let expected = match (always.contains(&code), reads.contains(&code)) {
                (true, _) => Access::Always,
                (_, true) => Access::Reads,
                _ => Access::Writes,
            };
            assert_eq!(opcode.access, expected, "{}", opcode.name);
            assert_eq!(opcode.passes_legacy, legacy.contains(&code), "{}", opcode.name);
        }
    }

    #[test]
    fn only_inquiry_report_luns_and_request_sense_pass_a_unit_attention() {
        for opcode in OPCODES {
            let passes = opcode.attention == AttentionRule::Passed;
            assert_eq!(passes, [0x03, 0x12, 0xa0].contains(&opcode.code()), "{}", opcode.name);
        }
    }

    #[test]
    fn a_command_is_executed_again_only_if_it_leaves_the_same_behind() {
        // Written out, so that whoever adds a row must say here too what it does when it is done twice.
        let reads = [0x00, 0x03, 0x08, 0x12, 0x1a, 0x25, 0x28, 0x5a, 0x88, 0x9e, 0xa0, 0xa3, 0xa8];
        let verifies = [0x2f, 0x8f, 0xaf];
        // The same data in the same place, before any later write to it is answered.
        let writes = [0x0a, 0x2a, 0x8a, 0xaa];
        let flushes_and_says_so = [0x1b, 0x35, 0x91];
        let harmless = [&reads[..], &verifies, &writes, &flushes_and_says_so].concat();
        for opcode in OPCODES {
            let expected = if harmless.contains(&opcode.code()) { Repeat::Harmless } else { Repeat::Never };
            assert_eq!(opcode.repeat, expected, "{}", opcode.name);
            let mut cdb = [0; CDB_BYTES_MAX];
            cdb[..opcode.cdb_bytes()].copy_from_slice(opcode.usage);
            assert_eq!(repeat_of(&cdb), expected, "{}", opcode.name);
        }
        assert_eq!(OPCODES.len(), harmless.len());
    }

    #[test]
    fn an_unknown_operation_code_is_invalid() {
        assert_eq!(decoded(&[0x04, 0, 0, 0, 0, 0]), Err(Sense::INVALID_OPCODE));
        assert_eq!(decoded(&[0x7e, 0, 0, 0, 0, 0]), Err(Sense::INVALID_OPCODE));
        assert_eq!(decoded(&[0xff, 0, 0, 0, 0, 0]), Err(Sense::INVALID_OPCODE));
    }

    fn decoded_for(unit: Capabilities, bytes: &[u8]) -> Result<(), Sense> {
        let mut cdb = [0xff; CDB_BYTES_MAX];
        cdb[..bytes.len()].copy_from_slice(bytes);
        unit.decode(&cdb).map(drop)
    }

    #[test]
    fn dpo_and_fua_need_a_unit_that_has_them() {
        let without = Capabilities { dpofua: false, report_supported_operation_codes: true };
        let with = Capabilities { dpofua: true, ..without };
        let write_fua = [0x2a, 0x08, 0, 0, 0, 0, 0, 0, 1, 0];
        let read_dpo = [0x88, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
        let verify_dpo = [0x2f, 0x10, 0, 0, 0, 0, 0, 0, 1, 0];
        for cdb in [&write_fua[..], &read_dpo, &verify_dpo] {
            assert_eq!(decoded_for(without, cdb), Err(Sense::INVALID_FIELD_IN_CDB), "{cdb:02x?}");
            assert_eq!(decoded_for(with, cdb), Ok(()), "{cdb:02x?}");
        }
        assert_eq!(decoded_for(without, &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Ok(()));
    }

    #[test]
    fn the_same_bits_of_a_six_byte_command_are_an_address() {
        let without = Capabilities { dpofua: false, report_supported_operation_codes: true };
        assert_eq!(decoded_for(without, &[0x08, 0x1f, 0, 0, 1, 0]), Ok(()));
        assert_eq!(decoded_for(without, &[0x0a, 0x1f, 0, 0, 1, 0]), Ok(()));
    }

    #[test]
    fn protection_information_is_refused_in_every_form() {
        let unit = Capabilities { dpofua: true, report_supported_operation_codes: true };
        for opcode in [0x28, 0x2a, 0x2f, 0x88, 0x8a, 0x8f, 0xa8, 0xaa, 0xaf] {
            for protect in [0x20, 0x40, 0x80] {
                let mut cdb = [0; 16];
                cdb[..2].copy_from_slice(&[opcode, protect]);
                assert_eq!(decoded_for(unit, &cdb), Err(Sense::INVALID_FIELD_IN_CDB), "{cdb:02x?}");
            }
        }
    }

    #[test]
    fn an_attribute_can_take_a_command_away() {
        let with = Capabilities { dpofua: true, report_supported_operation_codes: true };
        let without = Capabilities { report_supported_operation_codes: false, ..with };
        let cdb = [0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];
        assert_eq!(decoded_for(with, &cdb), Ok(()));
        assert_eq!(decoded_for(without, &cdb), Err(Sense::INVALID_OPCODE));
        let with_a_bad_field = [0xa3, 0x0c, 7, 0, 0, 0, 0, 0, 4, 0, 0, 0];
        assert_eq!(decoded_for(without, &with_a_bad_field), Err(Sense::INVALID_OPCODE));
    }
}
