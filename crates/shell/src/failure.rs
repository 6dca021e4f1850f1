// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a command failed, as the administrator reads it.
//!
//! Above: everything.  Below: nothing.
//! Never here: where it is printed.

use api::both_ends;
use std::borrow::Cow;

/// The [`Failure::code`]s that the shell gives itself; those of a refusal come from `lunard`.
pub mod codes {
    /// Whatever has no word of its own.
    pub const FAILED: &str = "failed";
    /// The words are not those of the command.
    pub const SYNTAX: &str = "syntax";
    /// A path leads nowhere.
    pub const NO_SUCH_PATH: &str = "no_such_path";
    /// The node has no such command.
    pub const NO_SUCH_COMMAND: &str = "no_such_command";
    /// The daemon was not reached, or the conversation with it failed.
    pub const UNREACHED: &str = "unreached";
}

/// One line that says what is wrong, and one with the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// A word for programs: one of [`codes`], or the code of a refusal of `lunard`'s.
    pub code: Cow<'static, str>,
    /// In targetcli's words where it has any.
    pub message: String,
    /// What to do about it, without the word `hint`.
    pub hint: Option<String>,
}

/// An error of the host without `(os error 13)`, which says nothing more.
#[must_use]
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

impl Failure {
    /// A failure that needs no hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(codes::FAILED), message: message.into(), hint: None }
    }

    /// The same failure with a word for programs.
    #[must_use]
    pub fn code(self, code: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), ..self }
    }

    /// The same failure with the way out.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same failure on one line, not endless, and harmless to a terminal: what was typed may hold anything.
    #[must_use]
    pub fn printable(&self) -> Self {
        let clean = |text: &str| both_ends(text).replace(|letter: char| letter.is_control(), "?");
        Self { code: self.code.clone(), message: clean(&self.message), hint: self.hint.as_deref().map(clean) }
    }

    /// The lines as they go to standard error, each with its end.
    #[must_use]
    pub fn lines(&self) -> String {
        match &self.hint {
            None => format!("{}\n", self.message),
            Some(hint) => format!("{}\nhint: {hint}\n", self.message),
        }
    }
}
