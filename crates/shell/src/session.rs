// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The shell itself: one statement after another, and what stays between them.
//!
//! Above: `lunar`.  Below: `grammar`, `tree`, `commands`, [`Api`].
//! Never here: what a single command does.
//!
//! A statement asks for the configuration once, so that everything in it sees the same tree.  Nothing is
//! held between statements: an idle shell has no lock and no connection.

use crate::arguments::{self, Arguments};
use crate::command::{Command, Needs, Places};
use crate::commands;
use crate::complete::{self, CandidateKind, Completion};
use crate::daemon::{Api, ApiError};
use crate::failure::{Failure, codes};
use crate::grammar::{self, Statement, Target, Word};
use crate::outline::Pick;
use crate::path::NodePath;
use crate::report::Report;
use crate::screen::{Level, Mode, Paint, Screen};
use crate::settings::{Keeper, Kept};
use crate::tree::{Node, Tree};
use api::v1;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// A shell with its current path.
pub struct Shell {
    api: Box<dyn Api>,
    keeper: Box<dyn Keeper>,
    environment: Environment,
    /// Whether every reply is for a program.
    json: bool,
    /// Who can be asked whether something is meant; nobody in a script.
    ask: Option<Box<Ask>>,
    /// Who can be shown the tree to pick a node; nobody where there is no terminal.
    pub(crate) pick: Option<Box<Pick>>,
    pub(crate) screen: Screen,
    pub(crate) here: NodePath,
    pub(crate) visits: Visits,
    /// What was said about the statement at hand, for the log.
    records: Vec<(Level, String)>,
}

/// Shows a text, asks a question that is answered with yes or no, and returns whether it was yes.
pub type Ask = dyn Fn(&str, &str) -> bool;

/// What the shell must know of the process it is part of.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The current directory, from which paths of files start.
    pub directory: PathBuf,
    /// What `~` means; absent where nobody knows.
    pub home: Option<PathBuf>,
    /// The version of this program.
    pub version: String,
}

/// What came of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// For standard output, ready to print.
    pub out: String,
    /// For standard error, ready to print.
    pub err: String,
    /// Whether anything failed.
    pub failed: bool,
    /// Whether the shell was told to end.
    pub leave: bool,
    /// What a program is told instead of text, as long as it is being collected.
    pub(crate) report: Option<Report>,
}

/// The nodes where `cd` has been, for `cd <` and `cd >`.
#[derive(Clone, Debug)]
pub(crate) struct Visits {
    pub(crate) paths: Vec<NodePath>,
    pub(crate) at: usize,
}

/// The flag that every command has.
pub(crate) const JSON_FLAG: &str = "json";

/// The most nodes that are remembered.
const VISITS_MAX: usize = 100;

impl Visits {
    pub(crate) fn go(&mut self, path: NodePath) {
        self.paths.truncate(self.at + 1);
        if self.paths.last() != Some(&path) {
            self.paths.push(path);
        }
        if self.paths.len() > VISITS_MAX {
            self.paths.remove(0);
        }
        self.at = self.paths.len() - 1;
    }
}

impl Shell {
    /// A shell that stands at `/`.
    #[must_use]
    pub fn new(api: Box<dyn Api>, keeper: Box<dyn Keeper>, environment: Environment, screen: Screen) -> Self {
        let visits = Visits { paths: vec![NodePath::root()], at: 0 };
        let here = NodePath::root();
        let (json, ask, pick, records) = (false, None, None, Vec::new());
        Self { api, keeper, environment, json, ask, pick, screen, here, visits, records }
    }

    /// Tells the shell that its terminal has another size.
    pub fn set_screen(&mut self, screen: Screen) {
        self.screen = screen;
    }

    /// Carries out one line.  Never fails as a whole: what went wrong is in the reply.
    pub fn run(&mut self, words: &[Word]) -> Reply {
        let mut statement = grammar::parse(words);
        statement.ask_for_help();
        let json = statement.take_flag(JSON_FLAG) || self.json;
        let report = json.then(|| Report::about(statement.command.as_deref()));
        let mut reply = Reply { report, ..Reply::default() };
        let kept = self.keeper.load();
        if let Err(failure) = self.carry_out(&statement, &kept, &mut reply) {
            self.fail(&failure, &kept, &mut reply);
            self.records.push((Level::Error, failure.printable().message));
        }
        self.log(words, &kept);
        reply.report = None;
        reply
    }

    /// Has every reply be one line of JSON: see `report`.
    pub fn speak_json(&mut self) {
        self.json = true;
    }

    /// Has someone asked before much is changed.
    pub fn ask_with(&mut self, ask: Box<Ask>) {
        self.ask = Some(ask);
    }

    /// Has someone pick a node for a `cd` that names none.
    pub fn pick_with(&mut self, pick: Box<Pick>) {
        self.pick = Some(pick);
    }

    /// The reply to what is not even a statement.
    #[must_use]
    pub fn refuse(&self, failure: &Failure) -> Reply {
        let mut reply = Reply { report: self.json.then(Report::default), ..Reply::default() };
        match reply.report.take() {
            Some(report) => reply.out = report.line(Some(&failure.printable())),
            None => reply.err = failure.lines(),
        }
        reply.failed = true;
        reply
    }

    /// Writes the statement and what was said about it to the log, as far as that is wanted.
    fn log(&mut self, words: &[Word], kept: &Kept) {
        let wanted = kept.global("loglevel_file");
        let least = Level::least(wanted);
        let mut lines = Vec::new();
        if wanted == "debug" && !words.is_empty() {
            let typed: Vec<&str> = words.iter().map(Word::text).collect();
            lines.push(("DEBUG", typed.join(" ")));
        }
        let said = std::mem::take(&mut self.records);
        lines.extend(
            said.into_iter()
                .filter(|(level, _)| *level >= least)
                .map(|(level, text)| (level.log_word(), text)),
        );
        if lines.is_empty() {
            return;
        }
        let time = log_time(SystemTime::now());
        let clean = |text: &str| text.replace(|letter: char| letter.is_control(), "?");
        let lines: Vec<String> =
            lines.iter().map(|(level, text)| format!("[{level}] {time} {}\n", clean(text))).collect();
        self.keeper.log(kept.global("logfile"), &lines);
    }

    /// The text of a candidate of the Tab key as the terminal shows it.
    #[must_use]
    pub fn dress(&self, kind: CandidateKind, text: &str) -> String {
        let kept = self.keeper.load();
        if !self.screen.colour_out || !kept.is_on("color_mode") {
            return text.to_owned();
        }
        Paint::named(kept.global(kind.setting())).on(text)
    }

    /// What an interactive shell shows before it reads a line.
    #[must_use]
    pub fn prompt(&self) -> String {
        let path = self.here.to_string();
        let longest = self.keeper.load().number("prompt_length");
        let letters: Vec<char> = path.chars().collect();
        if longest == 0 || letters.len() <= longest {
            return format!("{path}> ");
        }
        // Three dots stand for the middle.
        let side = longest.saturating_sub(3) / 2;
        let head: String = letters.iter().take(side).collect();
        let tail: String = letters.iter().skip(letters.len() - side).collect();
        format!("{head}...{tail}> ")
    }

    /// What an interactive shell does before it ends.
    pub fn leave(&mut self) -> Reply {
        if self.keeper.load().is_on("auto_save_on_exit") {
            return self.run(&[Word::raw("/"), Word::raw("saveconfig")]);
        }
        Reply::default()
    }

    /// What the Tab key offers for a line whose cursor is at its end.
    #[must_use]
    pub fn complete(&self, line: &str) -> Completion {
        // A daemon that does not answer is told by the next command, not by a key.
        let foreign = self.api.foreign().unwrap_or_default();
        let tree = Tree::new(self.api.config().unwrap_or_default()).with_foreign(&foreign);
        complete::complete(line, &tree, &self.here, &self.keeper.load(), &self.environment, &*self.api)
    }

    fn carry_out(&mut self, statement: &Statement, kept: &Kept, reply: &mut Reply) -> Result<(), Failure> {
        let tree = match self.api.config() {
            Ok(config) => Tree::new(config).with_foreign(&self.api.foreign()?),
            Err(error) => self.without_daemon(statement, error)?,
        };
        match &statement.target {
            Target::Here => self.at_node(statement, self.here.clone(), &tree, kept, reply),
            Target::Node(path) => {
                self.at_node(statement, resolve(&self.here, path, kept)?, &tree, kept, reply)
            }
            Target::Children(path) => {
                let parent = resolve(&self.here, path, kept)?;
                for child in &tree.find(&parent)?.children {
                    let path = parent.child(&child.name);
                    if reply.report.is_none() {
                        reply.out.push_str(&format!("[{path}]\n"));
                    }
                    let default = Statement { command: Some("ls".to_owned()), ..statement.clone() };
                    let statement = if statement.command.is_none() { &default } else { statement };
                    self.at_node(statement, path, &tree, kept, reply)?;
                }
                Ok(())
            }
        }
    }

    /// An empty tree for a command that needs no other.
    fn without_daemon(&self, statement: &Statement, error: ApiError) -> Result<Tree, Failure> {
        let name = statement.command.as_deref().unwrap_or_default();
        if commands::all().any(|command| command.name == name && command.needs == Needs::Nothing) {
            return Ok(Tree::new(v1::Config::default()));
        }
        Err(error.into())
    }

    fn at_node(
        &mut self,
        statement: &Statement,
        path: NodePath,
        tree: &Tree,
        kept: &Kept,
        reply: &mut Reply,
    ) -> Result<(), Failure> {
        // A path alone goes there.
        let name = statement.command.as_deref().unwrap_or("cd");
        if let Some(report) = &mut reply.report {
            *report = Report::of(name, &path);
        }
        let node = match tree.find(&path) {
            // Someone deleted the node where this shell stands; it must be able to leave.
            Err(_) if statement.target == Target::Here && can_leave(name) => &tree.root,
            found => found?,
        };
        let command = commands::find(name, node.subject.place()).ok_or_else(|| not_found(name, node))?;
        let mut arguments = arguments::bind(command, &statement.arguments)?;
        if statement.command.is_none() {
            arguments = Arguments::of("path", ".");
        }
        let mut call = Call { shell: self, tree, node, path, arguments, kept, reply };
        (command.run)(&mut call)?;
        if let Some(report) = reply.report.as_mut().map(std::mem::take) {
            reply.out.push_str(&report.line(None));
        }
        Ok(())
    }

    fn fail(&self, failure: &Failure, kept: &Kept, reply: &mut Reply) {
        reply.failed = true;
        let failure = failure.printable();
        if let Some(report) = reply.report.take() {
            reply.out.push_str(&report.line(Some(&failure)));
            return;
        }
        reply.err.push_str(&match self.screen.mode {
            Mode::OneShot => failure.lines(),
            Mode::Session => {
                let message = message(&failure.message, Level::Error, self.screen.colour_err, kept);
                Failure { message, ..failure }.lines()
            }
        });
    }
}

/// The node that `text` names for someone who stands at `here`.
pub(crate) fn resolve(here: &NodePath, text: &str, kept: &Kept) -> Result<NodePath, Failure> {
    let Some(rest) = text.strip_prefix('@') else { return Ok(here.join(text)) };
    let (bookmark, below) = rest.split_once('/').unwrap_or((rest, ""));
    match kept.bookmarks.get(bookmark) {
        Some(path) => Ok(NodePath::root().join(path).join(below)),
        None => Err(Failure::new(format!("No such bookmark {bookmark}"))
            .hint("`bookmarks show` has those there are")
            .code(codes::NO_SUCH_PATH)),
    }
}

/// Whether a command of every node works without the node.
fn can_leave(name: &str) -> bool {
    let mut everywhere = commands::all().filter(|command| matches!(command.places, Places::All));
    everywhere.any(|command| command.name == name && command.needs != Needs::Node)
}

fn not_found(name: &str, node: &Node) -> Failure {
    let failure = Failure::new(format!("Command not found {name}")).code(codes::NO_SUCH_COMMAND);
    if node.child(name).is_some() {
        return failure.hint(format!("{name} is a node: cd {name}, or {name}/ COMMAND"));
    }
    // `create` at the root is what a beginner types first.
    let elsewhere = commands::all().filter(|command| command.name == name);
    let places: Vec<String> = elsewhere.filter_map(Command::places_in_words).collect();
    if !places.is_empty() {
        let places = places.join(", ");
        return failure.hint(format!("{name} is a command of {places}: write the path of one before it"));
    }
    let names: Vec<&str> = commands::at(node.subject.place()).map(|command| command.name).collect();
    failure.hint(format!("the commands here are {}", names.join(" ")))
}

/// A message as it is shown: coloured by its level, or with its level before it where `color_mode` is false.
fn message(text: &str, level: Level, colour: bool, kept: &Kept) -> String {
    if !kept.is_on("color_mode") {
        return format!("{}: {text}", level.label());
    }
    if colour { level.colour().on(text) } else { text.to_owned() }
}

/// `YYYY-MM-DD HH:MM:SS` in UTC.
fn log_time(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02}", days + 1)
}

/// One command being carried out at one node.
pub(crate) struct Call<'c> {
    pub(crate) shell: &'c mut Shell,
    pub(crate) tree: &'c Tree,
    pub(crate) node: &'c Node,
    pub(crate) path: NodePath,
    pub(crate) arguments: Arguments,
    pub(crate) kept: &'c Kept,
    pub(crate) reply: &'c mut Reply,
}

impl Call<'_> {
    /// Prints text as it is; it ends with a line's end.  A program gets it where there is no result.
    pub(crate) fn print(&mut self, text: &str) {
        match &mut self.reply.report {
            Some(report) => report.text.push_str(text),
            None => self.reply.out.push_str(text),
        }
    }

    /// Whether the user means it, having seen what was printed so far; where there is nobody to ask, it is meant.
    pub(crate) fn is_meant(&mut self, question: &str) -> bool {
        match &self.shell.ask {
            Some(ask) if self.reply.report.is_none() => {
                let shown = std::mem::take(&mut self.reply.out);
                ask(&shown, question)
            }
            _ => true,
        }
    }

    /// Whether a program reads the reply.
    pub(crate) fn wants_json(&self) -> bool {
        self.reply.report.is_some()
    }

    /// What a program is told instead of text: an object.  docs/manual/json.md says which for each command.
    pub(crate) fn result(&mut self, value: Value) {
        if let Some(report) = &mut self.reply.report {
            report.result = Some(value);
        }
    }

    /// Prints a line.
    pub(crate) fn print_line(&mut self, text: &str) {
        self.print(text);
        self.print("\n");
    }

    /// Reports what was done, unless the user wants to hear less.
    pub(crate) fn say(&mut self, level: Level, text: &str) {
        self.shell.records.push((level, text.to_owned()));
        if let Some(report) = &mut self.reply.report {
            report.messages.push((level, text.to_owned()));
            return;
        }
        if level < Level::least(self.kept.global("loglevel_console")) {
            return;
        }
        let line = message(text, level, self.shell.screen.colour_out, self.kept);
        self.print_line(&line);
    }

    /// Makes one change, all or nothing, and returns what became of it.
    pub(crate) fn apply(&mut self, change: v1::Change) -> Result<v1::Outcome, Failure> {
        let mut results = self.apply_all(vec![change])?;
        results.pop().ok_or_else(|| Failure::new("lunard made the change but did not say what came of it"))
    }

    /// Makes several changes, all or none.
    pub(crate) fn apply_all(&mut self, changes: Vec<v1::Change>) -> Result<Vec<v1::Outcome>, Failure> {
        let count = changes.len();
        let results = self.shell.api.apply(v1::Changes { changes })?.results;
        if results.len() != count {
            return Err(Failure::new(format!("lunard answered {} of {count} changes", results.len())));
        }
        Ok(results)
    }

    /// The way to `lunard`, for what is no change.
    pub(crate) fn api(&self) -> &dyn Api {
        &*self.shell.api
    }

    /// The version of this program.
    pub(crate) fn program_version(&self) -> &str {
        &self.shell.environment.version
    }

    /// Changes what is remembered.
    pub(crate) fn remember(&mut self, edit: &mut dyn FnMut(&mut Kept)) -> Result<(), Failure> {
        self.shell.keeper.update(edit).map_err(Failure::new)
    }

    /// The node that a path means from this command's node.
    pub(crate) fn resolve(&self, text: &str) -> Result<NodePath, Failure> {
        resolve(&self.path, text, self.kept)
    }

    /// A path of the host as the daemon must have it: absolute, since its current directory is another.
    pub(crate) fn host_path(&self, text: &str) -> String {
        self.shell.environment.host_path(text)
    }

    /// What every `create` does at its end: the new node becomes the bookmark `last`, and the current node if
    /// the user wants that.
    pub(crate) fn created(&mut self, path: &NodePath) {
        let text = path.to_string();
        // The object is there; that a bookmark cannot be written does not make its creation fail.
        let _ = self.remember(&mut |kept| drop(kept.bookmarks.insert("last".to_owned(), text.clone())));
        if self.kept.is_on("auto_cd_after_create") {
            self.say(Level::Info, &format!("Entering new node {path}"));
            self.shell.here = path.clone();
            self.shell.visits.go(path.clone());
        }
    }
}

impl Environment {
    pub(crate) fn host_path(&self, text: &str) -> String {
        let below_home = text.strip_prefix("~/").or_else(|| (text == "~").then_some(""));
        let path = match (below_home, &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.directory.join(text),
        };
        // A name that is not UTF-8 cannot be sent; the daemon then names the path it was given.
        path.to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_log_has_the_date() {
        let at = |seconds| log_time(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00:00");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(at(1_798_761_599), "2026-12-31 23:59:59");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00");
    }
}
