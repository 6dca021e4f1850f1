// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The walkthrough of the README, from the first command to `lsscsi`, in a real guest.
//!
//! The commands are those one types: name and device as keywords, a line that goes on after a backslash, and a
//! device by a stable name.  The disk is a loop device over a sparse file of 14 GiB, which takes root.

use anyhow::{Context, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;
use stories::guest::{Guest, Results};
use stories::loop_device::{self, LoopDevice};
use stories::shell::Shell;
use stories::stage::Stage;

const SCRIPT: &str = "settle 1
    lsscsi -g > /share/lsscsi
    dmesg > /share/dmesg
    mkfs.ext4 -q /dev/sda
    mount /dev/sda /mnt
    for i in 1 2 3 4; do dd if=/dev/urandom of=/mnt/$i bs=64k count=32 2>/dev/null; done
    ( cd /mnt; md5sum 1 2 3 4 ) > /sums
    umount /mnt
    mount /dev/sda /mnt
    ( cd /mnt; md5sum -c /sums )
    umount /mnt";

#[test]
fn the_page_leads_to_its_disk() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: the page needs a block device, and a loop device takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let file = stage.scratch.sparse_file("disk", 14 << 30)?;
    let device = LoopDevice::attach(&file, &[])?;
    let names = stage.scratch.directory("by-id")?;
    let device = device.link(&names, "dm-uuid-mpath-36005076306ffc7630000000000002000")?;

    let wwn = type_the_page(&stage.shell, &device)?;
    let listed = stage.shell.well("ls /backstores/block")?;
    let shown = format!(" [{} (14.0GiB) write-", device.display());
    assert!(listed.contains(&shown), "the device is listed as it was typed:\n{listed}");

    let options = stage.shell.qemu(&wwn, &["--pci", "bus=pci.0,addr=0x5", "--memory", "512M"])?;
    let guest = Guest::plan(SCRIPT).programs(&["lsscsi", "mkfs.ext4"]).options(&options);
    let results = guest.boot(&stage.scratch)?.finish()?;
    assert_eq!(results.out, "1: OK\n2: OK\n3: OK\n4: OK\n");
    the_guest_sees_what_the_page_shows(&results)?;
    the_file_holds_a_file_system(&file)
}

/// Types the commands as the page has them and returns the target's name.
fn type_the_page(shell: &Shell, device: &Path) -> Result<String> {
    let first = format!(
        "backstores/block create name=disk0 write_back=false \\\n   dev={}\nvhost/ create\n",
        device.display()
    );
    let said = created(shell, &first)?;
    let wwn = said.get(1).and_then(|line| line.strip_prefix("Created target ")?.strip_suffix('.'));
    let wwn = wwn.with_context(|| format!("no name of a target in {said:?}"))?;
    assert!(wwn.len() == 20 && wwn.starts_with("naa.5001405"), "{wwn}");
    let expected = [
        format!("Created block storage object disk0 using {}.", device.display()),
        format!("Created target {wwn}."),
        "Created TPG 1.".to_owned(),
    ];
    assert_eq!(said, expected);
    let second = format!("vhost/{wwn}/tpg1/luns create /backstores/block/disk0\nexit\n");
    assert_eq!(created(shell, &second)?, ["Created LUN 0."]);
    Ok(wwn.to_owned())
}

/// What a batch of commands, which must succeed, says it created.
fn created(shell: &Shell, lines: &str) -> Result<Vec<String>> {
    let answer = shell.batch(&[], lines)?;
    assert_eq!((answer.status, answer.stderr.as_str()), (0, ""), "{}", answer.stdout);
    Ok(answer.stdout.lines().filter(|line| line.starts_with("Created ")).map(str::to_owned).collect())
}

fn the_guest_sees_what_the_page_shows(results: &Results) -> Result<()> {
    assert_eq!(
        results.read("lsscsi")?,
        "[0:0:1:0]    disk    LIO-ORG  disk0            4.0   /dev/sda   /dev/sg0 \n"
    );
    let dmesg = results.read("dmesg")?;
    for line in [
        "] scsi host0: Virtio SCSI HBA\n",
        // LIO of today says ANSI 6 where that of the page said 5.
        "] scsi 0:0:1:0: Direct-Access     LIO-ORG  disk0            4.0  PQ: 0 ANSI: 6\n",
        "] sd 0:0:1:0: Attached scsi generic sg0 type 0\n",
        "] sd 0:0:1:0: [sda] 29360128 512-byte logical blocks: (15.0 GB/14.0 GiB)\n",
        "] sd 0:0:1:0: [sda] Write Protect is off\n",
        "] sd 0:0:1:0: [sda] Mode Sense: 43 00 10 08\n",
        "] sd 0:0:1:0: [sda] Write cache: enabled, read cache: enabled, supports DPO and FUA\n",
        "] sd 0:0:1:0: [sda] Attached SCSI disk\n",
    ] {
        assert!(dmesg.contains(line), "missing is {line}in\n{dmesg}");
    }
    Ok(())
}

/// What the guest wrote is on the medium: the magic number of ext4's superblock, at byte 56 of its 1024.
fn the_file_holds_a_file_system(file: &Path) -> Result<()> {
    let mut magic = [0; 2];
    std::fs::File::open(file)?.read_exact_at(&mut magic, 1024 + 56)?;
    assert_eq!(magic, [0x53, 0xef]);
    Ok(())
}
