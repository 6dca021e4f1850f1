// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Getting into the file system, and out.
//!
//! Above: `lunard`.  Below: mount(2), `fuser`.
//! Never here: a request of the kernel.

use crate::fuse::{Door, Shared};
use crate::invalidate;
use crate::tree::Tree;
use fuser::{Config, MountOption, Session, SessionACL};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;

/// Where the kernel's side of a file system is.
const DEVICE: &str = "/dev/fuse";

/// How the mount is listed: `lunar run` looks for this.
const SOURCE: &str = "lunard";
const FILE_SYSTEM: &str = "fuse.lunard";

/// Mounts and unmounts for ordinary users.
const HELPER: &str = "fusermount3";

/// What statfs(2) says of FUSE.
const FUSE_MAGIC: u64 = 0x6573_5546;

/// How many mounts of dead daemons may lie over one another.
const STALE_MAX: usize = 64;

/// Why the tree is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The directory cannot be used.
    #[error("cannot use {}: {source}", dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another file system of this kind is there.
    #[error("something is mounted on {} already", dir.display())]
    Taken {
        /// Where.
        dir: PathBuf,
    },
    /// The kernel gives no file system.
    #[error("cannot open {DEVICE}: {source}")]
    Device {
        /// Why.
        source: io::Error,
    },
    /// It cannot be mounted by an ordinary user.
    #[error("cannot mount on {} as an ordinary user: {source}", dir.display())]
    Helper {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be mounted.
    #[error("cannot mount on {}: {source}", dir.display())]
    Mount {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The mounted tree; it goes with this value.
#[derive(Debug)]
pub struct Mounted {
    dir: PathBuf,
    changed: Sender<()>,
    gone: Arc<AtomicBool>,
}

impl Mounted {
    /// The directory that it is mounted on, absolute and without links.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tells that the configuration has changed.  Never waits.
    pub fn changed(&self) -> impl Fn() + Send + Sync + 'static {
        let changed = self.changed.clone();
        move || {
            // Without a receiver the mount is gone, and nobody remembers anything.
            let _ = changed.send(());
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever is still in it is answered with an error once the daemon has ended.
        if !self.gone.swap(true, Ordering::SeqCst) {
            let _ = unmount(&self.dir);
        }
    }
}

/// Takes a mount away, whoever is still in it.
fn unmount(dir: &Path) -> io::Result<()> {
    match rustix::mount::unmount(dir, UnmountFlags::DETACH) {
        Err(Errno::PERM) => {
            let mut helper = Command::new(HELPER);
            helper.args(["-u", "-z", "-q", "--"]).arg(dir);
            helper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let ended = helper.status()?;
            if ended.success() { Ok(()) } else { Err(Errno::PERM.into()) }
        }
        done => Ok(done?),
    }
}

/// Mounts the tree on a directory, which is made if it is not there.  What a daemon left there that died is
/// taken away first.
///
/// Whoever may mount mounts for everybody, within the modes of the files.  An ordinary user has fusermount3 mount, for
/// himself alone.
///
/// # Errors
/// [`MountError`].
pub fn mount(tree: Tree, dir: &Path) -> Result<Mounted, MountError> {
    let dir = prepare(dir)?;
    let fault = |source| MountError::Mount { dir: dir.clone(), source };
    let (changed, changes) = channel();
    let shared = Arc::new(Shared::new(tree));
    let door = Door(Arc::clone(&shared));
    let (session, mounted) = match mount_for_all(&dir) {
        Ok(device) => {
            // From here on `mounted` unmounts where something fails.
            let mounted = Mounted { dir: dir.clone(), changed, gone: Arc::default() };
            let session =
                Session::from_fd(door, device, SessionACL::All, Config::default()).map_err(&fault)?;
            (session, mounted)
        }
        Err(denied) if denied.is_for_want_of_rights() => {
            let session = mount_for_user(door, &dir)?;
            (session, Mounted { dir: dir.clone(), changed, gone: Arc::default() })
        }
        Err(error) => return Err(error),
    };
    let notifier = session.notifier();
    let weak = Arc::downgrade(&shared);
    drop(shared);
    let told = move || invalidate::run(&weak, &notifier, &changes);
    Builder::new().name("configfs-forget".to_owned()).spawn(told).map_err(&fault)?;
    let gone = Arc::clone(&mounted.gone);
    let serve = move || {
        let ended = session.run();
        if !gone.swap(true, Ordering::SeqCst) {
            match ended {
                Ok(()) => tracing::warn!("configfs: {} is not mounted any more", dir.display()),
                Err(err) => tracing::error!("configfs: {} is not served any more: {err}", dir.display()),
            }
        }
    };
    let fault = |source| MountError::Mount { dir: mounted.dir.clone(), source };
    Builder::new().name("configfs".to_owned()).spawn(serve).map_err(fault)?;
    Ok(mounted)
}

impl MountError {
    fn is_for_want_of_rights(&self) -> bool {
        match self {
            Self::Device { source } | Self::Mount { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root()
            }
            Self::Directory { .. } | Self::Taken { .. } | Self::Helper { .. } => false,
        }
    }
}

/// Mounts it, and returns the kernel's side of it.
fn mount_for_all(dir: &Path) -> Result<OwnedFd, MountError> {
    let device = rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| MountError::Device { source: errno.into() })?;
    let fault = |errno: Errno| MountError::Mount { dir: dir.to_owned(), source: errno.into() };
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let options = format!(
        "fd={},rootmode=40755,user_id={uid},group_id={gid},allow_other,default_permissions",
        device.as_raw_fd()
    );
    let options = CString::new(options).map_err(|_| fault(Errno::INVAL))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    rustix::mount::mount(SOURCE, dir, FILE_SYSTEM, flags, options.as_c_str()).map_err(fault)?;
    Ok(device)
}

/// Has the helper mount it, which lets nobody else in, not even root.
fn mount_for_user(door: Door, dir: &Path) -> Result<Session<Door>, MountError> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(SOURCE.to_owned()),
        MountOption::Subtype(SOURCE.to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoExec,
        MountOption::NoAtime,
    ];
    Session::new(door, dir, &config).map_err(|source| {
        // What the helper says ends in a line.
        let source = io::Error::new(source.kind(), source.to_string().trim_end().to_owned());
        MountError::Helper { dir: dir.to_owned(), source }
    })
}

/// Finds the directory, and takes away what dead daemons left on it.
fn prepare(dir: &Path) -> Result<PathBuf, MountError> {
    let fault = |source: io::Error| MountError::Directory { dir: dir.to_owned(), source };
    for _ in 0..STALE_MAX {
        // The kernel may remember what stat(2) says of a dead one, and it asks for what statfs(2) says.
        match rustix::fs::stat(dir).and_then(|_| rustix::fs::statfs(dir)) {
            Err(Errno::NOTCONN | Errno::CONNABORTED) => {
                unmount(dir).map_err(fault)?;
            }
            Err(Errno::NOENT) => std::fs::create_dir_all(dir).map_err(fault)?,
            Err(errno) => return Err(fault(errno.into())),
            Ok(_) => break,
        }
    }
    let dir = dir.canonicalize().map_err(fault)?;
    let here = rustix::fs::stat(&dir)
        .map_err(|errno| MountError::Directory { dir: dir.clone(), source: errno.into() })?;
    let above = dir.parent().map(rustix::fs::stat);
    let is_mount_point = above.is_some_and(|above| above.is_ok_and(|above| above.st_dev != here.st_dev));
    let is_fuse = rustix::fs::statfs(&dir).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(FUSE_MAGIC));
    if is_mount_point && is_fuse {
        return Err(MountError::Taken { dir });
    }
    Ok(dir)
}
