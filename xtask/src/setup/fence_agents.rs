// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fence agents of Pacemaker, for the stories of fencing.
//!
//! Above: `setup`.  Below: apt and dpkg.
//!
//! The package is fetched and unpacked under `target/guest`, and not installed: with it would come the client libraries of every
//! cloud that it can switch off.  Where the release has none the stories are skipped.

use super::INSTALL_LIMIT;
use super::older_qemu::unpack;
use crate::run::visibly;
use anyhow::{Context, Result};
use stories::fence_agents::own_root;
use stories::process::command;
use stories::programs::{cache_folder, find_in_path};

const PACKAGE: &str = "fence-agents";

/// Unpacks them where there are none, and says why where that cannot be.
pub(super) fn prepare() {
    let there = own_root().map(|root| root.exists()).unwrap_or(true);
    if there || find_in_path("apt-get").is_none() {
        return;
    }
    if let Err(error) = fetch() {
        println!("setup: no fence agents, and their stories are skipped: {error:#}");
    }
}

fn fetch() -> Result<()> {
    let folder = cache_folder()?.join("fence-agents.part");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)?;
    println!("setup: fetching {PACKAGE} and unpacking it into {}", own_root()?.display());
    let mut download = command("apt-get");
    download.args(["--quiet", "--option=APT::Sandbox::User=root", "download", PACKAGE]);
    visibly(download.current_dir(&folder), INSTALL_LIMIT)?;
    let root = folder.join("root");
    for package in std::fs::read_dir(&folder)? {
        let package = package?.path();
        if package.extension().is_some_and(|ending| ending == "deb") {
            unpack(&package, &root)?;
        }
    }
    std::fs::rename(&root, own_root()?)?;
    Ok(std::fs::remove_dir_all(&folder)?)
}
