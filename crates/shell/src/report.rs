// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A reply for programs: what `--json` gives instead of text, one object a statement, on one line.
//!
//! Above: `session`.  Below: nothing.
//! Never here: what a command's result looks like; the commands and `json` say that.
//!
//! docs/manual/json.md describes all of it.  Names may be added; none changes its meaning while [`SCHEMA`] stays.

use crate::failure::Failure;
use crate::path::NodePath;
use crate::screen::Level;
use api::both_ends;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The version of the form.  Another one means that a reader of this one would misunderstand.
pub const SCHEMA: u32 = 1;

/// What is collected while a command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    command: Option<String>,
    path: Option<String>,
    /// What the command said, in order.
    pub(crate) messages: Vec<(Level, String)>,
    /// What it printed for people; told where it has no result.
    pub(crate) text: String,
    /// What it is for.
    pub(crate) result: Option<Value>,
}

/// The line, in the order in which it is written.
#[derive(Serialize)]
struct Line<'r> {
    schema: u32,
    command: Option<Cow<'r, str>>,
    path: Option<Cow<'r, str>>,
    ok: bool,
    messages: Vec<Message>,
    result: Option<Value>,
    error: Option<Problem<'r>>,
}

#[derive(Serialize)]
struct Message {
    level: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Problem<'r> {
    code: &'r str,
    message: &'r str,
    hint: Option<&'r str>,
}

impl Report {
    /// A report of a command at a node that is not known yet.
    pub(crate) fn about(command: Option<&str>) -> Self {
        Self { command: command.map(str::to_owned), ..Self::default() }
    }

    /// A report of a command at a node.
    pub(crate) fn of(command: &str, path: &NodePath) -> Self {
        Self { command: Some(command.to_owned()), path: Some(path.to_string()), ..Self::default() }
    }

    /// The whole of it, with its end.  What failed has no result.
    pub(crate) fn line(&self, failure: Option<&Failure>) -> String {
        let text = || (!self.text.is_empty()).then(|| json!({ "text": self.text }));
        let message =
            |(level, text): &'_ (Level, String)| Message { level: level.word(), text: text.clone() };
        let line = Line {
            schema: SCHEMA,
            command: self.command.as_deref().map(both_ends),
            path: self.path.as_deref().map(both_ends),
            ok: failure.is_none(),
            messages: self.messages.iter().map(message).collect(),
            result: if failure.is_none() { self.result.clone().or_else(text) } else { None },
            error: failure.map(|failure| Problem {
                code: &failure.code,
                message: &failure.message,
                hint: failure.hint.as_deref(),
            }),
        };
        // Text and numbers alone cannot fail to be written.
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// The line of what failed before it became a statement.
#[must_use]
pub fn failed(failure: &Failure) -> String {
    Report::default().line(Some(&failure.printable()))
}

/// The line of a tool that is no command of the shell: what it found, or why it found nothing.
#[must_use]
pub fn of_tool(tool: &str, found: Result<Value, &Failure>) -> String {
    let (result, failure) = match found {
        Ok(value) => (Some(value), None),
        Err(failure) => (None, Some(failure.printable())),
    };
    Report { result, ..Report::about(Some(tool)) }.line(failure.as_ref())
}
