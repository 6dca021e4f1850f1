// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The region that survives the back end: the front end asks for it once and hands it back at every start.
//!
//! Above: `guest`, tests that look into it.  Below: `connection`.
//! Never here: its layout, which is the back end's affair.

use super::Connection;
use crate::error::Error;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use vhost::vhost_user::VhostUserFrontend;
use vhost::vhost_user::message::VhostUserInflight;

/// The inflight region of a device, as its front end holds it.
#[derive(Debug)]
pub struct Inflight {
    /// Length of the region.
    pub bytes: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// Queues it serves.
    pub queues: u16,
    /// Entries of each.
    pub entries: u16,
    file: File,
}

impl Inflight {
    /// Copies bytes of the region out.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.file
            .read_exact_at(out, self.offset + offset)
            .map_err(|source| Error::Host { what: "reading the inflight region", source })
    }

    /// Changes bytes of the region, as a hostile front end may.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.file
            .write_all_at(data, self.offset + offset)
            .map_err(|source| Error::Host { what: "writing the inflight region", source })
    }

    /// Returns the file that holds it.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    fn describe(&self) -> VhostUserInflight {
        VhostUserInflight::new(self.bytes, self.offset, self.queues, self.entries)
    }
}

impl Connection {
    /// Sends GET_INFLIGHT_FD for `queues` of `entries`.
    ///
    /// # Errors
    /// As [`Connection::features`]; [`Error::MalformedReply`] for an empty region.
    pub fn inflight(&mut self, queues: u16, entries: u16) -> Result<Inflight, Error> {
        const MESSAGE: &str = "GET_INFLIGHT_FD";
        let wanted = VhostUserInflight::new(0, 0, queues, entries);
        let (got, file) = self.call(MESSAGE, false, |frontend| frontend.get_inflight_fd(&wanted))?;
        if got.mmap_size == 0 {
            return Err(Error::MalformedReply { message: MESSAGE, detail: "the region is empty" });
        }
        Ok(Inflight { bytes: got.mmap_size, offset: got.mmap_offset, queues, entries, file })
    }

    /// Sends SET_INFLIGHT_FD.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_inflight(&mut self, inflight: &Inflight) -> Result<(), Error> {
        let (described, fd) = (inflight.describe(), inflight.file.as_raw_fd());
        self.call("SET_INFLIGHT_FD", false, |frontend| frontend.set_inflight_fd(&described, fd))
    }
}
