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

use crate::OpenError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What tells one medium from another: a file by device and inode, a device by its numbers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Medium {
    File { device: u64, inode: u64 },
    Device { device: u64 },
}

/// What this process has open.  Two of its own open files of one medium would shut each other out, and the first
/// to run rings would leave the other's guest waiting for ever.
static OPEN: Mutex<BTreeMap<Medium, Weak<HostLock>>> = Mutex::new(BTreeMap::new());

/// The lock of one open file.
pub struct HostLock {
    file: Arc<File>,
    path: PathBuf,
    medium: Medium,
    /// Opened for reading only: then it keeps out writers, and not other readers.
    shared: bool,
    holds: AtomicUsize,
    /// Held while the lock is taken or let go.
    changing: Mutex<()>,
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
    ) -> Result<Arc<Self>, OpenError> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&medium).is_some_and(|lock| lock.strong_count() > 0) {
            return Err(OpenError::Busy(path.to_path_buf()));
        }
        let (holds, changing) = (AtomicUsize::new(0), Mutex::new(()));
        let lock = Arc::new(Self { file, path: path.to_path_buf(), medium, shared, holds, changing });
        open.insert(medium, Arc::downgrade(&lock));
        Ok(lock)
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
        let _changing = self.changing();
        if let Some(hold) = self.share() {
            return Some(hold);
        }
        self.take().then(|| {
            self.holds.store(1, Ordering::Release);
            Hold(Arc::clone(self))
        })
    }

    /// One more hold of the lock, if this process has it.  Never waits.
    pub fn share(self: &Arc<Self>) -> Option<Hold> {
        let more = |holds: usize| (holds > 0).then(|| holds + 1);
        let shared = self.holds.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        shared.is_ok().then(|| Hold(Arc::clone(self)))
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> bool {
        let kind = if self.shared { libc::F_RDLCK } else { libc::F_WRLCK };
        let flocks = matches!(self.medium, Medium::File { .. });
        if flocks && !can_go_on(flock(&self.file, FlockOperation::NonBlockingLockExclusive)) {
            return false;
        }
        let taken = can_go_on(record_lock(&self.file, kind));
        if !taken && flocks {
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
        taken
    }

    fn let_go(&self) {
        let _ = record_lock(&self.file, libc::F_UNLCK);
        if matches!(self.medium, Medium::File { .. }) {
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
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
        self.0.holds.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let fewer = |holds: usize| (holds > 1).then(|| holds - 1);
        if self.0.holds.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer).is_ok() {
            return;
        }
        let _changing = self.0.changing();
        // Another may have shared it in the meantime.
        if self.0.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.let_go();
        }
    }
}

impl Drop for HostLock {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&self.medium).is_some_and(|lock| lock.strong_count() == 0) {
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
