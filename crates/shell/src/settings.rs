// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the shell remembers for its user: the parameters of the group `global`, and bookmarks.
//!
//! Above: `get`, `set`, `bookmarks`, `session`.  Below: nothing.
//! Never here: where it is kept; a [`Keeper`] knows.

use crate::arguments::truth;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Parameters of the group `global` that were set, by name.
    pub globals: BTreeMap<String, String>,
    /// Paths by bookmark.
    pub bookmarks: BTreeMap<String, String>,
    /// What a later version remembers: it is kept as it is.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// Where it is remembered.  Several shells may use one at once.
pub trait Keeper {
    /// What is remembered now; nothing where nothing can be read.
    fn load(&self) -> Kept;
    /// Reads, changes by `edit`, and writes, while no other shell can do so.
    ///
    /// # Errors
    /// One line that says what could not be written where.
    fn update(&self, edit: &mut dyn FnMut(&mut Kept)) -> Result<(), String>;
    /// Adds lines to the log of what was typed and said: a file by this name, with its directory where it has one.
    /// A log that cannot be written is no reason not to go on.
    fn log(&self, file: &str, lines: &[String]);
}

/// A parameter of the group `global`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: SettingKind,
    /// Its value until it is set.
    pub default: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Whether anything follows from it; where not, `about` says why.
    pub is_used: bool,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// `true` or `false`.
    Truth,
    /// A whole number.
    Number,
    /// How much is said.
    LogLevel,
    /// A colour of the terminal.
    Colour,
    /// A colour of the terminal, or none.
    ColourOrNone,
    /// The name of a file.
    File,
}

const LOG_LEVELS: &[&str] = &["critical", "error", "warning", "info", "verbose", "debug"];
const COLOURS: &[&str] = &["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "default"];
const COLOURS_OR_NONE: &[&str] =
    &["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "default", "none"];

/// All of them, by name.  Those of targetcli that mean nothing here are taken and kept, so that a script that
/// sets them goes on; they say so.
pub const SETTINGS: &[Setting] = &[
    unused("auto_add_default_portal", "true", "a target of vhost has no portals"),
    setting(
        "auto_add_mapped_luns",
        SettingKind::Truth,
        "true",
        "If true, a new LUN is mapped in every node ACL of its target port group, and a new node ACL maps every LUN.",
    ),
    setting(
        "auto_cd_after_create",
        SettingKind::Truth,
        "false",
        "If true, the current path becomes that of a newly created object.",
    ),
    unused("auto_enable_tpgt", "true", "a target port group of vhost is enabled from the start to the end"),
    setting(
        "auto_save_on_exit",
        SettingKind::Truth,
        "false",
        "If true, leaving an interactive shell writes saveconfig.json. Nothing is lost without: every change is on disk when it is answered.",
    ),
    unused("auto_use_daemon", "false", "every command asks lunard, whatever this says"),
    setting("color_command", SettingKind::Colour, "cyan", "The colour of commands that the Tab key lists."),
    setting("color_default", SettingKind::ColourOrNone, "none", "The colour of what has no other in ls."),
    setting("color_keyword", SettingKind::Colour, "cyan", "The colour of keywords that the Tab key lists."),
    setting(
        "color_mode",
        SettingKind::Truth,
        "true",
        "If false, nothing is coloured and messages start with their level.",
    ),
    setting(
        "color_parameter",
        SettingKind::Colour,
        "magenta",
        "The colour of values that the Tab key lists.",
    ),
    setting("color_path", SettingKind::Colour, "magenta", "The colour of paths that the Tab key lists."),
    unused(
        "daemon_use_batch_mode",
        "false",
        "lines are sent to lunard one after the other, as they are read",
    ),
    setting(
        "export_backstore_name_as_model",
        SettingKind::Truth,
        "true",
        "If true, guests see the name of a new backstore as its product.",
    ),
    setting(
        "logfile",
        SettingKind::File,
        "log.txt",
        "The file that keeps what was typed and said, beside the preferences unless it has a directory.",
    ),
    setting(
        "loglevel_console",
        SettingKind::LogLevel,
        "info",
        "Messages below this level are not shown; why a command failed always is.",
    ),
    setting(
        "loglevel_file",
        SettingKind::LogLevel,
        "debug",
        "Messages below this level are not in the log file. At debug it has every line that was typed.",
    ),
    setting(
        "max_backup_files",
        SettingKind::Number,
        "10",
        "How many earlier versions of its saveconfig.json the daemon keeps when one is written.",
    ),
    setting(
        "prompt_length",
        SettingKind::Number,
        "30",
        "A longer path is shortened in the prompt; 0 for never.",
    ),
    setting("tree_max_depth", SettingKind::Number, "0", "Levels that ls shows unless it is told; 0 for all."),
    setting("tree_round_nodes", SettingKind::Truth, "true", "If true, nodes are drawn as o-, else as +-."),
    setting(
        "tree_show_root",
        SettingKind::Truth,
        "true",
        "If true, ls shows the node itself above its children.",
    ),
    setting("tree_status_mode", SettingKind::Truth, "true", "If true, ls shows a summary of each node."),
];

const fn setting(
    name: &'static str,
    kind: SettingKind,
    default: &'static str,
    about: &'static str,
) -> Setting {
    Setting { name, kind, default, about, is_used: true }
}

/// One of targetcli's that means nothing here, and why.
const fn unused(name: &'static str, default: &'static str, why: &'static str) -> Setting {
    Setting { is_used: false, ..setting(name, SettingKind::Truth, default, why) }
}

impl Setting {
    /// The parameter of that name.
    pub(crate) fn find(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// What `get` and `set` say of it: a sentence.
    pub(crate) fn description(&self) -> String {
        if self.is_used {
            return self.about.to_owned();
        }
        format!("Kept for targetcli's scripts, and nothing follows from it: {}.", self.about)
    }

    /// The value as it is kept, or what is wrong with it.
    pub(crate) fn check(&self, text: &str) -> Result<String, Failure> {
        let among = |choices: &[&str]| {
            let lower = text.to_lowercase();
            let known = choices.contains(&lower.as_str());
            known
                .then_some(lower)
                .ok_or_else(|| format!("Syntax error, '{text}' is not {}.", choices.join("|")))
        };
        let checked = match self.kind {
            SettingKind::Truth => {
                truth(text).map(|value| value.to_string()).map_err(|failure| failure.message)
            }
            SettingKind::Number => match text.parse::<u32>() {
                Ok(number) => Ok(number.to_string()),
                Err(_) => Err(format!("Syntax error, '{text}' is not a NUMBER.")),
            },
            SettingKind::LogLevel => among(LOG_LEVELS),
            SettingKind::Colour => among(COLOURS),
            SettingKind::ColourOrNone => among(COLOURS_OR_NONE),
            SettingKind::File if text.is_empty() || text.contains(char::is_control) => {
                Err(format!("Syntax error, '{text}' is not a file name."))
            }
            SettingKind::File => Ok(text.to_owned()),
        };
        checked.map_err(|why| Failure::new(format!("Not setting {}! {why}", self.name)))
    }
}

impl SettingKind {
    /// The word that `set global` shows.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Truth => "bool",
            Self::Number => "number",
            Self::LogLevel => "loglevel",
            Self::Colour => "color",
            Self::ColourOrNone => "colordefault",
            Self::File => "string",
        }
    }

    /// The values to choose from, where they can be counted.
    pub(crate) fn choices(self) -> &'static [&'static str] {
        match self {
            Self::Truth => &["true", "false"],
            Self::Number | Self::File => &[],
            Self::LogLevel => LOG_LEVELS,
            Self::Colour => COLOURS,
            Self::ColourOrNone => COLOURS_OR_NONE,
        }
    }
}

impl Kept {
    /// The value of a parameter: as set, else its default, else nothing for a name that is none.  A file may have been
    /// written by hand: what it cannot be counts as not set.
    #[must_use]
    pub fn global(&self, name: &str) -> &str {
        let Some(setting) = Setting::find(name) else { return "" };
        let set = self.globals.get(name).filter(|value| setting.check(value).as_ref() == Ok(value));
        set.map_or(setting.default, String::as_str)
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.global(name) == "true"
    }

    pub(crate) fn number(&self, name: &str) -> usize {
        self.global(name).parse().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_valid() {
        assert!(SETTINGS.is_sorted_by(|a, b| a.name < b.name));
        for setting in SETTINGS {
            assert_eq!(setting.check(setting.default).expect(setting.name), setting.default);
        }
    }

    #[test]
    fn what_a_parameter_cannot_be_counts_as_not_set() {
        let text = r#"{"globals": {"prompt_length": "-1", "color_mode": "False", "loglevel_file": "none", "nosuch": "1"}}"#;
        let kept: Kept = serde_json::from_str(text).expect("preferences");
        assert_eq!(kept.number("prompt_length"), 30);
        assert!(kept.is_on("color_mode"), "it is written in small letters");
        assert_eq!(kept.global("loglevel_file"), "debug");
        assert_eq!(kept.global("nosuch"), "");
    }
}
