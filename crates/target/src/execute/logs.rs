// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LOG SENSE and LOG SELECT, and the diagnostic page of a unit that has no diagnostics.  SPC-4.
//!
//! Above: `execute`.
//! Below: `scsi::log` for the pages; the unit's counters.
//! Never here: counting.

use super::{Decision, done, give};
use crate::logical_unit::LogicalUnit;
use crate::lun_map::Group;
use crate::task::Buffers;
use crate::unit_state::To;
use scsi::{LogSelect, LogSense, ReceiveDiagnosticResults, Sense, SenseKey, log};

/// LOG PARAMETERS CHANGED.
const LOG_PARAMETERS_CHANGED: Sense = Sense::new(SenseKey::UnitAttention, 0x2a, 0x02);

/// LOG SENSE.
pub(super) fn sense<'a>(
    unit: &LogicalUnit,
    command: &LogSense,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let counted = unit.state.tallies().since_forgotten();
    let data = log::sense(command, &counted, unit.geometry.block_bytes)?;
    Ok(give(&data, u64::from(command.allocation_bytes), buffers))
}

/// LOG SELECT: what was counted is forgotten, all of it or nothing.  No parameter can be set.
pub(super) fn select<'a>(
    group: &Group,
    unit: &LogicalUnit,
    command: &LogSelect,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    if command.list_bytes != 0 {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
    }
    if command.reset {
        unit.state.tallies().forget();
        unit.state.establish(LOG_PARAMETERS_CHANGED, To::EveryoneBut(group.nexus().name()));
    }
    Ok(done(buffers))
}

/// RECEIVE DIAGNOSTIC RESULTS.
pub(super) fn diagnostics<'a>(command: &ReceiveDiagnosticResults, buffers: &Buffers) -> Decision<'a> {
    give(&log::diagnostic_pages(), u64::from(command.allocation_bytes), buffers)
}
