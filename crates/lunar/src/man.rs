// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar man`: manual pages, made of the tables that `help` and `--help` are made of, and of pages of the manual.
//!
//! Above: `main`.  Below: `options`, the shell's table of commands, docs/manual; `clap_mangen`.
//! Never here: a sentence about a command or an option; its table has it.
//!
//! Nothing of it is kept: a page is always that of the program that prints it.

mod markdown; // a page of the manual, for man(1)

use crate::options::Options;
use clap::{Arg, Command, CommandFactory, ValueEnum};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use shell::command::{Need, Parameter};
use shell::commands;
use std::io;

/// The pages.  lunard(8) is printed by lunard itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// lunar(1): this program
    Lunar,
    /// lunar-apply(5): the file that `apply` takes
    LunarApply,
    /// lunar-saveconfig(5): saveconfig.json
    LunarSaveconfig,
}

/// The manual that all pages are of.
const MANUAL: &str = "Lunar";

/// A page is of the day when it is printed.
const NO_DATE: &str = " ";

/// The page, for man(1).
pub(crate) fn page(page: Page) -> String {
    match page {
        Page::Lunar => lunar(),
        Page::LunarApply => markdown::page(
            "lunar-apply",
            "a file of what backstores, targets and LUNs are to be",
            include_str!("../../../docs/manual/apply.md"),
        ),
        Page::LunarSaveconfig => markdown::page(
            "lunar-saveconfig",
            "the configuration in the form of LIO's saveconfig.json",
            include_str!("../../../docs/manual/saveconfig.md"),
        ),
    }
}

fn lunar() -> String {
    let program = Options::command();
    let man = Man::new(program.clone()).manual(MANUAL).date(NO_DATE);
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let written: io::Result<()> = (|| {
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        synopsis(&program).to_writer(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        tools(&program).to_writer(&mut text)?;
        shell_commands().to_writer(&mut text)?;
        rest().to_writer(&mut text)
    })();
    written.map(|()| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

fn synopsis(program: &Command) -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["SYNOPSIS"]);
    let usage = program.clone().render_usage().to_string();
    for (index, line) in usage.trim_start_matches("Usage:").lines().enumerate() {
        if index > 0 {
            page.control("br", []);
        }
        page.text([roman(line.trim())]);
    }
    page
}

/// The tools, each with its own options.
fn tools(program: &Command) -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["TOOLS"]);
    for tool in program.get_subcommands().filter(|tool| !tool.is_hide_set()) {
        let mut usage = tool.clone().bin_name(format!("lunar {}", tool.get_name()));
        let line = usage.render_usage().to_string();
        page.control("SS", [line.trim_start_matches("Usage:").trim()]);
        let about = tool.get_long_about().or_else(|| tool.get_about()).map(ToString::to_string);
        paragraphs(&mut page, &about.unwrap_or_default());
        for argument in tool.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            item(&mut page, &term(argument), &format!("{help}{}.", values(argument)));
        }
    }
    page
}

/// An argument as it is typed: `--pci ADDRESS`, `--take`, `WWN`.
fn term(argument: &Arg) -> Vec<Inline> {
    let names: Vec<String> = match argument.get_value_names() {
        Some(names) if argument.get_action().takes_values() => {
            names.iter().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    };
    let value = names.join(" ");
    match argument.get_long() {
        Some(long) if value.is_empty() => vec![bold(format!("--{long}"))],
        Some(long) => vec![bold(format!("--{long}")), roman(" "), italic(value)],
        None => vec![italic(value)],
    }
}

/// The values to choose from, each with what it is, and the one that it has if left out.
fn values(argument: &Arg) -> String {
    let possible = argument.get_possible_values();
    let listed: Vec<String> = possible
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| match value.get_help() {
            Some(help) => format!("{} ({help})", value.get_name()),
            None => value.get_name().to_owned(),
        })
        .collect();
    // A switch has values too, which nobody types.
    if listed.is_empty() || !argument.get_action().takes_values() {
        return String::new();
    }
    let default: Vec<_> = argument.get_default_values().iter().filter_map(|value| value.to_str()).collect();
    match default.as_slice() {
        [] => format!(": {}", listed.join(", ")),
        default => format!(": {}; {} if left out", listed.join(", "), default.join(" ")),
    }
}

/// Every row of the shell's table, as `help` shows it.
fn shell_commands() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["COMMANDS"]);
    paragraphs(
        &mut page,
        "Each is typed at a node of the tree: the current one, or that of a path before it. Those that are not of every \
node name the sorts of nodes that have them.",
    );
    for command in commands::all() {
        let places = command.places_in_words().map(|places| format!(" ({places})")).unwrap_or_default();
        page.control("SS", [format!("{}{places}", command.syntax().trim_end()).as_str()]);
        paragraphs(&mut page, &format!("{}.\n\n{}", command.summary, command.details));
        for parameter in command.parameters {
            item(&mut page, &[italic(shown(parameter))], &format!("{}.", parameter.about));
        }
    }
    page
}

fn shown(parameter: &Parameter) -> String {
    match parameter.need {
        Need::Flag => format!("--{}", parameter.name),
        _ => parameter.name.to_owned(),
    }
}

fn rest() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["EXIT STATUS"]);
    paragraphs(
        &mut page,
        "0, or 1 if any command failed or nobody took the output. lunar run has that of its command.",
    );
    page.control("SH", ["ENVIRONMENT"]);
    for (name, about) in [
        ("LUNAR_RUNTIME_DIR, LUNAR_STATE_DIR", "stand for --runtime-dir and --state-dir."),
        ("XDG_STATE_HOME, HOME", "say where preferences, bookmarks, the lines typed and the log are."),
        ("NO_COLOR", "not empty: nothing is coloured."),
        ("TERM", "dumb: nothing is coloured, and cd without a path picks no node."),
    ] {
        item(&mut page, &[bold(name)], about);
    }
    page.control("SH", ["FILES"]);
    for (file, about) in [
        ("/run/lunar/api.sock", "where lunard is asked; $XDG_RUNTIME_DIR/lunar for users."),
        (
            "~/.local/state/lunar",
            "shell.json with preferences and bookmarks, history with the lines typed, log.txt with what was said; $XDG_STATE_HOME/lunar where it is set.",
        ),
    ] {
        item(&mut page, &[italic(file)], about);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("lunard"),
        roman("(8), "),
        bold("lunar-apply"),
        roman("(5), "),
        bold("lunar-saveconfig"),
        roman("(5)"),
    ]);
    page
}

/// The paragraphs of a text; the first follows a heading, which begins one itself.
fn paragraphs(page: &mut Roff, text: &str) {
    for (index, paragraph) in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()).enumerate() {
        if index > 0 {
            page.control("PP", []);
        }
        page.text([roman(paragraph)]);
    }
}

fn item(page: &mut Roff, term: &[Inline], about: &str) {
    page.control("TP", []);
    page.text(term.to_vec());
    page.text([roman(about)]);
}
