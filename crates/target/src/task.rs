// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One command, from arrival to answer.
//!
//! Above: `vhost-scsi`, which fills in one and sends the other.
//! Below: `memory`, `scsi`.
//! Never here: how either looks in a ring.

use memory::IoBuf;
use scsi::{Sense, Status};

/// TASK ATTRIBUTE.  SAM-5, task attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskAttribute {
    /// Any order.
    Simple,
    /// After everything before it, before everything after it.
    Ordered,
    /// Before everything.
    HeadOfQueue,
    /// Auto contingent allegiance, which Lunar does not have.
    Aca,
}

/// The guest's buffers of one command.
#[derive(Debug, Default)]
pub struct Buffers {
    /// What the guest sends.
    pub data_out: IoBuf,
    /// What the guest receives.
    pub data_in: IoBuf,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a status, and sense where that is CHECK CONDITION.
    Status(Status, Option<Sense>),
    /// Not at all: the CDB asks for more data than the buffers hold (virtio 1.2, 5.6.6.1.1).
    Overrun,
}

/// The answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub ended: Ended,
    /// Bytes put into the data-in buffers.
    pub data_in_bytes: u64,
    /// Bytes of the buffers that the command left alone.
    pub residual: u64,
}

impl Answer {
    /// GOOD, with all of the buffers used.
    pub(crate) fn good() -> Self {
        Self { ended: Ended::Status(Status::Good, None), data_in_bytes: 0, residual: 0 }
    }

    /// TASK ABORTED, with nothing said of what was transferred of `buffer_bytes` (SAM-5, TASK ABORTED status).
    pub fn task_aborted(buffer_bytes: u64) -> Self {
        Self { ended: Ended::Status(Status::TaskAborted, None), data_in_bytes: 0, residual: buffer_bytes }
    }

    /// RESERVATION CONFLICT, with nothing transferred of `buffer_bytes`.
    pub(crate) fn reservation_conflict(buffer_bytes: u64) -> Self {
        Self {
            ended: Ended::Status(Status::ReservationConflict, None),
            data_in_bytes: 0,
            residual: buffer_bytes,
        }
    }

    /// BUSY, with nothing transferred of `buffer_bytes`: the initiator may try again.
    pub(crate) fn busy(buffer_bytes: u64) -> Self {
        Self { ended: Ended::Status(Status::Busy, None), data_in_bytes: 0, residual: buffer_bytes }
    }

    /// TASK SET FULL, with nothing transferred of `buffer_bytes`: the initiator may try again.
    pub(crate) fn task_set_full(buffer_bytes: u64) -> Self {
        Self { ended: Ended::Status(Status::TaskSetFull, None), data_in_bytes: 0, residual: buffer_bytes }
    }

    /// CHECK CONDITION, with nothing transferred of `buffer_bytes`.
    pub(crate) fn check_condition(sense: Sense, buffer_bytes: u64) -> Self {
        Self {
            ended: Ended::Status(Status::CheckCondition, Some(sense)),
            data_in_bytes: 0,
            residual: buffer_bytes,
        }
    }
}

impl Buffers {
    /// Bytes in both directions; a command uses one of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.data_out.bytes().saturating_add(self.data_in.bytes())
    }
}
