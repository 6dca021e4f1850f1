// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk whose medium a guest and its administrator take out and put back, beside one that asks for writes of 4 KiB.

use anyhow::Result;
use std::time::Duration;
use stories::deadline::Deadline;
use stories::guest::Guest;
use stories::stage::Stage;

/// The kernel names disks as it finds them, in an order of its own: they are known by their LUNs.
const SCRIPT: &str = "settle 2
    name() { ls /sys/class/scsi_device/0:0:1:$1/device/block; }
    generic() { echo /dev/$(ls /sys/class/scsi_device/0:0:1:$1/device/scsi_generic); }
    cd /sys/block/$(name 1)
    cat removable queue/logical_block_size queue/physical_block_size queue/minimum_io_size > /share/removable
    cd /sys/block/$(name 0)
    cat removable queue/logical_block_size queue/physical_block_size queue/minimum_io_size > /share/small
    cd /
    disk=/dev/$(name 1)
    generic=$(generic 1)
    ready() { dd if=$disk of=/dev/null bs=4096 count=1 iflag=direct 2> /share/dd; }
    echo of the first > $disk
    # Who has it open keeps it in.
    exec 3< $disk
    sg_start --eject $generic 2> /share/kept || echo kept in
    echo kept > /share/open
    until_true '[ -e /share/asked ]'
    exec 3<&-
    until_true '[ -e /share/ejected ]'
    ready || echo no medium
    cat /sys/block/$(name 1)/size
    echo seen > /share/gone
    until_true '[ -e /share/loaded ]'
    until_true 'ready'
    head -c 13 $disk
    # The guest does it by itself, and the other disk is stopped and started.
    sg_start --eject $generic
    ready || echo no medium again
    other=$(generic 0)
    sg_start --stop $other
    sg_turs $other > /share/stopped 2>&1 || echo not ready
    echo both > /share/both
    until_true '[ -e /share/restarted ]'
    sg_turs $generic > /share/still 2>&1 || echo still out
    sg_turs $other > /share/stopped 2>&1 || echo still stopped
    sg_start --load $generic
    sg_start --start $other
    until_true 'ready'
    sg_turs $other && echo ready
    head -c 13 $disk";

#[test]
fn a_medium_goes_out_and_comes_back_and_a_restart_does_not_move_it() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.create_fileio("removable", 64 << 20)?;
    stage.create_fileio("small", 64 << 20)?;
    let disk = "/backstores/fileio/removable";
    stage.shell.well(&format!("{disk} set attribute emulate_removable=1"))?;
    stage.shell.well("/backstores/fileio/small set attribute physical_block_size=4096")?;
    let wwn = stage.serve("fileio/small")?;
    stage.map(&wwn, 1, 1, "fileio/removable")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let plan = Guest::plan(SCRIPT).programs(&["sg_start", "sg_turs"]).options(&options);
    let mut guest = plan.limit(Duration::from_secs(180)).boot(&stage.scratch)?;

    guest.wait_for("open")?;
    let refused = stage.shell.run(&[disk, "eject"])?;
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("keeps the medium of fileio/removable in"), "{refused:?}");
    guest.tell("asked", "")?;
    // It lets go when it has closed the disk, and who asks again is not refused.
    let eject = || anyhow::Ok(stage.shell.run(&[disk, "eject"])?.status == 0);
    Deadline::seconds(60).until("the guest to let go", || Ok(eject()?.then_some(())))?;
    guest.tell("ejected", "")?;
    guest.wait_for("gone")?;
    assert!(stage.shell.well("/backstores/fileio ls")?.contains("ejected"));
    stage.shell.well(&format!("{disk} load"))?;
    guest.tell("loaded", "")?;

    guest.wait_for("both")?;
    let shown = stage.shell.well("/backstores/fileio ls")?;
    assert!(shown.contains("ejected") && shown.contains("stopped"), "{shown}");
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    guest.tell("restarted", "")?;
    let results = guest.finish()?;
    assert_eq!(results.read("removable")?, "1\n512\n512\n512\n");
    assert_eq!(results.read("small")?, "0\n512\n4096\n4096\n");
    assert!(results.read("kept")?.contains("Illegal request"), "{}", results.read("kept")?);
    let expected = "kept in\nno medium\n0\nof the first\nno medium again\nnot ready\nstill out\nstill stopped\nready\nof the first\n";
    assert_eq!(results.out, expected);
    Ok(())
}
