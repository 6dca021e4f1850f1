// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was answered survives the daemon, whatever ends it.

use anyhow::Result;
use std::time::{Duration, Instant};
use stories::daemon::Daemon;
use stories::deadline::Deadline;
use stories::silent::Silent;
use stories::slow_disk;
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";

/// Two kinds of backstore, two groups, three LUNs, and an attribute that is not what it was.
fn configure(stage: &Stage) -> Result<()> {
    stage.create_fileio("disk0", 16 << 20)?;
    stage.create_fileio("disk1", 1 << 20)?;
    stage.shell.well("/backstores/ramdisk create r0 8M")?;
    stage.shell.well("/backstores/fileio/disk1 set attribute emulate_write_cache=0")?;
    stage.shell.well(&format!("/vhost create {WWN}"))?;
    stage.shell.well(&format!("/vhost/{WWN} create 7"))?;
    stage.map(WWN, 1, 0, "fileio/disk0")?;
    stage.map(WWN, 1, 300, "fileio/disk1")?;
    stage.map(WWN, 7, 0, "ramdisk/r0")
}

#[test]
fn a_configuration_survives_kill_and_stop() -> Result<()> {
    let mut stage = Stage::set()?;
    configure(&stage)?;
    let tree = stage.shell.well("ls /")?;
    let info = stage.shell.well("/backstores/fileio/disk0 info")?;
    assert!(tree.contains("lun300") && tree.contains("tpg7"), "{tree}");

    stage.daemon.kill()?;
    assert_eq!(stage.shell.run(&["ls", "/"])?.status, 1);
    stage.daemon.restart()?;
    assert_eq!(stage.shell.well("ls /")?, tree);

    let ended = stage.daemon.terminate()?;
    assert_eq!(ended.code(), Some(0));
    stage.daemon.restart()?;
    assert_eq!(stage.shell.well("ls /")?, tree);
    assert_eq!(stage.shell.well("/backstores/fileio/disk0 info")?, info);
    assert!(stage.daemon.socket(WWN).exists());
    Ok(())
}

#[test]
fn every_change_is_on_disk_when_it_is_answered() -> Result<()> {
    let mut stage = Stage::set()?;
    for round in 0..5 {
        stage.create_fileio(&format!("disk{round}"), 1 << 20)?;
        stage.daemon.kill()?;
        stage.daemon.restart()?;
        let listed = stage.shell.well("ls /backstores/fileio")?;
        assert!(listed.contains(&format!("[Storage Objects: {}]", round + 1)), "{listed}");
    }
    Ok(())
}

#[test]
fn a_backstore_whose_file_is_gone_is_missing_and_all_else_serves() -> Result<()> {
    let mut stage = Stage::set()?;
    configure(&stage)?;
    let daemon: &mut Daemon = &mut stage.daemon;
    daemon.kill()?;
    std::fs::remove_file(stage.scratch.join("disk1"))?;
    daemon.restart()?;
    let listed = stage.shell.well("ls /backstores/fileio")?;
    let line = |name: &str| listed.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(line("o- disk1 ").contains("issing") || line("o- disk1 ").contains("MISSING"), "{listed}");
    assert!(line("o- disk0 ").contains("(16.0MiB) write-back activated"), "{listed}");
    assert!(stage.daemon.socket(WWN).exists());
    Ok(())
}

#[test]
fn a_missing_file_is_served_when_it_appears_and_is_whole() -> Result<()> {
    let mut stage = Stage::set()?;
    configure(&stage)?;
    let path = stage.scratch.join("disk1");
    let bytes = std::fs::metadata(&path)?.len();
    stage.daemon.kill()?;
    std::fs::remove_file(&path)?;
    stage.daemon.restart()?;
    let is_missing = || -> Result<bool> {
        let listed = stage.shell.well("ls /backstores/fileio")?;
        let line = listed.lines().find(|line| line.contains("o- disk1 ")).unwrap_or_default();
        Ok(line.to_lowercase().contains("missing"))
    };
    assert!(is_missing()?);
    let file = std::fs::File::create(&path)?;
    file.set_len(bytes / 2)?;
    // Long enough for a look that takes half a file for the whole.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(is_missing()?, "half a file was served");
    file.set_len(bytes)?;
    Deadline::seconds(60).until("the file to be served", || Ok((!is_missing()?).then_some(())))?;
    // The log is told after the others.
    let is_told =
        || Ok(stage.daemon.log().contains("storage object fileio/disk1 has appeared").then_some(()));
    Deadline::seconds(60).until("the line that it is served", is_told)
}

/// More than a start can wait for one after the other, a tenth of a second each.
const MANY: usize = 300;

#[test]
fn many_disks_on_a_file_system_that_does_not_answer_hold_up_a_start_as_few_do() -> Result<()> {
    if !slow_disk::available() {
        println!("skipped: a file system that does not answer takes root and /dev/fuse");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let away = stage.scratch.directory("away")?;
    // Half of them by a link, so that no path tells where it leads.
    let link = stage.scratch.join("link");
    std::os::unix::fs::symlink(&away, &link)?;
    let describe = |number: usize| {
        let folder = if number.is_multiple_of(2) { &away } else { &link };
        format!("[fileio.away{number}]\npath = \"{}/{number}\"\nsize = \"1M\"\n", folder.display())
    };
    let wanted = stage.scratch.join("wanted.toml");
    std::fs::write(&wanted, (0..MANY).map(describe).collect::<String>())?;
    stage.shell.well(&format!("apply -f {}", wanted.display()))?;
    stage.create_fileio("near", 1 << 20)?;
    stage.daemon.terminate()?;

    let silent = Silent::mount(&away)?;
    let begun = Instant::now();
    stage.daemon.restart()?;
    println!("it started after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(15), "it started after {:?}", begun.elapsed());
    let missing = || -> Result<usize> {
        let listed = stage.shell.well("ls /backstores/fileio")?.to_lowercase();
        assert!(
            !listed.lines().any(|line| line.contains("o- near ") && line.contains("missing")),
            "{listed}"
        );
        Ok(listed.lines().filter(|line| line.contains("o- away") && line.contains("missing")).count())
    };
    assert_eq!(missing()?, MANY);
    // Three were tried; the rest is told of together, and all by the place that is behind the link too.
    let log = stage.daemon.log();
    let of_it = |line: &&str| line.contains("does not answer");
    let told: Vec<&str> = log.lines().filter(of_it).collect();
    let named =
        format!("{} does not answer", std::fs::canonicalize(stage.scratch.path())?.join("away").display());
    assert!(told.len() == 4 && told.iter().all(|line| line.contains(&named)), "{told:#?}");
    assert!(told[3].contains("not tried, because") && told[3].contains(", and 293 more"), "{told:#?}");
    drop(silent);
    Deadline::seconds(60).until("all of them to be served", || Ok((missing()? == 0).then_some(())))
}
