// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The space below gets scarce, is used up, and is there again: guests and the administrator are told in time.

use anyhow::{Result, ensure};
use initiator::{Command, Guest, Options, commands, lun_0};
use serde_json::Value;
use std::time::Duration;
use stories::api;
use stories::deadline::Deadline;
use stories::small::Small;
use stories::stage::Stage;

const MIB: usize = 1 << 20;
const SECONDS: u64 = 60;
const SCARCE: [u8; 3] = [0x06, 0x38, 0x07];
const FULL: [u8; 3] = [0x07, 0x27, 0x07];

/// How large the file system is, in mebibytes.
const ROOM: u32 = 64;

/// What the API says of the space below the only backstore.
fn space(stage: &Stage) -> Result<Value> {
    let all: Value = serde_json::from_str(&api::get(&stage.daemon.places().runtime, "/v1/config")?)?;
    Ok(all["backstores"][0]["space"].clone())
}

fn until_available(stage: &Stage, mebibytes: u64) -> Result<()> {
    Deadline::seconds(SECONDS).until("the space to be looked at", || {
        let now = space(stage)?["available_bytes"].as_u64();
        Ok((now == Some(mebibytes << 20)).then_some(()))
    })
}

/// What a guest is told until it is told nothing more.
fn attentions(guest: &mut Guest) -> Result<Vec<[u8; 3]>> {
    let mut told = Vec::new();
    while let Some(sense) = guest.execute(&commands::test_unit_ready(lun_0()))?.check_condition() {
        told.push(sense);
    }
    Ok(told)
}

fn log_page_0c(guest: &mut Guest) -> Result<Vec<u8>> {
    let log = Command::new(lun_0(), &[0x4d, 0, 0x4c, 0, 0, 0, 0, 0, 28, 0]).data_in(28);
    Ok(guest.execute(&log)?.data_in)
}

#[test]
fn guests_are_told_once_when_the_space_below_gets_scarce_and_go_on_when_there_is_room() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting a small file system takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let small = Small::mount(&stage.scratch.directory("small")?, ROOM)?;
    let path = small.join("disk0");
    stage.shell.well(&format!("/backstores/fileio create disk0 {} 32M", path.display()))?;
    let wwn = stage.serve("fileio/disk0")?;
    let runtime = stage.daemon.places().runtime.clone();
    let patience = Duration::from_secs(SECONDS);
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), Options::default().patience(patience))?;
    ensure!(guest.execute(&commands::write_10(lun_0(), 0, 2048, &[1; MIB]))?.is_good());

    // 64 MiB, of which one is the guest's: nothing is to be told of 8.
    small.take(55)?;
    until_available(&stage, 8)?;
    assert_eq!(attentions(&mut guest)?, [[0_u8; 3]; 0]);
    let vpd = guest.execute(&commands::inquiry_page(lun_0(), 0xb2, 8))?.data_in;
    assert_eq!(vpd[4], 11, "a threshold counts in blocks of a MiB together");
    let mode = Command::new(lun_0(), &[0x1a, 0x08, 0x1c, 0x02, 28, 0]).data_in(28);
    let mode = guest.execute(&mode)?.data_in;
    assert_eq!((&mode[4..8], &mode[20..]), (&[0x5c, 2, 0, 20][..], &[0x80, 1, 0, 0, 0, 0, 0, 6][..]));
    #[rustfmt::skip]
    let page = [0x8c, 0, 0, 24, 0, 1, 3, 8, 0, 0, 0, 8, 2, 0, 0, 0, 0, 2, 3, 8, 0, 0, 0, 1, 1, 0, 0, 0];
    assert_eq!(log_page_0c(&mut guest)?, page);

    // Less than a tenth is left.
    small.take(59)?;
    Deadline::seconds(SECONDS)
        .until("the attention", || Ok((attentions(&mut guest)? == [SCARCE]).then_some(())))?;
    until_available(&stage, 4)?;
    assert_eq!(attentions(&mut guest)?, [[0_u8; 3]; 0], "it is told once");
    assert_eq!(space(&stage)?["scarce"], true);
    let metrics = api::get(&runtime, "/metrics")?;
    for line in [
        "lunar_storage_object_space_scarce{kind=\"fileio\",name=\"disk0\"} 1",
        "lunar_storage_object_space_available_bytes{kind=\"fileio\",name=\"disk0\"} 4194304",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    // More of the same tells nobody anew; neither does a little more room.
    small.take(60)?;
    until_available(&stage, 3)?;
    small.take(56)?;
    until_available(&stage, 7)?;
    assert_eq!(attentions(&mut guest)?, [[0_u8; 3]; 0]);

    // Used up: a write says so, and goes on when there is room.
    small.take(64)?;
    let write = commands::write_10(lun_0(), 4096, 2048, &[2; MIB]);
    assert_eq!(guest.execute(&write)?.check_condition(), Some(FULL));
    small.take(40)?;
    until_available(&stage, 23)?;
    ensure!(guest.execute(&write)?.is_good());
    assert_eq!(space(&stage)?["scarce"], false);

    // And the next time it is told again.
    small.take(60)?;
    Deadline::seconds(SECONDS)
        .until("another attention", || Ok((attentions(&mut guest)? == [SCARCE]).then_some(())))?;
    // The log is told after the guests.
    let nearly_full = |log: &str| log.matches("of fileio/disk0 is nearly full").count();
    Deadline::seconds(SECONDS)
        .until("a second warning", || Ok((nearly_full(&stage.daemon.log()) > 1).then_some(())))?;
    let log = stage.daemon.log();
    assert_eq!(nearly_full(&log), 2, "{log}");
    assert_eq!(log.matches("of fileio/disk0 has enough room again").count(), 1, "{log}");
    Ok(())
}

#[test]
fn a_guest_is_told_only_where_the_disks_may_take_more_than_there_is() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting a small file system takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let small = Small::mount(&stage.scratch.directory("small")?, ROOM)?;
    let create = |name: &str, size: &str| {
        let path = small.join(name);
        stage.shell.well(&format!("/backstores/fileio create {name} {} {size}", path.display()))
    };
    create("disk0", "2M")?;
    let wwn = stage.serve("fileio/disk0")?;
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), Options::default())?;
    // 4 MiB are less than a tenth, and room for all of the disk.
    small.take(60)?;
    until_available(&stage, 4)?;
    assert_eq!(attentions(&mut guest)?, [[0_u8; 3]; 0]);
    assert_eq!(space(&stage)?["scarce"], false);

    create("disk1", "16M")?;
    Deadline::seconds(SECONDS)
        .until("the attention", || Ok((attentions(&mut guest)? == [SCARCE]).then_some(())))?;
    Ok(())
}
