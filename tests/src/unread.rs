// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A pipe that is full and that nobody reads, for what is written there all the same.
//!
//! Above: the stories.  Below: the kernel's pipes.

use anyhow::Result;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, write};
use rustix::pipe::fcntl_setpipe_size;
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Stdio;

/// As small as the kernel makes a pipe, in bytes.
const SMALLEST: usize = 4096;

/// A pipe, of which this process has both ends.
#[derive(Debug)]
pub struct Unread {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Unread {
    /// One that is empty.
    pub fn new() -> Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        fcntl_setpipe_size(&writer, SMALLEST)?;
        Ok(Self { reader, writer })
    }

    /// The end where a child writes.
    pub fn end(&self) -> Result<Stdio> {
        Ok(Stdio::from(self.writer.try_clone()?))
    }

    /// Writes until there is no room.
    pub fn fill(&self) -> Result<()> {
        // A description of its own: whoever has the other one is not to find that it does not block.
        let path = format!("/proc/self/fd/{}", self.writer.as_fd().as_raw_fd());
        let own = open(path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty())?;
        loop {
            match write(&own, b"\n") {
                Err(Errno::AGAIN) => return Ok(()),
                written => drop(written?),
            }
        }
    }

    /// Reads all there is until every other writer has gone.
    pub fn read_to_the_end(self) -> Result<String> {
        let Self { mut reader, writer } = self;
        drop(writer);
        let mut text = Vec::new();
        reader.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
