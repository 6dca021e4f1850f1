// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A QEMU that reconnects to its disks: 8.2 or newer.
//!
//! Above: `setup`.  Below: apt, `sources`.
//!
//! Debian 12 has 7.2, and 10 in its backports; they come from the mirror that the machine uses already.

use super::sources::{BACKPORTS_FILE, Source, backports_of, configured, release_codename};
use super::{INSTALL_LIMIT, UPDATE_LIMIT, apt, apt_install};
use crate::run::visibly;
use anyhow::{Context, Result, bail};
use std::time::Duration;
use stories::guest::qemu_version;
use stories::process::{command, run_well};

/// The oldest release whose vhost-user-scsi comes back after its daemon was away.
pub(super) const WANTED: Version = Version(8, 2);

const PACKAGE: &str = "qemu-system-x86";
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// Major and minor release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32, u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Version {
    /// The first `N.N` in a package's version such as `1:10.0.2+ds`.
    fn find(text: &str) -> Option<Self> {
        let text = text.split_once(':').map_or(text, |(_epoch, version)| version);
        let start = text.find(|c: char| c.is_ascii_digit())?;
        let mut pieces = text.get(start..)?.split(|c: char| !c.is_ascii_digit());
        Some(Self(pieces.next()?.parse().ok()?, pieces.next()?.parse().ok()?))
    }
}

pub(super) fn is_recent() -> bool {
    installed().is_some_and(|version| version >= WANTED)
}

pub(super) fn describe() -> String {
    installed().map_or_else(|| "no QEMU".to_owned(), |version| format!("QEMU {version}"))
}

fn installed() -> Option<Version> {
    qemu_version().ok().map(|(major, minor)| Version(major, minor))
}

/// Installs it from the release where that has a recent one, else from the release's backports.
pub(super) fn install() -> Result<()> {
    if candidate()?.is_some_and(|version| version >= WANTED) {
        println!("setup: installing {PACKAGE}");
        return visibly(apt_install().arg(PACKAGE), INSTALL_LIMIT);
    }
    let codename = release_codename()?;
    let suite = format!("{codename}-backports");
    let sources = configured()?;
    if !sources.iter().any(|source| source.has_suite(&suite)) {
        add_backports(&sources, &codename)?;
        visibly(apt().arg("update"), UPDATE_LIMIT)?;
    }
    println!("setup: installing {PACKAGE} from {suite}");
    visibly(apt_install().arg(format!("--target-release={suite}")).arg(PACKAGE), INSTALL_LIMIT)
}

fn add_backports(sources: &[Source], codename: &str) -> Result<()> {
    let Some(text) = backports_of(sources, codename) else {
        bail!("no source of packages for {codename} is configured whose backports could be added");
    };
    println!("setup: adding {BACKPORTS_FILE}:\n{text}");
    std::fs::write(BACKPORTS_FILE, text).with_context(|| format!("cannot write {BACKPORTS_FILE}"))
}

/// The version apt would install now.
fn candidate() -> Result<Option<Version>> {
    let said = run_well(command("apt-cache").args(["policy", PACKAGE]), ASK_LIMIT)?;
    Ok(candidate_in(&String::from_utf8_lossy(&said)))
}

fn candidate_in(policy: &str) -> Option<Version> {
    policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: ")).and_then(Version::find)
}

/// What to tell somebody who may not install it from here.
pub(super) fn advice() -> String {
    format!("QEMU {WANTED} or newer; on Debian 12: apt-get install -t bookworm-backports {PACKAGE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_and_ordered() {
        assert_eq!(
            Version::find("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)"),
            Some(Version(10, 0))
        );
        assert_eq!(Version::find("1:7.2+dfsg-7+deb12u15"), Some(Version(7, 2)));
        assert_eq!(Version::find("(none)"), None);
        assert!(Version(7, 2) < WANTED && Version(8, 2) >= WANTED && Version(10, 0) > WANTED);
    }

    #[test]
    fn the_candidate_is_what_apt_would_install() {
        let policy = "qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n  Version table:\n\
                      \x20    1:10.0.2+ds-2~bpo12+1 100\n";
        assert_eq!(candidate_in(policy), Some(Version(7, 2)));
    }
}
