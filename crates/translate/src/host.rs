// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host's errors and directories.
//!
//! Above: all who write files or tell why they could not.  Below: the file system.
//! Never here: a name of ours.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::path::Path;

/// An error of the host without `(os error 13)`, which says nothing more.
#[must_use]
pub fn plain(err: &dyn Display) -> String {
    let text = err.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

/// Makes what was created, renamed or removed in a directory durable.
///
/// # Errors
/// Those of opening and syncing the directory.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
