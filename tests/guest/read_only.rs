// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device of the host that cannot be written is a disk that cannot be written.

use anyhow::Result;
use stories::guest::Guest;
use stories::loop_device::{self, LoopDevice};
use stories::stage::Stage;

// The disk is read through the kernel.  It is written past the kernel, which knows better: SENSE is for `sg_raw`
// to print, 2Ah is WRITE (10) of block 0.
const SCRIPT: &str = "settle 2
    dmesg > /share/dmesg
    for address in 0:0:1:0 0:0:1:1; do
        disk=$(disk_at $address)
        cat /sys/block/$disk/ro
        head -c 10 /dev/$disk; echo
        dd if=/dev/zero of=/dev/$disk bs=512 count=1 2>/dev/null || echo cannot be written
        generic=$(ls /sys/class/scsi_device/$address/device/scsi_generic)
        dd if=/dev/zero of=/zeroes bs=512 count=1 2>/dev/null
        sg_raw -s 512 -i /zeroes /dev/$generic 2a 00 00 00 00 00 00 00 01 00 2>&1 |
            grep -o -E 'Data Protect|Write protected|SCSI Status: .*' | sort -u
    done";

#[test]
fn a_disk_that_is_read_only_refuses_writes_and_keeps_its_data() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: a device that cannot be written is a loop device, which takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let files = [stage.scratch.sparse_file("a", 1 << 20)?, stage.scratch.sparse_file("b", 1 << 20)?];
    for file in &files {
        std::fs::write(file, [b"0123456789".as_slice(), &[7; (1 << 20) - 10]].concat())?;
    }
    // One device is read-only itself, the other by the administrator's word.
    let found = LoopDevice::attach(&files[0], &["--read-only"])?;
    let told = LoopDevice::attach(&files[1], &[])?;
    stage.shell.well(&format!("/backstores/block create found {}", found.path().display()))?;
    stage.shell.well(&format!("/backstores/block create told {} readonly=true", told.path().display()))?;
    let wwn = stage.serve("block/found")?;
    stage.map(&wwn, 1, 1, "block/told")?;
    let listed = stage.shell.well("ls /backstores/block")?;
    assert_eq!(listed.matches(" (1.0MiB) ro write-").count(), 2, "{listed}");

    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let results =
        Guest::plan(SCRIPT).programs(&["sg_raw"]).options(&options).boot(&stage.scratch)?.finish()?;
    let refused =
        "1\n0123456789\ncannot be written\nData Protect\nSCSI Status: Check Condition \nWrite protected\n";
    assert_eq!(results.out, [refused, refused].concat());
    assert_eq!(results.lines_with("dmesg", "Write Protect is on")?.len(), 2);
    for file in &files {
        assert_eq!(std::fs::read(file)?.first_chunk::<11>(), Some(b"0123456789\x07"));
    }
    Ok(())
}
