// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the Tab key offers.
//!
//! Above: `lunar`, which shows it.  Below: `grammar`, the table of commands, `tree`.
//! Never here: keys or the terminal.

use crate::command::{Command, Need, Parameter, Values};
use crate::commands;
use crate::commands::groups;
use crate::grammar::{self, Argument, Target};
use crate::path::NodePath;
use crate::session::{Environment, resolve};
use crate::settings::{Kept, SETTINGS, Setting};
use crate::tree::{Node, Place, Subject, Tree};
use std::fs;
use std::path::Path;

/// What may stand at the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Where the text to be replaced starts in the line, in bytes; it ends at the cursor.
    pub start: usize,
    /// What may be put there.
    pub candidates: Vec<Candidate>,
}

/// One thing that may stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// What is put into the line, quoted where need be, with the space or slash that follows.
    pub replacement: String,
    /// What is shown in a list.
    pub display: String,
}

/// The most names of the host that are offered.
const HOST_NAMES_MAX: usize = 512;

pub(crate) fn complete(
    line: &str,
    tree: &Tree,
    here: &NodePath,
    kept: &Kept,
    environment: &Environment,
) -> Completion {
    let partial = grammar::partial(line);
    let cursor = Cursor { tree, here, kept, environment, word: partial.word.text() };
    let statement = grammar::parse(&partial.words);
    let mut candidates = match (&statement.target, &statement.command) {
        (Target::Here, None) => cursor.first_word(),
        (target, None) => cursor.at(target).map(|(_, node)| cursor.commands(node)).unwrap_or_default(),
        (target, Some(name)) => cursor.parameters(target, name, &statement.arguments),
    };
    candidates.sort();
    candidates.dedup();
    Completion { start: partial.start, candidates }
}

struct Cursor<'a> {
    tree: &'a Tree,
    here: &'a NodePath,
    kept: &'a Kept,
    environment: &'a Environment,
    /// The word at the cursor so far.
    word: &'a str,
}

impl Cursor<'_> {
    /// The node that a statement is about; of several the first, since all have the same commands.
    fn at(&self, target: &Target) -> Option<(NodePath, &Node)> {
        let path = match target {
            Target::Here => self.here.clone(),
            Target::Node(text) => resolve(self.here, text, self.kept).ok()?,
            Target::Children(text) => {
                let parent = resolve(self.here, text, self.kept).ok()?;
                let child = self.tree.find(&parent).ok()?.children.first()?;
                parent.child(&child.name)
            }
        };
        let node = self.tree.find(&path).ok()?;
        Some((path, node))
    }

    fn first_word(&self) -> Vec<Candidate> {
        let mut candidates = self.nodes(self.here, Goal::Any);
        if !self.word.contains('/') {
            candidates.extend(self.bookmarks("@", ' '));
            candidates
                .extend(self.at(&Target::Here).map(|(_, node)| self.commands(node)).unwrap_or_default());
        }
        candidates
    }

    fn commands(&self, node: &Node) -> Vec<Candidate> {
        let names = commands::at(node.subject.place()).map(|command| command.name);
        names.filter_map(|name| self.offer("", name, ' ')).collect()
    }

    fn parameters(&self, target: &Target, name: &str, typed: &[Argument]) -> Vec<Candidate> {
        let Some((path, node)) = self.at(target) else { return Vec::new() };
        let Some(command) = commands::find(name, node.subject.place()) else { return Vec::new() };
        let asked = Asked { path: &path, node, command, typed };
        if let Some((keyword, value)) = self.word.split_once('=') {
            let cursor = Cursor { word: value, ..*self };
            return cursor.values_of_keyword(&asked, keyword);
        }
        let positional_count =
            typed.iter().filter(|argument| matches!(argument, Argument::Positional(_))).count();
        let by_place = command
            .positional()
            .nth(positional_count)
            .or_else(|| command.parameters.iter().find(|parameter| parameter.need == Need::EveryValue));
        let assigned = command.parameters.iter().find(|parameter| parameter.need == Need::EveryAssignment);
        let by_place = by_place.or(assigned.filter(|_| positional_count > 0));
        let mut candidates =
            by_place.map(|parameter| self.values(&asked, parameter, "", "")).unwrap_or_default();
        candidates.extend(self.keywords(&asked));
        candidates
    }

    /// The keywords and flags that were not typed yet.
    fn keywords(&self, asked: &Asked<'_>) -> Vec<Candidate> {
        let mut free: Vec<&Parameter> = asked.command.parameters.iter().collect();
        let mut places = asked.command.positional();
        for argument in asked.typed {
            let name = match argument {
                Argument::Positional(_) => places.next().map(|parameter| parameter.name),
                Argument::Keyword(name, _) | Argument::Flag(name) => Some(name.as_str()),
            };
            free.retain(|parameter| Some(parameter.name) != name);
        }
        let offered = free.into_iter().filter_map(|parameter| match parameter.need {
            Need::Required | Need::Optional | Need::Keyword => {
                self.offer("", &format!("{}=", parameter.name), '=')
            }
            Need::Flag => self.offer("", &format!("--{}", parameter.name), ' '),
            Need::EveryValue | Need::EveryAssignment => None,
        });
        // Every command has this one.
        offered.chain(self.offer("", "--json", ' ').filter(|_| self.word.starts_with('-'))).collect()
    }

    fn values_of_keyword(&self, asked: &Asked<'_>, keyword: &str) -> Vec<Candidate> {
        let lead = format!("{keyword}=");
        if let Some(parameter) = asked.command.parameter(keyword) {
            return self.values(asked, parameter, &lead, "");
        }
        let assigned =
            asked.command.parameters.iter().find(|parameter| parameter.need == Need::EveryAssignment);
        assigned.map(|parameter| self.values(asked, parameter, &lead, keyword)).unwrap_or_default()
    }

    /// What a parameter may be.  `lead` is what stands before it in the word; `keyword` what is assigned to.
    fn values(&self, asked: &Asked<'_>, parameter: &Parameter, lead: &str, keyword: &str) -> Vec<Candidate> {
        let among = |names: &mut dyn Iterator<Item = &str>| -> Vec<Candidate> {
            names.filter_map(|name| self.offer(lead, name, ' ')).collect()
        };
        match parameter.values {
            Values::Free => Vec::new(),
            Values::Truth => among(&mut ["true", "false"].into_iter()),
            Values::Choice(choices) => among(&mut choices.iter().copied()),
            Values::Child => among(&mut asked.node.children.iter().map(|child| child.name.as_str())),
            Values::Topic => among(&mut commands::at(asked.node.subject.place()).map(|command| command.name)),
            Values::Bookmark => self.bookmarks("", ' '),
            Values::Group => among(&mut groups(asked.node.subject.place()).iter().copied()),
            Values::Node => self.led(lead, self.nodes(asked.path, Goal::Any)),
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
            let choices = Setting::find(keyword).filter(|_| group == Some("global"));
            let choices = choices.map(|setting| setting.kind.choices()).unwrap_or_default();
            return choices.iter().filter_map(|choice| self.offer(lead, choice, ' ')).collect();
        }
        let names: Vec<&str> = match (group, &asked.node.subject) {
            (Some("global"), _) => SETTINGS.iter().map(|setting| setting.name).collect(),
            (Some("attribute"), Subject::Backstore(backstore)) => {
                backstore.attributes.keys().map(String::as_str).collect()
            }
            (Some("alua"), Subject::AluaGroup { group, .. }) => {
                let fixed = |name: &&str| *name != "alua_support_lba_dependent";
                group.attributes.keys().map(String::as_str).filter(fixed).collect()
            }
            (Some("alua"), Subject::Lun { .. }) => vec!["alua_tg_pt_gp_name", "alua_tg_pt_offline"],
            (Some("option"), Subject::Target { options, .. }) => options.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let offer = |name: &str| match need {
            Need::EveryAssignment => self.offer(lead, &format!("{name}="), '='),
            _ => self.offer(lead, name, ' '),
        };
        names.into_iter().filter_map(offer).collect()
    }

    /// Nodes whose path continues the word, one step further.
    fn nodes(&self, from: &NodePath, goal: Goal) -> Vec<Candidate> {
        let (parent, start) = self.last_step();
        let Ok(path) = resolve(from, parent, self.kept) else { return Vec::new() };
        let Ok(node) = self.tree.find(&path) else { return Vec::new() };
        let children =
            node.children.iter().filter(|child| child.name.starts_with(start) && goal.leads_through(child));
        children
            .map(|child| {
                let end = if goal.ends_at(child) { ' ' } else { '/' };
                candidate(&format!("{parent}{}", child.name), &child.name, end)
            })
            .collect()
    }

    fn backstore_paths(&self, from: &NodePath) -> Vec<Candidate> {
        if self.word.is_empty() {
            return vec![candidate("/backstores", "/backstores", '/')];
        }
        self.nodes(from, Goal::Backstore)
    }

    /// The word up to its last slash, and what follows.
    fn last_step(&self) -> (&str, &str) {
        match self.word.rfind('/') {
            Some(at) => self.word.split_at(at + 1),
            None => ("", self.word),
        }
    }

    fn bookmarks(&self, mark: &str, end: char) -> Vec<Candidate> {
        let names = self.kept.bookmarks.keys();
        names.filter_map(|name| self.offer("", &format!("{mark}{name}"), end)).collect()
    }

    /// Files and directories of the host whose path continues the word.
    fn host_names(&self) -> Vec<Candidate> {
        let (parent, start) = self.last_step();
        let directory = self.environment.host_path(if parent.is_empty() { "." } else { parent });
        let Ok(entries) = fs::read_dir(Path::new(&directory)) else { return Vec::new() };
        let names =
            entries.flatten().filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry)));
        names
            .filter(|(name, _)| name.starts_with(start) && (!start.is_empty() || !name.starts_with('.')))
            .take(HOST_NAMES_MAX)
            .map(|(name, entry)| {
                let end = if entry.path().is_dir() { '/' } else { ' ' };
                candidate(&format!("{parent}{name}"), &name, end)
            })
            .collect()
    }

    /// `text` after `lead`, where it continues the word.
    fn offer(&self, lead: &str, text: &str, end: char) -> Option<Candidate> {
        text.starts_with(self.word).then(|| {
            let end = if end == '=' { String::new() } else { end.to_string() };
            Candidate { replacement: format!("{lead}{}{end}", quote(text)), display: text.to_owned() }
        })
    }

    fn led(&self, lead: &str, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let with_lead = |candidate: Candidate| Candidate {
            replacement: format!("{lead}{}", candidate.replacement),
            ..candidate
        };
        candidates.into_iter().map(with_lead).collect()
    }
}

/// Which nodes a path is wanted for.
#[derive(Clone, Copy)]
enum Goal {
    Any,
    Backstore,
}

impl Goal {
    fn leads_through(self, node: &Node) -> bool {
        match self {
            Self::Any => true,
            Self::Backstore => matches!(
                node.subject.place(),
                Place::Backstores | Place::Block | Place::Fileio | Place::Ramdisk | Place::StorageObject
            ),
        }
    }

    fn ends_at(self, node: &Node) -> bool {
        match self {
            Self::Any => node.children.is_empty(),
            Self::Backstore => node.subject.place() == Place::StorageObject,
        }
    }
}

/// A command at a node, with what was typed after it.
struct Asked<'a> {
    path: &'a NodePath,
    node: &'a Node,
    command: &'static Command,
    typed: &'a [Argument],
}

fn candidate(text: &str, display: &str, end: char) -> Candidate {
    Candidate { replacement: format!("{}{end}", quote(text)), display: display.to_owned() }
}

/// The text as it must be typed to be one word.
fn quote(text: &str) -> String {
    let special = |letter: char| letter.is_whitespace() || matches!(letter, '\'' | '"' | '\\');
    let mut quoted = String::with_capacity(text.len());
    for letter in text.chars() {
        if special(letter) {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted
}
