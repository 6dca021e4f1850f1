// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The newer targetcli, which Debian does not have, for the stories of LIO's own tools.
//!
//! Above: `setup`.  Below: Python's venv and pip, which fetch from PyPI.
//!
//! It goes into a folder below `target` and sees the host's Python packages, of which it needs PyGObject and
//! pyudev; targetcli of Debian brings those.  Where it cannot be had its stories are skipped, so that nothing here
//! keeps the set-up from being done.

use super::{INSTALL_LIMIT, apt_install};
use crate::run::visibly;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;
use stories::mounted::{NEWER, newer_targetcli, newer_targetcli_root};
use stories::process::command;
use stories::programs::find_in_path;

/// The system's Python, whose packages these are.
const PYTHON: &str = "/usr/bin/python3";

/// What targetcli of [`NEWER`] was tried with.
const LIBRARIES: [&str; 2] = ["rtslib-fb==2.2.4", "configshell-fb==2.0.3"];

const VENV_LIMIT: Duration = Duration::from_secs(120);

/// Installs it where it is not there, and says why where that cannot be.
pub(super) fn prepare() {
    let there = newer_targetcli().is_ok_and(|folder| folder.is_some());
    if there || find_in_path(PYTHON).is_none() {
        return;
    }
    if let Err(error) = install() {
        println!("setup: no targetcli {NEWER}, and its stories are skipped: {error:#}");
    }
}

fn install() -> Result<()> {
    let root = newer_targetcli_root()?;
    println!("setup: installing targetcli {NEWER} and its libraries into {}", root.display());
    if make(&root).is_err() && find_in_path("apt-get").is_some() && rustix::process::geteuid().is_root() {
        // Debian has a package for what makes them.
        visibly(apt_install().arg("python3-venv"), INSTALL_LIMIT)?;
        make(&root)?;
    }
    let mut pip = command(root.join("bin/pip"));
    pip.args(["install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    // Not what the host has under the same names, which is older.
    pip.args(["--no-deps", "--ignore-installed"]);
    pip.arg(format!("targetcli=={NEWER}")).args(LIBRARIES);
    visibly(&mut pip, INSTALL_LIMIT)
}

fn make(root: &Path) -> Result<()> {
    if root.exists() {
        std::fs::remove_dir_all(root).with_context(|| format!("cannot empty {}", root.display()))?;
    }
    visibly(command(PYTHON).args(["-m", "venv", "--system-site-packages"]).arg(root), VENV_LIMIT)
}
