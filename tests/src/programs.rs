// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the programs are: Lunar's own, freshly built, and those of the host.
//!
//! Above: `daemon`, `shell`, `initramfs`.  Below: cargo, `PATH`.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Names a directory with `lunard` and `lunar` in it; without it they are built from this workspace.
pub const BIN_DIR: &str = "LUNAR_BIN_DIR";

/// Directories of system programs that an ordinary user's `PATH` leaves out.
const SYSTEM_FOLDERS: &[&str] = &["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The path of `lunard` or `lunar`, as users get them: built with the release profile.
///
/// The first caller of a process builds both, which takes no time where nothing changed.
pub fn built(name: &str) -> Result<PathBuf> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| bin_folder().map_err(|error| format!("{error:#}")));
    match folder {
        Ok(folder) => Ok(folder.join(name)),
        Err(error) => bail!("{error}"),
    }
}

fn bin_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(BIN_DIR) {
        return Ok(PathBuf::from(folder));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--release", "--package", "lunard", "--package", "lunar"]);
    let output = build.current_dir(workspace()).stdin(Stdio::null()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cannot build lunard and lunar:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(target_folder()?.join("release"))
}

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The folder cargo builds into.  Cargo marks it, so that it is found from the program that runs now.
pub fn target_folder() -> Result<PathBuf> {
    let running = std::env::current_exe().context("who am I?")?;
    let marked = running.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    marked.map(Path::to_path_buf).with_context(|| format!("{} lies in no target folder", running.display()))
}

/// The folder where what guests need is kept between runs.
pub fn cache_folder() -> Result<PathBuf> {
    let folder = target_folder()?.join("guest");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The path of a program of the host, or `None` where it is not installed.
pub fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The path of a program of the host that must be there.
pub fn host_program(name: &str) -> Result<PathBuf> {
    find_in_path(name)
        .with_context(|| format!("{name} is not installed: `cargo xtask setup` installs what is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_way_out() {
        let error = host_program("no-such-program").unwrap_err().to_string();
        assert_eq!(error, "no-such-program is not installed: `cargo xtask setup` installs what is missing");
        assert!(find_in_path("sh").is_some());
    }

    #[test]
    fn the_target_folder_is_cargos() -> Result<()> {
        assert!(target_folder()?.join("CACHEDIR.TAG").is_file());
        assert!(workspace().join("Cargo.lock").is_file());
        Ok(())
    }
}
