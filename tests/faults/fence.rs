// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk belongs to one process at a time: nothing that a dead one began lands later than what its successor
//! does, and of two that live the second waits.

use anyhow::{Context, Result, ensure};
use initiator::exchange::Token;
use initiator::{Guest, LunAddress, Options, commands, lun_0};
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use stories::daemon::{Daemon, Places};
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::slow_disk;
use stories::stage::Stage;

const BYTES: usize = 1 << 20;
/// Long enough for a guest that is not held back to have its answer.
const HELD_BACK: Duration = Duration::from_millis(300);
const SECONDS: u64 = 60;

fn boot(daemon: &Daemon, wwn: &str) -> Result<Guest> {
    Ok(Guest::boot(daemon.socket(wwn), Options::default().patience(Duration::from_secs(SECONDS)))?)
}

fn begin_write(guest: &mut Guest, lba: u32, fill: u8) -> Result<Token> {
    Ok(guest.request_queue(0)?.start(&commands::write_10(lun_0(), lba, 8, &[fill; 4096]))?)
}

fn is_good(guest: &mut Guest, token: Token) -> Result<()> {
    let answer = guest.request_queue(0)?.wait_for(token)?;
    ensure!(answer.is_good(), "{answer:?}");
    Ok(())
}

/// Whether nothing is answered for a while.  The length of this sleep is the measurement.
fn is_held_back(guest: &mut Guest) -> Result<bool> {
    std::thread::sleep(HELD_BACK);
    Ok(!guest.request_queue(0)?.exchange.ring.has_used())
}

fn wait_for_line(daemon: &Daemon, part: &str) -> Result<()> {
    Deadline::seconds(SECONDS).until(part, || Ok(daemon.log().contains(part).then_some(())))
}

/// Whether a stranger may lock a file at this moment.
fn is_free(path: &Path) -> Result<bool> {
    let file = File::options().read(true).write(true).open(path)?;
    Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[test]
fn a_write_that_outlives_its_daemon_lands_before_anything_of_the_next() -> Result<()> {
    if !(slow_disk::available() && loop_device::available()) {
        println!("skipped: a FUSE file system and a loop device take root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let disk = stage.slow_disk(BYTES)?;
    let device = LoopDevice::attach(disk.path(), &["--direct-io=on", "--sector-size=4096"])?;
    let path = device.path().display();
    stage.shell.well(&format!("/backstores/block create disk0 {path}"))?;
    let wwn = stage.serve("block/disk0")?;
    stage.create_fileio("other", 1 << 20)?;
    let other = stage.serve("fileio/other")?;
    let mut guest = boot(&stage.daemon, &wwn)?;
    let block = |fill| commands::write_10(lun_0(), 3, 1, &[fill; 4096]);

    disk.keep_back(1);
    let old = guest.request_queue(0)?.start(&block(1))?;
    Deadline::seconds(SECONDS).until("the write to be under way", || Ok((disk.kept() == 1).then_some(())))?;
    // The process goes at once: its write is the kernel's now.
    stage.daemon.kill()?;
    // The start does not wait for the disk, which hangs.
    stage.daemon.restart()?;
    guest.reconnect()?;
    let new = guest.request_queue(0)?.start(&block(2))?;
    wait_for_line(&stage.daemon, &format!("{path} is locked"))?;
    assert!(is_held_back(&mut guest)?, "served before the old write has landed");
    // Nobody else waits: another target serves, and the shell answers.
    let mut neighbour = boot(&stage.daemon, &other)?;
    assert!(neighbour.execute(&commands::read_10(lun_0(), 0, 1, 512))?.is_good());
    assert!(stage.shell.well("ls /")?.contains("disk0"));
    assert_eq!(disk.read(3 * 4096, 1), [0]);

    disk.let_land();
    is_good(&mut guest, old)?;
    is_good(&mut guest, new)?;
    // The log is told after the guests.
    wait_for_line(&stage.daemon, "is served again")?;
    // Whatever order the daemon gave them: what was answered last is there, and the old write is over.
    let read = guest.execute(&commands::read_10(lun_0(), 3, 1, 4096))?;
    assert_eq!(read.data_in, [2; 4096]);
    assert_eq!(disk.read(3 * 4096, 4096), [2; 4096]);
    Ok(())
}

#[test]
fn a_guest_that_leaves_while_it_is_held_back_makes_room_for_the_next() -> Result<()> {
    let mut stage = Stage::set()?;
    let path = stage.create_fileio("disk0", 1 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let stranger = File::options().read(true).write(true).open(&path)?;
    rustix::fs::flock(&stranger, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    let mut first = boot(&stage.daemon, &wwn)?;
    let write = begin_write(&mut first, 0, 1)?;
    assert!(is_held_back(&mut first)?);
    first.lose();
    drop((first, write));
    let mut second = boot(&stage.daemon, &wwn)?;
    let write = begin_write(&mut second, 0, 2)?;
    assert!(is_held_back(&mut second)?);
    // And a daemon that is told to end does not wait for it either.
    assert_eq!(stage.daemon.terminate()?.code(), Some(0));
    stage.daemon.restart()?;
    second.reconnect()?;
    assert!(is_held_back(&mut second)?);
    drop(stranger);
    is_good(&mut second, write)
}

#[test]
fn a_daemon_that_a_hanging_file_keeps_from_dying_is_waited_for_by_the_next() -> Result<()> {
    if !slow_disk::available() {
        println!("skipped: a FUSE file system takes root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let disk = stage.create_slow_fileio("disk0", BYTES)?;
    let wwn = stage.serve("fileio/disk0")?;
    let mut guest = boot(&stage.daemon, &wwn)?;
    disk.keep_back(1);
    let old = begin_write(&mut guest, 0, 1)?;
    Deadline::seconds(SECONDS).until("the write to be under way", || Ok((disk.kept() == 1).then_some(())))?;
    stage.daemon.process().kill_what_is_kept()?;
    // A thread of the kernel's is at work for it, so the process and all it has open stay.
    let next = stage.daemon.places().clone();
    let next = Daemon::start_at(next)?;
    wait_for_line(&stage.daemon, "another lunard was killed")?;
    let starts = || next.log().matches("INFO serving ").count();
    // The length of this sleep is the measurement.
    std::thread::sleep(HELD_BACK);
    assert_eq!(starts(), 1, "{}", next.log());
    disk.let_land();
    Deadline::seconds(SECONDS).until("the next daemon", || Ok((starts() == 2).then_some(())))?;
    guest.reconnect()?;
    is_good(&mut guest, old)?;
    let new = begin_write(&mut guest, 0, 2)?;
    is_good(&mut guest, new)?;
    assert_eq!(guest.execute(&commands::read_10(lun_0(), 0, 8, 4096))?.data_in, [2; 4096]);
    Ok(())
}

#[test]
fn of_two_daemons_with_one_file_the_second_serves_when_the_first_has_stopped() -> Result<()> {
    let first = Stage::set()?;
    let path = first.create_fileio("disk0", 1 << 20)?;
    let wwn = first.serve("fileio/disk0")?;
    let second = Stage::set()?;
    // No ring runs yet, so the file is free, and both may know it.
    second.shell.well(&format!("/backstores/fileio create disk0 {}", path.display()))?;
    let second_wwn = second.serve("fileio/disk0")?;

    let mut source = boot(&first.daemon, &wwn)?;
    let write = begin_write(&mut source, 0, 1)?;
    is_good(&mut source, write)?;
    // While they run, an administrator is told at once.
    let third = second.shell.run(&["/backstores/fileio", "create", "again", &path.display().to_string()])?;
    assert_eq!(third.status, 1);
    let mut destination = boot(&second.daemon, &second_wwn)?;
    let read = destination.request_queue(0)?.start(&commands::read_10(lun_0(), 0, 8, 4096))?;
    wait_for_line(&second.daemon, &format!("{} is locked", path.display()))?;
    assert!(is_held_back(&mut destination)?, "two daemons serve one file");
    let write = begin_write(&mut source, 0, 2)?;
    is_good(&mut source, write)?;
    source.stop()?;
    let answer = destination.request_queue(0)?.wait_for(read)?;
    assert_eq!(answer.data_in, [2; 4096]);
    // And back again, once the second has stopped.
    source.start()?;
    let read = source.request_queue(0)?.start(&commands::read_10(lun_0(), 0, 8, 4096))?;
    assert!(is_held_back(&mut source)?, "two daemons serve one file");
    destination.stop()?;
    assert_eq!(source.request_queue(0)?.wait_for(read)?.data_in, [2; 4096]);
    let lines = second.daemon.log().matches("is locked").count();
    assert_eq!(lines, 1, "{}", second.daemon.log());
    Ok(())
}

#[test]
fn a_file_in_use_is_named_when_it_is_made_a_storage_object() -> Result<()> {
    let first = Stage::set()?;
    let path = first.create_fileio("disk0", 1 << 20)?;
    let wwn = first.serve("fileio/disk0")?;
    let mut guest = boot(&first.daemon, &wwn)?;
    assert!(guest.execute(&commands::inquiry(lun_0(), 36))?.is_good());
    let second = Stage::set()?;
    let path = path.display().to_string();
    let refused = second.shell.run(&["/backstores/fileio", "create", "disk0", &path])?;
    assert_eq!(refused.status, 1);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains(&format!("Could not open {path}: another process has locked it")), "{said}");
    guest.stop()?;
    second.shell.well(&format!("/backstores/fileio create disk0 {path}"))?;
    Ok(())
}

#[test]
fn a_disk_is_locked_while_rings_that_lead_to_it_run_and_no_longer() -> Result<()> {
    let mut stage = Stage::set()?;
    let (one, two) = (stage.create_fileio("one", 1 << 20)?, stage.create_fileio("two", 1 << 20)?);
    let (first, second) = (stage.serve("fileio/one")?, stage.serve("fileio/one")?);
    let locked = || Ok::<_, anyhow::Error>((!is_free(&one)?, !is_free(&two)?));
    assert_eq!(locked()?, (false, false));

    // Counted, over all targets that show it.
    let mut guest = boot(&stage.daemon, &first)?;
    let mut other = boot(&stage.daemon, &second)?;
    assert_eq!(locked()?, (true, false));
    guest.stop()?;
    assert_eq!(locked()?, (true, false));
    other.stop()?;
    assert_eq!(locked()?, (false, false));

    // A LUN that comes and goes under a guest that runs.
    guest.start()?;
    stage.map(&first, 1, 1, "fileio/two")?;
    assert_eq!(locked()?, (true, true));
    assert!(guest.execute(&commands::read_10(LunAddress::unit(1, 1), 0, 1, 512))?.is_good());
    stage.shell.well(&format!("/vhost/{first}/tpg1/luns delete 1"))?;
    assert_eq!(locked()?, (true, false));

    // Another manner, and another name, for a file that is in use.
    stage.shell.well("/backstores/fileio/one set attribute emulate_write_cache=0")?;
    assert_eq!(locked()?, (true, false));
    // What the guest is told first: of another mode page, of other LUNs, and of a cache that VPD page 86h has no more.
    let mut told = Vec::new();
    while let Some(sense) = guest.execute(&commands::test_unit_ready(lun_0()))?.check_condition() {
        told.push(sense);
    }
    assert_eq!(told, [[0x06, 0x2a, 0x01], [0x06, 0x3f, 0x0e], [0x06, 0x3f, 0x03]]);
    assert!(guest.execute(&commands::write_10(lun_0(), 0, 1, &[1; 512]))?.is_good());

    // What another process has locked is not mapped for a guest that runs.
    let stranger = File::options().read(true).write(true).open(&two)?;
    rustix::fs::flock(&stranger, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    let refused =
        stage.shell.run(&[&format!("/vhost/{first}/tpg1/luns"), "create", "/backstores/fileio/two", "1"])?;
    assert_eq!(refused.status, 1);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("another process has locked"), "{said}");
    drop(stranger);

    // A clean stop lets go; so does a kill, once its I/O has ended.
    assert_eq!(stage.daemon.terminate()?.code(), Some(0));
    assert_eq!(locked()?, (false, false));
    stage.daemon.restart()?;
    guest.reconnect()?;
    assert_eq!(locked()?, (true, false));
    stage.daemon.kill()?;
    Deadline::seconds(SECONDS).until("the lock to go", || Ok((!locked()?.0).then_some(())))
}

#[test]
fn a_file_that_appears_under_a_guest_is_locked_before_it_is_shown() -> Result<()> {
    let mut stage = Stage::set()?;
    let (one, two) = (stage.create_fileio("one", 1 << 20)?, stage.create_fileio("two", 1 << 20)?);
    let wwn = stage.serve("fileio/one")?;
    stage.map(&wwn, 1, 1, "fileio/two")?;
    stage.daemon.kill()?;
    let aside = stage.scratch.join("aside");
    std::fs::rename(&two, &aside)?;
    stage.daemon.restart()?;
    let mut guest = boot(&stage.daemon, &wwn)?;
    let read = commands::read_10(LunAddress::unit(1, 1), 0, 1, 512);
    assert_eq!(guest.execute(&read)?.check_condition(), Some([0x02, 0x04, 0x00]));
    assert!(!is_free(&one)?);

    let stranger = File::options().read(true).write(true).open(&aside)?;
    rustix::fs::flock(&stranger, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    std::fs::rename(&aside, &two)?;
    wait_for_line(&stage.daemon, "fileio/two is not shown to the guest")?;
    let mut sense = guest.execute(&read)?.check_condition();
    // What INQUIRY says of it is known by now, and told first.
    if sense == Some([0x06, 0x3f, 0x03]) {
        sense = guest.execute(&read)?.check_condition();
    }
    assert_eq!(sense, Some([0x02, 0x04, 0x00]));
    drop(stranger);
    Deadline::seconds(SECONDS)
        .until("the file to be served", || Ok(guest.execute(&read)?.is_good().then_some(())))?;
    assert!(!is_free(&two)?);
    Ok(())
}

#[test]
fn a_region_of_a_newer_program_is_named_in_one_line_and_its_ring_served_by_that_program() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let mut guest = boot(&stage.daemon, &wwn)?;
    guest.lose();
    wait_for_line(&stage.daemon, "the front end closed the connection")?;
    let write = begin_write(&mut guest, 0, 1)?;
    // The third queue's part, of 16 bytes and 16 for each of 128 entries; the version is at 8.
    let set_version = |guest: &Guest, version: u8| {
        guest.inflight().context("a region")?.write(2 * 2112 + 8, &[version, 0]).map_err(anyhow::Error::from)
    };
    set_version(&guest, 2)?;
    // Whether the front end is told depends on what it asked to have acknowledged.
    let _ = guest.reconnect();
    wait_for_line(&stage.daemon, "ring 2 was not started: ")?;
    assert!(is_held_back(&mut guest)?);
    let log = stage.daemon.log();
    assert_eq!(log.matches("was not started").count(), 1, "{log}");
    set_version(&guest, 1)?;
    guest.reconnect()?;
    is_good(&mut guest, write)
}

#[test]
fn a_second_process_with_the_same_places_is_still_refused() -> Result<()> {
    let stage = Stage::set()?;
    let places = Places { log: stage.scratch.join("second.log"), ..stage.daemon.places().clone() };
    let mut second = stories::process::Process::spawn(
        places.command()?.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()),
    )?;
    let ended = second.wait(Deadline::seconds(SECONDS))?.context("it waits for a daemon that lives")?;
    assert_eq!(ended.code(), Some(1));
    Ok(())
}
