// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's own targetcli types the page's commands at Lunar, and a guest has the disk.

use anyhow::Result;
use stories::guest::Guest;
use stories::loop_device::{self, LoopDevice};
use stories::mounted::{self, Mounted};

const WWN: &str = "naa.500140568720f76f";

/// It says when it has the disk, and then waits until somebody has looked at it from outside.
const SCRIPT: &str = "settle 1
    lsscsi > /share/lsscsi
    dd if=/dev/sda of=/dev/null bs=1M count=4 iflag=direct 2>/dev/null
    dd if=/dev/zero of=/dev/sda bs=1M count=2 oflag=direct 2>/dev/null
    echo yes > /share/used
    until_true '[ -e /share/seen ]'";

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
    let options = mounted.shell()?.qemu(WWN, &["--memory", "512M"])?;
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
    assert!(listed.contains("LIO-ORG  disk0") && listed.contains("/dev/sda"), "{listed}");
    Ok(())
}
