// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the command finds where: a view of the host's files of its own.
//!
//! Above: `run`.  Below: unshare(2), mount(2).
//! Never here: a change that anybody else sees, but for the directory where the tools keep what they keep.
//!
//! | place | what the command finds |
//! |---|---|
//! | `/sys/kernel/config` | the tree |
//! | `/etc/target`, `/etc/rtslib-fb-target`, `/var/target` | directories of the tools' own |
//! | `/run` | what is there, but for the locks and the daemon of targetcli |
//!
//! A place whose directory the host has not is made in a copy of its parent: a small file system in memory
//! with all that was there bound into it.

use super::tree::Tree;
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::CapabilitySet;
use shell::Failure;
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where LIO's tools look.
const PLACE: &str = "/sys/kernel/config";

/// Where targetcli keeps preferences, history and log: in the directory of the tools.
pub(crate) const HOME: &str = "home";

/// The directories of the tools: where they look, and what is there instead.
const DIRECTORIES: [(&str, &str, &str); 2] =
    [("/etc", "target", "etc/target"), ("/etc", "rtslib-fb-target", "etc/rtslib-fb-target")];

/// The same, where the host has it: nothing makes it.
const OLD_DIRECTORY: (&str, &str) = ("/var/target", "var/target");

/// What the command has to itself of `/run`: locks, which commands of several `lunar run` share, and what
/// belongs to the host's targetcli alone.
const RUN: &str = "/run";
const LOCKS: [&str; 2] = ["targetcli.lock", "rtslib_backstore.lock"];
const OF_HOST: [&str; 4] = ["targetcli.lock", "rtslib_backstore.lock", "targetclid.sock", "targetclid.pid"];

/// Moves this process, which must have one thread, to where the command finds Lunar.
pub(crate) fn enter(tree: &Tree, tools: &Path) -> Result<(), Failure> {
    let directory = std::env::current_dir();
    make(tools).map_err(|error| {
        Failure::new(format!("cannot use {}: {error}", tools.display()))
            .hint("--tools-dir names a directory for what the tools keep")
    })?;
    separate()?;
    arrange(tree, tools).map_err(|fault| Failure::new(fault.to_string()))?;
    tree.must_be_at(PLACE)?;
    // A tool that finds something missing asks for a module of the kernel, which would be the host's.  Whoever has
    // not the right to load one does not have it to give up.
    let _ = rustix::thread::remove_capability_from_bounding_set(CapabilitySet::SYS_MODULE);
    // What is there now, and not what was there.
    if let Ok(directory) = directory {
        let _ = std::env::set_current_dir(directory);
    }
    Ok(())
}

/// Makes the directory of the tools, for its owner alone.
fn make(tools: &Path) -> std::io::Result<()> {
    let below = DIRECTORIES.map(|(_, _, kept)| kept);
    for dir in below.into_iter().chain([OLD_DIRECTORY.1, "run", HOME]) {
        DirBuilder::new().recursive(true).mode(0o700).create(tools.join(dir))?;
    }
    for lock in LOCKS {
        std::fs::OpenOptions::new().create(true).append(true).open(tools.join("run").join(lock))?;
    }
    Ok(())
}

/// A mount namespace, and for those without the right to make one a user namespace in which they are root:
/// targetcli does nothing for anybody else.
fn separate() -> Result<(), Failure> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if user.is_root() && unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(|errno| {
        Failure::new(format!("cannot make a namespace for the command: {errno}"))
            .hint("run it as root, or allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone")
    })?;
    let map = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {} 1", user.as_raw())),
        ("gid_map", format!("0 {} 1", group.as_raw())),
    ];
    for (file, text) in map {
        std::fs::write(format!("/proc/self/{file}"), text)
            .map_err(|error| Failure::new(format!("cannot become root of a namespace: {error}")))?;
    }
    Ok(())
}

/// A mount that did not come about.
#[derive(Debug)]
struct Fault {
    place: PathBuf,
    errno: Errno,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot prepare {} for the command: {}", self.place.display(), self.errno)
    }
}

fn at(place: impl AsRef<Path>) -> impl Fn(Errno) -> Fault {
    let place = place.as_ref().to_owned();
    move |errno| Fault { place: place.clone(), errno }
}

fn arrange(tree: &Tree, tools: &Path) -> Result<(), Fault> {
    // Whatever the host mounts shows here, and nothing of this shows there.
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(at("/"))?;
    // Opened in this namespace, and before anything lies over it.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(tree.dir(), flags, Mode::empty()).map_err(at(tree.dir()))?;
    let tools = rustix::fs::open(tools, flags, Mode::empty()).map_err(at(tools))?;
    let kept = |name: &str| format!("/proc/self/fd/{}/{name}", tools.as_raw_fd());
    if !Path::new(PLACE).is_dir() {
        supplement("/sys/kernel", &[], &["config"])?;
        seal("/sys/kernel")?;
    }
    rustix::mount::mount_bind(format!("/proc/self/fd/{}", root.as_raw_fd()), PLACE).map_err(at(PLACE))?;

    let missing = DIRECTORIES.map(|(above, name, _)| (above, name));
    let missing: Vec<&str> = missing
        .into_iter()
        .filter(|(above, name)| !Path::new(above).join(name).is_dir())
        .map(|(_, name)| name)
        .collect();
    if !missing.is_empty() {
        supplement("/etc", &missing, &missing)?;
        seal("/etc")?;
    }
    for (above, name, instead) in DIRECTORIES {
        let place = Path::new(above).join(name);
        rustix::mount::mount_bind(kept(instead), &place).map_err(at(&place))?;
    }
    let (place, instead) = OLD_DIRECTORY;
    if Path::new(place).is_dir() {
        rustix::mount::mount_bind(kept(instead), place).map_err(at(place))?;
    }

    supplement(RUN, &OF_HOST, &[])?;
    for lock in LOCKS {
        let place = Path::new(RUN).join(lock);
        touch(&place).map_err(at(&place))?;
        rustix::mount::mount_bind(kept(&format!("run/{lock}")), &place).map_err(at(&place))?;
    }
    Ok(())
}

/// Lays a directory in memory over one that is there, with all that it has but for some names, and with some more
/// directories.
fn supplement(dir: &str, without: &[&str], with: &[&str]) -> Result<(), Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let before = rustix::fs::open(dir, flags, Mode::empty()).map_err(at(dir))?;
    let names: Vec<std::ffi::CString> = rustix::fs::Dir::read_from(&before)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect())
        .map_err(at(dir))?;
    rustix::mount::mount("lunar-run", dir, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")
        .map_err(at(dir))?;
    for name in names {
        let bytes = name.to_bytes();
        if [b".".as_slice(), b".."].contains(&bytes) || without.iter().any(|other| other.as_bytes() == bytes)
        {
            continue;
        }
        let place = Path::new(dir).join(OsStr::from_bytes(bytes));
        match take_along(&before, OsStr::from_bytes(bytes), &place) {
            // It went meanwhile.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(at(&place)(errno)),
        }
    }
    for name in with {
        let place = Path::new(dir).join(name);
        rustix::fs::mkdir(&place, Mode::from_raw_mode(0o755)).map_err(at(&place))?;
    }
    Ok(())
}

fn take_along(before: &std::os::fd::OwnedFd, name: &OsStr, place: &Path) -> Result<(), Errno> {
    let found = rustix::fs::statat(before, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let source = Path::new("/proc/self/fd").join(before.as_raw_fd().to_string()).join(name);
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Symlink => {
            let to = rustix::fs::readlinkat(before, name, Vec::new())?;
            return rustix::fs::symlink(to, place);
        }
        FileType::Directory => rustix::fs::mkdir(place, Mode::from_raw_mode(0o755))?,
        _ => touch(place)?,
    }
    rustix::mount::mount_bind_recursive(source, place)
}

fn touch(place: &Path) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(place, flags, Mode::from_raw_mode(0o600)).map(drop)
}

/// Nothing can be made in it: it would be gone with the command.
fn seal(dir: &str) -> Result<(), Fault> {
    let flags = MountFlags::RDONLY | MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount_remount(dir, flags, c"").map_err(at(dir))
}
