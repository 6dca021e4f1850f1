// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The place of a socket in the file system.
//!
//! Above: `endpoint`; `lunard`, for its own socket.  Below: the file system.
//! Never here: who connects.

use rustix::fs::{Mode, OFlags, Stat, fstat, lstat, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{bind, connect, listen, socket_with};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The longest path of a socket, in bytes: what the kernel's address holds besides its final zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// How many may wait to be accepted: as many as the host lets (`net.core.somaxconn`).
const BACKLOG: i32 = -1;

/// The sockets that there are: a line for each, whose eighth word is where it was bound.
const SOCKETS: &str = "/proc/net/unix";
const WORDS_BEFORE: usize = 7;

/// The name of a socket that was bound here.  Dropped, it goes, unless something else has it by then.
#[derive(Debug)]
pub struct SocketName {
    path: PathBuf,
    /// What has the name: as long as this is open, nothing else is given its number.
    bound: OwnedFd,
}

impl SocketName {
    /// Binds a socket and listens.  One that a process left behind when it died is taken over.
    ///
    /// # Errors
    /// What the system says; `EADDRINUSE` when someone listens there; `EEXIST` when what is there is no socket, which is left
    /// alone; `InvalidInput` when the path is longer than [`SOCKET_PATH_BYTES_MAX`].
    pub fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        let (socket, name) = Self::take(path)?;
        Ok((listen_on(socket)?, name))
    }

    /// Binds a socket where nobody can connect yet: [`listen_on`] it.
    ///
    /// # Errors
    /// Those of [`SocketName::bind`].
    pub fn take(path: &Path) -> io::Result<(OwnedFd, Self)> {
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        make_free(path)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        let bound = open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .inspect_err(|_| drop(std::fs::remove_file(path)))?;
        Ok((socket, Self { path: path.to_owned(), bound }))
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

/// Begins to let processes connect to a socket that was bound.
///
/// # Errors
/// What the system says.
pub fn listen_on(socket: OwnedFd) -> io::Result<UnixListener> {
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
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
        // It is of another user.
        Err(Errno::ACCESS) => Ok(is_bound_in(&std::fs::read(SOCKETS)?, path)),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a process has a socket bound at this file, as far as these lines say.  They have the path that it gave, which may be
/// another one to the same file; of a relative one only the last part is known.
fn is_bound_in(sockets: &[u8], path: &Path) -> bool {
    let place = |path: &Path| lstat(path).map(|there| (there.st_dev, there.st_ino)).ok();
    let bound = sockets.split(|&byte| byte == b'\n').filter_map(bound_at);
    bound
        .filter(|bound| bound.file_name() == path.file_name())
        .any(|bound| bound.is_relative() || place(bound) == place(path))
}

/// Where the socket of a line was bound; `None` where it was not, or is in no file system.
fn bound_at(line: &[u8]) -> Option<&Path> {
    let mut rest = line;
    for _ in 0..WORDS_BEFORE {
        rest = rest.trim_ascii_start();
        rest = rest.get(rest.iter().position(u8::is_ascii_whitespace)?..)?;
    }
    let name = rest.strip_prefix(b" ").filter(|name| !name.starts_with(b"@"))?;
    Some(Path::new(OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use super::{SocketName, is_bound_in};
    use std::path::Path;

    #[test]
    fn who_has_a_socket_is_known_by_whatever_path_he_gave() {
        let scratch = tempfile::tempdir().unwrap();
        let (here, there) = (scratch.path().join("here"), scratch.path().join("there"));
        std::fs::create_dir_all(here.join("of two words")).unwrap();
        std::fs::create_dir(&there).unwrap();
        std::os::unix::fs::symlink(&here, scratch.path().join("link")).unwrap();
        let place = here.join("of two words/api.sock");
        for path in [&place, &there.join("api.sock"), &here.join("other.sock")] {
            std::fs::write(path, "").unwrap();
        }
        let lines = |path: &Path| {
            format!(
                "Num       RefCount Protocol Flags    Type St Inode Path\n\
                 0000000000000000: 00000003 00000000 00000000 0001 03 12345\n\
                 0000000000000000: 00000002 00000000 00010000 0001 01 23456 @/tmp/api.sock\n\
                 0000000000000000: 00000002 00000000 00010000 0001 01 34567 {}\n",
                path.display()
            )
        };
        let is_bound = |path: &Path| is_bound_in(lines(path).as_bytes(), &place);
        assert!(is_bound(&place));
        assert!(is_bound(&scratch.path().join("link/of two words/api.sock")));
        assert!(is_bound(Path::new("api.sock")) && is_bound(Path::new("run/api.sock")), "nobody knows");
        assert!(!is_bound(&there.join("api.sock")));
        assert!(!is_bound(&here.join("other.sock")));
        assert!(!is_bound(Path::new("")), "it has no name");
    }

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
