// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk that hangs: others are served all the time, and the administrator is told which command waits, where and how
//! long.

mod support;

use anyhow::{Context, Result};
use initiator::commands;
use serde_json::{Value, json};
use stories::deadline::Deadline;
use stories::slow_disk::{self, SlowDisk};
use stories::stage::Stage;
use support::{House, SECONDS, broken};

const BYTES: usize = 1 << 20;

/// What the shell says of the session that waits.
fn waiting(house: &House) -> Result<Value> {
    let said = house.stage.shell.well("--json sessions detail")?;
    let mut said: Value = serde_json::from_str(&said)?;
    let sessions = said["result"]["sessions"].as_array_mut().context("sessions")?;
    let ours = sessions.iter_mut().find(|session| session["target"] == json!(house.wwn));
    Ok(ours.context("a session")?["waiting"].take())
}

#[test]
fn who_waits_for_a_disk_that_hangs_is_named_with_its_lun_and_its_time() -> Result<()> {
    if !slow_disk::available() {
        println!("skipped: a FUSE file system takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let disk = SlowDisk::mount(&stage.scratch, BYTES)?;
    stage.shell.well(&format!("/backstores/fileio create broken {}", disk.path().display()))?;
    let mut house = House::around(stage, "fileio/broken")?;
    // The first write asks the file system what it can do.
    assert!(house.ask(&commands::write_10(broken(), 0, 1, &[1; 512]))?.is_good());
    assert_eq!(waiting(&house)?, json!([]));
    let lines = house.lines();
    disk.keep_back(3);
    let queue = house.guest.request_queue(0)?;
    let write = |lba| commands::write_10(broken(), lba, 8, &[2; 4096]);
    let stuck: Vec<_> =
        [8, 16, 24].into_iter().map(|lba| queue.start(&write(lba))).collect::<Result<_, _>>()?;

    let deadline = Deadline::seconds(2 * SECONDS);
    let told = loop {
        // Served all the time that it takes.
        house.others_are_undisturbed()?;
        let told = waiting(&house)?;
        if told != json!([]) {
            break told;
        }
        assert!(!deadline.passed(), "nobody is told");
    };
    assert_eq!((&told[0]["lun"], &told[0]["command"]), (&json!(0), &json!("WRITE (10)")), "{told}");
    assert_eq!(told[0]["commands"], json!(3), "{told}");
    assert!(told[0]["seconds"].as_u64().is_some_and(|seconds| seconds >= 20), "{told}");
    let listed = house.stage.shell.well("ls /vhost")?;
    assert!(listed.contains("WRITE (10) has waited for "), "{listed}");
    let line = format!("LUN 0 of {}/tpg1: a write (WRITE (10)) has waited for ", house.wwn);
    assert_eq!(house.stage.daemon.log().matches(&line).count(), 1, "{}", house.stage.daemon.log());
    assert!(house.lines() <= lines + 2, "{}", house.stage.daemon.log());

    disk.let_land();
    for token in stuck {
        assert!(house.guest.request_queue(0)?.wait_for(token)?.is_good());
    }
    house.wait_for_line(&format!("LUN 0 of {}/tpg1 answers again", house.wwn))?;
    assert_eq!(waiting(&house)?, json!([]));
    house.ends_well()
}
