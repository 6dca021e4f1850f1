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

/// What a test says that has left out a command which may lose data.
const LEFT_OUT: &str = "--dataloss flag is not set in. Skipping";

/// How a test failed first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The file and the line.
    pub(crate) place: String,
    /// What it said of it.
    pub(crate) said: String,
}

/// The tests of a run, in their order, and what each printed.
fn texts(printed: &str) -> impl Iterator<Item = (String, &str)> {
    // Each test's text begins with its name; the word at its end is in the same line only if it said nothing.
    printed.split("\n  Test: ").skip(1).map(|text| {
        let name = text.split(" ...").next().unwrap_or_default().trim().to_owned();
        (name, text.split("\nRun Summary").next().unwrap_or_default())
    })
}

/// The tests of a run that failed, in their order; nothing is known of one that never ended.
pub(crate) fn failures(printed: &str) -> Vec<(String, Failure)> {
    let failed: Vec<String> = verdicts(printed)
        .into_iter()
        .filter_map(|(name, verdict)| (verdict == Verdict::Failed).then_some(name))
        .collect();
    let texts = texts(printed).filter(|(name, _)| failed.contains(name));
    let failure = |own: &str| {
        let first = |what: &str| own.lines().find_map(|line| Some(line.split_once(what)?.1.to_owned()));
        let place = first("    1. ").unwrap_or_default();
        let place = place.split(' ').next().unwrap_or_default().to_owned();
        Failure { place, said: first("[FAILED] ").unwrap_or_default() }
    };
    texts.map(|(name, own)| (name, failure(own))).collect()
}

/// The tests of a run, in their order, and what became of each.  One that never ended has failed.
pub(crate) fn verdicts(printed: &str) -> Vec<(String, Verdict)> {
    let mut found: Vec<(String, Verdict)> = Vec::new();
    for (name, own) in texts(printed) {
        let verdict = if own.contains(LEFT_OUT) {
            // It goes on without what it has left out, and finds that missing.
            Verdict::Skipped
        } else if own.contains("FAILED") || !own.contains("passed") {
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
    fn a_failure_is_known_by_where_it_was_first_and_what_was_said() {
        let printed = "\n  Test: Good ...passed\n  Test: Bad ...    [FAILED] 5 is not 6\n    [FAILED] nor 7\nFAILED\n    \
                       1. a.c:5  - r == 0\n    2. a.c:7  - r == 0\n  Test: Hung ...\n    Read\n";
        let failure = |place: &str, said: &str| Failure { place: place.to_owned(), said: said.to_owned() };
        let expected = [("Bad", failure("a.c:5", "5 is not 6")), ("Hung", failure("", ""))];
        assert_eq!(failures(printed), expected.map(|(name, failure)| (name.to_owned(), failure)));
    }

    #[test]
    fn a_test_that_left_out_what_may_lose_data_was_skipped_whatever_it_found() {
        let printed =
            "\n  Test: Dpo ...--dataloss flag is not set in. Skipping write\nFAILED\n    1. a.c:5  - 0\n";
        assert_eq!(verdicts(printed), [("Dpo".to_owned(), Skipped)]);
    }

    #[test]
    fn the_summary_is_not_a_part_of_the_last_test() {
        let printed =
            "Suite: A\n  Test: Last ...passed\nRun Summary:    Type  Total    Ran Passed Failed\n FAILED";
        assert_eq!(verdicts(printed), [("Last".to_owned(), Passed)]);
    }
}
