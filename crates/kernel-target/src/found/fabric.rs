// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Targets, target port groups and LUNs of every fabric.
//!
//! Above: `found`.  Below: the names and rules of `model`.
//! Never here: what a foreign fabric's own files mean.

use super::{Found, access};
use crate::files::{Fault, Files};
use crate::jobs::completion_affinity_file;
use model::{
    BackstoreId, Change, CompletionAffinity, Lun, LunAlias, LunMapping, Refusal, RelativePort, Tpg, TpgTag,
    Wwn,
};
use std::collections::BTreeMap;
use translate::live::LiveTarget;

/// A LUN's directory as it was read.
struct FoundLun {
    /// Such as `vhost/naa.5001405aabbccdd0/tpgt_1/lun/lun_0`.
    at: String,
    number: String,
    alias: String,
    /// What it shows, such as `core/iblock_0/disk0`.
    shows: Option<String>,
}

impl Found {
    pub(super) fn vhost(&mut self, files: &Files) -> Result<(), Fault> {
        for name in targets(files, "vhost")? {
            match Wwn::parse(&name) {
                Ok(wwn) if wwn.as_str() == name => self.target(files, wwn)?,
                _ => self.foreign_target(files, "vhost", &name)?,
            }
        }
        Ok(())
    }

    fn target(&mut self, files: &Files, wwn: Wwn) -> Result<(), Fault> {
        let at = format!("vhost/{wwn}");
        let tpgs = BTreeMap::new();
        if let Err(refusal) = self.learn(Change::CreateTarget { wwn: wwn.clone(), tpgs }) {
            self.leave(format!("/vhost/{wwn}"), refusal.to_string());
            return Ok(());
        }
        self.live.targets.insert(
            wwn.clone(),
            LiveTarget { socket: "".into(), socket_fault: None, connected: false, waiting: Vec::new() },
        );
        // Older kernels have no such file, and complete as the default says.
        if let Ok(value) = files.try_read(&completion_affinity_file(&wwn)) {
            let (wwn, parameter) = (wwn.clone(), CompletionAffinity::NAME.to_owned());
            // A number that no kernel writes is as good as none.
            let _ = self.learn(Change::SetParameter { wwn, parameter, value });
        }
        for name in groups(files, &at)? {
            let tag = name.trim_start_matches("tpgt_");
            let group = format!("{at}/{name}");
            match self.group(files, &wwn, tag, &group) {
                Ok(tag) => {
                    self.luns(files, &wwn, tag, &group)?;
                    self.acls(files, &wwn, tag, &group)?;
                }
                Err(why) => {
                    self.foreign_names.insert(format!("tpg {wwn}/tpg{tag}"));
                    self.leave(format!("/vhost/{wwn}/tpg{tag}"), why);
                    self.foreign_luns(files, &group, &format!("/vhost/{wwn}/tpg{tag}"))?;
                }
            }
        }
        Ok(())
    }

    /// Tells the model of a target port group, or says why it cannot have it.
    fn group(&mut self, files: &Files, wwn: &Wwn, tag: &str, at: &str) -> Result<TpgTag, String> {
        let tag: u16 = tag.parse().map_err(|_| format!("its tag {tag} is no number"))?;
        let words = |refusal: Refusal| refusal.to_string();
        let tag = TpgTag::parse(tag).map_err(words)?;
        let nexus = files.try_read(&format!("{at}/nexus")).map_err(|_| "no nexus".to_owned())?;
        let nexus = Wwn::parse(&nexus).map_err(|_| format!("its nexus {nexus} has another form"))?;
        let port = self.model.free_relative_ports().next();
        let port: RelativePort = port.ok_or_else(|| words(Refusal::NoFreeRelativePort))?;
        self.learn(Change::CreateTpg { wwn: wwn.clone(), tag, tpg: Tpg::new(nexus, port) }).map_err(words)?;
        Ok(tag)
    }

    fn luns(&mut self, files: &Files, wwn: &Wwn, tag: TpgTag, group: &str) -> Result<(), Fault> {
        for lun in luns(files, group)? {
            let shows = lun.shows.as_deref().and_then(|directory| self.at(directory));
            let place = format!("{}/lun_{}", group, lun.number);
            if let Err(why) = self.lun(files, wwn, tag, &lun, shows.clone()) {
                self.foreign_names.insert(format!("lun {wwn}/tpg{tag}/lun{}", lun.number));
                self.leave(format!("/vhost/{wwn}/tpg{tag}/luns/lun{}", lun.number), why);
                self.shown_elsewhere(shows, place);
            }
        }
        Ok(())
    }

    fn lun(
        &mut self,
        files: &Files,
        wwn: &Wwn,
        tag: TpgTag,
        lun: &FoundLun,
        shows: Option<BackstoreId>,
    ) -> Result<(), String> {
        let words = |refusal: Refusal| refusal.to_string();
        let nowhere = || match &lun.shows {
            Some(directory) => format!("shows {directory}"),
            None => format!("{} has no link", lun.at),
        };
        let backstore = shows.ok_or_else(nowhere)?;
        let number: u16 = lun.number.parse().map_err(|_| format!("lun_{} is out of range", lun.number))?;
        let number = Lun::parse(number).map_err(words)?;
        let alias = LunAlias::parse(&lun.alias).map_err(words)?;
        let alua = access::of_lun(files, &lun.at, self.model.backstores().get(&backstore));
        let mapping = LunMapping { backstore, alias, write_protect: false, alua };
        self.learn(Change::MapLun { wwn: wwn.clone(), tag, lun: number, mapping }).map_err(words)
    }

    fn shown_elsewhere(&mut self, backstore: Option<BackstoreId>, place: String) {
        if let Some(id) = backstore {
            self.elsewhere.entry(id).or_default().push(place.replace("/lun/", "/"));
        }
    }

    pub(super) fn other_fabric(&mut self, files: &Files, fabric: &str) -> Result<(), Fault> {
        for name in targets(files, fabric)? {
            self.foreign_target(files, fabric, &name)?;
        }
        Ok(())
    }

    fn foreign_target(&mut self, files: &Files, fabric: &str, name: &str) -> Result<(), Fault> {
        self.foreign_names.insert(format!("target {fabric}/{name}"));
        let at = format!("{fabric}/{name}");
        let groups = groups(files, &at)?;
        self.leave(format!("/{at}"), format!("TPGs: {}", groups.len()));
        for group in groups {
            let path = format!("/{at}/tpg{}", group.trim_start_matches("tpgt_"));
            let at = format!("{at}/{group}");
            let enabled = match files.try_read(&format!("{at}/enable")).as_deref() {
                Ok("0") => "disabled",
                Ok(_) | Err(_) => "",
            };
            self.leave(path.clone(), enabled);
            self.foreign_luns(files, &at, &path)?;
        }
        Ok(())
    }

    fn foreign_luns(&mut self, files: &Files, group: &str, path: &str) -> Result<(), Fault> {
        for lun in luns(files, group)? {
            let shows = lun.shows.as_deref().and_then(|directory| self.at(directory));
            let summary = match (&shows, &lun.shows) {
                (Some(id), _) => id.to_string(),
                (None, Some(directory)) => directory.clone(),
                (None, None) => String::new(),
            };
            self.leave(format!("{path}/luns/lun{}", lun.number), summary);
            self.shown_elsewhere(shows, format!("{group}/lun_{}", lun.number));
        }
        Ok(())
    }
}

/// The names of a fabric's targets.
fn targets(files: &Files, fabric: &str) -> Result<Vec<String>, Fault> {
    let mut names = files.directories(fabric)?;
    names.retain(|name| name != "discovery_auth");
    Ok(names)
}

/// The names of a target's groups, by number.
fn groups(files: &Files, target: &str) -> Result<Vec<String>, Fault> {
    let mut names = files.directories(target)?;
    names.retain(|name| name.starts_with("tpgt_"));
    names.sort_by_key(|name| name.trim_start_matches("tpgt_").parse::<u64>().unwrap_or(u64::MAX));
    Ok(names)
}

fn luns(files: &Files, group: &str) -> Result<Vec<FoundLun>, Fault> {
    let directory = format!("{group}/lun");
    if !files.is_directory(&directory) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for name in files.directories(&directory)? {
        let Some(number) = name.strip_prefix("lun_") else { continue };
        let at = format!("{directory}/{name}");
        let link = files.list(&at)?.into_iter().find(|entry| entry.is_link);
        let alias = link.map(|link| link.name);
        let shows = match &alias {
            Some(alias) => storage_object(&files.link(&format!("{at}/{alias}"))?),
            None => None,
        };
        found.push(FoundLun { number: number.to_owned(), alias: alias.unwrap_or_default(), shows, at });
    }
    found.sort_by_key(|lun| lun.number.parse::<u64>().unwrap_or(u64::MAX));
    Ok(found)
}

/// The directory of the storage object that a link leads to: `../../../../../../target/core/iblock_0/disk0`.
fn storage_object(link: &str) -> Option<String> {
    let (_, below) = link.rsplit_once("/core/")?;
    (below.split('/').count() == 2).then(|| format!("core/{below}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_its_storage_object_however_it_is_written() {
        for link in
            ["../../../../../../target/core/iblock_0/disk0", "/sys/kernel/config/target/core/iblock_0/disk0"]
        {
            assert_eq!(storage_object(link).as_deref(), Some("core/iblock_0/disk0"));
        }
        assert_eq!(storage_object("/etc/passwd"), None);
        assert_eq!(storage_object("/a/core/iblock_0"), None);
    }
}
