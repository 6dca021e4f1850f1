// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether guests run on the processor or are emulated.
//!
//! Above: `guest`, `firmware`.  Below: `/dev/kvm` and a guest that tries it.
//!
//! There are machines where `/dev/kvm` opens and a guest of a few instructions runs, yet Linux hangs in it.
//! So a whole Linux has to boot before KVM is believed.

use crate::guest::Guest;
use crate::programs::cache_folder;
use crate::scratch::Scratch;
use anyhow::{Context, Result, bail};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Chooses without a probe: `tcg` or `kvm`.
pub const ACCEL: &str = "LUNAR_TEST_ACCEL";

/// A guest on KVM is through in two seconds; one that takes longer gains nothing over emulation.
const PROBE_LIMIT: Duration = Duration::from_secs(6);

/// How QEMU runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// Emulated.
    Tcg,
    /// On the processor.
    Kvm,
}

impl Accel {
    /// What this machine can do.  The finding holds until the host boots anew.
    pub fn detect() -> Result<Self> {
        if let Some(wanted) = std::env::var_os(ACCEL) {
            return Self::named(&wanted.to_string_lossy());
        }
        let finding = finding_file()?;
        if let Ok(found) = std::fs::read_to_string(&finding) {
            return Self::named(found.trim_end());
        }
        let found = if kvm_opens() && probe().is_ok() { Self::Kvm } else { Self::Tcg };
        // Renamed into place: a story beside us reads all of it or nothing.
        let mut aside = tempfile::NamedTempFile::new_in(cache_folder()?)?;
        aside.write_all(found.name().as_bytes())?;
        aside.persist(&finding).with_context(|| format!("cannot write {}", finding.display()))?;
        Ok(found)
    }

    /// QEMU's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }

    /// The options of QEMU.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Tcg => &["-accel", "tcg"],
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
        }
    }

    fn named(name: &str) -> Result<Self> {
        match name {
            "tcg" => Ok(Self::Tcg),
            "kvm" => Ok(Self::Kvm),
            other => bail!("{ACCEL} is {other}; tcg and kvm are known"),
        }
    }
}

fn finding_file() -> Result<PathBuf> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("which boot is this?")?;
    Ok(cache_folder()?.join(format!("accel-{}", boot.trim_end())))
}

fn kvm_opens() -> bool {
    OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

fn probe() -> Result<()> {
    let scratch = Scratch::new()?;
    Guest::plan("true").accel(Accel::Kvm).limit(PROBE_LIMIT).boot(&scratch)?.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_accelerator_is_refused() -> Result<()> {
        assert_eq!(Accel::named("kvm")?, Accel::Kvm);
        let error = Accel::named("hvf").unwrap_err().to_string();
        assert_eq!(error, "LUNAR_TEST_ACCEL is hvf; tcg and kvm are known");
        Ok(())
    }
}
