// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device of the host that is given to Lunar once more, in another manner, while Lunar has it open.

use anyhow::Result;
use initiator::{Guest, LunAddress, Options, commands};
use std::path::PathBuf;
use stories::loop_device::{self, LoopDevice};
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";
const SERIAL: &str = "1f2e3d4c-5b6a-7980-8190-a0b0c0d0e0f0";

/// A daemon, and a device of 16 MiB.
fn set() -> Result<Option<(Stage, LoopDevice)>> {
    if !loop_device::available() {
        println!("skipped: a device of the host is a loop device, which takes root");
        return Ok(None);
    }
    let stage = Stage::set()?;
    let device = LoopDevice::attach(&stage.scratch.sparse_file("disk", 16 << 20)?, &[])?;
    Ok(Some((stage, device)))
}

/// Writes a file with one target, that shows this backstore on the device.
fn wanted(stage: &Stage, device: &LoopDevice, kind: &str, rest: &str) -> Result<PathBuf> {
    let path = stage.scratch.join("disks.toml");
    let device = device.path().display();
    let text = format!(
        "scope = [\"*\"]\n[{kind}.disk0]\npath = \"{device}\"\n{rest}\n[vhost.\"{WWN}\".tpg1]\nlun0 = \"{kind}/disk0\"\n"
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Applies a file, which must leave nothing to do.
fn apply(stage: &Stage, path: &std::path::Path, force: &str) -> Result<()> {
    let apply = format!("apply -f {} {force}", path.display());
    stage.shell.well_once_guests_have_left(&apply)?;
    let so = format!("Everything is as {} says.\n", path.display());
    assert_eq!(stage.shell.well(&apply)?, so);
    Ok(())
}

/// Writes a block; key, code and qualifier of what was said to it.
fn write(guest: &mut Guest) -> Result<Option<[u8; 3]>> {
    let lun = LunAddress::unit(1, 0);
    while guest.execute(&commands::test_unit_ready(lun))?.check_condition().is_some() {}
    Ok(guest.execute(&commands::write_10(lun, 0, 1, &[7; 512]))?.check_condition())
}

#[test]
fn a_device_is_restored_over_itself_however_it_was_asked_for() -> Result<()> {
    let Some((stage, device)) = set()? else { return Ok(()) };
    let path = device.path().display();
    stage.shell.well(&format!("/backstores/block create disk0 {path} readonly=false wwn={SERIAL}"))?;
    let saved = stage.scratch.join("f.json").display().to_string();
    stage.shell.well(&format!("saveconfig {saved}"))?;
    for asked in ["", "readonly=true", "readonly=false"] {
        stage.shell.well("clearconfig confirm=True")?;
        stage.shell.well(&format!("/backstores/block create disk0 {path} {asked} wwn={SERIAL}"))?;
        stage.shell.well(&format!("restoreconfig {saved} clear_existing=true"))?;
        stage.shell.well("/backstores/block/disk0 set attribute emulate_tas=0")?;
    }
    Ok(())
}

#[test]
fn a_device_becomes_read_only_and_writable_and_a_file_and_a_device_again() -> Result<()> {
    let Some((stage, device)) = set()? else { return Ok(()) };
    for (kind, rest, refused) in [
        ("block", "", None),
        ("block", "readonly = true", Some([0x07, 0x27, 0])),
        ("block", "readonly = false", None),
        ("fileio", "", None),
        ("block", "readonly = true", Some([0x07, 0x27, 0])),
        ("fileio", "write_back = false", None),
        ("block", "", None),
    ] {
        apply(&stage, &wanted(&stage, &device, kind, rest)?, "")?;
        let mut guest = Guest::boot(stage.daemon.socket(WWN), Options::default())?;
        assert_eq!(write(&mut guest)?, refused, "{kind} {rest}");
    }
    Ok(())
}

#[test]
fn a_device_changes_below_a_guest_that_runs_where_that_is_forced() -> Result<()> {
    let Some((stage, device)) = set()? else { return Ok(()) };
    apply(&stage, &wanted(&stage, &device, "block", "")?, "")?;
    let mut guest = Guest::boot(stage.daemon.socket(WWN), Options::default())?;
    assert_eq!(write(&mut guest)?, None);
    let read_only = wanted(&stage, &device, "block", "readonly = true")?;
    let refused = stage.shell.run(&["apply", "-f", &read_only.display().to_string()])?;
    assert!(refused.stderr.starts_with(&format!("the guests of target {WWN} are connected")));
    assert_eq!(write(&mut guest)?, None);
    apply(&stage, &read_only, "--force")?;
    assert_eq!(write(&mut guest)?, Some([0x07, 0x27, 0]));
    apply(&stage, &wanted(&stage, &device, "fileio", "")?, "--force")?;
    assert_eq!(write(&mut guest)?, None);
    apply(&stage, &wanted(&stage, &device, "block", "")?, "--force")?;
    assert_eq!(write(&mut guest)?, None);
    Ok(())
}

#[test]
fn a_change_that_fails_leaves_the_device_as_it_was() -> Result<()> {
    let Some((stage, device)) = set()? else { return Ok(()) };
    apply(&stage, &wanted(&stage, &device, "block", "")?, "")?;
    let mut guest = Guest::boot(stage.daemon.socket(WWN), Options::default())?;
    let before = stage.shell.well("ls / --json")?;
    for (kind, rest) in [("block", "readonly = true"), ("fileio", "")] {
        let path = wanted(&stage, &device, kind, &format!("{rest}\n[block.x]\npath = \"/dev/nosuch\""))?;
        let refused = stage.shell.run(&["apply", "-f", &path.display().to_string(), "--force"])?;
        assert_eq!(refused.status, 1);
        assert!(refused.stderr.contains("/dev/nosuch"), "{}", refused.stderr);
        assert_eq!(stage.shell.well("ls / --json")?, before);
        assert_eq!(write(&mut guest)?, None);
    }
    // It is as good as it was for what can be done.
    apply(&stage, &wanted(&stage, &device, "block", "readonly = true")?, "--force")?;
    assert_eq!(write(&mut guest)?, Some([0x07, 0x27, 0]));
    Ok(())
}
