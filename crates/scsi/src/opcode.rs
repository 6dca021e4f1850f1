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
    /// Some blocks are reached otherwise than others.
    Referrals,
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
    /// REPORT REFERRALS is there.
    pub referrals: bool,
}

#[cfg(test)]
impl Capabilities {
    /// All of it.
    pub(crate) const ALL: Self = Self {
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
        referrals: true,
    };
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
            Some(Feature::Referrals) => self.referrals,
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
    Opcode::new("REZERO UNIT", &[0x01, 0, 0, 0, 0, 0x04], Harmless, block::rezero_unit).reads(),
    Opcode::new("REQUEST SENSE", &[0x03, 0x01, 0, 0, 0xff, 0x04], Harmless, primary::request_sense).passes_legacy().passes_attention()
        .reach(Reach::Always),
    Opcode::new("FORMAT UNIT", &[0x04, 0xff, 0, 0, 0, 0x04], Harmless, media::format_unit).without(0xc8),
    Opcode::new("READ (6)", &[0x08, 0x1f, 0xff, 0xff, 0xff, 0x04], Harmless, block::read_6).reads(),
    Opcode::new("WRITE (6)", &[0x0a, 0x1f, 0xff, 0xff, 0xff, 0x04], Harmless, block::write_6),
    Opcode::new("SEEK (6)", &[0x0b, 0x1f, 0xff, 0xff, 0, 0x04], Harmless, block::seek_6).reads(),
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
    Opcode::new("SEEK (10)", &[0x2b, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x04], Harmless, block::seek_10).reads(),
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
    Opcode::new("REPORT REFERRALS", &[0x9e, 0x13, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x04], Harmless,
        media::report_referrals).service_action(0x13).feature(Feature::Referrals).always(),
    Opcode::new("REPORT LUNS", &[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], Harmless, primary::report_luns).passes_legacy().passes_attention()
        .reach(Reach::Always),
    Opcode::new("REPORT IDENTIFYING INFORMATION", &[0xa3, 0x05, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x04], Harmless,
        primary::report_identifying_information).service_action(0x05).always(),
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
mod tests; // of the table
