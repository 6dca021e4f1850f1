// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a unit has counted: the log pages of SPC-4 and SBC-3; and the diagnostic page of a unit that has none.
//!
//! Above: `target`, which counts.
//! Below: `field`.
//! Never here: counting.
//!
//! A counter is never more than what was counted: errors that a disk corrected by itself nobody here hears of, and the
//! page says nothing of them.

use crate::Sense;
use crate::cdb::log::LogSense;

/// What was counted since the unit began, or since it was told to forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Of commands that read.
    pub read: Moved,
    /// Of commands that write.
    pub write: Moved,
    /// Of commands that verify.
    pub verify: Moved,
}

/// What one kind of command has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Commands that were begun.
    pub commands: u64,
    /// Bytes that they were for.
    pub bytes: u64,
    /// Commands that the medium failed.
    pub errors: u64,
}

/// The space below a thin unit, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceBelow {
    /// What this unit and others may still take.
    pub available_bytes: u64,
    /// What is taken for this unit.
    pub used_bytes: u64,
    /// At how much of what is available it is scarce.
    pub threshold_bytes: u64,
}

/// The bytes that thresholds and resources are counted in: a threshold set.  SBC-3, Logical Block Provisioning VPD page.
const THRESHOLD_SET_BYTES: u64 = 1 << 20;

/// Returns THRESHOLD EXPONENT for blocks of this length.
#[must_use]
pub fn threshold_exponent(block_bytes: u32) -> u8 {
    let blocks = THRESHOLD_SET_BYTES / u64::from(block_bytes.max(1));
    u8::try_from(blocks.max(2).ilog2()).unwrap_or(1)
}

/// Returns how many whole threshold sets these are.
#[must_use]
pub fn threshold_sets(bytes: u64) -> u32 {
    u32::try_from(bytes / THRESHOLD_SET_BYTES).unwrap_or(u32::MAX)
}

impl SpaceBelow {
    /// SBC-3, Logical Block Provisioning log page: resources that are available, to others as well, and used by this unit.
    fn parameters(&self) -> Vec<Parameter> {
        const DEDICATED: u8 = 0b01;
        const SHARED: u8 = 0b10;
        let count = |bytes: u64, scope: u8| {
            let [a, b, c, d] = threshold_sets(bytes).to_be_bytes();
            vec![a, b, c, d, scope, 0, 0, 0]
        };
        // What is used is never said to be nothing while it is something.
        let used = self.used_bytes.saturating_add(THRESHOLD_SET_BYTES - 1);
        vec![
            (0x0001, BINARY_LIST, count(self.available_bytes, SHARED)),
            (0x0002, BINARY_LIST, count(used, DEDICATED)),
        ]
    }
}

const SUPPORTED: u8 = 0x00;
const WRITE_ERRORS: u8 = 0x02;
const READ_ERRORS: u8 = 0x03;
const VERIFY_ERRORS: u8 = 0x05;
const PROVISIONING: u8 = 0x0c;
const TEMPERATURE: u8 = 0x0d;
const STATISTICS: u8 = 0x19;
const ALL_SUBPAGES: u8 = 0xff;

/// Every page, in order; [`PROVISIONING`] only of a unit of whose space something is known.
const PAGES: [u8; 7] =
    [SUPPORTED, WRITE_ERRORS, READ_ERRORS, VERIFY_ERRORS, PROVISIONING, TEMPERATURE, STATISTICS];

/// Whether parameters count bytes, or hold something else: FORMAT AND LINKING of a parameter.
const COUNTER: u8 = 0b00;
const BINARY_LIST: u8 = 0b11;
/// A temperature that is not known.
const UNKNOWN: u8 = 0xff;

/// Returns the whole answer to LOG SENSE; the caller cuts it to the allocation length.
///
/// # Errors
/// INVALID FIELD IN CDB for a page that is not there, for values other than those that were counted, and for a parameter
/// behind the last.
pub fn sense(
    command: &LogSense,
    counted: &Counted,
    space: Option<&SpaceBelow>,
    block_bytes: u32,
) -> Result<Vec<u8>, Sense> {
    let pages = || PAGES.into_iter().filter(|&code| code != PROVISIONING || space.is_some());
    match (command.page, command.subpage) {
        (SUPPORTED, 0) => Ok(page(SUPPORTED, None, &pages().collect::<Vec<_>>())),
        (SUPPORTED, ALL_SUBPAGES) => {
            let pages = pages().flat_map(|code| [code, 0]);
            let all: Vec<u8> =
                [SUPPORTED, 0, SUPPORTED, ALL_SUBPAGES].into_iter().chain(pages.skip(2)).collect();
            Ok(page(SUPPORTED, Some(ALL_SUBPAGES), &all))
        }
        (code, 0) if command.is_cumulative => {
            let parameters = match (code, space) {
                (PROVISIONING, Some(space)) => Some(space.parameters()),
                _ => parameters(code, counted, block_bytes),
            };
            let parameters = parameters.ok_or(Sense::INVALID_FIELD_IN_CDB)?;
            let wanted = parameters.into_iter().filter(|(number, ..)| *number >= command.first_parameter);
            let bytes: Vec<u8> =
                wanted.flat_map(|(number, control, value)| parameter(number, control, &value)).collect();
            if bytes.is_empty() {
                return Err(Sense::INVALID_FIELD_IN_CDB);
            }
            Ok(page(code, None, &bytes))
        }
        _ => Err(Sense::INVALID_FIELD_IN_CDB),
    }
}

/// SPC-4, RECEIVE DIAGNOSTIC RESULTS: the page that lists the pages, of which it is the only one.
#[must_use]
pub fn diagnostic_pages() -> Vec<u8> {
    vec![0, 0, 0, 1, 0]
}

type Parameter = (u16, u8, Vec<u8>);

fn parameters(code: u8, counted: &Counted, block_bytes: u32) -> Option<Vec<Parameter>> {
    let number = |value: u64| value.to_be_bytes().to_vec();
    // SPC-4, error counter log pages: total bytes processed, total uncorrected errors.
    let errors =
        |moved: &Moved| vec![(0x0005, COUNTER, number(moved.bytes)), (0x0006, COUNTER, number(moved.errors))];
    Some(match code {
        WRITE_ERRORS => errors(&counted.write),
        READ_ERRORS => errors(&counted.read),
        VERIFY_ERRORS => errors(&counted.verify),
        TEMPERATURE => {
            vec![(0x0000, BINARY_LIST, vec![0, UNKNOWN]), (0x0001, BINARY_LIST, vec![0, UNKNOWN])]
        }
        STATISTICS => {
            let blocks = |bytes: u64| bytes / u64::from(block_bytes.max(1));
            let Counted { read, write, .. } = counted;
            // The times that commands took are not measured: the last four fields are 0.
            let fields = [read.commands, write.commands, blocks(write.bytes), blocks(read.bytes), 0, 0, 0, 0];
            vec![(0x0001, BINARY_LIST, fields.iter().flat_map(|field| field.to_be_bytes()).collect())]
        }
        _ => return None,
    })
}

/// SPC-4, log parameter.
fn parameter(number: u16, control: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    [&[high, low, control, length], value].concat()
}

/// SPC-4, log page.  A subpage has SPF; nothing is saved, so DS = 1 but for the lists of pages, which have none.
fn page(code: u8, subpage: Option<u8>, parameters: &[u8]) -> Vec<u8> {
    let first = match (code, subpage) {
        (SUPPORTED, None) => code,
        (_, None) => code | 0x80,
        (_, Some(_)) => code | 0x40,
    };
    let [high, low] = u16::try_from(parameters.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[first, subpage.unwrap_or(0), high, low], parameters].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTED: Counted = Counted {
        read: Moved { commands: 3, bytes: 0x2000, errors: 1 },
        write: Moved { commands: 5, bytes: 0x1000, errors: 0 },
        verify: Moved { commands: 0, bytes: 0, errors: 0 },
    };

    fn ask(page: u8, subpage: u8) -> LogSense {
        LogSense { is_cumulative: true, page, subpage, first_parameter: 0, allocation_bytes: 0xff }
    }

    fn answer(command: &LogSense) -> Result<Vec<u8>, Sense> {
        sense(command, &COUNTED, None, 512)
    }

    #[test]
    fn the_space_below_is_counted_in_threshold_sets_of_a_mebibyte() {
        let space = SpaceBelow { available_bytes: 0x1234_5678, used_bytes: 1, threshold_bytes: 0 };
        let answer = |page, subpage| sense(&ask(page, subpage), &COUNTED, Some(&space), 512).unwrap();
        #[rustfmt::skip]
        let expected = [
            0x8c, 0, 0, 24, 0, 1, 3, 8, 0, 0, 0x01, 0x23, 2, 0, 0, 0, 0, 2, 3, 8, 0, 0, 0, 1, 1, 0, 0, 0,
        ];
        assert_eq!(answer(0x0c, 0), expected);
        assert_eq!(answer(0, 0), [0, 0, 0, 7, 0x00, 0x02, 0x03, 0x05, 0x0c, 0x0d, 0x19]);
        assert_eq!(answer(0, 0xff)[14..16], [0x0c, 0]);
        assert_eq!([512, 4096].map(threshold_exponent), [11, 8]);
    }

    #[test]
    fn the_pages_are_listed_without_and_with_subpages() {
        assert_eq!(answer(&ask(0, 0)), Ok(vec![0, 0, 0, 6, 0x00, 0x02, 0x03, 0x05, 0x0d, 0x19]));
        let with_subpages = [0x40, 0xff, 0, 14, 0, 0, 0, 0xff, 0x02, 0, 0x03, 0, 0x05, 0, 0x0d, 0, 0x19, 0];
        assert_eq!(answer(&ask(0, 0xff)), Ok(with_subpages.to_vec()));
    }

    #[test]
    fn errors_and_bytes_are_counters_of_eight_bytes() {
        let read =
            [0x83, 0, 0, 24, 0, 5, 0, 8, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 6, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(answer(&ask(0x03, 0)), Ok(read.to_vec()));
        let second = LogSense { first_parameter: 6, ..ask(0x03, 0) };
        assert_eq!(answer(&second).unwrap()[..6], [0x83, 0, 0, 12, 0, 6]);
        let behind = LogSense { first_parameter: 7, ..ask(0x03, 0) };
        assert_eq!(answer(&behind), Err(Sense::INVALID_FIELD_IN_CDB));
    }

    #[test]
    fn statistics_count_commands_and_blocks_in_the_order_of_the_standard() {
        let page = answer(&ask(0x19, 0)).unwrap();
        assert_eq!(page[..8], [0x99, 0, 0, 68, 0, 1, 3, 64]);
        let field = |at: usize| page[8 + 8 * at + 7];
        // Commands that read, that wrote; blocks received, transmitted.
        assert_eq!([field(0), field(1), field(2), field(3)], [3, 5, 8, 16]);
        assert_eq!(page.len(), 72);
    }

    #[test]
    fn nobody_knows_the_temperature() {
        let page = [0x8d, 0, 0, 12, 0, 0, 3, 2, 0, 0xff, 0, 1, 3, 2, 0, 0xff];
        assert_eq!(answer(&ask(0x0d, 0)), Ok(page.to_vec()));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let threshold = LogSense { is_cumulative: false, ..ask(0x02, 0) };
        for command in [ask(0x2f, 0), ask(0x0c, 0), ask(0x02, 1), ask(0x02, 0xff), threshold] {
            assert_eq!(answer(&command), Err(Sense::INVALID_FIELD_IN_CDB), "{command:?}");
        }
    }
}
