// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The storage objects below `core`.
//!
//! Above: `found`.  Below: `info`, the names and rules of `model`; the host's sysfs, for sizes of devices.
//! Never here: who shows them.

use super::{Found, Value, access, info, kind_of, plugin};
use crate::files::{Fault, Files};
use model::{
    AbsolutePath, Backstore, BackstoreId, BackstoreName, Change, IDENTITY_FIELDS, Key, Kind, Medium,
    UnitSerial,
};
use std::collections::BTreeMap;
use translate::live::{LiveBackstore, LiveDevice};

/// What stands for the serial number that a backstore has not, before its place; the model knows none without.
const NO_SERIAL: &str = "none at ";

/// Bytes in the sector that sysfs counts in.
const SYSFS_SECTOR_BYTES: u64 = 512;

/// A storage object that was read.
struct Object {
    backstore: Backstore,
    live: LiveBackstore,
    attributes: BTreeMap<String, Value>,
    has_serial: bool,
}

impl Found {
    pub(super) fn storage_objects(&mut self, files: &Files) -> Result<(), Fault> {
        for adapter in files.directories("core")? {
            let Some((word, number)) = adapter.rsplit_once('_') else { continue };
            let Ok(number) = number.parse::<u32>() else { continue };
            let names = files.directories(&format!("core/{adapter}"))?;
            if names.is_empty() {
                self.empty_adapters.insert(adapter.clone());
                continue;
            }
            self.numbers.insert(number);
            for name in names {
                self.storage_object(files, &adapter, word, &name)?;
            }
        }
        Ok(())
    }

    fn storage_object(&mut self, files: &Files, adapter: &str, word: &str, name: &str) -> Result<(), Fault> {
        let directory = format!("core/{adapter}/{name}");
        let Some(kind) = kind_of(word) else {
            self.foreign_names.insert(format!("storage_object {word}/{name}"));
            let summary = files.read(&format!("{directory}/udev_path")).unwrap_or_default();
            self.leave(format!("/backstores/{word}/{name}"), summary);
            return Ok(());
        };
        let lu_groups: Vec<_> = self.model.lu_groups().keys().cloned().collect();
        let made = read(files, &directory, kind, name)?.and_then(|mut object| {
            access::take_over(files, &directory, &mut object.backstore, &lu_groups);
            let id = object.backstore.id();
            let change = Change::CreateBackstore(object.backstore.clone());
            self.learn(change).map(|()| (id, object)).map_err(|refusal| refusal.to_string())
        });
        match made {
            Ok((id, object)) => {
                self.adapters.insert(id.clone(), adapter.to_owned());
                if !object.has_serial {
                    self.without_serial.insert(id.clone());
                }
                self.attributes.insert(id.clone(), object.attributes);
                self.live.backstores.insert(id, object.live);
            }
            Err(why) => {
                self.foreign_names.insert(format!("storage_object {kind}/{name}"));
                self.leave(format!("/backstores/{kind}/{name}"), format!("{adapter}: {why}"));
            }
        }
        Ok(())
    }
}

/// Reads a storage object; the inner error says why the model cannot have it.
fn read(files: &Files, directory: &str, kind: Kind, name: &str) -> Result<Result<Object, String>, Fault> {
    if files.read(&format!("{directory}/enable"))? != "1" {
        return Ok(Err("not enabled".to_owned()));
    }
    let text = files.read(&format!("{directory}/info"))?;
    let udev_path = files.read(&format!("{directory}/udev_path"))?;
    let serial = files.read(&format!("{directory}/wwn/vpd_unit_serial"))?;
    let serial = serial.split_once(':').map_or("", |(_, serial)| serial.trim()).to_owned();
    let (serial, has_serial) =
        if serial.is_empty() { (format!("{NO_SERIAL}{directory}"), false) } else { (serial, true) };
    let attributes = attributes(files, &format!("{directory}/attrib"))?;
    let read = object(kind, name, &text, &udev_path, &serial, attributes);
    Ok(read.map(|mut object| {
        identity(files, directory, &mut object.backstore);
        Object { has_serial, ..object }
    }))
}

/// Tells the model who it says that it is.  Kernels that have not all of the files say the rest as ever.
fn identity(files: &Files, directory: &str, backstore: &mut Backstore) {
    for row in IDENTITY_FIELDS {
        if let Ok(text) = files.try_read(&format!("{directory}/wwn/{}", row.name)) {
            let _ = backstore.set_identity(row.name, &text);
        }
    }
}

fn attributes(files: &Files, directory: &str) -> Result<BTreeMap<String, Value>, Fault> {
    let mut attributes = BTreeMap::new();
    for entry in files.list(directory)? {
        let at = format!("{directory}/{}", entry.name);
        // Some cannot be read in some states, and are then not shown.
        if let Ok(text) = files.try_read(&at) {
            attributes.insert(entry.name, Value { text, is_writable: files.is_writable(&at) });
        }
    }
    Ok(attributes)
}

fn object(
    kind: Kind,
    name: &str,
    text: &str,
    udev_path: &str,
    serial: &str,
    attributes: BTreeMap<String, Value>,
) -> Result<Object, String> {
    let name = BackstoreName::parse(name).map_err(|refusal| refusal.to_string())?;
    let (medium, device) = medium(kind, text, udev_path)?;
    let size_bytes = medium.size_bytes().unwrap_or(0);
    let serial = UnitSerial::parse(serial).map_err(|refusal| refusal.to_string())?;
    let mut backstore = Backstore::new(name, serial, medium).map_err(|refusal| refusal.to_string())?;
    let number = |key: &str| attributes.get(key).and_then(|value| value.text.parse::<u32>().ok());
    let block_bytes = number("block_size").unwrap_or(512);
    let live = LiveBackstore {
        size_bytes,
        block_bytes,
        read_only: info::number(text, "readonly") == Some(1),
        write_back: number("emulate_write_cache") == Some(1),
        missing: false,
        ejected: false,
        stopped: false,
        physical_block_bytes: block_bytes,
        device,
        transitioning: std::collections::BTreeSet::new(),
    };
    take_over(&mut backstore, &attributes, live.device.as_ref());
    Ok(Object { backstore, live, attributes, has_serial: true })
}

/// Tells the model of attributes that are otherwise than they would be if nobody had set them.  What it does not
/// take, the kernel has all the same: it is in [`Found::attributes`].
fn take_over(backstore: &mut Backstore, attributes: &BTreeMap<String, Value>, device: Option<&LiveDevice>) {
    let text = |name: &str| attributes.get(name).map(|value| value.text.as_str());
    let by_medium = |name: &str| match name {
        "block_size" => text("hw_block_size"),
        "optimal_sectors" => text("hw_max_sectors"),
        "queue_depth" => text("hw_queue_depth"),
        "is_nonrot" => device.map(|device| if device.rotational { "0" } else { "1" }),
        _ => None,
    };
    // The size of a block bounds what others may be.
    let first = attributes.iter().filter(|(name, _)| *name == "block_size");
    let rest = attributes.iter().filter(|(name, _)| *name != "block_size");
    for (name, value) in first.chain(rest) {
        let Some(row) = model::Attribute::named(name) else { continue };
        let unset = backstore.attribute(row.key);
        let by_itself = by_medium(name) == Some(value.text.as_str());
        if unset.is_some_and(|unset| unset.to_string() == value.text) || by_itself {
            continue;
        }
        // Where only the device knows what would be, nobody is taken to have set it.
        if unset.is_some() || by_medium(name).is_some() {
            let _ = backstore.set_attribute(name, &value.text);
        }
    }
    debug_assert!(backstore.attribute(Key::EmulateModelAlias).is_some());
}

fn medium(kind: Kind, text: &str, udev_path: &str) -> Result<(Medium, Option<LiveDevice>), String> {
    let path = |path: &str| AbsolutePath::parse(path).map_err(|refusal| refusal.to_string());
    match kind {
        Kind::Block => {
            let device = device(text).ok_or("its info names no device")?;
            let size_bytes = sysfs_number(&device, "size").map(|sectors| sectors * SYSFS_SECTOR_BYTES);
            let read_only = (info::number(text, "readonly") == Some(1)).then_some(true);
            let path =
                path(if udev_path.is_empty() { return Err("it has no path".to_owned()) } else { udev_path })?;
            Ok((Medium::Block { path, read_only, size_bytes }, Some(device)))
        }
        Kind::Fileio => {
            let opened = info::between(text, "File", "Size: ").unwrap_or_default();
            let path = path(if opened.is_empty() { udev_path } else { opened })?;
            Ok((Medium::Fileio { path, size_bytes: info::number(text, "Size"), sparse: true }, None))
        }
        Kind::Ramdisk => {
            let pages = info::word(text, "PAGES/PAGE_SIZE").and_then(|pages| pages.split_once('*'));
            let bytes =
                pages.and_then(|(count, page)| count.parse::<u64>().ok()?.checked_mul(page.parse().ok()?));
            let bytes = bytes.ok_or("its info names no size")?;
            let nullio = info::number(text, "nullio") == Some(1);
            Ok((Medium::ramdisk(bytes, nullio).map_err(|refusal| refusal.to_string())?, None))
        }
    }
}

fn device(text: &str) -> Option<LiveDevice> {
    let number = |key: &str| info::number(text, key).and_then(|number| u32::try_from(number).ok());
    let mut device = LiveDevice {
        name: info::word(text, "iBlock device")?.to_owned(),
        major: number("Major")?,
        minor: number("Minor")?,
        block_bytes: number("SectorSize").unwrap_or(512),
        rotational: false,
    };
    device.rotational = sysfs_number(&device, "queue/rotational") == Some(1);
    let block_bytes = sysfs_number(&device, "queue/logical_block_size");
    device.block_bytes =
        block_bytes.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(device.block_bytes);
    Some(device)
}

fn sysfs_number(device: &LiveDevice, name: &str) -> Option<u64> {
    let LiveDevice { major, minor, .. } = device;
    let base = format!("/sys/dev/block/{major}:{minor}");
    let text = std::fs::read_to_string(format!("{base}/{name}"));
    // A partition has its queue in the directory of the whole disk.
    let text = text.or_else(|_| std::fs::read_to_string(format!("{base}/../{name}")));
    text.ok()?.trim().parse().ok()
}

/// The name of a backstore's directory, and that of an adapter for it with this number.
pub(crate) fn names(id: &BackstoreId, number: u32) -> (String, String) {
    let adapter = format!("{}_{number}", plugin(id.kind));
    (format!("core/{adapter}/{}", id.name), adapter)
}
