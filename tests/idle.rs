// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that has nothing to do does nothing.
//!
//! The guest story about memory watches one with a guest attached.

use anyhow::Result;
use std::time::Duration;
use stories::stage::Stage;

/// How long the daemon is watched.
const TIME: Duration = Duration::from_secs(10);
/// How often a thread of it may wake up in that time: one looks at the disks every other second, and one after that one and
/// at what waits every ten; and what it was asked for last may still be looked at anew.
const WAKES_MAX: u64 = 30;
/// The clock ticks, of 10 ms, that it may use in that time: half a percent, for machines whose memory is cold.
const TICKS_MAX: u64 = 5;

#[test]
fn an_idle_daemon_uses_no_processor() -> Result<()> {
    let mut stage = Stage::set()?;
    for number in 0..4 {
        stage.create_fileio(&format!("disk{number}"), 1 << 20)?;
        stage.serve(&format!("fileio/disk{number}"))?;
    }
    let did = stage.daemon.process().watch_at_rest(TIME, TICKS_MAX)?;
    println!("{did:?}");
    assert!(did.wakes <= WAKES_MAX && did.ticks <= TICKS_MAX, "{did:?} in {TIME:?}");
    Ok(())
}
