// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs the tests, level by level, and says how long each took.
//!
//! Above: `cargo xtask test`, which is all that continuous integration runs.
//! Below: `setup`, `tidy`, cargo.
//!
//! A level that fails does not keep the next from running, except that nothing runs without its build.

use crate::cargo::{Metadata, Package, cargo, metadata};
use crate::run::visibly;
use crate::{setup, tidy};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use stories::accel::{ACCEL, Accel};
use stories::programs::{BIN_DIR, target_folder};

/// The package of the stories.
const STORIES: &str = "stories";

const BUILD_LIMIT: Duration = Duration::from_secs(1500);

/// Folders of stories with a level of their own, in order, each with its time limit.  The stories directly in
/// `tests` are the level before them.
const FOLDERS: &[(&str, Duration)] = &[
    ("guest", Duration::from_secs(1200)),
    ("conformance", Duration::from_secs(1200)),
    ("tools", Duration::from_secs(600)),
    ("faults", Duration::from_secs(900)),
];

/// The package of the fuzz targets, whose tests run the kept corpora.
const FUZZ: &str = "fuzz";
const FUZZ_LIMIT: Duration = Duration::from_secs(400);

/// How a level ended.
#[derive(Debug)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// What the end of the run tells.
#[derive(Debug, Default)]
struct Report(Vec<(String, Outcome, Duration)>);

/// Runs all levels.
pub(crate) fn run() -> Result<()> {
    let mut report = Report::default();
    report.level("set-up", || setup::prepare(setup::For::Test));
    report.level("tidy", tidy::check);
    let built = report.level("build", build);
    match metadata() {
        Ok(metadata) if built => test(&mut report, &metadata),
        Ok(_) => report.skip("tests", "the build failed"),
        Err(error) => {
            report.note("tests", Outcome::Failed(format!("{error:#}")), Duration::ZERO);
        }
    }
    println!("\n{}", report.text());
    if report.failed() {
        bail!("not every level passed");
    }
    Ok(())
}

/// Builds what users get, and every test, so that the levels' times are those of the tests.
fn build() -> Result<()> {
    let mut release = cargo();
    release.args(["build", "--release", "--package=lunard", "--package=lunar"]);
    visibly(&mut release, BUILD_LIMIT)?;
    visibly(cargo().args(["test", "--workspace", "--no-run"]), BUILD_LIMIT)
}

fn test(report: &mut Report, metadata: &Metadata) {
    report.level("pure", || {
        visibly(crates().args(["--lib", "--bins"]), Duration::from_secs(900))?;
        visibly(crates().arg("--doc"), Duration::from_secs(600))
    });
    if metadata.packages.iter().any(|package| package.name != STORIES && has_tests(package)) {
        report.level("ring", || visibly(crates().args(["--test", "*"]), Duration::from_secs(900)));
    } else {
        report.skip("ring", "no crate has tests of its own beside its code");
    }
    let targets = metadata.packages.iter().filter(|package| package.name == STORIES);
    let targets: Vec<(&str, &Path)> = targets
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.iter().any(|kind| kind == "test"))
        .map(|target| (target.name.as_str(), target.src_path.as_path()))
        .collect();
    run_stories(report, "daemon", &in_folder(&targets, "tests"), Duration::from_secs(900));
    for &(folder, limit) in FOLDERS {
        run_stories(report, folder, &in_folder(&targets, folder), limit);
    }
    report.level("fuzz", || visibly(cargo().args(["test", "--no-fail-fast", "--package", FUZZ]), FUZZ_LIMIT));
    report.skip("speed", "figures are compared by hand: no machine of continuous integration is quiet");
}

/// The names of the test targets whose file lies directly in a folder.
fn in_folder<'a>(targets: &[(&'a str, &Path)], folder: &str) -> Vec<&'a str> {
    let lies_in = |path: &Path| path.parent().is_some_and(|parent| parent.ends_with(folder));
    targets.iter().filter(|(_, path)| lies_in(path)).map(|(name, _)| *name).collect()
}

fn run_stories(report: &mut Report, level: &str, names: &[&str], limit: Duration) {
    if names.is_empty() {
        report.skip(level, "there are no such stories yet");
        return;
    }
    report.level(level, || {
        let mut stories = cargo();
        stories.args(["test", "--no-fail-fast", "--package", STORIES]);
        stories.env(BIN_DIR, target_folder()?.join("release"));
        if level == "guest" {
            let accel = Accel::detect()?;
            println!("guest: QEMU runs guests with {}", accel.name());
            // The harness has tests that boot firmware.
            stories.env(ACCEL, accel.name()).arg("--lib");
        }
        for name in names {
            stories.args(["--test", name]);
        }
        visibly(&mut stories, limit)
    });
}

/// Cargo, about to test all but what has a level of its own.
fn crates() -> Command {
    let mut tests = cargo();
    tests.args(["test", "--no-fail-fast", "--workspace", "--exclude", STORIES, "--exclude", FUZZ]);
    tests
}

fn has_tests(package: &Package) -> bool {
    package.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "test"))
}

impl Report {
    /// Runs a level and returns whether it passed.
    fn level(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = match work() {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        self.note(name, outcome, start.elapsed())
    }

    fn skip(&mut self, name: &str, why: &str) {
        self.note(name, Outcome::Skipped(why.to_owned()), Duration::ZERO);
    }

    fn note(&mut self, name: &str, outcome: Outcome, took: Duration) -> bool {
        let passed = matches!(outcome, Outcome::Passed);
        self.0.push((name.to_owned(), outcome, took));
        passed
    }

    fn failed(&self) -> bool {
        self.0.iter().any(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
    }

    /// One line a level.
    fn text(&self) -> String {
        let mut text = String::from("level          time  outcome\n");
        for (name, outcome, took) in &self.0 {
            let outcome = match outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::Failed(why) => format!("FAILED: {}", why.lines().next().unwrap_or_default()),
                Outcome::Skipped(why) => format!("skipped: {why}"),
            };
            text.push_str(&format!("{name:<12} {:>4} s  {outcome}\n", took.as_secs()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_line_for_each_level() {
        let mut report = Report::default();
        assert!(report.note("pure", Outcome::Passed, Duration::from_secs(65)));
        report.skip("fuzz", "there are no such stories yet");
        assert!(!report.failed());
        assert!(!report.level("ring", || bail!("cargo test failed\nin detail")));
        assert!(report.failed());
        assert_eq!(
            report.text(),
            "level          time  outcome\n\
             pure           65 s  passed\n\
             fuzz            0 s  skipped: there are no such stories yet\n\
             ring            0 s  FAILED: cargo test failed\n"
        );
    }

    #[test]
    fn stories_belong_to_the_level_of_their_folder() {
        let targets =
            [("idle", Path::new("/r/tests/idle.rs")), ("boot", Path::new("/r/tests/guest/boot.rs"))];
        assert_eq!(in_folder(&targets, "tests"), ["idle"]);
        assert_eq!(in_folder(&targets, "guest"), ["boot"]);
        assert_eq!(in_folder(&targets, "faults"), Vec::<&str>::new());
    }
}
