// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a running target knows and the configuration does not.
//!
//! Above: `view` and `saveconfig`, which show it; `lunard` and `kernel-target`, which know it.  Below: `model`.
//! Never here: how it is found out.

use model::{BackstoreId, Wwn};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Why steps are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The daemon starts: what is not there is restored as missing, and no file is created.
    Restore,
    /// The administrator asked: what is not there is a fault, or a file to create.
    Change,
    /// The administrator restores a file: the same, but a file that is there is meant to be.
    Import,
    /// The administrator restores a file, and knows that guests lose what goes.
    Forced,
}

impl Occasion {
    /// Whether somebody waits for the answer, and wants all or nothing.
    #[must_use]
    pub fn is_asked_for(self) -> bool {
        match self {
            Self::Change | Self::Import | Self::Forced => true,
            Self::Restore => false,
        }
    }

    /// Whether it is a file that is restored: what it names is there already, as like as not.
    #[must_use]
    pub fn is_from_a_file(self) -> bool {
        matches!(self, Self::Import | Self::Forced)
    }
}

/// What the running target knows and the configuration does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// By kind and name.
    pub backstores: BTreeMap<BackstoreId, LiveBackstore>,
    /// By name.
    pub targets: BTreeMap<Wwn, LiveTarget>,
}

/// A backstore as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveBackstore {
    /// The capacity in bytes; of a missing medium the one last known, or 0.
    pub size_bytes: u64,
    /// Bytes in a logical block.
    pub block_bytes: u32,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// Whether guests see a volatile write cache.
    pub write_back: bool,
    /// Whether its file or device is not there.
    pub missing: bool,
    /// Whether its medium was taken out.
    pub ejected: bool,
    /// Whether a guest has stopped it.
    pub stopped: bool,
    /// Bytes in a physical block.
    pub physical_block_bytes: u32,
    /// Which device of the host it is, if it is one.
    pub device: Option<LiveDevice>,
    /// What is known of the space below, where others take from it as well.
    pub space: Option<LiveSpace>,
    /// Its ALUA groups that are between two states, by id.
    pub transitioning: BTreeSet<u16>,
}

/// The space of a file system that backstores and others share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSpace {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What may still be taken.
    pub available_bytes: u64,
    /// What is taken for this backstore.
    pub used_bytes: u64,
    /// Whether it is scarce.
    pub is_scarce: bool,
}

/// A block device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveDevice {
    /// The kernel's name, such as `dm-0`.
    pub name: String,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Bytes in a logical block of the device itself.
    pub block_bytes: u32,
    /// Whether it rotates.
    pub rotational: bool,
}

/// A target as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTarget {
    /// Where QEMU connects.
    pub socket: PathBuf,
    /// Why it cannot, and the way out, in one line: something is in the place of the socket.
    pub socket_fault: Option<String>,
    /// Whether a front end is connected now.
    pub connected: bool,
    /// Where commands of its guest have waited for long.
    pub waiting: Vec<LiveWaiting>,
}

/// Commands of a guest that have waited for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveWaiting {
    /// The target port group.
    pub tag: u16,
    /// The LUN, as the guest numbers it.
    pub lun: u16,
    /// What the oldest is.
    pub command: &'static str,
    /// How long it has waited, at least.
    pub since: std::time::Duration,
    /// How many there are.
    pub commands: usize,
}

/// The directory of the guests' sockets, in the runtime directory.
pub const GUEST_SOCKETS: &str = "vhost";

/// Where QEMU connects to a target.
#[must_use]
pub fn guest_socket(runtime_dir: &Path, wwn: &Wwn) -> PathBuf {
    runtime_dir.join(GUEST_SOCKETS).join(format!("{wwn}.sock"))
}
