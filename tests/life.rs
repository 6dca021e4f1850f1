// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LUNs come, go, grow and appear under a guest that never ceases to write and read: no command of its other LUNs fails, and
//! where it gave no buffers for events it hears that it missed some.

use anyhow::{Context, Result, ensure};
use initiator::{Answer, Command, Guest, LunAddress, Options, commands};
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::meanwhile::{Beside, meanwhile};
use stories::stage::Stage;

const MIB: u64 = 1 << 20;
const SECONDS: u64 = 60;
const TRANSPORT_RESET: u32 = 1;
const PARAM_CHANGE: u32 = 3;
const CAPACITY_CHANGED: u32 = 0x092a;

/// What a guest may be told of, and asks again: REPORTED LUNS DATA, CAPACITY DATA, MODE PARAMETERS and INQUIRY DATA HAVE CHANGED.
const NEWS: [[u8; 3]; 4] = [[0x06, 0x3f, 0x0e], [0x06, 0x2a, 0x09], [0x06, 0x2a, 0x01], [0x06, 0x3f, 0x03]];

fn boot(stage: &Stage, wwn: &str, event_buffers: u16) -> Result<Guest> {
    let options = Options { event_buffers, ..Options::default() };
    let mut guest = Guest::boot(stage.daemon.socket(wwn), options.patience(Duration::from_secs(SECONDS)))?;
    guest.events().repost = false;
    Ok(guest)
}

/// The answer to a command after all news.
fn ask(guest: &mut Guest, command: &Command) -> Result<Answer> {
    loop {
        let answer = guest.execute(command)?;
        if answer.check_condition().is_none_or(|sense| !NEWS.contains(&sense)) {
            return Ok(answer);
        }
    }
}

/// Writes blocks of a LUN and reads them back, with several commands under way at a time.
fn is_used(guest: &mut Guest, lun: u16, round: u32) -> Result<()> {
    let unit = LunAddress::unit(1, lun);
    let fill = |step: u32| u8::try_from((round * 7 + step) % 251).unwrap_or(0);
    for writes in [true, false] {
        let command = |step: u32| match writes {
            true => commands::write_10(unit, 8 * step, 8, &[fill(step); 4096]),
            false => commands::read_10(unit, 8 * step, 8, 4096),
        };
        let queue = guest.request_queue(0)?;
        let begun: Vec<_> = (0..8).map(|step| queue.start(&command(step))).collect::<Result<_, _>>()?;
        for (step, token) in (0..).zip(begun) {
            let mut answer = guest.request_queue(0)?.wait_for(token)?;
            if answer.check_condition().is_some_and(|sense| NEWS.contains(&sense)) {
                answer = ask(guest, &command(step))?;
            }
            ensure!(answer.is_good(), "LUN {lun}: {answer:?}");
            ensure!(writes || answer.data_in == [fill(step); 4096], "LUN {lun} has something else");
        }
    }
    Ok(())
}

/// The LUNs that REPORT LUNS lists.
fn listed(guest: &mut Guest) -> Result<Vec<u8>> {
    let answer = ask(guest, &commands::report_luns(LunAddress::unit(1, 0), 0, 4096))?;
    ensure!(answer.is_good(), "{answer:?}");
    Ok(answer.data_in[8..].chunks(8).map(|lun| lun[1]).collect())
}

fn grow(file: &Path, bytes: u64) -> Result<()> {
    Ok(OpenOptions::new().write(true).open(file)?.set_len(bytes)?)
}

/// All that is told by now, and whether any of it says that something was missed.
fn told(guest: &mut Guest) -> Result<(Vec<(u32, u32)>, bool)> {
    let (mut told, mut missed) = (Vec::new(), false);
    guest.events().post(100, 16)?;
    // The end is known by a silence, which is what is measured.
    while let Some(event) = guest.events().next_event(Duration::from_millis(500))? {
        missed |= event.missed;
        told.push((event.event, event.reason));
    }
    Ok((told, missed))
}

#[test]
fn a_guest_without_buffers_for_events_uses_its_disk_while_luns_come_go_and_grow_and_hears_that_it_missed_some()
-> Result<()> {
    /// More than the 128 events that are kept for a guest, with those that go.
    const LUNS: u16 = 70;
    let stage = Stage::set()?;
    let disk = stage.create_fileio("disk0", 8 * MIB)?;
    let wwn = stage.serve("fileio/disk0")?;
    let mut guest = boot(&stage, &wwn, 0)?;
    let luns = format!("/vhost/{wwn}/tpg1/luns");
    let made: String = (1..=LUNS).map(|lun| format!("/backstores/ramdisk create r{lun} 4096\n")).collect();
    let mapped: String =
        (1..=LUNS).map(|lun| format!("{luns} create /backstores/ramdisk/r{lun} {lun}\n")).collect();
    let unmapped: String = (1..=LUNS - 2).map(|lun| format!("{luns} delete {lun}\n")).collect();
    let batch = |lines: &str| -> Result<()> {
        let answer = stage.shell.batch(&["-e"], lines)?;
        ensure!(answer.status == 0, "{answer:?}");
        Ok(())
    };
    batch(&made)?;
    // Some at a time, and the disk is used between them and meanwhile.
    let some_at_a_time = |beside: &Beside, lines: &str| {
        let lines: Vec<&str> = lines.split_inclusive('\n').collect();
        lines.chunks(10).try_for_each(|some| {
            beside.another()?;
            batch(&some.concat())
        })
    };
    let grows = |beside: &Beside| {
        beside.another()?;
        grow(&disk, 16 * MIB)?;
        beside.another()?;
        Deadline::seconds(SECONDS).until("the new size", || {
            Ok(stage.shell.well("ls /backstores/fileio")?.contains("16.0MiB").then_some(()))
        })
    };
    for (what, lines) in [("come", &mapped), ("go", &unmapped)] {
        let (rounds, ()) =
            meanwhile(|round| is_used(&mut guest, 0, round), |beside| some_at_a_time(beside, lines))?;
        println!("LUN 0 was used {rounds} times while {LUNS} {what}");
    }
    meanwhile(|round| is_used(&mut guest, 0, round), grows)?;

    // It asks, as it was told to by attentions, and what it finds is what there is.
    assert_eq!(listed(&mut guest)?, [0, 69, 70]);
    assert_eq!(guest.capacity(LunAddress::unit(1, 0))?.0, 16 * MIB / 512);
    for lun in [0, 69] {
        let ready = ask(&mut guest, &commands::test_unit_ready(LunAddress::unit(1, lun)))?;
        ensure!(ready.is_good(), "{ready:?}");
    }
    // Of what it missed it hears once, with the first buffer that it gives.
    guest.events().post(1, 16)?;
    let first = guest.events().next_event(Duration::from_secs(SECONDS))?.context("an event")?;
    ensure!(first.missed && first.event == TRANSPORT_RESET, "{first:?}");
    let (rest, missed) = told(&mut guest)?;
    ensure!(!missed && rest.len() <= 127, "{missed}, {}", rest.len());
    // From now on it hears of each.
    batch(&format!("{luns} delete 69\n"))?;
    guest.events().post(100, 16)?;
    let next = guest.events().next_event(Duration::from_secs(SECONDS))?.context("an event")?;
    assert_eq!((next.event, next.reason, next.missed), (TRANSPORT_RESET, 2, false));
    Ok(())
}

#[test]
fn a_file_that_grows_under_load_is_told_of_when_there_is_a_buffer_and_has_its_new_part_before() -> Result<()>
{
    let stage = Stage::set()?;
    let disk = stage.create_fileio("disk0", 4 * MIB)?;
    grows_under_load(&stage, "fileio/disk0", || grow(&disk, 8 * MIB))
}

#[test]
fn a_device_that_grows_under_load_is_told_of_like_a_file() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: a loop device takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let medium = stage.scratch.sparse_file("medium", 4 * MIB)?;
    let device = LoopDevice::attach(&medium, &[])?;
    stage.shell.well(&format!("/backstores/block create disk0 {}", device.path().display()))?;
    grows_under_load(&stage, "block/disk0", || {
        grow(&medium, 8 * MIB)?;
        device.look_again()
    })
}

/// A disk of 4 MiB that comes to have 8.
fn grows_under_load(stage: &Stage, backstore: &str, grows: impl FnOnce() -> Result<()>) -> Result<()> {
    let wwn = stage.serve(backstore)?;
    let mut guest = boot(stage, &wwn, 0)?;
    let unit = LunAddress::unit(1, 0);
    let beyond = commands::write_10(unit, 8192, 8, &[9; 4096]);
    assert_eq!(guest.execute(&beyond)?.check_condition(), Some([0x05, 0x21, 0x00]));
    grows()?;
    // The next commands find it out, one of them by its attention.
    let (mut news, mut round) = (0, 0);
    Deadline::seconds(SECONDS).until("the new part", || {
        is_used(&mut guest, 0, round)?;
        round += 1;
        let answer = guest.execute(&beyond)?;
        news += usize::from(answer.check_condition() == Some([0x06, 0x2a, 0x09]));
        Ok(answer.is_good().then_some(()))
    })?;
    ensure!(news <= 1, "told {news} times");
    guest.events().post(1, 16)?;
    let event = guest.events().next_event(Duration::from_secs(SECONDS))?.context("an event")?;
    assert_eq!((event.event, event.reason, event.address), (PARAM_CHANGE, CAPACITY_CHANGED, UNIT_0));
    Ok(())
}

/// As events name it: peripheral device addressing.
const UNIT_0: LunAddress = LunAddress([1, 1, 0, 0, 0, 0, 0, 0]);
const UNIT_1: LunAddress = LunAddress([1, 1, 0, 1, 0, 0, 0, 0]);

#[test]
fn a_lun_that_is_taken_away_under_load_answers_all_it_was_asked_and_comes_back_as_it_was() -> Result<()> {
    let stage = Stage::set()?;
    for name in ["disk0", "disk1"] {
        stage.create_fileio(name, 4 * MIB)?;
    }
    let wwn = stage.serve("fileio/disk0")?;
    stage.map(&wwn, 1, 1, "fileio/disk1")?;
    let mut guest = boot(&stage, &wwn, 8)?;
    let unit = LunAddress::unit(1, 1);
    let ends = AtomicBool::new(false);
    for round in 0..3_u8 {
        ends.store(false, Ordering::SeqCst);
        let fill = [0x30 + round; 4096];
        let (mut good, mut gone) = (0, 0);
        std::thread::scope(|scope| -> Result<()> {
            let deletes = scope.spawn(|| {
                let done = stage.shell.well(&format!("/vhost/{wwn}/tpg1/luns delete 1"));
                ends.store(true, Ordering::SeqCst);
                done
            });
            // Some under way at any time, and some after it is answered that the LUN is gone.
            let mut after = 0;
            while after < 3 {
                after += usize::from(ends.load(Ordering::SeqCst));
                let queue = guest.request_queue(0)?;
                let write = |step: u32| commands::write_10(unit, 8 * step, 8, &fill);
                let begun: Vec<_> = (0..8).map(|step| queue.start(&write(step))).collect::<Result<_, _>>()?;
                for token in begun {
                    let answer = queue.wait_for(token)?;
                    match answer.check_condition() {
                        None if answer.is_good() => good += 1,
                        Some([0x05, 0x25, 0x00]) => gone += 1,
                        Some(sense) if NEWS.contains(&sense) => {}
                        _ => anyhow::bail!("{answer:?}"),
                    }
                    ensure!(after == 0 || !answer.is_good(), "written though it is gone");
                }
                is_used(&mut guest, 0, u32::from(round))?;
            }
            deletes.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(drop)
        })?;
        println!("round {round}: {good} were good, {gone} found no unit");
        ensure!(gone >= 24, "{gone}");
        stage.map(&wwn, 1, 1, "fileio/disk1")?;
        if good >= 8 {
            let read = ask(&mut guest, &commands::read_10(unit, 0, 8, 4096))?;
            ensure!(read.is_good() && read.data_in == fill, "what was good is not there");
        }
    }
    Ok(())
}

#[test]
fn a_missing_file_that_appears_under_load_is_told_of_and_served() -> Result<()> {
    let mut stage = Stage::set()?;
    let files = [stage.create_fileio("disk0", 4 * MIB)?, stage.create_fileio("disk1", 4 * MIB)?];
    let wwn = stage.serve("fileio/disk0")?;
    stage.map(&wwn, 1, 1, "fileio/disk1")?;
    stage.daemon.kill()?;
    let aside = stage.scratch.join("aside");
    std::fs::rename(&files[1], &aside)?;
    stage.daemon.restart()?;
    let mut guest = boot(&stage, &wwn, 8)?;
    let read = commands::read_10(LunAddress::unit(1, 1), 0, 1, 512);
    for round in 0..20 {
        is_used(&mut guest, 0, round)?;
        assert_eq!(ask(&mut guest, &read)?.check_condition(), Some([0x02, 0x04, 0x00]));
    }
    std::fs::rename(&aside, &files[1])?;
    let mut round = 0;
    Deadline::seconds(SECONDS).until("the file to be served", || {
        round += 1;
        is_used(&mut guest, 0, round)?;
        Ok(ask(&mut guest, &read)?.is_good().then_some(()))
    })?;
    is_used(&mut guest, 1, 1)?;
    // Nobody has to look again: its size is news.
    let event = guest.events().next_event(Duration::from_secs(SECONDS))?.context("an event")?;
    assert_eq!((event.event, event.reason, event.address), (PARAM_CHANGE, CAPACITY_CHANGED, UNIT_1));
    Ok(())
}
