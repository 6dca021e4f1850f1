// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk that is about to fail, and those that must not notice: another disk of the same guest, and another guest.
//!
//! Above: the stories of faults below.  Below: a real `lunard`, the `initiator`.
//! Never here: a clock.  That others are served while a disk fails is counted.

#![allow(dead_code, reason = "each story uses its part")]

use anyhow::{Result, ensure};
use initiator::{Answer, Command, Guest, LunAddress, Options, commands};
use std::time::Duration;
use stories::deadline::Deadline;
use stories::slow_disk::{self, SlowDisk};
use stories::stage::Stage;

/// How long a command may take on a loaded machine before the story gives up.
pub(crate) const SECONDS: u64 = 60;
/// How many commands others have answered while a disk fails.
const ROUNDS: u32 = 40;

/// A guest with two disks, of which the first fails, and its neighbour.
pub(crate) struct House {
    pub(crate) guest: Guest,
    neighbour: Guest,
    pub(crate) wwn: String,
    pub(crate) stage: Stage,
}

/// The disk that fails.
pub(crate) fn broken() -> LunAddress {
    LunAddress::unit(1, 0)
}

impl House {
    /// One whose first disk fails and hangs when it is told to; nothing where no file system can be mounted.
    pub(crate) fn on_a_slow_disk(bytes: usize) -> Result<Option<(Self, SlowDisk)>> {
        if !slow_disk::available() {
            println!("skipped: a FUSE file system takes root");
            return Ok(None);
        }
        let mut stage = Stage::set()?;
        let disk = stage.create_slow_fileio("broken", bytes)?;
        let mut house = Self::around(stage, "fileio/broken")?;
        // The first write asks the file system what it can do.
        ensure!(house.ask(&commands::write_10(broken(), 0, 1, &[0; 512]))?.is_good());
        Ok(Some((house, disk)))
    }

    /// Shows a storage object that exists, given as `fileio/broken`, beside others that are sound.
    pub(crate) fn around(stage: Stage, storage_object: &str) -> Result<Self> {
        let wwn = stage.serve(storage_object)?;
        stage.create_fileio("sound", 1 << 20)?;
        stage.map(&wwn, 1, 1, "fileio/sound")?;
        stage.create_fileio("next", 1 << 20)?;
        let next = stage.serve("fileio/next")?;
        let boot = |wwn: &str| {
            Guest::boot(stage.daemon.socket(wwn), Options::default().patience(Duration::from_secs(SECONDS)))
        };
        let (guest, neighbour) = (boot(&wwn)?, boot(&next)?);
        Ok(Self { guest, neighbour, wwn, stage })
    }

    /// The answer of the disk that fails.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Answer> {
        Ok(self.guest.execute(command)?)
    }

    /// The answer of the disk that fails after news of these kinds, which may meet any command.
    pub(crate) fn ask_after(&mut self, news: &[[u8; 3]], command: &Command) -> Result<Answer> {
        Ok(self.guest.execute_after(news, command)?)
    }

    /// The sense of the disk that fails: sense key, code, qualifier.
    pub(crate) fn sense(&mut self, command: &Command) -> Result<Option<[u8; 3]>> {
        Ok(self.ask(command)?.check_condition())
    }

    /// Writes and reads on every disk that is sound; each is answered, and well.
    pub(crate) fn others_are_undisturbed(&mut self) -> Result<()> {
        is_used(&mut self.guest, 1)?;
        self.next_is_undisturbed()
    }

    /// The same for the neighbour's alone.
    pub(crate) fn next_is_undisturbed(&mut self) -> Result<()> {
        is_used(&mut self.neighbour, 0)
    }

    /// Waits until the disk that failed answers well, as a guest would that asks again.
    pub(crate) fn comes_back(&mut self, command: &Command) -> Result<Answer> {
        let guest = &mut self.guest;
        Deadline::seconds(SECONDS).until("the disk to come back", || {
            let answer = guest.execute(command)?;
            Ok(answer.is_good().then_some(answer))
        })
    }

    /// Waits for a line of the log.
    pub(crate) fn wait_for_line(&self, part: &str) -> Result<()> {
        let daemon = &self.stage.daemon;
        Deadline::seconds(SECONDS).until(part, || Ok(daemon.log().contains(part).then_some(())))
    }

    /// How many lines the daemon has logged.
    pub(crate) fn lines(&self) -> usize {
        self.stage.daemon.log().lines().count()
    }

    /// The daemon is the one that was started, and all serve.
    pub(crate) fn ends_well(mut self) -> Result<()> {
        self.others_are_undisturbed()?;
        let log = self.stage.daemon.log();
        ensure!(log.matches("INFO serving ").count() == 1, "it was started again:\n{log}");
        ensure!(self.stage.daemon.terminate()?.code() == Some(0), "{}", self.stage.daemon.log());
        Ok(())
    }
}

/// Writes and reads on a disk that is sound.
fn is_used(guest: &mut Guest, lun: u16) -> Result<()> {
    let address = LunAddress::unit(1, lun);
    for round in 0..ROUNDS {
        let fill = [u8::try_from(round)?; 512];
        let write = guest.execute_after(&[LUNS], &commands::write_10(address, round, 1, &fill))?;
        ensure!(write.is_good(), "LUN {lun}, round {round}: {write:?}");
        let read = guest.execute_after(&[LUNS], &commands::read_10(address, round, 1, 512))?;
        ensure!(read.is_good() && read.data_in == fill, "LUN {lun}, round {round}: {read:?}");
    }
    Ok(())
}

/// Another LUN has come or gone: that is no disturbance.
const LUNS: [u8; 3] = [0x06, 0x3f, 0x0e];
