// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How wide the screen is, whether it has colour, and which level of message takes which.
//!
//! Above: `draw`, `session`.  Below: nothing.
//! Never here: finding out; the program that owns the terminal says it.

/// What the shell must know of the place it is read at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns of the terminal on standard output; 0 where it is none.
    pub columns: u16,
    /// Whether standard output takes colours.
    pub colour_out: bool,
    /// Whether standard error takes colours.
    pub colour_err: bool,
    /// How the shell is used.
    pub mode: Mode,
}

/// How the shell is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One command from the program's arguments.
    OneShot,
    /// Lines, from a terminal or from standard input.
    Session,
}

impl Screen {
    /// A file or pipe.
    #[must_use]
    pub fn plain(mode: Mode) -> Self {
        Self { columns: 0, colour_out: false, colour_err: false, mode }
    }

    /// Columns of a line of `ls`: targetcli fills 132 where there is no terminal, and never more.
    #[must_use]
    pub fn tree_columns(self) -> usize {
        match self.columns {
            0 => TREE_COLUMNS_MAX,
            columns => usize::from(columns).min(TREE_COLUMNS_MAX),
        }
    }
}

/// The widest line of `ls` that is padded with dots.
const TREE_COLUMNS_MAX: usize = 132;

/// How much a message matters, in targetcli's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What was done.
    Info,
    /// What is unexpected but no failure.
    Warning,
    /// A failure.
    Error,
}

impl Level {
    /// The word in the log file.
    pub(crate) fn log_word(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }

    /// The least level that a preference of this name lets through.
    pub(crate) fn least(wanted: &str) -> Self {
        match wanted {
            "critical" | "error" => Self::Error,
            "warning" => Self::Warning,
            _ => Self::Info,
        }
    }

    /// The word before a message where `color_mode` is false.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }

    /// The word for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    pub(crate) fn colour(self) -> Paint {
        match self {
            Self::Info => Paint::GREEN,
            Self::Warning => Paint::YELLOW,
            Self::Error => Paint::RED,
        }
    }
}

/// A way to write text: the numbers of ECMA-48's SGR, none for plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) &'static str);

impl Paint {
    pub(crate) const BOLD: Self = Self("1");
    pub(crate) const RED: Self = Self("31");
    pub(crate) const GREEN: Self = Self("32");
    pub(crate) const YELLOW: Self = Self("33");
    pub(crate) const BOLD_RED: Self = Self("1;31");

    /// The paint of a colour as `set global` takes it; none for `default` and `none`.
    pub(crate) fn named(colour: &str) -> Self {
        Self(match colour {
            "black" => "30",
            "red" => "31",
            "green" => "32",
            "yellow" => "33",
            "blue" => "34",
            "magenta" => "35",
            "cyan" => "36",
            "white" => "37",
            _ => "",
        })
    }

    pub(crate) fn on(self, text: &str) -> String {
        if self.0.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        format!("\u{1b}[{}m{text}\u{1b}[0m", self.0)
    }
}
