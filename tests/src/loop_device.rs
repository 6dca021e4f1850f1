// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A block device of the host over a file, and names for it.
//!
//! Above: stories that want a block backstore, and `cargo xtask demo`.  Below: losetup(8); it takes root.

use crate::process::{command, run_well};
use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOSETUP_LIMIT: Duration = Duration::from_secs(60);

/// A loop device.  It is detached when the last who has it open is gone, us included: even a story that is
/// killed leaves none behind.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    _held: File,
}

impl LoopDevice {
    /// Attaches a free device to `file`; `options` are losetup's, such as `--sector-size 4096`.
    pub fn attach(file: &Path, options: &[&str]) -> Result<Self> {
        let mut attach = command("losetup");
        attach.args(options).args(["--find", "--show"]).arg(file);
        let shown = String::from_utf8(run_well(&mut attach, LOSETUP_LIMIT)?)?;
        let path = PathBuf::from(shown.trim_end());
        let held = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        // While somebody has it open, "detach" means "detach on the last close".
        run_well(command("losetup").arg("--detach").arg(&path), LOSETUP_LIMIT)?;
        Ok(Self { path, _held: held })
    }

    /// Its path, such as `/dev/loop0`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it as large as its file is by now.
    pub fn look_again(&self) -> Result<()> {
        run_well(command("losetup").arg("--set-capacity").arg(&self.path), LOSETUP_LIMIT).map(drop)
    }

    /// Makes a symbolic link to it in the manner of `/dev/disk/by-id` and returns the link's path.
    pub fn link(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let link = folder.join(name);
        symlink(&self.path, &link).with_context(|| format!("cannot make {}", link.display()))?;
        Ok(link)
    }
}

/// Whether this process may attach loop devices.
pub fn available() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/dev/loop-control").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;
    use crate::scratch::Scratch;

    #[test]
    fn a_loop_device_is_detached_with_its_value() -> Result<()> {
        if !available() {
            println!("skipped: attaching a loop device takes root");
            return Ok(());
        }
        let scratch = Scratch::new()?;
        let file = scratch.sparse_file("disk", 1 << 20)?;
        let device = LoopDevice::attach(&file, &["--sector-size", "4096"])?;
        let name = device.path().file_name().and_then(|name| name.to_str()).context("a name")?;
        let sys = PathBuf::from("/sys/block").join(name);
        assert_eq!(std::fs::read_to_string(sys.join("queue/logical_block_size"))?, "4096\n");
        let link = device.link(scratch.path(), "wwn-0x1")?;
        assert_eq!(std::fs::read_link(link)?, device.path());
        drop(device);
        let backing = sys.join("loop/backing_file");
        let ours = |text: String| text.trim_end() == file.to_string_lossy();
        Deadline::seconds(60).until("the loop device to be detached", || {
            Ok((!std::fs::read_to_string(&backing).is_ok_and(ours)).then_some(()))
        })
    }
}
