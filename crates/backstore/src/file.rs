// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `fileio`: a file of the host, through its page cache.
//!
//! Above: `lunard` opens, `target` uses.
//! Below: `kernel_io`.
//! Never here: the guest's idea of a block; a file is bytes.
//!
//! With `write_back` the page cache is a volatile write cache, and the guest is told so (WCE).  Without it
//! every write is durable before it is answered.

use crate::calls::DiscardBy;
use crate::host_lock::{HostLock, Medium};
use crate::kernel_io::{FileChannel, Manner};
use crate::{
    Abilities, Backstore, BackstoreError, Channel, Extent, Geometry, OpenError, Space, fuse, size, space,
    sysfs,
};
use rustix::fs::{self, FallocateFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The unit in which a file is read and written, in bytes.
const FILE_BLOCK_BYTES: u32 = 512;
/// What LIO's fileio tells guests to prefer, in bytes: one command's worth.
const FILE_IO_OPT_BYTES: u32 = 8 * 1024 * 1024;
/// How long to wait for a store of our own on the same file that is about to close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
const CLOSE_RETRY: Duration = Duration::from_millis(10);

/// How to open a file.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The path, absolute.
    pub path: PathBuf,
    /// Makes the file when it does not exist.
    pub create: Option<NewFile>,
    /// Whether the page cache is a write cache.
    pub write_back: bool,
}

/// A file that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether its blocks are allocated only when they are written.
    pub sparse: bool,
}

/// An open file.
pub struct FileStore {
    file: Arc<File>,
    geometry: Geometry,
    abilities: Abilities,
    is_regular: bool,
    write_back: bool,
    created: Option<PathBuf>,
    /// Whether a file system in user space has it.
    is_fuse: bool,
    lock: Arc<HostLock>,
}

impl FileStore {
    /// Opens a file, or a block device as if it were one.  It is not locked: see [`Backstore::host_lock`].
    ///
    /// # Errors
    /// [`OpenError`]; a file that was made for this is removed again.
    pub fn open(options: &FileOptions) -> Result<Self, OpenError> {
        Self::open_in_place_of(options, None)
    }

    /// The same where this process has the device open already, with this lock, and is to close it for this one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_in_place_of(
        options: &FileOptions,
        before: Option<&Arc<HostLock>>,
    ) -> Result<Self, OpenError> {
        let path = &options.path;
        let existing = fs::open(path, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
        let (fd, created) = match (existing, options.create) {
            (Ok(fd), _) => (fd, None),
            (Err(Errno::NOENT), Some(new)) => (make(path, new)?, Some(path.clone())),
            (Err(errno), _) => return Err(OpenError::from_errno(path, errno)),
        };
        let file = Arc::new(File::from(fd));
        let opened = let_it_wait(path, &file)
            .and_then(|()| describe(path, &file, options.write_back))
            .and_then(|described| Ok((described, lock_of(path, &file, before)?)));
        match opened {
            Ok((described, lock)) => {
                let Described { geometry, abilities, is_regular } = described;
                let (write_back, is_fuse) = (options.write_back, fuse::has(&file));
                Ok(Self { file, geometry, abilities, is_regular, write_back, created, is_fuse, lock })
            }
            Err(error) => {
                if let Some(path) = created {
                    let _ = fs::unlink(&path);
                }
                Err(error)
            }
        }
    }

    /// The same open file in the other manner: with a write cache or without.
    #[must_use]
    pub fn with_write_back(&self, write_back: bool) -> Self {
        let geometry = Geometry { write_cache: write_back, ..self.geometry.clone() };
        let (file, lock) = (Arc::clone(&self.file), Arc::clone(&self.lock));
        let (abilities, is_regular, is_fuse) = (self.abilities, self.is_regular, self.is_fuse);
        Self { file, geometry, abilities, is_regular, write_back, created: None, is_fuse, lock }
    }

    /// The open file, at least `bytes` long: it grows where it is not.  See [`Backstore::grown`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn grow(&self, bytes: u64) -> Result<Self, OpenError> {
        let path = self.lock.path();
        let grown = size::bytes_of(&self.file).and_then(|now| {
            if now >= bytes {
                return Ok(now);
            }
            fs::ftruncate(&*self.file, bytes)?;
            self.file.sync_all()?;
            Ok(bytes)
        });
        let now = grown.map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            OpenError::NoSpace { path: path.to_path_buf(), bytes, errno }
        })?;
        let geometry = Geometry { bytes: now, ..self.geometry.clone() };
        Ok(Self { geometry, ..self.with_write_back(self.write_back) })
    }

    /// The open file when only its first `bytes` are shown.  See [`Backstore::shrunk`].
    #[must_use]
    pub fn shrink(&self, bytes: u64) -> Self {
        let geometry = Geometry { bytes, ..self.geometry.clone() };
        Self { geometry, ..self.with_write_back(self.write_back) }
    }

    /// Whether it is a file, and no device that is used as one.
    pub fn is_regular(&self) -> bool {
        self.is_regular
    }

    /// Brings everything that was written to stable storage.  Waits for it.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }

    /// The path of the file, when [`FileStore::open`] made it.
    pub fn created(&self) -> Option<&Path> {
        self.created.as_deref()
    }
}

fn make(path: &Path, new: NewFile) -> Result<OwnedFd, OpenError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd =
        fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| OpenError::from_errno(path, errno))?;
    let sized = if new.sparse {
        fs::ftruncate(&fd, new.bytes)
    } else {
        fs::fallocate(&fd, FallocateFlags::empty(), 0, new.bytes)
    };
    // The configuration that will name this file must never be durable before the file is.
    let durable = sized.and_then(|()| fs::fsync(&fd)).and_then(|()| sync_directory_of(path));
    durable.map_err(|errno| {
        let _ = fs::unlink(path);
        OpenError::NoSpace { path: path.to_path_buf(), bytes: new.bytes, errno }
    })?;
    Ok(fd)
}

fn sync_directory_of(path: &Path) -> Result<(), Errno> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::fsync(fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Ends what kept the open itself from waiting, for a pipe's other end.  I/O may wait: where a file system
/// cannot do it at once, io_uring takes a thread for it, but on a non-blocking file it answers EAGAIN for ever.
fn let_it_wait(path: &Path, fd: &File) -> Result<(), OpenError> {
    let flags = fs::fcntl_getfl(fd).and_then(|flags| fs::fcntl_setfl(fd, flags - OFlags::NONBLOCK));
    flags.map_err(|errno| OpenError::from_errno(path, errno))
}

fn lock_of(
    path: &Path,
    file: &Arc<File>,
    before: Option<&Arc<HostLock>>,
) -> Result<Arc<HostLock>, OpenError> {
    if let Some(before) = before {
        return HostLock::in_place_of(before, path, Arc::clone(file), false, None);
    }
    let stat = fs::fstat(file).map_err(|errno| OpenError::from_errno(path, errno))?;
    let medium = match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice => Medium::Device { device: stat.st_rdev },
        _ => Medium::File { device: stat.st_dev, inode: stat.st_ino },
    };
    let start = Instant::now();
    loop {
        match HostLock::new(path, Arc::clone(file), medium, false, None) {
            Err(OpenError::Busy(_)) if start.elapsed() < CLOSE_PATIENCE => std::thread::sleep(CLOSE_RETRY),
            made => return made,
        }
    }
}

/// What a file, or a device that is used as one, is like.
struct Described {
    geometry: Geometry,
    abilities: Abilities,
    is_regular: bool,
}

fn describe(path: &Path, fd: &File, write_back: bool) -> Result<Described, OpenError> {
    let stat = fs::fstat(fd).map_err(|errno| OpenError::from_errno(path, errno))?;
    let file_type = FileType::from_raw_mode(stat.st_mode);
    let is_regular = file_type == FileType::RegularFile;
    let mut abilities = Abilities::default();
    let geometry = match file_type {
        FileType::RegularFile => Geometry {
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            block_bytes: FILE_BLOCK_BYTES,
            physical_block_bytes: FILE_BLOCK_BYTES,
            alignment_bytes: 0,
            io_min_bytes: FILE_BLOCK_BYTES,
            io_opt_bytes: FILE_IO_OPT_BYTES,
            read_only: false,
            write_cache: write_back,
            rotational: false,
        },
        FileType::BlockDevice => {
            let device = sysfs::describe(path, fs::major(stat.st_rdev), fs::minor(stat.st_rdev))?;
            // By way of the page cache nothing is written whole.
            abilities = Abilities { atomic: None, ..device.abilities };
            Geometry { write_cache: write_back, ..device.geometry }
        }
        FileType::Directory => return Err(OpenError::Directory(path.to_path_buf())),
        _ => return Err(OpenError::WrongType { path: path.to_path_buf(), wanted: "a file" }),
    };
    if geometry.bytes < u64::from(geometry.block_bytes) {
        return Err(OpenError::TooSmall { path: path.to_path_buf(), bytes: geometry.bytes });
    }
    if is_regular {
        abilities = space::of_file(fd);
    }
    Ok(Described { geometry, abilities, is_regular })
}

impl Backstore for FileStore {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn bytes_now(&self) -> std::io::Result<u64> {
        size::bytes_of(&self.file)
    }

    fn grown(&self, bytes: u64) -> Result<Arc<dyn Backstore>, OpenError> {
        Ok(Arc::new(self.grow(bytes)?))
    }

    fn shrunk(&self, bytes: u64) -> Result<Arc<dyn Backstore>, OpenError> {
        Ok(Arc::new(self.shrink(bytes)))
    }

    fn cut(&self) -> std::io::Result<()> {
        // A device has the size that it has, and what is shorter already must not become longer.
        if !self.is_regular || self.bytes_now()? <= self.geometry.bytes {
            return Ok(());
        }
        fs::ftruncate(&*self.file, self.geometry.bytes)?;
        self.file.sync_all()
    }

    fn channel(&self, key: u32) -> Box<dyn Channel> {
        let manner = Manner {
            direct_alignment: None,
            always_durable: !self.write_back,
            discard: DiscardBy::of(self.abilities),
            may_hang_at_once: self.is_fuse,
            device: None,
        };
        Box::new(FileChannel::new(Arc::clone(&self.file), key, manner))
    }

    fn abilities(&self) -> Abilities {
        self.abilities
    }

    fn space_now(&self) -> std::io::Result<Option<Space>> {
        if !self.abilities.shares_space {
            return Ok(None);
        }
        Ok(Some(space::of_file_system(&self.file)?))
    }

    fn zero(&self, offset: u64, bytes: u64, discard: bool) -> Result<(), BackstoreError> {
        space::zero(&self.file, offset, bytes, discard, self.abilities)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), BackstoreError> {
        space::write_at(&self.file, offset, data)
    }

    fn flush(&self) -> Result<(), BackstoreError> {
        space::flush(&self.file)
    }

    fn extent(&self, offset: u64) -> Result<Extent, BackstoreError> {
        if !self.is_regular {
            return Ok(Extent { end: self.geometry.bytes, mapped: true });
        }
        space::extent_of_file(&self.file, offset, self.geometry.bytes)
    }

    fn regular_file(&self) -> Option<&File> {
        self.is_regular.then_some(&*self.file)
    }

    fn host_lock(&self) -> Option<&Arc<HostLock>> {
        Some(&self.lock)
    }
}

#[cfg(test)]
mod tests {
    use super::{FileOptions, FileStore, NewFile, OFlags};

    #[test]
    fn io_on_an_open_file_may_wait_for_its_file_system() {
        let directory = tempfile::tempdir().unwrap();
        let create = Some(NewFile { bytes: 4096, sparse: true });
        let options = FileOptions { path: directory.path().join("disk"), create, write_back: true };
        for made in [true, false] {
            let store = FileStore::open(&options).unwrap();
            assert_eq!(store.created().is_some(), made);
            let flags = rustix::fs::fcntl_getfl(&*store.file).unwrap();
            assert!(!flags.contains(OFlags::NONBLOCK), "{flags:?}");
        }
    }
}
