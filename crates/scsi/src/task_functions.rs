// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The answer to REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.  SPC-4.
//!
//! Above: `target`.
//! Below: `field`.
//! Never here: doing one; that is the transport's.

use crate::cdb::primary::ReportSupportedTaskManagementFunctions;
use crate::field::Block;

/// All that SAM-5 has but CLEAR ACA and QUERY ASYNCHRONOUS EVENT.
#[must_use]
pub fn build(command: &ReportSupportedTaskManagementFunctions) -> Vec<u8> {
    let functions = Block::<16>::new()
        .bit::<0, 7>(true) // ATS: ABORT TASK.
        .bit::<0, 6>(true) // ATSS: ABORT TASK SET.
        .bit::<0, 4>(true) // CTSS: CLEAR TASK SET.
        .bit::<0, 3>(true) // LURS: LOGICAL UNIT RESET.
        .bit::<0, 2>(true) // QTS: QUERY TASK.
        .bit::<1, 1>(true) // QTSS: QUERY TASK SET.
        .bit::<1, 0>(true); // ITNRS: I_T NEXUS RESET.
    if command.extended {
        // No timeouts are named: TMFTMOV = 0.
        functions.byte::<3>(12).done().to_vec()
    } else {
        functions.done()[..4].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_there_but_clear_aca() {
        let ask =
            |extended| build(&ReportSupportedTaskManagementFunctions { extended, allocation_bytes: 16 });
        assert_eq!(ask(false), [0xdc, 0x03, 0, 0]);
        assert_eq!(ask(true), [0xdc, 0x03, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
