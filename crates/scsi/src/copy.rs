// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is to be copied where: the parameter list of EXTENDED COPY (LID1); which copies can be made, and what became of
//! one.  SPC-4.
//!
//! Above: `target`.
//! Below: `field`.
//! Never here: which unit a descriptor names, and the copy.

use crate::field::{Block, Fields};
use crate::{BlockCount, Lba, Sense, SenseFormat, Status};

/// CSCD descriptors of one list.
pub const TARGETS_MAX: usize = 16;
/// Segment descriptors of one list.
pub const SEGMENTS_MAX: usize = 16;
/// Bytes of both kinds of descriptors together.
pub const DESCRIPTORS_BYTES_MAX: usize = TARGETS_MAX * TARGET_BYTES + SEGMENTS_MAX * SEGMENT_BYTES;
/// Copies with a list identifier that go on at once for one nexus.
pub const COPIES_MAX: u8 = 16;
/// Bytes of one segment.
pub const SEGMENT_DATA_BYTES_MAX: u32 = 256 << 20;

const HEADER_BYTES: usize = 16;
const TARGET_BYTES: usize = 32;
const SEGMENT_BYTES: usize = 28;
/// Identification Descriptor CSCD descriptor.
const IDENTIFICATION: u8 = 0xe4;
/// LIST ID USAGE: what was held is kept, or may be dropped; or there is no identifier.
const LIST_ID_KEPT: u8 = 0b00;
const LIST_ID_MAY_BE_DROPPED: u8 = 0b10;
const LIST_ID_NOT_USED: u8 = 0b11;
/// Block device to block device.
const BLOCK_TO_BLOCK: u8 = 0x02;

/// The bytes of a parameter list at most.
pub const LIST_BYTES_MAX: usize = HEADER_BYTES + DESCRIPTORS_BYTES_MAX;

/// What is copied: one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyList {
    /// What the initiator calls the copy; `None` where it will not ask for it.
    pub identifier: Option<u8>,
    /// The names of the units that take part; `None` is a unit that is said not to (NUL).
    pub targets: Vec<Option<[u8; 16]>>,
    /// What is copied, in order.
    pub segments: Vec<Segment>,
}

/// The first byte of the CSCD descriptor of that number, in the parameter list.
#[must_use]
pub fn target_at(index: u16) -> u16 {
    // TARGETS_MAX of them end well below.
    let at = HEADER_BYTES.saturating_add(TARGET_BYTES.saturating_mul(usize::from(index)));
    u16::try_from(at).unwrap_or(u16::MAX)
}

/// Where a segment descriptor has [`Segment::source`], in bytes.
pub const SOURCE_AT: u16 = 4;
/// Where it has [`Segment::destination`].
pub const DESTINATION_AT: u16 = 6;
/// Where it has [`Segment::source_first`].
pub const SOURCE_FIRST_AT: u16 = 12;
/// Where it has [`Segment::destination_first`].
pub const DESTINATION_FIRST_AT: u16 = 20;

/// What is copied by one segment descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// From which of the targets.
    pub source: u16,
    /// To which of them.
    pub destination: u16,
    /// How many blocks: of the destination where DC is set, else of the source.
    pub blocks: BlockCount,
    /// DC.
    pub counts_destination: bool,
    /// The first block there.
    pub source_first: Lba,
    /// The first block here.
    pub destination_first: Lba,
}

/// Reads a parameter list.
///
/// # Errors
///
/// PARAMETER LIST LENGTH ERROR where the list is shorter than it says, or longer than [`LIST_BYTES_MAX`]; a condition of
/// its own for too many descriptors of a kind, or one of another type than ours; INVALID FIELD IN PARAMETER LIST.
pub fn parse(list: &[u8]) -> Result<CopyList, Sense> {
    let (header, rest) =
        list.split_first_chunk::<HEADER_BYTES>().ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    let fields = Fields(header);
    let identifier = match (fields.bits::<1, 4, 3>(), fields.byte::<0>()) {
        (LIST_ID_KEPT | LIST_ID_MAY_BE_DROPPED, identifier) => Some(identifier),
        (LIST_ID_NOT_USED, 0) => None,
        _ => return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST),
    };
    let targets_bytes = usize::from(fields.be16::<2>());
    let segments_bytes = usize::try_from(fields.be32::<8>()).unwrap_or(usize::MAX);
    if fields.be32::<12>() != 0 {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST); // There is no inline data.
    }
    if targets_bytes > TARGETS_MAX * TARGET_BYTES {
        return Err(Sense::TOO_MANY_TARGET_DESCRIPTORS);
    }
    let (targets, rest) = rest.split_at_checked(targets_bytes).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    if segments_bytes > SEGMENTS_MAX * SEGMENT_BYTES {
        return Err(Sense::TOO_MANY_SEGMENT_DESCRIPTORS);
    }
    let segments = rest.get(..segments_bytes).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    let (targets, []) = targets.as_chunks() else { return Err(Sense::PARAMETER_LIST_LENGTH_ERROR) };
    Ok(CopyList {
        identifier,
        targets: targets.iter().map(target).collect::<Result<_, _>>()?,
        segments: read_segments(segments)?,
    })
}

/// A unit is named as VPD page 83h names it: by the NAA designator of sixteen bytes.
fn target(bytes: &[u8; TARGET_BYTES]) -> Result<Option<[u8; 16]>, Sense> {
    const BINARY: u8 = 1;
    const NAA: u8 = 3;
    let fields = Fields(bytes);
    if fields.byte::<0>() != IDENTIFICATION {
        return Err(Sense::UNSUPPORTED_TARGET_DESCRIPTOR);
    }
    // LU ID TYPE says nothing here: this descriptor has no LU identifier.  The types of units are those of SPC; ours are
    // disks.
    if fields.bits::<1, 4, 0>() != 0 {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
    }
    if fields.bit::<1, 5>() {
        return Ok(None);
    }
    let is_naa_6 = fields.bits::<4, 3, 0>() == BINARY
        && fields.bits::<5, 3, 0>() == NAA
        && fields.bits::<5, 5, 4>() == 0
        && fields.byte::<7>() == 16;
    if !is_naa_6 {
        return Err(Sense::UNSUPPORTED_TARGET_DESCRIPTOR);
    }
    let mut name = [0; 16];
    name.copy_from_slice(&bytes[8..24]);
    Ok(Some(name))
}

/// Other types of segment descriptors have other lengths, so that the first is looked at before the second.
fn read_segments(mut rest: &[u8]) -> Result<Vec<Segment>, Sense> {
    let mut segments = Vec::new();
    while let Some(&kind) = rest.first() {
        if kind != BLOCK_TO_BLOCK {
            return Err(Sense::UNSUPPORTED_SEGMENT_DESCRIPTOR);
        }
        let (bytes, behind) =
            rest.split_first_chunk::<SEGMENT_BYTES>().ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
        segments.push(segment(bytes)?);
        rest = behind;
    }
    Ok(segments)
}

fn segment(bytes: &[u8; SEGMENT_BYTES]) -> Result<Segment, Sense> {
    let fields = Fields(bytes);
    if usize::from(fields.be16::<2>()) != SEGMENT_BYTES - 4 {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
    }
    Ok(Segment {
        source: fields.be16::<4>(),
        destination: fields.be16::<6>(),
        blocks: BlockCount(u64::from(fields.be16::<10>())),
        counts_destination: fields.bit::<1, 1>(),
        source_first: Lba(fields.be64::<12>()),
        destination_first: Lba(fields.be64::<20>()),
    })
}

/// Returns the answer to RECEIVE COPY OPERATING PARAMETERS; the caller cuts it to the allocation length.
#[must_use]
pub fn operating_parameters() -> Vec<u8> {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let small = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
    const TYPES: [u8; 2] = [BLOCK_TO_BLOCK, IDENTIFICATION];
    const GRANULARITY_512: u8 = 9;
    let block = Block::<46>::new()
        .be32::<0>(42)
        .bit::<4, 0>(true) // SNLID: a list needs no identifier.
        .be16::<8>(small(TARGETS_MAX))
        .be16::<10>(small(SEGMENTS_MAX))
        .be32::<12>(number(DESCRIPTORS_BYTES_MAX))
        .be32::<16>(SEGMENT_DATA_BYTES_MAX)
        .be16::<34>(u16::from(COPIES_MAX)) // TOTAL CONCURRENT COPIES
        .byte::<36>(COPIES_MAX) // MAXIMUM CONCURRENT COPIES
        .byte::<37>(GRANULARITY_512)
        .byte::<38>(GRANULARITY_512)
        .byte::<39>(GRANULARITY_512)
        .byte::<43>(2)
        .bytes::<44, 2>(TYPES);
    block.done().to_vec()
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyStatus {
    /// Whether it has ended, and then whether well.
    pub ended: Option<bool>,
    /// Segments that were begun.
    pub segments: u16,
    /// Bytes that were written.
    pub bytes: u64,
}

/// Returns the answer to RECEIVE COPY STATUS (LID1); the caller cuts it to the allocation length.
#[must_use]
pub fn status(status: &CopyStatus) -> Vec<u8> {
    let code = match status.ended {
        None => 0x00,
        Some(true) => 0x01,
        Some(false) => 0x02,
    };
    const KIBIBYTES: u8 = 0x01;
    let (units, count) = match u32::try_from(status.bytes) {
        Ok(bytes) => (0x00, bytes),
        Err(_) => (KIBIBYTES, u32::try_from(status.bytes / 1024).unwrap_or(u32::MAX)),
    };
    // HDD = 0: no copy of ours holds data for its initiator.
    let block = Block::<12>::new()
        .be32::<0>(8)
        .bits::<4, 6, 0>(code)
        .be16::<5>(status.segments)
        .byte::<7>(units)
        .be32::<8>(count);
    block.done().to_vec()
}

/// Returns the answer to RECEIVE COPY FAILURE DETAILS (LID1) for a copy that ended like this; `None` is one that did not
/// fail.  The caller cuts it to the allocation length.
#[must_use]
pub fn failure_details(failure: Option<(Status, Option<Sense>)>, format: SenseFormat) -> Vec<u8> {
    let Some((status, sense)) = failure else { return vec![0; 4] };
    let sense = sense.map(|sense| sense.encode(format).to_vec()).unwrap_or_default();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    const BEFORE_SENSE: usize = 60;
    let header = Block::<BEFORE_SENSE>::new()
        .be32::<0>(number(BEFORE_SENSE - 4 + sense.len()))
        .byte::<56>(status.code())
        .be16::<58>(u16::try_from(sense.len()).unwrap_or(u16::MAX));
    [&header.done()[..], &sense].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: [u8; 16] = [0x60, 1, 0x40, 0x51, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn target_bytes() -> Vec<u8> {
        let mut bytes = vec![0xe4, 0, 0, 0, /* binary */ 1, /* NAA */ 3, 0, 16];
        bytes.extend(NAME);
        bytes.extend([0, 0, 0, 0, 0, 0, 2, 0]);
        bytes
    }

    fn segment_bytes() -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0x12, 0x34];
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6]);
        bytes
    }

    fn list(targets: &[Vec<u8>], segments: &[Vec<u8>]) -> Vec<u8> {
        let (targets, segments) = (targets.concat(), segments.concat());
        let mut bytes = vec![1, 0];
        bytes.extend(u16::try_from(targets.len()).unwrap().to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(u32::try_from(segments.len()).unwrap().to_be_bytes());
        bytes.extend([0; 4]);
        [bytes, targets, segments].concat()
    }

    #[test]
    fn a_list_names_units_and_what_is_copied_between_them() {
        let parsed = parse(&list(&[target_bytes(), target_bytes()], &[segment_bytes()])).unwrap();
        assert_eq!(parsed.targets, [Some(NAME), Some(NAME)]);
        let segment = Segment {
            source: 0,
            destination: 1,
            blocks: BlockCount(0x1234),
            counts_destination: false,
            source_first: Lba(5),
            destination_first: Lba(6),
        };
        assert_eq!(parsed.segments, [segment]);
    }

    #[test]
    fn the_type_of_an_identifier_that_is_not_there_is_ignored() {
        for kind in [0x40, 0x80, 0xc0] {
            let mut named = target_bytes();
            named[1] = kind;
            assert_eq!(parse(&list(&[named], &[])).unwrap().targets, [Some(NAME)], "{kind:02x}");
        }
    }

    #[test]
    fn a_target_may_be_said_not_to_take_part() {
        let mut null = target_bytes();
        null[1] = 0x20;
        assert_eq!(parse(&list(&[null], &[])).unwrap().targets, [None]);
    }

    fn check_refused(list: &[u8], sense: [u8; 3]) {
        let refused = parse(list).map_err(|sense| [sense.key as u8, sense.asc, sense.ascq]);
        assert_eq!(refused, Err(sense));
    }

    #[test]
    fn what_is_not_a_copy_between_named_disks_is_refused() {
        let target = |at: usize, value| {
            let mut bytes = target_bytes();
            bytes[at] = value;
            list(&[bytes], &[])
        };
        check_refused(&target(0, 0xe2), [5, 0x26, 0x07]);
        check_refused(&target(1, 0x01), [5, 0x26, 0x00]);
        check_refused(&target(4, 2), [5, 0x26, 0x07]);
        check_refused(&target(7, 8), [5, 0x26, 0x07]);
        let segment = |at: usize, value| {
            let mut bytes = segment_bytes();
            bytes[at] = value;
            list(&[], &[bytes])
        };
        check_refused(&segment(0, 0x03), [5, 0x26, 0x09]);
        check_refused(&segment(3, 25), [5, 0x26, 0x00]);
    }

    #[test]
    fn more_than_is_said_to_be_taken_is_refused() {
        check_refused(&list(&vec![target_bytes(); 17], &[]), [5, 0x26, 0x06]);
        check_refused(&list(&[], &vec![segment_bytes(); 17]), [5, 0x26, 0x08]);
        assert!(parse(&list(&vec![target_bytes(); 16], &vec![segment_bytes(); 16])).is_ok());
    }

    #[test]
    fn a_list_that_is_shorter_than_it_says_is_refused() {
        let whole = list(&[target_bytes()], &[segment_bytes()]);
        for bytes in 0..whole.len() {
            check_refused(&whole[..bytes], [5, 0x1a, 0x00]);
        }
        let mut inline = whole;
        inline[15] = 1;
        check_refused(&inline, [5, 0x26, 0x00]);
    }

    #[test]
    fn a_list_has_an_identifier_or_says_that_it_has_none() {
        let with = |identifier: u8, usage: u8| {
            let mut bytes = list(&[], &[]);
            (bytes[0], bytes[1]) = (identifier, usage << 3);
            parse(&bytes)
                .map(|list| list.identifier)
                .map_err(|sense| [sense.key as u8, sense.asc, sense.ascq])
        };
        assert_eq!(with(0x17, 0b00), Ok(Some(0x17)));
        assert_eq!(with(0, 0b00), Ok(Some(0)));
        assert_eq!(with(0x17, 0b10), Ok(Some(0x17)));
        assert_eq!(with(0, 0b11), Ok(None));
        assert_eq!(with(0x17, 0b11), Err([5, 0x26, 0x00]));
        assert_eq!(with(0, 0b01), Err([5, 0x26, 0x00]));
    }

    #[test]
    fn the_status_of_a_copy_says_how_far_it_has_come() {
        let running = CopyStatus { ended: None, segments: 2, bytes: 0x0012_3456 };
        assert_eq!(status(&running), [0, 0, 0, 8, 0, 0, 2, 0, 0, 0x12, 0x34, 0x56]);
        let ended = CopyStatus { ended: Some(true), segments: 0x0102, bytes: 5 << 30 };
        assert_eq!(status(&ended), [0, 0, 0, 8, 1, 1, 2, /* KiB */ 1, 0, 0x50, 0, 0]);
        let failed = CopyStatus { ended: Some(false), segments: 1, bytes: 0 };
        assert_eq!(status(&failed), [0, 0, 0, 8, 2, 0, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn details_of_a_failure_are_its_status_and_its_sense() {
        let failure = Some((Status::CheckCondition, Some(Sense::THIRD_PARTY_DEVICE_FAILURE)));
        let details = failure_details(failure, SenseFormat::Fixed);
        assert_eq!(details.len(), 60 + 18);
        assert_eq!(details[..4], [0, 0, 0, 56 + 18]);
        assert!(details[4..56].iter().all(|&byte| byte == 0));
        assert_eq!(details[56..63], [2, 0, 0, 18, 0x70, 0, 0x0a]);
        assert_eq!(details[72..74], [0x0d, 0x01]);
        assert_eq!(failure_details(None, SenseFormat::Fixed), [0, 0, 0, 0]);
    }

    #[test]
    fn the_operating_parameters_are_those_of_the_parser() {
        #[rustfmt::skip]
        let expected = [
            0, 0, 0, 42, 1, 0, 0, 0, 0, 16, 0, 16, 0, 0, 0x03, 0xc0, 0x10, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 16, 9, 9, 9, 0, 0, 0, 2, 0x02, 0xe4,
        ];
        assert_eq!(operating_parameters(), expected);
    }
}
