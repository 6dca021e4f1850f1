// SPDX-License-Identifier: Apache-2.0 OR MIT
//! BLKDISCARD, which blocks, for kernels whose ring cannot discard.
//!
//! Above: `kernel_io`.
//! Below: one thread a discard; there are seldom any, and they come one at a time.
//! Never here: a reactor.  It hears of the end by an eventfd that its ring reads.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// A discard on its thread.
pub(crate) struct Discarding {
    /// Readable when it has ended.
    pub(crate) done: Arc<OwnedFd>,
    result: Arc<AtomicI32>,
    /// Where the ring reads the eventfd's count to; it must not move.
    pub(crate) count: Box<u64>,
}

impl Discarding {
    /// Begins one.  `None` when the host gives no thread or descriptor.
    pub(crate) fn begin(file: &Arc<File>, offset: u64, bytes: u64) -> Option<Self> {
        let done = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).ok()?);
        let result = Arc::new(AtomicI32::new(0));
        let (file, theirs, told) = (Arc::clone(file), Arc::clone(&done), Arc::clone(&result));
        let work = move || {
            told.store(discard(&file, offset, bytes), Ordering::Release);
            let _ = rustix::io::write(&*theirs, &1_u64.to_ne_bytes());
        };
        std::thread::Builder::new().name("discard".into()).spawn(work).ok()?;
        Some(Self { done, result, count: Box::new(0) })
    }

    /// How it ended, once the eventfd has been read: 0 or a negative errno.
    pub(crate) fn result(&self) -> i32 {
        self.result.load(Ordering::Acquire)
    }
}

fn discard(file: &File, offset: u64, bytes: u64) -> i32 {
    // `_IO(0x12, 119)` of linux/fs.h.
    const BLKDISCARD: libc::Ioctl = 0x1277;
    let range = [offset, bytes];
    // SAFETY: the ioctl reads two numbers of 64 bits, and the descriptor is open.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), BLKDISCARD, range.as_ptr()) };
    if result >= 0 {
        return 0;
    }
    let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
    errno.raw_os_error().saturating_neg()
}

#[cfg(test)]
mod tests {
    use super::Discarding;
    use std::sync::Arc;

    #[test]
    fn the_end_of_a_discard_is_told_with_its_result() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let discarding = Discarding::begin(&file, 0, 4096).unwrap();
        let mut count = [0; 8];
        rustix::io::read(&*discarding.done, &mut count).unwrap();
        // ENOTTY: a file is no block device.
        assert_eq!((u64::from_ne_bytes(count), discarding.result()), (1, -25));
    }
}
