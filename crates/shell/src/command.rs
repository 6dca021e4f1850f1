// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A row of the table of commands: name, places, parameters, help, and what it does.
//!
//! Above: `commands`, which holds the rows; `help`, `complete` and `session`, which read them.
//! Below: `arguments`, `session::Call`.
//! Never here: a command.

use crate::failure::Failure;
use crate::json::kind;
use crate::session::Call;
use crate::tree::Place;

/// One command as it is at some places; several rows may share a name where their places differ.
pub struct Command {
    /// What is typed.
    pub name: &'static str,
    /// Where it can be typed.
    pub places: Places,
    /// What follows it.
    pub parameters: &'static [Parameter],
    /// What it does, in the imperative and without a full stop.
    pub summary: &'static str,
    /// More in full sentences, a blank line between paragraphs; perhaps empty.
    pub details: &'static str,
    /// What must be there for it to work.
    pub needs: Needs,
    pub(crate) run: Run,
}

/// The body of a command.
pub(crate) type Run = fn(&mut Call<'_>) -> Result<(), Failure>;

/// What must be there for a command to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it works when `lunard` does not answer.
    Nothing,
    /// The tree; the current node may have gone.
    Tree,
    /// The node where it runs.
    Node,
}

/// Where a command can be typed.
#[derive(Clone, Copy, Debug)]
pub enum Places {
    /// At every node.
    All,
    /// At nodes of these sorts.
    At(&'static [Place]),
}

/// One parameter of a command.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its keyword.
    pub name: &'static str,
    /// How it may be given.
    pub need: Need,
    /// What it may be, for the Tab key.
    pub values: Values,
    /// What it means, without a full stop.
    pub about: &'static str,
}

/// Parameters that a dash and a letter stand for, as in other programs: command, letter, name.
const LETTERS: &[(&str, &str, &str)] =
    &[("apply", "-f", "file"), ("apply", "-y", "yes"), ("diff", "-f", "file")];

/// How a parameter may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Always, by place or keyword.
    Required,
    /// By place or keyword.
    Optional,
    /// By keyword alone.
    Keyword,
    /// As `--name`.
    Flag,
    /// All values that follow, by place.
    EveryValue,
    /// All assignments that follow.
    EveryAssignment,
}

/// What a parameter may be, for the Tab key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Anything.
    Free,
    /// `true` or `false`.
    Truth,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A path of the tree.
    Node,
    /// A path of the tree to a backstore, or a path of the host.
    BackstorePath,
    /// The name of a child of this node.
    Child,
    /// A path of the host.
    HostPath,
    /// The name of an initiator: a nexus that has no access control list yet.
    Initiator,
    /// The lowest number that no child of this node has.
    FreeNumber,
    /// A session of a guest.
    Session,
    /// A target of a saveconfig.json.
    FileTarget,
    /// A storage object of a saveconfig.json.
    FileObject,
    /// A LUN of the target port group, or what [`Values::BackstorePath`] is.
    LunOrBackstore,
    /// A command of this node.
    Topic,
    /// A bookmark.
    Bookmark,
    /// A group of `get` and `set`.
    Group,
    /// A parameter of that group.
    GroupParameter,
}

impl Command {
    /// Whether it can be typed at nodes of that sort.
    #[must_use]
    pub fn is_at(&self, place: Place) -> bool {
        match self.places {
            Places::All => true,
            Places::At(places) => places.contains(&place),
        }
    }

    /// The line that help shows: `create name dev [readonly] [wwn] `.
    #[must_use]
    pub fn syntax(&self) -> String {
        let mut syntax = format!("{} ", self.name);
        for parameter in self.parameters {
            let name = parameter.name;
            syntax.push_str(&match parameter.need {
                Need::Required => format!("{name} "),
                Need::Optional => format!("[{name}] "),
                Need::Keyword => format!("[{name}=...] "),
                Need::Flag => format!("[--{name}] "),
                Need::EveryValue => format!("[{name}...] "),
                Need::EveryAssignment => format!("[{name}=value...] "),
            });
        }
        syntax
    }

    /// The sorts of nodes where it can be typed; nothing for all.
    #[must_use]
    pub fn places_in_words(&self) -> Option<String> {
        match self.places {
            Places::All => None,
            Places::At(places) => {
                Some(places.iter().map(|place| kind(*place)).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The parameters that may be given by place, in order.
    pub(crate) fn positional(&self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters.iter().filter(|parameter| matches!(parameter.need, Need::Required | Need::Optional))
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The parameter that a dash and a letter stand for.
    pub(crate) fn by_letter(&self, text: &str) -> Option<&'static Parameter> {
        let (_, _, name) =
            LETTERS.iter().find(|(command, letter, _)| *command == self.name && *letter == text)?;
        self.parameter(name)
    }

    /// A dash and the letter of a parameter, where it has one.
    pub(crate) fn letter_of(&self, parameter: &Parameter) -> Option<&'static str> {
        let of = LETTERS.iter().find(|(command, _, name)| *command == self.name && *name == parameter.name);
        of.map(|(_, letter, _)| *letter)
    }

    pub(crate) fn takes_every(&self, need: Need) -> bool {
        self.parameters.iter().any(|parameter| parameter.need == need)
    }
}

/// Writes the table's rows shortly.
pub(crate) const fn required(name: &'static str, values: Values, about: &'static str) -> Parameter {
    Parameter { name, need: Need::Required, values, about }
}

pub(crate) const fn optional(name: &'static str, values: Values, about: &'static str) -> Parameter {
    Parameter { name, need: Need::Optional, values, about }
}

pub(crate) const fn keyword(name: &'static str, values: Values, about: &'static str) -> Parameter {
    Parameter { name, need: Need::Keyword, values, about }
}

pub(crate) const fn flag(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, need: Need::Flag, values: Values::Free, about }
}
