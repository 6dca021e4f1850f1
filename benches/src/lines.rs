// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lines of each crate: code, comments, tests.
//!
//! Above: `main`.  Below: the files that git knows.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use stories::process::{command, run_well};
use stories::programs::workspace;

const LISTING_LIMIT: Duration = Duration::from_secs(60);

/// Lines of some files.  Blank ones are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    /// Neither comment nor test.
    code: u64,
    /// Comments and documentation, those of tests apart.
    comments: u64,
    /// Tests beside the code from `#[cfg(test)]` on, and files of tests, comments included.
    tests: u64,
}

/// Prints a table of the repository's Rust.
pub(crate) fn count() -> Result<()> {
    let listed = run_well(
        command("git").args(["-c", "safe.directory=*", "ls-files", "-z", "*.rs"]).current_dir(workspace()),
        LISTING_LIMIT,
    )?;
    let mut crates: BTreeMap<String, Lines> = BTreeMap::new();
    for path in String::from_utf8_lossy(&listed).split('\0').filter(|path| !path.is_empty()) {
        let text = std::fs::read_to_string(workspace().join(path));
        let text = text.with_context(|| format!("cannot read {path}"))?;
        crates.entry(crate_of(path)).or_default().add(lines_of(&text, is_test(Path::new(path))));
    }
    println!("| crate | code | comments | tests |\n|---|--:|--:|--:|");
    let mut all = Lines::default();
    for (name, lines) in crates {
        println!("| {name} | {} | {} | {} |", lines.code, lines.comments, lines.tests);
        all.add(lines);
    }
    println!("| all | {} | {} | {} |", all.code, all.comments, all.tests);
    Ok(())
}

impl Lines {
    fn add(&mut self, other: Self) {
        self.code += other.code;
        self.comments += other.comments;
        self.tests += other.tests;
    }
}

/// The folder of `crates`, or the first folder.
fn crate_of(path: &str) -> String {
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    let name = if first == "crates" { parts.next().unwrap_or(first) } else { first };
    name.to_owned()
}

/// Whether a file is nothing but tests.
fn is_test(path: &Path) -> bool {
    let lies_in = |folder: &str| path.components().any(|part| part.as_os_str() == folder);
    path.ends_with("tests.rs") || lies_in("tests")
}

fn lines_of(text: &str, is_test: bool) -> Lines {
    let mut lines = Lines::default();
    let mut in_tests = is_test;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        // Tests come last in a file.
        in_tests |= line == "#[cfg(test)]";
        if in_tests {
            lines.tests += 1;
        } else if line.trim_start().starts_with("//") {
            lines.comments += 1;
        } else {
            lines.code += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_counted_once() {
        let text = "// SPDX\n//! What.\n\nfn one() {\n    // Why.\n    two(); // And.\n}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(lines_of(text, false), Lines { code: 3, comments: 3, tests: 3 });
        assert_eq!(lines_of(text, true), Lines { code: 0, comments: 0, tests: 9 });
    }

    #[test]
    fn a_file_belongs_to_its_crate() {
        assert_eq!(crate_of("crates/vhost-scsi/src/lib.rs"), "vhost-scsi");
        assert_eq!(crate_of("xtask/src/main.rs"), "xtask");
        assert!(is_test(Path::new("crates/memory/src/io_buf/tests.rs")));
        assert!(!is_test(Path::new("crates/memory/src/io_buf.rs")));
    }
}
