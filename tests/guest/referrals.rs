// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk some of whose blocks are reached otherwise than others, as Linux and sg3_utils see it: the map, the text about
//! the disk, and what becomes of reads of either kind.  Beside that, what guests of old send.

use anyhow::Result;
use std::time::Duration;
use stories::guest::Guest;
use stories::stage::Stage;

// The first 64 KiB are reached, the next are not, and so on: 128 blocks each.  01h is REZERO UNIT, 2Bh is SEEK (10).
const SCRIPT: &str = "settle 1
    disk=/dev/$(disk_at 0:0:1:0)
    generic=/dev/$(ls /sys/class/scsi_device/0:0:1:0/device/scsi_generic)
    for try in 1 2 3 4; do sg_turs $generic > /dev/null 2>&1 || true; done
    sg_referrals $generic
    sg_vpd -p ref $generic
    sg_vpd -p ei $generic | grep -o -w 'R_SUP=.'
    sg_ident --itype=2 --ascii $generic
    read_at() { dd if=$disk of=/dev/null bs=65536 count=1 skip=$1 iflag=direct 2> /dev/null && echo read || echo not read; }
    for segment in 0 1 2 3; do read_at $segment; done
    sg_raw $generic 28 00 00 00 00 80 00 00 01 00 2>&1 | grep -o -E 'Not Ready|Logical unit not accessible.*'
    sg_raw $generic 01 00 00 00 00 00 2>&1 | grep -o 'SCSI Status: Good'
    sg_raw $generic 2b 00 00 00 07 ff 00 00 00 00 2>&1 | grep -o 'SCSI Status: Good'
    sg_raw $generic 2b 00 00 00 08 00 00 00 00 00 2>&1 | grep -o 'block address out of range'
    sync; blockdev --flushbufs $disk && echo flushed";

const EXPECTED: &str = "\
Report referrals:
  descriptor 0:
    target port descriptors: 1
    user data segment: first lba 0, last lba 1919
      target port descriptor 0:
        port group 0 state (active/optimized)
  descriptor 1:
    target port descriptors: 1
    user data segment: first lba 128, last lba 2047
      target port descriptor 0:
        port group 0 state (standby)
Referrals VPD page (SBC):
  User data segment size: 128
  User data segment multiplier: 2
R_SUP=1
rack 7
read
not read
read
not read
Not Ready
Logical unit not accessible, target port in standby state
SCSI Status: Good
SCSI Status: Good
block address out of range
flushed
";

#[test]
fn linux_and_its_tools_find_the_map_and_go_by_it() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    let disk = "/backstores/fileio/disk0";
    let groups = format!("{disk}/alua");
    let run = |words: &[&str]| stage.shell.run(words);
    assert_eq!(run(&[disk, "set", "identity", "pd_text_id_info=rack 7"])?.status, 0);
    assert_eq!(run(&[&groups, "set", "alua", "lba_map=128 2; 0 1919 0:O; 128 2047 0:S"])?.status, 0);
    let wwn = stage.serve("fileio/disk0")?;
    let group = format!("{groups}/default_tg_pt_gp set alua");
    stage.shell.well(&format!("{group} alua_access_type=1"))?;
    stage.shell.well(&format!("{group} alua_access_state=4"))?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let programs = ["sg_referrals", "sg_vpd", "sg_ident", "sg_raw", "sg_turs"];
    let plan = Guest::plan(SCRIPT).programs(&programs).options(&options).limit(Duration::from_secs(180));
    let out = plan.boot(&stage.scratch)?.finish()?.out;
    assert_eq!(out, EXPECTED);
    Ok(())
}
