// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's configfs tree, over the configuration of this daemon: the FUSE door.
//!
//! Above: `lunard`, which implements [`Daemon`] and mounts.  Below: `model`, `fuser`, mount(2).
//! Never here: a change that is carried out (the daemon does that), a guest, a database.
//!
//! ```text
//!   tool ── kernel ── fuse ──┬─ look, list, read ──► tree + text ◄── Model, Live, what is staged
//!                            └─ write, mkdir, ... ─► store, make ──► Changes ──► Daemon::apply
//! ```
//!
//! What LIO's tree builds in pieces (a backstore before `enable`, a target port group before its nexus, a
//! LUN before its link) is staged here, seen only here, and becomes changes when it is whole.

#![forbid(unsafe_code)]

mod alua; // asymmetric access
mod control; // what is written to a backstore's `control`
mod daemon; // what the tree needs of whoever owns the configuration
mod fuse; // the kernel's requests
mod inodes; // nodes by number
mod invalidate; // what the kernel has to forget
mod make; // mkdir, rmdir, symlink, unlink
mod mount; // getting into the file system, and out
mod nearby; // on which processor requests are answered
mod node; // THE list of places in the tree
mod session; // a guest, as LIO's tools know sessions
mod staged; // what is not whole yet
mod store; // a write to a file
mod text; // what the files say
mod tree; // looking and listing

pub use daemon::{
    Counters, Daemon, Denied, LiveBackstore, LiveDevice, LiveRegistrant, LiveReservations, errno_of,
};
pub use mount::{MountError, Mounted, mount};
pub use tree::{Host, Kind as NodeKind, Tree};
