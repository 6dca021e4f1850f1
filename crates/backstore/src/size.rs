// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How large an open file or device is now.
//!
//! Above: `file`, `block`.  Below: the kernel.
//! Never here: what a size means to a guest.

use rustix::fs::{self, FileType, SeekFrom};
use std::fs::File;
use std::io;

/// The length of a file or the capacity of a device, in bytes.
pub(crate) fn bytes_of(file: &File) -> io::Result<u64> {
    let stat = fs::fstat(file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        // All I/O says where, so nobody minds that the position moves.
        FileType::BlockDevice => Ok(fs::seek(file, SeekFrom::End(0))?),
        _ => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
    }
}
