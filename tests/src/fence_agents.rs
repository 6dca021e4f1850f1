// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fence agents of Pacemaker, as their package has them, and the Python that they run in.
//!
//! Above: the stories of fencing, and `cargo xtask setup`, which unpacks them.  Below: a folder of our own, Python of the host.
//! Never here: a line of theirs, changed or not.

use crate::guest::Plan;
use crate::process::{command, run_well};
use crate::programs::cache_folder;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The agents that stories run, as the package has them below its root.
const AGENTS: &[&str] = &["usr/sbin/fence_scsi", "usr/sbin/fence_mpath"];
/// What they share, likewise.
const SHARED: &str = "usr/share/fence";
/// What they run in.
const PYTHON: &str = "/usr/bin/python3";

const LISTING_LIMIT: Duration = Duration::from_secs(60);

/// Lists the files of all modules that are there once the agents' own are.
const LIST: &str = "import sys; sys.path.append(sys.argv[1]); import fencing, atexit, ctypes, hashlib, encodings.ascii, encodings.latin_1\n\
                    for module in list(sys.modules.values()):\n print(getattr(module, '__file__', None) or '')";

/// Where `cargo xtask setup` unpacks them.
pub fn own_root() -> Result<PathBuf> {
    Ok(cache_folder()?.join("fence-agents"))
}

/// The agents, and all that they need in a guest.
#[derive(Debug)]
pub struct Agents {
    programs: Vec<PathBuf>,
    files: Vec<String>,
    /// What the script of a guest has to begin with: it puts them in their places.
    pub beginning: String,
}

impl Agents {
    /// Those of this host.
    ///
    /// # Errors
    /// Says what is missing, for a line that a story is skipped.
    pub fn find() -> Result<Self> {
        let root = own_root()?;
        let shared = root.join(SHARED);
        if !shared.exists() {
            bail!("no fence agents are unpacked; `cargo xtask setup` does that where the release has them");
        }
        let programs = AGENTS.iter().map(|agent| root.join(agent)).collect();
        let mut files = modules(&shared)?;
        files.push(PYTHON.to_owned());
        let beginning =
            format!("mkdir -p /usr/share /var/run\nln -s {} /usr/share/fence\n", shared.display());
        Ok(Self { programs, files, beginning })
    }

    /// Has a guest take them along.
    pub fn add_to(&self, plan: Plan) -> Plan {
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        let programs: Vec<&str> = self.programs.iter().filter_map(|agent| agent.to_str()).collect();
        plan.files(&files).programs(&programs)
    }
}

fn modules(shared: &Path) -> Result<Vec<String>> {
    let mut list = command(PYTHON);
    list.args(["-B", "-c", LIST]).arg(shared);
    let listed = run_well(&mut list, LISTING_LIMIT).context("the fence agents do not run in this Python")?;
    let listed = String::from_utf8(listed)?;
    Ok(listed.lines().filter(|line| line.starts_with('/')).map(str::to_owned).collect())
}
