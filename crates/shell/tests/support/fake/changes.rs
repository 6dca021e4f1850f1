// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What changes make of the configuration of a daemon in memory.
//!
//! Above: `fake`.  Below: nothing.
//! Never here: what else a daemon is asked.

use super::{FAKE_SERIAL, State, options, parameters};
use api::v1::{
    Acl, AluaGroup, AluaMember, Backstore, BackstoreId, BackstoreState, Change, CreateBackstore, Kind, Lun,
    LunAlua, MappedLun, Outcome, Problem, Target, Tpg,
};
use std::collections::BTreeMap;

pub(super) fn problem(code: &str, message: String, hint: &str) -> Problem {
    Problem { code: code.to_owned(), message, hint: Some(hint.to_owned()) }
}

impl State {
    fn set_attribute(
        &mut self,
        id: &BackstoreId,
        attribute: String,
        value: String,
    ) -> Result<Outcome, Problem> {
        if value.len() > 1 {
            let message = format!("attribute {attribute} cannot be '{value}': it takes 0 or 1");
            return Err(problem("attribute_value", message, "it is a switch"));
        }
        self.backstore(id).attributes.insert(attribute, value.clone());
        Ok(Outcome::AttributeSet { value })
    }

    pub(super) fn apply(&mut self, change: Change) -> Result<Outcome, Problem> {
        match change {
            Change::CreateBackstore(wanted) => self.create_backstore(wanted),
            Change::DeleteBackstore { id } => {
                let user = self.config.targets.iter().find(|target| shows(target, &id));
                if let Some(target) = user {
                    let message = format!("storage object {} is in use by {}", id.name, target.wwn);
                    return Err(problem("backstore_in_use", message, "delete the LUN first"));
                }
                self.config.backstores.retain(|backstore| backstore.id != id);
                Ok(Outcome::Done)
            }
            Change::SetAttribute { id, attribute, value } => self.set_attribute(&id, attribute, value),
            Change::SetIdentity { id, attribute, value } => {
                self.backstore(&id).identity.insert(attribute, value.clone());
                Ok(Outcome::AttributeSet { value })
            }
            Change::SetLbaMap { id, lba_map } => {
                self.backstore(&id).lba_map = Some(lba_map.clone()).filter(|map| !map.is_empty());
                Ok(Outcome::AttributeSet { value: lba_map })
            }
            Change::Resize { id, size_bytes, shrink: _ } => {
                self.backstore(&id).size_bytes = size_bytes;
                Ok(Outcome::Done)
            }
            Change::CreateTarget { wwn, tpgs } => self.create_target(wwn, tpgs),
            Change::SetOption { wwn, option, value } => self.set_option(&wwn, option, value),
            Change::SetParameter { wwn, parameter, value } => self.set_parameter(&wwn, parameter, value),
            Change::DeleteTarget { wwn } => {
                self.config.targets.retain(|target| target.wwn != wwn);
                Ok(Outcome::Done)
            }
            Change::CreateTpg { wwn, tag } => {
                let target = self.target(&wwn);
                let tags: Vec<u16> = target.tpgs.iter().map(|tpg| tpg.tag).collect();
                let tag = tag.or_else(|| (1..=255).find(|tag| !tags.contains(tag))).expect("a free tag");
                if tags.contains(&tag) {
                    return Err(problem(
                        "tpg_exists",
                        format!("TPG {tag} of {wwn} already exists"),
                        "leave the tag out",
                    ));
                }
                target.tpgs.push(tpg(tag));
                target.tpgs.sort_by_key(|tpg| tpg.tag);
                Ok(Outcome::TpgCreated { tag })
            }
            Change::DeleteTpg { wwn, tag } => {
                self.target(&wwn).tpgs.retain(|tpg| tpg.tag != tag);
                Ok(Outcome::Done)
            }
            Change::MapLun { wwn, tag, lun, backstore, write_protect } => {
                self.map_lun(&wwn, tag, lun, backstore, write_protect)
            }
            Change::UnmapLun { wwn, tag, lun } => {
                let tpg = self.tpg(&wwn, tag);
                tpg.luns.retain(|unit| unit.lun != lun);
                for acl in &mut tpg.acls {
                    acl.luns.retain(|mapped| mapped.of != lun);
                }
                self.set_states();
                Ok(Outcome::Done)
            }
            change => self.apply_to_list(change),
        }
    }

    fn apply_to_list(&mut self, change: Change) -> Result<Outcome, Problem> {
        match change {
            Change::CreateAcl { wwn, tag, initiator } => {
                if !initiator.starts_with("naa.5") {
                    let message = format!("WWN not valid as: naa: '{initiator}'");
                    return Err(problem("wwn_invalid", message, "a WWN is naa. and 16 digits"));
                }
                let acls = &mut self.tpg(&wwn, tag).acls;
                acls.push(Acl { initiator, luns: Vec::new() });
                acls.sort_by(|a, b| a.initiator.cmp(&b.initiator));
                Ok(Outcome::Done)
            }
            Change::DeleteAcl { wwn, tag, initiator } => {
                self.tpg(&wwn, tag).acls.retain(|acl| acl.initiator != initiator);
                Ok(Outcome::Done)
            }
            Change::MapAclLun { wwn, tag, initiator, lun, of, write_protect } => {
                let luns = &mut self.acl(&wwn, tag, &initiator).luns;
                let is_free = |lun: &u16| luns.iter().all(|mapped| mapped.lun != *lun);
                let lun = lun
                    .unwrap_or_else(|| std::iter::once(of).chain(0..).find(is_free).expect("a free number"));
                if !is_free(&lun) {
                    let message = format!("mapped LUN {lun} already exists");
                    return Err(problem("mapped_lun_exists", message, "choose another number"));
                }
                let alias = "b7975b902c".to_owned();
                luns.push(MappedLun { lun, of, alias, write_protect });
                luns.sort_by_key(|mapped| mapped.lun);
                Ok(Outcome::AclLunMapped { lun })
            }
            Change::UnmapAclLun { wwn, tag, initiator, lun } => {
                self.acl(&wwn, tag, &initiator).luns.retain(|mapped| mapped.lun != lun);
                Ok(Outcome::Done)
            }
            Change::ProtectAclLun { wwn, tag, initiator, lun, write_protect } => {
                for mapped in &mut self.acl(&wwn, tag, &initiator).luns {
                    if mapped.lun == lun {
                        mapped.write_protect = write_protect;
                    }
                }
                Ok(Outcome::Done)
            }
            other => self.apply_alua(other),
        }
    }

    fn apply_alua(&mut self, change: Change) -> Result<Outcome, Problem> {
        match change {
            Change::CreateAluaGroup { id, group, group_id } => {
                let groups = &mut self.backstore(&id).alua_groups;
                let group_id = group_id.unwrap_or(1);
                if let Some(taken) = groups.iter().find(|other| other.group_id == group_id) {
                    let message = format!("ALUA group id {group_id} is in use by {}", taken.name);
                    return Err(problem("alua_id_in_use", message, "choose another number"));
                }
                groups.push(alua_group(&group, group_id));
                groups.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(Outcome::AluaGroupCreated { group_id })
            }
            Change::DeleteAluaGroup { id, group } => {
                let groups = &mut self.backstore(&id).alua_groups;
                if groups.iter().any(|known| known.name == group && !known.members.is_empty()) {
                    let message = format!("ALUA group {group} is in use");
                    return Err(problem(
                        "alua_group_in_use",
                        message,
                        "put the LUN into another group first",
                    ));
                }
                groups.retain(|known| known.name != group);
                Ok(Outcome::Done)
            }
            Change::SetAluaAttribute { id, group, attribute, value } => {
                if value == "4" {
                    let message = format!("ALUA group {group} does not support state 4");
                    return Err(problem("alua_state_unsupported", message, "it has others"));
                }
                let groups = &mut self.backstore(&id).alua_groups;
                let known = groups.iter_mut().find(|known| known.name == group).expect("the shell saw it");
                known.attributes.insert(attribute, value.clone());
                Ok(Outcome::AttributeSet { value })
            }
            Change::SetLunAlua { wwn, tag, lun, attribute, value } => {
                let units = &mut self.tpg(&wwn, tag).luns;
                let unit = units.iter_mut().find(|unit| unit.lun == lun).expect("the shell saw it");
                match attribute.as_str() {
                    "alua_tg_pt_gp_name" => unit.alua.group.clone_from(&value),
                    "alua_tg_pt_offline" => unit.alua.offline = value == "1",
                    _ => unit.alua.status = value.parse().expect("a number"),
                }
                let backstore = unit.backstore.clone();
                let member = AluaMember { wwn, tag, lun };
                for group in &mut self.backstore(&backstore).alua_groups {
                    group.members.retain(|other| *other != member);
                    if attribute == "alua_tg_pt_gp_name" && group.name == value {
                        group.members.push(member.clone());
                    }
                }
                Ok(Outcome::Done)
            }
            Change::CreateLuGroup { .. } | Change::DeleteLuGroup { .. } | Change::SetLuGroup { .. } => {
                Ok(Outcome::Done)
            }
            other => panic!("{other:?} is no change of ALUA"),
        }
    }

    fn create_backstore(&mut self, wanted: CreateBackstore) -> Result<Outcome, Problem> {
        let mut notes = Vec::new();
        let mut backstore = match wanted {
            CreateBackstore::Block { name, path, read_only, unit_serial } => Backstore {
                path: Some(path),
                size_bytes: 15_032_385_536,
                read_only: read_only.unwrap_or(false),
                unit_serial: unit_serial.unwrap_or_else(|| FAKE_SERIAL.to_owned()),
                ..empty(Kind::Block, name)
            },
            CreateBackstore::Fileio { name, path, size_bytes, write_back, unit_serial, .. } => {
                if path.contains("exists") {
                    notes.push(format!("{path} exists, using its size (1048576 bytes) instead"));
                }
                Backstore {
                    path: Some(path),
                    size_bytes: size_bytes.filter(|_| notes.is_empty()).unwrap_or(1_048_576),
                    write_back: write_back.unwrap_or(true),
                    unit_serial: unit_serial.unwrap_or_else(|| FAKE_SERIAL.to_owned()),
                    ..empty(Kind::Fileio, name)
                }
            }
            CreateBackstore::Ramdisk { name, size_bytes, nullio, unit_serial } => Backstore {
                size_bytes,
                nullio,
                unit_serial: unit_serial.unwrap_or_else(|| FAKE_SERIAL.to_owned()),
                ..empty(Kind::Ramdisk, name)
            },
        };
        if backstore.id.name.contains([' ', '/']) {
            return Err(problem(
                "name_characters",
                format!(
                    "A storage object's name cannot contain /, newline or spaces/tabs: '{}'",
                    backstore.id.name
                ),
                "use letters",
            ));
        }
        if self.config.backstores.iter().any(|other| other.id == backstore.id) {
            let message = format!("Storage object {} exists", show(&backstore.id));
            return Err(problem("backstore_exists", message, "choose another name"));
        }
        let cache = if backstore.write_back { "1" } else { "0" };
        backstore.attributes =
            [("emulate_tpu", "0"), ("emulate_write_cache", cache), ("hw_block_size", "512")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        self.config.backstores.push(backstore.clone());
        self.config.backstores.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Outcome::BackstoreCreated { backstore, notes })
    }

    fn create_target(&mut self, wwn: Option<String>, tpgs: Vec<u16>) -> Result<Outcome, Problem> {
        self.made_up += 1;
        let wwn = wwn.unwrap_or_else(|| format!("naa.5001405{:09x}", self.made_up));
        if !wwn.starts_with("naa.") {
            return Err(problem(
                "wwn_invalid",
                format!("WWN not valid as: naa: '{wwn}'"),
                "a WWN is naa. and 16 digits",
            ));
        }
        if self.config.targets.iter().any(|target| target.wwn == wwn) {
            return Err(problem(
                "target_exists",
                format!("Target {wwn} already exists"),
                "choose another WWN",
            ));
        }
        let socket = format!("/run/lunar/vhost/{wwn}.sock");
        let tpgs = tpgs.into_iter().map(tpg).collect();
        let target = Target {
            wwn,
            socket,
            socket_fault: None,
            connected: false,
            options: options(),
            parameters: parameters(),
            tpgs,
        };
        self.config.targets.push(target.clone());
        self.config.targets.sort_by(|a, b| a.wwn.cmp(&b.wwn));
        Ok(Outcome::TargetCreated { target })
    }

    fn set_option(&mut self, wwn: &str, option: String, value: String) -> Result<Outcome, Problem> {
        if value.len() > 5 {
            let message = format!("option {option} of {wwn} cannot be '{value}': it takes 0 to 254");
            return Err(problem("option_value", message, "it is a number"));
        }
        self.target(wwn).options.insert(option, value.clone());
        Ok(Outcome::OptionSet { value })
    }

    fn set_parameter(&mut self, wwn: &str, parameter: String, value: String) -> Result<Outcome, Problem> {
        if !["-1", "-2", "0"].contains(&value.as_str()) {
            let message = format!("parameter {parameter} of {wwn} cannot be '{value}': it takes -1, -2 or 0");
            return Err(problem("parameter_value", message, "it is a number"));
        }
        self.target(wwn).parameters.insert(parameter, value.clone());
        Ok(Outcome::AttributeSet { value })
    }

    fn map_lun(
        &mut self,
        wwn: &str,
        tag: u16,
        lun: Option<u16>,
        backstore: BackstoreId,
        write_protect: bool,
    ) -> Result<Outcome, Problem> {
        let luns = &mut self.tpg(wwn, tag).luns;
        let taken: Vec<u16> = luns.iter().map(|unit| unit.lun).collect();
        let lun = lun.or_else(|| (0..=16383).find(|lun| !taken.contains(lun))).expect("a free LUN");
        if luns.iter().any(|unit| unit.backstore == backstore) {
            let message = format!("lun for storage object {} already exists", show(&backstore));
            return Err(problem("already_mapped", message, "it is another LUN of that TPG"));
        }
        if taken.contains(&lun) {
            return Err(problem("lun_exists", format!("LUN {lun} already exists"), "leave the number out"));
        }
        if lun > 16383 {
            return Err(problem(
                "lun_out_of_range",
                format!("LUN {lun} is out of range"),
                "a LUN is 0 to 16383",
            ));
        }
        luns.push(Lun {
            lun,
            backstore,
            alias: "a7975b902c".to_owned(),
            write_protect,
            alua: LunAlua::default(),
        });
        luns.sort_by_key(|unit| unit.lun);
        self.set_states();
        Ok(Outcome::LunMapped { lun })
    }

    fn set_states(&mut self) {
        for backstore in &mut self.config.backstores {
            let shown = self.config.targets.iter().any(|target| shows(target, &backstore.id));
            backstore.state = if shown { BackstoreState::Activated } else { BackstoreState::Deactivated };
        }
    }

    pub(super) fn backstore(&mut self, id: &BackstoreId) -> &mut Backstore {
        self.config.backstores.iter_mut().find(|backstore| backstore.id == *id).expect("the shell saw it")
    }

    pub(super) fn target(&mut self, wwn: &str) -> &mut Target {
        self.config.targets.iter_mut().find(|target| target.wwn == wwn).expect("the shell saw it")
    }

    fn acl(&mut self, wwn: &str, tag: u16, initiator: &str) -> &mut Acl {
        let acls = &mut self.tpg(wwn, tag).acls;
        acls.iter_mut().find(|acl| acl.initiator == initiator).expect("the shell saw it")
    }

    pub(super) fn tpg(&mut self, wwn: &str, tag: u16) -> &mut Tpg {
        self.target(wwn).tpgs.iter_mut().find(|tpg| tpg.tag == tag).expect("the shell saw it")
    }
}

fn tpg(tag: u16) -> Tpg {
    Tpg {
        tag,
        nexus: "naa.5001405c3bdda0c6".to_owned(),
        luns: Vec::new(),
        acls: Vec::new(),
        waiting: Vec::new(),
    }
}

fn shows(target: &Target, id: &BackstoreId) -> bool {
    target.tpgs.iter().any(|tpg| tpg.luns.iter().any(|lun| lun.backstore == *id))
}

fn show(id: &BackstoreId) -> String {
    let kind = match id.kind {
        Kind::Block => "block",
        Kind::Fileio => "fileio",
        Kind::Ramdisk => "ramdisk",
    };
    format!("{kind}/{}", id.name)
}

fn empty(kind: Kind, name: String) -> Backstore {
    Backstore {
        id: BackstoreId { kind, name },
        path: None,
        unit_serial: String::new(),
        size_bytes: 0,
        block_bytes: 512,
        read_only: false,
        write_back: false,
        nullio: false,
        state: BackstoreState::Deactivated,
        attributes: BTreeMap::new(),
        identity: BTreeMap::from([
            ("vendor_id".to_owned(), "LIO-ORG".to_owned()),
            ("vpd_unit_serial".to_owned(), "s".to_owned()),
        ]),
        device: None,
        space: None,
        alua_groups: vec![alua_group("default_tg_pt_gp", 0)],
        lu_group: "default_lu_gp".to_owned(),
        lba_map: None,
    }
}

fn alua_group(name: &str, group_id: u16) -> AluaGroup {
    let values = [
        ("alua_access_state", "0"),
        ("alua_support_lba_dependent", "0"),
        ("nonop_delay_msecs", "100"),
        ("preferred", "0"),
    ];
    let attributes = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    AluaGroup { name: name.to_owned(), group_id, attributes, members: Vec::new() }
}
