// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whoever holds the log and does not read it holds up nobody.

use anyhow::{Result, ensure};
use initiator::{Guest, Options, commands, lun_0};
use std::time::Duration;
use stories::daemon::{Daemon, Places};
use stories::deadline::Deadline;
use stories::scratch::Scratch;
use stories::stage::Stage;
use stories::unread::Unread;

/// A stage whose log goes to a pipe.
fn logging_to(pipe: &Unread) -> Result<Stage> {
    let scratch = Scratch::new()?;
    let places = Places { level: Some("debug"), ..Places::in_scratch(&scratch) };
    let daemon = Daemon::start_logging(places, pipe.end()?)?;
    Stage::around(daemon, scratch)
}

#[test]
fn a_full_log_that_nobody_reads_holds_up_no_guest_and_no_change_and_has_every_line_in_the_end() -> Result<()>
{
    let pipe = Unread::new()?;
    let mut stage = logging_to(&pipe)?;
    stage.create_fileio("disk0", 1 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = || Options::default().patience(Duration::from_secs(30));
    let mut first = Guest::boot(stage.daemon.socket(&wwn), options())?;
    pipe.fill()?;
    for round in 0..20_u8 {
        ensure!(first.execute(&commands::write_10(lun_0(), 0, 1, &[round; 512]))?.is_good());
        let name = format!("more{round}");
        stage.create_fileio(&name, 1 << 20)?;
        // Its front end comes and goes, each with a line.
        let other = stage.serve(&format!("fileio/{name}"))?;
        let mut second = Guest::boot(stage.daemon.socket(&other), options())?;
        ensure!(second.execute(&commands::write_10(lun_0(), 0, 1, &[round; 512]))?.is_good());
        drop(second);
        ensure!(first.execute(&commands::read_10(lun_0(), 0, 1, 512))?.data_in == [round; 512]);
    }
    drop(first);
    // The reader comes back before the end: all of it is there, and in order.
    let reading = std::thread::spawn(move || pipe.read_to_the_end());
    ensure!(stage.daemon.terminate()?.success());
    let log = reading.join().expect("reading does not panic")?;
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    ensure!((lines("a front end connected"), lines("lost")) == (21, 0), "{log}");
    ensure!(log.ends_with("stopped\n"), "{log}");
    Ok(())
}

#[test]
fn a_full_log_that_nobody_reads_keeps_no_daemon_from_starting_or_ending() -> Result<()> {
    let pipe = Unread::new()?;
    pipe.fill()?;
    let mut stage = logging_to(&pipe)?;
    stage.create_fileio("disk0", 1 << 20)?;
    ensure!(stage.daemon.terminate()?.success());
    // Nor one that does not come to run from saying so by its status.
    let mut refused = stage.daemon.places().command()?;
    refused.args(["--socket-group", "no-such-group"]).stderr(pipe.end()?);
    let mut refused = stories::process::Process::spawn(&mut refused)?;
    let status = refused.wait(Deadline::seconds(30))?;
    ensure!(status.and_then(|status| status.code()) == Some(1), "{status:?}");
    Ok(())
}
