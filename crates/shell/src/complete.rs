// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the Tab key offers.
//!
//! Above: `lunar`, which shows it.  Below: `grammar`, the table of commands, `tree`.
//! Never here: keys or the terminal.

mod values; // what a parameter may be

use crate::command::{Command, Need, Parameter};
use crate::commands;
use crate::daemon::Api;
use crate::grammar::{self, Argument, Target};
use crate::path::NodePath;
use crate::session::{Environment, resolve};
use crate::settings::Kept;
use crate::tree::{Node, Place, Tree};
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
    /// What sort of thing it is, for its colour.
    pub kind: CandidateKind,
}

/// What sort of thing may stand at the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CandidateKind {
    /// A path of the tree or the host, or a bookmark.
    Path,
    /// A command.
    Command,
    /// `keyword=` or `--flag`.
    Keyword,
    /// A value.
    Value,
}

impl CandidateKind {
    /// The preference that has its colour.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Path => "color_path",
            Self::Command => "color_command",
            Self::Keyword => "color_keyword",
            Self::Value => "color_parameter",
        }
    }
}

/// The most names of the host that are offered.
const HOST_NAMES_MAX: usize = 512;

pub(crate) fn complete(
    line: &str,
    tree: &Tree,
    here: &NodePath,
    kept: &Kept,
    environment: &Environment,
    api: &dyn Api,
) -> Completion {
    let partial = grammar::partial(line);
    let cursor = Cursor { tree, here, kept, environment, api, word: partial.word.text() };
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
    /// For the tables of attributes and options, asked when they are needed.
    api: &'a dyn Api,
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
            candidates.extend(self.offer_as(CandidateKind::Path, "", "/", '='));
            if let Some((_, node)) = self.at(&Target::Here) {
                candidates.extend(self.commands(node));
                // All children at once.
                let all = self.offer_as(CandidateKind::Path, "", "*", ' ');
                candidates.extend(all.filter(|_| node.children.len() > 1));
            }
        }
        candidates
    }

    fn commands(&self, node: &Node) -> Vec<Candidate> {
        let names = commands::at(node.subject.place()).map(|command| command.name);
        names.filter_map(|name| self.offer_as(CandidateKind::Command, "", name, ' ')).collect()
    }

    fn parameters(&self, target: &Target, name: &str, typed: &[Argument]) -> Vec<Candidate> {
        let Some((path, node)) = self.at(target) else { return Vec::new() };
        let Some(command) = commands::find(name, node.subject.place()) else { return Vec::new() };
        let asked = Asked { path: &path, node, command, typed };
        if let Some((keyword, value)) = self.word.split_once('=') {
            let cursor = Cursor { word: value, ..*self };
            return cursor.values_of_keyword(&asked, keyword);
        }
        // `-f` stands before the value of its parameter.
        if let Some(parameter) = typed.last().and_then(|last| letter(command, last))
            && parameter.need != Need::Flag
        {
            return self.values(&asked, parameter, "", "");
        }
        let is_by_place = |argument: &&Argument| {
            matches!(argument, Argument::Positional(_)) && letter(command, argument).is_none()
        };
        let positional_count = typed.iter().filter(is_by_place).count();
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
                _ if let Some(parameter) = letter(asked.command, argument) => Some(parameter.name),
                Argument::Positional(_) => places.next().map(|parameter| parameter.name),
                Argument::Keyword(name, _) | Argument::Flag(name) => Some(name.as_str()),
            };
            free.retain(|parameter| Some(parameter.name) != name);
        }
        let offered = free.into_iter().filter_map(|parameter| match parameter.need {
            Need::Required | Need::Optional | Need::Keyword => {
                self.offer_as(CandidateKind::Keyword, "", &format!("{}=", parameter.name), '=')
            }
            Need::Flag => self.offer_as(CandidateKind::Keyword, "", &format!("--{}", parameter.name), ' '),
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
        names
            .filter_map(|name| self.offer_as(CandidateKind::Path, "", &format!("{mark}{name}"), end))
            .collect()
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
        self.offer_as(CandidateKind::Value, lead, text, end)
    }

    fn offer_as(&self, kind: CandidateKind, lead: &str, text: &str, end: char) -> Option<Candidate> {
        text.starts_with(self.word).then(|| {
            let end = if end == '=' { String::new() } else { end.to_string() };
            Candidate { replacement: format!("{lead}{}{end}", quote(text)), display: text.to_owned(), kind }
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

/// The parameter that a dash and a letter stand for.
fn letter(command: &'static Command, argument: &Argument) -> Option<&'static Parameter> {
    match argument {
        Argument::Positional(text) => command.by_letter(text),
        Argument::Keyword(..) | Argument::Flag(_) => None,
    }
}

fn candidate(text: &str, display: &str, end: char) -> Candidate {
    // A node of that name, and not all of them.
    let quoted = match text.strip_suffix('*') {
        Some(parent) if display == "*" => format!("{}\\*", quote(parent)),
        _ => quote(text),
    };
    Candidate {
        replacement: format!("{quoted}{end}"),
        display: display.to_owned(),
        kind: CandidateKind::Path,
    }
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
