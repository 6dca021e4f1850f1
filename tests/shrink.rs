// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Disks that become smaller under a guest, because somebody said so.

use anyhow::{Result, ensure};
use initiator::{Guest, LunAddress, Options, commands};
use std::time::Duration;
use stories::deadline::Deadline;
use stories::slow_disk::{self, SlowDisk};
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";
const SECONDS: u64 = 30;

fn lun(number: u16) -> LunAddress {
    LunAddress::unit(1, number)
}

/// The sense of a command, if it has any.
fn sense(guest: &mut Guest, command: &initiator::Command) -> Result<Option<[u8; 3]>> {
    Ok(guest.execute(command)?.check_condition())
}

/// A file and a ramdisk of 4 MiB, as LUN 0 and 1 of one target, and a guest of it.
fn set() -> Result<(Stage, std::path::PathBuf, Guest)> {
    let stage = Stage::set()?;
    let image = stage.create_fileio("disk0", 4 << 20)?;
    stage.shell.well("/backstores/ramdisk create r0 4M")?;
    stage.shell.well(&format!("/vhost create {WWN}"))?;
    stage.map(WWN, 1, 0, "fileio/disk0")?;
    stage.map(WWN, 1, 1, "ramdisk/r0")?;
    let guest =
        Guest::boot(stage.daemon.socket(WWN), Options::default().patience(Duration::from_secs(SECONDS)))?;
    Ok((stage, image, guest))
}

#[test]
fn a_smaller_size_is_refused_with_what_is_lost_and_the_word_for_it() -> Result<()> {
    let (stage, image, _guest) = set()?;
    for name in ["fileio/disk0", "ramdisk/r0"] {
        let refused = stage.shell.run(&[&format!("/backstores/{name}"), "resize", "1M"])?;
        assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
        assert_eq!(
            refused.stderr,
            format!(
                "storage object {name} has 4194304 bytes and cannot shrink to 1048576\n\
                 hint: what it holds beyond, 3145728 bytes, would be lost; have the guest give them up first (shrink its \
                 file system and partition), then say so: shrink=true\n"
            )
        );
    }
    let refused = stage.shell.run(&["/backstores/fileio/disk0", "resize", "1000000", "shrink=true"])?;
    assert!(refused.stderr.contains("which is not a whole number of 512-byte blocks"), "{}", refused.stderr);
    let refused = stage.shell.run(&["/backstores/fileio/disk0", "resize", "0", "shrink=true"])?;
    assert!(refused.stderr.contains("which are less than a block"), "{}", refused.stderr);
    assert_eq!(std::fs::metadata(&image)?.len(), 4 << 20);
    Ok(())
}

#[test]
fn a_guest_is_told_and_keeps_what_is_left_and_finds_zeroes_when_it_grows_again() -> Result<()> {
    let (mut stage, image, mut guest) = set()?;
    let (first, last) = (1_u32, 8191_u32);
    for (number, name) in [(0, "fileio/disk0"), (1, "ramdisk/r0")] {
        for lba in [first, last] {
            assert!(guest.execute(&commands::write_10(lun(number), lba, 1, &[7; 512]))?.is_good());
        }
        let kind = name.replace('/', " ");
        assert_eq!(
            stage.shell.well(&format!("/backstores/{name} resize 1M shrink=true"))?,
            format!("Resized {kind} to 1048576\n")
        );
        // CAPACITY DATA HAS CHANGED, once; then the end is where it is said to be.
        let ready = commands::test_unit_ready(lun(number));
        assert_eq!(sense(&mut guest, &ready)?, Some([0x06, 0x2a, 0x09]));
        assert_eq!(sense(&mut guest, &ready)?, None);
        assert_eq!(guest.capacity(lun(number))?, (2048, 512));
        for beyond in [2048, last] {
            let read = commands::read_10(lun(number), beyond, 1, 512);
            assert_eq!(sense(&mut guest, &read)?, Some([0x05, 0x21, 0x00]));
            let write = commands::write_10(lun(number), beyond, 1, &[9; 512]);
            assert_eq!(sense(&mut guest, &write)?, Some([0x05, 0x21, 0x00]));
        }
        assert_eq!(guest.execute(&commands::read_10(lun(number), first, 1, 512))?.data_in, [7; 512]);
    }
    assert_eq!(std::fs::metadata(&image)?.len(), 1 << 20);
    for (number, name) in [(0, "fileio/disk0"), (1, "ramdisk/r0")] {
        stage.shell.well(&format!("/backstores/{name} resize 4M"))?;
        let ready = commands::test_unit_ready(lun(number));
        assert_eq!(sense(&mut guest, &ready)?, Some([0x06, 0x2a, 0x09]));
        assert_eq!(guest.execute(&commands::read_10(lun(number), last, 1, 512))?.data_in, [0; 512]);
        assert_eq!(guest.execute(&commands::read_10(lun(number), first, 1, 512))?.data_in, [7; 512]);
    }
    // And what was answered is so after a kill.
    stage.shell.well("/backstores/fileio/disk0 resize 2M shrink=true")?;
    assert_eq!(sense(&mut guest, &commands::test_unit_ready(lun(0)))?, Some([0x06, 0x2a, 0x09]));
    stage.daemon.kill()?;
    assert_eq!(std::fs::metadata(&image)?.len(), 2 << 20);
    stage.daemon.restart()?;
    guest.reconnect()?;
    assert_eq!(sense(&mut guest, &commands::read_10(lun(0), 4096, 1, 512))?, Some([0x05, 0x21, 0x00]));
    assert_eq!(guest.capacity(lun(0))?, (4096, 512));
    Ok(())
}

#[test]
fn a_file_that_shrinks_by_itself_is_taken_over_when_that_is_said() -> Result<()> {
    let (stage, image, mut guest) = set()?;
    std::fs::File::options().write(true).open(&image)?.set_len(1 << 20)?;
    let refused = stage.shell.run(&["/backstores/fileio/disk0", "resize"])?;
    ensure!(refused.stderr.contains("cannot shrink to 1048576"), "{}", refused.stderr);
    assert_eq!(
        stage.shell.well("/backstores/fileio/disk0 resize shrink=true")?,
        "Resized fileio disk0 to 1048576\n"
    );
    assert_eq!(sense(&mut guest, &commands::test_unit_ready(lun(0)))?, Some([0x06, 0x2a, 0x09]));
    assert_eq!(guest.capacity(lun(0))?, (2048, 512));
    Ok(())
}

#[test]
fn a_file_of_what_is_to_be_shrinks_only_what_it_says_and_no_guest_unless_it_is_forced() -> Result<()> {
    let (stage, image, _guest) = set()?;
    let path = stage.scratch.join("disks.toml");
    let shown = path.display();
    let wanted =
        |rest: &str| format!("[fileio.disk0]\npath = \"{}\"\nsize = \"1M\"\n{rest}", image.display());
    std::fs::write(&path, wanted(""))?;
    let refused = stage.shell.run(&["diff", &path.display().to_string()])?;
    ensure!(
        refused
            .stderr
            .starts_with("storage object fileio/disk0 has 4194304 bytes and cannot shrink to 1048576\n"),
        "{}",
        refused.stderr
    );
    std::fs::write(&path, wanted("shrink = true\n"))?;
    let diff = stage.shell.run(&["diff", &path.display().to_string()])?;
    assert_eq!(diff.status, 0, "{}", diff.stderr);
    let line = "~ /backstores/fileio/disk0\n    size_bytes: 4194304 (4.0MiB) -> 1048576 (1.0MiB)\n";
    ensure!(diff.stdout.contains(line), "{}", diff.stdout);
    let loss = "fileio/disk0 shrinks: what it holds in its last 3145728 bytes is lost\n";
    ensure!(format!("{}{}", diff.stdout, diff.stderr).contains(loss), "{diff:?}");
    let refused = stage.shell.run(&["apply", "-f", &path.display().to_string()])?;
    ensure!(
        refused.stderr.starts_with(&format!(
            "the guests of target {WWN} are connected and would lose what they have\n"
        )),
        "{}",
        refused.stderr
    );
    assert_eq!(std::fs::metadata(&image)?.len(), 4 << 20);
    stage.shell.well(&format!("apply -f {shown} --force"))?;
    assert_eq!(std::fs::metadata(&image)?.len(), 1 << 20);
    assert_eq!(stage.shell.well(&format!("apply -f {shown}"))?, format!("Everything is as {shown} says.\n"));
    Ok(())
}

#[test]
fn what_is_under_way_beyond_the_new_end_ends_first_and_a_kill_meanwhile_leaves_the_old_size() -> Result<()> {
    if !slow_disk::available() {
        println!("skipped: a FUSE file system takes root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let disk = SlowDisk::mount(&stage.scratch, 1 << 20)?;
    stage.shell.well(&format!("/backstores/fileio create disk0 {}", disk.path().display()))?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = Options::default().patience(Duration::from_secs(SECONDS));
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), options)?;
    disk.keep_back(1);
    let write = guest.request_queue(0)?.start(&commands::write_10(lun(0), 2040, 8, &[5; 4096]))?;
    Deadline::seconds(SECONDS).until("the write to be under way", || Ok((disk.kept() == 1).then_some(())))?;
    // The guest sees the new end at once; the file keeps the old one until the write has ended.
    stage.shell.well("/backstores/fileio/disk0 resize 512K shrink=true")?;
    let log = "fileio/disk0 is smaller for its guests, and is cut when what they have in flight has ended";
    ensure!(stage.daemon.log().contains(log), "{}", stage.daemon.log());
    assert_eq!(disk.bytes(), 1 << 20);
    let refused = stage.shell.run(&["/backstores/fileio/disk0", "resize", "1M"])?;
    ensure!(refused.stderr.starts_with("fileio/disk0 is being made smaller\n"), "{}", refused.stderr);
    disk.let_land();
    let answer = guest.request_queue(0)?.wait_for(write)?;
    ensure!(answer.is_good(), "{answer:?}");
    Deadline::seconds(SECONDS).until("the cut", || Ok((disk.bytes() == 512 << 10).then_some(())))?;
    let read = commands::read_10(lun(0), 2040, 8, 4096);
    assert_eq!(sense(&mut guest, &read)?, Some([0x06, 0x2a, 0x09]));
    assert_eq!(sense(&mut guest, &read)?, Some([0x05, 0x21, 0x00]));

    // Once more, and the daemon is killed before anything could be cut.
    disk.keep_back(1);
    let write = guest.request_queue(0)?.start(&commands::write_10(lun(0), 1016, 8, &[6; 4096]))?;
    Deadline::seconds(SECONDS).until("the write to be under way", || Ok((disk.kept() == 1).then_some(())))?;
    stage.shell.well("/backstores/fileio/disk0 resize 256K shrink=true")?;
    stage.daemon.process().signal(rustix::process::Signal::KILL)?;
    disk.let_land();
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    guest.reconnect()?;
    let answer = guest.request_queue(0)?.wait_for(write)?;
    ensure!(answer.is_good() || answer.check_condition() == Some([0x06, 0x2a, 0x09]), "{answer:?}");
    assert_eq!(disk.bytes(), 512 << 10);
    Ok(())
}
