// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a daemon does not start: one line for the administrator.
//!
//! Above: `main`, which prints it.  Below: nothing.
//! Never here: a fault of a running daemon.

pub use translate::host::plain;

use api::{Owner, SOCKET_PATH_BYTES_MAX};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// Why a daemon does not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message and the hint say what a variant and its fields are")]
pub enum StartError {
    #[error("there is no {what} directory")]
    NoDirectory { what: &'static str },
    #[error("cannot write to the state directory {}: {}", path.display(), plain(source))]
    StateDir { path: PathBuf, owner: Option<Owner>, source: io::Error },
    #[error("the state directory {} is in use by another lunard", path.display())]
    StateDirInUse { path: PathBuf },
    #[error("the database {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error(
        "the database {} was written by a newer lunard: it has version {version} of its layout, and lunard {} reads up \
         to version {readable}", path.display(), env!("CARGO_PKG_VERSION")
    )]
    Newer { path: PathBuf, version: u64, readable: u64 },
    #[error("cannot open the database {}: {what}", path.display())]
    Database { path: PathBuf, what: String, hint: Option<String> },
    #[error(
        "the path of a socket would be too long: {} has {} bytes, {SOCKET_PATH_BYTES_MAX} are possible",
        path.display(), path.as_os_str().len()
    )]
    SocketPathTooLong { path: PathBuf, runtime_dir_bytes_max: usize },
    #[error("cannot use the runtime directory {}: {}", path.display(), plain(source))]
    RuntimeDir { path: PathBuf, owner: Option<Owner>, source: io::Error },
    #[error("the runtime directory {} is in use by another lunard", path.display())]
    RuntimeDirInUse { path: PathBuf },
    #[error(
        "the {what} {} is held by process {process}, a lunard that was killed and waits for a disk that does not answer",
        path.display()
    )]
    Dying { what: &'static str, path: PathBuf, process: u32 },
    #[error("the state directory and the runtime directory are both {}", path.display())]
    OneDirectory { path: PathBuf },
    #[error("there is no group {name}")]
    NoSuchGroup { name: String },
    #[error("cannot give {} to group {group}: {}", path.display(), plain(source))]
    SocketGroup { path: PathBuf, group: String, source: io::Error },
    #[error("cannot listen on {at}: {}", plain(source))]
    Listen { at: String, source: io::Error },
    #[error("cannot bind {}: {}", path.display(), in_place(source))]
    ApiSocket { path: PathBuf, source: io::Error },
    #[error("cannot restore the configuration: {message}")]
    Restore { message: String, hint: Option<String> },
    #[error("{source}")]
    Reactor { source: reactor::StartError },
    #[error("{}", plain(source))]
    Configfs { source: configfs::MountError },
    #[error("cannot start: {}", plain(source))]
    Host { source: io::Error },
}

impl StartError {
    /// The way out, in one line without a full stop, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoDirectory { what } => format!("give --{what}-dir"),
            Self::StateDir { owner, source, .. } => another_directory(owner.as_ref(), source, "--state-dir"),
            Self::StateDirInUse { .. } => "stop it, or give this one another --state-dir".to_owned(),
            Self::Damaged { path, .. } => format!(
                "move it away ({}) to start empty, or put a copy back; {} may have the configuration",
                path.display(),
                path.with_file_name("saveconfig.json").display()
            ),
            Self::Newer { .. } => "nothing was changed; start the newer one, or give another --state-dir: what \
                                   `lunar saveconfig FILE` writes there, `lunar restoreconfig FILE` makes here"
                .to_owned(),
            Self::SocketPathTooLong { runtime_dir_bytes_max, .. } => {
                format!("choose a --runtime-dir of at most {runtime_dir_bytes_max} bytes")
            }
            Self::RuntimeDir { owner, source, .. } => {
                another_directory(owner.as_ref(), source, "--runtime-dir")
            }
            Self::RuntimeDirInUse { .. } => "stop it, or give this one another --runtime-dir".to_owned(),
            Self::Dying { .. } => {
                "its guests are still connected to it; start this one again when the disk answers".to_owned()
            }
            Self::OneDirectory { .. } => "give one of them another, by --state-dir or --runtime-dir".to_owned(),
            Self::NoSuchGroup { .. } => "create it, or choose another --socket-group".to_owned(),
            Self::SocketGroup { .. } => "run as root or as a member of that group".to_owned(),
            Self::ApiSocket { source, .. } => return hint_of_place(source).map(str::to_owned),
            Self::Restore { hint, .. } | Self::Database { hint, .. } => return hint.clone(),
            Self::Configfs { source: configfs::MountError::Taken { .. } } => {
                "unmount it, or give another --configfs".to_owned()
            }
            Self::Configfs { .. } => {
                "mounting takes /dev/fuse, and root or fusermount3 of the package fuse3; without --configfs all else is served".to_owned()
            }
            Self::Listen { .. } | Self::Reactor { .. } | Self::Host { .. } => return None,
        })
    }
}

/// What is wrong with the place of a socket.
pub(crate) fn in_place(err: &io::Error) -> String {
    match err.kind() {
        ErrorKind::AlreadyExists => "what is there is no socket".to_owned(),
        _ => plain(err),
    }
}

/// What can be done about it.
pub(crate) fn hint_of_place(err: &io::Error) -> Option<&'static str> {
    match err.kind() {
        ErrorKind::AddrInUse => Some("another process listens there; stop it, or use another --runtime-dir"),
        ErrorKind::AlreadyExists => Some("move it away"),
        _ => None,
    }
}

fn another_directory(owner: Option<&Owner>, err: &io::Error, option: &str) -> String {
    let other = format!("choose another {option}");
    way_out(owner, err).map_or_else(|| other.clone(), |way| format!("{way}, or {other}"))
}

/// What can be done about an error of a file or a directory that is of `owner`.
pub(crate) fn way_out(owner: Option<&Owner>, err: &io::Error) -> Option<String> {
    match err.kind() {
        ErrorKind::PermissionDenied => owner.map(|owner| format!("it is of {owner}: run as that user")),
        ErrorKind::ReadOnlyFilesystem => Some("mount the file system writable".to_owned()),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some("make room there".to_owned()),
        _ => None,
    }
}
