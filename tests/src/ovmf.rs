// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OVMF: the UEFI firmware of virtual machines.
//!
//! Above: the stories that boot it.  Below: the package `ovmf`, or a folder with the same two files.

use crate::process::{command, run};
use crate::scratch::Scratch;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::time::Duration;

/// Names a folder with `OVMF_CODE_4M.fd` and `OVMF_VARS_4M.fd`, of edk2-stable202302 or newer, to use instead of the
/// package.
pub const OVMF: &str = "LUNAR_TEST_OVMF";

const PACKAGED: &str = "/usr/share/OVMF";
const CODE: &str = "OVMF_CODE_4M.fd";
const VARIABLES: &str = "OVMF_VARS_4M.fd";

/// The first release whose search for disks goes on after an address without one.
const SEARCHES_ON: u32 = 2023;

/// The firmware of this machine.
#[derive(Clone, Debug)]
pub struct Ovmf {
    folder: PathBuf,
    /// The target group tag to put a disk behind: the firmware finds LUN 0 there.
    pub tag: u16,
}

impl Ovmf {
    /// The firmware, or `None` where there is none.
    ///
    /// Before edk2-stable202302 its search for disks ends at the first address without one, and the first is target 0:
    /// it boots from `tpg0` alone, whatever `boot_tpgt` says.
    pub fn find() -> Option<Self> {
        let (folder, tag) = match std::env::var_os(OVMF) {
            Some(folder) => (PathBuf::from(folder), 1),
            None => (PathBuf::from(PACKAGED), if packaged_year() < SEARCHES_ON { 0 } else { 1 }),
        };
        let found = [CODE, VARIABLES].iter().all(|file| folder.join(file).is_file());
        found.then_some(Self { folder, tag })
    }

    /// The options that give a machine this firmware, with variables of its own.
    pub fn options(&self, scratch: &Scratch, name: &str) -> Result<Vec<String>> {
        let variables = scratch.join(&format!("{name}.variables"));
        std::fs::copy(self.folder.join(VARIABLES), &variables).context("cannot copy OVMF's variables")?;
        let flash = |file: &std::path::Path, more: &str| {
            format!("if=pflash,format=raw,file={}{more}", file.display())
        };
        let (code, variables) = (flash(&self.folder.join(CODE), ",readonly=on"), flash(&variables, ""));
        let options = ["-machine", "q35", "-drive", &code, "-drive", &variables];
        Ok(options.map(str::to_owned).to_vec())
    }
}

/// The year in the package's version, such as `2022.11-6`; far away where no dpkg knows it.
fn packaged_year() -> u32 {
    let mut query = command("dpkg-query");
    query.args(["--show", "--showformat=${Version}", "ovmf"]);
    let said = run(&mut query, Duration::from_secs(60)).map(|said| said.stdout).unwrap_or_default();
    year_of(&String::from_utf8_lossy(&said))
}

fn year_of(version: &str) -> u32 {
    version.split('.').next().and_then(|year| year.parse().ok()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_is_what_a_version_begins_with() {
        assert_eq!(year_of("2022.11-6+deb12u2"), 2022);
        assert_eq!(year_of("2025.02-8"), 2025);
        assert_eq!(year_of(""), u32::MAX);
    }
}
