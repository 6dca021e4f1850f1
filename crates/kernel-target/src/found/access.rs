// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access and access control lists, as the kernel has them.
//!
//! Above: `object` and `fabric`.  Below: the rules of `model`.
//! Never here: how they are set; `jobs/access.rs` does that.

use super::Found;
use crate::files::{Fault, Files};
use model::{
    ALUA_ATTRIBUTES, Acl, AclPlace, AluaAttribute, AluaGroup, AluaGroupName, AluaKey, Backstore, Change,
    LbaMap, Lun, LunAlias, LunAlua, LunAluaStatus, MappedLun, TpgTag, Wwn,
};

/// Where the groups of logical units are.
pub(crate) const LU_GROUPS: &str = "core/alua/lu_gps";

impl Found {
    /// The groups of logical units.  One that the model cannot have is the kernel's own affair.
    pub(super) fn lu_groups(&mut self, files: &Files) -> Result<(), Fault> {
        if !files.is_directory(LU_GROUPS) {
            return Ok(());
        }
        for name in files.directories(LU_GROUPS)? {
            let id = files.try_read(&format!("{LU_GROUPS}/{name}/lu_gp_id")).ok();
            let id = id.and_then(|id| id.parse().ok());
            if let (Ok(name), Some(id)) = (AluaGroupName::parse(&name), id)
                && name.as_str() != AluaGroupName::DEFAULT_LU
            {
                let _ = self.learn(Change::CreateLuGroup { name, id });
            }
        }
        Ok(())
    }

    /// The access control lists of a target port group that the model has.
    pub(super) fn acls(&mut self, files: &Files, wwn: &Wwn, tag: TpgTag, group: &str) -> Result<(), Fault> {
        let directory = format!("{group}/acls");
        if !files.is_directory(&directory) {
            return Ok(());
        }
        for name in files.directories(&directory)? {
            let shown = format!("/vhost/{wwn}/tpg{tag}/acls/{name}");
            let initiator = Wwn::parse(&name).ok().filter(|initiator| initiator.as_str() == name);
            let Some(initiator) = initiator else {
                self.leave(shown, "a name of another form");
                continue;
            };
            let place = AclPlace { wwn: wwn.clone(), tag, initiator };
            if let Err(refusal) = self.learn(Change::CreateAcl(place.clone())) {
                self.leave(shown, refusal.to_string());
                continue;
            }
            self.mapped_luns(files, &place, &format!("{directory}/{name}"))?;
        }
        Ok(())
    }

    fn mapped_luns(&mut self, files: &Files, acl: &AclPlace, directory: &str) -> Result<(), Fault> {
        for name in files.directories(directory)? {
            let Some(number) = name.strip_prefix("lun_") else { continue };
            let at = format!("{directory}/{name}");
            let link = files.list(&at)?.into_iter().find(|entry| entry.is_link);
            let Some(link) = link else {
                self.leave(format!("/vhost/{acl}/mapped_lun{number}"), "shows no LUN");
                continue;
            };
            let to = files.link(&format!("{at}/{}", link.name))?;
            let of = to.rsplit_once("/lun_").and_then(|(_, number)| lun(number));
            let write_protect = files.try_read(&format!("{at}/write_protect")).is_ok_and(|text| text == "1");
            let mapped = of.zip(LunAlias::parse(&link.name).ok()).map(|(of, alias)| MappedLun {
                of,
                alias,
                write_protect,
            });
            let made = lun(number).zip(mapped).map(|(lun, mapped)| {
                self.learn(Change::MapAclLun { acl: acl.clone(), lun, mapped })
                    .map_err(|refusal| refusal.to_string())
            });
            if let Err(why) = made.unwrap_or_else(|| Err(format!("shows {to}"))) {
                self.leave(format!("/vhost/{acl}/mapped_lun{number}"), why);
            }
        }
        Ok(())
    }
}

fn lun(number: &str) -> Option<Lun> {
    Lun::parse(number.parse().ok()?).ok()
}

/// Tells the model of a backstore's groups.  What it does not take stays as the model has it.
pub(super) fn take_over(
    files: &Files,
    directory: &str,
    backstore: &mut Backstore,
    lu_groups: &[AluaGroupName],
) {
    let id = backstore.id();
    let map = files.try_read(&format!("{directory}/lba_map")).unwrap_or_default();
    backstore.alua.restore_lba_map(LbaMap::parse(&map).ok().flatten());
    for name in files.directories(&format!("{directory}/alua")).unwrap_or_default() {
        let at = format!("{directory}/alua/{name}");
        let number = files.try_read(&format!("{at}/tg_pt_gp_id")).ok().and_then(|id| id.parse().ok());
        let (Ok(name), Some(number)) = (AluaGroupName::parse(&name), number) else { continue };
        let mut group = AluaGroup::new(number);
        for row in ALUA_ATTRIBUTES {
            let value =
                files.try_read(&format!("{at}/{}", row.name)).ok().and_then(|text| number_of(row, &text));
            let _taken = value.is_some_and(|value| group.restore(row, value));
        }
        let _ = backstore.alua.restore(&id, name, group);
    }
    let text = files.try_read(&format!("{directory}/alua_lu_gp")).unwrap_or_default();
    let named = after(&text, "LU Group Alias: ").and_then(|name| AluaGroupName::parse(name).ok());
    if let Some(name) = named.filter(|name| lu_groups.contains(name)) {
        backstore.lu_group = name;
    }
}

/// What a LUN's directory says of asymmetric access; the group must be one of the backstore's.
pub(super) fn of_lun(files: &Files, at: &str, backstore: Option<&Backstore>) -> LunAlua {
    let text = files.try_read(&format!("{at}/alua_tg_pt_gp")).unwrap_or_default();
    let named = after(&text, "TG Port Alias: ").and_then(|name| AluaGroupName::parse(name).ok());
    let group = named.filter(|name| backstore.is_some_and(|backstore| backstore.alua.get(name).is_some()));
    let number = |name: &str| {
        files.try_read(&format!("{at}/{name}")).ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or(0)
    };
    LunAlua {
        group: group.unwrap_or_else(AluaGroupName::default_group),
        offline: number("alua_tg_pt_offline") == 1,
        status: LunAluaStatus::from_number(number("alua_tg_pt_status")).unwrap_or_default(),
        write_metadata: number("alua_tg_pt_write_md") == 1,
    }
}

fn after<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// The number of a value: the kernel shows words where it takes numbers.
pub(crate) fn number_of(row: &AluaAttribute, text: &str) -> Option<u32> {
    match (row.key, text) {
        (AluaKey::AccessStatus | AluaKey::AccessType, "None") => Some(0),
        (AluaKey::AccessStatus, "Altered by Explicit STPG") | (AluaKey::AccessType, "Implicit") => Some(1),
        (AluaKey::AccessStatus, "Altered by Implicit ALUA") | (AluaKey::AccessType, "Explicit") => Some(2),
        (AluaKey::AccessType, "Implicit and Explicit") => Some(3),
        (_, number) => number.parse().ok(),
    }
}

/// The directory of an access control list.
pub(crate) fn acl_directory(AclPlace { wwn, tag, initiator }: &AclPlace) -> String {
    format!("vhost/{wwn}/tpgt_{tag}/acls/{initiator}")
}

/// All access control lists of a model.
pub(crate) fn all_acls(model: &model::Model) -> impl Iterator<Item = (AclPlace, &Acl)> {
    model.targets().iter().flat_map(|(wwn, target)| {
        target.tpgs.iter().flat_map(move |(tag, tpg)| {
            tpg.acls.iter().map(move |(initiator, acl)| {
                (AclPlace { wwn: wwn.clone(), tag: *tag, initiator: initiator.clone() }, acl)
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_kernel_are_numbers() {
        for (name, text, number) in [
            ("alua_access_type", "Implicit and Explicit", 3),
            ("alua_access_type", "Explicit", 2),
            ("alua_access_type", "None", 0),
            ("alua_access_status", "Altered by Explicit STPG", 1),
            ("alua_access_status", "Altered by Implicit ALUA", 2),
            ("nonop_delay_msecs", "100", 100),
        ] {
            assert_eq!(number_of(AluaAttribute::named(name).unwrap(), text), Some(number), "{name} {text}");
        }
    }
}
