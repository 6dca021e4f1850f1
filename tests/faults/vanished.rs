// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A block device that is gone while guests use it: NOT READY, nobody else notices, and it comes alive when it is back.

mod support;

use anyhow::Result;
use initiator::{Answer, Command, commands};
use std::fs::File;
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::stage::Stage;
use support::{House, SECONDS, broken};

const BYTES: u64 = 1 << 20;
const NOT_READY: [u8; 3] = [0x02, 0x04, 0x00];

/// What the disk answers, once the guest has heard that its capacity is another one, and what INQUIRY says of it: a disk that is
/// not there has no limits and gives no space back.
fn answer(house: &mut House, command: &Command) -> Result<Answer> {
    house.ask_after(&[[0x06, 0x2a, 0x09], [0x06, 0x3f, 0x03]], command)
}

/// The sense of that.
fn sense(house: &mut House, command: &Command) -> Result<Option<[u8; 3]>> {
    Ok(answer(house, command)?.check_condition())
}

#[test]
fn a_device_that_is_gone_is_not_ready_and_is_served_again_without_a_restart() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: a loop device takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let path = stage.scratch.sparse_file("medium", BYTES)?;
    let device = LoopDevice::attach(&path, &[])?;
    stage.shell.well(&format!("/backstores/block create broken {}", device.path().display()))?;
    let mut house = House::around(stage, "block/broken")?;
    let write = |fill| commands::write_10(broken(), 8, 8, &[fill; 4096]);
    let read = commands::read_10(broken(), 8, 8, 4096);
    assert!(house.ask(&write(5))?.is_good());
    let file = File::options().write(true).open(&path)?;

    for round in 0..2 {
        let lines = house.lines();
        // A device of no bytes is what the kernel leaves of one that was taken away while it was open.
        file.set_len(0)?;
        device.look_again()?;
        // At once, and not only when somebody has looked at the device.
        assert_eq!(sense(&mut house, &write(6))?, Some(NOT_READY), "round {round}");
        assert_eq!(sense(&mut house, &read)?, Some(NOT_READY), "round {round}");
        let gone = "block/broken is gone: its LUNs answer NOT READY until it is back";
        let log = || house.stage.daemon.log();
        Deadline::seconds(SECONDS)
            .until(gone, || Ok((log().matches(gone).count() == round + 1).then_some(())))?;
        for _ in 0..100 {
            assert_eq!(sense(&mut house, &write(6))?, Some(NOT_READY));
            assert_eq!(sense(&mut house, &commands::test_unit_ready(broken()))?, Some(NOT_READY));
        }
        house.others_are_undisturbed()?;
        let listed = house.stage.shell.well("ls /backstores/block")?;
        assert!(listed.contains("missing") || listed.contains("MISSING"), "{listed}");
        assert!(house.lines() <= lines + 4, "{}", house.stage.daemon.log());

        file.set_len(BYTES)?;
        device.look_again()?;
        house.comes_back(&read)?;
        assert_eq!(sense(&mut house, &write(7))?, None);
        assert_eq!(answer(&mut house, &read)?.data_in, [7; 4096]);
    }
    // The log is told after the guests.
    let served = |log: &str| log.matches("block/broken has appeared and is served").count();
    Deadline::seconds(SECONDS).until("the line that it is served again", || {
        Ok((served(&house.stage.daemon.log()) >= 2).then_some(()))
    })?;
    let log = house.stage.daemon.log();
    assert_eq!(log.matches("is gone").count(), 2, "{log}");
    assert_eq!(served(&log), 2, "{log}");
    house.ends_well()
}
