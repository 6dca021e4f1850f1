// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machinery of the guest stories, tried on a disk that QEMU serves itself.
//!
//! When this fails, the machine or the harness is at fault, and not Lunar.

use anyhow::Result;
use std::time::Duration;
use stories::guest::Guest;
use stories::scratch::Scratch;

fn qemus_own_disk(scratch: &Scratch) -> Result<Vec<String>> {
    let disk = scratch.sparse_file("disk", 64 << 20)?;
    let options = format!(
        "-drive file={},format=raw,if=none,id=d -device virtio-scsi-pci,id=s,bus=pci.0,addr=0x5 \
         -device scsi-hd,drive=d,bus=s.0,scsi-id=1,lun=0",
        disk.display()
    );
    Ok(options.split_ascii_whitespace().map(str::to_owned).collect())
}

#[test]
fn a_guest_finds_formats_and_verifies_a_disk() -> Result<()> {
    let scratch = Scratch::new()?;
    let script = "settle 1
        lsscsi -g > /share/lsscsi
        disk=/dev/$(disk_at 0:0:1:0)
        mkfs.ext4 -q $disk && mount $disk /mnt
        dd if=/dev/urandom of=/mnt/file bs=64k count=16 2>/dev/null
        sum=$(md5sum < /mnt/file); umount /mnt; mount $disk /mnt
        [ \"$sum\" = \"$(md5sum < /mnt/file)\" ]
        echo half >> /share/half
        until_true '[ -e /share/go ]'
        echo verified";
    let plan = Guest::plan(script).programs(&["lsscsi", "mkfs.ext4"]).options(&qemus_own_disk(&scratch)?);
    let mut guest = plan.boot(&scratch)?;
    assert_eq!(guest.wait_for("half")?, "half\n");
    guest.tell("go", "")?;
    let results = guest.finish()?;
    assert_eq!(results.out, "verified\n");
    assert_eq!(
        results.lines_with("lsscsi", "[0:0:1:0]")?,
        ["[0:0:1:0]    disk    QEMU     QEMU HARDDISK    2.5+  /dev/sda   /dev/sg0"]
    );
    Ok(())
}

#[test]
fn a_script_that_fails_fails_its_story() -> Result<()> {
    let scratch = Scratch::new()?;
    let error =
        Guest::plan("echo before; false; echo after").boot(&scratch)?.finish().unwrap_err().to_string();
    assert!(error.starts_with("guest: QEMU ended with exit status: 0, its script: 1\n"), "{error}");
    assert!(error.contains("its script printed:\nbefore\n\n---"), "{error}");
    Ok(())
}

#[test]
fn a_guest_that_hangs_is_killed_and_its_console_shown() -> Result<()> {
    let scratch = Scratch::new()?;
    let plan = Guest::plan("echo stuck > /dev/console; sleep 1000").limit(Duration::from_secs(20));
    let error = plan.boot(&scratch)?.finish().unwrap_err().to_string();
    assert!(error.starts_with("guest is not done in time\n"), "{error}");
    assert!(error.contains("stuck"), "{error}");
    Ok(())
}
