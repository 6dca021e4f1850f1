// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A QEMU from before its vhost-user-scsi could reconnect, beside the one that is installed.
//!
//! Above: the story of it, and `cargo xtask setup`, which unpacks it.  Below: a folder of our own.
//!
//! Debian 12 has 7.2, and a newer one in its backports, which everything else here uses.

use crate::guest::version_of;
use crate::programs::cache_folder;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The first release whose vhost-user-scsi reconnects.
pub const RECONNECTS_SINCE: (u32, u32) = (8, 2);

/// The program, as the package has it below its root.
const PROGRAM: &str = "usr/bin/qemu-system-x86_64";
/// Where it looks for firmware, besides where the host has that of another QEMU.
const FIRMWARE: &[&str] = &["usr/share/qemu", "usr/share/seabios"];

/// An unpacked QEMU.
#[derive(Clone, Debug)]
pub struct OlderQemu {
    root: PathBuf,
    /// Its major and minor release.
    pub version: (u32, u32),
}

impl OlderQemu {
    /// The one that was unpacked, if it runs on this machine.
    ///
    /// # Errors
    /// Says why there is none, for a line that a story is skipped.
    pub fn find() -> Result<Self> {
        Self::in_root(&own_root()?)
    }

    /// The one below `root`, if it runs on this machine.
    ///
    /// # Errors
    /// As [`OlderQemu::find`].
    pub fn in_root(root: &Path) -> Result<Self> {
        let program = root.join(PROGRAM);
        if !program.exists() {
            bail!("no older QEMU is unpacked; `cargo xtask setup` does that where the release has one");
        }
        let version = version_of(&program).context("the older QEMU does not run here")?;
        if version >= RECONNECTS_SINCE {
            bail!("the QEMU of this release is {}.{}, which is not older", version.0, version.1);
        }
        Ok(Self { root: root.to_owned(), version })
    }

    /// The program to start.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.root.join(PROGRAM)
    }

    /// Options that have it use its own firmware.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let folder = |folder: &&str| ["-L".to_owned(), self.root.join(folder).display().to_string()];
        FIRMWARE.iter().flat_map(folder).collect()
    }
}

/// Where `cargo xtask setup` unpacks it.
///
/// # Errors
/// There is no folder to keep things in.
pub fn own_root() -> Result<PathBuf> {
    Ok(cache_folder()?.join("older-qemu"))
}
