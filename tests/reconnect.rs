// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Front ends come and go, politely or not, and the daemon serves the next one.

use anyhow::Result;
use stories::firmware::{Firmware, Then, write_loader};
use stories::stage::Stage;

fn stage_with_loader() -> Result<(Stage, Vec<String>)> {
    let stage = Stage::set()?;
    write_loader(&stage.create_fileio("disk0", 1 << 20)?, "booted\n")?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "64M"])?;
    Ok((stage, options))
}

#[test]
fn one_machine_after_another_boots_from_the_same_target() -> Result<()> {
    let (mut stage, options) = stage_with_loader()?;
    for _ in 0..5 {
        let machine = Firmware::boot(&stage.scratch, "machine", &options, Then::Ends)?;
        assert_eq!(machine.finish()?, "booted\n");
    }
    assert_eq!(stage.daemon.process().ended()?, None);
    Ok(())
}

#[test]
fn a_machine_that_is_killed_makes_room_for_the_next() -> Result<()> {
    let (mut stage, options) = stage_with_loader()?;
    for _ in 0..3 {
        let mut machine = Firmware::boot(&stage.scratch, "machine", &options, Then::Halts)?;
        machine.wait_for("booted\n")?;
        machine.kill()?;
    }
    let machine = Firmware::boot(&stage.scratch, "machine", &options, Then::Ends)?;
    assert_eq!(machine.finish()?, "booted\n");
    assert_eq!(stage.daemon.process().ended()?, None);
    Ok(())
}

#[test]
fn a_second_machine_does_not_disturb_the_first() -> Result<()> {
    let (stage, options) = stage_with_loader()?;
    let mut first = Firmware::boot(&stage.scratch, "first", &options, Then::Halts)?;
    first.wait_for("booted\n")?;
    // It connects, and is refused when it starts a ring.
    let mut second = Firmware::boot(&stage.scratch, "second", &options, Then::Halts)?;
    stories::deadline::Deadline::seconds(30).until("a line about the second machine", || {
        Ok(stage.daemon.log().contains("another front end").then_some(()))
    })?;
    assert!(second.serial().is_empty(), "{}", second.serial());
    assert_eq!(second.ended()?, None);
    second.kill()?;
    first.kill()?;
    let third = Firmware::boot(&stage.scratch, "third", &options, Then::Ends)?;
    assert_eq!(third.finish()?, "booted\n");
    Ok(())
}
