// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A write to a file.
//!
//! Above: `fuse`, `tree`.  Below: `staged`, [`Daemon::apply`].
//! Never here: directories and links.
//!
//! A write that fails changes nothing, and fails again when it is repeated: Python's files write once more
//! when they are closed.

use crate::control::{Control, number};
use crate::node::{Device, DevicePart, Dir, LunPart, TargetPart, TpgPart};
use crate::staged::Link;
use crate::tree::Tree;
use model::{
    AbsolutePath, AclPlace, Attribute, Backstore, Change, CompletionAffinity, Kind, Lun, LunMapping, Medium,
    PAGE_BYTES, Refusal, Tpg, TpgTag, UnitSerial, Wwn,
};
use rustix::io::Errno;

/// The longest name of a nexus that LIO looks at, in bytes.
const NEXUS_BYTES_MAX: usize = 256;

/// How often a relative port is chosen anew that another door took meanwhile.
const PORT_ATTEMPTS_MAX: usize = 8;

/// The longest text that is written to `alias`, in bytes, with its newline.
const ALIAS_BYTES_MAX: usize = 511;

/// The longest text of `udev_path`, in bytes.
const UDEV_PATH_BYTES_MAX: usize = 511;

impl Tree {
    /// Writes a file that is there and can be written.
    pub(crate) fn store(&self, dir: &Dir, file: &'static str, text: &str) -> Result<(), Errno> {
        if !self.view(|view| view.has(dir)) {
            return Err(Errno::NOENT);
        }
        let line = text.trim_end_matches('\n');
        match dir {
            Dir::Top => self.store_dbroot(line),
            Dir::Device(device, DevicePart::Whole) if file == "alias" => self.store_alias(device, text),
            Dir::Device(device, part) => self.store_device(device, *part, file, line),
            Dir::Tpg(wwn, tag, TpgPart::Whole) => self.store_nexus(wwn, *tag, line),
            Dir::Target(wwn, TargetPart::Param) => self.store_completion_affinity(wwn, line),
            Dir::Tpg(_, _, TpgPart::Attrib) => must_be(number(line) == Ok(0)),
            Dir::AclLun(acl, lun, _) => self.store_write_protect(acl, *lun, line),
            Dir::Lun(place, LunPart::Whole) => self.store_lun_alua(place, file, line),
            Dir::LuGroup(name) => self.store_lu_group(name, line),
            Dir::AluaGroup(device, name) => self.store_alua_group(device, name, file, line),
            Dir::IscsiAuth if file == "enforce_discovery_auth" => must_be(number(line) == Ok(0)),
            Dir::IscsiAuth => must_be(line == "NULL" || line.is_empty()),
            _ => Err(Errno::INVAL),
        }
    }

    /// Kept to be read again, and of no consequence.
    fn store_dbroot(&self, line: &str) -> Result<(), Errno> {
        let path = AbsolutePath::parse(line).map_err(|_| Errno::INVAL)?;
        self.staged().dbroot = Some(path.as_str().to_owned());
        Ok(())
    }

    fn store_device(
        &self,
        device: &Device,
        part: DevicePart,
        file: &'static str,
        line: &str,
    ) -> Result<(), Errno> {
        match (part, file) {
            (DevicePart::Whole, "control") => self.store_control(device, line),
            (DevicePart::Whole, "enable") => self.enable(device, line),
            (DevicePart::Whole, "udev_path") => self.store_udev_path(device, line),
            (DevicePart::Whole, "alua_lu_gp") => self.store_lu_group_of(device, line),
            (DevicePart::Whole, "lba_map") => self.store_lba_map(device, line),
            (DevicePart::Attrib, _) => self.store_attribute(device, file, line),
            (DevicePart::Whole, _) if Attribute::named(file).is_some() => {
                self.store_attribute(device, file, line)
            }
            (DevicePart::Wwn, "vpd_unit_serial") => self.store_serial(device, line),
            (DevicePart::Wwn, _) => self.store_identity(device, file, line),
            (DevicePart::Pr, _) => {
                if self.view(|view| view.is_shown(&device.id())) {
                    Err(Errno::INVAL)
                } else {
                    Err(Errno::OPNOTSUPP)
                }
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn store_control(&self, device: &Device, line: &str) -> Result<(), Errno> {
        let kind = device.hba.kind;
        let mut staged = self.staged();
        if let Some(staged) = staged.devices.get_mut(device) {
            return staged.control.take(kind, line);
        }
        let backstore = staged.configured(device).ok_or(Errno::NOENT)?;
        // What is enabled is as it is; to hear it again changes nothing.
        let known = control_of(backstore);
        let mut after = known.clone();
        after.take(kind, line)?;
        if after == known {
            Ok(())
        } else if kind == Kind::Block {
            Err(Errno::EXIST)
        } else {
            Err(Errno::INVAL)
        }
    }

    /// Kept to be read again, as LIO keeps it: as long as the backstore is there, and in memory alone.
    fn store_alias(&self, device: &Device, text: &str) -> Result<(), Errno> {
        // For the kernel a text ends at its first zero.
        let kept = text.split('\0').next().unwrap_or_default();
        must_be(text.len() <= ALIAS_BYTES_MAX && !kept.is_empty())?;
        let alias = kept.strip_suffix('\n').unwrap_or(kept).to_owned();
        *self.staged().alias_mut(device).ok_or(Errno::NOENT)? = Some(alias);
        Ok(())
    }

    fn store_udev_path(&self, device: &Device, line: &str) -> Result<(), Errno> {
        if line.len() > UDEV_PATH_BYTES_MAX || line.chars().any(char::is_control) {
            return Err(Errno::INVAL);
        }
        let mut staged = self.staged();
        if let Some(staged) = staged.devices.get_mut(device) {
            line.clone_into(&mut staged.udev_path);
            return Ok(());
        }
        let backstore = staged.configured(device).ok_or(Errno::NOENT)?;
        must_be(backstore.medium.path().map_or("", AbsolutePath::as_str) == line)
    }

    /// Makes the staged backstore a configured one.
    fn enable(&self, device: &Device, line: &str) -> Result<(), Errno> {
        must_be(line.contains('1'))?;
        let made_up = made_up_serial()?;
        let id = device.id();
        let change = {
            let mut staged = self.staged();
            if staged.configured(device).is_some() || staged.enabling.contains_key(&id) {
                return Err(Errno::EXIST);
            }
            let unconfigured = staged.devices.get(device).ok_or(Errno::NOENT)?;
            let backstore = unconfigured.backstore(device, made_up)?;
            staged.enabling.insert(id.clone(), device.hba);
            Change::CreateBackstore(backstore)
        };
        let done = self.ask(&format!("enable {}/{}", device.hba, device.name), vec![change]);
        let mut staged = self.staged();
        staged.enabling.remove(&id);
        done
    }

    fn store_attribute(&self, device: &Device, file: &'static str, line: &str) -> Result<(), Errno> {
        let errno = |refusal: Refusal| crate::errno_of(&refusal);
        let id = device.id();
        if let Some(staged) = self.staged().devices.get_mut(device) {
            return staged.set_attribute(device.hba.kind, file, line).map_err(errno);
        }
        // LIO's tools write back all that they have saved: a fact stays as it is, and what is so already nobody wishes.
        let dir = Dir::Device(device.clone(), DevicePart::Attrib);
        let shown = self.view(|view| view.text(&dir, file)).ok().and_then(|text| number(&text).ok());
        // What reads 0 because the medium can do no more may be wished to be so all the same.
        let is_beyond_medium = Attribute::named(file).is_some_and(|row| {
            self.daemon.model().backstore(&id).is_ok_and(|backstore| backstore.is_beyond_medium(row.key))
        });
        if shown.is_some() && number(line).ok() == shown && !is_beyond_medium {
            return Ok(());
        }
        let (attribute, value) = (file.to_owned(), line.to_owned());
        let change = Change::SetAttribute { backstore: id.clone(), attribute, value };
        self.ask(&format!("set {file} of {id}"), vec![change])
    }

    fn store_serial(&self, device: &Device, line: &str) -> Result<(), Errno> {
        if line.len() > UnitSerial::BYTES_MAX {
            return Err(Errno::OVERFLOW);
        }
        let id = device.id();
        let serial = UnitSerial::parse(line.trim()).map_err(|_| Errno::INVAL);
        {
            let mut staged = self.staged();
            if let Some(staged) = staged.devices.get_mut(device) {
                staged.serial = Some(serial?);
                return Ok(());
            }
            if staged.model.shown_at(&id).is_some() {
                return Err(Errno::INVAL);
            }
        }
        let change = Change::SetUnitSerial { backstore: id.clone(), serial: serial? };
        self.ask(&format!("set the serial number of {id}"), vec![change])
    }

    /// Who a unit says that it is.
    fn store_identity(&self, device: &Device, file: &'static str, line: &str) -> Result<(), Errno> {
        let id = device.id();
        if let Some(staged) = self.staged().devices.get_mut(device) {
            let kept = staged.set_identity(device.hba.kind, file, line);
            return kept.map_err(|refusal| crate::errno_of(&refusal));
        }
        let (attribute, value) = (file.to_owned(), line.to_owned());
        let change = Change::SetIdentity { backstore: id.clone(), attribute, value };
        self.ask(&format!("set {file} of {id}"), vec![change])
    }

    fn store_completion_affinity(&self, wwn: &Wwn, line: &str) -> Result<(), Errno> {
        let name = CompletionAffinity::NAME;
        let (parameter, value) = (name.to_owned(), line.to_owned());
        let change = Change::SetParameter { wwn: wwn.clone(), parameter, value };
        self.ask(&format!("set {name} of {wwn}"), vec![change])
    }

    fn store_nexus(&self, wwn: &Wwn, tag: TpgTag, line: &str) -> Result<(), Errno> {
        must_be(line.len() < NEXUS_BYTES_MAX)?;
        if line.starts_with("NULL") {
            return self.drop_nexus(wwn, tag);
        }
        let nexus = Wwn::parse(line).ok().filter(|_| line.starts_with("naa.")).ok_or(Errno::INVAL)?;
        for _ in 0..PORT_ATTEMPTS_MAX {
            let changes = self.with_nexus(wwn, tag, &nexus)?;
            match self.daemon.apply(changes) {
                Ok(()) => return Ok(()),
                Err(crate::Denied::Refused(Refusal::RelativePortInUse { .. })) => {}
                Err(denied) => {
                    self.tell(&format!("set the nexus of {wwn}/tpgt_{tag}"), &denied);
                    return Err(denied.errno());
                }
            }
        }
        Err(Errno::AGAIN)
    }

    /// A staged target port group, whole: with its nexus, and its LUNs as far as they are linked.
    fn with_nexus(&self, wwn: &Wwn, tag: TpgTag, nexus: &Wwn) -> Result<Vec<Change>, Errno> {
        let staged = self.staged();
        if staged.model.tpg(wwn, tag).is_ok() {
            return Err(Errno::EXIST);
        }
        let port = staged.model.free_relative_ports().next().ok_or(Errno::NOSPC)?;
        let tpg = Tpg::new(nexus.clone(), port);
        let mut changes = vec![Change::CreateTpg { wwn: wwn.clone(), tag, tpg }];
        for (lun, link) in staged.luns_of(wwn, tag) {
            if let Some(Link { alias, backstore, alua }) = link.clone() {
                let mapping = LunMapping { backstore, alias, write_protect: false, alua };
                changes.push(Change::MapLun { wwn: wwn.clone(), tag, lun, mapping });
            }
        }
        Ok(changes)
    }

    fn drop_nexus(&self, wwn: &Wwn, tag: TpgTag) -> Result<(), Errno> {
        let busy = self.view(|view| {
            let tpg = view.staged.model.tpg(wwn, tag).map_err(|_| Errno::NODEV)?;
            Ok(!tpg.luns.is_empty() || !tpg.acls.is_empty() || view.connected(wwn))
        })?;
        if busy {
            return Err(Errno::BUSY);
        }
        self.ask(
            &format!("drop the nexus of {wwn}/tpgt_{tag}"),
            vec![Change::DeleteTpg { wwn: wwn.clone(), tag }],
        )?;
        // It stays, without a nexus.
        let mut staged = self.staged();
        if staged.model.target(wwn).is_ok_and(|target| !target.tpgs.contains_key(&tag)) {
            staged.tpgs.insert((wwn.clone(), tag));
        }
        Ok(())
    }

    fn store_write_protect(&self, acl: &AclPlace, lun: Lun, line: &str) -> Result<(), Errno> {
        let write_protect = number(line)? != 0;
        match self.view(|view| view.mapped(acl, lun).map(|mapped| mapped.write_protect)) {
            // A session shows what is so, and one that is not linked yet nothing.
            None => must_be(!write_protect),
            Some(before) if before == write_protect => Ok(()),
            Some(_) => {
                let change = Change::ProtectAclLun { acl: acl.clone(), lun, write_protect };
                self.ask(&format!("set write_protect of {acl}/lun_{lun}"), vec![change])
            }
        }
    }
}

/// EINVAL unless.
fn must_be(sensible: bool) -> Result<(), Errno> {
    if sensible { Ok(()) } else { Err(Errno::INVAL) }
}

/// What an enabled backstore was told.
fn control_of(backstore: &Backstore) -> Control {
    let path = backstore.medium.path().cloned();
    match &backstore.medium {
        Medium::Block { read_only, .. } => Control { path, read_only: *read_only, ..Control::default() },
        Medium::Fileio { size_bytes, .. } => Control {
            path,
            size_bytes: *size_bytes,
            buffered: backstore.is_own_on(model::Key::EmulateWriteCache),
            ..Control::default()
        },
        Medium::Ramdisk { size_bytes, nullio } => {
            Control { pages: Some(size_bytes.get() / PAGE_BYTES), nullio: *nullio, ..Control::default() }
        }
    }
}

/// A serial number for a backstore that was given none: guests tell disks apart by it.
fn made_up_serial() -> Result<UnitSerial, Errno> {
    UnitSerial::parse(&uuid::Uuid::new_v4().to_string()).map_err(|_| Errno::IO)
}
