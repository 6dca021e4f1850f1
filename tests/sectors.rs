// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device with sectors of 4096 bytes below a file backstore: its blocks are the device's from the start.

use anyhow::Result;
use stories::loop_device::{self, LoopDevice};
use stories::stage::Stage;

#[test]
fn a_file_backstore_on_a_device_has_the_blocks_of_the_device() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: a device with sectors of 4096 bytes is a loop device, which takes root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let file = stage.scratch.sparse_file("disk", 8 << 20)?;
    let device = LoopDevice::attach(&file, &["--sector-size", "4096"])?;
    let path = device.path().display().to_string();
    let created = stage.shell.well(&format!("/backstores/fileio create disk0 {path}"))?;
    let note = format!("{path} has sectors of 4096 bytes: so large are the blocks\n");
    assert_eq!(created, format!("{note}Created fileio disk0 with size 8388608\n"));
    let size = "/backstores/fileio/disk0 get attribute block_size";
    assert_eq!(stage.shell.well(size)?, "block_size=4096 \n");
    let set = stage.shell.well("/backstores/fileio/disk0 set attribute emulate_tpu=0")?;
    assert_eq!(set, "Parameter emulate_tpu is now '0'.\n");

    let half = stage.shell.run(&["/backstores/fileio/disk0", "set", "attribute", "block_size=2048"])?;
    assert_eq!(
        (half.status, half.stderr.lines().next()),
        (1, Some("fileio/disk0 cannot have blocks of 2048 bytes: its sectors have 4096"))
    );
    // What was found is what stays.
    stage.daemon.restart()?;
    assert_eq!(stage.shell.well(size)?, "block_size=4096 \n");
    Ok(())
}

#[test]
fn a_restore_says_blocks_that_a_device_cannot_have() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: a device with sectors of 4096 bytes is a loop device, which takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let file = stage.scratch.sparse_file("disk", 8 << 20)?;
    let device = LoopDevice::attach(&file, &["--sector-size", "4096"])?;
    let path = device.path().display();
    let saved = stage.scratch.join("saved.json");
    std::fs::write(
        &saved,
        format!(
            r#"{{"fabric_modules": [], "targets": [], "storage_objects": [{{"name": "disk0", "plugin": "fileio",
                "dev": "{path}", "size": 8388608, "attributes": {{"block_size": 1024}}}}]}}"#
        ),
    )?;
    let answer = stage.shell.run(&["restoreconfig", &saved.display().to_string()])?;
    assert_eq!(
        (answer.status, answer.stderr.as_str()),
        (
            1,
            "fileio/disk0 cannot have blocks of 1024 bytes: its sectors have 4096\n\
             hint: set block_size to 4096, or to a multiple of it\n"
        )
    );
    assert_eq!(
        stage.shell.well("/backstores/fileio status")?,
        "Status for /backstores/fileio: Storage Objects: 0\n"
    );
    Ok(())
}
