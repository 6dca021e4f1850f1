// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's saveconfig.json: the configuration in targetcli's words, for people and for LIO's own tools.
//!
//! Above: `server`, `kernel-target`.  Below: `model`, [`Live`], the file system.
//! Never here: the configuration that counts; that is the database's.
//!
//! The keys are those of targetcli 2.1.53 on Linux 6.1, in its order (sorted, indented by two), with two
//! additions that its tools skip: `write_protect` on a LUN that refuses writes, `options` on a target with some
//! that were set, and `x_lunar` for what they have no word for.  What was restored from their files and is not
//! served is written back as it was.

mod alua; // target port groups and what LUNs have of them
mod apply; // a file becomes the difference to what is
mod compare; // two configurations, side by side
mod document; // a file, read
mod entry; // an object whose members have their types
mod hand; // the form that people write
mod notes; // what is otherwise than the file says
mod own; // what their format has no word for
mod restore; // a file becomes a transaction
mod scope; // what a file answers for
mod select; // the part of it that is wanted
mod strict_json; // text -> values

pub use apply::{Apply, Comparison};
pub use document::{Document, DocumentError};
pub use hand::text as by_hand;
pub use restore::{Restore, RestoreError, clear};

use crate::host::sync_directory;
use crate::live::{Live, LiveBackstore};
use crate::view;
use api::v1;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use model::{
    ATTRIBUTES, Access, Acl, Attribute, Backstore, CompletionAffinity, Key, Lun, LunMapping, MappedLun,
    Medium, Model, RelativePort, Target, TargetOption, Tpg, TpgTag, Wwn,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the file in the state directory.
pub const FILE_NAME: &str = "saveconfig.json";

/// The directory of earlier versions, in the state directory.
const BACKUPS: &str = "backup";

/// How many earlier versions are kept where nobody says.
pub const BACKUPS_MAX: usize = 10;

/// How many are to be kept.
#[must_use]
pub fn backups_wanted(options: &v1::SaveOptions) -> usize {
    options.backups.and_then(|most| usize::try_from(most).ok()).unwrap_or(BACKUPS_MAX)
}

/// How many are kept at most, whatever is asked for.
const BACKUPS_LIMIT: usize = 1000;

/// The longest earlier version that is read to see whether it is the same, in bytes.
const BACKUP_BYTES_MAX: u64 = 1 << 30;

/// The text of the file.
#[must_use]
pub fn text(model: &Model, live: &Live) -> String {
    let kept = Kept::of(model);
    let objects =
        model.backstores().iter().map(|(id, backstore)| storage_object(backstore, live.backstores.get(id)));
    let targets = model.targets().iter().map(|(wwn, of)| target(wwn.as_str(), of, &kept));
    let mut whole = json!({
        "fabric_modules": kept.fabric_modules,
        "storage_objects": objects.chain(kept.storage_objects.iter().cloned()).collect::<Vec<_>>(),
        "targets": targets.chain(kept.targets.iter().cloned()).collect::<Vec<_>>(),
    });
    let own = model.backstores().iter().filter_map(|(id, backstore)| {
        Some((id.to_string(), own::object(backstore, live.backstores.get(id))?))
    });
    whole[own::KEY] = own::file(own.collect(), model.lu_groups());
    v1::saveconfig_text(whole)
}

fn storage_object(backstore: &Backstore, live: Option<&LiveBackstore>) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    put("name", json!(backstore.name.as_str()));
    put("plugin", json!(backstore.kind().as_str()));
    put("wwn", json!(backstore.unit_serial.as_str()));
    match &backstore.medium {
        Medium::Block { path, read_only, size_bytes: _ } => {
            put("dev", json!(path.as_str()));
            put("readonly", json!(is_read_only(*read_only, live)));
            put("write_back", json!(false));
        }
        Medium::Fileio { path, size_bytes: _, sparse: _ } => {
            put("aio", json!(false));
            put("dev", json!(path.as_str()));
            put("size", json!(view::size_bytes(backstore, live)));
            put("write_back", json!(backstore.is_on(Key::EmulateWriteCache)));
        }
        Medium::Ramdisk { size_bytes, nullio } => {
            put("size", json!(size_bytes.get()));
            if *nullio {
                put("nullio", json!(true));
            }
        }
    }
    put("attributes", attributes(backstore, live));
    put("alua_tpgs", backstore.alua.iter().map(alua::group).collect());
    Value::Object(object)
}

/// Whether a device refuses writes, asking what runs before what was asked for.
fn is_read_only(wanted: Option<bool>, live: Option<&LiveBackstore>) -> bool {
    live.map_or(wanted.unwrap_or(false), |live| live.read_only)
}

/// What was restored and is not served, by where it goes.
#[derive(Default)]
struct Kept {
    fabric_modules: Vec<Value>,
    storage_objects: Vec<Value>,
    targets: Vec<Value>,
    /// By the path that ends in `lun` and a number.
    luns: BTreeMap<String, Value>,
}

impl Kept {
    fn of(model: &Model) -> Self {
        let mut kept = Self::default();
        for (name, text) in model.foreign().things() {
            // Written by ourselves; a text that is none would be of no use to anybody.
            let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
            match name.split_once(' ') {
                Some(("fabric_module", _)) => kept.fabric_modules.push(value),
                Some(("storage_object", _)) => kept.storage_objects.push(value),
                Some(("target", _)) => kept.targets.push(value),
                Some(("lun", place)) => drop(kept.luns.insert(place.to_owned(), value)),
                _ => {}
            }
        }
        kept
    }

    /// The kept LUNs of a target port group whose numbers nobody has taken since.
    fn luns_of<'k>(&'k self, wwn: &str, tag: u8, taken: &Tpg) -> impl Iterator<Item = Value> + use<'k> {
        let group = format!("{wwn}/tpg{tag}/lun");
        let taken: Vec<String> = taken.luns.keys().map(|lun| format!("{group}{lun}")).collect();
        let all = self.luns.range(group.clone()..).take_while(move |(place, _)| place.starts_with(&group));
        all.filter(move |(place, _)| !taken.contains(place)).map(|(_, lun)| lun.clone())
    }
}

/// A target of a file, as far as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TargetEntry {
    tpgs: BTreeMap<TpgTag, TpgEntry>,
    /// As they would be typed; `None` in a file of LIO's, which does not know of options.
    options: Option<BTreeMap<String, String>>,
    /// `None` where the file says nothing of it, or nothing that can be.
    completion_affinity: Option<CompletionAffinity>,
}

/// A target port group of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TpgEntry {
    /// What LIO's own files do not say.
    nexus: Option<Wwn>,
    /// Nor this.
    relative_port: Option<RelativePort>,
    luns: BTreeMap<Lun, LunMapping>,
    acls: BTreeMap<Wwn, Acl>,
    /// Whose list was written empty by LIO's tools, which save the session of a connected guest so.
    may_be_sessions: BTreeSet<Wwn>,
}

/// Every attribute that LIO lets a restore write back.
fn attributes(backstore: &Backstore, live: Option<&LiveBackstore>) -> Value {
    let is_set = |row: &Attribute| backstore.attributes().get(row.key).is_some();
    let is_theirs = |row: &Attribute| !row.is_own() && (!row.is_newer() || is_set(row));
    let written = |row: &&Attribute| row.access != Access::ReadOnly && is_theirs(row);
    let pairs = ATTRIBUTES.iter().filter(written);
    pairs.map(|row| (row.name.to_owned(), json!(view::attribute(backstore, live, row)))).collect()
}

fn target(wwn: &str, target: &Target, kept: &Kept) -> Value {
    let Target { tpgs, options, completion_affinity } = target;
    let groups = tpgs.iter().map(|(tag, group)| tpg(wwn, tag.get(), group, kept));
    let mut whole = json!({
        "fabric": "vhost",
        "parameters": { (CompletionAffinity::NAME): completion_affinity.to_string() },
        "tpgs": groups.collect::<Vec<_>>(),
        "wwn": wwn,
    });
    let options: Map<String, Value> =
        options.iter().map(|(key, value)| (TargetOption::of(key).name.to_owned(), json!(value))).collect();
    if !options.is_empty() {
        whole["options"] = Value::Object(options);
    }
    whole
}

fn tpg(wwn: &str, tag: u8, group: &Tpg, kept: &Kept) -> Value {
    let Tpg { nexus, relative_port, luns, acls } = group;
    let acls = acls.iter().map(|(initiator, acl)| node_acl(initiator, acl));
    let luns = luns.iter().map(|(number, mapping)| lun(number.get(), mapping));
    let luns = luns.chain(kept.luns_of(wwn, tag, group));
    json!({
        "attributes": { "fabric_prot_type": 0 },
        "enable": true,
        "luns": luns.collect::<Vec<_>>(),
        "node_acls": acls.collect::<Vec<_>>(),
        "portals": [],
        "tag": tag,
        // LIO's tools save neither, and stumble over a member called nexus.
        (own::KEY): { "nexus": nexus.as_str(), "relative_port": relative_port.get() },
    })
}

fn node_acl(initiator: &Wwn, acl: &Acl) -> Value {
    let mapped = acl.luns.iter().map(|(lun, MappedLun { of, alias, write_protect })| {
        json!({
            "alias": alias.as_str(),
            "index": lun.get(),
            "tpg_lun": of.get(),
            "write_protect": write_protect,
        })
    });
    json!({
        "mapped_luns": mapped.collect::<Vec<_>>(),
        "node_wwn": initiator.as_str(),
    })
}

fn lun(number: u16, mapping: &LunMapping) -> Value {
    let LunMapping { backstore, alias, write_protect, alua } = mapping;
    let mut lun = json!({
        "alias": alias.as_str(),
        "alua_tg_pt_gp_name": alua.group.as_str(),
        "index": number,
        "storage_object": format!("/backstores/{backstore}"),
    });
    if *write_protect {
        lun["write_protect"] = json!(true);
    }
    alua::put_lun(alua, &mut lun);
    lun
}

/// The file in the state directory.
#[derive(Debug)]
pub struct SaveConfig {
    state_dir: PathBuf,
}

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {}", path.display(), crate::host::plain(source))]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

/// Why the file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nobody wrote it yet.
    #[error("Restore file {} not found", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is longer than what is restored.
    #[error("{} is longer than {} bytes", path.display(), v1::SAVECONFIG_BYTES_MAX)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The host failed.
    #[error("cannot read {}: {}", path.display(), crate::host::plain(source))]
    Host {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SaveConfig {
    /// The file of this state directory.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned() }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.state_dir.join(FILE_NAME)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self) -> Result<Vec<u8>, ReadError> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Err(ReadError::Missing { path }),
            Err(source) => return Err(ReadError::Host { path, source }),
        };
        let mut text = Vec::new();
        let most = u64::try_from(v1::SAVECONFIG_BYTES_MAX).unwrap_or(u64::MAX);
        if let Err(source) = file.take(most.saturating_add(1)).read_to_end(&mut text) {
            return Err(ReadError::Host { path, source });
        }
        if v1::SAVECONFIG_BYTES_MAX < text.len() {
            return Err(ReadError::TooLong { path });
        }
        Ok(text)
    }

    /// Writes the file, whole or not at all; when this returns it is durable.  What it held before is
    /// kept among the `most` earlier versions, unless the newest of those is the same.
    ///
    /// # Errors
    /// [`WriteError`]; then the file is as it was.
    pub fn write(&self, text: &str, most: usize) -> Result<v1::Saved, WriteError> {
        let path = self.state_dir.join(FILE_NAME);
        let backups = self.back_up(&path, most.min(BACKUPS_LIMIT))?;
        let temporary = self.state_dir.join(format!("{FILE_NAME}.temp"));
        write_new(&temporary, text.as_bytes())
            .map_err(|source| WriteError { path: temporary.clone(), source })?;
        let replaced = std::fs::rename(&temporary, &path).and_then(|()| sync_directory(&self.state_dir));
        replaced.map_err(|source| WriteError { path: path.clone(), source })?;
        Ok(v1::Saved { path: path.display().to_string(), backups })
    }

    fn back_up(&self, path: &Path, most: usize) -> Result<Option<v1::Backups>, WriteError> {
        let directory = self.state_dir.join(BACKUPS);
        if most == 0 {
            return Ok(None);
        }
        let fault = |source| WriteError { path: directory.clone(), source };
        let old = match std::fs::read(path) {
            Ok(old) => old,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(WriteError { path: path.to_owned(), source }),
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(fault)?;
        let mut kept = earlier_versions(&directory).map_err(fault)?;
        if kept.last().and_then(|newest| unpack(newest).ok()).as_ref() == Some(&old) {
            return Ok(None);
        }
        let packed = pack(&old).map_err(fault)?;
        let backup = free_name(&directory, &timestamp(SystemTime::now()));
        write_new(&backup, &packed).map_err(|source| WriteError { path: backup.clone(), source })?;
        kept.retain(|earlier| *earlier != backup);
        let surplus = (kept.len() + 1).saturating_sub(most);
        for earlier in kept.iter().take(surplus) {
            std::fs::remove_file(earlier).map_err(fault)?;
        }
        sync_directory(&directory).map_err(fault)?;
        let kept = u32::try_from(most).unwrap_or(u32::MAX);
        Ok(Some(v1::Backups { kept, directory: format!("{}/", directory.display()) }))
    }
}

/// A name for an earlier version of this time.  What was saved twice within a second is kept twice; such
/// names still sort by time.
fn free_name(directory: &Path, time: &str) -> PathBuf {
    let within = (1..100).map(|number| directory.join(format!("saveconfig-{time}.{number:02}-json.gz")));
    let first = directory.join(format!("saveconfig-{time}-json.gz"));
    let mut names = std::iter::once(first.clone()).chain(within);
    names.find(|name| !name.exists()).unwrap_or(first)
}

/// The earlier versions, oldest first: their names sort by time.
fn earlier_versions(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("saveconfig-") && name.contains("json") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a file that only we can read, and makes its contents durable.  A leftover is replaced; of what could not be
/// written none is left.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file takes room where there is none; that it cannot be removed is less than the error at hand.
        let _ = std::fs::remove_file(path);
    }
    written
}

fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn unpack(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(file).take(BACKUP_BYTES_MAX).read_to_end(&mut bytes)?;
    } else {
        file.take(BACKUP_BYTES_MAX).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// `YYYYMMDD-HH:MM:SS` in UTC, as in the names that targetcli gives.
fn timestamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}:{minute:02}:{second:02}")
}

/// The date of a day since 1970 in the Gregorian calendar, counted in years that start in March, so that
/// a leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    // 0000-03-01 is 719,468 days before 1970; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_utc_in_the_gregorian_calendar() {
        for (seconds, text) in [
            (0, "19700101-00:00:00"),
            (951_782_399, "20000228-23:59:59"),
            (951_782_400, "20000229-00:00:00"),
            (1_415_973_720, "20141114-14:02:00"),
            (1_709_164_800, "20240229-00:00:00"),
            (1_735_689_599, "20241231-23:59:59"),
            (4_107_542_400, "21000301-00:00:00"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
