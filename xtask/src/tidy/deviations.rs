// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every row of the table of deviations names a test that exists.
//!
//! Above: `tidy`.  Below: text.

use std::collections::BTreeSet;

/// The table, by its path from the top of the repository.
pub(super) const FILE: &str = "docs/deviations.md";

/// Adds the names of a Rust file's functions.
pub(super) fn gather_functions(text: &str, names: &mut BTreeSet<String>) {
    for line in text.lines() {
        if let Some((name, _)) = line.trim_start().strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
            names.insert(name.to_owned());
        }
    }
}

/// Returns a fault for each row whose last cell names no test, or one that is not among `functions`.
pub(super) fn check(text: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some(row) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else { continue };
        let cell = row.rsplit(" | ").next().unwrap_or_default();
        if cell == "test" {
            continue;
        }
        let mut fault = |what: &str| faults.push(format!("{FILE}:{}: {what}", number + 1));
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            fault("the row names no test");
        }
        for name in names.into_iter().filter(|name| !functions.contains(*name)) {
            fault(&format!("there is no test {name}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_tests_that_exist() {
        let mut functions = BTreeSet::new();
        gather_functions("mod tests {\n    fn a_is_b() {}\n    fn c(d: u8) {}\n}\n", &mut functions);
        let table = "| what | test |\n|---|---|\n| x | `a_is_b` |\n| y | `a_is_c`, `c` |\n| z | later |\n";
        assert_eq!(
            check(table, &functions),
            ["docs/deviations.md:4: there is no test a_is_c", "docs/deviations.md:5: the row names no test"]
        );
    }
}
