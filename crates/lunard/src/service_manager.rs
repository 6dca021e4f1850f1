// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the service manager is told: the words of sd_notify(3).
//!
//! Above: `daemon`, `state_driver`, `machine/running.rs`, `watchdog`.  Below: the socket in `NOTIFY_SOCKET`.
//! Never here: when anything is so.
//!
//! Where nobody listens nothing is sent.  A service manager that does not read holds up nobody for longer than
//! [`PATIENCE`], and for a line of status not at all, which is why the sending is not left to `sd-notify`.

use crate::machine::Live;
use sd_notify::NotifyState;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use tracing::warn;

/// How long a service manager may take to make room for what it must hear.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long after a sign of progress a start is not given up.
const PROGRESS: Duration = Duration::from_secs(60);

/// Storage objects that are named in a line.
const NAMED_MAX: usize = 4;

/// All is restored and all sockets listen.
pub fn ready(live: &Live) {
    tell(&[NotifyState::Ready, NotifyState::Status(&serving(live))]);
}

/// What is served has changed.
pub fn serves(live: &Live) {
    whisper(&[NotifyState::Status(&serving(live))]);
}

/// The start takes its time and gets on.
pub fn restoring(done: usize, of: usize) {
    let usec = u32::try_from(PROGRESS.as_micros()).unwrap_or(u32::MAX);
    let status = format!("Restoring: {done} of {of} steps done");
    whisper(&[NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(usec)]);
}

/// The daemon has been told to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("Finishing what guests have in flight")]);
}

/// What the daemon left when it ended.
pub fn left(what: &str) {
    whisper(&[NotifyState::Status(what)]);
}

/// All threads that matter have answered.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(err) = send(states, Some(PATIENCE)) {
        warn!("cannot notify the service manager: {err}");
    }
}

fn whisper(states: &[NotifyState<'_>]) {
    // It is a line for people, and the next one tells more.
    let _ = send(states, None);
}

fn send(states: &[NotifyState<'_>], patience: Option<Duration>) -> io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    let socket = UnixDatagram::unbound()?;
    match patience {
        Some(patience) => socket.set_write_timeout(Some(patience))?,
        None => socket.set_nonblocking(true)?,
    }
    socket.send_to(text.as_bytes(), path).map(drop)
}

fn serving(live: &Live) -> String {
    let objects = live.backstores.len();
    let mut text =
        format!("Serving {} with {}", count(live.targets.len(), "target"), count(objects, "storage object"));
    let missing = live.backstores.iter().filter(|(_, live)| live.missing).map(|(id, _)| id.to_string());
    text += &named("missing", missing.collect());
    let deaf =
        live.targets.iter().filter(|(_, live)| live.socket_fault.is_some()).map(|(wwn, _)| wwn.to_string());
    text += &named("without a socket", deaf.collect());
    text
}

/// What is said of some, where there are any.
fn named(what: &str, all: Vec<String>) -> String {
    if all.is_empty() {
        return String::new();
    }
    let first: Vec<&str> = all.iter().take(NAMED_MAX).map(String::as_str).collect();
    let mut text = format!("; {what}: {}", first.join(", "));
    if all.len() > NAMED_MAX {
        text += &format!(" and {} more", all.len() - NAMED_MAX);
    }
    text
}

fn count(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::serving;
    use crate::machine::{Live, LiveBackstore};
    use model::{BackstoreId, BackstoreName, Kind};

    fn live(missing: &[bool]) -> Live {
        let backstores = missing.iter().enumerate().map(|(at, &missing)| {
            let name = BackstoreName::parse(&format!("disk{at}")).unwrap();
            let id = BackstoreId { kind: Kind::Fileio, name };
            let live = LiveBackstore {
                size_bytes: 4096,
                block_bytes: 512,
                read_only: false,
                write_back: true,
                missing,
                ejected: false,
                stopped: false,
                physical_block_bytes: 512,
                device: None,
                space: None,
                transitioning: std::collections::BTreeSet::new(),
            };
            (id, live)
        });
        Live { backstores: backstores.collect(), ..Live::default() }
    }

    #[test]
    fn a_status_counts_what_is_served_and_names_what_is_missing() {
        assert_eq!(serving(&live(&[])), "Serving 0 targets with 0 storage objects");
        assert_eq!(serving(&live(&[true])), "Serving 0 targets with 1 storage object; missing: fileio/disk0");
        assert_eq!(
            serving(&live(&[true, false, true, true, true, true])),
            "Serving 0 targets with 6 storage objects; missing: fileio/disk0, fileio/disk2, fileio/disk3, \
             fileio/disk4 and 1 more"
        );
    }
}
