// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks cargo about the workspace.
//!
//! Above: `tidy`, `levels`.  Below: `cargo metadata`.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use stories::process::{command, run_well};
use stories::programs::workspace;

const METADATA_LIMIT: Duration = Duration::from_secs(120);

/// The packages of the workspace, as far as we look at them.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev` or `build`; none for a normal one.
    pub(crate) kind: Option<String>,
    /// The folder, for a crate of the workspace.
    pub(crate) path: Option<PathBuf>,
}

/// One thing that cargo builds from a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

/// Cargo itself, in the workspace's folder: the one that started us.
pub(crate) fn cargo() -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

/// Reads the workspace's manifests.
pub(crate) fn metadata() -> Result<Metadata> {
    let told = run_well(cargo().args(["metadata", "--format-version=1", "--no-deps"]), METADATA_LIMIT)?;
    serde_json::from_slice(&told).context("cannot understand cargo metadata")
}
