// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that is killed while a COMPARE AND WRITE is writing.  The next one cannot know whether it was done: what is there may be
//! its own data, or what another guest has written since.  So it is not done again and ends without a status, once; and what others
//! write meanwhile stays.

use anyhow::{Context, Result, ensure};
use initiator::exchange::Token;
use initiator::{Answer, Command, Guest, Options, commands, lun_0};
use std::time::Duration;
use stories::daemon::{Daemon, Places};
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::slow_disk::{self, SlowDisk};
use stories::stage::Stage;

const BYTES: usize = 4 << 20;
/// What one comparison may replace, how it is written, and where its pieces cease to land.
const WRITTEN: usize = 64 << 10;
const PIECE: u32 = 16 << 10;
const TORN_AT: usize = WRITTEN / 2;
/// virtio-scsi's response to a command that ended without a status.
const ABORTED: u8 = 2;
const SECONDS: u64 = 60;

/// Two guests of one disk, of which the first compares.
struct Shared {
    stage: Stage,
    disk: SlowDisk,
    device: Option<LoopDevice>,
    block: usize,
    first: Guest,
    second: Guest,
    old: Vec<u8>,
    new: Vec<u8>,
}

fn pattern(seed: u8) -> Vec<u8> {
    (0..WRITTEN).map(|at| seed ^ u8::try_from((at / 512) % 128).unwrap_or(0)).collect()
}

fn boot(daemon: &Daemon, wwn: &str) -> Result<Guest> {
    let options = Options::default().patience(Duration::from_secs(SECONDS));
    Ok(Guest::boot(daemon.socket(wwn), options)?)
}

impl Shared {
    /// Over a block device, past the page cache, or a file; nothing where that cannot be.
    fn set(on_a_device: bool) -> Result<Option<Self>> {
        if !slow_disk::available() || (on_a_device && !loop_device::available()) {
            println!("skipped: a FUSE file system and a loop device take root");
            return Ok(None);
        }
        let mut stage = Stage::set()?;
        let disk = stage.slow_disk_in_pieces(BYTES, PIECE)?;
        let device = if on_a_device {
            Some(LoopDevice::attach(disk.path(), &["--direct-io=on", "--sector-size=4096"])?)
        } else {
            None
        };
        let path = device.as_ref().map_or(disk.path(), LoopDevice::path);
        let (plugin, block) = if on_a_device { ("block", 4096) } else { ("fileio", 512) };
        stage.shell.well(&format!("/backstores/{plugin} create disk0 {}", path.display()))?;
        let wwns = [0; 2].map(|_| stage.serve(&format!("{plugin}/disk0")));
        let [first_wwn, second_wwn] = wwns;
        let (first_wwn, second_wwn) = (first_wwn?, second_wwn?);
        let (first, second) = (boot(&stage.daemon, &first_wwn)?, boot(&stage.daemon, &second_wwn)?);
        let (old, new) = (pattern(0), pattern(0x80));
        let mut shared = Self { stage, disk, device, block, first, second, old, new };
        let old = shared.old.clone();
        let write = shared.write(0, &old)?;
        ensure!(shared.first.execute(&write)?.is_good());
        Ok(Some(shared))
    }

    fn blocks(&self, bytes: usize) -> Result<u16> {
        Ok(u16::try_from(bytes / self.block)?)
    }

    fn write(&self, at: usize, data: &[u8]) -> Result<Command> {
        Ok(commands::write_10(lun_0(), self.blocks(at)?.into(), self.blocks(data.len())?, data))
    }

    fn compare_and_write(&self, expected: &[u8], new: &[u8]) -> Result<Command> {
        let blocks = u8::try_from(self.blocks(expected.len())?)?;
        let cdb = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, blocks, 0, 0];
        Ok(Command::new(lun_0(), &cdb).data_out([expected, new].concat()))
    }

    /// Begins the comparison, and waits until it has passed and its write has landed up to `landed`.
    fn begin(&mut self, landed: usize) -> Result<Token> {
        self.disk.keep_back_from(landed);
        let command = self.compare_and_write(&self.old, &self.new)?;
        let token = self.first.request_queue(0)?.start(&command)?;
        Deadline::seconds(SECONDS).until("a part of the write to land", || {
            let is_there = self.disk.read(0, landed) == self.new[..landed];
            Ok((self.disk.kept() > 0 && is_there).then_some(()))
        })?;
        Ok(token)
    }

    /// Kills the daemon and starts the next one; `ends` is what becomes of the pieces that were under way.
    fn killed(&mut self, ends: fn(&SlowDisk)) -> Result<()> {
        if let Some(device) = &self.device {
            self.stage.daemon.kill()?;
            ends(&self.disk);
            let name = device.path().file_name().context("a name")?.to_string_lossy().into_owned();
            Deadline::seconds(SECONDS).until("the device to have nothing under way", || {
                let under_way = std::fs::read_to_string(format!("/sys/block/{name}/inflight"))?;
                Ok(under_way.split_whitespace().all(|count| count == "0").then_some(()))
            })?;
            self.disk.takes_again();
            return self.stage.daemon.restart();
        }
        // It cannot go while the file system has a write of it.
        self.stage.daemon.process().kill_what_is_kept()?;
        let next = Daemon::start_at(Places { ..self.stage.daemon.places().clone() })?;
        ends(&self.disk);
        let starts = || next.log().matches("INFO serving ").count();
        Deadline::seconds(SECONDS).until("the next daemon", || Ok((starts() == 2).then_some(())))?;
        self.disk.takes_again();
        self.stage.daemon = next;
        Ok(())
    }

    fn there(&self) -> Vec<u8> {
        self.disk.read(0, WRITTEN)
    }

    /// The first guest's command ends once, and says nothing of what it did; its disk goes on.
    fn ends_unknown(&mut self, token: Token) -> Result<()> {
        let before = self.there();
        self.first.reconnect()?;
        let answer = self.first.request_queue(0)?.wait_for(token)?;
        ensure!(answer.response == ABORTED && answer.sense.is_empty(), "{answer:?}");
        ensure!(self.there() == before, "it was done again");
        let read = self.all()?;
        ensure!(self.first.execute(&read)?.data_in == before, "the guest reads something else");
        ensure!(self.first.request_queue(0)?.in_flight() == 0, "something is still owed");
        // It has looked what is there, as after any command that was lost, and compares with that.
        let again = self.compare_and_write(&before, &self.new)?;
        ensure!(self.first.execute(&again)?.is_good(), "a comparison with what is there");
        ensure!(self.there() == self.new, "the whole write is there");
        Ok(())
    }

    fn all(&self) -> Result<Command> {
        Ok(commands::read_10(lun_0(), 0, self.blocks(WRITTEN)?, WRITTEN))
    }

    fn read_by_second(&mut self) -> Result<Answer> {
        let read = self.all()?;
        Ok(self.second.execute(&read)?)
    }
}

fn is_torn_and_what_others_write_stays(on_a_device: bool) -> Result<()> {
    let Some(mut shared) = Shared::set(on_a_device)? else { return Ok(()) };
    let token = shared.begin(TORN_AT)?;
    // It waits for the blocks of the comparison, over both halves.
    let (at, own) = (TORN_AT - 8192, vec![0x55; 16384]);
    let write = shared.write(at, &own)?;
    let waiting = shared.second.request_queue(0)?.start(&write)?;
    shared.killed(SlowDisk::lose)?;
    let torn = [&shared.new[..TORN_AT], &shared.old[TORN_AT..]].concat();
    ensure!(shared.there() == torn, "the medium is not torn, or somebody has done it again");
    // The other guest is back first.
    shared.second.reconnect()?;
    let answer = shared.second.request_queue(0)?.wait_for(waiting)?;
    ensure!(answer.is_good(), "{answer:?}");
    let expected = [&torn[..at], &own, &torn[at + own.len()..]].concat();
    ensure!(shared.there() == expected && shared.read_by_second()?.data_in == expected);
    shared.ends_unknown(token)
}

fn lands_not_at_all(on_a_device: bool) -> Result<()> {
    let Some(mut shared) = Shared::set(on_a_device)? else { return Ok(()) };
    let token = shared.begin(0)?;
    shared.killed(SlowDisk::lose)?;
    ensure!(shared.there() == shared.old, "nothing has landed");
    shared.ends_unknown(token)
}

#[test]
fn a_comparison_on_a_device_that_a_kill_tears_is_not_good_and_others_keep_what_they_write() -> Result<()> {
    is_torn_and_what_others_write_stays(true)
}

#[test]
fn a_comparison_on_a_file_that_a_kill_tears_is_not_good_and_others_keep_what_they_write() -> Result<()> {
    is_torn_and_what_others_write_stays(false)
}

#[test]
fn a_comparison_whose_write_lands_after_a_kill_does_not_meet_its_own_data() -> Result<()> {
    // Of a write to a file what has not begun goes with the process.
    let Some(mut shared) = Shared::set(true)? else { return Ok(()) };
    let token = shared.begin(0)?;
    ensure!(shared.there() == shared.old, "something has landed before the kill");
    shared.killed(SlowDisk::let_land)?;
    ensure!(shared.there() == shared.new, "the write has landed without anybody");
    shared.ends_unknown(token)
}

#[test]
fn a_comparison_on_a_device_whose_write_is_lost_with_a_kill_is_not_good() -> Result<()> {
    lands_not_at_all(true)
}

#[test]
fn a_comparison_on_a_file_whose_write_is_lost_with_a_kill_is_not_good() -> Result<()> {
    lands_not_at_all(false)
}
