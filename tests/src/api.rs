// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The API as a program of others speaks to it: HTTP over the daemon's socket.
//!
//! Above: stories that compare doors.  Below: the socket.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Asks for one change.  Returns the status, and what was done or why not.
pub fn change(runtime: &Path, change: &Value) -> Result<(u16, Value)> {
    changes(runtime, std::slice::from_ref(change))
}

/// The same for several, all of them or none.
pub fn changes(runtime: &Path, changes: &[Value]) -> Result<(u16, Value)> {
    let body = serde_json::json!({ "changes": changes }).to_string();
    let head = format!(
        "POST /v1/changes HTTP/1.1\r\nHost: l\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let (status, body) = exchange(runtime, &format!("{head}{body}"))?;
    Ok((status, serde_json::from_str(&body).with_context(|| format!("no JSON: {body}"))?))
}

/// What a path says.
pub fn get(runtime: &Path, path: &str) -> Result<String> {
    let (status, body) =
        exchange(runtime, &format!("GET {path} HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n"))?;
    ensure!(status == 200, "{path} is answered with {status}: {body}");
    Ok(body)
}

fn exchange(runtime: &Path, request: &str) -> Result<(u16, String)> {
    let mut socket = UnixStream::connect(runtime.join("api.sock"))?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.write_all(request.as_bytes())?;
    let mut said = String::new();
    socket.read_to_string(&mut said)?;
    let (head, body) = said.split_once("\r\n\r\n").with_context(|| format!("no answer: {said}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}
