// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file system that never answers: nobody serves it, and whoever looks into it waits.
//!
//! Above: the stories of faults.  Below: `/dev/fuse`, and root to mount it.

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// It goes with the value, and who waits hears that it has gone.
#[derive(Debug)]
pub struct Silent {
    at: PathBuf,
    requests: Option<File>,
}

impl Silent {
    /// Mounts one over a folder.
    pub fn mount(at: &Path) -> Result<Self> {
        let requests = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", requests.as_raw_fd());
        let options = CString::new(options)?;
        mount("silent", at, "fuse", MountFlags::empty(), Some(options.as_c_str()))
            .context("cannot mount a FUSE file system")?;
        Ok(Self { at: at.to_owned(), requests: Some(requests) })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = unmount(&self.at, UnmountFlags::DETACH);
        // Without a reader the kernel ends all that waits.
        self.requests = None;
    }
}
