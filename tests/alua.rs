// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A change of an access state that takes its time: what guests are told meanwhile, what every door shows, and that nobody
//! else waits for it.

use anyhow::{Result, ensure};
use initiator::{Command, Guest, LunAddress, Options, commands};
use std::time::{Duration, Instant};
use stories::deadline::Deadline;
use stories::stage::Stage;

const UNIT: LunAddress = LunAddress([1, 1, 0x40, 0, 0, 0, 0, 0]);
const REPORT_GROUPS: &[u8] = &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0];
const GROUP: &str = "/backstores/fileio/disk0/alua/default_tg_pt_gp";

const ATTENTION: [u8; 3] = [0x06, 0x2a, 0x06];
const TRANSITION: [u8; 3] = [0x02, 0x04, 0x0a];
const STANDBY: [u8; 3] = [0x02, 0x04, 0x0b];

/// Key, code and qualifier of what a command ends with; nothing where that is GOOD.
fn ready(guest: &mut Guest) -> Result<Option<[u8; 3]>> {
    Ok(guest.execute(&commands::test_unit_ready(UNIT))?.check_condition())
}

/// ASYMMETRIC ACCESS STATE and STATUS CODE of the only group.
fn group(guest: &mut Guest) -> Result<(u8, u8)> {
    let answer = guest.execute(&Command::new(UNIT, REPORT_GROUPS).data_in(255))?;
    ensure!(answer.is_good(), "{answer:?}");
    Ok((answer.data_in[4] & 0x0f, answer.data_in[9]))
}

/// The state as the shell shows it, alone and in the tree.
fn shown(stage: &Stage) -> Result<Vec<String>> {
    let line = stage.shell.well(&format!("{GROUP} get alua alua_access_state"))?;
    let listed = stage.shell.well("/backstores/fileio/disk0/alua ls")?;
    let state = listed.split_once("ALUA state: ").and_then(|(_, rest)| rest.split_once(']'));
    Ok(vec![line.trim().to_owned(), state.map_or(listed.clone(), |(state, _)| state.to_owned())])
}

/// A disk in two targets, with a guest on each; both know all that there is to know.
fn two_guests(stage: &Stage) -> Result<[Guest; 2]> {
    stage.create_fileio("disk0", 1 << 20)?;
    let guest = || -> Result<Guest> {
        let wwn = stage.serve("fileio/disk0")?;
        let mut guest = Guest::boot(stage.daemon.socket(&wwn), Options::default())?;
        while ready(&mut guest)?.is_some() {}
        Ok(guest)
    };
    let mut guests = [guest()?, guest()?];
    for guest in &mut guests {
        while ready(guest)?.is_some() {}
    }
    Ok(guests)
}

#[test]
fn a_change_by_the_administrator_takes_its_time_and_nobody_elses() -> Result<()> {
    const TAKES: Duration = Duration::from_millis(6000);
    let stage = Stage::set()?;
    let [mut guest, _other] = two_guests(&stage)?;
    stage.shell.well(&format!("{GROUP} set alua trans_delay_msecs={}", TAKES.as_millis()))?;
    let begun = Instant::now();
    stage.shell.well(&format!("{GROUP} set alua alua_access_state=2"))?;
    // It is answered before it is over, and so is every other change.
    stage.create_fileio("disk1", 1 << 20)?;
    let doors = shown(&stage)?;
    let told = (ready(&mut guest)?, ready(&mut guest)?);
    let told_of_group = group(&mut guest);
    let is_within = begun.elapsed() < TAKES;
    if is_within {
        assert_eq!(doors, ["alua_access_state=15", "Transitioning"]);
        assert_eq!((told, told_of_group?), ((Some(ATTENTION), Some(TRANSITION)), (15, 2)));
    } else {
        println!("this machine is too slow to look into the middle of it");
    }
    // Its end is told as well, and not before its time.
    Deadline::seconds(60).until("the end of the transition", || match ready(&mut guest)? {
        Some(TRANSITION) => Ok(None),
        // One of the three above was told of the end.
        Some(STANDBY) if !is_within => Ok(Some(())),
        told => {
            assert_eq!(told, Some(ATTENTION));
            Ok(Some(()))
        }
    })?;
    ensure!(begun.elapsed() >= TAKES, "{:?}", begun.elapsed());
    assert_eq!(group(&mut guest)?, (2, 2));
    assert_eq!(ready(&mut guest)?, Some(STANDBY));
    assert_eq!(shown(&stage)?, ["alua_access_state=2", "Standby"]);
    Ok(())
}

#[test]
fn a_change_by_a_guest_is_good_when_it_is_over_and_told_to_the_others() -> Result<()> {
    const TAKES: Duration = Duration::from_millis(500);
    let stage = Stage::set()?;
    let [mut guest, mut other] = two_guests(&stage)?;
    stage.shell.well(&format!("{GROUP} set alua trans_delay_msecs={}", TAKES.as_millis()))?;
    let begun = Instant::now();
    let set =
        Command::new(UNIT, &[0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0]).data_out([0, 0, 0, 0, 2, 0, 0, 0]);
    ensure!(guest.execute(&set)?.is_good());
    ensure!(begun.elapsed() >= TAKES, "{:?}", begun.elapsed());
    // It has asked for it, and is told nothing.
    assert_eq!(ready(&mut guest)?, Some(STANDBY));
    assert_eq!(group(&mut guest)?, (2, 1));
    assert_eq!(ready(&mut other)?, Some(ATTENTION));
    assert_eq!(ready(&mut other)?, Some(STANDBY));
    assert_eq!(shown(&stage)?, ["alua_access_state=2", "Standby"]);
    Ok(())
}

#[test]
fn nobody_sets_a_group_transitioning() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    let answer = stage.shell.run(&[GROUP, "set", "alua", "alua_access_state=15"])?;
    assert_eq!(answer.status, 1);
    ensure!(format!("{answer:?}").contains("0, 1, 2, 3, 4"), "{answer:?}");
    assert_eq!(shown(&stage)?, ["alua_access_state=0", "Active/optimized"]);
    Ok(())
}

/// The group is in one state for good, and its guests know: told of a change once, and refused what it refuses.
fn has_come_to_rest(stage: &Stage, guests: [&mut Guest; 2]) -> Result<()> {
    assert_eq!(shown(stage)?, ["alua_access_state=2", "Standby"]);
    for guest in guests {
        assert_eq!(ready(guest)?, Some(ATTENTION), "nobody tells that the transition is over");
        assert_eq!(group(guest)?.0, 2);
        assert_eq!(ready(guest)?, Some(STANDBY));
    }
    Ok(())
}

/// In the middle of a change, and known to be there: the first two things that a guest hears.
fn is_told_of_its_beginning(guest: &mut Guest) -> Result<()> {
    Deadline::seconds(60)
        .until("the transition to begin", || Ok((ready(guest)? == Some(ATTENTION)).then_some(())))?;
    assert_eq!(ready(guest)?, Some(TRANSITION));
    Ok(())
}

#[test]
fn a_kill_in_the_middle_of_a_change_by_the_administrator_leaves_the_state_that_he_was_told() -> Result<()> {
    let mut stage = Stage::set()?;
    let [mut guest, mut other] = two_guests(&stage)?;
    // Far longer than the story, so that no end of it comes but by the kill.
    stage.shell.well(&format!("{GROUP} set alua trans_delay_msecs=30000"))?;
    stage.shell.well(&format!("{GROUP} set alua alua_access_state=2"))?;
    for guest in [&mut guest, &mut other] {
        is_told_of_its_beginning(guest)?;
    }
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    for guest in [&mut guest, &mut other] {
        guest.reconnect()?;
    }
    has_come_to_rest(&stage, [&mut guest, &mut other])
}

#[test]
fn a_kill_in_the_middle_of_a_change_by_a_guest_is_no_answer_and_leaves_the_state_that_was_kept() -> Result<()>
{
    let mut stage = Stage::set()?;
    let [mut guest, mut other] = two_guests(&stage)?;
    stage.shell.well(&format!("{GROUP} set alua trans_delay_msecs=30000"))?;
    let set =
        Command::new(UNIT, &[0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0]).data_out([0, 0, 0, 0, 2, 0, 0, 0]);
    let asked = guest.request_queue(0)?.start(&set)?;
    is_told_of_its_beginning(&mut other)?;
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    for guest in [&mut guest, &mut other] {
        guest.reconnect()?;
    }
    // ABORTED: it is not said to be done, and not done twice.
    let answer = guest.request_queue(0)?.wait_for(asked)?;
    assert_eq!(answer.response, 2, "{answer:?}");
    has_come_to_rest(&stage, [&mut guest, &mut other])
}
