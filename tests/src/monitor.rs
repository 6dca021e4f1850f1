// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QEMU's monitor: what a story does to a machine that the guest in it cannot do.
//!
//! Above: stories that plug, pause or migrate.  Below: QMP, one JSON object a line.
//! Never here: what a command means.

use crate::deadline::Deadline;
use crate::scratch::Scratch;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How long one look at the socket lasts.
const LOOK: Duration = Duration::from_millis(50);

/// A connection to the monitor of one machine.
#[derive(Debug)]
pub struct Monitor {
    stream: BufReader<UnixStream>,
    /// What has come of a line that is not whole yet.
    line: String,
    /// Events that came while an answer was awaited.
    events: Vec<Value>,
}

/// Where a guest of that name has its monitor.
fn socket_of(scratch: &Scratch, guest: &str) -> PathBuf {
    scratch.join(&format!("{guest}.qmp"))
}

/// The options that give a guest of that name a monitor.
pub fn options(scratch: &Scratch, guest: &str) -> Vec<String> {
    let socket = socket_of(scratch, guest).display().to_string();
    vec!["-qmp".to_owned(), format!("unix:{socket},server=on,wait=off")]
}

impl Monitor {
    /// Connects to the monitor of a guest of that name, which may still be starting.
    pub fn connect(scratch: &Scratch, guest: &str) -> Result<Self> {
        let path = socket_of(scratch, guest);
        let what = format!("the monitor of {guest}");
        let stream = Deadline::seconds(60).until(&what, || Ok(UnixStream::connect(&path).ok()))?;
        stream.set_read_timeout(Some(LOOK))?;
        let mut monitor = Self { stream: BufReader::new(stream), line: String::new(), events: Vec::new() };
        monitor.next(Deadline::after(ANSWER_LIMIT), "the greeting")?;
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Executes a command and returns what it returns.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut request = json!({ "execute": command, "arguments": arguments }).to_string();
        request.push('\n');
        self.stream.get_mut().write_all(request.as_bytes())?;
        let deadline = Deadline::after(ANSWER_LIMIT);
        loop {
            let mut said = self.next(deadline, command)?;
            if said.get("event").is_some() {
                self.events.push(said);
            } else if let Some(error) = said.get("error") {
                bail!("{command} failed: {error}");
            } else {
                return Ok(said["return"].take());
            }
        }
    }

    /// Waits for an event of that name and returns its data.
    pub fn wait_for(&mut self, event: &str, limit: Duration) -> Result<Value> {
        let deadline = Deadline::after(limit);
        loop {
            if let Some(at) = self.events.iter().position(|known| known["event"] == event) {
                return Ok(self.events.remove(at)["data"].take());
            }
            let said = self.next(deadline, event)?;
            self.events.push(said);
        }
    }

    fn next(&mut self, deadline: Deadline, what: &str) -> Result<Value> {
        loop {
            match self.stream.read_line(&mut self.line) {
                Ok(0) => bail!("the machine ended while {what} was awaited"),
                Ok(_) if self.line.ends_with('\n') => {
                    let line = std::mem::take(&mut self.line);
                    return serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"));
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            if deadline.passed() {
                bail!("waited in vain for {what}; events that came: {:?}", self.events);
            }
        }
    }
}
