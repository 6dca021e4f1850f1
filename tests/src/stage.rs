// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What most stories begin with: a scratch directory, a daemon in it, and the shell that talks to it.
//!
//! Above: the stories.  Below: `scratch`, `daemon`, `shell`.

use crate::daemon::{Daemon, Places};
use crate::scratch::Scratch;
use crate::shell::Shell;
use anyhow::Result;
use std::path::PathBuf;

/// A daemon with nothing configured, and all that goes with it.
#[derive(Debug)]
pub struct Stage {
    /// The shell that talks to it.
    pub shell: Shell,
    /// The daemon; it ends before its directory goes.
    pub daemon: Daemon,
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
        Ok(Self { shell: daemon.shell()?, daemon, scratch })
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
