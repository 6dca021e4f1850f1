// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is to be removed is removed, whoever dies meanwhile: a SANITIZE that was answered goes on.

use anyhow::{Result, ensure};
use initiator::{Command, Guest, Options, commands, lun_0};
use std::time::Duration;
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::slow_disk::{self, SlowDisk};
use stories::stage::Stage;

/// Four pieces of what is written at once.
const BYTES: usize = 16 << 20;
const SECONDS: u64 = 60;

/// Waits until the disk keeps a write back, which is then under way.
fn wait_for_a_write(disk: &SlowDisk) -> Result<()> {
    Deadline::seconds(SECONDS).until("a write to be under way", || Ok((disk.kept() > 0).then_some(())))
}

/// Asks until the answer is not of that sense any more.
fn until_other_than(guest: &mut Guest, sense: [u8; 3]) -> Result<Option<[u8; 3]>> {
    Deadline::seconds(SECONDS).until("another answer", || {
        let said = guest.execute(&commands::test_unit_ready(lun_0()))?.check_condition();
        Ok((said != Some(sense)).then_some(said))
    })
}

#[test]
fn a_sanitize_whose_daemon_is_killed_goes_on_with_the_next_and_nobody_reads_meanwhile() -> Result<()> {
    if !(slow_disk::available() && loop_device::available()) {
        println!("skipped: a FUSE file system and a loop device take root");
        return Ok(());
    }
    const IN_PROGRESS: [u8; 3] = [0x02, 0x04, 0x1b];
    let mut stage = Stage::set()?;
    let disk = stage.slow_disk(BYTES)?;
    let device = LoopDevice::attach(disk.path(), &["--direct-io=on", "--sector-size=4096"])?;
    stage.shell.well(&format!("/backstores/block create disk0 {}", device.path().display()))?;
    let wwn = stage.serve("block/disk0")?;
    let options = || Options::default().patience(Duration::from_secs(SECONDS));
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), options())?;
    let secret = commands::write_10(lun_0(), 4095, 1, &[0x5a; 4096]);
    ensure!(guest.execute(&secret)?.is_good());

    disk.keep_back(1);
    // IMMED: the answer comes when it has begun.
    let overwrite = Command::new(lun_0(), &[0x48, 0x81, 0, 0, 0, 0, 0, 0, 8, 0])
        .data_out([/* once */ 1, 0, 0, 4, 0xde, 0xad, 0xbe, 0xef]);
    ensure!(guest.execute(&overwrite)?.is_good());
    wait_for_a_write(&disk)?;
    assert_eq!(guest.execute(&commands::read_10(lun_0(), 0, 1, 4096))?.check_condition(), Some(IN_PROGRESS));
    // Killed in the middle of a write, it ends when that has ended.
    stage.daemon.process().signal(rustix::process::Signal::KILL)?;
    disk.let_land();
    stage.daemon.kill()?;
    assert_eq!(disk.read(4095 * 4096, 4096), [0x5a; 4096], "it was over already");

    // Nobody asks the next daemon for it, and no guest is there.
    drop(guest);
    disk.keep_back(1);
    stage.daemon.restart()?;
    wait_for_a_write(&disk)?;
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), options())?;
    for _ in 0..3 {
        let read = guest.execute(&commands::read_10(lun_0(), 4095, 1, 4096))?;
        assert_eq!(read.check_condition(), Some(IN_PROGRESS), "it was shown what was to be removed");
    }
    let sense = guest.execute(&commands::request_sense(lun_0(), 18))?.data_in;
    assert_eq!((sense[2], sense[12], sense[13], sense[15]), (0x02, 0x04, 0x1b, 0x80), "no progress is told");
    disk.let_land();
    assert_eq!(until_other_than(&mut guest, IN_PROGRESS)?, None, "{}", stage.daemon.log());
    assert!(disk.read(0, BYTES) == [0xde, 0xad, 0xbe, 0xef].repeat(BYTES / 4), "something is left");
    ensure!(guest.execute(&secret)?.is_good());

    // It is over for the daemon after that, too.
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    drop(guest);
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), options())?;
    let read = guest.execute(&commands::read_10(lun_0(), 4095, 1, 4096))?;
    assert_eq!(read.data_in, [0x5a; 4096]);
    let lines = stage.daemon.log().matches("going on with the SANITIZE of block/disk0").count();
    assert_eq!(lines, 1, "{}", stage.daemon.log());
    Ok(())
}
