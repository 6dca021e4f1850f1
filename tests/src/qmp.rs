// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands to a running QEMU, and its answers (QMP).
//!
//! Above: `migrant`, stories that plug and pause.  Below: QEMU's monitor on a Unix socket.
//! Never here: what a command is for.

use crate::deadline::Deadline;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long QEMU may take to listen, and to answer a command.
const LIMIT: Duration = Duration::from_secs(60);

/// A monitor.
#[derive(Debug)]
pub struct Qmp {
    commands: UnixStream,
    answers: BufReader<UnixStream>,
    /// What came between the answers.
    events: Vec<Value>,
}

impl Qmp {
    /// The options that have QEMU listen there.
    pub fn options(path: &Path) -> [String; 2] {
        ["-qmp".to_owned(), format!("unix:{},server=on,wait=off", path.display())]
    }

    /// Connects, as soon as QEMU listens there.
    pub fn connect(path: &Path) -> Result<Self> {
        let commands =
            Deadline::after(LIMIT).until("QEMU's monitor", || Ok(UnixStream::connect(path).ok()))?;
        commands.set_read_timeout(Some(LIMIT))?;
        let answers = BufReader::new(commands.try_clone()?);
        let mut qmp = Self { commands, answers, events: Vec::new() };
        qmp.line().context("no greeting")?;
        qmp.run("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command that must succeed, and returns what it answers.
    pub fn run(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut text = json!({ "execute": command, "arguments": arguments }).to_string();
        text.push('\n');
        self.commands.write_all(text.as_bytes()).with_context(|| format!("cannot send {command}"))?;
        loop {
            let mut answer = self.line().with_context(|| format!("no answer to {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("{command} failed: {error}");
            }
            if let Some(found) = answer.get_mut("return") {
                return Ok(found.take());
            }
            self.events.push(answer);
        }
    }

    /// Waits for an event of that name.
    pub fn wait_for(&mut self, event: &str) -> Result<()> {
        loop {
            if let Some(at) = self.events.iter().position(|known| known["event"] == event) {
                self.events.remove(at);
                return Ok(());
            }
            let line = self.line().with_context(|| format!("no {event}"))?;
            self.events.push(line);
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("QEMU hung up");
        }
        Ok(serde_json::from_str(&line)?)
    }
}
