// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A directory that is a story's own and goes with it.
//!
//! Above: every story.  Below: the file system of the host.

use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The longest path of a directory for temporary files that we accept, in bytes: `sun_path` has 108, and a
/// guest's socket appends `/lunar-XXXXXX/run/vhost/naa.` with 16 digits and `.sock`.
const TEMPORARY_BYTES_MAX: usize = 40;

/// A directory with a short path, empty at first, removed on drop.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes one under the host's directory for temporary files, or under `/tmp` where that is too deep for
    /// sockets.
    pub fn new() -> Result<Self> {
        let usual = std::env::temp_dir();
        let short = usual.as_os_str().len() <= TEMPORARY_BYTES_MAX;
        let parent = if short { usual } else { PathBuf::from("/tmp") };
        let made = tempfile::Builder::new().prefix("lunar-").tempdir_in(&parent);
        Ok(Self(made.with_context(|| format!("no scratch directory in {}", parent.display()))?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of something in it, which need not exist.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a directory in it.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Makes a file of `bytes` bytes in it that occupies no space.
    pub fn sparse_file(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.join(name);
        let file = File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.set_len(bytes).with_context(|| format!("cannot make {} {bytes} bytes long", path.display()))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_scratch_directory_goes_with_its_value() -> Result<()> {
        let scratch = Scratch::new()?;
        let file = scratch.sparse_file("big", 14 << 30)?;
        let metadata = file.metadata()?;
        assert_eq!((metadata.len(), metadata.blocks()), (15_032_385_536, 0));
        drop(scratch);
        assert!(!file.exists());
        Ok(())
    }

    #[test]
    fn a_guests_socket_fits() -> Result<()> {
        let scratch = Scratch::new()?;
        let socket = scratch.join("run/vhost/naa.500140568720f76f.sock");
        assert!(socket.as_os_str().len() < 108);
        Ok(())
    }
}
