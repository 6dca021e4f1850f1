// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tree needs of whoever owns the configuration.
//!
//! Above: every other file of this crate.  Below: `lunard` implements it.
//! Never here: how a change is made.

use model::{BackstoreId, Change, Model, Place, Refusal, Wwn};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whoever owns the configuration.
pub trait Daemon: Send + Sync + 'static {
    /// The configuration as it was last committed.  Never waits.
    fn model(&self) -> Arc<Model>;

    /// A backstore as it runs.  Never waits for a disk or a guest; nor do the next two.
    fn backstore(&self, id: &BackstoreId) -> Option<LiveBackstore>;

    /// Whether a front end is connected to a target now.
    fn connected(&self, wwn: &Wwn) -> bool;

    /// Who has reserved a backstore, and who is registered with it; `None` is nobody.
    fn reservations(&self, id: &BackstoreId) -> Option<LiveReservations>;

    /// What guests did with a backstore, where that is counted.  Never waits.
    fn counted(&self, _backstore: &BackstoreId) -> Option<Counters> {
        None
    }

    /// What guests did at a LUN, where that is counted.  Never waits.
    fn counted_at(&self, _place: &Place) -> Option<Counters> {
        None
    }

    /// Makes all of the changes happen, or none, and returns when they are durable.  Waits as long as a
    /// disk takes, within bounds.
    ///
    /// # Errors
    /// [`Denied`]; then nothing has changed.
    fn apply(&self, changes: Vec<Change>) -> Result<(), Denied>;
}

/// Why changes were not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The configuration has a rule against it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Anything else, with the kernel's word for it.
    #[error("{message}")]
    Fault {
        /// One line for the log.
        message: String,
        /// What the caller is told.
        errno: Errno,
    },
}

impl Denied {
    /// The kernel's word for it.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::Refused(refusal) => errno_of(refusal),
            Self::Fault { errno, .. } => *errno,
        }
    }
}

/// What LIO's tree says where the configuration refuses a change.
#[must_use]
#[expect(clippy::too_many_lines, reason = "one line a refusal, and none can be forgotten")]
pub fn errno_of(refusal: &Refusal) -> Errno {
    match refusal {
        Refusal::NameCharacters { .. }
        | Refusal::NameLength { .. }
        | Refusal::WwnInvalid { .. }
        | Refusal::UnitSerialInvalid { .. }
        | Refusal::AliasInvalid { .. }
        | Refusal::PathInvalid { .. }
        | Refusal::TagOutOfRange { .. }
        | Refusal::LunOutOfRange { .. }
        | Refusal::RelativePortZero
        | Refusal::SizeTooLarge { .. }
        | Refusal::SizeTooSmall { .. }
        | Refusal::SizeWithoutBlock { .. }
        | Refusal::TpgNotEmpty { .. }
        | Refusal::AttributeValue { .. }
        | Refusal::AttributeOfDevice { .. }
        | Refusal::AttributeFrozen { .. }
        | Refusal::IdentityValue { .. }
        | Refusal::OptionValue { .. }
        | Refusal::ParameterValue { .. }
        | Refusal::NameTooLongForProduct { .. }
        | Refusal::AluaNameInvalid { .. }
        | Refusal::AluaIdInUse { .. }
        | Refusal::AluaValue { .. }
        | Refusal::AluaNotImplicit { .. }
        | Refusal::AluaStateUnsupported { .. }
        | Refusal::AluaLbaDependentExplicit { .. }
        | Refusal::AluaFollowsMap { .. }
        | Refusal::LbaMapInvalid { .. }
        | Refusal::AluaNotAltered { .. }
        | Refusal::LunAluaValue { .. }
        | Refusal::AluaGroupsDiffer { .. }
        | Refusal::LuGroupIdInUse { .. } => Errno::INVAL,
        Refusal::NoSuchBackstore { .. }
        | Refusal::NoSuchTarget { .. }
        | Refusal::NoSuchTpg { .. }
        | Refusal::NoSuchLun { .. }
        | Refusal::NoSuchAcl { .. }
        | Refusal::NoSuchMappedLun { .. }
        | Refusal::NoSuchAttribute { .. }
        | Refusal::NoSuchIdentity { .. }
        | Refusal::NoSuchOption { .. }
        | Refusal::NoSuchParameter { .. } => Errno::NOENT,
        Refusal::NoSuchAluaGroup { .. }
        | Refusal::NoSuchAluaAttribute { .. }
        | Refusal::NoSuchLunAlua { .. }
        | Refusal::NoSuchLuGroup { .. } => Errno::NODEV,
        Refusal::AluaGroupExists { .. } | Refusal::LuGroupExists { .. } => Errno::EXIST,
        Refusal::AluaGroupStays { .. } => Errno::PERM,
        Refusal::TooManyAluaGroups { .. } | Refusal::TooManyLuGroups => Errno::NOSPC,
        Refusal::BackstoreExists { .. }
        | Refusal::TargetExists { .. }
        | Refusal::TpgExists { .. }
        | Refusal::LunExists { .. }
        | Refusal::AlreadyMapped { .. }
        | Refusal::AclExists { .. }
        | Refusal::MappedLunExists { .. } => Errno::EXIST,
        Refusal::AluaGroupInUse { .. }
        | Refusal::LuGroupInUse { .. }
        | Refusal::LbaMapNeeded { .. }
        | Refusal::PathInUse { .. }
        | Refusal::BackstoreInUse { .. }
        | Refusal::RelativePortInUse { .. } => Errno::BUSY,
        Refusal::TooManyBackstores
        | Refusal::NoFreeRelativePort
        | Refusal::NoFreeTag { .. }
        | Refusal::ForeignTooLong { .. }
        | Refusal::ForeignTooMany { .. }
        | Refusal::TooManyAcls { .. }
        | Refusal::NoFreeLun => Errno::NOSPC,
        Refusal::ForeignMoved => Errno::AGAIN,
        Refusal::IdentityTooLong { .. } => Errno::OVERFLOW,
        Refusal::AttributeReadOnly { .. } => Errno::ACCESS,
        Refusal::AttributeUnbuilt { .. } => Errno::NOSYS,
    }
}

/// Who has reserved a backstore, and who is registered with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveReservations {
    /// PRGENERATION.
    pub generation: u32,
    /// Whether registrations outlast a restart of the host (APTPL).
    pub outlasts_power: bool,
    /// Who is registered.
    pub registrants: Vec<LiveRegistrant>,
    /// The type code of the persistent reservation, if there is one.
    pub kind: Option<u8>,
    /// The initiator that reserved it with RESERVE.
    pub legacy: Option<String>,
}

/// A nexus that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRegistrant {
    /// The initiator.
    pub initiator: String,
    /// The relative port of the target port group.
    pub relative_port: u16,
    /// The key.
    pub key: u64,
    /// PRGENERATION when it was registered.
    pub generation: u32,
    /// ALL_TG_PT.
    pub all_target_ports: bool,
    /// Whether it made the persistent reservation.
    pub holds: bool,
}

/// A backstore as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveBackstore {
    /// The capacity in bytes.
    pub size_bytes: u64,
    /// Bytes in a logical block.
    pub block_bytes: u32,
    /// Bytes in a physical block.
    pub physical_block_bytes: u32,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// Which device of the host it is, if it is one.
    pub device: Option<LiveDevice>,
    /// Its target port groups that are between two states, by id.
    pub transitioning: BTreeSet<u16>,
}

/// A block device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveDevice {
    /// The kernel's name, such as `dm-0`.
    pub name: String,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Bytes in a logical block of the device itself.
    pub block_bytes: u32,
    /// Whether it rotates.
    pub rotational: bool,
}

/// What guests did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands begun.
    pub commands: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// LOGICAL UNIT RESET.
    pub resets: u64,
    /// ABORT TASK of a command that was there.
    pub aborted: u64,
    /// ABORT TASK of one that was not.
    pub nothing_to_abort: u64,
}
