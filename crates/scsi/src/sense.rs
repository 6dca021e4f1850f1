// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a command was refused, or what the initiator must be told.  SPC-4, sense data.
//!
//! Above: every parser of this crate, `target` and `vhost-scsi`.
//! Below: `field`.
//! Never here: a decision.  Which sense belongs to which failure is decided where the failure is found.

use crate::field::Block;

/// The longest sense data that we build: the descriptor format with INFORMATION, COMMAND-SPECIFIC INFORMATION and SENSE KEY
/// SPECIFIC.
pub const SENSE_BYTES_MAX: usize = 40;

/// Fixed format without bytes of our own behind the field replaceable unit code.
const FIXED_BYTES: usize = 18;
/// The header of the descriptor format.
const DESCRIPTOR_HEADER_BYTES: usize = 8;
/// The information descriptor, the command-specific one, and the sense key specific one.
const INFORMATION_BYTES: usize = 12;
const COMMAND_SPECIFIC_BYTES: usize = 12;
const SPECIFIC_BYTES: usize = 8;

const _: () = {
    assert!(FIXED_BYTES <= SENSE_BYTES_MAX);
    let descriptors = INFORMATION_BYTES + COMMAND_SPECIFIC_BYTES + SPECIFIC_BYTES;
    assert!(DESCRIPTOR_HEADER_BYTES + descriptors == SENSE_BYTES_MAX);
};

/// The general kind of a condition.  SPC-4, sense key descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SenseKey {
    /// There is nothing to say.
    NoSense = 0x0,
    /// The command succeeded after the unit had recovered from something.
    RecoveredError = 0x1,
    /// The unit cannot be reached.
    NotReady = 0x2,
    /// The medium is at fault.
    MediumError = 0x3,
    /// The device is at fault.
    HardwareError = 0x4,
    /// The initiator asked for what it must not ask for.
    IllegalRequest = 0x5,
    /// Something changed since this nexus was last told.
    UnitAttention = 0x6,
    /// The blocks are protected.
    DataProtect = 0x7,
    /// A third-party copy stopped.
    CopyAborted = 0xa,
    /// The device gave the command up.
    AbortedCommand = 0xb,
    /// The data sent is not the data on the medium.
    Miscompare = 0xe,
}

/// Which of the two layouts sense data has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SenseFormat {
    /// 70h: 32 bits of INFORMATION.  What D_SENSE = 0 in the Control mode page asks for.
    Fixed,
    /// 72h: 64 bits of INFORMATION.
    Descriptor,
}

/// What the SENSE KEY SPECIFIC field says.  SPC-4, sense key specific sense data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Specific {
    /// With ILLEGAL REQUEST: which field of the CDB is wrong.
    FieldOfCdb {
        /// FIELD POINTER: its first byte.
        byte: u8,
        /// BIT POINTER: its most significant bit there, 0..=7.
        bit: u8,
    },
    /// With COPY ABORTED: which field of the parameter list is wrong, or names the unit that failed.
    FieldOfCopy {
        /// SD: whether the first byte is that of the segment descriptor, and not that of the list.
        of_segment: bool,
        /// FIELD POINTER: its first byte.
        byte: u16,
    },
    /// With NOT READY and NO SENSE: PROGRESS INDICATION, in parts of 65536.
    Progress(u16),
}

impl Specific {
    /// The three bytes of the field, SKSV = 1.
    fn bytes(self) -> [u8; 3] {
        let block = Block::<3>::new().bit::<0, 7>(true);
        match self {
            // C/D and BPV.
            Self::FieldOfCdb { byte, bit } => block
                .bit::<0, 6>(true)
                .bit::<0, 3>(true)
                .bits::<0, 2, 0>(bit)
                .be16::<1>(u16::from(byte))
                .done(),
            Self::FieldOfCopy { of_segment, byte } => block.bit::<0, 5>(of_segment).be16::<1>(byte).done(),
            Self::Progress(parts) => block.be16::<1>(parts).done(),
        }
    }
}

/// One condition, before it has a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sense {
    /// The general kind.
    pub key: SenseKey,
    /// ADDITIONAL SENSE CODE.
    pub asc: u8,
    /// ADDITIONAL SENSE CODE QUALIFIER.
    pub ascq: u8,
    /// The INFORMATION field: a block address or an offset in bytes, as the condition defines it.
    pub information: Option<u64>,
    /// The COMMAND-SPECIFIC INFORMATION field, as the command defines it.
    pub command_specific: Option<u32>,
    /// The SENSE KEY SPECIFIC field.
    pub specific: Option<Specific>,
}

/// Every condition that has a name here.
macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $key:ident $asc:literal $ascq:literal;)*) => {
        impl Sense {
            $($(#[$doc])* pub const $name: Self = Self::new(SenseKey::$key, $asc, $ascq);)*
        }
        #[cfg(test)]
        const CONDITIONS: &[(&str, Sense)] = &[$((stringify!($name), Sense::$name)),*];
    };
}

conditions! {
    /// Nothing to report.
    NO_SENSE = NoSense 0x00 0x00;
    /// The way to what is below is lost, or it failed in a way that has no better name.
    LOGICAL_UNIT_COMMUNICATION_FAILURE = NotReady 0x08 0x00;
    /// What is below did not answer in time.
    LOGICAL_UNIT_COMMUNICATION_TIME_OUT = NotReady 0x08 0x01;
    /// The backstore is not there.
    LOGICAL_UNIT_NOT_READY = NotReady 0x04 0x00;
    /// The unit was stopped, and waits to be started.
    INITIALIZING_COMMAND_REQUIRED = NotReady 0x04 0x02;
    /// The unit is starting up; try again.
    BECOMING_READY = NotReady 0x04 0x01;
    /// ALUA: the target port group is between two states.
    ALUA_TRANSITION = NotReady 0x04 0x0a;
    /// ALUA: the target port group is in standby.
    ALUA_STANDBY = NotReady 0x04 0x0b;
    /// ALUA: the target port group is unavailable.
    ALUA_UNAVAILABLE = NotReady 0x04 0x0c;
    /// ALUA: the logical unit is offline.
    LOGICAL_UNIT_OFFLINE = NotReady 0x04 0x12;
    /// Everything on the medium is being removed; try again.
    SANITIZE_IN_PROGRESS = NotReady 0x04 0x1b;
    /// The medium was taken out.
    MEDIUM_NOT_PRESENT = NotReady 0x3a 0x00;
    /// The medium could not be freed of what was on it.
    SANITIZE_COMMAND_FAILED = MediumError 0x31 0x03;
    /// The medium could not be written.
    WRITE_ERROR = MediumError 0x0c 0x00;
    /// The medium could not be read.
    UNRECOVERED_READ_ERROR = MediumError 0x11 0x00;
    /// A fault of ours.
    INTERNAL_TARGET_FAILURE = HardwareError 0x44 0x00;
    /// The parameter list is shorter than its own fields say.
    PARAMETER_LIST_LENGTH_ERROR = IllegalRequest 0x1a 0x00;
    /// No such command, or no such service action of it.
    INVALID_OPCODE = IllegalRequest 0x20 0x00;
    /// The range leaves the medium.
    LBA_OUT_OF_RANGE = IllegalRequest 0x21 0x00;
    /// A field of the CDB has a value that it must not have.
    INVALID_FIELD_IN_CDB = IllegalRequest 0x24 0x00;
    /// No such logical unit.
    LOGICAL_UNIT_NOT_SUPPORTED = IllegalRequest 0x25 0x00;
    /// A field of the parameter list has a value that it must not have.
    INVALID_FIELD_IN_PARAMETER_LIST = IllegalRequest 0x26 0x00;
    /// RELEASE names another reservation than the one that is held.
    INVALID_RELEASE_OF_PERSISTENT_RESERVATION = IllegalRequest 0x26 0x04;
    /// EXTENDED COPY: too many target descriptors.
    TOO_MANY_TARGET_DESCRIPTORS = IllegalRequest 0x26 0x06;
    /// EXTENDED COPY: a target descriptor of a type that we do not know.
    UNSUPPORTED_TARGET_DESCRIPTOR = IllegalRequest 0x26 0x07;
    /// EXTENDED COPY: too many segment descriptors.
    TOO_MANY_SEGMENT_DESCRIPTORS = IllegalRequest 0x26 0x08;
    /// EXTENDED COPY: a segment descriptor of a type that we do not know.
    UNSUPPORTED_SEGMENT_DESCRIPTOR = IllegalRequest 0x26 0x09;
    /// The medium is to be taken out, and an initiator keeps it in.
    MEDIUM_REMOVAL_PREVENTED = IllegalRequest 0x53 0x02;
    /// EXTENDED COPY: a copy with that list identifier is under way.
    OPERATION_IN_PROGRESS = IllegalRequest 0x00 0x16;
    /// MODE SENSE asks for saved pages, and none are saved.
    SAVING_PARAMETERS_NOT_SUPPORTED = IllegalRequest 0x39 0x00;
    /// No room for another registration.
    INSUFFICIENT_REGISTRATION_RESOURCES = IllegalRequest 0x55 0x04;
    /// The data of a command and its CDB disagree about the length.
    INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT = IllegalRequest 0x0e 0x03;
    /// A medium was loaded: it may be another one.
    MEDIUM_MAY_HAVE_CHANGED = UnitAttention 0x28 0x00;
    /// The unit was powered on, or the host restarted.
    POWER_ON = UnitAttention 0x29 0x00;
    /// The logical unit was reset.
    BUS_DEVICE_RESET = UnitAttention 0x29 0x03;
    /// The nexus was lost.
    NEXUS_LOSS = UnitAttention 0x29 0x07;
    /// A mode page changed.
    MODE_PARAMETERS_CHANGED = UnitAttention 0x2a 0x01;
    /// A reservation of this nexus was preempted.
    RESERVATIONS_PREEMPTED = UnitAttention 0x2a 0x03;
    /// A reservation that this nexus took part in was released.
    RESERVATIONS_RELEASED = UnitAttention 0x2a 0x04;
    /// The registration of this nexus was preempted.
    REGISTRATIONS_PREEMPTED = UnitAttention 0x2a 0x05;
    /// The ALUA state of a target port group changed.
    ASYMMETRIC_ACCESS_STATE_CHANGED = UnitAttention 0x2a 0x06;
    /// The number of blocks changed.
    CAPACITY_DATA_CHANGED = UnitAttention 0x2a 0x09;
    /// A conflict was answered to this nexus before, and UA_INTLCK_CTRL asks to say so.
    PREVIOUS_RESERVATION_CONFLICT_STATUS = UnitAttention 0x2c 0x09;
    /// Commands of this nexus were cleared by another.
    COMMANDS_CLEARED_BY_ANOTHER_INITIATOR = UnitAttention 0x2f 0x00;
    /// The program that serves the unit was replaced.
    MICROCODE_CHANGED = UnitAttention 0x3f 0x01;
    /// The space below gets scarce.
    THIN_PROVISIONING_SOFT_THRESHOLD_REACHED = UnitAttention 0x38 0x07;
    /// INQUIRY answers something else than before.
    INQUIRY_DATA_CHANGED = UnitAttention 0x3f 0x03;
    /// REPORT LUNS answers something else than before.
    REPORTED_LUNS_DATA_CHANGED = UnitAttention 0x3f 0x0e;
    /// The unit may not be written.
    WRITE_PROTECTED = DataProtect 0x27 0x00;
    /// The file system of the host is full.
    SPACE_ALLOCATION_FAILED = DataProtect 0x27 0x07;
    /// A third-party copy stopped for a reason that has no name.
    COPY_ABORTED = CopyAborted 0x00 0x00;
    /// One of the units of a third-party copy failed.
    THIRD_PARTY_DEVICE_FAILURE = CopyAborted 0x0d 0x01;
    /// A third-party copy cannot reach one of its units.
    COPY_TARGET_DEVICE_NOT_REACHABLE = CopyAborted 0x0d 0x02;
    /// The guard of the protection information is wrong; INFORMATION is the block.
    GUARD_CHECK_FAILED = AbortedCommand 0x10 0x01;
    /// The application tag of the protection information is wrong; INFORMATION is the block.
    APPLICATION_TAG_CHECK_FAILED = AbortedCommand 0x10 0x02;
    /// The reference tag of the protection information is wrong; INFORMATION is the block.
    REFERENCE_TAG_CHECK_FAILED = AbortedCommand 0x10 0x03;
    /// The data differs; INFORMATION is the offset of the first difference in bytes.
    MISCOMPARE_DURING_VERIFY = Miscompare 0x1d 0x00;
}

impl Sense {
    /// Returns a condition without INFORMATION and SENSE KEY SPECIFIC.
    #[must_use]
    pub const fn new(key: SenseKey, asc: u8, ascq: u8) -> Self {
        Self { key, asc, ascq, information: None, command_specific: None, specific: None }
    }

    /// Returns the same condition with INFORMATION.
    #[must_use]
    pub const fn with_information(self, information: u64) -> Self {
        Self { information: Some(information), ..self }
    }

    /// Returns the same condition of a copy, which stopped in the segment of that number, counted from 0.
    #[must_use]
    pub const fn in_segment(self, number: u16) -> Self {
        // Its third and fourth byte: SPC-4, errors detected during processing of segment descriptors.
        Self { command_specific: Some(number as u32), ..self }
    }

    /// Returns the same condition with a pointer at a field of the parameter list of a copy, or of the segment descriptor that
    /// it stopped in.  Of another key than COPY ABORTED there is no such pointer.
    #[must_use]
    pub const fn at_copy(self, of_segment: bool, byte: u16) -> Self {
        match self.key {
            SenseKey::CopyAborted => {
                Self { specific: Some(Specific::FieldOfCopy { of_segment, byte }), ..self }
            }
            _ => self,
        }
    }

    /// Returns the same condition with a pointer at the field of the CDB that is wrong: its first byte, and its most
    /// significant bit there.
    #[must_use]
    pub const fn at_cdb(self, byte: u8, bit: u8) -> Self {
        Self { specific: Some(Specific::FieldOfCdb { byte, bit }), ..self }
    }

    /// Returns the same condition with how much of the work that it speaks of is done, in parts of 65536.
    #[must_use]
    pub const fn with_progress(self, parts: u16) -> Self {
        Self { specific: Some(Specific::Progress(parts)), ..self }
    }

    /// Lays the condition out as current (not deferred) sense data.
    #[must_use]
    pub fn encode(&self, format: SenseFormat) -> EncodedSense {
        match format {
            SenseFormat::Fixed => self.encode_fixed(),
            SenseFormat::Descriptor => self.encode_descriptor(),
        }
    }

    /// SPC-4, fixed format sense data.
    fn encode_fixed(&self) -> EncodedSense {
        let block = Block::<SENSE_BYTES_MAX>::new()
            .byte::<0>(0x70)
            .bits::<2, 3, 0>(self.key as u8)
            .byte::<7>(0x0a)
            .byte::<12>(self.asc)
            .byte::<13>(self.ascq);
        // INFORMATION has 32 bits here.  What does not fit is left out, VALID = 0: half an address is worse.
        let block = match self.information.map(u32::try_from) {
            Some(Ok(information)) => block.bit::<0, 7>(true).be32::<3>(information),
            Some(Err(_)) | None => block,
        };
        let block = block.be32::<8>(self.command_specific.unwrap_or(0));
        let block = match self.specific {
            Some(specific) => block.bytes::<15, 3>(specific.bytes()),
            None => block,
        };
        EncodedSense { bytes: block.done(), used: FIXED_BYTES }
    }

    /// SPC-4, descriptor format sense data, and its descriptors.
    fn encode_descriptor(&self) -> EncodedSense {
        let mut sense = EncodedSense { bytes: [0; SENSE_BYTES_MAX], used: 0 };
        let header = Block::<DESCRIPTOR_HEADER_BYTES>::new().byte::<0>(0x72).bits::<1, 3, 0>(self.key as u8);
        sense.push(&header.byte::<2>(self.asc).byte::<3>(self.ascq).done());
        if let Some(information) = self.information {
            let valid = Block::<INFORMATION_BYTES>::new().byte::<0>(0x00).byte::<1>(0x0a).bit::<2, 7>(true);
            sense.push(&valid.be64::<4>(information).done());
        }
        if let Some(specific) = self.command_specific {
            let descriptor = Block::<COMMAND_SPECIFIC_BYTES>::new().byte::<0>(0x01).byte::<1>(0x0a);
            sense.push(&descriptor.be64::<4>(u64::from(specific)).done());
        }
        if let Some(specific) = self.specific {
            let descriptor = Block::<SPECIFIC_BYTES>::new().byte::<0>(0x02).byte::<1>(0x06);
            sense.push(&descriptor.bytes::<4, 3>(specific.bytes()).done());
        }
        sense.bytes[7] = u8::try_from(sense.used - DESCRIPTOR_HEADER_BYTES).unwrap_or(0);
        sense
    }
}

/// Sense data as it goes over the wire, with its true length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EncodedSense {
    bytes: [u8; SENSE_BYTES_MAX],
    used: usize,
}

impl EncodedSense {
    /// Adds what is behind; [`SENSE_BYTES_MAX`] is all that there may be.
    fn push(&mut self, more: &[u8]) {
        let end = self.used + more.len();
        if let Some(behind) = self.bytes.get_mut(self.used..end) {
            behind.copy_from_slice(more);
            self.used = end;
        }
    }

    /// Returns the bytes: 18 in fixed format, 8 and what its descriptors take in descriptor format.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or(&self.bytes)
    }
}

impl std::ops::Deref for EncodedSense {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::fmt::Debug for EncodedSense {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:02x?}", self.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn fixed_sense_is_18_bytes() {
        let sense = Sense::LOGICAL_UNIT_NOT_SUPPORTED.encode(SenseFormat::Fixed);
        assert_eq!(&sense[..], [0x70, 0, 5, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0x25, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn fixed_sense_with_information_is_valid() {
        let sense = Sense::MISCOMPARE_DURING_VERIFY.with_information(0x0102_0304).encode(SenseFormat::Fixed);
        assert_eq!(&sense[..], [0xf0, 0, 0x0e, 1, 2, 3, 4, 0x0a, 0, 0, 0, 0, 0x1d, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn fixed_sense_leaves_out_information_of_more_than_32_bits() {
        let sense = Sense::UNRECOVERED_READ_ERROR.with_information(1 << 32).encode(SenseFormat::Fixed);
        assert_eq!(&sense[..], [0x70, 0, 3, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn descriptor_sense_without_information_is_8_bytes() {
        let sense = Sense::WRITE_PROTECTED.encode(SenseFormat::Descriptor);
        assert_eq!(&sense[..], [0x72, 7, 0x27, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn descriptor_sense_with_information_is_20_bytes() {
        let sense = Sense::UNRECOVERED_READ_ERROR
            .with_information(0x0102_0304_0506_0708)
            .encode(SenseFormat::Descriptor);
        assert_eq!(&sense[..], [0x72, 3, 0x11, 0, 0, 0, 0, 12, 0, 0x0a, 0x80, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn sense_points_at_the_field_of_the_cdb_that_is_wrong() {
        let sense = Sense::INVALID_FIELD_IN_CDB.at_cdb(2, 5);
        let fixed = [0x70, 0, 5, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0x24, 0, 0, 0xcd, 0, 2];
        assert_eq!(&sense.encode(SenseFormat::Fixed)[..], fixed);
        let descriptor = [0x72, 5, 0x24, 0, 0, 0, 0, 8, 0x02, 0x06, 0, 0, 0xcd, 0, 2, 0];
        assert_eq!(&sense.encode(SenseFormat::Descriptor)[..], descriptor);
    }

    #[test]
    fn sense_says_how_much_is_done() {
        let sense = Sense::SANITIZE_IN_PROGRESS.with_progress(0x8001);
        let fixed = [0x70, 0, 2, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0x04, 0x1b, 0, 0x80, 0x80, 0x01];
        assert_eq!(&sense.encode(SenseFormat::Fixed)[..], fixed);
        let both = sense.with_information(7).encode(SenseFormat::Descriptor);
        assert_eq!(
            both[7..],
            [20, 0, 0x0a, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 7, 2, 6, 0, 0, 0x80, 0x80, 0x01, 0]
        );
    }

    #[test]
    fn sense_of_a_copy_says_in_which_segment_what_failed_and_how_much_was_left() {
        let sense = Sense::THIRD_PARTY_DEVICE_FAILURE.in_segment(0x0102).at_copy(false, 0x0304);
        let fixed = [0x70, 0, 0x0a, 0, 0, 0, 0, 0x0a, 0, 0, 1, 2, 0x0d, 0x01, 0, 0x80, 3, 4];
        assert_eq!(&sense.encode(SenseFormat::Fixed)[..], fixed);
        #[rustfmt::skip]
        let descriptor = [
            0x72, 0x0a, 0x0d, 0x01, 0, 0, 0, 32, 0x00, 0x0a, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 5,
            0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0x02, 0x06, 0, 0, 0x80, 3, 4, 0,
        ];
        assert_eq!(&sense.with_information(5).encode(SenseFormat::Descriptor)[..], descriptor);
        let of_segment = Sense::COPY_ABORTED.in_segment(0).at_copy(true, 20).encode(SenseFormat::Fixed);
        assert_eq!(of_segment[8..], [0, 0, 0, 0, 0, 0, 0, 0xa0, 0, 20]);
        let without = Sense::COPY_ABORTED.in_segment(7).encode(SenseFormat::Descriptor);
        assert_eq!(without[7..], [12, 0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        // SPC-4 has another meaning for the field, or none, with another key.
        let protected =
            Sense::SPACE_ALLOCATION_FAILED.in_segment(1).at_copy(false, 16).encode(SenseFormat::Fixed);
        assert_eq!(protected[8..], [0, 0, 0, 1, 0x27, 0x07, 0, 0, 0, 0]);
    }

    #[test]
    fn conditions_are_all_distinct() {
        let mut seen = HashMap::new();
        for (name, sense) in CONDITIONS {
            assert_eq!(seen.insert((sense.key, sense.asc, sense.ascq), name), None, "{name} is there twice");
        }
        assert_eq!(seen.len(), CONDITIONS.len());
    }

    #[test]
    fn the_conditions_every_guest_meets_have_the_codes_of_spc() {
        let codes = [
            (Sense::INVALID_OPCODE, [0x05, 0x20, 0x00]),
            (Sense::LBA_OUT_OF_RANGE, [0x05, 0x21, 0x00]),
            (Sense::INVALID_FIELD_IN_CDB, [0x05, 0x24, 0x00]),
            (Sense::LOGICAL_UNIT_NOT_SUPPORTED, [0x05, 0x25, 0x00]),
            (Sense::SAVING_PARAMETERS_NOT_SUPPORTED, [0x05, 0x39, 0x00]),
            (Sense::BUS_DEVICE_RESET, [0x06, 0x29, 0x03]),
            (Sense::CAPACITY_DATA_CHANGED, [0x06, 0x2a, 0x09]),
            (Sense::WRITE_PROTECTED, [0x07, 0x27, 0x00]),
            (Sense::SPACE_ALLOCATION_FAILED, [0x07, 0x27, 0x07]),
            (Sense::UNRECOVERED_READ_ERROR, [0x03, 0x11, 0x00]),
            (Sense::WRITE_ERROR, [0x03, 0x0c, 0x00]),
            (Sense::MISCOMPARE_DURING_VERIFY, [0x0e, 0x1d, 0x00]),
        ];
        for (sense, code) in codes {
            assert_eq!([sense.key as u8, sense.asc, sense.ascq], code);
        }
    }
}
