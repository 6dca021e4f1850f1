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
    /// The way to the device is lost; another way may do.
    #[error("the device cannot be reached")]
    Unreachable,
    /// The device did not answer in time.
    #[error("the device does not answer")]
    TimedOut,
    /// Somebody else on the device's own network has it reserved.
    #[error("the device is reserved by somebody else")]
    Reserved,
    /// What came is not what its protection information says.
    #[error("the protection information does not fit")]
    Unprotected,
    /// The device takes nothing more just now.
    #[error("the device is busy")]
    Busy,
    /// The host is short of memory, or we asked for something that it or the device does not do.
    #[error("the host cannot do it")]
    Internal,
}

impl BackstoreError {
    /// Whether a write that failed so may have been told of what befell an earlier one, which was answered before it was
    /// durable: the kernel tells that once for each open file, with whatever errno it was.  To be told of a loss that was
    /// none is better than of none that was one, so that only what is refused before anything is written is not.
    #[must_use]
    pub fn may_be_anothers(self) -> bool {
        !matches!(self, Self::ReadFailed | Self::ReadOnly | Self::Busy)
    }

    /// What an errno of a file, or of the kernel's block layer, means; `writing` is everything but a read.
    #[must_use]
    pub fn from_errno(errno: Errno, writing: bool) -> Self {
        match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::NoSpace,
            Errno::ROFS | Errno::PERM | Errno::BADF if writing => Self::ReadOnly,
            Errno::NODEV | Errno::NXIO | Errno::NOMEDIUM | Errno::SHUTDOWN => Self::Gone,
            // From here on they are the block layer's: what it calls "recoverable transport", "timeout" and so on.
            Errno::NOLINK => Self::Unreachable,
            Errno::TIMEDOUT | Errno::TIME => Self::TimedOut,
            Errno::BADE => Self::Reserved,
            Errno::ILSEQ => Self::Unprotected,
            Errno::AGAIN => Self::Busy,
            Errno::NOMEM | Errno::FAULT | Errno::INVAL | Errno::OPNOTSUPP | Errno::REMOTEIO => Self::Internal,
            // EIO and ENODATA, "I/O" and "critical medium", and what nobody has a name for.
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
        use BackstoreError::{
            Busy, Gone, Internal, NoSpace, ReadFailed, ReadOnly, Reserved, TimedOut, Unprotected,
            Unreachable, WriteFailed,
        };
        for (errno, read, write) in [
            (Errno::IO, ReadFailed, WriteFailed),
            (Errno::NODATA, ReadFailed, WriteFailed),
            (Errno::ILSEQ, Unprotected, Unprotected),
            (Errno::NOSPC, NoSpace, NoSpace),
            (Errno::DQUOT, NoSpace, NoSpace),
            (Errno::ROFS, ReadFailed, ReadOnly),
            (Errno::NODEV, Gone, Gone),
            (Errno::NXIO, Gone, Gone),
            (Errno::NOLINK, Unreachable, Unreachable),
            (Errno::TIMEDOUT, TimedOut, TimedOut),
            (Errno::TIME, TimedOut, TimedOut),
            (Errno::REMOTEIO, Internal, Internal),
            (Errno::BADE, Reserved, Reserved),
            (Errno::AGAIN, Busy, Busy),
            (Errno::NOMEM, Internal, Internal),
        ] {
            let told = [false, true].map(|writing| BackstoreError::from_errno(errno, writing));
            assert_eq!(told, [read, write], "{errno:?}");
        }
    }
}
