// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The lock that keeps a file or device to one process, and an old process's writes from landing late.
//!
//! Above: `file` and `block`, which make one a medium; whoever runs rings, who holds it meanwhile.
//! Below: flock(2), fcntl(2), and what is open in this process.
//! Never here: waiting.  Who may wait, for how long, and what is said of it is not known here.
//!
//! The lock is on the open file that does the I/O.  The kernel keeps that open for as long as one request on it
//! is under way, even when its process has been killed; so whoever gets the lock knows that nothing of an
//! earlier holder can land any more.
//!
//! | medium | lock | who else takes it |
//! |---|---|---|
//! | file | flock, and a record lock over all of it | lunard; QEMU takes record locks |
//! | block device | a record lock over all of it | lunard, QEMU; udev passes by what is flocked |
//!
//! A device may be opened once more in the place of what is open on it.  Until the first is closed both are its family,
//! and share the lock as readers do: that keeps out whoever writes.

use crate::OpenError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What tells one medium from another: a file by device and inode, a device by its numbers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Medium {
    File { device: u64, inode: u64 },
    Device { device: u64 },
}

impl Medium {
    fn of(stat: &Metadata) -> Self {
        if stat.file_type().is_block_device() {
            Self::Device { device: stat.rdev() }
        } else {
            Self::File { device: stat.dev(), inode: stat.ino() }
        }
    }
}

/// What this process has open.  Two of its own open files of one medium would shut each other out, and the first
/// to run rings would leave the other's guest waiting for ever.
static OPEN: Mutex<BTreeSet<Medium>> = Mutex::new(BTreeSet::new());

/// The lock of one open file.
pub struct HostLock {
    grip: Arc<Grip>,
    path: PathBuf,
    medium: Medium,
    family: Arc<Family>,
    /// What keeps everybody else from opening a device for themselves.
    claim: Option<Arc<File>>,
}

/// What this process has open of one medium: more than one only while one takes the place of another.  Held while a
/// lock is taken or let go.
type Family = Mutex<Vec<Arc<Grip>>>;

/// An open file, and who holds its lock.
struct Grip {
    file: Arc<File>,
    /// Opened for reading only: then it keeps out writers, and not other readers.
    shared: bool,
    holds: AtomicUsize,
}

/// Holds the lock until the last of its holds is dropped.
#[must_use]
pub struct Hold(Arc<HostLock>);

impl HostLock {
    /// The lock of `file`, which is open at `path`.  Nothing is locked yet.
    ///
    /// # Errors
    /// [`OpenError::Busy`] where this process has the same medium open already.
    pub(crate) fn new(
        path: &Path,
        file: Arc<File>,
        medium: Medium,
        shared: bool,
        claim: Option<Arc<File>>,
    ) -> Result<Arc<Self>, OpenError> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.insert(medium) {
            return Err(OpenError::Busy(path.to_path_buf()));
        }
        let grip = Arc::new(Grip { file, shared, holds: AtomicUsize::new(0) });
        let family = Arc::new(Mutex::new(vec![Arc::clone(&grip)]));
        Ok(Arc::new(Self { grip, path: path.to_path_buf(), medium, family, claim }))
    }

    /// The lock of `file`, which is open at `path` and takes the place of what this process has open there.
    ///
    /// # Errors
    /// [`OpenError::Busy`] where it is another medium.
    pub(crate) fn in_place_of(
        before: &Self,
        path: &Path,
        file: Arc<File>,
        shared: bool,
        claim: Option<Arc<File>>,
    ) -> Result<Arc<Self>, OpenError> {
        if !file.metadata().is_ok_and(|stat| before.is_of(&stat)) {
            return Err(OpenError::Busy(path.to_path_buf()));
        }
        Ok(before.joined_by(path, file, shared, claim))
    }

    fn joined_by(&self, path: &Path, file: Arc<File>, shared: bool, claim: Option<Arc<File>>) -> Arc<Self> {
        let grip = Arc::new(Grip { file, shared, holds: AtomicUsize::new(0) });
        let (medium, family) = (self.medium, Arc::clone(&self.family));
        members(&family).push(Arc::clone(&grip));
        Arc::new(Self { grip, path: path.to_path_buf(), medium, family, claim })
    }

    /// Whether it is the lock of the file or device that `stat` is of, whatever its path.
    pub fn is_of(&self, stat: &Metadata) -> bool {
        Medium::of(stat) == self.medium
    }

    /// What keeps everybody else from opening a device for themselves.
    pub(crate) fn claim(&self) -> Option<&Arc<File>> {
        self.claim.as_ref()
    }

    /// The path that it was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock, unless another process has it: then `None`.  Never waits for that process, but may wait for
    /// a file system of the network, so it is no call for a thread that others depend on.
    pub fn try_hold(self: &Arc<Self>) -> Option<Hold> {
        if let Some(hold) = self.share() {
            return Some(hold);
        }
        let family = members(&self.family);
        if let Some(hold) = self.share() {
            return Some(hold);
        }
        self.take(&family).then(|| {
            self.grip.holds.store(1, Ordering::Release);
            Hold(Arc::clone(self))
        })
    }

    /// One more hold of the lock, if this process has it.  Never waits.
    pub fn share(self: &Arc<Self>) -> Option<Hold> {
        let more = |holds: usize| (holds > 0).then(|| holds + 1);
        let shared = self.grip.holds.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        shared.is_ok().then(|| Hold(Arc::clone(self)))
    }

    /// The others of the family that are held.
    fn held_besides<'f>(&self, family: &'f [Arc<Grip>]) -> impl Iterator<Item = &'f Grip> {
        let is_other = |grip: &&Arc<Grip>| !Arc::ptr_eq(grip, &self.grip) && grip.is_held();
        family.iter().filter(is_other).map(|grip| &**grip)
    }

    fn take(&self, family: &[Arc<Grip>]) -> bool {
        let mut kind = self.grip.kind();
        for other in self.held_besides(family) {
            let _ = record_lock(&other.file, libc::F_RDLCK);
            kind = libc::F_RDLCK;
        }
        let taken = self.take_as(kind);
        if !taken {
            self.held_besides(family).for_each(Grip::tighten);
        }
        taken
    }

    fn take_as(&self, kind: i32) -> bool {
        let file = &self.grip.file;
        let flocks = matches!(self.medium, Medium::File { .. });
        if flocks && !can_go_on(flock(file, FlockOperation::NonBlockingLockExclusive)) {
            return false;
        }
        let taken = can_go_on(record_lock(file, kind));
        if !taken && flocks {
            let _ = flock(file, FlockOperation::Unlock);
        }
        taken
    }

    fn let_go(&self, family: &[Arc<Grip>]) {
        let _ = record_lock(&self.grip.file, libc::F_UNLCK);
        if matches!(self.medium, Medium::File { .. }) {
            let _ = flock(&self.grip.file, FlockOperation::Unlock);
        }
        self.held_besides(family).for_each(Grip::tighten);
    }
}

impl Grip {
    fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }

    fn kind(&self) -> i32 {
        if self.shared { libc::F_RDLCK } else { libc::F_WRLCK }
    }

    /// Keeps out all that it should, which it could not beside another of the family.  Where one is left that still
    /// shares it, or a reader of another process has come in, it stays as it is.
    fn tighten(&self) {
        let _ = record_lock(&self.file, self.kind());
    }
}

fn members(family: &Family) -> MutexGuard<'_, Vec<Arc<Grip>>> {
    family.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hold {
    /// Which lock it holds.
    pub fn lock(&self) -> &Arc<HostLock> {
        &self.0
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        // There is one hold already: ours.
        self.0.grip.holds.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let holds = &self.0.grip.holds;
        let fewer = |holds: usize| (holds > 1).then(|| holds - 1);
        if holds.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer).is_ok() {
            return;
        }
        let family = members(&self.0.family);
        // Another may have shared it in the meantime.
        if holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.let_go(&family);
        }
    }
}

impl Drop for HostLock {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = members(&self.family);
        family.retain(|grip| !Arc::ptr_eq(grip, &self.grip));
        if family.is_empty() {
            open.remove(&self.medium);
        }
    }
}

/// Whether the lock was taken, or there is no such lock on this file system, which then cannot be helped.
fn can_go_on(taken: Result<(), Errno>) -> bool {
    match taken {
        Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => true,
        Err(_) => false,
    }
}

/// Locks all of a file for the open file itself, and not for the process (F_OFD_SETLK): it outlives the process
/// for as long as the kernel needs the file.
fn record_lock(file: &File, kind: i32) -> Result<(), Errno> {
    // SAFETY: all fields of `flock` are integers, for which zero is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(kind).unwrap_or_default();
    lock.l_whence = i16::try_from(libc::SEEK_SET).unwrap_or_default();
    // SAFETY: the descriptor is open, and the kernel reads the structure during the call.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if done == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    }
}

#[cfg(test)]
mod tests;
