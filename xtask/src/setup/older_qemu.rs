// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A QEMU from before its vhost-user-scsi could reconnect, for the story of it.
//!
//! Above: `setup`.  Below: apt and dpkg.
//!
//! Debian's packages of the release itself are fetched and unpacked under `target/guest`, and not installed: what is
//! installed is the newer one of the backports.  Where the release has none the story is skipped, so that nothing
//! here keeps the set-up from being done.

use super::INSTALL_LIMIT;
use super::sources::release_codename;
use crate::run::visibly;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;
use stories::older_qemu::{OlderQemu, own_root};
use stories::process::command;
use stories::programs::{cache_folder, find_in_path};

/// The program, what it loads besides, and the firmware it boots a kernel with.
const PACKAGES: &[&str] = &["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"];
const LOCAL_LIMIT: Duration = Duration::from_secs(120);

/// Unpacks one where there is none, and says why where that cannot be.
pub(super) fn prepare() {
    let tried = own_root().map(|root| root.exists()).unwrap_or(true);
    if tried || find_in_path("apt-get").is_none() {
        return;
    }
    if let Err(error) = fetch() {
        println!("setup: no older QEMU, and its story is skipped: {error:#}");
    }
}

fn fetch() -> Result<()> {
    let folder = cache_folder()?.join("older-qemu.part");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)?;
    let codename = release_codename()?;
    let packages: Vec<String> = PACKAGES.iter().map(|name| format!("{name}/{codename}")).collect();
    println!("setup: fetching {} and unpacking them into {}", packages.join(" "), own_root()?.display());
    visibly(
        command("apt-get")
            .args(["--quiet", "--option=APT::Sandbox::User=root", "download"])
            .args(&packages)
            .current_dir(&folder),
        INSTALL_LIMIT,
    )?;
    let root = folder.join("root");
    for package in std::fs::read_dir(&folder)? {
        let package = package?.path();
        if package.extension().is_some_and(|ending| ending == "deb") {
            unpack(&package, &root)?;
        }
    }
    // Kept even where it does not run here, so that it is not fetched again each time; the story says why.
    if let Err(why) = OlderQemu::in_root(&root) {
        println!("setup: the story of an older QEMU is skipped: {why:#}");
    }
    std::fs::rename(&root, own_root()?)?;
    Ok(std::fs::remove_dir_all(&folder)?)
}

pub(super) fn unpack(package: &Path, root: &Path) -> Result<()> {
    visibly(command("dpkg-deb").arg("--extract").arg(package).arg(root), LOCAL_LIMIT)
}
