// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lines from a terminal: banner, prompt, history, the Tab key.
//!
//! Above: `main`.  Below: `rustyline`; `session`, which runs the lines.
//! Never here: what a line means, or what may stand at the cursor.

use crate::home;
use crate::picker;
use crate::printing;
use crate::session::{self, Printed};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use shell::grammar::{Word, statements};
use shell::{CandidateKind, Mode, Shell};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The most lines that are remembered.
const HISTORY_LINES_MAX: usize = 1000;

/// Reads and runs lines until `exit` or the end of input.
pub(crate) fn run(shell: &mut Shell, stop: bool) -> io::Result<Printed> {
    // Nothing works without the daemon: better to say so before a banner than at each line.
    let first = shell.run(&[Word::raw("refresh")]);
    if first.failed {
        return session::print(&first);
    }
    banner()?;
    if session::has_whole_screen() {
        shell.pick_with(Box::new(picker::pick));
    }
    let shell = RefCell::new(shell);
    let mut editor = editor(&shell).map_err(broken)?;
    let history = home::history();
    if let Some(file) = &history {
        // The first time there is no file.
        let _ = editor.load_history(file);
    }
    let mut printed = Printed::default();
    while !printed.leave {
        let prompt = shell.borrow().prompt();
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => {
                printing::out(b"exit\n")?;
                break;
            }
            Err(error) => return Err(broken(error)),
        };
        remember(&mut editor, history.as_deref(), &line);
        let mut shell = shell.borrow_mut();
        shell.set_screen(session::screen(Mode::Session));
        let done = session::text(&mut shell, &format!("{line}\n"), stop)?;
        printed.failed |= done.failed;
        printed.leave = done.leave;
    }
    let last = session::print(&shell.borrow_mut().leave())?;
    Ok(Printed { failed: printed.failed || last.failed, leave: true })
}

fn banner() -> io::Result<()> {
    const WORDS: &str = concat!(
        "lunar shell version ",
        env!("CARGO_PKG_VERSION"),
        "\nSCSI disks for KVM guests, served from user space.\nFor help on commands, type 'help'.\n\n"
    );
    printing::out(WORDS.as_bytes())
}

type Lines<'s> = Editor<Keys<'s>, FileHistory>;

fn editor<'s>(shell: &'s RefCell<&'s mut Shell>) -> rustyline::Result<Lines<'s>> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)?
        .history_ignore_dups(true)?
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Keys { shell, offered: RefCell::default() }));
    Ok(editor)
}

/// Keeps a line for the arrow keys, now and next time.
fn remember(editor: &mut Lines<'_>, file: Option<&Path>, line: &str) {
    let is_new = !line.trim().is_empty() && editor.add_history_entry(line).unwrap_or(false);
    if let Some(file) = file.filter(|_| is_new) {
        // A history that cannot be written is no reason not to run the line.
        let _ = editor.append_history(file);
    }
}

fn broken(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// What the keys do beside typing.
struct Keys<'s> {
    shell: &'s RefCell<&'s mut Shell>,
    /// What the last list has, by what is shown.
    offered: RefCell<BTreeMap<String, CandidateKind>>,
}

impl Helper for Keys<'_> {}

impl Hinter for Keys<'_> {
    type Hint = String;
}

impl Highlighter for Keys<'_> {
    fn highlight_candidate<'c>(&self, candidate: &'c str, _: CompletionType) -> Cow<'c, str> {
        match self.offered.borrow().get(candidate) {
            Some(kind) => self.shell.borrow().dress(*kind, candidate).into(),
            None => candidate.into(),
        }
    }
}

impl Validator for Keys<'_> {
    /// A backslash at the end or an open quote lets the line go on below.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        // With the Enter that was just pressed: an empty line ends what a backslash continued.
        Ok(match statements(&format!("{}\n", context.input())) {
            Ok(_) => ValidationResult::Valid(None),
            Err(_) => ValidationResult::Incomplete,
        })
    }
}

impl Completer for Keys<'_> {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let completion = self.shell.borrow().complete(line.get(..at).unwrap_or(line));
        let kinds = completion.candidates.iter().map(|candidate| (candidate.display.clone(), candidate.kind));
        self.offered.replace(kinds.collect());
        let pair = |candidate: shell::Candidate| Pair {
            display: candidate.display,
            replacement: candidate.replacement,
        };
        Ok((completion.start, completion.candidates.into_iter().map(pair).collect()))
    }
}
