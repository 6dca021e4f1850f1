// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands of the survey that print something else, and why.
//!
//! Above: `survey`.  Below: rows of docs/deviations.md, by the test that each names.
//! Never here: a difference without a reason.

/// The command, and the tests of the rows that say why.
pub(crate) const EXPLAINED: &[(&str, &[&str])] = &[];
