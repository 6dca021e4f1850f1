// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The directories that a daemon works in, and the claim on them.
//!
//! Above: `daemon`, at start.  Below: the file system.
//! Never here: what is in a file.

pub use translate::host::sync_directory;
pub use translate::live::{GUEST_SOCKETS, guest_socket};

use crate::predecessor::{self, Holder, NotLocked};
use crate::start_error::StartError;
use api::{Owner, SOCKET_NAME, SOCKET_PATH_BYTES_MAX, group_name};
use model::Wwn;
use nix::unistd::Group;
use rustix::fs::Mode;
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The group that guests' sockets are given where nobody names one, if the host has it.
pub const DEFAULT_SOCKET_GROUP: &str = "kvm";

/// What group members may do in the runtime directory: pass through it.
const RUNTIME_DIR_MODE: u32 = 0o710;

/// Where the API listens.
#[must_use]
pub fn api_socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(SOCKET_NAME)
}

/// A runtime directory that is ours as long as this lives.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    socket_group: Option<u32>,
    /// Holds the lock.
    _lock: File,
}

impl RuntimeDir {
    /// Makes and claims the directory, with its directory for guests' sockets.
    ///
    /// # Errors
    /// [`StartError::SocketPathTooLong`], [`StartError::RuntimeDir`], [`StartError::RuntimeDirInUse`],
    /// [`StartError::Dying`], [`StartError::NoSuchGroup`] or [`StartError::SocketGroup`].
    pub fn claim(path: &Path, socket_group: Option<&str>) -> Result<Self, StartError> {
        must_fit(path)?;
        let gid = find_group(socket_group)?;
        let fault = |source| runtime_dir_fault(path, source);
        let made = !path.exists();
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(fault)?;
        let lock = File::open(path).map_err(fault)?;
        predecessor::lock(&lock).map_err(|err| match err {
            NotLocked::By(Holder::Lives) => StartError::RuntimeDirInUse { path: path.to_owned() },
            NotLocked::By(Holder::Dying(process)) => {
                StartError::Dying { what: "runtime directory", path: path.to_owned(), process }
            }
            NotLocked::System(err) => fault(err.into()),
        })?;
        let guests = path.join(GUEST_SOCKETS);
        let guests_made = make_directory(&guests).map_err(|source| runtime_dir_fault(&guests, source))?;
        // A directory that somebody else prepared keeps its owner and mode: they meant something by it.
        for (directory, made) in [(path, made), (&guests, guests_made)] {
            if made {
                let mode = std::fs::Permissions::from_mode(RUNTIME_DIR_MODE);
                std::fs::set_permissions(directory, mode).map_err(fault)?;
                give_to_group(directory, gid, socket_group)?;
            }
        }
        Ok(Self { path: path.to_owned(), socket_group: gid, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the group that guests' sockets are given; `None` keeps the daemon's own.
    #[must_use]
    pub fn socket_group(&self) -> Option<u32> {
        self.socket_group
    }
}

fn runtime_dir_fault(path: &Path, source: io::Error) -> StartError {
    StartError::RuntimeDir { path: path.to_owned(), owner: Owner::of_nearest(path), source }
}

/// Every socket that will be bound must have a path that fits.  That of a guest is the longer one.
fn must_fit(runtime_dir: &Path) -> Result<(), StartError> {
    let longest = guest_socket(runtime_dir, &Wwn::made_up(0));
    let bytes = longest.as_os_str().len();
    if SOCKET_PATH_BYTES_MAX < bytes {
        let most = SOCKET_PATH_BYTES_MAX.saturating_sub(bytes.saturating_sub(runtime_dir.as_os_str().len()));
        return Err(StartError::SocketPathTooLong { path: longest, runtime_dir_bytes_max: most });
    }
    Ok(())
}

fn find_group(name: Option<&str>) -> Result<Option<u32>, StartError> {
    let find = |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    match name {
        None => Ok(find(DEFAULT_SOCKET_GROUP)),
        Some(name) => match find(name).or_else(|| name.parse().ok()) {
            Some(gid) => Ok(Some(gid)),
            None => Err(StartError::NoSuchGroup { name: name.to_owned() }),
        },
    }
}

/// Gives a path to the group; a group that nobody asked for by name is given up where we may not.
fn give_to_group(path: &Path, gid: Option<u32>, asked_for: Option<&str>) -> Result<(), StartError> {
    let Some(gid) = gid else { return Ok(()) };
    match std::os::unix::fs::chown(path, None, Some(gid)) {
        Err(source) if asked_for.is_some() => {
            Err(StartError::SocketGroup { path: path.to_owned(), group: group_name(gid), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes a directory that may be there already; says whether it was not.
fn make_directory(path: &Path) -> io::Result<bool> {
    match std::fs::DirBuilder::new().mode(RUNTIME_DIR_MODE).create(path) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(err) => Err(err),
    }
}

/// A state directory that is ours as long as this lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl StateDir {
    /// Makes the directory, private to us, claims it and checks that it can be written.
    ///
    /// # Errors
    /// [`StartError::StateDir`], [`StartError::StateDirInUse`] or [`StartError::Dying`].
    pub fn claim(path: &Path) -> Result<Self, StartError> {
        let fault =
            |source| StartError::StateDir { path: path.to_owned(), owner: Owner::of_nearest(path), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fault)?;
        let lock = File::open(path).map_err(fault)?;
        predecessor::lock(&lock).map_err(|err| match err {
            NotLocked::By(Holder::Lives) => StartError::StateDirInUse { path: path.to_owned() },
            NotLocked::By(Holder::Dying(process)) => {
                StartError::Dying { what: "state directory", path: path.to_owned(), process }
            }
            NotLocked::System(err) => fault(err.into()),
        })?;
        // Asked of the kernel by doing it: root, read-only mounts and access lists all answer truthfully.
        let probe = path.join(".probe");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(&probe).map_err(fault)?;
        std::fs::remove_file(&probe).map_err(fault)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses to have this very directory, by whatever path, as the runtime directory too: it is claimed already.
    ///
    /// # Errors
    /// [`StartError::OneDirectory`].
    pub fn must_not_be(&self, runtime_dir: &Path) -> Result<(), StartError> {
        let place = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        match place(runtime_dir) {
            Some(there) if place(&self.path) == Some(there) => {
                Err(StartError::OneDirectory { path: self.path.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// From now on what this process creates is private until it says otherwise.
pub fn keep_new_files_private() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_runtime_directory_leaves_room_for_a_guest() {
        // 107 bytes less "/vhost/naa.5001405000000000.sock".
        let fits = format!("/{}", "r".repeat(74));
        assert!(must_fit(Path::new(&fits)).is_ok());
        let longer = format!("/{}", "r".repeat(75));
        match must_fit(Path::new(&longer)) {
            Err(StartError::SocketPathTooLong { path, runtime_dir_bytes_max }) => {
                assert_eq!(path.as_os_str().len(), 108);
                assert_eq!(runtime_dir_bytes_max, 75);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_runtime_directory_is_claimed_once() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run");
        let first = RuntimeDir::claim(&path, None).unwrap();
        assert!(matches!(RuntimeDir::claim(&path, None), Err(StartError::RuntimeDirInUse { .. })));
        drop(first);
        assert!(RuntimeDir::claim(&path, None).is_ok());
    }

    #[test]
    fn a_runtime_directory_of_ours_lets_only_the_group_through() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run");
        let _claimed = RuntimeDir::claim(&path, None).unwrap();
        for directory in [path.clone(), path.join("vhost")] {
            assert_eq!(std::fs::metadata(directory).unwrap().permissions().mode() & 0o7777, 0o710);
        }
    }

    #[test]
    fn a_group_that_does_not_exist_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let err = RuntimeDir::claim(&scratch.path().join("run"), Some("no-such-group")).unwrap_err();
        assert_eq!(err.to_string(), "there is no group no-such-group");
    }

    #[test]
    fn a_state_directory_that_is_a_file_is_a_fault() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        std::fs::write(&path, "").unwrap();
        assert!(matches!(StateDir::claim(&path), Err(StartError::StateDir { .. })));
    }
}
