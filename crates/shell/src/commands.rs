// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The table of all commands, one file each.
//!
//! Above: `session`, `help`, `complete`.  Below: the files of the commands.
//! Never here: what a command does.  A command is one file here and one in `tests/`, and a test compares.

mod apply;
mod bookmarks;
mod cd;
mod clearconfig;
mod create;
mod delete;
mod diff;
mod disable;
mod eject;
mod enable;
mod exit;
mod get;
mod help;
mod info;
mod load;
mod ls;
mod pwd;
mod refresh;
mod resize;
mod restoreconfig;
mod saveconfig;
mod sessions;
mod set;
mod status;
mod version;

use crate::command::Command;
use crate::tree::Place;

pub(crate) use get::{Entry, FABRIC_PROT_TYPE, groups};
pub(crate) use sessions::sessions;

/// The rows, by name.
const TABLE: &[&[Command]] = &[
    apply::COMMANDS,
    bookmarks::COMMANDS,
    cd::COMMANDS,
    clearconfig::COMMANDS,
    create::COMMANDS,
    delete::COMMANDS,
    diff::COMMANDS,
    disable::COMMANDS,
    eject::COMMANDS,
    enable::COMMANDS,
    exit::COMMANDS,
    get::COMMANDS,
    help::COMMANDS,
    info::COMMANDS,
    load::COMMANDS,
    ls::COMMANDS,
    pwd::COMMANDS,
    refresh::COMMANDS,
    resize::COMMANDS,
    restoreconfig::COMMANDS,
    saveconfig::COMMANDS,
    sessions::COMMANDS,
    set::COMMANDS,
    status::COMMANDS,
    version::COMMANDS,
];

/// All rows, by name.
pub fn all() -> impl Iterator<Item = &'static Command> {
    TABLE.iter().flat_map(|commands| commands.iter())
}

/// The commands at nodes of a sort, by name.
pub fn at(place: Place) -> impl Iterator<Item = &'static Command> {
    all().filter(move |command| command.is_at(place))
}

/// The command of that name at nodes of a sort.
#[must_use]
pub fn find(name: &str, place: Place) -> Option<&'static Command> {
    at(place).find(|command| command.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Need, Places};

    const PLACES: [Place; 17] = [
        Place::Root,
        Place::Backstores,
        Place::Block,
        Place::Fileio,
        Place::Ramdisk,
        Place::StorageObject,
        Place::AluaGroups,
        Place::AluaGroup,
        Place::Vhost,
        Place::Target,
        Place::Tpg,
        Place::Acls,
        Place::Acl,
        Place::MappedLun,
        Place::Luns,
        Place::Lun,
        Place::Foreign,
    ];

    #[test]
    fn the_table_is_sorted_by_name() {
        let names: Vec<&str> = all().map(|command| command.name).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn no_place_has_two_commands_of_one_name() {
        for place in PLACES {
            let names: Vec<&str> = at(place).map(|command| command.name).collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{place:?}: {names:?}");
        }
    }

    #[test]
    fn the_manual_names_every_sort_of_node_for_programs() {
        let manual = include_str!("../../../docs/manual/json.md");
        for place in PLACES {
            let word = format!("`{}`", crate::json::kind(place));
            assert!(manual.contains(&word), "{word}");
        }
    }

    #[test]
    fn help_is_in_the_tables_form() {
        for command in all() {
            let name = command.name;
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
            assert!(
                !command.summary.is_empty() && !command.summary.ends_with('.'),
                "{name}: {}",
                command.summary
            );
            assert!(
                command.details.is_empty() || command.details.ends_with('.'),
                "{name}: {}",
                command.details
            );
            assert!(!matches!(command.places, Places::At([])), "{name} is nowhere");
            for parameter in command.parameters {
                assert!(
                    !parameter.about.is_empty() && !parameter.about.ends_with('.'),
                    "{name} {}",
                    parameter.name
                );
            }
            let order: Vec<Need> = command.positional().map(|parameter| parameter.need).collect();
            assert!(
                order.is_sorted_by_key(|need| *need == Need::Optional),
                "{name}: required ones come first"
            );
        }
    }
}
