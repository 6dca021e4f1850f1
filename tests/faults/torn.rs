// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that is killed between the pieces of a write: the medium is torn, the next daemon does the command again, and
//! its guest finds it whole and has seen no error.
//!
//! What had not landed when the daemon died never lands, as with a cable that was pulled: nothing but doing the command
//! again makes the medium whole.

use anyhow::{Result, ensure};
use initiator::exchange::{Layout, Place, Token};
use initiator::{Command, Guest, Options, commands, lun_0};
use stories::daemon::{Daemon, Places};
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::slow_disk::{self, SlowDisk};
use stories::stage::Stage;

const BYTES: usize = 4 << 20;
/// How much one command writes, and where its pieces cease to land.
const WRITTEN: usize = 1 << 20;
const TORN_AT: usize = WRITTEN / 2;
const SECONDS: u64 = 60;

/// What was there before, and what a guest writes: no two blocks are alike.
fn pattern(seed: u32) -> Vec<u8> {
    let words = 0..u32::try_from(WRITTEN / 4).unwrap_or(0);
    words.flat_map(|word| word.wrapping_mul(2_654_435_761).wrapping_add(seed).to_le_bytes()).collect()
}

fn boot(daemon: &Daemon, wwn: &str) -> Result<Guest> {
    let options = Options::default().patience(std::time::Duration::from_secs(SECONDS));
    Ok(Guest::boot(daemon.socket(wwn), options)?)
}

/// Begins a command and waits until its first half has landed and something of the rest is under way.
fn begin(guest: &mut Guest, disk: &SlowDisk, command: &Command, new: &[u8]) -> Result<Token> {
    disk.keep_back_from(TORN_AT);
    let token = guest.request_queue(0)?.start(command)?;
    Deadline::seconds(SECONDS).until("half of the write to land", || {
        Ok((disk.kept() > 0 && disk.read(0, TORN_AT) == new[..TORN_AT]).then_some(()))
    })?;
    Ok(token)
}

/// The medium has the first half of what is new and nothing else of it.
fn is_torn(disk: &SlowDisk, old: &[u8], new: &[u8]) -> bool {
    let there = disk.read(0, WRITTEN);
    there[..TORN_AT] == new[..TORN_AT] && there[TORN_AT..] == old[TORN_AT..]
}

/// The command is answered, and well, and the medium is whole, here and for the guest.
fn ends_whole(guest: &mut Guest, disk: &SlowDisk, token: Token, new: &[u8], block: usize) -> Result<()> {
    let answer = guest.request_queue(0)?.wait_for(token)?;
    ensure!(answer.is_good(), "{answer:?}");
    ensure!(disk.read(0, WRITTEN) == new, "the medium is torn");
    let blocks = u16::try_from(WRITTEN / block)?;
    let read = guest.execute(&commands::read_10(lun_0(), 0, blocks, WRITTEN))?;
    ensure!(read.is_good() && read.data_in == new, "the guest reads something else");
    Ok(())
}

/// A block device over the disk, with blocks of 4096 bytes and past the page cache: its I/O is the kernel's once it has begun,
/// and a process that is killed is gone at once.
fn a_device_is_torn(command: &Command, old: &[u8], new: &[u8]) -> Result<()> {
    if !(slow_disk::available() && loop_device::available()) {
        println!("skipped: a FUSE file system and a loop device take root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let disk = stage.slow_disk(BYTES)?;
    let device = LoopDevice::attach(disk.path(), &["--direct-io=on", "--sector-size=4096"])?;
    stage.shell.well(&format!("/backstores/block create disk0 {}", device.path().display()))?;
    let wwn = stage.serve("block/disk0")?;
    let mut guest = boot(&stage.daemon, &wwn)?;
    let blocks = u16::try_from(WRITTEN / 4096)?;
    ensure!(guest.execute(&commands::write_10(lun_0(), 0, blocks, old))?.is_good());

    let token = begin(&mut guest, &disk, command, new)?;
    stage.daemon.kill()?;
    disk.lose();
    // Nobody is left who would write the rest.
    Deadline::seconds(SECONDS).until("the device to have nothing under way", || {
        let name = device.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let under_way = std::fs::read_to_string(format!("/sys/block/{name}/inflight"))?;
        Ok(under_way.split_whitespace().all(|count| count == "0").then_some(()))
    })?;
    disk.takes_again();
    ensure!(is_torn(&disk, old, new), "the medium is not torn");
    stage.daemon.restart()?;
    guest.reconnect()?;
    ends_whole(&mut guest, &disk, token, new, 4096)
}

#[test]
fn a_write_to_a_device_that_a_kill_tears_is_whole_when_the_next_daemon_serves() -> Result<()> {
    let (old, new) = (pattern(1), pattern(2));
    a_device_is_torn(&commands::write_10(lun_0(), 0, u16::try_from(WRITTEN / 4096)?, &new), &old, &new)
}

#[test]
fn a_write_that_lies_across_blocks_of_memory_goes_in_pieces_of_ours_and_is_whole_as_well() -> Result<()> {
    // The device takes no such buffers, so that it is copied and written piece by piece, one after the other.
    let layout = Layout { place: Place::Apart { align: 4096, offset: 12 }, ..Layout::default() };
    let (old, new) = (pattern(3), pattern(4));
    let write = commands::write_10(lun_0(), 0, u16::try_from(WRITTEN / 4096)?, &new).layout(layout);
    a_device_is_torn(&write, &old, &new)
}

#[test]
fn write_same_that_a_kill_tears_is_whole_when_the_next_daemon_serves() -> Result<()> {
    let old = pattern(5);
    let block: Vec<u8> = pattern(6)[..4096].to_vec();
    let new = block.repeat(WRITTEN / 4096);
    let [high, low] = u16::try_from(WRITTEN / 4096)?.to_be_bytes();
    let same = Command::new(lun_0(), &[0x41, 0, 0, 0, 0, 0, 0, high, low, 0]).data_out(block);
    a_device_is_torn(&same, &old, &new)
}

#[test]
fn a_write_to_a_file_that_a_kill_tears_is_whole_when_the_next_daemon_serves() -> Result<()> {
    if !slow_disk::available() {
        println!("skipped: a FUSE file system takes root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let disk = stage.create_slow_fileio("disk0", BYTES)?;
    let wwn = stage.serve("fileio/disk0")?;
    let mut guest = boot(&stage.daemon, &wwn)?;
    let (old, new) = (pattern(7), pattern(8));
    let write = |data: &[u8]| commands::write_10(lun_0(), 0, 2048, data);
    ensure!(guest.execute(&write(&old))?.is_good());

    let token = begin(&mut guest, &disk, &write(&new), &new)?;
    // It cannot go while the file system has a write of it, and does nothing more once that has failed.
    stage.daemon.process().kill_what_is_kept()?;
    let next = Daemon::start_at(Places { ..stage.daemon.places().clone() })?;
    ensure!(is_torn(&disk, &old, &new), "the medium is not torn");
    disk.lose();
    let starts = || next.log().matches("INFO serving ").count();
    Deadline::seconds(SECONDS).until("the next daemon", || Ok((starts() == 2).then_some(())))?;
    disk.takes_again();
    ensure!(is_torn(&disk, &old, &new), "the medium is not torn, and nobody has done it again");
    guest.reconnect()?;
    ends_whole(&mut guest, &disk, token, &new, 512)
}
