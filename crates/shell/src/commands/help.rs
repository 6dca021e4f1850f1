// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `help`: what can be typed here, and what it does.
//!
//! Above: the table.  Below: the table.
//! Never here: the help of a single command; its row has it.

use crate::command::{Command, Need, Needs, Places, Values, optional};
use crate::commands;
use crate::failure::Failure;
use crate::session::Call;
use std::fmt::Write as _;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "help",
    places: Places::All,
    parameters: &[optional("topic", Values::Topic, "a command of this node")],
    summary: "Show what can be typed here, or what a command does",
    details: "",
    needs: Needs::Nothing,
    run,
}];

const INTRODUCTION: &str = "
GENERALITIES
============
Backstores, targets and LUNs are nodes of a tree.  `ls` shows it, `cd`
walks in it, and each node has commands of its own: `create` makes a
disk at /backstores/fileio and a target at /vhost.

The prompt shows the node where you are; `pwd` writes it in full.

COMMAND SYNTAX
==============
[PATH] COMMAND [PARAMETER...]

PATH says at which node to run the command, absolute or relative; it
holds a slash, or is `.`, `..`, or @ and a bookmark.  Without it, the
command runs where you are.  `*` at its end means every child.

A parameter is given by its place or as NAME=VALUE.  Quotes and the
backslash keep spaces in a word; a backslash at the end of a line
continues it; a line that starts with # is a comment.

With --json every command answers with one line of JSON for programs.

AVAILABLE COMMANDS
==================
The following commands are available in the
current path:

";

/// Columns of a paragraph.
const COLUMNS: usize = 76;

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let place = call.node.subject.place();
    let text = match call.arguments.get("topic") {
        Some(topic) => match commands::find(topic, place) {
            Some(command) => about(command),
            None => return Err(unknown(topic)),
        },
        None => {
            let lines = commands::at(place).map(|command| format!("  - {}\n", command.syntax()));
            format!("{INTRODUCTION}{}", lines.collect::<String>())
        }
    };
    call.print(&text);
    Ok(())
}

fn unknown(topic: &str) -> Failure {
    let failure = Failure::new(format!("Cannot find help topic {topic}."));
    if commands::all().any(|command| command.name == topic) {
        failure.hint(format!("{topic} is a command of other nodes: go there, or write PATH help {topic}"))
    } else {
        failure.hint("`help` lists the commands of this node")
    }
}

fn about(command: &Command) -> String {
    let mut text = format!("\nSYNTAX\n======\n{}\n\n", command.syntax());
    let _ = writeln!(text, "\nDESCRIPTION\n===========\n\n{}", wrap(&format!("{}.", command.summary), ""));
    for paragraph in command.details.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let _ = writeln!(text, "{}", wrap(paragraph, ""));
    }
    if !command.parameters.is_empty() {
        text.push_str("PARAMETERS\n==========\n\n");
        for parameter in command.parameters {
            let name = match (parameter.need, command.letter_of(parameter)) {
                (Need::Flag, Some(letter)) => format!("--{}, {letter}", parameter.name),
                (Need::Flag, None) => format!("--{}", parameter.name),
                _ => parameter.name.to_owned(),
            };
            let _ = write!(text, "{}", wrap(&format!("{name}: {}.", parameter.about), "    "));
        }
    }
    text
}

/// Breaks text into lines; those after the first start with `margin`.
fn wrap(text: &str, margin: &str) -> String {
    let mut lines = String::new();
    let mut columns = 0;
    for word in text.split(' ') {
        let wide = word.chars().count();
        if columns > 0 && columns + 1 + wide > COLUMNS {
            lines.push('\n');
            lines.push_str(margin);
            columns = margin.len();
        } else if columns > 0 {
            lines.push(' ');
            columns += 1;
        }
        lines.push_str(word);
        columns += wide;
    }
    lines.push('\n');
    lines
}
