// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the Tab key offers in bash, zsh and fish: `lunar completions` prints a script, which asks `lunar complete`.
//!
//! Above: `main`.  Below: `options`, whose table has the program's own words; the shell, which has all others.
//! Never here: a word that is in neither table.
//!
//! The scripts know nothing: they hand over the line up to the cursor and offer what comes back, so that a script of
//! an older version completes the words of a newer program.

use crate::door::Door;
use crate::options::Options;
use clap::{Arg, Command, CommandFactory, ValueEnum};
use shell::grammar::{self, Partial, Word};
use shell::{Api, Mode, Shell};
use std::fs::{DirEntry, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Whose Tab key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// GNU Bash
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell
    Fish,
}

impl Kind {
    /// The script that its user sources, or keeps where it is found.
    pub(crate) fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("completion/lunar.bash"),
            Self::Zsh => include_str!("completion/_lunar"),
            Self::Fish => include_str!("completion/lunar.fish"),
        }
    }
}

/// One thing that may stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    /// The whole word.
    word: String,
    /// Whether the word goes on: a path, or `name=`.
    is_open: bool,
}

/// The line up to the cursor, without the program's name and its options.
#[derive(Debug, Default)]
struct Line {
    runtime_dir: Option<PathBuf>,
    /// The words before the cursor.
    words: Vec<String>,
    /// The word at the cursor so far.
    word: String,
    /// Whether that is the value of an option of the program.
    is_value: bool,
}

/// The lines that the script wants: one an offer, each quoted as its reader needs it.
///
/// `cursor` is what the reader takes for the word at the cursor, where that is less than the whole word.
pub(crate) fn offers(kind: Kind, line: &str, cursor: Option<&str>, options: &Options) -> String {
    let read = read(&grammar::partial(line));
    let known = cursor.map_or(0, |cursor| read.word.len().saturating_sub(cursor.len()));
    let mut offers = find(&read, options);
    offers.sort();
    offers.dedup();
    let mut text = String::new();
    for Offer { word, is_open } in offers {
        let Some(word) = word.get(known..) else { continue };
        match kind {
            Kind::Bash => text.push_str(&quoted(word)),
            Kind::Zsh | Kind::Fish => text.push_str(word),
        }
        if !is_open && kind != Kind::Fish {
            text.push(' ');
        }
        text.push('\n');
    }
    text
}

fn read(partial: &Partial) -> Line {
    let mut line = Line { word: partial.word.text().to_owned(), ..Line::default() };
    let program = Options::command();
    let mut words = partial.words.iter().map(Word::text).skip(1).peekable();
    while let Some(word) = words.next_if(|word| word.starts_with('-')) {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let value = match value {
            None if takes_value(&program, name) => words.next(),
            value => value,
        };
        line.is_value = value.is_none() && takes_value(&program, name);
        if name == "--runtime-dir" {
            line.runtime_dir = value.map(PathBuf::from);
        }
    }
    line.words = words.map(str::to_owned).collect();
    line
}

/// The tool that a command line names, by the words behind the program's own.
pub(crate) fn tool_of(words: &[String]) -> Option<String> {
    let program = Options::command();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if takes_value(&program, word) {
            words.next();
        } else if !word.starts_with('-') {
            return program.find_subcommand(word).map(|tool| tool.get_name().to_owned());
        }
    }
    None
}

fn takes_value(command: &Command, name: &str) -> bool {
    argument(command, name).is_some_and(|argument| argument.get_action().takes_values())
}

/// The option that `--name` or `-n` stands for.
fn argument<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    let long = name.strip_prefix("--");
    let short =
        name.strip_prefix('-').filter(|rest| rest.chars().count() == 1).and_then(|rest| rest.chars().next());
    command.get_arguments().find(|argument| {
        (long.is_some() && argument.get_long() == long) || (short.is_some() && argument.get_short() == short)
    })
}

fn find(line: &Line, options: &Options) -> Vec<Offer> {
    if line.is_value {
        return Vec::new();
    }
    let program = Options::command();
    let tool = line.words.first().and_then(|first| program.find_subcommand(first));
    match tool {
        Some(tool) if !tool.is_hide_set() => of_tool(tool, &program, line, options),
        Some(_) => Vec::new(),
        None => {
            let mut offers = match line.words.as_slice() {
                [] => own_words(&program, &line.word),
                // What `help` describes.
                [help] if help == "help" => {
                    tool_names(&program).filter(|name| name.starts_with(&line.word)).map(closed).collect()
                }
                _ => Vec::new(),
            };
            offers.extend(of_shell(line, options));
            // Another shell has a meaning of its own for it.
            offers.retain(|offer| offer.word != "*");
            offers
        }
    }
}

/// The tools, and the options of the program once a dash was typed.
fn own_words(program: &Command, word: &str) -> Vec<Offer> {
    let options = option_names(program).filter(|_| word.starts_with('-'));
    tool_names(program).chain(options).filter(|name| name.starts_with(word)).map(closed).collect()
}

fn tool_names(program: &Command) -> impl Iterator<Item = String> + '_ {
    program.get_subcommands().filter(|tool| !tool.is_hide_set()).map(|tool| tool.get_name().to_owned())
}

fn option_names(command: &Command) -> impl Iterator<Item = String> + '_ {
    let longs = command.get_arguments().filter(|argument| !argument.is_hide_set()).filter_map(Arg::get_long);
    longs.map(|name| format!("--{name}"))
}

/// The options of a tool, their values, and targets.
fn of_tool(tool: &Command, program: &Command, line: &Line, options: &Options) -> Vec<Offer> {
    let before = line.words.last().and_then(|before| argument(tool, before));
    let among = |names: Vec<String>| -> Vec<Offer> {
        names.into_iter().filter(|name| name.starts_with(&line.word)).map(closed).collect()
    };
    let is_ended = line.words.iter().any(|word| word == "--");
    if let Some(argument) = before.filter(|argument| !is_ended && argument.get_action().takes_values()) {
        let values = argument.get_possible_values();
        return among(values.iter().map(|value| value.get_name().to_owned()).collect());
    }
    if line.word.starts_with('-') && !is_ended {
        return among(option_names(tool).chain(option_names(program)).collect());
    }
    let positional = tool.get_positionals().next();
    let values: Vec<String> = positional
        .map(|argument| {
            argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
        })
        .unwrap_or_default();
    match positional.map(|argument| argument.get_id().as_str()) {
        Some("command") => among(if is_first(tool, &line.words) { programs(&line.word) } else { Vec::new() }),
        Some("wwns") => among(targets(line, options)),
        _ => among(values),
    }
}

/// Whether no word of a tool's command was typed yet.
fn is_first(tool: &Command, words: &[String]) -> bool {
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--" {
            return words.next().is_none();
        }
        if !word.starts_with('-') {
            return false;
        }
        if takes_value(tool, word) {
            words.next();
        }
    }
    true
}

/// The most programs of the host that are offered.
const PROGRAMS_MAX: usize = 512;

/// What can be run by its name, where it starts so; a path is for the shell that asks to complete.
fn programs(start: &str) -> Vec<String> {
    let path = std::env::var_os("PATH").filter(|_| !start.contains('/')).unwrap_or_default();
    let entries = std::env::split_paths(&path).filter_map(|directory| directory.read_dir().ok()).flatten();
    let can_run = |entry: &DirEntry| {
        let is_program = |found: Metadata| found.is_file() && found.permissions().mode() & 0o111 != 0;
        std::fs::metadata(entry.path()).is_ok_and(is_program)
    };
    let names = entries.flatten().filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry)));
    let names = names.filter(|(name, _)| name.starts_with(start) && !name.contains(char::is_control));
    names.filter(|(_, entry)| can_run(entry)).map(|(name, _)| name).take(PROGRAMS_MAX).collect()
}

/// The names of all targets; none where nobody answers.
fn targets(line: &Line, options: &Options) -> Vec<String> {
    let config = door(line, options).and_then(|door| door.config().ok()).unwrap_or_default();
    config.targets.into_iter().map(|target| target.wwn).collect()
}

/// What the shell's own Tab key offers for these words.
fn of_shell(line: &Line, options: &Options) -> Vec<Offer> {
    let Some(door) = door(line, options) else { return Vec::new() };
    let Ok(environment) = crate::session::environment() else { return Vec::new() };
    let memory = Box::new(crate::home::Memory::of_user());
    let shell = Shell::new(Box::new(door), memory, environment, crate::session::screen(Mode::OneShot));
    let words = line.words.iter().chain([&line.word]).map(|word| quoted(word));
    let completion = shell.complete(&words.collect::<Vec<_>>().join(" "));
    let candidates = completion.candidates.iter().map(|candidate| candidate.replacement.as_str());
    // A name with a line's end in it cannot be told apart from two names.
    candidates.filter(|text| !text.contains(char::is_control)).map(of_candidate).collect()
}

/// A candidate is quoted for the shell's own lines, and ends with a space where it is whole.
fn of_candidate(replacement: &str) -> Offer {
    let partial = grammar::partial(replacement);
    match partial.words.first() {
        Some(whole) => Offer { word: whole.text().to_owned(), is_open: false },
        None => Offer { word: partial.word.text().to_owned(), is_open: true },
    }
}

fn door(line: &Line, options: &Options) -> Option<Door> {
    let given = line.runtime_dir.clone().or_else(|| options.runtime_dir.clone());
    given.or_else(api::default_runtime_dir).map(api::absolute).map(Door::new)
}

fn closed(word: String) -> Offer {
    Offer { word, is_open: false }
}

/// The word with a backslash before all that bash or the shell's grammar would not take as it is.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| {
        letter.is_alphanumeric()
            || matches!(letter, '_' | '@' | '%' | '+' | '=' | ':' | ',' | '.' | '/' | '-' | '*')
    };
    let mut text = String::with_capacity(word.len());
    for letter in word.chars() {
        if !is_plain(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> (Vec<String>, String, bool) {
        let line = read(&grammar::partial(text));
        (line.words, line.word, line.is_value)
    }

    #[test]
    fn options_of_the_program_are_no_words_of_the_shell() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(line("lunar "), (words(&[]), String::new(), false));
        assert_eq!(line("lunar /vhost cr"), (words(&["/vhost"]), "cr".to_owned(), false));
        assert_eq!(line("lunar -e --json --runtime-dir /x ls d"), (words(&["ls"]), "d".to_owned(), false));
        assert_eq!(line("lunar --runtime-dir=/x l"), (words(&[]), "l".to_owned(), false));
        assert_eq!(line("lunar --runtime-dir /x"), (words(&[]), "/x".to_owned(), true));
        assert_eq!(line("lunar --js"), (words(&[]), "--js".to_owned(), false));
    }

    #[test]
    fn what_bash_would_not_take_is_escaped() {
        assert_eq!(quoted("/srv/my disk$(x).img"), "/srv/my\\ disk\\$\\(x\\).img");
        assert_eq!(quoted("dev=/dev/sda"), "dev=/dev/sda");
    }
}
