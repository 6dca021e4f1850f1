// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the parameter at the cursor may be: names, numbers and values that are known.
//!
//! Above: `complete`.  Below: `tree`, the daemon's tables, files of the host.
//! Never here: which parameter it is.

use super::{Asked, Candidate, Cursor, Goal};
use crate::command::{Need, Parameter, Values};
use crate::commands;
use crate::commands::groups;
use crate::grammar::Argument;
use crate::settings::{SETTINGS, Setting};
use crate::tree::{Place, Subject, backstore_name};
use std::collections::BTreeSet;

impl Cursor<'_> {
    /// What a parameter may be.  `lead` is what stands before it in the word; `keyword` what is assigned to.
    pub(super) fn values(
        &self,
        asked: &Asked<'_>,
        parameter: &Parameter,
        lead: &str,
        keyword: &str,
    ) -> Vec<Candidate> {
        let among = |names: &mut dyn Iterator<Item = &str>| -> Vec<Candidate> {
            names.filter_map(|name| self.offer(lead, name, ' ')).collect()
        };
        match parameter.values {
            Values::Free => Vec::new(),
            Values::Truth => among(&mut ["true", "false"].into_iter()),
            Values::Choice(choices) => among(&mut choices.iter().copied()),
            Values::Child => among(&mut asked.node.children.iter().map(|child| child.name.as_str())),
            Values::Topic => among(&mut commands::at(asked.node.subject.place()).map(|command| command.name)),
            Values::Initiator => among(&mut self.initiators(asked).iter().map(String::as_str)),
            Values::FreeNumber => among(&mut std::iter::once(free_number(asked).as_str())),
            Values::Session => among(&mut self.sessions().iter().map(String::as_str)),
            Values::FileTarget => among(&mut self.in_file(asked).targets.iter().map(String::as_str)),
            Values::FileObject => among(&mut self.in_file(asked).objects.iter().map(String::as_str)),
            Values::LunOrBackstore => {
                let mut candidates = among(&mut self.luns(asked).iter().map(String::as_str));
                candidates.extend(self.led(lead, self.backstore_paths(asked.path)));
                candidates
            }
            Values::Bookmark => self.bookmarks("", ' '),
            Values::Group => among(&mut groups(asked.node.subject.place()).iter().copied()),
            Values::Node => {
                let mut candidates = self.nodes(asked.path, Goal::Any);
                candidates.extend(self.bookmarks("@", ' '));
                self.led(lead, candidates)
            }
            Values::HostPath => self.led(lead, self.host_names()),
            Values::BackstorePath => {
                let mut candidates = self.backstore_paths(asked.path);
                if !self.word.is_empty() {
                    candidates.extend(self.host_names());
                }
                self.led(lead, candidates)
            }
            Values::GroupParameter => self.group_parameters(asked, parameter.need, lead, keyword),
        }
    }

    fn group_parameters(&self, asked: &Asked<'_>, need: Need, lead: &str, keyword: &str) -> Vec<Candidate> {
        let group = asked.typed.iter().find_map(|argument| match argument {
            Argument::Positional(value) => Some(value.as_str()),
            Argument::Keyword(name, value) if name == "group" => Some(value.as_str()),
            _ => None,
        });
        if !keyword.is_empty() {
            let values = self.values_of(asked, group.unwrap_or_default(), keyword);
            return values.iter().filter_map(|value| self.offer(lead, value, ' ')).collect();
        }
        let names: Vec<&str> = match (group, &asked.node.subject) {
            (Some("global"), _) => SETTINGS.iter().map(|setting| setting.name).collect(),
            (Some("attribute"), Subject::Backstore(backstore)) => {
                backstore.attributes.keys().map(String::as_str).collect()
            }
            (Some("identity"), Subject::Backstore(backstore)) => {
                backstore.identity.keys().map(String::as_str).collect()
            }
            (Some("attribute"), Subject::Tpg { .. }) => vec![commands::FABRIC_PROT_TYPE],
            (Some("parameter"), Subject::Target { parameters, .. }) => {
                parameters.keys().map(String::as_str).collect()
            }
            (Some("alua"), Subject::AluaGroup { group, .. }) => {
                let fixed = |name: &&str| *name != "alua_support_lba_dependent";
                group.attributes.keys().map(String::as_str).filter(fixed).collect()
            }
            (Some("alua"), Subject::AluaGroups { .. }) => vec!["lba_map"],
            (Some("alua"), Subject::Lun { .. }) => {
                vec!["alua_tg_pt_gp_name", "alua_tg_pt_offline", "alua_tg_pt_status", "alua_tg_pt_write_md"]
            }
            (Some("option"), Subject::Target { options, .. }) => options.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let offer = |name: &str| match need {
            Need::EveryAssignment => self.offer(lead, &format!("{name}="), '='),
            _ => self.offer(lead, name, ' '),
        };
        names.into_iter().filter_map(offer).collect()
    }

    /// What a parameter of a group may be: its values where they can be counted, else the one it has.
    fn values_of(&self, asked: &Asked<'_>, group: &str, name: &str) -> Vec<String> {
        if group == "global" {
            let Some(setting) = Setting::find(name) else { return Vec::new() };
            let choices = setting.kind.choices();
            let now = choices.is_empty().then(|| self.kept.global(name).to_owned());
            return choices.iter().map(|choice| (*choice).to_owned()).chain(now).collect();
        }
        // A daemon that does not answer is told by the next command, not by a key.
        let (now, words) = match &asked.node.subject {
            Subject::Backstore(backstore) if group == "attribute" => {
                let table = self.api.attributes().ok();
                let row = table.and_then(|table| table.attributes.into_iter().find(|row| row.name == name));
                (backstore.attributes.get(name), row.map(|row| row.values))
            }
            Subject::Backstore(backstore) if group == "identity" => (backstore.identity.get(name), None),
            Subject::Target { options, .. } if group == "option" => {
                let table = self.api.options().ok();
                let row = table.and_then(|table| table.options.into_iter().find(|row| row.name == name));
                (options.get(name), row.map(|row| row.values))
            }
            Subject::AluaGroup { group: of, .. } if group == "alua" => {
                let table = self.api.attributes().ok();
                let row = table.and_then(|table| table.alua.into_iter().find(|row| row.name == name));
                (of.attributes.get(name), row.map(|row| row.values))
            }
            Subject::Lun { wwn, tag, lun, .. } if name == "alua_tg_pt_gp_name" => {
                return self.alua_groups(wwn, *tag, *lun);
            }
            Subject::Target { .. } if group == "parameter" => return vec!["-1".to_owned(), "-2".to_owned()],
            Subject::Tpg { .. } if group == "attribute" => return vec!["0".to_owned()],
            _ => (None, None),
        };
        match words.as_deref().and_then(counted) {
            Some(values) => values,
            None => now.cloned().into_iter().collect(),
        }
    }

    /// The ALUA groups of the backstore that a LUN shows.
    fn alua_groups(&self, wwn: &str, tag: u16, lun: u16) -> Vec<String> {
        let luns = self.tree.tpg(wwn, tag).into_iter().flat_map(|tpg| &tpg.luns);
        let shown = luns.into_iter().find(|one| one.lun == lun).map(|one| &one.backstore);
        let backstore = self.tree.config.backstores.iter().find(|one| Some(&one.id) == shown);
        backstore.into_iter().flat_map(|one| &one.alua_groups).map(|group| group.name.clone()).collect()
    }

    /// The nexus of the group, where it has no list yet.
    fn initiators(&self, asked: &Asked<'_>) -> Option<String> {
        let Subject::Acls { wwn, tag } = &asked.node.subject else { return None };
        let nexus = &self.tree.tpg(wwn, *tag)?.nexus;
        asked.node.child(nexus).is_none().then(|| nexus.clone())
    }

    /// The LUNs of the group that a list belongs to.
    fn luns(&self, asked: &Asked<'_>) -> Vec<String> {
        let Subject::Acl { wwn, tag, .. } = &asked.node.subject else { return Vec::new() };
        let luns = self.tree.tpg(wwn, *tag).into_iter().flat_map(|tpg| &tpg.luns);
        luns.map(|lun| format!("lun{}", lun.lun)).collect()
    }

    fn sessions(&self) -> Vec<String> {
        commands::sessions(&self.tree.config).iter().map(|session| session.id.to_string()).collect()
    }

    /// What there is to restore: in the file that was named, else what is configured.
    fn in_file(&self, asked: &Asked<'_>) -> Listed {
        let file = asked.typed.iter().find_map(|argument| match argument {
            Argument::Positional(file) => Some(file),
            Argument::Keyword(name, file) if name == "savefile" => Some(file),
            _ => None,
        });
        match file {
            Some(file) => listed_in(&self.environment.host_path(file)).unwrap_or_default(),
            None => Listed {
                targets: self.tree.config.targets.iter().map(|target| target.wwn.clone()).collect(),
                objects: self.tree.config.backstores.iter().map(|one| backstore_name(&one.id)).collect(),
            },
        }
    }
}

/// What a saveconfig.json names.
#[derive(Default)]
struct Listed {
    targets: BTreeSet<String>,
    objects: BTreeSet<String>,
}

/// The longest file that is read at a key, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

fn listed_in(path: &str) -> Option<Listed> {
    let file = std::fs::File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return None;
    }
    let value: serde_json::Value = serde_json::from_reader(std::io::BufReader::new(file)).ok()?;
    let texts = |list: &str, name: &dyn Fn(&serde_json::Value) -> Option<String>| {
        value[list].as_array().map(|list| list.iter().filter_map(name).collect()).unwrap_or_default()
    };
    let targets = texts("targets", &|target| Some(target["wwn"].as_str()?.to_owned()));
    let objects = texts("storage_objects", &|object| {
        Some(format!("{}/{}", object["plugin"].as_str()?, object["name"].as_str()?))
    });
    Some(Listed { targets, objects })
}

/// The values of `0 or 1` and `512, 1024, 2048`; nothing for `0 to 254`.
fn counted(words: &str) -> Option<Vec<String>> {
    let values: Vec<String> = words.replace(" or ", ", ").split(", ").map(str::to_owned).collect();
    let all_numbers = values.iter().all(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    all_numbers.then_some(values)
}

/// The lowest number that no child of the node has; a target's groups start at 1.
fn free_number(asked: &Asked<'_>) -> String {
    let start = u16::from(asked.node.subject.place() == Place::Target);
    let numbers: BTreeSet<u16> = asked
        .node
        .children
        .iter()
        .filter_map(|child| {
            child.name.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().ok()
        })
        .collect();
    (start..=u16::MAX).find(|number| !numbers.contains(number)).unwrap_or(start).to_string()
}
