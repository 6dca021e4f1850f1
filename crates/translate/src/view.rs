// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration as the API shows it: what is wanted together with what is live.
//!
//! Above: the doors of `lunard`, `kernel-target`.  Below: `model`, [`Live`], the wire types.
//! Never here: a change.

use crate::live::{Live, LiveBackstore, LiveDevice, LiveSpace, LiveTarget, LiveWaiting, guest_socket};
use crate::wish::Made;
use api::v1;
use model::{
    ALUA_ATTRIBUTES, ATTRIBUTES, Acl, AluaGroup, AluaGroupName, AluaKey, Attribute, Backstore, BackstoreId,
    CompletionAffinity, IDENTITY_FIELDS, Key, Kind, LbaMap, LunAlua, LunMapping, MappedLun, Medium, Model,
    Place, TARGET_OPTIONS, Target, TargetOptions, Tpg, UNIT_SERIAL_FILE, Wwn,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Everything that one answer is made from.
#[derive(Debug)]
pub struct View<'a> {
    model: &'a Model,
    live: &'a Live,
    runtime_dir: &'a Path,
    shown: BTreeSet<&'a BackstoreId>,
    /// By backstore and ALUA group.
    members: BTreeMap<(&'a BackstoreId, &'a AluaGroupName), Vec<Place>>,
}

impl<'a> View<'a> {
    /// A view of this model over this machine.  What the machine does not know (yet, or any more) is
    /// shown as the model has it.
    #[must_use]
    pub fn new(model: &'a Model, live: &'a Live, runtime_dir: &'a Path) -> Self {
        let mut members: BTreeMap<_, Vec<Place>> = BTreeMap::new();
        for (place, mapping) in model.mappings() {
            members.entry((&mapping.backstore, &mapping.alua.group)).or_default().push(place);
        }
        Self { model, live, runtime_dir, shown: model.shown(), members }
    }

    /// All of it.
    #[must_use]
    pub fn config(&self) -> v1::Config {
        v1::Config {
            backstores: self.model.backstores().values().map(|backstore| self.backstore(backstore)).collect(),
            targets: self.model.targets().iter().map(|(wwn, target)| self.target(wwn, target)).collect(),
            lu_groups: self.model.lu_groups().iter().map(lu_group).collect(),
        }
    }

    /// What to tell of a wish that came true.
    #[must_use]
    pub fn outcome(&self, made: Made) -> v1::Outcome {
        match made {
            Made::Backstore(id, notes) => match self.model.backstores().get(&id) {
                Some(backstore) => {
                    v1::Outcome::BackstoreCreated { backstore: self.backstore(backstore), notes }
                }
                // Deleted by a later change of the same transaction.
                None => v1::Outcome::Done,
            },
            Made::Target(wwn) => match self.model.targets().get(&wwn) {
                Some(target) => v1::Outcome::TargetCreated { target: self.target(&wwn, target) },
                None => v1::Outcome::Done,
            },
            Made::Tpg(tag) => v1::Outcome::TpgCreated { tag: tag.get().into() },
            Made::Lun(lun) => v1::Outcome::LunMapped { lun: lun.get() },
            Made::AclLun(lun) => v1::Outcome::AclLunMapped { lun: lun.get() },
            Made::Attribute(value) => v1::Outcome::AttributeSet { value: value.to_string() },
            Made::Identity(value) => v1::Outcome::AttributeSet { value },
            Made::Option(value) => v1::Outcome::OptionSet { value: value.to_string() },
            Made::AluaGroup(group_id) => v1::Outcome::AluaGroupCreated { group_id },
            Made::Nothing => v1::Outcome::Done,
        }
    }

    fn backstore(&self, backstore: &Backstore) -> v1::Backstore {
        let id = backstore.id();
        let live = self.live.backstores.get(&id);
        let (wanted_read_only, nullio) = match &backstore.medium {
            Medium::Block { read_only, .. } => (read_only.unwrap_or(false), false),
            Medium::Fileio { .. } => (false, false),
            Medium::Ramdisk { nullio, .. } => (false, *nullio),
        };
        v1::Backstore {
            path: backstore.medium.path().map(|path| path.as_str().to_owned()),
            unit_serial: backstore.unit_serial.as_str().to_owned(),
            size_bytes: size_bytes(backstore, live),
            block_bytes: block_bytes(backstore, live),
            read_only: live.map_or(wanted_read_only, |live| live.read_only),
            write_back: live.map_or(backstore.write_back() == Some(true), |live| live.write_back),
            nullio,
            state: self.state(&id, live),
            attributes: attributes(backstore, live),
            identity: identity(backstore),
            device: live.and_then(|live| live.device.as_ref()).map(device),
            space: live.and_then(|live| live.space.as_ref()).map(space),
            alua_groups: self.alua_groups(backstore),
            lu_group: backstore.lu_group.as_str().to_owned(),
            lba_map: backstore.alua.lba_map().map(LbaMap::to_string),
            id: wire_id(&id),
        }
    }

    fn alua_groups(&self, backstore: &Backstore) -> Vec<v1::AluaGroup> {
        let id = backstore.id();
        let group = |(name, group): (&AluaGroupName, &AluaGroup)| {
            let attributes = ALUA_ATTRIBUTES.iter();
            let members = self.members.get(&(&id, name)).map(Vec::as_slice).unwrap_or_default();
            v1::AluaGroup {
                name: name.as_str().to_owned(),
                group_id: group.id,
                attributes: attributes
                    .map(|row| (row.name.to_owned(), self.alua_value(&id, group, row.key).to_string()))
                    .collect(),
                members: members.iter().map(member).collect(),
            }
        };
        backstore.alua.iter().map(group).collect()
    }

    /// As it is now: a group between two states is in neither.
    fn alua_value(&self, id: &BackstoreId, group: &AluaGroup, key: AluaKey) -> u32 {
        let live = self.live.backstores.get(id);
        let between = || live.is_some_and(|live| live.transitioning.contains(&group.id));
        if key == AluaKey::AccessState && between() { AluaGroup::TRANSITIONING } else { group.get(key) }
    }

    fn state(&self, id: &BackstoreId, live: Option<&LiveBackstore>) -> v1::BackstoreState {
        if live.is_some_and(|live| live.missing) {
            v1::BackstoreState::Missing
        } else if live.is_some_and(|live| live.ejected) {
            v1::BackstoreState::Ejected
        } else if live.is_some_and(|live| live.stopped) {
            v1::BackstoreState::Stopped
        } else if self.shown.contains(id) {
            v1::BackstoreState::Activated
        } else {
            v1::BackstoreState::Deactivated
        }
    }

    fn target(&self, wwn: &Wwn, target: &Target) -> v1::Target {
        let live = self.live.targets.get(wwn);
        let socket = live.map_or_else(|| guest_socket(self.runtime_dir, wwn), |live| live.socket.clone());
        let Target { tpgs, options, completion_affinity } = target;
        let parameter = (CompletionAffinity::NAME.to_owned(), completion_affinity.to_string());
        v1::Target {
            wwn: wwn.as_str().to_owned(),
            socket: socket.to_string_lossy().into_owned(),
            socket_fault: live.and_then(|live| live.socket_fault.clone()),
            connected: live.is_some_and(|live| live.connected),
            options: self::options(options),
            parameters: BTreeMap::from([parameter]),
            tpgs: tpgs.iter().map(|(tag, group)| tpg(tag.get().into(), group, live)).collect(),
        }
    }
}

/// The capacity in bytes: as it is, else as it was last seen, else 0.
#[must_use]
pub fn size_bytes(backstore: &Backstore, live: Option<&LiveBackstore>) -> u64 {
    let wanted = || backstore.medium.size_bytes().unwrap_or(0);
    live.map_or_else(wanted, |live| live.size_bytes)
}

/// The size of a logical block in bytes.
#[must_use]
pub fn block_bytes(backstore: &Backstore, live: Option<&LiveBackstore>) -> u32 {
    live.map_or_else(|| backstore.block_bytes().unwrap_or(512), |live| live.block_bytes)
}

/// The value of an attribute, asking the device where it decides.
#[must_use]
pub fn attribute(backstore: &Backstore, live: Option<&LiveBackstore>, row: &Attribute) -> u32 {
    let device = live.and_then(|live| live.device.as_ref());
    backstore.attribute(row.key).unwrap_or_else(|| match row.key {
        Key::BlockSize => block_bytes(backstore, live),
        Key::HwBlockSize => device.map_or_else(|| block_bytes(backstore, live), |device| device.block_bytes),
        Key::PhysicalBlockSize => live.map_or(512, |live| live.physical_block_bytes),
        Key::HwMaxSectors | Key::OptimalSectors => {
            model::TRANSFER_BYTES_MAX / block_bytes(backstore, live).max(1)
        }
        Key::IsNonrot => device.map_or(0, |device| u32::from(!device.rotational)),
        _ => 0,
    })
}

fn attributes(backstore: &Backstore, live: Option<&LiveBackstore>) -> BTreeMap<String, String> {
    let listed = ATTRIBUTES.iter().filter(|row| row.is_listed());
    listed.map(|row| (row.name.to_owned(), attribute(backstore, live, row).to_string())).collect()
}

fn identity(backstore: &Backstore) -> BTreeMap<String, String> {
    let said = IDENTITY_FIELDS.iter().map(|row| (row.name.to_owned(), backstore.identity_text(row.key)));
    said.chain([(UNIT_SERIAL_FILE.to_owned(), backstore.unit_serial.to_string())]).collect()
}

fn options(options: &TargetOptions) -> BTreeMap<String, String> {
    TARGET_OPTIONS.iter().map(|row| (row.name.to_owned(), options.get(row.key).to_string())).collect()
}

fn member(place: &Place) -> v1::AluaMember {
    let Place { wwn, tag, lun } = place;
    v1::AluaMember { wwn: wwn.as_str().to_owned(), tag: tag.get().into(), lun: lun.get() }
}

fn lu_group((name, id): (&AluaGroupName, &u16)) -> v1::LuGroup {
    v1::LuGroup { name: name.as_str().to_owned(), group_id: *id }
}

fn space(space: &LiveSpace) -> v1::Space {
    let LiveSpace { total_bytes, available_bytes, used_bytes, is_scarce } = *space;
    v1::Space { total_bytes, available_bytes, used_bytes, scarce: is_scarce }
}

fn device(device: &LiveDevice) -> v1::BlockDevice {
    // The rest shows as attributes.
    let LiveDevice { name, major, minor, block_bytes: _, rotational: _ } = device;
    v1::BlockDevice { name: name.clone(), major: *major, minor: *minor }
}

fn tpg(tag: u16, group: &Tpg, live: Option<&LiveTarget>) -> v1::Tpg {
    // The relative port is the target's own affair.
    let Tpg { nexus, relative_port: _, luns, acls } = group;
    let lun = |(lun, mapping): (&model::Lun, &LunMapping)| {
        let LunMapping { backstore, alias, write_protect, alua } = mapping;
        let LunAlua { group, offline, status, write_metadata } = alua;
        v1::Lun {
            alua: v1::LunAlua {
                group: group.as_str().to_owned(),
                offline: *offline,
                status: status.number(),
                write_metadata: *write_metadata,
            },
            lun: lun.get(),
            backstore: wire_id(backstore),
            alias: alias.as_str().to_owned(),
            write_protect: *write_protect,
        }
    };
    v1::Tpg {
        tag,
        nexus: nexus.as_str().to_owned(),
        luns: luns.iter().map(lun).collect(),
        acls: acls.iter().map(acl).collect(),
        waiting: live.map_or_else(Vec::new, |live| waiting(tag, live)),
    }
}

/// Where commands have waited for long; queues on several threads may each tell of a LUN.
fn waiting(tag: u16, live: &LiveTarget) -> Vec<v1::Waiting> {
    let mut by_lun: BTreeMap<u16, v1::Waiting> = BTreeMap::new();
    for found in live.waiting.iter().filter(|found| found.tag == tag) {
        let LiveWaiting { tag: _, lun, command, since, commands } = found;
        let (lun, seconds) = (*lun, since.as_secs());
        let commands = u64::try_from(*commands).unwrap_or(u64::MAX);
        let told =
            by_lun.entry(lun).or_insert(v1::Waiting { lun, command: String::new(), seconds: 0, commands: 0 });
        told.commands = told.commands.saturating_add(commands);
        if seconds >= told.seconds {
            (told.seconds, told.command) = (seconds, (*command).to_owned());
        }
    }
    by_lun.into_values().collect()
}

fn acl((initiator, acl): (&Wwn, &Acl)) -> v1::Acl {
    let Acl { luns } = acl;
    let mapped = |(lun, mapped): (&model::Lun, &MappedLun)| {
        let MappedLun { of, alias, write_protect } = mapped;
        v1::MappedLun {
            lun: lun.get(),
            of: of.get(),
            alias: alias.as_str().to_owned(),
            write_protect: *write_protect,
        }
    };
    v1::Acl { initiator: initiator.as_str().to_owned(), luns: luns.iter().map(mapped).collect() }
}

/// The API's word for a kind.
#[must_use]
pub fn wire_kind(kind: Kind) -> v1::Kind {
    match kind {
        Kind::Block => v1::Kind::Block,
        Kind::Fileio => v1::Kind::Fileio,
        Kind::Ramdisk => v1::Kind::Ramdisk,
    }
}

fn wire_id(id: &BackstoreId) -> v1::BackstoreId {
    let BackstoreId { kind, name } = id;
    v1::BackstoreId { kind: wire_kind(*kind), name: name.as_str().to_owned() }
}
