// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LUNs come, grow and go while a guest runs, and it needs no command of its own to see it.
//!
//! The guest has no udev and nobody in it asks for a scan: what it sees it was told of by events.

use anyhow::Result;
use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;
use stories::guest::Guest;
use stories::stage::Stage;

const SCRIPT: &str = "settle 1
    size() { cat /sys/block/$(disk_at $1)/size; }
    echo $(size 0:0:1:0) > /share/booted
    until_true '[ -e /share/longer ] && [ $(size 0:0:1:0) = 131072 ]'
    # The new part is there, and what is beyond it is not.
    dd if=/dev/urandom of=/dev/sda bs=1M seek=60 count=4 oflag=direct 2> /dev/null && echo grown > /share/grown
    until_true '[ -d /sys/class/scsi_device/0:0:1:1 ] && [ -d /sys/class/scsi_device/0:0:1:16684 ]'
    until_true '[ $(size 0:0:1:1) = 8192 ]'
    lsscsi > /share/came
    until_true '[ ! -e /sys/class/scsi_device/0:0:1:1 ]'
    lsscsi > /share/went
    until_true '[ $(size 0:0:1:0) = 262144 ]'
    # Its file has gone meanwhile, and comes back longer.
    until_true '! dd if=/dev/$(disk_at 0:0:1:16684) of=/dev/null bs=4096 count=1 iflag=direct 2> /dev/null'
    echo missing > /share/missing
    until_true '[ $(size 0:0:1:16684) = 16384 ]'
    dd if=/dev/$(disk_at 0:0:1:16684) bs=4096 count=1 iflag=direct 2> /dev/null | tr -d '\\0' > /share/appeared
    echo restarted > /share/restarted
    until_true 'dmesg | grep -q \"sd 0:0:1:0: Mode parameters changed\"'
    echo done";

fn grow(file: &Path, bytes: u64) -> Result<()> {
    Ok(OpenOptions::new().write(true).open(file)?.set_len(bytes)?)
}

#[test]
fn a_guest_sees_luns_come_grow_and_go_by_itself() -> Result<()> {
    let mut stage = Stage::set()?;
    let disk = stage.create_fileio("disk0", 32 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let plan = Guest::plan(SCRIPT).programs(&["lsscsi"]).options(&options);
    let mut guest = plan.limit(Duration::from_secs(180)).boot(&stage.scratch)?;
    assert_eq!(guest.wait_for("booted")?, "65536\n");

    grow(&disk, 64 << 20)?;
    guest.tell("longer", "")?;
    guest.wait_for("grown")?;

    stage.create_fileio("disk1", 4 << 20)?;
    let comes_back = stage.create_fileio("disk300", 4 << 20)?;
    stage.map(&wwn, 1, 1, "fileio/disk1")?;
    stage.map(&wwn, 1, 300, "fileio/disk300")?;
    let came = guest.wait_for("came")?;
    assert!(came.contains("[0:0:1:1]") && came.contains("[0:0:1:16684]"), "{came}");
    stage.shell.well(&format!("/vhost/{wwn}/tpg1/luns delete 1"))?;
    let went = guest.wait_for("went")?;
    assert!(!went.contains("[0:0:1:1]") && went.contains("[0:0:1:16684]"), "{went}");

    // One grows while nobody serves it, and one is not there at first.
    stage.daemon.kill()?;
    grow(&disk, 128 << 20)?;
    let aside = stage.scratch.join("aside");
    std::fs::rename(&comes_back, &aside)?;
    stage.daemon.restart()?;
    guest.wait_for("missing")?;
    std::fs::write(&aside, "back again\n")?;
    grow(&aside, 8 << 20)?;
    std::fs::rename(&aside, &comes_back)?;
    assert_eq!(guest.wait_for("appeared")?, "back again\n");
    guest.wait_for("restarted")?;
    stage.shell.well("/backstores/fileio/disk0 set attribute emulate_write_cache=0")?;
    assert_eq!(guest.finish()?.out, "done\n");
    Ok(())
}
