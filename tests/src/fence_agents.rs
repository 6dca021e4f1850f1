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

/// Has a guest take the agents along.  Its script has to begin with what is returned: it puts them in their places.
///
/// # Errors
/// Says what is missing, for a line that a story is skipped.
pub fn add_to(plan: Plan) -> Result<(Plan, String)> {
    let root = own_root()?;
    let shared = root.join(SHARED);
    if !shared.exists() {
        bail!("no fence agents are unpacked; `cargo xtask setup` does that where the release has them");
    }
    let agents: Vec<PathBuf> = AGENTS.iter().map(|agent| root.join(agent)).collect();
    let mut files = modules(&shared)?;
    files.push(PYTHON.to_owned());
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let agents: Vec<&str> = agents.iter().filter_map(|agent| agent.to_str()).collect();
    let beginning = format!("mkdir -p /usr/share /var/run\nln -s {} /usr/share/fence\n", shared.display());
    Ok((plan.files(&files).programs(&agents), beginning))
}

fn modules(shared: &Path) -> Result<Vec<String>> {
    let mut list = command(PYTHON);
    list.args(["-B", "-c", LIST]).arg(shared);
    let listed = run_well(&mut list, LISTING_LIMIT).context("the fence agents do not run in this Python")?;
    let listed = String::from_utf8(listed)?;
    Ok(listed.lines().filter(|line| line.starts_with('/')).map(str::to_owned).collect())
}
