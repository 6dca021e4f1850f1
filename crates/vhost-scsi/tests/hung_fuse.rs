// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file system in user space that answers until one asks what it is, and then never again.
//!
//! Above: the hostile tests.  Below: `/dev/fuse`, mount(8).
//! Never here: anything but one file.

use rustix::fs::{Mode, OFlags, open};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Requests of FUSE that are answered, by number.
const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const ENOSYS: i32 = 38;

/// The file system, mounted; dropped, it is torn down, and who waits for it is let go.
pub(crate) struct HungFuse {
    folder: PathBuf,
    hangs: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl HungFuse {
    /// Mounts it on a folder; `None`, and why, where that cannot be done.
    pub(crate) fn mount(folder: &Path) -> Result<Self, String> {
        // Without CLOEXEC: mount(8) is to have it.
        let device =
            open("/dev/fuse", OFlags::RDWR, Mode::empty()).map_err(|error| format!("/dev/fuse: {error}"))?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", &options, "hung"]).arg(folder);
        let told = mount.output().map_err(|error| format!("mount: {error}"))?;
        if !told.status.success() {
            return Err(String::from_utf8_lossy(&told.stderr).trim().to_owned());
        }
        let hangs = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&hangs);
        let server = std::thread::spawn(move || serve(&mut File::from(device), &seen));
        Ok(Self { folder: folder.to_path_buf(), hangs, server: Some(server) })
    }

    /// Its only file.
    pub(crate) fn file(&self) -> File {
        File::options().read(true).write(true).open(self.folder.join("memory")).unwrap()
    }

    /// Whether somebody waits for it.
    pub(crate) fn hangs(&self) -> bool {
        self.hangs.load(Ordering::SeqCst)
    }
}

impl Drop for HungFuse {
    fn drop(&mut self) {
        // By force: it ends what waits.
        let _ = Command::new("umount").arg("-f").arg(&self.folder).output();
        let _ = Command::new("umount").arg("-l").arg(&self.folder).output();
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn serve(device: &mut File, hangs: &AtomicBool) {
    let mut request = vec![0; 1 << 20];
    // The end is an error: ENODEV, once it is not mounted any more.
    while let Ok(bytes) = device.read(&mut request) {
        let Some(header) = request.get(..bytes.min(40)).filter(|header| header.len() == 40) else { continue };
        let opcode = u32::from_le_bytes(header[4..8].try_into().unwrap());
        let (error, answer) = match opcode {
            STATFS => {
                hangs.store(true, Ordering::SeqCst);
                continue;
            }
            INIT => {
                let mut answer = [7_u32, 31, 0, 0, 0, 4096, 1].map(u32::to_le_bytes).concat();
                answer.resize(64, 0);
                (0, answer)
            }
            LOOKUP => {
                let mut answer = [2_u64, 0, 3600, 3600, 0].map(u64::to_le_bytes).concat();
                answer.extend(attributes());
                (0, answer)
            }
            GETATTR => {
                let mut answer = [3600_u64, 0].map(u64::to_le_bytes).concat();
                answer.extend(attributes());
                (0, answer)
            }
            OPEN => (0, vec![0; 16]),
            RELEASE | FLUSH => (0, Vec::new()),
            _ => (-ENOSYS, Vec::new()),
        };
        let length = u32::try_from(16 + answer.len()).unwrap();
        let mut reply = length.to_le_bytes().to_vec();
        reply.extend(error.to_le_bytes());
        reply.extend(&header[8..16]);
        reply.extend(answer);
        let _ = device.write_all(&reply);
    }
}

/// Of a regular file of 1 MiB.
fn attributes() -> Vec<u8> {
    let mut attributes = [2_u64, 1 << 20, 2048, 0, 0, 0].map(u64::to_le_bytes).concat();
    attributes.extend([0_u32, 0, 0, 0o100_600, 1, 0, 0, 0, 4096, 0].map(u32::to_le_bytes).concat());
    attributes
}
