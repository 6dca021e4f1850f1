// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a command failed, as the administrator reads it.
//!
//! Above: everything.  Below: nothing.
//! Never here: where it is printed.

/// One line that says what is wrong, and one with the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// In targetcli's words where it has any.
    pub message: String,
    /// What to do about it, without the word `hint`.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure that needs no hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// The same failure with the way out.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same failure on one line, and harmless to a terminal: what was typed may hold anything.
    pub(crate) fn printable(&self) -> Self {
        let clean = |text: &str| text.replace(|letter: char| letter.is_control(), "?");
        Self { message: clean(&self.message), hint: self.hint.as_deref().map(clean) }
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
