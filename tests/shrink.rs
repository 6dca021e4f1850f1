// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Disks that become smaller under a guest, because somebody said so.

use anyhow::{Context, Result, ensure};
use initiator::exchange::Token;
use initiator::{Guest, LunAddress, Options, commands};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Seek};
use std::time::Duration;
use stories::api;
use stories::deadline::Deadline;
use stories::process::Process;
use stories::slow_disk::{self, SlowDisk};
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";
const SECONDS: u64 = 60;

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

/// What the Caching page of LUN 0 says: WCE.
fn has_write_cache(guest: &mut Guest) -> Result<bool> {
    let list = guest.execute(&commands::mode_sense_6(lun(0), 0x08, 0, 255))?.data_in;
    let descriptors = usize::from(*list.get(3).context("a header")?);
    Ok(list.get(4 + descriptors + 2).context("a page")? & 0x04 != 0)
}

#[test]
fn another_size_and_another_write_cache_in_one_change_are_both_so_while_the_guest_writes() -> Result<()> {
    let (stage, image, mut guest) = set()?;
    let path = stage.scratch.join("disks.toml");
    for (round, (size, write_back)) in [("8M", 1), ("2M", 0), ("4M", 1), ("8M", 0)].into_iter().enumerate() {
        // So that its channels are open.
        assert!(guest.execute(&commands::write_10(lun(0), 1, 1, &[7; 512]))?.is_good());
        let image = image.display();
        let text = format!(
            "[fileio.disk0]\npath = \"{image}\"\nsize = \"{size}\"\nshrink = true\nattributes = {{ emulate_write_cache = {write_back} }}\n"
        );
        std::fs::write(&path, text)?;
        stage.shell.well(&format!("apply -f {} --force", path.display()))?;
        let ready = commands::test_unit_ready(lun(0));
        while sense(&mut guest, &ready)?.is_some() {}
        let shown = stage.shell.well("/backstores/fileio/disk0 get attribute emulate_write_cache")?;
        assert!(shown.contains(&format!("emulate_write_cache={write_back}")), "{round}: {shown}");
        assert_eq!(has_write_cache(&mut guest)?, write_back == 1, "{round}");
        assert!(guest.execute(&commands::write_10(lun(0), 1, 1, &[8; 512]))?.is_good());
        let bytes = u64::from(size.as_bytes()[0] - b'0') << 20;
        assert_eq!(guest.capacity(lun(0))?, (bytes / 512, 512), "{round}");
    }
    // The same by the API, where one asks for both in either order.
    let resize = serde_json::json!({ "change": "resize", "kind": "fileio", "name": "disk0", "size_bytes": 1 << 20, "shrink": true });
    let set = |value: &str| serde_json::json!({ "change": "set_attribute", "kind": "fileio", "name": "disk0", "attribute": "emulate_write_cache", "value": value });
    for (changes, write_back) in [([resize.clone(), set("1")], true), ([set("0"), resize], false)] {
        let (status, said) = api::changes(&stage.daemon.places().runtime, &changes)?;
        assert_eq!(status, 200, "{said}");
        while sense(&mut guest, &commands::test_unit_ready(lun(0)))?.is_some() {}
        assert_eq!(has_write_cache(&mut guest)?, write_back);
        assert!(guest.execute(&commands::write_10(lun(0), 1, 1, &[9; 512]))?.is_good());
    }
    Ok(())
}

#[test]
fn a_smaller_size_is_answered_when_the_file_is_cut_and_stays_after_a_kill() -> Result<()> {
    let Some((mut stage, disk, mut guest)) = slow_set()? else { return Ok(()) };
    let write = write_under_way(&disk, &mut guest, 2040)?;
    // The guest sees the new end at once; the file keeps the old one until the write has ended, however long that takes.
    let mut asked = Asked::start(&stage, "512K")?;
    Deadline::seconds(SECONDS).until("the log", || {
        let log =
            "fileio/disk0 is smaller for its guests, and is cut when what they have in flight has ended";
        Ok(stage.daemon.log().contains(log).then_some(()))
    })?;
    assert_eq!(asked.process.ended()?, None);
    assert_eq!(disk.bytes(), 1 << 20);
    // Nobody else is held up.
    let refused = stage.shell.run(&["/backstores/fileio/disk0", "resize", "1M"])?;
    ensure!(refused.stderr.starts_with("fileio/disk0 is being made smaller\n"), "{}", refused.stderr);
    stage.shell.well("/backstores/ramdisk create r0 4M")?;
    assert_eq!(asked.process.ended()?, None);

    disk.let_land();
    assert_eq!(asked.answer()?, (Some(0), "Resized fileio disk0 to 524288\n".to_owned()));
    stage.daemon.kill()?;
    assert_eq!(disk.bytes(), 512 << 10);
    stage.daemon.restart()?;
    guest.reconnect()?;
    let answer = guest.request_queue(0)?.wait_for(write)?;
    ensure!(answer.is_good() || answer.check_condition() == Some([0x06, 0x2a, 0x09]), "{answer:?}");
    let _attention = sense(&mut guest, &commands::test_unit_ready(lun(0)))?;
    assert_eq!(guest.capacity(lun(0))?, (1024, 512));
    let read = commands::read_10(lun(0), 2040, 8, 4096);
    assert_eq!(sense(&mut guest, &read)?, Some([0x05, 0x21, 0x00]));
    Ok(())
}

#[test]
fn a_kill_before_the_cut_leaves_the_old_size_and_nobody_was_told_otherwise() -> Result<()> {
    let Some((mut stage, disk, mut guest)) = slow_set()? else { return Ok(()) };
    let _write = write_under_way(&disk, &mut guest, 2040)?;
    let mut asked = Asked::start(&stage, "512K")?;
    Deadline::seconds(SECONDS)
        .until("the new end", || Ok((guest.capacity(lun(0)).ok() == Some((1024, 512))).then_some(())))?;
    stage.daemon.process().signal(rustix::process::Signal::KILL)?;
    disk.let_land();
    let (status, said) = asked.answer()?;
    assert_eq!(status, Some(1), "{said}");
    ensure!(!said.contains("Resized"), "{said}");
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    assert_eq!(disk.bytes(), 1 << 20);
    Ok(())
}

#[test]
fn a_file_that_cannot_be_cut_is_said_and_its_guests_see_all_of_it_again() -> Result<()> {
    let Some((stage, disk, mut guest)) = slow_set()? else { return Ok(()) };
    disk.fail_cuts(Some(Errno::IO.raw_os_error()));
    let refused = stage.shell.run(&["/backstores/fileio/disk0", "resize", "512K", "shrink=true"])?;
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
    assert_eq!(
        refused.stderr,
        "fileio/disk0 cannot be cut: Input/output error\n\
         hint: the file has its old size, and its guests are shown it again\n"
    );
    assert_eq!(disk.bytes(), 1 << 20);
    Deadline::seconds(SECONDS)
        .until("the old end", || Ok((guest.capacity(lun(0)).ok() == Some((2048, 512))).then_some(())))
}

/// A disk of 1 MiB that answers when it is told to, and a guest of it; nothing where no file system can be mounted.
fn slow_set() -> Result<Option<(Stage, SlowDisk, Guest)>> {
    if !slow_disk::available() {
        println!("skipped: a FUSE file system takes root");
        return Ok(None);
    }
    let mut stage = Stage::set()?;
    let disk = stage.create_slow_fileio("disk0", 1 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = Options::default().patience(Duration::from_secs(SECONDS));
    let guest = Guest::boot(stage.daemon.socket(&wwn), options)?;
    Ok(Some((stage, disk, guest)))
}

/// A write of a guest that the disk keeps back.
fn write_under_way(disk: &SlowDisk, guest: &mut Guest, lba: u32) -> Result<Token> {
    disk.keep_back(1);
    let write = guest.request_queue(0)?.start(&commands::write_10(lun(0), lba, 8, &[5; 4096]))?;
    Deadline::seconds(SECONDS).until("the write to be under way", || Ok((disk.kept() == 1).then_some(())))?;
    Ok(write)
}

/// A smaller size that somebody waits for.
struct Asked {
    process: Process,
    said: File,
}

impl Asked {
    fn start(stage: &Stage, size: &str) -> Result<Self> {
        let said = tempfile::tempfile()?;
        let mut lunar = stage.shell.command();
        lunar.args(["/backstores/fileio/disk0", "resize", size, "shrink=true"]);
        lunar.stdout(said.try_clone()?).stderr(said.try_clone()?);
        Ok(Self { process: Process::spawn(&mut lunar)?, said })
    }

    /// The exit status, and all that was said.
    fn answer(&mut self) -> Result<(Option<i32>, String)> {
        let status = self.process.wait(Deadline::seconds(SECONDS))?.context("an answer")?;
        let mut said = String::new();
        self.said.rewind()?;
        self.said.read_to_string(&mut said)?;
        Ok((status.code(), said))
    }
}
