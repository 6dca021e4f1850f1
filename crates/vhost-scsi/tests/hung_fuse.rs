// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file system in user space that answers until one asks it something of the test's choice, and then never again.
//!
//! Above: the tests of what hangs.  Below: `/dev/fuse`, mount(8).
//! Never here: anything but one file.

#![allow(dead_code, reason = "each test uses its part")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Requests of FUSE that are answered, by number.
const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
/// What kind of file system it is.
pub(crate) const STATFS: u32 = 17;
/// Whether a file can be read now.
pub(crate) const POLL: u32 = 40;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const ENOSYS: i32 = 38;

/// The file system, mounted; dropped, it is torn down, and who waits for it is let go.
pub(crate) struct HungFuse {
    folder: PathBuf,
    hangs: Arc<AtomicBool>,
    ends: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl HungFuse {
    /// Mounts it on a folder, to hang at one request; why not, where that cannot be done.
    pub(crate) fn mount(folder: &Path, hangs_at: u32) -> Result<Self, String> {
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
        let ends = Arc::new(AtomicBool::new(false));
        let (seen, end) = (Arc::clone(&hangs), Arc::clone(&ends));
        let server = std::thread::spawn(move || serve(&mut File::from(device), hangs_at, &seen, &end));
        Ok(Self { folder: folder.to_path_buf(), hangs, ends, server: Some(server) })
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
        // Without a server what waits is let go, umount(8) included.
        self.ends.store(true, Ordering::SeqCst);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
        let _ = Command::new("umount").arg("-l").arg(&self.folder).output();
    }
}

/// How long what hangs is borne by a test that does not come to its end.
const BORNE: Duration = Duration::from_secs(60);

fn serve(device: &mut File, hangs_at: u32, hangs: &AtomicBool, ends: &AtomicBool) {
    let mut request = vec![0; 1 << 20];
    let mut hung_since = None;
    while !ends.load(Ordering::SeqCst) && hung_since.is_none_or(|since: Instant| since.elapsed() < BORNE) {
        let mut polled = [PollFd::new(&*device, PollFlags::IN)];
        let moment = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        if poll(&mut polled, Some(&moment)) == Ok(0) {
            continue;
        }
        // An error is the end: ENODEV, once it is not mounted any more.
        let Ok(bytes) = device.read(&mut request) else { return };
        let Some(header) = request.get(..bytes.min(40)).filter(|header| header.len() == 40) else { continue };
        let opcode = u32::from_le_bytes(header[4..8].try_into().unwrap());
        if opcode == hangs_at {
            hangs.store(true, Ordering::SeqCst);
            hung_since = Some(Instant::now());
        }
        if hangs.load(Ordering::SeqCst) {
            continue;
        }
        let (error, answer) = match opcode {
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
