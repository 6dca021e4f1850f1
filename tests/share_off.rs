// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Guest memory that is not shared is the mistake everybody makes, and QEMU says nothing about it.  The daemon
//! does, once and not for every message.

use anyhow::Result;
use stories::deadline::Deadline;
use stories::firmware::{Firmware, Then, write_loader};
use stories::stage::Stage;

/// Boots with these options in place of the right ones until the daemon complains, and returns its complaints.
fn complaints(change: impl Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let stage = Stage::set()?;
    write_loader(&stage.create_fileio("disk0", 1 << 20)?, "booted\n")?;
    let wwn = stage.serve("fileio/disk0")?;
    let right = stage.shell.qemu(&wwn, &["--memory", "64M"])?;
    let wrong: Vec<String> = right.iter().filter_map(|option| change(option)).collect();
    assert_ne!(right, wrong, "the options have changed, and this story must follow");

    let machine = Firmware::boot(&stage.scratch, "machine", &wrong, Then::Halts)?;
    let complaints = || -> Vec<String> {
        let log = stage.daemon.log();
        log.lines().filter(|line| line.contains("share=on")).map(str::to_owned).collect()
    };
    Deadline::seconds(30).until("a line about share=on", || Ok((!complaints().is_empty()).then_some(())))?;
    machine.kill()?;
    assert_eq!(stage.shell.well("/vhost status")?, "Status for /vhost: Targets: 1\n");
    Ok(complaints())
}

#[test]
fn private_memory_is_named_in_one_line() -> Result<()> {
    let told = complaints(|option| Some(option.replace("share=on", "share=off")))?;
    assert_eq!(told.len(), 1, "{told:#?}");
    Ok(())
}

#[test]
fn memory_without_a_file_is_named_in_one_line() -> Result<()> {
    let told = complaints(|option| {
        Some(option.replace("memory-backend-memfd", "memory-backend-ram").replace(",share=on", ""))
    })?;
    assert_eq!(told.len(), 1, "{told:#?}");
    Ok(())
}
