// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the two programs meet when nobody says where.
//!
//! Above: the command lines of `lunard` and `lunar`.  Below: the environment.
//! Never here: a directory made or looked into.

use std::env;
use std::path::PathBuf;

/// The runtime directory: `/run/lunar` for root, else `$XDG_RUNTIME_DIR/lunar`; `None` where that
/// variable is unset.
///
/// The option `--runtime-dir` and `$LUNAR_RUNTIME_DIR` come first; the command line reads those.
#[must_use]
pub fn default_runtime_dir() -> Option<PathBuf> {
    default_dir("/run/lunar", "XDG_RUNTIME_DIR", None)
}

/// The state directory: `/var/lib/lunar` for root, else `$XDG_STATE_HOME/lunar`, which without that
/// variable is `~/.local/state/lunar`; `None` where there is no home either.
#[must_use]
pub fn default_state_dir() -> Option<PathBuf> {
    default_dir("/var/lib/lunar", "XDG_STATE_HOME", Some(".local/state"))
}

/// A directory as it is for everybody: a relative one is that below the working directory.
#[must_use]
pub fn absolute(directory: PathBuf) -> PathBuf {
    std::path::absolute(&directory).unwrap_or(directory)
}

fn default_dir(of_root: &str, variable: &str, below_home: Option<&str>) -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from(of_root));
    }
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set(variable).or_else(|| Some(set("HOME")?.join(below_home?)));
    base.map(|base| base.join("lunar"))
}
