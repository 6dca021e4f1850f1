// SPDX-License-Identifier: Apache-2.0 OR MIT
//! THE list of places in the tree: which directories there are, and which files and directories each has from
//! the moment it is made.
//!
//! Above: `tree` (what is there), `text` (what files say), `store` and `make` (what may be done).
//! Below: `model`'s names.
//! Never here: whether a backstore, target or LUN exists.

use model::{
    ALUA_ATTRIBUTES, ATTRIBUTES, Access, AclPlace, AluaGroupName, Attribute, BackstoreId, BackstoreName,
    Kind, Lun, Place, TpgTag, Wwn,
};
use std::fmt;
use std::sync::LazyLock;

/// One HBA: `iblock_0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hba {
    pub(crate) kind: Kind,
    pub(crate) number: u32,
}

/// LIO's word for a kind of backstore.
pub(crate) fn plugin(kind: Kind) -> &'static str {
    match kind {
        Kind::Block => "iblock",
        Kind::Fileio => "fileio",
        Kind::Ramdisk => "rd_mcp",
    }
}

impl Hba {
    /// From the name of its directory.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (word, number) = name.rsplit_once('_')?;
        let kind = Kind::ALL.into_iter().find(|kind| plugin(*kind) == word)?;
        Some(Self { kind, number: decimal(number)? })
    }
}

impl fmt::Display for Hba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", plugin(self.kind), self.number)
    }
}

/// A number as a name of a directory has it: one way to write each.
pub(crate) fn decimal<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
    text.parse::<N>().ok().filter(|number| number.to_string() == text)
}

/// One backstore's directory, configured or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Device {
    pub(crate) hba: Hba,
    pub(crate) name: BackstoreName,
}

impl Device {
    pub(crate) fn id(&self) -> BackstoreId {
        BackstoreId { kind: self.hba.kind, name: self.name.clone() }
    }
}

/// A directory of the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Dir {
    Root,
    Top,
    Core,
    CoreAlua,
    LuGroups,
    LuGroup(AluaGroupName),
    Hba(Hba),
    Device(Device, DevicePart),
    /// A target port group of a backstore.
    AluaGroup(Device, AluaGroupName),
    Vhost,
    DiscoveryAuth,
    Target(Wwn, TargetPart),
    Tpg(Wwn, TpgTag, TpgPart),
    Lun(Place, LunPart),
    /// An access control list, or the guest's session under its nexus.
    Acl(AclPlace, AclPart),
    /// A mapped LUN of it, or its statistics.
    AclLun(AclPlace, Lun, bool),
    Iscsi,
    IscsiAuth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DevicePart {
    Whole,
    Action,
    Alua,
    Attrib,
    Pr,
    Statistics,
    ScsiDev,
    ScsiLu,
    ScsiTgtDev,
    Wwn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TargetPart {
    Whole,
    FabricStatistics,
    Param,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TpgPart {
    Whole,
    Acls,
    Attrib,
    Auth,
    Luns,
    Np,
    Param,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LunPart {
    Whole,
    Statistics,
    ScsiPort,
    ScsiTgtPort,
    ScsiTransport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum AclPart {
    Whole,
    Attrib,
    Auth,
    FabricStatistics,
    Param,
}

/// Whatever has a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Dir(Dir),
    /// In which directory, and its name.
    File(Dir, &'static str),
    /// A LUN's link, or that of a mapped LUN: in which directory, and its name.
    Link(Dir, String),
}

/// A file: its name and mode.
pub(crate) type FileRow = (&'static str, u16);

const RW: u16 = 0o644;
const RO: u16 = 0o444;
const WO: u16 = 0o200;

const TOP: &[FileRow] = &[("dbroot", RW), ("version", RO)];
const LU_GROUP: &[FileRow] = &[("lu_gp_id", RW), ("members", RO)];
const HBA: &[FileRow] = &[("hba_info", RO), ("hba_mode", RW)];
/// What LIO has there.
const DEVICE: &[FileRow] = &[
    ("alias", RW),
    ("alua_lu_gp", RW),
    ("control", WO),
    ("enable", RW),
    ("info", RO),
    ("lba_map", RW),
    ("udev_path", RW),
];
const PR: &[FileRow] = &[
    ("res_aptpl_active", RO),
    ("res_aptpl_metadata", RW),
    ("res_holder", RO),
    ("res_pr_all_tgt_pts", RO),
    ("res_pr_generation", RO),
    ("res_pr_holder_tg_port", RO),
    ("res_pr_registered_i_pts", RO),
    ("res_pr_type", RO),
    ("res_type", RO),
];
const SCSI_DEV: &[FileRow] = &[("indx", RO), ("inst", RO), ("ports", RO), ("role", RO)];
const SCSI_LU: &[FileRow] = &[
    ("creation_time", RO),
    ("dev", RO),
    ("dev_type", RO),
    ("full_stat", RO),
    ("hs_num_cmds", RO),
    ("indx", RO),
    ("inst", RO),
    ("lu_name", RO),
    ("lun", RO),
    ("num_cmds", RO),
    ("prod", RO),
    ("read_mbytes", RO),
    ("resets", RO),
    ("rev", RO),
    ("state_bit", RO),
    ("status", RO),
    ("vend", RO),
    ("write_mbytes", RO),
];
const SCSI_TGT_DEV: &[FileRow] = &[
    ("aborts_complete", RO),
    ("aborts_no_task", RO),
    ("indx", RO),
    ("inst", RO),
    ("non_access_lus", RO),
    ("num_lus", RO),
    ("resets", RO),
    ("status", RO),
];
const WWN: &[FileRow] = &[
    ("company_id", RW),
    ("pd_text_id_info", RW),
    ("product_id", RW),
    ("revision", RW),
    ("vendor_id", RW),
    ("vpd_assoc_logical_unit", RO),
    ("vpd_assoc_scsi_target_device", RO),
    ("vpd_assoc_target_port", RO),
    ("vpd_protocol_identifier", RO),
    ("vpd_unit_serial", RW),
];
const LUN: &[FileRow] = &[
    ("alua_tg_pt_gp", RW),
    ("alua_tg_pt_offline", RW),
    ("alua_tg_pt_status", RW),
    ("alua_tg_pt_write_md", RW),
];
const SCSI_PORT: &[FileRow] = &[("busy_count", RO), ("dev", RO), ("indx", RO), ("inst", RO), ("role", RO)];
const SCSI_TGT_PORT: &[FileRow] = &[
    ("dev", RO),
    ("hs_in_cmds", RO),
    ("in_cmds", RO),
    ("indx", RO),
    ("inst", RO),
    ("name", RO),
    ("port_index", RO),
    ("read_mbytes", RO),
    ("write_mbytes", RO),
];
const SCSI_TRANSPORT: &[FileRow] =
    &[("dev_name", RO), ("device", RO), ("indx", RO), ("inst", RO), ("proto_id", RO)];
const ISCSI: &[FileRow] = &[("cpus_allowed_list", RW), ("lio_version", RO)];
const ISCSI_AUTH: &[FileRow] = &[
    ("authenticate_target", RO),
    ("enforce_discovery_auth", RW),
    ("password", RW),
    ("password_mutual", RW),
    ("userid", RW),
    ("userid_mutual", RW),
];

/// The attribute that `model` has no row for: no medium here protects its data.
pub(crate) const HW_PI_PROT_TYPE: &str = "hw_pi_prot_type";

/// The attribute that LIO has since [`RSOC_SINCE`].  There it is with the others; where the kernel is older it is beside
/// them, as those that LIO has none of: its tools save whatever can be written in `attrib`, and complain of what they do
/// not find when they restore it.
pub(crate) const RSOC: &str = "emulate_rsoc";

/// Linux 6.3.
pub(crate) const RSOC_SINCE: (u32, u32) = (6, 3);

/// A device's directory, with the attributes that LIO has none of.
fn device_rows(kind: Kind) -> Vec<FileRow> {
    let own = ATTRIBUTES.iter().filter(|row| row.is_own() || row.is_newer());
    let mode = |row: &Attribute| if row.is_settable_on(kind) { RW } else { RO };
    let mut rows: Vec<FileRow> = own.map(|row| (row.name, mode(row))).chain(DEVICE.iter().copied()).collect();
    rows.sort_unstable();
    rows
}

static BLOCK_DEVICE: LazyLock<Vec<FileRow>> = LazyLock::new(|| device_rows(Kind::Block));
/// Files and memory say no attribute of LIO's by themselves.
static OTHER_DEVICE: LazyLock<Vec<FileRow>> = LazyLock::new(|| device_rows(Kind::Fileio));

static ATTRIB: LazyLock<Vec<FileRow>> = LazyLock::new(|| {
    let mode = |access| if access == Access::ReadOnly { RO } else { RW };
    let lios = ATTRIBUTES.iter().filter(|row| !row.is_own());
    let mut rows: Vec<FileRow> = lios.map(|row| (row.name, mode(row.access))).collect();
    rows.push((HW_PI_PROT_TYPE, RO));
    rows.sort_unstable();
    rows
});
static ALUA_FILES: LazyLock<Vec<FileRow>> = LazyLock::new(|| {
    let mut rows: Vec<FileRow> = ALUA_ATTRIBUTES.iter().map(|row| (row.name, RW)).collect();
    rows.extend([("members", RO), ("tg_pt_gp_id", RW)]);
    rows.sort_unstable();
    rows
});

impl Dir {
    /// The files it has, by name; of [`RSOC`] in two places one is there.
    pub(crate) fn files(&self) -> &'static [FileRow] {
        match self {
            Self::Top => TOP,
            Self::LuGroup(_) => LU_GROUP,
            Self::Hba(_) => HBA,
            Self::Device(device, DevicePart::Whole) if device.hba.kind == Kind::Block => &BLOCK_DEVICE,
            Self::Device(_, DevicePart::Whole) => &OTHER_DEVICE,
            Self::AluaGroup(..) => &ALUA_FILES,
            Self::Device(_, DevicePart::Attrib) => &ATTRIB,
            Self::Device(_, DevicePart::Pr) => PR,
            Self::Device(_, DevicePart::ScsiDev) => SCSI_DEV,
            Self::Device(_, DevicePart::ScsiLu) => SCSI_LU,
            Self::Device(_, DevicePart::ScsiTgtDev) => SCSI_TGT_DEV,
            Self::Device(_, DevicePart::Wwn) => WWN,
            Self::Vhost => &[("version", RO)],
            Self::Target(_, TargetPart::Param) => &[("cmd_completion_affinity", RW)],
            Self::Tpg(_, _, TpgPart::Whole) => &[("nexus", RW)],
            Self::Tpg(_, _, TpgPart::Attrib) => &[("fabric_prot_type", RW)],
            Self::Lun(_, LunPart::Whole) => LUN,
            Self::Lun(_, LunPart::ScsiPort) => SCSI_PORT,
            Self::Lun(_, LunPart::ScsiTgtPort) => SCSI_TGT_PORT,
            Self::Lun(_, LunPart::ScsiTransport) => SCSI_TRANSPORT,
            Self::Acl(_, AclPart::Whole) => &[("info", RO)],
            Self::Acl(_, AclPart::Auth) => &[("authenticate_target", RO)],
            Self::AclLun(_, _, false) => &[("write_protect", RW)],
            Self::Iscsi => ISCSI,
            Self::IscsiAuth => ISCSI_AUTH,
            Self::Root
            | Self::Core
            | Self::CoreAlua
            | Self::LuGroups
            | Self::Device(_, DevicePart::Action | DevicePart::Alua | DevicePart::Statistics)
            | Self::DiscoveryAuth
            | Self::Target(..)
            | Self::Tpg(..)
            | Self::Lun(_, LunPart::Statistics)
            | Self::Acl(..)
            | Self::AclLun(_, _, true) => &[],
        }
    }

    /// The directories that come with it, by name.
    pub(crate) fn groups(&self) -> &'static [&'static str] {
        match self {
            Self::Root => &["target"],
            Self::Top => &["core"],
            Self::Core => &["alua"],
            Self::CoreAlua => &["lu_gps"],
            Self::LuGroups => &["default_lu_gp"],
            Self::Device(_, DevicePart::Whole) => &["action", "alua", "attrib", "pr", "statistics", "wwn"],
            Self::Device(_, DevicePart::Alua) => &["default_tg_pt_gp"],
            Self::Device(_, DevicePart::Statistics) => &["scsi_dev", "scsi_lu", "scsi_tgt_dev"],
            Self::Vhost | Self::Iscsi => &["discovery_auth"],
            Self::Target(_, TargetPart::Whole) => &["fabric_statistics", "param"],
            Self::Tpg(_, _, TpgPart::Whole) => &["acls", "attrib", "auth", "lun", "np", "param"],
            Self::Lun(_, LunPart::Whole) | Self::AclLun(_, _, false) => &["statistics"],
            Self::Lun(_, LunPart::Statistics) => &["scsi_port", "scsi_tgt_port", "scsi_transport"],
            Self::Acl(_, AclPart::Whole) => &["attrib", "auth", "fabric_statistics", "param"],
            _ => &[],
        }
    }

    /// One of [`Dir::groups`].
    pub(crate) fn group(&self, name: &str) -> Option<Self> {
        let device = |device: &Device, part| Some(Self::Device(device.clone(), part));
        match (self, name) {
            (Self::Root, "target") => Some(Self::Top),
            (Self::Top, "core") => Some(Self::Core),
            (Self::Core, "alua") => Some(Self::CoreAlua),
            (Self::CoreAlua, "lu_gps") => Some(Self::LuGroups),
            (Self::LuGroups, "default_lu_gp") => Some(Self::LuGroup(AluaGroupName::default_lu_group())),
            (Self::Device(of, DevicePart::Whole), "action") => device(of, DevicePart::Action),
            (Self::Device(of, DevicePart::Whole), "alua") => device(of, DevicePart::Alua),
            (Self::Device(of, DevicePart::Whole), "attrib") => device(of, DevicePart::Attrib),
            (Self::Device(of, DevicePart::Whole), "pr") => device(of, DevicePart::Pr),
            (Self::Device(of, DevicePart::Whole), "statistics") => device(of, DevicePart::Statistics),
            (Self::Device(of, DevicePart::Whole), "wwn") => device(of, DevicePart::Wwn),
            (Self::Device(of, DevicePart::Alua), "default_tg_pt_gp") => {
                Some(Self::AluaGroup(of.clone(), AluaGroupName::default_group()))
            }
            (Self::Device(of, DevicePart::Statistics), "scsi_dev") => device(of, DevicePart::ScsiDev),
            (Self::Device(of, DevicePart::Statistics), "scsi_lu") => device(of, DevicePart::ScsiLu),
            (Self::Device(of, DevicePart::Statistics), "scsi_tgt_dev") => device(of, DevicePart::ScsiTgtDev),
            (Self::Vhost, "discovery_auth") => Some(Self::DiscoveryAuth),
            (Self::Iscsi, "discovery_auth") => Some(Self::IscsiAuth),
            (Self::AclLun(acl, lun, false), "statistics") => Some(Self::AclLun(acl.clone(), *lun, true)),
            _ => self.group_of_target(name),
        }
    }

    fn group_of_target(&self, name: &str) -> Option<Self> {
        Some(match (self, name) {
            (Self::Target(wwn, TargetPart::Whole), "fabric_statistics") => {
                Self::Target(wwn.clone(), TargetPart::FabricStatistics)
            }
            (Self::Target(wwn, TargetPart::Whole), "param") => Self::Target(wwn.clone(), TargetPart::Param),
            (Self::Tpg(wwn, tag, TpgPart::Whole), name) => {
                let part = match name {
                    "acls" => TpgPart::Acls,
                    "attrib" => TpgPart::Attrib,
                    "auth" => TpgPart::Auth,
                    "lun" => TpgPart::Luns,
                    "np" => TpgPart::Np,
                    "param" => TpgPart::Param,
                    _ => return None,
                };
                Self::Tpg(wwn.clone(), *tag, part)
            }
            (Self::Lun(place, LunPart::Whole), "statistics") => Self::Lun(place.clone(), LunPart::Statistics),
            (Self::Lun(place, LunPart::Statistics), name) => {
                let part = match name {
                    "scsi_port" => LunPart::ScsiPort,
                    "scsi_tgt_port" => LunPart::ScsiTgtPort,
                    "scsi_transport" => LunPart::ScsiTransport,
                    _ => return None,
                };
                Self::Lun(place.clone(), part)
            }
            (Self::Acl(place, AclPart::Whole), name) => {
                let part = match name {
                    "attrib" => AclPart::Attrib,
                    "auth" => AclPart::Auth,
                    "fabric_statistics" => AclPart::FabricStatistics,
                    "param" => AclPart::Param,
                    _ => return None,
                };
                Self::Acl(place.clone(), part)
            }
            _ => return None,
        })
    }

    /// Whether it has all that it will ever have from the moment it is made: nothing comes there, and nothing goes.
    pub(crate) fn is_fixed(&self) -> bool {
        match self {
            Self::Top
            | Self::Core
            | Self::LuGroups
            | Self::Hba(_)
            | Self::Device(_, DevicePart::Alua)
            | Self::Vhost
            | Self::Target(_, TargetPart::Whole)
            | Self::Tpg(_, _, TpgPart::Acls | TpgPart::Luns | TpgPart::Np)
            | Self::Lun(_, LunPart::Whole)
            | Self::Acl(_, AclPart::Whole)
            | Self::AclLun(_, _, false)
            | Self::Iscsi => false,
            Self::Root
            | Self::CoreAlua
            | Self::LuGroup(_)
            | Self::Device(..)
            | Self::AluaGroup(..)
            | Self::DiscoveryAuth
            | Self::Target(..)
            | Self::Tpg(..)
            | Self::Lun(..)
            | Self::Acl(..)
            | Self::AclLun(..)
            | Self::IscsiAuth => true,
        }
    }

    /// The name of a file that it has.
    pub(crate) fn file(&self, name: &str) -> Option<&'static str> {
        self.files().iter().find(|(known, _)| *known == name).map(|(known, _)| *known)
    }

    /// The mode of one of its files.
    pub(crate) fn mode(&self, file: &str) -> u16 {
        self.files().iter().find(|(known, _)| *known == file).map_or(0, |(_, mode)| *mode)
    }
}

/// From `tpgt_1`.
pub(crate) fn parse_tpg(name: &str) -> Option<TpgTag> {
    decimal(name.strip_prefix("tpgt_")?).map(TpgTag::new)
}

/// From `lun_0`.
pub(crate) fn parse_lun(name: &str) -> Option<Lun> {
    Lun::parse(decimal(name.strip_prefix("lun_")?)?).ok()
}

/// From the name of a directory, which must be written as it is shown.
pub(crate) fn parse_wwn(name: &str) -> Option<Wwn> {
    Wwn::parse(name).ok().filter(|wwn| wwn.as_str() == name)
}

/// One directory of each kind.
#[cfg(test)]
pub(crate) fn one_of_each() -> Vec<Dir> {
    let mut all = tests::made();
    let mut at = 0;
    while let Some(dir) = all.get(at).cloned() {
        all.extend(dir.groups().iter().map(|name| dir.group(name).expect(name)));
        at += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root, and one of each kind of directory that somebody makes.
    pub(super) fn made() -> Vec<Dir> {
        let wwn = Wwn::made_up(1);
        let hba = Hba { kind: Kind::Fileio, number: 0 };
        let device = Device { hba, name: BackstoreName::parse("disk0").unwrap() };
        let place = Place { wwn: wwn.clone(), tag: TpgTag::new(1), lun: Lun::parse(0).unwrap() };
        let acl = AclPlace { wwn: wwn.clone(), tag: TpgTag::new(1), initiator: Wwn::made_up(2) };
        vec![
            Dir::Root,
            Dir::Vhost,
            Dir::Iscsi,
            Dir::Device(device, DevicePart::Whole),
            Dir::Target(wwn.clone(), TargetPart::Whole),
            Dir::Tpg(wwn.clone(), TpgTag::new(1), TpgPart::Whole),
            Dir::Lun(place.clone(), LunPart::Whole),
            Dir::Acl(acl.clone(), AclPart::Whole),
            Dir::AclLun(acl, place.lun, false),
        ]
    }

    #[test]
    fn every_group_that_is_listed_is_found() {
        let all = one_of_each();
        assert!(all.iter().all(|dir| dir.group("nothing").is_none()));
        assert_eq!(all.len(), 43);
    }

    #[test]
    fn one_attribute_of_lios_is_newer() {
        let newer = ATTRIBUTES.iter().filter(|row| row.is_newer()).map(|row| row.name);
        assert_eq!(newer.collect::<Vec<_>>(), [RSOC]);
        for kind in [Kind::Fileio, Kind::Ramdisk] {
            assert_eq!(device_rows(kind), *OTHER_DEVICE);
        }
    }

    #[test]
    fn names_of_directories_are_written_in_one_way() {
        assert_eq!(Hba::parse("rd_mcp_12"), Some(Hba { kind: Kind::Ramdisk, number: 12 }));
        for bad in ["fileio", "fileio_", "fileio_x", "fileio_01", "fileio_+1", "pscsi_0", "alua", "_0"] {
            assert_eq!(Hba::parse(bad), None, "{bad}");
        }
        assert_eq!(parse_tpg("tpgt_255"), Some(TpgTag::new(255)));
        for bad in ["tpgt_256", "tpgt_x", "tpgt_01", "tpgt_", "tpg_1"] {
            assert_eq!(parse_tpg(bad), None, "{bad}");
        }
        assert_eq!(parse_lun("lun_16383").map(Lun::get), Some(16383));
        for bad in ["lun_16384", "lun_-1", "lun_00", "foo"] {
            assert_eq!(parse_lun(bad), None, "{bad}");
        }
        assert!(parse_wwn("naa.5001405aabbccdd0").is_some());
        assert!(parse_wwn("naa.5001405AABBCCDD0").is_none());
    }
}
