// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A point in time after which waiting is over, and waiting for a file descriptor until then.
//!
//! Above: everybody who waits.  Below: poll(2).
//! Never here: waiting without an end.

use crate::error::Error;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// When waiting ends.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    end: Instant,
}

impl Deadline {
    /// Ends `patience` from now.
    #[must_use]
    pub fn after(patience: Duration) -> Self {
        let start = Instant::now();
        Self { start, end: start + patience }
    }

    /// Returns how long is left; zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Returns whether it has passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Returns how long the wait has lasted so far.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Waits until `fd` can be read (or its other end is gone); returns whether that came in time.
pub(crate) fn wait_readable(fd: impl AsFd, deadline: &Deadline) -> Result<bool, Error> {
    loop {
        let mut polled = [PollFd::new(&fd, PollFlags::IN)];
        let timeout = Timespec::try_from(deadline.remaining()).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(0) if deadline.passed() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(Error::host("poll")(errno)),
        }
    }
}
