// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a guest leaves behind whose target is deleted, for those who share its disk, and for who has its target port next:
//! its registration, and nothing that RESERVE took; over the death of the daemon too.

use anyhow::{Result, ensure};
use initiator::{Command, Guest, LunAddress, Options, commands, lun_0};
use stories::deadline::Deadline;
use stories::slow_disk;
use stories::stage::Stage;

const GOOD: u8 = 0x00;
const RESERVATION_CONFLICT: u8 = 0x18;
const RESERVE: &[u8] = &[0x16, 0, 0, 0, 0, 0];

/// PERSISTENT RESERVE OUT.
fn out(action: u8, kind: u8, key: u8, theirs: u8) -> Command {
    let mut list = [0; 24];
    (list[7], list[15]) = (key, theirs);
    Command::new(lun_0(), &[0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0]).data_out(list)
}

/// The keys that are registered, by their last bytes, in order.
fn keys(guest: &mut Guest) -> Result<Vec<u8>> {
    let read = Command::new(lun_0(), &[0x5e, 0, 0, 0, 0, 0, 0, 0, 128, 0]).data_in(128);
    let answer = guest.execute(&read)?;
    ensure!(answer.status == GOOD, "{answer:?}");
    let mut keys: Vec<u8> = answer.data_in[8..].chunks_exact(8).map(|key| key[7]).collect();
    keys.sort_unstable(); // Their order is that of names that were made up.
    Ok(keys)
}

fn status(guest: &mut Guest, command: &Command) -> Result<u8> {
    // What a new guest is told first is not what this is about.
    let mut answer = guest.execute(command)?;
    for _ in 0..4 {
        if answer.check_condition().is_none_or(|[key, ..]| key != 6) {
            break;
        }
        answer = guest.execute(command)?;
    }
    Ok(answer.status)
}

fn boot(stage: &Stage, wwn: &str) -> Result<Guest> {
    Ok(Guest::boot(stage.daemon.socket(wwn), Options::default())?)
}

#[test]
fn a_registration_outlasts_its_target_and_is_not_that_of_who_has_its_port_next() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    let (first, second) = (stage.serve("fileio/disk0")?, stage.serve("fileio/disk0")?);
    let (mut one, mut two) = (boot(&stage, &first)?, boot(&stage, &second)?);
    assert_eq!(status(&mut two, &out(6, 0, 0, 0xb))?, GOOD);
    assert_eq!(status(&mut two, &out(1, 6, 0xb, 0))?, GOOD);
    drop(two);
    stage.shell.well(&format!("/vhost delete {second}"))?;
    let third = stage.serve("fileio/disk0")?;
    let mut three = boot(&stage, &third)?;
    let write = commands::write_10(lun_0(), 0, 1, &[7; 512]);
    assert_eq!(status(&mut three, &write)?, RESERVATION_CONFLICT, "it passes for who was there before it");
    // Nor does the next daemon take it for that.
    drop((one, three));
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    (one, three) = (boot(&stage, &first)?, boot(&stage, &third)?);
    assert_eq!(status(&mut three, &write)?, RESERVATION_CONFLICT);
    assert_eq!(status(&mut one, &out(6, 0, 0, 0xa))?, GOOD);
    assert_eq!(keys(&mut one)?, [0xa, 0xb]);
    assert_eq!(status(&mut one, &out(5, 6, 0xa, 0xb))?, GOOD);
    assert_eq!(keys(&mut one)?, [0xa]);
    let look = three.execute(&commands::test_unit_ready(lun_0()))?;
    assert_eq!((look.status, look.check_condition()), (GOOD, None), "it is told of what was not its own");
    Ok(())
}

#[test]
fn what_a_guest_reserved_is_free_when_its_target_is_deleted() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    let (first, second) = (stage.serve("fileio/disk0")?, stage.serve("fileio/disk0")?);
    let (mut one, mut two) = (boot(&stage, &first)?, boot(&stage, &second)?);
    assert_eq!(status(&mut two, &Command::new(lun_0(), RESERVE))?, GOOD);
    let write = commands::write_10(lun_0(), 0, 1, &[7; 512]);
    assert_eq!(status(&mut one, &write)?, RESERVATION_CONFLICT);
    drop(two);
    stage.shell.well(&format!("/vhost delete {second}"))?;
    assert_eq!(status(&mut one, &write)?, GOOD);
    Ok(())
}

#[test]
fn a_disk_that_hangs_keeps_nothing_back_of_what_its_guest_reserved_elsewhere() -> Result<()> {
    if !slow_disk::available() {
        println!("skipped: a FUSE file system takes root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let hanging = stage.create_slow_fileio("disk0", 1 << 20)?;
    stage.create_fileio("disk1", 1 << 20)?;
    let (first, second) = (stage.serve("fileio/disk1")?, stage.serve("fileio/disk0")?);
    stage.map(&second, 1, 1, "fileio/disk1")?;
    let (mut one, mut two) = (boot(&stage, &first)?, boot(&stage, &second)?);
    for lun in [lun_0(), LunAddress::unit(1, 1)] {
        assert_eq!(status(&mut two, &Command::new(lun, RESERVE))?, GOOD);
    }
    hanging.keep_back(1);
    let kept = two.request_queue(0)?.start(&commands::write_10(lun_0(), 0, 1, &[7; 512]))?;
    Deadline::seconds(60).until("the write", || Ok((hanging.kept() == 1).then_some(())))?;
    let write = commands::write_10(lun_0(), 0, 1, &[7; 512]);
    assert_eq!(status(&mut one, &write)?, RESERVATION_CONFLICT);
    for lun in [0, 1] {
        stage.shell.well(&format!("/vhost/{second}/tpg1/luns delete {lun}"))?;
    }
    assert_eq!(status(&mut one, &write)?, GOOD);
    hanging.let_land();
    ensure!(two.request_queue(0)?.wait_for(kept)?.is_good());
    Ok(())
}
