// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What goes to standard output and standard error, either of which may lead nowhere.
//!
//! Above: all of this program that prints.  Below: the two streams.
//! Never here: what is said.

use shell::failure::plain;
use std::io::{self, Write};

/// Prints a text at once.
///
/// # Errors
/// Nobody takes it, of kind `BrokenPipe` where its reader has gone, which is nothing to be told of.
pub(crate) fn out(text: &[u8]) -> io::Result<()> {
    shown(|| io::stdout().lock().write_all(text))
}

/// The same for what another prints.
pub(crate) fn shown(print: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    print().and_then(|()| io::stdout().flush()).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot write to standard output: {}", plain(&error)))
    })
}

/// Says why something failed.  Where it cannot be told nothing is left to be done: the exit status says that it failed.
pub(crate) fn err(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
