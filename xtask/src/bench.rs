// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds what is measured and what it is measured against, and starts the program `bench`.
//!
//! Above: `cargo xtask bench`.  Below: cargo, and `benches`, which measures.
//! Never here: a figure.

use crate::cargo::cargo;
use crate::run::{describe, visibly};
use crate::setup;
use anyhow::Result;
use std::path::PathBuf;
use std::time::Duration;
use stories::process::command;
use stories::programs::{BIN_DIR, target_folder};

/// The peer: what a user finds on crates.io who looks for SCSI over vhost-user.
const PEER: &str = "vhost-device-scsi";
const PEER_VERSION: &str = "0.1.0";

const BUILD_LIMIT: Duration = Duration::from_secs(1500);
const PEER_LIMIT: Duration = Duration::from_secs(1500);

/// No figure takes longer, with the options it has by default, than a few minutes.
const BENCH_LIMIT: Duration = Duration::from_secs(3600);

/// Measures a figure; `words` are the arguments of `bench`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let figure = words.first().map_or("speed", String::as_str);
    if figure == "guest" {
        setup::prepare(setup::For::Test)?;
    }
    let packages = ["--package=lunard", "--package=lunar", "--package=benches"];
    visibly(cargo().args(["build", "--release"]).args(packages), BUILD_LIMIT)?;
    let programs = target_folder()?.join("release");
    let mut bench = command(programs.join("bench"));
    bench.env(BIN_DIR, &programs).arg(figure);
    if figure == "speed"
        && let Some(peer) = peer()?
    {
        bench.arg("--peer").arg(peer);
    }
    visibly(bench.args(words.iter().skip(1)), BENCH_LIMIT)
}

/// The peer's program, installed where cargo keeps what it builds; `None`, and a line that says so, where it
/// cannot be had.
fn peer() -> Result<Option<PathBuf>> {
    let folder = target_folder()?.join("peers");
    let program = folder.join("bin").join(PEER);
    // Cargo notes here what it has installed, one line a version.
    let notes = std::fs::read_to_string(folder.join(".crates.toml")).unwrap_or_default();
    if program.exists() && notes.contains(&format!("\"{PEER} {PEER_VERSION} ")) {
        return Ok(Some(program));
    }
    let mut install = cargo();
    install.args(["install", PEER, "--version", PEER_VERSION, "--locked", "--root"]).arg(&folder);
    println!("bench: {}", describe(&install));
    match visibly(&mut install, PEER_LIMIT) {
        Ok(()) => Ok(Some(program)),
        Err(error) => {
            println!("bench: the peer is skipped: {error:#}");
            Ok(None)
        }
    }
}
