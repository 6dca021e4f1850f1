// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The house rules that a machine can check.
//!
//! Above: `cargo xtask tidy`, and `levels`, which checks them first.  Below: rustfmt, clippy, git, and
//! `tidy/` for the rules that are our own.
//!
//! A fault is one line, `path:line: what is wrong`.  Our own rules are a test too, so that `cargo test` alone
//! finds what breaks them.

mod crates;
mod deviations;
mod files;

use crate::cargo::{cargo, metadata};
use crate::run::visibly;
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use stories::process::{command, run_well};
use stories::programs::workspace;

const FORMAT_LIMIT: Duration = Duration::from_secs(120);
const LINT_LIMIT: Duration = Duration::from_secs(1200);
const LISTING_LIMIT: Duration = Duration::from_secs(60);

/// Checks everything; each check is made whatever the others found.
pub(crate) fn check() -> Result<()> {
    let checks = [("house rules", house_rules()), ("format", format()), ("lints", lints())];
    let mut failed = Vec::new();
    for (name, outcome) in checks {
        if let Err(error) = outcome {
            eprintln!("tidy: {name}: {error:#}");
            failed.push(name);
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => bail!("not tidy: {}", failed.join(", ")),
    }
}

fn format() -> Result<()> {
    visibly(cargo().args(["fmt", "--all", "--check"]), FORMAT_LIMIT)
}

fn lints() -> Result<()> {
    let mut clippy = cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "--deny=warnings"]);
    visibly(&mut clippy, LINT_LIMIT)
}

fn house_rules() -> Result<()> {
    let mut faults = crates::check(&metadata()?.packages);
    let (mut functions, mut deviations) = (BTreeSet::new(), String::new());
    for path in tracked()? {
        // What is no text is nobody's to read, and what was deleted but not yet committed is gone.
        if let Ok(text) = std::fs::read_to_string(workspace().join(&path)) {
            faults.extend(files::check(Path::new(&path), &text));
            if path.ends_with(".rs") {
                deviations::gather_functions(&text, &mut functions);
            }
            if path == deviations::FILE {
                deviations = text;
            }
        }
    }
    faults.extend(deviations::check(&deviations, &functions));
    match faults.as_slice() {
        [] => Ok(()),
        faults => bail!("{} faults\n{}", faults.len(), faults.join("\n")),
    }
}

/// The files of the repository, by paths from its top.
fn tracked() -> Result<Vec<String>> {
    let mut git = command("git");
    // A checkout that belongs to somebody else, as in a container, is listed all the same.
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = run_well(git.current_dir(workspace()), LISTING_LIMIT)?;
    let paths = listed.split(|&byte| byte == 0).filter(|path| !path.is_empty());
    Ok(paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_the_house_rules() -> Result<()> {
        house_rules()
    }
}
