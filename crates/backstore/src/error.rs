// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong below, in two kinds: an operation that failed, and a thing that does not open.
//!
//! Above: `target` turns the first into sense, `lunard` the second into one line for the administrator.
//! Below: errno.
//! Never here: SCSI, and users or groups.

use rustix::io::Errno;
use std::path::PathBuf;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackstoreError {
    /// The medium did not give the data.
    #[error("the read failed")]
    ReadFailed,
    /// The medium did not take the data, or did not make it durable.
    #[error("the write failed")]
    WriteFailed,
    /// The file system is full, or a quota is used up.
    #[error("no space is left")]
    NoSpace,
    /// The medium does not take writes (any more).
    #[error("the medium is read-only")]
    ReadOnly,
    /// The device has gone.
    #[error("the device is gone")]
    Gone,
    /// The host is short of memory, or we asked for something it does not do.
    #[error("the host cannot do it")]
    Internal,
}

impl BackstoreError {
    pub(crate) fn from_errno(errno: Errno, writing: bool) -> Self {
        match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::NoSpace,
            Errno::ROFS | Errno::PERM | Errno::BADF if writing => Self::ReadOnly,
            Errno::NODEV | Errno::NXIO | Errno::NOMEDIUM | Errno::SHUTDOWN => Self::Gone,
            Errno::NOMEM | Errno::FAULT | Errno::INVAL | Errno::OPNOTSUPP => Self::Internal,
            _ if writing => Self::WriteFailed,
            _ => Self::ReadFailed,
        }
    }
}

/// Why a file or device did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing is at the path.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// Someone else has it.
    #[error("{0} is already in use")]
    Busy(PathBuf),
    /// It is a directory.
    #[error("{0} is a directory")]
    Directory(PathBuf),
    /// It is not what this kind of backstore takes.
    #[error("{path} is not {wanted}")]
    WrongType {
        /// The path.
        path: PathBuf,
        /// What it should be, with its article.
        wanted: &'static str,
    },
    /// It may not be opened.
    #[error("permission to open {0} is denied")]
    Denied(PathBuf),
    /// It is read-only, and the backstore must write.
    #[error("{0} is read-only")]
    ReadOnly(PathBuf),
    /// It is too small to hold a block.
    #[error("{path} is too small: {bytes} bytes")]
    TooSmall {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// A new file cannot be given the wanted length.
    #[error("cannot expand {path} to {bytes} bytes: {errno}")]
    NoSpace {
        /// The path.
        path: PathBuf,
        /// The length wanted.
        bytes: u64,
        /// What the file system said.
        errno: Errno,
    },
    /// The device's description in sysfs is not there or makes no sense.
    #[error("cannot tell what the device {path} is like: {what}")]
    Undescribed {
        /// The path.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// Anything else the system says.
    #[error("cannot open {path}: {errno}")]
    System {
        /// The path.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
}

impl OpenError {
    pub(crate) fn from_errno(path: &std::path::Path, errno: Errno) -> Self {
        let path = path.to_path_buf();
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NXIO | Errno::NODEV => Self::Missing(path),
            Errno::BUSY | Errno::WOULDBLOCK | Errno::TXTBSY => Self::Busy(path),
            Errno::ISDIR => Self::Directory(path),
            Errno::ACCESS | Errno::PERM => Self::Denied(path),
            Errno::ROFS => Self::ReadOnly(path),
            _ => Self::System { path, errno },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BackstoreError;
    use rustix::io::Errno;

    #[test]
    fn an_errno_says_what_failed() {
        for (errno, writing, wanted) in [
            (Errno::IO, false, BackstoreError::ReadFailed),
            (Errno::IO, true, BackstoreError::WriteFailed),
            (Errno::NOSPC, true, BackstoreError::NoSpace),
            (Errno::DQUOT, true, BackstoreError::NoSpace),
            (Errno::ROFS, true, BackstoreError::ReadOnly),
            (Errno::NODEV, false, BackstoreError::Gone),
            (Errno::NOMEM, false, BackstoreError::Internal),
            (Errno::TIMEDOUT, true, BackstoreError::WriteFailed),
        ] {
            assert_eq!(BackstoreError::from_errno(errno, writing), wanted, "{errno:?} writing: {writing}");
        }
    }
}
