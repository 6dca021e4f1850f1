// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest gives space back: a trim shrinks the file, what is written beside trims is what is read, and a full file
//! system is told as such and forgotten when there is room.

use anyhow::{Result, ensure};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use stories::guest::Guest;
use stories::stage::Stage;

const MIB: u64 = 1 << 20;

const TRIM: &str = "settle 1
    cat /sys/block/sda/queue/discard_granularity
    mkfs.ext4 -q /dev/sda && mount /dev/sda /mnt
    dd if=/dev/urandom of=/mnt/file bs=1M count=64 2>/dev/null
    sync; echo written > /share/written
    until_true '[ -e /share/measured ]'
    rm /mnt/file; sync; fstrim /mnt; umount /mnt
    echo trimmed > /share/trimmed
    until_true '[ -e /share/shrunk ]'
    # Each block is trimmed before it is written.
    fio --name=verify --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=16 --rw=randtrimwrite --bs=4k \
        --size=16m --verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=1 > /share/fio
    echo verified";

fn taken(file: &Path) -> Result<u64> {
    Ok(std::fs::metadata(file)?.blocks() * 512)
}

#[test]
fn a_trim_in_a_guest_shrinks_the_file_and_what_is_written_beside_trims_is_read() -> Result<()> {
    let stage = Stage::set()?;
    let file = stage.create_fileio("disk0", 256 * MIB)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let plan = Guest::plan(TRIM).programs(&["fio", "fstrim", "mkfs.ext4"]).options(&options);
    let mut guest = plan.limit(Duration::from_secs(240)).boot(&stage.scratch)?;
    guest.wait_for("written")?;
    let written = taken(&file)?;
    guest.tell("measured", "")?;
    guest.wait_for("trimmed")?;
    let trimmed = taken(&file)?;
    println!("the file took {written} bytes, and {trimmed} after the trim");
    ensure!(trimmed + 60 * MIB < written, "{written} bytes, and {trimmed} after the trim");
    guest.tell("shrunk", "")?;
    let results = guest.finish()?;
    assert_eq!(results.out, "4096\nverified\n");
    let fio = results.read("fio")?;
    assert!(fio.contains(" err= 0: "), "{fio}");
    println!("{fio}");
    Ok(())
}

const FULL: &str = "settle 1
    write() { fio --name=w --filename=/dev/sda --direct=1 --rw=write --bs=256k --size=24m --verify=crc32c \
        --do_verify=1 > /share/fio-$1 2>&1; }
    if write full; then echo 'there was room'; else echo full; fi
    dmesg | grep -q 'Space allocation failed write protect' && echo told
    dd if=/dev/sda of=/dev/null bs=1M count=1 2>/dev/null && echo 'reads go on'
    echo full > /share/full
    until_true '[ -e /share/room ]'
    write again && echo 'goes on'";

/// A file system in memory, which is full at 16 MiB.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(at: &'a Path) -> Result<Self> {
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(at).status()?;
        ensure!(status.success(), "mount: {status}");
        Ok(Self(at))
    }

    fn grow(&self) -> Result<()> {
        let status = Command::new("mount").args(["-o", "remount,size=64m"]).arg(self.0).status()?;
        ensure!(status.success(), "mount: {status}");
        Ok(())
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_file_system_is_told_and_the_guest_goes_on_when_there_is_room() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a file system that is full takes a mount, and that root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let directory = stage.scratch.directory("small")?;
    let tmpfs = Tmpfs::mount(&directory)?;
    let file = directory.join("disk0");
    stage.shell.well(&format!("/backstores/fileio create disk0 {} {}", file.display(), 32 * MIB))?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let plan = Guest::plan(FULL).programs(&["fio"]).options(&options);
    let mut guest = plan.limit(Duration::from_secs(240)).boot(&stage.scratch)?;
    guest.wait_for("full")?;
    tmpfs.grow()?;
    guest.tell("room", "")?;
    let results = guest.finish()?;
    assert_eq!(results.out, "full\ntold\nreads go on\ngoes on\n");
    Ok(())
}
