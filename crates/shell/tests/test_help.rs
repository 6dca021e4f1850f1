// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `help`.

use crate::support::{Session, furnished};

#[test]
fn it_is_a_flag_of_every_command_too() {
    let mut session = furnished();
    for (line, same) in [
        ("ls --help", "help ls"),
        ("/vhost create naa.5 --help", "/vhost help create"),
        ("/vhost --help", "/vhost help"),
        ("help --help", "help help"),
    ] {
        let expected = session.run(same);
        assert!(!expected.failed && expected.out.len() > 100, "{same}: {expected:?}");
        assert_eq!(session.run(line), expected, "{line}");
    }
    session.transcript("/> nosuch --help\n! Cannot find help topic nosuch.\n! hint: `help` lists the commands of this node\n");
    // With a quote it is a value.
    session.transcript("/> bookmarks add '--help'\nBookmarked / as --help.\n");
}

#[test]
fn the_commands_of_a_node_are_listed_with_their_parameters() {
    let help = furnished().run("/vhost/naa.500140568720f76f/tpg1/luns help").out;
    let (_, list) = help.split_once("current path:\n\n").expect("a list");
    assert_eq!(
        list,
        "  - bookmarks action [bookmark] \n  \
           - cd [path] \n  \
           - create storage_object [lun] [add_mapped_luns] [write_protect=...] \n  \
           - delete lun \n  \
           - exit \n  \
           - get [group] [parameter...] \n  \
           - help [topic] \n  \
           - ls [path] [depth] \n  \
           - pwd \n  \
           - refresh \n  \
           - set [group] [parameter=value...] \n  \
           - status \n"
    );
}

#[test]
fn a_command_is_described_with_its_parameters() {
    furnished().transcript(
        "
/> /vhost help delete

SYNTAX
======
delete wwn 


DESCRIPTION
===========

Remove a target with its target port groups and LUNs.

It is refused while a guest is connected. The backstores stay.

PARAMETERS
==========

wwn: its name.
/> help nosuch
! Cannot find help topic nosuch.
! hint: `help` lists the commands of this node
/> help create
! Cannot find help topic create.
! hint: create is a command of other nodes: go there, or write PATH help create
",
    );
}

#[test]
fn no_line_of_any_help_is_wider_than_a_terminal() {
    let mut session = furnished();
    let lun = "/vhost/naa.500140568720f76f/tpg1/luns";
    for path in ["/", "/backstores/block", "/backstores/fileio", "/backstores/ramdisk", "/vhost", lun] {
        for command in shell::commands::all() {
            let reply = session.run(&format!("{path} help {}", command.name));
            for line in reply.out.lines().filter(|line| !line.starts_with(command.name)) {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }
}

#[test]
fn it_needs_no_daemon() {
    let mut session = Session::new();
    session.fake.stop();
    assert!(session.run("help ls").out.contains("Show the tree below a node."));
}
