// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A kernel for guests.
//!
//! Above: `setup`.  Below: apt and dpkg.
//!
//! Debian's kernel package is fetched and unpacked under `target/guest`, and not installed: installing would
//! change what the host boots next, and spend a minute on an initrd that nobody needs.

use super::INSTALL_LIMIT;
use super::sources::release_codename;
use crate::run::visibly;
use anyhow::{Context, Result, bail};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stories::kernel::{Kernel, NEWER, newer_root, own_root};
use stories::process::{command, run_well};
use stories::programs::{find_in_path, host_program};

/// The package that needs the newest kernel package of a release.
const PACKAGE: &str = "linux-image-amd64";
const LOCAL_LIMIT: Duration = Duration::from_secs(120);

pub(super) fn is_there() -> bool {
    Kernel::find().is_ok()
}

pub(super) fn describe() -> String {
    Kernel::find().map_or_else(|_| "no kernel".to_owned(), |kernel| format!("kernel {}", kernel.release))
}

/// Fetches it and unpacks it where guests look for it.
pub(super) fn fetch() -> Result<()> {
    unpack_into(&newest_package(PACKAGE)?, &own_root()?)
}

/// Unpacks a newer one from the backports, for stories that need it, and says why where that cannot be: they are skipped
/// then, so that nothing here keeps the set-up from being done.
pub(super) fn prepare_newer() {
    if Kernel::since(NEWER).is_ok() || find_in_path("apt-get").is_none() {
        return;
    }
    let fetched = release_codename().and_then(|codename| {
        let package = newest_package(&format!("{PACKAGE}/{codename}-backports"))?;
        unpack_into(&package, &newer_root()?)?;
        Kernel::since(NEWER)
    });
    if let Err(error) = fetched {
        println!("setup: no kernel {NEWER} for guests, and the stories of it are skipped: {error:#}");
    }
}

/// Fetches a kernel's package and unpacks it into a folder of its own.
fn unpack_into(package: &str, place: &Path) -> Result<()> {
    let folder = place.with_extension("part");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)?;
    println!("setup: fetching {package} and unpacking it into {}", place.display());
    visibly(
        command("apt-get")
            .args(["--quiet", "--option=APT::Sandbox::User=root", "download", package])
            .current_dir(&folder),
        INSTALL_LIMIT,
    )?;

    let root = folder.join("root");
    visibly(command("dpkg-deb").arg("--extract").arg(only_file(&folder)?).arg(&root), LOCAL_LIMIT)?;
    // Newer releases ship /usr/lib/modules, and depmod looks into /lib.
    if !root.join("lib").exists() {
        symlink("usr/lib", root.join("lib"))?;
    }
    for release in std::fs::read_dir(root.join("lib/modules"))? {
        let depmod = host_program("depmod")?;
        visibly(command(depmod).arg("-b").arg(&root).arg(release?.file_name()), LOCAL_LIMIT)?;
    }
    if place.exists() {
        std::fs::remove_dir_all(place)?;
    }
    std::fs::rename(&root, place).with_context(|| format!("cannot make {}", place.display()))?;
    Ok(std::fs::remove_dir_all(&folder)?)
}

fn newest_package(of: &str) -> Result<String> {
    let said = run_well(command("apt-cache").args(["show", "--no-all-versions", of]), LOCAL_LIMIT)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    first_dependency(&said).with_context(|| format!("{of} needs no kernel"))
}

fn first_dependency(said: &str) -> Option<String> {
    let depends = said.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    depends.split([' ', ',', '|']).next().map(str::to_owned).filter(|name| !name.is_empty())
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let mut entries = std::fs::read_dir(folder)?;
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry?.path()),
        _ => bail!("apt-get download left not one file in {}", folder.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_what_the_package_needs_first() {
        let said =
            "Package: linux-image-amd64\nDepends: linux-image-6.1.0-49-amd64 (= 6.1.1-2), other\nSize: 1\n";
        assert_eq!(first_dependency(said).as_deref(), Some("linux-image-6.1.0-49-amd64"));
        assert_eq!(first_dependency("Package: x\n"), None);
    }
}
