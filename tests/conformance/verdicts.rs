// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads what `iscsi-test-cu -v` prints.
//!
//! Above: `iscsi_test`.  Below: nothing.
//! Never here: which verdict is wanted.

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// The tests of a run, in their order, and what became of each.  One that never ended has failed.
pub(crate) fn verdicts(printed: &str) -> Vec<(String, Verdict)> {
    let mut found: Vec<(String, Verdict)> = Vec::new();
    // Each test's text begins with its name; the word at its end is in the same line only if it said nothing.
    for text in printed.split("\n  Test: ").skip(1) {
        let name = text.split(" ...").next().unwrap_or_default().trim().to_owned();
        let own = text.split("\nRun Summary").next().unwrap_or_default();
        let verdict = if own.contains("FAILED") || !own.contains("passed") {
            Verdict::Failed
        } else if own.contains("[SKIPPED]") {
            Verdict::Skipped
        } else {
            Verdict::Passed
        };
        found.push((name, verdict));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Failed, Passed, Skipped};

    #[test]
    fn the_word_at_the_end_counts_and_a_skipped_test_has_not_passed() {
        let printed = "\n\nSuite: Read10\n  Test: Simple ...passed\n  Test: Dpo ...\n    [SKIPPED] no such thing.\npassed\n  \
                       Test: Bad ...\n    [FAILED] 5 is not 6\nFAILED\n    1. a.c:5  - 0\n  Test: Hung ...\n    Read\n";
        let expected = [("Simple", Passed), ("Dpo", Skipped), ("Bad", Failed), ("Hung", Failed)];
        assert_eq!(verdicts(printed), expected.map(|(name, verdict)| (name.to_owned(), verdict)));
    }

    #[test]
    fn the_summary_is_not_a_part_of_the_last_test() {
        let printed =
            "Suite: A\n  Test: Last ...passed\nRun Summary:    Type  Total    Ran Passed Failed\n FAILED";
        assert_eq!(verdicts(printed), [("Last".to_owned(), Passed)]);
    }
}
