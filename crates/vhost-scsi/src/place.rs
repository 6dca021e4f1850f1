// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The place of a socket in the file system.
//!
//! Above: `endpoint`; `lunard`, for its own socket.  Below: the file system.
//! Never here: who connects.

use rustix::fs::{Mode, OFlags, Stat, fstat, lstat, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The longest path of a socket, in bytes: what the kernel's address holds besides its final zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The name of a socket that was bound here.  Dropped, it goes, unless something else has it by then.
#[derive(Debug)]
pub struct SocketName {
    path: PathBuf,
    /// What has the name: as long as this is open, nothing else is given its number.
    bound: OwnedFd,
}

impl SocketName {
    /// Binds a socket.  One that a process left behind when it died is taken over.
    ///
    /// # Errors
    /// What the system says; `EADDRINUSE` when someone listens there; `EEXIST` when what is there is no socket, which is left
    /// alone; `InvalidInput` when the path is longer than [`SOCKET_PATH_BYTES_MAX`].
    pub fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        make_free(path)?;
        let listener = UnixListener::bind(path)?;
        let bound = open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .inspect_err(|_| drop(std::fs::remove_file(path)))?;
        Ok((listener, Self { path: path.to_owned(), bound }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_there(&self) -> bool {
        let same = |a: Stat, b: Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        fstat(&self.bound).is_ok_and(|bound| lstat(&self.path).is_ok_and(|there| same(bound, there)))
    }
}

impl Drop for SocketName {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes room for a socket: one that nobody listens to goes, and anything else stays.
fn make_free(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => Err(Errno::EXIST.into()),
        Ok(_) if is_listened_to(path)? => Err(Errno::ADDRINUSE.into()),
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a process has a socket, which may be too busy to accept: nobody waits for that.
fn is_listened_to(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&probe, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::SocketName;

    #[test]
    fn a_name_that_somebody_else_has_by_now_is_left_to_him() {
        let scratch = tempfile::tempdir().unwrap();
        let place = scratch.path().join("socket");
        let (listener, name) = SocketName::bind(&place).unwrap();
        drop((listener, name));
        assert!(!place.exists());
        let (listener, name) = SocketName::bind(&place).unwrap();
        // Gone, so that its number would be free for the next file.
        std::fs::remove_file(&place).unwrap();
        drop(listener);
        std::fs::write(&place, "needed").unwrap();
        drop(name);
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "needed");
        std::fs::remove_file(&place).unwrap();
        let (_, name) = SocketName::bind(&place).unwrap();
        std::fs::remove_file(&place).unwrap();
        let (_, theirs) = SocketName::bind(&place).unwrap();
        drop(name);
        assert!(place.exists());
        drop(theirs);
        assert!(!place.exists());
    }
}
