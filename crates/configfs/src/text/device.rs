// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a backstore's files say.
//!
//! Above: `text`.  Below: `model`, what is live, what is staged.
//! Never here: what guests did; `statistics` has that.

use crate::daemon::LiveBackstore;
use crate::node::{Device, DevicePart, HW_PI_PROT_TYPE, Hba};
use crate::staged::Unconfigured;
use crate::tree::View;
use model::{
    Attribute, Backstore, BackstoreId, IdentityField, IdentityKey, Key, Kind, LbaMap, Medium, PAGE_BYTES,
    TRANSFER_BYTES_MAX, UNIT_SERIAL_FILE,
};
use rustix::io::Errno;

/// How many scatter lists LIO has a ramdisk of: one for so many pages, and one more.
const PAGES_PER_TABLE: u64 = 2048;

/// The file of a backstore that has been given none: LIO's tools look it up, and list nothing at all where it is not there.
const NO_FILE: &str = "/dev/null";

/// A backstore as its directory has it.
pub(crate) enum State<'a> {
    /// Before `enable`.
    Unconfigured(&'a Unconfigured),
    /// After it.
    Configured(&'a Backstore),
}

impl View<'_> {
    /// A backstore's directory, as it is now.
    pub(crate) fn state(&self, device: &Device) -> Option<State<'_>> {
        if let Some(backstore) = self.staged.configured(device) {
            return Some(State::Configured(backstore));
        }
        self.staged.devices.get(device).map(State::Unconfigured)
    }

    /// Whether a LUN shows it.
    pub(crate) fn is_shown(&self, id: &BackstoreId) -> bool {
        self.staged.shown.contains(id)
    }

    pub(super) fn device_text(&self, device: &Device, part: DevicePart, file: &str) -> Result<String, Errno> {
        let state = self.state(device).ok_or(Errno::NOENT)?;
        Ok(match part {
            DevicePart::Whole if Attribute::named(file).is_some() => {
                format!("{}\n", self.attribute(device, &state, file))
            }
            DevicePart::Whole if file == "alias" => {
                self.staged.alias(device).map_or_else(String::new, |alias| format!("{alias}\n"))
            }
            DevicePart::Whole => match &state {
                State::Unconfigured(staged) => self.unconfigured(device, staged, file),
                State::Configured(backstore) => self.configured(device.hba, backstore, file),
            },
            DevicePart::Attrib => format!("{}\n", self.attribute(device, &state, file)),
            DevicePart::Pr => self.reservations(device, &state, file),
            DevicePart::Wwn => identity(device, &state, file),
            DevicePart::ScsiDev | DevicePart::ScsiLu | DevicePart::ScsiTgtDev => {
                return self.device_statistics(device, part, file);
            }
            DevicePart::Action | DevicePart::Alua | DevicePart::Statistics => return Err(Errno::NOENT),
        })
    }

    fn configured(&self, hba: Hba, backstore: &Backstore, file: &str) -> String {
        match file {
            "enable" => "1\n".to_owned(),
            "info" => self.info(hba, backstore),
            "alua_lu_gp" => self.lu_group_of(backstore),
            "lba_map" => backstore.alua.lba_map().map(LbaMap::file_text).unwrap_or_default(),
            "udev_path" => backstore.medium.path().map_or_else(String::new, |path| format!("{path}\n")),
            _ => String::new(),
        }
    }

    fn info(&self, hba: Hba, backstore: &Backstore) -> String {
        let id = backstore.id();
        let live = self.live(&id);
        let live = live.as_ref();
        let status = if self.is_shown(&id) { "ACTIVATED" } else { "DEACTIVATED" };
        let block_bytes = block_bytes(backstore, live);
        let sectors = TRANSFER_BYTES_MAX / block_bytes.max(1);
        let device = live.and_then(|live| live.device.as_ref());
        let is_absent = backstore.kind() == Kind::Block && device.is_none();
        // Its size is that of the device that is named, in sectors of so many bytes.
        let head =
            if is_absent { first_line(status, 0, 0) } else { first_line(status, block_bytes, sectors) };
        let size_bytes =
            live.map_or(backstore.medium.size_bytes(), |live| Some(live.size_bytes)).unwrap_or(0);
        match &backstore.medium {
            Medium::Block { path, read_only, size_bytes: _ } => {
                let read_only = live.map_or(read_only.unwrap_or(false), |live| live.read_only);
                let name = device.map(|device| device.name.clone());
                let name = iblock(name.or_else(|| self.host.disk_at(path.as_str())));
                let claimed = device.map_or_else(
                    || "Major: 0 Minor: 0".to_owned(),
                    |device| format!("Major: {} Minor: {}  CLAIMED: IBLOCK", device.major, device.minor),
                );
                let read_only = u8::from(read_only);
                format!("{head}{name}  UDEV PATH: {path}  readonly: {read_only}\n        {claimed}\n")
            }
            Medium::Fileio { path, .. } => {
                let mode = if backstore.is_on(Key::EmulateWriteCache) { "Buffered-WCE" } else { "O_DSYNC" };
                file_line(&head, hba, path.as_str(), size_bytes, mode)
            }
            Medium::Ramdisk { size_bytes, nullio } => {
                let pages = size_bytes.get() / PAGE_BYTES;
                let tables = if *nullio { 0 } else { pages / PAGES_PER_TABLE + 1 };
                ramdisk_lines(&head, hba, pages, tables, *nullio)
            }
        }
    }

    fn unconfigured(&self, device: &Device, staged: &Unconfigured, file: &str) -> String {
        match file {
            "enable" => "0\n".to_owned(),
            "lba_map" => staged.lba_map.as_ref().map(LbaMap::file_text).unwrap_or_default(),
            "udev_path" if !staged.udev_path.is_empty() => format!("{}\n", staged.udev_path),
            "info" => self.info_before_enable(device.hba, staged),
            _ => String::new(),
        }
    }

    fn info_before_enable(&self, hba: Hba, staged: &Unconfigured) -> String {
        let head = first_line("DEACTIVATED", 0, 0);
        let control = &staged.control;
        let path = control.path.as_ref().map_or("", |path| path.as_str());
        match hba.kind {
            Kind::Block => {
                let named = if path.is_empty() { staged.udev_path.as_str() } else { path };
                let name = iblock(self.host.disk_at(named));
                let shown = if path.is_empty() { String::new() } else { format!("  UDEV PATH: {path}") };
                let read_only = u8::from(control.read_only == Some(true));
                format!("{head}{name}{shown}  readonly: {read_only}\n        Major: 0 Minor: 0\n")
            }
            Kind::Fileio => {
                let mode = if control.buffered { "Buffered-WCE" } else { "O_DSYNC" };
                let path = if path.is_empty() { NO_FILE } else { path };
                file_line(&head, hba, path, control.size_bytes.unwrap_or(0), mode)
            }
            Kind::Ramdisk => ramdisk_lines(&head, hba, control.pages.unwrap_or(0), 0, control.nullio),
        }
    }

    fn attribute(&self, device: &Device, state: &State<'_>, file: &str) -> u32 {
        if file == HW_PI_PROT_TYPE {
            return 0;
        }
        let Some(row) = Attribute::named(file) else { return 0 };
        match state {
            State::Unconfigured(staged) => before_enable(device.hba.kind, staged, row),
            State::Configured(backstore) => backstore
                .attribute(row.key)
                .unwrap_or_else(|| of_device(row.key, backstore, self.live(&device.id()).as_ref())),
        }
    }
}

/// What only the device says.
fn of_device(key: Key, backstore: &Backstore, live: Option<&LiveBackstore>) -> u32 {
    let device = live.and_then(|live| live.device.as_ref());
    let block_bytes = block_bytes(backstore, live);
    match key {
        Key::BlockSize => block_bytes,
        Key::HwBlockSize => device.map_or(block_bytes, |device| device.block_bytes),
        Key::PhysicalBlockSize => live.map_or(block_bytes, |live| live.physical_block_bytes),
        Key::HwMaxSectors | Key::OptimalSectors => TRANSFER_BYTES_MAX / block_bytes.max(1),
        Key::IsNonrot => device.map_or(0, |device| u32::from(!device.rotational)),
        _ => 0,
    }
}

fn block_bytes(backstore: &Backstore, live: Option<&LiveBackstore>) -> u32 {
    live.map_or_else(|| backstore.block_bytes().unwrap_or(512), |live| live.block_bytes)
}

/// LIO knows nothing of the medium before it is opened.
fn before_enable(kind: Kind, staged: &Unconfigured, row: &Attribute) -> u32 {
    if let Some(value) = staged.attribute(kind, row.key) {
        return value;
    }
    match row.key {
        Key::EmulateWriteCache => u32::from(staged.control.buffered),
        Key::BlockSize
        | Key::EmulateModelAlias
        | Key::HwBlockSize
        | Key::HwMaxSectors
        | Key::HwQueueDepth
        | Key::IsNonrot
        | Key::OptimalSectors
        | Key::QueueDepth => 0,
        _ => row.default_of(kind).unwrap_or(0),
    }
}

fn first_line(status: &str, block_bytes: u32, sectors: u32) -> String {
    format!(
        "Status: {status}  Max Queue Depth: 0  SectorSize: {block_bytes}  HwMaxSectors: {sectors}\n        "
    )
}

fn iblock(name: Option<String>) -> String {
    name.map_or_else(String::new, |name| format!("iBlock device: {name}"))
}

fn file_line(head: &str, hba: Hba, path: &str, size_bytes: u64, mode: &str) -> String {
    let number = hba.number;
    format!("{head}TCM FILEIO ID: {number}        File: {path}  Size: {size_bytes}  Mode: {mode} Async: 0\n")
}

fn ramdisk_lines(head: &str, hba: Hba, pages: u64, tables: u64, nullio: bool) -> String {
    let (number, nullio) = (hba.number, u8::from(nullio));
    format!(
        "{head}TCM RamDisk ID: {number}  RamDisk Makeup: rd_mcp\n        \
         PAGES/PAGE_SIZE: {pages}*{PAGE_BYTES}  SG_table_count: {tables}  nullio: {nullio} dummy: 0\n"
    )
}

fn identity(device: &Device, state: &State<'_>, file: &str) -> String {
    match (file, IdentityField::named(file)) {
        (_, Some(row)) => format!("{}\n", identity_of(device, state, row.key)),
        (UNIT_SERIAL_FILE, None) => format!("T10 VPD Unit Serial Number: {}\n", serial_of(state)),
        _ => String::new(),
    }
}

/// Who it says that it is.
pub(super) fn identity_of(device: &Device, state: &State<'_>, key: IdentityKey) -> String {
    match state {
        State::Configured(backstore) => backstore.identity_text(key),
        State::Unconfigured(staged) => staged.identity(device.hba.kind, key),
    }
}

pub(super) fn serial_of<'a>(state: &'a State<'_>) -> &'a str {
    match state {
        State::Unconfigured(staged) => staged.serial.as_ref().map_or("", |serial| serial.as_str()),
        State::Configured(backstore) => backstore.unit_serial.as_str(),
    }
}
