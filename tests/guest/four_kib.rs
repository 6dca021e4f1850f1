// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device of the host with blocks of 4 KiB is a disk with blocks of 4 KiB.

use anyhow::Result;
use stories::guest::Guest;
use stories::loop_device::{self, LoopDevice};
use stories::stage::Stage;

const SCRIPT: &str = "settle 1
    dmesg > /share/dmesg
    cat /sys/block/sda/queue/logical_block_size /sys/block/sda/queue/physical_block_size
    mkfs.ext4 -q /dev/sda
    mount /dev/sda /mnt
    dd if=/dev/urandom of=/mnt/file bs=5000 count=300 2>/dev/null
    ( cd /mnt; md5sum file ) > /sums
    umount /mnt
    mount /dev/sda /mnt
    ( cd /mnt; md5sum -c /sums )
    umount /mnt";

#[test]
fn a_disk_has_the_blocks_of_its_device() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: a device with blocks of 4 KiB is a loop device, which takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let file = stage.scratch.sparse_file("disk", 256 << 20)?;
    let device = LoopDevice::attach(&file, &["--sector-size", "4096"])?;
    stage.shell.well(&format!("/backstores/block create disk0 {}", device.path().display()))?;
    let wwn = stage.serve("block/disk0")?;

    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let results =
        Guest::plan(SCRIPT).programs(&["mkfs.ext4"]).options(&options).boot(&stage.scratch)?.finish()?;
    assert_eq!(results.out, "4096\n4096\nfile: OK\n");
    let blocks = results.lines_with("dmesg", "65536 4096-byte logical blocks: (268 MB/256 MiB)")?;
    assert_eq!(blocks.len(), 1);
    Ok(())
}
