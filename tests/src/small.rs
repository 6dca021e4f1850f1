// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A small file system of its own, of which a story takes what it likes.
//!
//! Above: stories of scarce space.  Below: a tmpfs, which takes root.

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// It goes with the value.
#[derive(Debug)]
pub struct Small(PathBuf);

impl Small {
    /// Mounts one of so many mebibytes.
    pub fn mount(at: &Path, mebibytes: u32) -> Result<Self> {
        let size = CString::new(format!("size={mebibytes}m"))?;
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(size.as_c_str()))
            .context("cannot mount a tmpfs")?;
        Ok(Self(at.to_owned()))
    }

    /// Mounts one in which a file has no holes: nothing can be given back.
    pub fn without_holes(at: &Path) -> Result<Self> {
        mount("ramfs", at, "ramfs", MountFlags::empty(), None).context("cannot mount a ramfs")?;
        Ok(Self(at.to_owned()))
    }

    /// Where a file of that name is in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Has so many of its mebibytes be taken for something else, or as many as there are.
    ///
    /// Between what was taken and what is to be, there is never more room than with either.
    pub fn take(&self, mebibytes: u64) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.join("other"))?;
        let (is, wanted) = (file.metadata()?.len(), mebibytes * MIB);
        if wanted < is {
            file.set_len(wanted)?;
            return Ok(());
        }
        let piece = vec![1; usize::try_from(MIB)?];
        let mut rest = wanted - is;
        while rest > 0 {
            let bytes = rest.min(MIB);
            match file.write_all(&piece[..usize::try_from(bytes)?]) {
                Ok(()) => rest -= bytes,
                Err(error) => {
                    ensure!(error.kind() == ErrorKind::StorageFull, "{error}");
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
