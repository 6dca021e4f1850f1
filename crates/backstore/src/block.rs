// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `block`: a block device of the host, past its page cache.
//!
//! Above: `lunard` opens, `target` uses.
//! Below: `kernel_io`, `sysfs`.
//! Never here: device-mapper, paths, or anything else a device is made of.
//!
//! The device is claimed (O_EXCL) for as long as it is open, so that nothing mounts it.  The claim has a descriptor
//! of its own, and ends with the process that made it; the lock has that of the I/O, and lasts until the last
//! request of a process that was killed has ended.  Whether a device has a volatile write cache is its own word.

use crate::calls::DiscardBy;
use crate::host_lock::{HostLock, Medium};
use crate::kernel_io::{FileChannel, Manner};
use crate::{Abilities, Backstore, BackstoreError, Channel, Geometry, OpenError, size, space, sysfs};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait for the claim of a store of our own that is about to close.
const CLAIM_PATIENCE: Duration = Duration::from_secs(2);
const CLAIM_RETRY: Duration = Duration::from_millis(10);

/// How to open a device.
#[derive(Clone, Debug)]
pub struct BlockOptions {
    /// The path, as the administrator wrote it.
    pub path: PathBuf,
    /// Whether to refuse writes; the device decides where nothing is said.
    pub read_only: Option<bool>,
}

/// Which device of the host it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The kernel's name, such as `dm-0`.
    pub kernel_name: String,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

/// An open device.
pub struct BlockDevice {
    file: Arc<File>,
    geometry: Geometry,
    abilities: Abilities,
    device: Device,
    lock: Arc<HostLock>,
}

impl BlockDevice {
    /// Opens and claims a device.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: &BlockOptions) -> Result<Self, OpenError> {
        Self::open_in_place_of(options, None)
    }

    /// The same where this process has the device open already, with this lock, and is to close it for this one.  If
    /// it was claimed, the claim is shared.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_in_place_of(
        options: &BlockOptions,
        before: Option<&Arc<HostLock>>,
    ) -> Result<Self, OpenError> {
        let path = &options.path;
        let stat = fs::stat(path).map_err(|errno| OpenError::from_errno(path, errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::BlockDevice => {}
            FileType::Directory => return Err(OpenError::Directory(path.clone())),
            _ => return Err(OpenError::WrongType { path: path.clone(), wanted: "a block device" }),
        }
        let (major, minor) = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
        let sysfs::Description { kernel_name, mut geometry, abilities } =
            sysfs::describe(path, major, minor)?;
        if geometry.bytes < u64::from(geometry.block_bytes) {
            return Err(OpenError::TooSmall { path: path.clone(), bytes: geometry.bytes });
        }
        if geometry.read_only && options.read_only == Some(false) {
            return Err(OpenError::ReadOnly(path.clone()));
        }
        geometry.read_only |= options.read_only == Some(true);
        let claim = match before.and_then(|before| before.claim()) {
            Some(claim) => Arc::clone(claim),
            None => Arc::new(claim(path)?),
        };
        let access = if geometry.read_only { OFlags::RDONLY } else { OFlags::RDWR };
        let file = fs::open(path, access | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| OpenError::from_errno(path, errno))?;
        for fd in [claim.as_fd(), file.as_fd()] {
            let now = fs::fstat(fd).map_err(|errno| OpenError::from_errno(path, errno))?;
            if now.st_rdev != stat.st_rdev {
                return Err(OpenError::Busy(path.clone()));
            }
        }
        let file = Arc::new(File::from(file));
        let (its, shared) = (Arc::clone(&file), geometry.read_only);
        let lock = match before {
            Some(before) => HostLock::in_place_of(before, path, its, shared, Some(claim))?,
            None => {
                let medium = Medium::Device { device: stat.st_rdev };
                HostLock::new(path, its, medium, shared, Some(claim))?
            }
        };
        let device = Device { kernel_name, major, minor };
        Ok(Self { file, geometry, abilities, device, lock })
    }

    /// Which device it is.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

fn claim(path: &Path) -> Result<File, OpenError> {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    let start = Instant::now();
    loop {
        match fs::open(path, flags, Mode::empty()) {
            Ok(fd) => return Ok(fd.into()),
            Err(Errno::BUSY) if start.elapsed() < CLAIM_PATIENCE => std::thread::sleep(CLAIM_RETRY),
            Err(errno) => return Err(OpenError::from_errno(path, errno)),
        }
    }
}

impl Backstore for BlockDevice {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn bytes_now(&self) -> std::io::Result<u64> {
        size::bytes_of(&self.file)
    }

    fn grown(&self, bytes: u64) -> Result<Arc<dyn Backstore>, OpenError> {
        let path = self.lock.path();
        let now = self.bytes_now().map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            OpenError::System { path: path.to_path_buf(), errno }
        })?;
        if now < bytes {
            return Err(OpenError::TooSmall { path: path.to_path_buf(), bytes: now });
        }
        Ok(Arc::new(Self {
            file: Arc::clone(&self.file),
            geometry: Geometry { bytes: now, ..self.geometry.clone() },
            abilities: self.abilities,
            device: self.device.clone(),
            lock: Arc::clone(&self.lock),
        }))
    }

    fn channel(&self, key: u32) -> Box<dyn Channel> {
        // The kernel wants memory aligned to the device's DMA alignment, which is at most its sector.
        let alignment = usize::try_from(self.geometry.block_bytes).unwrap_or(4096);
        let manner = Manner {
            direct_alignment: Some(alignment),
            always_durable: false,
            discard: DiscardBy::of(self.abilities),
            may_hang_at_once: false,
            device: Some((self.device.major, self.device.minor)),
        };
        Box::new(FileChannel::new(Arc::clone(&self.file), key, manner))
    }

    fn abilities(&self) -> Abilities {
        self.abilities
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

    fn host_lock(&self) -> Option<&Arc<HostLock>> {
        Some(&self.lock)
    }
}
