// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One line an event, on standard error.
//!
//! Above: `main`.  Below: `tracing`.
//! Never here: an event.

use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// Starts logging: events of level info and above, or what `$LUNAR_LOG` says, such as `debug`.
///
/// journald puts its own time on every line, so there it is left out.
pub fn start() {
    let filter = EnvFilter::try_from_env("LUNAR_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
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
}
