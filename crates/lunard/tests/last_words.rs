// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A panic is told of, and waits for no reader.
//!
//! Above: nothing.  Below: `logging`.
//! Never here: what else is logged.

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, write};
use std::io::{PipeReader, PipeWriter, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What makes this test the process that panics.
const PANICS: &str = "LUNARD_TEST_PANICS";
/// How that ends when it has said so.
const ENDED: i32 = 7;
/// How long it may take, on a machine that is busy.
const LONG: Duration = Duration::from_secs(30);

/// This test in a process of its own, which writes to `log`.
fn panics(log: impl Into<Stdio>) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_panic_is_told_of_and_waits_for_no_reader", "--nocapture"]);
    command.env(PANICS, "1").env_remove("RUST_BACKTRACE").stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > LONG {
            child.kill().unwrap();
            return child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A pipe that is full, once nobody minds whether it blocks.
fn full() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    while write(&writer, b"\n") != Err(Errno::AGAIN) {}
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer)
}

#[test]
fn a_panic_is_told_of_and_waits_for_no_reader() {
    if std::env::var_os(PANICS).is_some() {
        let _log = lunard::logging::start().unwrap();
        let thread = std::thread::Builder::new().name("reactor-9".to_owned());
        let _ = thread.spawn(|| panic!("a broken invariant")).unwrap().join();
        std::process::exit(ENDED);
    }
    let (mut reader, writer) = std::io::pipe().unwrap();
    assert_eq!(panics(writer).code(), Some(ENDED));
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("thread 'reactor-9' panicked at crates/lunard/tests/last_words.rs:"), "{said}");
    assert!(said.ends_with(":\na broken invariant\n"), "{said}");
    let (_reader, writer) = full();
    assert_eq!(panics(writer).code(), Some(ENDED));
}
