// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands that reserve a unit: PERSISTENT RESERVE IN and OUT of SPC-4, RESERVE and RELEASE of SPC-2.
//!
//! Above: `opcode`, whose table names these parsers.
//! Below: `field`.
//! Never here: parameter lists, which are in `persistent`; who holds what.

use crate::Sense;
use crate::cdb::{Cdb, Command};

/// Asks who is registered and who has reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistentReserveIn {
    /// What is asked for.
    pub action: PersistentReserveInAction,
    /// The most bytes to return.
    pub allocation_bytes: u16,
}

/// A service action of PERSISTENT RESERVE IN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersistentReserveInAction {
    /// READ KEYS.
    Keys,
    /// READ RESERVATION.
    Reservation,
    /// REPORT CAPABILITIES.
    Capabilities,
    /// READ FULL STATUS.
    FullStatus,
}

/// Registers, reserves, and takes either away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistentReserveOut {
    /// What is to be done.
    pub action: PersistentReserveOutAction,
    /// SCOPE; 0 is the logical unit, and nothing else is left in SPC-4.  0 where the action has none.
    pub scope: u8,
    /// TYPE, a persistent reservation type code.  0 where the action has none.
    pub kind: u8,
    /// PARAMETER LIST LENGTH.
    pub list_bytes: u32,
}

/// A service action of PERSISTENT RESERVE OUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersistentReserveOutAction {
    /// REGISTER.
    Register,
    /// RESERVE.
    Reserve,
    /// RELEASE.
    Release,
    /// CLEAR.
    Clear,
    /// PREEMPT.
    Preempt,
    /// PREEMPT AND ABORT.
    PreemptAndAbort,
    /// REGISTER AND IGNORE EXISTING KEY.
    RegisterAndIgnore,
    /// REGISTER AND MOVE.
    RegisterAndMove,
}

macro_rules! persistent_reserve_in {
    ($($name:ident = $action:ident;)*) => {$(
        pub(crate) fn $name(cdb: Cdb<'_>) -> Result<Command, Sense> {
            let action = PersistentReserveInAction::$action;
            Ok(Command::PersistentReserveIn(PersistentReserveIn { action, allocation_bytes: cdb.be16::<7>() }))
        }
    )*};
}

persistent_reserve_in! {
    read_keys = Keys;
    read_reservation = Reservation;
    report_capabilities = Capabilities;
    read_full_status = FullStatus;
}

macro_rules! persistent_reserve_out {
    ($($name:ident = $action:ident $type:ident;)*) => {$(
        pub(crate) fn $name(cdb: Cdb<'_>) -> Result<Command, Sense> {
            let (scope, kind) = $type(cdb);
            let (action, list_bytes) = (PersistentReserveOutAction::$action, cdb.be32::<5>());
            Ok(Command::PersistentReserveOut(PersistentReserveOut { action, scope, kind, list_bytes }))
        }
    )*};
}

persistent_reserve_out! {
    register = Register untyped;
    reserve = Reserve typed;
    release = Release typed;
    clear = Clear untyped;
    preempt = Preempt typed;
    preempt_and_abort = PreemptAndAbort typed;
    register_and_ignore = RegisterAndIgnore untyped;
    register_and_move = RegisterAndMove untyped;
}

/// SCOPE and TYPE.
fn typed(cdb: Cdb<'_>) -> (u8, u8) {
    (cdb.bits::<2, 7, 4>(), cdb.bits::<2, 3, 0>())
}

/// SPC-4: both are ignored.
fn untyped(_: Cdb<'_>) -> (u8, u8) {
    (0, 0)
}

pub(crate) fn reserve_6(cdb: Cdb<'_>) -> Result<Command, Sense> {
    whole_unit(cdb)?;
    Ok(Command::Reserve)
}

pub(crate) fn release_6(cdb: Cdb<'_>) -> Result<Command, Sense> {
    whole_unit(cdb)?;
    Ok(Command::Release)
}

/// SPC-2, RESERVE: extents are obsolete, and reserving for a third party is not done here.
fn whole_unit(cdb: Cdb<'_>) -> Result<(), Sense> {
    let (third_party, extent) = (cdb.bit::<1, 4>(), cdb.bit::<1, 0>());
    if third_party || extent { Err(Sense::INVALID_FIELD_IN_CDB) } else { Ok(()) }
}
