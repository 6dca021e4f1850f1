// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Getting into the file system, and out.
//!
//! Above: `lunard`.  Below: mount(2), `fuser`.
//! Never here: a request of the kernel.

use crate::fuse::{Door, Shared};
use crate::invalidate;
use crate::tree::Tree;
use fuser::{Config, Session, SessionACL};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;

/// Where the kernel's side of a file system is.
const DEVICE: &str = "/dev/fuse";

/// How the mount is listed.
const FILE_SYSTEM: &str = "fuse.lunard";

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
            let _ = rustix::mount::unmount(&self.dir, UnmountFlags::DETACH);
        }
    }
}

/// Mounts the tree on a directory, which is made if it is not there.  What a daemon left there that died is
/// taken away first.
///
/// # Errors
/// [`MountError`].
pub fn mount(tree: Tree, dir: &Path) -> Result<Mounted, MountError> {
    let dir = prepare(dir)?;
    let device = rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| MountError::Device { source: errno.into() })?;
    let fault = |source| MountError::Mount { dir: dir.clone(), source };
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let options = format!(
        "fd={},rootmode=40755,user_id={uid},group_id={gid},allow_other,default_permissions",
        device.as_raw_fd()
    );
    let options = CString::new(options).map_err(|_| fault(Errno::INVAL.into()))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    rustix::mount::mount("lunard", &dir, FILE_SYSTEM, flags, options.as_c_str())
        .map_err(|errno| fault(errno.into()))?;
    let (changed, changes) = channel();
    let mounted = Mounted { dir: dir.clone(), changed, gone: Arc::default() };
    let shared = Arc::new(Shared::new(tree));
    let door = Door(Arc::clone(&shared));
    // From here on `mounted` unmounts where something fails.
    let session = Session::from_fd(door, device, SessionACL::All, Config::default()).map_err(&fault)?;
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

/// Finds the directory, and takes away what dead daemons left on it.
fn prepare(dir: &Path) -> Result<PathBuf, MountError> {
    let fault = |source: io::Error| MountError::Directory { dir: dir.to_owned(), source };
    for _ in 0..STALE_MAX {
        match rustix::fs::stat(dir) {
            Err(Errno::NOTCONN | Errno::CONNABORTED) => {
                rustix::mount::unmount(dir, UnmountFlags::DETACH).map_err(|errno| fault(errno.into()))?;
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
