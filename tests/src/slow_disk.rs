// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file whose writes land, and whose reads and writes fail, when the story says so, and not before: a FUSE file system with one file in it.
//!
//! Above: `stage`, which has them end after the daemon, and the stories of faults.  Below: `/dev/fuse`, and root to mount it.
//! Never here: a clock.
//!
//! For the kernel a write that is kept back is one that the disk has not answered yet.  It outlives the process
//! that began it.

use crate::scratch::Scratch;
use anyhow::{Context, Result};
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, Notifier, OpenFlags, ReplyAttr, ReplyData,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::mount::{UnmountFlags, unmount};
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
pub(crate) const PIECE_BYTES_MAX: u32 = 128 << 10;

/// The file, as stories have it; its file system is [`Mount`]'s.
#[derive(Clone, Debug)]
pub struct SlowDisk {
    path: PathBuf,
    disk: Arc<Mutex<Disk>>,
    kernel: Notifier,
}

/// The file system.  Whoever has the file open must have ended before this goes.
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) disk: SlowDisk,
    folder: PathBuf,
    _served: BackgroundSession,
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
    /// From which offset on writes are lost that were on their way when others were.
    loses_from: Option<usize>,
    /// Whether looks at the file's attributes are kept back, and those that are.
    keeps_looks: bool,
    kept_looks: Vec<ReplyAttr>,
    /// Whether the kernel is to look each time, and how often it has.
    is_looked_at: bool,
    looks: usize,
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

    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let (kind, perm, size) = if ino == DISK {
            (FileType::RegularFile, 0o600, self.bytes.len() as u64)
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

    /// Answers a look at the file's attributes.
    fn show(&mut self, reply: ReplyAttr) {
        self.looks += 1;
        reply.attr(if self.is_looked_at { &Duration::ZERO } else { &BELIEVED }, &self.attributes(DISK));
    }
}

impl Mount {
    /// Mounts one in a directory of that name in a scratch directory; the file has `bytes` bytes, all zero, and is written in
    /// pieces of `piece_bytes` at most: whole pages.
    pub(crate) fn at(scratch: &Scratch, name: &str, bytes: usize, piece_bytes: u32) -> Result<Self> {
        let folder = scratch.directory(name)?;
        let disk = Arc::new(Mutex::new(Disk { bytes: vec![0; bytes], piece_bytes, ..Disk::default() }));
        let served = fuser::spawn_mount(Served(Arc::clone(&disk)), &folder, &Config::default());
        let served = served.context("cannot mount a FUSE file system")?;
        let disk = SlowDisk { path: folder.join(NAME), disk, kernel: served.notifier() };
        Ok(Self { disk, folder, _served: served })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.disk.let_go();
        // Even where somebody has it open still: a file system without its server would stay for ever.
        let _ = unmount(&self.folder, UnmountFlags::DETACH);
    }
}

impl SlowDisk {
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

    /// Refuses the writes that were kept back: nothing of them lands, nor of what the kernel has on its way to where writes were
    /// kept back, until [`Self::takes_again`].
    pub fn lose(&self) {
        let mut disk = self.disk();
        (disk.keeps, disk.loses_from) = (0, disk.keeps_from.take());
        for Kept { reply, .. } in std::mem::take(&mut disk.kept) {
            reply.error(Errno::EIO);
        }
    }

    /// Takes writes again wherever they go, once nothing is on its way any more.
    pub fn takes_again(&self) {
        self.disk().loses_from = None;
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

    /// Keeps back every look at the file's attributes (stat) from now on.
    pub fn keep_back_looks(&self) -> Result<()> {
        let mut disk = self.disk();
        (disk.keeps_looks, disk.is_looked_at) = (true, true);
        drop(disk);
        // What the kernel knows it believes for long.
        self.kernel.inval_inode(DISK, -1, 0).context("the kernel forgets no attributes")
    }

    /// Answers those that were kept back, and the next ones at once.
    pub fn let_look(&self) {
        let mut disk = self.disk();
        disk.keeps_looks = false;
        for reply in std::mem::take(&mut disk.kept_looks) {
            disk.show(reply);
        }
    }

    /// How many looks are kept back.
    pub fn kept_looks(&self) -> usize {
        self.disk().kept_looks.len()
    }

    /// How many looks of the kernel were answered so far.
    pub fn looks(&self) -> usize {
        self.disk().looks
    }

    /// Keeps nobody waiting any more: what was kept back lands, and nothing that comes is kept back.
    pub(crate) fn let_go(&self) {
        self.let_land();
        self.let_look();
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

/// Whether this process may mount one.
pub fn available() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists()
}

fn locked(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file system, as the kernel calls it.
struct Served(Arc<Mutex<Disk>>);

impl Filesystem for Served {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // A write past the page cache does not wait for the one before it.
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        let _ = config.set_max_write(locked(&self.0).piece_bytes);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&BELIEVED, &locked(&self.0).attributes(DISK), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let mut disk = locked(&self.0);
        if ino != DISK {
            reply.attr(&BELIEVED, &disk.attributes(ino));
        } else if disk.keeps_looks {
            disk.kept_looks.push(reply);
        } else {
            disk.show(reply);
        }
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
        let mut disk = locked(&self.0);
        if let Some(bytes) = size.and_then(|bytes| usize::try_from(bytes).ok()) {
            if let Some(errno) = disk.cuts_fail {
                return reply.error(errno);
            }
            disk.bytes.resize(bytes, 0);
        }
        reply.attr(&BELIEVED, &disk.attributes(ino));
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
        } else if disk.loses_from.is_some_and(|from| offset >= from) {
            reply.error(Errno::EIO);
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
