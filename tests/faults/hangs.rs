// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk that hangs: others are served all the time, and the administrator is told which command waits, where and how
//! long.

mod support;

use anyhow::{Context, Result, ensure};
use initiator::control::{ABORT_TASK, LOGICAL_UNIT_RESET};
use initiator::exchange::Token;
use initiator::{LunAddress, commands};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, Instant};
use stories::deadline::Deadline;
use stories::meanwhile::{Beside, meanwhile};
use stories::shell::Shell;
use stories::slow_disk::{self, SlowDisk};
use stories::stage::Stage;
use support::{House, SECONDS, broken};

const BYTES: usize = 1 << 20;
/// How long a disk hangs in the longest story: this length is what is looked at.
const MINUTE: Duration = Duration::from_secs(60);
/// The parts of it, in each of which others are served.
const PART_SECONDS: u64 = 10;

/// What the shell says of the session that waits.
fn waiting(house: &House) -> Result<Value> {
    let said = house.stage.shell.well("--json sessions detail")?;
    let mut said: Value = serde_json::from_str(&said)?;
    let sessions = said["result"]["sessions"].as_array_mut().context("sessions")?;
    let ours = sessions.iter_mut().find(|session| session["target"] == json!(house.wwn));
    Ok(ours.context("a session")?["waiting"].take())
}

#[test]
fn who_waits_for_a_disk_that_hangs_is_named_with_its_lun_and_its_time() -> Result<()> {
    let Some((mut house, disk)) = House::on_a_slow_disk(BYTES)? else { return Ok(()) };
    assert_eq!(waiting(&house)?, json!([]));
    let lines = house.lines();
    let stuck = three_writes(&mut house, &disk)?;

    let deadline = Deadline::seconds(2 * SECONDS);
    let told = loop {
        // Served all the time that it takes.
        house.others_are_undisturbed()?;
        let told = waiting(&house)?;
        // Who looks while they begin does not see all of them.
        if told[0]["commands"] == json!(3) {
            break told;
        }
        assert!(!deadline.passed(), "nobody is told: {told}");
    };
    assert_eq!((&told[0]["lun"], &told[0]["command"]), (&json!(0), &json!("WRITE (10)")), "{told}");
    assert!(told[0]["seconds"].as_u64().is_some_and(|seconds| seconds >= 20), "{told}");
    let listed = house.stage.shell.well("ls /vhost")?;
    assert!(listed.contains("WRITE (10) has waited for "), "{listed}");
    let line = format!("LUN 0 of {}/tpg1: a write (WRITE (10)) has waited for ", house.wwn);
    house.wait_for_line(&line)?;
    assert_eq!(house.stage.daemon.log().matches(&line).count(), 1, "{}", house.stage.daemon.log());
    assert!(house.lines() <= lines + 2, "{}", house.stage.daemon.log());

    disk.let_land();
    for token in stuck {
        assert!(house.guest.request_queue(0)?.wait_for(token)?.is_good());
    }
    nobody_waits_any_more(&house)?;
    house.ends_well()
}

/// That it is over is told, and then told of.
fn nobody_waits_any_more(house: &House) -> Result<()> {
    house.wait_for_line(&format!("LUN 0 of {}/tpg1 answers again", house.wwn))?;
    let nobody_waits = || Ok((waiting(house)? == json!([])).then_some(()));
    Deadline::seconds(SECONDS).until("the end of the waiting", nobody_waits)
}

/// Begins three writes that the disk keeps back.
fn three_writes(house: &mut House, disk: &SlowDisk) -> Result<Vec<Token>> {
    disk.keep_back(3);
    let queue = house.guest.request_queue(0)?;
    let write = |lba| commands::write_10(broken(), lba, 8, &[2; 4096]);
    Ok([8, 16, 24].into_iter().map(|lba| queue.start(&write(lba))).collect::<Result<_, _>>()?)
}

/// A disk with three writes of its guest that it keeps back.
fn stuck() -> Result<Option<(House, SlowDisk, Vec<Token>)>> {
    let Some((mut house, disk)) = House::on_a_slow_disk(BYTES)? else { return Ok(None) };
    let stuck = three_writes(&mut house, &disk)?;
    Deadline::seconds(SECONDS).until("a write to hang", || Ok((disk.kept() > 0).then_some(())))?;
    Ok(Some((house, disk, stuck)))
}

/// After how many seconds the administrator was told of the write to a guest's LUN 0, each time.
fn told_after(house: &House) -> Vec<u64> {
    let line = format!("LUN 0 of {}/tpg1: a write (WRITE (10)) has waited for ", house.wwn);
    let log = house.stage.daemon.log();
    let seconds = log.lines().filter_map(|told| told.split_once(&line)?.1.split(' ').next()?.parse().ok());
    seconds.collect()
}

#[test]
fn a_disk_that_hangs_for_a_minute_is_told_of_twice_disturbs_nobody_and_goes_on_by_itself() -> Result<()> {
    let Some((mut house, disk, stuck)) = stuck()? else { return Ok(()) };
    let (hangs, lines) = (Instant::now(), house.lines());
    let mut rounds = BTreeMap::new();
    while hangs.elapsed() < MINUTE {
        house.others_are_undisturbed()?;
        // The administrator is served as well.
        ensure!(house.stage.shell.well("ls /vhost")?.contains(&house.wwn), "the target is gone");
        *rounds.entry(hangs.elapsed().as_secs() / PART_SECONDS).or_insert(0) += 1;
    }
    let is_served = (0..MINUTE.as_secs() / PART_SECONDS).all(|part| rounds.contains_key(&part));
    ensure!(is_served, "nobody was served for {PART_SECONDS} s: {rounds:?}");
    for token in &stuck {
        ensure!(nothing_is_answered(&mut house, *token)?, "answered, and it is under way");
    }
    // A machine that is late with the first line is twice as late with the second.
    let second_is_told = || Ok((told_after(&house).len() > 1).then_some(()));
    Deadline::seconds(SECONDS).until("the second line", second_is_told)?;
    let told = told_after(&house);
    let [first, second] = told[..] else { anyhow::bail!("told after {told:?} s") };
    ensure!(first >= 20 && second >= 2 * first && second <= 2 * first + 20, "told after {told:?} s");
    ensure!(house.lines() == lines + 2, "{}", house.stage.daemon.log());

    disk.let_land();
    for token in stuck {
        ensure!(house.guest.request_queue(0)?.wait_for(token)?.is_good());
    }
    nobody_waits_any_more(&house)?;
    assert_eq!(house.ask(&commands::read_10(broken(), 24, 8, 4096))?.data_in, [2; 4096]);
    ensure!(house.ask(&commands::write_10(broken(), 0, 1, &[3; 512]))?.is_good());
    house.ends_well()
}

/// Sends commands to all that is sound while something else is done; returns how often, and what came of that.
fn undisturbed<T: Send>(
    house: &mut House,
    work: impl FnOnce(&Shell) -> Result<T> + Send,
) -> Result<(u32, T)> {
    let shell = house.stage.shell.clone();
    // Before it and after it as well: no scheduler decides whether they had a turn.
    let work = |beside: &Beside| {
        beside.another()?;
        let done = work(&shell)?;
        beside.another()?;
        Ok(done)
    };
    meanwhile(|_| house.others_are_undisturbed(), work)
}

/// Whether anything is answered in the time that says so: this is the measurement.
fn nothing_is_answered(house: &mut House, token: Token) -> Result<bool> {
    let short = initiator::deadline::Deadline::after(Duration::from_millis(300));
    Ok(house.guest.request_queue(0)?.exchange.wait_for(token, &short).is_err())
}

#[test]
fn a_lun_goes_with_its_backstore_while_its_disk_hangs_and_the_disk_can_be_had_again_once_it_answers()
-> Result<()> {
    let Some((mut house, disk, stuck)) = stuck()? else { return Ok(()) };
    let luns = format!("/vhost/{}/tpg1/luns", house.wwn);
    for words in [[luns.as_str(), "delete", "0"], ["/backstores/fileio", "delete", "broken"]] {
        let (rounds, answer) = undisturbed(&mut house, |shell| shell.run(&words))?;
        ensure!(answer.status == 0 && rounds > 0, "{answer:?}, {rounds}");
        assert_eq!(house.sense(&commands::test_unit_ready(broken()))?, Some([0x05, 0x25, 0x00]));
    }
    // Each has waited for what is under way, and not for the disk, which hangs still.
    // What is under way may land later than anything that came by another way.
    let create = format!("/backstores/fileio create again {}", disk.path().display());
    let words: Vec<&str> = create.split(' ').collect();
    let (_, refused) = undisturbed(&mut house, |shell| shell.run(&words))?;
    assert_eq!(refused.status, 1, "{refused:?}");
    let lunard_does = "lunard does, for a storage object that was deleted while its disk hangs";
    ensure!(refused.stderr.contains(lunard_does), "{refused:?}");
    for token in &stuck {
        ensure!(nothing_is_answered(&mut house, *token)?, "answered, and it is under way");
    }

    disk.let_land();
    for token in stuck {
        ensure!(house.guest.request_queue(0)?.wait_for(token)?.is_good());
    }
    let again = |house: &House| Ok((house.stage.shell.run(&words)?.status == 0).then_some(()));
    Deadline::seconds(SECONDS).until("the disk to be had again", || again(&house))?;
    house.stage.map(&house.wwn, 1, 0, "fileio/again")?;
    let read = house.comes_back(&commands::read_10(broken(), 8, 8, 4096))?;
    assert_eq!(read.data_in, [2; 4096]);
    house.ends_well()
}

#[test]
fn aborts_and_resets_wait_for_a_disk_that_hangs_and_those_of_other_units_do_not() -> Result<()> {
    let Some((mut house, disk, stuck)) = stuck()? else { return Ok(()) };
    let other = LunAddress::unit(1, 1);
    let reset = house.guest.control().start_task_management(LOGICAL_UNIT_RESET, broken(), 0)?;
    // FUNCTION COMPLETE of another unit of the same guest, by the same queue; the unit tells of it.
    assert_eq!(house.guest.control().task_management(LOGICAL_UNIT_RESET, other, 0)?.response, 0);
    let told = house.guest.execute(&commands::test_unit_ready(other))?.check_condition();
    assert_eq!(told, Some([0x06, 0x29, 0x03]));
    assert_eq!(house.guest.control().task_management(ABORT_TASK, other, 1)?.response, 0);
    for token in &stuck {
        ensure!(nothing_is_answered(&mut house, *token)?, "a write that may land is answered");
    }
    let short = initiator::deadline::Deadline::after(Duration::from_millis(300));
    ensure!(
        house.guest.control().exchange.wait_for(reset, &short).is_err(),
        "a write may land after its reset"
    );
    house.others_are_undisturbed()?;

    disk.let_land();
    assert_eq!(house.guest.control().wait_for(reset)?.response, 0);
    for token in stuck {
        // RESET.
        assert_eq!(house.guest.request_queue(0)?.wait_for(token)?.response, 4);
    }
    assert_eq!(house.sense(&commands::test_unit_ready(broken()))?, Some([0x06, 0x29, 0x03]));
    ensure!(house.ask(&commands::write_10(broken(), 0, 1, &[3; 512]))?.is_good());
    house.ends_well()
}

#[test]
fn a_target_whose_guest_left_a_disk_hanging_is_kept_until_that_has_answered_and_goes_then() -> Result<()> {
    let Some((mut house, disk, _)) = stuck()? else { return Ok(()) };
    house.guest.lose();
    for _ in 0..3 {
        let refused = house.stage.shell.run(&["/vhost", "delete", &house.wwn])?;
        assert_eq!(refused.status, 1, "{refused:?}");
        let waits = "one that has left is waited for until its disks have answered what it began";
        ensure!(refused.stderr.contains(waits), "{refused:?}");
        house.next_is_undisturbed()?;
    }
    disk.let_land();
    let words = ["/vhost", "delete", &house.wwn.clone()];
    Deadline::seconds(SECONDS)
        .until("the target to go", || Ok((house.stage.shell.run(&words)?.status == 0).then_some(())))?;
    house.next_is_undisturbed()?;
    assert_eq!(house.stage.daemon.terminate()?.code(), Some(0));
    Ok(())
}

#[test]
fn a_look_at_a_disk_that_hangs_keeps_no_other_from_being_looked_at_and_is_made_again_when_it_answers()
-> Result<()> {
    if !slow_disk::available() {
        println!("skipped: a FUSE file system takes root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let disk = stage.create_slow_fileio("hangs", BYTES)?;
    let other = stage.create_fileio("other", 1 << 20)?;
    let until = |what: &str, is: &dyn Fn() -> Result<bool>| {
        Deadline::seconds(2 * SECONDS).until(what, || Ok(is()?.then_some(())))
    };
    let grows = |mebibytes: u64| -> Result<()> {
        File::options().write(true).open(&other)?.set_len(mebibytes << 20)?;
        let shown = format!("({mebibytes}.0MiB)");
        until("the new size", &|| Ok(stage.shell.well("ls /backstores/fileio")?.contains(&shown)))
    };
    disk.keep_back_looks()?;
    until("a look that hangs", &|| Ok(disk.kept_looks() == 1))?;
    grows(2)?;
    // Who looks in place of the one that hangs leaves that disk alone.
    grows(3)?;
    assert_eq!(disk.kept_looks(), 1);
    let line = "the size of fileio/hangs cannot be looked at: its file system or device does not answer";
    let log = stage.daemon.log();
    assert_eq!(log.matches(line).count(), 1, "{log}");

    disk.let_look();
    let looks = disk.looks();
    until("another look", &|| Ok(disk.looks() > looks))?;
    grows(4)?;
    assert_eq!(stage.daemon.log().matches(line).count(), 1, "{}", stage.daemon.log());
    assert_eq!(stage.daemon.terminate()?.code(), Some(0));
    Ok(())
}
