// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the code under test logged, by target.
//!
//! Above: the tests of this folder.  Below: `tracing-subscriber`.
//! Never here: an expectation.

use crate::support::Rig;
use initiator::deadline::Deadline;
use std::io;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static SUBSCRIBER: LazyLock<()> = LazyLock::new(|| {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_writer(|| Writer)
        .init();
});

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what is logged from now on.
pub(crate) fn keep() {
    LazyLock::force(&SUBSCRIBER);
}

/// The lines about the target of `rig` that contain `part`.
pub(crate) fn lines(rig: &Rig, part: &str) -> Vec<String> {
    let text = String::from_utf8(WRITTEN.lock().unwrap().clone()).unwrap();
    let about = text.lines().filter(|line| line.contains(rig.endpoint.port().wwn()) && line.contains(part));
    about.map(str::to_owned).collect()
}

/// Waits until there is such a line.
pub(crate) fn wait_for(rig: &Rig, part: &str) {
    let deadline = Deadline::after(Duration::from_secs(30));
    while lines(rig, part).is_empty() {
        assert!(!deadline.passed(), "no line with {part}");
        std::thread::yield_now();
    }
}
