// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Guest memory that is not shared is the mistake everybody makes, and QEMU says nothing about it.  The daemon
//! does, once and not for every message.

use anyhow::{Result, ensure};
use stories::deadline::Deadline;
use stories::firmware::{Firmware, Then, write_loader};
use stories::stage::Stage;

/// Boots with these options in place of the right ones until the daemon complains, which it does once for a connection.  QEMU may
/// make another one after it, as often as it has the time for.
fn is_told_once(change: impl Fn(&str) -> Option<String>) -> Result<()> {
    let stage = Stage::set()?;
    write_loader(&stage.create_fileio("disk0", 1 << 20)?, "booted\n")?;
    let wwn = stage.serve("fileio/disk0")?;
    let right = stage.shell.qemu(&wwn, &["--memory", "64M"])?;
    let wrong: Vec<String> = right.iter().filter_map(|option| change(option)).collect();
    assert_ne!(right, wrong, "the options have changed, and this story must follow");

    let machine = Firmware::boot(&stage.scratch, "machine", &wrong, Then::Halts)?;
    let is_told = || Ok(stage.daemon.log().contains("share=on").then_some(()));
    Deadline::seconds(30).until("a line about share=on", is_told)?;
    machine.kill()?;
    assert_eq!(stage.shell.well("/vhost status")?, "Status for /vhost: Targets: 1\n");
    let log = stage.daemon.log();
    let of_connections = log.split("a front end connected").map(|part| part.matches("share=on").count());
    let told: Vec<usize> = of_connections.collect();
    // Nothing before the first; the last may have ended with the machine before it gave any memory.
    let is_once = told[..2] == [0, 1] && told[2..].iter().all(|lines| *lines <= 1);
    ensure!(is_once, "{told:?}: {log}");
    Ok(())
}

#[test]
fn private_memory_is_named_in_one_line() -> Result<()> {
    is_told_once(|option| Some(option.replace("share=on", "share=off")))
}

#[test]
fn memory_without_a_file_is_named_in_one_line() -> Result<()> {
    is_told_once(|option| {
        Some(option.replace("memory-backend-memfd", "memory-backend-ram").replace(",share=on", ""))
    })
}
