// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What most stories begin with: a scratch directory, a daemon in it, and the shell that talks to it.
//!
//! Above: the stories.  Below: `scratch`, `daemon`, `shell`, `slow_disk`.

use crate::daemon::{Daemon, Places};
use crate::scratch::Scratch;
use crate::shell::Shell;
use crate::slow_disk::{Mount, PIECE_BYTES_MAX, SlowDisk};
use anyhow::Result;
use std::path::PathBuf;

/// A daemon with nothing configured, and all that goes with it.
#[derive(Debug)]
pub struct Stage {
    /// Disks that hang when they are told to.  They are let go before the daemon ends, which waits for them.
    slow: Slow,
    /// The shell that talks to it.
    pub shell: Shell,
    /// The daemon; it ends before its directory goes.
    pub daemon: Daemon,
    /// The file systems of these disks; they are unmounted after the daemon has ended.
    mounts: Vec<Mount>,
    /// Where everything is.
    pub scratch: Scratch,
}

impl Stage {
    /// Starts a daemon in a directory of its own.
    pub fn set() -> Result<Self> {
        Self::logging(None)
    }

    /// The same with a daemon that also logs what is for those who search for a fault.
    pub fn set_debugging() -> Result<Self> {
        Self::logging(Some("debug"))
    }

    fn logging(level: Option<&'static str>) -> Result<Self> {
        let scratch = Scratch::new()?;
        let daemon = Daemon::start_at(Places { level, ..Places::in_scratch(&scratch) })?;
        Self::around(daemon, scratch)
    }

    /// The same with a daemon that was started otherwise, in that directory.
    pub fn around(daemon: Daemon, scratch: Scratch) -> Result<Self> {
        Ok(Self { slow: Slow::default(), shell: daemon.shell()?, daemon, mounts: Vec::new(), scratch })
    }

    /// Mounts a file of `bytes` bytes whose file system hangs when it is told to.
    pub fn slow_disk(&mut self, bytes: usize) -> Result<SlowDisk> {
        self.slow_disk_in_pieces(bytes, PIECE_BYTES_MAX)
    }

    /// The same, which is written in pieces of `piece_bytes` at most: whole pages.
    pub fn slow_disk_in_pieces(&mut self, bytes: usize, piece_bytes: u32) -> Result<SlowDisk> {
        let mount = Mount::at(&self.scratch, &format!("slow{}", self.mounts.len()), bytes, piece_bytes)?;
        let disk = mount.disk.clone();
        self.mounts.push(mount);
        self.slow.0.push(disk.clone());
        Ok(disk)
    }

    /// The same as the fileio backstore of that name.
    pub fn create_slow_fileio(&mut self, name: &str, bytes: usize) -> Result<SlowDisk> {
        let disk = self.slow_disk(bytes)?;
        self.shell.well(&format!("/backstores/fileio create {name} {}", disk.path().display()))?;
        Ok(disk)
    }

    /// Makes a sparse file of `bytes` bytes and a fileio backstore of the same name on it.
    pub fn create_fileio(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let file = self.scratch.join(name);
        self.shell.well(&format!("/backstores/fileio create {name} {} {bytes}", file.display()))?;
        Ok(file)
    }

    /// Makes a target that shows one backstore, given as `fileio/disk0`, as LUN 0 of its `tpg1`.
    pub fn serve(&self, backstore: &str) -> Result<String> {
        let wwn = self.shell.create_target()?;
        self.map(&wwn, 1, 0, backstore)?;
        Ok(wwn)
    }

    /// Maps a backstore, given as `fileio/disk0`, to a LUN of a target port group that exists.
    pub fn map(&self, wwn: &str, tag: u16, lun: u16, backstore: &str) -> Result<()> {
        self.shell.well(&format!("/vhost/{wwn}/tpg{tag}/luns create /backstores/{backstore} {lun}")).map(drop)
    }
}

/// Disks that keep nobody waiting once this goes.
#[derive(Debug, Default)]
struct Slow(Vec<SlowDisk>);

impl Drop for Slow {
    fn drop(&mut self) {
        self.0.iter().for_each(SlowDisk::let_go);
    }
}
