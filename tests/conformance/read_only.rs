// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests of libiscsi that fail on a disk which refuses writes, and why that is right.
//!
//! Above: `iscsi_test`, which runs all of them there.  Below: `verdicts`.
//! Never here: a test that fails for another reason than DATA PROTECT, WRITE PROTECTED (SBC-3, write protection).

use crate::verdicts::Failure;
use std::collections::BTreeMap;

/// What each wants, and where it first does not get it: file and line of libiscsi 1.19.
const FAILS: &[(&str, &[(&str, &str)])] = &[
    (
        "it writes what it reads, compares or gives up then",
        &[
            ("CompareAndWrite.Simple", "test_compareandwrite_simple.c:62"),
            ("CompareAndWrite.Miscompare", "test_compareandwrite_miscompare.c:61"),
            ("ExtendedCopy.Simple", "test_extendedcopy_simple.c:55"),
            ("GetLBAStatus.UnmapSingle", "test_get_lba_status_unmap_single.c:51"),
            ("OrWrite.Verify", "test_orwrite_verify.c:53"),
            ("Sanitize.BlockErase", "test_sanitize_block_erase.c:304"),
            ("Sanitize.Overwrite", "test_sanitize_overwrite.c:94"),
            ("Unmap.Simple", "test_unmap_simple.c:48"),
            ("WriteSame10.Unmap", "test_writesame10_unmap.c:46"),
            ("WriteSame16.Unmap", "test_writesame16_unmap.c:43"),
        ],
    ),
    (
        "it wants what it writes to be GOOD",
        &[
            ("CompareAndWrite.DpoFua", "test_compareandwrite_dpofua.c:73"),
            ("ExtendedCopy.ValidTgtDescr", "test_extendedcopy_validate_tgt_descr.c:69"),
            ("OrWrite.Simple", "test_orwrite_simple.c:44"),
            ("OrWrite.DpoFua", "test_orwrite_dpofua.c:64"),
            ("ReceiveCopyResults.CopyStatus", "test_receive_copy_results_copy_status.c:72"),
            ("Write10.Simple", "test_write10_simple.c:44"),
            ("Write10.DpoFua", "test_write10_dpofua.c:64"),
            ("Write12.Simple", "test_write12_simple.c:43"),
            ("Write12.DpoFua", "test_write12_dpofua.c:64"),
            ("Write16.Simple", "test_write16_simple.c:44"),
            ("Write16.DpoFua", "test_write16_dpofua.c:64"),
            ("WriteSame10.Simple", "test_writesame10_simple.c:42"),
            ("WriteSame10.Check", "test_writesame10_check.c:49"),
            ("WriteSame16.Simple", "test_writesame16_simple.c:42"),
            ("WriteSame16.Check", "test_writesame16_check.c:49"),
            ("WriteVerify10.Simple", "test_writeverify10_simple.c:43"),
            ("WriteVerify10.Flags", "test_writeverify10_flags.c:40"),
            ("WriteVerify10.Dpo", "test_writeverify10_dpo.c:65"),
            ("WriteVerify12.Simple", "test_writeverify12_simple.c:43"),
            ("WriteVerify12.Flags", "test_writeverify12_flags.c:40"),
            ("WriteVerify12.Dpo", "test_writeverify12_dpo.c:65"),
            ("WriteVerify16.Simple", "test_writeverify16_simple.c:44"),
            ("WriteVerify16.Flags", "test_writeverify16_flags.c:40"),
            ("WriteVerify16.Dpo", "test_writeverify16_dpo.c:66"),
        ],
    ),
    (
        "it wants another error of a write, that of its place or of what is there",
        &[
            ("CompareAndWrite.Unwritten", "test_compareandwrite_unwritten.c:77"),
            ("ExtendedCopy.ValidSegDescr", "test_extendedcopy_validate_seg_descr.c:75"),
            ("OrWrite.BeyondEol", "test_orwrite_beyond_eol.c:43"),
            ("Write10.BeyondEol", "test_write10_beyond_eol.c:47"),
            ("Write12.BeyondEol", "test_write12_beyond_eol.c:47"),
            ("Write16.BeyondEol", "test_write16_beyond_eol.c:43"),
            ("WriteSame10.BeyondEol", "test_writesame10_beyond_eol.c:45"),
            ("WriteSame16.BeyondEol", "test_writesame16_beyond_eol.c:40"),
            ("WriteVerify10.BeyondEol", "test_writeverify10_beyond_eol.c:47"),
            ("WriteVerify12.BeyondEol", "test_writeverify12_beyond_eol.c:47"),
            ("WriteVerify16.BeyondEol", "test_writeverify16_beyond_eol.c:43"),
        ],
    ),
    (
        "it wants what the pages say is there to be GOOD",
        &[
            ("WriteSame10.UnmapVPD", "test_writesame10_unmap_vpd.c:54"),
            ("WriteSame16.UnmapVPD", "test_writesame16_unmap_vpd.c:55"),
        ],
    ),
];

/// What no failure is without.
const REFUSED: &str = "DATA PROTECTION";

/// Where the failures are not those: more, less, at another place, or with another error.
pub(crate) fn unlike(failures: &BTreeMap<String, Failure>) -> Vec<String> {
    let mut rest = failures.clone();
    let mut unlike = Vec::new();
    for (test, place) in FAILS.iter().flat_map(|(_, tests)| *tests) {
        match rest.remove(*test) {
            None => unlike.push(format!("{test} does not fail")),
            Some(failure) if failure.place == *place && failure.said.contains(REFUSED) => {}
            Some(failure) => unlike.push(format!("{test} fails otherwise: {failure:?}")),
        }
    }
    unlike.extend(rest.into_iter().map(|(test, failure)| format!("{test} fails: {failure:?}")));
    unlike
}
