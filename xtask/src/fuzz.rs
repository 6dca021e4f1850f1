// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs fuzz targets under libFuzzer.
//!
//! Above: `cargo xtask fuzz`.  Below: cargo-fuzz, and `fuzz/libfuzzer`, a workspace of its own.
//! Never here: an input; the kept ones are in `fuzz/corpus`, and every run of all tests goes through them.

use crate::cargo::cargo;
use crate::run::visibly;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stories::programs::{target_folder, workspace};

const CARGO_FUZZ: &str = "cargo-fuzz";
const CARGO_FUZZ_VERSION: &str = "0.13.2";

const INSTALL_LIMIT: Duration = Duration::from_secs(1500);
const BUILD_LIMIT: Duration = Duration::from_secs(1500);
/// What a run may take beyond its time: the last inputs, and the merge of what was found.
const GRACE: Duration = Duration::from_secs(300);

/// The longest input, in bytes; all targets have done their steps by then.
const INPUT_BYTES_MAX: u32 = 4096;
/// No input takes as many seconds, or as much memory, as these unless something is wrong.
const INPUT_SECONDS_MAX: u32 = 30;
const MEMORY_MIB_MAX: u32 = 2048;

/// Length of the names that libFuzzer gives to inputs.
const HASH_DIGITS: usize = 40;

/// What to run, and for how long.
#[derive(Args)]
pub(crate) struct Wanted {
    /// The target: `vhost_user`, `connection`, `chains`, `commands` or `inflight`; all, one after the other, if none is said
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Make the kept corpus as small as it can be without losing a way through the code, instead of running
    #[arg(long)]
    minimize: bool,
}

/// Builds the targets and runs what is wanted.
pub(crate) fn run(wanted: &Wanted) -> Result<()> {
    let targets = targets()?;
    let chosen: Vec<&String> =
        match &wanted.target {
            None => targets.iter().collect(),
            Some(name) => vec![targets.iter().find(|target| *target == name).with_context(|| {
                format!("there is no fuzz target {name}; there are {}", targets.join(", "))
            })?],
        };
    install()?;
    build()?;
    let mut failed = Vec::new();
    for target in chosen {
        let outcome = if wanted.minimize { minimize(target) } else { fuzz(target, wanted.seconds) };
        if let Err(error) = outcome {
            eprintln!("fuzz: {target}: {error:#}");
            failed.push(target.as_str());
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => bail!("findings: {}; the inputs are in {}", failed.join(", "), artifacts("")?.display()),
    }
}

/// The targets, by the folders of their corpora.
fn targets() -> Result<Vec<String>> {
    let folder = workspace().join("fuzz/corpus");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Installs cargo-fuzz where cargo keeps what it builds, unless it is there.
fn install() -> Result<()> {
    let root = target_folder()?.join("tools");
    if root.join("bin").join(CARGO_FUZZ).exists() {
        return Ok(());
    }
    let mut install = cargo();
    install.args(["install", CARGO_FUZZ, "--version", CARGO_FUZZ_VERSION, "--locked", "--root"]).arg(root);
    visibly(&mut install, INSTALL_LIMIT)
}

/// Builds all targets with AddressSanitizer and libFuzzer's counters.  Both are switches that a stable compiler has
/// and does not offer; RUSTC_BOOTSTRAP makes it offer them.
fn build() -> Result<()> {
    let mut build = stories::process::command(target_folder()?.join("tools/bin").join(CARGO_FUZZ));
    build.args(["build", "--fuzz-dir", "."]).arg("--target-dir").arg(target_folder()?.join("fuzz"));
    build.current_dir(workspace().join("fuzz/libfuzzer")).env("RUSTC_BOOTSTRAP", "1");
    visibly(&mut build, BUILD_LIMIT)
}

/// Runs a target on a copy of its corpus that grows.
fn fuzz(target: &str, seconds: u32) -> Result<()> {
    let growing = target_folder()?.join("fuzz-corpus").join(target);
    std::fs::create_dir_all(&growing)?;
    std::fs::create_dir_all(artifacts(target)?)?;
    let mut run = program(target)?;
    run.arg("-fork=1").arg(format!("-max_total_time={seconds}"));
    run.arg(format!("-artifact_prefix={}/", artifacts(target)?.display()));
    run.arg(growing).arg(corpus(target));
    visibly(&mut run, Duration::from_secs(seconds.into()) + GRACE)
}

/// Puts the smallest corpus that goes all ways which the kept one and the grown one go in the place of the kept one.
fn minimize(target: &str) -> Result<()> {
    let (kept, growing) = (corpus(target), target_folder()?.join("fuzz-corpus").join(target));
    let smaller = tempfile::tempdir_in(target_folder()?)?;
    std::fs::create_dir_all(&growing)?;
    let mut merge = program(target)?;
    // Ways through the code alone: how often each is gone would keep thousands of inputs.
    merge.args(["-merge=1", "-use_counters=0"]).arg(smaller.path()).arg(&kept).arg(growing);
    visibly(&mut merge, BUILD_LIMIT)?;
    replace(&kept, smaller.path())
}

/// What has a name of its own, and not one that libFuzzer made up, was a finding once and stays.
fn replace(kept: &Path, with: &Path) -> Result<()> {
    for entry in std::fs::read_dir(kept)? {
        let entry = entry?;
        if entry.file_name().len() == HASH_DIGITS {
            std::fs::remove_file(entry.path())?;
        }
    }
    for entry in std::fs::read_dir(with)? {
        let entry = entry?;
        std::fs::copy(entry.path(), kept.join(entry.file_name()))?;
    }
    Ok(())
}

/// The program of a target, with what every use of it is told.
fn program(target: &str) -> Result<std::process::Command> {
    let folder = target_folder()?.join("fuzz").join(format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
    let mut program = stories::process::command(folder.join("release").join(target));
    // Threads that never end keep what they own; that is no leak.
    program.env("ASAN_OPTIONS", "detect_leaks=0");
    program.arg(format!("-max_len={INPUT_BYTES_MAX}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    program.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}")).arg("-print_funcs=0");
    Ok(program)
}

fn corpus(target: &str) -> PathBuf {
    workspace().join("fuzz/corpus").join(target)
}

/// Where inputs that break a promise are kept.
fn artifacts(target: &str) -> Result<PathBuf> {
    Ok(target_folder()?.join("fuzz-findings").join(target))
}
