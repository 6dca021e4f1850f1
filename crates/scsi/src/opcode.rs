// SPDX-License-Identifier: Apache-2.0 OR MIT
//! THE table of commands.
//!
//! Above: [`decode`], `rsoc`, and whoever wants to know which commands exist.
//! Below: the parsers of `cdb`.
//! Never here: what a command does.
//!
//! To add a command: write its parser in a chapter of `cdb`, and one row in [`OPCODES`], in its place by
//! operation code and service action (the order is checked when this compiles).

use crate::alua::Reach;
use crate::cdb::{CDB_BYTES_MAX, Cdb, Command, block, copy, log, media, primary, reservation};
use crate::{Sense, field};
use Repeat::{Harmless, Never};

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
    /// Bits of the flags (DPO, FUA) that are refused unless [`Capabilities::dpofua`].
    pub dpofua_bits: u8,
    /// Bits of the flags (UNMAP of WRITE SAME) that are refused unless [`Capabilities::write_same_unmaps`].
    pub unmap_bits: u8,
    /// Bits of the flags (RDPROTECT and its kin) that are refused unless the unit has protection information.
    pub protect_bits: u8,
    /// Bits of the flags that no unit of ours has: they are refused, and shown as not there.
    pub absent_bits: u8,
    /// Whether the command may be executed again when nobody knows whether it was.
    pub repeat: Repeat,
    /// In which access states of its target port group a unit carries it out.
    pub reach: Reach,
    /// Which persistent reservations of another nexus it passes.
    pub access: Access,
    /// What its CDB has to say for it to pass all of them, where that is not up to the command as such.
    pub passes_as: Option<Saying>,
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

/// What a byte of a CDB says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saying {
    /// Which byte.
    pub byte: usize,
    /// Which of its bits.
    pub mask: u8,
    /// What they are.
    pub value: u8,
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
    /// `emulate_tpu`, on a medium that can give space back.
    Unmap,
    /// `emulate_caw`.
    CompareAndWrite,
    /// `emulate_3pc`.
    ThirdPartyCopy,
    /// A medium that writes all or nothing.
    WriteAtomic,
    /// Space that can be given back, however it is asked for.
    Provisioning,
    /// A medium that can be taken out.
    Removable,
    /// The type of access of the target port group has explicit changes.
    SetTargetPortGroups,
    /// `emulate_pr`.
    Reservations,
}

/// What of the table a unit has, as its attributes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// DPO and FUA may be set: the unit has a write cache and `emulate_fua_write`.  The DPOFUA bit of MODE
    /// SENSE says the same.
    pub dpofua: bool,
    /// `emulate_rsoc`.
    pub report_supported_operation_codes: bool,
    /// UNMAP is there.
    pub unmap: bool,
    /// WRITE SAME with UNMAP = 1 is there.
    pub write_same_unmaps: bool,
    /// COMPARE AND WRITE is there.
    pub compare_and_write: bool,
    /// EXTENDED COPY and RECEIVE COPY RESULTS are there.
    pub third_party_copy: bool,
    /// WRITE ATOMIC (16) is there.
    pub write_atomic: bool,
    /// The medium can be taken out.
    pub removable: bool,
    /// The unit's target port group may be changed by an initiator.
    pub set_target_port_groups: bool,
    /// `emulate_pr`.
    pub reservations: bool,
}

impl Capabilities {
    /// Returns whether the unit has `command` at all.
    #[must_use]
    pub fn has(&self, opcode: &Opcode) -> bool {
        match opcode.feature {
            None => true,
            Some(Feature::ReportSupportedOperationCodes) => self.report_supported_operation_codes,
            Some(Feature::Unmap) => self.unmap,
            Some(Feature::CompareAndWrite) => self.compare_and_write,
            Some(Feature::ThirdPartyCopy) => self.third_party_copy,
            Some(Feature::WriteAtomic) => self.write_atomic,
            Some(Feature::Provisioning) => self.unmap || self.write_same_unmaps,
            Some(Feature::Removable) => self.removable,
            Some(Feature::SetTargetPortGroups) => self.set_target_port_groups,
            Some(Feature::Reservations) => self.reservations,
        }
    }

    /// Returns the flags that this unit refuses in a CDB of `opcode`: bits of the byte [`Opcode::flags_at`].
    #[must_use]
    pub fn refused_bits(&self, opcode: &Opcode) -> u8 {
        let dpofua = if self.dpofua { 0 } else { opcode.dpofua_bits };
        let unmap = if self.write_same_unmaps { 0 } else { opcode.unmap_bits };
        field::union(field::union(dpofua, unmap), field::union(opcode.protect_bits, opcode.absent_bits))
    }

    /// Reads a CDB for this unit: [`decode`], and what the unit does not have is refused.  REPORT SUPPORTED
    /// OPERATION CODES says the same, from the same rows.
    ///
    /// # Errors
    ///
    /// As [`decode`]; INVALID OPCODE where an attribute switched the operation code off; INVALID FIELD IN CDB for a service action, for
    /// DPO, FUA or UNMAP on a unit without them (SBC-3, DPOFUA), and for protection information that the unit was not
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
        let opcode = row.ok_or_else(|| absent(cdb, |row| self.has(row)))?;
        let flags = cdb.get(opcode.flags_at()).copied().unwrap_or_default();
        if field::intersect(flags, self.refused_bits(opcode)) {
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
        let reach = Reach::Blocks;
        Self {
            name,
            usage,
            service_action,
            feature,
            dpofua_bits: 0,
            unmap_bits: 0,
            protect_bits: 0,
            absent_bits: 0,
            repeat,
            access,
            passes_as: None,
            passes_legacy,
            attention,
            reach,
            parse,
        }
    }

    const fn service_action(self, service_action: u16) -> Self {
        Self { service_action: Some(service_action), ..self }
    }

    const fn feature(self, feature: Feature) -> Self {
        Self { feature: Some(feature), ..self }
    }

    const fn reach(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// A command that only asks for what is on the medium, or how the unit is set.
    const fn reads(self) -> Self {
        Self { access: Access::Reads, ..self }
    }

    /// A command that passes every persistent reservation.
    const fn always(self) -> Self {
        Self { access: Access::Always, ..self }
    }

    /// A command that passes every persistent reservation if these bits of its CDB have that value.
    const fn always_as(self, byte: usize, mask: u8, value: u8) -> Self {
        Self { passes_as: Some(Saying { byte, mask, value }), ..self }
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

    /// WRITE SAME: protection bits 7..=5, UNMAP 3.
    const fn same(self) -> Self {
        Self { unmap_bits: 0x08, protect_bits: 0xe0, ..self }
    }

    const fn without(self, absent_bits: u8) -> Self {
        Self { absent_bits, ..self }
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

    /// Returns which persistent reservations of another nexus this CDB of the command passes.
    #[must_use]
    pub fn access_of(&self, cdb: &[u8; CDB_BYTES_MAX]) -> Access {
        let says = |saying: Saying| {
            cdb.get(saying.byte).is_some_and(|byte| field::only(*byte, saying.mask) == saying.value)
        };
        if self.passes_as.is_some_and(says) { Access::Always } else { self.access }
    }

    /// Returns which byte of the CDB holds its flags: the second, or one behind the SERVICE ACTION field where that
    /// has sixteen bits (SPC-4, variable length CDB formats).
    #[must_use]
    pub const fn flags_at(&self) -> usize {
        if self.code() == VARIABLE_LENGTH { 10 } else { 1 }
    }

    /// Returns which byte of the CDB is CONTROL.
    const fn control_at(&self) -> usize {
        if self.code() == VARIABLE_LENGTH { 1 } else { self.cdb_bytes() - 1 }
    }

    fn parse(&self, cdb: &[u8; CDB_BYTES_MAX]) -> Result<Command, Sense> {
        // SAM-5, CONTROL byte: NACA = 1 asks for an auto contingent allegiance, which we do not have (NORMACA = 0).
        let control = cdb.get(self.control_at()).copied().unwrap_or_default();
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

/// The operation code of the CDBs that say how long they are.
const VARIABLE_LENGTH: u8 = 0x7f;

/// Every command that there is, ordered by operation code, then by service action.
#[rustfmt::skip]
pub const OPCODES: &[Opcode] = &[
    Opcode::new("TEST UNIT READY", &[0x00, 0, 0, 0, 0, 0x04], Harmless, primary::test_unit_ready).always(),
    Opcode::new("REQUEST SENSE", &[0x03, 0x01, 0, 0, 0xff, 0x04], Harmless, primary::request_sense).passes_legacy().passes_attention()
        .reach(Reach::Always),
    Opcode::new("FORMAT UNIT", &[0x04, 0xff, 0, 0, 0, 0x04], Harmless, media::format_unit).without(0xc8),
    Opcode::new("READ (6)", &[0x08, 0x1f, 0xff, 0xff, 0xff, 0x04], Harmless, block::read_6).reads(),
    Opcode::new("WRITE (6)", &[0x0a, 0x1f, 0xff, 0xff, 0xff, 0x04], Harmless, block::write_6),
    Opcode::new("INQUIRY", &[0x12, 0x01, 0xff, 0xff, 0xff, 0x04], Harmless, primary::inquiry).passes_legacy().passes_attention()
        .reach(Reach::Always),
    Opcode::new("MODE SELECT (6)", &[0x15, 0x11, 0, 0, 0xff, 0x04], Harmless, primary::mode_select_6).reach(Reach::Standby),
    Opcode::new("RESERVE (6)", &[0x16, 0x11, 0, 0, 0, 0x04], Harmless, reservation::reserve_6)
        .always().feature(Feature::Reservations),
    Opcode::new("RELEASE (6)", &[0x17, 0x11, 0, 0, 0, 0x04], Harmless, reservation::release_6)
        .passes_legacy().feature(Feature::Reservations),
    Opcode::new("MODE SENSE (6)", &[0x1a, 0x08, 0xff, 0xff, 0xff, 0x04], Harmless, primary::mode_sense_6).reads().reach(Reach::Standby),
    Opcode::new("START STOP UNIT", &[0x1b, 0x01, 0, 0x0f, 0xf7, 0x04], Harmless, primary::start_stop_unit)
        // START = 1 and POWER CONDITION = 0.
        .always_as(4, 0xf1, 0x01),
    Opcode::new("RECEIVE DIAGNOSTIC RESULTS", &[0x1c, 0x01, 0xff, 0xff, 0xff, 0x04], Harmless, log::receive_diagnostic_results).reads().reach(Reach::Standby),
    Opcode::new("SEND DIAGNOSTIC", &[0x1d, 0xe4, 0, 0xff, 0xff, 0x04], Harmless, log::send_diagnostic).reach(Reach::Standby),
    Opcode::new("PREVENT ALLOW MEDIUM REMOVAL", &[0x1e, 0, 0, 0, 0x03, 0x04], Harmless, media::prevent_allow_medium_removal)
        // PREVENT = 0.
        .feature(Feature::Removable).always_as(4, 0x03, 0x00),
    Opcode::new("READ CAPACITY (10)", &[0x25, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0x04], Harmless, primary::read_capacity_10).always().reach(Reach::Standby),
    Opcode::new("READ (10)", &[0x28, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless, block::read_10).media().reads(),
    Opcode::new("WRITE (10)", &[0x2a, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless, block::write_10).media(),
    Opcode::new("WRITE AND VERIFY (10)", &[0x2e, 0xf6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless,
        media::write_and_verify_10).media_without_fua(),
    Opcode::new("VERIFY (10)", &[0x2f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless, block::verify_10)
        .media_without_fua().reads(),
    Opcode::new("PRE-FETCH (10)", &[0x34, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless, media::pre_fetch_10).reads(),
    Opcode::new("SYNCHRONIZE CACHE (10)", &[0x35, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless,
        block::synchronize_cache_10).reads(),
    Opcode::new("READ DEFECT DATA (10)", &[0x37, 0, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0x04], Harmless, media::read_defect_data_10).reads(),
    Opcode::new("WRITE SAME (10)", &[0x41, 0xfe, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], Harmless, media::write_same_10).same()
        .without(0x16),
    Opcode::new("UNMAP", &[0x42, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], Harmless, media::unmap).feature(Feature::Unmap)
        .without(0x01),
    Opcode::new("SANITIZE, OVERWRITE", &[0x48, 0xa1, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], Never, media::sanitize_overwrite)
        .service_action(0x01),
    Opcode::new("SANITIZE, BLOCK ERASE", &[0x48, 0xa2, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], Never, media::sanitize_block_erase)
        .service_action(0x02).feature(Feature::Provisioning),
    Opcode::new("SANITIZE, EXIT FAILURE MODE", &[0x48, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], Harmless,
        media::sanitize_exit_failure_mode).service_action(0x1f),
    Opcode::new("LOG SELECT", &[0x4c, 0x03, 0x3f, 0xff, 0, 0, 0, 0xff, 0xff, 0x04], Harmless, log::log_select).reach(Reach::Standby),
    Opcode::new("LOG SENSE", &[0x4d, 0x01, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x04], Harmless, log::log_sense).always().reach(Reach::Standby),
    Opcode::new("MODE SELECT (10)", &[0x55, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], Harmless, primary::mode_select_10).reach(Reach::Standby),
    Opcode::new("RESERVE (10)", &[0x56, 0x11, 0, 0, 0, 0, 0, 0, 0, 0x04], Harmless, reservation::reserve_6)
        .always().feature(Feature::Reservations),
    Opcode::new("RELEASE (10)", &[0x57, 0x11, 0, 0, 0, 0, 0, 0, 0, 0x04], Harmless, reservation::release_6)
        .passes_legacy().feature(Feature::Reservations),
    Opcode::new("MODE SENSE (10)", &[0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04], Harmless, primary::mode_sense_10).reads().reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE IN, READ KEYS", &[0x5e, 0x00, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], Harmless,
        reservation::read_keys).service_action(0x00).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE IN, READ RESERVATION", &[0x5e, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], Harmless,
        reservation::read_reservation).service_action(0x01).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE IN, REPORT CAPABILITIES", &[0x5e, 0x02, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], Harmless,
        reservation::report_capabilities).service_action(0x02).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE IN, READ FULL STATUS", &[0x5e, 0x03, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], Harmless,
        reservation::read_full_status).service_action(0x03).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE OUT, REGISTER", &[0x5f, 0x00, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], Never,
        reservation::register).service_action(0x00).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE OUT, RESERVE", &[0x5f, 0x01, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], Harmless,
        reservation::reserve).service_action(0x01).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE OUT, RELEASE", &[0x5f, 0x02, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], Harmless,
        reservation::release).service_action(0x02).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE OUT, CLEAR", &[0x5f, 0x03, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], Never,
        reservation::clear).service_action(0x03).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE OUT, PREEMPT", &[0x5f, 0x04, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], Never,
        reservation::preempt).service_action(0x04).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE OUT, PREEMPT AND ABORT", &[0x5f, 0x05, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], Never,
        reservation::preempt_and_abort).service_action(0x05).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY", &[0x5f, 0x06, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], Harmless,
        reservation::register_and_ignore).service_action(0x06).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("PERSISTENT RESERVE OUT, REGISTER AND MOVE", &[0x5f, 0x07, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], Never,
        reservation::register_and_move).service_action(0x07).always().feature(Feature::Reservations).reach(Reach::Standby),
    Opcode::new("WRITE SAME (32)", &[0x7f, 0x04, 0, 0, 0, 0, 0, 0x18, 0x00, 0x0d, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,
        0xff, 0xff, 0xff, 0xff], Harmless, media::write_same_32).service_action(0x0d).same().without(0x16),
    Opcode::new("EXTENDED COPY (LID1)", &[0x83, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Never, copy::extended_copy)
        .service_action(0x00).feature(Feature::ThirdPartyCopy),
    Opcode::new("RECEIVE COPY STATUS (LID1)", &[0x84, 0x00, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        copy::copy_status).service_action(0x00).feature(Feature::ThirdPartyCopy),
    Opcode::new("RECEIVE COPY OPERATING PARAMETERS", &[0x84, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        copy::copy_operating_parameters).service_action(0x03).feature(Feature::ThirdPartyCopy),
    Opcode::new("RECEIVE COPY FAILURE DETAILS (LID1)", &[0x84, 0x04, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        copy::copy_failure_details).service_action(0x04).feature(Feature::ThirdPartyCopy),
    Opcode::new("READ (16)", &[0x88, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        block::read_16).media().reads(),
    Opcode::new("COMPARE AND WRITE", &[0x89, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0, 0x04], Never, media::compare_and_write)
        .media().feature(Feature::CompareAndWrite),
    Opcode::new("WRITE (16)", &[0x8a, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        block::write_16).media(),
    Opcode::new("ORWRITE (16)", &[0x8b, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Never, media::or_write_16).media(),
    Opcode::new("WRITE AND VERIFY (16)", &[0x8e, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, media::write_and_verify_16)
        .media_without_fua(),
    Opcode::new("VERIFY (16)", &[0x8f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        block::verify_16).media_without_fua().reads(),
    Opcode::new("PRE-FETCH (16)", &[0x90, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, media::pre_fetch_16).reads(),
    Opcode::new("SYNCHRONIZE CACHE (16)", &[0x91, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        block::synchronize_cache_16).reads(),
    Opcode::new("WRITE SAME (16)", &[0x93, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, media::write_same_16).same()
        .without(0x16),
    Opcode::new("WRITE ATOMIC (16)", &[0x9c, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, media::write_atomic_16).media()
        .feature(Feature::WriteAtomic),
    Opcode::new("READ CAPACITY (16)", &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        primary::read_capacity_16).service_action(0x10).always().reach(Reach::Standby),
    Opcode::new("GET LBA STATUS", &[0x9e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, media::get_lba_status).service_action(0x12).reads(),
    Opcode::new("REPORT LUNS", &[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, primary::report_luns).passes_legacy().passes_attention()
        .reach(Reach::Always),
    Opcode::new("REPORT TARGET PORT GROUPS", &[0xa3, 0xea, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        primary::report_target_port_groups).service_action(0x0a).always().reach(Reach::Always),
    Opcode::new("REPORT SUPPORTED OPERATION CODES", &[0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        primary::report_supported_operation_codes).service_action(0x0c).feature(Feature::ReportSupportedOperationCodes).reads(),
    Opcode::new("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", &[0xa3, 0x0d, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless,
        primary::report_supported_task_management_functions).service_action(0x0d).reads(),
    // What another initiator, or the administrator, has set since must stay.
    Opcode::new("SET TARGET PORT GROUPS", &[0xa4, 0x0a, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Never,
        primary::set_target_port_groups).service_action(0x0a).feature(Feature::SetTargetPortGroups)
        .reach(Reach::Unavailable),
    Opcode::new("READ (12)", &[0xa8, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, block::read_12).media().reads(),
    Opcode::new("WRITE (12)", &[0xaa, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, block::write_12).media(),
    Opcode::new("WRITE AND VERIFY (12)", &[0xae, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, media::write_and_verify_12)
        .media_without_fua(),
    Opcode::new("VERIFY (12)", &[0xaf, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, block::verify_12)
        .media_without_fua().reads(),
    Opcode::new("READ DEFECT DATA (12)", &[0xb7, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, media::read_defect_data_12).reads(),
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
/// INVALID OPCODE for an operation code that is not in the table, INVALID FIELD IN CDB for a service action or a value
/// that no unit of ours accepts.  For what depends on the unit see [`Capabilities::decode`].
pub fn decode(cdb: &[u8; CDB_BYTES_MAX]) -> Result<Command, Sense> {
    find(cdb).ok_or_else(|| absent(cdb, |_| true))?.parse(cdb)
}

/// Returns what is wrong with a CDB without a row: its operation code, or its service action alone where other ones
/// are there.  SPC-4, a reserved code value in a field.
fn absent(cdb: &[u8; CDB_BYTES_MAX], has: impl Fn(&Opcode) -> bool) -> Sense {
    let code = field::Fields(cdb).byte::<0>();
    if rows(code).iter().any(has) {
        let (byte, bit) = if code == VARIABLE_LENGTH { (8, 7) } else { (1, 4) };
        Sense::INVALID_FIELD_IN_CDB.at_cdb(byte, bit)
    } else {
        Sense::INVALID_OPCODE
    }
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
            let wanted = Some(match fields.byte::<0>() {
                VARIABLE_LENGTH => fields.be16::<8>(),
                _ => u16::from(fields.bits::<1, 4, 0>()),
            });
            several.iter().find(|opcode| opcode.service_action == wanted)
        }
    }
}

/// Returns what is enough of a CDB to name it later: its operation code, and the byte in which its service action is where
/// it may have one.
#[inline]
#[must_use]
pub fn code_of(cdb: &[u8; CDB_BYTES_MAX]) -> [u8; 2] {
    let fields = field::Fields(cdb);
    match fields.byte::<0>() {
        VARIABLE_LENGTH => [VARIABLE_LENGTH, fields.byte::<9>()],
        code => [code, fields.byte::<1>()],
    }
}

/// Returns the name that the standard gives a command, from what [`code_of`] kept of it.
#[must_use]
pub fn name_of(code: [u8; 2]) -> &'static str {
    let mut cdb = [0; CDB_BYTES_MAX];
    let [first, second] = code;
    let at = if first == VARIABLE_LENGTH { 9 } else { 1 };
    cdb[0] = first;
    cdb[at] = second;
    find(&cdb).map_or("a command without a name", |opcode| opcode.name)
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
    fn a_command_is_named_from_two_bytes_of_it() {
        for (cdb, name) in [
            (&[0x2a, 0xff][..], "WRITE (10)"),
            (&[0x35], "SYNCHRONIZE CACHE (10)"),
            (&[0x9e, 0x10], "READ CAPACITY (16)"),
            (&[0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, 0x0d], "WRITE SAME (32)"),
            (&[0xff], "a command without a name"),
        ] {
            let mut whole = [0; CDB_BYTES_MAX];
            whole[..cdb.len()].copy_from_slice(cdb);
            assert_eq!(name_of(code_of(&whole)), name);
        }
    }

    #[test]
    fn no_command_and_no_name_is_in_the_table_twice() {
        let (mut commands, mut names) = (HashSet::new(), HashSet::new());
        for opcode in OPCODES {
            assert!(commands.insert((opcode.code(), opcode.service_action)), "{}", opcode.name);
            assert!(names.insert(opcode.name), "{}", opcode.name);
        }
        assert_eq!(commands.len(), 72);
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
                0x7f => 32,
                _ => panic!("{} belongs to no group", opcode.name),
            };
            assert_eq!(opcode.cdb_bytes(), bytes, "{}", opcode.name);
        }
    }

    #[test]
    fn usage_data_holds_the_service_action_and_naca() {
        for opcode in OPCODES {
            let is_long = opcode.code() == 0x7f;
            if let Some(service_action) = opcode.service_action {
                let held = if is_long { opcode.usage[9] } else { opcode.usage[1] & 0x1f };
                assert_eq!(u16::from(held), service_action, "{}", opcode.name);
            }
            let control = if is_long { opcode.usage.get(1) } else { opcode.usage.last() };
            assert_eq!(control, Some(&0x04), "{}", opcode.name);
            let conditional =
                opcode.dpofua_bits | opcode.unmap_bits | opcode.protect_bits | opcode.absent_bits;
            let flags = if is_long { opcode.usage[10] } else { opcode.usage[1] };
            assert_eq!(flags & conditional, conditional, "{}", opcode.name);
        }
    }

    #[test]
    fn a_command_passes_the_reservations_that_the_standards_say() {
        // Written out: whoever adds a row says here which column of SPC's and SBC's tables it has.
        let always = [0x4d, 0x00, 0x03, 0x12, 0x16, 0x17, 0x25, 0x56, 0x57, 0x5e, 0x5f, 0x9e, 0xa0];
        let reads = [0x1c, 0x08, 0x1a, 0x28, 0x2f, 0x35, 0x5a, 0x88, 0x8f, 0x91, 0xa3, 0xa8, 0xaf];
        let media_reads = [0x34, 0x37, 0x90, 0xb7];
        let legacy = [0x03, 0x12, 0x17, 0x57, 0xa0];
        for opcode in OPCODES {
            let code = opcode.code();
            let reads = reads.contains(&code) || media_reads.contains(&code);
            let expected = match (always.contains(&code), reads) {
                // GET LBA STATUS, beside READ CAPACITY (16).
                _ if opcode.order() == (0x9e, 0x12) => Access::Reads,
                (true, _) => Access::Always,
                // REPORT TARGET PORT GROUPS, beside service actions that are not always done.
                (_, true) if (code, opcode.service_action) == (0xa3, Some(0x0a)) => Access::Always,
                (_, true) => Access::Reads,
                _ => Access::Writes,
            };
            assert_eq!(opcode.access, expected, "{}", opcode.name);
            assert_eq!(opcode.passes_legacy, legacy.contains(&code), "{}", opcode.name);
        }
    }

    #[test]
    fn starting_and_allowing_removal_pass_reservations_and_their_opposites_do_not() {
        let access = |bytes: &[u8]| {
            let mut cdb = [0xff; CDB_BYTES_MAX];
            cdb[..bytes.len()].copy_from_slice(bytes);
            find(&cdb).map(|row| row.access_of(&cdb))
        };
        let start_stop = |byte_4| access(&[0x1b, 0, 0, 0, byte_4, 0]);
        for starts in [0x01, /* NO_FLUSH */ 0x05, /* LOEJ */ 0x03] {
            assert_eq!(start_stop(starts), Some(Access::Always), "{starts:02x}");
        }
        for does_not in [0x00, 0x02, 0x04, /* ACTIVE */ 0x10, 0x11] {
            assert_eq!(start_stop(does_not), Some(Access::Writes), "{does_not:02x}");
        }
        let prevent = |byte_4| access(&[0x1e, 0, 0, 0, byte_4, 0]);
        assert_eq!(prevent(0), Some(Access::Always));
        assert_eq!(prevent(1), Some(Access::Writes));
        assert_eq!(access(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Some(Access::Reads));
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
        let reads = [
            0x1c, 0x1d, 0x4d, 0x00, 0x03, 0x08, 0x12, 0x1a, 0x25, 0x28, 0x5a, 0x5e, 0x88, 0x9e, 0xa0, 0xa3,
            0xa8,
        ];
        let more_reads = [0x37, 0x84, 0xb7];
        // Whoever has it gets it again, and whoever has it not releases nothing.
        let reserves = [0x16, 0x17, 0x56, 0x57];
        // RESERVE and RELEASE too, and REGISTER AND IGNORE EXISTING KEY. The others depend on the key that is there.
        let persistently = [(0x5f, Some(1)), (0x5f, Some(2)), (0x5f, Some(6))];
        let verifies = [0x2f, 0x8f, 0xaf, 0x34, 0x90];
        // The same data in the same place, before any later write to it is answered.
        let writes = [0x0a, 0x2a, 0x8a, 0xaa, 0x2e, 0x8e, 0xae, 0x41, 0x93, 0x7f, 0x9c];
        let gives_up_the_same_blocks = [0x42];
        let changes_nothing_or_sets_a_switch = [0x04, 0x1e];
        let flushes_and_says_so = [0x1b, 0x35, 0x91];
        // The same values, whatever they were before.
        let sets = [0x15, 0x4c, 0x55];
        let harmless = [
            &reads[..],
            &more_reads,
            &reserves,
            &verifies,
            &writes,
            &gives_up_the_same_blocks,
            &changes_nothing_or_sets_a_switch,
            &flushes_and_says_so,
            &sets,
        ]
        .concat();
        let forgets_a_failure = (0x48, Some(0x1f));
        for opcode in OPCODES {
            let command = (opcode.code(), opcode.service_action);
            let is_harmless = harmless.contains(&opcode.code())
                || persistently.contains(&command)
                || command == forgets_a_failure;
            let expected = if is_harmless { Repeat::Harmless } else { Repeat::Never };
            assert_eq!(opcode.repeat, expected, "{}", opcode.name);
            let mut cdb = [0; CDB_BYTES_MAX];
            cdb[..opcode.cdb_bytes()].copy_from_slice(opcode.usage);
            assert_eq!(repeat_of(&cdb), expected, "{}", opcode.name);
        }
        // REGISTER, CLEAR, both kinds of PREEMPT, REGISTER AND MOVE, and SET TARGET PORT GROUPS; both ways to SANITIZE,
        // EXTENDED COPY, COMPARE AND WRITE and ORWRITE.
        assert_eq!(OPCODES.iter().filter(|opcode| opcode.repeat == Repeat::Never).count(), 11);
    }

    #[test]
    fn each_access_state_lets_pass_what_spc_says() {
        let passing = |state: u8| -> Vec<(u8, Option<u16>)> {
            let state = crate::alua::AccessState::parse(state).expect("a state");
            let rows = OPCODES.iter().filter(|row| row.reach.passes(state));
            rows.map(|row| (row.code(), row.service_action)).collect()
        };
        for active in [0, 1, 4] {
            assert_eq!(passing(active).len(), OPCODES.len(), "state {active}");
        }
        let all = |list: &[(u8, Option<u16>)], state: u8| {
            let passing = passing(state);
            for command in list {
                assert!(passing.contains(command), "{command:02x?} passes in state {state}");
            }
            for command in &passing {
                assert!(list.contains(command), "{command:02x?} does not pass in state {state}");
            }
        };
        // REQUEST SENSE, INQUIRY, REPORT LUNS, REPORT TARGET PORT GROUPS.
        let always = [(0x03, None), (0x12, None), (0xa0, None), (0xa3, Some(0x0a))];
        all(&always, 0xf);
        let set = [(0xa4, Some(0x0a))];
        all(&[&always[..], &set].concat(), 0x3);
        // MODE SELECT and MODE SENSE, logs, diagnostics, READ CAPACITY and what reserves persistently; not TEST UNIT READY.
        let plain = [0x15, 0x1a, 0x1c, 0x1d, 0x25, 0x4c, 0x4d, 0x55, 0x5a].map(|code| (code, None));
        let standby = [&plain[..], &[(0x9e, Some(0x10))]].concat();
        let reserving =
            (0..4).map(|action| (0x5e, Some(action))).chain((0..8).map(|action| (0x5f, Some(action))));
        let reserving: Vec<_> = reserving.collect();
        all(&[&always[..], &set, &standby, &reserving].concat(), 0x2);
        all(&[], 0xe);
    }

    #[test]
    fn an_unknown_operation_code_is_invalid() {
        assert_eq!(decoded(&[0x05, 0, 0, 0, 0, 0]), Err(Sense::INVALID_OPCODE));
        assert_eq!(decoded(&[0x7e, 0, 0, 0, 0, 0]), Err(Sense::INVALID_OPCODE));
        assert_eq!(decoded(&[0xff, 0, 0, 0, 0, 0]), Err(Sense::INVALID_OPCODE));
    }

    const EVERYTHING: Capabilities = Capabilities {
        dpofua: true,
        report_supported_operation_codes: true,
        unmap: true,
        write_same_unmaps: true,
        compare_and_write: true,
        third_party_copy: true,
        write_atomic: true,
        removable: true,
        reservations: true,
        set_target_port_groups: true,
    };

    fn decoded_for(unit: Capabilities, bytes: &[u8]) -> Result<(), Sense> {
        let mut cdb = [0xff; CDB_BYTES_MAX];
        cdb[..bytes.len()].copy_from_slice(bytes);
        unit.decode(&cdb).map(drop)
    }

    #[test]
    fn dpo_and_fua_need_a_unit_that_has_them() {
        let without = Capabilities { dpofua: false, ..EVERYTHING };
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
        let without = Capabilities { dpofua: false, ..EVERYTHING };
        assert_eq!(decoded_for(without, &[0x08, 0x1f, 0, 0, 1, 0]), Ok(()));
        assert_eq!(decoded_for(without, &[0x0a, 0x1f, 0, 0, 1, 0]), Ok(()));
    }

    #[test]
    fn the_unmap_bit_of_write_same_needs_a_unit_that_has_it() {
        let without = Capabilities { write_same_unmaps: false, ..EVERYTHING };
        let mut long = [0; 32];
        long[7..11].copy_from_slice(&[0x18, 0, 0x0d, 0x08]);
        (long[0], long[31]) = (0x7f, 1);
        let short = [0x41, 0x08, 0, 0, 0, 0, 0, 0, 1, 0];
        for cdb in [&short[..], &[0x93, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], &long] {
            assert_eq!(decoded_for(without, cdb), Err(Sense::INVALID_FIELD_IN_CDB), "{cdb:02x?}");
            assert_eq!(decoded_for(EVERYTHING, cdb), Ok(()), "{cdb:02x?}");
        }
    }

    #[test]
    fn what_a_unit_lacks_takes_its_commands_away() {
        let unmap: &[u8] = &[0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let caw: &[u8] = &[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let copy: &[u8] = &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let atomic: &[u8] = &[0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let prevent: &[u8] = &[0x1e, 0, 0, 0, 0, 0];
        let erase: &[u8] = &[0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0];
        for (without, cdb) in [
            (Capabilities { unmap: false, ..EVERYTHING }, unmap),
            (Capabilities { compare_and_write: false, ..EVERYTHING }, caw),
            (Capabilities { third_party_copy: false, ..EVERYTHING }, copy),
            (Capabilities { write_atomic: false, ..EVERYTHING }, atomic),
            (Capabilities { removable: false, ..EVERYTHING }, prevent),
        ] {
            assert_eq!(decoded_for(without, cdb), Err(Sense::INVALID_OPCODE), "{cdb:02x?}");
            assert_eq!(decoded_for(EVERYTHING, cdb), Ok(()), "{cdb:02x?}");
        }
        // The operation code stays: other service actions of it are there.
        let without = Capabilities { unmap: false, write_same_unmaps: false, ..EVERYTHING };
        assert_eq!(decoded_for(without, erase), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(1, 4)));
        assert_eq!(decoded_for(EVERYTHING, erase), Ok(()));
    }

    #[test]
    fn protection_information_is_refused_in_every_form() {
        let unit = EVERYTHING;
        for opcode in
            [0x28, 0x2a, 0x2e, 0x2f, 0x41, 0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x8f, 0x93, 0xa8, 0xaa, 0xae, 0xaf]
        {
            for protect in [0x20, 0x40, 0x80] {
                let mut cdb = [0; 16];
                cdb[..2].copy_from_slice(&[opcode, protect]);
                assert_eq!(decoded_for(unit, &cdb), Err(Sense::INVALID_FIELD_IN_CDB), "{cdb:02x?}");
            }
        }
    }

    #[test]
    fn an_attribute_can_take_a_command_away() {
        let with = EVERYTHING;
        let without = Capabilities { report_supported_operation_codes: false, ..with };
        let cdb = [0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];
        assert_eq!(decoded_for(with, &cdb), Ok(()));
        assert_eq!(decoded_for(without, &cdb), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(1, 4)));
        let with_a_bad_field = [0xa3, 0x0c, 7, 0, 0, 0, 0, 0, 4, 0, 0, 0];
        assert_eq!(decoded_for(without, &with_a_bad_field), Err(Sense::INVALID_FIELD_IN_CDB.at_cdb(1, 4)));
    }
}
