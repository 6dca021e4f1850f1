// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A unit that decodes, admits, checks ranges and builds answers, and does nothing else.
//!
//! Above: the tests beside it.
//! Below: the public functions of `scsi`.
//! Never here: an expectation.

use scsi::inquiry::{Identity, InquiryFlags, Peripheral};
use scsi::lba_status::Extent;
use scsi::mode::{ModeState, UaInterlock};
use scsi::referrals::Referrals;
use scsi::vpd::{ExtendedInquiry, Facts, Limits, Port, Provisioning};
use scsi::{
    BlockCount, CDB_BYTES_MAX, Capabilities, Command, Geometry, Lun, Sense, StartStop, StartStopUnit, alua,
    capacity, copy, defects, identifying, inquiry, lba_status, log, mode, report_luns, rsoc, vpd,
};
use scsi::{PersistentReserveInAction, persistent, task_functions};

/// An answer: data or sense key, code and qualifier.
pub(crate) type Answer = Result<Vec<u8>, [u8; 3]>;

#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) identity: Identity,
    pub(crate) flags: InquiryFlags,
    pub(crate) port: Port,
    pub(crate) extended: ExtendedInquiry,
    pub(crate) limits: Limits,
    pub(crate) provisioning: Provisioning,
    pub(crate) solid_state: bool,
    pub(crate) geometry: Geometry,
    pub(crate) write_cache: bool,
    pub(crate) luns: Vec<Lun>,
}

impl Unit {
    /// Returns LIO's fileio unit of the recordings: `serial` is the last digit of its serial number.
    pub(crate) fn lio(serial: u8) -> Self {
        Self {
            identity: Identity {
                vendor: *b"LIO-ORG ",
                product: *b"FILEIO          ",
                revision: *b"4.0 ",
                unit_serial: format!("3f9e2c5a-7d41-4f0e-9b7a-00000000000{serial}"),
                company_id: 0x00_1405,
            },
            flags: InquiryFlags {
                peripheral: Peripheral::Disk,
                removable: false,
                implicit_alua: true,
                explicit_alua: true,
                third_party_copy: true,
                protect: false,
                multi_port: false,
            },
            port: Port {
                target_wwn: String::from("naa.5001405000000001"),
                tpg_tag: 1,
                relative_port: 1,
                tg_pt_group: Some(0),
                lu_group: Some(0),
            },
            extended: ExtendedInquiry { head_of_queue: true, ordered: true, volatile_cache: true },
            limits: Limits {
                granularity_blocks: 1,
                transfer_blocks_max: 0x4000,
                transfer_blocks_optimal: 0x4000,
                compare_and_write_blocks_max: 1,
                ..Limits::default()
            },
            provisioning: Provisioning::default(),
            solid_state: false,
            geometry: Geometry {
                blocks: BlockCount(131_072),
                block_bytes: 512,
                physical_exponent: 0,
                lowest_aligned: 0,
            },
            write_cache: true,
            luns: (0..6).filter_map(Lun::new).collect(),
        }
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            peripheral: self.flags.peripheral,
            identity: &self.identity,
            port: &self.port,
            extended: self.extended,
            limits: self.limits,
            provisioning: self.provisioning,
            solid_state: self.solid_state,
            threshold_exponent: 0,
            referrals: None,
        }
    }

    pub(crate) fn mode_state(&self) -> ModeState {
        ModeState {
            blocks: self.geometry.blocks,
            block_bytes: self.geometry.block_bytes,
            write_cache: self.write_cache,
            no_read_ahead: true,
            dpofua: self.write_cache,
            write_protected: false,
            d_sense: false,
            tas: true,
            ua_interlock: UaInterlock::Clear,
            soft_threshold: None,
            stored: None,
        }
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities {
            dpofua: self.write_cache,
            report_supported_operation_codes: true,
            unmap: self.provisioning.unmap,
            write_same_unmaps: self.provisioning.write_same_unmaps,
            compare_and_write: true,
            third_party_copy: true,
            write_atomic: false,
            removable: false,
            reservations: true,
            set_target_port_groups: true,
            referrals: false,
        }
    }

    /// Answers a CDB, cut to its allocation length.
    pub(crate) fn answer(&self, bytes: &[u8]) -> Answer {
        let mut cdb = [0; CDB_BYTES_MAX];
        cdb[..bytes.len()].copy_from_slice(bytes);
        self.run(&cdb).map_err(|sense| [sense.key as u8, sense.asc, sense.ascq])
    }

    pub(crate) fn run(&self, cdb: &[u8; CDB_BYTES_MAX]) -> Result<Vec<u8>, Sense> {
        let command = self.capabilities().decode(cdb)?;
        let mut answer = self.whole_answer(&command)?;
        if let scsi::DataPhase::In { bytes_max } = command.data_phase() {
            answer.truncate(usize::try_from(bytes_max).expect("the tests run on 64 bits"));
        }
        Ok(answer)
    }

    pub(crate) fn whole_answer(&self, command: &Command) -> Result<Vec<u8>, Sense> {
        let moved = |first, blocks| self.geometry.check(first, blocks).map(|()| Vec::new());
        match command {
            Command::StartStopUnit(StartStopUnit { action: StartStop::Load | StartStop::Eject, .. }) => {
                Err(Sense::INVALID_FIELD_IN_CDB)
            }
            Command::TestUnitReady | Command::StartStopUnit(_) => Ok(Vec::new()),
            Command::RequestSense(command) => Ok(Sense::NO_SENSE.encode(command.format()).to_vec()),
            Command::Inquiry(command) => match command.page {
                None => Ok(inquiry::standard(&self.identity, &self.flags)),
                Some(page) => vpd::page(page, &self.facts()).ok_or(Sense::INVALID_FIELD_IN_CDB),
            },
            Command::SendDiagnostic { .. } | Command::LogSelect(_) => Ok(Vec::new()),
            Command::LogSense(command) => log::sense(command, &log::Counted::default(), None, 512),
            Command::ReceiveDiagnosticResults(_) => Ok(log::diagnostic_pages()),
            // Nothing is sent along.
            Command::ModeSelect(_) => Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
            Command::ModeSense(command) => mode::sense(command, &self.mode_state()),
            Command::ReadCapacity10 => Ok(capacity::read_capacity_10(&self.geometry)),
            Command::ReadCapacity16(_) => Ok(capacity::read_capacity_16(&self.geometry, self.provisioning)),
            Command::Read(command) => moved(command.first, command.blocks),
            Command::Write(command) => moved(command.first, command.blocks),
            Command::Verify(command) => moved(command.first, command.blocks),
            Command::SynchronizeCache(command) => moved(command.first, command.blocks),
            Command::WriteAndVerify(command) => moved(command.first, command.blocks),
            Command::Seek(command) => moved(command.to, BlockCount(1)),
            Command::PreFetch(command) => moved(command.first, command.blocks),
            Command::WriteSame(command) => moved(command.first, command.blocks),
            Command::CompareAndWrite(command) => moved(command.first, command.blocks),
            Command::OrWrite(command) => moved(command.first, command.blocks),
            Command::WriteAtomic(command) => moved(command.write.first, command.write.blocks),
            Command::GetLbaStatus(command) => {
                self.geometry.check(command.first, BlockCount(1))?;
                let blocks = BlockCount(self.geometry.blocks.0 - command.first.0);
                Ok(lba_status::build(&[Extent { first: command.first, blocks, mapped: true }]))
            }
            Command::ReportReferrals(command) => Ok(Referrals::default().report(command)),
            Command::ReadDefectData(command) => Ok(defects::build(command)),
            Command::CopyOperatingParameters(_) => Ok(copy::operating_parameters()),
            // No copy was ever made.
            Command::CopyResults(_) => Err(Sense::INVALID_FIELD_IN_CDB),
            Command::Unmap(_)
            | Command::Sanitize(_)
            | Command::FormatUnit(_)
            | Command::PreventAllowMediumRemoval(_)
            | Command::ExtendedCopy(_) => Ok(Vec::new()),
            Command::ReportLuns(command) => Ok(report_luns::build(&self.luns, command.select)),
            Command::ReportIdentifyingInformation(command) => Ok(identifying::build(command, "rack 7")),
            Command::ReportSupportedOperationCodes(command) => rsoc::build(command, &self.capabilities()),
            Command::ReportTargetPortGroups(command) => {
                let group = alua::PortGroup {
                    id: 0,
                    preferred: false,
                    state: alua::AccessState::Optimized,
                    supported: alua::SupportedStates::ALL_BUT_LBA_DEPENDENT,
                    altered_by: alua::AlteredBy::Nobody,
                    ports: vec![1],
                };
                Ok(alua::report(command, &[group], 0))
            }
            Command::SetTargetPortGroups(_) => Ok(Vec::new()),
            Command::ReportSupportedTaskManagementFunctions(command) => Ok(task_functions::build(command)),
            // Nobody is registered, and nothing is reserved.
            Command::PersistentReserveIn(command) => Ok(match command.action {
                PersistentReserveInAction::Keys => persistent::keys(0, &[]),
                PersistentReserveInAction::Reservation => persistent::reservation(0, None),
                PersistentReserveInAction::Capabilities => persistent::capabilities(false).to_vec(),
                PersistentReserveInAction::FullStatus => persistent::full_status(0, std::iter::empty()),
            }),
            Command::PersistentReserveOut(_) | Command::Reserve | Command::Release => Ok(Vec::new()),
        }
    }
}
