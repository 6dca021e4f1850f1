// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's own targetcli types the page's commands at Lunar, and a guest has the disk; and that of a target made by mkdir,
//! echo and ln -s.

use anyhow::Result;
use std::fs::File;
use std::io::Write;
use stories::guest::Guest;
use stories::loop_device::{self, LoopDevice};
use stories::mounted::{self, Mounted};

const WWN: &str = "naa.500140568720f76f";
const BY_HAND: &str = "naa.5001405000000abc";

/// It says when it has the disk, and then waits until somebody has looked at it from outside.
const SCRIPT: &str = "settle 2
    lsscsi > /share/lsscsi
    disk=$(lsscsi | sed -n 's,.* disk0 .*/dev/\\(sd.\\).*,\\1,p')
    by_hand=$(lsscsi | sed -n 's,.* FILEIO .*/dev/\\(sd.\\).*,\\1,p')
    dd if=/dev/$by_hand bs=512 count=1 2>/dev/null | head -1 > /share/by_hand
    echo 'written by the guest' | dd of=/dev/$by_hand bs=512 count=1 conv=sync,fsync 2>/dev/null
    dd if=/dev/$disk of=/dev/null bs=1M count=4 iflag=direct 2>/dev/null
    dd if=/dev/zero of=/dev/$disk bs=1M count=2 oflag=direct 2>/dev/null
    echo yes > /share/used
    until_true '[ -e /share/seen ]'";

/// A target as one makes it without a tool.
const BY_MKDIR: &str = "cd /sys/kernel/config/target
    mkdir -p core/fileio_7/by_hand
    echo fd_dev_name=FILE,fd_dev_size=16777216 > core/fileio_7/by_hand/control
    echo 1 > core/fileio_7/by_hand/enable
    mkdir -p vhost/WWN/tpgt_1
    echo naa.5001405aabbccdd1 > vhost/WWN/tpgt_1/nexus
    mkdir vhost/WWN/tpgt_1/lun/lun_0
    ln -s $PWD/core/fileio_7/by_hand vhost/WWN/tpgt_1/lun/lun_0/by_hand";

#[test]
fn a_guest_finds_what_real_targetcli_made() -> Result<()> {
    let why = mounted::missing_tool().or((!loop_device::available()).then_some("there is no loop device"));
    if let Some(why) = why {
        println!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let disk = LoopDevice::attach(&mounted.scratch.sparse_file("disk", 64 << 20)?, &[])?;
    mounted.well(&format!(
        "targetcli /backstores/block create name=disk0 dev={}\ntargetcli /vhost create {WWN}\n\
         targetcli /vhost/{WWN}/tpg1/luns create /backstores/block/disk0",
        disk.path().display()
    ))?;
    assert_eq!(mounted.well("targetcli sessions")?, "(no open sessions)\n");
    let file = mounted.scratch.sparse_file("by_hand.img", 16 << 20)?;
    File::options().write(true).open(&file)?.write_all(b"made by hand\n")?;
    // The shell's own words, in the place of the kernel's tree.
    mounted.well(&BY_MKDIR.replace("WWN", BY_HAND).replace("FILE", &file.display().to_string()))?;
    let mut options = mounted.shell()?.qemu(WWN, &["--memory", "512M"])?;
    let more = mounted.shell()?.qemu(BY_HAND, &[])?;
    let device = |pair: &&[String]| pair[0] == "-chardev" || pair[0] == "-device";
    options.extend(more.chunks(2).filter(device).flatten().cloned());
    let plan = Guest::plan(SCRIPT).programs(&["lsscsi"]).options(&options);
    let mut guest = plan.boot(&mounted.scratch)?;
    guest.wait_for("used")?;
    let sessions = mounted.well("targetcli sessions")?;
    assert!(sessions.contains("type: Normal session-state: LOGGED_IN"), "{sessions}");
    let read = |file: &str| -> Result<u64> { Ok(mounted.read(file)?.trim_end().parse()?) };
    let unit = "core/iblock_0/disk0/statistics/scsi_lu";
    let port = format!("vhost/{WWN}/tpgt_1/lun/lun_0/statistics/scsi_tgt_port");
    assert!(read(&format!("{unit}/num_cmds"))? > 6 && read(&format!("{port}/in_cmds"))? > 6);
    for at in [unit, &port] {
        assert!(read(&format!("{at}/read_mbytes"))? >= 4, "{at}");
        assert_eq!(read(&format!("{at}/write_mbytes"))?, 2, "{at}");
    }
    guest.tell("seen", "")?;
    let results = guest.finish()?;
    let listed = results.read("lsscsi")?;
    assert!(listed.contains("LIO-ORG  disk0") && listed.contains("LIO-ORG  FILEIO"), "{listed}");
    assert_eq!(results.read("by_hand")?, "made by hand\n");
    assert!(std::fs::read(&file)?.starts_with(b"written by the guest\n"));
    Ok(())
}
