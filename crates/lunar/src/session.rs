// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One command from the arguments, or lines from standard input.
//!
//! Above: `main`; `interactive` shares what prints.  Below: `shell`.
//! Never here: what a line means.

use crate::printing;
use rustix::termios::tcgetwinsize;
use shell::failure::codes;
use shell::grammar::{Unfinished, Word, statements};
use shell::{Environment, Failure, Mode, Reply, Screen, Shell};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// How it went so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Printed {
    /// Whether anything failed.
    pub(crate) failed: bool,
    /// Whether to read no more.
    pub(crate) leave: bool,
}

/// What the shell must know of this process.
pub(crate) fn environment() -> io::Result<Environment> {
    Ok(Environment {
        directory: std::env::current_dir()?,
        home: std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The terminal as it is now; colours go to a terminal alone, and where nobody objects (no-color.org).
pub(crate) fn screen(mode: Mode) -> Screen {
    let objected = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || is_dumb();
    let columns = tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col);
    Screen {
        columns,
        colour_out: !objected && io::stdout().is_terminal(),
        colour_err: !objected && io::stderr().is_terminal(),
        mode,
    }
}

/// Whether the terminal can be written all over, and not only line after line.
pub(crate) fn has_whole_screen() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// Runs the command of the arguments.  A single argument with white space in it is a line, or several.
pub(crate) fn one_shot(shell: &mut Shell, words: &[&str], stop: bool) -> io::Result<Printed> {
    match words {
        [line] if line.contains(char::is_whitespace) => text(shell, line, stop),
        words => {
            let words: Vec<Word> = words.iter().map(|word| Word::raw(word)).collect();
            print(&shell.run(&words))
        }
    }
}

/// Runs line after line, each as soon as it is whole, so that a program can hold a conversation.
pub(crate) fn batch(shell: &mut Shell, mut input: impl BufRead, stop: bool) -> io::Result<Printed> {
    let mut printed = Printed::default();
    let mut so_far = String::new();
    loop {
        let mut line = Vec::new();
        let ended = input.read_until(b'\n', &mut line)? == 0;
        match String::from_utf8(line) {
            Ok(line) => so_far.push_str(&line),
            Err(_) => return fail(shell, "a line of standard input is not UTF-8"),
        }
        if !ended && statements(&so_far).is_err() {
            continue;
        }
        let done = text(shell, &so_far, stop)?;
        so_far.clear();
        printed.failed |= done.failed;
        if ended || done.leave {
            return Ok(printed);
        }
    }
}

/// Runs the lines of a text.  One that is not whole runs nothing.
pub(crate) fn text(shell: &mut Shell, text: &str, stop: bool) -> io::Result<Printed> {
    let lines = match statements(text) {
        Ok(lines) => lines,
        Err(Unfinished::Continued) => {
            return fail(shell, "the last line ends with a backslash, and nothing follows");
        }
        Err(Unfinished::Quote(mark)) => return fail(shell, &format!("a quote {mark} is not closed")),
    };
    let mut printed = Printed::default();
    for words in lines {
        let done = print(&shell.run(&words))?;
        printed.failed |= done.failed;
        printed.leave |= done.leave || (stop && done.failed);
        if printed.leave {
            break;
        }
    }
    Ok(printed)
}

/// Prints a reply at once, messages before errors, as they came about.
pub(crate) fn print(reply: &Reply) -> io::Result<Printed> {
    let written = printing::out(reply.out.as_bytes());
    printing::err(&reply.err);
    written?;
    Ok(Printed { failed: reply.failed, leave: reply.leave })
}

/// Shows a text and asks a question; anything but yes is no.
pub(crate) fn ask(text: &str, question: &str) -> bool {
    let mut line = String::new();
    let asked = (|| {
        printing::out(text.as_bytes())?;
        write!(io::stderr(), "{question} [y/N] ")?;
        io::stdin().read_line(&mut line)
    })();
    asked.is_ok() && matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
}

fn fail(shell: &Shell, message: &str) -> io::Result<Printed> {
    print(&shell.refuse(&Failure::new(message).code(codes::SYNTAX)))
}
