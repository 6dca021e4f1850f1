// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One line an event, on standard error.
//!
//! Above: `main`.  Below: `tracing`.
//! Never here: an event.

use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// What says what is logged.
const VARIABLE: &str = "LUNAR_LOG";
/// What it can say.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What is logged where it says nothing.
const DEFAULT: &str = "info";

/// Starts logging: events of level info and above, or what `$LUNAR_LOG` says, such as `debug`.
///
/// journald puts its own time on every line, so there it is left out.
pub fn start() {
    let wanted = std::env::var_os(VARIABLE).map(|wanted| wanted.to_string_lossy().into_owned());
    let filter = wanted.as_deref().map_or(Some(EnvFilter::new(DEFAULT)), filter);
    let is_known = filter.is_some();
    let filter = filter.unwrap_or_else(|| EnvFilter::new(DEFAULT));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        // A line that nobody can take, because its disk is full or its reader has gone, is lost, and no more than that:
        // to say so there too would be a panic.
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(stderr().is_terminal());
    // A second start (tests in one process) keeps the first.
    let _ = if std::env::var_os("JOURNAL_STREAM").is_some() {
        lines.without_time().try_init()
    } else {
        lines.try_init()
    };
    if !is_known {
        let wanted = wanted.unwrap_or_default();
        tracing::warn!(
            "{VARIABLE} is '{}', taken as {DEFAULT}: it is one of {}",
            wanted.escape_debug(),
            LEVELS.join(", ")
        );
    }
}

/// The filter of a text; `None` where somebody who wrote it would wonder.  A word that is no level would be the name of a
/// part that there is not, and nothing would be logged.
fn filter(text: &str) -> Option<EnvFilter> {
    let is_level = |word: &str| LEVELS.contains(&word.trim().to_lowercase().as_str());
    let is_meant = |directive: &str| {
        directive.split_once('=').map_or_else(|| is_level(directive), |(_, level)| is_level(level))
    };
    EnvFilter::try_new(text).ok().filter(|_| text.split(',').all(is_meant))
}
