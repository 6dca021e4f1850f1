// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that has nothing to do does nothing.
//!
//! The guest story about memory watches one with a guest attached.

use anyhow::Result;
use std::time::Duration;
use stories::stage::Stage;

/// How long the daemon is watched.
const SECONDS: u64 = 5;

#[test]
fn an_idle_daemon_uses_no_processor() -> Result<()> {
    let mut stage = Stage::set()?;
    for number in 0..4 {
        stage.create_fileio(&format!("disk{number}"), 1 << 20)?;
        stage.serve(&format!("fileio/disk{number}"))?;
    }
    let process = stage.daemon.process();
    let before = process.cpu_ticks()?;
    // The length of this sleep is what is measured, and not a hope.
    std::thread::sleep(Duration::from_secs(SECONDS));
    let ticks = process.cpu_ticks()? - before;
    assert!(ticks <= 1, "{ticks} ticks of 10 ms in {SECONDS} s");
    Ok(())
}
