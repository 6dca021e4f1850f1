// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One line an event, on standard error.
//!
//! Above: `main`.  Below: `tracing`.
//! Never here: an event, but that lines of the log were lost.

mod lines; // between those who say them and the thread that writes them

use lines::Lines;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write, stderr};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What says what is logged.
const VARIABLE: &str = "LUNAR_LOG";
/// What it can say.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What is logged where it says nothing.
const DEFAULT: &str = "info";

/// How long an end waits for the last lines to be read.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log.  Dropped, it waits until the last line is written, for a second at most.
pub struct Log(Arc<Lines>);

impl Log {
    /// Says why the program ends, in a line of its own.
    pub fn say(&self, line: &str) {
        self.0.put_last(format!("{line}\n").as_bytes());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.settle(LAST_LINES);
    }
}

/// Starts logging: events of level info and above, or what `$LUNAR_LOG` says, such as `debug`.  No thread that says something
/// waits for who reads it, one that panics included.
///
/// journald puts its own time on every line, so there it is left out.
///
/// # Errors
/// What the system says where there is no thread that could write.
pub fn start() -> io::Result<Log> {
    let wanted = std::env::var_os(VARIABLE).map(|wanted| wanted.to_string_lossy().into_owned());
    let known = wanted.as_deref().is_none_or(|text| filter(text).is_some());
    let level = || wanted.as_deref().and_then(filter).unwrap_or_else(|| EnvFilter::new(DEFAULT));
    let lines = Arc::new(Lines::default());
    let (writing, notices) = (Arc::clone(&lines), Aside::default());
    let aside = notices.clone();
    let own = events(level(), move || aside.clone());
    std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        // What this thread says goes between the lines that it writes.
        let _own = tracing::dispatcher::set_default(&own);
        writing.write_to(&mut StandardError, |lost| {
            tracing::error!("{lost} lines of the log are lost here: nobody took them");
            notices.take()
        })
    })?;
    let theirs = Arc::clone(&lines);
    let all = events(level(), move || Way(Arc::clone(&theirs)));
    // A second start (tests in one process) keeps the first.
    let _ = tracing::dispatcher::set_global_default(all);
    let dying = Arc::clone(&lines);
    std::panic::set_hook(Box::new(move |panic| {
        dying.put_last(last_words(panic).as_bytes());
        dying.settle(LAST_LINES);
    }));
    if !known {
        let wanted = wanted.unwrap_or_default();
        tracing::warn!(
            "{VARIABLE} is '{}', taken as {DEFAULT}: it is one of {}",
            wanted.escape_debug(),
            LEVELS.join(", ")
        );
    }
    Ok(Log(lines))
}

/// What makes lines of events, for `writer`.
fn events<W>(filter: EnvFilter, writer: W) -> Dispatch
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // A line that nobody can take, because its disk is full or its reader has gone, is lost, and no more than that:
        // to say so there too would be a panic.
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(stderr().is_terminal());
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        Dispatch::new(lines.without_time().finish())
    } else {
        Dispatch::new(lines.finish())
    }
}

/// What is said of a panic: the words of the standard library, with a backtrace where `$RUST_BACKTRACE` asks for one.
fn last_words(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let words = format!("thread '{}' {panic}\n", thread.name().unwrap_or("<unnamed>"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured { format!("{words}{backtrace}\n") } else { words }
}

/// A way to the lines for one event.
struct Way(Arc<Lines>);

impl Write for Way {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line that is made now, for who writes it.
#[derive(Clone, Default)]
struct Aside(Arc<Mutex<Vec<u8>>>);

impl Aside {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Aside {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error, without a lock that somebody could wait for while this waits for the reader.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let out = stderr();
        match rustix::io::write(&out, text) {
            Ok(bytes) => Ok(bytes),
            // Somebody who shares it does not want to wait: this thread may.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&out, PollFlags::OUT)], None)?;
                Err(Errno::INTR.into())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
