// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file whose writes land, and whose reads and writes fail, when the story says so, and not before: a FUSE file system with one file in it.
//!
//! Above: the stories of faults.  Below: `/dev/fuse`, and root to mount it.
//! Never here: a clock.
//!
//! For the kernel a write that is kept back is one that the disk has not answered yet.  It outlives the process
//! that began it.

use crate::scratch::Scratch;
use anyhow::{Context, Result};
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name of the file.
const NAME: &str = "disk";
const DISK: INodeNo = INodeNo(2);
/// How long the kernel may believe what it was told.
const BELIEVED: Duration = Duration::from_secs(3600);

/// What is written at once; more comes in pieces, as it goes to any disk.
const PIECE_BYTES_MAX: u32 = 128 << 10;

/// The file.
#[derive(Debug)]
pub struct SlowDisk {
    path: PathBuf,
    disk: Arc<Mutex<Disk>>,
    _mounted: BackgroundSession,
}

#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    /// What is written at once.
    piece_bytes: u32,
    /// How many more writes are to be kept back.
    keeps: usize,
    /// From which offset on they are kept back, all of them.
    keeps_from: Option<usize>,
    kept: Vec<Kept>,
    /// What reads and writes are refused with.
    reads_fail: Option<Errno>,
    writes_fail: Option<Errno>,
    /// What a change of the size is refused with.
    cuts_fail: Option<Errno>,
}

/// A write that is kept back.
#[derive(Debug)]
struct Kept {
    offset: usize,
    data: Vec<u8>,
    reply: ReplyWrite,
}

impl Disk {
    fn write(&mut self, offset: usize, data: &[u8]) -> u32 {
        let Some(place) = self.bytes.get_mut(offset..offset + data.len()) else { return 0 };
        place.copy_from_slice(data);
        u32::try_from(data.len()).unwrap_or(0)
    }
}

impl SlowDisk {
    /// Mounts it in a scratch directory; the file has `bytes` bytes, all zero.
    pub fn mount(scratch: &Scratch, bytes: usize) -> Result<Self> {
        Self::mount_in_pieces(scratch, bytes, PIECE_BYTES_MAX)
    }

    /// The same, which is written in pieces of `piece_bytes` at most: whole pages.
    pub fn mount_in_pieces(scratch: &Scratch, bytes: usize, piece_bytes: u32) -> Result<Self> {
        let folder = scratch.directory("slow")?;
        let disk = Disk { bytes: vec![0; bytes], piece_bytes, ..Disk::default() };
        let disk = Arc::new(Mutex::new(disk));
        let mounted = fuser::spawn_mount(Served(Arc::clone(&disk)), &folder, &Config::default());
        let mounted = mounted.context("cannot mount a FUSE file system")?;
        Ok(Self { path: folder.join(NAME), disk, _mounted: mounted })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps back the next `writes` writes.
    pub fn keep_back(&self, writes: usize) {
        self.disk().keeps = writes;
    }

    /// Keeps back what is written to `offset` and behind: of a write in pieces, those that lie there.
    pub fn keep_back_from(&self, offset: usize) {
        self.disk().keeps_from = Some(offset);
    }

    /// Refuses the writes that were kept back, and none that follow: nothing of them lands.
    pub fn lose(&self) {
        let mut disk = self.disk();
        (disk.keeps, disk.keeps_from) = (0, None);
        for Kept { reply, .. } in std::mem::take(&mut disk.kept) {
            reply.error(Errno::EIO);
        }
    }

    /// Refuses every read from now on with an errno, or no more.
    pub fn fail_reads(&self, errno: Option<i32>) {
        self.disk().reads_fail = errno.map(Errno::from_i32);
    }

    /// Refuses every write from now on with an errno, or no more.
    pub fn fail_writes(&self, errno: Option<i32>) {
        self.disk().writes_fail = errno.map(Errno::from_i32);
    }

    /// Refuses every change of the size from now on with an errno, or no more.
    pub fn fail_cuts(&self, errno: Option<i32>) {
        self.disk().cuts_fail = errno.map(Errno::from_i32);
    }

    /// How many writes are kept back.
    pub fn kept(&self) -> usize {
        self.disk().kept.len()
    }

    /// Lets the writes land that were kept back.
    pub fn let_land(&self) {
        let mut disk = self.disk();
        (disk.keeps, disk.keeps_from) = (0, None);
        for Kept { offset, data, reply } in std::mem::take(&mut disk.kept) {
            reply.written(disk.write(offset, &data));
        }
    }

    /// How long the file is.
    pub fn bytes(&self) -> usize {
        self.disk().bytes.len()
    }

    /// What is in the file from `offset` on.
    pub fn read(&self, offset: usize, bytes: usize) -> Vec<u8> {
        self.disk().bytes[offset..offset + bytes].to_vec()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        locked(&self.disk)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // Nobody can unmount what still has to answer.
        self.let_land();
    }
}

/// Whether this process may mount one.
pub fn available() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists()
}

fn locked(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file system, as the kernel calls it.
struct Served(Arc<Mutex<Disk>>);

impl Served {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let (kind, perm, size) = if ino == DISK {
            (FileType::RegularFile, 0o600, locked(&self.0).bytes.len() as u64)
        } else {
            (FileType::Directory, 0o700, 0)
        };
        FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }
}

impl Filesystem for Served {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // A write past the page cache does not wait for the one before it.
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        let _ = config.set_max_write(locked(&self.0).piece_bytes);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&BELIEVED, &self.attributes(DISK), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&BELIEVED, &self.attributes(ino));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if let Some(bytes) = size.and_then(|bytes| usize::try_from(bytes).ok()) {
            let mut disk = locked(&self.0);
            if let Some(errno) = disk.cuts_fail {
                return reply.error(errno);
            }
            disk.bytes.resize(bytes, 0);
        }
        reply.attr(&BELIEVED, &self.attributes(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = locked(&self.0);
        if let Some(errno) = disk.reads_fail {
            return reply.error(errno);
        }
        let start = usize::try_from(offset).map_or(disk.bytes.len(), |start| start.min(disk.bytes.len()));
        let end = disk.bytes.len().min(start + size as usize);
        reply.data(&disk.bytes[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = locked(&self.0);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(errno) = disk.writes_fail {
            reply.error(errno);
        } else if disk.keeps > 0 {
            disk.keeps -= 1;
            disk.kept.push(Kept { offset, data: data.to_vec(), reply });
        } else if disk.keeps_from.is_some_and(|from| offset >= from) {
            disk.kept.push(Kept { offset, data: data.to_vec(), reply });
        } else {
            reply.written(disk.write(offset, data));
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }
}
