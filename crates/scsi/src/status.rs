// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a command ended.  SAM-5, status codes.
//!
//! Above: `target`, which chooses a status; `vhost-scsi`, which sends it.
//! Below: nothing.
//! Never here: the reason, which is [`Sense`](crate::Sense).

/// The status byte of a completed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// The command did what it should.
    Good = 0x00,
    /// It did not, and sense data says why.
    CheckCondition = 0x02,
    /// A PRE-FETCH found all of its blocks in the cache.
    ConditionMet = 0x04,
    /// The unit cannot take the command now; the initiator may try again.
    Busy = 0x08,
    /// Another nexus holds a reservation that forbids the command.
    ReservationConflict = 0x18,
    /// No room for another task of this nexus.
    TaskSetFull = 0x28,
    /// An auto contingent allegiance is in force.
    AcaActive = 0x30,
    /// Another nexus aborted the command, and the Control mode page has TAS = 1.
    TaskAborted = 0x40,
}

impl Status {
    /// Returns the byte that goes over the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_are_those_of_sam() {
        let codes = [
            (Status::Good, 0x00),
            (Status::CheckCondition, 0x02),
            (Status::ConditionMet, 0x04),
            (Status::Busy, 0x08),
            (Status::ReservationConflict, 0x18),
            (Status::TaskSetFull, 0x28),
            (Status::AcaActive, 0x30),
            (Status::TaskAborted, 0x40),
        ];
        for (status, code) in codes {
            assert_eq!(status.code(), code);
        }
    }
}
