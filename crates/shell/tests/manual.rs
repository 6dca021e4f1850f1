// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The shell's page of the manual against the program: commands of nodes, preferences, examples.

use crate::support::furnished;
use shell::commands;
use shell::tree::Place;
use shell::{SETTINGS, Setting};
use std::collections::BTreeSet;

const MANUAL: &str = include_str!("../../../docs/manual/shell.md");

/// Which rows of the table of nodes are about which sorts of nodes.
const ROWS: &[(&str, &[Place])] = &[
    ("`/`", &[Place::Root]),
    ("`/backstores/{block,fileio,ramdisk}`", &[Place::Block, Place::Fileio, Place::Ramdisk]),
    ("a backstore", &[Place::StorageObject]),
    ("`/vhost`", &[Place::Vhost]),
    ("a target", &[Place::Target]),
    ("a target port group", &[Place::Tpg]),
    ("`acls`, one of them", &[Place::Acl]),
    ("a mapped LUN", &[Place::MappedLun]),
    ("`luns`", &[Place::Luns]),
    ("a LUN", &[Place::Lun]),
    ("`alua` of a backstore", &[Place::AluaGroups]),
    ("an ALUA group", &[Place::AluaGroup]),
    ("every node", &[Place::Backstores, Place::Foreign]),
];

/// The cells of the rows of the table below a heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = MANUAL.split_once(heading).expect(heading);
    let rows = rest.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn each_node_has_the_commands_that_the_manual_says() {
    let rows = table("## Nodes");
    let everywhere: BTreeSet<&str> = commands::at(Place::Backstores).map(|command| command.name).collect();
    let names: BTreeSet<&str> = commands::all().map(|command| command.name).collect();
    assert_eq!(rows.len(), ROWS.len());
    for (row, (label, places)) in rows.iter().zip(ROWS) {
        assert_eq!(row[0], *label);
        // Groups of get and set are named in the same cell.
        let cell = row[1].split(", and the group").next().unwrap_or_default();
        let cell = if cell.starts_with("the group") { "" } else { cell };
        let mut told: BTreeSet<&str> = quoted(cell).into_iter().filter(|word| names.contains(word)).collect();
        if *label != "every node" {
            told.extend(&everywhere);
        }
        for place in *places {
            let has: BTreeSet<&str> = commands::at(*place).map(|command| command.name).collect();
            assert_eq!(has, told, "{label}");
        }
    }
}

#[test]
fn the_manual_has_every_preference_with_its_default() {
    let mut told = Vec::new();
    for heading in ["`set global NAME=VALUE` is kept", "From these of targetcli nothing follows"] {
        for row in table(heading) {
            let names = quoted(&row[0]).into_iter().map(str::to_owned).collect::<Vec<_>>();
            let defaults: Vec<String> = row[1].split(", ").map(str::to_owned).collect();
            assert_eq!(names.len(), defaults.len(), "{row:?}");
            let is_used = !heading.starts_with("From");
            told.extend(names.into_iter().zip(defaults).map(|(name, default)| (name, default, is_used)));
        }
    }
    told.sort();
    let of = |setting: &Setting| (setting.name.to_owned(), setting.default.to_owned(), setting.is_used);
    assert_eq!(told, SETTINGS.iter().map(of).collect::<Vec<_>>());
}

#[test]
fn the_lines_of_the_manual_can_be_typed() {
    let mut session = furnished();
    for line in [
        "/vhost create naa.5001405000000001",
        "/vhost/naa.5001405000000001/tpg1/luns create /backstores/block/disk0 5",
    ] {
        assert_eq!(session.run(line).err, "", "{line}");
    }
    let examples: Vec<&str> = MANUAL.lines().filter(|line| line.starts_with("/vhost/")).collect();
    assert_eq!(examples.len(), 2, "{examples:?}");
    for line in examples {
        let reply = session.run(line);
        assert_eq!((reply.err.as_str(), reply.failed), ("", false), "{line}");
    }
}
