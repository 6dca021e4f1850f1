// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Failures below, in the administrator's words: targetcli's, where it has one.
//!
//! Above: `running`, `medium`.  Below: `backstore`'s errors.
//! Never here: trying again.

use crate::machine::{Fault, FaultKind};
use crate::start_error::{hint_of_place, in_place, plain};
use backstore::{BackstoreError, OpenError};
use model::{Attribute, BackstoreId, Key, Kind, TpgTag, Wwn};
use nix::unistd::{Gid, Group, Uid, User};
use rustix::io::Errno;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use vhost_scsi::SOCKET_PATH_BYTES_MAX;

fn caller(message: String, hint: Option<String>) -> Fault {
    Fault { message, hint, kind: FaultKind::Caller, errno: Errno::INVAL }
}

/// The fault of a new file without a size.
pub(super) fn needs_size() -> Fault {
    caller(
        "Attempting to create file for new fileio backstore, need a size".into(),
        Some("say how large it is to be, such as size=10G".into()),
    )
}

/// The fault of a new file that would end within a block.
pub(super) fn not_whole_blocks(path: &str, bytes: u64, block_bytes: u32) -> Fault {
    caller(
        format!("{path} cannot have {bytes} bytes, which is not a whole number of {block_bytes}-byte blocks"),
        Some(format!("the next smaller size is {}", bytes - bytes % u64::from(block_bytes))),
    )
}

/// The fault of a logical block smaller than what the medium reads and writes at once.
pub(super) fn block_within_sector(id: &BackstoreId, block_bytes: u32, sector_bytes: u32) -> Fault {
    caller(
        format!("{id} cannot have blocks of {block_bytes} bytes: its sectors have {sector_bytes}"),
        Some(format!("set block_size to {sector_bytes}, or to a multiple of it")),
    )
}

/// The fault of an attribute that would say more than the medium can do with space.
pub(super) fn beyond_medium(id: &BackstoreId, key: Key) -> Fault {
    let what = match key {
        Key::UnmapZeroesData => "what its medium was given back does not read as zeroes",
        _ => "its medium cannot give space back",
    };
    let hint = "leave it 0; a file can where its file system punches holes, a device where it discards";
    let message = format!("attribute {} of {id} cannot be 1: {what}", Attribute::of(key).name);
    Fault { errno: Errno::NOSYS, ..caller(message, Some(hint.into())) }
}

/// The fault of a size for what is not there.
pub(super) fn missing_fault(id: &BackstoreId) -> Fault {
    let hint = Some("it is served again as soon as its file or device is there".into());
    Fault { errno: Errno::NODEV, ..caller(format!("{id} is missing and cannot be resized"), hint) }
}

/// The fault of what somebody else has deleted meanwhile.
pub(super) fn deleted(id: &BackstoreId) -> Fault {
    Fault { errno: Errno::NODEV, ..caller(format!("{id} is not there any more"), None) }
}

/// The fault of taking out what cannot be taken out.
pub(super) fn not_removable(id: &BackstoreId) -> Fault {
    let hint = Some("set attribute emulate_removable=1 while no LUN shows it".into());
    caller(format!("the medium of {id} cannot be taken out"), hint)
}

/// The fault of taking out what a guest keeps in.
pub(super) fn kept_in(id: &BackstoreId, initiator: Option<&str>) -> Fault {
    let by = initiator.unwrap_or("a guest");
    let hint = Some("unmount it in the guest, or take it out with force=true".into());
    Fault { errno: Errno::BUSY, ..caller(format!("{by} keeps the medium of {id} in"), hint) }
}

/// The fault of a medium that is out, while commands that were under way wait for a disk.
pub(super) fn still_busy(id: &BackstoreId) -> Fault {
    let hint = Some("nothing new reaches it; eject again waits for them again".into());
    let message = format!("the medium of {id} is out, and commands from before still wait for its disk");
    Fault { errno: Errno::BUSY, ..caller(message, hint) }
}

/// The fault of a medium that is out, and whose cache could not be written.
pub(super) fn not_flushed(id: &BackstoreId, error: BackstoreError) -> Fault {
    let message = format!("the medium of {id} is out, and not all that was written is durable: {error}");
    Fault { message, hint: None, kind: FaultKind::Host, errno: Errno::IO }
}

/// The fault of what would be forgotten.
pub(super) fn not_kept(id: &BackstoreId) -> Fault {
    let hint = Some("nothing was changed; see to the file system of the state directory".into());
    let message = format!("where the medium of {id} is cannot be kept");
    Fault { message, hint, kind: FaultKind::Host, errno: Errno::IO }
}

/// The fault of a size that is asked for while the file is still to be cut to the last one.
pub(super) fn being_cut(id: &BackstoreId) -> Fault {
    let hint = Some("what guests have in flight beyond its end is waited for; try again".into());
    Fault { errno: Errno::BUSY, ..caller(format!("{id} is being made smaller"), hint) }
}

/// The fault of a smaller size for what is being freed of its contents, up to its old end.
pub(super) fn being_sanitized(id: &BackstoreId) -> Fault {
    let hint = Some("it cannot be made smaller before its SANITIZE has ended; try again then".into());
    Fault { errno: Errno::BUSY, ..caller(format!("{id} is being sanitized for a guest"), hint) }
}

/// The fault of what a guest began to have freed of its contents before it could be cut.
pub(super) fn sanitized_before_the_cut(id: &BackstoreId) -> Fault {
    let hint =
        Some("a guest has it sanitized: it has its old size again; try again when that has ended".into());
    Fault { errno: Errno::BUSY, ..caller(format!("{id} was not cut"), hint) }
}

/// The fault of a file that does not become shorter.
pub(super) fn not_cut(id: &BackstoreId, error: &std::io::Error) -> Fault {
    let hint = Some("the file has its old size, and its guests are shown it again".into());
    let message = format!("{id} cannot be cut: {}", plain(error));
    Fault { message, hint, kind: FaultKind::Host, errno: Errno::IO }
}

/// The fault of what was taken away before it could be cut.
pub(super) fn gone_before_the_cut(id: &BackstoreId) -> Fault {
    let hint =
        Some("it was deleted, or its medium went, while what guests had in flight was waited for".into());
    Fault { errno: Errno::BUSY, ..caller(format!("{id} was not cut"), hint) }
}

/// The fault of a medium whose size nobody can find out.
pub(super) fn cannot_look(id: &BackstoreId, error: &std::io::Error) -> Fault {
    caller(format!("the size of {id} cannot be looked at: {}", plain(error)), None)
}

/// The fault of a device that is larger than what is to be shown of it.
pub(super) fn device_is_larger(id: &BackstoreId, wanted: u64, now: u64) -> Fault {
    caller(
        format!("{id} cannot have {wanted} bytes: its device has {now}"),
        Some("make the device smaller first, for instance by lvreduce: guests see what it has".into()),
    )
}

/// The fault of a device that has not the size that is asked for.
pub(super) fn device_is_smaller(id: &BackstoreId, wanted: u64, now: u64) -> Fault {
    caller(
        format!("{id} cannot have {wanted} bytes: its device has {now}"),
        Some("make the device larger first; it is noticed by itself".into()),
    )
}

/// The fault of a file or device that does not open.
pub(super) fn open_fault(kind: Kind, error: OpenError) -> Fault {
    let errno = errno_of(&error);
    Fault { errno, ..open_fault_in_words(kind, error) }
}

fn errno_of(error: &OpenError) -> Errno {
    match error {
        OpenError::Missing(_) => Errno::NOENT,
        OpenError::Busy(_) => Errno::BUSY,
        OpenError::Directory(_) => Errno::ISDIR,
        OpenError::WrongType { .. } | OpenError::TooSmall { .. } | OpenError::Undescribed { .. } => {
            Errno::INVAL
        }
        OpenError::Denied(_) => Errno::ACCESS,
        OpenError::ReadOnly(_) => Errno::ROFS,
        OpenError::NoSpace { errno, .. } | OpenError::System { errno, .. } => *errno,
    }
}

fn open_fault_in_words(kind: Kind, error: OpenError) -> Fault {
    let host = |message: String| Fault { message, hint: None, kind: FaultKind::Host, errno: Errno::IO };
    match error {
        OpenError::Missing(path) => {
            let home = path.parent().filter(|home| kind == Kind::Fileio && !home.exists());
            let hint = home.map(|home| format!("there is no directory {}; make it first", home.display()));
            caller(format!("Could not open {}: it does not exist", path.display()), hint)
        }
        OpenError::Busy(path) if kind == Kind::Block => caller(
            format!("Cannot configure StorageObject because device {} is already in use", path.display()),
            Some("unmount it, or see who holds it: lsblk, fuser".into()),
        ),
        OpenError::Busy(path) => caller(
            format!("Could not open {}: another process has locked it", path.display()),
            // This process too, as long as something is under way on what it no longer serves.
            Some("see who holds it: fuser, lslocks; lunard does, for a storage object that was deleted while its disk hangs".into()),
        ),
        OpenError::Directory(path) if kind == Kind::Block => {
            caller(format!("Device {} is a directory", path.display()), None)
        }
        OpenError::Directory(path) => {
            caller(format!("Path {} exists but is not a file", path.display()), None)
        }
        OpenError::WrongType { path, .. } if kind == Kind::Block => caller(
            format!("Device {} is not a TYPE_DISK block device", path.display()),
            Some("for a file, use /backstores/fileio".into()),
        ),
        OpenError::WrongType { path, .. } => {
            caller(format!("Path {} exists but is not a file", path.display()), None)
        }
        OpenError::Denied(path) => denied(&path),
        OpenError::ReadOnly(path) => caller(
            format!("{} is read-only", path.display()),
            Some("create the storage object with readonly=true".into()),
        ),
        error @ OpenError::TooSmall { .. } => {
            caller(error.to_string(), Some("a storage object has one block at least".into()))
        }
        error @ OpenError::NoSpace { .. } if kind == Kind::Ramdisk => {
            host(format!("Could not get the memory: {error}"))
        }
        OpenError::NoSpace { path, bytes, errno } => {
            caller(format!("Could not expand {} to {bytes} bytes: {errno}", path.display()), None)
        }
        error @ (OpenError::Undescribed { .. } | OpenError::System { .. }) => host(error.to_string()),
    }
}

/// The fault of a LUN for a guest that runs, on what another process has locked.
pub(super) fn locked_fault(id: &BackstoreId, path: &Path) -> Fault {
    let fault = caller(
        format!("Could not map {id} for a guest that runs: another process has locked {}", path.display()),
        Some("look for another lunard, or QEMU with the image: fuser, lslocks".into()),
    );
    Fault { errno: Errno::BUSY, ..fault }
}

/// What ends the use of a target.
const LEAVE: &str = "shut the guest down or unplug the device first; one that has left is waited for until its disks have answered \
                     what it began";

/// The fault of a target that cannot go yet.
pub(super) fn in_use_fault(wwn: &Wwn) -> Fault {
    let fault = caller(format!("target {wwn} is in use by a guest"), Some(LEAVE.into()));
    Fault { errno: Errno::BUSY, ..fault }
}

/// The fault of options that a front end has been told.
pub(super) fn options_fixed_fault(wwn: &Wwn) -> Fault {
    let message = format!("the options of target {wwn} cannot change while a front end is connected");
    Fault { errno: Errno::BUSY, ..caller(message, Some(LEAVE.into())) }
}

/// The fault of a target port group that cannot go yet.
pub(super) fn tpg_in_use_fault(wwn: &Wwn, tag: TpgTag) -> Fault {
    let hint =
        format!("{LEAVE}; while it runs, the LUNs of the group can be deleted, and it is told of each");
    let fault = caller(format!("TPG {wwn}/tpg{tag} is in use by a guest"), Some(hint));
    Fault { errno: Errno::BUSY, ..fault }
}

/// Names the user that was refused and what would help.
fn denied(path: &Path) -> Fault {
    let uid = Uid::effective();
    let user = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let gid = std::fs::metadata(path).ok().map(|metadata| Gid::from_raw(metadata.gid()));
    let named = |gid| Group::from_gid(gid).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name);
    let group = gid.map(|gid| (gid, named(gid)));
    let hint = way_in(path, (uid, &user), group.as_ref().map(|(gid, name)| (*gid, name.as_str())));
    caller(format!("Could not open {}: user {user} may not", path.display()), Some(hint))
}

/// What lets a user open a file of a group; without a group, it cannot even be looked at.
fn way_in(path: &Path, (uid, user): (Uid, &str), group: Option<(Gid, &str)>) -> String {
    let path = path.display();
    match group {
        // What its mode forbids does not bind root.
        _ if uid.is_root() => {
            "something else than its mode forbids it: the devices of a container, DeviceAllow= of a unit, a security module".into()
        }
        None => format!("let the user {user} search the directories above {path}"),
        Some((gid, _)) if gid.as_raw() == 0 => {
            format!("let the user {user} read and write it: setfacl -m u:{user}:rw {path}, or a rule of udev")
        }
        Some((_, group)) => format!(
            "add the user {user} to the group {group} of {path}, if the group may read and write it, and restart lunard"
        ),
    }
}

/// The fault of a socket that cannot be bound.
pub(super) fn socket_fault(path: &Path, error: &io::Error) -> Fault {
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_BYTES_MAX {
        return Fault {
            message: format!(
                "the socket path {} is too long: {length} bytes, {SOCKET_PATH_BYTES_MAX} are possible",
                path.display()
            ),
            hint: Some("start lunard with a shorter --runtime-dir".into()),
            kind: FaultKind::Host,
            errno: Errno::NAMETOOLONG,
        };
    }
    let (reason, hint) = (in_place(error), hint_of_place(error));
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    Fault {
        message: format!("cannot bind {}: {reason}", path.display()),
        hint: hint.map(str::to_owned),
        kind: FaultKind::Host,
        errno,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_open_a_file_is_told_what_would_help() {
        let way = |uid, group| way_in(Path::new("/dev/vda"), (Uid::from_raw(uid), "lunar"), group);
        let disk = Some((Gid::from_raw(6), "disk"));
        assert_eq!(
            way(0, disk),
            "something else than its mode forbids it: the devices of a container, DeviceAllow= of a unit, a security module"
        );
        assert_eq!(
            way(990, Some((Gid::from_raw(0), "root"))),
            "let the user lunar read and write it: setfacl -m u:lunar:rw /dev/vda, or a rule of udev"
        );
        assert_eq!(
            way(990, disk),
            "add the user lunar to the group disk of /dev/vda, if the group may read and write it, and restart lunard"
        );
        assert_eq!(way(990, None), "let the user lunar search the directories above /dev/vda");
    }
}
